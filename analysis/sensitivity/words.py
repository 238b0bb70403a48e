"""The verdict in sentences, from its data alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.words import CONDITIONS, spread

SYMBOLS = {"12": "λ₁/λ₂", "23": "λ₂/λ₃", "34": "λ₃/λ₄"}


def number(found: dict[str, Any] | None, digits: int = 2) -> str:
    """`0.57 [0.52, 0.61]`, or that nothing is known."""
    if found is None or found["value"] is None:
        return "unknown"
    low, high = (math.nan if found[end] is None else found[end] for end in ("low", "high"))
    return spread(found["value"], low, high, decimals=digits)


def setting(values: dict[str, Any]) -> str:
    """A setting in words."""
    own = [
        f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in values.items()
        if name not in ("matrix", "gap", "method", "window", "smoothing", "rule", "first_epoch", "direction")
    ]
    falling = "falling " if values.get("direction") == "falling" else ""
    smooth = f", smoothed over {values['smoothing']}" if values["smoothing"] > 1 else ""
    method = "" if values["method"] == "gram" else f" by {values['method']}"
    return (
        f"{values['rule']} on {falling}{SYMBOLS.get(values['gap'], values['gap'])} of Δ{values['matrix'].upper()}{method}, "
        f"window {values['window']}{smooth}, from epoch {values['first_epoch']}, {', '.join(own)}"
    )


def sentences(data: dict[str, Any]) -> Iterator[str]:
    """What a person should read first; a part that was not run or cannot be decided is said to be so."""
    yield from _published(data["published"], data["data"]["max_window"])
    yield from _neighbourhood(data["neighbourhood"])
    yield from (data["rebuttal"] or {"sentences": []})["sentences"]
    yield from _relu(data["relu"])
    yield from _worst(data["square_worst"])
    yield from _search(data["search"])
    for one in data["importance"] or []:
        yield _importance(one)
    if data["window_table"] is not None:
        yield data["window_table"]["word"]
    if data["data"]["missing"]:
        yield f"Not in the store, so not decided: {'; '.join(data['data']['missing'])}."


def _published(data: dict[str, Any] | None, max_window: int) -> Iterator[str]:
    if data is None:
        yield f"The published setting was not tried: its window is 20 updates, the runs' bands hold {max_window} lags."
    for activation, outcomes in (data or {"outcomes": {}})["outcomes"].items():
        parts = [
            f"{found['fires']}/{found['n']} {'that grok' if name == 'grok' else CONDITIONS[name]}"
            + (f" (median epoch {found['median_epoch']:.0f})" if found["median_epoch"] is not None else "")
            for name, found in outcomes.items()
        ]
        yield f"The published setting on {activation} fires on {', '.join(parts)}."


def _neighbourhood(data: dict[str, Any] | None) -> Iterator[str]:
    if data is None:
        return
    parts = [f"{number(share)} against {CONDITIONS[name]}" for name, share in data["share"].items()]
    ranges = ", ".join(
        f"{name.replace('_', ' ')} " + (f"{low:g}–{high:g}" if low < high else f"{low:g}")
        for name, (low, high) in data["ranges"].items()
    )
    cut = f", cut: {'; '.join(data['cut'])}" if data["cut"] else ""
    yield (
        f"Share of the neighbourhood ({ranges}{cut}; {data['settings']} settings) in which {data['rule']} on "
        f"{data['activation']}: {'; '.join(parts) or 'no controls'}. TPR alone: {number(data['share_tpr'])}. The intervals are "
        "Wilson's, the Monte-Carlo error over settings with the runs fixed."
    )
    if data["relu_silent_share"] is not None:
        yield f"Share of it in which ReLU's grokking runs stay silent: {number(data['relu_silent_share'])}."


def _relu(data: dict[str, Any] | None) -> Iterator[str]:
    for name, found in (data or {"by_control": {}})["by_control"].items():
        best = f"The best detector of {found['trials']} tried on ReLU against {CONDITIONS[name]}"
        if found["separates"] is None:
            yield f"Whether {best[0].lower()}{best[1:]} separates it cannot be decided: there are no held-out runs."
            continue
        word = "separates" if found["separates"] else "does not separate"
        yield (
            f"{best} {word} it on held-out seeds: J {number(found['j_at_level'])}, {100 * found['level']:.3g} % interval "
            f"(Bonferroni over {found['comparisons']} control sets; calibration {number(found['calibration']['j'])}); "
            f"{setting(found['setting'])}."
        )


def _worst(data: dict[str, Any] | None) -> Iterator[str]:
    for name, found in (data or {"by_control": {}})["by_control"].items():
        yield (
            f"The worst setting near the published one on square against {CONDITIONS[name]}, of {found['trials']}, unadjusted: "
            f"J {number(found['held_out']['j'])} on held-out seeds (calibration {number(found['calibration']['j'])}); "
            f"{setting(found['setting'])}."
        )


def _search(data: dict[str, Any] | None) -> Iterator[str]:
    if data is None or not data["best"]:
        return
    found = data["best"][0]
    held, calibration = found["held_out"], found["calibration"]
    values = (number(held["j"]), number(held["lead"], 0), number(calibration["j"]), number(calibration["lead"], 0))
    told = "J {} and lead {} epochs on held-out seeds (calibration J {}, lead {})".format(*values)
    what = f"The best of {data['trials']} settings for {data['objective']} on {data['activation']}"
    if data["objective"] == "lead":
        told += f"; FPR {number(held['fpr'])} held-out (calibration {number(calibration['fpr'])})"
        if calibration["fpr"]["value"] > data["alpha"]:
            what = f"No setting has FPR ≤ {data['alpha']:g} on calibration seeds; the one that comes nearest"
    yield f"{what} has {told}; {setting(found['setting'])}."


def _importance(data: dict[str, Any]) -> str:
    if not data["informative"]:
        return f"Importance for {data['target']} ({data['evaluator']}): no information, it is the same at every setting tried."
    first = data["values"][:3]
    parts = [f"{one['parameter'].replace('_', ' ')} {number(one)}" for one in first]
    return f"What moves {data['target']} most ({data['evaluator']}, seed {data['seed']}): {', '.join(parts)}."


def window_word(table: pd.DataFrame) -> str:
    """Where the published window table and ours agree to within an epoch, what was not measured, and whether float32 is why."""
    epochs = table[table["measure"] == "fire_epoch"]
    if not epochs["ours_measured"].any():
        return "The published window table cannot be compared: no square runs of seeds 0–2."
    agree: list[str] = []
    differ: list[str] = []
    why: list[str] = []
    for window, every in epochs.groupby("window"):
        rows = every[every["ours_measured"]]
        if not len(rows):
            continue
        by64 = _same(rows["published"], rows["ours"])
        (agree if by64 == len(rows) else differ).append(str(window))
        if by64 < len(rows):
            why.append(f"window {window} ({by64} of {len(rows)} come back): {_float32(rows)}")
    missing = [
        f"window {window} of {condition}"
        for (window, condition), rows in epochs.groupby(["window", "condition"])
        if not rows["ours_measured"].any()
    ]
    text = f"Published window table: windows {', '.join(agree) or 'none'} come back to within an epoch"
    text += f", windows {', '.join(differ)} do not" if differ else ""
    text += f"; not measured, so in neither: {', '.join(missing)}" if missing else ""
    return ". ".join([text, *why]) + "."


def _float32(rows: pd.DataFrame) -> str:
    """Whether a float32 Gram of the same runs gives the published epochs where a float64 Gram does not."""
    tried = rows[rows["gram32_measured"]]
    off = tried[~_agrees(tried["published"], tried["ours"])]
    if not len(off):
        return "no float32 Gram of the epochs that differ was recorded, so whether rounding is why is not known"
    back = _same(off["published"], off["ours_gram32"])
    told = f"a float32 Gram gives {back} of the {len(off)} published epochs that float64 does not"
    if back == len(off):
        return f"{told}, so rounding to float32 explains the difference"
    return f"{told}, so float32 does not explain " + ("it" if back == 0 else "all of it")


def _same(published: pd.Series, ours: pd.Series) -> int:
    """How many agree to within an epoch, or in that there is none."""
    return int(_agrees(published, ours).sum())


def _agrees(published: pd.Series, ours: pd.Series) -> pd.Series:
    return ((published - ours).abs() <= 1) | (published.isna() & ours.isna())
