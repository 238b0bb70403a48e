"""Ground truth for the sensitivity study: bands with a gap that opens at a known epoch, and bands of a random walk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.exhibits.sources import Sources, fire_epochs
from analysis.papers.xu import windows
from analysis.printed.xu import WINDOW_SEEDS, WINDOW_TABLE
from analysis.sensitivity import grid, importance, neighbourhood
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.judge import CALIBRATION, HELD_OUT, Judge
from analysis.sensitivity.objectives import Outcome, enough, few, holds, outcome, youden
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import PUBLISHED, Space, from_unit
from analysis.sensitivity.words import rounding_word, window_word
from analysis.statistics.rates import wilson
from grok.detectors.base import Range, find
from grok.numerics.series import late_median
from tests.helpers.synthetic import SyntheticEvidence
from tests.helpers.synthetic_cells import EPOCHS, OPENS, made_cells

CONFIG = SensitivityConfig(
    window="8,12",
    gap="23",
    matrix="w",
    smoothing="1",
    first_epoch="20..60",
    slope_lag="10..20",
    rule="slope",
    direction="rising",
)
NEAR = PUBLISHED | {"window": 12, "slope_lag": 15, "first_epoch": 40, "slope_threshold": 0.1}
SEEDS = range(20)


def judge(cells: Cells) -> Judge:
    return Judge(cells, "square", ["eta0"], CONFIG)


def random_settings(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    dimensions = space.dimensions("slope")
    return [space.setting("slope", {name: from_unit(v, rng.random()) for name, v in dimensions}) for _ in range(count)]


@pytest.fixture(scope="module")
def with_signal() -> list[Cells]:
    return [made_cells(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def without_signal() -> list[Cells]:
    return [made_cells(seed, signal=False) for seed in SEEDS]


def test_the_planted_epoch_comes_back(with_signal: list[Cells]) -> None:
    """The log gap grows by 0.2 an epoch, so its slope over 15 epochs passes 0.1 after 7 or 8 epochs of growth.

    That begins when the gap opens, or up to a window of 12 later while old updates are in it: epoch 87 to 100. Noise of the
    log gap, up to 1 of it in the median and 2 in a run, is worth 5 and 10 epochs of growth.
    """
    for cells in with_signal:
        fires = judge(cells).fires(NEAR)["grok"]
        assert OPENS + 7 - 5 <= np.median(fires) <= OPENS + 20 + 5
        assert ((fires > OPENS) & (fires < OPENS + 20 + 10)).all()


def test_j_is_one_with_signal_and_zero_without(with_signal: list[Cells], without_signal: list[Cells]) -> None:
    """The best of 60 settings on calibration seeds, told on held-out seeds: a search must not flatter itself."""
    held: dict[bool, list[float]] = {True: [], False: []}
    chosen_on: list[float] = []
    excludes_zero = 0
    for signal, made in ((True, with_signal), (False, without_signal)):
        for seed, cells in enumerate(made):
            one = judge(cells)
            tried = [(one.both(setting), setting) for setting in random_settings(CONFIG.space(16), 60, seed)]
            (calibration, held_out), _ = max(tried, key=lambda pair: pair[0][0].j)
            held[signal].append(held_out.j)
            if not signal:
                chosen_on.append(calibration.j)
                excludes_zero += youden(held_out).low > 0
    assert np.mean(held[True]) > 0.95
    assert min(held[True]) >= 0.6
    assert abs(np.mean(held[False])) < 0.15  # 20 means of 5 + 5 runs: their mean has a standard error below 0.07
    assert np.mean(chosen_on) > 0.15  # on the seeds that it was chosen on, the null does look like something
    assert excludes_zero <= 2


def test_importance_ranks_the_parameter_that_matters_first(with_signal: list[Cells]) -> None:
    """Over thresholds from −0.05 to 0.15 a slope of 0.2 fires wherever noise does not; lags of 10 to 20 and first epochs before
    the gap opens change little.
    """
    space = CONFIG.space(16).narrowed(window=(12,), first_epoch=(40, 50, 60))
    for seed, cells in enumerate(with_signal):
        one = judge(cells)

        def j(chosen: dict[str, Any], one: Judge = one) -> float:
            setting = space.setting("slope", chosen)
            return one.outcome(setting, one.fires(setting)).j

        found = importance.sobol_total(j, space.dimensions("slope"), 64, seed, "J")
        assert found.informative
        assert next(iter(found.values)) == "slope_threshold"
        first, second = list(found.values.values())[:2]
        assert first.low > second.value


def test_importance_of_what_never_varies_says_so(without_signal: list[Cells]) -> None:
    found = importance.sobol_total(lambda chosen: 0.0, [("a", (1, 2)), ("b", (1, 2))], 64, 0, "nothing")
    assert not found.informative
    assert all(np.isnan(value.value) for value in found.values.values())


def test_sobol_indices_of_a_function_whose_indices_are_known() -> None:
    """f = x + 2 y + 0 z, uniform: Var = (1 + 4)/12, total indices 1/5, 4/5, 0, and no interaction."""
    dimensions = [(name, Range(0.0, 1.0)) for name in "xyz"]
    found = importance.sobol_total(lambda s: s["x"] + 2 * s["y"], dimensions, 1024, 3, "f").values
    assert list(found) == ["y", "x", "z"]
    for name, value in (("x", 0.2), ("y", 0.8), ("z", 0.0)):
        assert found[name].value == pytest.approx(value, abs=0.02)
        assert found[name].low <= value + 0.01
        assert found[name].high >= value - 0.01


def test_total_indices_are_the_named_estimator_on_the_same_sample() -> None:
    """S_T(i) = mean (f(A) − f(A with column i of B))² / (2 Var f) on a scrambled Sobol sequence of 2 d columns, by hand.

    scipy takes the mean off first: 512 differences of values near 3, each rounded to ε, leave a relative 1e-13.
    """
    dimensions = [(name, Range(-1.0, 1.0)) for name in "xy"]

    def f(setting: dict[str, Any]) -> float:
        return 3 + setting["x"] * setting["y"] + setting["x"] ** 2

    found = importance.sobol_total(f, dimensions, 256, 5, "f")
    points = 2 * stats.qmc.Sobol(4, scramble=True, rng=np.random.default_rng(5)).random(256) - 1
    first, second = points[:, :2].T, points[:, 2:].T
    values = [f({"x": x, "y": y}) for x, y in ((first[0], first[1]), (second[0], second[1]))]
    variance = np.var(np.concatenate(values))
    for name, mixed in (("x", (second[0], first[1])), ("y", (first[0], second[1]))):
        expected = np.mean((values[0] - f(dict(zip("xy", mixed, strict=True)))) ** 2) / (2 * variance)
        assert found.values[name].value == pytest.approx(expected, rel=1e-13)
    assert found.n == 256 * 4


def test_one_parameter_alone_has_all_of_the_variance() -> None:
    """S_T = 1 in expectation; its interval over 512 rows is narrow about it."""
    found = importance.sobol_total(lambda s: s["x"], [("x", Range(0.0, 1.0))], 512, 0, "f").values["x"]
    assert found.low < 1.0 < found.high
    assert found.value == pytest.approx(1.0, abs=0.02)


def test_resamples_on_which_nothing_varies_do_not_count() -> None:
    """A step that one value is beyond: a third of the resamples are flat, and scipy calls their index 0."""
    found = importance.sobol_total(lambda s: float(s["x"] > 0.99), [(n, Range(0.0, 1.0)) for n in "xy"], 64, 0, "f")
    assert found.informative
    assert found.values["x"].low > 0.9
    assert (found.values["y"].value, found.values["y"].high) == (0.0, 0.0)


def test_surface_neighbourhood_and_grid_agree_with_each_other(with_signal: list[Cells]) -> None:
    cells = with_signal[0]
    config = SensitivityConfig(samples=64, window="8,12")
    table = grid.grid(cells, config)
    assert set(table["window"]) == {5, 10}  # the bands hold 16 lags
    assert table["grok_n"].eq(10).all()
    signed = table[(table["reading"] == "signed") & (table["window"] == 10)].set_index("threshold")
    for threshold in (0.02, 0.05):
        fires = judge(cells).fires(PUBLISHED | {"window": 10, "slope_threshold": threshold})
        assert signed.loc[threshold, "grok_fires"] == np.isfinite(fires["grok"]).sum()
        assert signed.loc[threshold, "j_eta0"] == pytest.approx(grid.pooled(fires, ["eta0"]).j)
        assert np.isnan(signed.loc[threshold, "j_all"])
    surface = grid.surface(cells, config).set_index(["window", "threshold"])
    assert surface.loc[(10, 0.02), "j"] == pytest.approx(signed.loc[0.02, "j_eta0"])
    near = neighbourhood.neighbourhood(cells, config)
    assert len(near) == 64
    assert near["window"].between(10, 16).all()
    assert near["slope_threshold"].between(0.02, 0.06).all()
    shares = neighbourhood.shares(near, "square")
    assert shares["eta0"].value == shares["every"].value == near["holds_eta0"].mean()
    again = neighbourhood.neighbourhood(cells, config)
    assert again.equals(near)


def test_readings_of_the_rebuttals_thresholds() -> None:
    named = grid.readings()
    assert len(named) == 25
    assert [t for reading, t, _ in named if reading == "offset"] == [0.05, 0.03, 0.06, 0.02, 0.07, 0.01, 0.08, 0.0, 0.09, -0.01]
    assert {direction for reading, _, direction in named if reading == "mirrored"} == {"falling"}


def table_rows(window: int, published: list[float], same: list[float], other: list[float], beside: bool = True) -> pd.DataFrame:
    """Rows of the window table of runs that kept both Grams; the headline's own runs are not what is compared."""
    return pd.DataFrame(
        {
            "window": window,
            "condition": "grok",
            "place": range(len(published)),
            "measure": "fire_epoch",
            "published": published,
            "ours": 1.0,
            "ours_gram32": other,
            "ours_measured": window != 30,
            "gram32_measured": beside,
            "same_gram": same,
        }
    )


