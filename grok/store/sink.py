"""A monitor's rows and events in an MLflow run: in batches, off the thread that trains."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow.entities import Metric, RunTag

from grok.spec.fields import refuse

MOST = 1000
"""Metrics in one call, at most, as MLflow has it."""
EVENT = "monitor.event."
"""What a tag of an event begins with; its number follows."""
WAIT_S = 1.0
"""Seconds that a saved state waits for the store at most."""
_NUMBERING = threading.Lock()
"""So that two sinks of one run give no event the same number."""


class MlflowSink:
    """Logs each row's columns as metrics `monitor/BLOCK/COLUMN`, and each event as a tag `monitor.event.N`.

    A thread of its own talks to the store. Where the store is slower than training, the oldest rows are left out and counted,
    events never, and training does not wait. Where a run has events, N goes on after the last.

    Args:
        run_id: of a run that exists; None for the active run of mlflow.
        every: updates between the rows that are logged; a chart of a million points helps nobody.
        names: columns that are logged; None: all.
        client: of the store; None for the one that mlflow's tracking URI names.
        waiting: rows that may wait for the store.

    Attributes:
        dropped: rows left out so far.

    Raises:
        ConfigError: if there is neither a run id nor an active run, or every is below 1.
    """

    def __init__(
        self,
        run_id: str | None = None,
        *,
        every: int = 1,
        names: tuple[str, ...] | None = None,
        client: mlflow.MlflowClient | None = None,
        waiting: int = 10_000,
    ) -> None:
        active = mlflow.active_run()
        if run_id is None and active is None:
            refuse("run_id", "be given where no MLflow run is active", "none", "Start one, or name it")
        if every < 1:
            refuse("every", "be ≥ 1", every, "Raise it")
        self.run_id: str = active.info.run_id if run_id is None else run_id
        self.every, self.names = every, names
        self.client = client or mlflow.MlflowClient()
        self.dropped = 0
        self._queue: queue.Queue[list[Metric] | str | threading.Event | None] = queue.Queue(waiting)
        self._thread: threading.Thread | None = None
        self._aside: deque[str] = deque()
        self._error: Exception | None = None

    def row(self, values: Mapping[str, Any]) -> None:
        """Take an update of a block; what is not finite is left out.

        Raises:
            Exception: what the store raised for earlier rows.
        """
        if values["update"] % self.every:
            return
        now = int(time.time() * 1000)
        wanted = [n for n in values if n not in ("block", "update", "step") and (self.names is None or n in self.names)]
        metrics = [
            Metric(f"monitor/{values['block']}/{name}", float(values[name]), now, int(values["step"]))
            for name in wanted
            if math.isfinite(values[name])
        ]
        if metrics:
            self._put(metrics)

    def event(self, event: Any) -> None:
        """Take an event."""
        self._put(str(event))

    def flush(self) -> None:
        """Send what waits now, and wait for that, `WAIT_S` at most; what is not in the store by then is still on its way.

        Raises:
            Exception: what the store raised.
        """
        if self._thread is not None:
            end, sent = time.monotonic() + WAIT_S, threading.Event()
            with suppress(queue.Full):  # then the store is far behind
                self._queue.put(sent, timeout=WAIT_S)
                sent.wait(max(0.0, end - time.monotonic()))
        self._told()

    def close(self) -> None:
        """Wait until everything is in the store.

        Raises:
            Exception: what the store raised.
        """
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._told()

    def _told(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _put(self, item: list[Metric] | str) -> None:
        self._told()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="monitor-mlflow", daemon=True)
            self._thread.start()
        while True:
            try:
                return self._queue.put_nowait(item)
            except queue.Full:
                self._make_room()

    def _make_room(self) -> None:
        """Leave out the oldest row; an event that stands before it waits apart."""
        with suppress(queue.Empty):
            oldest = self._queue.get_nowait()
            if isinstance(oldest, str):
                self._aside.append(oldest)
            elif isinstance(oldest, list):
                self.dropped += 1

    def _write(self) -> None:
        """The thread: what waits is put together into calls of up to `MOST` metrics."""
        last = False
        while not last:
            items = [self._queue.get()]
            metrics: list[Metric] = list(items[0]) if isinstance(items[0], list) else []
            while len(metrics) < MOST // 2 and not _ends(items[-1]):
                try:
                    items.append(self._queue.get(timeout=0.5))
                except queue.Empty:
                    break
                if isinstance(items[-1], list):
                    metrics += items[-1]
            last = items[-1] is None
            events: list[str] = []
            while self._aside:
                events.append(self._aside.popleft())
            events += [item for item in items if isinstance(item, str)]
            if self._error is None:  # what comes after a failure is left out; the next row tells of it
                self._send(metrics, events)
            if isinstance(items[-1], threading.Event):
                items[-1].set()

    def _send(self, metrics: list[Metric], events: list[str]) -> None:
        try:
            for start in range(0, len(metrics), MOST):
                self.client.log_batch(self.run_id, metrics=metrics[start : start + MOST])
            if events:
                self._tag(events)
        except Exception as error:
            self._error = error

    def _tag(self, events: list[str]) -> None:
        """Write events under the numbers that follow those of the run's tags, whoever has written these."""
        with _NUMBERING:
            ends = (name.removeprefix(EVENT) for name in self.client.get_run(self.run_id).data.tags if name.startswith(EVENT))
            last = max((int(end) for end in ends if end.isdecimal()), default=0)
            tags = [RunTag(f"{EVENT}{number}", words) for number, words in enumerate(events, last + 1)]
            self.client.log_batch(self.run_id, tags=tags)


def _ends(item: list[Metric] | str | threading.Event | None) -> bool:
    """Whether what was collected is to be sent at once: somebody waits for it."""
    return item is None or isinstance(item, threading.Event)
