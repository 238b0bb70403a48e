"""A worker of a study: take the cells of a payload, train them in lockstep, tell how each ended. Nothing is raised."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from grok.runs import stopping, train
from grok.runs.group import FigureMaker
from grok.runs.watch import Watch
from grok.spec.studies import Cell
from grok.store import lease
from grok.store.errors import BusyError, TakenOverError, one_line
from grok.store.lease import Lease
from grok.store.prior import with_threads_of
from grok.store.run import TrackedRun
from grok.store.store import Store, connect
from grok.store.tags import DONE


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
        return self.state in DONE

    @property
    def failed(self) -> bool:
        """Whether it was tried and something went wrong, a stop apart."""
        return bool(self.error)


@dataclass(frozen=True)
class Payload:
    """What a worker, on whatever machine, is sent.

    Attributes:
        cells: that differ in their seed only. uri, experiment_id: of the store.
        parent: id of the study's run. member_tag: by which a run belongs to the study.
        session: of the command. parent_pid: of its process, where the worker is to end with it; 0 elsewhere.
        threads: of a run that is new and whose config names none.
        but: ids of runs that are passed over.
        figures: draws each run's figures.
        wait: whether to wait for cells that another command trains.
        watch: folder of this machine to note epochs in; empty for none.
    """

    cells: tuple[Cell, ...]
    uri: str
    experiment_id: str
    parent: str
    member_tag: str
    session: str
    parent_pid: int = 0
    threads: int = 1
    but: frozenset[str] = frozenset()
    figures: FigureMaker | None = None
    wait: bool = False
    watch: str = ""


_Held = tuple[Cell, Lease]
"""A cell and the run that this process has taken for it."""


def train_cells(payload: Payload) -> list[Result]:
    """Train one lockstep group of cells in this process; what goes wrong is in the results, nothing is raised."""
    left: Sequence[Cell] = payload.cells
    results: list[Result] = []
    try:
        store = connect(payload.uri, payload.experiment_id)
        should_stop = stopping.Poll(store, payload.parent, payload.session, payload.parent_pid)
        while left and not should_stop():
            held, left = _take(store, left, payload)
            results += [_adopt(store, cell, one, payload.member_tag) for cell, one in held if one.done]
            groups = _lockstep(store, [(cell, one) for cell, one in held if not one.done], payload.threads)
            for (_, threads), group in groups.items():
                results += _train(store, group, threads, payload, should_stop)
            if left and not payload.wait:
                break
            if left:
                time.sleep(stopping.POLL_S)  # a worker of another command has them
        return results + [Result(cell, "missing" if should_stop() else "busy") for cell in left]
    except Exception as error:
        known = {result.cell.config.hash for result in results}
        return results + [_failed(cell, error) for cell in payload.cells if cell.config.hash not in known]


def _failed(cell: Cell, error: Exception) -> Result:
    return Result(cell, "failed", error=f"{type(error).__name__}: {one_line(error)}")


def _take(store: Store, cells: Sequence[Cell], payload: Payload) -> tuple[list[_Held], list[Cell]]:
    """The cells that are this process's to train, or done, with their runs; and those that another process trains now."""
    held: list[_Held] = []
    tags = {payload.member_tag: cells[0].condition}
    train.check_trainable(cells[0].config, len(cells))  # before a run is made
    for cell in cells:
        with contextlib.suppress(BusyError):
            one = lease.take(store, cell.config, session=payload.session, but=payload.but, parent=payload.parent, tags=tags)
            held.append((cell, one))
    holds = lease.settled(store, [one for _, one in held], payload.but)
    held = [pair for pair, ours in zip(held, holds, strict=True) if ours]
    ours = {cell.config.hash for cell, _ in held}
    return held, [cell for cell in cells if cell.config.hash not in ours]


def _lockstep(store: Store, held: Collection[_Held], threads: int) -> dict[tuple[tuple[str, ...], int], list[_Held]]:
    """Taken cells by what must be the same to go on together: the saved epochs of their runs, and their threads.

    A run that was begun keeps its threads, and so does one of a named rounding. `threads` is for the others.
    """
    groups: dict[tuple[tuple[str, ...], int], list[_Held]] = {}
    for cell, one in held:
        saved = () if one.made else tuple(TrackedRun(store.client, one.run).list_files("resume"))
        own = cell.config.pinned_threads or with_threads_of(one.run, cell.config).threads or threads
        groups.setdefault((saved, own), []).append((cell, one))
    return groups


def _train(store: Store, held: list[_Held], threads: int, payload: Payload, should_stop: stopping.Poll) -> list[Result]:
    """Train taken cells that differ in their seed only."""
    cells, should_stop.held = [cell for cell, _ in held], [one for _, one in held]
    configs = [replace(cell.config, threads=threads) for cell in cells]
    try:
        outcomes = train.train_tracked(
            configs,
            store,
            resume=[one.run for _, one in held],
            parent=payload.parent,
            figures=payload.figures,
            progress=Watch(payload.watch, [config.hash for config in configs]),
            should_stop=should_stop,
            confirm=should_stop.confirm,
        )
        return [Result(cell, outcome.state, outcome.run_id) for cell, outcome in zip(cells, outcomes, strict=True)]
    except TakenOverError:
        return [Result(cell, "busy") for cell in cells]
    except Exception as error:
        lease.give_up(store, should_stop.held, error)
        return [_failed(cell, error) for cell in cells]
    finally:
        should_stop.held = ()


def _adopt(store: Store, cell: Cell, one: Lease, member_tag: str) -> Result:
    store.client.set_tag(one.run_id, member_tag, cell.condition)
    return Result(cell, one.run.state, one.run_id, reused=True)
