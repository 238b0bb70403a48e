"""The leaderboard in sentences: how many of each word, the best of each class of information, and what it rests on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.papers.signals.baselines import BASELINES, CELL_CLOCK
from analysis.papers.signals.rows import CALIBRATED, Row
from analysis.papers.signals.study import Known
from analysis.papers.signals.surprises import first_half, named, surprises
from analysis.statistics.alarm_scores import COVERAGE
from analysis.statistics.alarm_words import ALARM, ALARMS, BY_GROUP, CLOCK, WORDS
from analysis.words import number, spread

Told = Mapping[str, Any]
FAMILY = 0.05
"""Level of the family of all rows."""


def told(about: Mapping[str, Known], rows: Sequence[Row], left_out: Mapping[str, int], untried: Sequence[str]) -> str:
    """All of it, in paragraphs.

    Args:
        about: the runs. rows: as `board` has them. left_out: runs that are neither positive nor negative, by condition.
        untried: sets of which no run was repeated by another order of summation.
    """
    every = [one.told for one in rows]
    paragraphs = (
        [_counts(every)],
        _best(every),
        [_baselines(every), _cell_clock(about, rows), _beside(every), _worst(every)],
        [_runs(about, left_out), _rounding(about, untried)],
        surprises(about, rows),
    )
    return "\n\n".join(" ".join(filter(None, parts)) for parts in paragraphs if any(parts))


def _counts(rows: Sequence[Told]) -> str:
    counts = Counter(one["verdict"] for one in rows)
    words = "; ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
    beyond = sum(one["p_adjusted"] < FAMILY for one in rows)
    grouped = [named(one) for one in rows if one["verdict"] == BY_GROUP]
    alone = f" Alarms activation by activation alone: {', '.join(grouped)}." if grouped else ""
    return (
        f"Of {len(rows)} rows that could be scored (a signal, a variant, a rule): {words}.{alone} Detections are more frequent "
        f"than false alarms in {beyond} of them, over the family of all rows (Fisher's test with Holm's adjustment, 5 %). Runs "
        "share seeds, splits and cells: intervals and p-values are nominal."
    )


def _best(rows: Sequence[Told]) -> list[str]:
    """The best row of each class, chosen on one pair of seeds and told on the other, whether it is an alarm or not."""
    out = []
    for information in sorted({one["information"] for one in rows}):
        mine = [one for one in rows if one["information"] == information]
        top = min(mine, key=first_half)
        if not any(one["verdict"] in ALARMS for one in mine):
            out.append(f"No row of class {information} is an alarm.")
        text = f"Best of class {information} on seeds 300 and 301: {named(top)}, there {top['first_half']};"
        out.append(f"{text} on seeds 302 and 303 {_half(top)}.")
        calibrated = [one for one in mine if one["rule"] == CALIBRATED]
        if information == "T" and calibrated:
            out.append(_reach(min(calibrated, key=first_half)))
    return out


def _half(one: Told) -> str:
    """A row on the other pair of seeds."""
    lead = spread(one["second_half_lead"], one["second_half_lead_low"], one["second_half_lead_high"])
    worst = f"{one['second_half_worst_fires']} of {one['second_half_worst_n']} on its worst set"
    return (
        f"{one['second_half']}, lead {lead} epochs before test accuracy 0.5, detected {number(one['second_half_tpr'])}, "
        f"false alarms {number(one['second_half_fpr'])}, {worst}"
    )


def _reach(one: Told) -> str:
    """Coverage at calibrated rates, and the floor of the false-positive rate, on all seeds."""
    shares = ", ".join(number(one[f"tpr at {rate:.2f}"]) for rate in COVERAGE)
    rates = ", ".join(f"{rate:.2f}" for rate in COVERAGE)
    head = f"Of the calibrated rows of class T the best on seeds 300 and 301 is {named(one)}"
    return (
        f"{head}: on all seeds it detects {shares} at calibrated rates of {rates}, half of the runs that grok can be "
        f"detected at a false-positive rate of {number(one['fpr_floor'])} and no lower, and its p over the family is "
        f"{number(one['p_adjusted'])}."
    )


def _baselines(rows: Sequence[Told]) -> str:
    held = [one for one in rows if one["verdict"] in ALARMS and one["signal"] not in BASELINES]
    rivals = [one for one in rows if one["verdict"] in ALARMS and one["signal"] in BASELINES]
    if not rivals:
        return "No baseline is an alarm: nothing had to be beaten."
    beaten = sum(not one["not_beaten"] for one in held)
    names = ", ".join(dict.fromkeys(one["signal"] for one in rivals))
    return f"Baselines that are alarms: {names}; {beaten} of {len(held)} other alarms lead longer than each of these."


def _cell_clock(about: Mapping[str, Known], rows: Sequence[Row]) -> str:
    """How much the config tells of when a run groks."""
    one = next((one for one in rows if one.told["signal"] == CELL_CLOCK), None)
    if one is None:
        return ""
    off = sorted(abs(about[i].run.t50 - t) for i, t in one.epochs.items() if about[i].run.positive and not math.isnan(t))
    median = off[len(off) // 2] if off else math.nan
    return (
        f"A clock that knows a run's cell, the median t50 of its other seeds, is {number(median)} epochs off in the median. No "
        "cell has runs of both kinds: no signal is shown to beat the config."
    )


def _beside(rows: Sequence[Told]) -> str:
    """What changes where negatives, seeds or the start are others."""
    alone = sum(one["eta0_only"] in (ALARM, CLOCK) and one["verdict"] not in (*ALARMS, CLOCK) for one in rows)
    seeds = sum(one["first_half"] != one["second_half"] for one in rows)
    start = sum(one["after_memorisation"] != one["one_threshold"] for one in rows)
    return (
        f"{alone} rows would be alarms or clocks with η = 0 as the only negatives and are neither with all. With the seeds "
        f"exchanged {seeds} rows get another word, and {start} read from memorisation on alone."
    )


def _worst(rows: Sequence[Told]) -> str:
    alarms = [one for one in rows if one["verdict"] in ALARMS]
    if not alarms:
        return ""
    decided = sum(one["worst_decided"] == "below" for one in alarms)
    return f"Of {len(alarms)} alarms the rate of false alarms on the worst set is decided to be below 0.2 for {decided}."


def _rounding(about: Mapping[str, Known], untried: Sequence[str]) -> str:
    if not any(one.replicate for one in about.values()):
        return "No run was repeated by another order of summation: no word here says anything of rounding."
    return f"Not repeated by another order of summation: {', '.join(untried)}." if untried else ""


def _runs(about: Mapping[str, Known], left_out: Mapping[str, int]) -> str:
    plain = [one.run for one in about.values() if not one.replicate]
    censored = Counter(run.control for run in plain if run.censored)
    text = f"{sum(run.positive for run in plain)} runs grok and {sum(run.negative for run in plain)} do not."
    if censored:
        late = "; ".join(f"{count} of {name}" for name, count in sorted(censored.items()))
        text += f" Outside the calibration and the rates, as they may grok later: {late}."
    out = "; ".join(f"{count} of {name}" for name, count in sorted(left_out.items()))
    return text + (f" Neither positive nor negative: {out}." if out else "")
