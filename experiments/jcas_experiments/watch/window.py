"""Pictures in a window that takes keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jcas_env.render.window import new_window

KEYS = "space: pause, right: a slot, n: next episode, a: next allocator, q: end"


class Viewer:
    """Shows the pictures of one episode after the other, at so many a second, until the window is closed.

    ``begin`` gives the pictures of an episode, by its number; ``switch`` makes the next picture show other allocators.
    """

    def __init__(self, begin: Callable[[int], Iterator[np.ndarray]], switch: Callable[[], None], *, fps: float) -> None:
        self.begin, self.switch = begin, switch
        self.paused, self.number = False, 0
        self.pictures = begin(0)
        self.window = new_window(f"jcas watch ({KEYS})")
        self.window.on_key(self.press)
        self.window.every(1e3 / fps, self.tick)

    def tick(self) -> None:
        """One more picture, unless somebody paused."""
        if not self.paused:
            self.advance()

    def advance(self) -> None:
        """The next picture, of the next episode where this one has ended."""
        picture = next(self.pictures, None)
        if picture is None:
            self.next_episode()
            picture = next(self.pictures)
        self.window.show(picture)

    def next_episode(self) -> None:
        """Begin the next episode."""
        self.number += 1
        self.pictures = self.begin(self.number)

    def press(self, key: str) -> None:
        """What a key does, see ``KEYS``."""
        actions: dict[str, Callable[[], Any]] = {
            " ": self._pause,
            "right": self.advance,
            "n": self.next_episode,
            "a": self.switch,
            "q": self.window.close,
        }
        actions.get(key, lambda: None)()

    def _pause(self) -> None:
        self.paused = not self.paused

    def run(self) -> None:
        """Until the window is closed."""
        self.window.run()
