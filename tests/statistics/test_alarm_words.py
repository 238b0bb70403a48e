"""What alarms are worth and what a signal is called, on made-up runs whose truth is planted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics import alarm_words
from analysis.statistics.alarm_scores import Alarms, rate_of, score
from analysis.statistics.alarm_ties import tie, tied, within
from analysis.statistics.alarm_words import Split, contest, verdict
from analysis.statistics.alarms import (
    Watched,
    crossed,
    fire_epoch,
)
from analysis.statistics.exact import one_sided_share
from tests.helpers.alarm_worlds import EPOCHS, HALVES, scored, watched, world


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("early", "alarm"),
        ("late", "follows"),
        ("decay", "fires without grokking where decay is"),
        ("clock", "clock"),
        ("nothing", "no information"),
    ],
)
def test_the_verdict_names_what_was_planted(kind: str, word: str) -> None:
    assert verdict(scored(world(kind))) == word
    assert word in alarm_words.WORDS


def ranking(sets: tuple[str, ...]) -> list[Watched]:
    """Early, with some control sets higher than all positives after they grok, and those of `sets` always."""
    out = []
    for run in world("early"):
        late = 5.0 * (EPOCHS > 700) if run.control == "eta0" else 0.0
        always = 2.0 if run.control in sets else 0.0
        out.append(replace(run, values=run.values + late + always))
    return out


def test_a_signal_that_ranks_without_a_threshold_for_all_sets_is_rank_only() -> None:
    """Higher before t10 than most negatives, and one control set that is higher than all of them later."""
    found = scored(ranking(()))
    assert found.tpr.value == 0
    assert verdict(found) == "rank only"


def test_a_rank_must_hold_on_the_worst_control_set() -> None:
    found = scored(ranking(()))._replace(least_area=0.79)
    assert found.area.value > 0.8
    assert verdict(found) == "no information"
    assert scored(ranking(("starved",))).least_area == 0


def test_the_numbers_of_an_early_signal() -> None:
    found = scored(world("early"))
    assert found.tpr.value == 1
    assert found.leads["t50"].value == pytest.approx(50, abs=10)  # two evaluations, 10 epochs apart, after t − 60
    assert found.leads["t99"].value - found.leads["t50"].value == pytest.approx(20)
    assert found.area.value > 0.9
    assert found.floor == 0
    assert found.p < 1e-6
    assert set(found.sets) == {"random", "starved", "eta0"}
    assert found.coverage == {0.05: 1, 0.1: 1, 0.2: 1}


def test_five_are_too_few_unless_there_are_five() -> None:
    runs = world("early")
    positives, negatives = [run for run in runs if run.positive], [run for run in runs if not run.positive]
    for few, word in ((4, "not testable"), (5, "alarm")):
        part = [*positives, *negatives[:few]]
        assert verdict(score(part, Alarms([run.t50 - 30 for run in part]))) == word
    part = [*positives[:4], *negatives]
    assert verdict(score(part, Alarms([run.t50 - 30 for run in part]))) == "not testable"


def test_rounding_needs_two_runs_and_a_tenth_and_comes_before_praise() -> None:
    found = scored(world("early"))
    unstable = "unstable to rounding or estimator"
    words = {split: verdict(found, Split(*split)) for split in ((1, 4), (2, 8), (2, 20), (3, 20))}
    assert words == {(1, 4): "alarm", (2, 8): unstable, (2, 20): "alarm", (3, 20): unstable}


def test_an_alarm_is_one_before_t50() -> None:
    """Three of four runs lead and the others follow: whatever the median, neither an alarm nor one that follows."""
    runs, epochs = world("early"), list[float]()
    for i, run in enumerate(runs):
        epochs.append(run.t50 - 30 if run.positive and i % 4 < 3 else run.t50 + 30)
    found = score(runs, Alarms(epochs))
    assert (found.tpr.value, found.later.value) == (0.75, 1)
    assert found.leads["t50"].low > 0
    assert verdict(found) == "lead not decided"
    assert verdict(score(runs, Alarms([run.t50 - 30 for run in runs]))) == "alarm"
    assert verdict(score(runs, Alarms([run.t50 for run in runs]))) == "follows"


def test_censored_runs_count_for_no_threshold_and_no_rate() -> None:
    calm = world("early")
    odd = [replace(watched(np.ones(len(EPOCHS)), control="weak", seed=seed), censored=True) for seed in (0, 1)] * 6
    found, without = scored([*calm, *odd]), scored(calm)
    assert (found.fpr, found.worst, found.sets, found.area) == (without.fpr, without.worst, without.sets, without.area)
    assert (found.censored["weak"].fired, found.censored["weak"].n) == (12, 12)
    assert crossed(calm, [*calm, *odd], HALVES) == crossed(calm, calm, HALVES)


def test_a_run_without_a_value_does_not_fire() -> None:
    """On either side: half of the negatives without one halve the rate of false alarms, half of the positives detection."""
    blank = np.array([])
    for side in (True, False):
        runs = world("early")
        lost = [run.positive == side and i % 2 == 0 for i, run in enumerate(runs)]
        some = [replace(run, epochs=blank, values=blank) if gone else run for run, gone in zip(runs, lost, strict=True)]
        epochs = [fire_epoch(run, 0.5 if side else -9.0) for run in some]
        found = score(some, Alarms(epochs))
        assert (found.tpr.n, found.fpr.n) == (48, 72)
        assert (found.tpr if side else found.fpr).value == 0.5


def test_the_clock_is_judged_within_groups() -> None:
    """An epoch for each group, of which one groks later: over all runs it follows t50, within a group it does not."""
    runs = [
        watched(np.ones(9), positive=True, t=t, group=g)
        for g, start in (("a", 100), ("b", 500))
        for t in range(start, start + 90, 9)
    ]
    fixed = [50.0 if run.group == "a" else 300.0 for run in runs]
    assert tied(list(zip(runs, fixed, strict=True))) == 0
    assert tied([(run, run.t50 - 30) for run in runs]) == pytest.approx(1)
    assert tied([(replace(run, group=""), epoch) for run, epoch in zip(runs, fixed, strict=True)]) > 0.8
    assert tied([(run, run.t50 - 30) for run in (*runs[:10], *runs[10:12])]) == pytest.approx(1)  # two of b say nothing


def test_a_correlation_that_chance_gives_decides_neither_clock_nor_alarm() -> None:
    """Five alarms in an order that has a correlation of 0.5 with t50: of 120 orders a fifth has as much."""
    runs = [watched(np.ones(60), positive=True, t=t, seed=t % 2) for t in (300, 310, 320, 330, 340)]
    calm = [run for run in world("nothing") if run.negative]
    epochs = [50.0, 30.0, 40.0, 20.0, 60.0], [20.0, 30.0, 40.0, 50.0, 60.0]
    low, high = (tie(list(zip(runs, some, strict=True))) for some in (epochs[0], epochs[1]))
    assert low.n == high.n == 5
    few = [tie([*zip(runs, (20.0, 30.0, 60.0, 50.0, 40.0), strict=True)])][0]
    assert few.value == pytest.approx(0.6)
    assert few.p > 0.05
    assert high.p == pytest.approx(1 / 120, abs=0.01)
    words = {}
    for name, some in (("few", [20.0, 30.0, 60.0, 50.0, 40.0]), ("high", epochs[1])):
        held = score([*runs, *calm], Alarms([*some, *[math.nan] * len(calm)]))
        words[name] = verdict(held._replace(leads=held.leads | {"t50": held.leads["t50"]._replace(low=1.0)}))
    assert words == {"few": "lead not decided", "high": "alarm"}


def test_what_is_left_of_t50_once_the_cell_is_known() -> None:
    """Over all runs alarms follow t50; within cells in one world they do and in the other they go the other way."""
    runs = [watched(np.ones(9), positive=True, t=t) for t in (100, 110, 120, 500, 510, 520)]
    cells = ["a"] * 3 + ["b"] * 3
    for order, value in (((0, 10, 20), 1.0), ((20, 10, 0), -1.0)):
        late = list(zip(runs, [50.0 + x for x in order] + [400.0 + x for x in order], strict=True))
        assert tied(late) > 0.5
        found, n = within(late, cells)
        assert (found, n) == (pytest.approx(value), 6)
    assert within(list(zip(runs, [1.0] * 6, strict=True)), list("abcdef")) == (0.0, 0)


@pytest.mark.parametrize(
    ("positives", "negatives", "word"),
    [
        (math.nan, math.nan, "never fires"),
        (0.0, 0.0, "always fires"),
        (-30.0, 0.5, "false alarms"),
        (-30.0, math.nan, "alarm"),
        (30.0, math.nan, "follows"),
    ],
)
def test_a_printed_rule_has_words_of_its_own(positives: float, negatives: float, word: str) -> None:
    """Alarms so long after t50, or at epoch 0 where both are 0; half of the negatives fire where 0.5 is given."""
    runs = world("nothing")
    calm = [negatives if negatives == 0 or i % 2 else math.nan for i in range(len(runs))]
    epochs = [(run.t50 + positives if positives else 0.0) if run.positive else calm[i] for i, run in enumerate(runs)]
    assert verdict(score(runs, Alarms(epochs)), printed=True) == word


def test_a_printed_rule_that_rarely_fires_has_its_lead_undecided() -> None:
    runs = world("nothing")
    epochs = [run.t50 - 30 if run.positive and i % 3 == 0 else math.nan for i, run in enumerate(runs)]
    found = score(runs, Alarms(epochs))
    assert verdict(found, printed=True) == "lead not decided"
    assert (
        verdict(found._replace(area=found.area._replace(value=0.9, low=0.8), least_area=0.9), printed=True)
        == "lead not decided"
    )
    assert verdict(found, Split(3, 4), printed=True) == "unstable to rounding or estimator"


def test_a_row_that_cannot_be_read_before_t50_is_not_testable_at_its_cadence() -> None:
    """Values from 300 on: of t50 from 100 to 600 fewer than 0.8 have two before it."""
    late = [replace(run, values=np.where(EPOCHS < 300, np.nan, run.values)) for run in world("early")]
    assert verdict(scored(late)) == "not testable at this cadence"
    assert verdict(scored(late), printed=True) == "not testable at this cadence"
    soon = [replace(run, values=np.where(EPOCHS < 60, np.nan, run.values)) for run in world("early")]
    assert scored(soon).seen.value == 1
    assert verdict(scored(soon)) == "alarm"


@pytest.mark.parametrize(
    ("fired", "n", "side"), [(0, 12, "undecided"), (0, 14, "below"), (6, 12, "above"), (3, 12, "undecided")]
)
def test_the_worst_set_is_decided_by_a_one_sided_bound(fired: int, n: int, side: str) -> None:
    found = rate_of(fired, n)
    assert found.side == side
    assert (found.fired, found.n, found.share.value) == (fired, n, fired / n)
    low, high = one_sided_share(fired, n)
    assert {"below": high < 0.2, "above": low > 0.2, "undecided": low <= 0.2 <= high}[side]


@pytest.mark.parametrize(("longer", "n", "won"), [(9, 10, True), (8, 10, False), (10, 10, True), (5, 5, False), (0, 10, False)])
def test_a_baseline_is_beaten_by_a_sign_test_run_by_run(longer: int, n: int, won: bool) -> None:
    """9 of 10 has p = 2 · 11/1024 = 0.021, 8 of 10 0.11, 5 of 5 0.0625; a tie is not longer, a run without an alarm is none."""
    first = np.array([100.0] * n + [math.nan])
    second = np.array([110.0] * longer + [100.0] * (n - longer) + [500.0])
    found = contest(first, second)
    assert (found.longer, found.n, found.won) == (longer, n, won)
    if longer == 9:
        assert found.p == pytest.approx(22 / 1024)


def test_given_alarms_take_the_place_of_the_threshold() -> None:
    held = world("early")
    found = score(held, Alarms([run.t50 - 30 if run.positive else math.nan for run in held]))
    assert found.coverage == {}
    assert math.isnan(found.decay_tpr.value)
    assert math.isnan(found.edge_fpr.value)
    assert found.leads["t50"].value == pytest.approx(30)
    assert found.fpr.value == 0
