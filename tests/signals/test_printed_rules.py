"""When a printed rule could hold at all, and the readings of a Hankel DMD: what was published, and what came first."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
import torch

from grok.numerics import dynamics
from grok.signals import _rules
from grok.signals.base import PrintedRule, find, series
from grok.spec.plugins import SIGNALS

PRINTED = [name for name in SIGNALS.names if find(name).printed]
EPOCHS = np.arange(0, 900, 10)


@pytest.mark.parametrize("name", PRINTED)
def test_a_rule_holds_only_where_it_could_and_that_is_known_then(name: str) -> None:
    rule, rng = find(name).printed, np.random.default_rng(len(name))
    assert rule is not None
    values = np.exp(3 * rng.standard_normal((40, len(EPOCHS))))
    values[:, :15] = np.where(rng.random((40, 15)) < 0.5, math.nan, values[:, :15])
    held = 0
    epochs = np.arange(80, 80 + len(EPOCHS)) if name == "gap" else EPOCHS
    for row, memorised in itertools.product(values, (math.nan, 100.0)):
        holds, could = (np.asarray(of(epochs, row, memorised)) for of in (rule.holds, rule.could))
        assert not (holds & ~could).any()
        held += int(holds.sum())
        for end in range(1, len(row), 7):
            assert (rule.could(epochs[:end], row[:end], memorised) == could[:end]).all()
    assert held or name in ("topology", "first_passage")
    pickle.loads(pickle.dumps(find("gap").printed))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("rho", 0.0),
        ("spectral_entropy", 0.0),
        ("commutator", 30.0),
        ("hankel_dmd", 110.0),
        ("ildr", 60.0),
        ("test_loss_turnover", 60.0),
        ("gap", math.nan),
    ],
)
def test_the_first_chance_of_known_values_at_every_tenth_epoch(name: str, first: float) -> None:
    """Memorised at 50. Ten values and two on end; the slope of the gap over 25 epochs is not known of every tenth."""
    rule = find(name).printed
    assert rule is not None
    assert rule.first_chance(EPOCHS, np.ones(len(EPOCHS)), 50.0) == pytest.approx(first, nan_ok=True)
    assert math.isnan(rule.first_chance(EPOCHS, np.full(len(EPOCHS), math.nan), 50.0))


def test_the_gap_cannot_hold_before_epoch_100_nor_without_its_lag() -> None:
    rule = find("gap").printed
    assert rule is not None
    assert rule.first_chance(np.arange(200), np.ones(200), 20.0) == 100
    late = np.where(np.arange(200) < 90, math.nan, 1.0)
    assert rule.first_chance(np.arange(200), late, 20.0) == 115


def test_a_rule_of_your_own_could_hold_wherever_a_value_is_known() -> None:
    rule = PrintedRule("at least 1", _rules.at_least(1))
    assert rule.first_chance(EPOCHS, np.where(EPOCHS < 30, math.nan, 0.0), math.nan) == 30


def test_the_published_windows_of_a_hankel_dmd_are_variants_and_the_first_keeps_its_values() -> None:
    """As long as a window has no more rows than it may, all are one; then 50 rows forget what 250 hold."""
    signal, rng = find("hankel_dmd"), np.random.default_rng(0)
    logits = [torch.from_numpy(rng.standard_normal((30, 4)) * (1 + t / 20)) for t in range(60)]
    given = {"logits": logits, "labels": [torch.from_numpy(np.arange(30) % 4)] * 60}
    first, fifty, twenty = (series(signal, given, name) for name in ("", "rows 50", "log_p rows 20"))
    z = np.array([dynamics.quantiles(dynamics.margins(x, y)) for x, y in zip(*given.values(), strict=True)])
    np.testing.assert_array_equal(first, dynamics.hankel_residual(z))
    np.testing.assert_array_equal(fifty[:50], first[:50])
    assert (fifty[50:] != first[50:]).all()
    np.testing.assert_array_equal(fifty[-1], dynamics.hankel_residual(z[-50:])[-1])
    logs = np.array([np.log(np.exp(x.numpy()) / np.exp(x.numpy()).sum(1, keepdims=True)) for x in logits])
    own = np.take_along_axis(logs, np.broadcast_to((np.arange(30) % 4)[None, :, None], (60, 30, 1)), axis=2)[:, :, 0]
    q = np.array([np.quantile(one, np.arange(1, 20) / 20) for one in own])
    np.testing.assert_allclose(twenty[-1], dynamics.hankel_residual(q[-20:])[-1], rtol=1e-9)
