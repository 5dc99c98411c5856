"""The adapters over the mesh: what the flagship passes, the second scenario passes."""

from __future__ import annotations

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from jcas_agents import evaluate
from jcas_baselines import GBD, EqualAllocation, Exact
from jcas_experiments.cli import app
from test_envs import assert_follows_sync_vector_env, assert_same
from typer.testing import CliRunner

import jcas_env
from jcas_env import make_scenario

ID = "jcas/Mesh-v0"
SMALL = {"users": 5, "bandwidth": 30e6, "rate_floor": 15e6, "horizon": 4}
ZERO = np.zeros(6)


def make(**fields):
    return gym.make(ID, **(SMALL | fields))


class TestCheckers:
    @pytest.mark.parametrize("observation", ["dict", "flat"])
    def test_gymnasiums_checker_passes_without_warnings(self, observation):
        check_env(make(observation=observation, render_mode="rgb_array").unwrapped)

    def test_sb3s_checker_passes_on_the_flat_view_without_warnings(self):
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        checker.check_env(make(observation="flat"))

    def test_sb3_policies_learn_a_step_on_both_views(self):
        ppo = pytest.importorskip("stable_baselines3").PPO
        for observation, policy in (("dict", "MultiInputPolicy"), ("flat", "MlpPolicy")):
            model = ppo(policy, make(observation=observation), n_steps=8, batch_size=8, n_epochs=1, device="cpu")
            model.learn(8)

    def test_flatten_observation_accepts_the_dict(self):
        env = gym.wrappers.FlattenObservation(make())
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        assert observation.shape == (5 * 6 + 2,)

    def test_both_environments_stand_under_one_id(self):
        assert isinstance(gym.make("jcas_env:" + ID).unwrapped, jcas_env.JCASEnv)
        envs = gym.make_vec(ID, num_envs=2)
        assert isinstance(envs, jcas_env.JCASVectorEnv)
        assert envs.scenario.name == "mesh"

    def test_a_whole_config_and_keywords_on_top(self):
        env = gym.make(ID, config=jcas_env.MeshConfig(users=5, horizon=7), horizon=3).unwrapped
        assert (env.scenario.config.users, env.scenario.horizon) == (5, 3)
        with pytest.raises(TypeError, match="`config` must be a MeshConfig, got MultiCellConfig"):
            gym.make(ID, config=jcas_env.MultiCellConfig())


