"""Loops of :mod:`jcas_env.physics.beamforming` and of :class:`.PathChannel`: what a combiner hears, and of which beams.

Every cell serves as many users, in the order of its cells. What is summed is summed in the order of its terms; beams
and users stand side by side in the innermost loops.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision
from .rows import SIDE_BY_SIDE, add_row, as_real, sum_rows, turn_row
from .waves import helper


def behind_combiner_loop(channel: Any, combiner: np.ndarray, /) -> Any:
    """:func:`jcas_env.physics.channel.behind_combiner`."""
    gains, _, arrival, departure = channel
    if gains.size == 0 or not one_precision(gains, arrival, departure, combiner):
        return NotImplemented
    *batch, cells, users, paths = gains.shape
    gains, arrival, departure, combiner = in_order(gains, arrival, departure, combiner)
    rx, tx = arrival.shape[-1], departure.shape[-1]
    if combiner.shape != (*batch, users, rx):
        return NotImplemented
    effective = np.empty((*batch, cells, users, tx), dtype=gains.dtype)
    flat = (-1, cells, users, paths)
    _behind(
        gains.reshape(flat),
        arrival.reshape((*flat, rx)),
        as_real(departure.reshape((*flat, tx))),
        combiner.reshape((-1, users, rx)),
        as_real(effective.reshape((-1, cells, users, tx))),
    )
    return effective


def passed_loop(effective: np.ndarray, beam: np.ndarray, cell: np.ndarray, /, *, crowd: int | None) -> Any:  # noqa: ARG001
    """:func:`jcas_env.physics.beamforming.passed`."""
    *batch, cells, users, tx = effective.shape
    if crowd is None or effective.size == 0 or beam.shape != (*batch, users, tx) or not one_precision(effective, beam):
        return NotImplemented
    effective, beam = in_order(effective, beam)
    gain = np.empty((*batch, users, users), dtype=effective.real.dtype)
    leak = np.empty((*batch, users), dtype=gain.dtype)
    _passed(
        effective.reshape((-1, cells, users, tx)),
        beam.reshape((-1, users, tx)),
        crowd,
        gain.reshape((-1, users, users)),
        leak.reshape((-1, users)),
    )
    return gain, leak


def matched_groups_loop(  # the order of users says what ``cell`` does
    effective: np.ndarray,
    cell: np.ndarray,  # noqa: ARG001
    threshold: np.ndarray,
    /,
    *,
    crowd: int | None,
) -> Any:
    """:func:`jcas_env.physics.grouping.matched_groups`."""
    *batch, cells, users, tx = effective.shape
    threshold = np.broadcast_to(threshold, (*batch, users))
    if crowd is None or effective.size == 0 or not one_precision(effective, threshold):
        return NotImplemented
    effective, threshold = in_order(effective, threshold)
    correlation = np.empty((*batch, users, users), dtype=threshold.dtype)
    group = np.empty((*batch, users), dtype=np.int64)
    beam = np.empty((*batch, users, tx), dtype=effective.dtype)
    _matched(
        effective.reshape((-1, cells, users, tx)),
        threshold.reshape((-1, users)),
        crowd,
        1.0,
        correlation.reshape((-1, users, users)),
        group.reshape((-1, users)),
        beam.reshape((-1, users, tx)),
    )
    return correlation, group, beam


def channels_behind(gains, arrival, departure, combiner, effective):  # type: ignore[no-untyped-def]
    """Channels behind combiners of lanes, path by path."""
    lanes, cells, users, paths = gains.shape
    rx, width = arrival.shape[4], departure.shape[4]
    turned = np.empty(width, departure.dtype)
    for lane in range(lanes):
        for station in range(cells):
            for user in range(users):
                out = effective[lane, station, user]
                out[:] = 0
                for path in range(paths):
                    a, row = arrival[lane, station, user, path], departure[lane, station, user, path]
                    heard = a[0] * combiner[lane, user, 0].conjugate()
                    for n in range(1, rx):
                        heard += a[n] * combiner[lane, user, n].conjugate()
                    turn_row(row, turned)
                    add_row(gains[lane, station, user, path] * heard, row, turned, out)
                for m in range(1, width, 2):
                    out[m] = -out[m]


@helper
def _products(one, rows, first, second, out):  # type: ignore[no-untyped-def]
    """Squared moduli of the products of a vector with the conjugates of columns side by side.

    ``one`` (antennas,) complex, ``rows`` (antennas, 2 columns) as :mod:`.rows` has them, filled up; ``out`` (columns,);
    ``first`` and ``second`` (2 columns,) are scratch.
    """
    sum_rows(one, rows, first, second)
    for k in range(out.size):
        real, imag = first[2 * k] + second[2 * k + 1], second[2 * k] - first[2 * k + 1]
        out[k] = real * real + imag * imag


def passed_beams(effective, beam, crowd, gain, leakage):  # type: ignore[no-untyped-def]
    """Gains of beams behind combiners, and what comes of other cells."""
    lanes, cells, users, tx = effective.shape
    wide = 2 * SIDE_BY_SIDE * ((crowd + SIDE_BY_SIDE - 1) // SIDE_BY_SIDE)
    kind = leakage.dtype
    rows, first, second = np.zeros((tx, wide), kind), np.zeros(wide, kind), np.zeros(wide, kind)
    for lane in range(lanes):
        leakage[lane, :] = 0
        for station in range(cells):
            start = station * crowd
            for k in range(crowd):
                for m in range(tx):
                    rows[m, 2 * k], rows[m, 2 * k + 1] = beam[lane, start + k, m].real, beam[lane, start + k, m].imag
            for user in range(users):
                h = effective[lane, station, user]
                _products(h, rows, first, second, gain[lane, user, start : start + crowd])
                if user // crowd != station:
                    energy = h[0].real * h[0].real + h[0].imag * h[0].imag
                    for m in range(1, tx):
                        energy += h[m].real * h[m].real + h[m].imag * h[m].imag
                    leakage[lane, user] += energy


@helper
def _first_fit(correlation, threshold, crowd, start, group):  # type: ignore[no-untyped-def]
    """Groups of a cell's users, by ``first_fit_groups``."""
    for user in range(start, start + crowd):
        label, fits = 0, False
        while not fits:
            fits = True
            for other in range(start, user):
                if group[other] == label and correlation[user, other] >= threshold[user]:
                    fits = False
            if not fits:
                label += 1
        group[user] = label


