"""The committed report, made anew from the committed bundle by a machine that trained nothing."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.bundle.conftest import files
from tests.conftest import OUTSIDE, PROJECT

REPORT = PROJECT / "docs" / "report"
BUNDLE = REPORT / "bundle"
RUNS = PROJECT / "docs" / "signals"
NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
LEAST = 1e-6
"""Relative difference of numbers by another processor's order of summation, at most; seen: 1e-14, and a table's tenth digit."""


def same(name: str, one: bytes, other: bytes) -> bool:
    """Whether two files of a report say the same: all words, and numbers to rounding; of pictures, every pixel about."""
    if one == other:
        return True
    if name == "files.json":  # the digests of the others
        first, second = (json.loads(content)["files"].keys() for content in (one, other))
        return bool(first == second)
    if name.endswith(".png"):
        first, second = (imread(BytesIO(content)) for content in (one, other))
        return first.shape == second.shape and float(np.abs(first - second).mean()) < 1e-3
    if name.endswith(".pdf"):
        return one[:8] == other[:8] and abs(len(one) - len(other)) < len(other) / 100
    first, second = (NUMBER.split(content.decode("utf-8")) for content in (one, other))
    if len(first) != len(second) or first[::2] != second[::2]:
        return False
    pairs = zip(first[1::2], second[1::2], strict=True)
    return all(a == b or math.isclose(float(a), float(b), rel_tol=LEAST, abs_tol=1e-9) for a, b in pairs)


def test_other_words_or_numbers_are_no_rounding() -> None:
    assert same("a.csv", b"x,1.0358639367033853", b"x,1.035863936703385")
    assert not same("a.csv", b"x,1.0358", b"x,1.0359")
    assert not same("claims.json", b'"reproduced": 3', b'"not reproduced": 3')
    assert not same("a.md", b"15 of 15", b"14 of 15")
    assert not same("files.json", b'{"files": {"a": "1"}}', b'{"files": {"b": "1"}}')


@pytest.mark.slow
def test_the_committed_report_comes_of_the_committed_bundle(tmp_path: Path) -> None:
    kept = {name: text for name, text in os.environ.items() if name not in OUTSIDE}
    environment = kept | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    baseline = ["--baseline", "docs/results/claims-before.json"]  # as the report names it
    folders = [["import", "--bundle", str(folder)] for folder in (BUNDLE, *sorted(RUNS.glob("runs-*")))]
    for words in (*folders, ["analyze", "--out", str(tmp_path / "again"), *baseline]):
        command = [sys.executable, "-m", f"entry_points.{words[0]}", *words[1:]]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    committed = {name: content for name, content in files(REPORT).items() if not name.startswith("bundle/")}
    again = files(tmp_path / "again")
    assert again.keys() == committed.keys()
    assert [name for name in committed if not same(name, again[name], committed[name])] == []
