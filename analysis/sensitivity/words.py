"""The verdict in sentences, from its data alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.sensitivity.nested import LEAST_SEEDS
from analysis.words import spread

AGAINST = {
    "grok": "runs that grok",
    "eta0": "runs without weight decay",
    "random_labels": "runs with random labels",
    "data_starved": "runs with too few pairs",
    "all": "all controls pooled",
    "every": "every kind of control",
}
"""What kinds of runs are called in a sentence."""
NEARLY_ALL = 0.9
"""The share of settings near the published one that must hold for the setting not to make the result."""
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


def answer(data: dict[str, Any]) -> Iterator[str]:
    """What a person should read first: the question answered, in a few sentences; what cannot be decided is said to be so."""
    yield from _made_by_setting(data["neighbourhood"])
    for activation, told in (data["nested"] or {}).items():
        if activation != "near":
            yield _separates(activation, told[-1])
    yield from _published(data["published"], data["data"]["max_window"])


def sentences(data: dict[str, Any]) -> Iterator[str]:
    """The parts of the answer, one by one."""
    yield from _neighbourhood(data["neighbourhood"])
    yield from _fails_near((data["nested"] or {}).get("near"))
    yield from (data["rebuttal"] or {"sentences": []})["sentences"]
    yield from _search(data["search"])
    for one in data["importance"] or []:
        yield _importance(one)
    if data["window_table"] is not None:
        yield data["window_table"]["word"]
        if data["window_table"]["rounding"]:
            yield data["window_table"]["rounding"]
    if searches := data["data"]["searches"]:
        yield searched_word(searches)
    if data["data"]["missing"]:
        yield f"Not in the store, so not decided: {'; '.join(data['data']['missing'])}."


def warnings(data: Mapping[str, Any]) -> Iterator[str]:
    """What stands in the way of a verdict: fewer seeds than one can be given on."""
    few = [
        f"{n} of {activation} {AGAINST.get(condition, condition)}"
        for activation, own in data["data"]["runs"].items()
        for condition, n in own.items()
        if n < LEAST_SEEDS
    ]
    if few:
        yield f"fewer than {LEAST_SEEDS} seeds, so nothing is decided of {', '.join(few)}"


def searched_word(searches: dict[str, int]) -> str:
    """How the number of trials comes about: `600 trials: 3 searches of 200`."""
    counts = set(searches.values())
    each = f" of {counts.pop()} each" if len(counts) == 1 and len(searches) > 1 else ""
    what = f"{len(searches)} searches{each}" if len(searches) > 1 else "1 search"
    return f"{sum(searches.values())} trials: {what} ({', '.join(_part(name) for name in searches)})."


def _part(name: str) -> str:
    if name == "search":
        return "the best setting"
    kind, _, control = (
        name.replace("relu_best", "best on ReLU|").replace("square_worst", "worst near the published|").partition("|_")
    )
    return f"{kind} against {AGAINST.get(control, control)}"


def _made_by_setting(data: dict[str, Any] | None) -> Iterator[str]:
    """Whether the setting makes the result: the share over seeds of settings that hold, against `NEARLY_ALL`."""
    if data is None:
        return
    share = data["over_seeds"]["every"]
    told = (
        f"the published conclusion holds against every kind of control in {100 * share['value']:.0f} % of {data['settings']} "
        f"settings near the published one ({100 * share['low']:.0f}–{100 * share['high']:.0f} % over resampled seeds)"
    )
    what = f"the detector's setting makes the result on {data['activation']}"
    if data["least_seeds"] < LEAST_SEEDS:
        there = f"it takes {LEAST_SEEDS} seeds of each kind of run, there are {data['least_seeds']}"
        yield f"Whether {what} cannot be decided: {there}; {told}."
    elif share["low"] >= NEARLY_ALL:
        yield f"No, {what.replace('makes', 'does not make')}: {told}."
    elif share["value"] == 0 and share["high"] < NEARLY_ALL:
        yield f"The published conclusion holds at no setting near the published one on {data['activation']}: {told}."
    elif share["high"] < NEARLY_ALL:
        yield f"Yes, {what}: {told}."
    else:
        yield f"Whether {what} cannot be decided: {told}, on both sides of {100 * NEARLY_ALL:.0f} %."


def _separates(activation: str, told: dict[str, Any]) -> str:
    """Whether a detector chosen on other seeds separates from every kind of control."""
    alone = [name for name in told["j"] if name != "all"]
    against = "every kind of control" if len(alone) > 1 else AGAINST.get(alone[0], alone[0])
    what = f"the {activation} networks that grok from {against}"
    values = f"J {number(told['j'][told['worst']])}"
    if len(alone) > 1:
        values = f"worst {values}, against {AGAINST.get(told['worst'], told['worst'])}; {number(told['j']['all'])} pooled"
    how = f"{told['candidates']} settings, chosen in {len(told['folds'])} folds and told on seeds that did not choose: {values}"
    if told["separates"] is None:
        return f"Whether a detector separates {what} cannot be decided from so few seeds ({how})."
    first = "A detector separates" if told["separates"] else "None of the detectors tried is shown to separate"
    return f"{first} {what} ({how})."


def _fails_near(told: list[dict[str, Any]] | None) -> Iterator[str]:
    for one in told or []:
        yield (
            f"A setting near the published one that is chosen to fail has, on seeds that did not choose it, a worst J of "
            f"{number(one['j'][one['worst']])} on square, against {AGAINST.get(one['worst'], one['worst'])}; "
            f"{setting(one['chosen'][0])} in the first of {len(one['folds'])} folds."
        )


def _published(data: dict[str, Any] | None, max_window: int) -> Iterator[str]:
    if data is None:
        yield f"The published setting was not tried: its window is 20 updates, the runs' bands hold {max_window} lags."
    for activation, outcomes in (data or {"outcomes": {}})["outcomes"].items():
        parts = [
            f"{found['fires']}/{found['n']} {'runs that grok' if name == 'grok' else AGAINST[name]}"
            + (f" (median epoch {found['median_epoch']:.0f})" if found["median_epoch"] is not None else "")
            for name, found in outcomes.items()
        ]
        js = {name: j for name, j in data["j"][activation].items() if name != "all"} if data else {}
        worst = min(js, key=lambda name: js[name]["value"], default=None)
        told = f"; worst J {number(js[worst])}" if worst else ""
        told += f", pooled {number(data['j'][activation]['all'])}" if data and "all" in data["j"][activation] else ""
        yield f"The published setting on {activation} fires on {', '.join(parts)}{told}."


def _neighbourhood(data: dict[str, Any] | None) -> Iterator[str]:
    if data is None:
        return
    parts = [f"{number(share)} against {AGAINST[name]}" for name, share in data["share"].items()]
    ranges = ", ".join(
        f"{name.replace('_', ' ')} " + (f"{low:g}–{high:g}" if low < high else f"{low:g}")
        for name, (low, high) in data["ranges"].items()
    )
    cut = f", cut: {'; '.join(data['cut'])}" if data["cut"] else ""
    yield (
        f"Share of the settings near the published one ({ranges}{cut}; {data['settings']} of them) in which {data['rule']}, on "
        f"{data['activation']}: {'; '.join(parts) or 'no controls'}; the runs that grok alone {number(data['share_tpr'])}. "
        "These intervals are of the sample of settings, with the runs fixed."
    )
    if data["relu_silent_share"] is not None:
        yield f"Share of them in which ReLU's grokking runs stay silent: {number(data['relu_silent_share'])}."


def _search(data: dict[str, Any] | None) -> Iterator[str]:
    if data is None or not data["best"]:
        return
    found = data["best"][0]
    held, calibration = found["held_out"], found["calibration"]
    values = (number(held["j"]), number(held["lead"], 0), number(calibration["j"]), number(calibration["lead"], 0))
    told = "J {} and lead {} epochs on held-out seeds (calibration J {}, lead {})".format(*values)
    what = f"The best of {data['trials']} settings searched for {data['objective']} on {data['activation']}"
    if data["objective"] == "lead":
        told += f"; FPR {number(held['fpr'])} held-out (calibration {number(calibration['fpr'])})"
        if calibration["fpr"]["value"] > data["alpha"]:
            what = f"No setting has FPR ≤ {data['alpha']:g} on calibration seeds; the one that comes nearest"
    yield f"{what} has {told}, which decides nothing; {setting(found['setting'])}."


EVALUATORS = {
    "sobol_total": "total Sobol index",
    "fanova": "functional ANOVA",
    "mdi": "decrease of impurity",
    "ped_anova": "PED-ANOVA",
}


def _importance(data: dict[str, Any]) -> str:
    evaluator = EVALUATORS.get(data["evaluator"], data["evaluator"])
    if not data["informative"]:
        return f"What moves {data['target']}: no information, it is the same at every setting tried ({evaluator})."
    first = data["values"][:3]
    parts = [f"{one['parameter'].replace('_', ' ')} {number(one)}" for one in first]
    return f"What moves {data['target']} most ({evaluator}): {', '.join(parts)}."


def window_word(table: pd.DataFrame, by_window: Mapping[int, Mapping[str, Any]]) -> str:
    """The published window table by the rule of the report's claims, and whether float32 is why epochs differ.

    Args:
        table: of `grid.window_table`. by_window: the verdict on each window, of the claims' own rule; without one, not decided.
    """
    epochs = table[table["measure"] == "fire_epoch"]
    parts, why = [], []
    for window in sorted({int(one) for one in epochs["window"]}):
        rows = epochs[epochs["window"] == window]
        unknown = [str(one) for one, part in rows.groupby("condition", sort=False) if not part["ours_measured"].any()]
        word = by_window[window]["verdict"] if window in by_window else "not decided"
        gone = f" (not measured: {', '.join(AGAINST.get(one, one) for one in unknown)})" if unknown else ""
        parts.append(f"window {window} {word}{gone}")
        if told := _float32(rows):
            why.append(f"window {window}: {told}")
    text = f"The published window table, by the rule of the report: {', '.join(parts)}"
    return ". ".join([text, *why]) + "."


def _float32(rows: pd.DataFrame) -> str:
    """Whether a float32 Gram gives published epochs that the float64 Gram of the same runs does not; empty if none was kept."""
    tried = rows[rows["gram32_measured"]]
    if not len(tried):
        return ""
    by64, by32 = (_same(tried["published"], tried[name]) for name in ("same_gram", "ours_gram32"))
    alike = int((tried["same_gram"].eq(tried["ours_gram32"]) | (tried["same_gram"].isna() & tried["ours_gram32"].isna())).sum())
    n = len(tried)
    told = f"of the same runs a float64 Gram gives {by64} and a float32 Gram {by32} of {n} published epochs, {alike} alike"
    off = tried[~_agrees(tried["published"], tried["same_gram"])]
    back = _same(off["published"], off["ours_gram32"])
    if not len(off):
        return told
    if back == len(off):
        return f"{told}, so the precision of the Gram explains the difference"
    return f"{told}, so the precision of the Gram does not explain {'it' if back == 0 else 'all of it'}"


def rounding_word(table: pd.DataFrame) -> str:
    """Under which variants of rounding the published fire epochs come back, window by window.

    Args:
        table: of `grid.rounding_table`.
    """
    own = table[table["method"] == "gram"]
    parts = []
    for key, rows in own.groupby(["window", "condition"], sort=False):
        window, condition = (str(one) for one in key)
        exact = sorted(rows.loc[rows["equal"], "rounding"])
        named = f" ({', '.join(exact)})" if 0 < len(exact) < len(rows) else ""
        counts = f"exactly in {len(exact)} of {len(rows)}{named}, within an epoch in {int(rows['within_one'].sum())}"
        parts.append(f"window {window} of {AGAINST.get(condition, condition)} {counts}")
    return f"The published fire epochs of seeds 0–2 by variant of rounding: {'; '.join(parts)}."


def _same(published: pd.Series, ours: pd.Series) -> int:
    """How many agree to within an epoch, or in that there is none."""
    return int(_agrees(published, ours).sum())


def _agrees(published: pd.Series, ours: pd.Series) -> pd.Series:
    return ((published - ours).abs() <= 1) | (published.isna() & ours.isna())
