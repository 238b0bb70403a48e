"""Runs that are there already: which one has this config's work, and whether it is complete, free or busy."""

from __future__ import annotations

from collections.abc import Collection

from grok.spec.config import PROTOCOL_VERSION, RunConfig
from grok.store.store import Store, StoreError, is_alive

RESUMABLE = "resumable"


class BusyError(StoreError):
    """A living process is training this run now."""


def find_prior(store: Store, config: RunConfig, session: str = "", but: Collection[str] = ()) -> tuple[str, str] | None:
    """The run that has this identity's work: (`complete`, `diverged` or `resumable`, run id), the newest of its kind.

    One that is done comes before any other, then one that is being trained, then one that can go on.

    Args:
        store: to look in. config: whose identity.
        session: a run that this session began is taken over even if its process seems alive.
        but: runs that are passed over.

    Raises:
        BusyError: if none is done and a process of another session is training one now.
    """
    resumable = busy = None
    for run in store.prior(config):
        if run.info.run_id in but:
            continue
        try:
            found = named_prior(store, run.info.run_id, session)
        except BusyError as error:
            busy = busy or error
            continue
        if found[0] != RESUMABLE:
            return found
        resumable = resumable or found
    if busy is not None:
        raise busy
    return resumable


def named_prior(store: Store, run_id: str, session: str = "") -> tuple[str, str]:
    """`find_prior` for one run that the user names.

    Raises:
        StoreError: if there is no such training run.
        BusyError: if a process of another session is training it now.
    """
    run = store.get(run_id)
    state = run.data.tags.get("grok.state", "")
    if state in ("complete", "diverged"):
        return state, run_id
    if run.data.tags.get("grok.protocol", PROTOCOL_VERSION) != PROTOCOL_VERSION:
        raise StoreError(
            f"run must be of protocol {PROTOCOL_VERSION} to go on, got {run_id} of {run.data.tags['grok.protocol']}. "
            "Start another with --force."
        )
    if is_alive(run) and not (session and run.data.tags.get("grok.session") == session):
        raise BusyError(
            f"run must not be trained twice at once, got {run_id}, which a living process on "
            f"{run.data.tags.get('grok.host')} holds. Wait for it, or start another with --force."
        )
    return RESUMABLE, run_id


def summary_line(store: Store, run_id: str) -> str:
    """A finished run's summary metrics as `name=value` words."""
    metrics = store.get(run_id).data.metrics
    return facts_line({name: metrics[name] for name in metrics if "/" not in name})


def facts_line(summary: dict[str, float]) -> str:
    """`name=value` words in a fixed order; whole numbers without a point."""
    order = (
        "fired",
        "fire_epoch",
        "test_50_epoch",
        "test_99_epoch",
        "train_99_epoch",
        "late_gap_23",
        "diverged_epoch",
        "elapsed_s",
    )
    return " ".join(f"{name}={summary[name]:.6g}" for name in order if name in summary)


def run_config(store: Store, run_id: str) -> RunConfig:
    """The config of a tracked run, from its params.

    Raises:
        StoreError: if it is not one of our training runs.
    """
    run = store.get(run_id)
    if run.data.tags.get("grok.kind") != "train":
        raise StoreError(f"run must be a training run of this project, got {run_id}. Look its id up with `mlflow ui`.")
    names = RunConfig().to_strings()
    config = RunConfig.from_strings({k: v for k, v in run.data.params.items() if k in names})
    if config.hash != run.data.tags["grok.config_hash"]:
        raise StoreError(f"run must have the params of its config, got {run_id}, which stopped before. Repeat its command.")
    return config
