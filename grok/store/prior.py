"""Runs that are there already, which of them has a config's work, and whether it is done, free or busy; and a new one."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace

from mlflow.exceptions import MlflowException

from grok.spec.config import PROTOCOL_VERSION, ResolvedConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import EVERY, own_code
from grok.store import whole
from grok.store.alive import is_alive
from grok.store.errors import AstrayError, BusyError, StoreError
from grok.store.ghosts import without_empty
from grok.store.provenance import code_tags
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import (
    CONFIG_HASH,
    HEARTBEAT,
    HOST,
    KIND,
    OWN_SOURCES,
    PROTOCOL,
    RUNNING,
    STATE,
    STATES,
    TRAIN,
    StoredRun,
    tag,
)

LOG = logging.getLogger("grok")


def find_prior(store: Store, config: ResolvedConfig, session: str = "", but: Collection[str] = ()) -> StoredRun | None:
    """The run that has this identity's work, `done` or free to go on with: the newest of its kind.

    One that is done comes before any other, then one that is being trained, then one that can go on. One whose files are not
    at a place of its own is passed over, and said so; and one whose params are not any more what it began with, or that is
    done and whose files are not what it left: no report counts it. Of those in which a dead process logged nothing one stays
    where there is no other.

    Args:
        store: to look in. config: whose identity.
        session: a run that this session began is taken over even if its process seems alive.
        but: runs that are passed over.

    Raises:
        BusyError: if none is done and a process of another session is training one now.
    """
    resumable = busy = None
    runs = without_empty(store, [run for run in store.prior(config) if run.run_id not in but])
    for run in sorted(runs, key=lambda run: not run.params):  # what has something logged in it first
        if run.done:
            if is_sound(run):
                return mend(store, run)
            continue
        try:
            free = _free(run, session)  # also behind one that can go on: one that is trained comes first
        except BusyError as error:
            busy = busy or error
            continue
        resumable = resumable or (with_files(store, free) if is_sound(free) else None)
    if busy is not None:
        raise busy
    return resumable


def named_prior(store: Store, run_id: str, session: str = "") -> StoredRun:
    """`find_prior` for one run that the user names.

    Raises:
        StoreError: if there is no such training run, or it is done and its files are not whole.
        BusyError: if a process of another session is training it now.
    """
    run = training_run(store.get(run_id))
    if run.done and (why := whole.flaw(run)):
        raise StoreError(f"run must be whole, got {run_id}: {why}. Repeat its command, which trains it anew.")
    return mend(store, run) if run.done else _free(run, session)


def flaw(run: StoredRun) -> str:
    """Why a run does not stand for its config, in words: its params are not those of its hash, its files not whole once it is
    done; empty where it does.
    """
    return run.edited or (whole.flaw(run) if run.done else "")


def is_sound(run: StoredRun) -> bool:
    """Whether a run stands for its config, as `flaw` has it; if not, that is said."""
    why = flaw(run)
    if why:
        LOG.warning("%s is passed over: %s", run.run_id, why)
    return not why


def mend(store: Store, run: StoredRun) -> StoredRun:
    """A run that is done, with whatever the process that ended it did not come to: `TrackedRun.end`."""
    if run.status == STATES[RUNNING]:
        with contextlib.suppress(AstrayError):
            TrackedRun(store.client, run).drop_states()
        if tag(HEARTBEAT) in run.tags:
            with contextlib.suppress(MlflowException):  # another command did the same at this moment
                store.client.delete_tag(run.run_id, tag(HEARTBEAT))
        store.client.set_terminated(run.run_id, status=STATES[run.state])
        return replace(run, status=STATES[run.state])
    return run


def reap(store: Store, kind: str) -> None:
    """End as failed the runs of a kind whose process is dead, of commands that make a new run instead of going on."""
    for run in store.find({KIND: kind, STATE: RUNNING}):
        if not is_alive(run) and with_files(store, run):
            TrackedRun(store.client, run).end("failed", "its process was killed")


def training_run(run: StoredRun) -> StoredRun:
    """A run, if it is a training run.

    Raises:
        StoreError: if it is of another kind, or of another tool.
    """
    if run.kind != TRAIN:
        raise StoreError(f"run must be a training run of this project, got {run.run_id}. Look its id up with `mlflow ui`.")
    return run


def _free(run: StoredRun, session: str) -> StoredRun:
    """A run that is not done, if it can go on here and now."""
    if run.get(PROTOCOL, PROTOCOL_VERSION) != PROTOCOL_VERSION:
        raise StoreError(
            f"run must be of protocol {PROTOCOL_VERSION} to go on, got {run.run_id} of {run.protocol}. "
            "Start another with --force."
        )
    if is_alive(run) and not (session and run.session == session):
        raise BusyError(
            f"run must not be trained twice at once, got {run.run_id}, which a living process on "
            f"{run.get(HOST)} holds. Wait for it, or start another with --force."
        )
    return run


def with_files(store: Store, run: StoredRun) -> StoredRun | None:
    """A run that can go on, unless its files are not at a place of its own."""
    try:
        TrackedRun(store.client, run)
    except AstrayError as error:
        LOG.warning("%s is passed over: %s", run.run_id, error)
        return None
    return run


def create(
    store: Store, config: ResolvedConfig, parent: str | None = None, tags: Mapping[str, str] | None = None
) -> TrackedRun:
    """A new run of a config's identity, with nothing logged yet."""
    own = config.own_digests()
    identity = {KIND: TRAIN, CONFIG_HASH: config.hash_by(own), PROTOCOL: PROTOCOL_VERSION, **own_tags(config, own)}
    return store.create(run_name(config), {**identity, **code_tags(), **(tags or {})}, parent)


