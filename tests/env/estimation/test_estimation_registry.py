"""The table of estimators: what a row claims is what its function takes, and no estimator is left out of it."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
from jcas_experiments.links import draw_links

from jcas_env.physics import estimation
from jcas_env.physics.estimation import ESTIMATORS, crb_normals

SUPPLIED = {need for row in ESTIMATORS.values() for need in row.needs}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_row_needs_what_its_function_takes_and_the_rest_has_defaults(name):
    parameters = inspect.signature(ESTIMATORS[name].function).parameters
    assert {parameter for parameter in parameters if parameter in SUPPLIED} == set(ESTIMATORS[name].needs)
    for parameter in set(parameters) - SUPPLIED:
        assert parameters[parameter].default is not inspect.Parameter.empty, parameter


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_a_row_says_of_angles_errors_and_grids_follows_from_its_arguments(name):
    row = ESTIMATORS[name]
    assert row.surrogate == ("normals" in row.needs)
    assert row.keeps_angles == (row.surrogate or "start" in row.needs)
    assert not row.on_grid or "grid" in row.needs
    assert (row.pilot_frames(6) == 0) == ("received" not in row.needs and not row.surrogate)


def test_every_module_with_a_function_of_its_own_name_has_a_row():
    found = set()
    for module in iter_modules(estimation.__path__):
        function = getattr(import_module(f"{estimation.__name__}.{module.name}"), module.name, None)
        found |= {module.name} if inspect.isfunction(function) else set()
    assert found == set(ESTIMATORS)
    assert all(row.function.__name__ == name for name, row in ESTIMATORS.items())


def test_frames_of_a_slot_and_variance_of_a_grid():
    """Spec estimation 8.8: ls, mmse and omp work on one frame; a rounding to 2/G has the variance (2/G)^2/12."""
    assert {name: row.pilot_frames(6) for name, row in ESTIMATORS.items()} == {
        "perfect": 0, "ls": 1, "mmse": 1, "omp": 1, "esprit": 6, "spomp": 6, "crb": 6,
    }  # fmt: skip
    assert {name: row.grid_variance(100) for name, row in ESTIMATORS.items() if row.on_grid} == {
        "omp": pytest.approx(3.3333e-5, rel=1e-4)
    }
    assert ESTIMATORS["spomp"].grid_variance(100) == 0.0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_calling_a_row_calls_its_function_on_what_it_needs(rng, name):
    drawn = draw_links(rng, 4, tx_antennas=16, rx_antennas=1, paths=2, snr_db=20.0)
    normals = crb_normals(paths=2, snapshots=6, tx_antennas=16, rx_antennas=1)
    offers = drawn._asdict() | {
        "paths": 2, "grid": 32, "start": None, "last": False, "tx_antennas": 16, "rx_antennas": 1,
        "normals": rng.standard_normal((4, normals)),
    }  # fmt: skip
    row = ESTIMATORS[name]
    known = {need: offers[need] for need in row.needs}
    for one, two in zip(row(**known), row.function(**known), strict=True):
        np.testing.assert_array_equal(one, two)
