"""The network against one-hots and autograd, its initial weights, its blocks, activations of one's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grok.networks import two_layer as model
from grok.networks._activations import ACTIVATION_FUNCTIONS, activation
from grok.networks.two_layer import Batch, TwoLayerNetwork, initial_weights
from grok.numerics import linalg
from grok.spec.config import ACTIVATIONS
from grok.spec.fields import ConfigError
from grok.tasks.modular import modular_addition
from tests.helpers.gpu_path import gpu_path
from tests.helpers.references import SIGMA, identity, loss_and_gradient, one_hots, one_thread  # noqa: F401

M, K, N = 7, 24, 30
CPU = torch.device("cpu")
ROUNDING = 1e-12
"""Sums of at most K·n = 720 terms, each relative error ≤ 720 ε = 1.6e-13, over a handful of operations."""


def network_and_batch(name: str, seeds: tuple[int, ...] = (0,), scale: float = 3.0) -> tuple[TwoLayerNetwork, Batch]:
    network = TwoLayerNetwork.initialised(M, K, seeds, name, CPU, torch.float64)
    network.w *= scale  # default weights leave σ nearly linear
    problems = [modular_addition(M, N, seed) for seed in seeds]
    pairs, labels = (torch.stack([getattr(p, f"train_{part}") for p in problems]) for part in ("pairs", "labels"))
    return network, Batch(pairs, labels, M, CPU)


def test_every_activation_has_an_oracle() -> None:
    assert set(SIGMA) == set(ACTIVATIONS) == set(ACTIVATION_FUNCTIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_loss_and_gradient_equal_autograd(name: str) -> None:
    seeds = (0, 5)
    network, batch = network_and_batch(name, seeds)
    loss, accuracy = network.loss_and_gradient(batch)
    for s, seed in enumerate(seeds):
        problem = modular_addition(M, N, seed)
        expected = loss_and_gradient(network.w[s], network.v[s], problem.train_pairs, problem.train_labels, SIGMA[name])
        assert float(loss[s]) == pytest.approx(expected[0], rel=ROUNDING)
        assert float(accuracy[s]) == expected[1]
        for mine, autograds in ((network.grad_w[s], expected[2]), (network.grad_v[s], expected[3])):
            torch.testing.assert_close(mine, autograds, rtol=0, atol=ROUNDING * float(autograds.abs().max()))


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("name", ["square", "relu", "tanh"])
def test_float32_agrees_with_float64(name: str, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default path; sums of at most 720 terms, each off by ε of its size, with some cancellation."""
    monkeypatch.setattr(linalg, "ONEDNN", onednn and linalg.ONEDNN)
    exact, batch = network_and_batch(name, (0, 5))
    network = TwoLayerNetwork(exact.w.float(), exact.v.float(), name)
    for mine, reference in zip(network.loss_and_gradient(batch), exact.loss_and_gradient(batch), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=0)
    for mine, reference in ((network.grad_w, exact.grad_w), (network.grad_v, exact.grad_v)):
        torch.testing.assert_close(mine.double(), reference, rtol=0, atol=1e-5 * float(reference.abs().max()))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_equal_autograd(name: str) -> None:
    h = torch.linspace(-6, 6, 401, dtype=torch.float64, requires_grad=True)
    SIGMA[name](h).sum().backward()
    mine = ACTIVATION_FUNCTIONS[name]
    torch.testing.assert_close(mine.value(h.detach()), SIGMA[name](h).detach(), rtol=ROUNDING, atol=ROUNDING)
    torch.testing.assert_close(mine.derivative(h.detach()), h.grad, rtol=ROUNDING, atol=ROUNDING)
    assert torch.equal(mine.over(h.detach().clone()), mine.value(h.detach()))


@pytest.mark.parametrize("name", ["square", "relu", "tests.helpers.references:identity"])
def test_blocks_change_nothing_but_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, batch = network_and_batch(name)
    expected = (*whole.loss_and_gradient(batch), *whole.evaluate(batch), whole.features(batch), whole.grad_w, whole.grad_v)
    monkeypatch.setattr(model, "LEAST_ROWS", 1)
    monkeypatch.setattr(model, "BLOCK_VALUES", 7 * K)  # blocks of 7 rows at most: 30 samples in 5 uneven blocks
    split, _ = network_and_batch(name)
    sizes = [block.rows.stop - block.rows.start for block in batch.blocks(7)]
    assert (sum(sizes), len(sizes), max(sizes) <= 7) == (N, 5, True)
    got = (*split.loss_and_gradient(batch), *split.evaluate(batch), split.features(batch), split.grad_w, split.grad_v)
    for mine, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, reference, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", ["square", "relu", "tests.helpers.references:identity"])
