"""Alarms: thresholds, epochs, ranks and floors on made-up runs whose truth is planted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.alarm_scores import alarms
from analysis.statistics.alarms import (
    auroc,
    calibrate,
    crossed,
    detected,
    fire_epoch,
    first_chance,
    floor,
    late_enough,
    sustained_peak,
    unknown_pairs,
)
from tests.helpers.alarm_worlds import EPOCHS, HALVES, watched, world


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
    low = [replace(run, values=run.values / 100) for run in grown]
    assert calibrate(calm, 0.05, low) == calibrate(calm)


def test_the_threshold_sees_nothing_of_a_positive_from_t50_on() -> None:
    calm = [watched(np.full(20, 0.2)) for _ in range(10)]
    grown = [watched(np.where(EPOCHS[:20] < 100, 1.0, 99.0), positive=True, t=100) for _ in range(5)]
    assert calibrate(calm, 0.05, grown) == pytest.approx((0.2 + 1) / 2)


def test_each_half_gives_the_threshold_of_the_other() -> None:
    """By hand: negatives of seed 0 stay at 1 and of seed 1 at 3; so do positives, at 2 and at 5 by their t50."""
    levels = ((0, False, 1.0), (0, True, 2.0), (1, False, 3.0), (1, True, 5.0))
    runs = [watched(np.full(20, level), positive=grows, t=150, seed=seed) for seed, grows, level in levels]
    assert crossed(runs, runs, HALVES) == pytest.approx([4, 4, 1.5, 1.5])
    assert crossed(runs[:1], runs[:2], HALVES) == pytest.approx([math.nan], nan_ok=True)
    fires = [not math.isnan(epoch) for epoch in alarms(runs, runs, HALVES).epochs]
    assert fires == [False, False, True, True]


def test_a_group_has_a_threshold_of_its_own() -> None:
    runs = [
        watched(np.full(20, scale * level), positive=level > 1, t=150, seed=seed, group=str(scale))
        for seed in (0, 1)
        for scale in (1.0, 10.0)
        for level in (1.0, 3.0)
    ]
    assert crossed(runs, runs, HALVES, by_group=True) == pytest.approx([2, 2, 20, 20] * 2)
    assert len({round(level, 6) for level in crossed(runs, runs, HALVES)}) == 1
    positives, negatives = [run for run in runs if run.positive], [run for run in runs if run.negative]
    assert auroc(positives, negatives, by_group=True).value == 1
    assert auroc(positives, negatives).value == 0.75


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


def test_neighbours_are_of_the_epochs_taken_not_of_those_known() -> None:
    """Between two values is one that is not known: that is no alarm, however high both are."""
    values = np.where(np.arange(20) % 2 == 0, 1.0, math.nan)
    assert math.isnan(fire_epoch(watched(values), 0.5))
    assert math.isnan(first_chance(watched(values)))
    assert sustained_peak(watched(values)) == -math.inf


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
    assert run.chances == (EPOCHS[1], EPOCHS[2])
    assert not late_enough(EPOCHS[1], run.chances.first)
    assert [detected(run, at, 10.0) for at in (10.0, 20.0, 90.0, 100.0, math.nan)] == [False, True, True, False, False]


def test_a_chance_needs_two_known_neighbours() -> None:
    """Known at 0, 20, 30 and 60, 70 of every tenth epoch: an alarm can be given at 30, and then at 70."""
    values = np.where(np.isin(EPOCHS[:20], (0, 20, 30, 60, 70)), 1.0, math.nan)
    assert watched(values).chances == (30, 70)
    assert np.isnan(watched(values[:3]).chances).all()


def test_pairs_that_an_unknown_decides_are_counted() -> None:
    """Of two positives one is known from its t10 on only: it loses two pairs, and one is a tie with what is unknown too."""
    grown = [
        watched(np.ones(20), positive=True, t=100),
        watched(np.where(EPOCHS[:20] < 100, math.nan, 9.0), positive=True, t=100),
    ]
    calm = [watched(np.zeros(20)), watched(np.zeros(20)), watched(np.full(20, math.nan))]
    assert unknown_pairs(grown, calm) == pytest.approx(3 / 6)
    assert auroc(grown, calm).value == pytest.approx(3.5 / 6)
    assert math.isnan(unknown_pairs(grown, []))


def test_the_edge_is_the_threshold_without_positives() -> None:
    runs = [watched(np.full(20, 2.0 * grows), positive=grows, t=150, seed=seed) for seed in (0, 1) for grows in (False, True)]
    assert crossed(runs, runs, HALVES) == pytest.approx([1] * 4)
    assert crossed(runs, runs, HALVES, edge=True) == pytest.approx([0] * 4)


def test_every_clock_has_an_area_of_a_half() -> None:
    ticking = [replace(run, values=EPOCHS.astype(float)) for run in world("nothing")]
    found = auroc([run for run in ticking if run.positive], [run for run in ticking if not run.positive])
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_area_uses_nothing_from_t10_on() -> None:
    runs = world("late")
    cut = [replace(run, values=np.where(run.t10 <= EPOCHS, 99.0, run.values)) if run.positive else run for run in runs]
    areas = [auroc([r for r in some if r.positive], [r for r in some if not r.positive]) for some in (runs, cut)]
    assert areas[0] == areas[1]


def test_the_floor_is_what_trying_each_level_gives() -> None:
    rng = np.random.default_rng(3)
    runs = [replace(run, values=run.values + 0.8 * rng.normal(size=len(EPOCHS)).cumsum() / 9) for run in world("early")]
    positives, negatives = [run for run in runs if run.positive], [run for run in runs if run.negative]
    tried = [
        np.mean([not math.isnan(fire_epoch(run, level)) for run in negatives])
        for level in {sustained_peak(run, run.t50) for run in positives}
        if np.mean([detected(run, fire_epoch(run, level), first_chance(run)) for run in positives]) >= 0.5
    ]
    assert floor(positives, negatives) == pytest.approx(min(tried))
    assert 0 < min(tried) < 1
