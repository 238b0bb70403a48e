"""Runs that came here without their bands are left out, each with the reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.reading.runs import LEFT_OUT, Runs
from analysis.sensitivity.cells import WITHOUT
from analysis.sensitivity.loading import _banded


@pytest.mark.parametrize("lacking", ["delta_w/band.npz", "delta_w/factors.npz"])
def test_a_run_without_its_band_or_raw_spectra_is_left_out(lacking: str) -> None:
    table = pd.DataFrame({"run_id": ["a", "b"], "name": ["A", "B"], "condition": ["grok", "eta0"], "seed": [0, 0]})
    before = pd.DataFrame([["c", "C", "svd", "grok", "it failed"]], columns=LEFT_OUT)
    files = SimpleNamespace(left_out={"b": frozenset({lacking, "checkpoints/x"}), "a": frozenset({"checkpoints/x"})})
    evidence: Any = SimpleNamespace(select=lambda study: Runs(table, before), files=files)
    found, out = _banded(evidence, "svd")
    assert list(found["run_id"]) == ["a"]
    assert out.to_dict("records") == [
        {"run_id": "c", "name": "C", "study": "svd", "condition": "grok", "reason": "it failed"},
        {"run_id": "b", "name": "B", "study": "svd", "condition": "eta0", "reason": WITHOUT},
    ]
