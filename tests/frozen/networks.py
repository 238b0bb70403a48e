"""The logged network of the frozen store, loaded as a stranger would: by a process that has only MLflow and the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.frozen.configs import CONFIGS
from tests.frozen.frozen_store import Frozen

STRANGER = """
import itertools, json, sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
pairs = np.array(list(itertools.product(range(int(sys.argv[2])), repeat=2)))
scores = model.predict(pairs)
import grok
print(json.dumps({"code": grok.__file__, "dtype": str(scores.dtype), "scores": scores.tolist()}))
"""


def predicted(frozen: Frozen, name: str = "complete") -> dict[str, Any]:
    """Scores of every pair, (M², M), by the stored model and the code in it; `code` is where that lay."""
    (output,) = frozen.store.get(frozen.ids[name]).outputs.model_outputs
    where = frozen.store.client.get_logged_model(output.model_id).artifact_location
    arguments = [sys.executable, "-c", STRANGER, where, str(CONFIGS[name].modulus)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | frozen.environment
    with tempfile.TemporaryDirectory() as elsewhere:  # where the project's own packages are not found first
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=elsewhere, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["code"]).is_relative_to(frozen.folder), found["code"]
    return dict(found)


def network_document(frozen: Frozen) -> dict[str, Any]:
    """The scores to seven digits, a line a pair."""
    found = predicted(frozen)
    return {"dtype": found["dtype"], "scores": [" ".join(f"{score:.7g}" for score in row) for row in found["scores"]]}
