"""What papers print of their signals in the main setup, held against the runs of the study `signals`: all its seeds that grok.

The rules are those of analysis/claims/PREREGISTRATION-signals.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits.model import ABSTRACT, NOT_REPRODUCED, NOTES, REPRODUCED, TEXT, Claim, Entry, Measured
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals.margins import R_SQUARED, RULE, SHARE, entry, measured, runs, verdict
from analysis.papers.signals.series import MOST, Leads, held, in_time, leads, rises, series
from analysis.papers.signals.study import STUDY
from analysis.printed import signals as printed
from analysis.statistics.alarm_words import LEAST
from analysis.statistics.alarms import auroc, sustained_peak
from analysis.statistics.estimates import clopper_pearson, median_interval
from analysis.words import number
from grok.numerics import passage

DEPTH = 0.01
"""How far a peak of the norm must stand out, of where the norm begins."""


KNOWN = "Known of one network before the rules were fixed: it says that a level or a premise does not carry over."
"""Of a claim whose outcome was no surprise."""


def _told(name: str, found: Leads) -> Entry:
    """How often the printed rule comes in runs that do not grok, which no claim of a paper says."""
    return entry(f"runs that do not grok in which {name} comes", found.false, "–", "")


def _lead_claim(name: str, shown: str) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        all_ = series(sources, name)
        found = leads(in_time(all_, name) if name == "commutator" else all_, name)
        entries = [
            entry("runs in which it comes before t50", found.share, "all", held(found.share)),
            entry("lead, epochs", found.lead, shown, ""),
            _told("it", found),
        ]
        note = "The lead is told and not judged: it is in steps of another network, and here no run has more than 800 epochs."
        estimates = {"share": found.share, "lead": found.lead, "false alarms": found.false}
        return measured(entries, estimates, note, f"comes before t50 in {runs(found.share)}")

    return measure


def spectral_entropy(sources: Sources) -> Measured:
    """How many runs that grok cross the printed threshold before t50."""
    found = leads(in_time(series(sources, "spectral_entropy"), "spectral_entropy"), "spectral_entropy")
    entries = [entry("runs that cross 0.609 before t50", found.share, "10 of 10", held(found.share)), _told("that", found)]
    short = f"crosses 0.609 before t50 in {runs(found.share)}"
    return measured(entries, {"share": found.share, "false alarms": found.false}, KNOWN, short)


def topology(sources: Sources) -> Measured:
    """How many runs that grok are warned of before t50 by the printed rule; the detrended form beside it."""
    found = leads(in_time(series(sources, "topology"), "topology"), "topology")
    fair = leads(series(sources, "topology", "detrended"), "topology")
    note = (
        f"With the trend taken out {number(fair.share.value)} of the runs that grok are warned of before t50 and "
        f"{number(fair.false.value)} of those that do not. Its autocorrelation has a lag of ten epochs here and of one step "
        "there."
    )
    entries = [entry("runs warned of before t50", found.share, "1 of 1", held(found.share)), _told("a warning", found)]
    estimates = {"share": found.share, "lead of these": found.lead, "false alarms": found.false}
    return measured(entries, estimates, note, f"warns before t50 in {runs(found.share)}")


def dmd(sources: Sources) -> Measured:
    """AUROC from epochs before t10, of the runs that grok late enough for two values before it."""
    found = series(sources, "hankel_dmd", thinned=True)
    late = [run for run in found.positives.values() if math.isfinite(sustained_peak(run, run.t10))]
    if len(late) < LEAST:
        raise Absent(f"{len(late)} of {len(found.positives)} runs that grok have two values before t10, and {LEAST} must")
    area = auroc(late, list(found.negatives.values()))
    judged = verdict(area, printed.DMD_RUN_AUROC, SHARE)
    note = (
        f"The abstract's {printed.DMD_WINDOW_AUROC:g} is of windows, not of runs: it is told and not judged. Windows of 500 "
        f"steps, 50 values here; margins for log-probabilities. {len(found.positives) - len(late)} runs grok too early to be "
        "looked at."
    )
    return measured([entry("AUROC over runs", area, "0.41", judged)], {"AUROC": area}, note)


def alignment(sources: Sources) -> Measured:
    """LAR at the start, and the share of runs that grok in which it rises from memorisation to t99."""
    found = series(sources, "lar", "raw", thinned=True)
    first = median_interval(np.array([run.values[0] for run in found.positives.values()]))
    share = rises(found, "t99")
    if first.n < LEAST:
        raise Absent(f"it is known at the start of {first.n} runs that grok, and {LEAST} must")
    near = REPRODUCED if abs(first.value - printed.LAR_START) <= 0.02 else NOT_REPRODUCED
    entries = [entry("at the start", first, "0.5", near), entry("runs in which it rises", share, "all", held(share))]
    note = "The paper says that it tracks the way, not which way; that it rises is our reading of the sketch of its course."
    short = f"begins at {number(first.value)}, rises in {runs(share)}"
    return measured(entries, {"at the start": first, "rises": share}, note, short)


def _peaks(history: pd.DataFrame, t50: float, fall: float = DEPTH) -> bool:
    """Whether ‖θ‖ has an interior maximum before t50, a hundredth above its start and `fall` above where it is at t50."""
    before = history[history["epoch"] <= t50]
    norms = np.sqrt(np.square(before[[name for name in before if str(name).startswith("norm/")]].to_numpy()).sum(axis=1))
    top = int(np.argmax(norms)) if len(norms) else 0
    return 0 < top < len(norms) - 1 and bool(norms[top] >= max((1 + DEPTH) * norms[0], (1 + fall) * norms[-1]))


def norm_peak(sources: Sources) -> Measured:
    """Share of runs that grok with a peak of the norm before t50, and R² of the tanh fit of test accuracy."""
    found = series(sources, "norm_peak")
    fits, peaked, slightly = [], [], []
    for run_id, run in found.positives.items():
        history = sources.evidence.history(run_id)
        peaked.append(_peaks(history, run.t50))
        slightly.append(_peaks(history, run.t50, 0.0))
        fits.append(passage.tanh_fit(history["epoch"].to_numpy(), history["accuracy/test"].to_numpy())[2])
    share, square = clopper_pearson(sum(peaked), len(peaked)), median_interval(np.array(fits))
    entries = [
        entry("runs with a peak before t50", share, "0.92", verdict(share, printed.NORM_PEAK_SHARE, SHARE)),
        entry("R² of the tanh fit", square, "0.93", verdict(square, printed.TANH_R_SQUARED, R_SQUARED)),
    ]
    note = f"With any fall by t50, however small, {sum(slightly)} of {len(slightly)} runs peak: the depth is ours."
    short = f"a peak before t50 in {runs(share)}; R² {number(square.value)}"
    return measured(entries, {"peak": share, "R²": square}, note, short)


def restricted(sources: Sources) -> Measured:
    """Share of runs that grok in which the restricted loss has fallen from memorisation to t10."""
    share = rises(series(sources, "restricted_loss", thinned=True), "t10")  # oriented: high is a low loss
    return measured([entry("runs in which it falls", share, "all", held(share))], {"falls": share}, short=f"in {runs(share)}")


def shell(sources: Sources) -> Measured:
    """Share of runs that grok in which the norm at t99 is below the one at memorisation."""
    share = rises(series(sources, "weight_norm"), "t99")
    entries = [entry("runs in which the norm decays", share, "all", held(share))]
    return measured(entries, {"decays": share}, KNOWN, f"in {runs(share)}")


def _claim(
    name: str, statement: str, source: str, shown: str, how: str, measure: Callable[[Sources], Measured], kind: str
) -> Claim:
    rule = (
        f"{RULE} What a paper saw in all its runs must hold in {MOST:g} of ours; where the interval reaches that it is not "
        "precise enough to tell, else below one half it is contradicted."
    )
    return Claim(f"signals-{name}", statement, source, shown, how, (STUDY,), rule, measure, kind=kind)


CLAIMS: tuple[Claim, ...] = (
    _claim(
        "ildr",
        "ILDR at 2.5 times its value at memorisation comes 950 ± 250 steps before the jump.",
        "Golwala (arXiv 2604.20923)",
        "950 ± 250 steps",
        "printed rule on every run that groks; an epoch is a step",
        _lead_claim("ildr", "950 ± 250"),
        ABSTRACT,
    ),
    _claim(
        "commutator",
        "The commutator defect warns 600 to 1600 steps ahead in 12 of 12 runs.",
        "Xu (arXiv 2602.16967)",
        "600 … 1600 steps",
        "printed rule at every 40th epoch",
        _lead_claim("commutator", "600 … 1600"),
        ABSTRACT,
    ),
    _claim(
        "spectral-entropy",
        "Spectral entropy falls to 0.609 before grokking.",
        "Truong et al. (arXiv 2604.13123)",
        "10 of 10",
        "printed threshold at every 40th epoch",
        spectral_entropy,
        ABSTRACT,
    ),
    _claim(
        "hankel-dmd",
        "Over whole runs the residual of a Hankel DMD of output quantiles does not rank runs that grok first.",
        "Wang et al. (arXiv 2605.08237)",
        "AUROC 0.41 over runs",
        "largest sustained value before t10, against negatives cut at the same epoch; runs with two values before t10 only; "
        "the abstract has 0.93, over windows",
        dmd,
        TEXT,
    ),
    _claim(
        "lar",
        "The log-alignment ratio begins at one half and tracks the way from memorising to generalising.",
        "Shehper and Vaswani (arXiv 2605.28975)",
        "0.5 at the start",
        "raw features on training pairs",
        alignment,
        TEXT,
    ),
    _claim(
        "norm-peak",
        "The norm of the weights peaks before grokking, and accuracy follows a tanh.",
        "Khanh (arXiv 2606.07563)",
        "92 % of 111 runs; R² 0.93",
        "an interior maximum of the norm before t50, a hundredth above its start and above its value at t50",
        norm_peak,
        ABSTRACT,
    ),
    _claim(
        "topology",
        "Autocorrelation and variance of the Fiedler value warn of grokking.",
        "Benfield, public code on structural topology monitoring",
        "21,051 steps ahead, one seed",
        "printed rule on windows of 20 measurements",
        topology,
        NOTES,
    ),
    _claim(
        "restricted-loss",
        "The restricted loss improves before test accuracy does.",
        "Nanda et al. (arXiv 2301.05217)",
        "progress before the jump",
        "loss of orbit means, at memorisation and at t10",
        restricted,
        TEXT,
    ),
    _claim(
        "norm-shell",
        "The norm decays to a shell on which the network generalises.",
        "Liu et al., Omnigrok (arXiv 2210.01117)",
        "the norm decays",
        "norm at memorisation and at t99",
        shell,
        TEXT,
    ),
)
