"""What commands are told about a scenario, as the scenario that it means."""

from __future__ import annotations

from typing import Any

from jcas_env import make_scenario
from jcas_env.checks import require, suggest
from jcas_env.scenarios import SCENARIOS, Configuration
from jcas_env.scenarios.scenario import Scenario

HORIZON = 20
"""Slots of an episode, unless a preset or an option says otherwise."""


def built_scenario(name: str, preset: str | None, settings: list[str], horizon: int | None) -> Scenario:
    """Build a scenario from a preset, the settings on top, and the horizon on top of both."""
    if name not in SCENARIOS:
        raise ValueError(f"unknown scenario {name!r}: {suggest(name, list(SCENARIOS))}")
    config_type = SCENARIOS[name][1]
    fields = dict(_setting(item, config_type) for item in settings)
    if preset is None:
        fields = {"horizon": HORIZON, **fields}
        config = config_type()
    else:
        config = config_type.preset(preset)
    if horizon is not None:
        fields["horizon"] = horizon
    return make_scenario(name, config, **fields)


def with_estimator(settings: list[str], estimator: str | None) -> list[str]:
    """Settings with the one of `--estimator`; raises ``ValueError`` where both name it."""
    if estimator is None:
        return settings
    twice = [item for item in settings if item.partition("=")[0].strip() == "estimator"]
    require(not twice, f"`--estimator {estimator}` and `--set {''.join(twice[:1])}` both choose the estimator")
    return [*settings, f"estimator={estimator}"]


def _setting(item: str, config_type: type[Configuration]) -> tuple[str, Any]:
    """Split FIELD=VALUE; the value is read as what the field takes."""
    name, separator, text = (part.strip() for part in item.partition("="))
    if not separator or not name:
        raise ValueError(f"`--set` takes FIELD=VALUE, got {item!r}")
    return name, config_type.parse(name, text)
