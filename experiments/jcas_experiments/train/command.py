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
    from .gradient import Run
    from .sb3 import SB3Run
    from .tasks import Task


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
    local: Annotated[
        bool, typer.Option("--local", help="Base stations decide, each from what it sees; multicell, rate, gradient.")
    ] = False,
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

    from ..files import alone_in, require_apart, require_writable, write_json
    from .tasks import task

    console, done = standard_output(), list[dict[str, Any]]()
    try:
        require(algo in ("gradient", "ppo", "sac"), f"`--algo` must be gradient, ppo or sac, got {algo!r}")
        require(not local or algo == "gradient", f"`--local` is trained by gradient, got `--algo {algo}`")
        runs: list[Run] | list[SB3Run]
        if algo == "gradient":
            for option, given in (("--set", set_), ("--policy-network", policy_network)):
                require(not given, f"`{option}` is for ppo and sac: the gradient has tasks of its own")
            chosen = task(scenario, reward, local=local)
            parent = out or Path("results/train") / chosen.name
            runs = [_gradient(chosen, parent, number, steps, scenes, stop_after) for number in range(seed, seed + seeds)]
        else:
            from .arenas import arena

            played = arena(scenario, reward, policy_network, set_ or [])
            parent = out or Path("results/train") / f"{played.scenario}-{played.reward}-{algo}"
            runs = [_model_free(played, parent, number, algo, minutes, scenes) for number in range(seed, seed + seeds)]
        written = {f"{path.name}:": path for run in runs for path in run.files}
        require_apart({"--json": json, **written})
        require_writable("--json", json)
        for run in runs:
            for path in run.files:
                require_writable("--out", path)
            with alone_in(run.folder):
                done.append(_trained(run, console, resume=resume and _has_state(run, console)))
            if json is not None:
                write_json(json, {"runs": done})
            say(console, f"policy: {done[-1]['policy']}")
            if not done[-1]["complete"]:
                raise typer.Exit(130)
    except (TypeError, ValueError) as error:
        fail(error)
    except (BadGradientError, OSError) as error:
        fail(error, 1)


def _has_state(run: Run | SB3Run, console: Console) -> bool:
    """Whether there is a run to go on with; says so where there is none."""
    if not run.state_file.exists():
        say(console, f"no run to go on with in {run.folder}: a new one begins")
    return run.state_file.exists()


def _gradient(
    chosen: Task, parent: Path, seed: int, steps: int | None, scenes: int | None, stop_after: int | None
) -> Run:
    """A run of the analytic policy gradient."""
    from .gradient import Run

    recipe = chosen.recipe(seed=seed, **({} if steps is None else {"steps": steps}))
    return Run(parent / f"seed-{seed}", chosen, recipe, chosen.scenes if scenes is None else scenes, stop_after)


def _model_free(
    chosen: Arena, parent: Path, seed: int, algo: str, minutes: float, scenes: int | None
) -> SB3Run:
    """A run of Stable-Baselines3."""
    from .sb3 import SB3Run

    require(scenes is None or chosen.one_slot, "`--scenes` is of a bank of frozen scenes: this task plays on lanes")
    return SB3Run(parent / f"seed-{seed}", chosen, algo, minutes, seed, 6000 if scenes is None else scenes)


def _trained(run: Run | SB3Run, console: Console, *, resume: bool) -> dict[str, Any]:
    """What comes out of a run: whether it is complete, where its policy lies, how it was learned."""
    from .gradient import Run, train_gradient

    if isinstance(run, Run):
        return {"policy": str(run.policy_file), **train_gradient(run, console, resume=resume)}
    from .sb3 import train_sb3

    result = train_sb3(run, console, resume=resume)
    rule = result["constant_rule_over_equal"]
    by = "of the equal allocation" if run.arena.built.config.ratio_scale else "more than the equal allocation"
    beside = "" if rule is None else f"; the constant rule has {rule:.3f}"
    say(
        console,
        f"{run.algo}: {result['over_equal']:.3f} {by} after {result['steps']} steps and "
        f"{result['cpu_seconds']:.0f} s of CPU time{beside}",
    )
    return result
