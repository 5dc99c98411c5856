"""``jcas train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jcas_env.scenarios.scenario import require


def train(
    scenario: Annotated[str, typer.Argument(help="Scenario: multicell.")] = "multicell",
    algo: Annotated[str, typer.Option(help="gradient: analytic policy gradient through the reward.")] = "gradient",
    reward: Annotated[str, typer.Option(help="rate, fair or delay.")] = "rate",
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; 3600, or 1000 for delay.")] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Scenes of each of the 117 configurations, 111; episodes of each of 2 for delay, 128."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, one run after the other.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="First training seed.")] = 0,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Step at which to stop before the schedule ends.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs in DIR.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs.")] = Path("results/train"),
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write curves and cards as JSON.")] = None,
) -> None:
    """Train a policy; state and policy are saved every few seconds, and Ctrl-C keeps them."""
    from jcas_agents.delay import DelayRecipe
    from jcas_agents.gradient import BadGradientError, Recipe

    from .files import write_json
    from .train import Run
    from .train import train as run_training

    console, runs = Console(), []
    try:
        require(scenario == "multicell", f"`scenario` must be multicell, got {scenario!r}: no policy for others yet")
        require(algo == "gradient", f"`--algo` must be gradient, got {algo!r}")
        require(reward in ("rate", "fair", "delay"), f"`--reward` must be rate, fair or delay, got {reward!r}")
        kind, count = (DelayRecipe, 128) if reward == "delay" else (Recipe, 111)
        for number in range(seed, seed + seeds):
            recipe = kind(seed=number) if steps is None else kind(steps=steps, seed=number)
            run = Run(out / f"seed-{number}", reward, recipe, count if scenes is None else scenes, stop_after)
            complete = run_training(run, console, resume=resume and run.state_file.exists())
            console.print(f"policy: {run.policy_file}", highlight=False)
            runs.append({"policy": str(run.policy_file), "complete": complete, **run.result()})
            if json is not None:
                write_json(json, {"runs": runs})
            if not complete:
                raise typer.Exit(130)
    except (ValueError, BadGradientError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
