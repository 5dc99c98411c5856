"""Gymnasium spaces of a scenario."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from gymnasium import spaces

from ..scenarios.scenario import ArraySpec, Scenario


def observation_space(scenario: Scenario) -> spaces.Space:
    """Box, or Dict of Boxes, float32 with finite bounds."""
    spec = scenario.observation_spec
    if isinstance(spec, Mapping):
        return spaces.Dict({name: _box(part) for name, part in spec.items()})
    return _box(spec)


def action_space(scenario: Scenario) -> spaces.Box:
    """Symmetric Box in [-1, 1], float32."""
    return spaces.Box(-1.0, 1.0, (scenario.action_size,), np.float32)


def _box(spec: ArraySpec) -> spaces.Box:
    return spaces.Box(spec.low, spec.high, spec.shape, np.float32)
