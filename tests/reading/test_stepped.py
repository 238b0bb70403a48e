"""Runs that are evaluated at snapshots are read as any others: whole, with their figures, and by the claims' own readers."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.exhibits.sources import Sources
from analysis.figures import run_figures
from analysis.papers.lifecycle.reading import grok_step, ledger, value, windows
from analysis.reading.evidence import Evidence
from analysis.reading.files import RunFiles
from analysis.reading.runs import select, training_runs
from grok.numerics.edge import edge
from grok.runs.train import train_tracked
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store
from tests.training.test_sequences import small


@pytest.fixture
def run_id(store: Store) -> str:
    (outcome,) = train_tracked([small(epochs=14)], store, figures=run_figures)
    return outcome.run_id


def test_a_stepped_run_is_whole_and_read(store: Store, run_id: str) -> None:
    found = select(training_runs(store), files=RunFiles(store))
    assert (list(found.table["run_id"]), len(found.left_out)) == ([run_id], 0)
    history = RunFiles(store).history(run_id)
    assert history["step"].tolist() == [0, 4, 8, 12, 14]
    assert "figures/accuracy.png" in TrackedRun(store.client, run_id).list_files("figures")
    logged = store.client.get_metric_history(run_id, "edge/grad_share")
    assert [point.step for point in logged] == [8, 12]


def test_the_claims_read_what_the_run_has_kept(store: Store, run_id: str) -> None:
    sources = Sources(Evidence(store))
    history = sources.evidence.history(run_id)
    kept = ledger(sources, run_id, 4)
    found = edge(kept, 3, 5)
    assert found is not None
    assert found.exact.share == pytest.approx(value(sources, run_id, "edge/grad_share", 12), rel=1e-9)
    assert len(windows(kept, 5)) == 2
    parts = [ledger(sources, run_id, 4, block) for block in (".q", ".k", ".v", ".o")]
    np.testing.assert_allclose(sum(part.dd[:, 0] for part in parts), kept.dd[:, 0])
    assert grok_step(sources, run_id, float(history["accuracy/test"].min())) == 0
    assert np.isnan(grok_step(sources, run_id, 1.1))


def test_a_history_that_skips_without_saying_so_is_still_refused(store: Store, run_id: str) -> None:
    run = TrackedRun(store.client, run_id)
    files = RunFiles(store)
    table = files.history(run_id).drop(columns="step")
    table.to_parquet(f"{store.get(run_id).info.artifact_uri.removeprefix('file://')}/history.parquet", index=False)
    assert run.list_files("")
    with pytest.raises(StoreError, match="must have a row for every epoch from 0 on"):
        RunFiles(store).history(run_id)
