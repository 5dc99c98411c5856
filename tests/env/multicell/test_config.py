"""Configurations: defaults, presets, and one-line refusals."""

from __future__ import annotations

import itertools
from dataclasses import fields

import numpy as np
import pytest
from scipy.special import j0

from jcas_env import MultiCellConfig, make_scenario
from jcas_env.physics import estimation
from jcas_env.physics.motion import clarke_correlation
from jcas_env.scenarios.multicell import PRESETS


def test_defaults_are_those_of_the_specification():
    config = MultiCellConfig()
    assert (config.cells, config.users_per_cell, config.users) == (3, 12, 36)
    assert (config.bs_antennas, config.ue_antennas, config.paths) == (20, 4, 3)
    assert config.positioning_share is None
    assert config.service_weight == (1.0, 1.5)
    assert config.noise_density * 10e6 == pytest.approx(1.995e-13, rel=1e-3)
    assert config.combiner_kind == "gev"
    assert MultiCellConfig(ue_antennas=7).combiner_kind == "null_mrc"
    assert MultiCellConfig(ue_antennas=7, combiner="svd").combiner_kind == "svd"


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_makes_a_scenario(name):
    config = MultiCellConfig.preset(name)
    assert make_scenario("multicell", config).config is not None
    if name.startswith("luo2023"):
        assert (config.csi_delay, config.horizon, config.service_weight) == (0, 1, (1.0, 1.0))


def test_the_preset_clarke_fades_as_fast_as_a_walk_at_60_ghz():
    """J_0(2 pi f_D tau), f_D = 200 Hz; tau = 10 ms between slots, 0.4 ms between frames: 3 x 20 symbols of 6.7 us."""
    default, config = MultiCellConfig(), MultiCellConfig.preset("clarke")
    assert config.frame_interval == pytest.approx(0.4e-3)
    expected = [j0(2 * np.pi * (60e9 / 299792458.0) * tau) for tau in (10e-3, 0.4e-3)]
    assert default.clarke_correlations == pytest.approx(expected, abs=1e-12)
    assert (config.fading_correlation, config.frame_rho) == pytest.approx(default.clarke_correlations, abs=5e-4)
    # As one autoregressive process, 25 frame intervals fade as a slot does.
    assert config.frame_rho ** (config.slot / config.frame_interval) == pytest.approx(0.159, abs=0.05)
    # The defaults are a choice: slots that correlate by .9, and frames inside of one that do not.
    assert (default.fading_correlation, default.frame_rho) == (0.9, 0.0)


def test_correlations_that_follow_from_the_speed():
    assert MultiCellConfig(speed=0.0).clarke_correlations == (1.0, 1.0)
    # Slots of half a millisecond correlate (spec multicell 8.2); negative correlations count as none.
    assert MultiCellConfig(slot=0.5e-3).clarke_correlations[0] == pytest.approx(j0(2 * np.pi * 0.1), abs=2e-3)
    assert MultiCellConfig(slot=3e-3).clarke_correlations[0] == 0.0 > j0(2 * np.pi * 0.6)
    assert MultiCellConfig(pilot_reuse=True).frame_interval == pytest.approx(0.4e-3 / 3)
    for turns in (0.0, 0.3, 2.0, 17.0, 300.0):
        got = clarke_correlation(turns, speed=1.0, carrier_hz=299792458.0)
        assert got == pytest.approx(j0(2 * np.pi * turns), abs=1e-12)


def test_keywords_replace_fields_of_a_preset():
    config = MultiCellConfig.preset("luo2023-fig8", grouping_threshold=0.35, positioning_share=0.25)
    assert (config.ue_antennas, config.grouping_threshold, config.positioning_share) == (18, 0.35, 0.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": 4}, r"cells.*\[1, 3, 7\], got 4"),
        ({"users_per_cell": 0}, "users_per_cell.*an integer in .*, got 0"),
        ({"bs_antennas": 2.5}, "bs_antennas.*an integer in .*, got 2.5"),
        ({"horizon": True}, "horizon.*an integer in .*, got True"),
        ({"power_budget": -1.0}, "power_budget.*a number in .*, got -1.0"),
        ({"band_budget": float("nan")}, "band_budget.*got nan"),
        ({"radius": 3.0}, r"radius.*a number in \[5, 10000\], got 3.0"),
        ({"floor": -0.01}, r"floor.*a number in \[0, 0.5\], got -0.01"),
        ({"fading_correlation": 1.5}, r"fading_correlation.*\[0, 1\], got 1.5"),
        ({"speed": "fast"}, "speed.*got 'fast'"),
        ({"grouping_threshold": 0.0}, "grouping_threshold.*a number in .* or several of them, got 0.0"),
        ({"grouping_threshold": (0.4, 0.3)}, r"grouping_threshold.*one number or 3, .*got \(0.4, 0.3\)"),
        ({"service_weight": (1.0, -1.0)}, r"service_weight.*a number in .*, got \(1.0, -1.0\)"),
        ({"service_weight": (0.0, 0.0)}, "service_weight.*a weight of at least 0.001"),
        ({"csi_delay": 2}, r"csi_delay.*one of \[0, 1\], got 2"),
        ({"precoder": "mr"}, "precoder.*did you mean 'mrt'"),
        ({"reward": "faire"}, "did you mean 'fair'"),
        ({"combiner": "mmse"}, "combiner.*got 'mmse'"),
        ({"estimator": "perfct"}, "did you mean 'perfect'"),
        ({"clusters": (3, 0, 5.0)}, "clusters"),
        ({"rician_db": "high"}, "rician_db"),
    ],
)
def test_values_out_of_range_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        MultiCellConfig(**change)


