"""Whole subcarriers: what is transmitted never exceeds the band, and `violation` is that of what is transmitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jcas_agents.evaluation import evaluate
from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BestGrouping,
    BestVertex,
    EqualAllocation,
    Exact,
    GradientSearch,
    Joint,
    UpperBound,
)
from support.backends import convert, convert_allocation, to_numpy
from support.scenes import EQUAL, PLAIN, static

from jcas_env import JCASVectorEnv, MultiCell, MultiCellConfig, MultiCellProblem, Status
from jcas_env.scenarios.multicell.problem.subcarriers import whole_floor, whole_subcarriers

SPACING = 150e3


def carriers(problem, allocation):
    """Subcarriers on the air of each cell and service, (..., 2, cells), and of each group, (..., 2, users)."""
    whole = problem.on_air(allocation).bandwidth / SPACING
    earlier = np.tril(np.ones((problem.users, problem.users), dtype=bool), -1)
    leads = ~(problem.mates & earlier).any(axis=-1)  # one user of each group: sums of whole numbers, exact on any CPU
    first = [problem.cell_sum(whole[..., service, :] * leads) for service in (0, 1)]
    return np.stack(first, axis=-2), whole


def one_cell(bands, group, *, floor=SPACING, spacing=SPACING):
    """Subcarriers of the users of one cell and service."""
    bands, group = np.asarray(bands, dtype=float), np.asarray(group)
    band = np.stack([bands, bands]) * spacing
    air = whole_subcarriers(band, np.zeros_like(group), group, spacing=spacing, floor=np.asarray([floor]))
    np.testing.assert_array_equal(air[0], air[1])
    return air[0] / spacing


class TestRounding:
    @pytest.mark.parametrize(
        ("bands", "group", "expected"),
        [
            # 5.6 + 4.5 are 10: one each, 8 by 4.6 : 3.5 of 8.1 are 4.54 and 3.46, the odd one to the larger remainder.
            ([5.6, 4.5], [0, 1], [6, 4]),
            ([5.0, 3.0], [0, 1], [5, 3]),
            # Two of a group count once: 2.4 + 7.6.
            ([2.4, 2.4, 7.6], [0, 0, 1], [2, 2, 8]),
            # Ties go to the lower index: 3 by halves of 1.
            ([1.5, 1.5], [0, 1], [2, 1]),
            # What is below one is lifted to one at the cost of the others.
            ([0.2, 0.3, 5.5], [0, 1, 2], [1, 1, 4]),
            # More groups than subcarriers: the largest remainders get one, the others none.
            ([0.9, 0.8, 0.7], [0, 1, 2], [1, 1, 0]),
            ([0.3, 0.3], [0, 1], [0, 0]),
            # A sum that is whole but for rounding counts whole.
            ([0.1, 0.2, 0.7 - 1e-12], [0, 1, 2], [0, 0, 1]),
        ],
    )
    def test_known_cases(self, bands, group, expected):
        np.testing.assert_allclose(one_cell(bands, group), expected)

    def test_floors_of_several_subcarriers_come_first(self):
        assert float(whole_floor(np.asarray(2.2 * SPACING), spacing=SPACING)) == 3 * SPACING
        np.testing.assert_allclose(
            whole_floor(np.array([0.0, 1.0, 2.0]) * SPACING, spacing=SPACING) / SPACING, [1, 1, 2]
        )
        np.testing.assert_allclose(one_cell([3.2, 7.9], [0, 1], floor=3 * SPACING), [3, 8])
        np.testing.assert_allclose(one_cell([1.0, 9.0], [0, 1], floor=3 * SPACING), [3, 7])
        np.testing.assert_allclose(one_cell([1.4, 3.6], [0, 1], floor=3 * SPACING), [1, 4])  # 5 hold no two floors

    @settings(max_examples=300, deadline=None)
    @given(
        bands=st.lists(st.floats(0.0, 1e4), min_size=6, max_size=6),
        group=st.lists(st.integers(0, 5), min_size=6, max_size=6),
        floor=st.integers(1, 4),
        precision=st.sampled_from(["float32", "float64"]),
    )
    def test_never_more_than_the_band_never_two_less(self, bands, group, floor, precision):
        """Whole, at most the sum of what the groups had, above it less one; floors kept wherever they fit."""
        group = np.asarray(group)
        first = np.unique(group, return_index=True)[1]
        x = np.asarray([bands[np.flatnonzero(group == label)[0]] for label in group], dtype=precision)
        got = one_cell_in(x, group, floor)
        total = float(np.sum(x[first].astype(float)))
        error = 1e-9 if precision == "float64" else 4e-6
        assert (got == np.round(got)).all()
        assert got[first].sum() <= total * (1.0 + 2 * error)
        assert got[first].sum() >= total * (1.0 - error) - 1.0
        if floor * len(first) <= np.floor(total):
            assert got.min() >= floor


def one_cell_in(x, group, floor):
    """Subcarriers in the precision of ``x``; a spacing of one."""
    air = whole_subcarriers(
        np.stack([x, x]), np.zeros_like(group), group, spacing=1.0, floor=np.asarray([floor], x.dtype)
    )
    assert air.dtype == x.dtype
    return air[0]


class TestProblem:
    def test_bands_are_whole_keep_the_total_and_are_nearest(self):
        scene = static(20, whole_subcarriers=True)
        allocation = Exact().solve(scene.problem).allocation
        totals, whole = carriers(scene.problem, allocation)
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-9)
        assert whole.min() >= 1.0 - 1e-9
        np.testing.assert_allclose(totals, 33, rtol=1e-9)  # of 33.3 in each service
        # Bands of at least one carrier move by less than one, but for what the groups below one are given.
        moved = np.abs(whole - allocation.bandwidth / SPACING)
        assert moved.max() < 2 * scene.problem.groups.max()

    def test_a_floor_is_at_least_a_subcarrier_and_whole(self):
        plain = MultiCellProblem(**PLAIN)
        assert plain.band_floor == 1e5
        assert replace(plain, subcarrier_spacing=SPACING).band_floor == SPACING
        assert replace(plain, subcarrier_spacing=4e4).band_floor == pytest.approx(1.2e5)
        per_cell = replace(plain, subcarrier_spacing=SPACING, band_floor=np.array([1e5, 4e5]))
        np.testing.assert_allclose(per_cell.band_floor, [1.5e5, 4.5e5])
        again = replace(per_cell, weight=per_cell.weight)
        np.testing.assert_array_equal(again.band_floor, per_cell.band_floor)
        for bad in (-1.0, np.nan, "150e3"):
            with pytest.raises(ValueError, match="`subcarrier_spacing` must be a number at least 0, got"):
                replace(plain, subcarrier_spacing=bad)

    def test_utility_is_that_of_the_rounded_bands(self):
        plain = MultiCellProblem(**PLAIN)
        whole = replace(plain, subcarrier_spacing=3e6)
        rounded = EQUAL._replace(bandwidth=whole.on_air(EQUAL).bandwidth)
        assert whole.utility(EQUAL) == pytest.approx(plain.utility(rounded))
        assert whole.utility(EQUAL) != pytest.approx(plain.utility(EQUAL))

    def test_violation_is_that_of_what_is_transmitted(self):
        """Two groups, 1 MHz for each service, whole 0.8 MHz: one subcarrier, so a group goes without."""
        fields = PLAIN | {"group": [0, 1, 0], "band_budget": 2e6, "band_floor": 0.0, "subcarrier_spacing": 0.8e6}
        problem = MultiCellProblem(**fields)
        split = EQUAL._replace(bandwidth=np.array([[6e5, 4e5, 1e6]] * 2), group=problem.group)
        np.testing.assert_allclose(problem.on_air(split).bandwidth, [[8e5, 0.0, 8e5]] * 2)
        assert problem.violation(split) == pytest.approx(0.8 / 2)  # the floor of one subcarrier, over the budget
        assert replace(problem, subcarrier_spacing=0.0, band_floor=0.0).violation(split) == pytest.approx(0.0)
        together = replace(problem, group=np.array([0, 0, 0]))
        assert together.violation(EQUAL._replace(bandwidth=np.full((2, 3), 1e6))) == 0.0
        uneven = EQUAL._replace(bandwidth=np.array([[1e6, 0.9e6, 1e6]] * 2))  # rounded to the same, stated uneven
        assert together.violation(uneven) == pytest.approx(0.05)

    def test_runs_on_torch_and_batches_equal_loops(self):
        scene = static(3, whole_subcarriers=True, band_budget=3e6, positioning_share=None)
        allocation = EqualAllocation().solve(scene.problem).allocation
        allocation = type(allocation)(*(np.where(np.isnan(part), 1.0, part) for part in allocation))
        there = convert(scene.problem, "torch").on_air(convert_allocation(allocation, "torch")).bandwidth
        here = scene.problem.on_air(allocation).bandwidth
        assert there.dtype is torch.float64
        np.testing.assert_allclose(to_numpy(there), here, rtol=1e-12)
        for lane in range(3):
            alone = replace(
                scene.problem,
                **{name: getattr(scene.problem, name)[lane] for name in ("gain", "leakage", "sensing_gain", "cell")},
                **{name: getattr(scene.problem, name)[lane] for name in ("group", "last_power", "weight", "queue")},
                correlation=None, beam_channel=None, air_channel=None, csi_error=None,
            )  # fmt: skip
            got = alone.on_air(type(allocation)(*(part[lane] for part in allocation))).bandwidth
            np.testing.assert_allclose(got, here[lane], rtol=1e-12)


class ConstantPolicy:
    """The same action whatever is observed."""

    def __init__(self, action):
        self.action = action

    def act(self, observation):
        return np.broadcast_to(self.action, (*observation["cells"].shape[:-2], len(self.action)))


BANDS = (0.31e6, 0.6e6, 1e6, 1.5e6, 2.2e6, 4e6, 10e6)
THRESHOLDS = (1e-6, 0.05, 0.4, 1.01)


@pytest.mark.parametrize("share", [None, 0.5, 0.3])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("band", BANDS)
def test_no_policy_and_no_solver_puts_band_on_the_air_that_does_not_exist(band, threshold, share, rng):
    """Any action, any solver: never beyond the band of a service; feasible wherever the groups fit, told where not."""
    fields = {"positioning_share": share, "grouping_threshold": threshold, "whole_subcarriers": True}
    least = share if share is not None else 0.5
    if band * min(least, 1 - least) < SPACING:
        with pytest.raises(ValueError, match="`whole_subcarriers`: a group needs"):
            static(1, band_budget=band, **fields)
        return
    scene = static(8, band_budget=band, floor=1e-3, **fields)
    problem = scene.problem
    fits = (problem.groups * SPACING <= band * min(least, 1 - least) * (1 + 1e-9)).all(axis=-1)
    corners = np.sign(rng.uniform(-1, 1, (8, scene.scenario.action_size)))
    answers = {
        "actions": scene.scenario.decode(rng.uniform(-1, 1, corners.shape), problem),
        "corners": scene.scenario.decode(corners, problem),
        "fallback": scene.scenario.fallback(problem),
    }
    for solver in (EqualAllocation(), EqualAllocation(per="group"), ADMM(), Exact()):
        solution = solver.solve(problem)
        np.testing.assert_array_equal(solution.status == Status.INFEASIBLE, ~fits)
        safe = [
            np.where((~fits).reshape(-1, *(1,) * (part.ndim - 1)), other, part)
            for part, other in zip(solution.allocation, scene.scenario.fallback(problem), strict=True)
        ]
        answers[str(solver)] = type(solution.allocation)(*safe)
    for name, allocation in answers.items():
        totals, whole = carriers(problem, allocation)
        shares = np.array([1 - share, share])[:, None] if share is not None else 1.0
        assert (totals * SPACING <= band * shares * (1 + 1e-9)).all(), name
        assert (totals.sum(axis=-2) <= np.floor(band / SPACING) + 1e-9).all(), name
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-9)
        violation = problem.violation(allocation)
        assert violation[fits].max(initial=0.0) < 1e-9, name
        assert (violation[~fits] > 0.01).all(), name
        assert np.isfinite(scene.truth.utility(allocation)).all(), name


def test_more_groups_than_subcarriers_are_told_and_not_transmitted():
    """At a threshold of .4 cells have 3.2 groups, the largest of a scene 3 to 6; 1 MHz has three subcarriers for each
    service, 0.6 MHz two."""
    for band, told in ((1e6, 12), (0.6e6, 16)):
        scene = static(16, band_budget=band, whole_subcarriers=True)
        solution = EqualAllocation().solve(scene.problem)
        lost = solution.status == Status.INFEASIBLE
        assert lost.sum() == told
        assert np.isnan(solution.allocation.power[lost]).all()
        totals, _ = carriers(scene.problem, scene.scenario.fallback(scene.problem))
        assert totals.sum(axis=-2).max() * SPACING <= band


@pytest.mark.parametrize("reward", ["rate", "fair", "delay"])
def test_episodes_of_scenes_without_enough_subcarriers_run(reward, rng):
    """A vector environment steps on any action; solvers and searches are played with the fallback, which is told."""
    scenario = MultiCell(
        MultiCellConfig(
            estimator="crb", users_per_cell=6, band_budget=0.6e6, reward=reward, whole_subcarriers=True, horizon=3,
            kalman=True, floor=1e-3,
        )
    )  # fmt: skip
    env = JCASVectorEnv(scenario, num_envs=16)
    env.reset(seed=0)
    mixed = 0
    for _ in range(2):
        short = env.problem.short_of_subcarriers.any(axis=-1)
        mixed += int(0 < short.sum() < 16)
        observation, earned, _, _, info = env.step(rng.uniform(-1, 1, (16, scenario.action_size)))
        assert np.isfinite(earned).all()
        assert env.observation_space.contains(observation)
        np.testing.assert_array_equal(info["violation"] > 1e-9, short)
    assert mixed
    policy = ConstantPolicy(np.zeros(scenario.action_size))
    solvers = [ADMM(), policy] if reward == "delay" else [ADMM(), SCA(), GradientSearch(2), policy]
    for solver in solvers:
        found = evaluate(scenario, solver, episodes=8, seed=0)
        assert np.isfinite(found.utility).all()
        assert found.status["INFEASIBLE"] > 0
        assert found.violation > 0.01


@pytest.mark.parametrize(
    "solver",
    [
        GBD(),
        SCA(),
        SCA(scope="network"),
        BestGrouping(ADMM(), (0.1, 0.4, 1.01)),
        BestVertex(),
        GradientSearch(3),
        Joint(steps=3, random_starts=1, starts=(EqualAllocation(), Exact())),
        UpperBound("root", search=EqualAllocation()),
    ],
    ids=lambda solver: type(solver).__name__,
)
@pytest.mark.parametrize(("share", "band"), [(None, 0.7e6), (0.4, 0.8e6)])
def test_every_solver_answers_scenes_with_and_without_enough_subcarriers(solver, share, band):
    """INFEASIBLE and NaN where groups lack subcarriers; feasible on the air elsewhere."""
    problem = static(8, users_per_cell=6, band_budget=band, whole_subcarriers=True, positioning_share=share).problem
    short = problem.short_of_subcarriers.any(axis=-1)
    assert 0 < short.sum() < 8
    solution = solver.solve(problem)
    lost = solution.status == Status.INFEASIBLE
    if isinstance(solver, BestGrouping):
        assert not lost[~short].any()  # one group always fits: it may save a scene
    else:
        np.testing.assert_array_equal(lost, short)
    assert np.isnan(solution.allocation.power[lost]).all()
    assert problem.regrouped(solution.allocation.group).violation(solution.allocation)[~lost].max() < 1e-9


def test_wide_bands_never_lack_subcarriers():
    """At the default band every user may have a group of its own: no action is infeasible."""
    scene = static(4, whole_subcarriers=True, grouping_threshold=1e-6, positioning_share=None)
    assert scene.problem.groups.min() == 12
    assert not scene.problem.short_of_subcarriers.any()
    assert scene.problem.least_share.max() == pytest.approx(12 * 0.015)
    action = np.ones((4, scene.scenario.action_size))
    assert scene.problem.violation(scene.scenario.decode(action, scene.problem)).max() < 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("band", [1e9, 7350505984.0, 1.4e10])
def test_the_least_share_of_a_wide_band_holds_a_subcarrier_for_every_group(dtype, band):
    """450 kHz of gigahertz are a share that 1 - share rounds by a part in a thousand in single precision."""
    config = MultiCellConfig(
        cells=1,
        users_per_cell=3,
        dtype=dtype,
        band_budget=band,
        subcarrier_spacing=SPACING,
        whole_subcarriers=True,
        grouping_threshold=1e-6,
        floor=0.0,
        positioning_share=None,
        logit_scale=40.0,
    )
    scenario = MultiCell(config)
    env = JCASVectorEnv(scenario, num_envs=2)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape)
    for favoured, crowded in ((1.0, 0), (-1.0, 1)):
        action[:, -1] = favoured
        allocation = scenario.decode(action, env.problem)
        np.testing.assert_array_equal(np.round(carriers(env.problem, allocation)[1][:, crowded], 3), 1.0)
        assert np.max(env.problem.violation(allocation)) < (1e-9 if dtype == "float64" else 1e-6)
