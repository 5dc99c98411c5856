"""A network and what allocators do with it: films, windows, keys."""

from __future__ import annotations

import subprocess

import gymnasium as gym
import numpy as np
import pytest
from jcas_baselines import EqualAllocation
from jcas_experiments import cli
from jcas_experiments.scenarios.registry import roster_of, view_of
from jcas_experiments.watch.film import ffmpeg, write_film
from jcas_experiments.watch.play import episode, players_of
from jcas_experiments.watch.screen import screen
from jcas_experiments.watch.window import Viewer
from PIL import Image
from typer.testing import CliRunner

import jcas_env  # noqa: F401  (registers the environments)
from jcas_env import JCASVectorEnv, make_scenario

FIELDS = {"users_per_cell": 3, "bs_antennas": 8, "ue_antennas": 2, "estimator": "perfect", "horizon": 3}
SMALL = [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]


class FakeWindow:
    """Remembers what it is told."""

    def __init__(self, title):
        self.shown, self.closed = [], False

    def show(self, picture):
        self.shown.append(picture)

    def appear(self):
        pass

    def on_key(self, press):
        self.press = press

    def every(self, milliseconds, tick):
        self.tick = tick

    def close(self):
        self.closed = True

    def run(self):
        pass


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, ["watch", *arguments])


@pytest.mark.parametrize("name", ["multicell", "mesh", "massive-mimo"])
def test_a_film_has_a_picture_for_each_slot_and_one_of_the_beginning(run, tmp_path, name):
    fields = SMALL if name == "multicell" else ["--set", "horizon=3"]
    result = run(name, *fields, "--allocator", "equal", "--against", "exact", "--slots", "2", "--out", "f.gif")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "f.gif") as film:
        assert film.n_frames == 3
        assert film.size[0] == 2 * 880


def test_as_many_slots_are_shown_as_are_asked_for(run, monkeypatch):
    shown = []
    monkeypatch.setattr("jcas_experiments.watch.command.write_film", lambda *given, **_: shown.extend(given[1]) or 1)
    monkeypatch.setattr("jcas_experiments.watch.command.SLOTS", 2)
    result = run("mesh", "--allocator", "equal", "--slots", "4", "--out", "f.gif")
    assert result.exit_code == 0, result.output
    assert len(shown) == 1 + 4


def test_what_is_drawn_is_what_was_earned():
    scenario = make_scenario("multicell", **FIELDS)
    (player,) = players_of(scenario, view_of("multicell"), {"equal": EqualAllocation()})
    assert list(episode([player], 5, 99)) == [0, 1, 2, 3], "no longer than an episode"
    env = JCASVectorEnv(scenario, num_envs=1)
    env.reset(seed=[5])
    earned = []
    for _ in range(3):
        _, reward, _, _, info = env.step_allocation(EqualAllocation().solve(env.problem).allocation)
        earned.append((reward[0], info["rate"][0].mean() / 1e6))
    np.testing.assert_allclose(np.transpose(earned), [player.curves["utility"], player.curves["rate_mbps"]], rtol=1e-12)


def test_the_picture_is_as_wide_as_its_maps_and_even():
    scenario = make_scenario("multicell", **FIELDS)
    players = players_of(
        scenario, view_of("multicell"), {name: roster_of("multicell").make(name) for name in ("equal", "admm")}
    )
    for player in players:
        player.begin(0)
    one, both = (screen(some, unit="Mbit/s", slots=3) for some in (players[:1], players))
    assert (one.shape[1], both.shape[1]) == (880, 1760)
    assert one.shape[0] % 2 == both.shape[0] % 2 == 0
    assert both.dtype == np.uint8


def test_an_mp4_holds_all_pictures(tmp_path):
    if ffmpeg() is None:
        pytest.skip("needs FFmpeg: pip install imageio-ffmpeg")
    pictures = [np.full((64, 96, 3), 40 * k, np.uint8) for k in range(5)]
    assert write_film(tmp_path / "f.mp4", iter(pictures), fps=5) == 5
    assert (tmp_path / "f.mp4").read_bytes()[4:8] == b"ftyp"
    told = subprocess.run([ffmpeg(), "-i", tmp_path / "f.mp4"], capture_output=True, text=True, check=False).stderr
    assert "96x64" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "f.avi"), "`--out` takes a file ending in .gif or .mp4"),
        (("--out", "."), "`--out` takes a file ending in"),
        (("--allocator", "equl", "--out", "f.gif"), "did you mean 'equal'?"),
        (("--allocator", "equal,admm", "--out", "f.gif"), "unknown allocator 'equal,admm'"),
        (("--against", "drain", "--out", "f.gif"), "drain: DrainSearch needs a problem with queues"),
        (("mash",), "did you mean 'mesh'?"),
    ],
)
def test_bad_input_is_refused_before_the_work(run, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_without_a_display_the_file_is_offered(run, monkeypatch):
    def none(title):
        raise RuntimeError("there is no display: take `jcas watch --out FILE.gif`")

    monkeypatch.setattr("jcas_experiments.watch.window.new_window", none)
    result = run(*SMALL)
    assert result.exit_code == 2
    assert "--out FILE.gif" in result.stderr


def test_keys_pause_step_go_on_switch_and_end(monkeypatch):
    monkeypatch.setattr("jcas_experiments.watch.window.new_window", FakeWindow)
    switched = []
    viewer = Viewer(lambda number: iter([(number, slot) for slot in range(3)]), lambda: switched.append(1), fps=5)
    window = viewer.window
    window.tick()
    window.press(" ")
    window.tick()
    assert window.shown == [(0, 0)], "paused"
    window.press("right")
    window.press(" ")
    window.press("n")
    for _ in range(4):
        window.tick()
    assert window.shown == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]
    window.press("a")
    window.press("z")
    assert switched == [1]
    window.press("q")
    assert window.closed


def test_the_human_mode_shows_every_reset_and_step(monkeypatch):
    monkeypatch.setattr("jcas_env.render.window.new_window", FakeWindow)
    env = gym.make("jcas/MultiCell-v0", render_mode="human", **FIELDS)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    window = env.unwrapped._window
    assert [picture.shape for picture in window.shown] == [(440, 880, 3)] * 2
    assert env.render() is None
    env.close()
    assert window.closed


def test_without_a_display_the_human_mode_says_so_once_and_plays_on(monkeypatch, caplog):
    def none(title):
        raise RuntimeError("there is no display")

    monkeypatch.setattr("jcas_env.render.window.new_window", none)
    env = gym.make("jcas/MultiCell-v0", render_mode="human", **FIELDS)
    env.reset(seed=0)
    for _ in range(2):
        env.step(env.action_space.sample())
    assert env.render() is None
    assert caplog.messages == ["nothing is shown: there is no display"]
    env.close()
