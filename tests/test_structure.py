"""The architecture: who imports whom, how rooms are filled, what is public, and that the words of the README run."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
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
LAYERS = [
    "units",
    "types",
    "tree",
    "compiled",
    "randomness",
    "checks",
    "batching",
    "physics",
    "scenarios",
    "envs",
    "render",
]
"""Inside jcas_env, from the ground up; render stands beside the adapters, which import it lazily."""

SCENARIO_FOLDERS = [f"jcas_baselines.{name}" for name in ("multicell", "mesh", "massive_mimo")]
COMMANDS = [f"jcas_experiments.{name}" for name in ("compare", "train", "score", "bench", "reproduce", "dataset")]
MULTICELL = "jcas_env.scenarios.multicell"
MAY_NOT_IMPORT = {
    f"{MULTICELL}.problem": [f"{MULTICELL}.network", f"{MULTICELL}.knowledge"],
    f"{MULTICELL}.network": [f"{MULTICELL}.knowledge", f"{MULTICELL}.problem"],
    f"{MULTICELL}.knowledge": [f"{MULTICELL}.problem"],
    "jcas_baselines.engines": ["jcas_env.scenarios", "jcas_baselines.bounding", *SCENARIO_FOLDERS],
    "jcas_baselines.bounding": SCENARIO_FOLDERS,
    **{folder: [other for other in SCENARIO_FOLDERS if other != folder] for folder in SCENARIO_FOLDERS},
    "jcas_agents.policies": ["jcas_agents.data", "jcas_agents.training", "jcas_agents.sb3"],
    "jcas_agents.data": ["jcas_agents.training", "jcas_agents.sb3"],
    "jcas_agents.training": ["jcas_agents.sb3"],
    "jcas_agents.sb3": ["jcas_agents.training"],
    **{command: [other for other in COMMANDS if other != command] for command in COMMANDS},
}
"""A folder, and what must not be seen from it (rooms under the same roof, and floors above)."""

METHOD_DOORS = [
    f"jcas_baselines.{name}"
    for name in "admm equal exact gbd sca search grouping upper_bound vertex_rules queue_rules tracking_rules".split()  # noqa: SIM905
]
"""Modules with a public method each: the folders of jcas_baselines do not import them."""

BUILT_ON_CONES = ["jcas_baselines.mesh.bins"]
"""Methods whose subproblem is a cone program: beside the doors they alone import ``convex*``."""

ONLY_FROM = {"jcas_env.physics.estimation.search": ["jcas_env.physics.estimation"]}
"""Inside its package, a folder that serves one other alone."""

DOORS = {
    "gymnasium": {
        "jcas_env/envs",
        "jcas_env/__init__.py",
        "agents/jcas_agents/data/scene_env.py",
        "agents/jcas_agents/sb3",
        "agents/jcas_agents/rllib.py",
        "agents/jcas_agents/torchrl.py",
        "experiments/jcas_experiments/bench/throughput",
        "experiments/jcas_experiments/dataset",
    },
    "ray": {"agents/jcas_agents/rllib.py", "experiments/jcas_experiments/jobs/cluster.py"},
    "PIL": {"experiments/jcas_experiments/watch/film.py"},
    "imageio_ffmpeg": {"experiments/jcas_experiments/watch/film.py"},
    "torchrl": {"agents/jcas_agents/torchrl.py"},
    "tensordict": {"agents/jcas_agents/torchrl.py"},
    "minari": {"experiments/jcas_experiments/dataset/minari_form.py"},
    "h5py": {"experiments/jcas_experiments/dataset/minari_form.py"},
    "pettingzoo": {"jcas_env/envs/parallel_env.py"},
    "cvxpy": {f"baselines/jcas_baselines/{folder}/convex" for folder in ("multicell", "mesh", "massive_mimo")},
    "torch": {
        "agents",
        "jcas_env/randomness.py",
        "jcas_env/envs/device.py",
        "experiments/jcas_experiments/bench/throughput",
    },
    "stable_baselines3": {
        "agents/jcas_agents/sb3",
        "experiments/jcas_experiments/train",
        "experiments/jcas_experiments/bench/throughput",
    },
    "matplotlib": {"jcas_env/render/", "experiments"},
    "numba": {"jcas_env/compiled/"},
}
FILES = sorted(path for root in PACKAGES.values() for path in root.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})


def name_of(path: Path) -> str:
    """Absolute module name of a file."""
    package = next(name for name, root in PACKAGES.items() if path.is_relative_to(root))
    parts = [package, *path.relative_to(PACKAGES[package]).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(path: Path) -> list[tuple[str, int]]:
    """Absolute names that a file imports, a module's own where there is one, relative ones resolved, with the line."""
    here = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found.append((inner if inner in MODULES else module, node.lineno))
    return found


def test_nobody_imports_the_house_that_he_is_a_part_of():
    """From inside a package its ``__init__`` is the roof: what it passes on stands in a file of its own."""
    for own, path in MODULES.items():
        for module, line in imports(path):
            assert not inside(own, module) or own == module, f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_only_the_scenario_sees_network_knowledge_and_problem():
    rooms = [f"{MULTICELL}.{room}" for room in ("network", "knowledge", "problem")]
    seen = {own: {room for room in rooms for module, _ in imports(path) if inside(module, room)}
            for own, path in MODULES.items() if inside(own, MULTICELL)}  # fmt: skip
    assert [own for own, sees in seen.items() if len(sees) == 3] == [f"{MULTICELL}.scenario"]


