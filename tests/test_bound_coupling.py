"""Prices of interference: any of them bound, the best ones are the relaxation of spec bound 3 R2 with J a variable."""

from __future__ import annotations

from dataclasses import replace
from math import log

import cvxpy as cp
import numpy as np
import pytest
from conftest import static
from jcas_baselines import EqualAllocation, Joint, UpperBound, bound_descent
from jcas_baselines.bound_coupling import Tariff, attained, certificate, charge, couple, surplus
from jcas_baselines.bound_descent import lowest
from jcas_baselines.bound_units import intercell_range, numpy_of, slots_of
from test_bound import ascended, random_allocations, random_problem

from jcas_env import MultiCellAllocation
from jcas_env.types import COMMUNICATION, POSITIONING

ZF4 = {"ue_antennas": 4, "precoder": "zf"}
ROOT = UpperBound("root", search=EqualAllocation())


def network_of(problem, spend_all=False):
    free, share = numpy_of(problem.share_is_free), numpy_of(problem.share)
    least = np.minimum(numpy_of(problem.least_share), 0.5)
    ends = np.where(free, least, share), np.where(free, 1.0 - least, share)
    return couple(problem, *(end.reshape(-1, problem.cells) for end in ends), spend_all=spend_all)


def random_tariff(rng, network):
    """Prices over many decades, some of them zero, and what is paid: from a thousandth of the charge to twice that."""
    power, band = 10.0 ** rng.uniform(-4, 1, (2, *network.widest.shape))
    heard = 10.0 ** rng.uniform(-6, 0, network.worth.shape) * (rng.random(network.worth.shape) < 0.7)
    paid = charge(network, power, heard) * 10.0 ** rng.uniform(-3, 0.3, heard.shape)
    return Tariff(power, band, heard, paid)


def cone_program(problem):
    """Spec bound 3 R2 for one slot without in-group interference: every rate split between the ends of J, z = w J
    in McCormick's inequalities. Budgets need not be spent. Mbit/s."""
    slots = slots_of(problem)
    gain, cell, group = slots.gain[0], slots.cell[0], slots.group[0]
    floors, _, most = (part[0] for part in intercell_range(slots, spend_all=False))
    noise, power, band = slots.noise[0, 0], slots.power[0, 0], slots.band[0, 0]
    low, high = 1.0 + floors / noise, 1.0 + most / noise
    other = cell[:, None] != cell[None, :]
    reach = np.where(other, gain, 0.0) * power / (noise * band)
    own = noise * band / (np.diag(gain) * power)
    power_floor, band_floor = slots.power_floor[0, 0] / power, slots.band_floor[0, 0] / band
    labels, label = np.unique(np.stack([cell, group]), axis=1, return_inverse=True)
    label = label.ravel()
    service, share = (COMMUNICATION, POSITIONING), float(np.ravel(problem.positioning_share)[0])
    budget, factor = (1.0 - share, share), (np.ones(len(cell)), slots.kappa[0])
    powers = [cp.Variable(len(cell)) for _ in service]
    heard = cp.Variable(len(cell))
    constraints, earned = [heard >= 1.0 + reach @ sum(powers)], 0
    for s in service:
        bands = cp.Variable(labels.shape[1])
        width, first, second, low_power, high_power, product = (bands[label], *(cp.Variable(len(cell)) for _ in "12345"))
        constraints += [powers[s] >= power_floor, bands >= band_floor]
        for c in range(problem.cells):
            mine = np.flatnonzero(labels[0] == c)
            constraints += [cp.sum(powers[s][cell == c]) <= budget[s], cp.sum(bands[mine]) <= budget[s]]
        widest = budget[s] - (np.bincount(labels[0])[cell] - 1) * band_floor
        constraints += [first + second == width, low_power + high_power == powers[s]]
        constraints += [cp.multiply(low, first) + cp.multiply(high, second) >= product]
        constraints += [product >= cp.multiply(low, width) + band_floor * heard - band_floor * low]
        constraints += [product >= cp.multiply(high, width) + cp.multiply(widest, heard) - cp.multiply(widest, high)]
        worth = (1.0, 0.5)[s] * problem.service_weight[s] * slots.weight[0] * band / (1e6 * log(2.0) * problem.cells)
        for level, part, spent in ((own / factor[s] * low, first, low_power), (own / factor[s] * high, second, high_power)):
            size = 1.0 + 1.0 / (len(cell) * level)
            inside = cp.multiply(1.0 / size, part) + cp.multiply(1.0 / (level * size), spent)
            earned += worth @ (-cp.rel_entr(part, inside) + cp.multiply(np.log(size), part))
    program = cp.Problem(cp.Maximize(earned), constraints)
    program.solve(solver="CLARABEL")
    return program.value


class TestTightness:
    def test_zf_with_few_antennas(self):
        """Spec bound 1, row 3: 9.1 % on average, worst 14.9 % (found: 8.1 and 10.3; 12.6 and 15.0 without prices)."""
        solution = UpperBound("root").solve(static(5, **ZF4).truth)
        assert solution.details["gap"].mean() <= 0.091
        assert solution.details["gap"].max() <= 0.149

    @pytest.mark.slow
    def test_zf_with_few_antennas_on_the_scenes_of_the_specification(self):
        """20 scenes, the full search (found: 8.5 %, worst 10.3 %; all budgets spent 8.1 %)."""
        truth = static(20, **ZF4).truth
        best = Joint().solve(truth).objective
        for spend_all, mean in ((False, 0.088), (True, 0.084)):
            gap = UpperBound("root", spend_all=spend_all, search=EqualAllocation()).solve(truth).bound / best - 1
            assert gap.min() >= 0
            assert gap.mean() <= mean
            assert gap.max() <= 0.149

    @pytest.mark.parametrize("seed", range(3))
    def test_reaches_the_cone_program(self, seed):
        truth = static(1, seed, users_per_cell=3, **ZF4).truth
        bound, relaxed = ROOT.solve(truth).bound[0], cone_program(truth)
        assert bound <= relaxed * (1 + 5e-4)
        assert lowest(network_of(truth))[0] >= relaxed * (1 - 1e-5)

    def test_a_free_share_gains_as_well(self):
        truth = static(2, positioning_share=None, service_weight=(1.0, 1.5), **ZF4).truth
        separate, _ = ROOT._separate(truth, *_ends(truth))
        assert (ROOT.solve(truth).bound <= 0.97 * separate).all()


def _ends(truth):
    low = numpy_of(truth.least_share).ravel()
    return low, 1.0 - low, [low, 1.0 - low]
