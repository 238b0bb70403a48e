"""The published numbers, from full-size runs on a CPU. Minutes: run with `pytest -m slow tests/papers/test_published.py`.

Sources: Xu (arXiv 2605.08119) and its run logs; the ReLU epoch and the reading of the sign match are ours.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from grok.recorders.base import Run
from grok.runs.member import Member
from grok.spec.config import RunConfig
from grok.training.loop import Training

pytestmark = pytest.mark.slow

ETA = 2e-4
FIRES = {0: 173, 1: 173, 2: 174}
EIGENVALUES = {  # of the w = 20 Gram of ΔW, seed 0, as printed
    (ETA, 25): ("3.6", "0.46", "0.027"),
    (ETA, 100): ("3.5", "0.54", "0.020"),
    (ETA, 150): ("0.86", "0.0146", "6.8e-4"),
    (ETA, 200): ("0.92", "0.0044", "2.1e-5"),
    (0.0, 100): ("2.7", "0.15", "0.008"),
}
SIGN_MATCH = {50: 0.83, 100: 0.91, 175: 0.975, 250: 0.975, 300: 0.995}


@cache
def history(**settings: Any) -> Run:
    """A run of the default config with these settings, once per session."""
    config = RunConfig(**{"device": "cpu", "observe_every": 0} | settings)
    training = Training(config)
    member = Member(training, 0)
    for step in training:
        member.add(step, step.scores[0].numpy())
        if training.block_complete or step.epoch == training.config.epochs:
            member.extend()
    return member.run


def square(seed: int, eta: float = ETA) -> Run:
    """400 epochs; seed 0 of the grok condition is observed at the epochs of the published table."""
    observed = tuple(SIGN_MATCH) if (seed, eta) == (0, ETA) else ()
    return history(seed=seed, weight_decay=eta, checkpoint_epochs=observed)


@pytest.mark.parametrize("seed", FIRES)
def test_fire_epochs(seed: int) -> None:
    assert square(seed).summary()["fire_epoch"] == FIRES[seed]


@pytest.mark.parametrize("seed", FIRES)
def test_without_weight_decay_nothing_fires_or_generalises(seed: int) -> None:
    control = square(seed, 0.0)
    assert control.summary().get("fire_epoch") is None
    assert control.rows[25]["accuracy/train"] == 1.0
    assert control.rows[400]["accuracy/test"] < 0.1  # 0.03 published, 1/71 is chance


def test_accuracy_of_seed_0() -> None:
    summary = square(0).summary()
    assert (summary["test_50_epoch"], summary["test_99_epoch"]) == (101, 139)
    assert summary["train_99_epoch"] <= 25


def as_printed(value: float, printed: str) -> str:
    """The value to as many significant digits as the printed one has."""
    digits = len(printed.partition("e")[0].replace(".", "").lstrip("0"))
    return f"{value:.{digits - 1}e}"


@pytest.mark.parametrize(("eta", "epoch"), EIGENVALUES)
def test_eigenvalues_of_seed_0(eta: float, epoch: int) -> None:
    printed = EIGENVALUES[eta, epoch]
    computed = square(0, eta).recordings["spectrum"].eigenvalues["w"][epoch, :3]
    assert [as_printed(v, p) for v, p in zip(computed, printed, strict=True)] == [as_printed(float(p), p) for p in printed]


def test_eigenvalues_of_the_control_at_200() -> None:
    """Published 0.013, 6.0e-4, 5.5e-4. Only λ₁ comes back: the other two are amplified rounding.

    Twelve runs (blocks of five sizes, 1 and 2 threads, MKL's and oneDNN's products, float64) gave λ₂ from 5.6e-4 to
    9.2e-4 and λ₃ from 3.1e-4 to 6.5e-4, so they are held to a factor of two.
    """
    first, second, third = square(0, 0.0).recordings["spectrum"].eigenvalues["w"][200, :3]
    assert as_printed(first, "0.013") == as_printed(0.013, "0.013")
    assert 0.5 < second / 6.0e-4 < 2
    assert 0.5 < third / 5.5e-4 < 2


@pytest.mark.parametrize("epoch", SIGN_MATCH)
def test_sign_match_of_seed_0(epoch: int) -> None:
    """200 pairs: three digits name the count of matches. Theorem 6 itself holds on each pair that it is checked on."""
    row = square(0).rows[epoch]
    assert round(200 * row["repulsion/published_estimator"]) == round(200 * SIGN_MATCH[epoch])
    assert row["repulsion/rate"] == row["repulsion/published_estimator"]  # what the estimator measures in effect
    assert row["repulsion/theorem6"] == 1.0
    assert row["repulsion/theorem6_error"] < 1e-6


def test_relu_groks_and_does_not_fire() -> None:
    relu = history(activation="relu", checkpoint_epochs=())
    summary = relu.summary()
    assert abs(summary["test_50_epoch"] - 369) <= 5
    assert relu.summary().get("fire_epoch") is None
    assert len(relu.rows) == 801
