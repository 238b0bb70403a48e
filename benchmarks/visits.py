"""Calls to the tracking store by one study cell's trip and by `train` asked again: `python -m benchmarks.visits`.

Each part on a throw-away store: every call of a method of `MlflowClient` counts, those that another of its methods makes
apart, as on a server, where each is at least one request. What a worker asks every few seconds is counted once.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import math
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow

from benchmarks import record
from grok.runs import stopping
from grok.runs import study as study_runs
from grok.runs.cells import Payload, train_cells
from grok.spec.config import RunConfig
from grok.spec.studies import Cell, Study
from grok.store import glance
from grok.store.store import Store, open_store
from grok.store.tags import study_tag

CONFIG = RunConfig(modulus=11, width=32, epochs=64, top_pairs=20, max_window=24, window=6, threads=1, device="cpu")
"""Trains in a second."""


@contextlib.contextmanager
def counted() -> Iterator[Counter[str]]:
    """Calls of the client's methods while inside, by name, of all threads."""
    calls: Counter[str] = Counter()
    inside = threading.local()

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **named: Any) -> Any:
            if getattr(inside, "busy", False):
                return method(*args, **named)
            calls[name] += 1
            inside.busy = True
            try:
                return method(*args, **named)
            finally:
                inside.busy = False

        return call

    client = mlflow.MlflowClient
    methods = {name: method for name, method in vars(client).items() if callable(method) and not name.startswith("_")}
    for name, method in methods.items():
        setattr(client, name, counting(name, method))
    look = glance.find
    glance.find = lambda *given, **named: None  # as on a server: a local database is read without the client
    try:
        yield calls
    finally:
        glance.find = look
        for name, method in methods.items():
            setattr(client, name, method)


@contextlib.contextmanager
def once_each() -> Iterator[None]:
    """A worker looks at the clock for when to ask again: inside, it asks once, however slow the machine."""
    kept = stopping.POLL_S, stopping.LEASE_S
    stopping.POLL_S = stopping.LEASE_S = math.inf
    try:
        yield
    finally:
        stopping.POLL_S, stopping.LEASE_S = kept


def cell_visits(store: Store, config: RunConfig = CONFIG) -> tuple[Counter[str], Counter[str]]:
    """Calls of a new cell's trip through a worker, and of the same cell when its run is done."""
    cell = Cell("grok", config.resolved())
    named = Study("visits", "How often is the store asked?", "ours", (cell,))
    parent = study_runs.open_parent(store, named, force=False)
    payload = Payload((cell,), store.uri, store.experiment_id, parent.run_id, study_tag(named.name), "session")
    out = []
    for _ in range(2):
        with once_each(), counted() as calls:
            (result,) = train_cells(payload)
        if not result.done:
            raise RuntimeError(f"the cell must be done, got {result.error or result.state}.")
        out.append(calls)
    return out[0], out[1]


def train_visits(config: RunConfig = CONFIG) -> Counter[str]:
    """Calls of the train command for a config whose run is done, in the store that the environment names."""
    from entry_points import train

    words = [word for name, text in config.to_strings().items() for word in (f"--{name.replace('_', '-')}", text)]
    with contextlib.redirect_stdout(io.StringIO()):
        train.main(words)
        with counted() as calls:
            train.main(words)
    return calls


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    record.json_flag(parser)
    flags = parser.parse_args()
    about = record.environment(record.spelt("benchmarks.visits"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        new, done = cell_visits(open_store())
        parts = {"new cell": new, "cell that is done": done, "train asked again": train_visits()}
    for part, calls in parts.items():
        print(f"{part}: {calls.total()} calls: {', '.join(f'{name} {n}' for name, n in sorted(calls.items()))}")
    if flags.json:
        record.write(flags.json, about, [{"part": part, "calls": calls.total()} | calls for part, calls in parts.items()])


if __name__ == "__main__":
    main()
