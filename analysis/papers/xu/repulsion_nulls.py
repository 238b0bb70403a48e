"""Repulsion against nulls that can fail: the same network untrained, surrogates, pairs as similar, two ridges.

The rules were fixed before the runs: analysis/claims/PREREGISTRATION-repulsion.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    REPRODUCED,
    REVIEW,
    Axis,
    Claim,
    Entry,
    Measured,
)
from analysis.exhibits.sources import Sources
from analysis.papers.xu.headline import GROK
from analysis.papers.xu.repulsion_rates import (
    LEVEL,
    MARGIN,
    RIDGES,
    UNIT,
    WAYS,
    Rates,
    as_told,
    enough,
    known,
    less,
    matched,
)
from analysis.printed.xu import FIVE_SEEDS, RELU_0, XU
from analysis.statistics.estimates import Estimate, median_interval
from analysis.statistics.exact import sign_flip
from analysis.statistics.paired import ALIKE, FALLS, RISES, UNCLEAR, beyond, direction
from analysis.words import number
from grok.numerics.nulls import MEAN_LOSS, PUBLISHED

ONE, BELOW_ONE = 0.995, 0.98
"""A median that rounds to 1.00 at two digits; an interval that ends below this is no saturation."""
LATE = (175, 250, 300)
"""Checkpoints from the detector's fire on."""
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


def _flips(values: np.ndarray) -> str:
    found = sign_flip(values)
    return f"exact sign-flip test over {found.n} seeds, p = {found.p:.2g}"


def _rises(sources: Sources) -> Measured:
    rates = Rates.of(sources, sources.take("headline", condition=GROK))
    found, ways, flips = dict[str, Estimate](), dict[str, str](), list[str]()
    for ridge, name in RIDGES.items():
        change = rates.change(300, "top", ridge)
        found[f"change at ridge {name}"] = estimate = known(f"the change at ridge {name}", change)
        found[f"untrained at ridge {name}"] = known(f"the rate at epoch 0, ridge {name}", rates.at(0, "top", ridge))
        found[f"epoch 300 at ridge {name}"] = known(f"the rate at epoch 300, ridge {name}", rates.at(300, "top", ridge))
        ways[ridge] = direction(estimate, MARGIN)
        flips.append(f"ridge {name}: {_flips(change)}")
    published = found[f"change at ridge {RIDGES[PUBLISHED]}"]
    if ways[PUBLISHED] == RISES:
        verdict = REPRODUCED if ways[MEAN_LOSS] == RISES else CAVEAT
    else:
        verdict = CONTRADICTED if published.high < MARGIN else IMPRECISE
    text = "; ".join(
        f"ridge {name}: {as_told(found[f'change at ridge {name}'])} ({ways[ridge]}), from "
        f"{number(found[f'untrained at ridge {name}'].value)} untrained to {number(found[f'epoch 300 at ridge {name}'].value)}"
        for ridge, name in RIDGES.items()
    )
    own, other = (rates.change(300, "top", ridge) for ridge in RIDGES)
    rises, stays = beyond(own, 0.0), beyond(own, MARGIN, above=False)
    p = {REPRODUCED: max(rises, beyond(other, 0.0)), CAVEAT: rises, CONTRADICTED: stays}.get(verdict, min(rises, stays))
    note = " ".join((f"{'; '.join(flips)}.", *_beside_permuted(rates), UNIT))
    start, end = (number(found[f"{when} at ridge {RIDGES[PUBLISHED]}"].value) for when in ("untrained", "epoch 300"))
    axes = [
        Axis(
            f"change by epoch 300, ridge {name}",
            "",
            found[f"change at ridge {name}"],
            samples=_each(rates.change(300, "top", ridge)),
        )
        for ridge, name in RIDGES.items()
    ]
    axes.append(
        Axis(f"rate at epoch 300, ridge {RIDGES[PUBLISHED]}", "0.985", found[f"epoch 300 at ridge {RIDGES[PUBLISHED]}"])
    )
    first, second = RIDGES[PUBLISHED], RIDGES[MEAN_LOSS]
    why = {
        REPRODUCED: "It rises at both ridges.",
        CAVEAT: f"It rises at the published ridge, {first}, and not at {second}, where it is {ways[MEAN_LOSS]} from the start.",
        CONTRADICTED: f"At the published ridge the interval of its change ends below {MARGIN}.",
        IMPRECISE: f"At the published ridge it is {ways[PUBLISHED]}.",
    }[verdict]
    short, axes_ = f"{start} untrained, {end} at epoch 300", tuple(axes)
    return Measured(f"rate(300) − rate(0): {text}", verdict, found, note, p=p, short=short, why=why, axes=axes_)


def _sentence(clauses: Sequence[str]) -> str:
    text = " and ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}."


def _each(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values if np.isfinite(value))


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
            f"Features with their columns permuted, ridge {name}: rate(300) − rate(0) {as_told(median_interval(change))}; at "
            f"300 the network's rate less theirs {as_told(rest)} ({BESIDE[direction(rest, MARGIN)]})."
        )
    return out


