"""Loops of :mod:`jcas_env.physics.estimation.pilots`: beams that are sent, and what links of few paths make of them."""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision
from .rows import add_row, as_real, sum_rows, turn_row
from .waves import cosine, entries_of, sine, wave_table


def drawn_beams_loop(order: np.ndarray, turns: np.ndarray, /, *, pilots: int) -> Any:
    """:func:`jcas_env.physics.estimation.pilots.drawn_beams`."""
    antennas = order.shape[-1]
    if order.size == 0 or order.shape != turns.shape or not one_precision(order, turns):
        return NotImplemented
    order, turns = in_order(order, turns)
    table = _dft(antennas).astype(np.result_type(order, np.complex64))
    beams = np.empty((*order.shape, pilots), dtype=table.dtype)
    flat = (-1, antennas)
    _beams(order.reshape(flat), turns.reshape(flat), table, wave_table(order.dtype), beams.reshape((*flat, pilots)))
    return beams


def heard_beams_loop(
    channel: Any, amplitude: np.ndarray, beams: np.ndarray, noise_power: np.ndarray, noise: np.ndarray, /
) -> Any:
    """:func:`jcas_env.physics.estimation.pilots.heard_beams`."""
    gains, _, arrival, departure = channel
    *links, paths = gains.shape
    rx, tx, pilots = arrival.shape[-1], departure.shape[-1], beams.shape[-1]
    alike = beams.shape == (*links, 1, tx, pilots) and noise.shape == (*links, 1, rx, pilots)
    arrays = (gains, arrival, departure, amplitude, beams, noise_power, noise)
    if not alike or gains.size == 0 or not one_precision(*arrays):
        return NotImplemented
    gains, arrival, departure, amplitude, beams, noise_power, noise = in_order(*arrays)
    received = np.empty((*links, 1, rx, pilots), dtype=gains.dtype)
    _heard(
        gains.reshape((-1, paths)),
        arrival.reshape((-1, paths, rx)),
        departure.reshape((-1, paths, tx)),
        amplitude.reshape(-1),
        as_real(beams.reshape((-1, tx, pilots))),
        noise_power.reshape(-1),
        as_real(noise.reshape((-1, rx, pilots))),
        as_real(received.reshape((-1, rx, pilots))),
    )
    return received


def heard_antennas_loop(
    gains: np.ndarray, arrival: np.ndarray, departure: np.ndarray, noise_power: np.ndarray, noise: np.ndarray, /
) -> Any:
    """:func:`jcas_env.physics.estimation.pilots.heard_antennas`."""
    *links, frames, paths = gains.shape
    rx, tx = arrival.shape[-1], departure.shape[-1]
    arrays = (gains, arrival, departure, noise_power, noise)
    if gains.size == 0 or noise.shape != (*links, frames, rx, tx) or not one_precision(*arrays):
        return NotImplemented
    gains, arrival, departure, noise_power, noise = in_order(*arrays)
    received = np.empty_like(noise)
    _antennas(
        gains.reshape((-1, frames, paths)),
        arrival.reshape((-1, paths, rx)),
        as_real(departure.reshape((-1, paths, tx))),
        noise_power.reshape(-1),
        as_real(noise.reshape((-1, frames, rx, tx))),
        as_real(received.reshape((-1, frames, rx, tx))),
    )
    return received


@cache
def _dft(antennas: int) -> np.ndarray:
    """Unitary matrix of the discrete Fourier transform."""
    element = np.arange(antennas)
    return np.exp(-2j * np.pi / antennas * (element[:, None] * element % antennas)) / np.sqrt(antennas)


def send_beams(order, turns, table, waves, beams):  # type: ignore[no-untyped-def]
    """Beams of links: columns of ``table`` in the order that is drawn, behind a phase for each antenna."""
    links, antennas, pilots = beams.shape
    k = entries_of(waves)
    full = (k[2] + k[3]) + (k[2] + k[3])
    free, phase = np.empty(antennas, np.bool_), np.empty(antennas, beams.dtype)
    for link in range(links):
        free[:] = True
        for m in range(antennas):
            angle = full * turns[link, m]
            phase[m] = complex(cosine(angle, k), sine(angle, k))
        for p in range(pilots):
            column = -1
            for m in range(antennas):
                if free[m] and (column < 0 or order[link, m] < order[link, column]):
                    column = m
            free[column] = False
            for m in range(antennas):
                beams[link, m, p] = table[column, m] * phase[m]


def hear_beams(  # type: ignore[no-untyped-def]
    gains, arrival, departure, amplitude, beams, noise_power, noise, received
):
    """What links of few paths make of beams, scaled to unit amplitude, and noise."""
    links, rx, width = received.shape
    first, second, seen, turned = np.empty((4, width), noise_power.dtype)
    for link in range(links):
        deviation = sqrt(noise_power[link])
        for n in range(rx):
            for p in range(width):
                received[link, n, p] = deviation * noise[link, n, p]
        for path in range(gains.shape[1]):
            sum_rows(departure[link, path], beams[link], first, second)
            for p in range(0, width, 2):
                seen[p], seen[p + 1] = first[p] - second[p + 1], first[p + 1] + second[p]
            turn_row(seen, turned)
            gain = gains[link, path]
            gain = complex(gain.real / amplitude[link], gain.imag / amplitude[link])
            for n in range(rx):
                add_row(gain * arrival[link, path, n], seen, turned, received[link, n])


def hear_antennas(gains, arrival, departure, noise_power, noise, received):  # type: ignore[no-untyped-def]
    """Channels of links of few paths, in several frames, and noise."""
    links, frames, rx, width = received.shape
    turned = np.empty((gains.shape[2], width), noise_power.dtype)
    for link in range(links):
        deviation = sqrt(noise_power[link])
        for path in range(gains.shape[2]):
            turn_row(departure[link, path], turned[path])
        for frame in range(frames):
            for n in range(rx):
                out, random = received[link, frame, n], noise[link, frame, n]
                for m in range(width):
                    out[m] = deviation * random[m]
                for path in range(gains.shape[2]):
                    heard = gains[link, frame, path] * arrival[link, path, n]
                    add_row(heard, departure[link, path], turned[path], out)


_beams = Loop(send_beams, "r2 r2 c2 r1 C3")
_heard = Loop(hear_beams, "c2 c3 c3 r1 r3 r1 r3 R3")
_antennas = Loop(hear_antennas, "c3 c3 r3 r1 r4 R4")
