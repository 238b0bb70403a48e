"""Signals of networks of pairs, of sums and of products, from stored states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from grok.numerics import harmonics
from grok.recorders import _battery, _minibatches
from grok.recorders._battery import put_weights
from grok.runs import signals as room
from grok.runs.finished import Finished, untrained
from grok.signals.base import find
from grok.spec.config import RunConfig
from grok.spec.plugins import SIGNALS
from grok.training.parts import task_of

EPOCHS = (0, 7, 12)
CASES = [("shared_mlp", "modular"), ("one_layer_transformer", "multiplication")]
HEADS = {"head_cosine", "head_entropy", "head_participation"}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def run(request: pytest.FixtureRequest, session_store: Any, finish: Any) -> Finished:
    network, task = request.param
    config = RunConfig(
        network=network, task=task, modulus=11, epochs=12, checkpoint_epochs=(0, 12), observe_every=0, max_window=6, window=6
    )
    done = finish(session_store, config)
    return Finished.of(done.store, done.store.get(done.outcome.run_id))


def test_every_signal_that_the_network_can_feed_has_its_values(run: Finished) -> None:
    usable = room.usable(run.config, SIGNALS.names)
    attends = run.config.network == "one_layer_transformer"
    assert HEADS & set(usable) == (HEADS if attends else set())
    assert {"characters", "tuned_neurons", "commutator", "fve", "effective_rank_v"} <= set(usable)
    assert ("fiedler" in usable) is not attends
    assert not {"fourier_dominance", "effective_rank_w"} & set(usable)
    table = room.compute(run, usable, EPOCHS)
    seen = table[table["value"].notna()].groupby("signal")["epoch"].apply(set)
    late = {name for name in usable if find(name).over is not None} | {"angle_from_t_mem", "gap", "cosine", "first_passage"}
    late |= {"test_loss_turnover"}  # from memorisation on, which does not come here
    for name in set(usable) - late:
        assert set(EPOCHS) <= seen[name], name


def test_the_grid_is_in_the_order_of_the_group(run: Finished) -> None:
    """Entry (i, j, k) is the output for the pair of the i-th and j-th elements at the k-th; a solution is explained whole."""
    stack = put_weights(untrained(run.config), run.weights(12))
    problem = task_of(run.config).problem(run.config)
    with torch.no_grad():
        state = _battery.State(run.config, problem, stack, None)
        order, size = state.order, len(state.order)
        grid = state.grid_logits.view(size, size, size)
        pair = torch.stack((order[2], order[5]))[None]
        outputs = stack.features(stack.batch(pair[None], torch.zeros(1, 1, dtype=torch.int64)))[0, 0] @ stack.readout()[0]
        torch.testing.assert_close(grid[2, 5], outputs[order], rtol=1e-4, atol=1e-5)
        assert bool(torch.isfinite(grid).all())
        labels = (torch.arange(size)[:, None] + torch.arange(size)) % size
        for (i, j), label in zip(state.inputs.tolist(), state.grid_labels.tolist(), strict=True):
            assert labels[i, j] == label  # products are sums in this order
        right = torch.nn.functional.one_hot(labels, size).double().flatten(0, 1)
        assert harmonics.explained(right, size) == pytest.approx(1)


def test_minibatch_gradients_are_those_of_the_loss(run: Finished) -> None:
    """The first is the gradient that training would take on that batch."""
    config = run.config
    problem, stack = task_of(config).problem(config), put_weights(untrained(config), run.weights(12))
    found = _minibatches.minibatch_gradients(config, problem, stack)
    rows = np.random.default_rng(config.seed).integers(0, len(problem.train_inputs), _minibatches.BATCH)
    stack.loss_and_gradient(stack.batch(problem.train_inputs[rows][None], problem.train_labels[rows][None]))
    closed = torch.cat([gradient[0].flatten() for gradient in stack.gradients.values()])
    torch.testing.assert_close(found[0, 0].float(), closed, rtol=1e-3, atol=1e-6)
    assert isinstance(room.compute(run, {"commutator": find("commutator")}, (12,)), pd.DataFrame)
