"""What each figure of the paper shows, a sentence from its own tables: the first of its caption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.exhibits.panels import Tables
from analysis.words import CONDITIONS, number
from grok.numerics.rank import LEAD

ACTIVATIONS = {"square": "x²", "relu": "ReLU"}
KEPT = 300
"""Epoch at which spectra are told: after the fires, before the late end of the gap."""
PUBLISHED_WINDOW, PUBLISHED_THRESHOLD = 20, 0.04


def _act(name: object) -> str:
    return ACTIVATIONS.get(str(name), str(name))


def _of(name: object) -> str:
    return CONDITIONS.get(str(name), str(name).replace("_", " "))


def _kind(row: Mapping[Any, Any]) -> str:
    return f"{_act(row['activation'])}, {_of(row['condition'])}"


def _with(name: object) -> str:
    said = _of(name)
    return said if said.startswith("without") else f"with {said}"


def headline(tables: Tables) -> str:
    """How many runs fire, and when."""
    told = []
    for condition, runs in tables["fires"].groupby("condition", sort=False):
        fires = runs["fire_epoch"].dropna()
        when = f", at epoch {number(float(fires.median()))}" if len(fires) else ""
        told.append(f"in {len(fires)} of {len(runs)} runs {_with(condition)}{when}")
    return f"The detector fires {' and '.join(told)}."


def eigenvalues(tables: Tables) -> str:
    """λ₂/λ₃ of the medians at one epoch."""
    table = tables["curves"]
    epoch = min((int(one) for one in table["epoch"].unique()), key=lambda one: abs(one - KEPT))
    at = table[table["epoch"] == epoch]
    wide = at.pivot_table(index=["activation", "condition"], columns="metric", values="median", sort=False).reset_index()
    told = [f"{number(row['delta_w/lambda_2'] / row['delta_w/lambda_3'])} ({_kind(row)})" for row in wide.to_dict("records")]
    return f"At epoch {epoch} λ₂ is so many times λ₃: {', '.join(told)}."


def repulsion(tables: Tables) -> str:
    """The rate on similar pairs beside that on random ones, at the last checkpoint."""
    told = []
    for _, points in tables["points"].groupby(["activation", "condition"], sort=False):
        last = points.sort_values("epoch").iloc[-1].to_dict()
        told.append(f"{_kind(last)} {number(last['rate'])} ({number(last['null_rate'])})")
    return f"Rate at the last checkpoint, in brackets on random pairs: {', '.join(told)}."


def sign_match(tables: Tables) -> str:
    """Theorem 6's sign at its least beside the published estimator's first and last."""
    told = []
    for activation, points in tables["points"].groupby("activation", sort=False):
        ordered = points.sort_values("epoch")
        first, last = (number(ordered["published_estimator"].iloc[end]) for end in (0, -1))
        least = number(ordered["theorem6"].min())
        told.append(f"{_act(activation)} {first} to {last}, Theorem 6 at least {least}")
    return f"The published estimator and the sign of Theorem 6: {'; '.join(told)}."


def detector(tables: Tables) -> str:
    """Of the kinds that never generalise, the one that fires most; of those that do, each."""
    table = tables["shares"]
    groks, not_ = table[table["generalised"] > 0.5], table[table["generalised"] == 0]
    told = [f"it fires in {_count(one)}" for one in groks.to_dict("records")]
    if len(not_):
        most = not_.sort_values("share", kind="stable", ascending=False).iloc[0].to_dict()
        told.append(f"of kinds that never generalise most in {_count(most)}")
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}." if told else ""


def _count(one: Mapping[Any, Any]) -> str:
    return f"{one['fired']:.0f}/{one['runs']:.0f} ({_kind(one)})"


def windows(tables: Tables) -> str:
    """The windows at which every run with weight decay fires, and none without."""
    table = tables["shares"].assign(share=lambda one: one["fired"] / one["runs"])
    wide = table.pivot_table(index="window", columns="condition", values="share")
    apart = [str(int(window)) for window, row in wide.iterrows() if row.get("grok") == 1 and row.get("eta0") == 0]  # type: ignore[call-overload]
    where = f": {', '.join(apart)}" if apart else ""
    return f"It fires in every run with weight decay and in none without at {len(apart)} of {len(wide)} windows{where}."


def precision(tables: Tables) -> str:
    """In how many settings every method has the same number of fires."""
    counts = tables["shares"].groupby(["condition", "window"])["fired"].nunique()
    return f"All methods give the same number of fires in {int((counts == 1).sum())} of {len(counts)} conditions and windows."


def sensitivity(tables: Tables) -> str:
    """Youden's J at the published setting."""
    table = tables["surface"]
    at = table[(table["window"] == PUBLISHED_WINDOW) & np.isclose(table["threshold"], PUBLISHED_THRESHOLD)]
    if at.empty:
        return ""
    told = [
        f"{number(float(part['j'].min()))} to {number(float(part['j'].max()))} ({_act(activation)})"
        for activation, part in at.groupby("activation", sort=False)
    ]
    return f"At the published setting J is {', '.join(told)}, by control."


