"""The exhaustive parts: the grid of windows and thresholds, J over window × threshold, and the published window table. Nothing
here is searched or random.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.printed.xu import THRESHOLD_READINGS, WINDOW_SEEDS, WINDOW_TABLE
from analysis.sensitivity.cells import CONDITIONS, Cells, Group
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.objectives import Outcome, outcome, youden
from analysis.sensitivity.settings import CONTROLS, METHODS, SensitivityConfig
from analysis.sensitivity.space import PUBLISHED
from grok.detectors.base import find
from grok.numerics.methods import is_exact
from grok.numerics.series import late_median

WINDOWS = tuple(WINDOW_TABLE)
"""Of the published window table; the rebuttal speaks of the first three."""
READINGS = ("signed", "mirrored", "offset")
"""Those of the rebuttal's thresholds that take each threshold once; the positive ones are among the signed."""
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
        activation, method, window, reading, threshold; `<condition>_fires`, `_n`, `_median_epoch`; `j_<control set>`, and
        `j_worst`, the smallest of those of single conditions; `exact`: whether a randomised SVD is the full one by construction
        at that window, so that the cell tests nothing about it. Blank where no run recorded what a cell needs.
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
            js = {name: pooled(fires, own).j for name, own in sets.items()}
            row |= _counted(fires) | {f"j_{name}": j for name, j in js.items()}
            rows.append(row | {"j_worst": worst(js), "exact": is_exact(method, window)})
    columns = ["activation", "method", "window", "reading", "threshold"]
    columns += [f"{c}_{what}" for c in CONDITIONS for what in ("fires", "n", "median_epoch")]
    return pd.DataFrame(rows).reindex(columns=[*columns, *(f"j_{name}" for name in (*CONTROLS, "all", "worst")), "exact"])


def worst(js: dict[str, float]) -> float:
    """The smallest J against a control condition by itself; NaN where there is none."""
    return min((j for name, j in js.items() if name != "all"), default=float("nan"))


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


class Measured(NamedTuple):
    """What the published setting at another window did on seeds 0–2 of a condition.

    Attributes:
        fires: (3,) epochs, NaN if never, in order of size; of fewer runs, where there are fewer. late: (3,) late gaps, by seed.
    """

    fires: np.ndarray
    late: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether all three seeds were measured."""
        return len(self.fires) == len(WINDOW_SEEDS)

    @property
    def late_median(self) -> float:
        """The median of the late gaps that are known; NaN where none is."""
        known = self.late[np.isfinite(self.late)]
        return float(np.median(known)) if len(known) else float("nan")


WINDOW_CONDITIONS = ("grok", "eta0")
NOTHING = Measured(np.empty(0), np.empty(0))


def window_runs(cells: Cells) -> dict[int, dict[str, Measured]]:
    """By window and condition: the runs of the published window table, by the float64 Gram of their bands."""
    return {
        window: {name: at_window(cells.cell("square", name), "gram", window) for name in WINDOW_CONDITIONS}
        for window in WINDOW_TABLE
    }


def window_table(cells: Cells) -> pd.DataFrame:
    """The published window table beside ours: square, seeds 0–2, from float64 bands; and, of the runs that recorded a float32
    Gram, that and the float64 Gram of the very same runs.

    Returns:
        window, condition, place (blank for the late gap), measure (`fire_epoch`, `late_gap`), published, ours, ours_gram32,
        ours_measured, gram32_measured, same_gram (the float64 Gram of the runs of `ours_gram32`). An epoch that is blank
        although
        measured never came. The published epochs are sorted, as printed, and so are ours: they are not matched by seed.
    """
    rows: list[tuple[Any, ...]] = []
    for window, by_condition in window_runs(cells).items():
        row = WINDOW_TABLE[window]
        for condition, fires, late in (("grok", row.grok, row.late_grok), ("eta0", row.control, row.late_control)):
            ours, raw = by_condition[condition], cells.cell("square", condition, "gram32")
            other, same = at_window(raw, "gram32", window), at_window(raw, "gram", window)
            both = other.whole and same.whole
            known = (ours.whole, both)
            for place, epoch in enumerate(fires):
                three = (
                    one.fires[place] if there else np.nan for one, there in ((ours, ours.whole), (other, both), (same, both))
                )
                first, second, third = three
                rows.append((window, condition, place, "fire_epoch", epoch, first, second, *known, third))
            gaps = (ours.late_median, other.late_median, *known, same.late_median)
            rows.append((window, condition, np.nan, "late_gap", float(late), *gaps))
    columns = ["window", "condition", "place", "measure", "published", "ours", "ours_gram32"]
    columns += ["ours_measured", "gram32_measured", "same_gram"]
    return pd.DataFrame(rows, columns=columns).astype({"published": float})


def rounding_table(cells: Cells) -> pd.DataFrame:
    """The published window table under each variant of rounding: square, seeds 0–2, by the float64 Gram, and by the float32
    Gram of the same runs where they recorded one.

    Returns:
        rounding, window, condition, method, published, ours (epochs in order of size, `–` for never), equal, within_one; empty
        where no run of the study `rounding` is there.
    """
    rows: list[dict[str, Any]] = []
    for (variant, condition), cell in sorted(cells.roundings.items()):
        for window, method in itertools.product(WINDOW_TABLE, ("gram", "gram32")):
            found = at_window(cell, method, window) if method == "gram" or method in cell.methods() else NOTHING
            if not found.whole:
                continue
            row = WINDOW_TABLE[window]
            published = np.sort(np.array(row.grok if condition == "grok" else row.control, dtype=np.float64))
            rows.append(
                {
                    "rounding": variant,
                    "window": window,
                    "condition": condition,
                    "method": method,
                    "published": _epochs(published),
                    "ours": _epochs(found.fires),
                    "equal": _within(found.fires, published, 0),
                    "within_one": _within(found.fires, published, 1),
                }
            )
    columns = ["rounding", "window", "condition", "method", "published", "ours", "equal", "within_one"]
    return pd.DataFrame(rows, columns=columns)


def _within(found: np.ndarray, published: np.ndarray, epochs: int) -> bool:
    both = np.isnan(found) & np.isnan(published)
    return bool(np.all(both | (np.abs(found - published) <= epochs)))


def _epochs(values: np.ndarray) -> str:
    return ", ".join("–" if np.isnan(epoch) else f"{epoch:.0f}" for epoch in values)


def at_window(cell: Group | None, method: str, window: int) -> Measured:
    """The published setting at a window on those of seeds 0–2 that there are; nothing where the runs do not serve it.

    Args:
        cell: the runs; None for none. method: of their spectra.
    """
    if cell is None or window > cell.largest_window(method):
        return NOTHING
    chosen = np.isin(cell.seeds, WINDOW_SEEDS)
    fires = np.sort(cell.fires({**PUBLISHED, "method": method, "window": window}, find("slope"))[chosen])
    gaps = np.exp(cell.log_gaps("w", method, window)[1][chosen])
    late = np.array([late_median(gap[: int(end) + 1]) for gap, end in zip(gaps, cell.epochs[chosen], strict=True)])
    return Measured(fires, late)
