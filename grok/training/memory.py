"""How the C library hands memory out while a network trains on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30
"""Freed memory that stays with the process."""
LARGEST_KEPT_BYTES = 1 << 25
"""Blocks up to this size are kept; glibc takes no more."""


def keep_freed_memory() -> None:
    """Ask glibc to keep what is freed for the next request; elsewhere nothing happens.

    An epoch frees and asks for the same few blocks of megabytes again and again. By default glibc returns them to the
    system, which then has to map and clear every page anew: up to half the time of an epoch on two threads. It holds for
    the whole process.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
            libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
