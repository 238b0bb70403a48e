"""The last rows of a growing table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class Tail:
    """The last rows of a growing table, in memory that is bounded and contiguous.

    Args:
        kept: H, rows. shape: of a row. dtype: numpy's.

    Example:
        >>> tail = Tail(2)
        >>> for value in (1.0, 2.0, 3.0):
        ...     tail.append(value)
        >>> tail.values.tolist(), tail.first
        ([2.0, 3.0], 1)
    """

    def __init__(self, kept: int, shape: tuple[int, ...] = (), dtype: Any = np.float64) -> None:
        self.kept, self.count = kept, 0
        self._rows = np.empty((min(64, 2 * kept), *shape), dtype=dtype)
        self._size = 0

    @property
    def values(self) -> np.ndarray:
        """(≤ H, …): the rows that are kept, a view."""
        return self._rows[max(0, self._size - self.kept) : self._size]

    @property
    def first(self) -> int:
        """Index of the first row that is kept."""
        return self.count - len(self.values)

    def append(self, row: Any) -> None:
        """Add a row, in constant time on average."""
        if self._size == len(self._rows):
            if self._size < 2 * self.kept:
                self._rows = np.concatenate((self._rows, np.empty_like(self._rows)))[: 2 * self.kept]
            else:
                self._rows[: self.kept] = self._rows[self._size - self.kept : self._size].copy()
                self._size = self.kept
        self._rows[self._size] = row
        self._size += 1
        self.count += 1

    def state(self) -> dict[str, Any]:
        """What `load` goes on from."""
        return {"rows": torch.from_numpy(self.values.copy()), "count": self.count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        rows = state["rows"].numpy()
        self._size, self.count = 0, 0
        for row in rows:
            self.append(row)
        self.count = int(state["count"])
