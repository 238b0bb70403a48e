"""Store to tables: what belongs to a study, what is left out and why, and artifacts read whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.reading.evidence import Evidence
from analysis.reading.files import RunFiles
from analysis.reading.runs import MADE_BY
from analysis.studies.summary import conditions
from grok.runs import train as runner
from grok.spec.config import told_fields
from grok.store.store import StoreError
from tests.conftest import TINY

TAGS = {"study.mine": "grok"}


@pytest.fixture(scope="module")
def filled(session_store: Any) -> Any:
    """Two finished members of a study, one of them twice, a failed one, one of an older protocol, and a stranger."""
    ids = {}
    for name, seed, tags in (
        ("older", 31, TAGS),
        ("one", 31, TAGS),
        ("two", 32, TAGS),
        ("old", 33, TAGS),
        ("stranger", 34, {}),
    ):
        (outcome,) = runner.train_tracked([replace(TINY, seed=seed)], session_store, tags=tags)
        ids[name] = outcome.run_id
    session_store.client.set_tag(ids["old"], "grok.protocol", "0")
    with pytest.raises(RuntimeError, match="lost"):
        runner.train_tracked([replace(TINY, seed=35)], session_store, tags=TAGS, should_stop=_raise)
    (failed,) = session_store.find({"kind": "train", "state": "failed", "study.mine": "grok"})
    return session_store, ids | {"failed": failed.info.run_id}


def _raise() -> bool:
    raise RuntimeError("lost")


def test_study_runs_are_the_finished_members_once_each(filled: Any) -> None:
    store, ids = filled
    table, left_out = Evidence(store).select("mine")
    assert set(table["run_id"]) == {ids["one"], ids["two"]}
    row = table.set_index("run_id").loc[ids["two"]]
    config = replace(TINY, seed=32).resolved()
    assert (row["condition"], row["state"], row["config_hash"]) == ("grok", "complete", config.hash)
    assert {name: row[name] for name in told_fields([config])} == {
        name: getattr(config, name) for name in told_fields([config])
    }
    metrics = store.get(ids["two"]).data.metrics
    assert row["accuracy/test"] == metrics["accuracy/test"]
    assert row["fired"] == metrics["fired"]
    run = store.get(ids["two"])
    code, *others = (row[name] for name in MADE_BY)
    assert code == run.code_version + (" (tree changed)" if run.get("code_dirty") == "true" else "")
    assert others == ["1", run.rounding, run.tags["grok.rounding_facts"], f"{run.get('device')}, torch {run.get('torch')}"]
    assert run.rounding
    assert run.code_version
    reasons = dict(zip(left_out["run_id"], left_out["reason"], strict=True))
    assert reasons == {
        ids["older"]: "an older run of the same config",
        ids["old"]: "protocol 0, not 1",
        ids["failed"]: "state failed",
    }


def test_runs_without_a_switch_of_weight_decay_are_grouped_with_those_that_have_one(session_store: Any) -> None:
    """pandas leaves NaN out of every group: an epoch that is not there is `auto`, as in text."""
    for seed, switches in ((61, {}), (61, {"decay_off_at": 9}), (62, {"decay_off_at": 9})):
        config = replace(TINY, seed=seed, epochs=12, checkpoint_epochs=(), observe_every=0, **switches)
        runner.train_tracked([config.resolved()], session_store, tags={"study.switched": "grok"})
    table, _ = Evidence(session_store).select("switched")
    assert sorted(table["decay_off_at"], key=str) == [9, 9, "auto"]
    assert {row["decay_off_at"]: row["runs"] for row in conditions(table).to_dict("records")} == {"9": 2, "auto": 1}


def test_study_that_nobody_ran_is_an_empty_table(filled: Any) -> None:
    table, left_out = Evidence(filled[0]).select("nobody's")
    assert len(table) == len(left_out) == 0
    assert {"run_id", "condition", "config_hash", "seed"} <= set(table.columns)


def test_histories_and_bands_come_back_by_run(filled: Any) -> None:
    store, ids = filled
    evidence = Evidence(store)
    histories = {run_id: evidence.history(run_id) for run_id in (ids["one"], ids["two"])}
    bands = {ids["two"]: evidence.band(ids["two"])}
    assert list(histories[ids["two"]]["epoch"]) == list(range(TINY.epochs + 1))
    assert not histories[ids["one"]]["loss/test"].equals(histories[ids["two"]]["loss/test"])
    assert bands[ids["two"]]["w"].shape == (TINY.epochs, TINY.max_window)
    logged = pd.Series({m.step: m.value for m in store.client.get_metric_history(ids["two"], "loss/test")})
    np.testing.assert_array_equal(logged.sort_index(), histories[ids["two"]]["loss/test"])


def test_missing_and_broken_artifacts_are_errors(filled: Any) -> None:
    store, ids = filled
    with pytest.raises(StoreError, match=f"artifact must exist in run {ids['failed']}, got history.parquet"):
        RunFiles(store).history(ids["failed"])
    from grok.store.store import TrackedRun

    root = TrackedRun(store.client, ids["stranger"])._root
    assert root is not None
    path = root / "delta_w" / "band.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StoreError, match=f"band.npz must be a whole npz file, got {ids['stranger']}"):
        Evidence(store).band(ids["stranger"])
