"""``jcas train``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jcas_env.checks import require

from ..console import complain, fail, say, standard_output
from ..files import write_json
from ..jobs.crew import Crew, LostWorkerError
from ..jobs.options import Jobs, RayAddress, crew_of

if TYPE_CHECKING:
    from .seeds import SeedRun


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
    minutes: Annotated[float | None, typer.Option(min=0.01, help="CPU time of a run with ppo or sac; 8.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Base stations decide, each from what it sees; multicell, rate, gradient.")
    ] = False,
    policy_network: Annotated[
        str | None, typer.Option(help="Of ppo and sac: equivariant, where it fits (multicell without queues), or mlp.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, a run each.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="First training seed.")] = 0,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Step at which to stop before the schedule ends.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the runs in DIR.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; results/train/SCENARIO-REWARD[-ALGO].")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write curves and cards as JSON.")] = None,
    jobs: Jobs = None,
    ray: RayAddress = None,
) -> None:
    """Train a policy; state and policy are saved every few seconds, and Ctrl-C keeps them."""
    from jcas_agents.files import NotWrittenError
    from jcas_agents.training.trainer import BadGradientError

    from ..files import require_apart, require_writable
    from .seeds import SeedRun

    try:
        require(algo in ("gradient", "ppo", "sac"), f"`--algo` must be gradient, ppo or sac, got {algo!r}")
        settings = tuple(set_ or [])
        asked = partial(
            SeedRun, scenario, reward, algo, policy_network, settings, local, steps, scenes, minutes, stop_after, resume
        )
        runs = [asked(number, out) for number in range(seed, seed + seeds)]
        written = [path for run in runs for path in run.planned().files]
        require_apart({"--json": json, **{f"{path.parent.name}/{path.name}:": path for path in written}})
        require_writable("--json", json)
        for path in written:
            require_writable("--out", path)
        crew = crew_of(jobs, ray)
        if crew is None:
            _one_by_one(runs, json)
        else:
            _shared(crew, runs, json)
    except (TypeError, ValueError) as error:
        fail(error)
    except BadGradientError as error:
        fail(error, 1)
    except OSError as error:  # of ours, which says all, or of a library's own writer
        named = error.filename is not None
        fail(NotWrittenError(f"{error.filename} cannot be written: {error.strerror}") if named else error, 1)


def _one_by_one(runs: list[SeedRun], json: Path | None) -> None:
    """Train seed after seed."""
    console, reports = standard_output(), Reports(json)
    for run in runs:
        reports.add(run.seed, run.train(console))
        say(console, f"policy: {reports.of[run.seed]['policy']}")
        if not reports.of[run.seed]["complete"]:
            raise typer.Exit(130)


def _shared(crew: Crew, runs: list[SeedRun], json: Path | None) -> None:
    """Train all seeds by a crew; one that fails does not stop the others."""
    from .seeds import share_runs

    console, reports = standard_output(), Reports(json)

    def on_result(index: int, result: dict[str, Any]) -> None:
        reports.add(runs[index].seed, result)
        say(console, f"policy: {result['policy']}")

    with crew:
        errors, complete = share_runs(crew, runs, console, on_result)
    for index in sorted(errors):
        lost = "LOST, " if isinstance(errors[index], LostWorkerError) else ""
        reports.errors[str(runs[index].seed)] = f"{lost}{errors[index]}"
        complain(f"seed {runs[index].seed}: {lost}{errors[index]}")
    reports.write()
    if not complete or not all(result["complete"] for result in reports.of.values()):
        say(console, f"interrupted: {len(reports.of)} of {len(runs)} runs have a policy; go on with --resume")
        raise typer.Exit(130)
    if errors:
        raise typer.Exit(2 if all(isinstance(error, ValueError) for error in errors.values()) else 1)


class Reports:
    """What ``--json`` writes, anew after each run."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.of: dict[int, dict[str, Any]] = {}
        """By seed."""
        self.errors: dict[str, str] = {}

    def add(self, seed: int, result: dict[str, Any]) -> None:
        """Add the report of a run."""
        self.of[seed] = result
        self.write()

    def write(self) -> None:
        """Write what there is; seeds without a run, with the reason, only where there are some."""
        if self.path is not None:
            missing = {"missing": self.errors} if self.errors else {}
            write_json(self.path, {"runs": [self.of[number] for number in sorted(self.of)], **missing})
