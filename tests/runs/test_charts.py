"""What of a run's series stands in MLflow: points for a chart, while the files have every epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grok.recorders.base import charted
from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from tests.conftest import TINY


@given(st.lists(st.integers(0, 3000), unique=True, max_size=300).map(sorted), st.integers(1, 50), st.integers(0, 300))
def test_how_far_a_run_has_come_does_not_matter(epochs: list[int], every: int, cut: int) -> None:
    whole = charted(np.array(epochs, dtype=int), every)
    assert whole[:cut].tolist() == charted(np.array(epochs[:cut], dtype=int), every).tolist()
    kept = np.array(epochs, dtype=int)[whole]
    assert len(set(kept // every)) == len(kept)  # one of each stretch
    assert set(kept // every) == {epoch // every for epoch in epochs}  # and of every stretch that has a value


def test_auto_gives_about_two_hundred_points_and_small_runs_all() -> None:
    told = {epochs: RunConfig(epochs=epochs).resolved().log_every for epochs in (1, 64, 299, 400, 800, 2000)}
    assert told == {1: 1, 64: 1, 299: 1, 400: 2, 800: 4, 2000: 10}


def test_mlflow_has_some_epochs_and_the_history_all(store: Any, contents: Any) -> None:
    """Interrupted at a save, too: what is logged before and after is what an undisturbed run logs."""
    config = replace(TINY, log_every=5).resolved()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 40

    (stopped,) = train_tracked([config], store, should_stop=stop)
    assert stopped.state == "interrupted"
    (outcome,) = train_tracked([config], store, resume=[stopped.run_id])
    steps = {
        name: [point.step for point in store.client.get_metric_history(outcome.run_id, name)]
        for name in ("loss/train", "features/rho", "delta_w/gap_23", "delta_v/gap_23")
    }
    history = contents(store, outcome.run_id).tables["history.parquet"]
    assert history["epoch"].tolist() == list(range(65))
    assert steps["loss/train"] == [*range(0, 65, 5), 64]
    seen = history["epoch"][history["delta_w/gap_23"].notna()]
    first = int(seen.iloc[0])
    assert steps["delta_w/gap_23"] == [first, *range(first + -first % 5 or first + 5, 65, 5), 64]
    assert steps["delta_v/gap_23"] == [first, *range(first + -first % 25 or first + 25, 65, 25), 64]
    assert steps["features/rho"] == history["epoch"][history["features/rho"].notna()].tolist() == [0, 16, 20, 32, 40, 48, 64]
