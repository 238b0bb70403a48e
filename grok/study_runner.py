"""Run a study: reuse what is complete, resume what stopped, train the rest on many workers, under one parent run."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from grok import existing, runner, stopping, tracking
from grok.activations import activation
from grok.config import PROTOCOL_VERSION, RunConfig
from grok.fanout import Fanout
from grok.studies import Cell, Study
from grok.tracking import Store

ROUNDS = 3
"""Times that cells whose worker died or that failed are tried in one command."""
LOST = f"the process that trained it died {ROUNDS} times; out of memory?"


@dataclass(frozen=True)
class Result:
    """A cell of a study after the command.

    Attributes:
        cell: condition and config.
        state: `complete`, `diverged`, `interrupted`, `failed` or `missing` (not begun, or its worker died).
        run_id: empty if not known. reused: whether it was complete before. error: why it failed.
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

    @property
    def failed(self) -> bool:
        """Whether it was tried and something went wrong, a stop apart."""
        return bool(self.error)


class _Prior(NamedTuple):
    """A run that is in the store before the command."""

    state: str
    run_id: str
    tags: dict[str, str]

    @property
    def done(self) -> bool:
        return self.state in ("complete", "diverged")


def check(study: Study, fanout: Fanout) -> None:
    """Refuse, before any run is made, what cannot be trained: an activation, a device or a cluster that is not there.

    Raises:
        ConfigError: if so.
    """
    for name in {cell.config.activation for cell in study.cells}:
        activation(name)
    for config in {cell.config.device: cell.config for cell in study.cells}.values():
        if fanout.backend != "dask":  # a cluster's workers know their devices
            runner.check_device(config)
    fanout.check()


def open_parent(store: Store, study: Study, force: bool) -> tracking.TrackedRun:
    """The study's parent run: the one of this grid that is there, else a new one."""
    tags = {"kind": "study", "study": study.name, "grid_hash": study.hash, "protocol": PROTOCOL_VERSION}
    found = [] if force else store.find(tags)
    if found:
        tracking.point_to(store, found[0].info.run_id)
        parent = store.reopen(found[0].info.run_id)
    else:
        parent = store.create(f"study {study.name}", {**tags, **tracking.code_tags()})
    if "grid.json" not in parent.list_files(""):
        parent.set_tags({"mlflow.note.content": f"**{study.sentence}**\n\nSource: {study.source}.\n\n*Running.*"})
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
    session = uuid.uuid4().hex
    common = {
        "uri": store.uri, "experiment_id": store.experiment_id, "parent": parent.run_id, "figures": figures,
        "threads": fanout.threads(), "parent_pid": os.getpid() if fanout.backend == "loky" else 0,
        "session": session, "since": time.time() if force else 0.0, "member_tag": _member_tag(study),
    }  # fmt: skip
    prior = {} if force else _prior(store)
    results = _reuse(study, store, prior, report)
    _progress(parent, study, results)
    todo = [cell for cell in study.cells if cell.config.hash not in results]
    with stopping.StopSignal(parent, session, should_stop):
        for _ in range(ROUNDS):
            payloads = [common | {"cells": group} for group in _groups(todo, seeds_at_once, prior)]
            for found in fanout.map(train_cells, payloads):
                for result in found:
                    before = results.get(result.cell.config.hash)
                    results[result.cell.config.hash] = result
                    if before is None or before.state != result.state:  # a retry that fails as before is no news
                        report(result)
                _progress(parent, study, results)
            todo = [cell for cell in todo if not _settled(results.get(cell.config.hash))]
            if not todo or should_stop():
                break
            prior = _prior(store)
    for cell in todo:
        results.setdefault(cell.config.hash, Result(cell, "missing", error="" if should_stop() else LOST))
    _progress(parent, study, results)
    return [results[cell.config.hash] for cell in study.cells]


