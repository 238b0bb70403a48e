"""The rebuttal's sentence on the grid of a sensitivity study: its settings judged as the claims judge theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import CAVEAT, NOT_TESTABLE, REPRODUCED
from analysis.exhibits.sources import ENOUGH
from analysis.papers.xu.rebuttal import FULL, METHODS, READINGS, RULE, Setting, favourable, verdict
from analysis.printed.xu import REBUTTAL_SENTENCE, REBUTTAL_WINDOWS
from grok.numerics.methods import is_exact

KEYS = ["method", "window", "reading", "threshold"]
VERDICTS = {"holding": "holds", "ok_fires": "ok_fires", "ok_epoch": "ok_epoch", "ok_relu": "ok_relu"}
"""What is counted, and the column that has it."""
RUNS = 15
"""Square runs with weight decay that the sentence is of."""
LISTED = 12
"""Failing settings named in the data."""


def of_grid(grid: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    """What a sensitivity study's grid says of the sentence: `rebuttal.csv`, and `rebuttal` in `sensitivity.json`."""
    found = table(grid)
    return found, judged(found)


def table(grid: pd.DataFrame) -> pd.DataFrame:
    """The sentence setting by setting: a row per method, window, reading and threshold.

    Returns:
        method, window, reading, threshold, square_fires, square_n, square_median_epoch, relu_fires, relu_n, relu_eta0_fires and
        whether `Setting` says so: `ok_fires`, `ok_epoch`, `ok_relu`, and `holds`, all three. The last two are blank where only
        ReLU's missing runs could tell. A threshold that several readings mean is counted in each. `exact`: whether a randomised
        SVD is the full one by construction at that window.
    """
    chosen = grid[grid["window"].isin(REBUTTAL_WINDOWS)]
    positive = chosen[(chosen["reading"] == "signed") & (chosen["threshold"] > 0)].assign(reading="positive")
    chosen = pd.concat([positive, chosen], ignore_index=True)
    square, relu = (chosen[chosen["activation"] == name].set_index(KEYS) for name in ("square", "relu"))
    out = square[["grok_fires", "grok_n", "grok_median_epoch"]].set_axis(
        ["square_fires", "square_n", "square_median_epoch"], axis=1
    )
    out = out.join(relu[["grok_fires", "grok_n", "eta0_fires"]].set_axis(["relu_fires", "relu_n", "relu_eta0_fires"], axis=1))
    out = out.reset_index()
    settings = [_setting(row) for row in out.to_dict("records")]
    out["ok_fires"] = [setting.fires for setting in settings]
    out["ok_epoch"] = [setting.on_time for setting in settings]
    out["ok_relu"] = pd.array([setting.silent for setting in settings], dtype="boolean")
    out["holds"] = pd.array([setting.holds for setting in settings], dtype="boolean")
    out["exact"] = [is_exact(method, window) for method, window in zip(out["method"], out["window"], strict=True)]
    return out


def _setting(row: dict[Any, Any]) -> Setting:
    relu = (0, 0) if np.isnan(row["relu_n"]) else (int(row["relu_fires"]), int(row["relu_n"]))
    square = (row["square_fires"], row["square_n"], row["square_median_epoch"])
    return Setting(row["window"], row["threshold"], row["method"], *square, *relu, 0, 0, row["reading"] == "mirrored")


