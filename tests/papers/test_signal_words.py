"""What made-up series are called, on the study's own counts of runs: each rule of the leaderboard has one that turns on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.papers.signals import rounding, rows
from analysis.papers.signals.study import MAIN, Known
from analysis.statistics.alarm_words import Split
from grok.signals.base import find
from tests.helpers import signal_worlds as worlds
from tests.helpers.signal_worlds import Plant, early, noise, step, told

SCALES = {"square": 1.0, "relu": 3.0, "relu2": 10.0}
CLOCKS = {"square": 40, "relu": 150, "relu2": 60}
"""Epochs of a clock that knows the activation: each is before any of its runs groks, and ReLU groks last."""


def plateau(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Grows a hundredfold from 120 epochs before t50 to 120 after it, and stays."""
    grown = np.clip((epochs - one.run.t50 + 120) / 240, 0, 1) if one.run.positive else 0.0
    return np.exp(np.log(100) * grown + rng.normal(0, 0.03, len(epochs)))


def ramp(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Rises in a line from 120 epochs before t50 to 200 after it."""
    risen = np.clip((epochs - one.run.t50 + 120) / 320, 0, 1) if one.run.positive else 0.0
    return risen + noise(rng, epochs)


def white(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    return rng.normal(0, 1, len(epochs))


def walk(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    return rng.normal(0, 1, len(epochs)).cumsum()


def clock(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    return epochs.astype(np.float64)


def scaled(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Doubles 60 epochs before t50, from a level of the activation's own."""
    return SCALES[one.run.group] * (1 + step(one, epochs, 60)) + noise(rng, epochs)


def activation_clock(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Knows which runs grok, and of when only the activation."""
    return (epochs >= CLOCKS[one.run.group]) * one.run.positive + noise(rng, epochs)


def sees_decay(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    return (epochs >= 60) * one.run.decayed + noise(rng, epochs)


def censored(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Perfect, and it announces at 500 what grokks after the horizon."""
    return early(one, rng, epochs) + (epochs >= 500) * one.run.censored


def with_transient(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    return early(one, rng, epochs) + 12 * np.exp(-epochs / 8)


def mixed(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Leads in seeds 301 and 303 and follows in 300 and 302; without noise, so that no negative fires."""
    return step(one, epochs, 0.4 * one.run.t50 if one.run.seed % 2 else -60.0)


@pytest.mark.parametrize(
    ("plant", "word"),
    [
        (early, "alarm"),
        (plateau, "alarm"),
        (ramp, "alarm"),
        (white, "no information"),
        (walk, "no information"),
        (clock, "no information"),
        (scaled, "alarm, activation by activation"),
        (activation_clock, "clock"),
        (sees_decay, "fires without grokking where decay is"),
        (censored, "alarm"),
        (with_transient, "no information"),
        (mixed, "lead not decided"),
    ],
)
@pytest.mark.parametrize("world", [0, 1])
def test_a_series_is_called_what_it_is(plant: Plant, word: str, world: int) -> None:
    assert told(plant, world=world).told["verdict"] == word


def test_the_study_has_the_counts_that_are_planned() -> None:
    about = worlds.study()
    plain = [one.run for one in about.values() if not one.replicate]
    assert (len(about), len(plain)) == (160, 144)
    assert [sum(run.positive for run in plain), sum(run.negative for run in plain)] == [76, 48]


def test_one_threshold_leaves_nothing_of_a_scale_of_the_activations() -> None:
    row = told(scaled).told
    assert (row["one_threshold"], row["by_activation"]) == ("no information", "alarm")
    assert row["by_activation_auroc"] > row["one_threshold_auroc"] + 0.1
    for name in ("tpr", "fpr", "auroc", "p", "worst_fires", "worst_low", "rounding_split"):
        assert row[name] == row[f"by_activation_{name}"]
    assert row["lead_t50"] == row["by_activation_lead"]
    assert row["tpr"] > 0.8 > row["one_threshold_tpr"]
    assert row["first_half"] == row["second_half"] == "alarm, activation by activation"
    assert row["first_half_tpr"] > 0.8
    assert row["looks"] == 2
    assert row["eta0_only"] == "no information"


def test_the_reading_by_activation_overrules_no_word_that_stands_before_it() -> None:
    words = ("no information", "follows", "rank only", "lead not decided")
    kept = ("alarm", "clock", "unstable to rounding or estimator", "not testable", "not testable at this cadence")
    assert [rows.by_activation(word, "alarm") for word in (*words, *kept)] == [True] * 4 + [False] * 5
    assert not rows.by_activation("no information", "follows")


@pytest.mark.slow
def test_a_clock_of_the_activations_follows_t50_over_all_runs_and_not_within_them() -> None:
    row = told(activation_clock).told
    assert row["alarm_with_t50"] == 0
    about = worlds.study()
    plain = {i: one for i, one in about.items() if one.run.positive and not one.replicate}
    ends = np.array([[told(activation_clock, about=about).epochs[i], one.run.t50] for i, one in plain.items()])
    assert np.corrcoef(ends.T)[0, 1] > 0.5


def test_censored_runs_that_fire_are_told_and_count_for_nothing() -> None:
    row = told(censored).told
    assert [(row[f"fires {name}"], row[f"runs {name}"]) for name in ("weak decay", "no grokking yet")] == [(12, 12), (8, 8)]
    assert (row["fpr"], row["fpr_n"], row["worst_fpr"]) == (0, 48, 0)


def test_negatives_without_a_value_do_not_fire_and_are_counted() -> None:
    """Of four in five the series is not known, the last run even has no row of it; the fifth fires, one of twelve in a set."""

    def lost(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
        if one.run.negative and rng.random() < 0.8:
            return np.full(len(epochs), np.nan)
        return early(one, rng, epochs)

    row = told(lost).told
    assert (row["verdict"], row["fpr_n"], row["tpr_n"]) == ("alarm", 48, 76)
    assert row["auroc"] > 0.9
    about = worlds.study()
    stored = worlds.stored(about, lost)
    gone = next(i for i, one in about.items() if one.run.positive)
    stored[gone] = {}
    reading = rows.readings(find("rho"), "", MAIN)[0]
    assert rows.row(about, stored, reading).told["tpr"] == pytest.approx(75 / 76)


def test_a_printed_rule_that_never_or_always_fires_says_so() -> None:
    """ρ ≥ 0.075, of a series that is below it always, and above it always."""
    for level, word in ((0.0, "never fires"), (1.0, "always fires")):
        row = told(lambda one, rng, epochs, level=level: np.full(len(epochs), level), rule=rows.PRINTED).told
        assert (row["verdict"], row["eta0_only"], row["first_half"]) == (word,) * 3
    row = told(sees_decay, rule=rows.PRINTED).told
    assert (row["verdict"], row["eta0_only"]) == ("false alarms", "clock")
    assert row["by_activation"] is None


def test_fewer_values_before_t50_are_not_testable_at_this_cadence() -> None:
    """From 110 on, as of a window of twelve rows, and from 290 on; at every 160th epoch the second value comes too late."""
    for start in (110, 290):
        row = told(lambda one, rng, epochs, start=start: np.where(epochs < start, np.nan, early(one, rng, epochs))).told
        assert row["verdict"] == row["eta0_only"] == "not testable at this cadence"
        assert row["seen"] < 0.8
    assert told(early, "participation_ratio", every=160).told["verdict"] == "not testable at this cadence"
    assert told(early, "participation_ratio", every=40).told["seen"] == 72 / 76  # four grok at 77: 80 is too late


def test_each_control_set_alone_has_a_word_and_the_edge_a_lead() -> None:
    row = told(sees_decay).told
    assert (row["random_labels, no decay only"], row["random_labels only"]) == ("clock", "no information")
    assert row["random_labels only_n"] == 12
    grown = told(ramp).told
    assert grown["edge_lead"] > grown["lead_t50"]
    assert (grown["edge_tpr_n"], grown["edge_fpr_n"]) == (76, 48)


def test_shares_have_counts_and_intervals() -> None:
    row = told(ramp).told
    for name in ("tpr at 0.05", "fpr_floor", "decay_tpr", "decay_fpr", "first_half_tpr", "eta0_only_fpr", "lead_t50"):
        assert row[f"{name}_n"] > 0
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert (row["alarm_with_t50_n"], row["alarm_with_t50_p"]) == (76, 0.001)
    assert row["auroc_least_set"] in ("random_labels", "random_labels, no decay", "data_starved", "eta0")
    assert row["auroc_unknown"] == 0


def test_at_every_fortieth_epoch_a_perfect_signal_loses_what_a_cadence_costs() -> None:
    """An alarm comes up to 80 epochs after its step: of runs that grok at about 100 none is left."""
    often, seldom = (told(early, every=every).told for every in (10, 40))
    assert seldom["lead_t50"] < often["lead_t50"]
    assert (often["tpr"], often["verdict"]) == (1, "alarm")
    assert seldom["tpr"] < 0.8
    assert seldom["verdict"] != "alarm"


def test_a_transient_of_the_start_hides_what_is_seen_after_memorisation() -> None:
    row = told(with_transient).told
    assert (row["verdict"], row["after_memorisation"]) == ("no information", "alarm")
    assert told(early).told["after_memorisation"] == "alarm"


def test_what_eta_0_alone_shows_of_decay_is_a_clock() -> None:
    row = told(sees_decay).told
    assert (row["eta0_only"], row["eta0_only_fpr"]) == ("clock", 0)


def test_each_pair_of_seeds_is_told_beside() -> None:
    """Seeds 302 and 303 lead and the others follow, at one level and without noise: together neither."""

    def half(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
        return step(one, epochs, 0.4 * one.run.t50 if one.run.seed > 301 else -60.0)

    row = told(half).told
    assert (row["first_half"], row["second_half"], row["verdict"]) == ("follows", "alarm", "lead not decided")
    assert row["first_half_worst_n"] == row["second_half_worst_n"] == 6
    assert row["first_half_lead_high"] < 0 < row["second_half_lead_low"]


def test_rounding_counts_alarms_that_move_far_and_two_runs_at_least() -> None:
    assert [rounding.another([100, end], 80) for end in (180, 181)] == [False, True]
    assert [rounding.another(epochs) for epochs in ([100, 140], [100, 141], [100, math.nan], [math.nan, math.nan])] == [
        False,
        True,
        True,
        False,
    ]
    for moved, word in ((2, "unstable to rounding or estimator"), (1, "alarm")):
        about = worlds.study()
        seeds = {("square", 302), ("relu2", 302), ("relu", 303)} if moved > 1 else {("square", 302)}

        def shifted(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
            values = early(one, rng, epochs)
            moves = one.replicate and one.run.positive and (one.run.group, one.run.seed) in seeds  # noqa: B023
            return np.roll(values, 6) if moves else values

        row = told(shifted, about=about).told
        assert (row["rounding_n"], row["rounding_split"], row["verdict"]) == (8, moved, word)
    assert rounding.split(worlds.study(), {}) == Split(0, 0)
    named = {"random_labels, no decay", "data_starved", "eta0", "weak decay", "no grokking yet"}
    assert set(rounding.untried(worlds.study().values())) == named
