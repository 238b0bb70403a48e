"""The paper's sentences on fresh seeds, by rules that were fixed before these were run; and what nobody said of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.margins import ACCURACY, EPOCH, RATIO, Margin
from analysis.exhibits.model import FRESH, Answer, Chapter, Claim, Measured, Question
from analysis.exhibits.sources import Absent, Sources, by_seed, column, fired
from analysis.papers.xu.headline import CONTROL, GROK, paired_p
from analysis.papers.xu.notes import late_quartiles
from analysis.papers.xu.phase import TWO_RULES, lag_quartiles, lags
from analysis.printed.xu import XU
from analysis.statistics import estimates as statistics
from analysis.statistics.exact import mcnemar
from analysis.words import CONDITIONS, number

STUDY = "fresh"
KINDS = tuple(
    (condition, activation)
    for activation, conditions in (
        ("square", (GROK, CONTROL, "random_labels", "data_starved")),
        ("relu", (GROK, CONTROL)),
    )
    for condition in conditions
)
"""Conditions and activations of the study."""
GROKKED = 0.9
OLD = "seeds 0–14"
"""What the runs are called that fresh seeds are held against."""


def _of(sources: Sources, condition: str, activation: str = "square") -> pd.DataFrame:
    return sources.take(STUDY, condition=condition, activation=activation)


def _every(condition: str) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = _of(sources, condition)
        if condition == GROK:
            return verdicts.judge([verdicts.every("fire", fired(runs), len(runs))])
        return verdicts.judge([verdicts.never("fires", fired(runs), len(runs))], TWO_RULES)

    return measure


def _relu(sources: Sources) -> Measured:
    parts = []
    for condition in (GROK, CONTROL):
        runs = _of(sources, condition, "relu")
        parts.append(verdicts.never(CONDITIONS[condition], fired(runs), len(runs)))
    return verdicts.judge(parts, TWO_RULES)


def _late_quartiles(sources: Sources) -> Measured:
    return verdicts.judge(late_quartiles(*(_of(sources, condition) for condition in (GROK, CONTROL))))


def _median(
    condition: str, name: str, printed: str, margin: Margin, ends: tuple[float, float] | None = None
) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        values = column(_of(sources, condition), name)
        parts = [verdicts.median("median", values, printed, event=margin is EPOCH, margin=margin)]
        if ends and len(statistics.known(values)):
            parts.append(verdicts.quartiles("quartiles", values, ends, margin))
        return verdicts.judge(parts)

    return measure


def _separation(activation: str, printed: str) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs, others = _of(sources, GROK, activation), _of(sources, CONTROL, activation)
        grok, control = by_seed(runs, others, "late_gap_23")
        note = paired_p(grok, control) if len(grok) <= 20 else ""
        return verdicts.judge([verdicts.ratio("separation", grok, control, printed)], note)

    return measure


def _negatives(sources: Sources) -> Answer:
    control = _of(sources, CONTROL).set_index("seed")
    texts, shares, notes = [], {}, []
    for condition in ("random_labels", "data_starved"):
        runs = _of(sources, condition)
        fires = fired(runs)
        shares[CONDITIONS[condition]] = statistics.clopper_pearson(fires, len(runs))
        texts.append(f"{CONDITIONS[condition]} {fires}/{len(runs)}")
        shared = [seed for seed in runs["seed"] if seed in control.index]
        one, two = (column(table.loc[shared], "fired") == 1 for table in (runs.set_index("seed"), control))
        test = mcnemar(one, two)
        notes.append(f"{CONDITIONS[condition]} p = {test.p:.2g} ({test.n} seeds differ)")
    fires = fired(control.reset_index())
    shares[CONDITIONS[CONTROL]] = statistics.clopper_pearson(fires, len(control))
    texts.append(f"{CONDITIONS[CONTROL]} {fires}/{len(control)}")
    return Answer(
        "; ".join(texts), shares, f"Exact McNemar test against the same seeds without weight decay: {'; '.join(notes)}."
    )


def _alike(sources: Sources) -> Answer:
    texts, found, told, made = [], {}, [], {"seeds 0–14": set[str](), "fresh seeds": set[str]()}
    for study, condition, activation in (
        ("headline", GROK, "square"),
        ("headline", CONTROL, "square"),
        ("controls", "random_labels", "square"),
        ("controls", "data_starved", "square"),
        ("relu", GROK, "relu"),
        ("relu", CONTROL, "relu"),
    ):
        name = f"{activation}, {CONDITIONS[condition]}"
        new = _of(sources, condition, activation)
        try:
            old = sources.take(study, condition=condition, activation=activation)
        except Absent:
            if study != "controls":
                raise
            sources.shortfalls.append(f"none of {name}, seeds 0–14")
            continue
        p = statistics.counts_differ(fired(old), len(old), fired(new), len(new))
        texts.append(f"{name} {fired(old)}/{len(old)} and {fired(new)}/{len(new)}")
        told.append(f"{name} p = {p:.2g}")
        found[name] = statistics.clopper_pearson(fired(new), len(new))
        found[f"{name}, {OLD}"] = statistics.clopper_pearson(fired(old), len(old))
        for of, runs in zip(made.values(), (old, new), strict=True):
            of.update(str(one) for one in runs.get("rounding_used", ()))
    roundings = ", ".join(f"{name} {' and '.join(sorted(of))}" for name, of in made.items() if of)
    note = f"Fisher's exact test of the counts: {'; '.join(told)}."
    return Answer("; ".join(texts), found, f"{note} Roundings: {roundings}." if roundings else note)


def _counts(sources: Sources) -> tuple[str, pd.DataFrame]:
    rows, told = [], []
    for condition, activation in KINDS:
        runs = _of(sources, condition, activation)
        share = statistics.clopper_pearson(fired(runs), len(runs))
        fire = statistics.quartiles(column(runs, "fire_epoch"))
        test = column(runs, "accuracy/test")
        late = statistics.median_interval(column(runs, "late_gap_23"))
        rows.append(
            {
                "activation": activation,
                "condition": CONDITIONS[condition],
                "n": len(runs),
                "fires": fired(runs),
                "share": share.value,
                "low": share.low,
                "high": share.high,
                "fire_epoch": fire.value,
                "fire_q1": fire.low,
                "fire_q3": fire.high,
                "grokked": int((test >= GROKKED).sum()),
                "test_median": float(np.median(statistics.known(test))) if len(statistics.known(test)) else np.nan,
                "late_gap": late.value,
                "late_low": late.low,
                "late_high": late.high,
            }
        )
        bounds = f"{number(share.low, decimals=3)} to {number(share.high, decimals=3)}"
        told.append(f"{activation}, {CONDITIONS[condition]}: {fired(runs)} of {len(runs)} ({bounds})")
    return f"Fires, with exact 95 % intervals: {'; '.join(told)}.", pd.DataFrame(rows)


def _claim(
    id: str, statement: str, published: str, recomputed: str, rule: str, measure: Callable[[Sources], Measured]
) -> Claim:
    source = f"{XU}, on seeds that it did not print"
    return Claim(
        f"fresh-{id}", f"On fresh seeds: {statement}", source, published, recomputed, (STUDY,), rule, measure, kind=FRESH
    )


MEDIANS = " ".join((verdicts.MEDIAN, verdicts.QUARTILES, verdicts.PARTS))
LATE = "per run the median of λ₂/λ₃ over epochs 200 … 400"
CLAIMS = (
    _claim(
        "grok-fires",
        "with weight decay the slope detector fires in every run, judged as: in at least nine of ten of all seeds.",
        "every run (15/15)",
        "runs of the square network with weight decay that fire",
        verdicts.EVERY,
        _every(GROK),
    ),
    _claim(
        "control-fires",
        "without weight decay it never fires, judged as: in at least nine of ten of all seeds it does not.",
        "never (0/15)",
        "runs of the square network without weight decay that fire",
        verdicts.EVERY,
        _every(CONTROL),
    ),
    _claim(
        "relu-fires",
        "with ReLU it never fires, with weight decay and without, judged as: in at least nine of ten of all seeds it does not.",
        "never (0/15)",
        "ReLU runs with weight decay, and without, that fire",
        verdicts.EVERY + " " + verdicts.PARTS,
        _relu,
    ),
    _claim(
        "fire-epoch",
        "it fires at median epoch 174.",
        "174 [173, 174]",
        "median and quartiles of the fire epoch",
        MEDIANS,
        _median(GROK, "fire_epoch", "174", EPOCH, (173, 174)),
    ),
    _claim(
        "test-epoch",
        "test accuracy reaches 0.5 at median epoch 102.",
        "102 [99, 102]",
        "median and quartiles of the first epoch with test accuracy ≥ 0.5",
        MEDIANS,
        _median(GROK, "test_50_epoch", "102", EPOCH, (99, 102)),
    ),
    _claim(
        "lags",
        "it fires 72 epochs after test ≥ 0.5 and 35 after test ≥ 0.99, and so later in every run.",
        "+72; +35; later in every run",
        "fire epoch less that of the event, run by run; medians, and runs that fire later than test ≥ 0.99",
        " ".join((verdicts.MEDIAN, verdicts.EVERY, verdicts.PARTS)),
        lags(STUDY),
    ),
    _claim(
        "lag-quartiles",
        "the quartiles of the lag after test ≥ 0.99 are 34 and 36.",
        "[34, 36]",
        "fire epoch less that of test ≥ 0.99, run by run; quartiles",
        verdicts.QUARTILES + " " + verdicts.MEDIAN,
        lag_quartiles(STUDY),
    ),
    _claim(
        "late-gap-grok",
        "the late λ₂/λ₃ with weight decay is about 300.",
        "≈ 300",
        LATE,
        verdicts.MEDIAN,
        _median(GROK, "late_gap_23", "300", RATIO),
    ),
    _claim(
        "late-gap-control",
        "the late λ₂/λ₃ without weight decay is 1.31.",
        "1.31",
        LATE,
        verdicts.MEDIAN,
        _median(CONTROL, "late_gap_23", "1.31", RATIO),
    ),
    _claim(
        "late-gap-quartiles",
        "the quartiles of the late gaps are 168 and 320 with weight decay, 1.25 and 1.37 without.",
        "[168, 320]; [1.25, 1.37]",
        f"{LATE}; quartiles over seeds",
        " ".join((verdicts.QUARTILES, verdicts.MEDIAN, verdicts.PARTS)),
        _late_quartiles,
    ),
    _claim(
        "separation",
        "the late gaps of the two conditions are 229 times apart.",
        "229×",
        "ratio of the two medians over seeds",
        verdicts.RATIO + " " + verdicts.MEDIAN,
        _separation("square", "229"),
    ),
    _claim(
        "relu-separation",
        "with ReLU they are 1.4 times apart.",
        "1.4×",
        "ratio of the two medians over seeds",
        verdicts.RATIO + " " + verdicts.MEDIAN,
        _separation("relu", "1.4"),
    ),
    _claim(
        "control-accuracy",
        "runs without weight decay end near test accuracy 0.03.",
        "0.03",
        "median of the test accuracy at the last epoch",
        verdicts.MEDIAN,
        _median(CONTROL, "accuracy/test", "0.03", ACCURACY),
    ),
)
QUESTIONS = (
    Question(
        "fresh-negatives",
        "How often does the detector fire on fresh seeds where nothing can generalise?",
        (STUDY,),
        "Fires with random labels and with too few pairs, weight decay on, with exact intervals; each against the same seeds "
        "without weight decay by McNemar's exact test.",
        _negatives,
    ),
    Question(
        "fresh-alike",
        "Do fresh seeds fire as often as seeds 0–14?",
        (STUDY, "headline", "controls", "relu"),
        "Fires of both, with weight decay and without, square and ReLU, and square with random labels and with too few pairs; "
        "Fisher's exact test of each pair of counts.",
        _alike,
    ),
)
CHAPTERS = (
    Chapter(
        "fresh",
        "Seeds 100 and up",
        (STUDY,),
        None,
        "Rules and margins were fixed before these seeds were run. What was changed afterwards, these results known, is told "
        "among the Changes of analysis/claims/PREREGISTRATION.md: quartiles, the lag and “never” were split off. The verdicts "
        "stand among the claims, counted apart.",
        _counts,
        section="Fresh seeds",
    ),
)
