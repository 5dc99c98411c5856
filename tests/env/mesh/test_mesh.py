"""The mesh scenario: known values, placement of subcarriers, actions, motion, observation, and bad input."""

from __future__ import annotations

from dataclasses import replace
from math import pi, radians, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jcas_baselines import GBD
from support import fisher, reference
from support.instances import identical, numbered

from jcas_env import Mesh, MeshAllocation, MeshConfig, MeshProblem, make_scenario
from jcas_env.physics.information.position import Reason
from jcas_env.scenarios.mesh.action import decode
from jcas_env.scenarios.mesh.motion import fold_into_sector, reflect
from jcas_env.scenarios.mesh.subcarriers import (
    assigned_counts,
    comb_moments,
    comb_placement,
    moments_per_user,
    proportional_counts,
    ranks,
    sums_per_user,
)
from jcas_env.tree import stack, take, tree_map


def anchor_problem():
    """One user at 10 m broadside, calibration A (spec mesh 4)."""
    config = MeshConfig()
    template = numbered("A", 0.5, 1)
    state = Mesh(replace(config, users=1)).initial(
        tree_map(np.asarray, type_of_draws(distance=[10.0], aod=[pi / 2], aoa=[pi / 2], velocity=[[0.0, 0.0]]))
    )
    problem = Mesh(replace(config, users=1)).problem(state)
    assert problem.subcarriers == template.subcarriers
    return problem


def type_of_draws(**parts):
    from jcas_env.scenarios.mesh.state import Initial

    return Initial(**{name: np.array(value) for name, value in parts.items()})


def comb_of_222():
    assignment = np.full(6666, -1)
    assignment[0:6631:30] = 0
    return assignment


class TestKnownValues:
    def test_numbered_instance_is_the_seeds(self):
        problem = numbered("A", 0.5, 1)
        np.testing.assert_allclose(problem.distance[:3], [14.578735, 19.518659, 8.447325], atol=5e-7)
        np.testing.assert_allclose(problem.aod[:3], [1.604450, 0.766267, 1.829433], atol=5e-7)
        np.testing.assert_allclose(problem.aoa[:3], [1.097564, 0.538452, 1.875993], atol=5e-7)

    @pytest.mark.parametrize(
        ("preset", "error", "rate", "share_max"),
        [("A", 4.223110e-9, 381.7493e6, 0.7364), ("B", 2.664602e-7, 183.6974e6, 0.4419)],
    )
    def test_references_and_largest_share(self, preset, error, rate, share_max):
        """Spec mesh check 6."""
        problem = numbered(preset, 0.5, 1)
        assert problem.error_scale == pytest.approx(error, rel=1e-6)
        assert problem.rate_scale == pytest.approx(rate, rel=1e-6)
        assert problem.count_model.share_max == pytest.approx(share_max, abs=1e-4)

    def test_count_model_of_the_first_users(self):
        model = numbered("A", 0.5, 1).count_model
        np.testing.assert_allclose(model.information[:3], [0.03362946, 0.00507875, 0.26743164], rtol=1e-6)
        np.testing.assert_allclose(model.rate[:3], [1.682553e6, 1.552639e6, 1.923265e6], rtol=1e-6)
        assert model.rate_floor_max == pytest.approx(379.389e6, rel=1e-5)

    def test_anchor_value(self):
        """Spec mesh check 2: snr 38.357 dB, 1.84909 Mbit/s, PEB .0190167 mm, OEB 2.12533 urad."""
        problem = anchor_problem()
        bounds = problem.bounds(MeshAllocation(np.array([222.0]), comb_of_222(), np.asarray(0.35)))
        assert 10 * np.log10(problem.snr[0]) == pytest.approx(38.357, abs=5e-4)
        assert problem.rate_per_subcarrier[0] == pytest.approx(1.84909e6, rel=1e-5)
        assert bounds.position[0] == pytest.approx(1.90167e-5, rel=1e-4)
        assert bounds.orientation[0] == pytest.approx(2.12533e-6, rel=1e-4)

    def test_bounds_are_those_of_the_full_information_matrix(self):
        """The problem's closed form against 5x5 inversion over every tone of both beams."""
        from jcas_env.physics.information.angle import array_sensitivity

        problem, allocation = anchor_problem(), MeshAllocation(np.array([222.0]), comb_of_222(), np.asarray(0.35))
        theta = problem.aod[0]
        gain, slope = fisher.beam_gains(np.tile(fisher.beam_pair(theta, antennas=30, split=0.25), (222, 1)), theta)
        information = fisher.channel_information(
            np.repeat(problem.omega[0:6631:30], 2), gain, slope, np.full(444, 0.5 * 0.35 * 1500), snr=problem.snr[0],
            arrival_sensitivity=array_sensitivity(np.sin(problem.aoa[0]) ** 2, antennas=30),
        )  # fmt: skip
        full = reference.bounds_by_inversion(information, np.asarray(10.0), theta)
        ours = problem.bounds(allocation)
        assert ours.position[0] == pytest.approx(full.position, rel=1e-9)
        assert ours.orientation[0] == pytest.approx(full.orientation, rel=1e-9)

    def test_networking_time_takes_its_part_of_rate_and_symbols(self):
        with_control = numbered("A", 0.5, 1, networking_time=0.0025)
        without = numbered("A", 0.5, 1)
        allocation = GBD().solve(without).allocation
        np.testing.assert_allclose(with_control.outcome(allocation).rate, 0.8 * without.outcome(allocation).rate)
        ratio = with_control.bounds(allocation).position / without.bounds(allocation).position
        np.testing.assert_allclose(ratio, 0.8**-0.5)


