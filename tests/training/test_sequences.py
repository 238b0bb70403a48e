"""Sampled batches, evaluation at snapshots and switches: resumed bit for bit, and every field of theirs does something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from grok.numerics.edge import edge
from grok.runs.member import Member
from grok.spec.config import ResolvedConfig, RunConfig
from grok.training.interventions import along
from grok.training.loop import Training

SMALL: dict[str, Any] = {
    "task": "dyck",
    "epochs": 12,
    "batch_size": 4,
    "evaluate_every": 4,
    "eval_sequences": 20,
    "options": "edge_intervals=2+4;edge_rows=5",
    "learning_rate": 1e-2,
    "window": 5,
    "slope_lag": 2,
    "save_every": 0,
    "threads": 1,
    "device": "cpu",
    "seed": 42,
}


def small(**changes: Any) -> ResolvedConfig:
    return RunConfig(**SMALL | changes).resolved()


class Trained:
    """A run without a store, from a state on if one is given; stopped before an epoch if one is named."""

    def __init__(self, config: ResolvedConfig, saved: tuple[Any, Any] | None = None, stop: int | None = None) -> None:
        self.training = training = Training(config)
        self.member = member = Member(training, 0)
        self.state: tuple[Mapping[str, torch.Tensor], Mapping[str, Any]] | None = None
        if saved is not None:
            training.load([member.restore(*saved)])
            member.resume()
        for step in training:
            if step.epoch == stop:
                self.state = member.state()
                return
            member.add(step, step.scores[0].numpy())
            if training.block_complete or step.epoch == config.epochs:
                member.extend()

    @property
    def frame(self) -> pd.DataFrame:
        return self.member.run.frame()

    @property
    def weights(self) -> dict[str, np.ndarray]:
        return {name: value[0].numpy().copy() for name, value in self.training.weights.items()}


@pytest.fixture(scope="module")
def straight() -> Trained:
    return Trained(small())


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8, 11, 12])
def test_it_goes_on_bit_for_bit(straight: Trained, stop: int) -> None:
    saved = Trained(small(), stop=stop).state
    assert saved is not None
    again = Trained(small(), saved)
    for name, value in straight.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
    pd.testing.assert_frame_equal(again.frame, straight.frame)
    mine, theirs = (run.member.run.recordings["edge"].state()[0] for run in (again, straight))
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(mine[name], tensor, err_msg=name)


def test_scan_goes_on_bit_for_bit() -> None:
    parts = {"task": "scan", "network": "seq2seq_mini", "n_train": 12, "options": "edge_intervals=2;edge_rows=5"}
    config = small(**parts, epochs=5, evaluate_every=2, eval_sequences=6)
    whole = Trained(config)
    for stop in (1, 2, 4):
        saved = Trained(config, stop=stop).state
        assert saved is not None
        again = Trained(config, saved)
        pd.testing.assert_frame_equal(again.frame, whole.frame)
        for name, value in whole.weights.items():
            np.testing.assert_array_equal(again.weights[name], value)


def test_the_history_has_a_row_per_snapshot_and_every_named_column(straight: Trained) -> None:
    history = straight.member.run.history()
    assert history["step"].tolist() == history["epoch"].tolist() == [0, 4, 8, 12]
    names = {f"accuracy/{part}" for part in ("train", "test", "test_unseen_prefix")} | {"norm/attention", "norm/all"}
    edges = ("grad_share", "grad_share_trapezoid", "energy_gradient", "energy_decay", "cross", "cos2_theta", "cos2_theta_0")
    names |= {f"edge/{name}" for name in (*edges, "lambda_1", "lambda_2", "lambda_3")}
    assert names <= set(history)
    assert history.loc[2:, sorted(names - {"edge/lambda_3"})].notna().all(axis=None)
    assert history["edge/lambda_3"].notna().tolist() == [False, False, False, True]
    norms = history[["norm/attention", "norm/rest"]].to_numpy()
    np.testing.assert_allclose(history["norm/all"], np.sqrt((norms**2).sum(axis=1)), rtol=1e-6)  # one is float32
    idle = 24 * 128  # rows of the position table from N(0, 1) that only decay: at step 0 their square is χ² of as many degrees
    off = history["norm/all"].iloc[0] ** 2 - history["norm/used"].iloc[0] ** 2
    assert off == pytest.approx(idle, abs=5 * (2 * idle) ** 0.5)


def test_the_metrics_are_the_attention_s_where_all_parameters_are_kept(straight: Trained) -> None:
    whole = Trained(small(options="edge_intervals=2+4;edge_rows=5;edge_layers=all"))
    names = [name for name in straight.frame if name.startswith("edge/")]
    pd.testing.assert_frame_equal(whole.frame[names], straight.frame[names])
    mine, theirs = (run.member.run.recordings["edge"].ledger(4) for run in (whole, straight))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(mine.dd[..., :-1], theirs.dd)
    everything = float(whole.member.run.recordings["edge"].ledger(4).of().tt[-1]) ** 0.5  # type: ignore[attr-defined]
    assert everything == pytest.approx(float(whole.frame["norm/all"].iloc[-1]), rel=1e-6)


def test_batches_are_those_of_one_global_generator() -> None:
    """As a script would draw them: the generator that drew the weights goes on."""
    training = Training(small())
    iterator = iter(training)
    drawn = [training.batches.train.inputs[0].clone() for _ in zip(range(3), iterator, strict=False)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(42)
        training.problems[0]
        from grok.networks.transformer import Encoder
        from grok.spec.plugins import TASKS

        Encoder(TASKS.find("dyck").sizes(small()))
        rows = [torch.randint(0, 50, (4,)) for _ in range(3)]
    for found, index in zip(drawn, rows, strict=True):
        assert torch.equal(found, training.problems[0].train_inputs[index])


def test_decay_and_adam_make_up_the_change_exactly() -> None:
    """The running sum against the optimiser's own arithmetic; float32 rounds a weight of about 0.1 by 4e-9 a step."""
    config = small(epochs=4, options="edge_intervals=4;edge_rows=5", evaluate_every=4)
    training = Training(config)
    decay = torch.zeros(131072, dtype=torch.float64)
    for step in training:
        if step.epoch < 4:
            decay -= 1e-2 * step.weights["attention"][0].double()
    kept = training.runs[0].recordings["edge"].keepers[4]  # type: ignore[attr-defined]
    assert float(kept.ledger().of().ww[0]) == pytest.approx(float(decay.square().sum()), rel=1e-6)  # rows are float32
    np.testing.assert_array_equal(kept.ledger().rate, [pytest.approx(4e-2, rel=1e-12)])


