"""What each figure of the lifecycle shows, a sentence from its own tables: the first of its caption."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Tables
from analysis.words import number

HALF = 0.5
PLACES = {"before": "", "after": "after the norm", "shuffled": "shuffled labels", "untrained": "untrained network"}
FEATURES = {"raw": "raw features", "standardised": "standardised", "ols": "no penalty"}


def reader_name(name: str) -> str:
    """A probe as a reader calls it.

    Example:
        >>> reader_name("untrained/linear_standardised_ols/token")
        'linear, standardised, no penalty, split by token; untrained network'
    """
    place, reader, split = name.split("/")
    kind, *features = reader.split("_")
    words = [kind.replace("mlp", "MLP"), *(FEATURES.get(one, one) for one in features), f"split by {split}"]
    return "; ".join(filter(None, (", ".join(words), PLACES.get(place, place))))


def flip(tables: Tables) -> str:
    """In how many runs grad% falls, and in how many of these it ends above one half again."""
    fell = back = n = 0
    for _, run in tables["curves"].groupby("run_id"):
        shares = run.sort_values("step")["grad_share"].dropna().to_numpy()
        low = np.flatnonzero(shares < HALF)
        n += 1
        fell += bool(len(low))
        back += bool(len(low) and (shares[low[0] :] >= HALF).any())
    return f"grad% falls below one half in {fell} of {n} runs of all conditions, and rises again in {back}."


def grid(tables: Tables) -> str:
    """How often the fall is at the step at which the window has left the first interval."""
    table = tables["grid"].dropna(subset=["falls"])
    near = (table["falls"] - table["leaves"]).abs() <= table["every"]
    parts = [
        (name, near[of])
        for name, of in (("true labels", table["condition"] == "grok"), ("the others", table["condition"] != "grok"))
    ]
    told = [f"{int(one.sum())} of {len(one)} with {name}" for name, one in parts if len(one)]
    return f"grad% falls within one interval of (W + 1)·N in {' and '.join(told)}, over runs and windows."


def ablation(tables: Tables) -> str:
    """The last phase."""
    last = tables["costs"].sort_values("step").iloc[-1]
    return (
        f"At step {last['step']:.0f} the edge costs {number(last['edge'])} of accuracy, a removal along the weights as large "
        f"{number(last['radial_displacement'])}, a random one {number(last['isotropic'])}."
    )


def phases(tables: Tables) -> str:
    """grad% below one half, before and after the grok step at the lowest level."""
    table = tables["phases"].dropna(subset=["offset", "grad_share"])
    if table.empty:
        return ""
    level = float(table["level"].min())
    part = table[table["level"] == level]
    before, after = (part.loc[of, "grad_share"] < HALF for of in (part["offset"] < 0, part["offset"] > 0))
    return (
        f"grad% is below one half in {int(before.sum())} of {len(before)} windows before accuracy {level:g} and in "
        f"{int(after.sum())} of {len(after)} after it."
    )


def probes(tables: Tables) -> str:
    """First and last score of the published reader and of the fair one."""
    table = tables["probes"]
    grok = table[(table["condition"] == "grok") & (table["step"] > 0)]
    told = []
    for reader, name in (
        ("before/linear_raw/token", "raw features"),
        ("before/linear_standardised_ols/token", "standardised ones without penalty"),
    ):
        scores = grok[grok["reader"] == reader_name(reader)].sort_values("step")["score"]
        if len(scores):
            told.append(f"from {scores.iloc[0]:.2f} to {scores.iloc[-1]:.2f} on {name}")
    return f"Linear R² goes {' and '.join(told)}." if told else ""


def intervention(tables: Tables) -> str:
    """The change of linear R² without weight decay, and with it, from after grokking."""
    table = tables["branches"]
    post = table[table["condition"] == "post"]
    change = (post["linear R², end"] - post["linear R², start"]).groupby(post["weight_decay"]).median()
    told = [f"{gain:+.2f} at ω = {decay:g}" for decay, gain in change.items()]
    return f"After grokking linear R² changes by {', '.join(told)} in the median." if told else ""


def flow(tables: Tables) -> str:
    """How often the predicted sign is right, by task."""
    table = tables["flow"]
    part = table[table["window"] == table["window"].min()]
    right = np.sign(part["predicted"]) == np.sign(part["measured"])
    shares = right.groupby(part["task"], sort=False).mean()
    told = ", ".join(f"{task} {share:.0%}" for task, share in shares.items())
    return f"The equation has the sign of the measured change in so many intervals: {told}."


def classes(tables: Tables) -> str:
    """grad% at the last time."""
    table: pd.DataFrame = tables["classes"]
    last = table[(table["eta_omega_t"] == table["eta_omega_t"].max()) & (table["window"] == table["window"].min())]
    told = ", ".join(f"{row['task']} {number(row['grad_share'])}" for row in last.to_dict("records"))
    return f"At ηωt = {table['eta_omega_t'].max():g} grad% is {told}."


def sweep(tables: Tables) -> str:
    """The last phase: the published step and the far ends."""
    table = tables["sweep"]
    last = table[(table["step"] == table["step"].max()) & (table["name"] == "accuracy")]
    lost = []
    for _, run in last.groupby("seed"):
        curve = run.sort_values("x")
        far = min(curve["value"].iloc[0], curve["value"].iloc[-1])
        lost.append(float(np.interp(0.0, curve["x"], curve["value"]) - far))
    middle = number(float(np.median(lost)))
    return f"At step {table['step'].max():.0f} the far end of the sweep costs {middle} of accuracy, the median over runs."
