"""Alarms: thresholds, events and verdicts on made-up runs whose truth is planted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.statistics import alarms
from analysis.statistics.alarms import Watched, auroc, calibrate, detected, fire_epoch, score, sustained_peak, verdict

EPOCHS = np.arange(0, 800, 10)
SETS = (("random", True), ("starved", True), ("eta0", False))


def watched(
    values: np.ndarray, *, positive: bool = False, control: str = "eta0", decayed: bool = False, t: float = math.nan
) -> Watched:
    times = (t - 20, t, t + 20) if positive else (math.nan,) * 3
    return Watched(0, positive, "" if positive else control, decayed, *times, EPOCHS[: len(values)], values)


def world(kind: str, seed: int, runs: int = 12) -> list[Watched]:
    """Runs that grok at 100 … 600 and three control sets; `kind` says what the signal sees."""
    rng, out = np.random.default_rng(seed), []
    for i in range(2 * runs):
        t = 100 + 500 * i / (2 * runs)
        step = {"early": t - 60, "late": t + 60, "decay": 50.0, "clock": 200.0, "nothing": math.inf}[kind]
        out.append(watched(rng.normal(0, 0.1, len(EPOCHS)) + (step <= EPOCHS), positive=True, decayed=True, t=t))
    for name, decayed in SETS:
        for _ in range(runs):
            rise = (EPOCHS >= 50) if kind == "decay" and decayed else np.zeros(len(EPOCHS))
            out.append(watched(rng.normal(0, 0.1, len(EPOCHS)) + rise, control=name, decayed=decayed))
    return out


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("early", "alarm"),
        ("late", "follows"),
        ("decay", "sees weight decay, not grokking"),
        ("clock", "clock"),
        ("nothing", "no information"),
    ],
)
def test_the_verdict_names_what_was_planted(kind: str, word: str) -> None:
    assert verdict(score(world(kind, 1), world(kind, 2))) == word
    assert word in alarms.WORDS


def test_a_signal_that_ranks_without_a_threshold_for_all_sets_is_rank_only() -> None:
    """Higher before t10 than most negatives, and one control set that is higher than all of them later."""
    runs = [[], []]
    for half, seed in enumerate((1, 2)):
        for run in world("early", seed):
            late = 5.0 * (EPOCHS > 700) if run.control == "eta0" else 0.0
            runs[half].append(run._replace(values=run.values + late))
    found = score(*runs)
    assert found.tpr.value == 0
    assert verdict(found) == "rank only"


def test_the_numbers_of_an_early_signal() -> None:
    found = score(world("early", 1), world("early", 2))
    assert found.tpr.value == 1
    assert found.leads["t50"].value == pytest.approx(50, abs=10)  # two evaluations, 10 epochs apart, after t − 60
    assert found.leads["t99"].value - found.leads["t50"].value == pytest.approx(20)
    assert found.area.value > 0.9
    assert found.floor == 0
    assert found.p < 1e-6
    assert set(found.sets) == {"random", "starved", "eta0"}


def test_five_are_too_few_unless_there_are_five() -> None:
    few = world("early", 2)
    positives, negatives = [run for run in few if run.positive], [run for run in few if not run.positive]
    assert verdict(score(world("early", 1), [*positives, *negatives[:4]])) == "not testable"
    assert verdict(score(world("early", 1), [*positives[:4], *negatives])) == "not testable"


def test_rounding_comes_before_praise() -> None:
    found = score(world("early", 1), world("early", 2))
    assert verdict(found, unstable=0.2) == "unstable to rounding or estimator"


@pytest.mark.parametrize(("rate", "count"), [(0.05, 1), (0.1, 2), (0.0, 0)])
def test_calibration_lets_no_more_fire_than_it_may(rate: float, count: int) -> None:
    negatives = [watched(np.random.default_rng(i).normal(size=50)) for i in range(20)]
    threshold = calibrate(negatives, rate)
    assert sum(not math.isnan(fire_epoch(run, threshold)) for run in negatives) == count
    lower = sorted(map(sustained_peak, negatives), reverse=True)[count]
    assert sum(not math.isnan(fire_epoch(run, lower)) for run in negatives) == count + 1


def test_the_threshold_is_midway_to_what_most_positives_reach() -> None:
    """Negatives peak at 0.2, five positives at 1, 2, 3, 4, 5, of which 0.8 reach 2; below the edge they move nothing."""
    calm = [watched(np.full(20, 0.2)) for _ in range(10)]
    grown = [watched(np.full(20, float(level)), positive=True, t=100) for level in (5, 1, 4, 2, 3)]
    assert calibrate(calm, 0.05, grown) == pytest.approx((0.2 + 2) / 2)
    low = [run._replace(values=run.values / 100) for run in grown]
    assert calibrate(calm, 0.05, low) == calibrate(calm)


def test_equal_peaks_fire_together_or_not_at_all() -> None:
    """A clock over one horizon: no threshold below its end is allowed."""
    clock = [watched(EPOCHS.astype(float)) for _ in range(20)]
    assert math.isnan(fire_epoch(clock[0], calibrate(clock)))


def test_one_value_is_no_alarm_and_two_are_one_at_the_second() -> None:
    values = np.zeros(20)
    values[5] = 1
    assert math.isnan(fire_epoch(watched(values), 0.5))
    values[9:11] = 1
    assert fire_epoch(watched(values), 0.5) == EPOCHS[10]
    values[9] = math.nan  # 5 and 10 are no neighbours
    assert math.isnan(fire_epoch(watched(values), 0.5))


def test_an_alarm_never_changes_when_the_run_is_cut_off_later() -> None:
    for seed in range(20):
        run = watched(np.random.default_rng(seed).normal(size=60).cumsum())
        threshold = 2.0
        whole = fire_epoch(run, threshold)
        for end in range(2, 60):
            part = fire_epoch(watched(run.values[:end]), threshold)
            fired_by_then = not math.isnan(whole) and whole <= EPOCHS[end - 1]
            assert part == whole if fired_by_then else math.isnan(part)


def test_what_is_high_from_the_start_is_no_detection() -> None:
    run = watched(np.ones(20), positive=True, t=100)
    assert fire_epoch(run, 0.5) == EPOCHS[1]
    assert not detected(run, 0.5)


def test_every_clock_has_an_area_of_a_half() -> None:
    runs = world("nothing", 1)
    ticking = [run._replace(values=EPOCHS.astype(float)) for run in runs]
    found = auroc([run for run in ticking if run.positive], [run for run in ticking if not run.positive])
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_area_uses_nothing_from_t10_on() -> None:
    runs = world("late", 3)
    cut = [run._replace(values=np.where(run.t10 <= EPOCHS, 99.0, run.values)) if run.positive else run for run in runs]
    areas = [auroc([r for r in some if r.positive], [r for r in some if not r.positive]) for some in (runs, cut)]
    assert areas[0] == areas[1]


def test_printed_alarms_take_the_place_of_the_threshold() -> None:
    held = world("early", 2)
    fired = [run.t50 - 30 if run.positive else math.nan for run in held]
    found = score(world("early", 1), held, fired)
    assert math.isnan(found.threshold)
    assert found.leads["t50"].value == pytest.approx(30)
    assert found.fpr.value == 0