@pytest.mark.parametrize("share", [0.1, 0.95])
def test_a_share_that_the_floors_do_not_allow_names_the_limit(share):
    with pytest.raises(ValueError, match=r"positioning_share.*\(0.12, 0.88\): 12 users with floors of 0.01"):
        MultiCellConfig(positioning_share=share)


def test_floors_that_fill_a_share_to_rounding_are_no_error():
    # 3 * 0.1 = 0.30000000000000004 in binary: 3 users with floors of a tenth need the share of 0.3, and get it.
    assert MultiCellConfig(users_per_cell=3, floor=0.1, positioning_share=0.3).floor == 0.1
    assert MultiCellConfig(users_per_cell=3, floor=0.1, positioning_share=0.7).floor == 0.1


def test_floors_that_fill_the_budget_are_refused():
    with pytest.raises(ValueError, match="floor.*too large: 12 users with floors of 0.05 of a budget need 0.6"):
        MultiCellConfig(floor=0.05)
    MultiCellConfig(positioning_share=0.12)
    MultiCellConfig(positioning_share=0.88)


def test_unknown_fields_presets_and_scenarios_suggest_the_nearest():
    with pytest.raises(TypeError, match="unexpected keyword argument 'user_per_cell': did you mean 'users_per_cell'"):
        make_scenario("multicell", user_per_cell=3)
    with pytest.raises(ValueError, match="unknown preset 'luo2023-fg8': did you mean 'luo2023-fig8'"):
        MultiCellConfig.preset("luo2023-fg8")
    with pytest.raises(ValueError, match="unknown scenario 'multi-cell': did you mean 'multicell'"):
        make_scenario("multi-cell")
    with pytest.raises(TypeError, match="MultiCellConfig, got dict"):
        make_scenario("multicell", {"cells": 3})


def test_every_field_is_explained_with_a_string_beneath_it():
    import ast
    import inspect

    from jcas_env.scenarios.multicell import config as module

    body = next(
        node.body
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == "MultiCellConfig"
    )
    explained = {
        first.target.id
        for first, second in itertools.pairwise(body)
        if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant)
    }
    assert explained == {item.name for item in fields(MultiCellConfig)}


def test_a_new_estimator_needs_its_function_and_a_row_that_names_its_arguments(monkeypatch):
    """The seam for estimators that see pilots only: arguments are supplied by name, and noise is drawn for them."""
    import numpy as np

    from jcas_env.physics.estimation.ls import ls

    seen = {}

    def own(received, beams, noise_power, *, paths):
        seen.update(noise=noise_power, beams=beams, paths=paths, frames=received.shape[-3])
        return ls(received, beams, noise_power, paths=paths)

    monkeypatch.setitem(estimation.ESTIMATORS, "own", estimation.Estimator(own, estimation.DATA))
    scenario = make_scenario("multicell", estimator="own", csi_delay=0, users_per_cell=3)
    state = scenario.sample(0)
    assert seen["beams"] is None
    assert (seen["paths"], seen["frames"]) == (3, 6)
    # 97 dB below 10 W at 99 dB of path loss: about 10 dB below 0, scaled to E|H|^2 = 1 (spec estimation 8.2).
    expected = scenario.config.noise_density * 10e6 / 10.0 * 10 ** (state.air.path_loss_db / 10)
    np.testing.assert_allclose(seen["noise"], expected)
    known, true = scenario.problem(state).gain, scenario.truth(state).gain
    assert not np.allclose(known, true, rtol=1e-3, atol=0)