def _member_tag(study: Study) -> str:
    """Tag by which a run belongs to a study; its value is the run's condition there."""
    return f"{tracking.TAG}study.{study.name}"


def _reuse(study: Study, store: Store, prior: dict[str, _Prior], report: Callable[[Result], None]) -> dict[str, Result]:
    """Results of the cells that are done already, made members of the study."""
    results: dict[str, Result] = {}
    for cell in study.cells:
        known = prior.get(cell.config.hash)
        if known is None or not known.done:
            continue
        results[cell.config.hash] = Result(cell, known.state, known.run_id, reused=True)
        report(results[cell.config.hash])
        if known.tags.get(_member_tag(study)) != cell.condition:
            store.client.set_tag(known.run_id, _member_tag(study), cell.condition)
    return results


def train_cells(payload: dict[str, Any]) -> list[Result]:
    """Train one lockstep group of cells in this process; what goes wrong is in the results, nothing is raised."""
    cells: list[Cell] = payload["cells"]
    try:
        store = tracking.connect(payload["uri"], payload["experiment_id"])
        should_stop = stopping.Poll(store, payload)
        if should_stop():
            return [Result(cell, "missing") for cell in cells]
        ready, rest = [], []
        for cell in cells:
            found = _resumable(store, cell.config, payload, should_stop)
            if found is not None and found[0] != existing.RESUMABLE:  # another process finished it meanwhile
                ready.append(_adopt(store, cell, found[1], payload["member_tag"]))
            else:
                rest.append((cell, found[1] if found else None))
        return ready + (_train(store, rest, payload, should_stop) if rest else [])
    except existing.BusyError:  # asked to stop while it waited
        return [Result(cell, "missing") for cell in cells]
    except Exception as error:
        return [Result(cell, "failed", error=f"{type(error).__name__}: {' '.join(str(error).split())}") for cell in cells]


def _train(
    store: Store, cells: list[tuple[Cell, str | None]], payload: dict[str, Any], should_stop: stopping.Poll
) -> list[Result]:
    """Train cells that differ in their seed only; each with the run to go on with, or None."""
    configs = [replace(cell.config, threads=cell.config.threads or payload["threads"]) for cell, _ in cells]
    outcomes = runner.train_tracked(
        configs, store, resume=[run_id for _, run_id in cells], parent=payload["parent"], figures=payload["figures"],
        tags={"session": payload["session"], payload["member_tag"]: cells[0][0].condition}, should_stop=should_stop,
    )  # fmt: skip
    return [Result(cell, outcome.state, outcome.run_id) for (cell, _), outcome in zip(cells, outcomes, strict=True)]


def _adopt(store: Store, cell: Cell, run_id: str, member_tag: str) -> Result:
    store.client.set_tag(run_id, member_tag, cell.condition)
    return Result(cell, store.get(run_id).data.tags["grok.state"], run_id, reused=True)


def _resumable(
    store: Store, config: RunConfig, payload: dict[str, Any], should_stop: Callable[[], bool]
) -> tuple[str, str] | None:
    """The run to go on with, once no living process of another command holds it."""
    while True:
        try:
            return existing.find_prior(store, config, payload["session"], payload["since"])
        except existing.BusyError:
            if should_stop():
                raise
            time.sleep(stopping.POLL_S)  # a worker of an earlier command that is on its way out


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
    open_groups: dict[Cell, list[Cell]] = {}
    for cell in cells:
        kind = replace(cell, config=replace(cell.config, seed=0))
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


def _progress(parent: tracking.TrackedRun, study: Study, results: dict[str, Result]) -> None:
    """Counts on the parent run, as tags: cells, done, reused, failed."""
    found = list(results.values())
    counts = {
        "cells": len(study.cells), "done": sum(r.done for r in found), "reused": sum(r.reused for r in found),
        "failed": sum(r.failed for r in found),
    }  # fmt: skip
    parent.set_tags({f"progress_{name}": str(count) for name, count in counts.items()})
