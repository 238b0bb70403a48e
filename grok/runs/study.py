"""Run a study: reuse what is complete, resume what stopped, train the rest on many workers, under one parent run."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from grok.networks._activations import activation
from grok.runs import stopping
from grok.runs import train as runner
from grok.runs.fanout import Fanout
from grok.spec.config import PROTOCOL_VERSION
from grok.spec.studies import Cell, Study, training_flops
from grok.store import lease as run_claims
from grok.store import prior as existing
from grok.store import store as tracking
from grok.store.store import Store
from grok.store.tags import PREFIX
from grok.training.loop import resolve_device

ROUNDS = 3
"""Times that cells whose worker died or that failed are tried in one command."""
OLDER = "older_runs.json"
"""Artifact of a forced study's parent: the runs of its configs that were there before."""
SEEDS_ON_GPU = 15
"""A condition of the paper; they train as one program there."""
RETRIED = "worker died, tried again"
"""What is reported of a cell that gave nothing in a round."""
LOST = f"the process that trained it died {ROUNDS} times; out of memory?"


@dataclass(frozen=True)
class Result:
    """A cell of a study after the command.

    Attributes:
        cell: condition and config.
        state: `complete`, `diverged`, `interrupted`, `failed`, `busy` (another command trains it) or `missing` (not begun, or
            its worker died).
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


_Held = tuple[Cell, run_claims.Claim]
"""A cell and the run that this process has claimed for it."""


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
    """The study's parent run: the one of this grid that is there, else a new one.

    With `force` the one that is there serves only if it is of a `force` too that has not come to its end. A forced parent
    has the ids of the runs that it passes over, `older_runs.json`.
    """
    tags = {"kind": "study", "study": study.name, "grid_hash": study.hash, "protocol": PROTOCOL_VERSION}
    with store.lock():  # two commands at once share one parent
        found = store.find(tags)
        if found and (not force or _is_unfinished_force(found[0].data.tags)):
            tracking.point_to(store, found[0].info.run_id)
            parent = store.reopen(found[0].info.run_id)
        else:
            parent = store.create(f"study {study.name}", {**tags, **tracking.code_tags()})
            if force:
                parent.put_json(OLDER, sorted(_all_runs(study, store)))
                parent.set_tags({"forced": "1"})  # after the file: who finds the one finds the other
    if _stored(parent, "grid.json") != json.loads(json.dumps(grid(study))):  # new, or its words or windows changed
        parent.set_tags({"mlflow.note.content": f"**{study.sentence}**\n\nSource: {study.source}.\n\n*Running.*"})
        parent.put_json("grid.json", grid(study))
    return parent


def _is_unfinished_force(tags: dict[str, str]) -> bool:
    return tags.get("grok.forced") == "1" and tags.get("grok.state") != "complete"


def _stored(parent: tracking.TrackedRun, name: str) -> Any:
    """What a JSON artifact of the parent run says, None if there is none."""
    if name not in parent.list_files(""):
        return None
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(parent.get_file(name, Path(folder)).read_text(encoding="utf-8"))


def fit(study: Study, fanout: Fanout, seeds_at_once: int) -> tuple[Fanout, int]:
    """Workers and lockstep seeds for this machine, where they are 0: with GPUs one worker each and 15 seeds, else 1 seed.

    Args:
        study: whose cells say which device they are for.
        fanout: with `workers` as asked for. seeds_at_once: as asked for.
    """
    devices = {cell.config.device for cell in study.cells}
    uses = fanout.backend != "dask" and any(resolve_device(device).type == "cuda" for device in devices)
    gpus = torch.cuda.device_count() if uses else 0
    if fanout.backend == "loky" and gpus:
        named = any(":" in device for device in devices)  # cuda:1 is to stay what it is
        fanout = replace(fanout, workers=fanout.workers or gpus, gpus=0 if named else gpus)
    return fanout, seeds_at_once or (SEEDS_ON_GPU if gpus else 1)


def grid(study: Study) -> dict[str, Any]:
    """The study as plain data: every cell with its condition, config and hash."""
    cells = [
        {"condition": cell.condition, "config_hash": cell.config.hash, "config": cell.config.to_strings()}
        for cell in study.cells
    ]
    return {"name": study.name, "sentence": study.sentence, "source": study.source, "windows": study.windows, "cells": cells}


def run_study(
    study: Study,
    store: Store,
    fanout: Fanout,
    *,
    parent: tracking.TrackedRun,
    force: bool = False,
    seeds_at_once: int = 1,
    figures: runner.FigureMaker | None = None,
    report: Callable[[Result], None] = lambda result: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Result]:
    """Bring every cell of a study to its end.

    Args:
        study: to run. store: where to. fanout: on what. parent: its open parent run.
        force: train every cell anew, whatever was there when the parent was made.
        seeds_at_once: new cells that differ in their seed only are trained in lockstep groups of at most this many.
        figures: draws each run's figures; importable on the workers.
        report: told of each cell as it ends.
        should_stop: True asks the workers to save and stop; cells not begun stay out.

    Returns:
        A result per cell, in the study's order.
    """
    session = uuid.uuid4().hex
    older: frozenset[str] = frozenset(_stored(parent, OLDER) or ()) if force else frozenset()
    common = {
        "uri": store.uri,
        "experiment_id": store.experiment_id,
        "parent": parent.run_id,
        "figures": figures,
        "threads": fanout.threads(),
        "parent_pid": os.getpid() if fanout.backend == "loky" else 0,
        "session": session,
        "but": older,
        "member_tag": _member_tag(study),
    }
    results = _reuse(study, store, older, report)
    _progress(parent, study, results)
    todo = [cell for cell in study.cells if cell.config.hash not in results]
    with stopping.StopSignal(parent, session, should_stop):
        for number in range(ROUNDS):  # what another command trains comes last: it may be done by then
            payloads = [common | {"cells": group, "wait": number > 0} for group in _groups(todo, seeds_at_once)]
            heard: set[str] = set()
            for found in fanout.map(train_cells, payloads):
                for result in found:
                    heard.add(result.cell.config.hash)
                    before = results.get(result.cell.config.hash)
                    results[result.cell.config.hash] = result
                    if before is None or before.state != result.state:  # a retry that fails as before is no news
                        report(result)
                _progress(parent, study, results)
            todo = [cell for cell in todo if not _settled(results.get(cell.config.hash))]
            if not todo or should_stop():
                break
            for cell in todo if number + 1 < ROUNDS else ():
                if cell.config.hash not in heard:
                    report(Result(cell, RETRIED))
    for cell in todo:
        results.setdefault(cell.config.hash, Result(cell, "missing", error="" if should_stop() else LOST))
    _progress(parent, study, results)
    return [results[cell.config.hash] for cell in study.cells]


def _member_tag(study: Study) -> str:
    """Tag by which a run belongs to a study; its value is the run's condition there."""
    return f"{PREFIX}study.{study.name}"


