"""The page that lists every field of every configuration: written from the fields themselves."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from itertools import pairwise
from textwrap import dedent

from .configuration import Configuration
from .massive_mimo import MassiveMIMOConfig
from .mesh import MeshConfig
from .multicell import MultiCellConfig

SECTIONS: dict[str, tuple[str, type[Configuration], str]] = {
    "multicell": ("jcas/MultiCell-v0", MultiCellConfig, "--set users_per_cell=6 --set blockage=true"),
    "mesh": ("jcas/Mesh-v0", MeshConfig, "--set users=12 --set objective=log"),
    "massive-mimo": ("jcas/MassiveMIMO-v0", MassiveMIMOConfig, "--set users=6 --set target_angle=none"),
}
"""Environment, configuration and an example of settings, by the name that the commands take."""

HEAD = """# Configuration: every field

What a field takes, its default and what it means, written from the configuration classes by
`python3 -c "from jcas_env.scenarios.reference import page; print(page(), end='')"`.

Fields are keywords of `gym.make("jcas/MultiCell-v0", users_per_cell=6)` and of the classes, or `--set FIELD=VALUE` of
the commands. Anything else than what a field takes is refused by name, rule and value; ends of an interval belong to
it. NumPy's scalars are taken as Python's; arrays, texts in place of numbers, NaN and infinity are not. Inside of the
ranges everything works, in double and in single precision. Some fields have to fit together, and a network must not
be larger than memory: what does not fit is refused as well, before anything is drawn.
"""


def explanations(config_type: type[Configuration]) -> dict[str, str]:
    """The string beneath each field, those of base classes first, as Markdown on one line."""
    classes = [kind for kind in reversed(config_type.__mro__) if issubclass(kind, Configuration)]
    bodies = [ast.parse(dedent(inspect.getsource(kind))).body[0].body for kind in classes]  # type: ignore[attr-defined]
    found = {}
    for first, second in (pair for body in bodies for pair in pairwise(body)):
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name) and isinstance(second, ast.Expr):
            found[first.target.id] = _markdown(ast.literal_eval(second.value))
    return found


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`[.~]*([^`]*)`", r"`\1`", " ".join(text.split())).replace("``", "`")
    return text.replace("|", r"\|")


def table(config_type: type[Configuration]) -> str:
    """Markdown table of the fields of a configuration: what each takes, its default, what it means."""
    kinds, meaning = config_type.kinds(), explanations(config_type)
    rows = [
        f"| `{item.name}` | {kinds[item.name].rule} | `{item.default!r}` | {meaning[item.name]} |"
        for item in fields(config_type)  # type: ignore[arg-type]
    ]
    return "\n".join(["| field | takes | default | meaning |", "|---|---|---|---|", *rows])


def page() -> str:
    """``docs/configuration.md``."""
    sections = [
        f"## {environment}\n\n`jcas compare {name} {example}`\n\n{table(config_type)}\n"
        for name, (environment, config_type, example) in SECTIONS.items()
    ]
    return "\n".join([HEAD, *sections])
