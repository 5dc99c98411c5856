"""Options that the commands have in common, and the crew that they ask for."""

from __future__ import annotations

from typing import Annotated

import typer

from .crew import Crew
from .local import LocalCrew

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, metavar="N", help="Processes that share the seeds; the numbers stay the same."),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Share them on a Ray cluster instead; `local`: on this machine."),
]


def crew_of(jobs: int | None, ray: str | None) -> Crew | None:
    """The crew that is asked for; None where the command is to do its work itself.

    Raises ``ValueError`` where no Ray cluster answers, ``ModuleNotFoundError`` without Ray.
    """
    if ray is not None:
        from .cluster import RayCrew

        return RayCrew(ray, jobs)
    return LocalCrew(jobs) if jobs is not None and jobs > 1 else None
