"""Times of the sensitivity study: its first use ends where spectra do, and its searches are those that are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.sensitivity.settings import SensitivityConfig
from benchmarks import record, sensitivity
from tests.conftest import TINY
from tests.helpers.synthetic_cells import made_cells

CONFIG = SensitivityConfig(mode="search", n_trials=25, window="8,12", smoothing="1..3", first_epoch="0..60", slope_lag="5..20")


def test_the_first_use_ends_with_the_last_spectrum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = made_cells()
    monkeypatch.setattr(sensitivity, "open_store", lambda: None)
    monkeypatch.setattr(sensitivity.runs, "load", lambda *given: made)
    monkeypatch.setattr(sensitivity.study.grid, "grid", lambda *given: pytest.fail("what follows is not timed"))
    row = sensitivity.read_all("headline", tmp_path)
    assert row["runs"] == sum(len(cell.table) for cell in made.cells.values())
    assert 0 <= row["loaded_s"] < row["wall_s"]
    assert row["cpu_s"] > 0
    assert all(cell._series for key, cell in made.cells.items() if key[0] == "square")


def test_a_search_of_each_sampler_is_timed(tmp_path: Path) -> None:
    rows = list(sensitivity.searches(made_cells(), CONFIG, tmp_path, ["tpe", "random"], [1]))
    assert [(row["sampler"], row["workers"], row["n"]) for row in rows] == [("tpe", 1, 25), ("random", 1, 25)]
    for row in rows:
        assert row["per_s"] == pytest.approx(25 / row["wall_s"])
        assert row["detectors_share"] + row["sampler_share"] + row["storage_share"] == pytest.approx(1)
        assert -1 <= row["best"] <= 1


@pytest.mark.slow
def test_the_command_reads_a_store_that_is_named(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from grok.runs.train import train_tracked

    for seed in (0, 1):
        for condition, decay in (("grok", 2e-4), ("eta0", 0.0)):
            config = replace(TINY, seed=seed, weight_decay=decay, epochs=48, checkpoint_epochs=(48,)).resolved()
            train_tracked([config], store, tags={"study.mine": condition})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # what --store names is read
    words = ["--store", str(tmp_path), "--study", "mine", "--part", "first", "--part", "again", "--part", "trials"]
    words += ["--samplers", "tpe", "--trials", "25", "--window", "4,6", "--json", str(tmp_path / "out.json")]
    assert sensitivity.main(words) == 0
    first, again, one, two = record.read(tmp_path / "out.json")["rows"]
    assert (first["part"], again["part"], first["runs"], again["runs"]) == ("first", "again", 4, 4)
    assert (one["workers"], two["workers"]) == (1, 2)
    assert two["times_one_worker"] == pytest.approx(one["wall_s"] / two["wall_s"], rel=1e-3)
