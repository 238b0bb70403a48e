"""Which factor tells whether an event comes: exact tests against enumeration, and worlds whose cause is planted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.factors import Factor, best, explain, fitted_level, holm, sign_flip

CONDITIONS, SEEDS = 32, 5
CONDITION = np.repeat(np.arange(CONDITIONS), SEEDS)
SEED = np.tile(np.arange(SEEDS), CONDITIONS)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flips_are_those_that_can_be_counted(values: list[int]) -> None:
    seen = abs(sum(values))
    sums = [
        abs(sum(v * s for v, s in zip(values, signs, strict=True))) for signs in itertools.product((1, -1), repeat=len(values))
    ]
    assert sign_flip(np.array(values)) == pytest.approx(np.mean([one >= seen for one in sums]), abs=1e-12)


def test_holm_is_the_printed_procedure() -> None:
    """p = 0.01, 0.04, 0.03, 0.005 of four: 4 · 0.005, 3 · 0.01, 2 · 0.03 and 0.04 raised to what stands before it."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def world(rng: np.random.Generator, planted: str) -> tuple[np.ndarray, list[Factor]]:
    """Three quarters of the conditions have decay; in another three quarters the loss falls under 0.1; the event is planted."""
    decay = (np.arange(CONDITIONS) % 4 > 0)[CONDITION]
    low = (np.arange(CONDITIONS) // 4 % 4 > 0)[CONDITION]
    loss = np.where(low, 0.01, 0.5) * rng.lognormal(0, 0.1, len(CONDITION))
    event = {"decay": decay, "loss": low, "both": decay & low, "nothing": rng.random(CONDITIONS)[CONDITION] < 0.5}[planted]
    return event, [
        Factor("decay", "decay on", "otherwise", decay.astype(float)),
        Factor("loss", "loss low", "otherwise", np.log10(loss), "below"),
        Factor("both", "decay on and loss low", "otherwise", np.log10(loss), "below", decay),
    ]


@pytest.mark.parametrize("planted", ["decay", "loss", "both"])
def test_a_planted_cause_comes_back(planted: str) -> None:
    event, factors = world(np.random.default_rng(1), planted)
    found = explain(event, CONDITION, SEED, factors)
    first, others = best(found)
    assert first is not None
    assert (first.factor, first.accuracy, others) == (planted, 1.0, [])
    assert (first.without.value, first.missed.value) == (0.0, 0.0)
    assert first.runs.sum() == CONDITIONS * SEEDS
    assert first.conditions.sum() == CONDITIONS
    assert first.null < 0.8
    if planted != "decay":
        assert -2 < first.level < np.log10(0.5)


def test_an_event_that_comes_with_a_factors_absence_is_told_so() -> None:
    event, factors = world(np.random.default_rng(1), "decay")
    decay, turned = explain(event, CONDITION, SEED, [factors[0], factors[0]._replace(value=1 - factors[0].value)])
    assert (decay.inverse, turned.inverse) == (False, True)
    assert decay.accuracy == turned.accuracy == 1.0


def test_a_cause_that_is_not_there_is_not_found() -> None:
    """At 5 % for three factors, adjusted and with a second test beside it: at most 2 of 20 worlds."""
    named = [best(explain(*_parts(seed)))[0] for seed in range(20)]
    assert sum(one is not None for one in named) <= 2


def _parts(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Factor]]:
    event, factors = world(np.random.default_rng(seed), "nothing")
    return event, CONDITION, SEED, factors


def test_factors_that_conditions_cannot_tell_apart_are_both_named() -> None:
    event, factors = world(np.random.default_rng(2), "decay")
    twin = factors[0]._replace(name="twin", value=np.where(CONDITION == 0, 0.0, factors[0].value))
    first, others = best(explain(event, CONDITION, SEED, [factors[0], twin, factors[1]]))
    assert first is not None
    assert (first.factor, [one.factor for one in others]) == ("decay", ["twin"])  # they differ on one condition: p = 1


def test_a_condition_is_predicted_without_itself() -> None:
    """A level that only one condition's own runs could have shown: it is of no use to predict that condition."""
    event = CONDITION == 3
    value = np.where(CONDITION == 3, 0.0, 1.0)
    (found,) = explain(event, CONDITION, SEED, [Factor("level", "low", "otherwise", value, "below")])
    assert found.correct[3] == 0
    assert found.accuracy == found.null == (CONDITIONS - 1) / CONDITIONS
    assert not found.associated


def test_replicates_are_no_evidence_of_their_own() -> None:
    """Five seeds that say the same are one condition: p is that of 32 conditions, whatever the number of seeds."""
    event, factors = world(np.random.default_rng(3), "decay")
    once = explain(
        event[SEED == 0], CONDITION[SEED == 0], SEED[SEED == 0], [factors[0]._replace(value=factors[0].value[SEED == 0])]
    )
    assert explain(event, CONDITION, SEED, factors[:1])[0].p == once[0].p == pytest.approx(1 / 10518300)  # 32 choose 8


def test_the_level_is_in_the_middle_of_the_widest_gap() -> None:
    factor = Factor("x", "x", "otherwise", np.array([1.0, 2.0, 4.0, 5.0, np.nan]), "below")
    assert fitted_level(factor, np.array([True, True, False, False, False])) == 3.0
    assert fitted_level(factor, np.array([True, True, True, True, False])) == 3.0  # as good everywhere
    assert np.isnan(fitted_level(factor._replace(value=np.full(5, np.nan)), np.ones(5, dtype=bool)))
