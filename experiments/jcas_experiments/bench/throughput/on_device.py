"""Lanes on a device in wall time: environments, and a run of PPO from end to end, which never leaves the device.

A clock starts and stops when the device has done all that was asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from math import nan
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..row import Plan, Row, repeated
from .cases import Case, environment_cases, lanes_in_words
from .measure import chosen, in_other_units
from .worker import links_of

if TYPE_CHECKING:
    from jcas_env import JCASVectorEnv

ESTIMATORS = ("perfect", "crb", "spomp")
"""What is measured of the multi-cell network."""
LANES = {"cuda": (1024, 4096, 16384, 65536), "cpu": (64, 1024)}
IN_DOUBLE = {"cuda": 4096, "cpu": 64}
"""Lanes in which double precision is measured too."""
MOST_SOUNDED = {"cuda": 16384, "cpu": 1024}
"""Most lanes whose pilots a device holds."""
SOUNDING = ("crb", "spomp")
ASKED = {"perfect": 300e3, "spomp": 50e3}
"""Env-steps per second that are asked of an H100 in the number of lanes that suits it best."""
REPETITIONS = 5
ACTIONS = 8
"""Random actions drawn before the clock starts, played in turn."""
PPO = {"cuda": (16384, 8192, 10_000_000), "cpu": (64, 256, 20_000)}
"""Lanes, samples of a minibatch and samples of the run of PPO."""


def device_rows(plan: Plan) -> Iterator[Row]:
    """User-steps per second of each environment, and samples per second of a run of PPO, learning included."""
    if find_spec("torch") is None:
        yield Row("lanes on a device (PyTorch is not installed)", nan, "", None, "user-steps/s", None, nan)
        return
    for case in chosen(cases(plan), plan):
        yield environment_row(case, plan)
    lanes, minibatch, samples = (4, 8, 64) if plan.quick else PPO[plan.device]
    name = f"tensors: PPO, true channel, float32, {lanes_in_words(lanes)}, {samples:,} samples"
    if plan.only in name:
        yield ppo_row(name, plan, lanes, minibatch, samples)


def cases(plan: Plan) -> Iterator[Case]:
    """Each environment, in each precision and number of lanes."""
    lanes, precisions = ((4,), ("float32",)) if plan.quick else (LANES[plan.device], ("float32", "float64"))
    for case in environment_cases(lanes, precisions, ESTIMATORS):
        fields, count = case.job["fields"], case.job["lanes"]
        held = fields.get("estimator") not in SOUNDING or count <= MOST_SOUNDED[plan.device]
        if held and (fields["dtype"] == "float32" or count == IN_DOUBLE[plan.device]):
            yield case._replace(name=f"tensors: {case.name}")


def environment_row(case: Case, plan: Plan) -> Row:
    """Random actions in the lanes of a case; a repetition lies between two measurements of angles and contains one.

    Resets are outside the clock; how long one takes stands beside. ``also`` holds env-steps, and what a slot takes.
    """
    fields, lanes = case.job["fields"], case.job["lanes"]
    try:
        samples, about, beside = steps_per_second(case.job["scenario"], lanes, plan, fields)
    except MemoryError as error:
        return Row(f"{case.name} ({error})", nan, "", None, "user-steps/s", None, nan)
    row = repeated(case.name, [about["users"] * rate for rate in samples], "", None, "user-steps/s", nan)
    units = in_other_units(row.value, about)
    row = row._replace(also={**units, "ms/slot": 1e3 * lanes / units["env-steps/s"], **beside})
    if plan.device == "cuda" and fields.get("estimator") in ASKED:
        asked = about["users"] * ASKED[fields["estimator"]]
        row = row._replace(peer="asked of an H100", peer_value=asked, ratio=row.value / asked, target=1.0)
    return row


def steps_per_second(
    scenario: str, lanes: int, plan: Plan, fields: dict[str, Any]
) -> tuple[list[float], dict[str, Any], dict[str, float]]:
    """Env-steps per second of each repetition; users, links and antennas; what a reset takes and the most memory.

    Raises ``MemoryError`` where the device has not enough.
    """
    import torch

    from jcas_env import JCASVectorEnv

    try:
        env = JCASVectorEnv(scenario, num_envs=lanes, device=plan.device, **fields)
        config = env.scenario.config
        period = min(getattr(config, "angle_coherence", 1), config.horizon)
        generator = torch.Generator(plan.device).manual_seed(plan.seed)
        shape = (ACTIONS, lanes, env.scenario.action_size)
        actions = cycle(2.0 * torch.rand(shape, generator=generator, device=plan.device) - 1.0)
        env.reset(seed=plan.seed)
        play_slots(env, actions, period)  # what is made once is made now
        beside = {"s/reset": seconds(env.reset, plan.device)}
        play_slots(env, actions, period)
        taken = [seconds(partial(play_slots, env, actions, period), plan.device) for _ in range(REPETITIONS)]
    except torch.OutOfMemoryError:
        raise MemoryError("out of memory") from None
    finally:
        memory = device_memory(plan.device)
    links, antennas = links_of(config)
    about = {"users": config.users, "links": links, "antennas": antennas}
    return [period * lanes / each for each in taken], about, beside | memory


def play_slots(env: JCASVectorEnv, actions: Iterator[Any], slots: int) -> None:
    """Play some slots."""
    for _ in range(slots):
        env.step(next(actions))


def seconds(work: Any, device: str) -> float:
    """Wall time of a call, with all that it has queued [s]."""
    wait(device)
    begin = perf_counter()
    work()
    wait(device)
    return perf_counter() - begin


def wait(device: str) -> None:
    """Until the device has done what it was asked."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def device_memory(device: str) -> dict[str, float]:
    """Most memory of a device that was in use since it was last asked [GB]; nothing of the host, which is shared."""
    if device != "cuda":
        return {}
    import torch

    most = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return {"GB": most}


def ppo_row(name: str, plan: Plan, lanes: int, minibatch: int, samples: int) -> Row:
    """A run of :class:`~jcas_agents.training.ppo.LanePPO` on the default network: environment, learning and all.

    ``also`` holds its wall time, and what its actions earned over the equal allocation in the first and last rollout.
    """
    from jcas_agents.data.relative import REWARD_SCALE
    from jcas_agents.training.ppo import LanePPO, PPORecipe

    from jcas_env import JCASVectorEnv

    wait(plan.device)
    begin, played, rewards = perf_counter(), 0, []
    env = JCASVectorEnv("multicell", num_envs=lanes, device=plan.device, estimator="perfect", dtype="float32")
    ppo = LanePPO(env, PPORecipe(minibatch=minibatch), seed=plan.seed)
    while played < samples:
        report = ppo.iterate()
        played += int(report["samples"])
        rewards.append(report["reward"])
    wait(plan.device)
    taken = perf_counter() - begin
    first, last = (1.0 + rewards[place] / REWARD_SCALE for place in (0, -1))
    also = {"samples": float(played), "s": taken, "over equal at first": first, "at last": last}
    return Row(name, played / taken, "", None, "samples/s", None, nan, also=also)