def test_the_window_table_has_the_reports_verdicts_and_compares_precision_on_the_same_runs() -> None:
    nan = float("nan")
    same, never = table_rows(20, [173, 174], [173, 174], [173, 174]), table_rows(10, [nan, 347], [200, 201], [nan, 347])
    gone = table_rows(30, [nan, nan], [nan, nan], [nan, nan], beside=False)
    text = window_word(pd.concat([same, never, gone]), {20: {"verdict": "reproduced"}, 10: {"verdict": "contradicted"}})
    assert "window 10 contradicted, window 20 reproduced, window 30 not decided (not measured: runs that grok)" in text
    assert "window 20: of the same runs a float64 Gram gives 2 and a float32 Gram 2 of 2 published epochs, 2 alike." in text
    assert "gives 0 and a float32 Gram 2 of 2 published epochs, 0 alike, so the precision of the Gram explains the" in text
    assert "window 30:" not in text
    for other, says in (([180, 181], "does not explain it"), ([144, 181], "does not explain all of it")):
        assert says in window_word(table_rows(5, [144, 149], [180, 181], other), {})


def test_one_rule_for_the_window_table_in_claims_and_in_a_sensitivity_study() -> None:
    """The made-up runs of the published table, once as the claims take them and once as a sensitivity study measures them."""
    evidence = SyntheticEvidence()
    for window in WINDOW_TABLE:
        sources = Sources(evidence)  # type: ignore[arg-type]
        (claim,) = [claim for claim in windows.CLAIMS if claim.id == f"window-{window}"]
        found = {}
        for condition in ("grok", "eta0"):
            runs = sources.take("headline", condition=condition, seed=WINDOW_SEEDS)
            gaps = [sources.evidence.gap(run_id, window=window) for run_id in runs["run_id"]]
            found[condition] = grid.Measured(np.sort(fire_epochs(gaps)), np.array([late_median(gap) for gap in gaps]))
        told = claim.measure(sources)
        assert windows.of_runs({window: found})[window] == {"verdict": told.verdict, "text": told.text}
        found["grok"] = found["grok"]._replace(fires=found["grok"].fires[:2])
        assert windows.of_runs({window: found}) == {}


