"""The last network of finished runs in MLflow's registry of models, on request: a version a run, an alias a condition."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import mlflow
from mlflow.exceptions import MlflowException

from grok.spec.fields import ConfigError, shown
from grok.store.markdown import inert
from grok.store.model import model_of
from grok.store.store import Store
from grok.store.tags import tag

NAME = re.compile(r"[\w][\w .-]{0,199}", re.ASCII)
"""Of a registered model: nothing that stands for something in `models:/NAME/…`."""
RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
"""What MLflow keeps for itself among aliases; `models:/NAME/latest` is always there."""


def check_name(name: str) -> None:
    """Refuse, before anything is trained, a name that no model can have.

    Raises:
        ConfigError: if so.
    """
    if not NAME.fullmatch(name):
        rule = "letters, digits, spaces and any of . _ - (200 at most)"
        raise ConfigError(f"register must be {rule}, got {shown(repr(name))}. Name it otherwise.")


@contextlib.contextmanager
def _looked_up_in(store: Store) -> Iterator[None]:
    """MLflow looks for the source of a version in the process's store, whichever the client has."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store.uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def register(store: Store, name: str, run_ids: Mapping[str, str], aliases: Mapping[str, str] | None = None) -> dict[str, str]:
    """Register the networks of runs as versions of one model; a run that has a version keeps it.

    Args:
        store: of the runs. name: of the model.
        run_ids: of finished runs, each with what it is, for its version's description; in the order of the versions.
        aliases: run ids by alias, a condition of a study perhaps.

    Returns:
        The version of each run that has a network, by run id: a diverged one has none.
    """
    client = store.client
    with contextlib.suppress(MlflowException):  # it is there
        client.create_registered_model(name, description="Networks of grok: `predict` takes whole numbers, gives scores.")
    there = {version.run_id: str(version.version) for version in client.search_model_versions(f"name = '{name}'")}
    for run_id, told in run_ids.items():
        run = store.get(run_id)
        model = None if run_id in there else model_of(client, run)
        if model is None:
            continue
        model_id = model.model_id
        tags = {tag("config_hash"): run.config_hash}
        with _looked_up_in(store):
            made = client.create_model_version(
                name, f"models:/{model_id}", run_id, tags=tags, description=inert(told), model_id=model_id
            )
        there[run_id] = str(made.version)
    for alias, run_id in (aliases or {}).items():
        word = re.sub(r"\W", "-", alias, flags=re.ASCII)
        if run_id in there:
            client.set_registered_model_alias(name, f"{word}-" if RESERVED.fullmatch(word) else word, there[run_id])
    return {run_id: there[run_id] for run_id in run_ids if run_id in there}
