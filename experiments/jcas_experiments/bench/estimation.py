"""Speed of the estimators, as ratios against a fair peer measured in the same run (CPU seconds, one thread)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from jcas_env.physics.arrays import steering_vector
from jcas_env.physics.estimation import Start, crb, crb_normals, gains_on_known_angles, omp, spomp
from jcas_env.physics.estimation.pilots import prepare
from jcas_env.physics.estimation.search.coarse import make_grid
from jcas_env.physics.estimation.search.pursuit import matching_pursuit

from ..links import Links, draw_links, random_beams
from .row import Row, cpu_seconds, duration

per_link = partial(duration, unit="us/link")

GRID = 100
"""Grid points per side."""
COHERENCE = 5
"""Slots between two angle estimates."""


def dictionary(tx_antennas: int, rx_antennas: int, grid: int = GRID) -> np.ndarray:
    """All atoms of the grid as columns, (M N, G^2) complex; unit norm for one pilot per antenna."""
    cosines = 1.0 - 2.0 * np.arange(grid) / grid
    tx = steering_vector(cosines, antennas=tx_antennas).conj()
    rx = steering_vector(cosines, antennas=rx_antennas)
    return np.reshape(tx[:, None, :, None] * rx[None, :, None, :], (grid**2, -1)).T


def naive_pursuit(data: np.ndarray, atoms: np.ndarray, paths: int) -> np.ndarray:
    """Simultaneous OMP with an explicit dictionary of unit columns, all links in one matrix product per pick.

    ``data`` (links, snapshots, M N). Returns the picked columns, (links, paths).
    """
    links, snapshots, size = data.shape
    adjoint = atoms.conj()
    residual, picks = data, np.zeros((links, 0), dtype=int)
    for _ in range(paths):
        inner = (residual.reshape(-1, size) @ adjoint).reshape(links, snapshots, -1)
        energy = (inner.real**2 + inner.imag**2).sum(axis=1)
        picks = np.concatenate([picks, energy.argmax(axis=-1)[:, None]], axis=-1)
        chosen = atoms.T[picks]
        gram = chosen.conj() @ chosen.swapaxes(-1, -2)
        gains = np.linalg.solve(gram, chosen.conj() @ data.swapaxes(-1, -2))
        residual = data - gains.swapaxes(-1, -2) @ chosen
    return picks


def vectorised(links: Links) -> np.ndarray:
    """Data as columns vec(Z_t), (links, snapshots, M N)."""
    z = np.swapaxes(links.received, -1, -2)
    return np.ascontiguousarray(z.reshape(*z.shape[:2], -1))


def _links(count: int, tx_antennas: int, rx_antennas: int, seed: int, snr_db: float = 10.0) -> Links:
    rng = np.random.default_rng(seed)
    return draw_links(rng, count, tx_antennas=tx_antennas, rx_antennas=rx_antennas, paths=3, snr_db=snr_db)


def coarse(links: Links, precision: type) -> Callable[[], object]:
    """The coarse stage alone, three picks for every link, in a complex precision."""
    received: Any = links.received.astype(precision)
    noise_power = links.noise_power.astype(received.real.dtype)

    def work() -> object:
        pilots = prepare(received, None, noise_power, 3)
        return matching_pursuit(pilots, make_grid(pilots, GRID, GRID), 3)

    return work


def search_rows(count: int, seed: int) -> Iterator[Row]:
    """Coarse stage, OMP and SPOMP against OMP with an explicit dictionary, M = 32, N = 2, G = 100."""
    links = _links(count, 32, 2, seed)
    data, atoms = vectorised(links), dictionary(32, 2)
    naive = cpu_seconds(lambda: naive_pursuit(data, atoms, 3), least=0.0, rounds=3) / count
    few = 4

    def rebuilt() -> None:
        for i in range(few):
            naive_pursuit(data[i : i + 1], dictionary(32, 2), 3)

    own = cpu_seconds(rebuilt, least=0.0, rounds=3) / few
    ours = cpu_seconds(lambda: omp(links.received, None, links.noise_power, paths=3, grid=GRID)) / count
    full = cpu_seconds(lambda: spomp(links.received, None, links.noise_power, paths=3, grid=GRID)) / count
    picks = cpu_seconds(coarse(links, np.complex64)) / count
    shared = "OMP, shared explicit dictionary"
    yield per_link(f"coarse stage, {count} links, complex64", picks, shared, naive, 50)
    yield per_link(f"OMP, {count} links, complex128", ours, shared, naive, 12)
    yield per_link(f"OMP, {count} links, complex128", ours, "OMP, dictionary built per link", own, 25)
    yield per_link(f"SPOMP, {count} links, complex128", full, "4 x OMP, complex128", 4 * ours, 1)


def surrogate_rows(count: int, seed: int) -> Iterator[Row]:
    """What a slot costs on average against SPOMP of all links from nothing, M = 20 (spec estimation 8.9).

    The statistical surrogate; the update of the gains; and SPOMP from known paths, drifted by 0.05/M, in one slot of
    ``COHERENCE`` with that update in every slot.
    """
    rng = np.random.default_rng(seed)
    for rx_antennas in (2, 4):
        links = _links(count, 20, rx_antennas, seed)
        size: dict[str, Any] = {"tx_antennas": 20, "rx_antennas": rx_antennas}
        normals = rng.standard_normal((count, crb_normals(paths=3, snapshots=6, **size)))
        truth = (links.aod_cos, links.aoa_cos, links.gains, links.noise_power)
        full = cpu_seconds(lambda: spomp(links.received, None, links.noise_power, paths=3)) / count  # noqa: B023
        drawn = cpu_seconds(lambda: crb(*truth, normals, **size)) / count  # noqa: B023
        yield per_link(f"CRB surrogate, {count} links, N = {rx_antennas}", drawn, "SPOMP", full, 20)
        beams = random_beams(rng, count, 1, 20, 8)
        frame = links.channel[:, :1] @ beams
        args = (frame, beams, links.noise_power, links.aod_cos, links.aoa_cos)
        update = cpu_seconds(lambda: gains_on_known_angles(*args)) / count  # noqa: B023
        yield per_link(f"gains on known angles, {count} links, N = {rx_antennas}", update, "SPOMP", full, 10)
        angles = (links.aod_cos + 0.05 / 20, links.aoa_cos)
        later = draw_links(rng, count, tx_antennas=20, rx_antennas=rx_antennas, paths=3, snr_db=10.0, angles=angles)
        known = Start(links.aod_cos, links.aoa_cos, np.ones_like(links.aod_cos, dtype=bool))
        warm = cpu_seconds(lambda: spomp(later.received, None, later.noise_power, paths=3, start=known)) / count  # noqa: B023
        name = f"SPOMP in the loop, {count} links, N = {rx_antennas}"
        yield per_link(name, warm / COHERENCE + update, "SPOMP from nothing in every slot", full, 4)


def estimation_rows(count: int = 108, seed: int = 0) -> Iterator[Row]:
    """All measurements of the estimators; 108 links are those of three cells with twelve users each."""
    yield from search_rows(count, seed)
    yield from surrogate_rows(count, seed)
