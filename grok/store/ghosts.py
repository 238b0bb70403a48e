"""Runs that were begun and have nothing in them: what is left where a server made a run and did not come to say so.

MLflow's client repeats a request that gets no answer, also the one that makes a run: where a server was killed, or stopped
for longer than the client waits, there are two runs then, with the tags of one. Only one of them is anybody's.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence

from mlflow.exceptions import MlflowException

from grok.store.alive import is_alive, is_this_process, let_go
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import PROGRESS, PROJECT_ENTRY, RUNNING, StoredRun

LOG = logging.getLogger("grok")


def drop_twins(store: Store, runs: Iterable[StoredRun], made: StoredRun) -> None:
    """Delete the runs that the request which made a run has made besides.

    Args:
        store: of the runs. runs: that are looked at. made: by this process, with a claim of its own.
    """
    for run in runs:
        if made.claim and run.claim == made.claim and run.run_id != made.run_id and _is_empty(run):
            _delete(store, run)


def without_empty(store: Store, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Runs of one purpose without those that a dead process began and logged nothing in, which are deleted.

    Where there are no others, the first of these stays.

    Args:
        store: of the runs. runs: training runs of one config, or parent runs of one study.
    """
    left = [run for run in runs if is_left(run)]
    if len(left) == len(runs):
        left = left[1:]
    for run in left:
        _delete(store, run)
    gone = {run.run_id for run in left}
    return [run for run in runs if run.run_id not in gone]


def drop_left(store: Store, runs: Iterable[StoredRun]) -> None:
    """Delete those of some runs, each of which another stands for, that a dead process began and logged nothing in."""
    for run in runs:
        if is_left(run):
            _delete(store, run)


def is_left(run: StoredRun) -> bool:
    """Whether a process that is dead began it and logged nothing. One that this process may be about to have is none."""
    return _is_empty(run) and not is_this_process(run) and not is_alive(run)


def _is_empty(run: StoredRun) -> bool:
    """Whether it is as it was made: params come before all else that a training run has, counts of cells in a study's."""
    logged = run.params or run.metrics or run.get(PROGRESS + "cells") or PROJECT_ENTRY in run.tags
    return run.state == RUNNING and not logged


def _delete(store: Store, run: StoredRun) -> None:
    """Delete a run that has nothing in it; end it where a server does not let us."""
    let_go(run.run_id)
    with contextlib.suppress(MlflowException, StoreError):
        take_back(store, run)
        LOG.warning("%s is taken away: it was begun, and nothing was logged in it.", run.run_id)


def take_back(store: Store, run: StoredRun) -> None:
    """Delete a run that another stands for; end it where a server does not let us, as one does whose user may only edit.

    Raises:
        MlflowException, StoreError: if neither can be done.
    """
    try:
        store.client.delete_run(run.run_id)
    except MlflowException:
        TrackedRun(store.client, run).end("failed", "nothing was logged in it: another run has the work")
