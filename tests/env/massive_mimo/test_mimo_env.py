"""The tracking task: adapters, dynamics, actions, observation, rewards, planning rules and the clairvoyant bound."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jcas_agents import evaluate
from jcas_baselines import SCA, ConstantShare, EqualAllocation, Exact, ExactPerFrame, LeastSensing, Myopic
from jcas_baselines.massive_mimo.clairvoyant import clairvoyant
from jcas_baselines.massive_mimo.closed_form import share_grid
from support.mimo import case, frames, layouts, random_problem

from jcas_env import MassiveMIMO, MassiveMIMOAllocation, MassiveMIMOConfig, MassiveMIMOProblem
from jcas_env.scenarios.massive_mimo.action import decode, split
from jcas_env.tree import stack, take, tree_map

ID = "jcas/MassiveMIMO-v0"
SMALL = {"users": 3, "tx_antennas": 8, "rx_antennas": 8, "horizon": 4}
SIZE = 5


def make(**fields):
    return gym.make(ID, **(SMALL | fields))


def play(config, lanes, slots, action=None, seed=0):
    """States at every decision and outcomes, with a constant action or at half share."""
    scenario = MassiveMIMO(config)
    generators = [np.random.default_rng(seed + lane) for lane in range(lanes)]
    state = scenario.sample(generators)
    action = np.zeros(scenario.action_size) if action is None else action
    states, outcomes = [state], []
    for _ in range(slots):
        allocation = scenario.decode(np.broadcast_to(action, (lanes, len(action))), scenario.problem(state))
        outcomes.append(scenario.outcome(state, allocation))
        state = scenario.transition(state, allocation, stack([scenario.draw(rng, state) for rng in generators]))
        states.append(state)
    return scenario, states, outcomes


class TestEnvironment:
    def test_gymnasiums_checker_passes_on_the_share_action(self):
        check_env(make(action="share").unwrapped)

    def test_reward_is_the_utility_on_the_truth_and_info_is_complete(self):
        env = make().unwrapped
        env.reset(seed=1)
        allocation = Exact().solve(replace(env.problem, crb_limit=np.inf)).allocation
        truth = env.truth
        _, reward, _, _, info = env.step_allocation(allocation)
        assert reward == float(truth.utility(allocation))
        np.testing.assert_allclose(info["rate"], truth.rates(allocation))
        assert info["crb"] == truth.crb(allocation)
        assert info["violation"] < 1e-12
        names = {"rate", "utility", "violation", "crb", "crb_min", "feasible", "variance", "beam_error"}
        assert set(info) == names | {"sensing_share", "cost"}
        assert all(isinstance(value, np.ndarray | np.generic | bool) for value in info.values())
        assert (info["feasible"].shape, info["feasible"].dtype) == ((), bool)

    def test_malformed_actions_and_allocations_are_named(self):
        env = make().unwrapped
        env.reset(seed=0)
        for entry, place in ((1, "stream of user 1"), (3, "sensing share"), (4, "total power")):
            with pytest.raises(ValueError, match=rf"action\[{entry}\] = nan: {place}"):
                env.step(np.where(np.arange(SIZE) == entry, np.nan, 0.0))
        with pytest.raises(ValueError, match=r"5 entries.*shape \(4,\)"):
            env.step(np.zeros(4))
        with pytest.raises(ValueError, match="real numbers"):
            env.step(np.zeros(SIZE, dtype=complex))
        good = MassiveMIMOAllocation(np.full(3, 0.01), np.asarray(0.01))
        for bad, message in (
            (good._replace(power=np.array([0.01, -1.0, 0.0])), r"allocation.power\[1\] = -1.0"),
            (good._replace(power=np.zeros(4)), r"`allocation.power` must have shape \(3,\), got \(4,\)"),
            (good._replace(sensing_power=np.asarray(np.nan)), r"`allocation.sensing_power` must be finite.*= nan"),
        ):
            with pytest.raises(ValueError, match=message):
                env.step_allocation(bad)

    def test_an_allocation_that_breaks_the_budget_is_reported(self):
        env = make().unwrapped
        env.reset(seed=0)
        info = env.step_allocation(MassiveMIMOAllocation(np.full(3, 0.0625), np.asarray(0.0625)))[4]
        assert info["violation"] == pytest.approx(1.0)  # 8 antennas x 0.25 W of a budget of 1 W

    def test_single_precision_runs_and_stays_close(self):
        results = []
        for dtype in ("float64", "float32"):
            env = make(dtype=dtype).unwrapped
            env.reset(seed=3)
            assert env.state.distance.dtype == dtype
            results.append(env.step_allocation(LeastSensing().solve(env.problem).allocation)[1])
        assert results[1] == pytest.approx(results[0], rel=1e-3)


class TestActions:
    @settings(max_examples=60, deadline=None)
    @given(action=arrays(np.float64, 6, elements=st.floats(-1e6, 1e6)))
    def test_any_finite_action_keeps_the_budget(self, action):
        scenario, state = frames(1, preset="default")
        problem = scenario.problem(state)
        allocation = scenario.decode(action[None], problem)
        assert problem.violation(allocation).max() < 1e-12
        assert (allocation.power >= 0).all()

    def test_ends_of_the_box_reach_the_ends_of_the_range(self):
        scenario, state = frames(1, preset="default")
        problem = scenario.problem(state)
        total = problem.largest_total[0]
        for share, power, sensing, radiated in (
            (-1, 1, 0.0, total),
            (1, 1, total, total),
            (0, 0, total / 4, total / 2),
        ):
            got = scenario.decode(np.array([[0, 0, 0, 0, share, power]]), problem)
            assert got.sensing_power[0] == pytest.approx(sensing)
            assert got.power.sum() + got.sensing_power[0] == pytest.approx(radiated)
            np.testing.assert_allclose(got.power, got.power[:, :1] + np.zeros(4))
        silent = scenario.decode(np.array([[0, 0, 0, 0, 1, -1]]), problem)
        assert silent.sensing_power[0] == 0.0

    def test_the_encoded_exact_optimum_decodes_to_itself(self):
        """Spec mimo check 14, where all p_k > 0: 1e-6."""
        problem = layouts(400, snr_com_db=35.0, snr_sen_db=-12.0)
        scenario, _ = frames(1)
        allocation = Exact().solve(problem).allocation
        whole = (allocation.power > 1e-4 * problem.largest_total[:, None]).all(axis=-1)
        assert whole.sum() > 20
        action = scenario.encode_allocation(allocation, problem)
        assert np.abs(action).max() <= 1.0
        again = scenario.decode(action, problem)
        for a, b in zip(again, allocation, strict=True):
            np.testing.assert_allclose(a[whole], b[whole], rtol=1e-6)

    @pytest.mark.parametrize("kind", ["full", "share"])
    def test_round_trip_of_a_decoded_action(self, kind, rng):
        scenario, state = frames(200, preset="default", action=kind)
        problem = scenario.problem(state)
        first = scenario.decode(rng.uniform(-1, 1, (200, scenario.action_size)), problem)
        again = scenario.decode(scenario.encode_allocation(first, problem), problem)
        for a, b in zip(again, first, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)

    def test_the_share_action_is_full_power_and_water_filled(self):
        scenario, state = frames(20, preset="default", action="share")
        problem = scenario.problem(state)
        got = scenario.decode(np.zeros((20, 1)), problem)
        expected = split(problem, np.full(20, 0.5))
        np.testing.assert_allclose(got.power, expected.power, rtol=1e-12)
        assert (problem.utility(got) >= problem.utility(expected) - 1e-12).all()

    def test_full_power_is_best_without_an_energy_budget(self, rng):
        """The scaling argument of spec mimo 3, on the rewards that price the bound."""
        for reward in ("tracking", "frame", "constrained"):
            scenario, state = frames(50, preset="default", reward=reward)
            problem = scenario.problem(state)
            action = rng.uniform(-1, 1, (50, 6))
            values = []
            for power in np.linspace(-1, 1, 9):
                action[:, -1] = power
                values.append(problem.utility(scenario.decode(action, problem)))
            assert (np.diff(values, axis=0) >= -1e-12).all()

    @pytest.mark.parametrize("kind", ["full", "share"])
    def test_stays_on_the_device_of_the_problem(self, kind):
        strict = pytest.importorskip("array_api_strict")
        device = strict.Device("device1")
        ones = strict.ones((5, 4), device=device)
        frame = strict.ones((5,), device=device)
        problem = MassiveMIMOProblem(ones, 0.1 * ones, frame, frame, frame, frame, 15, 15)
        action = strict.zeros((5, 6 if kind == "full" else 1), device=device)
        allocation = decode(action, problem, kind=kind, logit_scale=5.0)
        assert problem.utility(allocation).device == device


class TestObservation:
    def test_holds_what_the_problem_knows_and_not_the_target(self):
        scenario, state = frames(30, preset="default")
        seen, problem = scenario.observation(state), scenario.problem(state)
        assert seen.dtype == np.float32
        assert seen.shape == (30, 13)
        np.testing.assert_allclose(seen[:, :4], (np.log10(problem.large_scale_gain) + 1.5) / 2, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(seen[:, 4:8], problem.estimate_variance / problem.large_scale_gain, rtol=1e-5)
        np.testing.assert_allclose(seen[:, 8], np.sin(state.estimate), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(seen[:, 9], 0.0, atol=1e-6)  # V = V_max at first
        np.testing.assert_allclose(10 ** (3 * seen[:, 10]), 1.0 / problem.echo_noise, rtol=1e-4)
        np.testing.assert_allclose(seen[:, 11:], [[20 / 30, 1.0]] * 30, rtol=1e-6)
        moved = scenario.observation(state._replace(angle=state.angle + 0.3))
        np.testing.assert_array_equal(moved, seen)

    def test_stays_inside_its_bounds_even_for_a_certain_angle(self):
        scenario, state = frames(50, drift_deg=0.0)
        seen = scenario.observation(state)
        spec = scenario.observation_spec
        assert np.isfinite(seen).all()
        assert np.abs(seen).max() <= spec.high

    def test_truth_and_knowledge_differ_in_the_target_alone(self):
        scenario, state = frames(5, preset="default")
        known, truth = scenario.problem(state), scenario.truth(state)
        np.testing.assert_array_equal(known.target_angle, state.estimate)
        np.testing.assert_array_equal(truth.target_angle, state.angle)
        np.testing.assert_array_equal(truth.beam_angle, known.beam_angle)
        np.testing.assert_array_equal(truth.large_scale_gain, known.large_scale_gain)


class TestDynamics:
    """Spec mimo check 14."""

    def test_batch_equals_stacked_singles_and_seeds_decide(self):
        config = MassiveMIMOConfig()
        _, batch, _ = play(config, 3, 4)
        for lane in range(3):
            _, single, _ = play(config, 1, 4, seed=lane)
            for a, b in zip(batch, single, strict=True):
                tree_map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), take(a, lane), take(b, 0))
        _, again, _ = play(config, 3, 4)
        tree_map(np.testing.assert_array_equal, batch[-1], again[-1])
        _, other, _ = play(config, 3, 4, seed=100)
        assert (np.abs(other[-1].angle - batch[-1].angle) > 1e-6).all()

    def test_variance_falls_every_frame_without_drift(self):
        _, states, _ = play(MassiveMIMOConfig(drift_deg=0.0, variance_limit=1e-4), 20, 20)
        variance = np.stack([state.variance for state in states])
        assert (np.diff(variance, axis=0) < 0).all()

    def test_the_first_frame_has_not_moved_yet(self):
        """Spec mimo 7.1: V^- = V in frame 0, V + q^2 later."""
        scenario, states, _ = play(MassiveMIMOConfig(), 2, 2)
        np.testing.assert_array_equal(scenario.prior_variance(states[0]), states[0].variance)
        q = np.radians(1.5)
        np.testing.assert_allclose(scenario.prior_variance(states[1]), states[1].variance + q**2)

    def test_one_frame_by_hand(self):
        """Kalman gain V^-/(V^- + CRB), posterior 1/(1/V^- + 1/CRB), AR(1) of the gains, step of the target."""
        scenario, state = frames(1, preset="default")
        allocation = split(scenario.problem(state), np.array([0.5]))
        crb = scenario.truth(state).crb(allocation)
        innovation = scenario.draw(np.random.default_rng(9), state)
        innovation = tree_map(lambda leaf: leaf[None], innovation)
        after = scenario.transition(state, allocation, innovation)
        gain = 1e-3 / (1e-3 + crb)
        measured = state.angle + np.sqrt(crb) * innovation.measurement
        np.testing.assert_allclose(after.estimate, state.estimate + gain * (measured - state.estimate))
        np.testing.assert_allclose(after.variance, 1.0 / (1.0 / 1e-3 + 1.0 / crb))
        np.testing.assert_allclose(after.angle, state.angle + np.radians(1.5) * innovation.angle)
        expected = 0.95 * state.shadowing_db + np.sqrt(1 - 0.95**2) * 8.0 * innovation.shadowing
        np.testing.assert_allclose(after.shadowing_db, expected)
        np.testing.assert_allclose(after.echo_db, 0.9 * state.echo_db + np.sqrt(0.19) * 6.0 * innovation.echo)

    def test_without_information_the_tracker_coasts(self):
        scenario, state = frames(4, preset="default")
        silent = MassiveMIMOAllocation(np.zeros((4, 4)), np.zeros(4))
        innovation = stack([scenario.draw(np.random.default_rng(lane), state) for lane in range(4)])
        after = scenario.transition(state, silent, innovation)
        np.testing.assert_array_equal(after.estimate, state.estimate)
        np.testing.assert_array_equal(after.variance, state.variance)
        outcome = scenario.outcome(state, silent)
        assert np.isinf(outcome.crb).all()
        assert (outcome.rate == 0).all()
        assert np.isfinite(outcome.utility).all()

    def test_long_run_deviations_of_gains_and_echo(self):
        """8 dB and 6 dB within 5 %, at the start and after 60 frames; angles stay within the limit."""
        _, states, _ = play(MassiveMIMOConfig(), 1500, 60)
        for state in (states[0], states[-1]):
            assert np.std(state.shadowing_db) == pytest.approx(8.0, rel=0.05)
            assert np.std(state.echo_db) == pytest.approx(6.0, rel=0.05)
        assert max(np.abs(state.angle).max() for state in states) <= 1.2
        assert np.abs(states[0].angle).max() <= 0.7

    def test_users_are_uniform_over_the_area(self):
        """Median distance: half of the annulus lies within sqrt((100^2 + 500^2)/2) = 360.6 m."""
        _, state = frames(1500)
        assert state.distance.min() >= 100.0
        assert state.distance.max() <= 500.0
        assert np.median(state.distance) == pytest.approx(360.6, rel=0.02)

    def test_the_tracker_is_consistent(self):
        """Mean squared innovation over V^- + CRB in [.9, 1.1] while the beam is within a quarter beamwidth.

        A slow target, whose error stays within it without being selected.
        """
        scenario, state = frames(400, preset="default", drift_deg=0.3, initial_variance=1e-4)
        generators = [np.random.default_rng(1000 + lane) for lane in range(400)]
        ratios = []
        for _ in range(25):
            problem = scenario.problem(state)
            allocation = split(problem, np.full(400, 0.5))
            crb = scenario.truth(state).crb(allocation)
            drawn = stack([scenario.draw(rng, state) for rng in generators])
            innovation = state.angle + np.sqrt(crb) * drawn.measurement - state.estimate
            near = np.abs(state.estimate - state.angle) < 1.0 / 30.0
            ratios.append((innovation**2 / (problem.prior_variance + crb))[near])
            state = scenario.transition(state, allocation, drawn)
        assert sum(map(len, ratios)) > 0.95 * 25 * 400
        assert 0.9 <= np.concatenate(ratios).mean() <= 1.1

    def test_energy_is_spent_and_then_nothing_is_left(self):
        config = MassiveMIMOConfig(energy_budget=0.25, horizon=8)
        full = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
        scenario, states, outcomes = play(config, 2, 4, action=full)
        np.testing.assert_allclose([state.energy[0] for state in states], [2.0, 1.0, 0.0, 0.0, 0.0], atol=1e-12)
        np.testing.assert_allclose(
            [scenario.observation(state)[0, -1] for state in states], [1, 0.5, 0, 0, 0], atol=1e-6
        )
        assert (outcomes[1].rate > 0).any()
        np.testing.assert_allclose(outcomes[2].rate, 0.0, atol=1e-12)
        for solver in (Myopic(), LeastSensing(), ExactPerFrame(), ConstantShare()):
            empty = solver.solve(scenario.problem(states[-1])).allocation
            assert all(np.abs(part).max() < 1e-12 for part in empty)

    def test_differentiable_in_torch(self, rng):
        """The reward's gradient with respect to the action against central differences."""
        torch = pytest.importorskip("torch")
        scenario, state = frames(3, preset="default")
        action = rng.uniform(-0.8, 0.8, (3, 6))

        def reward(values, at):
            return scenario.reward(at, scenario.decode(values, scenario.problem(at)))

        twin = tree_map(torch.from_numpy, state)
        variable = torch.from_numpy(action).requires_grad_()
        total = reward(variable, twin)
        np.testing.assert_allclose(total.detach().numpy(), reward(action, state), rtol=1e-10)
        total.sum().backward()
        for entry in range(6):
            e = 1e-6 * np.eye(6)[entry]
            slope = (reward(action + e, state) - reward(action - e, state)) / 2e-6
            np.testing.assert_allclose(variable.grad[:, entry].numpy(), slope, rtol=1e-5, atol=1e-6)


