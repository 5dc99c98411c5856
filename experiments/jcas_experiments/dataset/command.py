"""``jcas dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from jcas_env.checks import require
from jcas_env.scenarios import SCENARIOS

from ..allocators import refuse_now, refuses
from ..console import Bars, fail, say, standard_output
from ..files import alone_in, require_writable, write_json
from ..scenarios.registry import roster_of
from ..settings import HORIZON, build_scenario
from .card import card_of
from .finished import Finished, Place, datasets_root, packed_columns, require_name
from .minari_form import name_namespaces, require_minari, write_minari
from .recording import Recording, joined, play_all, try_first_slot
from .reference import references

FORMS = ("both", "minari", "npz")
"""What is written."""


def dataset(
    scenario: Annotated[str, typer.Argument(help=f"Scenario: {', '.join(SCENARIOS)}.")] = "multicell",
    allocator: Annotated[
        str | None, typer.Option(help="Whose episodes: a name as in `jcas compare`; the task's reference.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Policy of `jcas train`, or name of a shipped one, instead.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes.")] = 50,
    horizon: Annotated[
        int | None, typer.Option(min=1, help=f"Slots of an episode; {HORIZON}, or what the preset says.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings by name, e.g. luo2023-static.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any config field; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Episode i is drawn with seed + i.")] = 0,
    bound: Annotated[
        bool, typer.Option("--bound", help="Also bound every slot, and count the bound as 1 (seconds a slot).")
    ] = False,
    reference: Annotated[
        str | None, typer.Option(help="Allocator that counts as 1 if it earns most; the task's reference.")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="NAME", help="Id of the dataset; jcas/SCENARIO-ALLOCATOR-v0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of datasets; MINARI_DATASETS_PATH, or Minari's own.")
    ] = None,
    form: Annotated[str, typer.Option(help=f"What is written: {', '.join(FORMS)}.")] = "both",
    resume: Annotated[bool, typer.Option("--resume", help="Take over the episodes that have finished.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset of this id.")] = False,
) -> None:
    """Record episodes of an allocator for learning from data, as a Minari dataset and as plain npz.

    A row is a slot: observation, the action that stands for the allocation, reward, and the allocation with its
    utility, objective, bound, status and time. Ctrl-C keeps finished episodes, from which --resume goes on.
    """
    console = standard_output()
    try:
        require(form in FORMS, f"`--form` must be one of {', '.join(FORMS)}, got {form!r}")
        if form != "npz":
            require_minari()
        recording, rival = _recording(scenario, allocator, policy, preset, set_ or [], horizon, seed, bound, reference)
        name = id_ or f"jcas/{scenario}-{recording.who.removeprefix(scenario + '-')}-v0"
        require_name(name)
        place = Place(datasets_root(out) / name)
        require(force or not place.folder.exists(), f"{place.folder} exists; with `--force` it is replaced")
        require_writable("--out", place.growing / "episodes.json")
        _require_recordable(recording)
        refuse_now(recording.scenario, recording.roster, [rival], seed=seed)
        with alone_in(place.growing):
            finished = Finished(place.growing, recording, resume=resume)
            complete = record_all(recording, episodes, finished, console)
            if complete:
                lines = _write(name, recording, episodes, finished, place, form, rival)
    except ValueError as error:
        fail(error)
    except OSError as error:
        fail(error, 1)
    if not complete:
        say(console, f"interrupted: {len(finished.list.rows)} of {episodes} episodes finished; go on with --resume")
        raise typer.Exit(130)
    place.clean()
    for line in lines:
        say(console, line)


def _recording(
    name: str,
    allocator: str | None,
    policy: Path | None,
    preset: str | None,
    settings: list[str],
    horizon: int | None,
    seed: int,
    bound: bool,
    reference: str | None,
) -> tuple[Recording, str]:
    """What is recorded, and to whom it is compared."""
    require(allocator is None or policy is None, "`--allocator` and `--policy` both say who plays")
    try:
        built = build_scenario(name, preset, settings, horizon)
    except TypeError as error:  # an unknown field
        raise ValueError(error) from None
    roster = roster_of(name).for_task(built.config).with_policies([] if policy is None else [policy])
    who = roster.always[0] if policy is not None else allocator or roster.reference
    rival = reference or roster.reference
    for option in (who, rival):
        roster.require_known(option)
    return Recording(name, built, who, roster.make(who), roster, seed, bound), rival


def _require_recordable(recording: Recording) -> None:
    """Raise ``ValueError`` where the allocator refuses the problem, or chooses what no action stands for."""
    try:
        try_first_slot(recording)
    except (TypeError, ValueError) as error:
        if not refuses(error):
            raise
        raise ValueError(f"{recording.who} cannot be recorded here: {error}") from None


def record_all(recording: Recording, episodes: int, finished: Finished, console: Console) -> bool:
    """Record what is not finished, with a bar; False where Ctrl-C has ended it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as progress:
        task = progress.add_task(recording.who, total=episodes, completed=sum(i in finished for i in range(episodes)))

        def keep(episode: int, table: Any) -> None:
            finished.keep(episode, table)
            progress.advance(task)

        try:
            play_all(recording, episodes, done=finished.__contains__, keep=keep)
        except KeyboardInterrupt:
            return False
    return True


def _write(
    name: str, recording: Recording, episodes: int, finished: Finished, place: Place, form: str, rival: str
) -> list[str]:
    """Write the dataset whole and put it in its place; returns what to say of it."""
    whole = place.new()
    table = joined(recording, [finished.read(episode) for episode in range(episodes)])
    scores = references(recording, episodes, table, rival)
    card = card_of(name, recording, episodes, table, scores)
    write_json(whole / "card.json", card)
    if form != "minari":
        (whole / "table.npz").write_bytes(packed_columns(table))
    if form != "npz":
        one_by_one = (finished.read(episode) for episode in range(episodes))
        write_minari(whole / "data", name, recording, one_by_one, scores, card)
    place.install(whole)
    if form != "npz":
        name_namespaces(place.folder.parents[name.count("/")], name)
    score = card["score"]["normalised"]
    told = "no score: nobody earns more than the least" if score is None else f"normalised score {score:.3f}"
    low, high = scores.ends
    span = f"0: {scores.least_by} {low:.4g}, 1: {scores.best_by} {high:.4g}"
    loss = card["encoding_loss"]
    return [
        f"dataset: {place.folder}",
        f"{episodes} episodes of {recording.scenario.horizon} slots, {told} ({span} an episode)",
        f"encoding as actions loses {loss['mean']:.3g} of the reward a slot, at most {loss['largest']:.3g}",
    ]
