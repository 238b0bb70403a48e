"""What the project reads out of the frozen store: every number is one that the store holds, so none may move."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading import runs as queries
from analysis.reading.evidence import Evidence
from grok.spec.studies import load_study
from tests.frozen.configs import FINISHED, STUDY
from tests.frozen.frozen_store import Frozen
from tests.frozen.shapes import digest


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as records; what is not known is left out."""
    records = table.to_dict("records")
    return [{str(key): value for key, value in record.items() if value == value} for record in records]


def sha(data: bytes) -> str:
    """Enough of a SHA-256 to tell."""
    return hashlib.sha256(data).hexdigest()[:16]


def arrays(found: dict[str, np.ndarray]) -> dict[str, str]:
    """A digest of each array's bytes."""
    return {name: sha(np.ascontiguousarray(array).tobytes()) for name, array in sorted(found.items())}


def readings(frozen: Frozen) -> dict[str, Any]:
    """The table of the training runs, what is left out of it and why, and digests of the series behind it."""
    store, ids = frozen.store, frozen.ids
    evidence = Evidence(store)
    selected = queries.select(queries.training_runs(store))
    used = ["run_id", "condition", "state", "rho_epoch", "lead"]
    studies = {name: rows(evidence.runs(name).reindex(columns=used)) for name in evidence.studies}
    tidy = queries.tidy(store, study="headline")
    own = load_study(STUDY)
    sensitivity = evidence.sensitivity()
    return {
        "ids": ids,
        "columns": list(selected.table),
        "runs": rows(selected.table),
        "left out of the table": rows(selected.left_out),
        "studies": studies,
        "left out": rows(evidence.left_out),
        "own study": {"name": own.name, "hash": own.hash, "cells": [f"{c.config.hash} {c.condition}" for c in own.cells]},
        "tidy": {"columns": list(tidy), "rows": len(tidy), "digest": sha(tidy.to_csv(float_format="%.17g").encode())},
        "metrics": {name: digest(store, run_id) for name, run_id in ids.items()},
        "histories": {name: sha(evidence.history(ids[name]).to_csv(float_format="%.17g").encode()) for name in FINISHED},
        "bands": {name: arrays(evidence.band(ids[name])) for name in FINISHED},
        "factors": arrays(evidence.factors(ids["complete"])),
        "weights": arrays(evidence.weights(ids["complete"], 20)),
        "sensitivity": {"run_id": sensitivity and sensitivity["run_id"], "keys": sorted(sensitivity or ())},
    }
