"""A crew of Ray's workers: on this machine (address ``local``) or on a cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from jcas_env.checks import require

from .crew import THREADS, Answer, LostWorkerError, Task, answered
from .local import ATTEMPTS, GRACE

CONNECT = 10.0
"""Seconds in which a cluster has to answer."""


class RayCrew:
    """Tasks of one CPU each, ``size`` at a time; without a size as many as the cluster has CPUs.

    The nodes must have this package, and a policy's run folder must be on a disk that they share. What tasks tell comes
    with their answers.
    """

    def __init__(self, address: str, size: int | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _require_somebody(address)
        local: dict[str, Any] = {"num_cpus": size, "include_dashboard": False} if address == "local" else {}
        workers = {"runtime_env": {"env_vars": THREADS}}
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local, **workers)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ValueError(f"`--ray {address}`: {str(error).splitlines()[0]}") from None
        self.size = size or int(ray.cluster_resources().get("CPU", 0))
        require(self.size >= 1, f"`--ray {address}`: the cluster has no CPU")
        self.remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_answer)

    def __enter__(self) -> RayCrew:
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def work(self, tasks: Sequence[Task], on_told: Callable[[int, Any], None]) -> Iterator[tuple[int, Answer]]:
        """See :meth:`.crew.Crew.work`."""
        running: dict[Any, int] = {}
        begun = 0
        try:
            while running or begun < len(tasks):
                while begun < len(tasks) and len(running) < self.size:
                    running[self.remote.remote(tasks[begun])] = begun
                    begun += 1
                (reference,), _ = ray.wait(list(running), num_returns=1)
                yield self._received(reference, running.pop(reference), on_told)
        except KeyboardInterrupt:
            for reference in running:
                ray.cancel(reference)
            ended, _ = ray.wait(list(running), num_returns=len(running), timeout=GRACE) if running else ([], [])
            for reference in ended:
                index, found = self._received(reference, running[reference], on_told)
                if not isinstance(found.error, LostWorkerError):
                    yield index, found
            raise

    @staticmethod
    def _received(reference: Any, index: int, on_told: Callable[[int, Any], None]) -> tuple[int, Answer]:
        try:
            told, found = ray.get(reference)
        except RayError as error:
            # Ray has tried again by now.
            return index, Answer(error=LostWorkerError(f"its Ray worker ended: {str(error).splitlines()[0]}"))
        for value in told:
            on_told(index, value)
        return index, found


def _require_somebody(address: str) -> None:
    """Raise ``ValueError`` where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, separator, port = address.rpartition(":")
    if not separator or "/" in address:
        return
    try:
        socket.create_connection((host, int(port)), CONNECT).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"`--ray {address}`: no Ray cluster answers there ({error})") from None


def _answer(task: Task) -> tuple[list[Any], Answer]:
    """Do a task on a node."""
    told: list[Any] = []
    return told, answered(task, told.append)
