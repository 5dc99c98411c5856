"""Hexagonal cells: where base stations stand, which points a cell contains, and who sees whom where."""

from __future__ import annotations

from math import cos, pi, radians, sin, sqrt, tan

from ..types import Array, array_namespace

CENTRE = (60.0, 60.0)
"""Common corner of the three cells, or centre of the middle cell [m] (spec multicell 2.1)."""

LAYOUTS = (1, 3, 7)
"""Numbers of cells for which a layout is defined."""


def cell_centres(cells: int, radius: float) -> list[tuple[float, float]]:
    """Base station positions, (cells, 2) [m]: one ``(x, y)`` per cell.

    Three cells share the corner (60, 60): ``(60, 60) + R (cos a, sin a)``, a = 90, 210, 330 degrees.
    Seven cells are a centre and its six neighbours at ``sqrt(3) R``; one cell is the centre alone
    (spec multicell 2.1, DESIGN 7.10). Raises ``ValueError`` for another number.
    """
    rings = {
        1: [(0.0, 0.0)],
        3: [(radius, angle) for angle in (90.0, 210.0, 330.0)],
        7: [(0.0, 0.0)] + [(sqrt(3) * radius, 60.0 * k) for k in range(6)],
    }
    if cells not in rings:
        raise ValueError(f"`cells` must be one of {LAYOUTS}, got {cells}")
    x, y = CENTRE
    return [(x + r * cos(radians(a)), y + r * sin(radians(a))) for r, a in rings[cells]]


def array_axes(cells: int) -> list[float]:
    """Azimuth of each base station's array axis, (cells,) [rad]: 0, 120, 240 degrees in turn (spec multicell 2.2)."""
    return [radians(120.0 * (cell % 3)) for cell in range(cells)]


def in_hexagon(offset: Array, /, *, radius: float) -> Array:
    r"""Whether points lie in a pointy-top hexagon around the origin.

    .. math:: |x| \le \tfrac{\sqrt3}{2} R \quad\text{and}\quad |y| \le R - |x|/\sqrt3

    Parameters
    ----------
    offset : Array, shape (..., 2)
        Points relative to the hexagon's centre [m].
    radius : float
        Circumradius R [m].

    Returns
    -------
    Array, shape (...,), bool
        The edge is inside (spec multicell 2.1).
    """
    xp = array_namespace(offset)
    x, y = xp.abs(offset[..., 0]), xp.abs(offset[..., 1])
    return (x <= sqrt(3) / 2 * radius) & (y <= radius - x / sqrt(3))


def hexagon_point(uniform: Array, /, *, radius: float, keep_out: float) -> Array:
    r"""Map uniform numbers to points uniform in a hexagon without a disc around its centre.

    Six congruent sectors face the sides. With the apothem :math:`a = \sqrt3 R/2`, a sector's boundary is
    :math:`r(\varphi) = a/\cos\varphi`, :math:`|\varphi| \le \pi/6`, and a uniform point has

    .. math:: p(\varphi) \propto a^2/\cos^2\varphi - r_0^2, \qquad
              r = \sqrt{r_0^2 + t\,(r(\varphi)^2 - r_0^2)}, \quad t \sim U[0, 1).

    The distribution function :math:`a^2 \tan\varphi - r_0^2 \varphi` is inverted by Newton steps; it is
    nearly :math:`a^2\tan\varphi`, so four of them reach machine precision.

    Parameters
    ----------
    uniform : Array, shape (..., 2)
        Independent uniforms in [0, 1): direction, distance.
    radius, keep_out : float
        Circumradius R and radius :math:`r_0` of the excluded disc [m], ``keep_out < sqrt(3)/2 radius``.

    Returns
    -------
    Array, shape (..., 2)
        Points relative to the centre [m], at least ``keep_out`` away from it (spec multicell 2.1).
    """
    xp = array_namespace(uniform)
    apothem = sqrt(3) / 2 * radius
    edge = apothem**2 * tan(pi / 6) - keep_out**2 * pi / 6
    sector = xp.floor(6.0 * uniform[..., 0])
    target = edge * (2.0 * (6.0 * uniform[..., 0] - sector) - 1.0)
    phi = xp.atan(target / apothem**2)
    for _ in range(4):
        tangent = xp.tan(phi)
        slope = apothem**2 * (1.0 + tangent**2) - keep_out**2
        phi = phi - (apothem**2 * tangent - keep_out**2 * phi - target) / slope
    boundary = apothem / xp.cos(phi)
    distance = xp.sqrt(keep_out**2 + uniform[..., 1] * (boundary**2 - keep_out**2))
    azimuth = phi + sector * (pi / 3)
    return xp.stack([distance * xp.cos(azimuth), distance * xp.sin(azimuth)], axis=-1)


def link_geometry(position: Array, stations: Array, axis: Array, user_axis: Array) -> tuple[Array, Array, Array]:
    r"""Distance and line-of-sight direction cosines of every (base station, user) pair.

    .. math:: v = \cos(\psi - \mathrm{axis}_i), \qquad w = \cos(\psi + \pi - \mathrm{axis}_j)

    with the azimuth :math:`\psi` of the user seen from the station.

    Parameters
    ----------
    position : Array, shape (..., users, 2)
        User positions [m].
    stations : Array, shape (cells, 2)
        Base station positions [m].
    axis : Array, shape (cells,)
        Azimuth of the stations' array axes [rad].
    user_axis : Array, shape (..., users)
        Azimuth of the users' array axes [rad].

    Returns
    -------
    distance, aod_cos, aoa_cos : Array, shape (..., cells, users)
        Two-dimensional distance [m], direction cosine of departure at the station and of arrival at the
        user [-] (spec multicell 2.2).
    """
    xp = array_namespace(position)
    x = position[..., None, :, 0] - stations[:, None, 0]
    y = position[..., None, :, 1] - stations[:, None, 1]
    distance = xp.hypot(x, y)
    azimuth = xp.atan2(y, x)
    return distance, xp.cos(azimuth - axis[:, None]), -xp.cos(azimuth - user_axis[..., None, :])
