"""``python -m jcas_experiments`` and ``jcas``: one thread of BLAS and PyTorch, unless the user says otherwise.

The matrices are so small that threads only get in each other's way: training takes four to six times as long with
them. Libraries read the number when they are loaded, so it is set before any of them is.
"""

from __future__ import annotations

import os


def one_thread() -> None:
    """One thread for numerical libraries that are not loaded yet, unless ``OMP_NUM_THREADS`` is set."""
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")


def start() -> None:
    """Entry point of the ``jcas`` command."""
    one_thread()
    from .cli import main

    main()


if __name__ == "__main__":
    start()
