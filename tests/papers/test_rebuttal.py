"""The rebuttal's sentence: one rule, whether its settings come from claims' runs or from a sensitivity study's grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.model import CAVEAT, CONTRADICTED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED
from analysis.exhibits.sources import Sources
from analysis.papers.xu import rebuttal, rebuttal_grid
from analysis.papers.xu.rebuttal import READINGS, Setting, judge, judge_readings, settings, verdict
from analysis.printed.xu import REBUTTAL_WINDOWS, STEPS, THRESHOLD_READINGS
from analysis.sensitivity import grid
from tests.helpers.synthetic import SyntheticEvidence

GOOD = Setting(20, 0.04, "gram", 14, 15, 174.0, 0, 15, 0, 15)
NAMED = ("gram", "svd", "randomized_5")


def every(good: Callable[[str, float], bool]) -> list[Setting]:
    """A setting of each threshold of each reading; it holds where `good(reading, threshold)` says so."""
    levels = {(level, name == "mirrored"): name for name, own in THRESHOLD_READINGS.items() for level in own}
    return [
        GOOD._replace(threshold=level, falling=falling, fired=15 if good(name, level) else 0)
        for (level, falling), name in levels.items()
    ]


def test_a_grid_is_judged_setting_by_setting() -> None:
    late, few, loud = GOOD._replace(epoch=176.0), GOOD._replace(fired=13), GOOD._replace(relu_fired=1)
    assert judge([GOOD] * 10).verdict == judge([GOOD._replace(epoch=175.0)]).verdict == REPRODUCED
    for bad in (late, few, loud):
        assert judge([GOOD] * 9 + [bad]).verdict == CAVEAT
        assert judge([GOOD] * 8 + [bad] * 2).verdict == NOT_REPRODUCED
        assert judge([GOOD] * 4 + [bad] * 6).verdict == CONTRADICTED
    assert "all three in 8" in judge([GOOD] * 8 + [late, loud]).text
    assert judge([GOOD._replace(epoch=math.nan)]).verdict == CONTRADICTED


def test_without_relus_runs_a_setting_can_fail_but_not_hold() -> None:
    blind = GOOD._replace(relu=0)
    assert (blind.holds, blind._replace(fired=0).holds) == (None, False)
    assert verdict([None] * 10) == verdict([True] * 9 + [None]) == NOT_TESTABLE
    assert verdict([False] * 6 + [None] * 4) == CONTRADICTED  # whatever ReLU would say


def test_the_range_is_judged_by_its_most_favourable_reading() -> None:
    assert {name: len(THRESHOLD_READINGS[name]) for name in READINGS} == dict(zip(READINGS, (5, 10, 10, 5), strict=True))
    positive = judge_readings(every(lambda name, level: name != "mirrored" and 0 < level <= 0.05), "More.")
    assert (positive.verdict, positive.note) == (REPRODUCED, "Judged as positive thresholds 0.01 … 0.05. More.")
    assert "as written, of 10 cells: all three in 5" in positive.text
    assert "to 0.04, of 10 cells: all three in 4" in positive.text  # 0.01 … 0.03, 0.05 and not 0.04 itself
    offsets = judge_readings(every(lambda _, level: level in THRESHOLD_READINGS["offset"] and level != 0.05))
    assert offsets.note == "Judged as offsets ±0.01 … ±0.05 to 0.04."
    mirrored = judge_readings(every(lambda name, _: name == "mirrored"))
    assert (mirrored.verdict, mirrored.note) == (REPRODUCED, f"Judged as {READINGS['mirrored']}.")


def test_a_mirrored_threshold_fires_on_a_gap_that_falls() -> None:
    gap = np.full(401, 9.0)
    gap[174:] = 1.0
    evidence = SyntheticEvidence()
    evidence.gap = lambda run_id, **_: gap  # type: ignore[assignment,misc]
    runs = evidence.runs("headline").iloc[:1]
    found = {(s.threshold, s.falling): s.epoch for s in settings(Sources(evidence), runs, runs, runs, (20,), ("gram",))}
    assert {found[-step, True] for step in STEPS} == {174.0}
    assert all(np.isnan(found[step, False]) for step in STEPS)
    assert found[-0.01, False] == 100  # as written: flat is above a negative threshold


def grid_rows(fails: Callable[[str, str], bool], methods: tuple[str, ...], relu: bool = True) -> pd.DataFrame:
    """A sensitivity study's grid of every setting, where the sentence is true but where `fails(method, reading)`."""
    rows = []
    for method, window, (reading, threshold, _) in itertools.product(methods, REBUTTAL_WINDOWS, grid.readings()):
        shown = -threshold if reading == "mirrored" else threshold
        base = {"method": method, "window": window, "reading": reading, "threshold": shown, "grok_n": 15, "eta0_fires": 0}
        fires = 3 if fails(method, reading) else 15
        rows.append(base | {"activation": "square", "grok_fires": fires, "grok_median_epoch": 174.0})
        if relu:
            rows.append(base | {"activation": "relu", "grok_fires": 0, "grok_median_epoch": np.nan})
    return pd.DataFrame(rows)


