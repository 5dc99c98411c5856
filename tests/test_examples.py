"""The examples: each trains for real, and the page that shows them shows what the files say."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
EXTRA = "pip install 'jcas-env[{}]'"
STEPS = {
    "plain_loop.py": ("512", None),
    "sb3_ppo.py": ("512", None),
    "pettingzoo_parallel.py": ("120", ("pettingzoo", EXTRA.format("pettingzoo"))),
    "torchrl_ppo.py": ("1024", ("torchrl", EXTRA.format("torchrl"))),
    "skrl_ppo.py": ("1024", ("skrl", "pip install -c constraints.txt skrl")),
}
"""Argument with which an example is quick, and what it needs beside the extra ``train``; RLlib's is in tests/rllib."""
THEIR_WARNINGS = ("-W", "ignore::DeprecationWarning:abc")
"""TorchRL's, of classes of its own."""
CLONING = "minari_behaviour_cloning.py"


def run(*words: str, cwd: Path = ROOT) -> str:
    """Output of a Python program, in which warnings of ours are errors."""
    done = subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", STEPS)
def test_an_example_trains(name, tmp_path):
    steps, needs = STEPS[name]
    if needs and find_spec(needs[0]) is None:
        pytest.skip(f"needs {needs[0]}: {needs[1]}")
    printed = run("-W", "error", *THEIR_WARNINGS, str(EXAMPLES / name), steps, cwd=tmp_path)
    assert float(printed.split()[-1]) > 1.0
    assert not list(tmp_path.iterdir())


def test_an_estimator_of_ones_own_stands_between_the_others():
    printed = run("-W", "error", str(EXAMPLES / "own_estimator.py"))
    error = {line.partition(":")[0]: float(line.split()[2]) for line in printed.splitlines()}
    assert error["spomp"] < error["shrunk"] < error["ls"]


def test_a_reward_of_ones_own_is_what_the_wrapper_says():
    printed = run("-W", "error", str(EXAMPLES / "own_reward.py"))
    rewards = [float(line.split()[-1]) for line in printed.splitlines()]
    assert len(set(rewards)) == len(rewards) == 3


def test_the_single_file_learns_and_to_the_last_digit_the_same_every_time():
    one, two = (run("-W", "error", str(EXAMPLES / "cleanrl_ppo.py"), "4096") for _ in range(2))
    untrained, trained = (float(line.split()[-1]) for line in one.splitlines())
    assert trained > untrained + 0.3
    assert one == two


@pytest.mark.skipif(
    find_spec("minari") is None or find_spec("h5py") is None, reason="needs Minari: pip install 'jcas-env[minari]'"
)
def test_behaviour_cloning_from_a_dataset_scores_above_an_untrained_policy(tmp_path, monkeypatch):
    """On networks that are held out: 0 is the equal split, 1 the search that is cloned."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    words = run("-W", "error", str(EXAMPLES / CLONING), "300").split()
    untrained, cloned = (float(words[words.index(name) + 1]) for name in ("untrained", "cloned"))
    assert untrained < 0.0
    assert 0.4 < cloned < 1.0


@pytest.mark.skipif(find_spec("optuna") is None, reason="needs Optuna: pip install -c constraints.txt optuna")
def test_a_sweep_goes_on_from_its_storage(tmp_path):
    for trials in (1, 2, 2):
        printed = run("-W", "error", str(EXAMPLES / "optuna_sweep.py"), str(trials), "512", cwd=tmp_path)
        assert printed.startswith(f"{trials} trials; best {{'learning_rate'")
    assert float(printed.split()[-1]) > 1.0


@pytest.mark.skipif(find_spec("rl_zoo3") is None, reason="needs rl_zoo3: pip install -c constraints.txt rl-zoo3")
def test_rl_zoo3_trains_from_the_file_of_hyper_parameters(tmp_path):
    task = "--algo ppo --env jcas/MultiCell-v0 --gym-packages jcas_env --eval-freq -1 --device cpu -n 256"
    files = ["--conf-file", str(EXAMPLES / "rl_zoo3_ppo.yml"), "--log-folder", str(tmp_path)]
    run("-m", "rl_zoo3.train", *task.split(), *files)
    assert (tmp_path / "ppo" / "jcas-MultiCell-v0_1" / "jcas-MultiCell-v0.zip").exists()


def test_every_example_is_shown_as_it_is():
    page = "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    files = sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".py", ".yml"))
    own = {f"own_{what}.py" for what in ("allocator", "estimator", "reward")}
    others = {"cleanrl_ppo.py", CLONING, "optuna_sweep.py", "rl_zoo3_ppo.yml", "rllib_ppo.py", *own}
    assert {path.name for path in files} == {*STEPS, *others}
    for path in files:
        assert f"```{'python' if path.suffix == '.py' else 'yaml'}\n{path.read_text()}```" in page, path.name
        assert f"examples/{path.name}" in page


def test_importing_the_environment_imports_no_learning_library():
    names = ("torch", "stable_baselines3", "pettingzoo", "torchrl", "tensordict", "skrl", "ray", "minari", "optuna",
             "tensorboard", "rl_zoo3", "matplotlib", "cvxpy", "scipy.stats", "scipy.optimize")  # fmt: skip
    code = f"import sys, jcas_env; print([name for name in {names} if name in sys.modules])"
    assert run("-c", code).strip() == "[]"
