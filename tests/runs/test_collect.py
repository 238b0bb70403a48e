"""`python -m docs.collect`: the tables of a finished study, and one line where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from docs.collect import KEPT, collect


def test_the_tables_of_a_finished_study_and_of_no_other(store: Any, write: Any, study: Any, tmp_path: Path) -> None:
    path = write([("grok", {"seed": "0..1"})])
    name = f"{path}:tiny" if ":" not in str(path) else str(path)
    with pytest.raises(ValueError, match=r"study must be complete, got .* absent"):
        collect(store, name, tmp_path)
    assert study(path).status == 0
    before = [(run.run_id, run.tags) for run in store.find({"kind": "study"})]
    written = collect(store, name, tmp_path)
    assert {one.name for one in written} >= {"tiny-runs.csv", "tiny-conditions.csv"}
    runs = pd.read_csv(tmp_path / "tiny-runs.csv")
    assert set(runs.columns) <= set(KEPT)
    assert sorted(runs["seed"]) == [0, 1]
    assert [(run.run_id, run.tags) for run in store.find({"kind": "study"})] == before  # it reads only
