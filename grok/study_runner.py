"""Run a study: reuse what is complete, resume what stopped, train the rest on many workers, under one parent run."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from grok import runner, tracking
from grok.config import PROTOCOL_VERSION, RunConfig
from grok.fanout import Fanout
from grok.studies import Cell, Study
from grok.tracking import Store

POLL_S = 5.0
"""How often a worker looks whether the study was asked to stop."""
ROUNDS = 3
"""Times that cells whose worker died or that failed are tried in one command."""


@dataclass(frozen=True)
class Result:
    """A cell of a study after the command.

    Attributes:
        cell: condition and config. state: `complete`, `diverged`, `interrupted`, `failed` or `missing`.
        run_id: empty if no run was made. reused: whether it was complete before. error: why it failed.
    """

    cell: Cell
    state: str
    run_id: str = ""
    reused: bool = False
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether the cell needs no more training."""
        return self.state in ("complete", "diverged")


class _Prior(NamedTuple):
    """A run that is in the store before the command."""

    state: str
    run_id: str
    tags: dict[str, str]

    @property
    def done(self) -> bool:
        return self.state in ("complete", "diverged")


def open_parent(store: Store, study: Study, force: bool) -> tracking.TrackedRun:
    """The study's parent run: the one of this grid that is there, else a new one."""
    tags = {"kind": "study", "study": study.name, "grid_hash": study.hash, "protocol": PROTOCOL_VERSION}
    found = [] if force else store.find(tags)
    if found:
        tracking.point_to(store, found[0].info.run_id)
        return store.reopen(found[0].info.run_id)
    parent = store.create(f"study {study.name}", {**tags, **tracking.code_tags()})
    parent.put_json("grid.json", grid(study))
    return parent


def grid(study: Study) -> dict[str, Any]:
    """The study as plain data: every cell with its condition, config and hash."""
    cells = [
        {"condition": cell.condition, "config_hash": cell.config.hash, "config": cell.config.to_strings()}
        for cell in study.cells
    ]
    return {"name": study.name, "sentence": study.sentence, "source": study.source, "windows": study.windows, "cells": cells}


def run_study(
    study: Study, store: Store, fanout: Fanout, *, parent: tracking.TrackedRun, force: bool = False, seeds_at_once: int = 1,
    figures: runner.FigureMaker | None = None, report: Callable[[Result], None] = lambda result: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Result]:  # fmt: skip
    """Bring every cell of a study to its end.

    Args:
        study: to run. store: where to. fanout: on what. parent: its open parent run.
        force: train every cell anew, whatever is there.
        seeds_at_once: new cells that differ in their seed only are trained in lockstep groups of at most this many.
        figures: draws each run's figures; importable on the workers.
        report: told of each cell as it ends.
        should_stop: True asks the workers to save and stop; cells not begun stay out.

    Returns:
        A result per cell, in the study's order.
    """
    prior = {} if force else _prior(store)
    member_tag = f"grok.study.{study.name}"
    results: dict[str, Result] = {}
    todo: list[Cell] = []
    for cell in study.cells:
        known = prior.get(cell.config.hash)
        if known is not None and known.done:
            _keep(results, Result(cell, known.state, known.run_id, reused=True), report)
            if known.tags.get(member_tag) != cell.condition:
                store.client.set_tag(known.run_id, member_tag, cell.condition)
        else:
            todo.append(cell)
    common = {
        "uri": store.uri, "experiment_id": store.experiment_id, "parent": parent.run_id, "figures": figures,
        "threads": fanout.threads(), "parent_pid": os.getpid() if fanout.backend == "loky" else 0,
        "session": uuid.uuid4().hex, "since": time.time() if force else 0.0,
    }  # fmt: skip
    parent.set_tags({"stop": ""})
    with _StopSignal(parent, should_stop) as stop:
        for _ in range(ROUNDS):
            payloads = [common | {"cells": group} for group in _groups(todo, seeds_at_once, prior)]
            for found in fanout.map(train_cells, payloads):
                for result in found:
                    _keep(results, result, report)
                    if result.run_id:
                        store.client.set_tag(result.run_id, member_tag, result.cell.condition)
                    _progress(parent, study, results)
            todo = [cell for cell in todo if not _settled(results.get(cell.config.hash))]
            if not todo or stop.asked:
                break
            prior = _prior(store)
    for cell in todo:
        results.setdefault(cell.config.hash, Result(cell, "missing"))
    _progress(parent, study, results)
    return [results[cell.config.hash] for cell in study.cells]


