"""Traffic queues: the recursion, the arrivals, the delay reward, what is seen of it, and the allocators that use it."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, factorial

import gymnasium as gym
import numpy as np
import pytest
import torch
from jcas_agents.data.tensors import to_torch
from jcas_baselines import BacklogProportional, DrainSearch, EqualAllocation, MaxWeight
from jcas_experiments.cli import app
from jcas_experiments.scenarios.registry import roster_of
from support.scenes import scenes
from typer.testing import CliRunner

from jcas_env import JCASEnv, JCASVectorEnv, MultiCell, MultiCellConfig
from jcas_env.physics.queues import poisson_count, serve
from jcas_env.scenarios.multicell import observation as seen
from jcas_env.scenarios.multicell.action import decode
from jcas_env.tree import stack, tree_map

TRAFFIC = {"users_per_cell": 4, "bs_antennas": 8, "ue_antennas": 2, "estimator": "perfect", "reward": "delay"}


def played(config, lanes=3, slots=8, seed=0, action=0.0):
    """States at every decision and the outcome of every slot under a constant action."""
    scenario = MultiCell(config)
    generators = [np.random.default_rng(seed + lane) for lane in range(lanes)]
    states, outcomes = [scenario.sample(generators)], []
    for _ in range(slots):
        state = states[-1]
        allocation = scenario.decode(np.full((lanes, scenario.action_size), action), scenario.problem(state))
        outcomes.append(scenario.outcome(state, allocation))
        states.append(scenario.transition(state, allocation, stack([scenario.draw(g, state) for g in generators])))
    return scenario, states, outcomes


# ---------------------------------------------------------------- recursion and arrivals


def test_queue_recursion_by_hand(backend):
    # 5 + 3 bit, 2 s at 3 bit/s: 6 go, 2 stay.  1 + 0 bit at 3 bit/s: all go.  Nothing there, nothing goes.
    queue, arrivals = backend.asarray([5.0, 1.0, 0.0]), backend.asarray([3.0, 0.0, 0.0])
    left, served = serve(queue, arrivals, backend.asarray([3.0, 3.0, 3.0]), slot=2.0)
    np.testing.assert_array_equal(backend.numpy(left), [2.0, 0.0, 0.0])
    np.testing.assert_array_equal(backend.numpy(served), [6.0, 1.0, 0.0])


def test_poisson_counts_are_the_inverse_distribution_function(backend):
    # F(k) of mean 2 by its definition; a uniform just below F(k) gives k, one just above k + 1.
    cdf = np.cumsum([exp(-2.0) * 2.0**k / factorial(k) for k in range(6)])
    count = poisson_count(backend.asarray(np.stack([cdf - 1e-12, cdf + 1e-12])), backend.asarray(np.full((2, 6), 2.0)))
    np.testing.assert_array_equal(backend.numpy(count), np.stack([np.arange(6), np.arange(1, 7)]))


@pytest.mark.parametrize("mean", [0.0, 0.3, 7.0, 900.0])
def test_poisson_counts_have_the_mean_and_variance_of_the_law(mean, rng):
    size = 40_000 if mean < 100 else 4_000
    count = poisson_count(rng.random(size), np.full(size, mean))
    assert count.mean() == pytest.approx(mean, rel=0.03)
    assert count.var() == pytest.approx(mean, rel=0.05)
    assert np.isfinite(poisson_count(np.array([0.0, 1 - 2**-53]), np.full(2, mean))).all()


def test_a_count_does_not_depend_on_its_neighbours(rng):
    uniform, mean = rng.random(4), np.array([1.0, 500.0, 3.0, 0.0])
    alone = [poisson_count(uniform[k : k + 1], mean[k : k + 1])[0] for k in range(4)]
    np.testing.assert_array_equal(poisson_count(uniform, mean), alone)


def test_bits_are_conserved_and_backlogs_are_never_negative():
    """Spec multicell check 18: arrived = served + what waits, to the last bit of a double."""
    _, states, outcomes = played(MultiCellConfig(load=0.9, **TRAFFIC), slots=12)
    for state, after, outcome in zip(states[:-1], states[1:], outcomes, strict=True):
        assert (after.queue >= 0).all()
        np.testing.assert_allclose(outcome.served + after.queue, state.queue + outcome.arrived, rtol=4e-16)
        assert (outcome.served <= outcome.rate * 0.01 * (1 + 1e-12)).all()
        np.testing.assert_array_equal(outcome.arrived % 12000.0, 0.0)
    arrived, served = (sum(getattr(o, name) for o in outcomes) for name in ("arrived", "served"))
    np.testing.assert_allclose(arrived, served + states[-1].queue, rtol=1e-12)
    assert states[-1].queue.max() > 0


def test_arrivals_have_the_stated_load():
    """lambda = load (sum of R_C under equal allocation at reset) / users, for every user (spec multicell 8.4)."""
    scenario, states, outcomes = played(MultiCellConfig(load=0.8, **TRAFFIC), lanes=8, slots=25)
    first = states[0]
    equal = scenario.fallback(scenario.problem(first))
    rate = scenario.truth(first).rates(equal)[0].mean(axis=-1)
    np.testing.assert_allclose(first.traffic.rate, np.broadcast_to(0.8 * rate[:, None], (8, 12)))
    np.testing.assert_array_equal(states[-1].traffic.rate, first.traffic.rate)
    arrived = np.mean([o.arrived for o in outcomes], axis=(0, 2)) / 0.01
    np.testing.assert_allclose(arrived, 0.8 * rate, rtol=0.2)
    packets = np.concatenate([(o.arrived / 12000.0).ravel() for o in outcomes])
    expected = first.traffic.rate[:, 0] * 0.01 / 12000.0
    assert packets.mean() == pytest.approx(expected.mean(), rel=0.05)


def test_a_load_of_zero_brings_nothing_and_costs_nothing():
    _, states, outcomes = played(MultiCellConfig(load=0.0, **TRAFFIC), slots=2)
    assert not states[-1].queue.any()
    assert not outcomes[-1].utility.any()
    assert not outcomes[-1].backlog_ms.any()


# ---------------------------------------------------------------- reward


def test_the_delay_reward_is_the_mean_backlog_in_slots_of_arrivals():
    scenario, states, outcomes = played(MultiCellConfig(load=0.9, **TRAFFIC), slots=4)
    slots = states[-1].queue / (states[0].traffic.rate * 0.01)
    np.testing.assert_allclose(outcomes[-1].utility, -slots.mean(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(outcomes[-1].backlog_ms, 10.0 * slots, rtol=1e-12)
    truth = scenario.truth(states[3])
    allocation = scenario.decode(np.zeros((3, scenario.action_size)), scenario.problem(states[3]))
    np.testing.assert_allclose(truth.utility(allocation), outcomes[3].utility, rtol=1e-12)
    np.testing.assert_allclose(
        replace(truth, reward="drain").utility(allocation), -np.mean(slots**2, axis=-1), rtol=1e-12
    )


def test_the_known_problem_expects_the_mean_arrivals():
    scenario, states, _ = played(MultiCellConfig(**TRAFFIC), slots=2)
    known, truth = scenario.problem(states[-1]), scenario.truth(states[-1])
    np.testing.assert_allclose(known.arrivals, states[-1].traffic.rate * 0.01)
    np.testing.assert_array_equal(truth.arrivals, states[-1].traffic.arrivals)
    np.testing.assert_array_equal(known.queue, truth.queue)


def test_a_delay_reward_without_traffic_is_refused():
    scenario, state = scenes(MultiCellConfig(**TRAFFIC), 1)
    problem = scenario.problem(state)
    with pytest.raises(ValueError, match=r"`reward` delay needs `arrival_rate`"):
        replace(problem, arrival_rate=None)


def test_queue_recursion_through_torch_equals_numpy_and_its_gradient_equals_differences():
    """Three slots in a row, so that the gradient runs through time (spec learning 7.6)."""
    scenario, states, _ = played(MultiCellConfig(load=1.0, **TRAFFIC | {"users_per_cell": 2}), lanes=2, slots=3)
    truths = [replace(scenario.truth(state), reward="drain") for state in states[:3]]
    tensors = [to_torch(truth) for truth in truths]
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (3, 2, scenario.action_size))

    def window(actions, problems):
        queue, total = problems[0].queue, 0.0
        for action, problem in zip(actions, problems, strict=True):
            now = replace(problem, queue=queue)
            allocation = decode(action, now, logit_scale=5.0)
            total = total + now.utility(allocation)
            queue = now.backlog(allocation)
        return total

    through = window(torch.from_numpy(actions), tensors)
    np.testing.assert_allclose(through.numpy(), window(actions, truths), rtol=1e-10)
    assert (window(actions, truths) < -0.1).any()
    assert torch.autograd.gradcheck(
        lambda a: window(a, tensors), torch.from_numpy(actions).requires_grad_(), atol=1e-6, rtol=1e-6
    )


# ---------------------------------------------------------------- off by default, and the same network


def test_a_seed_gives_the_same_network_with_and_without_queues():
    fields = TRAFFIC | {"estimator": "crb", "blockage": True, "csi_nmse": 0.1}
    _, plain, _ = played(MultiCellConfig(**fields | {"reward": "rate"}), slots=3)
    _, queued, _ = played(MultiCellConfig(**fields | {"reward": "rate", "queues": True}), slots=3)
    for one, two in zip(plain, queued, strict=True):
        for name in ("air", "csi", "memory"):
            tree_map(np.testing.assert_array_equal, getattr(one, name), getattr(two, name))
    assert not plain[-1].queue.any()
    assert queued[-1].queue.any()


def test_without_queues_nothing_is_added():
    scenario, states, outcomes = played(MultiCellConfig(**TRAFFIC | {"reward": "rate"}), slots=1)
    assert scenario.problem(states[0]).arrival_rate is None
    assert scenario.observation_spec["users"].shape == (12, len(seen.FEATURES))
    assert not {"backlog_ms", "arrived", "served", "angle_variance"} & set(scenario.info(outcomes[0]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"load": -0.1}, r"`load` must be a number in \[0, 10\], got -0.1"),
        ({"packet_bits": 0}, "`packet_bits` must be a number in .*, got 0"),
        ({"reward": "dealy"}, "did you mean 'delay'"),
    ],
)
def test_bad_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        MultiCellConfig(**fields)


# ---------------------------------------------------------------- adapters


def test_vector_environment_equals_single_environments_with_queues():
    config = MultiCellConfig(kalman=True, horizon=3, **TRAFFIC)
    envs = JCASVectorEnv("multicell", config=config, num_envs=3)
    singles = [JCASEnv("multicell", config=config) for _ in range(3)]
    observed, _ = envs.reset(seed=5)
    rng = np.random.default_rng(0)
    alone = [env.reset(seed=5 + lane)[0] for lane, env in enumerate(singles)]
    for _ in range(3):
        for lane in range(3):
            for name, part in observed.items():
                np.testing.assert_allclose(part[lane], alone[lane][name], atol=1e-6)
        action = rng.uniform(-1, 1, envs.action_space.shape).astype(np.float32)
        observed, reward, _, _, info = envs.step(action)
        steps = [env.step(action[lane]) for lane, env in enumerate(singles)]
        alone = [step[0] for step in steps]
        np.testing.assert_allclose(reward, [step[1] for step in steps], rtol=1e-9)
        for name, value in steps[0][4].items():
            np.testing.assert_allclose(info[name][0], value, rtol=1e-9, err_msg=name)


def test_an_episode_continues_from_a_snapshot_with_its_queues():
    env = JCASEnv("multicell", horizon=6, load=1.0, **TRAFFIC)
    env.reset(seed=3)
    action = np.full(env.action_space.shape, 0.2, dtype=np.float32)
    env.step(action)
    snapshot = env.get_state()
    expected = [env.step(action)[1] for _ in range(3)]
    env.set_state(snapshot)
    assert [env.step(action)[1] for _ in range(3)] == expected


def test_environment_checker_accepts_the_delay_task():
    from gymnasium.utils.env_checker import check_env

    import jcas_env  # noqa: F401

    env = gym.make("jcas/MultiCell-v0", observation="flat", horizon=5, **TRAFFIC)
    check_env(env.unwrapped, skip_render_check=True)


def test_a_reset_empties_the_queues():
    envs = JCASVectorEnv("multicell", num_envs=2, horizon=2, autoreset_mode="SameStep", load=2.0, **TRAFFIC)
    envs.reset(seed=0)
    for slot in range(2):
        envs.step(np.zeros(envs.action_space.shape, dtype=np.float32))
        assert envs.state.queue.any() == (slot == 0)


# ---------------------------------------------------------------- observation


def test_queue_features_by_hand():
    scenario, states, _ = played(MultiCellConfig(load=1.2, **TRAFFIC), slots=5)
    state, user = states[-1], int(np.argmax(states[-1].queue[0]))
    problem = scenario.problem(state)
    assert problem.queue[0, user] > 0
    users = scenario.observation(state)["users"][0]
    columns = dict(zip((*seen.FEATURES, *seen.QUEUE_FEATURES), users[user], strict=True))
    mean = problem.arrival_rate[0, user] * 0.01
    equal = scenario.decode(np.zeros((3, scenario.action_size)), replace(problem, band_floor=0.0, power_floor=0.0))
    rate = replace(problem, positioning_share=0.5).rates(equal)[0][0]
    mates = [
        k
        for k in range(12)
        if problem.cell[0, k] == problem.cell[0, user] and problem.group[0, k] == problem.group[0, user]
    ]
    need = max(problem.queue[0, k] * equal.bandwidth[0, 0, k] / rate[k] for k in mates) / (5e6 * 0.01)
    expected = {
        "backlog": np.log10(problem.queue[0, user] / mean + 0.01) / 2,
        "arrival_rate": np.log10(4 * problem.arrival_rate[0, user] / 10e6 + 0.01) / 2,
        "backlog_over_rate": np.log10(problem.queue[0, user] / (rate[user] * 0.01) + 0.01) / 2,
        "group_need": np.log10(need + 1e-3) / 3,
        "waited": np.log2(1 + state.traffic.waited[0, user]) / 4,
    }
    for name, value in expected.items():
        assert columns[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_waiting_counts_the_slots_since_a_user_got_a_slots_arrivals_or_all_it_had():
    _, states, outcomes = played(MultiCellConfig(load=1.2, **TRAFFIC), slots=6)
    waited = np.zeros_like(states[0].queue)
    for state, after, outcome in zip(states[:-1], states[1:], outcomes, strict=True):
        enough = np.minimum(state.traffic.rate * 0.01, state.queue + outcome.arrived)
        waited = np.where(outcome.served >= enough, 0, waited + 1)
        np.testing.assert_array_equal(after.traffic.waited, waited)
    assert waited.max() >= 2


# ---------------------------------------------------------------- Kalman positioning state


def test_positioning_state_follows_the_scalar_kalman_filter():
    """Spec multicell 8.6 with the measurement variance written out."""
    config = MultiCellConfig(kalman=True, positioning_share=0.5, **TRAFFIC)
    scenario, states, outcomes = played(config, slots=3)
    place = scenario.layout.stations[scenario.layout.hexagon]
    state, after, outcome = states[1], states[2], outcomes[1]
    truth = scenario.truth(state)
    allocation = scenario.decode(np.zeros((3, scenario.action_size)), scenario.problem(state))
    band = allocation.bandwidth[:, 1]
    cosine = np.take_along_axis(state.air.aod_cos[..., 0], state.cell[:, None, :], axis=1)[:, 0]
    v2 = np.pi**2 * np.maximum(1 - cosine**2, 1e-3) * (8**2 - 1) / 12
    x = (2.0 ** (2 * outcome.positioning_rate / band) - 1) / truth.sensing_gain
    variance = 1 / (2 * v2 * x * 0.01 * band)
    updated = state.angle_variance * variance / (state.angle_variance + variance)
    np.testing.assert_allclose(outcome.angle_variance, updated, rtol=1e-9)
    distance = np.hypot(*np.moveaxis(after.air.position - place, -1, 0))
    np.testing.assert_allclose(after.angle_variance, np.minimum(updated + (0.01 / distance) ** 2, np.pi**2 / 3))
    np.testing.assert_allclose(truth.sensing_gain, 2 * state.angle_variance * v2)
    assert (outcome.angle_variance < state.angle_variance).all()


def test_without_the_filter_the_prior_is_the_stated_one():
    scenario, states, _ = played(MultiCellConfig(**TRAFFIC), slots=2)
    np.testing.assert_array_equal(states[-1].angle_variance, 0.01)
    np.testing.assert_array_equal(scenario.problem(states[-1]).sensing_gain, states[-1].csi.sensing_gain)


# ---------------------------------------------------------------- allocators


@pytest.fixture(scope="module")
def backlogged():
    config = MultiCellConfig(load=1.1, positioning_share=0.5, **TRAFFIC)
    scenario, states, _ = played(config, slots=5)
    return scenario.problem(states[-1])


@pytest.mark.parametrize(
    "solver", [MaxWeight(), BacklogProportional(), DrainSearch(steps=30)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("share", [0.5, np.nan])
def test_queue_allocators_are_feasible(backlogged, solver, share):
    problem = replace(backlogged, positioning_share=share)
    solution = solver.solve(problem)
    assert problem.violation(solution.allocation).max() < 1e-9
    np.testing.assert_allclose(solution.objective.shape, (3,))


def test_max_weight_pours_power_by_backlog(backlogged):
    """The water-filling of EBA + PA with weights q + 0.01 lambda dt (spec multicell 4.8): KKT of each cell."""
    allocation = MaxWeight().solve(backlogged).allocation
    equal = EqualAllocation().solve(backlogged).allocation
    np.testing.assert_allclose(allocation.bandwidth, equal.bandwidth, rtol=1e-12)
    relaxed = backlogged.relaxed()
    weight = backlogged.queue + 0.01 * backlogged.arrivals
    for lane in range(3):
        for cell in range(3):
            users = np.flatnonzero(backlogged.cell[lane] == cell)
            c = relaxed.coefficient[lane, cell, 0, : len(users)]
            p = allocation.power[lane, 0, users] / 5.0
            slope = weight[lane, users] * allocation.bandwidth[lane, 0, users] * c / (1 + c * p)
            free = p > 0.0201
            assert np.ptp(slope[free]) <= 1e-6 * slope[free].max()
            assert (slope[~free] <= slope[free].min() * (1 + 1e-6)).all()


def test_backlog_proportional_bands_by_hand(backlogged):
    allocation = BacklogProportional().solve(backlogged).allocation
    equal = EqualAllocation().solve(backlogged).allocation
    rate = backlogged.rates(equal)[0]
    np.testing.assert_allclose(allocation.power, equal.power)
    for lane in range(3):
        for cell in range(3):
            users = np.flatnonzero(backlogged.cell[lane] == cell)
            labels = np.unique(backlogged.group[lane, users])
            need = np.array(
                [
                    max(
                        backlogged.queue[lane, u] / (rate[lane, u] / equal.bandwidth[lane, 0, u])
                        for u in users
                        if backlogged.group[lane, u] == label
                    )
                    for label in labels
                ]
            )
            band = 1e5 + (5e6 - len(labels) * 1e5) * need / need.sum()
            for label, width in zip(labels, band, strict=True):
                mine = users[backlogged.group[lane, users] == label]
                np.testing.assert_allclose(allocation.bandwidth[lane, 0, mine], width, rtol=1e-9)


def test_backlog_proportional_is_equal_where_nothing_waits(backlogged):
    empty = replace(backlogged, queue=np.zeros_like(backlogged.queue))
    allocation = BacklogProportional().solve(empty).allocation
    np.testing.assert_allclose(allocation.bandwidth, EqualAllocation().solve(empty).allocation.bandwidth, rtol=1e-9)


def test_drain_search_leaves_the_least_squared_backlog(backlogged):
    drain = replace(backlogged, reward="drain")
    found = DrainSearch(steps=60).solve(backlogged)
    np.testing.assert_allclose(found.objective, drain.utility(found.allocation))
    for other in (MaxWeight(), BacklogProportional(), EqualAllocation()):
        assert (found.objective >= drain.utility(other.solve(backlogged).allocation)).all()


@pytest.mark.parametrize("solver", [MaxWeight(), BacklogProportional(), DrainSearch()], ids=lambda s: type(s).__name__)
def test_queue_allocators_need_queues(backlogged, solver):
    with pytest.raises(ValueError, match="needs a problem with queues"):
        solver.solve(replace(backlogged, reward="rate", arrival_rate=None, arrivals=None))
    with pytest.raises(TypeError, match="solves MultiCellProblem"):
        solver.solve(None)


def test_what_a_slot_leaves_needs_its_arrivals(backlogged):
    with pytest.raises(ValueError, match="`reward` drain needs `arrival_rate` and `arrivals`"):
        DrainSearch().solve(replace(backlogged, reward="rate", arrivals=None))


# ---------------------------------------------------------------- jcas compare


@pytest.mark.slow
def test_the_comparison_shows_backlogs_where_there_are_queues_and_only_there(tmp_path):
    fields = ["users_per_cell=3", "bs_antennas=8", "ue_antennas=2", "estimator=perfect", "load=1.2"]
    settings = [word for field in fields for word in ("--set", field)]
    common = ["compare", *settings, "--episodes", "2", "--horizon", "3", "--figure", str(tmp_path / "f.png")]
    tables = {}
    for reward, chosen in {"delay": "equal,max-weight,backlog", "rate": "equal,admm"}.items():
        file = tmp_path / f"{reward}.json"
        result = CliRunner().invoke(
            app, [*common, "--set", f"reward={reward}", "--allocators", chosen, "--json", str(file)]
        )
        assert result.exit_code == 0, result.output
        tables[reward] = json.loads(file.read_text())["rows"]
    assert "backlog_ms" not in tables["rate"][0]
    for row in tables["delay"]:
        # Reward in slots of 10 ms, for both are means over users, slots and episodes.
        assert row["backlog_ms"] == pytest.approx(-10.0 * row["utility"])
        assert 0 < row["delivered"] <= 1
        assert "ratio_to_equal" in row


def test_the_task_chooses_the_default_allocators():
    roster = roster_of("multicell")
    assert "backlog" in roster.for_task(MultiCellConfig(reward="delay")).default
    assert roster.for_task(MultiCellConfig()).default == roster.default
