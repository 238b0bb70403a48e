"""The committed tables of finished studies: `python -m docs.collect headline relu` writes `docs/results` from the store.

A study's parent run has a table of its runs and one of its conditions; the columns that the pages read are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException

from grok.spec.studies import load_study
from grok.store.store import Store, open_store
from grok.store.tags import GRID_HASH, KIND, STUDY_NAME

FOLDER = Path(__file__).resolve().parent / "results"
KEPT = (
    *(
        "condition",
        "activation",
        "weight_decay",
        "labels",
        "n_train",
        "modulus",
        "width",
        "optimizer",
        "learning_rate",
        "epochs",
    ),
    *("seed", "spectrum_methods", "window", "rounding", "precision", "decay_off_at", "decay_on_at", "observe_every"),
    *("fired", "fire_epoch", "late_gap_23", "rho_epoch", "lead", "test_50_epoch", "test_99_epoch", "diverged_epoch"),
    *("accuracy/test", "accuracy/train", "loss/train", "features/rho", "elapsed_s"),
    *("state", "rounding_used", "code_version", "run_id"),
)
"""Columns of the runs' table, where a study has them; its conditions keep all."""
DIGITS = 9


def collect(store: Store, name: str, folder: Path) -> list[Path]:
    """The tables of a study into a folder, by its name.

    Args:
        store: that holds the finished study. name: of the registry, or file.yaml:name. folder: to write to.

    Raises:
        ValueError: if the study is not complete.
    """
    study = load_study(name)
    found = store.find({KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash})
    if not found or found[0].state != "complete":
        state = found[0].state if found else "absent"
        raise ValueError(f"study must be complete, got {name} {state}. Run: python -m entry_points.study --study {name}.")
    out = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("runs", "conditions", "repulsion"):
            try:
                path = Path(store.client.download_artifacts(found[0].run_id, f"{kind}.csv", scratch))
            except MlflowException as error:  # a parent that came in a bundle, or whose files are gone
                told = f"study must have the tables of its parent run, got {name} without {kind}.csv"
                raise ValueError(f"{told}. Run: python -m entry_points.study --study {name}.") from error
            if not path.read_text(encoding="utf-8").strip():  # no run has measured repulsion
                continue
            table = pd.read_csv(path)
            if kind == "runs":
                table = table[[column for column in KEPT if column in table]]
            if not len(table):
                continue
            out.append(folder / f"{name.rpartition(':')[2]}-{kind}.csv")
            table.to_csv(out[-1], index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    return out


def main(arguments: list[str]) -> int:
    """Collect the named studies, a line each."""
    parser = argparse.ArgumentParser(prog="python -m docs.collect", description=__doc__)
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    store, failed = open_store(), 0
    for name in parser.parse_args(arguments).studies:
        try:
            print(f"study={name} out={' '.join(path.name for path in collect(store, name, FOLDER))}")
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
