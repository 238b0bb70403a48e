"""What papers print of their signals in the main setup, held against the runs of the study `signals`: all its seeds that grok.

The rules are those of analysis/claims/PREREGISTRATION-signals.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.model import ABSTRACT, CONTRADICTED, NOT_REPRODUCED, NOTES, REPRODUCED, TEXT, Claim, Measured
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals.margins import R_SQUARED, RULE, SHARE, entry, measured, verdict
from analysis.papers.signals.study import MAIN, STUDY, Known, printed_epoch, tables, taken, watch
from analysis.printed import signals as printed
from analysis.statistics.alarm_words import DETECTED, LEAST, SLOW
from analysis.statistics.alarms import Watched, auroc, sustained_peak
from analysis.statistics.estimates import Estimate, clopper_pearson, median_interval
from grok.numerics import passage
from grok.signals.base import find

DEPTH = 0.01
"""How far a peak of the norm must stand out, of where the norm begins."""
MOST = 0.9
"""Share of runs in which what a paper says of its runs, without a number, must hold."""


class Series(NamedTuple):
    """A signal on the runs that count.

    Attributes:
        about: by run id. watched: the series, oriented so that high announces. positives: of those, the runs that grok.
    """

    about: dict[str, Known]
    watched: dict[str, Watched]

    @property
    def positives(self) -> dict[str, Watched]:
        """Runs that grok."""
        return {run_id: run for run_id, run in self.watched.items() if run.positive}


def series(sources: Sources, name: str, variant: str | None = None, *, thinned: bool = False) -> Series:
    """One signal of every run of the study but its replicates and those without a known value.

    Args:
        sources: of the claim. name, variant: of the signal; None for the first. thinned: to its cadence.

    Raises:
        Absent: if it is not there, or the study is not whole.
    """
    about, _, _ = taken(sources)
    about, signal = {run_id: one for run_id, one in about.items() if not one.replicate}, find(name)
    chosen = next(iter(signal.variants)) if variant is None else variant
    found = watch(about, tables(sources, about), signal, chosen, MAIN.due(signal) if thinned else 1)
    out = Series(about, {run_id: run for run_id, run in found.items() if np.isfinite(run.values).any()})
    if not out.positives:
        raise Absent(f"{name} is known of no run that groks")
    return out


def leads(found: Series, name: str) -> tuple[Estimate, Estimate]:
    """By the printed rule: the share of runs that grok in which it comes before t50, and the median lead where it does."""
    signal = find(name)
    epochs = {i: printed_epoch(signal, run, found.about[i].memorised) for i, run in found.positives.items()}
    lead = np.array([run.t50 - epochs[i] for i, run in found.positives.items()])
    early = lead[lead > 0]
    return clopper_pearson(len(early), len(lead)), median_interval(early)


def in_time(found: Series) -> Series:
    """The same, where it has two neighbouring values before t50 in enough of the runs that grok.

    Raises:
        Absent: if it has not: no alarm could be given.
    """
    seen = sum(math.isfinite(sustained_peak(run, run.t50)) for run in found.positives.values())
    every = sum(one.run.positive for one in found.about.values())
    if seen < DETECTED * every:
        raise Absent(f"{SLOW}: {seen} of {every} runs that grok have two neighbouring values before t50, and {DETECTED:g} must")
    return found


def _held(share: Estimate) -> str:
    """Of what a paper saw in all its runs: in nine of ten of ours, in some, in less than half.

    Raises:
        Absent: if it could be looked at in fewer than five.
    """
    if share.n < LEAST:
        raise Absent(f"it could be looked at in {share.n} runs that grok, and {LEAST} must")
    return REPRODUCED if share.value >= MOST else CONTRADICTED if share.value < 0.5 else NOT_REPRODUCED


def _lead_claim(name: str, shown: str) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        found = series(sources, name)
        share, lead = leads(in_time(found) if name == "commutator" else found, name)
        entries = [
            entry("runs in which it comes before t50", share, "all", _held(share)),
            entry("lead, epochs", lead, shown, ""),
        ]
        note = "The lead is told and not judged: it is in steps of another network, and here no run has more than 800 epochs."
        return measured(entries, {"share": share, "lead": lead}, note)

    return measure


def spectral_entropy(sources: Sources) -> Measured:
    """How many runs that grok cross the printed threshold before t50."""
    share, _ = leads(in_time(series(sources, "spectral_entropy")), "spectral_entropy")
    return measured([entry("runs that cross 0.609 before t50", share, "10 of 10", _held(share))], {"share": share})


def topology(sources: Sources) -> Measured:
    """How many runs that grok are warned of before t50 by the printed rule; the detrended form beside it."""
    found = in_time(series(sources, "topology"))
    share, lead = leads(found, "topology")
    fair = series(sources, "topology", "detrended")
    rule = find("topology").printed
    assert rule is not None  # the file has one
    fires = [rule.holds(run.epochs, run.values, math.nan).any() for run in fair.positives.values()]
    note = f"With the trend taken out {sum(map(bool, fires))} of {len(fires)} runs that grok are warned of at all."
    return measured(
        [entry("runs warned of before t50", share, "1 of 1", _held(share))], {"share": share, "lead of these": lead}, note
    )


def dmd(sources: Sources) -> Measured:
    """AUROC from epochs before t10, of the runs that grok late enough for two values before it."""
    found = series(sources, "hankel_dmd", thinned=True)
    late = [run for run in found.positives.values() if math.isfinite(sustained_peak(run, run.t10))]
    if len(late) < LEAST:
        raise Absent(f"{len(late)} of {len(found.positives)} runs that grok have two values before t10, and {LEAST} must")
    area = auroc(late, [run for run in found.watched.values() if run.negative])
    judged = verdict(area, printed.DMD_RUN_AUROC, SHARE)
    note = "Over whole runs, as here, the paper has 0.41; its 0.93 is of windows."
    return measured([entry("AUROC over runs", area, "0.41", judged)], {"AUROC": area}, note)


def alignment(sources: Sources) -> Measured:
    """LAR at the start, and the share of runs that grok in which it rises from memorisation to t99."""
    found = series(sources, "lar", "raw", thinned=True)
    first = median_interval(np.array([run.values[0] for run in found.positives.values()]))
    rises = []
    for run_id, run in found.positives.items():
        start, end = found.about[run_id].memorised, run.t99
        inside = run.values[(run.epochs >= start) & (run.epochs <= end)]
        if len(inside) > 1:
            rises.append(inside[-1] > inside[0])
    share = clopper_pearson(int(sum(rises)), len(rises))
    near = REPRODUCED if abs(first.value - printed.LAR_START) <= 0.02 else NOT_REPRODUCED
    entries = [entry("at the start", first, "0.5", near), entry("runs in which it rises", share, "all", _held(share))]
    return measured(entries, {"at the start": first, "rises": share})


def _peaks(history: pd.DataFrame, t50: float) -> bool:
    """Whether ‖θ‖ has an interior maximum before t50, at least a hundredth above where it begins."""
    before = history[history["epoch"] <= t50]
    norms = np.sqrt(np.square(before[[name for name in before if str(name).startswith("norm/")]].to_numpy()).sum(axis=1))
    top = int(np.argmax(norms)) if len(norms) else 0
    return 0 < top < len(norms) - 1 and bool(norms[top] >= (1 + DEPTH) * norms[0])


def norm_peak(sources: Sources) -> Measured:
    """Share of runs that grok with a peak of the norm before t50, and R² of the tanh fit of test accuracy."""
    found = series(sources, "norm_peak")
    fits, peaked = [], []
    for run_id, run in found.positives.items():
        history = sources.evidence.history(run_id)
        peaked.append(_peaks(history, run.t50))
        fits.append(passage.tanh_fit(history["epoch"].to_numpy(), history["accuracy/test"].to_numpy())[2])
    share, square = clopper_pearson(sum(peaked), len(peaked)), median_interval(np.array(fits))
    entries = [
        entry("runs with a peak before t50", share, "0.92", verdict(share, printed.NORM_PEAK_SHARE, SHARE)),
        entry("R² of the tanh fit", square, "0.93", verdict(square, printed.TANH_R_SQUARED, R_SQUARED)),
    ]
    return measured(entries, {"peak": share, "R²": square})


def restricted(sources: Sources) -> Measured:
    """Share of runs that grok in which the restricted loss has fallen from memorisation to t10."""
    found = series(sources, "restricted_loss", thinned=True)
    falls = []
    for run_id, run in found.positives.items():
        inside = run.values[(run.epochs >= found.about[run_id].memorised) & (run.epochs <= run.t10)]
        if len(inside) > 1:
            falls.append(inside[-1] > inside[0])  # oriented: high is a low loss
    share = clopper_pearson(int(sum(falls)), len(falls))
    return measured([entry("runs in which it falls", share, "all", _held(share))], {"falls": share})


def shell(sources: Sources) -> Measured:
    """Share of runs that grok in which the norm at t99 is below the one at memorisation."""
    found = series(sources, "weight_norm")
    falls = []
    for run_id, run in found.positives.items():
        inside = run.values[(run.epochs >= found.about[run_id].memorised) & (run.epochs <= run.t99)]
        if len(inside) > 1:
            falls.append(inside[-1] > inside[0])
    share = clopper_pearson(int(sum(falls)), len(falls))
    return measured([entry("runs in which the norm decays", share, "all", _held(share))], {"decays": share})


def _claim(
    name: str, statement: str, source: str, shown: str, how: str, measure: Callable[[Sources], Measured], kind: str
) -> Claim:
    rule = f"{RULE} What a paper saw in all its runs must hold in {MOST:g} of ours; below one half it is contradicted."
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
        "The residual of a Hankel DMD of output quantiles tells runs that will grok from others.",
        "Wang et al. (arXiv 2605.08237)",
        "AUROC 0.93 by windows, 0.41 over runs",
        "largest sustained value before t10, against negatives cut at the same epoch; runs with two values before t10 only",
        dmd,
        ABSTRACT,
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
        "an interior maximum of the norm before t50, a hundredth above its start",
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
