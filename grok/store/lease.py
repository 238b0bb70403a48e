"""Who trains a run: one process at a time. A claim is a token in the run's tag `claim`; who finds another's there lets go."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from grok.networks._activations import activation
from grok.runs import train as runner
from grok.spec.config import RunConfig
from grok.store.prior import RESUMABLE, find_prior
from grok.store.store import Store, TakenOverError, TrackedRun, is_alive

SETTLE_S = 1.0
"""Longer than a request to a tracking server takes: two claims on one run see each other after it."""


@dataclass(frozen=True)
class Claim:
    """A run that this process may train, or one that is done.

    Attributes:
        run_id: of the run. state: `complete` or `diverged`, or `resumable`: ours to train.
        token: of the claim; empty where the run is done. made: whether the run was made for this claim.
    """

    run_id: str
    state: str
    token: str = ""
    made: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing to train."""
        return self.state != RESUMABLE


def claim(
    store: Store,
    config: RunConfig,
    *,
    session: str = "",
    but: Collection[str] = (),
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Claim:
    """Take the run of a config that is there, or make one. On a local SQLite store a lock keeps others out meanwhile.

    On a server nothing does: `settled` says afterwards which claims hold.

    Args:
        store: to look in. config: whose identity.
        session: of this command; a run that it began is taken over even if its process seems alive.
        but: runs that are passed over.
        parent: of a new run. tags: more tags, without our prefix.

    Raises:
        ConfigError: if the device is not there or the activation cannot be imported; no run was made then.
        BusyError: if a process of another session is training it now.
    """
    config, token = config.resolved(), uuid.uuid4().hex
    runner.check_device(config)
    activation(config.activation)
    marks = {**(tags or {}), "session": session, "claim": token}
    with store.lock():
        found = find_prior(store, config, session, but)
        if found is None:
            return Claim(runner.create(store, config, parent, marks).run_id, RESUMABLE, token, made=True)
        state, run_id = found
        if state != RESUMABLE:
            return Claim(run_id, state)
        store.reopen(run_id, marks)
        return Claim(run_id, state, token)


def settled(store: Store, claims: Sequence[Claim], but: Collection[str] = ()) -> list[bool]:
    """Which claims hold. Of two commands that claimed one config at once, just one is told True; the other's run goes.

    Args:
        store: of the runs. claims: of this process. but: runs that do not count as rivals.
    """
    if store.is_local or all(one.done for one in claims):
        return [True] * len(claims)
    time.sleep(SETTLE_S)
    return [one.done or _holds(store, one, but) for one in claims]


def _holds(store: Store, one: Claim, but: Collection[str]) -> bool:
    run = store.get(one.run_id)
    if run.data.tags.get("grok.claim") != one.token:
        store.let_go(one.run_id)
        return False
    if not one.made:
        return True
    identity = {name: run.data.tags[f"grok.{name}"] for name in ("kind", "config_hash", "protocol")}
    rivals = [r for r in store.find(identity) if r.info.run_id not in but and (is_alive(r) or r.info.run_id == one.run_id)]
    first = min(rivals, key=lambda r: (r.info.start_time, r.info.run_id))  # an order that every command agrees on
    if first.info.run_id == one.run_id:
        return True
    store.let_go(one.run_id)
    store.client.delete_run(one.run_id)
    return False


def check(store: Store, claims: Collection[Claim]) -> None:
    """Make sure that the runs are still this process's.

    Raises:
        TakenOverError: if another process has claimed one since: it took this one for dead.
    """
    lost = [one.run_id for one in claims if store.get(one.run_id).data.tags.get("grok.claim") != one.token]
    for run_id in lost:
        store.let_go(run_id)
    if lost:
        raise TakenOverError(lost)


def give_up(store: Store, claims: Collection[Claim], error: Exception) -> None:
    """Mark as failed the claimed runs that an error left running."""
    for one in claims:
        tags = store.get(one.run_id).data.tags
        if tags.get("grok.claim") == one.token and tags.get("grok.state") == "running":
            TrackedRun(store.client, one.run_id).end("failed", f"{type(error).__name__}: {error}")
