"""Settings on which the rewards of a scenario are learned from, and judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jcas_env.scenarios.scenario import Scenario

from ..settings import build_scenario


class Setup(NamedTuple):
    """Settings of a scenario on which a reward is learned."""

    preset: str | None
    settings: tuple[str, ...]


SETUPS: dict[str, dict[str, Setup]] = {
    "multicell": {
        "rate": Setup("luo2023-static", ("reward=rate",)),
        "fair": Setup("luo2023-static", ("reward=fair",)),
        "delay": Setup("delay", ("reward=delay",)),
    },
    "mesh": {objective: Setup(None, (f"objective={objective}",)) for objective in ("sum", "log")},
    "massive-mimo": {
        reward: Setup(None, ("horizon=50", f"reward={reward}")) for reward in ("tracking", "frame", "constrained")
    },
}
"""By scenario and reward, or objective; the default reward of a scenario first."""


def built_setup(scenario: str, reward: str, settings: Iterable[str] = ()) -> Scenario:
    """The scenario on which a reward is learned, with other settings on top."""
    preset, given = SETUPS[scenario][reward]
    return build_scenario(scenario, preset, [*given, *settings], None)