class TestPhysicsOfAnAllocation:
    def test_bounds_fall_with_the_root_of_the_share(self):
        """Spec mesh check 5."""
        problem = numbered("A", 0.5, 1)
        counts = proportional_counts(np.full(30, 1 / 30), total=6666, least=0)
        few, many = (problem.bounds(MeshAllocation(counts, None, np.asarray(share))) for share in (0.1, 0.4))
        np.testing.assert_allclose(few.position, 2 * many.position, rtol=1e-10)
        np.testing.assert_allclose(few.orientation, 2 * many.orientation, rtol=1e-10)

    def test_contiguous_blocks_are_seven_times_worse_than_combs(self):
        """Spec mesh check 4, through the allocation."""
        problem = replace(identical(1, distance=[10.0], aod=[1.2], aoa=[1.2]), subcarriers=6666)

        def peb(first, step):
            assignment = np.full(6666, -1)
            assignment[first : first + 222 * step : step] = 0
            return problem.bounds(MeshAllocation(np.array([222.0]), assignment, np.asarray(0.5))).position[0]

        for first in (3222, 6444):
            assert peb(first, 1) / peb(0, 30) == pytest.approx(7.125, abs=0.01)

    def test_combs_approach_the_count_model(self):
        problem = numbered("A", 0.5, 1)
        allocation = GBD().solve(problem).allocation
        model = problem.count_model.utility(allocation.counts, allocation.positioning_share)
        assert problem.utility(allocation) == pytest.approx(float(model), rel=2e-4)

    def test_a_user_with_one_subcarrier_has_no_delay(self):
        """Spec mesh 5.28: infinite bound with a reason, P = 0, no exception."""
        problem = identical(3)
        counts = np.array([1.0, 2000.0, 3999.0])
        allocation = MeshAllocation(counts, None, np.asarray(0.4))
        bounds = problem.bounds(allocation)
        assert bounds.reason.tolist() == [Reason.NO_DELAY, Reason.REGULAR, Reason.REGULAR]
        assert np.isinf(bounds.position[0])
        assert np.isfinite(bounds.position[1:]).all()
        positioning, _ = problem.performance(allocation)
        assert positioning == 0.0
        assert np.isfinite(problem.utility(allocation))

    def test_a_user_without_subcarriers_and_a_share_of_zero_are_values_too(self):
        problem = replace(identical(3), objective="log")
        allocation = MeshAllocation(np.array([0.0, 2000.0, 4000.0]), None, np.asarray(0.0))
        outcome = problem.outcome(allocation)
        assert outcome.rate[0] == 0.0
        assert np.isinf(outcome.peb).all()
        assert np.isfinite(outcome.utility)
        assert outcome.violation == pytest.approx(1.0 + 1e-3)  # one user has nothing, the share misses beta_lo

    def test_frequency_selective_sums_equal_a_loop(self, rng):
        flat = numbered("A", 0.5, 1)
        snr = flat.snr[:4, None] * rng.uniform(0.5, 2, (4, 40))
        problem = replace(flat, distance=flat.distance[:4], aod=flat.aod[:4], aoa=flat.aoa[:4], snr=snr,
                          subcarriers=40, reference_error=None, reference_rate=None)  # fmt: skip
        assignment = rng.integers(-1, 4, 40)
        tones = problem.tones(assignment)
        for user in range(4):
            mine = assignment == user
            weight, omega = snr[user, mine], problem.omega[mine]
            mean = np.sum(weight * omega) / weight.sum()
            assert tones.spread[user] == pytest.approx(np.sum(weight * (omega - mean) ** 2), rel=1e-9)
            assert tones.count[user] == pytest.approx(weight.sum())
            assert tones.rate[user] == pytest.approx(np.sum(150e3 * np.log2(1 + 0.75 * weight)))
        same = replace(problem, snr=np.broadcast_to(flat.snr[:4, None], (4, 40)))
        plain = replace(problem, snr=flat.snr[:4])
        allocation = MeshAllocation(assigned_counts(assignment, users=4).astype(float), assignment, np.asarray(0.3))
        assert same.utility(allocation) == pytest.approx(float(plain.utility(allocation)), rel=1e-9)


