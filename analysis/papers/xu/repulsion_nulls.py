"""Repulsion against nulls that can fail: the same network untrained, surrogates, pairs as similar, two ridges.

The rules were fixed before the runs: analysis/claims/PREREGISTRATION-repulsion.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    REPRODUCED,
    REVIEW,
    Answer,
    Claim,
    Entry,
    Measured,
    Question,
)
from analysis.exhibits.sources import ENOUGH, Absent, Sources
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.printed.xu import FIVE_SEEDS, RELU_0, XU
from analysis.reading.columns import columns_of
from analysis.statistics.estimates import Estimate, median_interval
from analysis.statistics.exact import sign_flip
from analysis.statistics.paired import ALIKE, FALLS, RISES, UNCLEAR, beyond, direction
from analysis.words import number, spread
from grok.numerics.nulls import MEAN_LOSS, PUBLISHED
from grok.spec.studies import load_study

MARGIN = 0.02
"""Two rates are alike within four of 200 pairs, a sixth of the published rise."""
LEVEL = 0.9
"""Share of pairs from which on they are said to repel."""
ONE, BELOW_ONE = 0.995, 0.98
"""A median that rounds to 1.00 at two digits; an interval that ends below this is no saturation."""
LATE = (175, 250, 300)
"""Checkpoints from the detector's fire on."""
RIDGES = {PUBLISHED: "η", MEAN_LOSS: "nη/2"}
SIMILAR, FEWEST = 0.15, 20
"""|cos| from which pairs count as similar, and pairs that a bin must hold to be compared."""
BESIDE = {
    RISES: "above theirs",
    FALLS: "below theirs",
    ALIKE: "alike: the same rate without any dependence between features",
    UNCLEAR: UNCLEAR,
}
"""What a rate less that of permuted columns says."""
CHOSEN = (
    "The pairs were chosen for their similarity at epoch 150, but not at epoch 0: the difference from epoch 0 has that choice "
    "in it and cannot show a rise, so that the claim holds with a caveat at most."
)
UNIT = "One number per seed: the pairs of a network are not independent."


@dataclass(frozen=True)
class Rates:
    """The measured tables of some runs.

    Attributes:
        runs: as taken. tables: of each, in the same order.
    """

    runs: pd.DataFrame
    tables: tuple[pd.DataFrame, ...]

    @classmethod
    def of(cls, sources: Sources, runs: pd.DataFrame) -> Rates:
        """Those of runs that were measured.

        Raises:
            StoreError: if one was not.
        """
        return cls(runs, tuple(sources.evidence.measured(run_id, "repulsion") for run_id in runs["run_id"]))

    def at(self, epoch: int | None, kind: str, ridge: str, features: str = "network", sign: int | None = None) -> np.ndarray:
        """The rate of each run at an epoch, or at its last, of pairs of one sign of cos or of all; NaN where not measured."""
        return np.array([_rate(columns_of(table), epoch, kind, ridge, features, sign) for table in self.tables])

    def change(self, epoch: int | None, kind: str, ridge: str) -> np.ndarray:
        """rate(epoch) − rate(0) of each run."""
        return less(self.at(epoch, kind, ridge), self.at(0, kind, ridge))


