"""Signals of finished runs from the states that they left: a table `signals.parquet` beside a run's other files.

States come from checkpoints where they hold every epoch that is asked for, else from training the run again, which counts
only where it meets each checkpoint on the way bit for bit. One pass serves all signals. What is there in a signal's present
version is not computed again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import torch

from grok.networks.base import Stack
from grok.recorders._battery import (
    COSTLY,
    MEMORISED,
    TABLE,
    VERSIONS,
    Battery,
    of_history,
    put_weights,
    usable,
    versions_table,
    whole,
)
from grok.recorders._needs import run_needs
from grok.recorders._stored import flaw_of_scores
from grok.recorders.base import File
from grok.recorders.history import STEPS
from grok.runs.finished import Finished, untrained
from grok.runs.measure import OF_ONE_RUN, why
from grok.runs.saving import get, put
from grok.signals.base import Signal
from grok.spec.artifacts import HISTORY
from grok.spec.fields import ConfigError
from grok.spec.plugins import SIGNALS
from grok.store.errors import StoreError, brief, one_line
from grok.store.files import CheckpointError
from grok.store.store import Store, connect
from grok.store.tags import StoredRun
from grok.training.loop import Training
from grok.training.memory import keep_freed_memory
from grok.training.parts import network_of, task_of


def states(run: Finished, epochs: Sequence[int]) -> Iterator[tuple[int, Stack]]:
    """The network at each of some epochs, ascending, on the CPU: one object, changed in place.

    Raises:
        StoreError: if training again does not meet the stored weights.
    """
    stack, wanted = untrained(run.config), sorted(set(epochs))
    if set(wanted) <= {0, *run.epochs}:
        for epoch in wanted:
            yield epoch, stack if epoch == 0 else put_weights(stack, run.weights(epoch))
        return
    unseen = replace(
        run.config, observe_every=0, repulsion_every=0, checkpoint_epochs=(), pair_ranking="current", options="none"
    )
    least = replace(unseen, window=3, max_window=3, evaluate_every=run.config.epochs, detector="slope")  # steps are the same
    training = Training(replace(least, spectrum_methods=("gram",), recorders=(), signals=()))
    for step in training:
        here = {name: layer[0] for name, layer in training.weights.items()}
        if step.epoch in run.epochs:
            stored = run.weights(step.epoch)
            if not all(torch.equal(here[name].cpu(), stored[name]) for name in stored):
                raise StoreError(
                    f"replay must meet the stored weights, got other bits at epoch {step.epoch} of {run.tracked.run_id}. "
                    f"Ask for checkpoint epochs only: {','.join(map(str, run.epochs))}."
                )
        if step.epoch in wanted:
            yield step.epoch, put_weights(stack, {name: layer.cpu() for name, layer in here.items()})
        if step.epoch >= wanted[-1]:
            return


def compute(run: Finished, signals: Mapping[str, Signal], epochs: Sequence[int], costly_every: int = 1) -> pd.DataFrame:
    """Signals at some epochs, every variant of each: columns epoch, signal, variant, value; NaN where it is not known.

    Signals of a history are given at every epoch: they cost nothing.

    Args:
        run: a finished run. signals: by name. epochs: ascending, none beyond the run's last.
        costly_every: of these epochs every so many for signals of cadence `checkpoint`, beginning with the first.
    """
    (table,) = _tables(run, [Part(signals, epochs, costly_every)])
    return table


class Part(NamedTuple):
    """Signals by name at some epochs, in one order of their own; `costly_every` as of `compute`."""

    signals: Mapping[str, Signal]
    epochs: Sequence[int]
    costly_every: int = 1


def _tables(run: Finished, parts: Sequence[Part]) -> list[pd.DataFrame]:
    """What `compute` gives of each part, from one pass over the run."""
    keep_freed_memory()
    config, history, network = run.config, _history(run), network_of(run.config)
    batteries = [Battery(config, network, task_of(config), one.signals, one.costly_every) for one in parts]
    wanted = [set(one.epochs) if battery.signals else set() for one, battery in zip(parts, batteries, strict=True)]
    learnt = np.maximum.accumulate(np.nan_to_num(history["accuracy/train"].to_numpy(dtype=np.float64))) >= MEMORISED
    for epoch, stack in states(run, sorted(set().union(*wanted))) if any(wanted) else ():
        here = {name: layer[0] for name, layer in stack.layers.items()}
        for battery, its in zip(batteries, wanted, strict=True):
            if epoch in its:
                battery.see(epoch, here, memorised=bool(learnt[epoch]))
    banded = any("band" in signal.needs for one in parts for signal in one.signals.values())
    band, needs = run.band()[network.layers[0]] if banded else None, run_needs(config)
    return [
        whole([battery.table(), of_history(one.signals, history, network.layers[0], band, needs)])
        for one, battery in zip(parts, batteries, strict=True)
    ]


def _history(run: Finished) -> pd.DataFrame:
    """A row per epoch, whether it was evaluated or not."""
    path = HISTORY if run.config.evaluate_every == 1 else STEPS
    table = cast(pd.DataFrame, get(run.tracked, path).content)
    flaw = flaw_of_scores(table) if run.complete and path == HISTORY else ""
    if flaw or "accuracy/train" not in table or any(table[name].dtype.kind not in "iuf" for name in table):
        rule = flaw or "columns of numbers, accuracy/train among them"
        raise StoreError(f"{path} must have {rule}, got others in {run.tracked.run_id}. Delete it and train anew.")
    return table


def signals_of_run(
    store: Store,
    stored: StoredRun,
    names: Sequence[str] = SIGNALS.names,
    epochs: Sequence[int] = (),
    *,
    costly_every: int = 1,
    force: bool = False,
    trust_code: bool = False,
) -> int:
    """Put signals of a finished run into its `signals.parquet`; what is there already stays.

    A signal that lacks an epoch is computed at those that are asked for, as if nothing were there: some read the values
    before, and a costly one is due at every so many of these. Its values at other epochs stay as they are, or, of an older
    version, are computed anew in an order of their own. At an epoch of both the longer series keeps its value, with `force`
    the one that is asked for.

    Args:
        store: that holds it. stored: a training run that is done. names: of signals; those that it cannot feed are left out.
        epochs: at which; none means epoch 0 and the checkpoints, which need no training.
        costly_every: as of `compute`. force: compute anew what is there.
        trust_code: whether code of a user's own that the run names may be imported.

    Returns:
        How many signals were computed.

    Raises:
        ConfigError: if a signal is not there or an epoch is beyond the run. StoreError: if the run is not done or lacks a file.
    """
    run = Finished.of(store, stored, trust_code)
    wanted = sorted({0, *run.epochs} if not epochs else set(epochs))
    last = len(_history(run)) - 1
    if not wanted or wanted[0] < 0 or wanted[-1] > last:
        raise ConfigError(
            f"epochs must be whole numbers in [0, {last}] of run {stored.run_id}, got {epochs}. Leave out others."
        )
    signals = usable(run.config, names)
    table, versions = _stored(run)
    stale = {name for name, signal in signals.items() if force or versions.get(name) != signal.version}
    own = {str(name): tuple(sorted({int(epoch) for epoch in rows})) for name, rows in table.groupby("signal")["epoch"]}
    missing, again = dict[str, Signal](), dict[tuple[int, ...], dict[str, Signal]]()  # at epochs asked for; at those of before
    longer, count = set[str](), 0
    for name, signal in signals.items():
        asked, there = wanted[:: costly_every if signal.cadence == COSTLY else 1], own.get(name, ())
        lacking = not set(asked) <= set(there)
        if not lacking and name not in stale:
            continue
        count += 1
        if force or len(asked) >= len(there) or not signal.per_epoch:
            longer.add(name)
        if lacking or name in longer:
            missing[name] = signal
        if name in stale and signal.per_epoch and not set(there) <= set(asked):
            again.setdefault(there, {})[name] = signal
    if count:
        parts = [Part(missing, wanted, costly_every), *(Part(few, at) for at, few in again.items())]
        try:
            fresh, *renewed = _tables(run, parts)
        except StoreError as error:
            if not again or not set(wanted) <= {0, *run.epochs}:
                raise
            missing = missing | {name: one for few in again.values() for name, one in few.items()}
            stale = {name for name in stale if versions.get(name) != signals[name].version}
            print(
                f"{one_line(error)} These are computed; values at other epochs stay, or, of an older version, are left out.",
                file=sys.stderr,
            )
            (fresh,), renewed, longer = _tables(run, [Part(missing, wanted, costly_every)]), [], set(missing)
        first = fresh["signal"].isin(longer)
        tables = [fresh[first], table[~table["signal"].isin(stale)], *renewed, fresh[~first]]
        versions |= {name: signal.version for name, signal in signals.items() if name in stale}
        put(run.tracked, File(TABLE, _first_of_each(tables)))
        put(run.tracked, File(VERSIONS, versions_table(versions)))  # last: what is stopped between them is computed anew
    return count


def _first_of_each(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Parts of a table as one; of values of the same epoch that of the earlier part."""
    return whole([pd.concat([part for part in parts if len(part)]).drop_duplicates(["epoch", "signal", "variant"])])