def _relu_saturates(sources: Sources) -> Measured:
    rates = Rates.of(sources, sources.take("relu", condition=GROK))
    change = rates.change(500, "top", PUBLISHED)
    level, rise = known("the rate at epoch 500", rates.at(500, "top", PUBLISHED)), known("the change", change)
    untrained = known("the rate at epoch 0", rates.at(0, "top", PUBLISHED))
    way = direction(rise, MARGIN)
    if level.value >= ONE and way == RISES:
        verdict = REPRODUCED
    else:
        verdict = CONTRADICTED if level.high < BELOW_ONE or rise.high < MARGIN else NOT_REPRODUCED
    text = f"{as_told(level)} at epoch 500, untrained {as_told(untrained)}; change {as_told(rise)} ({way})"
    fails = 2 * min(beyond(rates.at(500, "top", PUBLISHED), BELOW_ONE, above=False), beyond(change, MARGIN, above=False))
    p = {REPRODUCED: beyond(change, 0.0), CONTRADICTED: min(1.0, fails)}.get(verdict, math.nan)
    estimates = {"epoch 500": level, "untrained": untrained, "change": rise}
    short = f"{number(level.value)} at epoch 500, {number(untrained.value)} untrained"
    axes = (
        Axis("rate at epoch 500", "1.000", level, samples=_each(rates.at(500, "top", PUBLISHED))),
        Axis("rate of the untrained network", "", untrained, samples=_each(rates.at(0, "top", PUBLISHED))),
        Axis("change", "", rise, samples=_each(change)),
    )
    ends = [f"the rate's interval ends at {number(level.high)}, below {BELOW_ONE}"] if level.high < BELOW_ONE else []
    ends += [f"the change's at {number(rise.high)}, below {MARGIN}"] if rise.high < MARGIN else []
    why = {
        REPRODUCED: f"The median is at least {ONE}, and it rises.",
        CONTRADICTED: _sentence(ends),
        NOT_REPRODUCED: f"The median is {number(level.value)}, where at least {ONE} counts as saturated; the change is {way}.",
    }[verdict]
    return Measured(text, verdict, estimates, f"{_flips(change)}. {UNIT}", p=p, short=short, why=why, axes=axes)


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
            levels[ridge, epoch] = level = known(f"the rate at {place}", rates.at(epoch, kind, ridge))
            changes[ridge, epoch] = change = known(f"the change at {place}", rates.change(epoch, kind, ridge))
            rises = change.low > 0 and not chosen
            own = NOT_REPRODUCED if level.low < LEVEL else REPRODUCED if rises else CAVEAT
            told = f"{as_told(level)}; less that of epoch 0: {as_told(change)}"
            entries.append(Entry(f"{ridge}-{epoch}", {"epoch": str(epoch), "ridge": name}, "", told, own))
    high = {ridge: all(levels[ridge, epoch].low >= LEVEL for epoch in LATE) for ridge in RIDGES}
    grows = not chosen and all(changes[PUBLISHED, epoch].low > 0 for epoch in LATE)
    holds = high[PUBLISHED] if chosen else all(high.values())
    verdict = NOT_REPRODUCED if not holds else REPRODUCED if grows else CAVEAT
    estimates = {f"rate, {RIDGES[ridge]}, epoch {epoch}": of for (ridge, epoch), of in levels.items()}
    estimates |= {f"change, {RIDGES[ridge]}, epoch {epoch}": of for (ridge, epoch), of in changes.items()}
    last = LATE[-1]
    text = "; ".join(
        f"ridge {name}: {as_told(levels[ridge, last])} at {last}, change from epoch 0 {as_told(changes[ridge, last])}"
        for ridge, name in RIDGES.items()
    )
    if (any if chosen else all)(levels[PUBLISHED, epoch].high < LEVEL for epoch in LATE):
        verdict = CONTRADICTED
    note = f"{CHOSEN} {UNIT}" if chosen else UNIT
    axes = tuple(
        Axis(f"{what}, epoch {epoch}, ridge {RIDGES[ridge]}", "", of[ridge, epoch])
        for ridge in (PUBLISHED,)
        for what, of in (("rate", levels), ("change", changes))
        for epoch in LATE
    )
    least = min(levels[PUBLISHED, epoch].low for epoch in LATE)
    begins = f"At the published ridge the rate's interval begins at {number(least)}"
    why = {
        REPRODUCED: f"{begins}, {LEVEL} or above, at every epoch, and the change is above 0.",
        CAVEAT: f"{begins}, {LEVEL} or above; "
        + ("the pairs were chosen at epoch 150, so that no change counts." if chosen else "an untrained network has it too."),
        NOT_REPRODUCED: f"{begins}, below {LEVEL} at one epoch or ridge at least.",
        CONTRADICTED: f"The rate's interval ends below {LEVEL} at {'an epoch' if chosen else 'every epoch'}.",
    }[verdict]
    p = _p_of_kept(rates, kind, verdict, chosen)
    return Measured(text, verdict, estimates, note, entries=tuple(entries), p=p, why=why, axes=axes)


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
    told = f"At the same |cos| (cos > 0, ridge η) the rate at 300 less that at 0 is {as_told(median_interval(change))}."
    return replace(found, note=f"{found.note} {told}".strip())


def _fixed(sources: Sources) -> Measured:
    return _kept(sources, "fixed", chosen=True)


def _claim(
    id: str, statement: str, published: str, recomputed: str, rule: str, measure: Callable[[Sources], Measured], kind: str
) -> Claim:
    study = "relu" if "relu" in id else "headline"
    source = "simulated rebuttal of a machine-written review" if kind == REVIEW else XU
    return Claim(id, statement, source, published, recomputed, (study,), rule, measure, kind=kind)


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
