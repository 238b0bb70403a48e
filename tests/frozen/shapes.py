"""What a run has, without its numbers: names, types and sizes of its params, tags, metrics, files, tables and arrays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from grok.runs.train import train_tracked
from grok.store.store import Store
from tests.frozen.configs import CONFIGS, TAGS
from tests.frozen.frozen_store import Frozen

ANEW = ("complete", "random", "full", "diverged")
"""Runs that are trained again: they have every kind of file, and every optimiser but Adam that the store has."""
VALUED = ("grok.kind", "grok.state", "grok.protocol", "grok.config_hash", "grok.threads", "grok.grid_hash", "grok.study")
"""Tags whose values are frozen too; of the others, and of those that MLflow sets from the checkout, the names are."""
CHECKOUT = ("mlflow.source.", "mlflow.user")


def shape(store: Store, run_id: str) -> dict[str, Any]:
    """Everything that a reader of the store goes by, of one run."""
    run = store.get(run_id)
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    own = {key: value for key, value in run.data.tags.items() if not key.startswith(CHECKOUT)}
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        "status": run.info.status,
        "params": dict(sorted(run.data.params.items())),
        "tags": {k: v if k in VALUED or k.startswith("grok.study.") else "" for k, v in sorted(own.items())},
        "metrics": metrics(store, run_id, list(run.data.metrics)),
        "files": [path.relative_to(root).as_posix() for path in files],
        "content": {path.relative_to(root).as_posix(): found for path in files if (found := content(path))},
        "datasets": [dataset(entry) for entry in run.inputs.dataset_inputs] if run.inputs else [],
        "model": model(store, run),
    }


def metrics(store: Store, run_id: str, names: list[str]) -> dict[str, str]:
    """Of each metric, how many points it has and from which epoch to which."""
    out = {}
    for name in sorted(names):
        steps = sorted(point.step for point in store.client.get_metric_history(run_id, name))
        out[name] = f"{len(steps)} of {steps[0]} … {steps[-1]}"
    return out


def content(path: Path) -> Any:
    """Columns of a table, arrays of a file, keys of a JSON file; empty for any other."""
    if path.suffix in (".parquet", ".csv"):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        kinds = {str(name): kind(table[name].dtype) for name in table}
        return {"rows": len(table), **kinds}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: f"{arrays[name].dtype} {arrays[name].shape}" for name in sorted(arrays.files)}
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            found = {name: file.get_tensor(name) for name in sorted(file.keys())}
            facts = json.loads(file.metadata()["facts"])
        return {name: f"{array.dtype} {array.shape}" for name, array in found.items()} | {"facts": ", ".join(sorted(facts))}
    if path.name == "config.json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".json":
        value = json.loads(path.read_text(encoding="utf-8"))
        return sorted(value) if isinstance(value, dict) else len(value)
    return None


def kind(dtype: Any) -> str:
    """A column's type; texts are named otherwise from one pandas to the next."""
    return str(dtype) if dtype.kind in "iufb" else "text"


def dataset(entry: Any) -> str:
    """Name, digest, source and context of a run's dataset."""
    (tag,) = entry.tags
    source = json.loads(entry.dataset.source)["uri"]
    return f"{entry.dataset.name}; {entry.dataset.digest}; {entry.dataset.source_type} {source}; {tag.value}"


def model(store: Store, run: Any) -> dict[str, Any]:
    """The logged network of a run, without the copied code; empty if it has none."""
    if run.outputs is None or not run.outputs.model_outputs:
        return {}
    (output,) = run.outputs.model_outputs
    found = store.client.get_logged_model(output.model_id)
    root = Path(found.artifact_location.removeprefix("file://"))
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return {
        "name": found.name,
        "type": found.model_type,
        "status": str(found.status),
        "step": output.step,
        "tags": found.tags,
        "files": sorted(path.as_posix() for path in paths if path.parts[0] != "code"),
        "network": content(root / "artifacts" / "network.safetensors"),
    }


def stored(frozen: Frozen) -> dict[str, Any]:
    """The shapes of the frozen store's runs, by name."""
    return {name: shape(frozen.store, run_id) for name, run_id in frozen.ids.items()}


def trained(store: Store, figures: Any) -> dict[str, Any]:
    """The shapes of runs of the same configs, trained to their end now.

    Args:
        store: where to. figures: as the run `complete` had them drawn; their pictures are not read.
    """
    out = {}
    for name in ANEW:
        drawn = figures if name == "complete" else None
        (outcome,) = train_tracked([CONFIGS[name]], store, tags=TAGS.get(name), figures=drawn)
        out[name] = shape(store, outcome.run_id)
    return out


def digest(store: Store, run_id: str) -> str:
    """SHA-256 of every point of every metric, to the last bit."""
    names = sorted(store.get(run_id).data.metrics)
    points = [(name, p.step, float(p.value).hex()) for name in names for p in store.client.get_metric_history(run_id, name)]
    return hashlib.sha256(json.dumps(sorted(points)).encode()).hexdigest()
