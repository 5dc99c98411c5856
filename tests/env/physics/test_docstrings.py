"""Every public function of the physics says what shapes it takes, in what units, and where its formula comes from."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import jcas_env.physics

ROOT = Path(jcas_env.physics.__file__).parent
UNIT = r"(?:Mbit|bit|rad|Hz|dB|km|m|s|W)(?:\^-?\d(?:/\d)?)?"
FACTS = {
    "shape": re.compile(r"\((?:\.\.\.|\*?[a-z]\w*)(?:, [^()]*|,)\)|\bscalar\b"),
    "unit": re.compile(rf"\[(?:-|(?:1|{UNIT})(?:/(?:{UNIT}|\({UNIT} {UNIT}\)))*)\]"),
    "source": re.compile(r"[Ss]pec \w+ \d|(?:luo2023|nguyen2024) (?:eq|Sec|Alg|Theorem)|lu2022 eq|3GPP|DESIGN \d"),
}
REFERENCE = re.compile(r"\b(?:as|As) (?:for|in)\s+:func:`~?(?:[\w.]+\.)?(\w+)`")


def public_functions() -> dict[str, tuple[Path, str]]:
    """Docstring and file of each public function by name."""
    return {
        node.name: (path.relative_to(ROOT), ast.get_docstring(node) or "")
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


FUNCTIONS = public_functions()
PARTITIONS = {"one_hot", "same_group", "serving_link", "group_sizes", "group_sizes_of_masks"}
"""Labels and counts of users: they have no unit and are taken from nobody. So has all of ``membership.py``."""


def told(name: str) -> str:
    """A function's docstring, with those of the functions that it refers to for its arguments."""
    words = FUNCTIONS[name][1]
    return "\n".join([words, *(told(other) for other in REFERENCE.findall(words) if other != name)])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("fact", FACTS)
def test_a_public_function_of_the_physics_states(fact, name):
    path = FUNCTIONS[name][0]
    if fact == "shape" or not (name in PARTITIONS or path.name == "membership.py"):
        assert FACTS[fact].search(told(name)), f"{path}: {name}"


@pytest.mark.parametrize(
    ("fact", "says", "silent"),
    [
        ("shape", "(..., users)", "(see below)"),
        ("shape", "(antennas,)", "f(x)"),
        ("unit", "power [W/Hz]", "q[n]"),
        ("unit", "[1/(s rad)]", "[0, 1]"),
        ("source", "(spec mesh 1.2)", "the specification"),
        ("source", "luo2023 eq. 5", "luo2023"),
    ],
)
def test_what_counts_as_a_statement(fact, says, silent):
    assert FACTS[fact].search(says)
    assert not FACTS[fact].search(silent)


REFERRED = re.compile(r":(?:func|class|data|mod):`~?([\w.]+)`")


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_references_name_what_exists(path):
    """``:func:`name``` is defined or imported in the file, a dotted name anywhere in the physics, under its module."""
    tree = ast.parse(path.read_text())
    here = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    here |= {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    here |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    modules = {other.stem: other for other in ROOT.rglob("*.py")} | {"search": ROOT}
    for name in REFERRED.findall(path.read_text()):
        *module, last = name.split(".")
        if module and module[-1]:
            assert module[-1] in modules, name
            assert re.search(rf"^(?:def|class) {last}\b|^{last} =", modules[module[-1]].read_text(), re.MULTILINE), name
        else:
            assert last in here or last in modules, name
