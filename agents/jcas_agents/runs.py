"""Which run a file belongs to: whoever goes on with one is told by name what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jcas_env.checks import require


def require_same_run(card: Mapping[str, Any], made_by: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` that names what differs between what a state was made by and what is to go on with it."""
    ours = json.loads(json.dumps(dict(made_by)))  # as a file holds it: tuples have become lists
    for entry, value in ours.items():
        told = ", ".join(_differences(card.get(entry), value, entry))
        require(not told, f"the run was started with another {entry}: {told}")


def _differences(theirs: Any, ours: Any, name: str) -> Iterator[str]:
    """What differs, down to the single entries."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for entry in {**theirs, **ours}:
            yield from _differences(theirs.get(entry), ours.get(entry), entry)
    elif type(theirs) is not type(ours) or theirs != ours:
        yield f"{name} {brief(theirs)}, not {brief(ours)}"


def brief(value: object, show: Any = repr) -> str:
    """A value in an error: one line of at most 500 characters."""
    return " ".join(show(value).split())[:500]
