"""Types shared by every layer, and the glossary of axes.

Arrays follow the Python array API standard: NumPy by default, PyTorch on request. Shapes in docstrings
are written ``(..., users)``: the dots are any number of leading batch axes (parallel environments,
candidate actions, training scenes) and every function broadcasts over them.

Axes come last, in this order:

========== =================================================================
cells      base stations, one per cell
users      user equipments, all cells together, in global index order
services   axis of length 2: index ``COMMUNICATION``, then ``POSITIONING``
paths      propagation paths of a link; path 0 is the line of sight
antennas   elements of a uniform linear array (receive before transmit)
========== =================================================================

A gain matrix is ``(..., users, users)``, receiver first: ``gain[..., j, m]`` is what user ``j`` hears of
the beam made for user ``m``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import numpy as np
from array_api_compat import is_array_api_obj
from array_api_compat import numpy as numpy_namespace

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""


_OF_NUMPY = {np.ndarray, np.float64, np.float32}


def array_namespace(*arrays: Any) -> Any:
    """Namespace of arrays, :func:`array_api_compat.array_namespace`; known at once where all are NumPy's.

    A slot of a single environment asks some two hundred times.
    """
    for value in arrays:
        if type(value) not in _OF_NUMPY:
            xp = array_api_compat.array_namespace(*arrays)
            return _for_devices(xp) if xp.__name__ == "array_api_compat.torch" else xp
    return numpy_namespace


@lru_cache(maxsize=1)
def _for_devices(xp: Any) -> Any:
    """PyTorch's namespace, in which nothing waits for a device, and indices are taken as they are.

    Some functions of PyTorch take no numbers, and what makes tensors of them would copy each from the host, which waits
    for all that a device has to do; here they are filled in where the other argument is.
    """
    namespace = ModuleType(xp.__name__)
    vars(namespace).update(vars(xp))

    def number(value: Any, other: Any) -> Any:
        if isinstance(value, float | int) and is_array_api_obj(other):
            return xp.full((), value, dtype=xp.result_type(value, other), device=other.device)
        return value

    def without_a_copy(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda one, two, /: function(number(one, two), number(two, one))

    for name in ("maximum", "minimum", "hypot", "atan2", "copysign", "logaddexp"):
        setattr(namespace, name, without_a_copy(getattr(xp, name)))
    # No index here is negative, and nobody has to look for one: three operations of four.
    vars(namespace).update(
        take=lambda value, index, /, *, axis=0: xp.index_select(value, axis, index),
        take_along_axis=lambda value, index, /, *, axis=-1: xp.take_along_dim(value, index, dim=axis),
    )
    return namespace


def device(value: Array) -> Any:
    """Where an array is, :func:`array_api_compat.device`; known at once for NumPy."""
    return "cpu" if type(value) is np.ndarray else array_api_compat.device(value)


def is_array(value: object) -> bool:
    """Whether a value is an array of a supported library, and not a number or a list."""
    return type(value) is np.ndarray or bool(is_array_api_obj(value))


def as_array(value: Any, like: Array) -> Array:
    """A number, list or array in the library, precision and device of ``like``; gradients are kept."""
    xp = array_namespace(like)
    if is_array(value) and array_namespace(value) is xp:
        return xp.astype(value, like.dtype, copy=False)
    if isinstance(value, float | int) and not at_hand(like):
        return xp.full((), value, dtype=like.dtype, device=device(like))  # made there: a copy would wait for the device
    if isinstance(value, np.ndarray):
        return from_host(value, like, like.dtype)
    return xp.asarray(value, dtype=like.dtype, device=device(like))


def from_host(value: np.ndarray, like: Array, dtype: Any) -> Array:
    """A NumPy array in the library and on the device of ``like``, with a data type of that library.

    What all lanes share, as their clocks when they run in step, is filled in on a device: a copy would wait for it.
    """
    xp = array_namespace(like)
    if at_hand(like) or not value.size or np.any(value != value.flat[0]):
        return xp.asarray(value, dtype=dtype, device=device(like))
    return xp.full(value.shape, value.flat[0].item(), dtype=dtype, device=device(like))


def constant(value: np.ndarray | tuple[float, ...], like: Array) -> Array:
    """A constant as an array of the library, device and (if real) precision of ``like``; whole numbers are int64."""
    xp, value = array_namespace(like), np.asarray(value)
    dtype = xp.int64 if value.dtype.kind == "i" else like.dtype
    if at_hand(like):
        return xp.asarray(value, dtype=dtype)
    return _on_device(xp, value.tobytes(), value.shape, value.dtype.str, dtype, device(like))


@lru_cache(maxsize=256)
def _on_device(xp: Any, data: bytes, shape: tuple[int, ...], kind: str, dtype: Any, where: Any) -> Array:
    """A constant that is sent to a device once: a copy from the host waits for all that the device has to do."""
    return xp.asarray(np.frombuffer(data, dtype=kind).reshape(shape).copy(), dtype=dtype, device=where)


def at_hand(value: Array) -> bool:
    """Whether an array's values are the host's, who may look at them; he would have to wait for those of a device."""
    return getattr(device(value), "type", "cpu") == "cpu"


def surely_all(mask: Array) -> bool:
    """Whether a mask is true everywhere, where that spares work: no on a device, which nobody asks and waits for."""
    return at_hand(mask) and bool(array_namespace(mask).all(mask))


ROUNDING = 1e-9
"""Relative excess over a limit that rounding explains, in double precision [-]."""


def rounding(like: Array, /) -> float:
    """Relative excess over a limit that rounding explains in the precision of an array.

    :data:`ROUNDING`, or 32 units in the last place where that is more (single precision: 3.8e-6). The one tolerance
    by which everybody judges whether floors fit.
    """
    return max(ROUNDING, 32.0 * float(array_namespace(like).finfo(like.dtype).eps))


COMMUNICATION, POSITIONING = 0, 1
"""Indices on a services axis."""


class Status(IntEnum):
    """What a solver claims about an allocation, from the strongest claim to the weakest.

    A batch element that is composed of cells and services carries the weakest claim among them, which
    is the largest number.
    """

    OPTIMAL = 0
    """Global optimum of the solver's stated model, to its tolerance."""
    STATIONARY = 1
    """A stationary point of the stated model; no better neighbour, no global claim."""
    FEASIBLE = 2
    """Satisfies the constraints; nothing is claimed about its value."""
    ITERATION_LIMIT = 3
    """Stopped before its own criterion was met; the allocation is feasible."""
    INFEASIBLE = 4
    """No allocation satisfies the constraints; the allocation is NaN."""


def status_counts(status: Array) -> dict[str, int]:
    """Count the names in an array of status codes, e.g. ``{"OPTIMAL": 3, "INFEASIBLE": 1}``."""
    values = [int(value) for value in status.reshape(-1).tolist()]
    return {kind.name: values.count(kind) for kind in Status if kind in values}