@helper
def _match(h, f, one, user, rows):  # type: ignore[no-untyped-def]
    """Scale a channel to unit norm: into rows (antennas, 2 users), and as a beam, where zero becomes e_1."""
    energy = h[0].real * h[0].real + h[0].imag * h[0].imag
    for m in range(1, h.size):
        energy += h[m].real * h[m].real + h[m].imag * h[m].imag
    norm = sqrt(energy)
    for m in range(h.size):
        f[m] = complex(h[m].real / norm, h[m].imag / norm) if norm > 0 else 0
        rows[m, 2 * user], rows[m, 2 * user + 1] = f[m].real, f[m].imag
    if not norm > 0:
        f[0] = one


def matched_beams(effective, threshold, crowd, one, correlation, group, beam):  # type: ignore[no-untyped-def]
    """Matched beams, their correlation, and groups by first fit."""
    lanes, _, users, tx = effective.shape
    wide = 2 * SIDE_BY_SIDE * ((users + SIDE_BY_SIDE - 1) // SIDE_BY_SIDE)
    kind = threshold.dtype
    rows, first, second = np.zeros((tx, wide), kind), np.zeros(wide, kind), np.zeros(wide, kind)
    unit = np.empty(tx, beam.dtype)
    for lane in range(lanes):
        for user in range(users):
            _match(effective[lane, user // crowd, user], beam[lane, user], one, user, rows)
        for user in range(users):
            for m in range(tx):
                unit[m] = complex(rows[m, 2 * user], rows[m, 2 * user + 1])
            row = correlation[lane, user]
            _products(unit, rows, first, second, row)
            for k in range(users):
                row[k] = np.sqrt(row[k])
        for start in range(0, users, crowd):
            _first_fit(correlation[lane], threshold[lane], crowd, start, group[lane])


_behind = Loop(channels_behind, "c4 c5 r5 c3 R4")
_passed = Loop(passed_beams, "c4 c3 n R3 R2")
_matched = Loop(matched_beams, "c4 r2 n x R3 I2 C3")
