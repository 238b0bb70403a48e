"""How `store.tar.xz` of this folder was made: by the code after the move to rooms, protocol 1, with states that have checksums.

`python -m tests.frozen.after.make_store`, from the project's folder. It is not made again: from now on, later code reads it.
What names a machine, a person or a folder is replaced as in the older store; copies of the code in logged models are deleted.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

from grok.runs import train as runner
from grok.store import sqlite
from grok.store import store as tracking
from grok.store.run import TrackedRun
from tests.frozen.configs import SMALL
from tests.frozen.frozen_store import PLACEHOLDER, rewrite
from tests.frozen.make_store import NEUTRAL

ARCHIVE = Path(__file__).with_name("store.tar.xz")
CONFIGS = {
    "complete": replace(SMALL, precision="float64", signals=("gap",), spectrum_methods=("gram", "svd")),
    "interrupted": replace(SMALL, precision="float64", seed=1),
    "dead": replace(SMALL, precision="float64", seed=2),
}
"""By name. The last two stopped at epoch 17, after a save."""


def main() -> None:
    """Train, make neutral, pack."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        own = {"MLFLOW_TRACKING_URI": sqlite.uri_of(folder / "mlflow.db"), "MLFLOW_EXPERIMENT_NAME": "frozen"}
        with mock.patch.dict(os.environ, own):
            store, ids = tracking.open_store(), {}
            for run, config in CONFIGS.items():
                epochs = itertools.count(0)
                stop = (lambda epochs=epochs: next(epochs) == 17) if run != "complete" else (lambda: False)
                tags = {"study.headline": "grok"}
                (outcome,) = runner.train_tracked([config.resolved()], store, tags=tags, should_stop=stop)
                ids[run] = outcome.run_id
            for run_id in ids.values():
                for key, value in NEUTRAL.items():
                    store.client.set_tag(run_id, key, value)
            TrackedRun(store.client, ids["dead"]).set_tags({"state": "running", "heartbeat": "1600000000"})
            store.client.update_run(ids["dead"], status="RUNNING")
        (folder / "ids.json").write_text(json.dumps(ids, indent=1) + "\n", encoding="utf-8")
        for code in folder.rglob("artifacts/code"):
            shutil.rmtree(code)
        rewrite(folder / "mlflow.db", folder.as_uri(), PLACEHOLDER)
        with tarfile.open(ARCHIVE, "w:xz") as archive:
            for part in ("ids.json", "mlflow.db", "mlruns"):
                archive.add(folder / part, part)


if __name__ == "__main__":
    main()
