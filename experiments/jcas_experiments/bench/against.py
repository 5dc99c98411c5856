"""Two runs side by side: what became faster, and what of it can be compared at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from .row import Row

SAME_MACHINE = ("machine", "threads", "device", "quick")
"""Parts of a record that must agree before times of two runs can be divided."""


class Change(NamedTuple):
    """A row of two runs; ratios are those of this run over the old one, above 1 where this one is better."""

    benchmark: str
    peer: str
    old: float | None
    """Old value; None in an old run that lacks the row."""
    new: float | None
    """New value; None in a new run that lacks the row."""
    unit: str
    ratio: float | None
    """How many times better the value is; None where it cannot be compared."""
    ratio_spread: tuple[float, float] | None
    """Its least and largest value for values between their quartiles."""
    against_peer: float | None
    """How many times larger the ratio to the peer is, each measured in its own run: machines may differ."""
    note: str
    """Why it cannot be compared, or an empty string."""


def differences(old: dict[str, Any], new: dict[str, Any], parts: Sequence[str] | None = None) -> Iterator[str]:
    """In words, what differs between the records of two runs, or in some parts of them."""
    for part in parts if parts is not None else [*SAME_MACHINE, "seed", "versions"]:
        before, now = old.get(part), new.get(part)
        if isinstance(before, dict) and isinstance(now, dict):
            for name in sorted(before.keys() | now.keys()):
                if before.get(name) != now.get(name):
                    yield f"{name}: {before.get(name)} then, {now.get(name)} now"
        elif before != now:
            yield f"{part}: {before} then, {now} now"


def changes(old: Sequence[Row], new: Sequence[Row], *, same_machine: bool) -> list[Change]:
    """Each row of either run; values are divided only where both are of the same machine and sizes."""
    before, now = ({(row.benchmark, row.peer): row for row in rows} for rows in (old, new))
    keys = [*now, *(key for key in before if key not in now)]
    return [_change(key, before.get(key), now.get(key), same_machine=same_machine) for key in keys]


def _change(key: tuple[str, str], old: Row | None, new: Row | None, *, same_machine: bool) -> Change:
    if old is None:
        assert new is not None
        return Change(*key, None, new.value, new.unit, None, None, None, "not measured then")
    if new is None:
        return Change(*key, old.value, None, old.unit, None, None, None, "not measured now")
    peers = new.ratio / old.ratio if old.ratio and new.ratio else None
    note = "" if old.unit == new.unit else f"in {old.unit} then"
    if not note and not same_machine:
        note = "other machine or sizes"
    if note or not _usable(old.value) or not _usable(new.value):
        return Change(*key, old.value, new.value, new.unit, None, None, peers, note or "no value")
    ratio, spread = _ratio(old, new), None
    if old.value_spread and new.value_spread:
        low, high = ((a, b) for a, b in zip(new.value_spread, reversed(old.value_spread), strict=True))
        ends = [a / b if new.more_is_better else b / a for a, b in (low, high)]
        spread = (min(ends), max(ends))
    return Change(*key, old.value, new.value, new.unit, ratio, spread, peers, "")


def _usable(value: float | None) -> bool:
    """Whether a value can be divided by: neither missing, nor NaN, nor zero."""
    return value is not None and value > 0.0


def _ratio(old: Row, new: Row) -> float:
    return new.value / old.value if new.more_is_better else old.value / new.value


def change_table(found: Sequence[Change]) -> Table:
    """One row a change."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("what", "against", "then", "now", "unit", "times better", "against peer", ""):
        table.add_column(name, justify="right" if name in ("then", "now", "times better", "against peer") else "left")
    for row in found:
        spread = "" if row.ratio_spread is None else " ({:.3g} to {:.3g})".format(*row.ratio_spread)
        old, new, ratio, peer = (
            "-" if x is None else f"{x:,.4g}" for x in (row.old, row.new, row.ratio, row.against_peer)
        )
        texts = (row.benchmark, row.peer, row.unit, row.note)  # as they are: a file may have any names
        what, against, unit, note = map(Text, texts)
        table.add_row(what, against, old, new, unit, ratio + spread, peer, note)
    return table
