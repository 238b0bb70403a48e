"""Who trains a run: one process at a time. A lease is a token in the run's tag `claim`; who finds another's there lets go.

The picture, with what happens when two ask at once, is in `docs/leases.md`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from grok.spec.config import ResolvedConfig
from grok.store.alive import is_alive, let_go
from grok.store.errors import BusyError, TakenOverError, one_line
from grok.store.ghosts import drop_twins, take_back
from grok.store.prior import create, find_prior, flaw, named_prior, own_tags, run_config
from grok.store.run import TrackedRun
from grok.store.store import Store, hand_over
from grok.store.tags import CLAIM, CONFIG_HASH, KIND, PROJECT_ENTRY, PROTOCOL, RUNNING, SESSION, StoredRun

SETTLE_S = 1.0
"""Longer than a request to a tracking server takes: two leases on one run see each other after it."""


@dataclass(frozen=True)
class Lease:
    """A run that this process may train, or one that is done.

    Attributes:
        run: as it was when it was taken.
        token: of the lease; empty where the run is done. made: whether the run was made for this lease.
    """

    run: StoredRun
    token: str = ""
    made: bool = False

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.run_id

    @property
    def done(self) -> bool:
        """Whether there is nothing to train."""
        return not self.token


def take(
    store: Store,
    config: ResolvedConfig,
    *,
    session: str = "",
    but: Collection[str] = (),
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Lease:
    """Take the run of a config that is there, or make one. On a local SQLite store a lock keeps others out meanwhile.

    On a server nothing does: `settled` says afterwards which leases hold. Make sure first that the config can be trained here.

    Args:
        store: to look in. config: whose identity.
        session: of this command; a run that it began is taken over even if its process seems alive.
        but: runs that are passed over.
        parent: of a new run. tags: more tags, without our prefix.

    Raises:
        BusyError: if a process of another session is training it now.
    """
    token = uuid.uuid4().hex
    marks = {**(tags or {}), SESSION: session, CLAIM: token}
    with store.lock():
        found = find_prior(store, config, session, but)
        if found is None:
            return Lease(create(store, config, parent, marks).stored, token, made=True)
        if found.done:
            return Lease(found)
        return Lease(store.reopen(found, marks | own_tags(config, config.own_digests())).stored, token)


def take_named(store: Store, run_id: str, trust_code: bool = False) -> tuple[Lease, ResolvedConfig]:
    """Take the run that the user names, with its config.

    Args:
        store: that has it. run_id: of the run. trust_code: whether code that the run names may be imported.

    Raises:
        StoreError: if there is no such training run, or it cannot go on here.
        BusyError: if a process is training it now.
    """
    token = uuid.uuid4().hex
    with store.lock():
        found = named_prior(store, run_id)
        config = run_config(found, trust_code)
        return (Lease(found) if found.done else Lease(store.reopen(found, {CLAIM: token, SESSION: ""}).stored, token)), config


def make(store: Store, config: ResolvedConfig) -> Lease:
    """A new run of a config, whatever is there."""
    token = uuid.uuid4().hex
    return Lease(create(store, config, None, {SESSION: "", CLAIM: token}).stored, token)


def settled(store: Store, leases: Sequence[Lease], but: Collection[str] = ()) -> list[bool]:
    """Which leases hold. Of two commands that took one config at once, just one is told True; the other's run goes.

    Args:
        store: of the runs. leases: of this process. but: runs that do not count as rivals.
    """
    if store.is_local or all(lease.done for lease in leases):
        return [True] * len(leases)
    time.sleep(SETTLE_S)
    return [lease.done or _holds(store, lease, but) for lease in leases]


def hold_or_refuse(store: Store, lease: Lease) -> None:
    """`settled` for one lease of a command that has nothing else to do.

    Raises:
        BusyError: if another command has the run.
    """
    if not settled(store, [lease])[0]:
        raise BusyError(
            f"run must not be trained twice at once, got {lease.run.name}, which another command began at the same moment. "
            "Wait for it, or start another with --force."
        )


def _holds(store: Store, lease: Lease, but: Collection[str]) -> bool:
    if not _is_owner(store.get(lease.run_id), lease):
        let_go(lease.run_id)
        return False
    if not lease.made and lease.run.params:
        return True  # it was there before
    identity = {name: lease.run.get(name) for name in (KIND, CONFIG_HASH, PROTOCOL)}
    rivals = [run for run in store.find(identity) if run.run_id not in but]
    drop_twins(store, rivals, lease.run)
    if not lease.made:
        return True
    sound = [run for run in rivals if run.done and not flaw(run)]  # the others were passed over when this one was made
    first = _first([*sound, *(run for run in rivals if is_alive(run) or run.run_id == lease.run_id)])
    if first.run_id == lease.run_id:
        return True
    _give_way(store, lease.run, first)
    return False


def one_of(store: Store, made: TrackedRun, identity: Mapping[str, str], forced: bool = False) -> StoredRun | None:
    """Of several new runs that commands made at once on a server for one purpose, the one that stays, if it is not this one.

    Args:
        store: of the runs. made: by this process, just now, with a claim; it is deleted if it does not stay.
        identity: tags that all of them have. forced: whether it stays whatever is there.
    """
    if store.is_local:
        return None
    time.sleep(SETTLE_S)
    found = store.find(identity)
    drop_twins(store, found, made.stored)
    first = _first([run for run in found if is_alive(run) or run.run_id == made.run_id])
    if forced or first.run_id == made.run_id:
        return None
    _give_way(store, made.stored, first)
    return first


def _give_way(store: Store, run: StoredRun, first: StoredRun) -> None:
    """Take a run that this process made back: another's stays."""
    let_go(run.run_id)
    if PROJECT_ENTRY in run.tags:  # `mlflow run` made it, and will want to end it
        hand_over(store, run.run_id, first)
    else:
        take_back(store, run)


def _first(rivals: Sequence[StoredRun]) -> StoredRun:
    """An order that every command agrees on."""
    return min(rivals, key=lambda run: (run.start_time, run.run_id))


def _is_owner(run: StoredRun, lease: Lease) -> bool:
    return run.claim == lease.token


def check(store: Store, leases: Collection[Lease]) -> None:
    """Make sure that the runs are still this process's.

    Raises:
        TakenOverError: if another process has taken one since: it took this one for dead.
    """
    lost = [lease.run_id for lease in leases if not _is_owner(store.get(lease.run_id), lease)]
    for run_id in lost:
        let_go(run_id)
    if lost:
        raise TakenOverError(lost)


def give_up(store: Store, leases: Collection[Lease], error: Exception) -> None:
    """Mark as failed the leased runs that an error left running."""
    for lease in leases:
        run = store.get(lease.run_id)
        if _is_owner(run, lease) and run.state == RUNNING:
            TrackedRun(store.client, run).end("failed", f"{type(error).__name__}: {one_line(error)}")
