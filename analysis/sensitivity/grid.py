"""The exhaustive parts: the grid of windows and thresholds, J over window × threshold, the neighbourhood of the published
setting, and the published window table. Nothing here is searched or random but the neighbourhood's seeded sample.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import qmc

from analysis.printed.xu import THRESHOLD_READINGS, WINDOW_SEEDS, WINDOW_TABLE
from analysis.sensitivity.cells import CONDITIONS, Cells
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.objectives import Outcome, enough, few, holds, outcome, youden
from analysis.sensitivity.settings import CONTROLS, METHODS, SensitivityConfig
from analysis.sensitivity.space import COMMON, PUBLISHED, Space, Values, from_unit
from analysis.statistics.estimates import Estimate
from analysis.statistics.rates import wilson
from grok.detectors.base import Range, find
from grok.numerics.series import late_median

WINDOWS = tuple(WINDOW_TABLE)
"""Of the published window table; the rebuttal speaks of the first three."""
READINGS = ("signed", "mirrored", "offset")
"""Those of the rebuttal's thresholds that take each threshold once; the positive ones are among the signed."""
NEIGHBOURHOOD = {
    "window": Range(10, 40, whole=True),
    "slope_threshold": Range(0.02, 0.06),
    "slope_lag": Range(15, 40, whole=True),
    "first_epoch": Range(50, 150, whole=True),
}
"""What counts as near the published setting."""
SURFACE_WINDOWS = (3, 5, 8, 10, 12, 15, 18, 20, 22, 25, 28, 30, 35, 40, 45, 50, 57, 64)
SURFACE_THRESHOLDS = np.round(np.arange(-0.05, 0.1501, 0.01), 3)


def readings() -> list[tuple[str, float, str]]:
    """(reading, threshold, direction) of every threshold that "±0.01 … ±0.05" may mean, as `THRESHOLD_READINGS` has them.

    A rule for a falling gap takes the threshold's size.
    """
    directions = {"mirrored": "falling"}
    return [
        (reading, abs(threshold) if reading in directions else threshold, directions.get(reading, "rising"))
        for reading in READINGS
        for threshold in THRESHOLD_READINGS[reading]
    ]


def grid(cells: Cells, config: SensitivityConfig) -> pd.DataFrame:
    """Every cell of window × threshold × spectrum method × activation, all seeds: no setting is chosen here.

    Returns:
        activation, method, window, reading, threshold; `<condition>_fires`, `_n`, `_median_epoch`; `j_<control set>`. Blank
        where no run recorded what a cell needs.
    """
    rows: list[dict[str, Any]] = []
    for activation, method in itertools.product(cells.activations, METHODS):
        if not cells.serves(activation, "grok", method):
            continue
        sets = cells.control_sets(activation, method)
        judge = Judge(cells, activation, cells.controls(activation, method), config)
        windows = [window for window in WINDOWS if window <= cells.largest_window_of(activation, method)]
        for window, (reading, threshold, direction) in itertools.product(windows, readings()):
            setting = {**PUBLISHED, "method": method, "window": window, "slope_threshold": threshold, "direction": direction}
            fires = judge.fires(setting)
            shown = -threshold if reading == "mirrored" else threshold
            row = {"activation": activation, "method": method, "window": window, "reading": reading, "threshold": shown}
            rows.append(row | _counted(fires) | {f"j_{name}": pooled(fires, own).j for name, own in sets.items()})
    columns = ["activation", "method", "window", "reading", "threshold"]
    columns += [f"{c}_{what}" for c in CONDITIONS for what in ("fires", "n", "median_epoch")]
    return pd.DataFrame(rows).reindex(columns=[*columns, *(f"j_{name}" for name in (*CONTROLS, "all"))])


def _counted(fires: dict[str, np.ndarray]) -> dict[str, float]:
    out: dict[str, float] = {}
    for condition, epochs in fires.items():
        known = epochs[np.isfinite(epochs)]
        out[f"{condition}_fires"], out[f"{condition}_n"] = len(known), len(epochs)
        out[f"{condition}_median_epoch"] = float(np.median(known)) if len(known) else np.nan
    return out


def pooled(fires: dict[str, np.ndarray], controls: list[str]) -> Outcome:
    """The outcome of fire epochs by condition, the runs of some controls taken together."""
    return outcome(fires["grok"], np.concatenate([fires[name] for name in controls]))


def surface(cells: Cells, config: SensitivityConfig, report: Callable[[], None] = lambda: None) -> pd.DataFrame:
    """J over window × threshold, all else as published, for each activation and control set; all seeds.

    Returns:
        activation, control, window, threshold, tpr, fpr, j, j_low, j_high.
    """
    windows = [window for window in SURFACE_WINDOWS if window <= cells.largest_window()]
    rows = []
    for activation in cells.activations:
        sets = cells.control_sets(activation)
        judge = Judge(cells, activation, cells.controls(activation), config)
        for window in windows:
            for threshold in SURFACE_THRESHOLDS:
                fires = judge.fires({**PUBLISHED, "window": window, "slope_threshold": float(threshold)})
                for name, own in sets.items():
                    found = pooled(fires, own)
                    j = youden(found)
                    rows.append((activation, name, window, threshold, found.tpr, found.fpr, j.value, j.low, j.high))
            report()
    return pd.DataFrame(rows, columns=["activation", "control", "window", "threshold", "tpr", "fpr", "j", "j_low", "j_high"])