def test_a_rounding_that_gives_the_published_epochs_back_is_named() -> None:
    """Groups whose bands are made up: what the table says of a variant is what the detector does on its runs."""
    made = made_cells(seeds=4)
    cells = replace(made, roundings={(name, key[1]): one for key, one in made.cells.items() for name in ("a-1-1", "b-1-1")})
    table = grid.rounding_table(cells)
    assert set(table["window"]) == {5, 10}
    assert set(table["method"]) == {"gram"}
    own = table[(table["window"] == 10) & (table["condition"] == "grok")]
    fires = made.cells["square", "grok"].fires(PUBLISHED | {"window": 10}, find("slope"))[:3]
    assert own["ours"].tolist() == [", ".join("–" if np.isnan(e) else f"{e:.0f}" for e in np.sort(fires))] * 2
    assert not own["equal"].any()
    table.loc[own.index[1:], "equal"] = True
    text = rounding_word(table)
    assert "window 10 of runs that grok exactly in 1 of 2 (b-1-1)" in text
    assert grid._within(np.array([1.0, np.nan]), np.array([2.0, np.nan]), 1)
    assert not grid._within(np.array([1.0, np.nan]), np.array([1.0, 2.0]), 1)


def test_a_short_band_is_not_measured_in_the_window_table(with_signal: list[Cells]) -> None:
    table = grid.window_table(with_signal[0]).query("measure == 'fire_epoch'").groupby("window")
    assert table["ours_measured"].all().to_dict() == {5: True, 10: True, 20: False, 30: False}
    assert not table["gram32_measured"].any().any()


