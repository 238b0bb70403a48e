"""The sign rule as published: negative entries of B in the notes' own row, and the rule across activations.

What both are held against is of `repulsion_rates`; `analysis/claims/PREREGISTRATION.md` says when and on what knowledge the
rules were written.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from analysis.exhibits import verdicts
from analysis.exhibits.model import ABSTRACT, CAVEAT, NOTES, REPRODUCED, Claim, Measured
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.xu.headline import GROK
from analysis.papers.xu.repulsion_rates import LEVEL, UNIT, Rates, activations_of_study
from analysis.printed.xu import FINDINGS, NEGATIVE_0, XU
from analysis.statistics.estimates import Estimate, median_interval
from analysis.statistics.exact import quantile_sides
from analysis.words import spread
from grok.numerics.nulls import PUBLISHED

PAIRS = 9
"""Decimals to which a share of 200 pairs is exact: a count divided by 200 must not miss a bound by its last bit."""


def _negative_0(sources: Sources) -> Measured:
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    if 0 not in set(rates.runs["seed"]):
        raise Absent("the run of seed 0 of the study headline, of which the row was printed, is not there")
    first = list(rates.runs["seed"]).index(0)
    parts = []
    for epoch, printed in NEGATIVE_0.items():
        shares = rates.at(epoch, "top", PUBLISHED, sign=1)
        parts.append(verdicts.share_of_seed(f"epoch {epoch}", float(shares[first]), shares, printed))
    return verdicts.judge(parts)


def _across(sources: Sources) -> Measured:
    parts, told, beside, flat = [], [], dict[str, Estimate](), []
    for activation in activations_of_study():
        rates = Rates.of(sources, sources.take("activations", condition=GROK, activation=activation))
        level, change = (
            np.round(verdicts.measured(f"the rate with {activation}", one), PAIRS)
            for one in (rates.at(None, "top", PUBLISHED), rates.change(None, "top", PUBLISHED))
        )
        parts.append(verdicts.relation(activation, level, f"≥ {LEVEL}", (LEVEL, 1.0), (0.5, 1.0)))
        beside[f"{activation}, change from epoch 0"] = found = median_interval(change)
        flat.append(quantile_sides(change, -math.inf, 0.0).outside)
        told.append(f"{activation} {spread(*found[:3])}")
    judged = verdicts.judge(parts, f"Less the rate at epoch 0: {'; '.join(told)}. {UNIT}")
    estimates = {**judged.estimates, **beside}
    if judged.verdict == REPRODUCED:
        rises = max(flat) <= verdicts.ALPHA
        p = max(judged.p, *flat) if rises else judged.p
        return replace(judged, verdict=REPRODUCED if rises else CAVEAT, estimates=estimates, p=p)
    return replace(judged, estimates=estimates)


CLAIMS = (
    Claim(
        "repulsion-negative-0",
        "Of the most similar pairs with a positive cosine, as many have a negative entry of B (square, seed 0).",
        f"{FINDINGS}, Theorem 6 table",
        ", ".join(f"{text} at {epoch}" for epoch, text in NEGATIVE_0.items()),
        "share of negative entries of B among those of the 200 pairs with the largest |cos| whose cosine is positive, at the "
        "published ridge",
        ("headline",),
        verdicts.SEED + " " + verdicts.PARTS,
        _negative_0,
        kind=NOTES,
    ),
    Claim(
        "repulsion-across-activations",
        "The predicted sign rule holds robustly on the top-200 most-similar feature pairs across activations.",
        f"{XU}, abstract",
        "holds; the mechanism is activation-general",
        "repulsion rate of the 200 most similar pairs at the last checkpoint, each activation of the study, with weight decay; "
        "beside it the rate less that of the same seed at epoch 0",
        ("activations",),
        f"Of each activation: holds if exact tests put the median over seeds at {LEVEL} or above at the published ridge, not "
        "if they put it below, contradicted below one half; otherwise not precise enough to tell. Where all hold, with a "
        "caveat unless the rate also rises from epoch 0 in every one: an untrained network then has it as well. "
        f"{verdicts.PARTS}",
        _across,
        kind=ABSTRACT,
        replaces=("repulsion-every-activation",),
    ),
)