class TestSingle:
    def test_seeds(self):
        env = make()
        first, again, other = (env.reset(seed=seed)[0] for seed in (7, 7, 8))
        assert_same(first, again)
        assert np.abs(first["users"] - other["users"]).max() > 0.1
        unseeded, _ = env.reset()
        assert np.abs(unseeded["users"] - other["users"]).max() > 0.1

    def test_equal_seeds_give_equal_episodes(self, rng):
        actions = rng.uniform(-1, 1, (4, 6))
        runs = []
        for seed in (3, 3, 4):
            env = make().unwrapped
            env.reset(seed=seed)
            runs.append([env.step(action)[1] for action in actions])
        assert runs[0] == runs[1]
        assert not np.isclose(runs[0], runs[2]).any()

    def test_an_episode_is_truncated_after_the_horizon_and_then_refuses(self):
        env = make().unwrapped
        with pytest.raises(gym.error.ResetNeeded, match="reset"):
            env.step(ZERO)
        env.reset(seed=0)
        ends = [env.step(ZERO)[2:4] for _ in range(4)]
        assert ends == [(False, False)] * 3 + [(False, True)]
        with pytest.raises(gym.error.ResetNeeded, match="after 4 slots"):
            env.step(ZERO)

    def test_default_horizon_is_a_hundred_frames(self):
        assert gym.make(ID).unwrapped.scenario.horizon == 100

    def test_reward_of_the_rounded_optimum_is_its_objective(self):
        """Spec mesh check 14: (beta, counts) alone go into `step_allocation`."""
        env = gym.make(ID).unwrapped
        env.reset(seed=1)
        problem = env.problem
        solution = GBD().solve(problem)
        expected = problem.utility(solution.allocation)
        _, reward, _, _, info = env.step_allocation(solution.allocation._replace(assignment=None))
        assert reward == pytest.approx(float(expected), rel=1e-12)
        assert reward == pytest.approx(float(solution.objective), rel=6e-3)
        assert info["violation"] == 0.0
        assert info["feasible"] is True
        np.testing.assert_array_equal(info["counts"], solution.allocation.counts)
        assert info["rate"].min() >= 100e6 * (1 - 1e-12)
        assert info["peb"].shape == info["oeb"].shape == (30,)
        assert all(isinstance(value, np.ndarray | np.generic | bool) for value in info.values())

    def test_an_infeasible_frame_goes_on_and_says_so(self):
        """Spec mesh check 14."""
        env = make(rate_floor=1e9).unwrapped
        env.reset(seed=0)
        _, reward, terminated, _, info = env.step(ZERO)
        assert info["feasible"] is False
        assert not terminated
        assert info["violation"] > 1.0
        assert reward < 0
        assert info["rate_floor_max"] < 1e9

    def test_actions_and_allocations_are_two_doors_to_the_same_room(self):
        a, b = make().unwrapped, make().unwrapped
        a.reset(seed=2), b.reset(seed=2)
        action = np.linspace(-1, 1, 6).astype(np.float32)
        assert_same(a.step(action)[4], b.step_allocation(b.scenario.decode(action, b.problem))[4])

    def test_a_snapshot_continues_bit_for_bit_and_survives_pickling(self):
        env = make(horizon=10).unwrapped
        env.reset(seed=4)
        env.step(ZERO)
        snapshot = pickle.loads(pickle.dumps(env.get_state()))
        first = [env.step(np.full(6, 0.2)) for _ in range(3)]
        for _ in range(2):
            other = make(horizon=10).unwrapped
            other.set_state(snapshot)
            for a in first:
                b = other.step(np.full(6, 0.2))
                for name in a[0]:
                    np.testing.assert_array_equal(a[0][name], b[0][name])
                assert a[1:4] == b[1:4]

    def test_render_draws_the_sector_before_and_after_the_first_frame(self):
        env = make(render_mode="rgb_array")
        env.reset(seed=0)
        blank = env.render()
        env.step(ZERO.astype(np.float32))
        played = env.render()
        assert blank.dtype == np.uint8
        assert blank.shape == played.shape
        assert (blank != played).mean() > 0.01

    def test_render_survives_users_without_information(self):
        env = make(render_mode="rgb_array", least_subcarriers=1).unwrapped
        env.reset(seed=0)
        lonely = jcas_env.MeshAllocation(np.array([0.0, 1.0, 40.0, 59.0, 100.0]), None, np.asarray(0.3))
        _, _, _, _, info = env.step_allocation(lonely)
        assert np.isinf(info["peb"]).tolist() == [True, True, False, False, False]
        assert env.render().shape[2] == 3


class TestVector:
    @pytest.mark.parametrize("mode", list(AutoresetMode))
    @pytest.mark.parametrize("observation", ["dict", "flat"])
    def test_equals_gymnasiums_sync_vector_env_step_by_step(self, mode, observation, rng):
        assert_follows_sync_vector_env(ID, mode, SMALL | {"observation": observation}, rng)

    def test_lane_i_follows_the_single_environment_of_seed_s_plus_i(self, rng):
        native = gym.make_vec(ID, num_envs=4, autoreset_mode="SameStep", **SMALL)
        native.reset(seed=11)
        singles = [make() for _ in range(4)]
        for lane, env in enumerate(singles):
            env.reset(seed=11 + lane)
        for _ in range(9):
            action = rng.uniform(-1, 1, native.action_space.shape).astype(np.float32)
            _, rewards, _, truncated, _ = native.step(action)
            for lane, env in enumerate(singles):
                _, reward, _, end, _ = env.step(action[lane])
                assert rewards[lane] == pytest.approx(reward, rel=1e-9)
                assert truncated[lane] == end
                if end:
                    env.reset()
        assert len(set(np.round(rewards, 9))) == 4

    def test_solvers_act_on_all_lanes_in_every_mode(self):
        for mode in AutoresetMode:
            envs = gym.make_vec(ID, num_envs=3, autoreset_mode=mode, **SMALL)
            envs.reset(seed=0)
            assert envs.problem.distance.shape == (3, 5)
            for _ in range(6):
                allocation = GBD().solve(envs.problem).allocation
                expected = envs.truth.utility(allocation)
                ended = envs.get_state().finished
                _, reward, _, truncated, _ = envs.step_allocation(allocation)
                np.testing.assert_allclose(reward, np.where(ended, 0.0, expected))
                if mode is AutoresetMode.DISABLED and truncated.any():
                    envs.reset(options={"reset_mask": truncated})

    def test_snapshot_continues_in_every_lane(self):
        envs = gym.make_vec(ID, num_envs=2, **SMALL)
        envs.reset(seed=0)
        envs.step(np.zeros((2, 6)))
        snapshot = pickle.loads(pickle.dumps(envs.get_state()))
        first = [envs.step(np.zeros((2, 6)))[1] for _ in range(6)]
        other = gym.make_vec(ID, num_envs=2, **SMALL)
        other.set_state(snapshot)
        np.testing.assert_array_equal(first, [other.step(np.zeros((2, 6)))[1] for _ in range(6)])

    def test_render_gives_a_picture_for_each_lane(self):
        envs = gym.make_vec(ID, num_envs=2, render_mode="rgb_array", **SMALL)
        envs.reset(seed=0)
        envs.step(np.zeros((2, 6)))
        frames = envs.render()
        assert len(frames) == 2
        assert (frames[0] != frames[1]).any()


