"""What nobody had asked of repulsion: other activations, surrogates, pairs as similar, the ridge, weight decay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.exhibits.model import (
    Answer,
    Question,
)
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.papers.xu.repulsion_rates import (
    FEWEST,
    MARGIN,
    RIDGES,
    SIMILAR,
    UNIT,
    WAYS,
    Rates,
    activations_of_study,
    as_told,
    enough,
    known,
    less,
    matched,
)
from analysis.statistics.estimates import median_interval
from analysis.statistics.exact import sign_flip
from analysis.statistics.paired import direction
from analysis.words import number
from grok.numerics.nulls import PUBLISHED


def _ways(name: str, changes: dict[str, np.ndarray], note: str = UNIT, instead: Mapping[str, str] | None = None) -> Answer:
    """Each difference by its direction, then what is said `instead` of places that have none."""
    found = {place: known(place, values) for place, values in changes.items()}
    told = [f"{place}: {direction(of, MARGIN)}, {as_told(of)}" for place, of in found.items()]
    told += [f"{place}: {words}" for place, words in (instead or {}).items()]
    tests = "; ".join(f"{place} p = {sign_flip(v).p:.2g}" for place, v in changes.items())
    tested = f"Exact sign-flip tests: {tests}. " if tests else ""
    return Answer(f"{name}: {'; '.join(told)}", found, f"{tested}{note}")


def _activations(sources: Sources) -> Answer:
    changes = dict[str, np.ndarray]()
    for activation in activations_of_study():
        rates = Rates.of(sources, sources.take("activations", condition=GROK, activation=activation))
        changes |= {f"{activation}, ridge {name}": rates.change(None, "top", ridge) for ridge, name in RIDGES.items()}
    note = f"Five seeds: intervals are ranges (94 %), and no exact test gives less than p = 0.06. {UNIT}"
    return _ways("rate(last) − rate(0)", changes, note)


def _surrogates(sources: Sources) -> Answer:
    rates, changes = Rates.of(sources, sources.take("headline", condition=GROK)), dict[str, np.ndarray]()
    for surrogate in ("rotated", "permuted"):
        for ridge, name in RIDGES.items():
            for epoch in (0, 100, 175, 300):
                own, other = rates.at(epoch, "top", ridge), rates.at(epoch, "top", ridge, surrogate)
                changes[f"{surrogate}, ridge {name}, epoch {epoch}"] = less(own, other)
    return _ways("rate − that of the surrogate", changes)


def _similarity(sources: Sources) -> Answer:
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    changes, instead, held, some = dict[str, np.ndarray](), dict[str, str](), list[str](), list[str]()
    for ridge, name in RIDGES.items():
        binned = [table for table in rates.tables if _binned(table, 300, ridge)]
        if not enough(len(binned), len(rates.tables)):
            raise Absent(
                f"pairs by similarity, ridge {name}, were measured in {len(binned)} of {len(rates.tables)} runs. "
                "Run python -m entry_points.measure"
            )
        for signs, cos in (((1,), "cos > 0"), ((-1,), "cos < 0")):
            found = np.array([matched(table, 300, ridge, signs) for table in binned])
            place, there = f"{cos}, ridge {name}", int(np.isfinite(found[:, 0]).sum())
            lacking = f"no comparable bin in {len(binned) - there} of {len(binned)} runs"
            if enough(there, len(binned)):
                changes[place] = found[:, 0]
                some += [f"{place}: {lacking}."] if there < len(binned) else []
            else:
                instead[place] = lacking
            if ridge == PUBLISHED:
                held.append(f"{np.median(found[:, 1]):.0%} of the pairs with {cos}")
    note = f"Bins that can be compared hold {' and '.join(held)} and |cos| ≥ {SIMILAR} (median over seeds)."
    return _ways("rate(300) − rate(0) at the same |cos|", changes, " ".join((note, *some, UNIT)), instead)


def _binned(table: pd.DataFrame, epoch: int, ridge: str) -> bool:
    """Whether pairs by bins of similarity were measured at an epoch and at epoch 0."""
    mine = table[(table["kind"] == "all") & (table["ridge"] == ridge) & (table["features"] == "network")]
    return {0, epoch} <= set(mine["epoch"])


def _ridge(sources: Sources) -> Answer:
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    first = rates.tables[0]
    scan = first[first["features"] == "network"].groupby("ridge")["value"].median().sort_values()
    found = {
        f"ridge {number(float(value))}, epoch {epoch}": known(f"the rate at ridge {name}", rates.at(epoch, "top", str(name)))
        for name, value in scan.items()
        for epoch in (0, 300)
    }
    changes = {f"ridge {number(float(v))}": rates.change(300, "top", str(name)) for name, v in scan.items()}
    told = "; ".join(
        f"{place}: {number(found[f'{place}, epoch 0'].value)} untrained, {number(found[f'{place}, epoch 300'].value)} at 300 "
        f"({direction(median_interval(change), MARGIN)})"
        for place, change in changes.items()
    )
    return Answer(told, found, UNIT)


def _decay(sources: Sources) -> Answer:
    grok, control = (Rates.of(sources, sources.take("headline", condition=condition)) for condition in (GROK, CONTROL))
    shared = sorted(set(grok.runs["seed"]) & set(control.runs["seed"]))
    changes = {}
    for ridge, name in RIDGES.items():
        one, two = (
            pd.Series(rates.change(300, "top", ridge), index=rates.runs["seed"]).loc[shared].to_numpy()
            for rates in (grok, control)
        )
        changes[f"ridge {name}"] = less(one, two)
    return _ways("the change with weight decay less that without, by epoch 300", changes)


QUESTIONS = (
    Question(
        "repulsion-every-activation",
        "Does the repulsion rate rise from that of the untrained network, whatever the activation?",
        ("activations",),
        "Repulsion rate of the 200 most similar pairs at the last checkpoint less that of the same seed at epoch 0, at two "
        f"ridges, with weight decay; every activation of the study must be there. {WAYS}",
        _activations,
    ),
    Question(
        "repulsion-surrogates",
        "Does the repulsion rate exceed that of surrogates of the same features?",
        ("headline",),
        "The rate less that of features rotated at random (Gaussian, exactly the same spectrum) and of features whose samples "
        f"are permuted column by column, seed by seed, with weight decay. {WAYS}",
        _surrogates,
    ),
    Question(
        "repulsion-similarity",
        "Does similarity alone make the repulsion rate?",
        ("headline",),
        "The rate at epoch 300 less that at epoch 0 of pairs as similar: in equal bins of |cos|, with cos > 0 and cos < 0 "
        f"apart, weighted by the pairs at epoch 300, with weight decay. Bins with at least {FEWEST} pairs at both epochs can "
        f"be compared; a sign without one in more than a fifth of the runs has no answer. {WAYS}",
        _similarity,
    ),
    Question(
        "repulsion-ridge",
        "Does the ridge make the repulsion rate?",
        ("headline",),
        f"The rate of the 200 most similar pairs at each ridge of the scan, at epochs 0 and 300, with weight decay. {WAYS}",
        _ridge,
    ),
    Question(
        "repulsion-decay",
        "Does weight decay make the repulsion rate rise?",
        ("headline",),
        f"rate(300) − rate(0) with weight decay less that without, of one seed. {WAYS}",
        _decay,
    ),
)
