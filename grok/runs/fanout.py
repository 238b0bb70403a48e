"""The only importer of loky and dask: one function over many payloads, on local processes or a Dask cluster, through futures
either way.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

import loky
from loky.backend import resource_tracker
from loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from grok.spec.fields import ConfigError, did_you_mean

BACKENDS = ("loky", "dask", "sequential")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
FIRST_WORKER_S = 60
"""How long a scheduler may take to have its first worker."""


class ClusterLost(RuntimeError):
    """A cluster's scheduler went away in the middle: what its workers had at hand may be done or not."""


class _Place(Protocol):
    """Where one payload at a time is worked on."""

    def submit(self, task: Callable[[Any], Any], payload: Any) -> Future[Any]: ...
    def close(self, *, kill: bool) -> None: ...


@dataclass(frozen=True)
class Fanout:
    """Where the runs of a study are trained.

    Attributes:
        backend: `loky` (local processes), `dask` (a cluster) or `sequential` (this process).
        workers: processes of loky; with dask, runs under way at once (all that the cluster takes if 0).
        scheduler: address of the Dask scheduler, tcp://host:port.
        gpus: of this machine, which loky's workers are dealt one each; 0 leaves what they see as it is.
    """

    backend: str = "loky"
    workers: int = 0
    scheduler: str = ""
    gpus: int = 0

    def __post_init__(self) -> None:
        """Check the fields; raises ConfigError."""
        if self.backend not in BACKENDS:
            raise ConfigError(
                f"backend must be one of {', '.join(BACKENDS)}, got {self.backend}. {did_you_mean(self.backend, BACKENDS)}"
            )
        if self.workers < 0:
            raise ConfigError(f"workers must be a whole number ≥ 0, got {self.workers}. 0 takes one per core.")
        if (self.backend == "dask") != bool(self.scheduler):
            raise ConfigError(
                f"scheduler must be given with backend dask and only then, got {self.scheduler or 'none'} with {self.backend}. "
                "Write --backend dask --scheduler tcp://host:port."
            )

    @property
    def local_workers(self) -> int:
        """Processes on this machine: as said, else one for each core that this process may use."""
        return 1 if self.backend == "sequential" else self.workers or int(loky.cpu_count())

    def threads(self) -> int:
        """Threads for each run: all cores of a machine shared among its workers; one on a cluster's workers."""
        return 1 if self.backend == "dask" else max(1, int(loky.cpu_count()) // self.local_workers)

    def environment(self, number: int) -> dict[str, str]:
        """Variables of the local worker `number`: its threads and its GPU."""
        out = dict.fromkeys(THREAD_VARIABLES, str(self.threads()))
        if self.gpus:
            seen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.gpus)))
            out["CUDA_VISIBLE_DEVICES"] = seen.split(",")[number % self.gpus]
        return out

    def check(self) -> None:
        """Refuse, before any run is made, a cluster that does not answer or has no worker.

        Raises:
            ConfigError: if so.
        """
        if self.backend == "dask":
            with self._client() as client:
                try:
                    client.wait_for_workers(1, timeout=FIRST_WORKER_S)
                except TimeoutError as error:
                    raise ConfigError(
                        f"scheduler must have a worker, got none on {self.scheduler} in {FIRST_WORKER_S} s. "
                        f"Start one: dask worker {self.scheduler} --nthreads 1."
                    ) from error

    def map(self, task: Callable[[Any], Any], payloads: Sequence[Any]) -> Generator[Any, None, None]:
        """Results as they come, in any order. A payload whose worker dies gives none: the caller sees what is missing.

        Args:
            task: importable by its name on the workers; catches what it raises.
            payloads: picklable; begun in this order.

        Raises:
            ConfigError: if the scheduler does not answer. ClusterLost: if it goes away later.
        """
        if self.backend == "sequential":
            yield from map(task, payloads)
        elif payloads:
            with self._places(len(payloads)) as places:
                try:
                    yield from _feed(task, payloads, places)
                except CancelledError as error:  # by Dask's client, once the scheduler is gone; nobody here cancels
                    raise ClusterLost(
                        f"the Dask scheduler must be there until the last run is done, got none at {self.scheduler}. Start it "
                        "and its workers again, then repeat the command: it goes on from the last saves"
                    ) from error

    @contextlib.contextmanager
    def _places(self, most: int) -> Iterator[list[_Place]]:
        if self.backend == "dask":
            with _without_tracebacks(), self._client() as client:
                yield [_ClusterPlace(client.get_executor(pure=False))] * min(self.workers or most, most)
            return
        # A worker whose memory has grown makes room for a new one between two payloads: as meant, and nothing is lost.
        warnings.filterwarnings("ignore", "A worker (stopped|was restarted) while some jobs were given", UserWarning)
        places: list[_Place] = [_LocalPlace(self.environment(i)) for i in range(min(self.local_workers, most))]
        kill = True
        try:
            yield places
            kill = False
        finally:
            for place in places:
                place.close(kill=kill)

    def _client(self) -> Any:
        try:
            from distributed import Client

            return Client(self.scheduler, timeout="10s", set_as_default=False)
        except ImportError as error:
            raise ConfigError("backend dask must be installed, got no distributed. pip install 'dask[distributed]'.") from error
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"scheduler must be the address of a Dask scheduler that answers, got {self.scheduler} "
                f"({type(error).__name__}). Start it: dask scheduler."
            ) from error


