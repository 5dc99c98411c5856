"""The architecture: who imports whom, what is public, and that the words of the README run."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "jcas_env": ROOT / "jcas_env",
    "jcas_agents": ROOT / "agents" / "jcas_agents",
    "jcas_baselines": ROOT / "baselines" / "jcas_baselines",
    "jcas_experiments": ROOT / "experiments" / "jcas_experiments",
}
MAY_IMPORT = {
    "jcas_env": set(),
    "jcas_baselines": {"jcas_env"},
    "jcas_agents": {"jcas_env"},
    "jcas_experiments": {"jcas_env", "jcas_baselines", "jcas_agents"},
}
LAYERS = ["units", "types", "tree", "checks", "batching", "physics", "scenarios", "envs", "render"]
"""Inside jcas_env, from the ground up; render stands beside the adapters, which import it lazily."""

DOORS = {
    "gymnasium": {
        "jcas_env/envs",
        "jcas_env/__init__.py",
        "agents/jcas_agents/data/scene_env.py",
        "experiments/jcas_experiments/bench/environment.py",
    },
    "cvxpy": {f"baselines/jcas_baselines/{scenario}/convex" for scenario in ("multicell", "mesh", "massive_mimo")},
    "torch": {"agents", "baselines/jcas_baselines/multicell/ascent.py"},
    "matplotlib": {"jcas_env/render/", "experiments"},
}
FILES = sorted(path for root in PACKAGES.values() for path in root.rglob("*.py"))


def imports(path: Path) -> list[tuple[str, int]]:
    """Absolute module names that a file imports, relative ones resolved, with the line."""
    package = next(name for name, root in PACKAGES.items() if path.is_relative_to(root))
    parts = [package, *path.relative_to(PACKAGES[package]).with_suffix("").parts]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) + "." if node.level else ""
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found += [(base + name, node.lineno) for name in names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way_and_each_third_party_has_its_door(path):
    package = next(name for name, root in PACKAGES.items() if path.is_relative_to(root))
    place = path.relative_to(ROOT).as_posix()
    for module, line in imports(path):
        top = module.split(".")[0]
        where = f"{place}:{line} imports {module}"
        if top in PACKAGES and top != package:
            assert top in MAY_IMPORT[package], where
        if top in DOORS:
            assert any(place.startswith(door) for door in DOORS[top]), where
        if "physics" in path.parts:
            assert top not in ("numpy", "torch"), where
    if package == "jcas_env" and path.name != "__init__.py":
        own = LAYERS.index(path.relative_to(PACKAGES[package]).parts[0].removesuffix(".py"))
        for module, line in imports(path):
            layer = module.split(".")[1] if module.startswith("jcas_env.") else None
            if layer in LAYERS and not (own == LAYERS.index("envs") and layer == "render"):
                assert LAYERS.index(layer) <= own, f"{place}:{line} imports {module}"


@pytest.mark.parametrize("name", list(PACKAGES))
def test_public_names_exist(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", []):
        assert getattr(module, public) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_classes_and_methods_are_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
        for node in scope.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"


def test_the_environment_and_the_solvers_work_without_torch_and_without_plotting():
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'matplotlib', 'stable_baselines3'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import gymnasium as gym, jcas_env, jcas_baselines, jcas_agents\n"
        "env = gym.make('jcas/MultiCell-v0', users_per_cell=3).unwrapped; env.reset(seed=0)\n"
        "for s in (jcas_baselines.EqualAllocation(), jcas_baselines.Exact(), jcas_baselines.ADMM()):\n"
        "    env.step_allocation(s.solve(env.problem).allocation)\n"
        "assert 'cvxpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def readme_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_the_readme_has_python_examples():
    assert len(readme_blocks()) >= 2


@pytest.mark.parametrize("index", range(len(readme_blocks())))
def test_every_example_of_the_readme_runs(index):
    exec(compile(readme_blocks()[index], f"README.md example {index}", "exec"), {"__name__": "readme"})


def test_the_readme_names_only_commands_that_exist():
    from jcas_experiments.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = set(re.findall(r"(?:dev\.py|`jcas) ([a-z]+)", (ROOT / "README.md").read_text()))
    assert used <= known | {"test", "lint", "jcas"}


def test_files_of_the_project_name_no_registry_and_no_machine():
    for path in [ROOT / "constraints.txt", ROOT / "pyproject.toml", ROOT / "dev.py", ROOT / "README.md"]:
        assert not re.search(r"https?://|/opt/|/work/", path.read_text()), path
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9][a-z0-9.]*", line), line
