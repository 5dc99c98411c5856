"""Frozen scenes and named evaluation sets, and the yardsticks on them (spec learning 6, 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from jcas_agents.data.evaluation_sets import SETS, evaluation_scenes
from jcas_agents.data.scenes import draw_scenes
from jcas_agents.data.tensors import to_torch
from jcas_baselines import ADMM, BestVertex, ConstantRule, EqualAllocation
from support.policies import static_config


def test_evaluation_sets_are_the_scenes_that_they_name(monkeypatch):
    assert len(evaluation_scenes("n4", 3)) == 3
    monkeypatch.setitem(SETS, "n4", replace(SETS["n4"], sha256="0" * 64))
    with pytest.raises(ValueError, match="must have hash 000000000000"):
        evaluation_scenes("n4", 3)
    monkeypatch.setitem(SETS, "n2", replace(SETS["n2"], level=SETS["n2"].level + 1e-6))
    with pytest.raises(ValueError, match="must have level"):
        evaluation_scenes("n2", 3)
    with pytest.raises(ValueError, match="did you mean 'n4-stale'"):
        evaluation_scenes("n4-stael")


def test_splits_share_no_scene():
    gains = [
        draw_scenes(static_config(users_per_cell=2), 2, split=split).known.gain
        for split in ("train", "validation", "test")
    ]
    assert len(np.unique(np.concatenate(gains).reshape(6, -1)[:, 0])) == 6


def test_vertices_are_feasible_and_stand_where_the_specification_says():
    scenes = evaluation_scenes("n4", 64)

    def earned(solver):
        allocation = solver.solve(scenes.known).allocation
        assert float(scenes.known.violation(allocation).max()) < 1e-9
        return scenes.truth.utility(allocation).mean()

    constant, best, equal, admm = (earned(s) for s in (ConstantRule(), BestVertex(), EqualAllocation(), ADMM()))
    assert best >= constant
    assert constant / admm == pytest.approx(1.0135, abs=0.02)
    assert constant / equal == pytest.approx(1.169, abs=0.02)


class Pair(NamedTuple):
    real: np.ndarray
    mask: np.ndarray


def test_to_torch_copies_arrays_and_casts_numbers_alone():
    pair = Pair(np.arange(3.0), np.array([True, False, True]))
    kept, cast = to_torch(pair), to_torch(pair, torch.float32)
    assert (kept.real.dtype, cast.real.dtype, cast.mask.dtype) == (torch.float64, torch.float32, torch.bool)
    kept.real[0] = 7.0
    assert pair.real[0] == 0.0
    problem = draw_scenes(static_config(users_per_cell=2), 1, split="validation").known
    single = to_torch(problem, torch.float32)
    assert single.gain.dtype == torch.float32
    assert not single.cell.is_floating_point()
    assert single.reward == problem.reward
