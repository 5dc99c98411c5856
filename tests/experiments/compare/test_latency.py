"""Decisions that come late: what is in force meanwhile, and what it costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_agents.agent import as_allocator
from jcas_agents.evaluation import rollout
from jcas_baselines import ADMM, EqualAllocation
from jcas_experiments import cli
from jcas_experiments.compare.latency import Latency, parse_latency
from typer.testing import CliRunner

from jcas_env import JCASVectorEnv, MultiCellConfig, make_scenario

SMALL = {"users_per_cell": 4, "bs_antennas": 8, "ue_antennas": 2}


class Watched:
    """Plays ADMM and notes the slots in which it begins to think."""

    def __init__(self):
        self.slots, self.allocations = [], []

    def decide(self, env, observation):
        decision = as_allocator(ADMM()).decide(env, observation)
        self.slots.append(int(env.state.slot[0]))
        self.allocations.append(decision.allocation)
        return decision


def transmitted(monkeypatch):
    sent = []
    step = JCASVectorEnv.step_allocation

    def spy(self, allocation):
        sent.append(allocation)
        return step(self, allocation)

    monkeypatch.setattr(JCASVectorEnv, "step_allocation", spy)
    return sent


def test_one_decision_at_a_time_each_arrives_when_the_next_begins(monkeypatch):
    scenario = make_scenario("multicell", horizon=8, **SMALL)
    watched, sent = Watched(), transmitted(monkeypatch)
    list(rollout(scenario, watched, episodes=2, seed=0, delay=3))
    assert watched.slots == [0, 3, 6]
    env = JCASVectorEnv(scenario, num_envs=2)
    env.reset(seed=0)
    fallback = scenario.fallback(env.problem)
    for allocation in sent[:3]:
        np.testing.assert_array_equal(allocation.power, fallback.power)
    for slot in (3, 4, 5):  # begun in slot 0
        assert sent[slot] is watched.allocations[0]
    for slot in (6, 7):
        assert sent[slot] is watched.allocations[1]


def test_without_delay_nothing_changes():
    scenario = make_scenario("multicell", horizon=4, **SMALL)
    prompt = evaluate(scenario, ADMM(), episodes=2, seed=3)
    np.testing.assert_array_equal(prompt.utility, evaluate(scenario, ADMM(), episodes=2, seed=3, delay=0).utility)


def test_on_a_channel_that_stands_still_only_the_wait_costs():
    scenario = make_scenario("multicell", horizon=12, speed=0.0, fading_correlation=1.0, estimator="perfect", **SMALL)
    late = evaluate(scenario, ADMM(), episodes=3, seed=0, delay=4).utility
    prompt = evaluate(scenario, ADMM(), episodes=3, seed=0).utility
    waiting = evaluate(scenario, _Fallback(), episodes=3, seed=0).utility
    np.testing.assert_allclose(late, (4 * waiting + 8 * prompt) / 12, rtol=1e-9)


class _Fallback:
    def decide(self, env, observation):
        decision = as_allocator(EqualAllocation()).decide(env, observation)
        return decision._replace(allocation=env.scenario.fallback(env.problem))


@pytest.mark.slow
def test_late_decisions_on_a_fading_channel_earn_less():
    scenario = make_scenario("multicell", horizon=30, fading_correlation=0.5, ue_antennas=4)
    late = evaluate(scenario, ADMM(), episodes=8, seed=0, delay=10).utility
    assert late.mean() < 0.98 * evaluate(scenario, ADMM(), episodes=8, seed=0).utility.mean()


def test_whole_slots():
    clock = Latency(0.01, {"slow": 0.3})
    assert [clock.delay("x", seconds) for seconds in (0.0, 0.0099, 0.01, 0.0299)] == [0, 0, 1, 2]
    assert clock.delay("slow", 1e-6) == 30


@pytest.mark.parametrize(
    ("slot_ms", "declared", "message"),
    [
        (0.0, [], "`--slot-ms` must be positive and finite, got 0"),
        (None, ["admn=3"], "did you mean 'admm'"),
        (None, ["admm"], "takes NAME=MS, got 'admm'"),
        (None, ["admm=soon"], "takes NAME=MS, got 'admm=soon'"),
        (None, ["admm=-1"], "takes NAME=MS, got 'admm=-1'"),
        (None, ["admm=inf"], "takes NAME=MS, got 'admm=inf'"),
        (None, ["admm=nan"], "takes NAME=MS, got 'admm=nan'"),
        (None, ["admm=1", "admm=2"], "`--declared-latency admm=2`: given twice"),
        (float("inf"), [], "`--slot-ms` must be positive and finite, got inf"),
    ],
)
def test_bad_settings_are_named(slot_ms, declared, message):
    with pytest.raises(ValueError, match=message):
        parse_latency(MultiCellConfig(), slot_ms, declared, ["equal", "admm"])


def test_the_command_scores_with_and_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    sets = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    result = CliRunner().invoke(
        cli.app,
        ["compare", "--episodes", "2", "--horizon", "6", "--allocators", "equal,admm", "--declared-latency", "admm=25",
         "--declared-latency", "equal=0", "--json", "n.json", *sets],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "n.json").read_text())
    assert report["slot_ms"] == 10.0
    rows = {row["allocator"]: row for row in report["rows"]}
    assert (rows["admm"]["delay_slots"], rows["equal"]["delay_slots"]) == (2, 0)
    assert rows["equal"]["late_utility"] == rows["equal"]["utility"]
    assert rows["admm"]["late_utility"] != rows["admm"]["utility"]
    assert "late" in result.output
