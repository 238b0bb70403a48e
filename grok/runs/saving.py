"""Tracking off the training thread: one worker, tasks in order, nothing lost silently. Recorders' files, to a run and back."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from grok.recorders.base import File
from grok.spec import limited
from grok.store import files
from grok.store.run import TrackedRun
from grok.store.tables import load_table, save_table


class Background:
    """One worker thread for tracking; the first failure is raised at the next call. It counts its own seconds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tracking")
        self._last: Future[None] | None = None
        self.seconds = 0.0

    def submit(self, task: Callable[..., Any], *args: Any) -> None:
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


def put(run: TrackedRun, file: File) -> None:
    """Store a recorder's file as an artifact."""
    if isinstance(file.content, pd.DataFrame):
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(file.path).name
            save_table(local, file.content)
            run.put_file(local, str(Path(file.path).parent))
    elif file.path.endswith(".npz"):
        run.put_arrays(file.path, **cast(dict[str, np.ndarray], file.content))
    else:
        run.put_tensors(file.path, cast(Any, file.content), file.facts)


def get(run: TrackedRun, path: str) -> File:
    """A file as `put` took it.

    Raises:
        StoreError: if there is none. CheckpointError: if it is not whole, or larger than files of runs are.
    """
    with tempfile.TemporaryDirectory() as folder:
        local = run.get_file(path, Path(folder))
        if not path.endswith((".parquet", ".npz")):
            return File(path, *files.load(local))
        try:
            return File(path, load_table(local) if path.endswith(".parquet") else limited.load_arrays(local))
        except (limited.BrokenFileError, OSError) as error:
            kind, why = Path(path).suffix.lstrip("."), str(error).replace(str(local), path)[:120]
            raise files.CheckpointError(f"{path} must be a whole {kind} file, got {run.run_id} ({why}).") from error