def test_a_gpu_has_one_block_with_the_bits_of_one_on_a_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, whose products are the same; whatever the blocks of a CPU would be."""

    def computed(network: TwoLayerNetwork, batch: Batch) -> tuple[torch.Tensor, ...]:
        scores = *network.loss_and_gradient(batch), *network.evaluate(batch)
        return *scores, network.features(batch), network.grad_w, network.grad_v

    whole, batch = network_and_batch(name, (0, 5))
    assert len(batch.blocks(whole.block_rows)) == 1
    expected = computed(whole, batch)
    monkeypatch.setattr(model, "LEAST_ROWS", 1)
    monkeypatch.setattr(model, "BLOCK_VALUES", 7 * K)
    other, batch = network_and_batch(name, (0, 5))
    assert len(batch.blocks(other.block_rows)) > 1
    with gpu_path():
        assert len(batch.blocks(other.block_rows)) == 1
        found = computed(other, batch)
    assert all(torch.equal(mine, reference) for mine, reference in zip(found, expected, strict=True))


def test_evaluate_equals_training_score_and_keeps_the_gradient() -> None:
    network, batch = network_and_batch("relu", (1, 2))
    scored = network.loss_and_gradient(batch)
    gradient = network.grad_w.clone()
    evaluated = network.evaluate(batch)
    for mine, reference in zip(evaluated, scored, strict=True):
        torch.testing.assert_close(mine, reference, rtol=ROUNDING, atol=0)
    assert torch.equal(network.grad_w, gradient)


def test_gradient_is_fresh_each_time() -> None:
    network, batch = network_and_batch("square")
    network.loss_and_gradient(batch)
    once = network.grad_w.clone()
    network.loss_and_gradient(batch)
    assert torch.equal(network.grad_w, once)


def test_features_are_sigma_of_one_hots_times_w() -> None:
    network, batch = network_and_batch("square", (0, 1))
    for s, features in enumerate(network.features(batch)):
        x = one_hots(modular_addition(M, N, s).train_pairs, M)
        torch.testing.assert_close(features, (x @ network.w[s]) ** 2, rtol=ROUNDING, atol=ROUNDING)


def test_loss_of_a_silent_network_is_known() -> None:
    network, batch = network_and_batch("square", scale=0.0)
    loss, _ = network.loss_and_gradient(batch)
    assert float(loss[0]) == pytest.approx(1 - 1 / M, rel=ROUNDING)
    assert not network.grad_w.any()


# ---- initial weights -------------------------------------------------------------------------------------------------


def test_initial_weights_are_torchs_in_the_protocols_order() -> None:
    w, v = initial_weights(M, K, seed=4)
    torch.manual_seed(4)
    first, second = nn.Linear(2 * M, K, bias=False), nn.Linear(K, M, bias=False)
    assert torch.equal(w, first.weight.T)
    assert torch.equal(v, second.weight.T)
    assert (w.dtype, w.shape, v.shape) == (torch.float32, (2 * M, K), (K, M))


def test_initial_weights_leave_the_global_generator_alone() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = initial_weights(M, K, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again, other = initial_weights(M, K, seed=0), initial_weights(M, K, seed=1)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_parameters_share_memory() -> None:
    network, batch = network_and_batch("square", (0, 1))
    network.loss_and_gradient(batch)
    parameters = network.parameters()
    assert [tuple(p.shape) for p in parameters] == [(2 * M, K), (K, M)] * 2
    assert torch.equal(parameters[2].grad, network.grad_w[1])
    with torch.no_grad():
        parameters[3].zero_()
    assert not network.v[1].any()
    assert network.v[0].any()


# ---- activations of one's own ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "sigma"), [("torch:sin", torch.sin), ("tests.helpers.references:identity", identity)])
def test_custom_activation(name: str, sigma: object) -> None:
    """`identity` returns its argument: the gradient must not write over what the derivative still needs."""
    network, batch = network_and_batch(name)
    with torch.no_grad():
        loss, _ = network.loss_and_gradient(batch)
    problem = modular_addition(M, N, 0)
    expected = loss_and_gradient(network.w[0], network.v[0], problem.train_pairs, problem.train_labels, sigma)
    assert float(loss[0]) == pytest.approx(expected[0], rel=ROUNDING)
    torch.testing.assert_close(network.grad_w[0], expected[2], rtol=0, atol=ROUNDING * float(expected[2].abs().max()))


@pytest.mark.parametrize("name", ["no_such_module:f", "torch:no_such_function", "swish", "torch.sin"])
def test_unknown_activation_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^activation must .*, got {name}.*\. [^\n]+\.$") as caught:
        activation(name)
    assert "\n" not in str(caught.value)


def test_alias() -> None:
    assert activation("x2") is activation("square")
