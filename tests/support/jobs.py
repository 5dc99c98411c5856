"""Tasks that a worker process imports: what the tests give to a crew."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from jcas_experiments.compare.shared import records_piece
from jcas_experiments.reproduce.shared import tell_rows
from jcas_experiments.score.scores import score_one
from jcas_experiments.train.seeds import train_in_worker


def told_square(tell, *, number):
    tell(("began", number))
    return number**2


def threads(_):
    """Threads for which BLAS is asked in this process."""
    return [os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]


def fault(_):
    raise np.linalg.LinAlgError("no fit")


class TwoArgumentsError(Exception):
    """Cannot be sent to another process: its constructor takes more than it hands on."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def odd_fault(_):
    raise TwoArgumentsError("one", "two")


def dies(folder, times, name="task"):
    """Kill this process, the first few times that it is called with a name."""
    for count in range(times):
        mark = Path(folder) / f"{name}-{count}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def mortal(tell, *, number, folder, times):
    tell(number)
    dies(folder, times, str(number))
    return number


def asleep(tell):
    """Sleep, and say what was kept when somebody interrupts."""
    try:
        tell("asleep")
        time.sleep(60)
    except KeyboardInterrupt:
        return "kept"
    return "slept"


# Tasks of the commands whose worker dies where the file `mortal` says so: how often, and in which task.


def _dies(what):
    name, times = Path("mortal").read_text().split()
    if what == name:
        dies(".", int(times))


def mortal_records(tell, **arguments):
    if arguments["seed"] == 0:  # one of the row's pieces, always the same
        _dies(type(arguments["allocator"]).__name__)
    return records_piece(tell, **arguments)


def mortal_rows(tell, **arguments):
    _dies(str(arguments["numbers"][0]))
    return tell_rows(tell, **arguments)


def mortal_score(tell, **arguments):
    _dies(arguments["rival"])
    return score_one(tell, **arguments)


def mortal_run(tell, *, run):
    _dies(str(run.seed))
    return train_in_worker(tell, run=run)