@pytest.mark.parametrize(
    "changes",
    [
        {"eval_sequences": 10},
        {"initial_scale": 4.0},
        {"labels": "prefix"},
        {"labels": "random"},
        {"switch_at": 4, "switch_weight_decay": 0.0},
        {"switch_at": 4, "switch_state": "reset"},
        {"switch_at": 4, "switch_update": "unaligned"},
        {"switch_at": 4, "switch_update": "aligned"},
    ],
    ids=str,
)
def test_no_parameter_without_proof(straight: Trained, changes: dict[str, Any]) -> None:
    assert not Trained(small(**changes)).frame.equals(straight.frame)


def test_a_switch_that_changes_nothing_leaves_the_weights_and_begins_new_windows(straight: Trained) -> None:
    switched = Trained(small(switch_at=8))
    for name, value in straight.weights.items():
        np.testing.assert_array_equal(switched.weights[name], value)
    ledger = switched.member.run.recordings["edge"].ledger(4)  # type: ignore[attr-defined]
    assert ledger.first.tolist() == [0, 1, 2]
    assert [edge(ledger.of(), end, 5) for end in (2, 3)] == [None, None]
    assert edge(straight.member.run.recordings["edge"].ledger(4).of(), 3, 5) is not None  # type: ignore[attr-defined]


def test_the_part_of_an_update_along_the_weights() -> None:
    update, weights = torch.tensor([3.0, 4.0]).double(), torch.tensor([2.0, 0.0]).double()
    assert (update + along(update, weights, "unaligned")).tolist() == [0.0, 4.0]
    assert (update + along(update, weights, "aligned")).tolist() == [-3.0, 4.0]
    assert (-update + along(-update, weights, "aligned")).tolist() == [-3.0, -4.0]


def test_seeds_in_lockstep_are_those_seeds_alone() -> None:
    training = Training(small(epochs=3), (42, 137))
    for _ in training:
        pass
    for place, seed in enumerate((42, 137)):
        alone = Trained(small(epochs=3, seed=seed))
        for name, value in alone.weights.items():
            np.testing.assert_array_equal(training.weights[name][place].numpy(), value)
