"""Scenarios: Markov decision processes written as pure functions on arrays."""

from __future__ import annotations

from typing import Any

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


def make_scenario(name: str, config: Configuration | None = None, **fields: Any) -> Scenario:
    """Build a scenario from a whole configuration, from fields, or from both (fields replace those of ``config``).

    Raises ``ValueError`` for an unknown name or field, ``TypeError`` for a configuration of another scenario.
    """
    if name not in SCENARIOS:
        raise ValueError(f"unknown scenario {name!r}: {_suggest(name, list(SCENARIOS))}")
    scenario, config_type = SCENARIOS[name]
    config = config_type() if config is None else config
    if not isinstance(config, config_type):
        raise TypeError(f"`config` must be a {config_type.__name__}, got {type(config).__name__}")
    return scenario(config.with_fields(fields))


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
