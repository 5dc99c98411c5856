"""A window of the machine's own that shows pictures: by Matplotlib, with whatever toolkit it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

HEADLESS = (
    'there is no display, or no toolkit (Tk, Qt, GTK) for a window: take `render_mode="rgb_array"`, '
    "or `jcas watch --out FILE.gif`"
)


def new_window(title: str) -> Window:
    """A window; ``RuntimeError`` that offers a way out where none can be opened.

    Matplotlib chooses the toolkit, unless the user has chosen one.
    """
    from matplotlib import pyplot as plt
    from matplotlib.backends import BackendFilter, backend_registry

    chosen = plt.get_backend().lower()
    if chosen not in map(str.lower, backend_registry.list_builtin(BackendFilter.INTERACTIVE)):
        raise RuntimeError(HEADLESS)
    try:
        figure = plt.figure(title, frameon=False)
    except Exception as error:  # a toolkit's own way to say that it sees no display
        raise RuntimeError(f"{HEADLESS} ({error})") from None
    return Window(figure)


class Window:
    """A figure that shows one picture at a time."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.image: Any = None
        self.timer: Any = None

    def show(self, picture: np.ndarray) -> None:
        """Show a picture, (height, width, 3) uint8."""
        if self.image is None or self.image.get_array().shape != picture.shape:
            self.axes.clear()
            self.axes.set_axis_off()
            self.image = self.axes.imshow(picture, aspect="equal")
            height, width = picture.shape[:2]
            self.figure.set_size_inches(width / self.figure.dpi, height / self.figure.dpi)
        self.image.set_data(picture)
        self.figure.canvas.draw_idle()
        self.figure.canvas.flush_events()

    def appear(self) -> None:
        """Open the window without waiting for anything."""
        self.figure.show()

    def on_key(self, press: Callable[[str], None]) -> None:
        """Call ``press`` with the name of every key."""
        manager = self.figure.canvas.manager
        if manager is not None and manager.key_press_handler_id is not None:
            self.figure.canvas.mpl_disconnect(manager.key_press_handler_id)
        self.figure.canvas.mpl_connect("key_press_event", lambda event: press(event.key or ""))

    def every(self, milliseconds: float, tick: Callable[[], None]) -> None:
        """Call ``tick`` again and again."""
        self.timer = self.figure.canvas.new_timer(interval=int(milliseconds))
        self.timer.add_callback(tick)

    def run(self) -> None:
        """Until the window is closed."""
        from matplotlib import pyplot as plt

        if self.timer is not None:
            self.timer.start()
        plt.show(block=True)

    def close(self) -> None:
        """Close the window."""
        from matplotlib import pyplot as plt

        plt.close(self.figure)
