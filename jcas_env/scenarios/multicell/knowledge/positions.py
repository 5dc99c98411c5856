"""Where the users are, from the angles that were last measured: made when somebody asks, for no decision needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from scipy import stats

from ....physics.estimation import ESTIMATORS
from ....physics.estimation.bounds import angle_covariance_bound
from ....physics.localisation import locate
from ....types import Array, array_namespace
from ..config import MultiCellConfig
from ..network.layout import Layout
from ..state import Sight

MISFIT_TAIL = 2e-4
"""Probability with which a user that is where its bearings say is not located (spec multicell 2.7)."""


class PositionFix(NamedTuple):
    """Where the users were found when angles were last measured; of a user that was not located, :func:`middle`."""

    position: Array
    """(..., users, 2): estimated position [m]."""
    error: Array
    """(..., users): its distance from the true position at that time [m]."""
    bound: Array
    """(..., users): position error bound [m]."""
    located: Array
    """(..., users) bool: whether bearings tell the position."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Entries of ``info`` about positions, found when they are first read."""

    config: MultiCellConfig
    layout: Layout
    sight: Sight

    names = ("position", "position_error_m", "peb_m", "located")

    @cached_property
    def fix(self) -> PositionFix:
        """Where the users were found."""
        return find_users(self.config, self.layout, self.sight)

    def entries(self) -> Mapping[str, Array]:
        """Parts of the fix by the names of their entries."""
        return dict(zip(self.names, self.fix, strict=True))

    def follows(self, sight: Sight) -> bool:
        """Whether it is what another sight gives, because it is the same measurement."""
        return sight.gains is self.sight.gains


def find_users(config: MultiCellConfig, layout: Layout, sight: Sight) -> PositionFix:
    """Positions from the strongest path's departure at every station, and their errors (spec multicell 2.7).

    A cosine has the variance of its Cramér-Rao bound and of the grid it may lie on: by the former alone three bearings
    on a grid seldom agree, and most users would not be located.

    Orientations are not estimated, though the arrivals would give them (spec multicell 2.7): no decision and no rate
    depends on them, since combiners follow from the channel, and their bound is not that of the arrivals alone, for the
    error of the position ties all bearings of a user together.
    """
    xp = array_namespace(sight.position)
    layout = layout.like(sight.position)
    noise_power = sight.noise_power
    power = xp.mean(xp.abs(sight.gains) ** 2, axis=-2)
    reported = xp.any(sight.active, axis=-1)
    if config.estimator == "perfect":  # one slot stands for the frames that would have been sounded
        noise_power = noise_power / config.snapshots
    covariance = angle_covariance_bound(
        sight.aod_cos,
        sight.aoa_cos,
        sight.gains,
        noise_power,
        active=sight.active,
        tx_antennas=config.bs_antennas,
        rx_antennas=config.ue_antennas,
    )
    strongest = xp.argmax(xp.where(sight.active, power, -xp.ones_like(power)), axis=-1, keepdims=True)
    cosine = xp.take_along_axis(sight.aod_cos, strongest, axis=-1)[..., 0]
    spread = xp.linalg.diagonal(covariance)[..., : power.shape[-1]]
    variance = xp.take_along_axis(spread, strongest, axis=-1)[..., 0]
    variance = variance + ESTIMATORS[config.estimator].grid_variance(config.grid)
    freedom = max(config.cells - 2, 1)
    found = locate(
        xp.matrix_transpose(cosine),
        xp.matrix_transpose(variance),
        xp.matrix_transpose(reported),
        layout.stations,
        layout.axes,
        radius=config.radius,
        limit=float(stats.chi2.isf(MISFIT_TAIL, freedom)),
    )
    guess, spread = middle(layout.stations, radius=config.radius)
    position = xp.where(found.located[..., None], found.position, guess)
    offset = position - sight.position
    bound = xp.where(found.located, found.bound, spread)
    return PositionFix(position, xp.hypot(offset[..., 0], offset[..., 1]), bound, found.located)


def middle(stations: Array, *, radius: float) -> tuple[Array, Array]:
    r"""Where a user is without bearings: the middle of the stations, and users' root mean square distance from it.

    .. math:: \bar b = \frac1C \sum_i b_i, \qquad
              \rho^2 = \frac1C \sum_i \lVert b_i - \bar b \rVert^2 + \frac{5}{12} R^2

    of users that are uniform over hexagons of circumradius R around stations ``stations`` (cells, 2) [m]. Returns (2,)
    and () [m].
    """
    xp = array_namespace(stations)
    centre = xp.mean(stations, axis=0)
    offset = stations - centre
    return centre, xp.sqrt(xp.mean(xp.sum(offset**2, axis=-1)) + 5.0 / 12.0 * radius**2)
