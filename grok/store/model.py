"""The trained network as a model in MLflow's registry of models: safetensors and the code that reads them, no pickle."""

from __future__ import annotations

import logging
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from torch import Tensor

from grok.store import files, places
from grok.store.errors import StoreError
from grok.store.moved import local_path
from grok.store.provenance import PROJECT
from grok.store.run import TrackedRun
from grok.store.sqlite import is_sqlite
from grok.store.tags import ACTIVATION, StoredRun, tag

logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it tells that it tries the example
SERVED = PROJECT / "grok" / "store" / "served.py"
"""What MLflow runs to load it."""
NETWORK_FILE = "artifacts/network.safetensors"
"""Of a logged model."""
FORBIDDEN = re.compile(r"[/:.%\"']")
"""Characters that MLflow takes in no model's name."""


def log_network(
    run: TrackedRun,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    step: int,
    code: Sequence[Path] = (),
    *,
    model_type: str,
    example: tuple[np.ndarray, np.ndarray],
    params: Mapping[str, str] | None = None,
) -> None:
    """Log the network of a run as an MLflow model, once: the run has one that can be loaded, whatever an earlier process left.

    One that the run has already, of a process that was killed before the run's end, gets its files anew, which may be gone.

    Args:
        run: that trained it. tensors: by layer. step: epoch.
        facts: what the network needs beside them, an `activation` perhaps.
        code: files of the user's own that the network needs, which go along.
        model_type: as the network calls itself.
        example: inputs to try it with, and scores of any number of them, for the signature.
        params: of its config, for its page in the UI.
    """
    earlier = model_of(run.client, run.look()) if run.resumed else None
    if run.resumed:
        _drop_others(run, earlier)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*type hint", UserWarning)  # of MLflow's own classes
        from mlflow.models import infer_signature
        from mlflow.pyfunc import save_model
    model = earlier or run.client.create_logged_model(
        run.stored.experiment_id,
        name=FORBIDDEN.sub("_", f"network of {run.stored.name}"),
        source_run_id=run.run_id,
        tags={tag(ACTIVATION): str(facts["activation"])} if "activation" in facts else {},
        params=dict(params or {}),
        model_type=model_type,
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example", UserWarning)  # the signature is given
        weights = Path(folder) / "network.safetensors"
        files.save(weights, tensors, facts)
        signature = infer_signature(*example)
        requirements = [f"{m}=={sys.modules[m].__version__.split('+')[0]}" for m in ("mlflow", "torch", "numpy")]
        save_model(
            f"{folder}/model",
            python_model=str(SERVED),
            artifacts={"network": str(weights)},
            signature=signature,
            input_example=example[0] if len(example[0]) else None,
            code_paths=[str(PROJECT / "grok"), *map(str, code)],
            pip_requirements=[*requirements, "safetensors"],
        )
        if earlier is not None:
            _drop_files(earlier)
        run.client.log_model_artifacts(model.model_id, f"{folder}/model")
    run.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    if earlier is None:
        run.client.log_outputs(run.run_id, models=[LoggedModelOutput(model.model_id, step)])
        if not is_sqlite(run.client.tracking_uri):
            _drop_others(run, model)  # a request that got no answer is repeated, and makes another


def logged_network(run: TrackedRun, folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The network that `log_network` has logged: tensors by layer, and the facts beside them.

    Args:
        run: that trained it. folder: to download into, where the store is not local.

    Raises:
        StoreError: if the run has none.
    """
    model = model_of(run.client, run.look())
    if model is None:
        raise StoreError(f"run must have logged its network, got {run.run_id} without. Repeat the command that trained it.")
    place, own = str(model.artifact_location), ("models", str(model.model_id), "artifacts")
    local = places.folder(place, *own)
    if local is None:
        repository = places.repository(run.client, place, *own)
        return files.load(Path(repository.download_artifacts(NETWORK_FILE, str(folder))))
    if any((local / part).is_symlink() for part in (NETWORK_FILE, PurePosixPath(NETWORK_FILE).parent)):
        raise StoreError(f"logged network must be in the folder of its model, got a link in {local}. Remove the link.")
    return files.load(local / NETWORK_FILE)


def model_of(client: mlflow.MlflowClient, run: StoredRun) -> Any:
    """The model that is an output of a run and is not deleted; None if there is none."""
    outputs = run.outputs
    for output in outputs.model_outputs if outputs is not None else []:
        try:
            return client.get_logged_model(str(output.model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return None


def _drop_others(run: TrackedRun, but: Any) -> None:
    """Delete the models that were begun for a run, all but one, if any."""
    for left in run.client.search_logged_models([run.stored.experiment_id], f"source_run_id = '{run.run_id}'"):
        if but is None or left.model_id != but.model_id:
            run.client.delete_logged_model(left.model_id)
            _drop_files(left)


def _drop_files(model: Any) -> None:
    """Remove the local files of a deleted model, in the folder that MLflow gives each its own: `models/ID/artifacts`."""
    place = local_path(str(model.artifact_location))
    if place is not None and place.parts[-3:] == ("models", model.model_id, "artifacts") and not place.parent.is_symlink():
        shutil.rmtree(place.parent, ignore_errors=True)