class TestRewards:
    def test_forms_by_hand(self):
        """Spec mimo 7: V = 1/(1/V^- + I), prices in decades above the limit."""
        base = case(prior_variance=2e-3, variance_limit=1e-4, crb_limit=1e-5)
        allocation = MassiveMIMOAllocation(np.full(4, 15.0), np.asarray(5.0))
        rate, crb = base.rates(allocation).sum(), base.crb(allocation)
        variance = 1.0 / (1.0 / 2e-3 + 1.0 / crb)
        values = {name: replace(base, reward=name).utility(allocation) for name in ("tracking", "frame", "constrained")}
        assert values["constrained"] == pytest.approx(rate)
        assert values["frame"] == pytest.approx(rate - 10.0 * np.log10(crb / 1e-5))
        assert values["tracking"] == pytest.approx(rate - 10.0 * max(0.0, np.log10(variance / 1e-4)))
        assert base.outcome(allocation).cost == pytest.approx(max(0.0, np.log10(variance / 1e-4)))

    def test_an_infinite_bound_is_capped_in_the_frame_reward(self):
        problem = case(reward="frame", crb_limit=1e-3)
        nothing = MassiveMIMOAllocation(np.zeros(4), np.asarray(0.0))
        assert problem.utility(nothing) == pytest.approx(-10.0 * 6.0)

    def test_fallback_attains_the_least_bound(self, rng):
        for shape in ({}, {"tx_antennas": 30, "rx_antennas": 5}):
            problem = random_problem(rng, 30, **shape)
            allocation = MassiveMIMO().fallback(problem)
            np.testing.assert_allclose(problem.crb(allocation), problem.crb_min, rtol=1e-12)
            assert problem.violation(allocation).max() < 1e-12

    def test_static_preset_is_the_papers_frame(self):
        env = gym.make(ID, config=MassiveMIMOConfig.preset("nguyen2024")).unwrapped
        env.reset(seed=0)
        solution = Exact().solve(env.problem)
        _, reward, _, end, info = env.step_allocation(solution.allocation)
        assert end
        assert info["beam_error"] == 0.0
        assert reward == pytest.approx(float(solution.objective))
        assert info["crb"] == pytest.approx(5.721530634535e-5, rel=1e-9)


