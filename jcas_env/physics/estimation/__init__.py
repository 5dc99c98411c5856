"""Channel estimators, one file each.

A module of this package that defines a function of its own name which returns an ``Estimate`` is an estimator of
that name: nothing else has to be changed to add one. The arguments it names say what it may know, and a scenario
supplies exactly those, links scaled to E|H_nm|^2 = 1:

=================== =============================================================================================
received            data Z of the pilots, (..., snapshots, rx_antennas, pilots) complex
beams               pilot beams F, (..., snapshots, tx_antennas, pilots) complex, or None for one pilot per antenna
noise_power         noise variance of a measurement, (...,)
paths, grid         number of paths to look for, grid points per side
start               paths of an earlier slot, or None: an estimator that takes them keeps angles between slots
channel, gains,     the truth, for references and statistical surrogates only
aod_cos, aoa_cos
normals             standard normal numbers, for statistical surrogates
tx_antennas,        numbers of antennas, for those that see no data
rx_antennas
=================== =============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pkgutil import iter_modules

from .estimate import Estimate
from .perfect import perfect


def _discover() -> dict[str, Callable[..., Estimate]]:
    found = {}
    for module in iter_modules(__path__):
        function = getattr(import_module(f"{__name__}.{module.name}"), module.name, None)
        if callable(function) and signature(function).return_annotation == Estimate.__name__:
            found[module.name] = function
    return found


ESTIMATORS = _discover()
"""Estimators by name."""


def asks_for(estimator: str, argument: str) -> bool:
    """Whether an estimator names an argument, e.g. ``received``."""
    return argument in signature(ESTIMATORS[estimator]).parameters


SINGLE_FRAME = ("ls", "mmse", "omp")
"""Estimators that work on one pilot frame and remember nothing (spec estimation 8.8)."""


def keeps_angles(estimator: str) -> bool:
    """Whether an estimator's angles serve later slots: it starts from earlier paths, or stands for one that does."""
    return asks_for(estimator, "start") or asks_for(estimator, "normals")


def pilot_frames(estimator: str, snapshots: int) -> int:
    """Pilot frames that an estimator works on, of ``snapshots`` that a slot offers; 0 for the truth."""
    if estimator in SINGLE_FRAME:
        return 1
    return snapshots if asks_for(estimator, "received") or keeps_angles(estimator) else 0


__all__ = ["ESTIMATORS", "Estimate", "asks_for", "keeps_angles", "perfect", "pilot_frames"]
