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

Which to choose: ``spomp`` is best from -5 dB up and the only one that needs no fine grid and does not saturate;
``crb`` imitates it at a fraction of its cost, for training loops; ``esprit`` needs a single receive antenna; ``omp`` is
limited by its grid above 15 dB; ``mmse`` knows the law of the angles and no paths; ``ls`` knows nothing.
``gains_on_known_angles`` is the cheap update between two angle estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import signature
from pkgutil import iter_modules

from .bounds import angle_covariance_bound, nmse, nmse_bound
from .crb import angle_information_matrix, crb, crb_normals
from .esprit import esprit
from .estimate import Estimate
from .known_angles import gains_on_known_angles
from .ls import ls
from .mmse import mmse
from .omp import omp
from .perfect import perfect
from .pilots import measure, pilot_beams
from .spomp import Start, spomp


def _discover() -> dict[str, Callable[..., Estimate]]:
    found = {}
    for module in iter_modules(__path__):
        function = getattr(import_module(f"{__name__}.{module.name}"), module.name, None)
        if callable(function) and signature(function).return_annotation == Estimate.__name__:
            found[module.name] = function
    return found


ESTIMATORS = _discover()
"""Estimators by name."""


@cache
def asks_for(estimator: str, argument: str) -> bool:
    """Whether an estimator names an argument, e.g. ``received``."""
    return argument in signature(ESTIMATORS[estimator]).parameters


SINGLE_FRAME = ("ls", "mmse", "omp")
"""Estimators that work on one pilot frame and remember nothing (spec estimation 8.8)."""


ON_GRID = ("omp",)
"""Estimators whose angles stay on the points of their grid."""


def grid_variance(estimator: str, grid: int) -> float:
    r"""Variance that the grid adds to a direction cosine of an estimator, :math:`(2/G)^2/12`, or 0 beyond the grid.

    That of a rounding error that is uniform over the spacing 2/G. The Cramér-Rao bound knows nothing of it, and above
    about 5 dB it is the larger part: with G = 100 a standard deviation of 5.8e-3.
    """
    return (2.0 / grid) ** 2 / 12.0 if estimator in ON_GRID else 0.0


def keeps_angles(estimator: str) -> bool:
    """Whether an estimator's angles serve later slots: it starts from earlier paths, or stands for one that does."""
    return asks_for(estimator, "start") or asks_for(estimator, "normals")


def pilot_frames(estimator: str, snapshots: int) -> int:
    """Pilot frames that an estimator works on, of ``snapshots`` that a slot offers; 0 for the truth."""
    if estimator in SINGLE_FRAME:
        return 1
    return snapshots if asks_for(estimator, "received") or keeps_angles(estimator) else 0


__all__ = [
    "ESTIMATORS",
    "Estimate",
    "Start",
    "angle_covariance_bound",
    "angle_information_matrix",
    "asks_for",
    "crb",
    "crb_normals",
    "esprit",
    "gains_on_known_angles",
    "grid_variance",
    "keeps_angles",
    "ls",
    "measure",
    "mmse",
    "nmse",
    "nmse_bound",
    "omp",
    "perfect",
    "pilot_beams",
    "pilot_frames",
    "spomp",
]
