"""What every network must hold, the project's and one of a file outside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from grok.networks.base import EVERY_NETWORK, Network, Stack, View
from grok.spec.plugins import NETWORKS, TASKS
from tests.contracts.own import CONFIG, own  # noqa: F401

EVERY = [*NETWORKS.names, "own"]
TASK = TASKS.find("modular")
SIZES = TASK.sizes(CONFIG)
CPU = torch.device("cpu")
SEEDS = (0, 3)


@pytest.fixture(params=EVERY)
def network(request: pytest.FixtureRequest) -> Network:
    name = request.param
    found = NETWORKS.find(f"{request.getfixturevalue('own')}:NETWORK" if name == "own" else name)
    assert isinstance(found, Network)
    return found


def built(network: Network, seeds: tuple[int, ...] = SEEDS) -> tuple[Stack, Any]:
    """Networks in float64 and their training batch."""
    stack = network.build(CONFIG, SIZES, seeds, CPU, torch.float64)
    problem = TASK.problem(CONFIG)
    inputs, labels = (
        getattr(problem, f"train_{part}").expand(len(seeds), *[-1] * n) for part, n in (("inputs", 2), ("labels", 1))
    )
    return stack, stack.batch(inputs, labels)


def test_layers_are_named_and_shaped_as_said(network: Network) -> None:
    stack, _ = built(network)
    assert network.title
    assert tuple(stack.layers) == tuple(stack.gradients) == network.layers == tuple(network.shapes(CONFIG, SIZES))
    for name, shape in network.shapes(CONFIG, SIZES).items():
        assert stack.layers[name].shape == stack.gradients[name].shape == (len(SEEDS), *shape)
        assert stack.layers[name].dtype == torch.float64


def test_a_seed_is_drawn_the_same_and_another_is_another(network: Network) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first, again = built(network)[0], built(network)[0]
    assert torch.equal(torch.get_rng_state(), before)
    for name, weights in first.layers.items():
        assert torch.equal(weights, again.layers[name])
        assert not torch.equal(weights[0], weights[1])


def test_the_gradient_is_that_of_the_loss(network: Network) -> None:
    """Central differences of ±1e-5 in float64: an error of about 1e-10 of the third derivative, and of 1e-11 by rounding."""
    stack, batch = built(network)
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


def test_parameters_share_memory_in_the_order_of_the_layers(network: Network) -> None:
    stack, _ = built(network)
    parameters = stack.parameters()
    assert len(parameters) == len(SEEDS) * len(network.layers)
    for place, parameter in enumerate(parameters):
        s, index = divmod(place, len(network.layers))
        name = network.layers[index]
        assert parameter.data_ptr() == stack.layers[name][s].data_ptr()
        assert parameter.grad is not None
        assert parameter.grad.data_ptr() == stack.gradients[name][s].data_ptr()


@torch.no_grad()
def test_a_seed_in_lockstep_is_that_seed_alone(network: Network) -> None:
    """Up to the order of sums in float64."""
    stack, batch = built(network)
    loss, accuracy = stack.loss_and_gradient(batch)
    for s, seed in enumerate(SEEDS):
        single, alone = built(network, (seed,))
        one_loss, one_accuracy = single.loss_and_gradient(alone)
        assert float(loss[s]) == pytest.approx(float(one_loss[0]), rel=1e-12)
        assert float(accuracy[s]) == float(one_accuracy[0])
        for name, weights in single.layers.items():
            assert torch.equal(stack.layers[name][s], weights[0])
            torch.testing.assert_close(stack.gradients[name][s], single.gradients[name][0], rtol=0, atol=1e-13)


@torch.no_grad()
def test_a_view_gives_what_the_network_says(network: Network) -> None:
    stack, batch = built(network)
    stack.loss_and_gradient(batch)
    view = View(stack, batch, 1, SEEDS[1], {})
    assert set(EVERY_NETWORK) <= set(network.gives)
    for need in network.gives:
        assert getattr(view, need) is not None
    assert view.labels.shape == (SIZES.train,)
    if "features" in network.gives:
        assert len(view.features) == SIZES.train
    if "readout" in network.gives:
        assert view.readout.shape == (view.features.shape[1], SIZES.classes)


@torch.no_grad()
def test_the_served_form_answers_as_the_network_does(network: Network) -> None:
    stack, batch = built(network)
    layers = {name: weights[1] for name, weights in stack.layers.items()}
    predict = network.predictor(layers, network.facts(CONFIG))
    problem = TASK.problem(CONFIG)
    scores = predict(problem.train_inputs.numpy())
    assert (scores.shape, scores.dtype) == ((SIZES.train, SIZES.classes), np.float64)
    right = (scores.argmax(axis=1) == problem.train_labels.numpy()).mean()
    assert right == pytest.approx(float(stack.evaluate(batch)[1][1]))
    for wrong in (-1, SIZES.symbols):
        with pytest.raises(ValueError, match="must be whole numbers"):
            predict(np.array([[0, wrong]]))


def test_what_is_said_of_it(network: Network) -> None:
    assert network.sentence(CONFIG).isprintable()
    assert network.flops(CONFIG, SIZES) > 0
    assert network.model_type


def test_the_words_of_the_two_layer_network() -> None:
    network = NETWORKS.find("two_layer")
    assert network.sentence(CONFIG) == "A two-layer network (σ = square, K = 16)"
    assert network.flops(CONFIG, SIZES) == 2 * 16 * 7 * (3 * 25 + 24)
