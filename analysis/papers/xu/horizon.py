"""Questions on equal phase and equal horizon: what no printed number compares, answered without a verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import Answer, Entry, Question
from analysis.exhibits.sources import (
    FIRST_EPOCH,
    SLOPE_LAG,
    THRESHOLD,
    Absent,
    Sources,
    at,
    column,
    fire_epochs,
    fired,
    series,
)
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.papers.xu.phase import GAP
from analysis.papers.xu.repulsion import kinds
from analysis.printed.xu import ETA_ROWS, REBUTTAL_WINDOWS, WINDOW_TABLE
from analysis.statistics import estimates as statistics
from analysis.statistics.estimates import Estimate
from analysis.words import number, spread
from grok.numerics.series import late_median, slope

PHASE = (50, 200)
"""Epochs after test ≥ 0.99 of each run, between which gaps are compared."""
EARLY = 400
"""The horizon of the runs that starved ones are compared with."""
LASTING = 5
"""Epochs on end that the paper asks of λ₁/λ₂, and not of the slope of λ₂/λ₃."""
EVENTS = {"rho_epoch": "ρ ≥ 0.075", "test_50_epoch": "test ≥ 0.5", "test_99_epoch": "test ≥ 0.99", "fire_epoch": "fires"}


def _at_phase(sources: Sources, study: str) -> tuple[np.ndarray, np.ndarray, int]:
    """The gap at equal phase with weight decay and without, entry i of both of one seed, and runs too short for it."""
    grok, control = (sources.take(study, condition=condition) for condition in (GROK, CONTROL))
    others = dict(zip(control["seed"], control["run_id"], strict=True))
    found, short = [], 0
    for run in grok.assign(solved=column(grok, "test_99_epoch")).to_dict("records"):
        if run["seed"] not in others or np.isnan(run["solved"]) or run["solved"] + PHASE[1] > run["epochs"]:
            short += 1
            continue
        first, last = (int(run["solved"]) + epochs for epochs in PHASE)
        gaps = (series(sources, run_id, GAP)[first : last + 1] for run_id in (run["run_id"], others[run["seed"]]))
        found.append([np.median(known) if len(known := statistics.known(gap)) else np.nan for gap in gaps])
    if not found:
        raise Absent(f"no run of {study} lasts {PHASE[1]} epochs after test ≥ 0.99")
    with_decay, without = np.array(found).T
    return with_decay, without, short


def _equal_phase(sources: Sources) -> Answer:
    texts, estimates, notes = [], dict[str, Estimate](), []
    for name, study in (("square", "headline"), ("ReLU", "relu")):
        grok, control, short = _at_phase(sources, study)
        apart = statistics.ratio_of_medians(grok, control, paired=True)
        estimates |= {
            f"{name}, weight decay": statistics.median_interval(grok),
            f"{name}, without": statistics.median_interval(control),
            f"{name}, ratio": apart,
        }
        texts.append(
            f"{name} {spread(*estimates[f'{name}, weight decay'][:3])}, {spread(*apart[:3])} times that without weight decay"
        )
        if short:
            notes.append(f"{short} runs of {name} end before it")
    text = "; ".join(texts)
    return Answer(text, estimates, f"{'; '.join(notes)}." if notes else "")


def _relative(sources: Sources) -> Answer:
    entries, estimates = [], dict[str, Estimate]()
    kinds = [("square", "headline", GROK), ("ReLU", "relu", GROK)]
    kinds += [(row.condition, "eta", row.condition) for row in ETA_ROWS if row.grok]
    for name, study, condition in kinds:
        try:
            runs = sources.take(study, condition=condition)
        except Absent:
            if study == "headline":
                raise
            sources.shortfalls.append(f"none of {name}")
            continue
        half, whole = column(runs, "test_50_epoch"), column(runs, "test_99_epoch")
        for key, title in EVENTS.items():
            epoch = column(runs, key)
            for zero, label in ((half, "t₅₀"), (whole, "t₉₉")):
                found = statistics.quartiles(epoch - zero)
                if found.n and not np.array_equal(epoch, zero, equal_nan=True):
                    estimates[f"{name}: {title} − {label}"] = found
            text = f"{spread(*statistics.quartiles(epoch)[:3])}; from t₅₀ {spread(*statistics.quartiles(epoch - half)[:3])}"
            text += f"; from t₉₉ {spread(*statistics.quartiles(epoch - whole)[:3])}"
            entries.append(Entry(f"{name}, {title}", {"runs": name, "event": title}, "", text, ""))
    lag = {name.split(":")[0]: e for name, e in estimates.items() if "fires − t₉₉" in name}
    told = "; ".join(f"{name} {spread(*e[:3])}" for name, e in lag.items())
    text = f"Epoch at which the detector fires less that of test ≥ 0.99 (below 0: it fires before): {told}"
    return Answer(
        text if lag else "No run that groks fires", estimates, "Medians and quartiles in epochs.", entries=tuple(entries)
    )


def _starved(sources: Sources) -> Answer:
    entries, estimates, texts = [], dict[str, Estimate](), []
    for activation in ("square", "relu"):
        try:
            runs = sources.take("controls", condition="data_starved", activation=activation)
        except Absent:
            if activation == "square":
                raise
            sources.shortfalls.append("none of ReLU")
            continue
        gaps = [series(sources, run_id, GAP) for run_id in runs["run_id"]]
        horizon = int(runs["epochs"].max())
        for end in (EARLY, horizon):
            count = int(np.isfinite(fire_epochs(gap[: end + 1] for gap in gaps)).sum())
            name = f"{activation}, by epoch {end}"
            estimates[name] = statistics.clopper_pearson(count, len(runs))
            texts.append(f"{name} {count}/{len(runs)}")
            test = at(sources, runs, "accuracy/test", end)
            said = f"{count}/{len(runs)} fire, test accuracy {spread(*statistics.median_interval(test)[:3])}"
            entries.append(Entry(name, {"activation": activation, "by epoch": str(end)}, "", said, ""))
    return Answer("; ".join(texts), estimates, "With weight decay on; 504 training pairs.", entries=tuple(entries))


def _lasting(sources: Sources) -> Answer:
    texts, found = [], dict[str, Estimate]()
    for name, runs in kinds(sources):
        gaps = [series(sources, run_id, GAP) for run_id in runs["run_id"]]
        counts = [sum(lasts(gap, epochs) for gap in gaps) for epochs in (1, LASTING)]
        found |= {
            f"{name}, {said}": statistics.clopper_pearson(count, len(runs))
            for said, count in zip(("fires", f"for {LASTING} epochs"), counts, strict=True)
        }
        texts.append(f"{name} {counts[0]} and {counts[1]} of {len(runs)}")
    return Answer("; ".join(texts), found, f"Fires at one epoch, and for {LASTING} on end. Asked after the runs had been seen.")


def lasts(gap: np.ndarray, epochs: int) -> bool:
    """Whether the detector's slope stays above its threshold for so many epochs on end, from its first epoch on.

    Args:
        gap: (T + 1,) float64. epochs: 1 is the published detector.
    """
    above = slope(gap, SLOPE_LAG)[FIRST_EPOCH:] > THRESHOLD
    return len(above) >= epochs and bool(np.lib.stride_tricks.sliding_window_view(above, epochs).all(axis=1).any())


def _per_eta(sources: Sources) -> Answer:
    texts, estimates = [], dict[str, Estimate]()
    for row in ETA_ROWS:
        runs = sources.take("eta", condition=row.condition)
        fires, grok = fired(runs), int(np.isfinite(column(runs, "test_50_epoch")).sum())
        estimates[row.condition] = statistics.clopper_pearson(fires, len(runs))
        texts.append(f"{row.condition} {fires}/{len(runs)} ({grok} reach test ≥ 0.5)")
    return Answer("; ".join(texts), estimates)


def _detection(sources: Sources) -> Answer:
    entries, estimates, texts = [], dict[str, Estimate](), []
    runs = sources.take("headline", condition=GROK)
    variants: list[tuple[str, pd.DataFrame, dict[str, Any]]] = [
        (f"window {window}", runs, {"window": window}) for window in WINDOW_TABLE
    ]
    try:
        raw = sources.take("svd", condition=GROK, activation="square")
    except Absent:
        note = "By spectrum method once the study svd is there."
    else:
        note = "By spectrum method on the runs of the study svd."
        methods = [method for method in raw["spectrum_methods"].iloc[0] if method != "gram"]
        variants += [
            (f"{method}, window {window}", raw, {"window": window, "method": method})
            for method in methods
            for window in REBUTTAL_WINDOWS
        ]
    for name, of, setting in variants:
        gaps = [sources.evidence.gap(run_id, **setting) for run_id in of["run_id"]]
        epochs = fire_epochs(gaps)
        found, count = statistics.quartiles(epochs), int(np.isfinite(epochs).sum())
        late = statistics.quartiles(np.array([late_median(gap) for gap in gaps]))
        estimates |= {name: found, f"{name}, late gap": late}
        said = f"{count}/{len(of)} at {spread(*found[:3])}"
        if "method" not in setting:
            texts.append(f"{name} {said}")
        wide = number(found.high - found.low) if found.n else "–"
        told = {key: str(value) for key, value in setting.items()}
        entries.append(Entry(name, told, "", f"{said}, {wide} wide", ""))
    return Answer("; ".join(texts), estimates, f"Medians and quartiles over fifteen seeds. {note}", entries=tuple(entries))


QUESTIONS = (
    Question(
        "equal-phase",
        "Is ReLU's gap as small after it groks, at the phase at which square's is large?",
        ("headline", "relu"),
        f"The median of λ₂/λ₃ over epochs {PHASE[0]} to {PHASE[1]} after test ≥ 0.99 of each run, and of the run of the same "
        "seed without weight decay over the same epochs; runs that end before are left out and counted.",
        _equal_phase,
    ),
    Question(
        "relative-epochs",
        "When do events come, measured from each run's own grokking?",
        ("headline", "relu", "eta"),
        "Median and quartiles of the epochs of ρ ≥ 0.075, of test ≥ 0.5 (t₅₀), of test ≥ 0.99 (t₉₉) and of the slope "
        "detector, from the start and from t₅₀ and t₉₉ of each run.",
        _relative,
    ),
    Question(
        "starved-horizon",
        "Do starved networks fire within the horizon of the runs that they are compared with?",
        ("controls",),
        f"The published detector on runs with too few pairs up to epoch {EARLY} and up to their end, side by side.",
        _starved,
    ),
    Question(
        "lasting-fires",
        f"Which fires last, with the slope above its threshold for {LASTING} epochs on end?",
        ("headline", "relu", "controls"),
        f"Runs whose slope of λ₂/λ₃ exceeds the published threshold at one epoch, and at {LASTING} on end, as the paper asks "
        "of λ₁/λ₂; with exact intervals.",
        _lasting,
    ),
    Question(
        "slope-fires-per-eta",
        "In how many runs does the slope detector fire at each η?",
        ("eta",),
        "Fires of five within 600 epochs, with exact intervals, and runs that reach test ≥ 0.5.",
        _per_eta,
    ),
    Question(
        "detection-spread",
        "How wide is detection, by window and by way to the spectrum?",
        ("headline", "svd"),
        "Fires, median and quartiles of the fire epoch of the fifteen runs with weight decay at each printed window, by each "
        "way to the spectrum, threshold 0.04.",
        _detection,
    ),
)
