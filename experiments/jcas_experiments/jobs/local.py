"""A crew of processes on this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any, NoReturn

from .crew import THREADS, Answer, LostWorkerError, Task, answered

GRACE = 30.0
"""Seconds that an interrupted worker has to save what it has, before it is killed."""
ATTEMPTS = 2
"""Workers that may die of a task."""


@dataclass(eq=False)
class Worker:
    """A process, the parent's end of the pipe to it, and what it is doing."""

    process: SpawnProcess
    channel: Connection
    task: int | None = None
    """Index of its task; None: it waits for one."""


class LocalCrew:
    """Up to ``size`` processes, started when there is work for them; nothing is shared with them but pipes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.workers: list[Worker] = []

    def __enter__(self) -> LocalCrew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.join()
            worker.channel.close()
        self.workers.clear()

    def work(self, tasks: Sequence[Task], on_told: Callable[[int, Any], None]) -> Iterator[tuple[int, Answer]]:
        """See :meth:`.crew.Crew.work`."""
        waiting: deque[int] = deque()
        deaths: Counter[int] = Counter()
        taken = ended = 0
        try:
            while ended < len(tasks):
                waiting.extend(range(taken, taken := len(tasks)))
                self._give(tasks, waiting)
                for worker in self._ready(None):
                    index = worker.task
                    assert index is not None
                    found = self._heard(worker, on_told)
                    if found is None and worker in self.workers:
                        continue
                    if found is None:
                        deaths[index] += 1
                        if deaths[index] < ATTEMPTS:
                            waiting.appendleft(index)
                            continue
                        found = Answer(error=LostWorkerError(f"{_cause(worker.process)}, twice"))
                    ended += 1
                    yield index, found
        except KeyboardInterrupt:
            yield from self._interrupted(on_told)
            raise

    def _give(self, tasks: Sequence[Task], waiting: deque[int]) -> None:
        """Give every idle worker a task; start as many as there is work for."""
        while waiting:
            worker = next((worker for worker in self.workers if worker.task is None), None)
            if worker is None:
                if len(self.workers) == self.size:
                    return
                self.workers.append(worker := _started())
            try:
                worker.channel.send(tasks[waiting[0]])
            except OSError:  # it died while it had nothing to do
                self._remove(worker)
                continue
            worker.task = waiting.popleft()

    def _ready(self, timeout: float | None) -> list[Worker]:
        """Workers at work of whom there is news, their end included."""
        busy = {worker.channel: worker for worker in self.workers if worker.task is not None}
        return [busy[channel] for channel in connection.wait(list(busy), timeout)]  # type: ignore[index]

    def _heard(self, worker: Worker, on_told: Callable[[int, Any], None]) -> Answer | None:
        """Take one message; None where it was none that ends the task. A dead worker is removed."""
        try:
            message = worker.channel.recv()
        except (EOFError, OSError):
            self._remove(worker)
            return None
        assert worker.task is not None
        if isinstance(message, Answer):
            worker.task = None
            return message
        on_told(worker.task, message[0])
        return None

    def _remove(self, worker: Worker) -> None:
        self.workers.remove(worker)
        worker.channel.close()
        worker.process.join()

    def _interrupted(self, on_told: Callable[[int, Any], None]) -> Iterator[tuple[int, Answer]]:
        """Interrupt all workers, and hear what they still answer."""
        end = monotonic() + GRACE
        for worker in self.workers:
            worker.process.terminate()
        while (rest := end - monotonic()) > 0 and any(worker.task is not None for worker in self.workers):
            for worker in self._ready(rest):
                index = worker.task
                assert index is not None
                found = self._heard(worker, on_told)
                if found is not None:
                    yield index, found


def _cause(process: SpawnProcess) -> str:
    """How a process has ended."""
    code = process.exitcode or 0
    how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit status {code}"
    return f"its worker process ended with {how}"


def _started() -> Worker:
    """A new worker. It is a fresh interpreter: nothing of this process's threads and locks is in it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    with _environment(THREADS):
        process.start()
    theirs.close()
    return Worker(process, ours)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Let processes that start in this block have other environment variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


# ---------------------------------------------------------------- in the worker


def _serve(channel: Connection) -> None:
    """Do tasks until the parent closes the pipe or interrupts.

    A terminal sends Ctrl-C to all processes: the parent alone heeds it, and interrupts its workers by SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            task = channel.recv()
            found = answered(task, lambda told: channel.send((told,)))
            channel.send(found)


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: it is saving now
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End this process with its parent, however that ends."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
