"""Channel knowledge inside the environment: pilots, angle memory, warm starts, positions (spec estimation 8, 10.16)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jcas_env import JCASVectorEnv, MultiCell, MultiCellConfig
from jcas_env.physics.arrays import steering_vector
from jcas_env.physics.estimation import ESTIMATORS
from jcas_env.scenarios.multicell.knowledge import estimate as tracking
from jcas_env.scenarios.multicell.knowledge.positions import middle
from jcas_env.scenarios.multicell.knowledge.sounding import (
    amplitude,
    frame_gains,
    pilot_noise_power,
    sound_antennas,
    sound_beams,
)
from jcas_env.tree import stack, take, tree_map

SMALL = {"users_per_cell": 4, "bs_antennas": 12}


def play(config, lanes, slots, seed=0):
    """Scenario, states and innovations of a few slots under the fallback allocation."""
    scenario = MultiCell(config)
    rngs = [np.random.default_rng(seed + lane) for lane in range(lanes)]
    first = stack([scenario.draw_initial(rng) for rng in rngs])
    states, draws = [scenario.initial(first)], [first.first]
    for _ in range(slots):
        innovation = stack([scenario.draw(rng, states[-1]) for rng in rngs])
        draws.append(innovation)
        states.append(scenario.transition(states[-1], scenario.fallback(scenario.problem(states[-1])), innovation))
    return scenario, states, draws


def at_snr(config, snr_db):
    """Pilot power that puts the median link of a scene at an SNR per measurement."""
    scenario = MultiCell(config)
    state = scenario.sample(0)
    noise = np.median(pilot_noise_power(config, state.air.path_loss_db))
    return replace(config, pilot_power=config.pilot_watt * noise * 10 ** (snr_db / 10))


class TestPilots:
    def test_the_last_frame_is_the_slot_itself_and_frames_share_its_angles(self):
        config = MultiCellConfig(csi_delay=0, **SMALL)
        _, states, draws = play(config, 2, 0)
        air, noise = states[0].air, draws[0].noise
        gains = frame_gains(config, air, noise)
        assert gains.shape == (2, 3, 12, 6, 3)
        np.testing.assert_allclose(gains[..., -1, :], air.gains / amplitude(air.path_loss_db)[..., None], rtol=1e-12)
        assert np.abs(gains[..., 0, 0]).std() < 0.01 * np.abs(gains[..., 0, 0]).mean()  # one line of sight, Rician

    def test_frame_correlation_is_the_stated_one(self):
        for rho in (0.0, 0.8):
            config = MultiCellConfig(frame_rho=rho, csi_delay=0, **SMALL)
            _, states, draws = play(config, 60, 0)
            gains = frame_gains(config, states[0].air, draws[0].noise)
            for path in (0, 1):
                g = gains[..., path]
                lag = np.mean(np.conj(g[..., 1:]) * g[..., :-1]) / np.mean(np.abs(g) ** 2)
                assert lag == pytest.approx(rho, abs=0.03)

    def test_data_have_the_stated_noise_and_scale(self):
        config = at_snr(MultiCellConfig(csi_delay=0, **SMALL), 0.0)
        _, states, draws = play(config, 30, 1)
        air = states[0].air
        heard = sound_antennas(config, air, draws[0].noise)
        clean = air.channel / amplitude(air.path_loss_db)[..., None, None]
        assert np.mean(np.abs(clean) ** 2) == pytest.approx(1.0, abs=0.05)
        error = np.mean(np.abs(heard.received[..., -1, :, :] - clean) ** 2, axis=(-2, -1)) / heard.noise_power
        assert error.mean() == pytest.approx(1.0, abs=0.01)
        few = sound_beams(config, air, draws[1].noise)
        assert few.received.shape == (30, 3, 12, 1, 4, 8)
        gram = np.conj(np.swapaxes(few.beams, -1, -2)) @ few.beams
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(8), gram.shape), atol=1e-12)
        error = np.abs(few.received[..., 0, :, :] - (clean @ few.beams[..., 0, :, :])) ** 2
        assert (error.mean(axis=(-2, -1)) / few.noise_power).mean() == pytest.approx(1.0, abs=0.02)

    def test_reused_pilots_bring_the_sum_of_all_stations(self):
        config = MultiCellConfig(pilot_reuse=True, pilot_power=1e9, csi_delay=0, **SMALL)
        _, states, draws = play(config, 1, 1)
        air = states[0].air
        heard = (
            sound_antennas(config, air, draws[0].noise).received[0, :, :, -1]
            * amplitude(air.path_loss_db)[0, ..., None, None]
        )
        for cell in range(3):
            np.testing.assert_allclose(heard[cell], air.channel[0].sum(axis=0), rtol=0.05, atol=1e-7)
        few = sound_beams(config, air, draws[1].noise)
        beams = few.beams[0, :, :, 0]
        np.testing.assert_array_equal(beams[1:], beams[:-1])
        heard = few.received[0, :, :, 0] * amplitude(air.path_loss_db)[0, ..., None, None]
        for cell in range(3):
            np.testing.assert_allclose(heard[cell], air.channel[0].sum(axis=0) @ beams[0], rtol=0.05, atol=1e-7)


class TestSeeds:
    def test_a_seed_means_the_same_network_whatever_the_estimator(self):
        airs = []
        for name in ("perfect", "ls", "spomp", "crb"):
            _, states, _ = play(MultiCellConfig(estimator=name, **SMALL), 1, 3)
            airs.append(states[-1].air)
        for air in airs[1:]:
            np.testing.assert_array_equal(air.channel, airs[0].channel)
            np.testing.assert_array_equal(air.position, airs[0].position)

    @pytest.mark.parametrize("name", ["spomp", "crb"])
    def test_a_lane_draws_the_same_whatever_the_lanes_beside_it_need(self, name):
        config = MultiCellConfig(estimator=name, angle_coherence=3, queues=True, csi_nmse=0.1, blockage=True, **SMALL)
        scenario, states, _ = play(config, 2, 0)
        mixed = states[0]._replace(memory=states[0].memory._replace(age=np.array([0, 2])))
        lanes = [scenario.draw(np.random.default_rng(5), take(mixed, lane)) for lane in range(2)]
        both = scenario.draw(np.random.default_rng(5), mixed)
        assert lanes[0].noise.beam_pilots.size
        assert not lanes[1].noise.beam_pilots.size

        def same_where_drawn(alone, together):
            if alone.size:
                np.testing.assert_array_equal(alone, together)

        for lane in lanes:
            tree_map(same_where_drawn, lane, both)


class TestMemory:
    def test_angles_are_measured_every_few_slots_and_kept_in_between(self):
        _, states, _ = play(MultiCellConfig(angle_coherence=3, **SMALL), 2, 7)
        assert [int(state.memory.age[0]) for state in states] == [0, 1, 2, 0, 1, 2, 0, 1]
        np.testing.assert_array_equal(states[1].memory.aod_cos, states[0].memory.aod_cos)
        np.testing.assert_array_equal(states[2].memory.sight.position, states[0].memory.sight.position)
        assert not np.array_equal(states[3].memory.aod_cos, states[2].memory.aod_cos)
        _, states, _ = play(MultiCellConfig(angle_coherence=1, **SMALL), 1, 2)
        assert [int(state.memory.age[0]) for state in states] == [0, 0, 0]

    def test_knowledge_never_uses_a_later_slot(self):
        """Check 16, csi_delay: with another innovation of the slot that acts, what is known in it stays the same."""
        scenario, states, draws = play(MultiCellConfig(**SMALL), 1, 2)
        other = stack([scenario.draw(np.random.default_rng(99), states[0])])
        mixed = draws[1]._replace(velocity=other.velocity, los_phase=other.los_phase, scatter=other.scatter)
        elsewhere = scenario.transition(states[0], scenario.fallback(scenario.problem(states[0])), mixed)
        np.testing.assert_array_equal(elsewhere.csi.channel, states[1].csi.channel)
        assert not np.allclose(elsewhere.air.channel, states[1].air.channel)

    def test_a_warm_start_is_as_good_as_a_cold_one(self):
        """Check 16: within 0.1 dB at 20 dB, drift below 8.6."""
        config = at_snr(MultiCellConfig(csi_delay=0, angle_coherence=5, grid=100), 20.0)
        _, states, draws = play(config, 12, 5)
        air, noise, memory = states[5].air, draws[5].noise, states[4].memory
        true = frame_gains(config, air, noise)
        scale = amplitude(air.path_loss_db)[..., None, None]

        def error_db(known):
            error = np.sum(np.abs(known.channel / scale - air.channel / scale) ** 2, axis=(-2, -1))
            return 10 * np.log10(np.mean(error / np.sum(np.abs(air.channel / scale) ** 2, axis=(-2, -1))))

        warm = error_db(tracking.estimate_links(config, air, noise, memory).estimate)
        cold = error_db(tracking.estimate_links(config, air, noise, None).estimate)
        assert true.shape[-2] == 6
        assert warm == pytest.approx(cold, abs=0.1)
        assert cold < -25.0

    def test_gains_alone_have_the_error_of_least_squares_at_zero_drift(self):
        """Check 16: mean energy within 0.3 dB of sigma^2 tr((B^H B)^-1 A^H A)."""
        config = at_snr(MultiCellConfig(csi_delay=0, speed=0.0, estimator="spomp", **SMALL), 40.0)
        _, states, draws = play(config, 60, 1)
        air, noise, memory = states[1].air, draws[1].noise, states[0].memory
        exact = memory._replace(aod_cos=air.aod_cos, aoa_cos=air.aoa_cos, active=np.ones_like(memory.active))
        known = tracking.estimate_links(config, air, noise, exact).estimate
        scale = amplitude(air.path_loss_db)[..., None, None]
        error = np.sum(np.abs((known.channel - air.channel) / scale) ** 2, axis=(-2, -1))
        heard = sound_beams(config, air, noise)
        tx, rx = (
            steering_vector(u, antennas=n)
            for u, n in ((air.aod_cos, config.bs_antennas), (air.aoa_cos, config.ue_antennas))
        )
        seen = np.conj(tx) @ heard.beams[..., 0, :, :]
        outer_b = (np.conj(seen) @ np.swapaxes(seen, -1, -2)) * (np.conj(rx) @ np.swapaxes(rx, -1, -2))
        outer_a = (tx @ np.conj(np.swapaxes(tx, -1, -2))) * (np.conj(rx) @ np.swapaxes(rx, -1, -2))
        expected = heard.noise_power * np.real(np.trace(np.linalg.solve(outer_b, outer_a), axis1=-2, axis2=-1))
        usual = expected < np.quantile(expected, 0.95)  # close paths dominate any mean
        ratio_db = 10 * np.log10(error[usual].mean() / expected[usual].mean())
        assert abs(ratio_db) < 0.3

    def test_lanes_of_different_age_are_worked_on_apart(self):
        config = MultiCellConfig(csi_delay=0, angle_coherence=3, **SMALL)
        scenario, states, _ = play(config, 3, 3)
        air, memory = states[2].air, states[1].memory._replace(age=np.array([0, 2, 1]))
        before = states[1]._replace(memory=memory)
        noise = stack([scenario.draw(np.random.default_rng(lane), before) for lane in range(3)]).noise
        mixed = tracking.estimate_links(config, air, noise, memory)
        np.testing.assert_array_equal(mixed.memory.age, [1, 0, 2])
        for lane in range(3):
            alone = tracking.estimate_links(
                config, *(take(part, slice(lane, lane + 1)) for part in (air, noise, memory))
            )
            tree_map(
                lambda a, b, lane=lane: np.testing.assert_allclose(a[lane], b[0], rtol=1e-7, atol=1e-12), mixed, alone
            )

    def test_vector_lanes_reset_at_different_times_follow_single_environments(self):
        envs = JCASVectorEnv("multicell", num_envs=2, autoreset_mode="Disabled", horizon=20, **SMALL)
        envs.reset(seed=0)
        zero = np.zeros((2, envs.scenario.action_size))
        envs.step(zero)
        envs.step(zero)
        envs.reset(seed=[None, 7], options={"reset_mask": np.array([False, True])})
        alone = JCASVectorEnv("multicell", num_envs=1, autoreset_mode="Disabled", horizon=20, **SMALL)
        alone.reset(seed=7)
        for _ in range(7):
            _, rewards, *_ = envs.step(zero)
            _, reward, *_ = alone.step(zero[:1])
            assert rewards[1] == pytest.approx(reward[0], rel=1e-9)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"esprit"}))
def test_every_estimator_runs_a_whole_episode(name):
    env = JCASVectorEnv("multicell", num_envs=2, estimator=name, horizon=6, blockage=True, **SMALL)
    env.reset(seed=0)
    for _ in range(6):
        observation, reward, _, _, info = env.step(np.zeros((2, env.scenario.action_size)))
        assert np.isfinite(reward).all()
        assert all(np.isfinite(part).all() for part in observation.values())
        assert (info["nmse"] >= 0).all()
        assert info["position"].shape == (2, 12, 2)
        assert all(np.isfinite(info[name]).all() for name in ("position", "position_error_m", "peb_m"))


def test_esprit_needs_one_receive_antenna():
    with pytest.raises(ValueError, match="`estimator` esprit .* `ue_antennas` = 1, got 4"):
        MultiCellConfig(estimator="esprit")
    env = JCASVectorEnv("multicell", num_envs=1, estimator="esprit", ue_antennas=1, horizon=3, **SMALL)
    env.reset(seed=0)
    *_, info = env.step(np.zeros((1, env.scenario.action_size)))
    assert info["nmse"].mean() < 0.1


class TestErrors:
    def test_estimators_rank_as_they_should(self):
        means = {}
        for name in ("perfect", "ls", "omp", "spomp", "crb"):
            config = at_snr(MultiCellConfig(estimator=name, csi_delay=0, **SMALL), 10.0)
            _, states, _ = play(config, 10, 0)
            means[name] = 10 * np.log10(states[0].csi.nmse.mean() + 1e-30)
        assert means["perfect"] < -200
        assert means["spomp"] < means["ls"] - 4
        assert means["spomp"] < means["omp"] - 1
        assert means["crb"] == pytest.approx(means["spomp"], abs=1.0)

    def test_the_expected_error_is_the_error_where_noise_alone_causes_it(self):
        for name in ("ls", "spomp"):
            config = at_snr(MultiCellConfig(estimator=name, csi_delay=0, angle_coherence=1, **SMALL), 20.0)
            _, states, _ = play(config, 20, 0)
            csi = states[0].csi
            ratio_db = 10 * np.log10(csi.error.mean() / csi.nmse.mean())
            assert abs(ratio_db) < 1.0, name

    def test_the_observation_carries_the_expected_error_and_not_the_true_one(self):
        config = MultiCellConfig(**SMALL)
        scenario, states, _ = play(config, 1, 1)
        state = states[1]
        seen = scenario.observation(state)["users"][0, :, -1]
        np.testing.assert_allclose(seen, (np.log10(state.csi.error[0] + 1e-12) + 1.5) / 6, rtol=1e-5)
        lying = state._replace(csi=state.csi._replace(nmse=state.csi.nmse * 100))
        for name, part in scenario.observation(state).items():
            np.testing.assert_array_equal(part, scenario.observation(lying)[name])


class TestPositions:
    @pytest.mark.parametrize("name", ["spomp", "omp"])
    @pytest.mark.parametrize("snr_db", [0.0, 20.0])
    def test_errors_follow_their_bound(self, name, snr_db):
        """With the variance of the grid in the bound of ``omp``: without it 44 % are located at 20 dB, ratio 9."""
        config = at_snr(MultiCellConfig(csi_delay=0, estimator=name), snr_db)
        scenario, states, _ = play(config, 6, 0)
        fix = scenario.later(states[0]).fix
        assert fix.located.mean() > 0.95
        ratio = (fix.error / fix.bound)[fix.located]
        assert 0.8 < np.sqrt(np.mean(np.sort(ratio)[: int(0.99 * ratio.size)] ** 2)) < 1.25

    def test_perfect_knowledge_locates_exactly(self):
        scenario, states, _ = play(MultiCellConfig(estimator="perfect", csi_delay=0), 4, 0)
        fix = scenario.later(states[0]).fix
        assert fix.located.all()
        assert fix.error.max() < 1e-6

    def test_without_paths_or_stations_nobody_is_located(self):
        for fields in ({"estimator": "ls"}, {"cells": 1, "estimator": "perfect"}):
            scenario, states, _ = play(MultiCellConfig(**SMALL, **fields), 1, 0)
            fix = scenario.later(states[0]).fix
            assert not fix.located.any()
            stations = scenario.layout.stations
            np.testing.assert_allclose(fix.position, np.broadcast_to(stations.mean(axis=0), fix.position.shape))
            np.testing.assert_allclose(
                fix.error, np.linalg.norm(states[0].memory.sight.position - stations.mean(axis=0), axis=-1)
            )

    def test_who_is_not_located_is_bounded_by_the_spread_of_all_users(self):
        """Uniform over a hexagon of circumradius R the mean square distance from its middle is 5 R^2/12."""
        scenario, states, _ = play(
            MultiCellConfig(cells=1, users_per_cell=100, radius=60.0, estimator="ls", floor=0.0), 20, 0
        )
        fix = scenario.later(states[0]).fix
        np.testing.assert_allclose(fix.bound, 60.0 * np.sqrt(5.0 / 12.0))
        assert np.sqrt(np.mean(fix.error**2)) == pytest.approx(fix.bound[0, 0], rel=0.03)

    def test_middle_of_three_stations(self):
        centre, spread = middle(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]), radius=6.0)
        np.testing.assert_allclose(centre, [1.0, 1.0])
        assert spread == pytest.approx(np.sqrt((2 + 5 + 5) / 3 + 15))

    def test_positions_are_found_once_for_a_measurement_and_only_when_somebody_asks(self):
        scenario, states, _ = play(MultiCellConfig(estimator="perfect", angle_coherence=2, **SMALL), 2, 2)
        first = scenario.later(states[0])
        assert "fix" not in vars(first)
        assert scenario.later(states[1], first) is first
        assert scenario.later(states[2], first) is not first


class TestConfig:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"pilots": 1}, r"`pilots` is too small: 3 paths need pilots x ue_antennas >= 6 .* got 1 pilots"),
            ({"ue_antennas": 1, "pilots": 5}, r"`pilots` is too small"),
            ({"pilot_power": 0.0}, "`pilot_power` must be a number in .* or None, got 0.0"),
            ({"pilot_power": float("nan")}, "`pilot_power`"),
            ({"snapshots": 0}, "`snapshots` must be an integer in .*, got 0"),
            ({"grid": 1}, r"`grid` must be an integer in \[2, 1000\], got 1"),
            ({"angle_coherence": 0}, "`angle_coherence` must be an integer in .*, got 0"),
            ({"frame_rho": 1.5}, r"`frame_rho` must be a number in \[0, 1\], got 1.5"),
            ({"estimator": "crb", "pilot_reuse": True}, "`pilot_reuse` must be False for `estimator` crb"),
            ({"pilot_overhead": True, "slot": 1e-3}, "`pilot_overhead`: the pilots of a slot take 2.4 of it"),
        ],
    )
    def test_bad_values_are_named(self, fields, message):
        with pytest.raises(ValueError, match=message):
            MultiCellConfig(**fields)

    def test_time_that_pilots_take_by_hand(self):
        """Of 1500 symbols three stations take 6 x 20 each where angles are measured, 8 each where gains are."""
        config = MultiCellConfig()
        shares = [config.pilot_share(measures_angles=measures) for measures in (True, False)]
        assert shares == pytest.approx([360 / 1500, 24 / 1500])
        assert (shares[0] + 4 * shares[1]) / config.angle_coherence == pytest.approx(0.0608)  # on average
        for name, share in (("ls", 60 / 1500), ("omp", 60 / 1500), ("perfect", 0.0)):
            assert MultiCellConfig(estimator=name).pilot_share(measures_angles=False) == pytest.approx(share)

    def test_pilots_take_their_share_of_the_rates(self):
        """6 x 20 x 3 of 1500 symbols where angles are measured, 8 x 3 where gains alone are."""
        with_, without = (play(MultiCellConfig(pilot_overhead=flag), 1, 1) for flag in (True, False))
        for slot, share in ((0, 360 / 1500), (1, 24 / 1500)):
            scenario, states, _ = with_
            allocation = scenario.fallback(scenario.problem(states[slot]))
            reward = scenario.reward(states[slot], allocation)
            free = without[0].reward(without[1][slot], allocation)
            np.testing.assert_allclose(reward, (1 - share) * free, rtol=1e-12)