class TestComparison:
    def test_evaluation_is_reproducible_and_orders_the_allocators(self):
        scenario = make_scenario("mesh", horizon=2)
        runs = {name: evaluate(scenario, solver, episodes=3, seed=0)
                for name, solver in (("equal", EqualAllocation()), ("exact", Exact()), ("gbd", GBD()))}  # fmt: skip
        again = evaluate(scenario, GBD(), episodes=3, seed=0)
        np.testing.assert_array_equal(runs["gbd"].utility, again.utility)
        assert np.all(runs["equal"].utility < runs["gbd"].utility)
        np.testing.assert_allclose(runs["gbd"].utility, runs["exact"].utility, rtol=3e-3)
        assert runs["gbd"].violation == 0.0
        assert runs["gbd"].status == {"OPTIMAL": 6}

    def test_compare_command(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "140")
        result = CliRunner().invoke(
            app, ["compare", "mesh", "--episodes", "2", "--horizon", "2", "--allocators", "equal,exact,gbd"]
        )
        assert result.exit_code == 0, result.output
        for word in ("equal", "exact", "gbd", "PEB", "OEB", "optimal"):
            assert word in result.output

    @pytest.mark.parametrize("figure", ["lu-fig3", "lu-fig4", "lu-fig5", "lu-fig6"])
    def test_figures(self, figure):
        from jcas_experiments.reproduce import FIGURES, Plan, Table

        columns = {
            "lu-fig3": ("beta", "snr_db", "mean_rate_mbps"),
            "lu-fig4": ("beta", "bandwidth_hz", "peb_m", "oeb_rad"),
            "lu-fig5": ("bandwidth_hz", "mean_rate_mbps", "peb_m", "oeb_rad"),
            "lu-fig6": ("iteration", "beta_sub", "beta_master", "lower", "upper"),
        }[figure]
        recipe, plan = FIGURES[figure], Plan(seed=0, quick=True)
        assert recipe.columns == columns
        rows = tuple(tuple(row[name] for name in recipe.all_columns) for row in recipe.compute(plan))
        assert len(rows) == recipe.size(plan)
        table = Table(recipe.all_columns, rows)
        assert all(isinstance(line, str) for line in recipe.verdict(table))
        if figure == "lu-fig3":
            """Spec mesh 4: at 20 dB."""
            found = [float(table.where(beta=b, snr_db=20.0)["mean_rate_mbps"][0]) for b in (0.1, 0.4, 0.7, 0.95)]
            np.testing.assert_allclose(found, [187.419, 124.946, 62.473, 10.412], rtol=1e-4)
        elif figure == "lu-fig4":
            first = table.where(beta=0.1)
            np.testing.assert_allclose(first["peb_m"] * 1e3, [0.0929, 0.0926, 0.0924], atol=6e-5)
            ratio = first["peb_m"] / table.where(beta=0.2)["peb_m"]
            np.testing.assert_allclose(ratio, np.sqrt(2), rtol=1e-10)
        elif figure == "lu-fig5":
            ends = [table.where(bandwidth_hz=b)["peb_m"] for b in (0.9e9, 1e9, 1.2e9)]
            np.testing.assert_allclose([e[-1] / e[0] for e in ends], [2.270, 1.856, 1.535], atol=0.005)
        else:
            assert abs(table["paper_iterations"][0] - 7) <= 1
            assert np.all(np.diff(table["lower"]) >= 0)
            assert np.all(np.diff(table["upper"]) <= 0)
            assert table["beta_sub"][-1] == pytest.approx(0.33, abs=0.02)


def test_benchmark_rows(monkeypatch):
    from jcas_experiments.bench import mesh as bench_mesh

    monkeypatch.setattr(bench_mesh, "cpu_seconds", lambda work, **_: (work(), 0.5)[1])
    monkeypatch.setattr(bench_mesh, "CROWD", 40)
    monkeypatch.setattr(bench_mesh, "CROWD_FLOOR", 10e6)
    rows = list(bench_mesh.mesh_rows(3, bins=2))
    assert [row.unit for row in rows] == ["ms"] * 4
    assert rows[2].ratio == pytest.approx(3.0)  # three instances in the time of one
