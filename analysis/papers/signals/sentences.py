"""The leaderboard in sentences: how many of each word, the best of each class of information, and what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.papers.signals.baselines import CELL_CLOCK, mixed_cells
from analysis.papers.signals.rows import CALIBRATED, PRINTED, Row, alone
from analysis.papers.signals.study import BASELINES, CONTROL, NO_DECAY, Known
from analysis.papers.signals.surprises import NO_LEAD, first_half, lead, named, own, surprises
from analysis.statistics.alarm_scores import COVERAGE, rate_of
from analysis.statistics.alarm_words import ALARMS, BY_GROUP, CLOCK, WORDS
from analysis.statistics.estimates import median_interval
from analysis.statistics.exact import one_sided_share
from analysis.words import number, said, spread
from grok.signals._untestable import UNTESTABLE
from grok.signals.base import CLASSES

Told = Mapping[str, Any]
EARLY = 10
"""Epochs in which nothing has been learned."""
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
        [*surprises(about, rows), _early(about, rows)],
        [_looks(every)],
        *([text] for text in _best(every)),
        [_baselines(every), _cell_clock(about, rows), _beside(every), _worst(every)],
        [_runs(about, left_out), _rounding(about, untried)],
        [_classes(every), _untestable()],
    )
    return "\n\n".join(" ".join(filter(None, parts)) for parts in paragraphs if any(parts))


def _words(rows: Sequence[Told]) -> str:
    counts = Counter(one["verdict"] for one in rows)
    return ", ".join(f"{word} {counts[word]}" for word in WORDS if counts[word]) or "none"


def _counts(rows: Sequence[Told]) -> str:
    """Words of signals, each in its published variant at its own cadence, and the alarms among them by name."""
    signals = own(rows)
    first, second = ([one for one in signals if one["rule"] == rule] for rule in (CALIBRATED, PRINTED))
    alarms = [one for one in signals if one["verdict"] in ALARMS]
    named_ = "; ".join(
        f"{one['signal']} {'as printed' if one['rule'] == PRINTED else 'by a calibrated threshold'}, detected in "
        f"{_count(one, 'tpr')} runs that grok, false alarms in {_count(one, 'fpr')} others, lead "
        f"{lead(one, 'lead_t50', one['verdict'])} epochs before test accuracy 0.5 and "
        f"{lead(one, 'lead_t10', one['verdict'])} before 0.1{_rivals(one)}{_control(one, rows)}"
        for one in alarms
    )
    return (
        f"{f'Alarms: {named_}' if alarms else 'No signal is an alarm'}. Of {len(first)} signals by a calibrated threshold: "
        f"{_words(first)}; of {len(second)} as printed: {_words(second)}."
    )


def _rivals(one: Told) -> str:
    """Which baselines that are alarms a row leads longer than, and which not."""
    ways = (("longer than", one["beats"]), ("not longer than", one["not_beaten"]))
    return "".join(f", {way} {names.replace('; ', ', ')}" for way, names in ways if names)


def _control(one: Told, rows: Sequence[Told]) -> str:
    """What is said of the variant that is its control, by the same rule at the same cadence; empty where it has none."""
    same = [other for other in rows if all(other[key] == one[key] for key in ("signal", "rule", "every"))]
    control = next((other for other in same if other["variant"] == CONTROL.get(one["signal"])), None)
    if control is None:
        return ""
    leads = lead(control, "lead_t50", control["verdict"])
    return f"; its control, {control['variant']}: {control['verdict']}{f', lead {leads}' if leads != NO_LEAD else ''}"


def _count(one: Told, name: str) -> str:
    """A share as a count."""
    return f"{one[name] * one[f'{name}_n']:.0f} of {one[f'{name}_n']}"


def _early(about: Mapping[str, Known], rows: Sequence[Row]) -> str:
    """The printed rules that fire while nothing has been learned: what they see is the start."""
    out = []
    for one in rows:
        fires = [epoch for i, epoch in one.epochs.items() if about[i].run.positive and not about[i].replicate]
        first = [epoch for epoch in fires if epoch <= EARLY]
        if one.told["rule"] == PRINTED and one.told["published"] and len(first) > len(fires) / 2:
            low, high = number(min(first)), number(max(first))
            out.append(
                f"{one.told['signal']} as printed fires within {EARLY} epochs in {len(first)} of {len(fires)} runs that grok, "
                f"{f'at epoch {low}' if low == high else f'at epochs {low} to {high}'}: what it sees there is the start."
            )
    return " ".join(out)


def _looks(rows: Sequence[Told]) -> str:
    """Words of all rows, and how many looks there were."""
    beyond = sum(one["p_adjusted"] < FAMILY for one in rows)
    grouped = [named(one) for one in rows if one["verdict"] == BY_GROUP]
    alone_ = (
        f" Alarms activation by activation alone, by a second look that is in the family: {', '.join(grouped)}."
        if grouped
        else ""
    )
    return (
        f"Of all {len(rows)} rows that could be scored, with other variants and cadences, controls and baselines: "
        f"{_words(rows)}.{alone_} Detections are more frequent than false alarms in {beyond} of them, over the family of all "
        "looks of all rows (Fisher's test with Holm's adjustment, 5 %). Runs share seeds, splits and cells: intervals and "
        "p-values are nominal."
    )


def _classes(rows: Sequence[Told]) -> str:
    """What the letters of the classes of information stand for."""
    letters = dict.fromkeys(letter for one in rows for letter in one["information"])
    said = [f"{letter} {CLASSES[letter]}" for letter in letters if letter in CLASSES]
    return f"Classes of information: {'; '.join(said)}."


def _untestable() -> str:
    """What has no public recipe, with what is missing."""
    told_ = "; ".join(f"{one.name} ({one.paper}): {one.missing}" for one in UNTESTABLE)
    return f"Not testable: {told_}.".replace("`", "")


def _best(rows: Sequence[Told]) -> list[str]:
    """The best row of each class, chosen on one pair of seeds and told on the other, whether it is an alarm or not."""
    out = [
        "Either pair of seeds is scored by thresholds of the other, and which look gives a word is decided on both: a choice "
        "on one pair is not blind to the other."
    ]
    for information in sorted({one["information"] for one in rows}):
        mine = [one for one in rows if one["information"] == information]
        top = min(mine, key=first_half)
        none = "" if any(one["verdict"] in ALARMS for one in mine) else f"No row of class {information} is an alarm. "
        text = f"Best of class {information} on seeds 300 and 301: {named(top)}, there {top['first_half']};"
        calibrated = [one for one in mine if one["rule"] == CALIBRATED]
        reach = f" {_reach(min(calibrated, key=first_half))}" if information == "T" and calibrated else ""
        whole = "" if top["verdict"] == top["second_half"] else f" On all four it has {_count(top, 'tpr')}: {top['verdict']}."
        out.append(f"{none}{text} on seeds 302 and 303 {_half(top)}.{whole}{reach}")
    return out


def _half(one: Told) -> str:
    """A row on the other pair of seeds."""
    worst = f"{one['second_half_worst_fires']} of {one['second_half_worst_n']} on its worst set"
    leads = lead(one, "second_half_lead", one["second_half"])
    return (
        f"{one['second_half']}, {f'lead {leads} epochs before test accuracy 0.5, ' if leads != NO_LEAD else ''}"
        f"detected {number(one['second_half_tpr'])}, false alarms {number(one['second_half_fpr'])}, {worst}"
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
    """How many alarms lead longer than the baselines that are alarms, and how many had none to be held against."""
    names = (*BASELINES, CELL_CLOCK)
    held = [one for one in rows if one["verdict"] in ALARMS and one["signal"] not in names]
    rivals = [one for one in rows if one["verdict"] in ALARMS and one["signal"] in names]
    never = (
        "The clock, and the cell clock at its forecast, can be none by construction, and a share of the forecast can be chosen "
        "to lead as long as one likes."
    )
    if not rivals:
        return f"No baseline is an alarm, so that nothing had to be beaten. {never}"
    beaten = sum(bool(one["beats"]) and not one["not_beaten"] for one in held)
    free = sum(not one["beats"] and not one["not_beaten"] for one in held)
    told_ = ", ".join(dict.fromkeys(" ".join(filter(None, (one["signal"], one["variant"]))) for one in rivals))
    if not held:
        return f"Baselines that are alarms: {told_}; no other row is one. {never}"
    return (
        f"Baselines that are alarms: {told_}. Of {len(held)} other rows that are alarms {beaten} lead longer than each of "
        f"these, {len(held) - beaten - free} do not, {free} had none to be held against (sign tests with Holm's adjustment "
        "over all). "
        f"{never}"
    )


def _cell_clock(about: Mapping[str, Known], rows: Sequence[Row]) -> str:
    """How much the config tells of when a run groks."""
    one = next((one for one in rows if one.told["signal"] == CELL_CLOCK and not one.told["variant"]), None)
    if one is None:
        return ""
    plain = [i for i in one.epochs if about[i].run.positive and not about[i].replicate]
    off = median_interval(np.array([abs(about[i].run.t50 - one.epochs[i]) for i in plain], dtype=np.float64))
    mixed = mixed_cells(about)
    within = (
        f"{mixed} cells have runs of both kinds."
        if mixed
        else "No cell has runs of both kinds: no signal is shown to beat the config, and no AUROC can be told within cells."
    )
    return (
        f"A clock that knows a run's cell, the median t50 of its other seeds, is {spread(*off[:3])} epochs off in the median "
        f"of {off.n} of {len(plain)} runs. {within}"
    )


def _beside(rows: Sequence[Told]) -> str:
    """What changes where negatives, seeds or the start are others."""
    praised = (*ALARMS, CLOCK)
    sets = sorted({name[: -len(" only")] for one in rows for name in one if name.endswith(" only")})
    counts = []
    for name in (NO_DECAY, *sets):
        pairs = [(one[alone(name)] in praised, one["verdict"] in praised) for one in rows if one.get(alone(name)) is not None]
        counts.append((sum(few and not every for few, every in pairs), sum(every and not few for few, every in pairs)))
    others = "; ".join(f"{said(name)} {more} and {less}" for name, (more, less) in zip(sets, counts[1:], strict=True))
    compared = f" With another control set as the only negatives: {others}." if others else ""
    seeds = sum(one["first_half"] != one["second_half"] for one in rows)
    start = sum(one["after_memorisation"] != one["one_threshold"] for one in rows)
    return (
        f"{counts[0][0]} rows would be alarms or clocks with η = 0 as the only negatives and are neither with all, "
        f"{counts[0][1]} the other way round.{compared} The two pairs of seeds give {seeds} rows different words, and {start} "
        "get another word read from memorisation on alone."
    )


def _worst(rows: Sequence[Told]) -> str:
    alarms = [one for one in rows if one["verdict"] in ALARMS]
    if not alarms:
        return ""
    decided, most = sum(one["worst_decided"] == "below" for one in alarms), max(one["worst_n"] for one in alarms)
    none = rate_of(0, most)
    which = "Whether the rate of false alarms"
    cannot = (
        f"can be decided for none of the {len(alarms)} rows that are alarms: where none of {most} fires the bound is "
        f"{number(one_sided_share(0, most)[1])}"
        if none.side != "below"
        else f"is decided for {decided} of the {len(alarms)} rows that are alarms"
    )
    return f"{which} on the worst set is below 0.2 {cannot}."


def _rounding(about: Mapping[str, Known], untried: Sequence[str]) -> str:
    if not any(one.replicate for one in about.values()):
        return "No run was repeated by another order of summation: no word here says anything of rounding."
    return f"Not repeated by another order of summation: {', '.join(untried)}." if untried else ""


def _runs(about: Mapping[str, Known], left_out: Mapping[str, int]) -> str:
    plain = [one.run for one in about.values() if not one.replicate]
    censored = Counter(run.control for run in plain if run.censored)
    text = f"{sum(run.positive for run in plain)} runs grok and {sum(run.negative for run in plain)} do not."
    groups = dict.fromkeys(run.group for run in plain)
    by = [
        f"{name} {sum(run.positive and run.group == name for run in plain)} and "
        f"{sum(run.negative and run.group == name for run in plain)}"
        for name in groups
    ]
    text += f" By activation or network: {'; '.join(by)}." if len(by) > 1 else ""
    if censored:
        late = "; ".join(f"{count} of {name}" for name, count in sorted(censored.items()))
        text += f" Outside the calibration and the rates, as they may grok later: {late}."
    out = "; ".join(f"{count} of {name}" for name, count in sorted(left_out.items()))
    return text + (f" Neither positive nor negative: {out}." if out else "")
