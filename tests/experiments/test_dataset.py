"""``jcas dataset``: what is recorded, that others can read and replay it, and that nothing is lost or overwritten."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.util import find_spec

import numpy as np
import pytest
from jcas_agents.files import NotWrittenError
from jcas_baselines import ADMM, EqualAllocation
from jcas_experiments import cli
from jcas_experiments.dataset import command, minari_form, recording
from jcas_experiments.dataset.card import data_hash
from jcas_experiments.dataset.finished import Finished, datasets_root, packed_columns
from jcas_experiments.files import alone_in
from support.toy import Toy, ToyConfig
from typer.testing import CliRunner

from jcas_env import JCASEnv, MultiCellAllocation, Status, make_scenario
from jcas_env.scenarios import SCENARIOS

needs_minari = pytest.mark.skipif(
    find_spec("minari") is None or find_spec("h5py") is None, reason="needs Minari: pip install 'jcas-env[minari]'"
)
TASKS = {
    "multicell": {"users_per_cell": 2, "bs_antennas": 8, "ue_antennas": 2, "estimator": "crb"},
    "mesh": {"users": 4},
    "massive-mimo": {"users": 2},
}
SLOTS, EPISODES = 3, 3


def words(scenario="multicell", *more, fields=None):
    """A small recording."""
    given = TASKS[scenario] if fields is None else fields
    sets = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    return ["dataset", scenario, *sets, "--episodes", str(EPISODES), "--horizon", str(SLOTS), *more]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def done(result):
    assert result.exit_code == 0, result.output
    return result


def table_of(folder):
    with np.load(folder / "table.npz", allow_pickle=False) as file:
        return dict(file)


def test_a_row_is_a_slot_with_what_was_seen_decided_and_paid(run, tmp_path):
    """Every column against the environment, played anew from the seeds and the actions."""
    done(run(*words("multicell", "--allocator", "admm", "--form", "npz", "--seed", "7")))
    folder = tmp_path / "jcas" / "multicell-admm-v0"
    table, card = table_of(folder), json.loads((folder / "card.json").read_text())
    rows = EPISODES * SLOTS
    ends = {name for name in table if name.startswith("final_observation")}
    assert {len(table[name]) for name in set(table) - ends} == {rows}
    assert {len(table[name]) for name in ends} == {EPISODES}
    scenario = make_scenario("multicell", horizon=SLOTS, **TASKS["multicell"])
    env = JCASEnv(scenario)
    for row in range(rows):
        seed, slot = table["seed"][row], table["slot"][row]
        assert (seed, slot) == (7 + row // SLOTS, row % SLOTS)
        if slot == 0:
            observation, _ = env.reset(seed=int(seed))
        for name, part in observation.items():
            np.testing.assert_array_equal(table[f"observation/{name}"][row], part)
        solution = ADMM().solve(env.problem)
        for name, part in solution.allocation._asdict().items():
            if part is not None:
                np.testing.assert_array_equal(table[f"primal/{name}"][row], part)
        assert table["objective"][row] == solution.objective
        assert table["status"][row] == solution.status
        assert table["utility"][row] == env.truth.utility(solution.allocation)
        assert np.isnan(table["bound"][row])
        assert table["time"][row] > 0
        np.testing.assert_array_equal(
            table["action"][row], scenario.encode_allocation(solution.allocation, env.problem).astype(np.float32)
        )
        observation, reward, terminated, truncated, _ = env.step(table["action"][row])
        assert table["reward"][row] == reward
        assert (table["terminated"][row], table["truncated"][row]) == (terminated, truncated)
        assert truncated == (slot == SLOTS - 1)
        if truncated:
            np.testing.assert_array_equal(table["final_observation/users"][row // SLOTS], observation["users"])
    assert card["data_sha256"] == data_hash(table)
    assert set(card["columns"]) == set(table)
    assert card["config"] == json.loads(json.dumps(asdict(scenario.config)))
    assert card["status_codes"] == {str(int(status)): status.name for status in Status}
    lost = table["utility"] - table["reward"]
    assert card["encoding_loss"]["mean"] == pytest.approx(lost.mean())
    assert card["encoding_loss"]["largest"] == pytest.approx(lost.max())


def test_the_equal_split_scores_zero_and_the_best_that_is_known_scores_one(run, tmp_path):
    small = ("--form", "npz", "--reference", "search-20")
    for name in ("constant", "search-20"):
        done(run(*words("multicell", "--allocator", name, *small)))
    low, high = (
        json.loads((tmp_path / "jcas" / f"multicell-{name}-v0" / "card.json").read_text())["score"]
        for name in ("constant", "search-20")
    )
    assert (low["references"]["min"]["by"], low["references"]["max"]["by"]) == ("equal", "search-20")
    scenario = make_scenario("multicell", horizon=SLOTS, **TASKS["multicell"])
    returns = []
    for seed in range(EPISODES):
        env, total = JCASEnv(scenario), 0.0
        env.reset(seed=seed)
        for _ in range(SLOTS):
            total += env.step_allocation(EqualAllocation().solve(env.problem).allocation)[1]
        returns.append(total)
    assert low["references"]["min"]["returns"] == pytest.approx(returns)
    assert low["references"]["min"]["mean_return"] == pytest.approx(np.mean(returns))
    assert low["normalised"] < 0.99 < high["normalised"] <= 1.0  # its actions lose a little of what it would earn
    table = table_of(tmp_path / "jcas" / "multicell-constant-v0")
    least, best = (low["references"][end]["mean_return"] for end in ("min", "max"))
    assert low["mean_return"] == pytest.approx(table["reward"].sum() / EPISODES)
    assert low["normalised"] == pytest.approx((low["mean_return"] - least) / (best - least))


def test_where_nobody_earns_more_than_the_least_there_is_no_score(run, tmp_path):
    result = done(run(*words("multicell", "--allocator", "equal", "--reference", "equal", "--form", "npz")))
    assert "no score" in result.output
    assert json.loads((tmp_path / "jcas/multicell-equal-v0/card.json").read_text())["score"]["normalised"] is None


@needs_minari
@pytest.mark.parametrize("scenario", list(TASKS))
@pytest.mark.parametrize("form", ["dict", "flat"])
def test_minari_loads_it_and_its_environment_replays_it_bit_for_bit(run, tmp_path, scenario, form):
    import minari

    more = {"service_weight": "1,2"} if scenario == "multicell" else {}
    fields = TASKS[scenario] | {"observation": form} | more
    done(run(*words(scenario, "--allocator", "exact", "--id", f"jcas/{form}/test-v3", "--seed", "5", fields=fields)))
    dataset = minari.load_dataset(f"jcas/{form}/test-v3")
    assert list(minari.list_local_datasets()) == [f"jcas/{form}/test-v3"]
    assert (dataset.total_episodes, dataset.total_steps) == (EPISODES, EPISODES * SLOTS)
    env = dataset.recover_environment()
    assert env.observation_space == dataset.observation_space
    assert env.action_space == dataset.action_space
    table = table_of(tmp_path / "jcas" / form / "test-v3")
    returns = []
    seeds = [entry["seed"] for entry in dataset.storage.get_episode_metadata(range(EPISODES))]
    assert seeds == [5, 6, 7]
    for index, (seed, episode) in enumerate(zip(seeds, dataset, strict=True)):
        observation, _ = env.reset(seed=seed)
        for slot, action in enumerate(episode.actions):
            recorded = episode.observations
            if form == "flat":
                np.testing.assert_array_equal(recorded[slot], observation)
            else:
                for name, part in observation.items():
                    np.testing.assert_array_equal(recorded[name][slot], part)
            observation, reward, terminated, truncated, _ = env.step(action)
            assert reward == episode.rewards[slot] == table["reward"][index * SLOTS + slot]
            assert (terminated, truncated) == (episode.terminations[slot], episode.truncations[slot])
        assert truncated
        returns.append(episode.rewards.sum())
        assert set(episode.infos) == set(minari_form.INFOS)
        np.testing.assert_array_equal(episode.infos["utility"], table["utility"][index * SLOTS : (index + 1) * SLOTS])
    card = json.loads((tmp_path / "jcas" / form / "test-v3" / "card.json").read_text())
    assert dataset.storage.metadata["jcas"] == card
    scores = minari.get_normalized_score(dataset, np.array(returns))
    assert scores.mean() == pytest.approx(card["score"]["normalised"])


@pytest.mark.parametrize("scenario", [pytest.param("multicell", marks=pytest.mark.slow), "mesh"])
def test_bounds_are_above_what_is_earned_and_count_as_one(run, tmp_path, scenario):
    given = words(scenario, "--allocator", "exact", "--bound", "--form", "npz")
    done(run(*given, "--episodes", "1", "--horizon", "2"))
    folder = tmp_path / "jcas" / f"{scenario}-exact-v0"
    table = table_of(folder)
    assert (table["bound"] >= np.maximum(table["utility"], table["reward"]) * (1 - 1e-9)).all()
    references = json.loads((folder / "card.json").read_text())["score"]["references"]
    assert references["max"]["by"] == "bound"
    assert references["max"]["mean_return"] == pytest.approx(table["bound"].sum())


class TestInterruptions:
    def interrupt(self, monkeypatch, last):
        """Ctrl-C in the episode after ``last``; returns the episodes that are begun."""
        begun, real = [], recording.record_episode

        def record(setting, episode, **given):
            if given:  # the trial before the work
                return real(setting, episode, **given)
            begun.append(episode)
            if episode > last:
                raise KeyboardInterrupt
            return real(setting, episode)

        monkeypatch.setattr(recording, "record_episode", record)
        return begun

    def test_what_goes_on_ends_in_the_same_columns(self, run, tmp_path, monkeypatch):
        whole = words("multicell", "--allocator", "admm", "--form", "npz", "--id", "whole-v0")
        parts = words("multicell", "--allocator", "admm", "--form", "npz", "--id", "parts-v0")
        done(run(*whole))
        with monkeypatch.context() as patch:
            self.interrupt(patch, 1)
            result = run(*parts)
        assert result.exit_code == 130
        assert "interrupted: 2 of 3 episodes finished; go on with --resume" in result.output
        assert not (tmp_path / "parts-v0").exists()
        with monkeypatch.context() as patch:
            begun = self.interrupt(patch, 99)
            done(run(*parts, "--resume"))
        assert begun == [2]
        one, two = (table_of(tmp_path / name) for name in ("whole-v0", "parts-v0"))
        assert list(one) == list(two)
        for name in set(one) - {"time"}:
            assert one[name].tobytes() == two[name].tobytes(), name
            assert one[name].dtype == two[name].dtype
        cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("whole-v0", "parts-v0")]
        assert cards[0]["data_sha256"] == cards[1]["data_sha256"]
        assert cards[0]["score"] == cards[1]["score"]
        assert not list(tmp_path.glob(".*.part"))

    def test_another_recording_does_not_go_on_with_it(self, run, monkeypatch, tmp_path):
        given = words("multicell", "--form", "npz", "--id", "parts-v0")
        with monkeypatch.context() as patch:
            self.interrupt(patch, 1)
            run(*given)
        for other, what in (
            (("--allocator", "exact"), "allocator"),
            (("--seed", "1"), "seed 0, not 1"),
            (("--set", "speed=3"), "speed"),
            (("--bound",), "bound False, not True"),
        ):
            result = run(*given, "--resume", *other)
            assert result.exit_code == 2
            assert what in result.output
        begun = self.interrupt(monkeypatch, 99)
        done(run(*given, "--allocator", "exact"))  # without --resume all is begun anew
        assert begun == [0, 1, 2]

    def test_a_damaged_episode_is_refused_by_name(self, run, monkeypatch, tmp_path):
        given = words("multicell", "--form", "npz", "--id", "parts-v0")
        with monkeypatch.context() as patch:
            self.interrupt(patch, 1)
            run(*given)
        file = tmp_path / ".parts-v0.part" / "episode-1.npz"
        file.write_bytes(file.read_bytes()[:-1])
        result = run(*given, "--resume")
        assert result.exit_code == 2
        assert "episode-1.npz is gone, or has been changed or damaged" in result.output

    def test_a_full_disk_keeps_the_finished_episodes(self, run, monkeypatch, tmp_path):
        given = words("multicell", "--form", "npz", "--id", "parts-v0")
        real = Finished.keep

        def keep(self, episode, columns):
            if episode == 2:
                raise NotWrittenError("no space left")
            real(self, episode, columns)

        with monkeypatch.context() as patch:
            patch.setattr(Finished, "keep", keep)
            result = run(*given)
        assert result.exit_code == 1
        assert "no space left" in result.output
        begun = self.interrupt(monkeypatch, 99)
        done(run(*given, "--resume"))
        assert begun == [2]

    def test_two_processes_do_not_grow_one_dataset(self, run, tmp_path):
        part = tmp_path / ".parts-v0.part"
        part.mkdir()
        with alone_in(part):
            result = run(*words("multicell", "--form", "npz", "--id", "parts-v0"))
        assert result.exit_code == 2
        assert "another process is at work" in result.output


def test_a_dataset_is_replaced_by_force_alone_and_then_whole(run, tmp_path, monkeypatch):
    given = words("multicell", "--form", "npz", "--id", "jcas/x-v0")
    done(run(*given))
    first = (tmp_path / "jcas" / "x-v0" / "card.json").read_bytes()
    result = run(*given, "--seed", "1")
    assert result.exit_code == 2
    assert "exists; with `--force` it is replaced" in result.output
    with monkeypatch.context() as patch:
        patch.setattr(command, "references", lambda *_: 1 / 0)  # something fails while the new one is written
        with pytest.raises(ZeroDivisionError):
            CliRunner().invoke(cli.app, [*given, "--seed", "1", "--force"], catch_exceptions=False)
    assert (tmp_path / "jcas" / "x-v0" / "card.json").read_bytes() == first
    done(run(*given, "--seed", "1", "--force"))
    assert json.loads((tmp_path / "jcas" / "x-v0" / "card.json").read_text())["episodes"]["first_seed"] == 1
    assert sorted(path.name for path in (tmp_path / "jcas" / "x-v0").iterdir()) == ["card.json", "table.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mars",), "unknown scenario 'mars'"),
        (("--allocator", "amdm"), "unknown allocator 'amdm': did you mean 'admm'"),
        (("--reference", "amdm"), "unknown allocator 'amdm': did you mean 'admm'"),
        (("--allocator", "equal", "--reference", "drain"), "drain: DrainSearch needs a problem with queues"),
        (("--allocator", "admm", "--policy", "multicell-rate"), "both say who plays"),
        (("--policy", "multicell-rat"), "no shipped policy 'multicell-rat'"),
        (("--set", "userz=4"), "unexpected keyword argument 'userz'"),
        (("--set", "users_per_cell=0"), "`users_per_cell` must be"),
        (("--id", "no version"), "`--id` must be NAMESPACE/NAME-vNUMBER"),
        (("--id", "../up-v0"), "`--id` must be NAMESPACE/NAME-vNUMBER"),
        (("--form", "parquet"), "`--form` must be one of both, minari, npz"),
        (("--preset", "delay", "--bound"), "`--bound`: no bound is known for this task of multicell"),
        (("--allocator", "admm-grouping"), "admm-grouping cannot be recorded here: `allocation.group` must be"),
        (("--allocator", "max-weight"), "max-weight cannot be recorded here"),
        (("mesh", "--policy", "multicell-rate"), "multicell-rate cannot be recorded here"),
        (("--out", "/proc/nowhere"), "`--out /proc/nowhere"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_the_work(run, monkeypatch, arguments, message):
    monkeypatch.setattr(command, "play_all", lambda *_, **__: pytest.fail("the work has begun"))
    form = () if "--form" in arguments else ("--form", "npz")
    small = () if arguments[0] == "mesh" else ("--set", "estimator=crb")
    result = run("dataset", *arguments, *form, *small)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())


def test_a_scenario_without_encoded_actions_or_a_registration_is_refused(monkeypatch):
    monkeypatch.setitem(SCENARIOS, "toy", (Toy, ToyConfig))
    result = CliRunner().invoke(cli.app, ["dataset", "toy", "--form", "npz"])
    assert result.exit_code == 2
    assert "toy is no registered environment: jcas/Toy-v0" in result.output


def test_without_minari_the_line_that_installs_it_is_named_and_plain_columns_need_none(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "minari", None)
    result = run(*words("multicell"))
    assert result.exit_code == 2
    assert "pip install 'jcas-env[minari]'" in result.output
    done(run(*words("multicell", "--form", "npz")))


@needs_minari
def test_another_version_of_minari_is_refused_with_the_range(run, monkeypatch):
    import minari

    monkeypatch.setattr(minari, "__version__", "1.0.2")
    result = run(*words("multicell"))
    assert result.exit_code == 2
    assert "Minari must be at least 0.5 and below 0.6, got 1.0.2" in result.output


def test_datasets_lie_where_minari_looks_for_them(monkeypatch, tmp_path):
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert datasets_root(None) == tmp_path / ".minari" / "datasets"
    monkeypatch.setenv("MINARI_DATASETS_PATH", "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert datasets_root(None) == tmp_path / "elsewhere"
    assert datasets_root(tmp_path) == tmp_path


@needs_minari
def test_a_folder_may_be_named_from_where_one_stands(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done(run(*words("mesh", "--allocator", "equal", "--out", "here")))
    assert (tmp_path / "here" / "jcas" / "mesh-equal-v0" / "data" / "main_data.hdf5").is_file()


def test_the_same_columns_are_the_same_bytes_and_objects_are_refused():
    columns = {"a/b": np.arange(3), "c": np.ones((2, 2), dtype=np.float32)}
    assert packed_columns(columns) == packed_columns({name: value.copy() for name, value in columns.items()})
    with pytest.raises(ValueError, match="column a must hold numbers or flags"):
        packed_columns({"a": np.array([None])})


def test_an_allocation_without_all_parts_has_the_columns_of_those_it_has():
    allocation = MultiCellAllocation(np.ones((2, 3)), np.ones((2, 3)), None)
    assert set(recording._parts("primal", allocation._asdict())) == {"primal/power", "primal/bandwidth"}
