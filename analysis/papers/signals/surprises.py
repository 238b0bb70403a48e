"""The three results that surprised most, by rules that were fixed before a value was read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.papers.signals.baselines import BASELINES, against
from analysis.papers.signals.rows import CALIBRATED, PRINTED, Row
from analysis.papers.signals.study import HALVES, Known
from analysis.statistics.alarm_words import WORDS
from analysis.words import number, spread

Told = Mapping[str, Any]


def named(one: Told) -> str:
    """A row: signal, variant, rule and cadence."""
    return f"{' '.join(filter(None, (one['signal'], one['variant'], one['rule'])))}, every {one['every']} epochs"


def surprises(about: Mapping[str, Known], rows: Sequence[Row]) -> list[str]:
    """A sentence each, with its numbers; those that no row can fill are left out."""
    found = (printed_and_calibrated([one.told for one in rows]), negatives([one.told for one in rows]), baseline(about, rows))
    return [text for text in found if text]


def printed_and_calibrated(rows: Sequence[Told]) -> str:
    """The largest difference of detection between the printed and the calibrated rule of one signal, at its own cadence."""
    best, text = 0.0, ""
    for mine in rows:
        own = [one for one in rows if (one["signal"], one["variant"]) == (mine["signal"], mine["variant"])]
        other = min((one for one in own if one["rule"] == CALIBRATED), key=lambda one: one["every"], default=None)
        if mine["rule"] != PRINTED or mine["every"] != 1 or other is None or not abs(mine["tpr"] - other["tpr"]) > best:
            continue
        best = abs(mine["tpr"] - other["tpr"])
        text = (
            f"The printed and the calibrated rule differ most for {mine['signal']}: as printed it detects {_rates(mine)} "
            f"({mine['verdict']}), calibrated {_rates(other)} ({other['verdict']})."
        )
    return text


def negatives(rows: Sequence[Told]) -> str:
    """The row whose word moves farthest, in the order of the leaderboard, from all negatives to η = 0 alone."""

    def moved(one: Told) -> tuple[int, float]:
        apart = abs(WORDS.index(one["one_threshold"]) - WORDS.index(one["eta0_only"]))
        return apart, -math.inf if math.isnan(one["fpr"]) else one["fpr"]

    top = max(rows, key=moved, default=None)
    if top is None or moved(top)[0] == 0:
        return ""
    alone = f"detects {number(top['eta0_only_tpr'])}, false alarms {number(top['eta0_only_fpr'])}"
    return (
        f"The word changes most for {named(top)}: {top['one_threshold']} against all negatives ({_rates(top)}), "
        f"{top['eta0_only']} against η = 0 alone ({alone})."
    )


def baseline(about: Mapping[str, Known], rows: Sequence[Row]) -> str:
    """The best signal of class T against the best baseline: both chosen on seeds 300 and 301, told on 302 and 303."""
    ours = [one for one in rows if one.told["information"] == "T" and one.told["signal"] not in BASELINES]
    rivals = [one for one in rows if one.told["signal"] in BASELINES]
    if not ours or not rivals:
        return ""
    mine, other = (min(some, key=lambda one: first_half(one.told)) for some in (ours, rivals))
    late = {run_id: one for run_id, one in about.items() if one.run.seed in HALVES[1]}
    held = against(late, mine, other)
    leads = [
        f"{named(one.told)} ({one.told['second_half']}, lead "
        f"{spread(one.told['second_half_lead'], one.told['second_half_lead_low'], one.told['second_half_lead_high'])}, false "
        f"alarms {number(one.told['second_half_fpr'])})"
        for one in (mine, other)
    ]
    return (
        f"On seeds 302 and 303 the best signal of class T, {leads[0]}, leads longer than the best baseline, {leads[1]}, in "
        f"{held.longer} of the {held.n} runs in which both fire (sign test p = {number(held.p)})."
    )


def first_half(one: Told) -> tuple[int, float]:
    """The order of rows by seeds 300 and 301 alone: by word, then by lead."""
    lead = one["first_half_lead"]
    return WORDS.index(one["first_half"]), math.inf if math.isnan(lead) else -lead


def _rates(one: Told) -> str:
    return f"{number(one['tpr'])} with false alarms in {number(one['fpr'])}"
