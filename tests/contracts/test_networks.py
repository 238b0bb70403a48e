"""What every network must hold, the project's and one of a file outside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from grok.networks.base import EVERY_NETWORK, Network, Stack, View
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import NETWORKS, TASKS
from grok.tasks.base import IGNORED, Problem, Sizes
from tests.contracts.own import CONFIG, own  # noqa: F401

EVERY = [*NETWORKS.names, "own", "transformer on dyck"]
SEQUENCES = {"seq2seq": "scan", "seq2seq_mini": "scan", "transformer on dyck": "dyck"}
"""The task of a network that is not held to modular addition."""
FEW = 6
"""Samples of a sequence task, which are long."""
CPU = torch.device("cpu")
SEEDS = (0, 3)


class Case(NamedTuple):
    """A network, and a small problem that it can learn."""

    network: Network
    config: ResolvedConfig
    sizes: Sizes
    problem: Problem


@pytest.fixture(params=EVERY)
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    found = NETWORKS.find(f"{request.getfixturevalue('own')}:NETWORK" if name == "own" else name.partition(" ")[0])
    assert isinstance(found, Network)
    task = TASKS.find(SEQUENCES.get(name, "modular"))
    if name not in SEQUENCES:
        return Case(found, CONFIG, task.sizes(CONFIG), task.problem(CONFIG))
    config = RunConfig(task=SEQUENCES[name], network=name.partition(" ")[0], n_train=FEW).resolved()
    return Case(found, config, task.sizes(config), task.problem(config))


def built(case: Case, seeds: tuple[int, ...] = SEEDS) -> tuple[Stack, Any]:
    """Networks in float64 and their training batch."""
    stack = case.network.build(case.config, case.sizes, seeds, CPU, torch.float64)
    inputs, labels = (
        part.expand(len(seeds), *[-1] * part.dim()) for part in (case.problem.train_inputs, case.problem.train_labels)
    )
    return stack, stack.batch(inputs, labels)


def test_layers_are_named_and_shaped_as_said(case: Case) -> None:
    stack, _ = built(case)
    assert case.network.title
    assert (
        tuple(stack.layers)
        == tuple(stack.gradients)
        == case.network.layers
        == tuple(case.network.shapes(case.config, case.sizes))
    )
    for name, shape in case.network.shapes(case.config, case.sizes).items():
        assert stack.layers[name].shape == stack.gradients[name].shape == (len(SEEDS), *shape)
        assert stack.layers[name].dtype == torch.float64


def test_a_seed_is_drawn_the_same_and_another_is_another(case: Case) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first, again = built(case)[0], built(case)[0]
    assert torch.equal(torch.get_rng_state(), before)
    for name, weights in first.layers.items():
        assert torch.equal(weights, again.layers[name])
        assert not torch.equal(weights[0], weights[1])


def test_the_gradient_is_that_of_the_loss(case: Case) -> None:
    """Central differences of ±1e-5 in float64: an error of about 1e-10 of the third derivative, and of 1e-11 by rounding."""
    stack, batch = built(case)
    with torch.no_grad():
        loss, _ = stack.loss_and_gradient(batch)
        assert torch.allclose(loss, stack.evaluate(batch)[0], rtol=1e-12)
        gradients = {name: gradient.clone() for name, gradient in stack.gradients.items()}
        generator = torch.Generator().manual_seed(0)
        for name, weights in stack.layers.items():
            direction = torch.randn(weights[1].shape, generator=generator, dtype=torch.float64)
            ends = []
            for side in (1e-5, -2e-5, 1e-5):  # the last puts it back
                weights[1] += side * direction
                ends.append(stack.evaluate(batch)[0])
            slope = (ends[0] - ends[1]) / 2e-5
            assert float(slope[1]) == pytest.approx(float((gradients[name][1] * direction).sum()), rel=1e-6, abs=1e-9)
            assert float(slope[0]) == 0.0  # of the other seed
            assert float(gradients[name][1].abs().max()) > 0


def test_parameters_share_memory_in_the_order_of_the_layers(case: Case) -> None:
    stack, _ = built(case)
    parameters = stack.parameters()
    assert len(parameters) == len(SEEDS) * len(case.network.layers)
    for place, parameter in enumerate(parameters):
        s, index = divmod(place, len(case.network.layers))
        name = case.network.layers[index]
        assert parameter.data_ptr() == stack.layers[name][s].data_ptr()
        assert parameter.grad is not None
        assert parameter.grad.data_ptr() == stack.gradients[name][s].data_ptr()


@torch.no_grad()
def test_a_seed_in_lockstep_is_that_seed_alone(case: Case) -> None:
    """Up to the order of sums in float64."""
    stack, batch = built(case)
    loss, accuracy = stack.loss_and_gradient(batch)
    for s, seed in enumerate(SEEDS):
        single, alone = built(case, (seed,))
        one_loss, one_accuracy = single.loss_and_gradient(alone)
        assert float(loss[s]) == pytest.approx(float(one_loss[0]), rel=1e-12)
        assert float(accuracy[s]) == float(one_accuracy[0])
        for name, weights in single.layers.items():
            assert torch.equal(stack.layers[name][s], weights[0])
            torch.testing.assert_close(stack.gradients[name][s], single.gradients[name][0], rtol=0, atol=1e-13)


@torch.no_grad()
def test_a_view_gives_what_the_network_says(case: Case) -> None:
    stack, batch = built(case)
    stack.loss_and_gradient(batch)
    view = View(stack, batch, 1, SEEDS[1], {})
    assert set(EVERY_NETWORK) <= set(case.network.gives)
    for need in case.network.gives:
        assert getattr(view, need) is not None
    assert view.labels.shape == case.problem.train_labels.shape
    if "features" in case.network.gives:
        assert len(view.features) == case.sizes.train
    if "readout" in case.network.gives:
        assert view.readout.shape == (view.features.shape[1], case.sizes.classes)


@torch.no_grad()
def test_the_served_form_answers_as_the_network_does(case: Case) -> None:
    stack, batch = built(case)
    layers = {name: weights[1] for name, weights in stack.layers.items()}
    predict = case.network.predictor(layers, case.network.facts(case.config))
    labels, sizes = case.problem.train_labels, case.sizes
    scores = predict(case.problem.train_inputs.numpy())
    assert (scores.shape, scores.dtype) == ((*labels.shape, sizes.classes), np.float64)
    right = scores.argmax(axis=-1) == labels.numpy()
    counted = labels.numpy() != IGNORED
    whole = case.config.task == "scan"  # a sequence is right if all of it is
    mean = (right | ~counted).all(axis=1).mean() if whole else right[counted].mean()
    assert mean == pytest.approx(float(stack.evaluate(batch)[1][1]))
    for wrong in (-1, sizes.symbols):
        inputs = case.problem.train_inputs[:1].clone()
        inputs[0, 1] = wrong
        with pytest.raises(ValueError, match="must be whole numbers"):
            predict(inputs.numpy())


def test_what_is_said_of_it(case: Case) -> None:
    assert case.network.sentence(case.config).isprintable()
    assert case.network.flops(case.config, case.sizes) > 0
    assert case.network.model_type


def test_the_words_of_the_two_layer_network() -> None:
    network = NETWORKS.find("two_layer")
    assert network.sentence(CONFIG) == "A two-layer network (σ = square, K = 16)"
    assert network.flops(CONFIG, TASKS.find("modular").sizes(CONFIG)) == 2 * 16 * 7 * (3 * 25 + 24)
