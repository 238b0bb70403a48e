"""The errata on repulsion: Theorem 6, the estimator of its sign match, and the nulls that a rate needs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import Chapter
from analysis.exhibits.sources import Absent, Sources, at, series
from analysis.exhibits.verdicts import rounds_to
from analysis.papers.xu import demonstrations
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.papers.xu.repulsion import PUBLISHED, RATE, THEOREM
from analysis.papers.xu.repulsion_rates import RIDGES, Rates
from analysis.printed.xu import RELU_0
from analysis.statistics import estimates as statistics
from analysis.words import number
from grok.store.errors import StoreError


def _epochs(sources: Sources, runs: pd.DataFrame, metric: str) -> list[int]:
    """Epochs at which any of some runs has a metric; Absent if none has."""
    seen = [np.flatnonzero(np.isfinite(series(sources, run_id, metric))) for run_id in runs["run_id"]]
    if not any(map(len, seen)):
        raise Absent(f"none of {len(runs)} runs has measured {metric}")
    return sorted({int(epoch) for epochs in seen for epoch in epochs})


def _identity(sources: Sources) -> tuple[str, pd.DataFrame]:
    rows = []
    for condition in (GROK, CONTROL):
        runs = sources.take("headline", condition=condition)
        for epoch in _epochs(sources, runs, THEOREM):
            share, error = (
                statistics.known(at(sources, runs, f"repulsion/{name}", epoch)) for name in ("theorem6", "theorem6_error")
            )
            if not len(error):
                raise Absent(f"none of {len(runs)} runs has measured repulsion/theorem6_error at epoch {epoch}")
            rows.append(
                {
                    "condition": condition,
                    "epoch": epoch,
                    "runs": len(share),
                    "smallest share": share.min(),
                    "relative error at most": demonstrations.bound(float(error.max())),
                }
            )
    untrained = sources.take("headline", condition=GROK, seed=0).iloc[0]
    obey, worst, pairs = demonstrations.untrained_theorem6(untrained)
    rows.append(
        {
            "condition": f"{pairs} random pairs, not trained",
            "epoch": 0,
            "runs": 1,
            "smallest share": obey,
            "relative error at most": worst,
        }
    )
    table = pd.DataFrame(rows)
    text = (
        f"Checked in {int(table['runs'].sum())} measurements, with weight decay, without, and on an untrained network, "
        f"three pairs or more each: the smallest share of pairs that obey is {number(table['smallest share'].min())}. The "
        "residual comes from a direct solve that leaves the two columns out; it differs from its Schur form by at most "
        f"{table['relative error at most'].max():.0e}, relative."
    )
    return text, table


def _estimator(sources: Sources) -> tuple[str, pd.DataFrame]:
    run = sources.take("headline", condition=GROK, seed=0).iloc[0]
    weights = sources.evidence.weights(run["run_id"], 100)
    found = demonstrations.published_inverse(weights, run)
    equal = []
    for condition in (GROK, CONTROL):
        runs = sources.take("headline", condition=condition)
        ours, theirs = (
            np.concatenate([series(sources, run_id, name) for run_id in runs["run_id"]]) for name in (RATE, PUBLISHED)
        )
        known = np.isfinite(ours) & np.isfinite(theirs)
        if not known.any():
            raise Absent(f"none of {len(runs)} runs has measured both {RATE} and {PUBLISHED}")
        same = int((ours[known] == theirs[known]).sum())
        widest = float(np.abs(ours[known] - theirs[known]).max())
        equal.append(f"in {same} of {known.sum()} measurements ({condition}; largest difference {number(widest)})")
    table = pd.DataFrame({"quantity": list(found), "value": list(found.values())})
    text = (
        "Table: seed 0 at epoch 100, all in float64. The share of signs that the published residual shares with the raw "
        "similarity says what the estimator measures: near 1, it is the repulsion rate, how often the sign of B is opposite "
        "to the raw "
        f"similarity. The two are equal {' and '.join(equal)}."
    )
    return text, table


def _null(sources: Sources) -> tuple[str, pd.DataFrame]:
    rows = []
    for condition in (GROK, CONTROL):
        runs = sources.take("headline", condition=condition)
        for epoch in _epochs(sources, runs, RATE):
            found = {
                name: at(sources, runs, f"repulsion/{name}", epoch) for name in ("rate", "null_rate", "null_low", "null_high")
            }
            rate, null = (statistics.median_interval(found[name]) for name in ("rate", "null_rate"))
            above = int((found["rate"] > found["null_high"]).sum())
            rows.append(
                {
                    "condition": condition,
                    "epoch": epoch,
                    "runs": rate.n,
                    "rate": rate.value,
                    "rate low": rate.low,
                    "rate high": rate.high,
                    "null": null.value,
                    "null lowest": found["null_low"].min(),
                    "null highest": found["null_high"].max(),
                    "runs above their null": above,
                }
            )
    table = pd.DataFrame(rows)
    last = [table[table["condition"] == condition].iloc[-1] for condition in (GROK, CONTROL)]
    text = " ".join(
        f"At epoch {row['epoch']}, {'with' if row['condition'] == GROK else 'without'} weight decay, the rate is "
        f"{row['rate']:.3f} and that of random pairs {row['null']:.3f}; {row['runs above their null']} of {row['runs']} runs "
        "lie above all ten of their draws."
        for row in last
    )
    return f"{text} Medians over seeds; the interval of the rate is that of the median.", table


def _untrained(sources: Sources) -> tuple[str, pd.DataFrame]:
    rows = []
    for activation, study, epochs in (
        ("square", "headline", (0, 50, 100, 175, 300)),
        ("ReLU", "relu", (0, 100, 300, 500, 800)),
    ):
        try:
            rates = Rates.of(sources, sources.take(study, condition=GROK))
        except (Absent, StoreError):
            if study == "headline":
                raise
            sources.shortfalls.append("none of ReLU was measured")
            continue
        for (ridge, name), epoch in itertools.product(RIDGES.items(), epochs):
            rate, change = rates.at(epoch, "top", ridge), rates.change(epoch, "top", ridge)
            positive, surrogate = rates.at(epoch, "positive", ridge), rates.at(epoch, "top", ridge, "rotated")
            found = statistics.median_interval(change)
            rows.append(
                {
                    "activation": activation,
                    "ridge": name,
                    "epoch": epoch,
                    "runs": found.n,
                    "rate": statistics.median_interval(rate).value,
                    "less that of epoch 0": found.value,
                    "low": found.low,
                    "high": found.high,
                    "cos > 0 alone": statistics.median_interval(positive).value,
                    "rotated features": statistics.median_interval(surrogate).value,
                }
            )
    table = pd.DataFrame(rows)
    lines = [
        f"{row['activation']} at ridge {row['ridge']} {row['rate']:.3f}"
        for row in table[table["epoch"] == 0].to_dict("records")
    ]
    return f"Untrained: {', '.join(lines)}. Medians over seeds; the interval is that of the median difference.", table


def _relu_row(sources: Sources) -> tuple[str, pd.DataFrame]:
    kinds = {"ReLU": sources.take("relu", condition=GROK)}
    try:
        kinds["square"] = sources.take("theorem6", activation="square")
    except Absent:
        kinds["square"] = sources.take("headline", condition=GROK)  # ends at epoch 400
    for name, runs in kinds.items():
        if 0 not in set(runs["seed"]):
            raise Absent(f"the {name} run of seed 0, of which the row was printed, is not there")
    rows, equal = [], dict.fromkeys(kinds, 0)
    for epoch, printed in RELU_0.items():
        row: dict[str, Any] = {"epoch": epoch, "published as ReLU": float(printed)}
        for name, runs in kinds.items():
            values = at(sources, runs, PUBLISHED, epoch)
            known = statistics.known(values)
            row[f"{name}, seed 0"] = float(values[(runs["seed"] == 0).to_numpy()][0])
            row[f"{name}, seeds"] = len(known)
            row[f"{name}, lowest"], row[f"{name}, highest"] = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            equal[name] += rounds_to(row[f"{name}, seed 0"], printed)
        rows.append(row)
    lines = [
        f"at {row['epoch']}, published {row['published as ReLU']:.3f}, ReLU {number(row['ReLU, seed 0'])}, square "
        f"{number(row['square, seed 0'])}"
        for row in rows
    ]
    told = ", ".join(f"{count} of {len(rows)} for {name}" for name, count in equal.items())
    return f"Seed 0, the published estimator: {'; '.join(lines)}. Equal to the printed digits: {told}.", pd.DataFrame(rows)


CHAPTERS = (
    Chapter(
        "theorem6-identity",
        "Theorem 6's rule is an algebraic identity",
        ("headline",),
        "sign_match",
        "Theorem 6 says that B_jl has the sign opposite to the residual f̃_jᵀ P f̃_l. By the 2×2 Schur complement that "
        "residual is −B_jl / (B_jj B_ll − B_jl²), and the denominator is positive because B is positive definite. So the "
        "rule holds for every matrix of features, trained or not, and that it holds says nothing about training.",
        _identity,
    ),
    Chapter(
        "published-estimator",
        "The published estimator's inverse is mis-scaled",
        ("headline",),
        "sign_match",
        "The published sign match takes B_pub = I/η − F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃/η². The Woodbury identity gives "
        "B = (I − F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃)/η. The table holds both against a direct inverse.",
        _estimator,
    ),
    Chapter(
        "repulsion-null",
        "The repulsion rate needs a null",
        ("headline",),
        "repulsion",
        "That B_jl and cos(f̃_j, f̃_l) have opposite signs on the most similar pairs is empirical. Its yardstick is the same "
        "rate on as many random pairs of living features, ten draws a run. It is a weak one: see the next chapter. Rates are "
        "one number per seed: the 200 pairs of a "
        "network are not independent.",
        _null,
    ),
    Chapter(
        "repulsion-untrained",
        "An untrained network repels as well",
        ("headline", "relu"),
        "repulsion",
        "A rate above that of random pairs cannot fail: the most similar pairs of Gaussian features repel too, and so do "
        "those of a "
        "network before its first step. Whether training makes features repel shows only in the difference from epoch 0 of "
        "the same "
        "seed, and beside features rotated at random, which have exactly the same spectrum. The ridge counts: the published "
        "one is "
        "η, the mean loss with L2 decay implies nη/2.",
        _untrained,
    ),
    Chapter(
        "relu-sign-match",
        "The published ReLU sign match, beside ReLU and square networks",
        ("relu", "headline", "theorem6"),
        "sign_match",
        "The row printed for ReLU, seed 0, is held against the same estimator on ReLU networks and on square networks.",
        _relu_row,
    ),
)
"""In the order of the report."""