def train_cells(payload: dict[str, Any]) -> list[Result]:
    """Train one lockstep group of cells in this process; what goes wrong is in the results, nothing is raised."""
    cells: list[Cell] = payload["cells"]
    if threading.current_thread() is threading.main_thread() and payload["parent_pid"]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which asks the workers to stop
    try:
        store = tracking.connect(payload["uri"], payload["experiment_id"])
        should_stop = _Poll(store, payload["parent"], payload["parent_pid"])
        if should_stop():
            return [Result(cell, "missing") for cell in cells]
        configs = [replace(cell.config, threads=payload["threads"]) for cell in cells]
        resume = [_resumable(store, config, payload) for config in configs]
        done = {cell.config.hash: found for cell, found in zip(cells, resume, strict=True) if found and found[0] == "complete"}
        if done:  # another process finished it meanwhile
            rest = [cell for cell in cells if cell.config.hash not in done]
            ready = [Result(cell, "complete", done[cell.config.hash][1], True) for cell in cells if cell.config.hash in done]
            return ready + (train_cells(payload | {"cells": rest}) if rest else [])
        outcomes = runner.train_tracked(
            configs, store, resume=[found[1] if found else None for found in resume], parent=payload["parent"],
            tags={"session": payload["session"]}, figures=payload["figures"], should_stop=should_stop,
        )  # fmt: skip
        return [Result(cell, outcome.state, outcome.run_id) for cell, outcome in zip(cells, outcomes, strict=True)]
    except Exception as error:
        return [Result(cell, "failed", error=f"{type(error).__name__}: {' '.join(str(error).split())}") for cell in cells]


def _resumable(store: Store, config: RunConfig, payload: dict[str, Any]) -> tuple[str, str] | None:
    """The run to go on with, once no living process of another command holds it."""
    while True:
        try:
            return runner.find_prior(store, config, payload["session"], payload["since"])
        except runner.BusyError:
            time.sleep(POLL_S)  # a worker of an earlier command that is on its way out


def _prior(store: Store) -> dict[str, _Prior]:
    """The best run of each identity: a finished one before any other, else the newest."""
    out: dict[str, _Prior] = {}
    for run in store.find({"kind": "train", "protocol": PROTOCOL_VERSION}):
        entry = _Prior(run.data.tags.get("grok.state", ""), run.info.run_id, run.data.tags)
        known = out.get(entry.tags["grok.config_hash"])
        if known is None or (entry.done and not known.done):
            out[entry.tags["grok.config_hash"]] = entry
    return out


def _groups(cells: Sequence[Cell], size: int, prior: dict[str, _Prior]) -> list[list[Cell]]:
    """Lockstep groups: new cells that differ in the seed only, `size` at most; a cell to be resumed goes alone."""
    groups: list[list[Cell]] = []
    open_groups: dict[str, list[Cell]] = {}
    for cell in cells:
        kind = replace(cell.config, seed=0).hash
        group = open_groups.get(kind)
        if cell.config.hash in prior:
            groups.append([cell])
        elif group is None or len(group) >= size:
            open_groups[kind] = [cell]
            groups.append(open_groups[kind])
        else:
            group.append(cell)
    return sorted(groups, key=lambda group: -len(group))


def _settled(result: Result | None) -> bool:
    return result is not None and result.done


def _keep(results: dict[str, Result], result: Result, report: Callable[[Result], None]) -> None:
    results[result.cell.config.hash] = result
    report(result)


def _progress(parent: tracking.TrackedRun, study: Study, results: dict[str, Result]) -> None:
    """Counts on the parent run, as tags: cells, done, reused, failed."""
    found = list(results.values())
    counts = {
        "cells": len(study.cells), "done": sum(r.done for r in found), "reused": sum(r.reused for r in found),
        "failed": sum(r.state == "failed" for r in found),
    }  # fmt: skip
    parent.set_tags({f"progress_{name}": str(count) for name, count in counts.items()})


class _Poll:
    """A worker's `should_stop`: the parent's stop tag, looked at now and then, or the death of the parent process."""

    def __init__(self, store: Store, parent_run: str, parent_pid: int) -> None:
        self.store, self.parent_run, self.parent_pid = store, parent_run, parent_pid
        self.stopped, self.next_look = False, 0.0

    def __call__(self) -> bool:
        if not self.stopped and time.monotonic() >= self.next_look:
            self.next_look = time.monotonic() + POLL_S
            asked = bool(self.store.get(self.parent_run).data.tags.get("grok.stop"))
            self.stopped = asked or (self.parent_pid not in (0, os.getpid()) and os.getppid() != self.parent_pid)
        return self.stopped


class _StopSignal:
    """Watches `should_stop` in the parent and puts the stop tag for the workers."""

    def __init__(self, parent: tracking.TrackedRun, should_stop: Callable[[], bool]) -> None:
        self.parent, self.should_stop = parent, should_stop
        self.asked = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _StopSignal:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.should_stop():
            self._ask()

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            if self.should_stop():
                self._ask()
                return

    def _ask(self) -> None:
        self.parent.set_tags({"stop": f"{time.time():.0f}"})
        self.asked = True
