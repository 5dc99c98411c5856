"""The examples: each trains for real, and the page that shows them shows what the files say."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
STEPS = {"sb3_ppo.py": ("512", None), "pettingzoo_parallel.py": ("120", "pettingzoo")}
"""Arguments with which an example is quick, and what it needs beside the extra ``train``; RLlib's is in tests/rllib."""


def run(*words: str, cwd: Path = ROOT) -> str:
    """Output of a Python program, in which warnings of ours are errors."""
    done = subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", STEPS)
def test_an_example_trains(name):
    steps, needs = STEPS[name]
    if needs and find_spec(needs) is None:
        pytest.skip(f"needs {needs}: pip install 'jcas-env[{needs}]'")
    printed = run("-W", "error", str(EXAMPLES / name), steps)
    assert float(printed.split()[-1]) > 1.0


@pytest.mark.skipif(find_spec("rl_zoo3") is None, reason="needs rl_zoo3: pip install -c constraints.txt rl-zoo3")
def test_rl_zoo3_trains_from_the_file_of_hyper_parameters(tmp_path):
    task = "--algo ppo --env jcas/MultiCell-v0 --gym-packages jcas_env --eval-freq -1 --device cpu -n 256"
    files = ["--conf-file", str(EXAMPLES / "rl_zoo3_ppo.yml"), "--log-folder", str(tmp_path)]
    run("-m", "rl_zoo3.train", *task.split(), *files)
    assert (tmp_path / "ppo" / "jcas-MultiCell-v0_1" / "jcas-MultiCell-v0.zip").exists()


def test_every_example_is_shown_as_it_is():
    page = (ROOT / "docs" / "ecosystem.md").read_text()
    files = sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".py", ".yml"))
    assert {path.name for path in files} == {*STEPS, "rl_zoo3_ppo.yml", "rllib_ppo.py"}
    for path in files:
        assert f"```{'python' if path.suffix == '.py' else 'yaml'}\n{path.read_text()}```" in page, path.name
        assert f"examples/{path.name}" in page


def test_importing_the_environment_imports_no_learning_library():
    names = ("torch", "stable_baselines3", "pettingzoo", "ray", "rl_zoo3", "matplotlib")
    code = f"import sys, jcas_env; print([name for name in {names} if name in sys.modules])"
    assert run("-c", code).strip() == "[]"
