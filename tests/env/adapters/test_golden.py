"""What the README promises of equal seeds: the same bits on one machine, nine digits on another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.golden import FILE, SLOTS, episode

from jcas_env import SCENARIOS, JCASVectorEnv

GOLDEN = json.loads(FILE.read_text())
by_scenario = pytest.mark.parametrize("name", SCENARIOS)


def assert_nine_digits(numbers, expected):
    """Rewards and reports agree to 1e-9: relative, or of a unit where they are differences of larger numbers."""
    assert numbers.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(numbers[key], value, rtol=1e-9, atol=1e-9, err_msg=key)


@by_scenario
def test_the_numbers_are_those_of_the_file(name):
    assert len(GOLDEN[name]["reward"]) == SLOTS
    assert_nine_digits(episode(name), GOLDEN[name])


@by_scenario
def test_one_machine_repeats_every_bit(name):
    assert episode(name) == episode(name)


@by_scenario
def test_a_lane_follows_the_file(name):
    """Whatever happens beside it."""
    envs, rng = JCASVectorEnv(name, num_envs=3), np.random.default_rng(7)
    envs.reset(seed=[1, 7, 2])
    rewards = []
    for _ in range(SLOTS):
        action = rng.uniform(-1.0, 1.0, envs.single_action_space.shape)
        rewards.append(envs.step(np.stack([-action, action, 0.0 * action]))[1][1])
    np.testing.assert_allclose(rewards, GOLDEN[name]["reward"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", ["Prescott", "Nehalem"])
def test_other_kernels_of_linear_algebra_change_no_digit_that_is_promised(kernel, tmp_path):
    """A processor without AVX multiplies matrices in another order."""
    paths = [Path(__file__).parents[2], *(Path(path) for path in sys.path if path)]
    where = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OPENBLAS_CORETYPE": kernel}
    command = [sys.executable, "-m", "support.golden", str(tmp_path / "there.json")]
    subprocess.run(command, check=True, env={**os.environ, **where})
    there = json.loads((tmp_path / "there.json").read_text())
    assert there.keys() == GOLDEN.keys()
    for name, numbers in there.items():
        assert_nine_digits(numbers, GOLDEN[name])
