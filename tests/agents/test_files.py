"""The writer of all files: whole or not there, whoever else writes, whatever stands at the path, whatever breaks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from jcas_agents import files, tensor_files
from jcas_agents.checkpoint import read_policy, save_policy
from jcas_agents.files import NotWrittenError, write_file
from support.policies import stirred


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folders_and_keeps_its_permissions(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    write_file(path, b"one")
    path.chmod(0o600)
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(path.parent) == ["x.json"]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else_and_is_named(tmp_path, monkeypatch, where):
    path = tmp_path / "x.json"
    write_file(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((files.os, "fsync") if where == "fsync" else (Path, "replace")), full)
    with pytest.raises(NotWrittenError, match=r"x.json cannot be written: No space left on device"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.json"]


def test_what_interrupts_a_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "x", b"new")
    assert names(tmp_path) == []


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/x")
    for content in (b"one", b"two"):  # a target that is not there yet, and one that is
        write_file(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "x").read_bytes() == content
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotWrittenError, match="loop cannot be written"):
        write_file(tmp_path / "loop", b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_device_stays_a_device():
    write_file(Path("/dev/null"), b"x")
    with pytest.raises(NotWrittenError, match="/dev/full cannot be written: No space left on device"):
        write_file(Path("/dev/full"), b"x")
    assert all(files.is_special(Path(device)) for device in ("/dev/null", "/dev/full"))


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    content = bytes(300_000)  # more than a pipe holds at a time
    write_file(pipe, content)
    reader.join()
    assert read == [content]
    assert files.is_special(pipe)


def test_the_file_to_which_a_process_prints_gets_both(tmp_path):
    code = (
        "from pathlib import Path\nfrom jcas_agents.files import write_file\n"
        "print('before')\nwrite_file(Path('/dev/stdout'), b'{}\\n')\nprint('after')\n"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\n{}\nafter\n"


WRITER = """
import sys
from pathlib import Path
import torch
from jcas_agents.checkpoint import save_policy
from jcas_agents.policies.mesh import MeshPolicy
from jcas_agents.policies.sets import SetShape
who = int(sys.argv[1])
policy = MeshPolicy(SetShape(width=8 + who))
with torch.no_grad():
    for value in policy.parameters():
        value.fill_(who)
for count in range(60):
    save_policy(Path(sys.argv[2]), policy, {"reward": f"of {who}"})
"""


def test_of_two_processes_that_write_one_policy_every_read_gets_one_whole(tmp_path):
    path = tmp_path / "p.safetensors"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(who), str(path)]) for who in (1, 2)]
    seen, reads = set(), 0
    while any(writer.poll() is None for writer in both):
        if path.exists():
            policy, card = read_policy(path)  # checks the hash
            values = torch.cat([value.reshape(-1) for value in policy.parameters()])
            (who,) = values.unique().tolist()
            assert card["reward"] == f"of {who:.0f}"
            seen.add(who)
            reads += 1
    assert [writer.returncode for writer in both] == [0, 0]
    assert reads > 10
    assert seen <= {1.0, 2.0}
    assert names(tmp_path) == ["p.json", "p.safetensors"]


def test_a_training_state_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "p.safetensors"
    save_policy(path, stirred(), {})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(NotWrittenError, match="No space left"):
        tensor_files.write(path, {"a": torch.zeros(2)}, {})
    assert path.read_bytes() == before
