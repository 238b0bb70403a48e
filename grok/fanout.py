"""The only importer of joblib: one function over many payloads, on local processes or a Dask cluster, by one code path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from grok.config import ConfigError

BACKENDS = ("loky", "dask", "sequential")


@dataclass(frozen=True)
class Fanout:
    """Where the runs of a study are trained.

    Attributes:
        backend: `loky` (local processes), `dask` (a cluster) or `sequential` (this process).
        workers: processes of loky; with dask, runs under way at once (its workers' threads if 0).
        scheduler: address of the Dask scheduler, tcp://host:port.
    """

    backend: str = "loky"
    workers: int = 0
    scheduler: str = ""

    def __post_init__(self) -> None:
        """Check the fields; raises ConfigError."""
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, got {self.backend}. Pick one of these.")
        if self.workers < 0:
            raise ConfigError(f"workers must be a whole number ≥ 0, got {self.workers}. 0 takes one per core.")
        if (self.backend == "dask") != bool(self.scheduler):
            raise ConfigError(
                f"scheduler must be given with backend dask and only then, got {self.scheduler or 'none'} with {self.backend}. "
                "Write --backend dask --scheduler tcp://host:port."
            )

    @property
    def local_workers(self) -> int:
        """Processes on this machine."""
        return 1 if self.backend == "sequential" else self.workers or (os.cpu_count() or 1)

    def threads(self) -> int:
        """Threads for each run: all cores of a machine shared among its workers; one on a cluster's workers."""
        return 1 if self.backend == "dask" else max(1, (os.cpu_count() or 1) // self.local_workers)

    def map(self, task: Callable[[Any], Any], payloads: Sequence[Any]) -> Iterator[Any]:
        """Results as they come, in any order. A payload whose worker dies gives none: the caller sees what is missing.

        Args:
            task: importable by its name on the workers; catches what it raises.
            payloads: picklable.

        Raises:
            ConfigError: if the scheduler does not answer.
        """
        if not payloads:
            return
        if self.backend == "sequential":
            yield from map(task, payloads)
            return
        with self._context() as workers, contextlib.suppress(TerminatedWorkerError):
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)
            yield from parallel(joblib.delayed(task)(payload) for payload in payloads)

    @contextlib.contextmanager
    def _context(self) -> Iterator[int]:
        if self.backend == "loky":
            with joblib.parallel_config(backend="loky", inner_max_num_threads=self.threads()):
                yield self.local_workers
            return
        from distributed import Client

        try:
            client = Client(self.scheduler, timeout="10s")
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"scheduler must be the address of a Dask scheduler that answers, got {self.scheduler} "
                f"({type(error).__name__}). Start it: dask scheduler."
            ) from error
        with client, joblib.parallel_config(backend="dask", wait_for_workers_timeout=60):
            yield self.workers or sum(client.nthreads().values()) or 1
