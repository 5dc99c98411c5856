"""What ``jcas train`` can learn: a scenario and its reward, the recipe, and what it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from jcas_agents.data.episodes import draw_episodes
from jcas_agents.training.delay import DelayRecipe, DelayTrainer
from jcas_agents.training.mesh import MeshRecipe, MeshTrainer, draw_frames
from jcas_agents.training.multicell import MultiCellTrainer, draw_bank, mixed_configs
from jcas_agents.training.stations import StationTrainer, draw_station_bank
from jcas_agents.training.tracking import TrackingRecipe, TrackingTrainer, draw_tracking
from jcas_agents.training.trainer import Trainer, TrainingRecipe

from jcas_env.checks import require, suggest
from jcas_env.scenarios.massive_mimo import MassiveMIMOConfig
from jcas_env.scenarios.mesh import MeshConfig
from jcas_env.scenarios.multicell import MultiCellConfig

EPISODE = 50
"""Slots of an episode of the delay task."""

Advance = Callable[[int], None]
"""Is told how many scenes are new."""


@dataclass(frozen=True)
class Task:
    """One thing to learn."""

    scenario: str
    """Scenario."""
    reward: str
    """Reward, or objective, in it."""
    recipe: Callable[..., TrainingRecipe]
    """How it is trained unless it is told otherwise."""
    scenes: int
    """Scenes of each configuration, or episodes, likewise."""
    trainer: Callable[[Any, int, Advance], Trainer]
    """Draws what a run is trained on, from recipe and scenes, and sets it up."""
    data: Callable[[int], dict[str, Any]]
    """What it is trained on, for the card."""
    each: Callable[[], int]
    """Steps of the drawing per scene, for the progress bar."""
    local: bool = False
    """Whether base stations decide, each from what it sees."""

    @property
    def name(self) -> str:
        """Name of the policy."""
        return f"{self.scenario}-{self.reward}" + ("-local" if self.local else "")


def delay_configs() -> list[MultiCellConfig]:
    """Networks of the delay task with perfect and with estimated channels; the load is the trainer's."""
    return [MultiCellConfig.preset("delay", estimator=name) for name in ("perfect", "crb")]


def _mixture(reward: str, recipe: TrainingRecipe, scenes: int, advance: Advance) -> Trainer:
    return MultiCellTrainer(draw_bank(mixed_configs(reward=reward), scenes, progress=advance), recipe)


def _stations(recipe: TrainingRecipe, scenes: int, advance: Advance) -> Trainer:
    return StationTrainer(draw_station_bank(mixed_configs(reward="rate"), scenes, progress=advance), recipe)


def _mixture_data(reward: str, scenes: int) -> dict[str, Any]:
    return {"scenes_per_configuration": scenes, "configurations": len(mixed_configs(reward=reward))}


def _delay(recipe: DelayRecipe, scenes: int, advance: Advance) -> Trainer:
    return DelayTrainer(draw_episodes(delay_configs(), scenes, EPISODE, progress=advance), recipe)


def _delay_data(scenes: int) -> dict[str, Any]:
    names = [config.estimator for config in delay_configs()]
    return {"preset": "delay", "estimators": names, "episodes_of_each": scenes, "slots_of_an_episode": EPISODE}


def _mesh(recipe: MeshRecipe, scenes: int, advance: Advance) -> Trainer:
    return MeshTrainer(draw_frames(MeshConfig(), scenes, progress=advance), recipe)


def _tracking(recipe: TrackingRecipe, scenes: int, advance: Advance) -> Trainer:
    config = MassiveMIMOConfig()
    return TrackingTrainer(config, draw_tracking(config, scenes, progress=advance), recipe)


def _plain_data(name: str, scenes: int) -> dict[str, Any]:
    return {name: scenes}


TASKS = (
    *(
        Task(
            "multicell", reward, TrainingRecipe, 111, partial(_mixture, reward), partial(_mixture_data, reward),
            lambda: len(mixed_configs(reward="rate")),
        )
        for reward in ("rate", "fair")
    ),
    Task(
        "multicell", "rate", TrainingRecipe, 112, _stations, partial(_mixture_data, "rate"),
        lambda: len(mixed_configs(reward="rate")), local=True,
    ),
    Task(
        "multicell", "delay", DelayRecipe, 128, _delay, _delay_data, lambda: EPISODE * len(delay_configs()),
    ),
    Task("mesh", "sum", MeshRecipe, 4096, _mesh, partial(_plain_data, "frames"), lambda: 1),
    Task("massive-mimo", "tracking", TrackingRecipe, 1024, _tracking, partial(_plain_data, "episodes"), lambda: 1),
)  # fmt: skip
"""Everything that can be trained, the default reward of a scenario first."""


def task(scenario: str, reward: str | None, *, local: bool = False) -> Task:
    """The task of a scenario and a reward; raises ``ValueError`` that names what there is."""
    known = list(dict.fromkeys(item.scenario for item in TASKS))
    require(scenario in known, f"unknown scenario {scenario!r}: {suggest(scenario, known)}")
    here = {item.reward: item for item in TASKS if item.scenario == scenario and not item.local}
    wanted = next(iter(here)) if reward is None else reward
    require(wanted in here, f"`--reward` of {scenario} must be one of {list(here)}, got {wanted!r}")
    if not local:
        return here[wanted]
    parts = {f"{item.scenario} {item.reward}": item for item in TASKS if item.local}
    chosen = f"{scenario} {wanted}"
    require(chosen in parts, f"`--local` trains {', '.join(parts)}, got {chosen}")
    return parts[chosen]
