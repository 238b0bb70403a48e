"""The table of signals of a run as it trains: that of the finished run, whether it stopped or not."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from grok.networks.base import View
from grok.numerics import geometry
from grok.recorders import _battery, _minibatches, signal_table
from grok.recorders._battery import TABLE, VERSIONS
from grok.runs import signals as room
from grok.runs.finished import Finished
from grok.runs.saving import get
from grok.runs.train import train_tracked
from grok.spec.artifacts import HISTORY
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import EVERY, SIGNALS, USUAL_RECORDERS
from grok.store.store import Store
from grok.training.loop import Training
from grok.training.parts import names, network_of, task_of
from tests.conftest import TINY
from tests.contracts.test_recorders import Recorded, assert_same
from tests.helpers.gpu_path import gpu_path

EPOCHS = tuple(range(0, 65, 8))
PAIRS = RunConfig(
    network="one_layer_transformer",
    task="multiplication",
    modulus=7,
    n_train=24,
    epochs=6,
    window=4,
    max_window=6,
    checkpoint_epochs=(0, 6),
    threads=1,
)
SMALL = {"network": "two_layer", "width": 16, "top_pairs": 9}


def stored(store: Store, run_id: str) -> pd.DataFrame:
    return cast(pd.DataFrame, get(Finished.of(store, store.get(run_id)).tracked, TABLE).content)


def test_it_is_that_of_the_finished_run_after_a_stop(store: Store, tiny: Any) -> None:
    """Two seeds in lockstep, one of which stops between two epochs of the table, once it has memorised, and goes on alone."""
    config = tiny(n_train=60, learning_rate=0.02, signals=(EVERY,), signal_every=8, costly_every=2)
    calls = iter(range(1000))
    both = [config, dataclasses.replace(config, seed=1)]
    stopped = train_tracked(both, store, figures=None, should_stop=lambda: next(calls) == 43)
    assert [one.state for one in stopped] == ["interrupted"] * 2
    (outcome,) = train_tracked([config], store, figures=None, resume=[stopped[0].run_id])
    run = Finished.of(store, store.get(outcome.run_id))
    live, after = stored(store, outcome.run_id), room.compute(run, room.usable(run.config, SIGNALS.names), EPOCHS, 2)
    pd.testing.assert_frame_equal(live, after, check_exact=True)
    assert live.loc[live["signal"] == "angle_from_t_mem", "value"].max() > 0  # it did memorise, and something moved since
    assert live.loc[live["signal"] == "commutator", "epoch"].unique().tolist() == list(EPOCHS[::2])
    assert room.signals_of_run(store, store.get(outcome.run_id), epochs=EPOCHS, costly_every=2) == 0
    assert not [name for name in get(run.tracked, HISTORY).content if str(name).startswith("signal/")]


def test_it_goes_on_bit_for_bit_with_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_minibatches, "DRAWS", 1)
    monkeypatch.setattr(_minibatches, "BATCH", 4)
    config = dataclasses.replace(PAIRS, signals=(EVERY,), signal_every=2, costly_every=2)
    first, straight = Recorded(config, stop=3), Recorded(config)
    second = Recorded(config, saved=first.state)
    for path in (TABLE, VERSIONS):
        assert_same(second.files[path][1], straight.files[path][1])
    table = cast(pd.DataFrame, straight.files[TABLE][1].content)
    assert {"head_entropy", "tuned_neurons", "commutator"} <= set(table["signal"])
    assert np.isfinite(table.loc[table["signal"] == "head_entropy", "value"]).all()


def test_it_is_no_part_of_a_run_s_identity(tiny: Any) -> None:
    plain = tiny()
    config = dataclasses.replace(plain, signals=(EVERY,), signal_every=8)
    assert config.hash == plain.hash
    assert names(config)[2] == (*USUAL_RECORDERS, "signal_table")
    named = dataclasses.replace(plain, signals=("lar", "loss"), signal_every=8)
    assert named.hash != plain.hash  # their metrics are
    assert names(named)[2] == (*USUAL_RECORDERS, "signals", "signal_table")
    assert set(Recorded(named).files[TABLE][1].content["signal"]) == {"lar", "loss"}


def test_a_run_that_began_without_it_goes_on_without(tiny: Any) -> None:
    config = tiny()
    saved = Recorded(config, stop=20).state
    files = Recorded(dataclasses.replace(config, signals=(EVERY,), signal_every=8), saved=saved).files
    assert TABLE not in files
    assert "history.parquet" in files


@pytest.mark.parametrize("changed", [{"costly_every": 2}, {"signal_every": 2}])
def test_values_of_one_cadence_are_not_taken_for_those_of_another(tiny: Any, changed: dict[str, int]) -> None:
    config = tiny(signals=(EVERY,), signal_every=4, costly_every=4)
    saved = Recorded(config, stop=20).state
    assert TABLE in Recorded(config, saved=saved).files
    assert TABLE not in Recorded(dataclasses.replace(config, **changed), saved=saved).files


def test_values_of_older_code_are_not_taken_for_those_of_today(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(signals=("lar",), signal_every=4)
    saved = Recorded(config, stop=20).state
    assert TABLE in Recorded(config, saved=saved).files
    newer = {name: dataclasses.replace(one, version=one.version + 1) for name, one in _battery.usable(config, ("lar",)).items()}
    monkeypatch.setattr(signal_table, "usable", lambda *_: newer)
    assert TABLE not in Recorded(config, saved=saved).files


def test_a_run_that_began_with_it_goes_on_with_it_whoever_asks(store: Store, tiny: Any) -> None:
    plain = tiny(n_train=60, learning_rate=0.02)
    calls = iter(range(1000))
    config = dataclasses.replace(plain, signals=(EVERY,), signal_every=8, costly_every=2)
    (stopped,) = train_tracked([config], store, figures=None, should_stop=lambda: next(calls) == 43)
    (outcome,) = train_tracked([plain], store, figures=None, resume=[stopped.run_id])
    assert outcome.state == "complete"
    table = stored(store, outcome.run_id)
    assert set(table.loc[table["signal"] == "lar", "epoch"]) == set(EPOCHS)


def test_what_cannot_be_is_refused_before_a_run_is_made(store: Store, tiny: Any) -> None:
    with pytest.raises(ConfigError, match=r"^signals must be names, or all alone with signal_every above 0, got all\. Set"):
        tiny(signals=(EVERY,))
    with pytest.raises(ConfigError, match="names, or all alone"):
        tiny(signals=(EVERY, "lar"), signal_every=8)
    told = r"^signals must be what this network and task can feed, got tuned_neurons\. Drop them, or take all\.$"
    with pytest.raises(ConfigError, match=told):
        train_tracked([tiny(signals=("tuned_neurons", "loss"), signal_every=8)], store)
    assert not store.find({})


def test_a_state_is_brought_to_tridiagonal_form_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other signals ask of held-out features in between."""
    config, made = TINY.resolved(), []
    real = geometry.tridiagonal
    monkeypatch.setattr(geometry, "tridiagonal", lambda matrix: made.append(1) or real(matrix))
    names = ("anisotropy", "ildr", "ildr_train", "lar", "mixture_precision", "spectral_entropy")
    battery = _battery.Battery(config, network_of(config), task_of(config), _battery.usable(config, names))
    weights = {name: layer[0] for name, layer in battery.stack.layers.items()}
    battery.see(0, weights, memorised=False)
    assert len(made) == 1


