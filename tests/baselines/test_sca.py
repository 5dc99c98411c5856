"""SCA: the convex step against CVXPY, monotone in the true utility, both scopes, both rewards, free share."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jcas_baselines import ADMM, GBD, SCA, EqualAllocation
from jcas_baselines.multicell import convex_minorant as convex_sca
from jcas_baselines.multicell.cells import cell_models, equal_point, normalised
from jcas_baselines.multicell.minorant import Point, onto_budgets, tangent_of, true_rates
from jcas_baselines.multicell.primal_dual import maximise_minorant
from support.backends import BACKENDS, to_numpy
from support.problems import CORNERS, mixed_problem, random_problem
from support.scenes import static

from jcas_env import MultiCellAllocation, MultiCellProblem, Status


def flat_air(problem, share=0.5):
    """Cells of a problem, flattened, and EBPA in them."""
    scene = cell_models(problem, "cell")
    value = equal_point(scene, np.full((*problem.batch, problem.cells), share))
    lead = len(problem.batch) + 1
    air = type(scene.model)(*(np.reshape(leaf, (-1, *leaf.shape[lead:])) for leaf in scene.model))
    return air, Point(np.reshape(value, (-1, *value.shape[lead:])), np.full(value[..., 0, 0].size, share))


def minorant(air, at, value):
    """F of the surrogate at a point, (n,), written with loops over users."""
    tangent, constant = tangent_of(air, at.value)
    seats = air.signal.shape[-1]
    total = np.zeros(value.shape[0])
    for n in range(value.shape[0]):
        for s in range(2):
            power, band = value[n, s, :seats], value[n, s, seats:] @ air.member[n]
            for j in range(seats):
                if air.weight[n, s, j] == 0:
                    continue
                level = air.density[n, j] * band[j] + air.constant[n, j] + air.cross[n, j] @ power
                y = level + air.signal[n, s, j] * power[j]
                rate = band[j] * np.log(y / band[j]) + tangent[n, s, j] @ value[n, s] + constant[n, s, j]
                if air.logarithmic[n]:
                    rate = np.log(rate) if rate > 0 else -np.inf
                total[n] += air.weight[n, s, j] * rate
    return total


class TestSurrogate:
    @pytest.mark.parametrize("reward", ["rate", "fair"])
    @pytest.mark.parametrize("noise", ["per_hertz", "constant"])
    def test_touches_the_utility_and_lies_below_it(self, reward, noise, rng):
        air, at = flat_air(random_problem(rng, 4, crowd=6, reward=reward, noise=noise))

        def true(value):
            rate = true_rates(air, value)
            earned = np.log(np.where(rate > 0, rate, 1)) if reward == "fair" else rate
            return (air.weight * earned).sum(axis=(-2, -1))

        np.testing.assert_allclose(minorant(air, at, at.value), true(at.value), rtol=1e-12)
        for _ in range(20):
            power = rng.dirichlet(np.ones(6), (8, 2)) / 2
            value = at.value + 0.3 * (np.concatenate([power, at.value[..., 6:]], axis=-1) - at.value)
            assert np.isfinite(minorant(air, at, value)).any()
            assert (minorant(air, at, value) <= true(value) + 1e-9 * abs(true(value))).all()

    @pytest.mark.parametrize("reward", ["rate", "fair"])
    @pytest.mark.parametrize("share", [0.5, np.nan])
    def test_the_fast_step_equals_the_cone_program(self, reward, share, rng):
        problem = random_problem(rng, 2, crowd=6, reward=reward, share=share)
        air, at = flat_air(problem)
        price = 0.1 * rng.random((4, 6)) * air.weight.sum(axis=(-2, -1))[:, None]
        fast = onto_budgets(air, maximise_minorant(air, at, price))
        cone = onto_budgets(air, convex_sca.maximise_minorant(air, at, price))

        def earned(point):
            return minorant(air, at, point.value) - (price[:, None] * point.value[..., :6]).sum(axis=(-2, -1))

        scale = air.weight.sum(axis=(-2, -1)) if reward == "fair" else abs(earned(cone))
        assert (abs(earned(fast) - earned(cone)) <= 3e-5 * scale).all()
        if np.isnan(share):
            np.testing.assert_allclose(fast.share, cone.share, atol=0.02)

    def test_floors_and_budgets_hold(self, rng):
        air, at = flat_air(random_problem(rng, 10, share=0.4), 0.4)
        point = onto_budgets(air, maximise_minorant(air, at, np.zeros((20, 12))))
        assert (point.value >= air.floor - 1e-15).all()
        np.testing.assert_allclose(point.value[..., :12].sum(axis=-1), [[0.6, 0.4]] * 20, rtol=1e-14)
        np.testing.assert_allclose(point.value[..., 12:].sum(axis=-1), [[0.6, 0.4]] * 20, rtol=1e-14)


def utility_of_cells(problem, allocation):
    """Score of each cell when only that cell plays the allocation and the others their last powers, (..., cells)."""
    scores = []
    equal = EqualAllocation().solve(replace(problem, positioning_share=0.5)).allocation
    for cell in range(problem.cells):
        mine = (problem.cell == cell)[..., None, :]
        power = np.where(mine, allocation.power, problem.last_power)
        band = np.where(mine, allocation.bandwidth, equal.bandwidth)
        mixed = MultiCellAllocation(power, band, problem.group)
        scores.append(problem.score(*problem.rates(mixed))[..., cell])
    return np.stack(scores, axis=-1)


class TestMonotone:
    @settings(max_examples=25, deadline=None)
    @given(
        seed=st.integers(0, 10**6),
        scope=st.sampled_from(["cell", "network"]),
        reward=st.sampled_from(["rate", "fair"]),
        precoder=st.sampled_from(["mrt", "zf"]),
        share=st.sampled_from([None, 0.3, 0.5]),
    )
    def test_no_accepted_step_lowers_the_true_utility(self, seed, scope, reward, precoder, share):
        """Over random scenes, both precoders, with powers of the other cells that are not equal."""
        problem = static(
            2, seed=seed, reward=reward, precoder=precoder, positioning_share=share, users_per_cell=5
        ).problem
        rng = np.random.default_rng(seed)
        problem = replace(problem, last_power=problem.last_power * rng.uniform(0.5, 1.5, problem.last_power.shape))
        solution = SCA(scope=scope).solve(problem)
        trace = solution.details["utility_trace"]
        assert np.diff(trace, axis=-1).min() >= 0
        assert problem.violation(solution.allocation).max() <= 1e-9
        np.testing.assert_allclose(trace[:, -1], solution.objective, rtol=1e-12)
        # The trace is the problem's own utility, not a copy that may have drifted.
        if scope == "network":
            np.testing.assert_allclose(problem.utility(solution.allocation), solution.objective, rtol=1e-9)
        else:
            cells = utility_of_cells(problem, solution.allocation)
            np.testing.assert_allclose(cells, solution.details["cell_objective"], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("noise", ["per_hertz", "constant"])
    def test_the_first_entry_of_the_trace_is_equal_allocation(self, noise):
        problem = replace(static(3).problem, noise=noise)
        trace = SCA(scope="network").solve(problem).details["utility_trace"]
        np.testing.assert_allclose(trace[:, 0], problem.utility(EqualAllocation().solve(problem).allocation), rtol=1e-9)


class TestTables:
    def test_true_utility_ratios(self):
        """Spec multicell checks 11, 12, table 10.1: SCA/ADMM in [1.02, 1.12]; with ZF 1.000 +- .003."""
        for fields, low, high in (
            ({"ue_antennas": 18}, 1.02, 1.12),
            ({"ue_antennas": 4}, 1.05, 1.16),
            ({"ue_antennas": 18, "precoder": "zf"}, 0.997, 1.003),
        ):
            scene = static(6, **fields)
            admm, sca = (scene.truth.utility(s.solve(scene.problem).allocation) for s in (ADMM(), SCA()))
            assert low <= sca.mean() / admm.mean() <= high, fields

    def test_order_of_the_true_reward(self):
        """Spec multicell 10.1: SCA > ADMM > EBPA."""
        scene = static(6, ue_antennas=18)
        sca, admm, equal = (
            scene.truth.utility(s.solve(scene.problem).allocation).mean() for s in (SCA(), ADMM(), EqualAllocation())
        )
        assert sca > admm > equal

    def test_fairness_beats_the_other_methods(self):
        """Spec multicell 10.6: JOINT on the fair utility 4.158 +- .15, EBPA 4.079 (M20 N18)."""
        scene = static(4, ue_antennas=18, reward="fair")
        fair = scene.truth.utility(SCA(scope="network").solve(scene.problem).allocation).mean()
        equal = scene.truth.utility(EqualAllocation().solve(scene.problem).allocation).mean()
        assert fair > equal
        assert fair == pytest.approx(4.158, abs=0.2)


class TestShare:
    def test_a_free_share_is_at_least_as_good_as_any_fixed_one(self):
        for reward in ("rate", "fair"):
            problem = static(3, positioning_share=None, service_weight=(1.0, 1.5), reward=reward).problem
            free = SCA(scope="network").solve(problem)
            for share in (0.2, 0.5, 0.8):
                fixed = SCA(scope="network").solve(replace(problem, positioning_share=share))
                assert (fixed.objective <= free.objective + 2e-3 * abs(free.objective)).all()

    def test_knows_more_than_gbd_and_earns_more(self):
        scene = static(3, positioning_share=None, service_weight=(1.0, 1.0), reward="fair", ue_antennas=18)
        sca, gbd = (scene.truth.utility(s.solve(scene.problem).allocation) for s in (SCA(scope="network"), GBD()))
        assert (sca >= gbd).all()

    def test_fixed_and_free_cells_in_one_problem(self):
        problem = static(2, positioning_share=None).problem
        mixed = replace(problem, positioning_share=np.array([0.3, np.nan, 0.5]))
        solution = SCA().solve(mixed)
        np.testing.assert_array_equal(solution.details["positioning_share"][:, [0, 2]], [[0.3, 0.5]] * 2)
        assert mixed.violation(solution.allocation).max() <= 1e-9


class TestBoundary:
    @pytest.mark.parametrize("corner", CORNERS)
    @pytest.mark.parametrize("scope", ["cell", "network"])
    def test_corners(self, corner, scope, rng):
        for reward in ("rate", "fair"):
            problem = random_problem(rng, 10, corner, reward=reward)
            solution = SCA(scope=scope).solve(problem)
            assert (solution.status <= Status.ITERATION_LIMIT).all()
            assert problem.violation(solution.allocation).max() <= 1e-9
            assert np.isfinite(solution.objective).all()
            assert np.diff(solution.details["utility_trace"], axis=-1).min() >= 0

    def test_infeasible_elements_leave_the_others_alone(self, rng):
        problem = mixed_problem(rng, 24)
        lost = problem.least_share.max(axis=-1) > 0.5 + 1e-9
        solution = SCA().solve(problem)
        np.testing.assert_array_equal(solution.status == Status.INFEASIBLE, lost)
        assert np.isnan(solution.allocation.power[lost]).all()
        assert problem.violation(solution.allocation)[~lost].max() <= 1e-9

    def test_batch_equals_single_calls(self):
        problem = static(3).problem
        whole = SCA().solve(problem)
        for lane in range(3):
            one = SCA().solve(static(1, seed=lane).problem)
            assert one.objective[0] == pytest.approx(whole.objective[lane], rel=1e-6)

    def test_unbatched_cells_of_different_sizes(self):
        scene = static(1, assignment="svd", floor=1e-3)
        problem = scene.problem
        assert len(set(problem.crowd.ravel().tolist())) > 1
        for scope in ("cell", "network"):
            solution = SCA(scope=scope).solve(problem)
            assert problem.violation(solution.allocation).max() <= 1e-9

    def test_cvxpy_backend_follows_the_same_path(self):
        problem = static(1, users_per_cell=4).problem
        fast, cone = SCA().solve(problem), SCA(backend="cvxpy").solve(problem)
        np.testing.assert_allclose(fast.objective, cone.objective, rtol=2e-4)
        np.testing.assert_allclose(fast.details["utility_trace"][:, 1], cone.details["utility_trace"][:, 1], rtol=1e-4)

    def test_runs_on_torch(self, rng):
        problem = random_problem(rng, 2, crowd=4)
        arrays = {k: BACKENDS["torch"](v) for k, v in vars(problem).items() if isinstance(v, np.ndarray)}
        for scope in ("cell", "network"):
            there = SCA(scope=scope).solve(replace(problem, **arrays))
            np.testing.assert_allclose(to_numpy(there.objective), SCA(scope=scope).solve(problem).objective, rtol=1e-6)

    def test_bad_settings_are_named(self):
        for change in ({"scope": "world"}, {"backend": "gurobi"}, {"tolerance": 0.0}, {"max_rounds": 0}):
            with pytest.raises(ValueError, match=f"`{next(iter(change))}` must"):
                SCA(**change)
        with pytest.raises(TypeError, match="SCA solves MultiCellProblem and MassiveMIMOProblem, got str"):
            SCA().solve("a problem")

    def test_stops_at_the_limit_and_says_so(self):
        solution = SCA(max_rounds=1).solve(static(2).problem)
        np.testing.assert_array_equal(solution.status, Status.ITERATION_LIMIT)
        np.testing.assert_array_equal(solution.iterations, 1)


def test_allocations_are_the_points_in_physical_units(rng):
    problem = random_problem(rng, 2, crowd=5, share=0.3)
    scene = cell_models(problem, "cell")
    share = np.full((2, 2), 0.3)
    allocation = problem.assemble(normalised(scene, equal_point(scene, share), share), share)
    expected = EqualAllocation().solve(problem).allocation
    np.testing.assert_allclose(allocation.power, expected.power, rtol=1e-12)
    np.testing.assert_allclose(allocation.bandwidth, expected.bandwidth, rtol=1e-12)


def test_the_problem_is_taken_apart_once():
    """Files that calls with the problem lead through, one after the other: few are come back to."""
    problem, visited = static(2).problem, []

    def watch(frame, event, _):
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        here = frame.f_code.co_filename
        ours = event == "call" and "jcas_" in here
        if ours and any(isinstance(frame.f_locals.get(name), MultiCellProblem) for name in names):
            visited.extend([here] if visited[-1:] != [here] else [])

    sys.setprofile(watch)
    try:
        SCA().solve(problem)
    finally:
        sys.setprofile(None)
    assert len(visited) - len(set(visited)) <= 3