def judged(found: pd.DataFrame) -> dict[str, Any] | None:
    """The verdict on each reading and on the most favourable, as data and in sentences; None of an empty table.

    Counted are the methods that the sentence names; `gram32`, which it does not name, stands beside them. A reading that not
    every window was tried for, by a full and by a randomised spectrum, is at best `not testable yet`.
    """
    if not len(found):
        return None
    counted, beside = found[found["method"].isin(METHODS)], found[~found["method"].isin(METHODS)]
    by_reading = {
        name: {"title": title} | _counts(group) | {"word": _word(group)}
        for name, title in READINGS.items()
        if len(group := counted[counted["reading"] == name])
    }
    cells = counted.groupby("reading")["holds"]
    decides = favourable({str(name): float(held.fillna(False).sum() / len(held)) for name, held in cells})
    data: dict[str, Any] = {
        "sentence": REBUTTAL_SENTENCE,
        "methods": sorted(counted["method"].unique()),
        "exact_full_spectrum": "gram",
        "runs": int(counted["square_n"].min()) if len(counted) else 0,
        "randomised": {
            "cells": int(counted["method"].str.startswith("randomized").sum()),
            "exact": int(counted["exact"].sum()),
        },
        "rule": RULE,
        "by_reading": by_reading,
        "decides": decides,
        "overall": by_reading[decides]["word"] if by_reading else NOT_TESTABLE,
        "beside": {
            str(method): {str(name): _counts(group) for name, group in own.groupby("reading", sort=False)}
            for method, own in beside.groupby("method")
        },
        "failing": [_words(row) for row in counted[counted["holds"].eq(False).fillna(False)].head(LISTED).to_dict("records")],
    }
    return data | {"sentences": list(_sentences(data))}


def _counts(group: pd.DataFrame) -> dict[str, int]:
    """Settings of a reading; `undecided` are those that only ReLU's missing runs could decide."""
    counts = {name: int(group[column].fillna(False).sum()) for name, column in VERDICTS.items()}
    return {"cells": len(group), "undecided": int(group["holds"].isna().sum())} | counts


def _word(group: pd.DataFrame) -> str:
    """The verdict on a reading, as far as it was tried; `not testable yet` on fewer square runs than a claim needs."""
    if group["square_n"].min() < ENOUGH * RUNS:
        return NOT_TESTABLE
    word = verdict([None if one is pd.NA else bool(one) for one in group["holds"]])
    kinds = (group["method"].isin(FULL), group["method"].str.startswith("randomized"))
    tried = all(set(REBUTTAL_WINDOWS) <= set(group[kind]["window"]) for kind in kinds)
    return word if tried or word not in (REPRODUCED, CAVEAT) else NOT_TESTABLE


def _words(row: dict[Any, Any]) -> str:
    epoch = "never" if pd.isna(row["square_median_epoch"]) else f"median epoch {row['square_median_epoch']:.0f}"
    relu = "" if pd.isna(row["relu_n"]) else f", ReLU {row['relu_fires']:.0f}/{row['relu_n']:.0f}"
    return (
        f"{row['method']}, window {row['window']}, threshold {row['threshold']:g} ({row['reading']}): "
        f"square {row['square_fires']:.0f}/{row['square_n']:.0f}, {epoch}{relu}"
    )


def _sentences(data: dict[str, Any]) -> Iterator[str]:
    yield (
        f"The rebuttal's sentence ({data['sentence']}) is {data['overall']}, judged as {READINGS[data['decides']]}. "
        "By reading: "
        + "; ".join(f"{one['title']}: {one['word']}, {_share(one)}" for one in data["by_reading"].values())
        + f" (by {', '.join(data['methods'])})."
    )
    if data["runs"] < ENOUGH * RUNS:
        yield f"It is of {RUNS} runs and cannot be decided from {data['runs']}."
    if cells := data["randomised"]["cells"]:
        yield (
            f"Of its {cells} cells by randomised SVD {data['randomised']['exact']} are the full SVD by construction "
            "(oversampling + 5 ≥ window), so that they test nothing about a randomised one."
        )
    for method, readings in data["beside"].items():
        parts = [f"{READINGS[reading]} {_share(one)}" for reading, one in readings.items()]
        yield f"Beside it, not counted, by {method}: {'; '.join(parts)}."


def _share(counts: dict[str, Any]) -> str:
    undecided = f" ({counts['undecided']} more undecided without ReLU's runs)" if counts["undecided"] else ""
    return f"true in {counts['holding']} of {counts['cells']} cells{undecided}"