def _stored(run: Finished) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table that is there and the versions of its signals; empty without one, and where it is not whole: it follows from
    the run's other files, and its place is taken by what is computed.
    """
    blank = pd.DataFrame({"epoch": [], "signal": [], "variant": [], "value": []})
    if not {TABLE, VERSIONS} <= set(run.tracked.list_files("")):
        return blank, {}
    try:
        table = cast(pd.DataFrame, get(run.tracked, TABLE).content)
        known = cast(pd.DataFrame, get(run.tracked, VERSIONS).content)
        numbers = all(table[name].dtype.kind in "iuf" for name in ("epoch", "value"))
        versions = {str(name): int(version) for name, version in zip(known["signal"], known["version"], strict=True)}
        if not numbers or set(table) != set(blank) or not (table["epoch"] % 1 == 0).all():
            raise ValueError("other columns than a table of signals has")
    except (CheckpointError, LookupError, ValueError, TypeError) as error:
        told = f"{TABLE} and {VERSIONS} must be whole, got others in {run.tracked.run_id} ({brief(error, 120)})"
        print(f"{told}. What is asked for is computed anew.", file=sys.stderr)
        return blank, {}
    return table, versions


def task(payload: tuple[str, str, str, tuple[str, ...], tuple[int, ...], int, bool, bool]) -> tuple[str, int, str]:
    """One run on a worker, of (address and experiment of the store, run id, signals, epochs, costly_every, force, trust_code).

    Returns:
        The run id, how many signals were computed, and what went wrong, empty if nothing did.
    """
    address, experiment, run_id, names, epochs, costly_every, force, trust_code = payload
    try:
        store = connect(address, experiment)
        how = {"force": force, "trust_code": trust_code}
        return run_id, signals_of_run(store, store.get(run_id), names, epochs, costly_every=costly_every, **how), ""
    except OF_ONE_RUN as error:
        return run_id, 0, why(error)
