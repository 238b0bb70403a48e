"""The leaderboard: every signal by its printed and its calibrated rule, on held-out runs of a study.

The rules are those of analysis/claims/PREREGISTRATION-signals.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.exhibits.model import Answer, Chapter, Question
from analysis.exhibits.sources import Sources
from analysis.papers.signals.baselines import CELL_CLOCK, SHARES, cell_clock, contests
from analysis.papers.signals.rounding import untried
from analysis.papers.signals.rows import Row, readings, row
from analysis.papers.signals.sentences import told
from analysis.papers.signals.study import BASELINES, CONTROL, CROSS_ENTROPY, MAIN, STUDY, Arm, Known, Stored, tables, taken
from analysis.papers.signals.surprises import NO_LEAD, lead
from analysis.reading.once import once
from analysis.statistics.alarm_words import ALARMS, BY_GROUP, UNTESTED, WORDS
from analysis.statistics.factors import holm
from analysis.words import number, said, spread
from grok.signals._untestable import UNTESTABLE
from grok.signals.base import find
from grok.spec.plugins import SIGNALS

KEY = ("signal", "variant", "rule", "every")
"""What tells rows apart."""


class Board(NamedTuple):
    """The leaderboard of a study.

    Attributes:
        table: a row per signal, variant and rule, by verdict, then by lead against t50; last, signals that cannot be tested.
        rows: the same, in that order, with their alarms; without those that cannot be tested. about: the runs.
    """

    table: pd.DataFrame
    rows: list[Row]
    about: dict[str, Known]


def board(
    about: Mapping[str, Known],
    stored: Mapping[str, Stored],
    names: Sequence[str] = SIGNALS.names,
    arm: Arm = MAIN,
) -> Board:
    """Every signal by each of its rules.

    Args:
        about: the runs, as `known` has them. stored: their signals, as `tables` has them. names: of signals. arm: of the runs.
    """
    signals = [find(name) for name in names]
    every = [row(about, stored, one) for s in signals for variant in s.variants for one in readings(s, variant, arm)]
    scored = [one for one in every if one.told["missing"] is None] + [cell_clock(about, arm, share) for share in SHARES]
    kept = {tuple(one.told[key] for key in KEY): one for one in reversed(scored)}  # the first reading of a cadence
    rows = list(kept.values())[::-1]
    _adjust(rows)
    contests(about, rows)
    rows.sort(key=_place)
    missing = [one.told for one in every if one.told["missing"] is not None]
    missing += [{"signal": one.name, "rule": one.paper, "verdict": UNTESTED, "missing": one.missing} for one in UNTESTABLE]
    return Board(pd.DataFrame([*(one.told for one in rows), *missing]), rows, dict(about))


def _adjust(rows: Sequence[Row]) -> None:
    """Holm's p-values over every look of every row: a calibrated rule has two, one threshold and one for each group."""
    looks = [(one, name) for one in rows for name in ("one_threshold", "by_activation") if one.told[name] is not None]
    for (one, name), adjusted in zip(looks, holm([one.told[f"{name}_p"] for one, name in looks]), strict=True):
        one.told[f"{name}_p_adjusted"] = float(adjusted)
    for one in rows:
        given = "by_activation" if one.told["verdict"] == BY_GROUP else "one_threshold"
        one.told["p_adjusted"] = one.told[f"{given}_p_adjusted"]


def _place(one: Row) -> tuple[int, float]:
    """By word, then by lead, the unknown last."""
    lead = one.told["lead_t50"]
    return WORDS.index(one.told["verdict"]), math.inf if math.isnan(lead) else -lead


def _made(sources: Sources, arm: Arm) -> tuple[str, Board]:
    """The leaderboard in words and as it is: a question, a chapter and a figure read it."""
    about, left_out, _ = taken(sources, arm)

    def make() -> tuple[str, Board]:
        made = board(about, tables(sources, about, arm), arm=arm)
        return told(about, made.rows, left_out, untried(about.values())), made

    return once(sources.evidence, ("leaderboard", arm.study), make)


def _both(sources: Sources, arm: Arm = MAIN) -> tuple[str, pd.DataFrame]:
    text, made = _made(sources, arm)
    return text, made.table


def _answer(sources: Sources) -> Answer:
    return Answer(_both(sources)[0].split("\n\n")[0])


