"""``jcas train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jcas_env.checks import require

from ..console import fail, say, standard_output

if TYPE_CHECKING:
    from .arenas import Arena


def train(
    scenario: Annotated[str, typer.Argument(help="Scenario: multicell, mesh, massive-mimo.")] = "multicell",
    algo: Annotated[str, typer.Option(help="gradient: through the reward; ppo, sac: Stable-Baselines3.")] = "gradient",
    reward: Annotated[
        str | None,
        typer.Option(
            help="rate, fair or delay in multicell; sum in mesh; tracking in massive-mimo. "
            "With ppo and sac also log; frame, constrained."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any config field, with ppo and sac; repeatable."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; the recipe's.")] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="Scenes of each configuration, frames or episodes; the recipe's.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="CPU time of a run with ppo or sac.")] = 8.0,
    policy_network: Annotated[
        str | None, typer.Option(help="Of ppo and sac: equivariant, where it fits (multicell without queues), or mlp.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, one run after the other.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="First training seed.")] = 0,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Step at which to stop before the schedule ends.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs in DIR.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; results/train/SCENARIO-REWARD[-ALGO].")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write curves and cards as JSON.")] = None,
) -> None:
    """Train a policy; state and policy are saved every few seconds, and Ctrl-C keeps them."""
    from jcas_agents.training.trainer import BadGradientError

    from ..files import alone_in, require_writable, write_json
    from .gradient import Run, train_gradient
    from .tasks import task

    console, runs = standard_output(), []
    try:
        require(algo in ("gradient", "ppo", "sac"), f"`--algo` must be gradient, ppo or sac, got {algo!r}")
        chosen: Any
        if algo == "gradient":
            for option, given in (("--set", set_), ("--policy-network", policy_network)):
                require(not given, f"`{option}` is for ppo and sac: the gradient has tasks of its own")
            chosen = task(scenario, reward)
        else:
            from .arenas import arena

            chosen = arena(scenario, reward, policy_network, set_ or [])
        require_writable("--json", json)
        parts = (chosen.scenario, chosen.reward, *([] if algo == "gradient" else [algo]))
        parent = Path("results/train") / "-".join(parts) if out is None else out
        for number in range(seed, seed + seeds):
            folder = parent / f"seed-{number}"
            require_writable("--out", folder / "curve.json")
            with alone_in(folder):
                if algo == "gradient":
                    recipe = chosen.recipe(seed=number, **({} if steps is None else {"steps": steps}))
                    run = Run(folder, chosen, recipe, chosen.scenes if scenes is None else scenes, stop_after)
                    again = resume and _has_state(run.state_file, console)
                    runs.append({"policy": str(run.policy_file), **train_gradient(run, console, resume=again)})
                else:
                    runs.append(_model_free(algo, chosen, folder, minutes, number, scenes, resume, console))
            if json is not None:
                write_json(json, {"runs": runs})
            say(console, f"policy: {runs[-1]['policy']}")
            if not runs[-1]["complete"]:
                raise typer.Exit(130)
    except (TypeError, ValueError) as error:
        fail(error)
    except (BadGradientError, OSError) as error:
        fail(error, 1)


def _has_state(path: Path, console: Console) -> bool:
    """Whether there is a run to go on with; says so where there is none."""
    if not path.exists():
        say(console, f"no run to go on with in {path.parent}: a new one begins")
    return path.exists()


def _model_free(
    algo: str,
    chosen: Arena,
    folder: Path,
    minutes: float,
    seed: int,
    scenes: int | None,
    resume: bool,
    console: Console,
) -> dict[str, Any]:
    """A run of Stable-Baselines3."""
    from .sb3 import SB3Run, train_sb3

    require(scenes is None or chosen.one_slot, "`--scenes` is of a bank of frozen scenes: this task plays on lanes")
    run = SB3Run(folder, chosen, algo, minutes, seed, 6000 if scenes is None else scenes)
    result = train_sb3(run, console, resume=resume and _has_state(run.state_file, console))
    rule = result["constant_rule_over_equal"]
    by = "of the equal allocation" if chosen.built.config.ratio_scale else "more than the equal allocation"
    beside = "" if rule is None else f"; the constant rule has {rule:.3f}"
    say(
        console,
        f"{algo}: {result['over_equal']:.3f} {by} after {result['steps']} steps and "
        f"{result['cpu_seconds']:.0f} s of CPU time{beside}",
    )
    return result
