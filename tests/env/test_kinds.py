"""What configuration fields take: hostile values, NumPy's scalars, texts of commands; memory; the page of fields."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from jcas_env import MassiveMIMOConfig, MeshConfig, MultiCellConfig
from jcas_env.scenarios import SCENARIOS, Configuration
from jcas_env.scenarios.kinds import Boolean, Choice, Integer, Number, OneOrEach, OrNone, Several
from jcas_env.scenarios.reference import page

CONFIGS = [config for _, config in SCENARIOS.values()]
FIELDS = [(config, item.name) for config in CONFIGS for item in fields(config)]
HOSTILE = [
    float("nan"),
    float("inf"),
    -float("inf"),
    -1,
    10**400,
    -(10**400),
    10**5000,
    1e308,
    "False",
    "nan",
    "3",
    b"3",
    [],
    (),
    {},
    [float("nan")],
    (1.0, "x"),
    ((1, 2), 3),
    np.zeros(3),
    np.asarray(3),
    np.asarray([None, "x"], dtype=object),
    1j,
    object(),
    int,
    Fraction(10**400),
    np.float64("nan"),
    np.datetime64("NaT"),
]


def by_name(value):
    return getattr(value, "__name__", value)


@pytest.mark.parametrize(("config", "name"), FIELDS, ids=by_name)
def test_every_field_has_a_kind_and_takes_its_default_and_ends(config, name):
    kind = config.kinds()[name]
    default = getattr(config(), name)
    assert kind.accepts(default)
    for value in kind.ends:
        assert kind.accepts(value)
        assert type(kind.plain(value)) in (bool, int, float, str, tuple, type(None))


@pytest.mark.parametrize(("config", "name"), FIELDS, ids=by_name)
def test_hostile_values_are_refused_by_name_rule_and_value(config, name):
    kind = config.kinds()[name]
    refused = 0
    for value in HOSTILE:
        if kind.accepts(value):  # as -1 where decibels are taken
            continue
        refused += 1
        with pytest.raises(ValueError, match=f"^`{name}` must be {re.escape(kind.rule)}, got .{{1,120}}"):
            config(**{name: value})
    assert refused >= len(HOSTILE) - 2
    for value in (True, False):  # a truth value is no number
        assert kind.accepts(value) is isinstance(kind, Boolean)


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (MultiCellConfig, "radius", 1e308),
        (MultiCellConfig, "rician_db", 1e7),
        (MultiCellConfig, "carrier_hz", 5e-324),
        (MultiCellConfig, "bs_antennas", 10**400),
        (MultiCellConfig, "logit_scale", 5e-324),
        (MultiCellConfig, "kalman", None),
        (MultiCellConfig, "kalman", 1),
        (MultiCellConfig, "cells", True),
        (MultiCellConfig, "cells", 10**9),
        (MultiCellConfig, "csi_delay", True),
        (MultiCellConfig, "clusters", "abc"),
        (MultiCellConfig, "clusters", (2, 2)),
        (MultiCellConfig, "service_weight", 3),
        (MultiCellConfig, "grouping_threshold", np.full(3, 0.4)),
        (MassiveMIMOConfig, "snr_com_db", 1e7),
        (MeshConfig, "temperature", 5e-324),
    ],
)
def test_what_used_to_fail_elsewhere_is_refused_by_name(config, name, value):
    with pytest.raises(ValueError, match=f"^`{name}` must be "):
        config(**{name: value})


def test_scalars_of_numpy_are_pythons():
    config = MultiCellConfig(
        users_per_cell=np.int64(3),
        radius=np.float32(40.0),
        kalman=np.bool_(True),
        cells=np.uint8(3),
        estimator=np.str_("crb"),
        service_weight=[np.float64(1.0), np.int32(2)],
        grouping_threshold=[np.float32(0.5)] * 3,
    )
    assert config == MultiCellConfig(
        users_per_cell=3,
        radius=40.0,
        kalman=True,
        estimator="crb",
        service_weight=(1.0, 2.0),
        grouping_threshold=(0.5, 0.5, 0.5),
    )
    assert {type(getattr(config, item.name)) for item in fields(config)} <= {int, float, bool, str, tuple, type(None)}
    assert hash(config) == hash(MultiCellConfig(**{item.name: getattr(config, item.name) for item in fields(config)}))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("blockage", "false", False),
        ("blockage", "True", True),
        ("kalman", "FALSE", False),
        ("users_per_cell", "6", 6),
        ("band_budget", "1e7", 1e7),
        ("rician_db", "none", None),
        ("positioning_share", "None", None),
        ("positioning_share", "0.5", 0.5),
        ("reward", "fair", "fair"),
        ("reward", "'fair'", "fair"),
        ("service_weight", "1, 2", (1, 2)),
        ("clusters", "(2, 3, 5.0)", (2, 3, 5.0)),
        ("grouping_threshold", "0.4,0.3,0.5", (0.4, 0.3, 0.5)),
    ],
)
def test_texts_of_commands_are_read_by_type(name, text, value):
    read = MultiCellConfig.parse(name, text)
    assert getattr(MultiCellConfig(**{name: read}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("blockage", "no"),
        ("blockage", "0"),
        ("users_per_cell", "3.0"),
        ("users_per_cell", "9" * 5000),
        ("radius", "nan"),
        ("radius", "(" * 500),
        ("reward", "none"),
    ],
)
def test_texts_that_mean_nothing_are_refused(name, text):
    with pytest.raises(ValueError, match=f"`{name}` must be .*, got "):
        MultiCellConfig(**{name: MultiCellConfig.parse(name, text)})


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        (MultiCellConfig, {"queues": True, "slot": 10.0, "band_budget": 1e12}, "packets of `slot`, `band_budget`"),
        (MultiCellConfig, {"bs_antennas": 1024, "ue_antennas": 256, "estimator": "perfect", "cells": 7}, "channels of"),
        (MultiCellConfig, {"bs_antennas": 1024, "snapshots": 256, "ue_antennas": 64}, "pilots of"),
        (MultiCellConfig, {"grid": 1000, "snapshots": 256, "ue_antennas": 8, "bs_antennas": 12}, "searches of"),
        (MeshConfig, {"bandwidth": 1e12, "subcarrier_spacing": 1.0}, "subcarriers of `bandwidth`"),
    ],
)
def test_what_does_not_fit_into_memory_is_refused_before_anything_is_made(config, settings, named):
    with pytest.raises(ValueError, match=f"^the network is too large: {named}"):
        config(**settings)


def test_a_configuration_of_somebody_elses_states_what_it_likes():
    @dataclass(frozen=True)
    class Own(Configuration):
        size: Annotated[int, "entries", Integer(1, 3)] = 2
        free: Any = None

    assert list(Own.kinds()) == ["size"]
    assert Own(free=[1]).free == [1]
    assert (Own.parse("free", "[1]"), Own.parse("free", "x")) == ([1], "x")
    with pytest.raises(ValueError, match=r"`size` must be an integer in \[1, 3\], got 4"):
        Own(size=4)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Boolean(), "True or False"),
        (Integer(1, 3), "an integer in [1, 3]"),
        (Number(0.0, 1e9), "a number in [0, 1e+09]"),
        (Choice(("a", "b")), "one of ['a', 'b']"),
        (OrNone(Number(0.0, 1.0)), "a number in [0, 1] or None"),
        (Several((Integer(1, 2), Number(0.0, 1.0))), "(an integer in [1, 2], a number in [0, 1])"),
        (OneOrEach(Number(0.0, 1.0)), "a number in [0, 1] or several of them"),
    ],
)
def test_rules_in_words(kind, rule):
    assert kind.rule == rule


def test_the_page_of_fields_is_up_to_date():
    """``python3 -c "from jcas_env.scenarios.reference import page; print(page(), end='')" > docs/configuration.md``."""
    path = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    assert path.read_text() == page()
