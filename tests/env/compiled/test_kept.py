"""Compiled loops on disk: what is kept, and what is not taken for one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'jcas-env[fast]'")

from jcas_env.compiled import kept

CODE = (
    "import numpy as np\nfrom jcas_env.physics.beamforming import passed\n"
    "print(passed(np.full((1, 2, 3), 1 + 2j), np.ones((2, 3), complex), np.zeros(2, int), crowd=2)[0].sum())"
)


def run(folder):
    """What a process of its own prints, and logs."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", CODE], check=True, env=environment, capture_output=True, text=True)
    return float(done.stdout), done.stderr


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_compilation_is_told_of_and_a_kept_one_is_not(tmp_path):
    (value, told), (again, quiet) = run(tmp_path), run(tmp_path)
    assert "compiling" in told
    assert quiet == ""
    assert value == again == pytest.approx(4 * 45.0)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "rename"])
def test_a_damaged_file_is_compiled_again_and_mended(tmp_path, harm):
    value, _ = run(tmp_path)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    middle = len(content) // 2
    other = path.with_name(f"{path.name}x")
    kept.write(other, b"another loop")
    flipped = bytes([content[middle] ^ 1])
    worse = {
        "flip": content[:middle] + flipped + content[middle + 1 :],
        "cut": content[:middle],
        "empty": b"",
        "rename": other.read_bytes(),
    }
    path.write_bytes(worse[harm])
    again, told = run(tmp_path)
    assert again == value
    assert "compiling" in told
    assert run(tmp_path) == (value, "")


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    """The folder's place is taken by a file, which stops even those whom no permission stops."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    value, told = run(blocked)
    assert value == pytest.approx(180.0)
    assert "compiling" in told
    assert files(tmp_path) == [blocked]


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "jcas_env" / "loop"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "_sealed", full)
    kept.write(path, b"payload")
    assert files(tmp_path) == []
    monkeypatch.undo()
    kept.write(path, b"payload")
    assert files(tmp_path) == [path]
    assert kept.read(path) == b"payload"
    assert kept.read(tmp_path / "nothing") is None
