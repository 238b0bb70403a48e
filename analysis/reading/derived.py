"""What a run's files say beyond its summary: the epoch of the ρ rule, and the detector by window and spectrum method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from grok.detectors._chosen import PUBLISHED, chosen
from grok.numerics.endings import Ending, ending
from grok.numerics.series import fire_epoch, first_crossing, late_median
from grok.spec.config import RunConfig
from grok.spec.plugins import OWN, is_loaded
from grok.store.errors import LeftOutError

RHO_THRESHOLD = 0.075
"""Level of ρ that the paper's early-warning rule waits for (Xu, η and M × p tables)."""
Gap = Callable[..., np.ndarray]
"""(T + 1,) λ₂/λ₃ of a run, as `Evidence.gap` gives it by run id, window, method and seed."""


def with_rho(runs: pd.DataFrame, histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The runs' table with `rho_epoch`, the first observed epoch with ρ ≥ 0.075, and `lead`, test ≥ 0.5 minus that.

    Both are known to the run's `observe_every` only. A collapsed network has no ρ: what an earlier version stored of it is
    rounding over rounding and is not read.
    """
    epochs = []
    for run in runs.to_dict("records"):
        history = histories[run["run_id"]]
        end = _ending(run, history) if {"loss/train", "features/rho"} <= set(history) else Ending("ran", None)
        if end.state == "collapsed":
            history = history[history["epoch"] < end.epoch]
        seen = (
            first_crossing(history["features/rho"].to_numpy(), RHO_THRESHOLD, strict=False)
            if "features/rho" in history
            else None
        )
        epochs.append(np.nan if seen is None else float(history["epoch"].iloc[seen]))
    test = runs.get("test_50_epoch", np.nan)
    return runs.assign(rho_epoch=epochs, lead=test - np.array(epochs))


def with_ending(runs: pd.DataFrame, histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The runs' table with `ended`, `diverged`, `collapsed` or `ran`, and `ended_epoch`, NaN where it ran.

    The classes are the modulus, as those of modular addition.
    """
    found = [_ending(run, histories[run["run_id"]]) for run in runs.to_dict("records")]
    epochs = [np.nan if one.epoch is None else float(one.epoch) for one in found]
    return runs.assign(ended=[one.state for one in found], ended_epoch=epochs)


def _ending(run: Mapping[Any, Any], history: pd.DataFrame) -> Ending:
    norms = {str(name): history[name].to_numpy() for name in history.columns if str(name).startswith("norm/")}
    return ending(history["loss/train"].to_numpy(), norms, run["modulus"], run["epochs"])


def detected(run: Mapping[Any, Any], gap: np.ndarray) -> dict[str, float]:
    """What a run's own detector says of a gap series, and the late gap: `fired`, `fire_epoch` (NaN: never), `late_gap_23`.

    `fired` is NaN of a detector of somebody's own that this command has not named: a store alone never has code loaded.

    Args:
        run: with `slope_lag`, `slope_threshold` and `first_epoch`; `detector` and `options` where it is
            another than the published one. gap: (T + 1,) float64.
    """
    own = OWN.fullmatch(run.get("detector", PUBLISHED))
    if own and not is_loaded("detector", own[0]):
        return {"fired": np.nan, "fire_epoch": np.nan, "late_gap_23": late_median(gap)}
    if run.get("detector", PUBLISHED) == PUBLISHED:
        fired = fire_epoch(gap, run["slope_lag"], run["slope_threshold"], run["first_epoch"])
    else:
        config = RunConfig(detector=run["detector"], options=run.get("options", "none"), first_epoch=run["first_epoch"])
        fired = chosen(config).fire_epoch(gap)
    epoch = np.nan if fired is None else fired
    return {"fired": float(fired is not None), "fire_epoch": epoch, "late_gap_23": late_median(gap)}


def by_setting(runs: pd.DataFrame, gap: Gap, windows: tuple[int, ...]) -> pd.DataFrame:
    """The runs' table once per spectrum method and window, with the detector's verdict and the late gap of each.

    Args:
        runs: as `Evidence.runs` gives it. gap: `Evidence.gap`; asked run by run, so that each file is read once.
        windows: each at most the band's lags, and at most the run's own window where it recorded raw spectra.

    Returns:
        `runs` with `spectrum_methods`, `window`, `fired`, `fire_epoch` and `late_gap_23` replaced, by window, then by run; the
        last is NaN of runs that do not reach epoch 400. Settings of which a run came without its series have no row of it, but
        for the run's own, of which the run says itself what was found.
    """
    rows: list[list[dict[Any, Any]]] = [[] for _ in windows]
    for row in runs.to_dict("records"):
        for place, window in enumerate(windows):
            for method in row["spectrum_methods"]:
                setting = {"spectrum_methods": method, "window": window}
                try:
                    found = detected(row, gap(row["run_id"], window=window, method=method, seed=row["seed"]))
                except LeftOutError:
                    if (method, window) != (row["spectrum_methods"][0], row["window"]):
                        continue
                    found = {}
                rows[place].append(row | setting | found)
    all_rows = [row for of_window in rows for row in of_window]
    return pd.DataFrame(all_rows, columns=None if all_rows else runs.columns)
