"""A store of the code after the move: read, gone on with, replayed and reused by later code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analysis.reading.evidence import Evidence
from grok.runs import train as runner
from grok.runs.replay import replay
from grok.store import lease
from grok.store.prior import run_config
from tests.frozen import frozen_store
from tests.frozen.after.make_store import ARCHIVE, CONFIGS
from tests.frozen.frozen_store import Frozen, named


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Frozen]:
    """A copy of the store, named by the environment."""
    monkeypatch.setattr(frozen_store, "ARCHIVE", ARCHIVE)
    found = frozen_store.unpack(tmp_path)
    with named(found):
        yield found


def test_runs_keep_their_identity_and_are_read(own: Frozen) -> None:
    for name, config in CONFIGS.items():
        run = own.store.get(own.ids[name])
        assert run.config_hash == config.hash == run_config(run).hash
    evidence = Evidence(own.store)
    run_id = own.ids["complete"]
    assert list(evidence.runs("headline")["run_id"]) == [run_id]
    config = CONFIGS["complete"].resolved()
    history = evidence.history(run_id)
    assert len(history) == config.epochs + 1
    assert np.isfinite(history["signal/gap"].iloc[config.window :]).any()
    assert evidence.band(run_id)["w"].shape == (config.epochs, config.max_window)
    assert sorted(evidence.factors(run_id)) == ["qr_v", "qr_w"]


def test_the_finished_run_is_reused_and_replayed(own: Frozen) -> None:
    run_id = own.ids["complete"]
    one = lease.take(own.store, CONFIGS["complete"].resolved())
    assert (one.run_id, one.done) == (run_id, True)
    assert replay(own.store, run_id).largest < 1e-6  # another processor rounds otherwise


@pytest.mark.parametrize("name", ["interrupted", "dead"])
def test_stopped_runs_go_on_from_their_states(own: Frozen, name: str) -> None:
    config = CONFIGS[name].resolved()
    one = lease.take(own.store, config)
    assert (one.run_id, one.made) == (own.ids[name], False)
    (outcome,) = runner.train_tracked([config], own.store, resume=[one.run])
    assert (outcome.run_id, outcome.state) == (own.ids[name], "complete")
    steps = [metric.step for metric in own.store.client.get_metric_history(one.run_id, "loss/train")]
    assert steps == list(range(config.epochs + 1))
