"""What a solver is and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import singledispatch, wraps
from math import inf
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
from array_api_compat import array_namespace

from jcas_env.checks import require
from jcas_env.tree import tree_map
from jcas_env.types import Array, Status, is_array

P = TypeVar("P")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Solution:
    """Answer of a solver, one per batch element.

    ``objective`` and ``bound`` belong to the solver's own stated model, which its docstring names; how good
    the allocation really is, ``problem.utility`` on the truth says.
    """

    allocation: Any
    """Allocation of the problem's type; NaN where the status is INFEASIBLE."""
    objective: Array
    """(...,): value of the stated model at the allocation, larger is better."""
    bound: Array
    """(...,): upper bound on the stated model's optimum; inf where the method has none."""
    status: Array
    """(...,) integer: codes of :class:`jcas_env.Status`, the weakest claim over cells and services."""
    iterations: Array
    """(...,) integer: iterations, the most over cells and services."""
    details: dict[str, Array] = field(default_factory=dict)
    """Figures of the method, e.g. ``positioning_share`` (..., cells), ``least_share`` where infeasible."""

    @classmethod
    def unproven(cls, allocation: Any, objective: Array, details: dict[str, Array], *, iterations: int = 0) -> Solution:
        """An answer that keeps the constraints and claims nothing: FEASIBLE, no bound."""
        xp = array_namespace(objective)
        count = xp.full_like(objective, iterations, dtype=xp.int64)
        status = xp.full_like(count, int(Status.FEASIBLE))
        return cls(allocation, objective, xp.full_like(objective, inf), status, count, details)

    def struck(self, lost: Array, *figures: str) -> Solution:
        """The same answer, where ``lost`` (...,) bool holds no answer: status INFEASIBLE.

        Real numbers of the allocation, objective and bound are NaN there, and so are the named ``figures`` of the
        details; all others stay, because they say why. Allocation and figures have the batch axes in front.
        """
        xp = array_namespace(self.objective)

        def strike(value: Any) -> Any:
            if not is_array(value) or not xp.isdtype(value.dtype, "real floating"):
                return value
            where = xp.reshape(lost, (*lost.shape, *(1,) * (value.ndim - lost.ndim)))
            return xp.where(where, float("nan"), value)

        return Solution(
            tree_map(strike, self.allocation),
            strike(self.objective),
            strike(self.bound),
            xp.where(lost, int(Status.INFEASIBLE), self.status),
            self.iterations,
            self.details | {name: strike(self.details[name]) for name in figures},
        )


class Solver(Protocol):
    """An immutable set of hyper-parameters with one verb."""

    def solve(self, problem: Any) -> Solution:
        """Allocate; raises ``TypeError`` for a problem type that the method does not support."""
        ...


class Method:
    """Base of the solvers: a frozen dataclass of options whose ``solve`` dispatches on the type of the problem.

    A scenario registers its answer, a function of the problem and the method, and with it the options that are the
    scenario's own::

        @GBD.register(MeshProblem, cuts="valid", bins=8, whole=True)
        def _(problem: MeshProblem, method: Any) -> Solution: ...

    An own option is None where it was not set; in the answer the default that was registered stands in its place.
    Options that no registration names are for every type. A subclass starts with the answers that its base has when it
    is defined.
    """

    _answers: ClassVar[Any]
    """Single-dispatch function of a problem and a method."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherited = _registered(cls) if hasattr(cls, "_answers") else {}
        cls._answers = singledispatch(_unsupported)
        for kind, answer in inherited.items():
            cls._answers.register(kind, answer)

    @classmethod
    def register(cls, kind: type, /, **own: Any) -> Callable[[F], F]:
        """Decorator of the answer to problems of a type; ``own``: its own options, with their defaults."""

        def add(answer: F) -> F:
            cls._answers.register(kind, _Answer(answer, own))
            return answer

        return add

    @classmethod
    def knows(cls, kind: type) -> bool:
        """Whether there is an answer to problems of a type."""
        return cls._answers.dispatch(kind) is not _unsupported

    def solve(self, problem: Any) -> Solution:
        """Solve a batch; see :class:`Solution`.

        Raises ``TypeError`` for a problem type without an answer, which lists those that have one, and ``ValueError``
        for an option that is another type's own.
        """
        solution: Solution = type(self)._answers(problem, self)
        return solution


class _Answer(NamedTuple):
    """Answer of a method to a type of problem, and defaults of the options that are the type's own."""

    solve: Callable[[Any, Any], Solution]
    own: dict[str, Any]

    def __call__(self, problem: Any, method: Any) -> Solution:
        self._refuse_foreign(problem, method)
        unset = {name: default for name, default in self.own.items() if getattr(method, name) is None}
        return self.solve(problem, replace(method, **unset) if unset else method)

    def _refuse_foreign(self, problem: Any, method: Any) -> None:
        for kind, answer in _registered(type(method)).items():
            for name in answer.own.keys() - self.own.keys():
                value = getattr(method, name)
                require(
                    value is None,
                    f"`{name}` = {value!r} is an option of {type(method).__name__} for {kind.__name__}, "
                    f"got {type(problem).__name__}",
                )


