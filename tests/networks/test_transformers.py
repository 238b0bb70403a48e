"""The published sizes, initial weights and first losses; padding and buckets change nothing."""

from __future__ import annotations

import pytest
import torch

from grok.networks.base import Stack
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import NETWORKS, TASKS
from grok.training.loop import Training

CPU = torch.device("cpu")


def stack(config: ResolvedConfig, dtype: torch.dtype = torch.float32) -> Stack:
    sizes = TASKS.find(config.task).sizes(config)
    built: Stack = NETWORKS.find(config.network).build(config, sizes, (config.seed,), CPU, dtype)
    return built


@pytest.mark.parametrize(
    ("parts", "attention", "every"),
    [
        ({"task": "dyck"}, 131072, 273421),
        ({"task": "scan"}, 2359296, 3979529),
        ({"task": "scan", "network": "seq2seq_mini"}, 393216, 675465),
        ({"task": "modular", "network": "transformer", "modulus": 97}, 131072, 290401),
    ],
)
def test_the_published_sizes(parts: dict[str, str], attention: int, every: int) -> None:
    layers = stack(RunConfig(**parts).resolved()).layers
    assert layers["attention"].numel() == attention
    assert sum(layer.numel() for layer in layers.values()) == every


@pytest.mark.parametrize(
    ("seed", "attention", "every", "losses"),
    [
        (42, 21.673966, 89.0635, (2.541641, 2.039396, 1.682535)),
        (137, 21.640622, 89.0951, (2.645171, 2.153553, 1.869900)),
        (2024, 21.592672, 87.5206, (2.610796, 2.202998, 1.996086)),
    ],
)
def test_the_published_start_of_dyck(seed: int, attention: float, every: float, losses: tuple[float, ...]) -> None:
    """Initial norms and the first three losses; a single thread's, another's differ from the third digit of step 3 on."""
    config = RunConfig(task="dyck", weight_decay=1.0, seed=seed, epochs=2, eval_sequences=1, threads=1, device="cpu")
    training = Training(config)
    layers = training.weights
    assert float(layers["attention"].double().norm()) == pytest.approx(attention, abs=1e-6)
    assert sum(float(layer.double().square().sum()) for layer in layers.values()) ** 0.5 == pytest.approx(every, abs=1e-4)
    found = [float(step.scores[0, 0]) for step in training]
    assert found == pytest.approx(losses, abs=2e-6)  # the digits printed


def test_both_layers_begin_alike_and_the_attention_is_what_segments_say() -> None:
    config = RunConfig(task="dyck").resolved()
    sizes = TASKS.find("dyck").sizes(config)
    network = NETWORKS.find("transformer")
    theta = stack(config).layers["attention"][0]
    segments = network.segments(config, sizes)
    assert list(segments)[:4] == [f"encoder.layers.0.self_attn.{name}" for name in "qkvo"]
    assert [part.start for part in segments.values()] == list(range(0, 131072, 16384))
    assert torch.equal(theta[:65536], theta[65536:])


def test_the_scale_of_the_attention_alone() -> None:
    plain, scaled = (stack(RunConfig(task="dyck", initial_scale=scale).resolved()).layers for scale in (1.0, 0.25))
    assert torch.equal(scaled["attention"], plain["attention"] / 4)
    assert torch.equal(scaled["rest"], plain["rest"])


def test_a_causal_network_does_not_look_ahead() -> None:
    config = RunConfig(task="dyck").resolved()
    built = stack(config, torch.float64)
    problem = TASKS.find("dyck").problem(config)
    tokens = problem.train_inputs[:3].clone()
    module = built.modules[0]  # type: ignore[attr-defined]
    with torch.no_grad():
        whole = module(tokens, 24)
        tokens[:, 10:] = 1 - tokens[:, 10:].clamp(max=1)
        torch.testing.assert_close(module(tokens, 24)[:, :10], whole[:, :10], rtol=0, atol=1e-12)
        torch.testing.assert_close(module(tokens, 10), whole[:, :10], rtol=0, atol=1e-12)


def test_buckets_change_the_loss_and_gradient_by_rounding_only() -> None:
    """In float64, up to the order of sums."""
    config = RunConfig(task="scan", network="seq2seq_mini", n_train=10).resolved()
    problem = TASKS.find("scan").problem(config)
    found = []
    for buckets in (1, 4):
        built = stack(config, torch.float64)
        built.buckets = buckets  # type: ignore[attr-defined]
        batch = built.batch(problem.train_inputs[None], problem.train_labels[None])
        loss, accuracy = built.loss_and_gradient(batch)
        found.append((float(loss[0]), float(accuracy[0]), {name: value.clone() for name, value in built.gradients.items()}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert found[0][1] == found[1][1]
    for name, gradient in found[0][2].items():
        torch.testing.assert_close(gradient, found[1][2][name], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "parts",
    [
        {"task": "dyck"},
        {"task": "scan", "network": "seq2seq_mini", "n_train": 8},
        {"task": "modular", "network": "transformer", "modulus": 7},
    ],
    ids=str,
)
def test_states_and_maps_are_those_of_the_forward_pass(parts: dict[str, str]) -> None:
    """The head on `norm` gives the scores; attention's rows sum to 1, causal ones look at no later place."""
    config = RunConfig(**parts).resolved()
    module, problem = stack(config, torch.float64).modules[0], TASKS.find(config.task).problem(config)  # type: ignore[attr-defined]
    inputs, length = problem.train_inputs[:5], 9
    with torch.no_grad():
        states, maps = module.states(inputs, length), module.maps(inputs, length)
        torch.testing.assert_close(module.head(states["norm"]), module(inputs, length), rtol=0, atol=1e-12)
    for name, weights in maps.items():
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]).double(), rtol=0, atol=1e-12)
        if name.startswith("layer") and config.task != "modular":
            assert float(weights.triu(1).abs().max()) == 0.0
    if config.task == "scan":
        padded = inputs[:, : module.places] == 0
        assert float(maps["encoder0"].transpose(1, 3)[padded].abs().max()) == 0.0
        assert set(maps) == {f"{place}{i}" for place in ("encoder", "layer", "cross") for i in (0, 1)}


def test_rows_that_no_input_reads() -> None:
    """Their gradient is 0, and there are as many as the table has more than places."""
    for parts in ({"task": "dyck"}, {"task": "scan", "network": "seq2seq_mini", "n_train": 8}):
        config = RunConfig(**parts).resolved()  # type: ignore[arg-type]
        sizes, network = TASKS.find(config.task).sizes(config), NETWORKS.find(config.network)
        ((layer, (idle,)),) = network.unused(config, sizes).items()
        built, problem = stack(config), TASKS.find(config.task).problem(config)
        built.loss_and_gradient(built.batch(problem.train_inputs[None], problem.train_labels[None]))
        gradient = built.gradients[layer][0]
        assert float(gradient[idle].abs().max()) == 0.0
        assert idle.stop - idle.start == {"dyck": 24 * 128, "scan": 128}[config.task]
    assert NETWORKS.find("two_layer").unused(RunConfig().resolved(), TASKS.find("modular").sizes(RunConfig().resolved())) == {}