def _all_runs(study: Study, store: Store) -> frozenset[str]:
    """Every run of the study's configs that is there."""
    hashes = {cell.config.hash for cell in study.cells}
    return frozenset(r.info.run_id for r in store.find({"kind": "train"}) if r.data.tags["grok.config_hash"] in hashes)


def _reuse(study: Study, store: Store, but: Collection[str], report: Callable[[Result], None]) -> dict[str, Result]:
    """Results of the cells that are done already, in runs other than `but`, made members of the study."""
    prior = _prior(store, but)
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
    left: list[Cell] = payload["cells"]
    results: list[Result] = []
    try:
        store = tracking.connect(payload["uri"], payload["experiment_id"])
        should_stop = stopping.Poll(store, payload)
        while left and not should_stop():
            held, left = _claim(store, left, payload)
            results += [_adopt(store, cell, one.run_id, payload["member_tag"]) for cell, one in held if one.done]
            groups = _lockstep(store, [(cell, one) for cell, one in held if not one.done], payload["threads"])
            for (_, threads), group in groups.items():
                results += _train(store, group, threads, payload, should_stop)
            if left and not payload["wait"]:
                break
            if left:
                time.sleep(stopping.POLL_S)  # a worker of another command has them
        return results + [Result(cell, "missing" if should_stop() else "busy") for cell in left]
    except Exception as error:
        known = {result.cell.config.hash for result in results}
        return results + [_failed(cell, error) for cell in payload["cells"] if cell.config.hash not in known]


def _failed(cell: Cell, error: Exception) -> Result:
    return Result(cell, "failed", error=f"{type(error).__name__}: {' '.join(str(error).split())}")