def own_tags(config: ResolvedConfig, digests: Mapping[str, str]) -> dict[str, str]:
    """The tag by which the params of a run that names code of one's own are held against its hash, without that code's file."""
    return {OWN_SOURCES: json.dumps(digests, sort_keys=True)} if own_code(config) else {}


def run_name(config: ResolvedConfig) -> str:
    """`display_name` with two digits of the seed, so that runs sort by their names."""
    head, _, seed = config.display_name().rpartition(" ")
    return f"{head} {int(seed):02d}"


def run_config(run: StoredRun, trust_code: bool = False) -> ResolvedConfig:
    """The config of a training run.

    Args:
        run: as it is in the store.
        trust_code: whether code of a user's own that the run names may be imported. A store alone never has it loaded.

    Raises:
        StoreError: if it is not one of our training runs, or names code that is not trusted.
    """
    try:
        config = training_run(run).config
    except ConfigError as error:
        raise StoreError(f"run must have the params of a config, got {run.run_id} ({error}). Start a new run.") from error
    own = own_code(config)
    if own and not trust_code:
        raise StoreError(
            f"run must not name code of somebody's own unless it is trusted, got {', '.join(own)} in {run.run_id}. "
            "Read that code, then add --trust-code."
        )
    if not run.config_hash:
        raise StoreError(
            f"run must have the tag {tag(CONFIG_HASH)}, against which its params are held, got none in {run.run_id}. "
            f"Put it back ({config.hash} by the params that it has now), or repeat its command, which begins a new run."
        )
    if config.hash != run.config_hash:
        raise StoreError(
            f"run must have the params of its config, got {run.run_id}, which stopped before, or whose params or code were "
            "changed since. Repeat its command."
        )
    return config


def with_table_of(run: StoredRun, config: ResolvedConfig) -> ResolvedConfig:
    """A config with the table of signals that a run began with, unless it asks for one: what was seen so far is not lost."""
    every = run.params.get("signal_every", "0")
    if config.signal_every or every in ("", "0"):
        return config
    text = {name: run.params[name] for name in ("signal_every", "costly_every") if name in run.params}
    if run.params.get("signals") == EVERY:
        text["signals"] = EVERY
    return type(config).from_strings(config.to_strings() | text)


def with_threads_of(run: StoredRun, config: ResolvedConfig) -> ResolvedConfig:
    """A config with the threads that a run began with, unless it names its own: the same bits need the same threads."""
    return config if config.threads is not None else replace(config, threads=run.threads)
