"""Why nothing came of a run that `mlflow run` made."""

from __future__ import annotations

import os

import mlflow
from mlflow.entities import RunTag

from grok.store.markdown import inert
from grok.store.store import tracking_uri
from grok.store.tags import ERROR, KIND, NOTE, RUN_NAME, STATE, named


def give_reason(state: str, reason: str) -> None:
    """Say on the run that `mlflow run` made for this process, and that nothing has taken, why nothing came of it.

    Args:
        state: `refused`, `failed` or `stopped`. reason: in one line.
    """
    made = os.environ.pop("MLFLOW_RUN_ID", None)
    if made is None:
        return
    client = mlflow.MlflowClient(tracking_uri())
    wrong, mark, step = reason.rpartition(". ")
    note = f"**{inert(wrong)}.**\n\n{inert(step)}" if mark else f"**{inert(reason)}**"
    marks = {
        KIND: "refused",
        STATE: "failed",
        ERROR: reason,
        RUN_NAME: f"{state}: {reason}"[:80],
        NOTE: f"{note}\n\nNothing was trained or computed by this command.",
    }
    client.log_batch(made, tags=[RunTag(key, text) for key, text in named(marks).items()])