def brief(table: pd.DataFrame) -> pd.DataFrame:
    """What a page shows of the leaderboard: signals as published at their own cadence, baselines and controls that are alarms.

    Returns:
        signal, class, rule, epochs (between its values), word, detected, false alarms, worst set, lead, AUROC, leads longer
            than (baselines that are alarms, in how many runs), word of η = 0 alone (as the only negatives), fires with decay
            (share of the negatives with decay above a threshold from those without): texts.
    """
    beside = table["signal"].isin((*BASELINES, CELL_CLOCK)) | (table["variant"] == table["signal"].map(CONTROL))
    rows = table[(table["published"] == True) | (beside & table["verdict"].isin(ALARMS))]  # noqa: E712  # objects: some rows have none
    return pd.DataFrame([_short({str(name): value for name, value in one.items()}) for one in rows.to_dict("records")])


def _short(one: Mapping[str, Any]) -> dict[str, str]:
    told_ = [spread(one[name], one[f"{name}_low"], one[f"{name}_high"], 2) for name in ("tpr", "fpr", "auroc")]
    return {
        "signal": " ".join(filter(None, (one["signal"], one["variant"]))),
        "class": one["information"],
        "rule": one["rule"],
        "epochs": number(one["every"]),
        "word": one["verdict"],
        "detected": told_[0],
        "false alarms": told_[1],
        "worst set": _worst(one),
        "lead": lead(one, "lead_t50", one["verdict"]),
        "AUROC": told_[2],
        "leads longer than": one["beats"] if isinstance(one["beats"], str) and one["beats"] else NO_LEAD,
        "word of η = 0 alone": one["eta0_only"] if isinstance(one["eta0_only"], str) else NO_LEAD,
        "fires with decay": NO_LEAD if math.isnan(one["decay_fpr"]) else number(one["decay_fpr"]),
    }


def _worst(one: Mapping[str, Any]) -> str:
    """How many fire of the control set with the most, and which that is, if any does."""
    if not one["worst_n"] > 0:
        return NO_LEAD
    which = f", {said(one['worst_set'])}" if one["worst_fires"] else ""
    return f"{one['worst_fires']:.0f} of {one['worst_n']:.0f}{which}"


def rows_of(sources: Sources, arm: Arm = MAIN) -> pd.DataFrame:
    """The leaderboard of an arm, worked out once for one `Evidence`.

    Raises:
        Absent: if runs or their signals are not there, or too few of a set.
    """
    return _both(sources, arm)[1]


QUESTIONS = (
    Question(
        "which-signal-knows",
        "Which published signal announces grokking, on runs that do and runs that do not for different reasons?",
        (STUDY,),
        "Every signal by its printed and its calibrated rule, each run by the threshold of the other pair of seeds; a word "
        "each, by rules fixed before a value was read but those of one network at five epochs, which tested the formulas. "
        f"After the study: {MAIN.measure}.",
        _answer,
    ),
)
CHAPTERS = (
    Chapter(
        "signals",
        "Which signal knows?",
        (STUDY,),
        "signals-board",
        "Each paper shows its signal on runs of its own, mostly against runs without weight decay. Here all are on the same "
        "runs, with negatives of four causes and one censored, thresholds from other seeds, and the class of information "
        "beside each. Beside the word stands the one that η = 0 as the only negatives would give, and which share of the "
        "negatives with decay a threshold from those without lets fire: half and more give the word of decay.",
        _both,
        section="Signals",
        brief=brief,
        first=3,
    ),
    Chapter(
        "signals-cross-entropy",
        "Which signal knows under a cross-entropy?",
        (CROSS_ENTROPY.study,),
        "signals-board-cross-entropy",
        "The same rules on networks that share an embedding, with attention and without, for addition and multiplication. A "
        "signal that a network cannot feed is scored on the runs that can. Negatives have two causes only, random labels and "
        "no decay; those without decay are trained in float64, the others in float32, so that no decay and precision are one "
        "difference here. Where 2263 pairs are trained on, ILDR has 1218 held-out sums or 1101 products, not 1500.",
        functools.partial(_both, arm=CROSS_ENTROPY),
        section="Signals",
        brief=brief,
        first=3,
    ),
)
