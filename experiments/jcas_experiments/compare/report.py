"""A comparison as one HTML file: verdict, sortable table, pictures, every scene's certificate, how it was made."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from jcas_agents.files import write_file

from jcas_env.checks import require

from ..files import require_writable
from ..machine import installed, processor
from .comparison import Comparison
from .picture import comparison_figure
from .regret import shortfall
from .table import cells, legend
from .verdict import verdict

PERCENTILES = (5, 25, 50, 75, 95)
"""Of the users' rates."""

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child, td:first-child, td.text { text-align: left; }
table.sortable th { cursor: pointer; }
table.sortable th::after { content: " \\2195"; opacity: .4; }
table.sortable th[aria-sort=ascending]::after { content: " \\2191"; opacity: 1; }
table.sortable th[aria-sort=descending]::after { content: " \\2193"; opacity: 1; }
svg { width: 100%; height: auto; background: #fff; }
.small { font-size: .85em; opacity: .8; }
.changed { font-weight: bold; }
</style></head><body>
<h1>$title</h1>
<ul id="verdict">$verdict</ul>
<h2>Allocators</h2>
$table
<p class="small">$legend</p>
<h2>Pictures</h2>
$picture
<h2>Users</h2>
$users
$scenes
<h2>How it was made</h2>
$made
<h3>Configuration</h3>
<p class="small">Bold: not the default.</p>
$config
<script>
for (const head of document.querySelectorAll("table.sortable th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const down = head.getAttribute("aria-sort") !== "descending";
  const key = row => { const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
    const number = parseFloat(text); return Number.isNaN(number) ? text : number; };
  const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  [...body.rows].sort((a, b) => (down ? -1 : 1) * order(key(a), key(b))).forEach(row => body.append(row));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
});
</script>
</body></html>
""")


def require_page(option: str, path: Path | None) -> None:
    """Raise ``ValueError`` for a page of another kind, or one that cannot be written."""
    named = path is None or path.suffix.lower() in (".html", ".htm")
    require(named, f"`{option}` takes a file ending in .html, got {path}")
    require_writable(option, path)


def write_report(comparison: Comparison, path: Path, arguments: Sequence[str] | None = None) -> None:
    """Write the page whole; nothing in it is fetched from elsewhere. ``arguments``: those of the command."""
    write_file(path, page(comparison, sys.argv[1:] if arguments is None else arguments).encode())


def page(comparison: Comparison, arguments: Sequence[str]) -> str:
    """The page."""
    setting = comparison.setting
    titles, rows = cells(comparison)
    return PAGE.substitute(
        title=escape(f"jcas compare {setting.name}: {setting.view.describe(setting.scenario.config)}"),
        verdict="".join(f"<li>{escape(sentence)}</li>" for sentence in verdict(comparison)),
        table=_table(titles, rows, sortable=True),
        legend=escape(legend(comparison)),
        picture=_svg(comparison),
        users=_users(comparison),
        scenes=_scenes(comparison),
        made=_made(comparison, arguments),
        config=_config(comparison),
    )


def _table(titles: Iterable[str], rows: Iterable[Sequence[str]], *, sortable: bool = False) -> str:
    """A table; all texts are escaped."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _svg(comparison: Comparison) -> str:
    """The picture of the comparison, as SVG of its own."""
    content = BytesIO()
    comparison_figure(comparison).savefig(content, format="svg", metadata={"Date": None})
    text = content.getvalue().decode()
    return text[text.index("<svg") :]


def _users(comparison: Comparison) -> str:
    """Percentiles of the rate of a user in a slot, or of the utility of a slot where users have none."""
    view = comparison.setting.view
    scale, unit = view.rate_unit or (1.0, comparison.setting.view.unit(comparison.setting.scenario.config))
    what = "data rate of a user in a slot" if view.rate_unit else "utility of a slot"
    rows = []
    for name, result in comparison.played.items():
        found = result.evaluation.user_rates if view.rate_unit else result.evaluation.slot_utility
        rows.append([name, *(f"{value:.3f}" for value in scale * np.percentile(found, PERCENTILES))])
    titles = ["allocator", *(f"{share} %" for share in PERCENTILES)]
    return f"<p>Percentiles of the {what} [{escape(unit)}].</p>{_table(titles, rows, sortable=True)}"


def _scenes(comparison: Comparison) -> str:
    """Utility of every allocator in the first slots beside the best found and the certified bound."""
    yardstick = comparison.yardstick
    if yardstick is None:
        return ""
    first = {name: result.evaluation.slot_utility[0] for name, result in comparison.played.items()}
    kept = [values[: yardstick.scenes] for name, values in first.items() if name not in comparison.regrouping]
    found = np.maximum.reduce([yardstick.best, *kept])  # who plays well may find more than the search
    rows = []
    for scene in range(yardstick.scenes):
        best, bound = found[scene : scene + 1], yardstick.bound[scene : scene + 1]
        gap = shortfall(best, bound, logarithmic=comparison.setting.logarithmic)
        numbers = [
            *(values[scene] for values in first.values()),
            best[0],
            *([bound[0]] if np.isfinite(bound[0]) else []),
        ]
        texts = [f"{value:.3f}" for value in numbers] + ([] if np.isfinite(bound[0]) else ["-"])
        rows.append([str(comparison.setting.seed + scene), *texts, "-" if gap is None else f"{100 * gap:.2f} %"])
    titles = ["network", *first, "best found", "bound", "certified gap"]
    words = "No allocation with the same beams and groups earns more than the bound."
    return f"<h2>First slots</h2><p>{words}</p>{_table(titles, rows, sortable=True)}"


def _made(comparison: Comparison, arguments: Sequence[str]) -> str:
    """Command, seeds, versions, machine."""
    setting = comparison.setting
    last = setting.seed + setting.episodes - 1
    rows = [
        ["command", shlex.join(["jcas", *arguments])],
        ["networks", f"{setting.episodes}, seeds {setting.seed} to {last}, {setting.scenario.horizon} slots each"],
        ["processor", processor()],
        *([name, found] for name, found in installed().items() if found is not None),
    ]
    return _table(["", ""], rows)


def _config(comparison: Comparison) -> str:
    """Every field of the configuration."""
    config: Any = comparison.setting.scenario.config
    defaults = asdict(type(config)())
    rows = "".join(
        f"<tr{'' if value == defaults[name] else ' class=changed'}><td>{escape(name)}</td>"
        f'<td class="text">{escape(repr(value))}</td></tr>'
        for name, value in asdict(config).items()
    )
    return f"<table><tbody>{rows}</tbody></table>"