@pytest.mark.parametrize("changed", [SMALL, SMALL | {"activation": "gelu"}, {"network": "shared_mlp"}])
def test_what_a_run_has_is_handed_over_with_the_bits_that_are_computed(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features and gradient, of one seed that trains on all samples; neither is computed again."""
    config = dataclasses.replace(PAIRS, **{"task": "modular"} | changed)
    names = ("gradient_norm", "ildr_train", "lar")
    config = dataclasses.replace(config, signals=names, signal_every=2, checkpoint_epochs=())
    handed = signal_table.SignalTable._given
    tables, given = [], list[set[str]]()

    def told(self: signal_table.SignalTable, view: Any) -> dict[str, Any]:
        found = handed(self, view)
        given.append(set(found))
        return found

    for over in (told, lambda self, view: {}):
        monkeypatch.setattr(signal_table.SignalTable, "_given", over)
        tables.append(Recorded(config).files[TABLE][1].content)
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert given == [{"features", "gradients"}] * 4
    assert tables[0]["value"].notna().all()


@pytest.mark.parametrize(
    ("changed", "given"),
    [({}, {"features", "gradients"}), ({"batch_size": 12}, set()), ({"rounding": "mkl-256-1"}, set())],
)
def test_only_what_has_the_same_bits_is_handed_over(changed: Any, given: set[str]) -> None:
    """A drawn batch has other features: a signal that has labels beside them was not to be computed."""
    config = dataclasses.replace(PAIRS, task="modular", signals=("ildr_train",), **SMALL)
    config = dataclasses.replace(config, signal_every=2, checkpoint_epochs=(), **changed)
    for seeds, less in (((0,), set()), ((0, 1), {"gradients"})):
        training = Training(config, seeds)
        step = next(iter(training))
        view = View(training.network, training.batches.train, 0, 0, {}, training.batches.test)
        table = signal_table.SignalTable(training.runs[0])
        assert set(table._given(view)) == given - less
        with gpu_path():
            assert table._given(view) == {}
        table.see(step, view)


def test_a_gradient_that_is_handed_over_is_not_given_away(tiny: Any) -> None:
    """A signal that writes over its needs must not write into the gradient that trains."""
    config = tiny().resolved()
    stack, own = _battery.built(config, network_of(config), task_of(config)), {"w": torch.ones(2), "v": torch.ones(3)}
    state = _battery.State(config, task_of(config).problem(config), stack, None, given={"gradients": lambda: own})
    state.gradients["w"].zero_()
    assert own["w"].sum() == 2