def test_a_randomised_svd_with_as_many_columns_as_the_window_is_marked_exact() -> None:
    """5 + 5 columns are all of windows 5 and 10; at 20 oversampling 5 and 10 alone leave some out."""
    table, said = rebuttal_grid.of_grid(grid_rows(lambda *_: False, (*NAMED, "randomized_10", "randomized_20")))
    own = table[table["method"].str.startswith("randomized")]
    assert own.groupby(["method", "window"])["exact"].all().to_dict() == {
        (f"randomized_{extra}", window): not (window == 20 and extra < 20) for extra in (5, 10, 20) for window in (5, 10, 20)
    }
    assert not table.loc[~table["method"].str.startswith("randomized"), "exact"].any()
    assert said is not None
    assert said["randomised"] == {"cells": 9 * 30, "exact": 7 * 30}
    assert any("Of its 270 cells by randomised SVD 210 are the full SVD by construction" in line for line in said["sentences"])


def test_a_sentence_of_fifteen_runs_is_not_decided_from_two() -> None:
    few = grid_rows(lambda *_: True, NAMED).assign(grok_n=2, grok_fires=0)
    _, said = rebuttal_grid.of_grid(few)
    assert said is not None
    assert said["overall"] == NOT_TESTABLE
    assert "It is of 15 runs and cannot be decided from 2." in said["sentences"]


def test_a_grids_setting_holds_only_where_all_three_parts_do() -> None:
    whole = grid_rows(lambda *_: False, ("svd",))
    first = whole[(whole["window"] == 20) & (whole["reading"] == "offset")].iloc[:2]

    def holds(**changes: float) -> list[bool]:
        square, relu = (first[first["activation"] == name] for name in ("square", "relu"))
        return rebuttal_grid.table(pd.concat([square.assign(**changes), relu]))["holds"].tolist()

    assert holds() == holds(grok_median_epoch=175.0) == [True]
    assert holds(grok_fires=13) == holds(grok_median_epoch=176.0) == [False]
    loud = first.assign(grok_fires=first["grok_fires"].replace(0, 1))
    assert rebuttal_grid.table(loud)["holds"].tolist() == [False]  # one of fifteen ReLU runs is not silence
    alone = first.iloc[:1]
    assert rebuttal_grid.table(alone)["holds"].isna().all()
    assert rebuttal_grid.table(alone.assign(grok_fires=0))["holds"].tolist() == [False]


@pytest.mark.parametrize(
    ("fails", "methods", "relu", "words", "decides"),
    [
        (lambda m, r: r == "mirrored", NAMED, True, (REPRODUCED, REPRODUCED, REPRODUCED, CONTRADICTED), "positive"),
        (lambda m, r: r != "offset", NAMED, True, (CONTRADICTED, REPRODUCED, CONTRADICTED, CONTRADICTED), "offset"),
        (lambda m, r: m == "svd", NAMED, True, (NOT_REPRODUCED,) * 4, "positive"),
        (lambda m, r: m == "gram32", (*NAMED, "gram32"), True, (REPRODUCED,) * 4, "positive"),
        (lambda m, r: False, ("gram",), True, (NOT_TESTABLE,) * 4, "positive"),
        (lambda m, r: r == "signed", NAMED, False, (CONTRADICTED, NOT_TESTABLE, CONTRADICTED, NOT_TESTABLE), "positive"),
    ],
)
def test_each_reading_has_its_own_verdict_and_the_most_favourable_decides(
    fails: Callable[[str, str], bool], methods: tuple[str, ...], relu: bool, words: tuple[str, ...], decides: str
) -> None:
    """A float32 Gram, which the rebuttal does not name, is beside them."""
    _, found = rebuttal_grid.of_grid(grid_rows(fails, methods, relu))
    assert found is not None
    assert list(found["by_reading"]) == list(READINGS)
    assert tuple(one["word"] for one in found["by_reading"].values()) == words
    assert found["decides"] == decides
    assert found["overall"] == found["by_reading"][decides]["word"]
    assert "gram32" not in found["methods"]
    assert list(found["beside"]) == [name for name in methods if name == "gram32"]
    assert f"is {found['overall']}, judged as {READINGS[decides]}" in found["sentences"][0]


@pytest.mark.parametrize("broken", [False, True])
def test_claims_and_grid_come_to_one_verdict_on_the_same_runs(broken: bool) -> None:
    """The made-up runs of the study `svd`, once as a claim takes them and once as rows of a grid."""
    evidence = SyntheticEvidence(rebuttal=True, broken=broken)
    sources = Sources(evidence)  # type: ignore[arg-type]
    square, relu, control = (
        sources.take("svd", condition=condition, activation=name)
        for condition, name in (("grok", "square"), ("grok", "relu"), ("eta0", "square"))
    )
    found = list(settings(sources, square, relu, control, REBUTTAL_WINDOWS, rebuttal.METHODS))
    rows = [
        {
            "activation": activation,
            "method": one.method,
            "window": one.window,
            "reading": reading,
            "threshold": one.threshold,
            "grok_fires": fires,
            "grok_n": n,
            "grok_median_epoch": one.epoch,
            "eta0_fires": 0,
        }
        for reading in grid.READINGS
        for one in found
        if one.read_as(reading)
        for activation, fires, n in (("square", one.fired, one.square), ("relu", one.relu_fired, one.relu))
    ]
    told = rebuttal_grid.judged(rebuttal_grid.table(pd.DataFrame(rows)))
    assert told is not None
    claim = judge_readings(found)
    assert told["overall"] == claim.verdict == (CONTRADICTED if broken else REPRODUCED)
    for name, one in told["by_reading"].items():
        assert one["holding"] / one["cells"] == pytest.approx(claim.estimates[f"{READINGS[name]}: {rebuttal.HOLDS}"].value)
