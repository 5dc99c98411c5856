"""Expected values of spec estimation 9, mean of ratios in dB at the tolerances stated there."""

from __future__ import annotations

import numpy as np
import pytest
from jcas_experiments.links import bound, decibel, draw_links, error, run
from support.links import genie

from jcas_env.physics.estimation import Refinement

FIG3 = {
    0: {
        "mmse": -3.19,
        "omp": -5.65,
        "esprit": -3.68,
        "spomp": -7.00,
        "log": -6.02,
        "genie": -8.03,
        "bound": -6.68,
    },
    10: {
        "mmse": -10.29,
        "omp": -14.72,
        "esprit": -15.36,
        "spomp": -16.73,
        "log": -16.74,
        "genie": -17.24,
        "bound": -16.68,
    },
    20: {
        "mmse": -19.83,
        "omp": -18.56,
        "esprit": -25.87,
        "spomp": -26.62,
        "log": -26.63,
        "genie": -27.10,
        "bound": -26.68,
    },
}
"""Without LS, whose error is check 2."""
LOOSE = {("omp", 20): 0.5, ("esprit", 20): 1.0}
"""Tolerances that are not 0.4 dB. The mean of ESPRIT at 20 dB hangs on few links with close paths: batches of 300 links
scatter from -25.8 to -24.3 dB around -25.2 dB, half a dB above the table; the median link is at -26.2 dB."""


def measured(name, drawn, **options):
    if name == "bound":
        return decibel(bound(drawn))
    if name == "genie":
        return decibel(error(genie(drawn), drawn))
    if name == "log":
        return decibel(error(run("spomp", drawn, refinement=Refinement(weight="log")), drawn))
    return decibel(error(run(name, drawn, **options), drawn))


def links(seed, count, *, rx, snr_db, tx=16, **more):
    rng = np.random.default_rng(seed)
    return draw_links(rng, count, tx_antennas=tx, rx_antennas=rx, snr_db=float(snr_db), **({"paths": 3} | more))


def row(drawn, names, **options):
    """Errors in dB by name; ``options`` are for the estimators that search a grid."""
    return {name: measured(name, drawn, **(options if name in ("omp", "spomp") else {})) for name in names}


class TestSingleAntennaUsers:
    """9.1, luo2023 Fig. 3."""

    @pytest.mark.parametrize("snr_db", [0, 10, 20])
    def test_values(self, snr_db):
        drawn = links(1, 1500, rx=1, snr_db=snr_db)
        for name, expected in FIG3[snr_db].items():
            tolerance = LOOSE.get((name, snr_db), 0.4)
            assert measured(name, drawn) == pytest.approx(expected, abs=tolerance), name

    def test_spomp_is_best_from_minus_5_db_up_and_omp_falls_behind_ls(self):
        others = ("ls", "mmse", "omp", "esprit")
        rows = {snr_db: row(links(2, 400, rx=1, snr_db=snr_db), (*others, "spomp")) for snr_db in range(-5, 31, 5)}
        for errors in rows.values():
            assert errors["spomp"] < min(errors[name] for name in others)
        behind = {snr_db: errors["omp"] > errors["ls"] for snr_db, errors in rows.items()}
        assert not behind[15]
        assert behind[20]


class TestSeveralAntennas:
    """9.2, luo2023 Fig. 4, N = 2."""

    @pytest.mark.parametrize(
        ("tx", "snr_db", "mmse", "omp", "spomp", "limit"),
        [
            (16, 5, -6.3, -13.0, -14.32, -14.31),
            (20, 25, -24.7, -18.2, -35.20, -35.28),
            pytest.param(16, 25, -24.7, -19.1, -34.22, -34.31, marks=pytest.mark.slow),
            pytest.param(20, 5, -6.3, -13.5, -15.28, -15.28, marks=pytest.mark.slow),
        ],
    )
    def test_values(self, tx, snr_db, mmse, omp, spomp, limit):
        drawn = links(3, 800, rx=2, snr_db=snr_db, tx=tx)
        assert measured("mmse", drawn) == pytest.approx(mmse, abs=0.4)
        assert measured("omp", drawn) == pytest.approx(omp, abs=0.8)
        assert measured("spomp", drawn) == pytest.approx(spomp, abs=0.4)
        assert measured("bound", drawn) == pytest.approx(limit, abs=0.4)

    def test_gain_of_antennas(self):
        """SPOMP gains 10 log10(M/16) at every SNR; OMP loses at high SNR."""
        rows = {
            (tx, snr_db): row(links(4, 600, rx=2, snr_db=snr_db, tx=tx), ("omp", "spomp"))
            for tx in (16, 20)
            for snr_db in (5.0, 25.0)
        }
        for snr_db in (5.0, 25.0):
            gain = rows[16, snr_db]["spomp"] - rows[20, snr_db]["spomp"]
            assert gain == pytest.approx(10 * np.log10(20 / 16), abs=0.3)
        assert rows[20, 25.0]["omp"] > rows[16, 25.0]["omp"]
        assert rows[20, 5.0]["omp"] < rows[16, 5.0]["omp"]


