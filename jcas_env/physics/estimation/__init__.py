"""Channel estimators, one file each, and the table :data:`ESTIMATORS` that says what each needs.

An estimator is a function that returns an :class:`Estimate`; its row makes it known to the scenarios.

Which to choose: ``spomp`` is best from -5 dB up and the only one that needs no fine grid and does not saturate;
``crb`` imitates it at a fraction of its cost, for training loops; ``esprit`` needs a single receive antenna; ``omp`` is
limited by its grid above 15 dB; ``mmse`` knows the law of the angles and no paths; ``ls`` knows nothing.
``gains_on_known_angles`` is the cheap update between two angle estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from .search.refinement import Refinement
from .spomp import Start, spomp, spomp_as_printed

DATA = ("received", "beams", "noise_power", "paths")
"""What an estimator that works on pilot data needs."""


@dataclass(frozen=True)
class Estimator:
    """An estimator and what a scenario has to know of it; calling it calls the function."""

    function: Callable[..., Estimate]
    needs: tuple[str, ...]
    """Arguments that a scenario supplies, by name; any others have defaults. Links are scaled to E|H_nm|^2 = 1:

    =================== ===========================================================================================
    received            data Z of the pilots, (..., snapshots, rx_antennas, pilots) complex [-]
    beams               pilot beams F, (..., snapshots, tx_antennas, pilots) complex, or None for one pilot per antenna
    noise_power         noise variance of a measurement, (...,) [-]
    paths, grid         number of paths to look for, grid points per side
    start               paths of an earlier slot (:class:`Start`), or None
    last                whether the channel of the last snapshot alone is wanted
    channel, gains,     the truth, for references and statistical surrogates only
    aod_cos, aoa_cos
    normals             standard normal numbers, for statistical surrogates
    tx_antennas,        numbers of antennas, for those that see no data
    rx_antennas
    =================== ===========================================================================================
    """
    frames: int | None = None
    """Pilot frames that it works on: 1 for those that remember nothing (spec estimation 8.8), 0 for the truth, None for
    all that a slot offers."""
    keeps_angles: bool = False
    """Its angles serve later slots: it starts from earlier paths, or stands for one that does (spec estimation 8.4)."""
    surrogate: bool = False
    """It adds errors to the truth of every frame, drawn from ``normals``, in place of an estimate from data."""
    on_grid: bool = False
    """Its angles stay on the points of its grid."""

    def __call__(self, *arguments: Any, **options: Any) -> Estimate:
        """Estimate, see the function."""
        return self.function(*arguments, **options)

    def pilot_frames(self, snapshots: int) -> int:
        """Pilot frames that it works on, of ``snapshots`` that a slot offers."""
        return snapshots if self.frames is None else self.frames

    def grid_variance(self, grid: int) -> float:
        r"""Variance that the grid adds to a direction cosine, :math:`(2/G)^2/12`, or 0 beyond the grid [-].

        That of a rounding error that is uniform over the spacing 2/G. The Cramér-Rao bound knows nothing of it, and
        above about 5 dB it is the larger part: with G = 100 a standard deviation of 5.8e-3.
        """
        return (2.0 / grid) ** 2 / 12.0 if self.on_grid else 0.0


ESTIMATORS = {
    "perfect": Estimator(perfect, ("channel", "aod_cos", "aoa_cos", "gains"), frames=0),
    "ls": Estimator(ls, DATA, frames=1),
    "mmse": Estimator(mmse, DATA, frames=1),
    "omp": Estimator(omp, (*DATA, "grid"), frames=1, on_grid=True),
    "esprit": Estimator(esprit, DATA),
    "spomp": Estimator(spomp, (*DATA, "grid", "start", "last"), keeps_angles=True),
    "crb": Estimator(
        crb,
        ("aod_cos", "aoa_cos", "gains", "noise_power", "normals", "tx_antennas", "rx_antennas", "beams", "last"),
        keeps_angles=True,
        surrogate=True,
    ),
}
"""Estimators by name."""


__all__ = [
    "DATA",
    "ESTIMATORS",
    "Estimate",
    "Estimator",
    "Refinement",
    "Start",
    "angle_covariance_bound",
    "angle_information_matrix",
    "crb",
    "crb_normals",
    "esprit",
    "gains_on_known_angles",
    "ls",
    "measure",
    "mmse",
    "nmse",
    "nmse_bound",
    "omp",
    "perfect",
    "pilot_beams",
    "spomp",
    "spomp_as_printed",
]
