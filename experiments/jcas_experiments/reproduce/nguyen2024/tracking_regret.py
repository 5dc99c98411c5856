"""What foresight is worth to the tracking task of massive MIMO: a figure of our own (spec mimo 7).

The three settings of the specification, the beam one predicted standard deviation off the target in every frame, so
that a dynamic program that knows all gains to come is an upper bound and regret a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from jcas_agents import evaluate
from jcas_baselines import ConstantShare, ExactPerFrame, LeastSensing, Myopic
from jcas_baselines.massive_mimo.clairvoyant import clairvoyant

from jcas_env.scenarios.massive_mimo import MassiveMIMO, MassiveMIMOConfig

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = {
    "tracking-fading": "15 antennas, echo -15 +-6 dB",
    "tracking-steady": "15 antennas, echo -15 dB",
    "tracking-large": "35 antennas, echo -25 +-8 dB",
}
"""Presets, and what they are."""
RULES = {
    "myopic": Myopic("sigma"),
    "least-t": LeastSensing("sigma"),
    "constant-30": ConstantShare("sigma", share=0.3),
    "constant-10": ConstantShare("sigma", share=0.1),
    "exact-per-frame": ExactPerFrame("sigma"),
}
"""Policies of one frame; all plan with the beam error that there is."""


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    episodes = effort.pick(100, 10)
    for setting, name in effort.left(product(SETTINGS, ("clairvoyant", *RULES))):
        scenario = MassiveMIMO(MassiveMIMOConfig.preset(setting))
        best = reward = _best(setting, episodes, effort.seed)
        if name in RULES:
            reward = evaluate(scenario, RULES[name], episodes=episodes, seed=effort.seed).utility
        mean, width = mean_and_interval(reward)
        lost, lost_width = mean_and_interval(best - reward)
        yield {"setting": setting, "allocator": name, "reward": mean, "regret": lost,
               "reward_ci95": width, "regret_ci95": lost_width}  # fmt: skip


@lru_cache(maxsize=1)
def _best(setting: str, episodes: int, seed: int) -> np.ndarray:
    """What the clairvoyant earns; kept for the next rule in the same setting."""
    scenario = MassiveMIMO(MassiveMIMOConfig.preset(setting))
    return np.asarray(clairvoyant(scenario, episodes=episodes, seed=seed).reward)


def _draw(figure: Figure, table: Table) -> None:
    for axes, (setting, label) in zip(figure.subplots(1, 3, sharey=True), SETTINGS.items(), strict=True):
        part = table.where(setting=setting)
        axes.barh(part["allocator"], part["reward"], xerr=part["reward_ci95"], color="C0", alpha=0.7, capsize=3)
        for best in part.where(allocator="clairvoyant")["reward"]:
            axes.axvline(best, color="black", lw=0.8)
        axes.set(xlabel="mean reward of a frame [bit/s/Hz]", title=label)
    figure.axes[0].invert_yaxis()


def _verdict(table: Table) -> list[str]:
    lines = []
    for setting, label in SETTINGS.items():
        part = table.where(setting=setting)
        best = float(part["reward"][0])
        told = ", ".join(
            f"{name} {reward:.2f} (regret {lost:.2f} +-{width:.2f}, {lost / best:.0%})"
            for name, reward, lost, width in zip(
                *(part[column][1:] for column in ("allocator", "reward", "regret", "regret_ci95")), strict=True
            )
        )
        lines.append(f"{label}: clairvoyant {best:.2f}; {told}.")
    return lines


FIGURES = {
    "tracking-regret": FigureRecipe(
        title="Regret of one-frame policies to the clairvoyant bound in target tracking (our own figure)",
        columns=("setting", "allocator", "reward", "regret"),
        extra=("reward_ci95", "regret_ci95"),
        compute=_compute,
        size=lambda effort: len(SETTINGS) * (len(RULES) + 1),  # noqa: ARG005 (FigureRecipe)
        draw=_draw,
        verdict=_verdict,
    )
}