def near_space(max_window: int) -> Space:
    """The published setting with only the neighbourhood's parameters free; `max_window` cuts the window's range off."""
    free: dict[str, Values] = dict(NEIGHBOURHOOD)
    low, high = (min(end, max_window) for end in (10, 40))
    free["window"] = Range(low, high, whole=True) if low < high else (low,)
    values: dict[str, Values] = {name: free.get(name, (value,)) for name, value in PUBLISHED.items()}
    return Space({name: values[name] for name in COMMON}, {"slope": {name: values[name] for name in find("slope").parameters}})


def neighbourhood_settings(samples: int, seed: int, max_window: int) -> list[dict[str, Any]]:
    """Settings spread evenly over the neighbourhood: a scrambled Sobol sequence, seeded.

    Args:
        samples: a power of two. seed: of the scramble. max_window: cuts the window's range off.
    """
    space = near_space(max_window)
    free = space.dimensions("slope")
    points = qmc.Sobol(len(free), scramble=True, rng=np.random.default_rng(seed)).random(samples)
    return [
        space.setting("slope", {name: from_unit(values, share) for (name, values), share in zip(free, point, strict=True)})
        for point in points
    ]


def neighbourhood(cells: Cells, config: SensitivityConfig) -> pd.DataFrame:
    """Where in the neighbourhood of the published setting its conclusion holds: TPR ≥ 14/15 and FPR ≤ 1/15; all seeds.

    Returns:
        window, slope_threshold, slope_lag, first_epoch; `<activation>_<condition>_fires` and `_n`; `holds_<control set>` of
        square, or of the first activation where there is no square.
    """
    first = cells.activations[0]
    judges = {a: Judge(cells, a, cells.controls(a), config) for a in cells.activations}
    rows = []
    for setting in neighbourhood_settings(config.samples, config.seed, cells.largest_window()):
        row: dict[str, Any] = {name: setting[name] for name in NEIGHBOURHOOD}
        for activation, judge in judges.items():
            fires = judge.fires(setting)
            for condition, epochs in fires.items():
                row[f"{activation}_{condition}_fires"] = int(np.isfinite(epochs).sum())
                row[f"{activation}_{condition}_n"] = len(epochs)
            if activation == first:
                row |= {f"holds_{name}": holds(pooled(fires, own)) for name, own in cells.control_sets(first).items()}
        rows.append(row)
    return pd.DataFrame(rows)


def shares(table: pd.DataFrame, activation: str) -> dict[str, Estimate]:
    """Shares of the neighbourhood: by control set where the conclusion holds, `tpr` where TPR ≥ 14/15, `relu_silent` where at
    most 1/15 of ReLU's grokking runs fire. Intervals: Wilson, the Monte-Carlo error over settings with the runs fixed (of
    independent settings, which is cautious for a Sobol sample); they say nothing of other seeds.
    """
    n = len(table)
    names = [str(name) for name in table if str(name).startswith("holds_")]
    out = {name.removeprefix("holds_"): wilson(int(table[name].sum()), n) for name in names}
    fires = zip(table[f"{activation}_grok_fires"], table[f"{activation}_grok_n"], strict=True)
    out["tpr"] = wilson(sum(enough(f, m) for f, m in fires), n)
    if "relu_grok_fires" in table:
        silent = zip(table["relu_grok_fires"], table["relu_grok_n"], strict=True)
        out["relu_silent"] = wilson(sum(few(f, m) for f, m in silent), n)
    return out


def window_table(cells: Cells) -> pd.DataFrame:
    """The published window table beside ours: square, seeds 0–2, from float64 bands, and by float32 Gram where recorded.

    Returns:
        window, condition, place (blank for the late gap), measure (`fire_epoch`, `late_gap`), published, ours, ours_gram32,
        ours_measured, gram32_measured. An epoch that is blank although measured never came. The published epochs are sorted, as
        printed, and so are ours: they are not matched by seed.
    """
    rows: list[tuple[Any, ...]] = []
    for window, (grok, control, late_grok, late_control) in WINDOW_TABLE.items():
        for condition, fires, late in (("grok", grok, late_grok), ("eta0", control, late_control)):
            ours, gap = _measured(cells, condition, "gram", window)
            other, other_gap = _measured(cells, condition, "gram32", window)
            known = (len(ours) == len(fires), len(other) == len(fires))
            for place, epoch in enumerate(fires):
                both = (one[place] if there else np.nan for one, there in zip((ours, other), known, strict=True))
                rows.append((window, condition, place, "fire_epoch", epoch, *both, *known))
            rows.append((window, condition, np.nan, "late_gap", float(late), gap, other_gap, *known))
    columns = [
        "window",
        "condition",
        "place",
        "measure",
        "published",
        "ours",
        "ours_gram32",
        "ours_measured",
        "gram32_measured",
    ]
    return pd.DataFrame(rows, columns=columns).astype({"published": float})


def _measured(cells: Cells, condition: str, method: str, window: int) -> tuple[np.ndarray, float]:
    """Sorted fire epochs of those of seeds 0–2 that there are, NaN (never) last, and the median of their late gaps."""
    cell = cells.cell("square", condition, method)
    if cell is None or window > cell.largest_window(method):
        return np.empty(0), np.nan
    chosen = np.isin(cell.seeds, WINDOW_SEEDS)
    fires = np.sort(cell.fires({**PUBLISHED, "method": method, "window": window}, find("slope"))[chosen])
    gaps = np.exp(cell.log_gaps("w", method, window)[1][chosen])
    late = np.array([late_median(gap[: int(end) + 1]) for gap, end in zip(gaps, cell.epochs[chosen], strict=True)])
    known = late[np.isfinite(late)]
    return fires, float(np.median(known)) if len(known) else np.nan