def eta(tables: Tables) -> str:
    """How many runs lead, and the line."""
    runs, fit = tables["runs"], tables["fit"].iloc[0]
    both = runs[runs["fitted"]]
    first = int((both["rho_epoch"] < both["test_50_epoch"]).sum())
    r_squared = f"{fit['r_squared']:.2f}"
    return f"ρ comes first in {first} of {len(both)} runs; its epoch follows that of test accuracy 0.5 with R² {r_squared}."


def scaling(tables: Tables) -> str:
    """Cells in which every run groks, and in which ρ crosses its level."""
    cells = tables["cells"]
    every, crosses = int((cells["grokked"] == cells["runs"]).sum()), int(cells["rho_epoch"].notna().sum())
    return f"Every run groks in {every} of {len(cells)} cells; ρ crosses its level in {crosses}, grokking or not."


def activations(tables: Tables) -> str:
    """How many activations generalise in every run, and of how many every run fires."""
    table = tables["table"]
    groks, fires = table["grok_generalised_share"] == 1, table["grok_fired_share"] == 1
    return (
        f"With weight decay every run generalises with {int(groks.sum())} of {len(table)} activations; every run fires with "
        f"{int((groks & fires).sum())} of these and {int((~groks & fires).sum())} of the others."
    )


def ranks(tables: Tables) -> str:
    """Of how many kinds of runs one ratio leads all others and the drift."""
    told, kinds = 0, tables["ratios"].groupby(["layer", "activation", "condition"], sort=False)
    for _, part in kinds:
        ordered = part.sort_values("ratio", ascending=False)
        first = ordered.iloc[0]
        told += bool(first["ratio"] >= LEAD * ordered["ratio"].iloc[1] and first["ratio"] >= LEAD * first["drift"])
    return f"A rank stands out by both lines in {told} of {kinds.ngroups} kinds of runs and layers."


def cause(tables: Tables) -> str:
    """The factor that predicts most within the shortest horizon."""
    factors = tables["factors"]
    early = factors[factors["until"] == factors["until"].min()]
    best = early.loc[early["accuracy"].idxmax()]
    shown = "an association" if best["associated"] else "no association is shown"
    return (
        f"Within {best['until']:.0f} epochs {best['words']} predicts {best['accuracy']:.0%} of runs, the most frequent outcome "
        f"{best['null']:.0%}: {shown}."
    )


def rounding(tables: Tables) -> str:
    """Where the number of fires differs most between orders of summation."""
    told = []
    for _, runs in tables["runs"].groupby(["activation", "condition"], sort=False):
        counts = runs.groupby("variant", sort=False)["fired"].agg(["sum", "count"])
        told.append(
            (int(counts["sum"].min()), int(counts["sum"].max()), int(counts["count"].max()), _kind(runs.iloc[0].to_dict()))
        )
    least, most, of, where = max(told, key=lambda one: one[1] - one[0])
    if least == most:
        return "Every order of summation gives the same number of fires."
    return f"By order of summation {least} to {most} of {of} runs fire, where that is most apart ({where})."
