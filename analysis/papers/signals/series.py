"""A signal on the runs of the study `signals`, for claims: its printed rule on runs that grok and on those that do not."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from analysis.exhibits.model import CONTRADICTED, IMPRECISE, NOT_REPRODUCED, REPRODUCED
from analysis.exhibits.sources import ENOUGH, Absent, Sources
from analysis.papers.signals.study import MAIN, Known, printed_chances, printed_epoch, tables, taken, watch
from analysis.statistics.alarm_words import DETECTED, LEAST, SLOW
from analysis.statistics.alarms import Watched, detected
from analysis.statistics.estimates import Estimate, clopper_pearson, median_interval
from grok.signals.base import find

MOST = 0.9
"""Share of runs in which what a paper says of its runs, without a number, must hold."""


class Series(NamedTuple):
    """A signal on the runs that count.

    Attributes:
        about: by run id. watched: the series, oriented so that high announces. positives: of those, the runs that grok.
        variant: of the signal.
    """

    about: dict[str, Known]
    watched: dict[str, Watched]
    variant: str

    @property
    def positives(self) -> dict[str, Watched]:
        """Runs that grok."""
        return {run_id: run for run_id, run in self.watched.items() if run.positive}

    @property
    def negatives(self) -> dict[str, Watched]:
        """Runs that do not."""
        return {run_id: run for run_id, run in self.watched.items() if run.negative}


class Leads(NamedTuple):
    """What a printed rule gives.

    Attributes:
        share: of the runs that grok, those in which it comes before t50 and not at its first chance. lead: there, median of t50
            less its epoch. false: of the runs that do not grok, those in which it comes at all.
    """

    share: Estimate
    lead: Estimate
    false: Estimate


def series(sources: Sources, name: str, variant: str | None = None, *, thinned: bool = False) -> Series:
    """One signal of every run of the study but its replicates and those without a known value.

    Args:
        sources: of the claim. name, variant: of the signal; None for the published one. thinned: to its cadence.

    Raises:
        Absent: if it is not there, was not computed for enough runs, or the study is not whole.
    """
    about, _, _ = taken(sources)
    about, signal = {run_id: one for run_id, one in about.items() if not one.replicate}, find(name)
    chosen, stored = MAIN.published(signal) if variant is None else variant, tables(sources, about)
    have = sum((name, chosen) in one for one in stored.values())
    if have < ENOUGH * len(about):
        raise Absent(f"{name} {chosen} was computed for {have} of {len(about)} runs. Run {MAIN.measure} --force")
    found = watch(about, stored, signal, chosen, MAIN.due(signal) if thinned else 1)
    out = Series(about, {run_id: run for run_id, run in found.items() if np.isfinite(run.values).any()}, chosen)
    if not out.positives:
        raise Absent(f"{name} is known of no run that groks")
    return out


def leads(found: Series, name: str) -> Leads:
    """By the printed rule: how often it comes before t50, by how much, and how often in runs that do not grok."""
    signal, early = find(name), list[float]()
    for run_id, run in found.positives.items():
        memorised = found.about[run_id].memorised
        epoch = printed_epoch(signal, run, memorised, found.variant)
        if detected(run, epoch, printed_chances(signal, run, memorised, found.variant).first):
            early.append(run.t50 - epoch)
    false = [printed_epoch(signal, run, found.about[i].memorised, found.variant) for i, run in found.negatives.items()]
    share = clopper_pearson(len(early), len(found.positives))
    return Leads(share, median_interval(np.array(early)), clopper_pearson(int(np.isfinite(false).sum()), len(false)))


def in_time(found: Series, name: str) -> Series:
    """The same, where its printed rule could be detected before t50 in enough of the runs that grok.

    Raises:
        Absent: if it could not: no alarm could be given.
    """
    signal = find(name)
    seen = sum(
        printed_chances(signal, run, found.about[i].memorised, found.variant).second < run.t50
        for i, run in found.positives.items()
    )
    every = sum(one.run.positive for one in found.about.values())
    if seen < DETECTED * every:
        raise Absent(
            f"{SLOW}: in {seen} of {every} runs that grok it could come before t50 and not first, and in {DETECTED:g} must"
        )
    return found


def held(share: Estimate) -> str:
    """Of what a paper saw in all its runs: in nine of ten of ours, perhaps so by its interval, in some, in less than half.

    Raises:
        Absent: if it could be looked at in fewer than five.
    """
    if share.n < LEAST:
        raise Absent(f"it could be looked at in {share.n} runs that grok, and {LEAST} must")
    if share.value >= MOST:
        return REPRODUCED
    if share.high >= MOST:
        return IMPRECISE
    return CONTRADICTED if share.value < 0.5 else NOT_REPRODUCED


def goes(run: Watched, start: float, end: float) -> bool | None:
    """Whether the last value between two epochs stands above the first, oriented; None where fewer than two are known."""
    inside = run.values[(run.epochs >= start) & (run.epochs <= end)]
    inside = inside[np.isfinite(inside)]
    return bool(inside[-1] > inside[0]) if len(inside) > 1 and not math.isnan(end) else None


def rises(found: Series, end: str) -> Estimate:
    """Share of runs that grok in which a signal goes its way from memorisation to an event, where two values are known."""
    seen = [goes(run, found.about[i].memorised, getattr(run, end)) for i, run in found.positives.items()]
    known = [one for one in seen if one is not None]
    return clopper_pearson(sum(known), len(known))
