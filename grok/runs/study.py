"""Run a study: reuse what is complete, resume what stopped, train the rest on many workers, under one parent run."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from grok.runs import stopping
from grok.runs.cells import Payload, Result, train_cells
from grok.runs.fanout import Fanout
from grok.runs.group import FigureMaker
from grok.runs.trial import check_own
from grok.spec.config import PROTOCOL_VERSION, RunConfig
from grok.spec.studies import Cell, Study, training_flops
from grok.store import lease
from grok.store.errors import brief
from grok.store.files import load_json
from grok.store.ghosts import drop_left, without_empty
from grok.store.markdown import inert
from grok.store.prior import is_sound, mend, with_files
from grok.store.provenance import code_tags
from grok.store.run import TrackedRun
from grok.store.store import Store, point_to
from grok.store.tags import (
    CLAIM,
    CONFIG_HASH,
    FORCED,
    GRID_HASH,
    KIND,
    NOTE,
    PROGRESS,
    PROTOCOL,
    STUDY_NAME,
    TRAIN,
    StoredRun,
    study_tag,
)
from grok.training.devices import check_device, resolve_device
from grok.training.parts import check_parts
from grok.training.size import check_size

LOG = logging.getLogger("grok")
BEST = 2
"""Rank of a finished run of the study: no other of its config is looked for."""
ROUNDS = 3
"""Times that cells whose worker died or that failed are tried in one command."""
OLDER = "older_runs.json"
"""Artifact of a forced study's parent: the runs of its configs that were there before."""
SEEDS_ON_GPU = 15
"""A condition of the paper; they train as one program there."""
RETRIED = "worker died, tried again"
"""What is reported of a cell that gave nothing in a round."""
LOST = f"the process that trained it died {ROUNDS} times; out of memory?"


def check(study: Study, fanout: Fanout) -> None:
    """Refuse, before any run is made, what is not there: an activation, a device, a rounding's library, a cluster.

    Raises:
        ConfigError: if so.
    """
    for config in {_named(cell.config): cell.config for cell in study.cells}.values():
        check_parts(config)
    for config in {(cell.config.device, cell.config.rounding): cell.config for cell in study.cells}.values():
        if fanout.backend != "dask":  # a cluster's workers know their devices
            check_device(config)
    for config in {replace(cell.config, seed=0): cell.config for cell in study.cells}.values():
        if fanout.backend != "dask":  # nor do we know the memory of its machines
            check_size(config)
    for config in {_named(cell.config): cell.config for cell in study.cells}.values():
        if fanout.backend != "dask":
            check_own(config)
    fanout.check()


def _named(config: RunConfig) -> tuple[object, ...]:
    """The plug-ins that a config names, and their options."""
    return config.activation, config.task, config.network, config.recorders, config.signals, config.detector, config.options


def open_parent(store: Store, study: Study, force: bool) -> TrackedRun:
    """The study's parent run: the one of this grid that is there, else a new one.

    With `force` the one that is there serves only if it is of a `force` too that has not come to its end. A forced parent
    has the ids of the runs that it passes over, `older_runs.json`.
    """
    tags = {KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash, PROTOCOL: PROTOCOL_VERSION}
    with store.lock():  # two commands at once share one parent
        found = [mend(store, run) for run in without_empty(store, store.find(tags)) if with_files(store, run)]
        if found and (not force or (found[0].forced and found[0].state != "complete")):
            point_to(store, found[0])
            parent = store.reopen(found[0])
        else:
            parent = store.create(f"study {study.name}", {**tags, **code_tags(), CLAIM: uuid.uuid4().hex})
            other = lease.one_of(store, parent, tags, force)
            if other is not None:  # of a command that began at the same moment, on a server
                parent = store.reopen(other)
            if force:
                parent.put_json(OLDER, sorted(_all_runs(study, store)))
                parent.set_tags({FORCED: "1"})  # after the file: who finds the one finds the other
    if _stored(parent, "grid.json") != json.loads(json.dumps(grid(study))):  # new, or its words or windows changed
        parent.set_tags({NOTE: f"*Running.*\n\n{inert(study.sentence)}\n\nSource: {inert(study.source)}."})
        parent.put_json("grid.json", grid(study))
    return parent


