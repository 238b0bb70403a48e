"""The files of finished runs, read in parallel and whole or not at all, kept by run id."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.reading.latest import Latest
from grok.recorders._stored import flaw_of_band, flaw_of_factors, flaw_of_scores
from grok.recorders.base import File
from grok.runs.saving import get
from grok.spec import limited
from grok.spec.artifacts import BAND, FACTORS, HISTORY, WEIGHTS, bounds
from grok.spec.config import ResolvedConfig
from grok.store import files
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tables import load_csv, load_table
from grok.store.tags import StoredRun, word

KEPT, FACTORS_KEPT = 256, 8
"""Files that stay in memory, the latest used: 256 bands are 0.2 GB and 8 runs' factors 0.06 GB, at 800 epochs."""
KEPT_BYTES = limited.MOST_BYTES
"""That they take at most, of each of the three kinds: how large a file may be follows from what its run says."""
COLUMNS = 512
"""Columns of a history, by which it counts as large; ours."""
MOST_ROWS = 10_000_000
"""Rows of a history whose run's length is not known."""
WORKERS = 8
T = TypeVar("T")


class RunFiles:
    """Reads runs' files; what was read stays in memory, since a finished run does not change.

    Args:
        store: any backend.
        runs: whose place is known already, which saves a query each.
        workers: threads of `load`.

    Attributes:
        left_out: paths by run id of files that a run has where it was trained and not here.
    """

    def __init__(self, store: Store, runs: Iterable[StoredRun] = (), workers: int = WORKERS) -> None:
        self.store, self.workers = store, workers
        known = list(runs)
        self._places = {run.run_id: word(run.info.artifact_uri) for run in known}
        self.left_out = {run.run_id: frozenset(run.files_left_out) for run in known if run.files_left_out}
        self._complete = frozenset(run.run_id for run in known if run.state == "complete")
        self._configs: dict[str, ResolvedConfig] = {}
        self._checked: dict[tuple[str, str], str] = {}
        self._lengths: dict[tuple[str, str], int] = {}
        self._names: dict[tuple[str, str], tuple[str, ...]] = {}
        self._bounds: dict[tuple[str, str], int] = {}
        self._widths: dict[str, int] = {}
        self._flaws: dict[str, str] = {}
        self.history: Callable[[str], pd.DataFrame] = Latest(self._history, table_bytes, 4 * KEPT, KEPT_BYTES)
        self._small: Callable[[str, str], dict[str, np.ndarray]] = Latest(self._arrays, _array_bytes, KEPT, KEPT_BYTES)
        self._large: Callable[[str, str], dict[str, np.ndarray]] = Latest(self._arrays, _array_bytes, FACTORS_KEPT, KEPT_BYTES)
        self._turn = threading.Lock()

    def load(self, run_ids: Iterable[str], path: str = HISTORY) -> dict[str, str]:
        """Read a file of each run in parallel, those that were not read before.

        Returns:
            By run id, why it could not be read; empty if all could.
        """

        def attempt(run_id: str) -> str:
            try:
                if path == HISTORY:
                    self._lengths[run_id, path] = len(self.history(run_id))
                else:
                    found = self.arrays(run_id, path)
                    self._lengths[run_id, path] = len(next(iter(found.values()), ()))
                    self._names[run_id, path] = tuple(found)
            except StoreError as error:
                return str(error)
            return ""

        wanted = list(run_ids)
        read = in_parallel(attempt, [run_id for run_id in wanted if (run_id, path) not in self._checked], self.workers)
        self._checked |= {(run_id, path): reason for run_id, reason in read.items()}
        return {run_id: reason for run_id in wanted if (reason := self._checked[run_id, path])}

    def expect(self, run_id: str, config: ResolvedConfig) -> None:
        """Bound what the files of a run may ask of memory by its config: they are small on disk whatever they unfold to.

        A config is what its run says: `limited` holds them against the free memory too. Its factors are held against the
        config once more when they are read.
        """
        self._configs[run_id] = config
        self._bounds |= {(run_id, name): most for name, most in bounds(config).items()}

    def width(self, run_id: str) -> int:
        """Lags of the bands of a run, as `load` has read them."""
        return self._widths[run_id]

    def flaw(self, run_id: str) -> str:
        """What is wrong with the numbers of a run's bands, as `load` has read them; empty if nothing is."""
        return self._flaws[run_id]

    def length(self, run_id: str, path: str) -> int:
        """Rows of a file that `load` has read: it need not stay in memory for that."""
        return self._lengths[run_id, path]

    def names(self, run_id: str, path: str) -> tuple[str, ...]:
        """Names of the arrays of a file that `load` has read."""
        return self._names[run_id, path]

    def arrays(self, run_id: str, path: str) -> dict[str, np.ndarray]:
        """The arrays of an npz artifact, by name.

        Raises:
            StoreError: if the run has none or it is not whole.
        """
        return self._large(run_id, path) if path == FACTORS else self._small(run_id, path)

    def _open(self, run_id: str, path: str, read: Callable[[Path], T]) -> T:
        """`read` of a file's local path; a broken file is one line with the run's id."""
        if path in self.left_out.get(run_id, ()):
            raise StoreError(
                f"{path} must have come with the run, got {run_id} without. Export it anew with --bands all and --files all."
            )
        run = TrackedRun(self.store.client, run_id, artifact_uri=self._places.get(run_id))
        with contextlib.nullcontext("") if run.in_place else tempfile.TemporaryDirectory() as folder:
            local = run.get_file(path, Path(folder))
            try:
                return read(local)
            except limited.NoRoomError as error:
                raise StoreError(
                    f"{path} must fit into memory, got {run_id} ({error}). Read it on a larger machine."
                ) from error
            except Exception as error:  # the file is untrusted: broken bytes end in zlib's, the tokenizer's and others' errors
                kind = {".npz": "npz", ".safetensors": "safetensors"}.get(local.suffix, local.suffix.lstrip("."))
                told = str(error).replace(str(local), path)  # the same words wherever the store is
                told = told if isinstance(error, limited.BrokenFileError) else f"{type(error).__name__} {told}"
                why = " ".join(told.split())[:120]
                raise StoreError(
                    f"{path} must be a whole {kind} file, got {run_id} ({why}). Delete it and train anew."
                ) from error

    def _alone(self, most: int) -> contextlib.AbstractContextManager[Any]:
        """Large files are unfolded one at a time: of the free memory that each is held against, no other takes any then."""
        return self._turn if most > limited.MOST_BYTES // self.workers else contextlib.nullcontext()

    def _history(self, run_id: str) -> pd.DataFrame:
        most = self._bounds.get((run_id, HISTORY), MOST_ROWS)

        def read(local: Path) -> pd.DataFrame:
            with self._alone(8 * COLUMNS * most):
                found = load_table(local, most_rows=most)
            if strange := [str(name) for name in found if found[name].dtype.kind not in "iuf"]:
                raise ValueError(f"no numbers in {', '.join(strange)}")
            return found

        table = self._open(run_id, HISTORY, read)
        missing = [name for name in ("epoch", "accuracy/train", "accuracy/test") if name not in table]
        epochs = list(table["epoch"]) if not missing else []
        if missing or (epochs != list(range(len(table))) and epochs != [float(step) for step in table.get("step", ())]):
            what = ", ".join(missing) or "a row for every epoch from 0 on"
            raise StoreError(f"{HISTORY} must have {what}, got {run_id}, a run of another schema. Delete it and train anew.")
        if run_id in self._complete and (flaw := flaw_of_scores(table)):
            raise StoreError(f"{HISTORY} must have {flaw}, got others in {run_id}. Delete it and train anew.")
        return table

    def _arrays(self, run_id: str, path: str) -> dict[str, np.ndarray]:
        most = self._bounds.get((run_id, path), limited.MOST_BYTES)

        def read(local: Path) -> dict[str, np.ndarray]:
            with self._alone(most):
                found = limited.load_arrays(local, most)
            if path == BAND:
                if any(band.ndim != 2 or band.dtype.kind != "f" or not band.shape[1] for band in found.values()):
                    raise ValueError("no bands of real numbers with a row for each update")
                if len({band.shape for band in found.values()}) != 1:
                    raise ValueError("no bands of one shape")
                self._widths[run_id] = next(iter(found.values())).shape[1]
                self._flaws[run_id] = next((flaw for name, band in found.items() if (flaw := flaw_of_band(name, band))), "")
            if path == FACTORS and any(one.ndim != 3 or one.dtype.kind != "f" for one in found.values()):
                raise ValueError("no factors of real numbers with a square for each epoch")
            return found

        arrays = self._open(run_id, path, read)
        config = self._configs.get(run_id)
        if path == FACTORS and config is not None and (flaw := flaw_of_factors(config, arrays, run_id in self._complete)):
            raise StoreError(f"{FACTORS} must have {flaw}, got others in {run_id}. Delete it and train anew.")
        return arrays

    def weights(self, run_id: str, epoch: int) -> dict[str, np.ndarray]:
        """`w` (2M, K) and `v` (K, M) at a checkpoint epoch; not kept.

        Raises:
            StoreError: if the run has none there, or it is not whole.
        """
        tensors, _ = self._open(run_id, WEIGHTS.format(epoch), files.load)
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def file(self, run_id: str, path: str) -> File:
        """Any artifact that a recorder left, one of your own among them, read by its ending; not kept.

        Raises:
            StoreError: if the run has none or it is not whole.
        """
        try:
            return get(TrackedRun(self.store.client, run_id, artifact_uri=self._places.get(run_id)), path)
        except files.CheckpointError as error:
            raise StoreError(f"{error} Delete it and train anew.") from error

    def table(self, run_id: str, path: str) -> pd.DataFrame:
        """A Parquet artifact other than the history; not kept.

        Raises:
            StoreError: if the run has none or it is not whole.
        """
        return self._open(run_id, path, load_table)

    def json(self, run_id: str, path: str) -> Any:
        """A JSON artifact.

        Raises:
            StoreError: if the run has none or it is not whole.
        """
        return self._open(run_id, path, files.load_json)

    def csv(self, run_id: str, path: str) -> pd.DataFrame:
        """A CSV artifact whose cells have no quotes.

        Raises:
            StoreError: if the run has none or it is not whole.
        """
        return self._open(run_id, path, load_csv)


def table_bytes(table: pd.DataFrame) -> int:
    """Bytes of a table of numbers in memory."""
    return 8 * table.size  # of numbers alone


def _array_bytes(arrays: dict[str, np.ndarray]) -> int:
    return sum(one.nbytes for one in arrays.values())


def in_parallel(read: Callable[[str], T], run_ids: list[str], workers: int = WORKERS) -> dict[str, T]:
    """`read` of each run id, in threads, by run id in the order given."""
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(run_ids, pool.map(read, run_ids), strict=True))
