"""Signals as a run's metrics: the same bits as the columns they come from, resumed exactly, refused before a run is made."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from grok.networks import two_layer
from grok.recorders.signals import metric
from grok.runs.train import train_tracked
from grok.signals.base import find, from_history, series
from grok.spec.fields import ConfigError
from grok.spec.plugins import USUAL_RECORDERS
from grok.store import files
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.training.parts import names
from tests.contracts.test_recorders import FULL, Recorded, assert_same

OWN = """
import numpy as np

from grok import Signal


def spread(weights):
    return [float(weights["w"].std()), float(weights["v"].std())]


def so_far(values):
    return np.maximum.accumulate(values[:, 0]) + np.cumsum(values[:, 1])


largest = Signal("largest", spread, so_far, needs=("weights",), title="spread of weights so far")
"""
NAMES = ("clock", "cosine", "gap", "loss", "rho", "weight_norm", "signals_of_my_own:largest")


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module with a signal that reads the history of what it measures at every epoch."""
    (tmp_path / "signals_of_my_own.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("signals_of_my_own", None)


CONFIG = dataclasses.replace(FULL, signals=NAMES)


def test_a_run_without_signals_is_as_it_was() -> None:
    assert names(FULL)[2] == USUAL_RECORDERS
    assert names(CONFIG)[2] == (*USUAL_RECORDERS, "signals")
    frame, plain = Recorded(CONFIG).member.run.frame(), Recorded(FULL).member.run.frame()
    assert set(frame) - set(plain) == {metric(name) for name in NAMES}
    for name in plain:
        np.testing.assert_array_equal(frame[name], plain[name], strict=True)


def test_signals_are_the_recorded_columns_bit_for_bit() -> None:
    frame = Recorded(CONFIG).member.run.frame()
    pairs = {"gap": "delta_w/gap_23", "loss": "loss/train", "cosine": "delta_w/cosine_distance", "rho": "features/rho"}
    for name, column in (pairs | {"clock": "epoch"}).items():
        np.testing.assert_array_equal(frame[f"signal/{name}"], frame[column].astype(float), err_msg=name)
    assert 0 < frame["signal/rho"].notna().sum() < len(frame)
    norm = series(find("weight_norm"), from_history(frame))
    np.testing.assert_array_equal(frame["signal/weight_norm"], norm)


def test_one_of_ones_own_is_due_as_it_says_and_reads_its_history() -> None:
    recorded = Recorded(CONFIG)
    column = recorded.member.run.frame()["signal/signals_of_my_own.largest"]
    assert column.notna().all()
    (live,) = [live for name, live in recorded.member.run.recordings["signals"].live.items() if "own" in name]
    values = np.array(live.values)
    np.testing.assert_array_equal(column, np.maximum.accumulate(values[:, 0]) + np.cumsum(values[:, 1]))


@pytest.mark.parametrize("stop", [1, 6, 16, 17, 24])
def test_it_goes_on_bit_for_bit(stop: int, tmp_path: Path) -> None:
    first = Recorded(CONFIG, stop=stop)
    assert first.state is not None
    files.save(tmp_path / "state.safetensors", *first.state)
    second, straight = Recorded(CONFIG, saved=files.load(tmp_path / "state.safetensors")), Recorded(CONFIG)
    assert_same(second.files["history.parquet"][1], straight.files["history.parquet"][1])
    assert second.member.run.rows == straight.member.run.rows


def test_a_stored_run_has_them_as_metrics_and_keeps_its_file(store: Store) -> None:
    config = dataclasses.replace(CONFIG, save_every=10)
    calls = iter(range(100))
    (stopped,) = train_tracked([config], store, should_stop=lambda: next(calls) == 13)
    (outcome,) = train_tracked([config], store, resume=[stopped.run_id])
    assert outcome.state == "complete"
    assert {metric(name) for name in NAMES} <= set(store.get(outcome.run_id).data.metrics)
    assert TrackedRun(store.client, outcome.run_id).list_files("code") == ["code/signals_of_my_own.py"]
    assert config.hash != FULL.hash


def test_what_the_network_does_not_give_is_refused_before_a_run_is_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = dataclasses.replace(two_layer.NETWORK, gives=("labels", "seed", "weights", "gradients"))
    monkeypatch.setattr(two_layer, "NETWORK", bare)
    told = r"^signals must need what the network gives \(labels, seed, weights, gradients\), got rho \(features\)\. Drop it\.$"
    with pytest.raises(ConfigError, match=told):
        train_tracked([CONFIG], store)
    assert not store.find({})
