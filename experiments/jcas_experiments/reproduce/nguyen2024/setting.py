"""Setting of nguyen2024 Figs. 1 to 3: random layouts, and the allocators of the three curves (spec mimo 3, 5).

"Proposed" is the exact optimum: the paper's problem (19) has a closed form, which its Algorithm 1 approaches.
"""

from __future__ import annotations

from typing import Any

from jcas_baselines import EqualAllocation, Exact

from jcas_env.scenarios.massive_mimo import MassiveMIMO, MassiveMIMOConfig, MassiveMIMOProblem
from jcas_env.scenarios.massive_mimo.state import State

METHODS = {
    "proposed": Exact(),
    "equal_power": EqualAllocation(reading="equal-power"),
    "equal_full": EqualAllocation(reading="equal-full"),
}
"""The three curves of the paper."""
LABELS = {
    "proposed": "proposed (exact optimum)",
    "equal_power": "equal power",
    "equal_full": "equal & full power",
    "equal_half": "half for sensing, equal",
    "equal_stream": "equal stream powers",
}


def layouts(count: int, seed: int, **fields: Any) -> tuple[MassiveMIMO, State]:
    """``count`` random layouts of the paper's setting; layout i is drawn with seed + i."""
    scenario = MassiveMIMO(MassiveMIMOConfig.preset("nguyen2024", **fields))
    return scenario, scenario.sample(range(seed, seed + count))


def problems(count: int, seed: int, **fields: Any) -> MassiveMIMOProblem:
    """The problems of :func:`layouts`, one batch."""
    scenario, state = layouts(count, seed, **fields)
    return scenario.problem(state)
