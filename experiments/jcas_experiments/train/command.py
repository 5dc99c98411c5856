"""``jcas train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jcas_env.checks import require

from ..console import fail, say, standard_output

if TYPE_CHECKING:
    from .gradient import Run
    from .sb3 import SB3Run
    from .tasks import Task


def train(
    scenario: Annotated[str, typer.Argument(help="Scenario: multicell, mesh, massive-mimo.")] = "multicell",
    algo: Annotated[
        str, typer.Option(help="gradient: through the reward; ppo, sac: Stable-Baselines3, multicell.")
    ] = "gradient",
    reward: Annotated[
        str | None, typer.Option(help="rate, fair or delay in multicell; sum in mesh; tracking in massive-mimo.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates; the recipe's.")] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="Scenes of each configuration, frames or episodes; the recipe's.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="CPU time of a run with ppo or sac.")] = 8.0,
    policy_network: Annotated[str, typer.Option(help="Of ppo and sac: equivariant or mlp.")] = "equivariant",
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
    from jcas_agents.files import NotWrittenError
    from jcas_agents.training.trainer import BadGradientError

    from ..files import alone_in, require_apart, require_writable, write_json
    from .tasks import task

    console, done = standard_output(), list[dict[str, Any]]()
    try:
        require(algo in ("gradient", "ppo", "sac"), f"`--algo` must be gradient, ppo or sac, got {algo!r}")
        known = policy_network in ("equivariant", "mlp")
        require(known, f"`--policy-network` must be equivariant or mlp, got {policy_network!r}")
        chosen = task(scenario, reward)
        parts = (chosen.scenario, chosen.reward, *([] if algo == "gradient" else [algo]))
        parent = Path("results/train") / "-".join(parts) if out is None else out
        runs: list[Run | SB3Run] = [
            _gradient(chosen, parent, number, steps, scenes, stop_after)
            if algo == "gradient"
            else _model_free(chosen, parent, number, algo, policy_network, minutes, scenes)
            for number in range(seed, seed + seeds)
        ]
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
    except ValueError as error:
        fail(error)
    except BadGradientError as error:
        fail(error, 1)
    except OSError as error:  # of ours, which says all, or of a library's own writer
        named = error.filename is not None
        fail(NotWrittenError(f"{error.filename} cannot be written: {error.strerror}") if named else error, 1)


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
    chosen: Task, parent: Path, seed: int, algo: str, network: str, minutes: float, scenes: int | None
) -> SB3Run:
    """A run of Stable-Baselines3, which knows the sum-rate task alone."""
    from .sb3 import SB3Run

    fits = (chosen.scenario, chosen.reward) == ("multicell", "rate")
    require(fits, f"`--algo {algo}` trains multicell for `rate`, got {chosen.scenario} for `{chosen.reward}`")
    return SB3Run(parent / f"seed-{seed}", algo, minutes, seed, 6000 if scenes is None else scenes, network)


def _trained(run: Run | SB3Run, console: Console, *, resume: bool) -> dict[str, Any]:
    """What comes out of a run: whether it is complete, where its policy lies, how it was learned."""
    from .gradient import Run, train_gradient

    if isinstance(run, Run):
        return {"policy": str(run.policy_file), **train_gradient(run, console, resume=resume)}
    from .sb3 import train_sb3

    result = train_sb3(run, console, resume=resume)
    say(
        console,
        f"{run.algo}: {result['over_equal']:.3f} of the equal allocation after {result['steps']} steps and "
        f"{result['cpu_seconds']:.0f} s of CPU time; the constant rule has {result['constant_rule_over_equal']:.3f}",
    )
    return result
