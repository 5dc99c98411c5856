"""The allocation problem: rates, utility, violation, relaxation, regrouping, and what it refuses."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from jcas_baselines import ADMM, EqualAllocation, Exact
from support import reference
from support.backends import convert, convert_allocation, to_numpy
from support.scenes import EQUAL, PLAIN, static

from jcas_env import MultiCellAllocation, MultiCellProblem, RelaxedProblem
from jcas_env.physics.rates import data_rate, interference, positioning_rate, sinr


@pytest.fixture
def plain():
    return MultiCellProblem(**PLAIN)


class TestRates:
    def test_first_user_by_hand(self, plain):
        # Own 2.5 W * 1e-8 = 25 nW; group mate 2.5 W * 1e-9 = 2.5 nW; the other cell 10 W * 1e-10 over 10 MHz, of
        # which the group hears 5 MHz: 0.5 nW; noise 5 MHz * 2e-20 = 1e-13 W.
        rate, positioning = plain.rates(EQUAL)
        x = 25e-9 / (2.5e-9 + 0.5e-9 + 1e-13)
        assert rate[0] == pytest.approx(5e6 * np.log2(1 + x))
        assert positioning[0] == pytest.approx(2.5e6 * np.log2(1 + 5.0 * x))
        np.testing.assert_allclose(
            plain.utility(EQUAL), (0.5 * rate[:2].sum() + rate[2] + 0.5 * positioning[:2].sum() + positioning[2]) / 2e6
        )

    @pytest.mark.parametrize("noise", ["per_hertz", "constant"])
    def test_equal_the_loop_on_every_backend(self, backend, noise):
        scene = static(1, users_per_cell=4, noise=noise)
        truth = scene.truth
        allocation = EqualAllocation(per="group", power="proposed").solve(scene.problem).allocation
        converted = convert(truth, backend.name)
        rate, positioning = (to_numpy(x) for x in converted.rates(convert_allocation(allocation, backend.name)))
        expected = reference.rates(
            allocation.power[0],
            allocation.bandwidth[0],
            truth.gain[0],
            truth.cell[0],
            truth.group[0],
            truth.sensing_gain[0],
            truth.noise_density,
            truth.band_budget,
            noise,
        )
        np.testing.assert_allclose(rate[0], expected[0], rtol=1e-11)
        np.testing.assert_allclose(positioning[0], expected[1], rtol=1e-11)

    def test_a_band_of_zero_width_carries_nothing(self):
        zero = np.zeros((2, 1))
        level = interference(zero, zero, np.ones((1, 1)), np.zeros(1, int), np.zeros(1, int), noise_density=1e-20,
                             band_budget=1e7)  # fmt: skip
        x = sinr(np.ones((2, 1)), np.ones((1, 1)), level)
        assert data_rate(zero, x).max() == 0.0
        assert positioning_rate(zero, x, np.ones(1)).max() == 0.0

    def test_fair_utility_is_the_mean_logarithm_with_a_floor(self, plain):
        fair = replace(plain, reward="fair")
        rate, positioning = (r / 1e6 for r in plain.rates(EQUAL))
        logs = np.log(rate) + np.log(positioning)
        assert fair.utility(EQUAL) == pytest.approx((0.5 * (logs[0] + logs[1]) + logs[2]) / 2)
        silent = EQUAL._replace(power=np.zeros((2, 3)))
        assert fair.utility(silent) == pytest.approx(2 * np.log(1e-6))

    def test_scaling_power_tenfold_moves_mrt_less_than_zf(self):
        """Spec multicell check 20."""
        rise = {}
        for precoder in ("mrt", "zf"):
            utility = []
            for power in (1.0, 10.0):
                scene = static(8, ue_antennas=18, precoder=precoder, power_budget=power)
                utility.append(scene.truth.utility(ADMM().solve(scene.problem).allocation).mean())
            rise[precoder] = utility[1] / utility[0]
        assert 1.0 < rise["mrt"] < 1.1 < rise["zf"]

    def test_utility_broadcasts_over_candidates_and_scenes(self):
        scene = static(3, users_per_cell=4)
        shares = np.linspace(0.2, 0.8, 5)[:, None, None]
        relaxed = scene.problem.relaxed(positioning_share=np.broadcast_to(shares, (5, 3, 3)))
        allocation = scene.problem.assemble(
            Exact().solve_relaxed(relaxed).allocation, np.broadcast_to(shares, (5, 3, 3))
        )
        utility = scene.truth.utility(allocation)
        assert utility.shape == (5, 3)
        one = MultiCellAllocation(allocation.power[2, 1], allocation.bandwidth[2, 1], allocation.group[2, 1])
        lane = static(1, seed=1, users_per_cell=4).truth
        assert lane.utility(one)[0] == pytest.approx(utility[2, 1], rel=1e-9)


class TestTorch:
    def test_reward_through_torch_equals_numpy_and_its_gradient_finite_differences(self):
        """Spec learning check 6 (1e-10 and 1e-6)."""
        scene = static(2, users_per_cell=4)
        truth, action = convert(scene.truth, "torch"), torch.zeros(2, 51, dtype=torch.float64, requires_grad=True)
        free = replace(truth, positioning_share=float("nan"))
        known = replace(convert(scene.problem, "torch"), positioning_share=float("nan"))

        def reward(a):
            return free.utility(scene.scenario.decode(a, known))

        plain_known = replace(scene.problem, positioning_share=float("nan"))
        plain = replace(scene.truth, positioning_share=float("nan"))
        expected = plain.utility(scene.scenario.decode(np.zeros((2, 51)), plain_known))
        np.testing.assert_allclose(reward(action).detach().numpy(), expected, rtol=1e-10)
        reward(action).sum().backward()
        h = 1e-5
        for entry in (0, 5, 14, 27, 48, 50):
            step = torch.zeros(2, 51, dtype=torch.float64)
            step[0, entry] = h
            slope = (reward(step) - reward(-step))[0].item() / (2 * h)
            assert action.grad[0, entry].item() == pytest.approx(slope, rel=1e-6, abs=1e-8)

    def test_a_whole_slot_runs_on_torch_and_agrees(self):
        from jcas_env.tree import tree_map

        scene = static(2, users_per_cell=4, csi_delay=1)
        scenario, state = scene.scenario, scene.state
        rng = [np.random.default_rng(7 + i) for i in range(2)]
        from jcas_env.tree import stack

        innovation = stack([scenario.draw(r, state) for r in rng])

        def torched(tree):
            return tree_map(lambda x: torch.from_numpy(np.array(x)), tree)

        allocation = scenario.decode(np.zeros((2, 51)), scenario.problem(state))
        expected = scenario.transition(state, allocation, innovation)
        got = scenario.transition(torched(state), torched(allocation), torched(innovation))
        np.testing.assert_allclose(to_numpy(got.air.channel), expected.air.channel, rtol=1e-10)
        np.testing.assert_allclose(to_numpy(got.csi.gain), expected.csi.gain, rtol=1e-6, atol=1e-18)
        np.testing.assert_array_equal(to_numpy(got.csi.group), expected.csi.group)
        seen = scenario.observation(got)
        for name, part in scenario.observation(expected).items():
            np.testing.assert_allclose(to_numpy(seen[name]), part, atol=1e-5)


class TestViolation:
    def test_a_feasible_allocation_has_none(self, plain):
        assert plain.violation(EQUAL) == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"power": np.array([[3.5, 2.5, 5.0], [2.5, 2.5, 5.0]])}, 0.1),  # 6 W of 5 W, over 10 W
            ({"bandwidth": np.array([[6e6, 6e6, 5e6], [5e6, 5e6, 5e6]])}, 0.1),
            ({"power": np.array([[0.05, 2.5, 5.0], [2.5, 2.5, 5.0]])}, 0.005),  # 0.05 W below the floor
            ({"bandwidth": np.array([[5e6, 4e6, 5e6], [5e6, 5e6, 5e6]])}, 0.1),  # one group, two bands
        ],
    )
    def test_each_constraint_is_measured_against_the_budget(self, plain, change, expected):
        assert plain.violation(EQUAL._replace(**change)) == pytest.approx(expected)

    def test_a_free_share_must_be_the_same_for_power_and_band(self, plain):
        free = replace(plain, positioning_share=float("nan"))
        assert free.violation(EQUAL) == pytest.approx(0.0, abs=1e-12)
        split = EQUAL._replace(power=np.array([[4.0, 4.0, 8.0], [1.0, 1.0, 2.0]]))
        assert free.violation(split) == pytest.approx(0.3)  # 0.8 of the power and 0.5 of the band for positioning
        same = split._replace(bandwidth=np.array([[8e6] * 3, [2e6] * 3]))
        assert free.violation(same) == pytest.approx(0.0, abs=1e-12)
        assert plain.violation(same) == pytest.approx(0.3)

    def test_bands_in_single_precision_are_summed_in_double(self):
        """Three groups of 1666666.75 Hz are 0.25 Hz above half of 10 MHz; in single precision 0 or 0.5 Hz."""
        numbers = {name: np.asarray(value, np.float32) for name, value in PLAIN.items() if isinstance(value, list)}
        labels = {"cell": np.zeros(3, int), "group": np.arange(3)}
        problem = MultiCellProblem(**(PLAIN | numbers | labels))
        band = np.full((2, 3), 1666666.75, np.float32)
        allocation = MultiCellAllocation(np.ones((2, 3), np.float32), band, labels["group"])
        violation = problem.violation(allocation)
        assert violation == pytest.approx(2.5e-8, rel=1e-6)
        assert violation.dtype == np.float64

    def test_a_nan_allocation_has_a_nan_violation(self, plain):
        assert np.isnan(plain.violation(EQUAL._replace(power=np.full((2, 3), np.nan))))


class TestRelaxed:
    @pytest.mark.parametrize("noise", ["constant", "per_hertz"])
    @pytest.mark.parametrize("intercell", ["printed", "bound"])
    def test_coefficients_equal_the_loop(self, noise, intercell):
        scene = static(1, users_per_cell=4, intercell=intercell)
        problem = MultiCellProblem(
            **{
                item.name: value[0] if isinstance(value, np.ndarray) and value.ndim > 1 else value
                for item in fields(scene.problem)
                if item.name not in ("beam_channel", "air_channel")
                for value in [getattr(scene.problem, item.name)]
            }
        )
        relaxed = problem.relaxed(positioning_share=0.3, noise=noise)
        expected = reference.relaxed_coefficients(problem, 0.3, noise)
        np.testing.assert_allclose(relaxed.coefficient, expected.reshape(2, 3, 4).transpose(1, 0, 2), rtol=1e-11)
        np.testing.assert_allclose(relaxed.power_floor, [[0.01 / 0.7, 0.01 / 0.3]] * 3)

    def test_unequal_cells_are_padded_and_come_back(self, plain):
        relaxed = plain.relaxed()
        assert relaxed.coefficient.shape == (2, 2, 2)
        np.testing.assert_array_equal(relaxed.group[:, 0], [[0, 0], [0, -1]])
        solution = Exact().solve(plain)
        assert plain.violation(solution.allocation) < 1e-12
        np.testing.assert_allclose(solution.allocation.power[:, 2], 5.0)
        np.testing.assert_allclose(solution.allocation.bandwidth, 5e6)

    def test_a_free_share_has_to_be_given(self, plain):
        with pytest.raises(ValueError, match=r"positioning_share.*NaN"):
            replace(plain, positioning_share=float("nan")).relaxed()

    def test_malformed_relaxed_problems_are_refused(self):
        good = {"weight": [0.5, 0.5], "coefficient": [1.0, 2.0], "group": [0, 1], "power_floor": 0, "band_floor": 0}
        RelaxedProblem(**good)
        for change, message in (
            ({"weight": [0.5, -0.5]}, r"weight\[1\] = -0.5"),
            ({"coefficient": [1.0, np.nan]}, r"coefficient\[1\] = nan"),
            ({"group": [0, 1, 1]}, "group.*shape"),
            ({"group": np.array([0.0, 1.0])}, "integers"),
            ({"band_floor": -0.1}, "band_floor.*-0.1"),
        ):
            with pytest.raises(ValueError, match=message):
                RelaxedProblem(**(good | change))


class TestRegroup:
    def test_other_groups_and_the_same_gains_under_mrt(self):
        scene = static(2, users_per_cell=6)
        one = scene.problem.regroup(1.01)
        assert one.group.max() == 0
        assert one.gain is scene.problem.gain
        many = scene.problem.regroup(1e-9)
        np.testing.assert_array_equal(many.groups, 6)
        np.testing.assert_array_equal(scene.problem.regroup(np.array([1.01, 1e-9, 1.01])).groups[0, ::6], [1, 6, 1])

    def test_zf_beams_follow_the_groups_that_are_transmitted(self):
        """DESIGN 7.4: the truth recomputes the beams of an allocation that was made for other groups."""
        scene = static(3, users_per_cell=6, precoder="zf", csi_nmse=0.05)
        other = scene.problem.regroup(0.1)
        allocation = Exact().solve(other).allocation
        expected = scene.truth.regrouped(other.group)
        assert np.abs(expected.gain - scene.truth.gain).max() > 0
        np.testing.assert_allclose(scene.truth.utility(allocation), expected.utility(allocation), rtol=1e-12)
        # On the known channel the new beams null the new groups.
        mates = (other.cell[..., :, None] == other.cell[..., None, :]) & (
            other.group[..., :, None] == other.group[..., None, :]
        )
        leak = np.where(mates & ~np.eye(18, dtype=bool), other.gain, 0.0)
        assert leak.max() < 1e-15 * other.gain.max()

    def test_needs_correlations_and_a_positive_threshold(self, plain):
        with pytest.raises(ValueError, match="correlation"):
            plain.regroup(0.3)
        with pytest.raises(ValueError, match=r"threshold.*positive, got 0"):
            static(1, users_per_cell=3).problem.regroup(0)

    @pytest.mark.parametrize(
        ("group", "message"),
        [
            (np.zeros(2, int), r"`group` must end in axes \(3,\), got shape \(2,\)"),
            (np.array([0.0, 0.5, 0.0]), "`group` must hold integers, got float64"),
            (np.zeros(3), "`group` must hold integers, got float64"),
            (np.array([0, -1, 0]), r"`group` must be at least 0, got group\[1\] = -1"),
        ],
    )
    def test_labels_are_checked(self, plain, group, message):
        with pytest.raises(ValueError, match=message):
            plain.regrouped(group)

    def test_zf_refuses_labels_of_an_allocation_as_well(self):
        problem = static(1, users_per_cell=2, precoder="zf").problem
        allocation = EqualAllocation().solve(problem).allocation
        with pytest.raises(ValueError, match="`group` must hold integers, got float64"):
            problem.utility(allocation._replace(group=allocation.group + 0.5))
        with pytest.raises(ValueError, match=r"`group` must end in axes \(6,\), got shape \(1, 2\)"):
            problem.utility(allocation._replace(group=allocation.group[:, :2]))


class TestRefusals:
    def test_numbers_that_fit_neither_scalar_nor_cells_are_named(self):
        with pytest.raises(ValueError, match=r"`noise_density` must be a scalar or broadcast to \(2,\).*\(3,\)"):
            MultiCellProblem(**(PLAIN | {"noise_density": [1e-20] * 3}))

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("gain", [[1.0, np.nan], [0.0, 1.0]], r"gain.*finite.*\[0, 1\] = nan"),
            ("leakage", [1.0, 2.0], "leakage.*3"),
            ("cell", [0.0, 1.0, 1.5], None),
            ("group", [0, -1, 0], r"group\[1\] = -1"),
            ("power_budget", 0.0, "power_budget.*positive"),
            ("band_budget", np.inf, "band_budget.*finite"),
            ("power_floor", -1.0, "power_floor.*at least 0"),
            ("noise_density", np.nan, "noise_density"),
            ("positioning_share", 1.0, r"positioning_share.*\(0, 1\)"),
            ("service_weight", [1.0, -1.0], r"service_weight\[1\] = -1.0"),
            ("weight", [0.5, -0.5, 1.0], r"weight\[1\] = -0.5"),
            ("last_power", [1.0, 2.0, 3.0], "last_power"),
            ("cell_count", 1, r"`cell` must be below the number of cells, 1, got cell\[2\] = 1"),
            ("reward", "speed", r"`reward` must be one of \['rate', 'fair', 'delay', 'drain'\], got 'speed'"),
            ("noise", "white", "`noise` must be one of"),
            ("intercell", "none", "`intercell` must be one of"),
            ("precoder", "svd", "`precoder` must be one of"),
        ],
    )
    def test_malformed_fields_are_named(self, field, value, message):
        if field == "cell":
            value, message = np.array(value), "cell.*integers"
        with pytest.raises(ValueError, match=message):
            MultiCellProblem(**(PLAIN | {field: value}))

    def test_a_batch_of_no_slots_is_refused(self):
        problem = static(1, users_per_cell=2).problem
        none = {name: getattr(problem, name)[:0] for name in ("gain", "leakage", "sensing_gain", "cell", "group")}
        with pytest.raises(ValueError, match=r"`gain` must hold at least one slot and one user, got shape \(0, 6, 6\)"):
            replace(problem, **none)

    def test_numbers_per_cell_and_per_lane_are_told_apart(self):
        scene = static(3, users_per_cell=4)
        per_lane = replace(scene.problem, positioning_share=np.array([[0.3], [0.5], [0.7]]))
        np.testing.assert_allclose(per_lane.share, [[0.3] * 3, [0.5] * 3, [0.7] * 3])
        per_cell = replace(scene.problem, power_budget=np.array([5.0, 10.0, 20.0]))
        allocation = Exact().solve(per_cell).allocation
        np.testing.assert_allclose(per_cell.cell_sum(allocation.power.sum(axis=-2)), [[5.0, 10.0, 20.0]] * 3)
        assert per_cell.violation(allocation).max() < 1e-12