def _claim(store: Store, cells: list[Cell], payload: dict[str, Any]) -> tuple[list[_Held], list[Cell]]:
    """The cells that are this process's to train, or done, with their runs; and those that another process trains now."""
    held: list[_Held] = []
    tags = {payload["member_tag"]: cells[0].condition}
    for cell in cells:
        with contextlib.suppress(existing.BusyError):
            one = run_claims.claim(
                store, cell.config, session=payload["session"], but=payload["but"], parent=payload["parent"], tags=tags
            )
            held.append((cell, one))
    holds = run_claims.settled(store, [one for _, one in held], payload["but"])
    held = [pair for pair, ours in zip(held, holds, strict=True) if ours]
    ours = {cell.config.hash for cell, _ in held}
    return held, [cell for cell in cells if cell.config.hash not in ours]


def _lockstep(store: Store, held: list[_Held], threads: int) -> dict[tuple[tuple[str, ...], int], list[_Held]]:
    """Claimed cells by what must be the same to go on together: the saved epochs of their runs, and their threads.

    A run that was begun keeps its threads: the same bits need the same ones. `threads` is for the others.
    """
    groups: dict[tuple[tuple[str, ...], int], list[_Held]] = {}
    for cell, one in held:
        saved: tuple[str, ...] = ()
        own = cell.config.threads or threads
        if not one.made:
            saved = tuple(tracking.TrackedRun(store.client, one.run_id).list_files("resume"))
            known = store.get(one.run_id).data.tags.get("grok.threads", "")
            own = cell.config.threads or (int(known) if known.isdigit() else threads)
        groups.setdefault((saved, own), []).append((cell, one))
    return groups


def _train(store: Store, held: list[_Held], threads: int, payload: dict[str, Any], should_stop: stopping.Poll) -> list[Result]:
    """Train claimed cells that differ in their seed only."""
    cells, should_stop.held = [cell for cell, _ in held], [one for _, one in held]
    configs = [replace(cell.config, threads=threads) for cell in cells]
    try:
        outcomes = runner.train_tracked(
            configs,
            store,
            resume=[one.run_id for _, one in held],
            parent=payload["parent"],
            figures=payload["figures"],
            should_stop=should_stop,
            confirm=should_stop.confirm,
        )
        return [Result(cell, outcome.state, outcome.run_id) for cell, outcome in zip(cells, outcomes, strict=True)]
    except tracking.TakenOverError:
        return [Result(cell, "busy") for cell in cells]
    except Exception as error:
        run_claims.give_up(store, should_stop.held, error)
        return [_failed(cell, error) for cell in cells]
    finally:
        should_stop.held = ()


def _adopt(store: Store, cell: Cell, run_id: str, member_tag: str) -> Result:
    store.client.set_tag(run_id, member_tag, cell.condition)
    return Result(cell, store.get(run_id).data.tags["grok.state"], run_id, reused=True)


def _prior(store: Store, but: Collection[str]) -> dict[str, _Prior]:
    """The best run of each identity: a finished one before any other, else the newest."""
    out: dict[str, _Prior] = {}
    for run in store.find({"kind": "train", "protocol": PROTOCOL_VERSION}):
        entry = _Prior(run.data.tags.get("grok.state", ""), run.info.run_id, run.data.tags)
        if entry.run_id in but:
            continue
        known = out.get(entry.tags["grok.config_hash"])
        if known is None or (entry.done and not known.done):
            out[entry.tags["grok.config_hash"]] = entry
    return out


def _groups(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Lockstep groups: cells that differ in the seed only, `size` at most; those that take longest first."""
    groups: list[list[Cell]] = []
    open_groups: dict[Cell, list[Cell]] = {}
    for cell in cells:
        kind = replace(cell, config=replace(cell.config, seed=0))
        group = open_groups.get(kind)
        if group is None or len(group) >= size:
            open_groups[kind] = [cell]
            groups.append(open_groups[kind])
        else:
            group.append(cell)
    return sorted(groups, key=lambda group: -sum(training_flops(cell.config) for cell in group))


def _settled(result: Result | None) -> bool:
    return result is not None and result.done


def _progress(parent: tracking.TrackedRun, study: Study, results: dict[str, Result]) -> None:
    """Counts on the parent run, as tags: cells, done, reused, failed."""
    found = list(results.values())
    counts = {
        "cells": len(study.cells),
        "done": sum(r.done for r in found),
        "reused": sum(r.reused for r in found),
        "failed": sum(r.failed for r in found),
    }
    parent.set_tags({f"progress_{name}": str(count) for name, count in counts.items()})
