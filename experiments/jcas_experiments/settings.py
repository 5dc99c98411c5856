"""What the options ``--preset``, ``--set``, ``--estimator`` and ``--horizon`` make of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jcas_env import make_scenario
from jcas_env.checks import require, suggest
from jcas_env.scenarios import SCENARIOS, Configuration
from jcas_env.scenarios.scenario import Scenario

HORIZON = 20
"""Slots of an episode, unless a preset or an option says otherwise."""


def config_of(name: str, preset: str | None = None, settings: Sequence[str] = ()) -> Configuration:
    """Configuration of a preset, with settings ``FIELD=VALUE`` on top.

    Raises ``ValueError`` or ``TypeError`` that names what is unknown, with the nearest known name, or what a field
    does not take.
    """
    require(name in SCENARIOS, f"unknown scenario {name!r}: {suggest(name, list(SCENARIOS))}")
    config_type = SCENARIOS[name][1]
    fields = dict(_setting(item, config_type) for item in settings)
    return (config_type() if preset is None else config_type.preset(preset)).with_fields(fields)


def build_scenario(
    name: str, preset: str | None, settings: Sequence[str], horizon: int | None, *, default_horizon: int = HORIZON
) -> Scenario:
    """Scenario of :func:`config_of`; its horizon is the option's, else that of a setting or preset, or the default."""
    if preset is None and horizon is None:
        settings = [f"horizon={default_horizon}", *settings]
    elif horizon is not None:
        settings = [*settings, f"horizon={horizon}"]
    return make_scenario(name, config_of(name, preset, settings))


def with_estimator(settings: Sequence[str], estimator: str | None) -> Sequence[str]:
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