# outcomes and intervals


def test_an_outcome_counts_runs_and_leads() -> None:
    found = outcome(np.array([10.0, np.nan, 30.0]), np.array([np.nan, 5.0]), np.array([40.0, 50.0, np.nan]), np.full(3, 100.0))
    assert (found.fires, found.n, found.false, found.controls) == (2, 3, 1, 2)
    assert found.j == pytest.approx(2 / 3 - 1 / 2)
    np.testing.assert_array_equal(found.leads, [30.0, -50.0])  # one that never fires counts as firing at its end
    assert found.lead == -10.0


@pytest.mark.parametrize(
    ("fires", "n", "yes", "no"),
    [(14, 15, True, False), (1, 15, False, True), (7, 7, True, False), (0, 7, False, True), (0, 0, False, False)],
)
def test_enough_and_few_in_whole_runs(fires: int, n: int, yes: bool, no: bool) -> None:
    assert (enough(fires, n), few(fires, n)) == (yes, no)


def test_the_published_outcome_holds_and_one_more_false_alarm_does_not() -> None:
    empty = np.empty(0)
    assert holds(Outcome(14, 15, 1, 15, 0.0, empty))
    assert not holds(Outcome(14, 15, 2, 15, 0.0, empty))
    assert not holds(Outcome(13, 15, 0, 15, 0.0, empty))


def test_youdens_interval_is_newcombes() -> None:
    """Newcombe (1998), table II, example (a): 56/70 − 48/80, method 10 gives 0.0524 to 0.3339."""
    found = youden(Outcome(56, 70, 48, 80, 0.0, np.empty(0)))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_youdens_interval_covers_the_truth() -> None:
    """At rates of 0.9 and 0.1 and 8 runs each, over all 81 outcomes by their probability: at least 93 %."""
    covered = 0.0
    for a in range(9):
        for b in range(9):
            found = youden(Outcome(a, 8, b, 8, 0.0, np.empty(0)))
            weight = stats.binom.pmf(a, 8, 0.9) * stats.binom.pmf(b, 8, 0.1)
            covered += weight * (found.low <= 0.8 <= found.high)
    assert covered > 0.93


def test_no_runs_are_no_information() -> None:
    assert wilson(0, 0).n == 0
    assert np.isnan(youden(Outcome(3, 3, 0, 0, 0.0, np.empty(0))).value)


def test_the_splits_are_by_seed_and_apart() -> None:
    cells = made_cells()
    one = judge(cells)
    fires = one.fires(NEAR)
    parts = [one.outcome(NEAR, fires, side) for side in (CALIBRATION, HELD_OUT)]
    assert [(part.n, part.controls) for part in parts] == [(5, 5), (5, 5)]
    whole = one.outcome(NEAR, fires)
    assert whole.fires == sum(part.fires for part in parts)
    assert [CONFIG.is_held_out(seed) for seed in range(4)] == [False, True, False, True]
    assert cells.cells["square", "grok"].log_gaps("w", "gram", 12).shape == (3, 10, EPOCHS + 1)
