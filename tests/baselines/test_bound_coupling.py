"""Prices of interference: any of them bound, the best ones are the relaxation of spec bound 3 R2 with J a variable."""

from __future__ import annotations

from dataclasses import replace
from math import log

import cvxpy as cp
import numpy as np
import pytest
from jcas_baselines import EqualAllocation, Joint, UpperBound
from jcas_baselines.bounding import descent as bound_descent
from jcas_baselines.bounding.coupling import Tariff, charge, couple, equal_split, priced_bound, surplus
from jcas_baselines.bounding.descent import lowest_bound
from jcas_baselines.bounding.units import intercell_range, numpy_of, slots_of
from support.bounds import ascended, random_allocations, random_problem
from support.scenes import static

from jcas_env import MultiCellAllocation
from jcas_env.types import COMMUNICATION, POSITIONING

ZF4 = {"ue_antennas": 4, "precoder": "zf"}
ROOT = UpperBound("root", search=EqualAllocation())


def network_of(problem, spend_all=False):
    free, share = numpy_of(problem.share_is_free), numpy_of(problem.share)
    least = np.minimum(numpy_of(problem.least_share), 0.5)
    ends = np.where(free, least, share), np.where(free, 1.0 - least, share)
    return couple(slots_of(problem), *(end.reshape(-1, problem.cells) for end in ends), spend_all=spend_all)


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
        width, (first, second, low_power, high_power, product) = bands[label], cp.Variable((5, len(cell)))
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
        for end, part, spent in ((low, first, low_power), (high, second, high_power)):
            level = own / factor[s] * end
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
        assert lowest_bound(network_of(truth))[0] >= relaxed * (1 - 1e-5)

    def test_a_free_share_gains_as_well(self):
        """Within 12 % of the best found over all shares (found: 11.6 and 8.4; 16.5 and 12.2 without prices)."""
        solution = UpperBound("root").solve(static(2, positioning_share=None, **ZF4).truth)
        assert solution.details["gap"].max() <= 0.12

    def test_other_rows_are_not_worse_and_pay_nothing_for_it(self, monkeypatch):
        """Beams that interfere in the group, and users that do not hear the other cells: prices are not even sought."""

        def refuse(network):
            raise AssertionError("sought")

        monkeypatch.setattr("jcas_baselines.bounding.certificate.lowest_bound", refuse)
        for fields in ({"ue_antennas": 18}, {"ue_antennas": 4}, {"ue_antennas": 18, "precoder": "zf"}):
            ROOT.solve(static(2, **fields).truth)
        with pytest.raises(AssertionError, match="sought"):
            ROOT.solve(static(1, **ZF4).truth)