class TestPathsAndGrids:
    """9.3, luo2023 Fig. 5, N = 2, SNR 5 dB; +-0.5 dB."""

    def test_three_paths(self):
        drawn = links(5, 600, rx=2, snr_db=5)
        assert measured("genie", drawn) == pytest.approx(-15.07, abs=0.5)
        again = Refinement(rescue=True)
        for grid, omp, spomp in ((10, -3.89, -13.86), (80, -12.54, -14.24), (300, -13.28, -14.24)):
            assert measured("omp", drawn, grid=grid) == pytest.approx(omp, abs=0.5)
            assert measured("spomp", drawn, grid=grid, refinement=again) == pytest.approx(spomp, abs=0.5)

    @pytest.mark.slow
    def test_sixteen_paths(self):
        drawn = links(6, 100, rx=2, snr_db=5, paths=16)
        assert measured("mmse", drawn) == pytest.approx(-6.30, abs=0.5)
        assert measured("genie", drawn) == pytest.approx(-9.36, abs=0.5)
        plain = {"refinement": Refinement(polish=0, iterations=8, rescue=False)}
        for grid, omp, spomp in ((10, -2.92, -7.62), (80, -6.21, -8.06), (300, -6.25, -8.05)):
            assert measured("omp", drawn, grid=grid) == pytest.approx(omp, abs=0.5)
            assert measured("spomp", drawn, grid=grid, **plain) == pytest.approx(spomp, abs=0.5)

    @pytest.mark.slow
    def test_spomp_is_best_for_every_number_of_paths_and_log_sum_falls_behind(self):
        margins = {}
        for paths in (3, 16, 24, 30):
            errors = row(links(7, 60, rx=2, snr_db=5, paths=paths), ("mmse", "omp", "spomp"), grid=100)
            assert errors["spomp"] < min(errors["mmse"], errors["omp"])
            margins[paths] = errors["mmse"] - errors["spomp"]
        assert list(margins.values()) == sorted(margins.values(), reverse=True)


class TestCompressedPilots:
    """9.5, N = 2, SNR 5 dB."""

    @pytest.mark.parametrize(
        ("pilots", "mmse", "omp", "spomp", "tolerance"),
        [(8, -2.4, -9.4, -10.7, 0.4), (4, -1.2, -2.6, -4.5, 1.5)],
    )
    def test_values(self, pilots, mmse, omp, spomp, tolerance):
        drawn = links(8, 1000, rx=2, snr_db=5, pilots=pilots)
        assert measured("mmse", drawn) == pytest.approx(mmse, abs=0.4)
        assert measured("omp", drawn) == pytest.approx(omp, abs=max(tolerance, 0.8))
        assert measured("spomp", drawn) == pytest.approx(spomp, abs=tolerance)


class TestSnapshots:
    """9.6, N = 2, SNR 15 dB, ratio of means."""

    @pytest.mark.parametrize(("snapshots", "expected", "count"), [(1, -21.7, -22.3), (6, -24.6, -24.6)])
    def test_values(self, snapshots, expected, count):
        drawn = links(9, 800, rx=2, snr_db=15, snapshots=snapshots)
        energy = np.sum(np.abs(drawn.channel) ** 2, axis=(1, 2, 3))
        for value, table in ((error(run("spomp", drawn), drawn), expected), (bound(drawn), count)):
            assert 10 * np.log10(np.mean(value * energy) / energy.mean()) == pytest.approx(table, abs=0.4)
