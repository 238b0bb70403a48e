"""The windows of a monitor, checked; and series that grow, read without being copied."""

from __future__ import annotations

from typing import Any

import numpy as np

from grok.spec.fields import LARGEST, refuse


def checked(window: Any, max_window: Any = None) -> tuple[int, int]:
    """A window and the lags that are kept for it; without a max_window as many as the window has.

    Raises:
        ConfigError: if one of them is no whole number, the window is below 2, or max_window below the window.
    """
    for name, value in (("window", window), ("max_window", max_window)):
        if isinstance(value, bool) or not (isinstance(value, int | np.integer) or (value is None and name == "max_window")):
            refuse(name, "be a whole number", repr(value), "Give the number of updates, such as 20")
        if value is not None and value > LARGEST:
            refuse(name, f"be at most {LARGEST}", int(value), "Give the number of updates, such as 20")
    if window < 2:
        refuse("window", "be ≥ 2, updates in the rolling window", window, "Raise it")
    if max_window is not None and max_window < window:
        refuse("window", f"be in [2, {max_window}] (max_window)", window, "Raise max_window")
    return int(window), int(window if max_window is None else max_window)


class Growing:
    """Rows of float64 that are added to at the end; `rows` is a view, so that reading at each step costs no more with time.

    Args:
        shape: of a row.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self._held = np.empty((16, *shape))
        self.count = 0

    @property
    def rows(self) -> np.ndarray:
        """(count, …) float64, which cannot be written to; rows that are added later do not change it."""
        view = self._held[: self.count]
        view.flags.writeable = False
        return view

    def extend(self, rows: np.ndarray) -> None:
        """Add rows; the room is doubled where it runs out."""
        wanted = self.count + len(rows)
        if wanted > len(self._held):
            grown = np.empty((max(wanted, 2 * len(self._held)), *self._held.shape[1:]))
            grown[: self.count] = self._held[: self.count]
            self._held = grown
        self._held[self.count : wanted] = rows
        self.count = wanted
