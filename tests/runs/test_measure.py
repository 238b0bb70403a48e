"""Measures of finished runs: from files alone, equal to what was seen live, and put beside the run's other files."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.reading.evidence import Evidence
from entry_points import measure as command
from grok.numerics import rank
from grok.numerics.edge import edge
from grok.numerics.ledger import Ledger
from grok.numerics.repulsion import measure_repulsion
from grok.recorders._battery import put_weights
from grok.runs import measure
from grok.runs.finished import Finished, untrained
from grok.runs.measure import (
    ANSWERS,
    KINDS,
    RANKS,
    REPULSION,
    answers_table,
    fixed_pairs,
    onset_table,
    ranks_of,
    repulsion_table,
)
from grok.runs.saving import get
from grok.runs.train import train_tracked
from grok.spec.artifacts import BAND
from grok.spec.fields import ConfigError
from grok.store import files
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.training.loop import Training
from tests.training.test_sequences import small


@pytest.fixture(scope="module")
def run(finished: Any) -> Finished:
    return Finished.of(finished.store, finished.store.get(finished.outcome.run_id))


@pytest.fixture(scope="module")
def table(run: Finished) -> pd.DataFrame:
    return repulsion_table(run, replay=False)


def rate(table: pd.DataFrame, epoch: int, kind: str = "top", features: str = "network", ridge: str = "published") -> float:
    mine = table[
        (table["epoch"] == epoch) & (table["kind"] == kind) & (table["features"] == features) & (table["ridge"] == ridge)
    ]
    return mine["repel"].sum() / mine["pairs"].sum()


def test_epoch_0_and_every_checkpoint_have_the_rate_that_was_seen_live(
    finished: Any, run: Finished, table: pd.DataFrame
) -> None:
    history = pd.read_parquet(finished.root / "history.parquet")
    seen = history.loc[history["repulsion/rate"].notna()].set_index("epoch")["repulsion/rate"]
    assert set(table["epoch"]) == {0, *run.epochs}
    shared = sorted(set(run.epochs) & set(seen.index))
    assert len(shared) >= 2
    assert [rate(table, epoch) for epoch in shared] == [seen[epoch] for epoch in shared]
    training = Training(run.config)
    first = next(iter(training))
    features = training.network.features(training.batches.whole)[0]
    expected = measure_repulsion(features, run.config.weight_decay, run.config.top_pairs, run.config.seed)
    assert (first.epoch, rate(table, 0)) == (0, expected.rate)


def test_surrogates_are_drawn_where_they_are_asked_for(run: Finished, table: pd.DataFrame) -> None:
    assert set(table.loc[table["features"] != "network", "epoch"]) == {0, run.epochs[-1]}
    assert set(table["features"]) == {"network", "rotated", "permuted"}
    assert set(table.loc[table["features"] == "network", "ridge"]) == {"published", "mean_loss", "2e-3", "2e-2"}
    assert set(table.loc[table["features"] == "rotated", "ridge"]) == {"published", "mean_loss"}
    assert not (table["kind"] == "fixed").any()  # no checkpoint at epoch 150, and no replay
    pd.testing.assert_frame_equal(table, repulsion_table(run, replay=False))


@pytest.mark.parametrize("epoch", [20, 33])
def test_fixed_pairs_come_from_a_checkpoint_or_from_a_replay(run: Finished, epoch: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(measure, "RANKING_EPOCH", epoch)
    pairs = fixed_pairs(run)
    weights = run.weights(20) if epoch == 20 else measure._replayed(run, epoch)
    assert pairs is not None
    assert weights is not None
    f = measure.training_features(run.config, put_weights(untrained(run.config), weights))
    g = f.T @ f
    cos = (g / g.diagonal().sqrt() / g.diagonal().sqrt()[:, None])[pairs[:, 0], pairs[:, 1]]
    assert (cos > 0).all()
    assert (cos.diff() <= 1e-12).all()
    assert (fixed_pairs(run, replay=False) is None) == (epoch == 33)


def test_a_replay_that_meets_other_bits_fixes_no_pairs(store: Any, finish: Any, tiny: Any, monkeypatch: Any) -> None:
    done = finish(store, tiny())
    path = done.root / "checkpoints" / "epoch-00020.safetensors"
    tensors, facts = files.load(path)
    tensors["v"][3, 4] += 0.5
    files.save(path, tensors, facts)
    monkeypatch.setattr(measure, "RANKING_EPOCH", 33)
    assert fixed_pairs(Finished.of(store, store.get(done.outcome.run_id))) is None


def test_ranks_come_from_the_band(finished: Any, run: Finished, monkeypatch: Any) -> None:
    with np.load(finished.root / BAND) as arrays:
        band = dict(arrays)
    assert ranks_of(run.config, band).empty  # the run ends before epoch 400
    monkeypatch.setattr(rank, "PHASES", ((30, 60), (50, 64), (60, 90)))
    monkeypatch.setattr(rank, "LEAST", 5)
    config = dataclasses.replace(run.config, window=min(run.config.max_window, 12))
    found = ranks_of(config, band)
    assert set(found["first"]) == {30, 50}
    of = found[(found["layer"] == "v") & (found["first"] == 30) & (found["of"] == "raw")].sort_values("k")["value"]
    expected = rank.window_medians(band["v"], config.window, np.arange(30, 61, 5), run.config.width * run.config.modulus)
    np.testing.assert_array_equal(of, expected["raw"])


def test_answers_have_the_accuracy_that_was_scored(finished: Any, run: Finished) -> None:
    history = pd.read_parquet(finished.root / "history.parquet").set_index("epoch")["accuracy/test"]
    found = answers_table(run).set_index("epoch")
    for epoch in (0, *run.epochs):
        assert found.loc[epoch, "right"] / found.loc[epoch, "tests"] == pytest.approx(history[epoch], abs=1e-9)
    assert (found["label_seen"] == 0).all()


def test_rho_of_the_start_is_that_which_was_seen_and_what_lies_between(
    finished: Any, run: Finished, monkeypatch: Any, store: Any
) -> None:
    found = onset_table(run)
    assert found["epoch"].tolist() == list(range(65))
    history = pd.read_parquet(finished.root / "history.parquet")
    seen = history["features/rho"].dropna()
    assert 4 < len(seen) < 65
    assert found["features/rho"][seen.index].tolist() == seen.tolist()

    evidence = Evidence(finished.store)
    run_id = finished.outcome.run_id
    assert evidence.history(run_id)["features/rho"].isna().sum() == 65 - len(seen)
    monkeypatch.setattr(Evidence, "_measure", lambda *of: found)
    whole = Evidence(finished.store).history(run_id)
    assert whole["features/rho"].tolist() == found["features/rho"].tolist()
    pd.testing.assert_frame_equal(whole.drop(columns="features/rho"), history.drop(columns="features/rho"))

    monkeypatch.setattr(measure, "_same", lambda *of: False)
    assert onset_table(run).empty  # other bits


def test_the_command_puts_tables_beside_a_studys_runs_and_claims_read_them(
    store: Any, write: Any, study: Any, capsys: Any
) -> None:
    path = write([("grok", {"seed": "0..1"})])
    assert study(path).status == 0
    evidence = Evidence(store)
    name = evidence.studies[0]
    runs = evidence.runs(name)["run_id"].tolist()
    with pytest.raises(StoreError, match=r"must have been measured, got none .* Run python -m entry_points.measure"):
        evidence.measured(runs[0], "repulsion")
    assert evidence.measured(runs[0], "ranks").empty  # from the band, without a measure
    lines = []
    for _ in range(2):
        assert command.main(["--study", name, "--what", "repulsion,answers"]) == 0
        lines.append(capsys.readouterr().out.rpartition(" ")[0])
    assert lines == [f"study={name} runs=2 tables=4 failed=0", f"study={name} runs=2 tables=0 failed=0"]
    for run_id in runs:
        found = evidence.measured(run_id, "repulsion")
        finished = Finished.of(store, store.get(run_id))
        pd.testing.assert_frame_equal(found, repulsion_table(finished))
        assert {REPULSION, ANSWERS} <= set(finished.tracked.list_files(""))
        assert RANKS not in finished.tracked.list_files("")
    assert store.get(runs[0]).state == "complete"


def test_bad_input_is_refused(finished: Any) -> None:
    run = finished.store.get(finished.outcome.run_id)
    with pytest.raises(ConfigError, match="what must be of repulsion, ranks, answers, onset, edge, got rank"):
        measure.measure(finished.store, run, ("rank",))
    running = dataclasses.replace(run, tags=run.tags | {name: "running" for name in run.tags if name.endswith("state")})
    with pytest.raises(StoreError, match="must be finished to be measured"):
        measure.measure(finished.store, running)
    assert set(KINDS) == {"repulsion", "ranks", "answers", "onset", "edge"}


def test_shares_of_the_edge_are_those_of_the_ledgers(store: Store) -> None:
    (outcome,) = train_tracked([small()], store)
    run = store.get(outcome.run_id)
    assert measure.measure(store, run, ("edge",)) == ["edge_shares.parquet"]
    table = Evidence(store).measured(run.run_id, "edge")
    tracked = TrackedRun(store.client, run)
    ledgers = [path for path in tracked.walk() if path.startswith("edge/ledger-")]
    assert sorted(table["every"].unique()) == sorted(int(path[-8:-4]) for path in ledgers) != []
    for path in ledgers:
        arrays = dict(get(tracked, path).content)
        attention = [i for i, name in enumerate(arrays["segments"].tolist()) if name != "rest"]
        found = Ledger(**{name: arrays[name] for name in Ledger._fields}).of(attention)
        every = int(path[-8:-4])
        for size in (3, 5):
            ours = table[(table["every"] == every) & (table["rows"] == size)]
            true = [one for end in range(2, found.intervals + 1) if (one := edge(found, end, size)) is not None]
            assert ours["share"].tolist() == [one.exact.share for one in true]
            assert ours["step"].tolist() == [one.end * every for one in true]
            assert ours["full"].tolist() == [one.rows == size for one in true]


def test_a_network_without_ledgers_has_no_shares_of_the_edge(finished: Any) -> None:
    assert measure.measure(finished.store, finished.store.get(finished.outcome.run_id), ("edge",)) == []