class TestPlanning:
    def test_the_bound_that_the_prior_lacks_by_hand(self):
        problem = replace(case(), prior_variance=0.04, variance_limit=0.01)
        lacking = problem.lacking_bound()
        assert lacking == pytest.approx(0.04 / 3)  # 1/(25 + 75) = 0.01
        assert problem.posterior(1.0 / lacking) == pytest.approx(0.01)
        assert replace(problem, prior_variance=0.01).lacking_bound() == np.inf  # kept without a measurement
        assert replace(problem, prior_variance=np.inf).lacking_bound() == 0.01
        assert replace(problem, prior_variance=np.inf, variance_limit=np.inf).lacking_bound() == np.inf

    def test_least_sensing_meets_the_variance_with_equality_or_does_its_best(self):
        scenario, state = frames(300, preset="default")
        state = state._replace(slot=state.slot + 1, variance=state.variance * np.linspace(0.05, 5.0, 300))
        problem = scenario.problem(state)
        for error in ("none", "sigma"):
            rule = LeastSensing(error)
            allocation, planned = rule.solve(problem).allocation, rule.planned(problem)
            after = planned.posterior(planned.information(allocation))
            none = split(planned, np.zeros(300))
            idle = planned.posterior(planned.information(none)) <= 1e-3
            np.testing.assert_array_equal(allocation.sensing_power[idle], 0.0)
            grid = np.linspace(0.0, 1.0, 201)[:, None] + np.zeros(300)
            best = planned.posterior(planned.information(split(planned, grid))).min(axis=0)
            reachable = ~idle & (best < 1e-3)
            assert reachable.any()
            np.testing.assert_allclose(after[reachable], 1e-3, rtol=1e-9)
            out = best > 1e-3 * (1 + 1e-9)
            assert out.any()
            assert (after[out] <= best[out] * (1 + 1e-9)).all()

    def test_myopic_is_the_best_of_its_grid(self):
        scenario, state = frames(50, preset="default")
        problem = scenario.problem(state)
        chosen = Myopic().solve(problem)
        shares = share_grid(problem.large_scale_gain)
        assert len(shares) == 31
        np.testing.assert_allclose(shares[[0, 1, -1]], [0.0, 0.02, 1.0])
        values = [problem.utility(split(problem, np.full(50, share))) for share in shares]
        np.testing.assert_allclose(chosen.objective, np.max(values, axis=0), rtol=1e-12)

    def test_exact_per_frame_is_exact_where_that_is_feasible(self):
        scenario, state = frames(100, preset="default")
        problem = scenario.problem(state)
        exact, rule = Exact().solve(problem), ExactPerFrame().solve(problem)
        good = exact.details["feasible"]
        assert good.any()
        assert (~good).any()
        np.testing.assert_allclose(rule.allocation.power[good], exact.allocation.power[good], rtol=1e-12)
        fallback = scenario.fallback(problem)
        np.testing.assert_allclose(rule.allocation.sensing_power[~good], fallback.sensing_power[~good], rtol=1e-12)

    @pytest.mark.slow
    def test_order_of_the_baselines(self):
        """Spec mimo check 15, setting 1: clairvoyant >= myopic >= least T >= exact per frame, 60 episodes."""
        scenario = MassiveMIMO(MassiveMIMOConfig.preset("tracking-fading"))
        rules = (Myopic("sigma"), LeastSensing("sigma"), ExactPerFrame("sigma"))
        values = [evaluate(scenario, rule, episodes=60, seed=0).utility for rule in rules]
        bound = clairvoyant(scenario, episodes=60, seed=0)
        means = [bound.reward.mean(), *(value.mean() for value in values)]
        assert (np.diff(means) < 0).all()
        for value in values:  # a bound on every episode, up to the error of its grid
            assert (bound.reward >= value - 0.02).all()
        assert bound.sensing_share.shape == (60, 50)

    def test_least_sensing_is_nearly_clairvoyant_where_the_echo_is_steady(self):
        """Spec mimo 7: within 0.3 % of clairvoyant."""
        scenario = MassiveMIMO(MassiveMIMOConfig.preset("tracking-steady"))
        bound = clairvoyant(scenario, episodes=40, seed=0).reward.mean()
        value = evaluate(scenario, LeastSensing("sigma"), episodes=40, seed=0).utility.mean()
        assert bound * 0.99 <= value <= bound + 0.01

    def test_clairvoyant_equals_enumeration_of_every_plan(self):
        """Three frames: 31^3 plans of one episode, played by the environment's own functions."""
        config = MassiveMIMOConfig.preset("tracking-fading", horizon=3)
        scenario = MassiveMIMO(config)
        grid = share_grid(np.zeros(1))
        plans = np.stack([x.ravel() for x in np.meshgrid(grid, grid, grid, indexing="ij")])
        rng = np.random.default_rng(4)
        one = scenario.sample([rng])
        state = tree_map(lambda leaf: np.repeat(leaf, plans.shape[1], axis=0), one)
        total = np.zeros(plans.shape[1])
        for share in plans:
            allocation = split(scenario.problem(state), share)
            total += scenario.reward(state, allocation)
            drawn = tree_map(lambda leaf: leaf[None], scenario.draw(rng, state))
            state = scenario.transition(state, allocation, drawn)
        bound = clairvoyant(scenario, episodes=1, seed=4)
        assert bound.reward[0] == pytest.approx(total.max() / 3, abs=5e-3)

    def test_what_the_bound_does_not_cover_is_said(self):
        with pytest.raises(ValueError, match="one-sigma"):
            clairvoyant(MassiveMIMO(), episodes=1, seed=0)
        with pytest.raises(ValueError, match="energy_budget"):
            clairvoyant(MassiveMIMO(MassiveMIMOConfig(tracker="one-sigma", energy_budget=0.5)), episodes=1, seed=0)

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match="`beam_error` must be none or sigma, got"):
            Myopic("two")
        with pytest.raises(ValueError, match=r"`share` must be a number in \[0, 1\], got 1.5"):
            ConstantShare(share=1.5)
        with pytest.raises(TypeError, match="Myopic solves MassiveMIMOProblem, got int"):
            Myopic().solve(3)

    def test_allocators_of_the_paper_play_the_tracking_task(self):
        scenario = MassiveMIMO(MassiveMIMOConfig(horizon=5))
        for solver in (Exact(), SCA(), EqualAllocation(), EqualAllocation(reading="equal-full")):
            result = evaluate(scenario, solver, episodes=8, seed=0)
            assert np.isfinite(result.utility).all()
            assert result.violation < 1e-9


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_a_beam_error_is_a_finite_angle(error):
    problem = MassiveMIMO().problem(MassiveMIMO().sample([0, 1]))
    assert (problem.with_beam_error(0.1).target_angle == problem.beam_angle + 0.1).all()
    with pytest.raises(ValueError, match=rf"`target_angle` must be finite, got target_angle\[1\] = {error}"):
        problem.with_beam_error(np.array([0.1, error]))