def _registered(method: type[Method]) -> dict[type, _Answer]:
    return {kind: answer for kind, answer in method._answers.registry.items() if kind is not object}


def _unsupported(problem: object, method: Method) -> Solution:
    """Answer to a problem type that a method does not know; names those it does."""
    known = " and ".join(kind.__name__ for kind in _registered(type(method)))
    raise TypeError(f"{type(method).__name__} solves {known}, got {type(problem).__name__}")


def require_choice(name: str, value: object, *choices: str | None) -> None:
    """Raise ``ValueError`` for an option that is none of its choices."""
    *others, last = (choice for choice in choices if choice is not None)
    require(value in choices, f"`{name}` must be {', '.join(others)} or {last}, got {value!r}")


def require_count(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Raise ``ValueError`` for an option that is no integer from ``least`` on, to ``most`` if there is such an end."""
    counts = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
    end = "" if most is None else f" and at most {most}"
    counts = counts and (most is None or int(value) <= most)  # type: ignore[call-overload]
    require(counts, f"`{name}` must be an integer of at least {least}{end}, got {value!r}")


def require_solvers(name: str, value: object) -> None:
    """Raise ``ValueError`` for an option that is no sequence of solvers."""
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    good = listed and all(callable(getattr(solver, "solve", None)) for solver in value)  # type: ignore[attr-defined]
    require(good, f"`{name}` must be a sequence of solvers, got {value!r}")


def require_number(name: str, value: object, rule: str, holds: Callable[[float], bool]) -> None:
    """Raise ``ValueError`` for an option that is no number for which a rule holds."""
    good = isinstance(value, Real) and not isinstance(value, bool) and holds(float(value))
    require(good, f"`{name}` must be a number {rule}, got {value!r}")


def require_positive(method: Method, *names: str) -> None:
    """Raise ``ValueError`` for an option that is no positive, finite number."""
    for name in names:
        require_number(name, getattr(method, name), "above 0", lambda value: 0 < value < inf)


def require_numpy(backend: str, value: Array) -> None:
    """Raise ``TypeError`` where CVXPY is asked to work on the arrays of another library."""
    if backend == "cvxpy" and not isinstance(value, np.ndarray):
        raise TypeError(f"`backend` cvxpy works on NumPy arrays, got {type(value).__name__}")


@singledispatch
def widened(problem: Any) -> Any:
    """The same problem in double precision; what its own precision calls feasible must stay so."""
    values = {item.name: getattr(problem, item.name) for item in fields(problem)}
    arrays = {name: value for name, value in values.items() if is_array(value)}
    xp = array_namespace(*arrays.values())
    wide: dict[str, Array] = {}
    for narrow, kind in ((xp.float32, xp.float64), (xp.complex64, xp.complex128)):
        wide |= {name: xp.astype(value, kind) for name, value in arrays.items() if value.dtype == narrow}
    return replace(problem, **wide)


def not_below(rounded: Array, exact: Array) -> Array:
    """Numbers ``rounded`` (...,) to another precision, the next larger one where that took them below ``exact`` [-]."""
    xp = array_namespace(rounded)
    above = xp.nextafter(rounded, xp.full_like(rounded, inf))
    return xp.where(xp.astype(rounded, exact.dtype) < exact, above, rounded)


def in_double_precision(solve: Callable[[P], Solution], problem: P, dtype: Any) -> Solution:
    """Solve a problem of single precision in double precision, and return the answer in the problem's own.

    Interior points and certificates need more than seven digits. ``problem`` is a dataclass of arrays whose real
    arrays are of type ``dtype``.
    """
    solution = solve(widened(problem))
    xp = array_namespace(solution.objective)

    most = float(xp.finfo(dtype).max)

    def narrow(value: Array) -> Array:
        """What is too large for the narrow type is infinite, what is too small the smallest: bounds stay bounds."""
        if not is_array(value) or value.dtype != xp.float64:
            return value
        return xp.astype(xp.where(value > most, inf, xp.clip(value, min=-most)), dtype)

    return Solution(
        tree_map(narrow, solution.allocation),
        narrow(xp.clip(solution.objective, max=most)),
        not_below(narrow(solution.bound), solution.bound),
        solution.status,
        solution.iterations,
        {name: narrow(value) for name, value in solution.details.items()},
    )


def double_precision(leaf: str) -> Callable[[Callable[..., Solution]], Callable[..., Solution]]:
    """Decorator of an answer, by :func:`in_double_precision` where the problem's array ``leaf`` is not yet double."""

    def decorate(solve: Callable[..., Solution]) -> Callable[..., Solution]:
        """The decorator, with its leaf."""

        @wraps(solve)
        def wide(problem: Any, *args: Any, **options: Any) -> Solution:
            """``solve`` in double precision."""
            value = getattr(problem, leaf)
            if value.dtype == array_namespace(value).float64:
                return solve(problem, *args, **options)
            return in_double_precision(lambda wider: solve(wider, *args, **options), problem, value.dtype)

        return wide

    return decorate
