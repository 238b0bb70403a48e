"""The committed report, made anew from the committed bundle by a machine that trained nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundle.conftest import files
from tests.conftest import OUTSIDE, PROJECT

REPORT = PROJECT / "docs" / "report"
BUNDLE = REPORT / "bundle"


@pytest.mark.slow
def test_the_committed_report_comes_of_the_committed_bundle(tmp_path: Path) -> None:
    kept = {name: text for name, text in os.environ.items() if name not in OUTSIDE}
    environment = kept | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    baseline = ["--baseline", "docs/results/claims-before.json"]  # as the report names it
    for words in (["import", "--bundle", str(BUNDLE)], ["analyze", "--out", str(tmp_path / "again"), *baseline]):
        command = [sys.executable, "-m", f"entry_points.{words[0]}", *words[1:]]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    committed = {name: content for name, content in files(REPORT).items() if not name.startswith("bundle/")}
    again = files(tmp_path / "again")
    assert again.keys() == committed.keys()
    assert [name for name in committed if again[name] != committed[name]] == []