class TestValidity:
    """Weak duality, at prices from anywhere."""

    @pytest.mark.parametrize("spend_all", [False, True])
    def test_no_allocation_is_above_at_any_prices(self, spend_all, rng):
        for _ in range(40):
            problem = random_problem(rng, (3,), noise=str(rng.choice(["per_hertz", "constant"])))
            network = network_of(problem, spend_all)
            tried = random_allocations(rng, problem, 30, spend=(1.0,) if spend_all else (1.0, 0.5, 0.0))
            highest = problem.utility(tried).max(axis=0)
            for _ in range(10):
                bound = network.scale * priced_bound(network, random_tariff(rng, network))
                assert (highest <= bound * (1 + 1e-9)).all()
            assert (highest <= lowest_bound(network) * (1 + 1e-9)).all()

    def test_searches_do_not_break_the_best_prices(self, rng):
        """Beams without in-group interference, where the bound is near: the searches end within 30 % of it."""
        ratio = []
        for _ in range(6):
            problem = random_problem(rng, (4,), service_weight=np.array([1.0, 1.0]))
            mates = problem.group[..., :, None] == problem.group[..., None, :]
            mates &= (problem.cell[..., :, None] == problem.cell[..., None, :]) & ~np.eye(problem.users, dtype=bool)
            problem = replace(problem, gain=np.where(mates, 0.0, problem.gain))
            found, bound = ascended(problem), lowest_bound(network_of(problem))
            assert (found <= bound * (1 + 1e-9)).all()
            ratio.append(bound / found)
        assert np.median(ratio) < 1.3

    def test_two_cells_of_one_user_against_a_dense_grid(self, rng):
        """One service: the best of all powers of both cells is on a grid, and the bound is above it, and near."""
        part = np.r_[0.0, np.geomspace(1e-3, 1.0, 150)]
        ratio = []
        for _ in range(20):
            own, cross = 10.0 ** rng.uniform(-9, -7, 2), 10.0 ** rng.uniform(-12, -7, 2)
            problem = random_problem(
                rng,
                share=0.5,
                gain=np.array([[own[0], cross[0]], [cross[1], own[1]]]),
                cell=np.array([0, 1]),
                group=np.zeros(2, int),
                leakage=np.zeros(2),
                sensing_gain=np.ones(2),
                weight=rng.random(2) + 0.2,
                service_weight=np.array([1.0, 0.0]),
                last_power=np.ones((2, 2)),
                queue=np.zeros(2),
                power_budget=10.0 ** rng.uniform(0, 1, 2),
                band_budget=10.0 ** rng.uniform(6, 7, 2),
                power_floor=0.0,
                band_floor=0.0,
                noise_density=1e-16,
                cell_count=2,
            )
            grid = np.stack(np.meshgrid(part, part), axis=-1).reshape(-1, 1, 2) * 0.5 * problem.power_budget
            power = np.concatenate([grid, np.zeros_like(grid)], axis=1)
            band = np.broadcast_to(0.5 * problem.band_budget, power.shape)
            best = problem.utility(MultiCellAllocation(power, band, np.zeros((len(grid), 2), int))).max()
            bound = lowest_bound(network_of(problem))[0]
            assert best <= bound * (1 + 1e-9)
            ratio.append(bound / best)
        assert np.median(ratio) < 1.15

    def test_an_equal_split_is_below_every_certificate(self, rng):
        """So that a known bound which is below it cannot be improved."""
        for _ in range(40):
            network = network_of(random_problem(rng, (3,)), bool(rng.random() < 0.5))
            least = equal_split(network)
            for _ in range(5):
                assert (least <= priced_bound(network, random_tariff(rng, network)) * (1 + 1e-5)).all()
            assert (least * network.scale <= lowest_bound(network) * (1 + 1e-5)).all()

    def test_a_group_earns_no_more_than_its_ends(self, rng):
        """The maximum over band, powers and interference of one group, by brute force (the closed form's oracle)."""
        for _ in range(30):
            worth, level = rng.random(2), 10.0 ** rng.uniform(-3, 0, 2)
            loudest, heard = 1.0 + 10.0 ** rng.uniform(-1, 2, 2), 10.0 ** rng.uniform(-3, 0, 2)
            paid, rent, floor, width = 10.0 ** rng.uniform(-2, 1, 2), rng.random(), 0.05, 0.6
            quiet, loud = surplus(worth, level, paid), surplus(worth, level * loudest, paid)
            ends = [np.maximum(w * quiet, w * loud + heard).sum() - rent * (w - floor) for w in (floor, floor + width)]
            power = np.r_[0.0, np.geomspace(1e-4, 1e3, 2000)][:, None, None]  # density
            at = np.linspace(0.0, 1.0, 21)[:, None]
            best = -np.inf
            for w in np.linspace(floor, floor + width, 12):
                earned = w * (worth * np.log1p(power / (level * (1 + at * (loudest - 1)))) - paid * power) + heard * at
                best = max(best, earned.max(axis=(0, 1)).sum() - rent * (w - floor))
            assert best <= max(ends) + 1e-12
            assert best == pytest.approx(max(ends), rel=1e-2)


class TestDescent:
    def test_derivatives_against_differences(self, rng):
        network = network_of(random_problem(rng, (2,), share=np.nan, cell_count=4), spend_all=True)
        prices = bound_descent._first(network) * 10.0 ** rng.uniform(-0.2, 0.2, (2, 1))
        heat = np.array([0.1, 0.02])
        state = bound_descent._State(network, bound_descent._credit(network), prices, heat, heat)

        def gradient(prices):
            moved = state._replace(prices=prices)
            return bound_descent._derivatives(moved, bound_descent._model(moved, prices))[0]

        slope, curve = bound_descent._derivatives(state, bound_descent._model(state, prices))
        for k in range(prices.shape[1]):
            step = np.zeros_like(prices)
            step[:, k] = 1e-6 * prices[:, k]
            wide = 2 * step[:, k]
            rise = bound_descent._model(state, prices + step).value - bound_descent._model(state, prices - step).value
            np.testing.assert_allclose(rise / wide, slope[:, k], rtol=1e-5, atol=1e-6 * np.abs(slope).max())
            bend = (gradient(prices + step) - gradient(prices - step)) / wide[:, None]
            np.testing.assert_allclose(bend, curve[:, k], rtol=1e-5, atol=1e-6 * np.abs(curve[:, k]).max())

    def test_one_element_alone_is_one_of_many(self):
        network = network_of(static(4, users_per_cell=5, **ZF4).truth)
        whole = lowest_bound(network)
        for k in range(4):
            alone = lowest_bound(type(network)(*(part[k : k + 1] for part in network)))
            np.testing.assert_allclose(alone, whole[k], rtol=1e-9)

    def test_cooler_is_tighter(self, monkeypatch):
        network = network_of(static(2, users_per_cell=5, **ZF4).truth)
        bounds = []
        for end in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
            monkeypatch.setattr(bound_descent, "END", end)
            bounds.append(lowest_bound(network))
        assert (np.diff(bounds, axis=0) <= 0).all()
        np.testing.assert_allclose(bounds[-2], bounds[-1], rtol=3e-4)
