"""Repulsion against nulls that can fail: the same network untrained, surrogates, pairs as similar, two ridges.

The rules were fixed before the runs: analysis/claims/PREREGISTRATION-repulsion.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.printed.xu import FIVE_SEEDS, RELU_0, XU
from analysis.reading.columns import columns_of
from analysis.statistics.estimates import Estimate, median_interval
from analysis.statistics.exact import sign_flip
from analysis.statistics.paired import RISES, beyond, direction
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
        return np.asarray(self.at(epoch, kind, ridge) - self.at(0, kind, ridge))


def _rate(columns: dict[str, np.ndarray], epoch: int | None, kind: str, ridge: str, features: str, sign: int | None) -> float:
    of_sign = np.ones(len(columns["epoch"]), dtype=bool) if sign is None else columns["sign"] == sign
    when = int(columns["epoch"][of_sign].max()) if epoch is None else epoch
    chosen = of_sign & (columns["epoch"] == when) & (columns["kind"] == kind)
    chosen &= (columns["ridge"] == ridge) & (columns["features"] == features)
    pairs = int(columns["pairs"][chosen].sum())
    return float(columns["repel"][chosen].sum()) / pairs if pairs else np.nan


def _known(name: str, values: np.ndarray) -> Estimate:
    """The median of what was measured of all but a few runs.

    Raises:
        Absent: if less than 80 % were measured.
    """
    there = int(np.isfinite(values).sum())
    if there < 0.8 * len(values) or not there:
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
    return Measured(f"rate(300) − rate(0): {text}", verdict, found, f"{'; '.join(flips)}. {UNIT}", p=p)


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
    return Measured(text, verdict, estimates, f"{_flips(change)}. {UNIT}", p=p)


def _kept(sources: Sources, kind: str, *, also_ridge: bool) -> Measured:
    """Level and change of one kind of pairs at the late checkpoints and both ridges.

    With `also_ridge` they must rise at both ridges, and a level that fails at one epoch contradicts; without, at all of them.
    """
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    levels, changes, entries = dict[tuple[str, int], Estimate](), dict[tuple[str, int], Estimate](), list[Entry]()
    for ridge, name in RIDGES.items():
        for epoch in LATE:
            place = f"epoch {epoch}, ridge {name}"
            levels[ridge, epoch] = level = _known(f"the rate at {place}", rates.at(epoch, kind, ridge))
            changes[ridge, epoch] = change = _known(f"the change at {place}", rates.change(epoch, kind, ridge))
            own = REPRODUCED if level.low >= LEVEL and change.low > 0 else CAVEAT if level.low >= LEVEL else NOT_REPRODUCED
            told = f"{_told(level)}; less that of epoch 0: {_told(change)}"
            entries.append(Entry(f"{ridge}-{epoch}", {"epoch": str(epoch), "ridge": name}, "", told, own))
    high = {ridge: all(levels[ridge, epoch].low >= LEVEL for epoch in LATE) for ridge in RIDGES}
    grown = {ridge: all(changes[ridge, epoch].low > 0 for epoch in LATE) for ridge in RIDGES}
    grows = all(grown.values()) if also_ridge else grown[PUBLISHED]
    if all(high.values()) and grows:
        verdict = REPRODUCED
    elif all(high.values()) or (also_ridge and high[PUBLISHED]):
        verdict = CAVEAT
    else:
        verdict = NOT_REPRODUCED
    estimates = {f"rate, {RIDGES[ridge]}, epoch {epoch}": of for (ridge, epoch), of in levels.items()}
    estimates |= {f"change, {RIDGES[ridge]}, epoch {epoch}": of for (ridge, epoch), of in changes.items()}
    last = LATE[-1]
    text = "; ".join(
        f"ridge {name}: {_told(levels[ridge, last])} at {last}, change from epoch 0 {_told(changes[ridge, last])}"
        for ridge, name in RIDGES.items()
    )
    if (any if also_ridge else all)(levels[PUBLISHED, epoch].high < LEVEL for epoch in LATE):
        verdict = CONTRADICTED
    p = _p_of_kept(rates, kind, verdict, also_ridge)
    return Measured(text, verdict, estimates, UNIT, entries=tuple(entries), p=p)


def _p_of_kept(rates: Rates, kind: str, verdict: str, also_ridge: bool) -> float:
    """Of a level and a rise at several epochs: the largest where all must hold, three times the smallest where one may fail."""
    high = {ridge: max(beyond(rates.at(epoch, kind, ridge), LEVEL) for epoch in LATE) for ridge in RIDGES}
    grown = {ridge: max(beyond(rates.change(epoch, kind, ridge), 0.0) for epoch in LATE) for ridge in RIDGES}
    below = [beyond(rates.at(epoch, kind, PUBLISHED), LEVEL, above=False) for epoch in LATE]
    return {
        REPRODUCED: max(*high.values(), *(grown.values() if also_ridge else (grown[PUBLISHED],))),
        CAVEAT: high[PUBLISHED] if also_ridge else max(high.values()),
        CONTRADICTED: min(1.0, len(below) * min(below)) if also_ridge else max(below),
    }.get(verdict, math.nan)


def _positive(sources: Sources) -> Measured:
    return _kept(sources, "positive", also_ridge=False)


def _fixed(sources: Sources) -> Measured:
    return _kept(sources, "fixed", also_ridge=True)


def activations_of_study() -> dict[str, None]:
    """The activations of the study of them, in its order."""
    return dict.fromkeys(cell.config.activation for cell in load_study("activations").cells)


# questions


def _ways(name: str, changes: dict[str, np.ndarray], note: str = UNIT) -> Answer:
    """Each difference by its direction."""
    found = {place: _known(place, values) for place, values in changes.items()}
    text = "; ".join(f"{place}: {direction(of, MARGIN)}, {_told(of)}" for place, of in found.items())
    tests = "; ".join(f"{place} p = {sign_flip(v).p:.2g}" for place, v in changes.items())
    return Answer(f"{name}: {text}", found, f"Exact sign-flip tests: {tests}. {note}")


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
                changes[f"{surrogate}, ridge {name}, epoch {epoch}"] = own - other
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
    rates, changes, held = Rates.of(sources, sources.take("headline", condition=GROK)), {}, []
    for ridge, name in RIDGES.items():
        for signs, cos in (((1,), "cos > 0"), ((-1,), "cos < 0")):
            found = np.array([matched(table, 300, ridge, signs) for table in rates.tables])
            changes[f"{cos}, ridge {name}"] = found[:, 0]
            if ridge == PUBLISHED:
                held.append(f"{np.median(found[:, 1]):.0%} of the pairs with {cos}")
    note = f"Bins that can be compared hold {' and '.join(held)} and |cos| ≥ {SIMILAR} (median over seeds). {UNIT}"
    return _ways("rate(300) − rate(0) at the same |cos|", changes, note)


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
        changes[f"ridge {name}"] = one - two
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
        f"Reproduced if the rate's interval begins at {LEVEL} or above at every epoch and ridge and the change's above 0 at "
        f"both ridges; with a caveat if only the rate does, or only at the published ridge; contradicted if the rate's "
        f"interval "
        f"ends below {LEVEL} at some epoch at the published ridge; otherwise not reproduced.",
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
        "apart, "
        f"weighted by the pairs at epoch 300, with weight decay. {WAYS}",
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