def test_physics_takes_arrays_and_numbers_never_a_configuration():
    for path in (ROOT / "jcas_env" / "physics").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg):
                assert not re.search(r"config|scenario|problem", node.arg), f"{path}:{node.lineno} {node.arg}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "config", f"{path}:{node.lineno}"


def inside(module: str, folder: str) -> bool:
    return module == folder or module.startswith(folder + ".")


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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_under_one_roof_keep_to_themselves(path):
    own = name_of(path)
    for module, line in imports(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {module}"
        for folder, others in MAY_NOT_IMPORT.items():
            if inside(own, folder):
                assert not any(inside(module, other) for other in others), where
        for target, folders in ONLY_FROM.items():
            if inside(module, target) and own.split(".")[0] == target.split(".")[0]:
                assert any(inside(own, folder) for folder in folders), where
        if own.startswith("jcas_baselines.") and own.count(".") > 1:
            assert module not in METHOD_DOORS, where
        if ".convex" in module and inside(module, "jcas_baselines") and inside(own, "jcas_baselines"):
            convex = own.split(".")[-1].startswith("convex") or own in BUILT_ON_CONES
            assert convex or own in METHOD_DOORS, where


def test_no_import_runs_in_a_circle_wherever_it_stands():
    """Imports under ``TYPE_CHECKING`` and inside functions count: who needs whom to be understood is the same."""
    graph = {
        own: {module for module, _ in imports(path) if module in MODULES and module != own}
        for own, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("folder", [*FOLDERS, *sorted({path.parent for path in (ROOT / "tests").rglob("test_*.py")})],
                         ids=lambda p: str(p.relative_to(ROOT)))  # fmt: skip
def test_a_folder_has_at_most_sixteen_files(folder):
    assert len(list(folder.glob("*.py"))) <= 16


@pytest.mark.parametrize("package", list(PACKAGES))
def test_a_public_name_means_one_thing(package):
    """Functions, classes and constants; what scenarios have in common has the same name in files of the same name.

    A ``convex*`` module says by the same name which function it stands in for. The figures of the experiments have
    settings of their own each.
    """
    places = defaultdict(set)
    for path in PACKAGES[package].rglob("*.py"):
        for node in [] if path.name.startswith("convex") else ast.parse(path.read_text()).body:
            names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            if package != "jcas_experiments" and isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name) and len(target.id) > 1]
            for name in names:
                if not name.startswith("_"):
                    places[name].add(path)
    twice = {name: paths for name, paths in places.items() if len({path.name for path in paths}) > 1}
    assert not twice


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"],
                         ids=lambda p: str(p.parent.relative_to(ROOT)))  # fmt: skip
def test_what_a_package_passes_on_is_what_it_says(path):
    """``__all__`` is exactly what is defined in or imported from the project: nothing is passed on by accident."""
    bound, said = set(), []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] in PACKAGES):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if "__all__" in names:
                said = ast.literal_eval(node.value)
            bound |= names
    assert sorted(said) == sorted(name for name in bound if not name.startswith("_"))
    module = importlib.import_module(name_of(path))
    assert all(hasattr(module, name) for name in said)


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


def optional_libraries() -> list[tuple[str, str, str, str, str]]:
    """Module, library, lowest version, version below which it is, and extra, of each that the code asks for."""
    found = []
    for own, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id.lstrip("_") == "require_library"
            ):
                name, lowest, below = (ast.literal_eval(argument) for argument in node.args)
                found.append((own, name, lowest, below, ast.literal_eval(node.keywords[0].value)))
    return found


def test_what_the_code_asks_for_is_what_its_extra_declares():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert len(optional_libraries()) >= 3
    for _, name, lowest, below, extra in optional_libraries():
        plain = [re.sub(r"\[.*?\]", "", line) for line in declared[extra]]
        assert f"{name.replace('_', '-')}>={lowest},<{below}" in plain


def test_an_extra_holds_what_code_imports_and_only_that():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    imported = {module.split(".")[0] for path in FILES for module, _ in imports(path)}
    for extra, requirements in declared.items():
        if extra not in ("test", "examples", "dev"):
            names = {re.split(r"[<>=~]", line)[0].replace("-", "_") for line in requirements if "[" not in line}
            assert names <= imported | {"tensorboard"}, extra  # which PyTorch's and SB3's writers import


@pytest.mark.parametrize(("module", "library", "lowest", "below", "extra"), optional_libraries())
def test_a_missing_extra_names_the_line_that_installs_it_and_a_wrong_version_the_range(
    module, library, lowest, below, extra
):
    code = (
        "import importlib.metadata as metadata, jcas_env.checks as checks\n"
        "for found in (None, '0.1', '99.0a1'):\n"
        "    def version(name):\n"
        f"        if name != {library!r}: return metadata.version(name)\n"
        "        if found is None: raise metadata.PackageNotFoundError(name)\n"
        "        return found\n"
        "    checks.version = version\n"
        f"    try: import {module}\n"
        f"    except ImportError as error: assert \"pip install 'jcas-env[{extra}]'\" in str(error), error\n"
        "    else: raise SystemExit('imported')\n"
        f"    assert found is None or f'>={lowest},<{below}, got {{found}}' in message, message\n"
    ).replace("in str(error), error", "in (message := str(error)), error")
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
