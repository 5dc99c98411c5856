"""What is measured, by name: environments in each number of lanes, estimator and precision, and loops around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jcas_env import SCENARIOS
from jcas_env.physics.estimation import ESTIMATORS

PEER = "mobile-env medium"
"""``mobile-medium-central-v0`` of mobile-env 2.1, seven stations and 15 users, a channel without antennas."""
PEER_JOB: dict[str, Any] = {"open": "mobile", "size": "medium"}
NEEDS: dict[str, dict[str, Any]] = {"esprit": {"ue_antennas": 1}}
"""Fields without which an estimator is refused."""
SINGLE = 0
"""In place of a number of lanes: the single environment."""


class Case(NamedTuple):
    """A job to be measured, and what its ratios are to be."""

    name: str
    job: dict[str, Any]
    """What the measuring process is to open."""
    target: float = float("nan")
    """Ratio to the peer that is asked for."""
    parent_target: float = float("nan")
    """Ratio to the parent that is asked for."""


TARGETS = {
    ("perfect", "float64", SINGLE): 10.0,
    ("perfect", "float32", 64): 100.0,
    ("perfect", "float64", 64): 60.0,
    ("spomp", "float64", 64): 15.0,
}
"""User-steps of the multi-cell network over those of mobile-env medium."""
OTHERS = 5.0
"""Steps of mesh and massive MIMO at 64 lanes over the parent's."""
PLAIN_LOOP = 8.0
"""Samples of a plain PPO loop on the default environment over the parent's."""


def settings(estimators: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Scenario, name and fields: the multi-cell network with some estimators, the others as they are."""
    for estimator in estimators:
        yield "multicell", f"multicell, {estimator}", {"estimator": estimator, **NEEDS.get(estimator, {})}
    for scenario in SCENARIOS:
        if scenario != "multicell":
            yield scenario, scenario, {}


def lanes_in_words(lanes: int) -> str:
    """``single`` or the number of lanes."""
    return "single" if lanes == SINGLE else f"{lanes:,} lane{'' if lanes == 1 else 's'}"


def environment_cases(
    lanes: Sequence[int], precisions: Sequence[str], estimators: Sequence[str] = tuple(ESTIMATORS)
) -> Iterator[Case]:
    """Each scenario and estimator, in each precision and number of lanes."""
    for scenario, title, fields in settings(estimators):
        for dtype in precisions:
            for count in lanes:
                job = {
                    "open": "environment",
                    "scenario": scenario,
                    "lanes": count,
                    "fields": {**fields, "dtype": dtype},
                }
                target = TARGETS.get((fields.get("estimator", ""), dtype, count), float("nan"))
                other = OTHERS if scenario != "multicell" and count == 64 else float("nan")
                yield Case(f"{title}, {dtype}, {lanes_in_words(count)}", job, target, other)


def peer_cases() -> Iterator[Case]:
    """mobile-env's other two sizes."""
    for size in ("small", "large"):
        yield Case(f"mobile-env {size}", {"open": "mobile", "size": size})


LOOPS = {"linear_policy": "plain loop, linear policy in NumPy", "plain_ppo": "plain PPO", "sb3_ppo": "PPO of SB3"}
"""Loops around the multi-cell network by the name of their job."""
LOOP_PEER = "PPO of SB3 on mobile-env medium"
LOOP_PEER_JOB: dict[str, Any] = {"open": "sb3_ppo_mobile", "size": "medium"}


KNOWLEDGE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("true channel, float32", {"estimator": "perfect", "dtype": "float32"}),
    ("default", {}),
)
"""What the network knows in the loops, and the fields that say so."""


def loop_cases(lanes: int, knowledge: Sequence[tuple[str, dict[str, Any]]] = KNOWLEDGE) -> Iterator[Case]:
    """Each loop on the multi-cell network."""
    for loop, title in LOOPS.items():
        for known, fields in knowledge:
            job = {"open": loop, "scenario": "multicell", "lanes": lanes, "fields": fields}
            asked = PLAIN_LOOP if loop == "plain_ppo" and known == "default" else float("nan")
            yield Case(f"{title}, {known}, {lanes_in_words(lanes)}", job, parent_target=asked)
