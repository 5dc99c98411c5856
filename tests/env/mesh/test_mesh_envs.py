"""The mesh as an environment: what is paid and reported, `jcas compare mesh`, figures and benchmark rows."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_baselines import GBD, EqualAllocation, Exact
from jcas_experiments.cli import app
from typer.testing import CliRunner

import jcas_env
from jcas_env import make_scenario

ID = "jcas/Mesh-v0"
SMALL = {"users": 5, "bandwidth": 30e6, "rate_floor": 15e6, "horizon": 4}
ZERO = np.zeros(6)


def make(**fields):
    return gym.make(ID, **(SMALL | fields))


class TestEnvironment:
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
        assert info["feasible"]
        np.testing.assert_array_equal(info["counts"], solution.allocation.counts)
        assert info["rate"].min() >= 100e6 * (1 - 1e-12)
        assert info["peb"].shape == info["oeb"].shape == (30,)
        assert all(isinstance(value, np.ndarray | np.generic | bool) for value in info.values())

    def test_an_infeasible_frame_goes_on_and_says_so(self):
        """Spec mesh check 14."""
        env = make(rate_floor=1e9).unwrapped
        env.reset(seed=0)
        _, reward, terminated, _, info = env.step(ZERO)
        assert not info["feasible"]
        assert not terminated
        assert info["violation"] > 1.0
        assert reward < 0
        assert info["rate_floor_max"] < 1e9

    def test_render_survives_users_without_information(self):
        env = make(render_mode="rgb_array", least_subcarriers=1).unwrapped
        env.reset(seed=0)
        lonely = jcas_env.MeshAllocation(np.array([0.0, 1.0, 40.0, 59.0, 100.0]), None, np.asarray(0.3))
        _, _, _, _, info = env.step_allocation(lonely)
        assert np.isinf(info["peb"]).tolist() == [True, True, False, False, False]
        assert env.render().shape[2] == 3


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
        from jcas_experiments.reproduce.figure import Effort, Table
        from jcas_experiments.reproduce.registry import FIGURES

        columns = {
            "lu-fig3": ("beta", "snr_db", "mean_rate_mbps"),
            "lu-fig4": ("beta", "bandwidth_hz", "peb_m", "oeb_rad"),
            "lu-fig5": ("bandwidth_hz", "mean_rate_mbps", "peb_m", "oeb_rad"),
            "lu-fig6": ("iteration", "beta_sub", "beta_master", "lower", "upper"),
        }[figure]
        recipe, plan = FIGURES[figure], Effort(seed=0, quick=True)
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
