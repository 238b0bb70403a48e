"""The three results that surprised most, by rules that were fixed before a value was read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.exhibits.model import Answered
from analysis.papers.signals.baselines import CELL_CLOCK, against, comparable
from analysis.papers.signals.rows import CALIBRATED, PRINTED, Row
from analysis.papers.signals.study import BASELINES, HALVES, Known
from analysis.statistics.alarm_words import ALARM, BY_GROUP, CLOCK, DECAY, FOLLOWS, SLOW, UNDECIDED, UNTESTED, WORDS
from analysis.words import number, spread
from grok.signals.base import CLASSES, find

Told = Mapping[str, Any]
OF_LEAD = (ALARM, BY_GROUP, UNDECIDED, FOLLOWS, CLOCK)
"""Words of rules that fire in enough of the positives and few negatives: of others a lead says nothing."""
NO_LEAD = "–"
"""In the place of a lead of which nothing can be said."""


def named(one: Told) -> str:
    """A row: signal, variant, rule and cadence."""
    often = "every epoch" if one["every"] == 1 else f"every {one['every']} epochs"
    rule = one["rule"] if one["rule"] in (CALIBRATED, PRINTED) else f"({one['rule']})"
    return f"{' '.join(filter(None, (one['signal'], one['variant'], rule)))}, {often}"


def surprises(about: Mapping[str, Known], rows: Sequence[Row]) -> list[str]:
    """A sentence each, with its numbers; those that no row can fill are left out."""
    told = own([one.told for one in rows])
    apart = [negatives([one for one in told if one["rule"] == rule]) for rule in (CALIBRATED, PRINTED)]
    return [text for text in (printed_and_calibrated(told), *apart, baseline(about, rows)) if text]


def surprise(answers: Mapping[str, Answered]) -> str:
    """How many signals are alarms, what these have to know, and whether their control is one; empty without the leaderboard.

    Args:
        answers: by id of their question; that of `which-signal-knows` has the counts and the alarms' names.
    """
    asked = answers.get("which-signal-knows")
    counts = re.search(r"Of (\d+) signals by a calibrated threshold: ([^;.]*)", asked.text) if asked else None
    if asked is None or counts is None:
        return ""

    def of(word: str) -> int:
        found = re.search(rf"(?:^|, ){word} (\d+)", counts[2])
        return int(found[1]) if found else 0

    able = int(counts[1]) - of(SLOW) - of(UNTESTED)
    names = re.findall(r"(\w+) by a calibrated threshold, detected in", asked.text)
    known = "; ".join(
        f"{name} knows {' and '.join(CLASSES[one].split(':')[0] for one in find(name).information)}" for name in names
    )
    alarms = f"{len(names) or 'none'} {'is an alarm' if len(names) < 2 else 'are alarms'}{f' ({known})' if known else ''}"
    control = ", and so is its control with shuffled tokens" if "control, permuted: alarm" in asked.text else ""
    decay = of(DECAY)
    rest = f"; {decay} would fire on decay without grokking, calibrated on runs without decay" if decay else ""
    return f"of {able} signals that can be judged, by thresholds from other seeds, {alarms}{control}{rest}."


def own(rows: Sequence[Told]) -> list[Told]:
    """Rows of signals that are no baseline, in the published variant at their own cadence."""
    return [one for one in rows if one["published"] and one["signal"] not in (*BASELINES, CELL_CLOCK)]


def printed_and_calibrated(rows: Sequence[Told]) -> str:
    """The largest difference of detection between the printed and the calibrated rule of one signal; of equal ones the first.

    Where either cannot be read before t50 there is no comparison.
    """
    best, text = 0.0, ""
    for mine in rows:
        other = next((one for one in rows if one["signal"] == mine["signal"] and one["rule"] == CALIBRATED), None)
        if mine["rule"] != PRINTED or other is None or {mine["verdict"], other["verdict"]} & {SLOW, UNTESTED}:
            continue
        if abs(mine["tpr"] - other["tpr"]) > best:
            best = abs(mine["tpr"] - other["tpr"])
            text = (
                f"The printed and the calibrated rule differ most for {mine['signal']}: as printed it detects {_rates(mine)} "
                f"({mine['verdict']}), calibrated {_rates(other)} ({other['verdict']})."
            )
    return text


def negatives(rows: Sequence[Told]) -> str:
    """The row of one rule whose word moves farthest, in the order of the leaderboard, from all negatives to η = 0 alone.

    Of equal ones it is the first. Rows that cannot be tested on either say nothing of the negatives.
    """

    def moved(one: Told) -> int:
        words = one["one_threshold"], one["eta0_only"]
        return 0 if {SLOW, UNTESTED} & set(words) else abs(WORDS.index(words[0]) - WORDS.index(words[1]))

    top = max(rows, key=moved, default=None)
    if top is None or moved(top) == 0:
        return ""
    alone = f"detects {number(top['eta0_only_tpr'])}, false alarms {number(top['eta0_only_fpr'])}"
    all_ = f"{number(top['one_threshold_tpr'])} with false alarms in {number(top['one_threshold_fpr'])}"
    return (
        f"Of {top['rule']} rules the word changes most for {named(top)}: {top['one_threshold']} against all negatives "
        f"({all_}), {top['eta0_only']} against η = 0 alone ({alone})."
    )


def baseline(about: Mapping[str, Known], rows: Sequence[Row]) -> str:
    """The best signal of class T against the best baseline: both chosen on seeds 300 and 301, told on 302 and 303."""
    ours = [one for one in rows if one.told["information"] == "T" and one.told["signal"] not in BASELINES]
    rivals = [one for one in rows if one.told["signal"] in (*BASELINES, CELL_CLOCK)]
    if not ours or not rivals:
        return ""
    mine = min(ours, key=lambda one: first_half(one.told))
    other = min(comparable(mine, rivals), key=lambda one: first_half(one.told))
    late = {run_id: one for run_id, one in about.items() if one.run.seed in HALVES[1]}
    held = against(late, mine, other)
    leads = [
        f"{named(one.told)} ({', '.join((one.told['second_half'], *_lead(one.told)))}, "
        f"false alarms {number(one.told['second_half_fpr'])})"
        for one in (mine, other)
    ]
    return (
        f"On seeds 302 and 303 the best signal of class T that is no baseline, {leads[0]}, leads longer than the best "
        f"baseline, {leads[1]}, in {held.longer or 'none'} of the {held.n} runs in which both fire after their first chance "
        f"(sign test of leading longer, p = {number(held.p)})."
    )


def lead(one: Told, name: str, word: str) -> str:
    """A lead with its interval, a dash where the word says that there is none to speak of."""
    return spread(one[name], one[f"{name}_low"], one[f"{name}_high"]) if word in OF_LEAD else NO_LEAD


def _lead(one: Told) -> list[str]:
    """The lead on seeds 302 and 303 in words, if there is one to speak of."""
    leads = lead(one, "second_half_lead", one["second_half"])
    return [] if leads == NO_LEAD else [f"lead {leads}"]


def first_half(one: Told) -> tuple[int, float]:
    """The order of rows by seeds 300 and 301 alone: by word, then by lead."""
    longest = one["first_half_lead"]
    return WORDS.index(one["first_half"]), math.inf if math.isnan(longest) else -longest


def _rates(one: Told) -> str:
    return f"{number(one['tpr'])} with false alarms in {number(one['fpr'])}"
