"""``jcas bench``: rows, ratios, records, comparisons and refusals. Nothing here depends on how fast anything is."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import pytest
from jcas_experiments import bench, cli
from jcas_experiments.bench import learning
from jcas_experiments.bench.against import changes, differences
from jcas_experiments.bench.command import row_table, unit_table
from jcas_experiments.bench.record import read_run, record
from jcas_experiments.bench.row import Plan, Row, cpu_seconds, repeated
from jcas_experiments.bench.suites import SUITES, Suite, run_suites, select
from jcas_experiments.bench.throughput import devices, measure, on_device, worker
from jcas_experiments.bench.throughput.cases import Case
from jcas_experiments.bench.throughput.plain_ppo import PlainPPO
from jcas_experiments.bench.throughput.processes import ROOT, WorkerError, processes
from jcas_experiments.bench.throughput.slot_cost import bytes_moved, flops, roofline, temporaries
from rich.console import Console
from typer.testing import CliRunner

from jcas_env import JCASVectorEnv, MassiveMIMOConfig, MeshConfig, MultiCellConfig

PARENT_PATH = ROOT / "elsewhere"
SMALL = {"users_per_cell": 3, "bs_antennas": 6, "ue_antennas": 2, "paths": 2, "estimator": "perfect"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return lambda *arguments: CliRunner().invoke(cli.app, ["bench", *arguments])


class TestRows:
    def test_medians_quartiles_and_ratios_of_repetitions_side_by_side(self):
        row = repeated("what", [2.0, 4.0, 9.0], "peer", [1.0, 4.0, 3.0], "steps/s", 2.0)
        assert (row.value, row.peer_value) == (4.0, 3.0)
        assert row.ratio == 2.0  # of 2/1, 4/4, 9/3; the ratio of the medians would be 4/3
        assert row.value_spread == (3.0, 6.5)
        assert row.ratio_spread == (1.5, 2.5)

    def test_without_a_peer_there_is_no_ratio(self):
        row = repeated("what", [2.0, 4.0], "peer (not there)", None, "steps/s", nan)
        assert (row.value, row.peer_value, row.ratio, row.ratio_spread) == (3.0, None, None, None)

    @pytest.mark.parametrize(
        ("unit", "more"), [("samples/s", True), ("Mbit/s", True), ("ms/scene", False), ("MB", False)]
    )
    def test_what_is_better(self, unit, more):
        assert Row("what", 1.0, "peer", 1.0, unit, 1.0, nan).more_is_better == more

    def test_clock_counts_calls(self):
        assert 0 < cpu_seconds(lambda: sum(range(20_000)), least=0.005) < 0.1

    def test_tables_hold_every_row_once_and_its_units(self):
        rows = [repeated("what", [2.0], peer, [1.0], "steps/s", nan)._replace(also={"links/s": 6.0}) for peer in "ab"]
        assert row_table(rows).row_count == 2
        assert unit_table(rows).row_count == 1


class TestInterleaving:
    def test_runs_take_turns_and_every_second_round_goes_backwards(self):
        order = []
        runs = [lambda name=name: order.append(name) or float(len(order)) for name in "abc"]
        assert measure.interleave(runs, 2) == [[1.0, 6.0], [2.0, 5.0], [3.0, 4.0]]
        assert "".join(order) == "abccba"

    def test_two_rounds_are_enough_where_they_take_long(self):
        assert measure.interleave([lambda: 1.0], 5, patience=-1.0) == [[1.0, 1.0]]


class Slow:
    """A process that pretends: rates by checkout and job."""

    def __init__(self, root):
        self.root, self.closed = root, False

    def open(self, job, seed):
        self.job = job
        if self.root == PARENT_PATH and job.get("fields", {}).get("estimator") == "crb":
            raise WorkerError({"error": "ValueError: no crb", "traceback": "..."})
        mobile = "size" in job
        return {
            "users": 15 if mobile else 36,
            "links": 105 if mobile else 108,
            "antennas": [1, 1] if mobile else [20, 4],
        }

    def rate(self, seconds):
        return 10.0 if "size" in self.job else 40.0 if self.root == PARENT_PATH else 200.0

    def ask(self, **request):
        return {"memory": 5e8 if self.root != PARENT_PATH else 1e9}


@pytest.fixture
def pretend(monkeypatch):
    @contextmanager
    def some(*roots):
        yield [Slow(root) for root in roots]

    monkeypatch.setattr(measure, "processes", some)


@pytest.mark.usefixtures("pretend")
class TestThroughputRows:
    def test_each_environment_beside_the_peer_and_beside_the_parent(self):
        rows = list(measure.environment_rows(Plan(parent=PARENT_PATH, only="multicell, perfect")))
        names = [f"multicell, perfect, {dtype}, {lanes}" for dtype in ("float64", "float32")
                 for lanes in ("single", "64 lanes", "1,024 lanes")]  # fmt: skip
        assert [row.benchmark for row in rows] == [name for name in names for _ in range(2)]
        ours, parent = rows[:2]
        assert (ours.value, ours.peer_value, ours.unit) == (36 * 200.0, 15 * 10.0, "user-steps/s")
        assert ours.ratio == pytest.approx(48.0)
        assert (parent.peer, parent.ratio) == ("parent", pytest.approx(5.0))
        assert ours.also == pytest.approx({"env-steps/s": 200.0, "links/s": 21_600.0, "antenna pairs/s": 1_728_000.0})
        targets = {row.benchmark: row.target for row in rows if row.peer == measure.PEER}
        assert targets["multicell, perfect, float32, 64 lanes"] == 100.0

    def test_all_scenarios_estimators_and_sizes_of_the_peer_are_there(self):
        names = {row.benchmark for row in measure.environment_rows(Plan(quick=True))}
        for name in ("mobile-env small", "mobile-env large", "mesh, float64, single", "massive-mimo, float64, 4 lanes"):
            assert name in names
        for estimator in ("perfect", "ls", "mmse", "omp", "esprit", "spomp", "crb"):
            assert f"multicell, {estimator}, float64, 4 lanes" in names

    def test_the_surrogate_stands_beside_the_true_channel_too(self):
        rows = [row for row in measure.environment_rows(Plan(quick=True)) if row.peer == "true channel"]
        names = ["multicell, crb, float64, single", "multicell, crb, float64, 4 lanes"]
        assert [(row.benchmark, row.ratio, row.target) for row in rows] == [(name, 1.0, 0.5) for name in names]

    def test_what_the_parent_cannot_do_is_said_in_place_of_its_value(self):
        rows = list(measure.environment_rows(Plan(quick=True, parent=PARENT_PATH, only="multicell, crb")))
        parents = [row for row in rows if row.peer.startswith("parent")]
        assert [(row.peer, row.ratio) for row in parents] == [("parent (ValueError: no crb)", None)] * 2

    def test_without_mobile_env_rows_have_no_peer(self, monkeypatch):
        def opened(self, job, seed):
            if "size" in job:
                raise WorkerError({"error": "ModuleNotFoundError: No module named 'mobile_env'", "traceback": "..."})
            return {"users": 36, "links": 108, "antennas": [20, 4]}

        monkeypatch.setattr(Slow, "open", opened)
        monkeypatch.setattr(Slow, "rate", lambda self, seconds: 200.0)
        rows = list(measure.environment_rows(Plan(quick=True)))
        assert not any(row.benchmark.startswith("mobile") for row in rows)
        assert {row.ratio for row in rows if row.peer != "true channel"} == {None}
        assert "No module named 'mobile_env'" in rows[0].peer

    def test_without_pytorch_a_loop_has_a_row_that_says_so(self, monkeypatch):
        def opened(self, job, seed):
            if job["open"] == "plain_ppo":
                raise WorkerError({"error": "ModuleNotFoundError: No module named 'torch'", "traceback": "..."})
            self.job = job
            return {"users": 1, "links": 0, "antennas": [1, 1]}

        monkeypatch.setattr(Slow, "open", opened)
        rows = list(measure.loop_rows(Plan(quick=True, only="plain PPO")))
        assert all("No module named 'torch'" in row.benchmark and isnan(row.value) for row in rows)

    def test_a_fault_of_this_checkout_is_not_hidden(self, monkeypatch):
        def opened(self, job, seed):
            if "size" not in job:
                raise WorkerError({"error": "ValueError: x", "traceback": "the traceback"})
            return {"users": 15, "links": 105, "antennas": [1, 1]}

        monkeypatch.setattr(Slow, "open", opened)
        with pytest.raises(WorkerError, match="the traceback"):
            list(measure.environment_rows(Plan(quick=True, only="mesh")))

    def test_samples_of_a_loop(self):
        rows = list(measure.loop_rows(Plan(parent=PARENT_PATH, only="plain PPO, default")))
        assert [(row.unit, row.peer) for row in rows] == [("samples/s", measure.LOOP_PEER), ("samples/s", "parent")]
        assert rows[1].target == 8.0

    def test_memory_against_what_is_asked_and_the_parent(self):
        asked, parent = measure.memory_rows(Plan(parent=PARENT_PATH, only="spomp, float32"))
        assert (asked.value, asked.ratio, asked.target) == (500.0, 4.0, 1.0)
        assert (parent.peer_value, parent.ratio) == (1000.0, 2.0)


class TestMeasuringProcess:
    def test_answers_and_reports_faults(self):
        job = {"open": "environment", "scenario": "massive-mimo", "lanes": 3, "fields": {"horizon": 2}}
        with processes(ROOT) as (process,):
            assert process.open(job, 0) == {"users": 4, "links": 4, "antennas": [15, 1]}
            assert process.ask(run=0.0)["steps"] == 3
            assert process.ask(memory=True)["memory"] > 1e7
            with pytest.raises(WorkerError, match="horizon") as caught:
                process.open(job | {"fields": {"horizon": -1}}, 0)
            assert caught.value.reason.startswith("ValueError: `horizon`")
            assert process.rate(0.0) > 0
        assert process.process.poll() is not None

    def test_a_process_imports_the_checkout_that_it_is_given(self, tmp_path):
        (tmp_path / "jcas_env").mkdir()
        (tmp_path / "jcas_env" / "__init__.py").write_text("raise RuntimeError('another checkout')")
        with processes(tmp_path) as (process,), pytest.raises(WorkerError) as caught:
            process.open({"open": "environment", "scenario": "mesh", "lanes": 1, "fields": {}}, 0)
        assert caught.value.reason == "RuntimeError: another checkout"

    @pytest.mark.parametrize(
        ("config", "links"),
        [
            (MultiCellConfig(), (3 * 36, (20, 4))),
            (MeshConfig(), (30, (30, 30))),
            (MassiveMIMOConfig(), (4, (15, 1))),
        ],
    )
    def test_links_of_a_slot(self, config, links):
        assert worker.links_of(config) == links

    @pytest.mark.parametrize("lanes", [0, 2])
    def test_a_piece_lies_between_two_measurements_of_angles_and_in_one_episode(self, lanes):
        job = worker.environment("multicell", lanes, 0, {**SMALL, "angle_coherence": 2, "horizon": 5})
        for _ in range(4):  # two pieces an episode, the fifth slot is left out
            job.prepare()
            assert job.work() == 2 * max(lanes, 1)

    def test_steps_of_several_pieces_are_added(self):
        pieces = []
        job = worker.Job(lambda: pieces.append(sum(range(10_000))) or 7)
        assert worker.repeat(job, 0.01)["steps"] == 7 * len(pieces) > 7

    def test_a_policy_in_numpy_drives_the_lanes(self):
        job = worker.linear_policy("multicell", 2, 0, SMALL)
        assert [job.work(), job.work()] == [2, 2]

    @pytest.mark.slow
    def test_stable_baselines_takes_a_rollout_from_the_native_lanes(self):
        assert worker.sb3_ppo("multicell", 2, 0, SMALL).work() == 64

    @pytest.mark.slow
    @pytest.mark.parametrize(("size", "users", "stations"), [("small", 5, 3), ("medium", 15, 7), ("large", 30, 13)])
    def test_the_peer_runs_where_it_is_installed(self, size, users, stations):
        pytest.importorskip("mobile_env")
        with processes(ROOT) as (process,):
            about = process.open({"open": "mobile", "size": size}, 0)
            assert about == {"users": users, "links": stations * users, "antennas": [1, 1]}


class TestPlainPPO:
    @pytest.fixture
    def loop(self):
        return PlainPPO(JCASVectorEnv("multicell", num_envs=2, observation="flat", **SMALL), seed=0)

    def test_takes_samples_and_learns(self, loop):
        before = [weight.clone() for weight in loop.actor.parameters()]
        assert loop.iterate() == 64
        assert any((new != old).any() for new, old in zip(loop.actor.parameters(), before, strict=True))

    def test_generalised_advantages(self, loop):
        """Last slot: 2 + 0.95 * 4 - 1 = 4.8; first: 1 + 0.95 * 1 - 0 + 0.95^2 * 4.8, or 1 where an episode ends."""
        import torch

        reward, value = torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        done = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        found = loop._advantages(reward, value, torch.tensor([4.0, 4.0]), done)
        torch.testing.assert_close(found, torch.tensor([[1.95 + 0.9025 * 4.8, 1.0], [4.8, 4.8]]))


class TestSlotCost:
    def test_operations_of_the_default_counted_by_hand(self):
        """3 x 12 users, 108 links, M = 20, N = 4, L = 3."""
        parts = flops(MultiCellConfig(estimator="perfect"))
        assert parts["draws"] == 20 * (2 * 36 + 108 * 5)
        assert parts["steering"] == 108 * (2 * 20 + 6 * 24)
        assert parts["effective channels"] == 2 * 108 * 3 * 24 * 8
        assert parts["gains"] == 2 * 36 * 36 * (8 * 20 + 3)
        assert "pilots" not in parts

    def test_pilots_of_a_slot_and_a_fifth_of_those_of_a_measurement(self):
        """Eight beams, or 6 x 20; N = 4: 32 or 480 entries; 3 paths."""
        gains = 32 * (24 + 42) + 72 * 32
        angles = 480 * (24 + 42) + 72 * 480 * 3
        assert flops(MultiCellConfig())["pilots"] == pytest.approx(108 * (0.8 * gains + 0.2 * angles))

    def test_bytes_halve_with_the_precision_but_for_what_is_single_anyway(self):
        double, single = (bytes_moved(MultiCellConfig(dtype=dtype)) for dtype in ("float64", "float32"))
        same = "action and observation"
        assert single.pop(same) == double.pop(same) == 4 * (4 * 36 + 3 + 3 * 36**2 + 36 * 15 + 9)
        assert {name: 2 * count for name, count in single.items()} == double

    def test_share_of_a_slot_that_had_to_be(self):
        config = MultiCellConfig(estimator="perfect")
        work, traffic = sum(flops(config).values()), sum(bytes_moved(config).values())
        row = roofline("slot", config, [100.0, 100.0], [1000 * work, 1000 * work], [500 * traffic, 2000 * traffic])
        # Bytes take 2 ms in the first repetition, operations 1 ms in the second, and the slot 10 ms.
        assert row.value == pytest.approx(10_000.0)
        assert (row.peer_value, row.ratio) == (pytest.approx(1500.0), pytest.approx(0.15))
        assert row.also["operations/s reached"] == pytest.approx(100 * work)

    def test_temporaries_of_a_step(self):
        assert temporaries(MultiCellConfig(**SMALL), 2, 0) > 0


class TestDevice:
    def test_lanes_and_ppo_are_measured_in_wall_time_with_what_stands_beside(self):
        *lanes, ppo = on_device.device_rows(Plan(quick=True))
        assert [row.benchmark for row in lanes] == [
            f"tensors: {name}, float32, 4 lanes"
            for name in ("multicell, perfect", "multicell, crb", "multicell, spomp", "massive-mimo", "mesh")
        ]
        for row in lanes:
            assert row.value == pytest.approx(
                row.also["env-steps/s"] * {"ma": 4, "me": 30}.get(row.benchmark[9:11], 36)
            )
            assert row.also["ms/slot"] == pytest.approx(4e3 / row.also["env-steps/s"])
            assert row.also["s/reset"] > 0
            assert (row.peer_value, row.ratio) == (None, None)  # nothing is asked of a processor
        assert ppo.benchmark == "tensors: PPO, true channel, float32, 4 lanes, 64 samples"
        assert ppo.also["samples"] == 64
        assert ppo.value == pytest.approx(64 / ppo.also["s"])

    def test_rows_are_chosen_by_name(self):
        (row,) = on_device.device_rows(Plan(quick=True, only="massive"))
        assert row.benchmark == "tensors: massive-mimo, float32, 4 lanes"

    def test_a_case_that_the_device_cannot_hold_says_so(self, monkeypatch):
        def full(*_):
            raise MemoryError("out of memory")

        monkeypatch.setattr(on_device, "steps_per_second", full)
        (row,) = on_device.device_rows(Plan(quick=True, only="mesh"))
        assert row.benchmark == "tensors: mesh, float32, 4 lanes (out of memory)"
        assert row.value != row.value

    def test_what_is_asked_of_a_card_stands_beside_its_rows(self, monkeypatch):
        about = {"users": 36, "links": 108, "antennas": (20, 4)}
        monkeypatch.setattr(
            on_device, "steps_per_second", lambda *_: ([4e5, 6e5, 6e5], about, {"s/reset": 1.0, "GB": 2.0})
        )
        monkeypatch.setattr(on_device, "ppo_row", lambda name, *_: Row(name, 1.0, "", None, "samples/s", None, nan))
        rows = {row.benchmark: row for row in on_device.device_rows(Plan(device="cuda"))}
        row = rows["tensors: multicell, perfect, float32, 16,384 lanes"]
        assert (row.peer, row.peer_value, row.ratio) == ("asked of an H100", 36 * 3e5, pytest.approx(2.0))
        assert row.also["GB"] == 2.0
        assert rows["tensors: multicell, crb, float64, 4,096 lanes"].ratio is None
        assert "tensors: multicell, spomp, float32, 65,536 lanes" not in rows
        assert "tensors: PPO, true channel, float32, 16,384 lanes, 10,000,000 samples" in rows


RUN = {
    "machine": {"processor": "A"},
    "threads": {},
    "device": "cpu",
    "quick": False,
    "seed": 0,
    "versions": {"numpy": "2"},
}


class TestAgainst:
    def test_more_steps_and_fewer_seconds_are_better(self):
        old = [Row("steps", 10.0, "p", 5.0, "steps/s", 2.0, nan), Row("time", 10.0, "p", 5.0, "ms", 0.5, nan)]
        new = [old[0]._replace(value=20.0, ratio=5.0), old[1]._replace(value=20.0, ratio=0.25)]
        steps, time = changes(old, new, same_machine=True)
        assert (steps.ratio, steps.against_peer) == (2.0, 2.5)
        assert (time.ratio, time.against_peer) == (0.5, 0.5)

    @pytest.mark.parametrize(("unit", "ratio"), [("steps/s", 2.0), ("ms", 0.5)])
    def test_spread_of_a_ratio(self, unit, ratio):
        old = Row("x", 10.0, "p", None, unit, None, nan, (8.0, 12.0))
        (change,) = changes([old], [old._replace(value=20.0, value_spread=(18.0, 24.0))], same_machine=True)
        ends = (18 / 12, 24 / 8)
        assert change.ratio == ratio
        assert change.ratio_spread == pytest.approx(ends if ratio > 1 else (1 / ends[1], 1 / ends[0]))

    def test_rows_of_one_run_alone_are_named(self):
        row = Row("x", 1.0, "p", 1.0, "ms", 1.0, nan)
        found = changes([row], [row._replace(benchmark="y")], same_machine=True)
        assert [(c.benchmark, c.old, c.new, c.note) for c in found] == [
            ("y", None, 1.0, "not measured then"),
            ("x", 1.0, None, "not measured now"),
        ]

    def test_times_of_another_machine_are_not_divided_ratios_to_a_peer_are(self):
        row = Row("x", 1.0, "p", 2.0, "ms", 2.0, nan)
        (change,) = changes([row], [row._replace(value=3.0, ratio=4.0)], same_machine=False)
        assert (change.ratio, change.against_peer, change.note) == (None, 2.0, "other machine or sizes")

    @pytest.mark.parametrize("value", [None, nan, 0.0])
    def test_what_has_no_value_has_no_ratio(self, value):
        row = Row("x", 1.0, "p", None, "ms", None, nan)
        (change,) = changes([row._replace(value=value)], [row], same_machine=True)
        assert (change.ratio, change.note) == (None, "no value")

    def test_differences_in_words(self):
        now = RUN | {"machine": {"processor": "B"}, "versions": {"numpy": "2", "numba": "1"}, "quick": True}
        assert list(differences(RUN, now)) == [
            "processor: A then, B now",
            "quick: False then, True now",
            "numba: None then, 1 now",
        ]
        assert list(differences(RUN, RUN)) == []


class TestCommand:
    @pytest.fixture(autouse=True)
    def suite(self, monkeypatch):
        row = repeated("what", [1.0, 2.0, 3.0], "peer", [1.0, 1.0, 1.0], "steps/s", nan)
        monkeypatch.setitem(SUITES, "mesh", Suite(lambda _: iter([row]), "test"))

    def test_two_runs_are_compared(self, run, tmp_path):
        assert run("mesh", "--json", "old.json").exit_code == 0
        result = run("mesh", "--against", "old.json", "--json", "new.json")
        assert result.exit_code == 0, result.output
        content = json.loads((tmp_path / "new.json").read_text())
        assert content["rows"][0]["value"] == 2.0
        assert content["against"]["differences"] == []
        (change,) = content["against"]["changes"]
        assert (change["ratio"], change["ratio_spread"], change["against_peer"]) == (
            1.0,
            [0.6, pytest.approx(5 / 3)],
            1.0,
        )

    def test_the_record_says_what_the_numbers_depend_on(self):
        run = record(["mesh"], Plan(quick=True, seed=3))
        assert run["versions"].keys() >= {"python", "numpy", "mobile-env", "torch"}
        assert run["machine"]["processor"]
        assert run["threads"]["measuring processes"] == 1
        assert (run["suites"], run["quick"], run["seed"], run["device"]) == (["mesh"], True, 3, "cpu")

    def test_what_is_written_is_read_back(self, run, tmp_path):
        run("mesh", "--json", "old.json")
        rows, about = read_run(tmp_path / "old.json")
        assert rows[0]._replace(value_spread=None, ratio_spread=None) == Row(
            "what", 2.0, "peer", 1.0, "steps/s", 2.0, None
        )
        assert about["suites"] == ["mesh"]

    @pytest.mark.parametrize("name", ["q[/b]/a.json", "[v2].json"])
    def test_names_in_brackets_are_printed_as_they_are(self, run, tmp_path, name):
        result = run("mesh", "--json", name)
        assert result.exit_code == 0, result.output
        assert f"numbers: {name}" in result.stdout
        content = json.loads((tmp_path / name).read_text())
        content["rows"][0]["benchmark"] = content["run"]["device"] = "[/b]"
        (tmp_path / "old.json").write_text(json.dumps(content))
        result = run("mesh", "--against", "old.json")
        assert result.exit_code == 0, result.output
        assert "differs: device: [/b] then, cpu now" in result.stdout

    def test_numbers_that_cannot_be_written_are_one_line_and_the_table_is_printed(self, run, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("jcas_experiments.bench.command.write_json", full)
        result = run("mesh", "--json", "x.json")
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert "No space left on device" in line
        assert "steps/s" in result.stdout

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("mehs",), "did you mean 'mesh'?"),
            (("--against", "none.json"), "No such file"),
            (("--against", "text.json"), "it is not JSON"),
            (("--against", "other.json"), "must be a file that `jcas bench --json` has written"),
            (("--against", "forged.json"), "`value` of a row must be a number, got 'fast'"),
            (("--against", "list.json"), "`run` must be a mapping, got []"),
            (("--parent", "."), "must be a checkout of the project"),
            (("--device", "tpu"), "`--device` must be cpu or cuda, got 'tpu'"),
            (
                ("mesh", "--only", "spomp"),
                "`--only` is for environment, loops, libraries, memory, device, slot-cost; got mesh",
            ),
            (("mesh", "--parent", str(ROOT)), "`--parent` is for environment, loops, memory; got mesh"),
        ],
    )
    def test_refusals_come_before_the_work(self, run, tmp_path, monkeypatch, arguments, words):
        monkeypatch.setattr("jcas_experiments.bench.command.run_suites", lambda *_: pytest.fail("the work began"))
        (tmp_path / "text.json").write_text("text")
        (tmp_path / "other.json").write_text('{"rows": []}')
        (tmp_path / "list.json").write_text('{"rows": [], "run": []}')
        forged = Row("what", "fast", "peer", 1.0, "ms", 1.0, 1.0)
        (tmp_path / "forged.json").write_text(json.dumps({"run": {}, "rows": [forged._asdict()]}))
        result = run(*arguments)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert words in line

    @pytest.mark.parametrize(
        ("there", "words"),
        [(False, "`--device cuda`: PyTorch sees no such device here"), (True, "`--device` is for device; got mesh")],
    )
    def test_a_device_that_is_not_there_or_not_heeded_is_refused(self, run, monkeypatch, there, words):
        monkeypatch.setattr(devices, "sees_cuda", lambda: there)
        result = run("mesh", "--device", "cuda")
        assert result.exit_code == 2
        assert words in result.stderr

    def test_suites_that_heed_an_option_are_chosen_where_none_is_named(self):
        assert select([]) == list(SUITES)
        heeding = ["environment", "loops", "libraries", "memory", "device", "slot-cost"]
        assert select([], Plan(only="spomp")) == heeding
        assert select([], Plan(device="cuda")) == ["device"]
        assert select([], Plan(parent=ROOT)) == ["environment", "loops", "memory"]

    def test_cases_are_chosen_by_name(self):
        cases = [Case("mesh, float64", {}), Case("multicell, float64", {})]
        assert measure.chosen(cases, Plan(only="mesh")) == cases[:1]


@pytest.mark.slow
def test_every_measurement_runs(run, monkeypatch):
    """With a clock that runs each piece of work once."""
    for module in vars(bench).values():
        if hasattr(module, "cpu_seconds") and module is not bench.row:
            monkeypatch.setattr(module, "cpu_seconds", lambda work, **_: (work(), 0.5)[1])
    monkeypatch.setattr(measure, "effort", lambda _: (0.0, 1))
    monkeypatch.setattr(learning, "fresh_seconds", lambda decide, problems, **_: (decide(replace(problems[0])), 0.5)[1])
    monkeypatch.setattr(bench.mesh, "CROWD", 40)
    monkeypatch.setattr(bench.mesh, "CROWD_FLOOR", 10e6)
    result = run("--quick", "--json", "all.json")
    assert result.exit_code == 0, result.output
    found = {row.benchmark for row in read_run(Path("all.json"))[0]}
    for name in ("UpperBound default, N4, gap", "multicell, spomp, float64, 4 lanes", "SPOMP", "mesh GBD",
                 "Exact massive MIMO", "SCA, network", "learned", "plain PPO", "memory, mesh", "slot, "):  # fmt: skip
        assert any(name in benchmark for benchmark in found), name


def test_closed_forms_per_cell(monkeypatch):
    """With a clock that says the same of all work."""
    monkeypatch.setattr(bench.closed_forms, "cpu_seconds", lambda work, **_: (work(), 0.5)[1])
    rows, complete = run_suites(["closed-forms"], Console(quiet=True), Plan(quick=True))
    assert complete
    exact = next(row for row in rows if row.benchmark == "Exact, batch of 6 cells")
    assert exact.ratio == pytest.approx(6.0)  # six cells in the time of one