def _stored(parent: TrackedRun, name: str) -> Any:
    """What a JSON artifact of the parent run says, None if there is none."""
    if name not in parent.list_files(""):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            return load_json(parent.get_file(name, Path(folder)))
        except (ValueError, OSError) as error:  # cut short or altered: it is written anew
            LOG.warning("%s of %s is not whole (%s) and is written anew.", name, parent.run_id, brief(error, 120))
            return None


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
    parent: TrackedRun,
    force: bool = False,
    seeds_at_once: int = 1,
    figures: FigureMaker | None = None,
    report: Callable[[Result], None] = lambda result: None,
    should_stop: Callable[[], bool] = lambda: False,
    watch: str = "",
) -> list[Result]:
    """Bring every cell of a study to its end.

    Args:
        study: to run. store: where to. fanout: on what. parent: its open parent run.
        force: train every cell anew, whatever was there when the parent was made.
        seeds_at_once: new cells that differ in their seed only are trained in lockstep groups of at most this many.
        figures: draws each run's figures; importable on the workers.
        report: told of each cell as it ends.
        should_stop: True asks the workers to save and stop; cells not begun stay out.
        watch: folder into which workers of this machine note their epochs; empty for none.

    Returns:
        A result per cell, in the study's order.
    """
    session = uuid.uuid4().hex
    older = _older(study, store, parent) if force else frozenset()
    results, unsound = _reuse(study, store, older, report)
    common = Payload(
        (),
        store.uri,
        parent.stored.experiment_id,  # beside it, or the UI would not nest them
        parent.run_id,
        study_tag(study.name),
        session,
        parent_pid=os.getpid() if fanout.backend == "loky" else 0,
        threads=fanout.threads(),
        but=older | unsound,
        figures=figures,
        watch=watch if fanout.backend != "dask" else "",
    )
    _progress(parent, study, results)
    todo = [cell for cell in study.cells if cell.config.hash not in results]
    with stopping.StopSignal(parent, session, should_stop):
        for number in range(ROUNDS):  # what another command trains comes last: it may be done by then
            payloads = [replace(common, cells=tuple(group), wait=number > 0) for group in _groups(todo, seeds_at_once)]
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


def _all_runs(study: Study, store: Store) -> frozenset[str]:
    """Every run of the study's configs that is there."""
    hashes = {cell.config.hash for cell in study.cells}
    return frozenset(run.run_id for run in store.find({KIND: TRAIN}) if run.config_hash in hashes)


def _older(study: Study, store: Store, parent: TrackedRun) -> frozenset[str]:
    """The runs that a forced study passes over: those that were there before its parent run."""
    found = _stored(parent, OLDER)
    if isinstance(found, list) and all(isinstance(run_id, str) for run_id in found):
        return frozenset(found)
    began = parent.stored.start_time
    older = frozenset(run.run_id for run in store.find({KIND: TRAIN}) if run.start_time < began) & _all_runs(study, store)
    parent.put_json(OLDER, sorted(older))
    return older


def _reuse(
    study: Study, store: Store, but: Collection[str], report: Callable[[Result], None]
) -> tuple[dict[str, Result], frozenset[str]]:
    """Results of the cells that are done already, in runs other than `but`, made members of the study; and runs passed over."""
    prior, unsound = _prior(store, study, but)
    results: dict[str, Result] = {}
    for cell in study.cells:
        known = prior.get(cell.config.hash)
        if known is None:
            continue
        mend(store, known)
        results[cell.config.hash] = Result(cell, known.state, known.run_id, reused=True)
        report(results[cell.config.hash])
        if known.studies.get(study.name) != cell.condition:
            store.client.set_tag(known.run_id, study_tag(study.name), cell.condition)
    return results, unsound


def _prior(store: Store, study: Study, but: Collection[str]) -> tuple[dict[str, StoredRun], frozenset[str]]:
    """The finished run of each identity that is there, one of this study before others; and those that are not sound."""
    hashes, asked = {cell.config.hash for cell in study.cells}, {KIND: TRAIN, PROTOCOL: PROTOCOL_VERSION}

    def rank(run: StoredRun) -> int:
        return run.done + (run.done and study.name in run.studies)

    runs = store.find_among(
        asked, CONFIG_HASH, hashes, study_tag(study.name), lambda run: rank(run) == BEST and run.run_id not in but
    )
    runs = [run for run in runs if run.run_id not in but]
    out, unsound = dict[str, StoredRun](), set[str]()
    for run in sorted((run for run in runs if run.done), key=rank, reverse=True):
        if run.config_hash in out:
            continue
        if is_sound(run):
            out[run.config_hash] = run
        else:
            unsound.add(run.run_id)
    drop_left(store, (run for run in runs if run.config_hash in out))
    return out, frozenset(unsound)


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


def _progress(parent: TrackedRun, study: Study, results: dict[str, Result]) -> None:
    """Counts on the parent run, as tags: cells, done, reused, failed."""
    found = list(results.values())
    counts = {
        "cells": len(study.cells),
        "done": sum(r.done for r in found),
        "reused": sum(r.reused for r in found),
        "failed": sum(r.failed for r in found),
    }
    parent.set_tags({PROGRESS + name: str(count) for name, count in counts.items()})
