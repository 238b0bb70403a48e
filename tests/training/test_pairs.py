"""Networks of pairs in training: the clamp of their norm, the temperature of their loss; multiplication is what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.tasks.multiplication import modular_multiplication
from grok.training.loop import Training


def config(**values: Any) -> ResolvedConfig:
    base = {"network": "shared_mlp", "modulus": 7, "epochs": 6, "checkpoint_epochs": (), "observe_every": 0, "max_window": 3}
    return RunConfig(**base | {"window": 3} | values).resolved()


def norms(training: Training) -> list[float]:
    return [float(torch.cat([w[0].flatten() for w in training.weights.values()]).double().norm()) for _ in training]


def test_a_clamped_norm_is_held_from_its_step_on() -> None:
    free = norms(Training(config()))
    held = norms(Training(config(clamp_norm=9.0, clamp_at=3)))
    assert held[:4] == free[:4]  # the step of epoch 3 leads to epoch 4
    assert held[4:] == pytest.approx([9.0] * 3, rel=1e-6)
    assert abs(free[4] - 9.0) > 0.5


def test_a_clamp_is_of_each_seed_alone() -> None:
    both = Training(config(clamp_norm=9.0, clamp_at=1), seeds=(0, 1))
    one = Training(config(clamp_norm=9.0, clamp_at=1, seed=1))
    for _ in zip(both, one, strict=True):
        pass
    for name, layer in one.weights.items():
        torch.testing.assert_close(both.weights[name][1], layer[0], rtol=1e-5, atol=1e-7)


def test_a_temperature_divides_the_outputs_in_the_loss_alone() -> None:
    plain, hot = (next(iter(Training(config(temperature=t)))) for t in (1.0, 4.0))
    assert plain.train_accuracy == hot.train_accuracy
    network = Training(config()).network
    batch = Training(config()).batches.train
    outputs = network.features(batch) @ network.readout()
    expected = torch.nn.functional.cross_entropy(outputs[0] / 4, batch.labels[0])
    assert float(hot.scores[0, 0]) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("network", ["shared_mlp", "one_layer_transformer"])
def test_both_learn_both_tasks(network: str) -> None:
    """The training loss of a few steps falls."""
    for task in ("modular", "multiplication"):
        losses = [float(step.scores[0, 0]) for step in Training(config(network=network, task=task, epochs=30))]
        assert losses[-1] < 0.7 * losses[0]


def test_attention_of_the_last_place_is_what_the_features_used() -> None:
    """Rows sum to one, and no place sees a later one."""
    training = Training(config(network="one_layer_transformer"))
    attention = training.network.attention(training.batches.train)[0, 0]
    torch.testing.assert_close(attention.sum(dim=-1), torch.ones(attention.shape[:-1]))
    assert float(attention.triu(1).abs().max()) == 0


def test_multiplication_has_every_pair_without_zero_once() -> None:
    found = modular_multiplication(7, 15, seed=3)
    pairs = torch.cat((found.train_inputs, found.test_inputs))
    assert len({tuple(pair) for pair in pairs.tolist()}) == 36
    assert int(pairs.min()) == 1
    labels = torch.cat((found.train_labels, found.test_labels))
    assert torch.equal(labels, pairs.prod(dim=1) % 7)
    assert len(found.train_inputs) == 15
    drawn = modular_multiplication(7, 15, seed=3, labels="random")
    assert torch.equal(drawn.train_inputs, found.train_inputs)
    assert not torch.equal(drawn.train_labels, found.train_labels)


def test_a_modulus_that_is_no_prime_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^modulus must be a prime with task multiplication, got 9\."):
        Training(replace(config(), task="multiplication", modulus=9, n_train=20))


def test_interventions_are_for_networks_of_pairs() -> None:
    for name, value in (("temperature", 2.0), ("clamp_norm", 5.0)):
        with pytest.raises(ConfigError, match=rf"^{name} must be left out with network two_layer, got {value}\."):
            RunConfig(**{name: value}).resolved()  # type: ignore[arg-type]