def less(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One rate less another, run by run, without the last bits of the subtraction: the ends of a margin belong to it."""
    return np.asarray(np.round(one - other, 9))


def _rate(columns: dict[str, np.ndarray], epoch: int | None, kind: str, ridge: str, features: str, sign: int | None) -> float:
    of_sign = np.ones(len(columns["epoch"]), dtype=bool) if sign is None else columns["sign"] == sign
    when = int(columns["epoch"][of_sign].max()) if epoch is None else epoch
    chosen = of_sign & (columns["epoch"] == when) & (columns["kind"] == kind)
    chosen &= (columns["ridge"] == ridge) & (columns["features"] == features)
    pairs = int(columns["pairs"][chosen].sum())
    return float(columns["repel"][chosen].sum()) / pairs if pairs else np.nan


def enough(there: int, n: int) -> bool:
    """Whether so many of n runs speak for all."""
    return there > 0 and there >= ENOUGH * n


def _known(name: str, values: np.ndarray) -> Estimate:
    """The median of what was measured of all but a few runs.

    Raises:
        Absent: if less than 80 % were measured.
    """
    there = int(np.isfinite(values).sum())
    if not enough(there, len(values)):
        raise Absent(f"{name} was measured in {there} of {len(values)} runs. Run python -m entry_points.measure")
    return median_interval(values)


def _told(estimate: Estimate) -> str:
    return spread(*estimate[:3])


def _flips(values: np.ndarray) -> str:
    found = sign_flip(values)
    return f"exact sign-flip test over {found.n} seeds, p = {found.p:.2g}"


def _rises(sources: Sources) -> Measured:
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    found, ways, flips = dict[str, Estimate](), dict[str, str](), list[str]()
    for ridge, name in RIDGES.items():
        change = rates.change(300, "top", ridge)
        found[f"change at ridge {name}"] = estimate = _known(f"the change at ridge {name}", change)
        found[f"untrained at ridge {name}"] = _known(f"the rate at epoch 0, ridge {name}", rates.at(0, "top", ridge))
        found[f"epoch 300 at ridge {name}"] = _known(f"the rate at epoch 300, ridge {name}", rates.at(300, "top", ridge))
        ways[ridge] = direction(estimate, MARGIN)
        flips.append(f"ridge {name}: {_flips(change)}")
    published = found[f"change at ridge {RIDGES[PUBLISHED]}"]
    if ways[PUBLISHED] == RISES:
        verdict = REPRODUCED if ways[MEAN_LOSS] == RISES else CAVEAT
    else:
        verdict = CONTRADICTED if published.high < MARGIN else IMPRECISE
    text = "; ".join(
        f"ridge {name}: {_told(found[f'change at ridge {name}'])} ({ways[ridge]}), from "
        f"{number(found[f'untrained at ridge {name}'].value)} untrained to {number(found[f'epoch 300 at ridge {name}'].value)}"
        for ridge, name in RIDGES.items()
    )
    own, other = (rates.change(300, "top", ridge) for ridge in RIDGES)
    rises, stays = beyond(own, 0.0), beyond(own, MARGIN, above=False)
    p = {REPRODUCED: max(rises, beyond(other, 0.0)), CAVEAT: rises, CONTRADICTED: stays}.get(verdict, min(rises, stays))
    note = " ".join((f"{'; '.join(flips)}.", *_beside_permuted(rates), UNIT))
    start, end = (number(found[f"{when} at ridge {RIDGES[PUBLISHED]}"].value) for when in ("untrained", "epoch 300"))
    return Measured(f"rate(300) − rate(0): {text}", verdict, found, note, p=p, short=f"{start} untrained, {end} at epoch 300")


def _beside_permuted(rates: Rates) -> list[str]:
    """What the same rate does with columns permuted, and how far the network's is from it; nothing where not measured."""
    out = []
    for ridge, name in RIDGES.items():
        before, after = (rates.at(epoch, "top", ridge, "permuted") for epoch in (0, 300))
        change, apart = less(after, before), less(rates.at(300, "top", ridge), after)
        if not all(enough(int(np.isfinite(values).sum()), len(values)) for values in (change, apart)):
            continue
        rest = median_interval(apart)
        out.append(
            f"Features with their columns permuted, ridge {name}: rate(300) − rate(0) {_told(median_interval(change))}; at 300 "
            f"the network's rate less theirs {_told(rest)} ({BESIDE[direction(rest, MARGIN)]})."
        )
    return out


def _relu_saturates(sources: Sources) -> Measured:
    rates = Rates.of(sources, sources.take("relu", condition=GROK))
    change = rates.change(500, "top", PUBLISHED)
    level, rise = _known("the rate at epoch 500", rates.at(500, "top", PUBLISHED)), _known("the change", change)
    untrained = _known("the rate at epoch 0", rates.at(0, "top", PUBLISHED))
    way = direction(rise, MARGIN)
    if level.value >= ONE and way == RISES:
        verdict = REPRODUCED
    else:
        verdict = CONTRADICTED if level.high < BELOW_ONE or rise.high < MARGIN else NOT_REPRODUCED
    text = f"{_told(level)} at epoch 500, untrained {_told(untrained)}; change {_told(rise)} ({way})"
    fails = 2 * min(beyond(rates.at(500, "top", PUBLISHED), BELOW_ONE, above=False), beyond(change, MARGIN, above=False))
    p = {REPRODUCED: beyond(change, 0.0), CONTRADICTED: min(1.0, fails)}.get(verdict, math.nan)
    estimates = {"epoch 500": level, "untrained": untrained, "change": rise}
    short = f"{number(level.value)} at epoch 500, {number(untrained.value)} untrained"
    return Measured(text, verdict, estimates, f"{_flips(change)}. {UNIT}", p=p, short=short)


def _kept(sources: Sources, kind: str, *, chosen: bool) -> Measured:
    """Level and change of one kind of pairs at the late checkpoints and both ridges.

    Pairs that were `chosen` for their similarity late were not at epoch 0: no change counts, the level at the published ridge
    holds with a caveat, and one that fails at one epoch contradicts. Of others one that fails at all epochs does.
    """
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    levels, changes, entries = dict[tuple[str, int], Estimate](), dict[tuple[str, int], Estimate](), list[Entry]()
    for ridge, name in RIDGES.items():
        for epoch in LATE:
            place = f"epoch {epoch}, ridge {name}"
            levels[ridge, epoch] = level = _known(f"the rate at {place}", rates.at(epoch, kind, ridge))
            changes[ridge, epoch] = change = _known(f"the change at {place}", rates.change(epoch, kind, ridge))
            rises = change.low > 0 and not chosen
            own = NOT_REPRODUCED if level.low < LEVEL else REPRODUCED if rises else CAVEAT
            told = f"{_told(level)}; less that of epoch 0: {_told(change)}"
            entries.append(Entry(f"{ridge}-{epoch}", {"epoch": str(epoch), "ridge": name}, "", told, own))
    high = {ridge: all(levels[ridge, epoch].low >= LEVEL for epoch in LATE) for ridge in RIDGES}
    grows = not chosen and all(changes[PUBLISHED, epoch].low > 0 for epoch in LATE)
    holds = high[PUBLISHED] if chosen else all(high.values())
    verdict = NOT_REPRODUCED if not holds else REPRODUCED if grows else CAVEAT
    estimates = {f"rate, {RIDGES[ridge]}, epoch {epoch}": of for (ridge, epoch), of in levels.items()}
    estimates |= {f"change, {RIDGES[ridge]}, epoch {epoch}": of for (ridge, epoch), of in changes.items()}
    last = LATE[-1]
    text = "; ".join(
        f"ridge {name}: {_told(levels[ridge, last])} at {last}, change from epoch 0 {_told(changes[ridge, last])}"
        for ridge, name in RIDGES.items()
    )
    if (any if chosen else all)(levels[PUBLISHED, epoch].high < LEVEL for epoch in LATE):
        verdict = CONTRADICTED
    note = f"{CHOSEN} {UNIT}" if chosen else UNIT
    return Measured(text, verdict, estimates, note, entries=tuple(entries), p=_p_of_kept(rates, kind, verdict, chosen))


def _p_of_kept(rates: Rates, kind: str, verdict: str, chosen: bool) -> float:
    """Of a level and a rise at several epochs: the largest where all must hold, three times the smallest where one may fail."""
    high = {ridge: max(beyond(rates.at(epoch, kind, ridge), LEVEL) for epoch in LATE) for ridge in RIDGES}
    grown = max(beyond(rates.change(epoch, kind, PUBLISHED), 0.0) for epoch in LATE)
    below = [beyond(rates.at(epoch, kind, PUBLISHED), LEVEL, above=False) for epoch in LATE]
    return {
        REPRODUCED: max(*high.values(), grown),
        CAVEAT: high[PUBLISHED] if chosen else max(high.values()),
        CONTRADICTED: min(1.0, len(below) * min(below)) if chosen else max(below),
    }.get(verdict, math.nan)


def _positive(sources: Sources) -> Measured:
    found = _kept(sources, "positive", chosen=False)
    of = found.estimates[f"rate, {RIDGES[PUBLISHED]}, epoch 300"], found.estimates[f"change, {RIDGES[PUBLISHED]}, epoch 300"]
    found = replace(found, short=f"{number(of[0].value)} of pairs at epoch 300, {number(of[1].value)} more than untrained")
    tables = Rates.of(sources, sources.take("headline", condition=GROK)).tables
    change = np.array([matched(table, 300, PUBLISHED, (1,))[0] for table in tables])
    if not enough(int(np.isfinite(change).sum()), len(change)):
        return found
    told = f"At the same |cos| (cos > 0, ridge η) the rate at 300 less that at 0 is {_told(median_interval(change))}."
    return replace(found, note=f"{found.note} {told}".strip())


def _fixed(sources: Sources) -> Measured:
    return _kept(sources, "fixed", chosen=True)


def activations_of_study() -> dict[str, None]:
    """The activations of the study of them, in its order."""
    return dict.fromkeys(cell.config.activation for cell in load_study("activations").cells)


# questions


def _ways(name: str, changes: dict[str, np.ndarray], note: str = UNIT, instead: Mapping[str, str] | None = None) -> Answer:
    """Each difference by its direction, then what is said `instead` of places that have none."""
    found = {place: _known(place, values) for place, values in changes.items()}
    told = [f"{place}: {direction(of, MARGIN)}, {_told(of)}" for place, of in found.items()]
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


def matched(table: pd.DataFrame, epoch: int, ridge: str, signs: Sequence[int]) -> tuple[float, float]:
    """The rate at an epoch less that at epoch 0 of pairs as similar.

        Σ_b w_b [r_t(b) − r_0(b)],  w_b the share of the epoch's pairs in bin b of |cos| and sign

    Over bins with |cos| ≥ 0.15 and at least 20 pairs at both epochs.

    Args:
        table: of a run. signs: of cos that count.

    Returns:
        The difference, NaN if no bin can be compared; and the share of the epoch's similar pairs that such bins hold.
    """
    mine = table[(table["kind"] == "all") & (table["ridge"] == ridge) & (table["features"] == "network")]
    mine = mine[(mine["low"] >= SIMILAR) & mine["sign"].isin(signs)][["epoch", "low", "sign", "pairs", "repel"]]
    now, before = (mine[mine["epoch"] == when] for when in (epoch, 0))
    both = now.merge(before, on=["low", "sign"], suffixes=("", "_0"))
    both = both[(both["pairs"] >= FEWEST) & (both["pairs_0"] >= FEWEST)]
    if both.empty:
        return np.nan, 0.0
    rise = both["repel"] / both["pairs"] - both["repel_0"] / both["pairs_0"]
    return float(np.average(rise, weights=both["pairs"])), float(both["pairs"].sum() / now["pairs"].sum())


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
        f"ridge {number(float(value))}, epoch {epoch}": _known(f"the rate at ridge {name}", rates.at(epoch, "top", str(name)))
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


def _claim(
    id: str, statement: str, published: str, recomputed: str, rule: str, measure: Callable[[Sources], Measured], kind: str
) -> Claim:
    study = "relu" if "relu" in id else "headline"
    source = "simulated rebuttal of a machine-written review" if kind == REVIEW else XU
    return Claim(id, statement, source, published, recomputed, (study,), rule, measure, kind=kind)


WAYS = (
    f"Rises or falls: the exact interval of the median is clear of 0 and the median at least {MARGIN} away; alike: the "
    f"interval "
    f"is within ±{MARGIN}; otherwise not precise enough to tell."
)
CLAIMS = (
    _claim(
        "repulsion-rises",
        "The sign match of similar features rises during training.",
        f"{FIVE_SEEDS[50][0]} at epoch 50, {FIVE_SEEDS[300][0]} at 300",
        "repulsion rate of the 200 most similar pairs at epoch 300 less that of the same seed at epoch 0, at two ridges",
        f"{WAYS} Reproduced if it rises at both ridges; with a caveat if at the published ridge only; contradicted if the "
        f"interval ends below {MARGIN} there; otherwise not precise enough to tell.",
        _rises,
        ABSTRACT,
    ),
    _claim(
        "repulsion-relu-saturates",
        "With ReLU the sign match saturates at 1.000.",
        f"{RELU_0[500]} at epoch 500",
        "repulsion rate of the 200 most similar pairs at epoch 500, and less that of the same seed at epoch 0",
        f"Reproduced if the median is at least {ONE} and the rate rises; contradicted if the rate's interval ends below "
        f"{BELOW_ONE} or the change's below {MARGIN}; otherwise not reproduced. {WAYS}",
        _relu_saturates,
        ABSTRACT,
    ),
    _claim(
        "repulsion-positive",
        "Similar features have a negative entry of B.",
        "no number",
        "share of negative entries of B among the 200 pairs with the largest cosine (anti-similar pairs left out) at epochs "
        "175, "
        "250 and 300, at two ridges, and less that of the same seed at epoch 0",
        f"Reproduced if the share's interval begins at {LEVEL} or above at every epoch and ridge and the change's above 0 at "
        f"the "
        "published ridge; with a caveat if only the share does, since an untrained network then has it as well; contradicted "
        "if "
        f"the share's interval ends below {LEVEL} at every epoch at the published ridge; otherwise not reproduced.",
        _positive,
        ABSTRACT,
    ),
    _claim(
        "repulsion-fixed-pairs",
        "For pairs that are chosen once, at epoch 150, by their signed similarity, the sign match holds robustly (the "
        "abstract's words; the choice of pairs is the rebuttal's).",
        "no number",
        "repulsion rate of the 200 pairs with the largest cosine at epoch 150, at epochs 175, 250 and 300, at two ridges, and "
        "less that of the same pairs at epoch 0",
        f"At most with a caveat, since the pairs were chosen for their similarity at 150 and not at 0, so that the change has "
        f"that choice in it: if the rate's interval begins at {LEVEL} or above at every epoch at the published ridge; "
        f"contradicted if it ends below {LEVEL} at some epoch there; otherwise not reproduced.",
        _fixed,
        REVIEW,
    ),
)
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