class TestConfig:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"pilot_length": 3}, r"`pilot_length` must be at least `users` \(4\) for orthonormal pilots, got 3"),
            ({"coherence_length": 10}, r"`coherence_length` must exceed `pilot_length` \(10\), got 10"),
            ({"rx_antennas": 0}, "`rx_antennas` must be an integer in .*, got 0"),
            ({"power_budget": 0.0}, "`power_budget` must be a number in .*, got 0.0"),
            ({"crb_limit": -1.0}, "`crb_limit` must be a number in .*, got -1.0"),
            ({"snr_com_db": float("nan")}, "`snr_com_db` must be a number"),
            ({"echo_memory": 1.1}, r"`echo_memory` must be a number in \[0, 1\], got 1.1"),
            ({"angle_limit": 2.0}, r"`angle_limit` must be a number in \[0.001, 1.5\], got 2.0"),
            ({"angle_spread": 1.3}, r"`angle_spread` must be at most `angle_limit` \(1.2 rad\), got 1.3"),
            ({"target_angle": 1.5}, r"`target_angle` must be None or within `angle_limit` \(1.2 rad\), got 1.5"),
            ({"initial_variance": -1.0}, "`initial_variance` must be a number in .* or None, got -1.0"),
            ({"energy_budget": 0.0}, r"`energy_budget` must be a number in \[1e-06, 1\] or None, got 0.0"),
            ({"path_loss_exponent": 10.0, "radius": 1e4}, "must leave a gain of 1e-10 at the edge"),
            ({"pilot_power": 1e-9, "path_loss_exponent": 9.0}, "must leave pilots a ratio of 1e-06"),
            ({"radius": 50.0}, "`radius` must be at least `reference_distance`"),
            ({"reward": "track"}, "`reward` must be one of.*did you mean 'tracking'"),
        ],
    )
    def test_bad_fields_are_named(self, fields, message):
        with pytest.raises(ValueError, match=message):
            MassiveMIMOConfig().with_fields(fields)

    def test_an_unknown_field_is_an_unexpected_keyword(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'antennas': did you mean 'tx_antennas'"):
            MassiveMIMOConfig().with_fields({"antennas": 3})

    def test_presets(self):
        with pytest.raises(ValueError, match="unknown preset 'nguyen2023': did you mean 'nguyen2024'"):
            MassiveMIMOConfig.preset("nguyen2023")
        for name in MassiveMIMOConfig.presets():
            scenario = MassiveMIMO(MassiveMIMOConfig.preset(name))
            state = scenario.sample(0)
            assert isinstance(scenario.problem(state), MassiveMIMOProblem)

    def test_one_receive_antenna_makes_an_environment_without_use_for_the_beam(self):
        env = gym.make(ID, rx_antennas=1, horizon=3).unwrapped
        env.reset(seed=0)
        assert Exact().solve(replace(env.problem, crb_limit=10.0)).allocation.sensing_power == 0.0
        assert env.scenario.fallback(env.problem).sensing_power == 0.0
        assert np.isfinite(env.step(np.zeros(6))[1])
