"""What made-up series are called, on the study's own counts of runs: each rule of the leaderboard has one that turns on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.papers.signals import baselines, rounding, rows
from analysis.papers.signals.study import CROSS_ENTROPY, MAIN, Known
from analysis.statistics.alarm_words import Split
from grok.signals.base import find
from tests.helpers import signal_worlds as worlds
from tests.helpers.signal_worlds import Plant, noise, step, told

SCALES = {"square": 1.0, "relu": 3.0, "relu2": 10.0}
CLOCKS = {"square": 40, "relu": 150, "relu2": 60}
"""Epochs of a clock that knows the activation: each is before any of its runs groks, and ReLU groks last."""


def early(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Perfect: a step at 0.6 of t50, and noise."""
    return step(one, epochs, 0.4 * one.run.t50) + noise(rng, epochs)


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


def jump(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """A hundredfold at 0.6 of t50, as no other run has."""
    return 1 + 99 * step(one, epochs, 0.4 * one.run.t50) + noise(rng, epochs)


@pytest.mark.parametrize(
    ("name", "every", "start", "first"),
    [("commutator", 40, 0, 120), ("commutator", 80, 0, 240), ("hankel_dmd", 10, 110, 220), ("ildr", 10, 0, 30)],
)
def test_a_printed_rule_has_its_first_chance_when_its_baseline_is_behind_it(
    name: str, every: int, start: int, first: float
) -> None:
    """Three values and one more; ten from 110 on, and two on end; the first after memorisation at 20."""

    def from_start(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
        return np.where(epochs < start, np.nan, jump(one, rng, epochs))

    about = worlds.study()
    found = told(from_start, name, rows.PRINTED, every=every, about=about)
    assert set(found.firsts.values()) == {first}
    possible = [one.run.t50 > first + every for one in about.values() if one.run.positive and not one.replicate]
    assert found.told["seen"] == pytest.approx(np.mean(possible))
    assert found.told["tpr"] <= found.told["seen"]
    assert (found.told["verdict"] == "not testable at this cadence") == (name != "ildr")


def test_the_slope_of_the_gap_cannot_hold_before_epoch_100_and_at_100_detects_nothing() -> None:
    """It grows from epoch 0 on, so that the rule holds at the first epoch at which it may; in the other world from 120 on."""
    for begin, epoch, share in ((0, 100, 0.0), (120, 141, 1.0)):

        def grows(one: Known, rng: np.random.Generator, epochs: np.ndarray, begin: int = begin) -> np.ndarray:
            return np.exp(0.05 * np.maximum(epochs - begin, 0) * one.run.positive)

        about = {i: one for i, one in worlds.study().items() if not one.run.t50 < 200}
        found = told(grows, "gap", rows.PRINTED, every=1, about=about)
        assert {found.epochs[i] for i, one in about.items() if one.run.positive} == {epoch}
        assert set(found.firsts.values()) == {100}
        assert (found.told["tpr"], found.told["every"]) == (share, 1)


def test_rows_have_the_cadence_at_which_they_are_read() -> None:
    assert told(early, rule=rows.PRINTED).told["every"] == 10
    assert told(jump, "commutator", rows.PRINTED, every=40).told["every"] == 40
    assert told(early, every=40).told["every"] == 40


def test_a_variant_that_was_computed_for_few_runs_is_not_scored() -> None:
    about = worlds.study()
    held = worlds.stored(about, early)
    for run_id in list(about)[:40]:
        held[run_id] = {}
    found = rows.row(about, held, rows.readings(find("rho"), "", MAIN)[0]).told
    assert (found["verdict"], found["missing"][:31]) == ("not testable", "it was computed for 120 of 160 ")
    blank = worlds.stored(about, lambda one, rng, epochs: np.full(len(epochs), np.nan), "first_passage")
    said = rows.row(about, blank, rows.readings(find("first_passage"), "", MAIN)[0]).told["missing"]
    assert said.startswith("its value is known in no run.")
    assert "its premise fails" in said


def test_the_published_reading_of_an_arm_is_scored_as_printed() -> None:
    signal = find("hankel_dmd")
    for arm, variant in ((MAIN, "rows 50"), (CROSS_ENTROPY, "log_p rows 20")):
        made = {name: rows.readings(signal, name, arm) for name in signal.variants}
        assert [name for name, some in made.items() if any(one.rule == rows.PRINTED for one in some)] == [variant]
        assert [name for name, some in made.items() if any(one.own for one in some)] == [variant]


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


def test_a_cell_clock_knows_the_other_seeds_of_its_cell_alone() -> None:
    about = worlds.study()
    expected = baselines.forecasts(about)
    for run_id, one in about.items():
        own = (300, 301) if one.run.seed < 302 else (302, 303)
        times = [o.run.t50 for o in about.values() if o.cell == one.cell and o.run.seed not in own and not o.replicate]
        times = [t for t in times if t == t]
        assert expected[run_id] == (pytest.approx(np.median(times)) if times else pytest.approx(math.nan, nan_ok=True))
    assert baselines.mixed_cells(about) == 0
    row = baselines.cell_clock(about, MAIN).told
    assert (row["information"], row["fpr"], row["tpr_later"]) == ("C", 0, 1)
    assert abs(row["lead_t50"]) <= 10
    assert row["verdict"] not in ("alarm", "clock", "no information")
    early_ = baselines.cell_clock(about, MAIN, 0.5).told
    assert (early_["verdict"], early_["variant"]) == ("alarm", "at 0.5 of it")
    assert early_["relative_lead"] == pytest.approx(0.5, abs=0.03)


def test_a_signal_beats_the_baselines_that_are_alarms_at_its_own_cadence() -> None:
    """The loss leads by 0.2 of t50 and the signal by 0.4, or the other way round; a baseline of another cadence is no rival."""

    def leading(share: float) -> Plant:
        return lambda one, rng, epochs: step(one, epochs, share * one.run.t50) + noise(rng, epochs)

    about = worlds.study()
    for mine, other, columns in ((0.4, 0.2, ("loss (", "")), (0.2, 0.4, ("", "loss ("))):
        falls: Plant = lambda one, rng, epochs, share=other: -leading(share)(one, rng, epochs)  # noqa: E731
        made = [told(leading(mine), about=about), told(falls, "loss", about=about), told(falls, "loss", about=about)]
        made[2].told["every"] = 40
        baselines.contests(about, made)
        row = made[0].told
        assert [row["beats"][:6], row["not_beaten"][:6]] == list(columns)
        assert (row["beats"] + row["not_beaten"]).count("loss") == 1
        held = baselines.against(about, made[0], made[1])
        assert held.n == 76
        assert (made[1].told["beats"], made[1].told["not_beaten"]) == ("", "")


def test_an_alarm_at_its_first_chance_wins_no_contest_and_contests_are_adjusted_together() -> None:
    """Six of six runs have p = 2 · 2⁻⁶ = 0.031: enough against one baseline, not against two, and not with five runs."""
    groks = {i: one for i, one in worlds.study().items() if one.run.positive and not one.replicate}
    about = dict(list(groks.items())[:6])

    def made(signal: str, epoch: float, firsts: dict[str, float]) -> rows.Row:
        head = {"signal": signal, "variant": "", "rule": rows.CALIBRATED, "every": 10, "verdict": "alarm"}
        return rows.Row(head, dict.fromkeys(about, epoch), firsts)

    for others, firsts, beats in (
        (["loss"], {}, "loss (6 of 6)"),
        (["loss", "weight_norm"], {}, ""),
        (["loss"], {next(iter(about)): 20.0}, ""),
    ):
        mine = made("rho", 20.0, firsts)
        baselines.contests(about, [mine, *(made(name, 40.0, {}) for name in others)])
        assert mine.told["beats"] == beats
        assert bool(mine.told["not_beaten"]) != bool(beats)


def test_baselines_are_read_in_both_directions_and_at_every_epoch_where_they_are_known_there() -> None:
    held = {name: [one[2:5] for one in rows.readings(find(name), "", MAIN)] for name in ("loss", "gradient_norm", "rho")}
    assert (rows.CALIBRATED, 1, True) in held["loss"]
    assert {one[1] for one in held["gradient_norm"]} == {10, 40}
    assert {one[2] for one in held["gradient_norm"]} == {False, True}
    assert {one[2] for one in held["rho"]} == {False}
    about = worlds.study()
    series = worlds.stored(about, early, "weight_norm")
    found = [rows.row(about, series, one).told for one in rows.readings(find("weight_norm"), "", MAIN)]
    assert {one["variant"]: one["verdict"] for one in found if one["every"] == 10} == {
        "": "no information",
        "turned round": "alarm",
    }


def test_a_rival_is_of_the_rows_cadence_or_the_next_finer() -> None:
    def made(signal: str, every: int) -> rows.Row:
        return rows.Row({"signal": signal, "variant": "", "rule": rows.CALIBRATED, "every": every}, {})

    losses = [made("loss", every) for every in (1, 10, 40)]
    chosen = {every: baselines.comparable(made("rho", every), losses)[0].told["every"] for every in (1, 10, 40, 80)}
    assert chosen == {1: 1, 10: 10, 40: 40, 80: 40}
    assert baselines.comparable(made("gap", 1), losses[1:])[0].told["every"] == 10


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
