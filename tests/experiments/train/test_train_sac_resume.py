"""SAC after a resumption: its replay buffer begins empty and is filled before anything is learned from it."""

from __future__ import annotations

import pytest

pytest.importorskip("stable_baselines3")

from jcas_agents.sb3.adapter import RECIPES
from jcas_agents.sb3.states import model_tensors
from jcas_experiments.train.arenas import arena
from jcas_experiments.train.sb3 import Progressed, SB3Run, prepare

STEPS = 50_000


def test_a_resumed_sac_collects_as_many_transitions_as_at_first_before_it_learns(tmp_path):
    run = SB3Run(tmp_path, arena("multicell", "rate", "mlp", []), algo="sac", minutes=1.0, seed=0, scenes=8)
    env = run.arena.lanes(8, 2)
    model, _ = prepare(run, env, None)
    card = {**Progressed(steps=STEPS, updates=10)._asdict(), "curve": []}
    resumed, before = prepare(run, env, (model_tensors(model), card))
    first = RECIPES["sac", "mlp"][2]["learning_starts"]
    assert (model.learning_starts, before.steps) == (first, STEPS)
    assert resumed.replay_buffer.size() == 0
    assert resumed.learning_starts - resumed.num_timesteps == first