def sorted_comb(counts, total):
    """Stride scheduling by its definition: the keys (i + 1/2)/n of all users, sorted, lower users first."""
    spare = max(total - counts.sum(), 0.0)
    owner = np.repeat(np.arange(len(counts) + 1), np.append(counts, spare).astype(int))[:total]
    number = np.append(counts, spare)[owner]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    placed = owner[np.argsort((place + 0.5) / number, kind="stable")]
    return np.where(placed == len(counts), -1, placed)


class TestSubcarriers:
    def test_ranks_serve_all_lanes(self, backend, rng):
        edges = np.sort(rng.integers(0, 20, (2, 3, 5)), axis=-1).astype(float)
        values = rng.integers(0, 20, (2, 3, 9)).astype(float)
        found = backend.numpy(ranks(backend.asarray(edges), backend.asarray(values), 21.0))
        expected = (edges[..., :, None] <= values[..., None, :]).sum(axis=-2)
        np.testing.assert_array_equal(found, expected)

    def test_largest_remainder_by_hand(self, backend):
        """Quotas of 8 beside one each are rounded down; the last goes to the largest remainder, ties to the left."""
        weight = np.array([[3.4, 2.3, 2.3], [2.5, 2.5, 3.0]]) / 8
        counts = backend.numpy(proportional_counts(backend.asarray(weight), total=11, least=1))
        np.testing.assert_array_equal(counts, [[5, 3, 3], [4, 3, 4]])

    def test_comb_by_hand(self, backend):
        """Keys of 2, 4: (.25, .75) and (.125, .375, .625, .875), sorted: b a b b a b."""
        placed = backend.numpy(comb_placement(backend.asarray(np.array([[2.0, 4.0], [3.0, 3.0]])), total=6))
        np.testing.assert_array_equal(placed, [[1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 0, 1]])

    def test_what_is_left_over_is_spread_like_a_user(self):
        np.testing.assert_array_equal(comb_placement(np.array([3.0]), total=6), [0, -1, 0, -1, 0, -1])

    @settings(max_examples=60, deadline=None)
    @given(counts=arrays(np.int64, (2, 5), elements=st.integers(0, 9)))
    def test_a_comb_has_the_counts_and_the_full_spread(self, counts):
        placed = comb_placement(counts.astype(float), total=45)
        np.testing.assert_array_equal(assigned_counts(placed, users=5), counts)
        for lane in range(2):
            for user in range(5):
                places = np.flatnonzero(placed[lane] == user)
                if len(places) > 1:
                    assert np.diff(places).max() <= 2 * (45 / len(places)) + 5  # stride, give or take the others

    @pytest.mark.parametrize(("users", "total"), [(1, 66), (2, 13), (5, 45), (30, 640), (30, 6666), (300, 6666)])
    def test_a_comb_is_the_stable_sort_of_all_keys(self, users, total, backend, rng):
        """Equal and unequal users, users without subcarriers, a band that is not used up, and one that is too small."""
        lanes = [rng.multinomial(total, rng.dirichlet(np.full(users, shape))) for shape in (0.1, 1.0, 100.0)]
        lanes += [np.full(users, total // users), np.full(users, total // (2 * users)), np.eye(users)[0] * total]
        for counts in (np.array(lanes, dtype=float), np.array([*lanes, np.full(users, 1 + total // users)], float)):
            placed = backend.numpy(comb_placement(backend.asarray(counts), total=total))
            for lane, mine in zip(placed, counts, strict=True):
                np.testing.assert_array_equal(lane, sorted_comb(mine, total))
            expected = moments_per_user(backend.asarray(placed), users=users)
            for mine, theirs in zip(comb_moments(backend.asarray(counts), total=total), expected, strict=True):
                np.testing.assert_array_equal(backend.numpy(mine), backend.numpy(theirs))

    def test_places_in_a_flat_channel_equal_sums_of_frequencies(self, rng):
        problem = numbered("A", 0.5, 1)
        assignment = rng.integers(-1, 29, (2, 6666))  # the last user has none
        assignment[0, 3:] = np.minimum(assignment[0, 3:], 3)
        assignment[0, :3] = [4, 5, 6]  # nor has a user of one subcarrier a spread
        omega, tones = problem.omega, problem.tones(assignment)
        for lane in range(2):
            for user in range(30):
                mine = omega[assignment[lane] == user]
                spread = np.sum((mine - mine.mean()) ** 2) if len(mine) else 0.0
                assert tones.spread[lane, user] == pytest.approx(spread, rel=1e-12)
                assert tones.count[lane, user] == len(mine)
        np.testing.assert_allclose(tones.rate, tones.count * problem.rate_per_subcarrier)

    def test_sums_equal_a_loop(self, backend, rng):
        values, assignment = rng.normal(size=(3, 2, 17)), rng.integers(-1, 4, (3, 17))
        counts, sums = sums_per_user(backend.asarray(values), backend.asarray(assignment), users=4)
        for user in range(4):
            mine = assignment == user
            np.testing.assert_array_equal(backend.numpy(counts)[:, user], mine.sum(axis=-1))
            expected = (values * mine[:, None, :]).sum(axis=-1)
            np.testing.assert_allclose(backend.numpy(sums)[..., user], expected, atol=1e-12)


@pytest.fixture(scope="module")
def scene():
    scenario = Mesh()
    return scenario, scenario.problem(scenario.sample(3))


class TestAction:
    def test_random_logits_use_every_subcarrier(self, scene, rng):
        """Spec mesh check 14."""
        scenario, problem = scene
        actions = rng.uniform(-1, 1, (300, 31))
        actions[:100] = np.sign(actions[:100])
        allocation = scenario.decode(actions, problem)
        np.testing.assert_array_equal(allocation.counts.sum(axis=-1), 6666)
        assert allocation.counts.min() >= 2
        np.testing.assert_array_equal(assigned_counts(allocation.assignment, users=30), allocation.counts)

    @settings(max_examples=60, deadline=None)
    @given(action=arrays(np.float64, 31, elements=st.floats(-1e6, 1e6)))
    def test_any_finite_action_decodes_to_a_valid_allocation(self, scene, action):
        scenario, problem = scene
        allocation = scenario.decode(action, problem)
        scenario.check_allocation(allocation, problem)
        assert 1e-3 <= allocation.positioning_share <= 1 - 1e-3
        assert np.isfinite(problem.utility(allocation))

    def test_the_share_reaches_both_ends_and_the_middle(self, scene):
        scenario, problem = scene
        shares = [float(scenario.decode(np.append(np.zeros(30), a), problem).positioning_share) for a in (-1, 0, 1)]
        assert shares == [pytest.approx(1e-3), pytest.approx(0.5), pytest.approx(1 - 1e-3)]

    def test_round_trip_of_a_decoded_action(self, scene, rng):
        scenario, problem = scene
        first = scenario.decode(rng.uniform(-1, 1, (100, 31)), problem)
        action = scenario.encode_allocation(first, problem)
        assert np.abs(action).max() <= 1.0
        again = scenario.decode(action, problem)
        np.testing.assert_array_equal(again.counts, first.counts)
        np.testing.assert_allclose(again.positioning_share, first.positioning_share, rtol=1e-9)

    def test_a_solution_survives_the_way_through_the_action(self):
        scenario = Mesh()
        state = scenario.sample(1)
        problem = scenario.problem(state)
        solution = GBD().solve(problem).allocation
        action = scenario.encode_allocation(solution, problem)
        near = scenario.decode(action, problem)
        np.testing.assert_array_equal(near.counts, solution.counts)
        assert problem.utility(near) == pytest.approx(float(problem.utility(solution)), rel=1e-6)

    def test_stays_on_the_device_of_the_problem(self):
        strict = pytest.importorskip("array_api_strict")
        device = strict.Device("device1")
        ones = strict.ones((2, 3), device=device)
        problem = MeshProblem(distance=5 * ones, aod=ones, aoa=ones, snr=1e3 * ones, subcarriers=90, rate_floor=1e6)
        allocation = decode(strict.zeros((2, 4), device=device), problem, logit_scale=5.0)
        assert problem.outcome(allocation).utility.device == device

    def test_bad_actions_are_named(self, scene):
        scenario, problem = scene
        for entry, place in ((4, "band of user 4"), (30, "positioning share")):
            action = np.zeros(31)
            action[entry] = np.nan
            with pytest.raises(ValueError, match=rf"action\[{entry}\] = nan: {place}"):
                scenario.decode(action, problem)
        with pytest.raises(ValueError, match=r"31 entries.*shape \(30,\)"):
            scenario.decode(np.zeros(30), problem)
        with pytest.raises(ValueError, match="real numbers"):
            scenario.decode(np.zeros(31, dtype=complex), problem)


class TestAllocationInput:
    def test_counts_alone_are_placed_as_combs(self, scene):
        scenario, problem = scene
        solution = GBD().solve(problem).allocation
        bare = solution._replace(assignment=None)
        np.testing.assert_array_equal(scenario.check_allocation(bare, problem).assignment, solution.assignment)
        assert problem.utility(bare) == problem.utility(solution)

    def test_fractions_are_rounded_on_the_air(self):
        problem = identical(3)
        allocation = MeshAllocation(np.array([1000.5, 1999.25, 3000.25]), None, np.asarray(0.2))
        np.testing.assert_array_equal(problem.on_air(allocation).counts, [1001, 1999, 3000])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"counts": np.full(30, 1.5)}, r"allocation.counts\[0\] = 1.5"),
            ({"counts": np.full(30, np.nan)}, r"whole number.*= nan"),
            ({"counts": np.full(30, 400.0)}, r"at most 6666 subcarriers together.*12000"),
            ({"counts": np.full(29, 2.0)}, r"`allocation.counts` must have shape \(30,\), got \(29,\)"),
            ({"positioning_share": np.asarray(1.5)}, r"in \[0, 1\].*1.5"),
            ({"assignment": np.full(6666, 30)}, r"a user below 30.*assignment\[0\] = 30"),
            ({"assignment": np.full(6666, 0)}, r"the number of subcarriers in `allocation.assignment`"),
        ],
    )
    def test_bad_allocations_are_named(self, scene, change, message):
        scenario, problem = scene
        allocation = GBD().solve(problem).allocation
        if "counts" in change:
            change = {"assignment": None} | change
        with pytest.raises(ValueError, match=message):
            scenario.check_allocation(allocation._replace(**change), problem)


class TestBadProblems:
    """What no allocator can work on is refused by name, what it can is solved."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"distance": [10.0, 0.0, 5.0]}, r"a user at the anchor has no direction, got distance\[1\] = 0.0"),
            (
                {"tx_antennas": 1},
                r"`tx_antennas` must be an integer of at least 2, one element has no direction, got 1",
            ),
            ({"rx_antennas": 1}, r"`rx_antennas` must be an integer of at least 2"),
            ({"beam_split": 0.0}, r"`beam_split` must lie in \(0, 1\), or the information is singular, got 0.0"),
            ({"beam_split": 1.0}, r"`beam_split`.*singular, got 1.0"),
            ({"aod": [1.0, 0.0, 1.0]}, r"away from the array's axis.*aod\[1\] = 0.0"),
            ({"snr": [1.0, np.nan, 1.0]}, r"snr\[1\] = nan"),
            ({"snr": np.ones((3, 7))}, r"`snr` must have shape \(3,\), or \(3, 6000\)"),
            ({"distance": np.ones((0, 3))}, r"at least one frame and one user, got shape \(0, 3\)"),
            ({"aoa": [1.0, 1.0]}, r"`aoa` must have the shape \(3,\)"),
            ({"rate_floor": -1.0}, r"`rate_floor` must be finite and at least 0, got rate_floor\[\] = -1.0"),
            ({"rate_floor": np.ones(2)}, r"`rate_floor` must be a scalar or broadcast to \(\)"),
            ({"positioning_weight": 1.5}, r"`positioning_weight` must be in \[0, 1\]"),
            ({"subcarriers": 5}, r"`subcarriers` must be at least 6, 2 for every user, got 5"),
            ({"objective": "max"}, r"`objective` must be sum or log, got 'max'"),
            ({"share_min": 0.6}, r"`share_min` must lie in \(0, 0.5\)"),
            ({"uniformity": 0.0}, r"`uniformity` must be finite and positive"),
        ],
    )
    def test_is_refused_by_name(self, change, message):
        with pytest.raises(ValueError, match=message):
            identical(3, **change)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"rx_antennas": 1}, r"`rx_antennas` must be an integer in \[2, 4096\], got 1"),
            ({"beam_split": 1}, r"`beam_split` must be a number in \[0.001, 0.999\], got 1"),
            ({"users": 4000}, r"`bandwidth` must hold 8000 subcarriers, 2 for each of 4000 users, got 6666"),
            ({"distance_max": 3.0}, r"`distance_max` must exceed `distance_min` = 4 m, got 3.0"),
            ({"objective": "summ"}, r"`objective` must be one of .*did you mean 'sum'"),
            ({"users": True}, r"`users` must be an integer in .*, got True"),
            ({"power": float("inf")}, r"`power` must be a number in .*, got inf"),
            ({"subcarrier_power": 0.0}, r"`subcarrier_power` must be a number in .* or None, got 0.0"),
            ({"angle_min_deg": 0.0}, r"`angle_min_deg` must be a number in \[0.1, 89.9\], got 0.0"),
            (
                {"distance_max": 1e4, "absorption_db_km": 100.0},
                r"a ratio of signal to noise from .*e-.* to .*; it must stay in",
            ),
            ({"users": 1, "least_subcarriers": 1, "bandwidth": 2e5}, r"`bandwidth` must hold 2 .* no delay, got 1"),
        ],
    )
    def test_impossible_configs_are_refused(self, fields, message):
        with pytest.raises(ValueError, match=message):
            make_scenario("mesh", **fields)

    def test_an_unknown_field_is_an_unexpected_keyword(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'user': did you mean 'users'"):
            make_scenario("mesh", user=3)

    def test_presets(self):
        assert MeshConfig.preset("A").power == pytest.approx(0.1)
        assert MeshConfig.preset("B").power == pytest.approx(1.584893e-3)  # 2 dBm
        assert MeshConfig.preset("B", users=3).users == 3
        with pytest.raises(ValueError, match="unknown preset 'C'"):
            MeshConfig.preset("C")

    def test_fixed_density_keeps_the_power_of_a_subcarrier(self):
        power = MeshConfig().power_per_subcarrier
        wide = MeshConfig(bandwidth=1.2e9, subcarrier_power=power)
        assert (wide.subcarriers, wide.power_per_subcarrier) == (8000, power)
        assert MeshConfig(bandwidth=1.2e9).power_per_subcarrier == pytest.approx(0.1 / 8000)


class TestMotion:
    def test_mirrors_by_hand(self, backend):
        values = backend.asarray(np.array([5.0, 3.0, 21.0, 37.0, 4.0, 20.0, -20.0]))
        folded, back = (backend.numpy(x) for x in reflect(values, 4.0, 20.0))
        np.testing.assert_allclose(folded, [5.0, 5.0, 19.0, 5.0, 4.0, 20.0, 12.0])
        np.testing.assert_array_equal(back, [False, True, True, False, False, False, False])

    def test_a_user_that_leaves_comes_back_along_the_mirrored_way(self):
        """From 19.8 m straight outwards: one step to 20.3 m is folded to 19.7 m, and the speed points inwards."""
        position, velocity, angle = fold_into_sector(
            np.array([[0.0, 20.3]]), np.array([[0.1, 0.5]]), distances=(4.0, 20.0), angles=(radians(30), radians(150))
        )
        np.testing.assert_allclose(position, [[0.0, 19.7]], atol=1e-12)
        np.testing.assert_allclose(velocity, [[0.1, -0.5]], atol=1e-12)
        np.testing.assert_allclose(angle, [pi / 2])

    def test_users_stay_in_the_sector_and_keep_their_statistics(self):
        scenario = Mesh(MeshConfig(users=40, speed=2.0))
        generators = [np.random.default_rng(lane) for lane in range(8)]
        state = scenario.sample(generators)
        speeds, allocation = [], scenario.fallback(scenario.problem(state))
        for _ in range(60):
            state = scenario.transition(state, allocation, stack([scenario.draw(g, state) for g in generators]))
            problem = scenario.problem(state)
            assert problem.distance.min() >= 4.0 - 1e-9
            assert problem.distance.max() <= 20.0 + 1e-9
            for angle in (problem.aod, problem.aoa):
                assert np.degrees(angle).min() >= 30 - 1e-6
                assert np.degrees(angle).max() <= 150 + 1e-6
            speeds.append(np.mean(state.velocity**2))
        assert sqrt(np.mean(speeds)) == pytest.approx(2.0, rel=0.03)

    def test_references_follow_the_frame_or_stay(self):
        for kind, moves in (("frame", True), ("reset", False)):
            scenario = Mesh(MeshConfig(references=kind))
            rng = np.random.default_rng(0)
            first = scenario.sample(rng)
            second = scenario.transition(first, scenario.fallback(scenario.problem(first)), scenario.draw(rng, first))
            assert (second.reference_error != first.reference_error) == moves
            assert scenario.problem(second).error_scale == second.reference_error

    def test_the_allocation_changes_nothing_in_the_motion(self):
        scenario = Mesh()
        state = scenario.sample(0)
        draws = scenario.draw(np.random.default_rng(1), state)
        a = scenario.transition(state, scenario.fallback(scenario.problem(state)), draws)
        b = scenario.transition(state, GBD().solve(scenario.problem(state)).allocation, draws)
        tree_map(np.testing.assert_array_equal, a, b)


class TestReward:
    def test_reward_is_the_utility_of_the_truth(self, scene):
        scenario, problem = scene
        state = scenario.sample(3)
        allocation = scenario.decode(np.linspace(-1, 1, 31), problem)
        outcome = scenario.outcome(state, allocation)
        assert outcome.utility == scenario.reward(state, allocation) == scenario.truth(state).utility(allocation)
        assert outcome.violation == problem.violation(allocation)

    def test_terms_by_hand(self):
        """Two equal users share everything: P = 1 and R = R_ref by their definition, hence F."""
        problem = identical(2, rate_floor=0.0, positioning_weight=0.3)
        allocation = MeshAllocation(np.array([3000.0, 3000.0]), None, np.asarray(0.4))
        assert problem.utility(allocation) == pytest.approx(0.3 * 0.4 + 0.7 * 0.6, rel=1e-6)
        logs = replace(problem, objective="log")
        assert logs.utility(allocation) == pytest.approx(0.3 * np.log(0.4) + 0.7 * np.log(0.6), rel=1e-6)

    def test_shortfalls_cost_what_they_lack(self):
        problem = identical(2, rate_floor=0.0)
        rate = float(problem.rate_per_subcarrier[0]) * 3000 * 0.6
        asked = replace(problem, rate_floor=1.25 * rate)
        allocation = MeshAllocation(np.array([3000.0, 3000.0]), None, np.asarray(0.4))
        assert asked.violation(allocation) == pytest.approx(2 * 0.2)
        assert problem.utility(allocation) - asked.utility(allocation) == pytest.approx(0.4)
        assert replace(asked, penalty=3.0).utility(allocation) == pytest.approx(problem.utility(allocation) - 1.2)

    @pytest.mark.parametrize("counts", [(3000.0, 3000.0), (2999.5, 3000.5), (4000.0, 3500.0), (4000.5, 3500.5)])
    def test_subcarriers_that_do_not_exist_are_a_violation(self, counts):
        problem = identical(2, rate_floor=0.0)
        allocation = MeshAllocation(np.array(counts), None, np.asarray(0.4))
        beyond = max(0.0, sum(np.floor(counts)) / problem.subcarriers - 1.0)
        assert problem.violation(allocation) == pytest.approx(beyond, abs=2e-4)
        assert problem.outcome(allocation).violation == problem.violation(allocation)
        sent = problem.on_air(allocation).assignment
        assert sent.shape == (problem.subcarriers,)
        assert sent.max() < 2

    def test_batch_equals_stacked_singles(self, rng):
        """Spec mesh check 14."""
        batch = numbered("B", 0.4, [1, 2, 3])
        scenario = Mesh(MeshConfig.preset("B", positioning_weight=0.4))
        allocation = scenario.decode(rng.uniform(-1, 1, (3, 31)), batch)
        outcome = batch.outcome(allocation)
        for lane in range(3):
            single = numbered("B", 0.4, lane + 1).outcome(take(allocation, lane))
            for a, b in zip(take(outcome, lane), single, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9)

    def test_torch_agrees_and_the_count_model_has_gradients(self):
        torch = pytest.importorskip("torch")
        plain = numbered("A", 0.5, [1, 2])
        names = ("distance", "aod", "aoa", "snr", "reference_error", "reference_rate")
        moved = replace(plain, **{name: torch.from_numpy(np.array(getattr(plain, name))) for name in names})
        allocation = GBD().solve(plain).allocation
        carried = MeshAllocation(*(torch.from_numpy(np.array(part)) for part in allocation))
        np.testing.assert_allclose(moved.utility(carried).numpy(), plain.utility(allocation), rtol=1e-12)
        np.testing.assert_allclose(moved.outcome(carried).peb.numpy(), plain.outcome(allocation).peb, rtol=1e-12)
        share = carried.positioning_share.clone().requires_grad_()
        moved.count_model.utility(carried.counts, share).sum().backward()
        h = 1e-6
        up, down = (plain.count_model.utility(allocation.counts, allocation.positioning_share + s * h) for s in (1, -1))
        np.testing.assert_allclose(share.grad.numpy(), (up - down) / (2 * h), rtol=1e-6)

    def test_single_precision_agrees_with_double(self):
        double, single = numbered("A", 0.5, 1), numbered("A", 0.5, 1, dtype="float32")
        assert single.snr.dtype == np.float32
        action = np.linspace(-0.5, 0.5, 31)
        scenario = Mesh()
        a = double.outcome(scenario.decode(action, double))
        b = single.outcome(scenario.decode(action, single))
        assert b.utility.dtype == np.float32
        np.testing.assert_array_equal(a.counts, b.counts)
        np.testing.assert_allclose(b.utility, a.utility, rtol=1e-3)
        np.testing.assert_allclose(b.peb, a.peb, rtol=1e-3)


class TestObservation:
    def test_features_by_hand(self, scene):
        scenario, problem = scene
        observed = scenario.observation(scenario.sample(3))
        assert observed.keys() == {"users", "frame"}
        assert observed["users"].shape == (30, 6)
        user = 7
        model = problem.count_model
        expected = [
            (np.log10(problem.snr[user]) - 3) / 2, problem.distance[user] / 20, np.cos(problem.aod[user]),
            np.cos(problem.aoa[user]), np.log10(model.information[user] * 6666 / 30) / 2,
            model.rate[user] * 6666 / (30 * problem.rate_scale),
        ]  # fmt: skip
        np.testing.assert_allclose(observed["users"][user], expected, rtol=1e-5)
        frame = [100e6 / problem.rate_scale, model.share_max]
        np.testing.assert_allclose(observed["frame"], frame, rtol=1e-6)

    @pytest.mark.parametrize("preset", ["A", "B"])
    def test_numbers_are_bounded_and_of_order_one(self, preset):
        scenario = Mesh(MeshConfig.preset(preset))
        state = scenario.sample(range(20))
        observed = scenario.observation(state)
        for name, spec in scenario.observation_spec.items():
            assert observed[name].dtype == np.float32
            assert observed[name].shape == (20, *spec.shape)
            assert np.isfinite(observed[name]).all()
            assert np.abs(observed[name]).max() < 2.0

    def test_flat_view_holds_the_same_numbers(self):
        dicts, flat = Mesh(), Mesh(MeshConfig(observation="flat"))
        draws = dicts.draw_initial(np.random.default_rng(0))
        parts, row = dicts.observation(dicts.initial(draws)), flat.observation(flat.initial(draws))
        assert row.shape == flat.observation_spec.shape == (182,)
        np.testing.assert_array_equal(row, np.append(parts["users"].ravel(), parts["frame"]))

    def test_an_infeasible_frame_is_observed_within_the_bounds(self):
        scenario = Mesh(MeshConfig(rate_floor=1e10))
        observed = scenario.observation(scenario.sample(0))
        assert observed["frame"][1] == -1.0
        assert np.abs(observed["frame"]).max() <= 4.0


def test_problem_is_constructible_from_lists():
    problem = MeshProblem(distance=[5.0, 8.0], aod=[1.0, 2.0], aoa=[1.5, 1.0], snr=[1e3, 5e2], subcarriers=100,
                          rate_floor=1e6)  # fmt: skip
    assert problem.batch == ()
    assert GBD().solve(problem).allocation.counts.sum() == 100
