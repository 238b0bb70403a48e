"""Tracking off the training thread: one worker, tasks in order, nothing lost silently."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """One worker thread for tracking; the first failure is raised at the next call. It counts its own seconds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tracking")
        self._last: Future[None] | None = None
        self.seconds = 0.0

    def submit(self, task: Callable[..., None], *args: Any) -> None:
        """Queue a task, after a look whether the last one failed."""
        if self._last is not None and self._last.done():
            self._last.result()
        previous = self._last

        def timed() -> None:
            if previous is not None and previous.exception() is not None:
                previous.result()
            start = time.perf_counter()
            task(*args)
            self.seconds += time.perf_counter() - start

        self._last = self._pool.submit(timed)

    def wait(self) -> None:
        """Block until all is stored; raises what failed."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Stop the thread after what is queued."""
        self._pool.shutdown(wait=True)