class _LocalPlace:
    """One worker process of its own: if it dies, the work of the others goes on. A dead one is replaced at the next payload."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._env = environment
        self._pool: Any = None

    def submit(self, task: Callable[[Any], Any], payload: Any) -> Future[Any]:
        if self._pool is None:
            watch = {"initializer": _leave_with_parent, "initargs": (os.getpid(),)}
            self._pool = ProcessPoolExecutor(max_workers=1, env=self._env, **watch)
            for tracker in (resource_tracker, multiprocessing.resource_tracker):
                tracker.ensure_running()  # now: it resets the signal mask where it starts
        # A process begins with the signal mask of its parent: Ctrl-C then reaches the parent only, which asks the workers.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future: Future[Any] = self._pool.submit(_work, task, payload)
        except BrokenProcessPool:  # the worker died
            self.close(kill=True)
            return self.submit(task, payload)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return future

    def close(self, *, kill: bool) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=kill)
            self._pool = None


_idle = threading.Event()
"""In a local worker: whether it has no payload at hand."""
_idle.set()


def _work(task: Callable[[Any], Any], payload: Any) -> Any:
    _idle.clear()
    try:
        return task(payload)
    finally:
        _idle.set()


def _leave_with_parent(parent: int) -> None:
    """End this worker when its parent is gone, killed perhaps, once the task at hand has come to its end."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        _idle.wait()
        os._exit(1)  # loky's own loop would wait for a next payload for ever

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Dask's client prints one where the connection breaks; what that means for the runs is said by us."""
    logger = logging.getLogger("distributed.client")  # whose level Dask sets anew when it is imported
    logger.addFilter(_is_no_error)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_error)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


class _ClusterPlace:
    """A slot of a Dask cluster, which finds a worker for each payload, and another one if that dies."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, task: Callable[[Any], Any], payload: Any) -> Future[Any]:
        from distributed.client import ClosedClientError

        try:
            future: Future[Any] = self._executor.submit(task, payload)
        except ClosedClientError as error:
            raise CancelledError from error
        return future

    def close(self, *, kill: bool) -> None:
        """Nothing to do: the client closes with its context."""


def _feed(task: Callable[[Any], Any], payloads: Sequence[Any], places: list[_Place]) -> Iterator[Any]:
    """Results of payloads worked on by places, each one payload at a time."""
    waiting, free = deque(payloads), list(places)
    busy: dict[Future[Any], _Place] = {}
    while waiting or busy:
        while waiting and free:
            place = free.pop()
            busy[place.submit(task, waiting.popleft())] = place
        for future in wait(busy, return_when=FIRST_COMPLETED).done:
            free.append(busy.pop(future))
            if not _lost(future):
                yield future.result()


def _lost(future: Future[Any]) -> bool:
    """Whether the worker of a payload died: of loky once, of Dask as often as the scheduler allows."""
    error = None if future.cancelled() else future.exception()
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"
