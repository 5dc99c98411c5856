"""Tables break where a terminal is narrow, and lose nothing."""

from __future__ import annotations

import pytest
from jcas_experiments.tables import new_table, print_table
from rich.console import Console
from rich.text import Text

HEADINGS = ("utility", "±95 %", "/ADMM", "95 % interval", "regret", "within", "relaxed", "ms")
ROWS = {"equal": 1.25, "search-50": 3.5, "my_module:MyAllocator": 2.125}


def printed(width: int) -> list[list[str]]:
    """Words of the lines that a console of a width shows."""
    table = new_table()
    table.add_column("allocator", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold", min_width=12)
    for name, value in ROWS.items():
        table.add_row(Text(name), *(f"{value + 10 * k:.3f}" for k in range(len(HEADINGS))), "1000 feasible, 12 lost")
    console = Console(width=width, record=True, force_terminal=False)
    print_table(console, table)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    return [line.split() for line in lines]


@pytest.mark.parametrize("width", [60, 61, 72, 80, 100, 140, 200])
def test_every_digit_is_there_beside_the_name_of_its_row(width):
    lines = printed(width)
    for name, value in ROWS.items():
        found = [word for words in lines if words[:1] == [name] for word in words[1:]]
        assert [word for word in found if "." in word] == [f"{value + 10 * k:.3f}" for k in range(len(HEADINGS))]
    assert not any("…" in word for words in lines for word in words)
    assert sum(words.count("1000") for words in lines) == len(ROWS)


def test_a_wide_console_has_one_table():
    assert sum(words[:1] == ["allocator"] for words in printed(200)) == 1
    assert sum(words[:1] == ["allocator"] for words in printed(60)) > 1
