"""Where a formula is replaced by its compiled loop, and where it is not.

A formula in ``physics`` or ``scenarios`` is written once, for every array library. A few have a second form here: loops
that numba compiles, which keep a user's few numbers in the cache and start once in place of a hundred times. They are
used where numba is installed (the extra ``fast``), arrays are NumPy's in one precision, and nothing says otherwise::

    JCAS_COMPILED=0 python ...                  # never
    NUMBA_DISABLE_JIT=1 python ...              # nor anything else of numba's
    with jcas_env.compiled.dispatch.switched(on=False): ...

Results are those of the formula to rounding (1e-9 relative in double precision, which tests hold): sums are in a fixed
order, nothing depends on the number of threads, and a lane computes what it computes alone. What a loop does not serve
(other libraries, gradients, rare configurations) the formula does.

Loops are compiled when they are first needed, once on a machine: that takes seconds, of which a line on the log tells,
and later processes load them from the user's folder for caches (:mod:`.kept`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from os import environ
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

_state = {"on": environ.get("JCAS_COMPILED", "1") != "0"}


@cache
def _installed() -> bool:
    """Whether numba is there, and compiles; it is imported when a loop is first needed."""
    return find_spec("numba") is not None and environ.get("NUMBA_DISABLE_JIT") in (None, "0")


def is_on() -> bool:
    """Whether formulas are replaced by their loops."""
    return _state["on"] and _installed()


@contextmanager
def switched(*, on: bool) -> Iterator[None]:
    """Inside, formulas are replaced by their loops where numba is installed, or are not."""
    before, _state["on"] = _state["on"], on
    try:
        yield
    finally:
        _state["on"] = before


def compiled(place: str) -> Callable[[Function], Function]:
    """Replace a formula ``name`` by ``name_loop`` of ``jcas_env.compiled.<place>``, where that serves.

    All that is given by position must be NumPy arrays, or NamedTuples that begin with one; the loop takes the same
    arguments, and returns ``NotImplemented`` for what it does not serve. ``formula.__wrapped__`` is the formula.
    """

    def decorate(formula: Function) -> Function:
        """The formula, or its loop."""
        loops: list[Callable[..., Any]] = []

        @wraps(formula)
        def chosen(*arrays: Any, **numbers: Any) -> Any:
            """Decide at each call, by what is given."""
            if not (_state["on"] and _installed()) or not all(_of_numpy(value) for value in arrays):
                return formula(*arrays, **numbers)
            if not loops:
                loops.append(getattr(import_module(f"{__package__}.{place}"), f"{formula.__name__}_loop"))
            result = loops[0](*arrays, **numbers)
            return formula(*arrays, **numbers) if result is NotImplemented else result

        return chosen  # type: ignore[return-value]

    return decorate


def _of_numpy(value: Any) -> bool:
    return type(value) is np.ndarray or (isinstance(value, tuple) and _of_numpy(value[0]))


KINDS = {np.dtype(np.float64): ("float64", "complex128"), np.dtype(np.float32): ("float32", "complex64")}
"""Real and complex numbers of a precision."""
OTHERS = {"d": "float64", "i": "int64", "u": "uint64", "b": "boolean"}
"""Numbers that are the same in both."""


class Loop:
    """A loop that is compiled when it is first called, once for each precision.

    ``arguments`` names what the function takes, in order: ``r``, ``c``, ``d``, ``i``, ``u``, ``b`` (real, complex,
    always double, int64, uint64, bool) with the number of axes, in capitals where the loop writes to it; ``x`` for a
    real number and ``n`` for an integer.
    """

    def __init__(self, function: Callable[..., None], arguments: str) -> None:
        self.function, self.arguments = function, arguments.split()
        self._numbers = [place for place, kind in enumerate(self.arguments) if kind == "x"]
        self._ready: dict[np.dtype, Any] = {}

    def __call__(self, *values: Any) -> None:
        """Run in the precision of the first real or complex array; arrays in C order."""
        precision = next(
            value.real.dtype for value in values if isinstance(value, np.ndarray) and value.dtype.kind in "fc"
        )
        run = self._ready.get(precision)
        if run is None:
            run = self._ready[precision] = self._compile(precision)
        given = list(values)
        for place in self._numbers:
            given[place] = precision.type(values[place])
        run(*given)

    def _compile(self, precision: np.dtype) -> Any:
        import numba
        from numba.core import event

        from .kept import Kept

        real, complex_ = KINDS[precision]
        types = {
            "r": real,
            "c": complex_,
            "d": "float64",
            "i": "int64",
            "u": "uint64",
            "b": "boolean",
            "x": real,
            "n": "int64",
        }

        def stated(kind: str) -> Any:
            one = getattr(numba, types[kind[0].lower()])
            return one if len(kind) == 1 else numba.types.Array(one, int(kind[1]), "C", readonly=kind[0].islower())

        loop = numba.njit(error_model="numpy")(self.function)
        loop._cache = Kept(self.function.__name__)
        with event.install_listener("numba:compile", _announcer()(self.function.__name__)):
            loop.compile(tuple(stated(kind) for kind in self.arguments))
        loop.disable_compile()
        return loop


@cache
def _announcer() -> Any:
    """A listener that tells of a compilation, and not of what comes from the cache."""
    from numba.core.event import Listener

    class Announcer(Listener):
        def __init__(self, name: str) -> None:
            self.name: str | None = name

        def on_start(self, event: Any) -> None:  # noqa: ARG002 (numba's signature)
            if self.name is not None:
                logging.getLogger(__package__).warning("compiling `%s` for this machine, once ...", self.name)
                self.name = None

        def on_end(self, event: Any) -> None:
            """Nothing to tell."""

    return Announcer


def in_order(*arrays: Any) -> list[np.ndarray]:
    """Arrays in C order, as loops take them."""
    return [np.ascontiguousarray(value) for value in arrays]


_PRECISIONS = (frozenset("dDl?"), frozenset("fFl?"))
"""Letters of the types that meet in a loop of double and of single precision."""


def one_precision(*arrays: np.ndarray) -> bool:
    """Whether arrays are of one precision, their whole numbers int64, and all in the processor's order of bytes."""
    letters = {value.dtype.char if value.dtype.isnative else "other" for value in arrays}
    return any(letters <= kinds for kinds in _PRECISIONS)
