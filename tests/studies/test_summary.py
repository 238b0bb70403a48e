"""Tables of conditions and series: medians with quartiles by hand, settings that vary, runs that diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.figures import study_repulsion, study_series
from analysis.reading.derived import Gap, by_setting, with_rho
from analysis.studies import markdown as study_markdown
from analysis.studies import report as study_report
from analysis.studies import summary as study_summary
from grok.numerics.gaps import gap_series
from grok.numerics.spectra import window_factor
from grok.spec.config import RunConfig
from grok.store.errors import LeftOutError


def runs(*rows: dict[str, object]) -> pd.DataFrame:
    """A table of runs: the default config and a quiet detector where a row says nothing else."""
    base = RunConfig().resolved()
    known = {name: getattr(base, name) for name in base.to_strings()}
    quiet = {"condition": "a", "state": "complete", "fired": 0.0, "accuracy/test": 1.0}
    return pd.DataFrame([{"run_id": f"r{i}", "seed": i} | known | quiet | row for i, row in enumerate(rows)])


def gaps_of(band: np.ndarray, factors: dict[str, np.ndarray] | None = None) -> Gap:
    """`Evidence.gap` of runs that all have this band and these factors."""
    return lambda run_id, *, window, method, seed: gap_series(band, factors or {}, method=method, window=window, seed=seed)


def test_medians_and_quartiles_are_over_the_runs_that_have_a_value() -> None:
    fires = [
        {"fired": 1.0, "fire_epoch": float(e), "late_gap_23": g} for e, g in ((170, 1.0), (172, 2.0), (174, 3.0), (178, 9.0))
    ]
    (row,) = study_summary.conditions(runs(*fires, {})).to_dict("records")
    assert (row["runs"], row["fired"], row["diverged"]) == (5, 4, 0)
    assert (row["fire_epoch"], row["fire_epoch_q1"], row["fire_epoch_q3"]) == (173, 171.5, 175)
    assert row["late_gap_23"] == 2.5
    assert np.isnan(row["test_50_epoch"])  # no run has it
    assert "diverged_epoch" not in row


def test_rows_are_conditions_and_what_varies_in_them_but_seeds() -> None:
    table = runs(
        {"weight_decay": 0.0, "condition": "eta0"},
        {"weight_decay": 0.0, "condition": "eta0", "threads": 2},
        {"activation": "relu"},
        {},
        {"checkpoint_epochs": (1, 2)},
    )
    out = study_summary.conditions(table)
    assert list(out.columns[: list(out.columns).index("runs")]) == [
        "condition",
        "activation",
        "weight_decay",
        "checkpoint_epochs",
    ]
    assert sorted(zip(out["condition"], out["activation"], out["runs"], strict=True)) == [
        ("a", "relu", 1),
        ("a", "square", 1),
        ("a", "square", 1),
        ("eta0", "square", 2),
    ]


def test_diverged_runs_are_told_with_the_epoch_and_without_nan() -> None:
    gone = {"condition": "b", "state": "diverged", "modulus": 127}
    table = runs({}, gone | {"diverged_epoch": 31.0}, gone | {"diverged_epoch": 12.0})
    text = study_markdown.conditions(study_summary.conditions(table)).splitlines()
    assert text[0] == ("| condition | modulus | runs | fired | test accuracy, last | diverged |")
    assert text[2] == "| a | 71 | 1 | 0/1 | 1 | – |"
    assert text[3] == "| b | 127 | 2 | 0/2 | 1 | 2 (epoch 12) |"


def test_by_setting_reads_the_detector_from_the_band() -> None:
    rng = np.random.default_rng(0)
    updates = rng.standard_normal((60, 300))
    updates[30:] += np.outer(np.linspace(1, 60, 30), rng.standard_normal(300))  # one direction takes over
    band = np.full((60, 12), np.nan)
    for t in range(60):
        for lag in range(min(12, t + 1)):
            band[t, lag] = updates[t] @ updates[t - lag]
    table = runs({"slope_lag": 3, "slope_threshold": 0.01, "first_epoch": 15, "fired": 7.0})
    out = by_setting(table, gaps_of(band), (4, 8))
    assert list(out["window"]) == [4, 8]
    for row in out.to_dict("records"):
        window, gaps = row["window"], np.full(61, np.nan)
        for t in range(window, 61):
            values = np.linalg.svd(updates[t - window : t], compute_uv=False) ** 2
            gaps[t] = values[1] / values[2]
        slopes = (np.log(gaps[3:]) - np.log(gaps[:-3])) / 3
        expected = next((t + 3 for t in range(12, len(slopes)) if slopes[t] > 0.01), None)
        assert row["fire_epoch"] == expected
        assert row["fired"] == 1.0
    assert "window" in study_summary.conditions(out).columns


def test_a_setting_that_a_run_came_without_has_no_row_of_it_and_the_run_is_counted() -> None:
    table = runs({"slope_lag": 3, "slope_threshold": 0.01, "first_epoch": 15}, {"slope_lag": 3, "first_epoch": 15})

    def gap(run_id: str, *, window: int, method: str, seed: int) -> np.ndarray:
        if (run_id, window) == ("r1", 4):
            raise LeftOutError("gap must be one that came with the run, got another. Export it anew.")
        return np.ones(60)

    out = by_setting(table, gap, (4, 8))
    assert list(zip(out["run_id"], out["window"], strict=True)) == [("r0", 4), ("r0", 8), ("r1", 8)]
    assert study_report._without_a_setting(table, out, (4, 8)) == 1
    assert study_report._without_a_setting(table, out[out["window"] == 8], (8,)) == 0
    assert study_report._without_a_setting(table, table, ()) == 0

    def none(*given: Any, **named: Any) -> np.ndarray:
        raise LeftOutError("gap must be one that came with the run, got another. Export it anew.")

    assert study_report._without_a_setting(table, by_setting(table, none, (4,)), (4,)) == 2


def test_of_its_own_setting_a_run_that_came_without_the_series_says_itself_what_was_found() -> None:
    one = {"window": 8, "fired": 1.0, "fire_epoch": 31.0, "late_gap_23": 7.5, "spectrum_methods": ("gram", "svd")}

    def none(*given: Any, **named: Any) -> np.ndarray:
        raise LeftOutError("gap must be one that came with the run, got another. Export it anew.")

    (row,) = by_setting(runs(one), none, (4, 8)).to_dict("records")
    assert (row["window"], row["spectrum_methods"]) == (8, "gram")
    assert (row["fired"], row["fire_epoch"], row["late_gap_23"]) == (1.0, 31.0, 7.5)


@pytest.mark.parametrize(("epochs", "known"), [(300, False), (399, False), (400, True)])
def test_late_gap_is_of_runs_that_reach_its_last_epoch(epochs: int, known: bool) -> None:
    updates = np.random.default_rng(0).standard_normal((epochs, 40))
    gram = updates @ updates.T
    band = np.array([[gram[t, t - lag] if lag <= t else np.nan for lag in range(6)] for t in range(epochs)])
    table = runs({"slope_lag": 3, "slope_threshold": 0.01, "first_epoch": 15, "late_gap_23": 7.0})
    (late,) = by_setting(table, gaps_of(band), (4,))["late_gap_23"]
    assert np.isfinite(late) == known


def test_series_are_quartiles_of_each_epoch_over_the_runs_that_have_it() -> None:
    table = runs({}, {}, {"state": "diverged"}, {"condition": "b", "weight_decay": 0.0})
    lengths = {"r0": (4, 1.0), "r1": (4, 3.0), "r2": (2, 11.0), "r3": (4, 5.0)}
    histories = {
        run: pd.DataFrame({"epoch": np.arange(n), "accuracy/test": np.full(n, value)}) for run, (n, value) in lengths.items()
    }
    out = study_summary.series(table, histories, "accuracy/test")
    assert list(out) == [("a",), ("b",)]  # the condition says which weight decay it is
    assert list(out["a",]["epoch"]) == [0, 1, 2, 3]
    assert list(out["a",]["median"]) == [3, 3, 2, 2]  # one that diverged early does not cut the others short
    assert (out["a",]["low"][0], out["a",]["high"][0]) == (2, 7)
    assert study_summary.series(table, histories, "delta_w/gap_23") == {}


def test_series_are_told_apart_by_what_varies_within_a_condition() -> None:
    table = runs({}, {"activation": "relu"}, {"learning_rate": 0.1})
    histories = {f"r{i}": pd.DataFrame({"epoch": [0], "accuracy/test": [float(i)]}) for i in range(3)}
    out = study_summary.series(table, histories, "accuracy/test")
    assert {label: float(panel["median"][0]) for label, panel in out.items()} == {
        ("a", "square", "learning_rate=0.001"): 0.0,
        ("a", "relu", "learning_rate=0.001"): 1.0,
        ("a", "square", "learning_rate=0.1"): 2.0,
    }


LINE = pd.DataFrame({"epoch": [0, 1], "median": [0.1, 0.2], "low": [0.0, 0.1], "high": [0.3, 0.4]})


@pytest.mark.parametrize("gap", [{}, {("a",): LINE + 1}, {("a",): LINE.assign(median=0.0, low=0.0, high=0.0)}])
def test_series_figure_is_drawn_with_and_without_gaps(gap: dict[tuple[str, ...], pd.DataFrame], tmp_path: object) -> None:
    figure = study_series({"accuracy/test": {("a",): LINE}, "delta_w/gap_23": gap}, "tiny")
    figure.savefig(f"{tmp_path}/series.png")
    assert [len(axes.lines) for axes in figure.axes] == [1, len(gap)]


def test_more_lines_than_a_panel_holds_are_small_multiples(tmp_path: object) -> None:
    lines = {(condition, str(number)): LINE + number for number in range(5) for condition in ("a", "b")}
    figure = study_series({"accuracy/test": lines, "delta_w/gap_23": lines}, "many")
    figure.savefig(f"{tmp_path}/series.png")
    shown = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(shown) == ["a", "b"]  # two panels of five lines, not five of two
    for name, axes in shown.items():
        assert [line.get_label() for line in axes.lines] == ["0", "1", "2", "3", "4"]
        for number, line in enumerate(axes.lines):
            np.testing.assert_array_equal(line.get_ydata(), lines[name, str(number)]["median"])
    assert sum(len(axes.lines) for axes in figure.axes) == 2 * len(lines)  # each metric has every line once


def test_lines_that_no_part_of_their_names_splits_have_a_panel_each() -> None:
    figure = study_series({"accuracy/test": {(str(n), str(n)): LINE for n in range(7)}}, "many")
    assert [len(axes.lines) for axes in figure.axes if axes.get_visible()] == [1] * 7
    whole = study_series({"accuracy/test": {("a", str(n)): LINE for n in range(7)}}, "many")
    assert {len(axes.lines) for axes in whole.axes if axes.get_visible()} == {1}


def test_repulsion_figure_has_rate_and_null() -> None:
    (axes,) = study_repulsion({("a",): LINE}, {("a",): LINE / 2}, "tiny").axes
    rate, null = axes.lines
    np.testing.assert_array_equal(rate.get_ydata(), LINE["median"])
    np.testing.assert_array_equal(null.get_ydata(), LINE["median"] / 2)
    assert rate.get_linestyle() != null.get_linestyle()


def test_words_among_numbers_are_told_from_words_alone() -> None:
    found = [study_report._mixed(pd.Series(values)) for values in ([0.5, "auto"], ["a", float("nan")], [1.0, 2.0], [1.0, None])]
    assert found == [True, False, False, False]


def test_labels_leave_out_what_follows_from_the_rest() -> None:
    table = runs({}, {"activation": "relu", "epochs": 800, "checkpoint_epochs": (800,)}, {"condition": "b", "modulus": 41})
    assert study_summary.label_fields(table) == ["condition", "activation"]
    more = {"condition": "b", "optimizer": "sgd", "weight_decay": 0.1}
    assert study_summary.label_fields(runs(more, {"condition": "b"})) == ["condition", "optimizer"]


def test_pivot_has_the_windows_side_by_side() -> None:
    seeds = [
        {"window": w, "spectrum_methods": m, "fired": 1.0, "fire_epoch": 100.0 + w + s, "late_gap_23": 10.0 * w}
        for w in (5, 20)
        for m in ("gram", "svd")
        for s in range(6)
    ]
    seeds += [{"window": 5, "spectrum_methods": "gram", "condition": "b"}]
    text = study_markdown.by_window(study_summary.conditions(runs(*seeds)))
    assert text.splitlines() == [
        "Fires, by window:",
        "",
        "| condition | spectrum_methods | w = 5 | w = 20 |",
        "|---|---|---|---|",
        "| a | gram | 6/6 at 108 [106, 109] | 6/6 at 122 [121, 124] |",
        "| a | svd | 6/6 at 108 [106, 109] | 6/6 at 122 [121, 124] |",
        "| b | gram | – | – |",
        "",
        "Late λ₂/λ₃, by window:",
        "",
        "| condition | spectrum_methods | w = 5 | w = 20 |",
        "|---|---|---|---|",
        "| a | gram | 50 | 200 |",
        "| a | svd | 50 | 200 |",
        "| b | gram | – | – |",
    ]


def test_repulsion_table_has_the_epochs_side_by_side_and_the_null() -> None:
    table = runs({}, {}, {"activation": "relu", "seed": 5})
    names = [f"repulsion/{name}" for name in study_summary.REPULSION]
    histories = {}
    for i in range(3):
        values = {name: [0.2 * i + n, np.nan if i == 2 else 0.5] for n, name in enumerate(names)}
        histories[f"r{i}"] = pd.DataFrame({"epoch": [50, 100]} | values)
    out = study_summary.repulsion(table, histories)
    fields = study_summary.label_fields(table)
    assert study_markdown.repulsion(out, fields).splitlines()[:8] == [
        "|  | epoch | 50 | 100 |",
        "|---|---|---|---|",
        "| a, square | rate | 0.1 [0.05, 0.15] | 0.5 |",
        "|  | rate, random pairs | 1.1 [1.05, 1.15] | 0.5 |",
        "|  | median \\|cos\\| | 4.1 [4.05, 4.15] | 0.5 |",
        "|  | Theorem 6 | 2.1 [2.05, 2.15] | 0.5 |",
        "| a, relu | rate | 0.4 | – |",
        "|  | rate, random pairs | 1.4 | – |",
    ]
    null = study_summary.repulsion_series(out, fields, "null_rate")
    assert list(null["a", "square"]["median"]) == [1.1, 0.5]


def test_by_setting_reads_recorded_methods_from_their_factors() -> None:
    rng = np.random.default_rng(1)
    updates = rng.standard_normal((40, 500)).astype(np.float32)
    updates[20:] += np.outer(np.linspace(1, 60, 20), rng.standard_normal(500))
    band, names = np.full((40, 8), np.nan), ("gram32", "svd", "randomized_20")
    factors = {"gram32_w": np.full((41, 8, 8), np.nan, np.float32), "qr_w": np.full((41, 8, 8), np.nan)}
    for t in range(1, 41):
        newest_first = torch.from_numpy(updates[max(t - 8, 0) : t][::-1].copy())
        for name, method in (("gram32_w", "gram32"), ("qr_w", "svd")):
            size = len(newest_first)
            factors[name][t, :size, :size] = window_factor(newest_first, method)
        for lag in range(min(8, t)):
            band[t - 1, lag] = updates[t - 1].astype(float) @ updates[t - 1 - lag].astype(float)
    table = runs({"slope_lag": 3, "slope_threshold": 0.01, "first_epoch": 15, "spectrum_methods": ("gram", *names)})
    out = by_setting(table, gaps_of(band, factors), (4, 8))
    assert list(out["spectrum_methods"]) == ["gram", *names] * 2
    for window, group in out.groupby("window"):
        assert group["fire_epoch"].nunique() == 1, window  # one trajectory, four ways to its spectrum
    exact = gap_series(band, {}, window=8)
    np.testing.assert_allclose(gap_series(band, factors, method="svd", window=8)[3:], exact[3:], rtol=1e-9)
    np.testing.assert_allclose(
        gap_series(band, factors, method="randomized_20", window=4)[3:], gap_series(band, {}, window=4)[3:], rtol=1e-9
    )  # 20 columns hold all of 4
    with pytest.raises(ValueError, match="method must be one that the run recorded"):
        gap_series(band, {}, method="svd", window=8)
    with pytest.raises(ValueError, match=r"window must be in \[2, 8\]"):
        gap_series(band, factors, method="svd", window=9)


def test_rho_and_lead_are_read_from_the_observed_epochs() -> None:
    table = runs({"test_50_epoch": 30.0}, {"test_50_epoch": 30.0})
    rho = np.full(41, np.nan)
    rho[::10] = [0.05, 0.07, 0.075, 0.2, 0.3]
    histories = {
        "r0": pd.DataFrame({"epoch": np.arange(41), "features/rho": rho}),
        "r1": pd.DataFrame({"epoch": np.arange(41)}),
    }
    out = with_rho(table, histories)
    assert (out["rho_epoch"][0], out["lead"][0]) == (20, 10)
    assert out[["rho_epoch", "lead"]].iloc[1].isna().all()


def test_repulsion_is_gathered_by_condition_and_epoch() -> None:
    table = runs({}, {}, {"condition": "b"})
    names = [f"repulsion/{name}" for name in study_summary.REPULSION]
    histories = {
        f"r{i}": pd.DataFrame({"epoch": [0, 5, 10]} | {name: [np.nan, i, i + 0.5] for name in names}) for i in range(3)
    }
    out = study_summary.repulsion(table, histories)
    assert list(zip(out["condition"], out["epoch"], out["runs"], strict=True)) == [
        ("a", 5, 2),
        ("a", 10, 2),
        ("b", 5, 1),
        ("b", 10, 1),
    ]
    assert list(out["rate"]) == [0.5, 1.0, 2.0, 2.5]
    assert list(out["null_rate_q3"]) == [0.75, 1.25, 2.0, 2.5]
    assert study_summary.repulsion(table, {f"r{i}": pd.DataFrame({"epoch": [0]}) for i in range(3)}).empty


def test_description_points_to_what_it_cannot_hold_and_cuts_nothing() -> None:
    small, large = "s" * 3000, "l" * 6000
    note = study_report._note("head", [small, large, small])
    assert note.split("\n\n") == ["head", small, small, "1 longer table is in the artifact `summary.md`.\n"]
    assert len(note) < 7900
    assert study_report._note("head", [small]) == f"head\n\n{small}\n"
