"""What was read last stays in memory, up to a number of files and of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Latest(Generic[V]):
    """Keeps what a function gave last, by its arguments; the one used longest ago goes first.

    Args:
        read: the function. size: bytes of what it gives. most: of its values that are kept. most_bytes: that they take
            together; one of more alone is not kept.
    """

    def __init__(self, read: Callable[..., V], size: Callable[[V], int], most: int, most_bytes: int) -> None:
        self._read, self._size, self._most, self._most_bytes = read, size, most, most_bytes
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def __call__(self, *key: str) -> V:
        """What the function gives, now or at an earlier call."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        value = self._read(*key)
        size = self._size(value)
        with self._lock:
            if key not in self._kept and size <= self._most_bytes:
                self._kept[key] = value, size
                self._bytes += size
                while len(self._kept) > self._most or self._bytes > self._most_bytes:
                    self._bytes -= self._kept.popitem(last=False)[1][1]
        return value
