"""Scenarios: Markov decision processes written as pure functions on arrays."""

from __future__ import annotations

from typing import Any

from ..checks import shown as _shown
from ..checks import suggest as _suggest
from .configuration import Configuration
from .massive_mimo import MassiveMIMO, MassiveMIMOConfig
from .mesh import Mesh, MeshConfig
from .multicell import MultiCell, MultiCellConfig
from .scenario import Scenario, ScenarioBase

SCENARIOS: dict[str, tuple[type[Any], type[Configuration]]] = {
    "multicell": (MultiCell, MultiCellConfig),
    "massive-mimo": (MassiveMIMO, MassiveMIMOConfig),
    "mesh": (Mesh, MeshConfig),
}
"""Scenario and configuration by name, as ``jcas compare NAME`` takes it; the environment is called as the class is."""


def make_scenario(scenario: str | Scenario, config: Configuration | None = None, **fields: Any) -> Scenario:
    """Build a scenario from a whole configuration, from fields, or from both (fields replace those of ``config``).

    ``scenario`` is a name, or a scenario that is already built: it is returned as it is, or with fields one like it
    with these in place of its own.

    Raises ``ValueError`` for an unknown name, ``TypeError`` for an unknown field, for a configuration of another
    scenario, and for one beside a scenario that has its own.
    """
    if not isinstance(scenario, str):
        return _rebuilt(scenario, config, fields)
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}: {_suggest(scenario, list(SCENARIOS))}")
    kind, config_type = SCENARIOS[scenario]
    config = config_type() if config is None else config
    if not isinstance(config, config_type):
        raise TypeError(f"`config` must be a {config_type.__name__}, got {type(config).__name__}")
    return kind(config.with_fields(fields))


def _rebuilt(scenario: Scenario, config: Configuration | None, fields: dict[str, Any]) -> Scenario:
    """A scenario with other fields."""
    if not isinstance(scenario, ScenarioBase):
        raise TypeError(f"`scenario` must be a name or a scenario, got {_shown(scenario)}")
    if config is not None:
        raise TypeError(
            f"`config` must be None beside a scenario that is already built, got {_shown(config)}: "
            "a scenario's name takes it"
        )
    if not fields:
        return scenario
    other: Scenario = type(scenario)(scenario.config.with_fields(fields))  # type: ignore[call-arg]
    return other


__all__ = [
    "SCENARIOS",
    "Configuration",
    "MassiveMIMO",
    "MassiveMIMOConfig",
    "Mesh",
    "MeshConfig",
    "MultiCell",
    "MultiCellConfig",
    "Scenario",
    "ScenarioBase",
    "make_scenario",
]
