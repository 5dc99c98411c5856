"""Pictures as a film: a GIF by Pillow, an MP4 by FFmpeg."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from jcas_agents.files import write_file

from jcas_env.checks import require

from ..files import require_writable

FILMS = (".gif", ".mp4")
"""Endings of a film's name."""


def require_film(option: str, path: Path) -> None:
    """Raise ``ValueError`` for a film of another kind, one that cannot be written, or one that nothing here makes."""
    require(path.suffix.lower() in FILMS, f"`{option}` takes a file ending in {' or '.join(FILMS)}, got {path}")
    require(
        path.suffix.lower() == ".gif" or ffmpeg() is not None,
        f"`{option} {path}` needs FFmpeg: install it, or `pip install imageio-ffmpeg`, or take a .gif",
    )
    require_writable(option, path)


def ffmpeg() -> str | None:
    """The program FFmpeg: on the path, or that of the package imageio-ffmpeg; None where there is none."""
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ModuleNotFoundError:
        return None
    return str(get_ffmpeg_exe())


def write_film(path: Path, pictures: Iterator[np.ndarray], *, fps: float) -> int:
    """Write pictures (height, width, 3) uint8 of one size; returns their number. The file appears when it is whole."""
    if path.suffix.lower() == ".gif":
        return _write_gif(path, pictures, fps=fps)
    return _write_mp4(path, pictures, fps=fps)


def _write_gif(path: Path, pictures: Iterator[np.ndarray], *, fps: float) -> int:
    """By Pillow: each picture in a palette of its own."""
    from PIL import Image

    images = [Image.fromarray(picture).quantize(128, dither=Image.Dither.NONE) for picture in pictures]
    content = BytesIO()
    pause = max(20, round(1e3 / fps))  # [ms]; viewers slow down what is faster than 20
    images[0].save(content, format="GIF", save_all=True, append_images=images[1:], duration=pause, loop=0)
    write_file(path, content.getvalue())
    return len(images)


def _write_mp4(path: Path, pictures: Iterator[np.ndarray], *, fps: float) -> int:
    """By FFmpeg, which gets raw pictures through a pipe; ``OSError`` with its words where it fails."""
    count, program = 0, ffmpeg()
    require(program is not None, "FFmpeg is not installed")
    first = next(pictures)
    with NamedTemporaryFile(suffix=".mp4", delete=False) as film:
        pass
    command = [
        str(program), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{first.shape[1]}x{first.shape[0]}", "-r", f"{fps:g}", "-i", "-", "-an",
        "-c:v", "libx264", "-pix_fmt", "yuv420p", film.name,
    ]  # fmt: skip
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            try:
                for picture in _chain(first, pictures):
                    process.stdin.write(np.ascontiguousarray(picture).tobytes())
                    count += 1
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has said why
            words = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            raise OSError(f"FFmpeg could not write {path}: {words}")
        write_file(path, Path(film.name).read_bytes())
    finally:
        os.unlink(film.name)
    return count


def _chain(first: np.ndarray, others: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from others
