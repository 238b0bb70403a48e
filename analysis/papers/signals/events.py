"""What can happen in a run: the onset of generalisation, its late collapse, divergence.

The rules are those of analysis/claims/PREREGISTRATION-signals.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.model import Answer, Chapter, Question
from analysis.exhibits.sources import Sources, column
from analysis.papers.signals.study import AUTO, whole
from analysis.statistics.estimates import clopper_pearson, median_interval
from analysis.words import spread
from grok.spec.published import DEFAULT_NETWORK

LONG = "signals-long"
STUDIES = ("signals", LONG, "signals-ce")
FEW = 5
"""Collapses below which no signal could be scored against them."""
LEARNT, LOST = 0.99, 0.9
"""Test accuracy from which a run has generalised, and below which, at two neighbouring epochs after that, it has collapsed."""


class Events(NamedTuple):
    """First epochs; NaN of what never came.

    Attributes:
        t10, t50, t99: with such a test accuracy. collapse: second of two neighbouring epochs below 0.9 after t99.
        least: smallest test accuracy after t99; NaN without it.
    """

    t10: float
    t50: float
    t99: float
    collapse: float
    least: float


def events(epochs: np.ndarray, accuracy: np.ndarray) -> Events:
    """The events of one run; entry t says nothing of what comes later, but for `least`.

    Args:
        epochs, accuracy: (N,), of the test; NaN where it was not evaluated.

    Example:
        >>> events(np.arange(6), np.array([0.0, 0.6, 1.0, 0.8, 0.7, 1.0]))
        Events(t10=1.0, t50=1.0, t99=2.0, collapse=4.0, least=0.7)
    """
    known = np.isfinite(accuracy)
    t, a = epochs[known], accuracy[known]

    def first(holds: np.ndarray) -> float:
        return float(t[np.argmax(holds)]) if holds.any() else math.nan

    t10, t50, t99 = (first(a >= level) for level in (0.1, 0.5, LEARNT))
    after = t > t99  # NaN: nowhere
    low = after & (a < LOST)
    twice = np.concatenate(([False], low[1:] & low[:-1])) if len(low) else low
    return Events(t10, t50, t99, first(twice), float(a[after].min()) if after.any() else math.nan)


def table(sources: Sources) -> pd.DataFrame:
    """A row per run that repeats no other.

    Columns: study, condition, activation or network and task, n (training pairs), η (rate), seed, `Events` and the
    epoch at which the loss was no longer finite.

    Raises:
        Absent: if runs of neither study are there, or too few of a set of one that is.
    """
    rows = []
    there = [study for study in STUDIES if len(sources.evidence.runs(study))] or [STUDIES[0]]
    for study in there:
        runs = sources.take(study, diverged=True)
        whole(runs, study)
        runs = runs[[str(one) == AUTO for one in runs.get("rounding", [AUTO] * len(runs))]].reset_index(drop=True)
        broke = column(runs, "diverged_epoch")
        for place, run in enumerate(runs.to_dict("records")):
            history = sources.evidence.history(str(run["run_id"]))
            found = events(history["epoch"].to_numpy(), history["accuracy/test"].to_numpy())
            row = {"study": study, "condition": run["condition"], "network": _network(run), "n": run["n_train"]}
            row |= {"η": run["learning_rate"], "seed": int(run["seed"]), "run_id": run["run_id"]} | found._asdict()
            rows.append(row | {"diverged": float(broke[place])})
    return pd.DataFrame(rows)


def _network(run: Mapping[Any, Any]) -> str:
    """What a run's network is called where studies differ: its activation, or network and task."""
    network = run.get("network", DEFAULT_NETWORK)
    return str(run["activation"]) if network == DEFAULT_NETWORK else f"{network}, {run['task']}"


def told(found: pd.DataFrame) -> str:
    """Collapses and divergences of runs that generalised, with exact intervals, and the onsets."""
    parts = []
    for study, mine in found.groupby("study", sort=False):
        learnt = mine[mine["t99"].notna()]
        lost = clopper_pearson(int(learnt["collapse"].notna().sum()), len(learnt))
        broke = clopper_pearson(int(mine["diverged"].notna().sum()), len(mine))
        onset = median_interval(learnt["t50"].to_numpy(dtype=np.float64))
        parts.append(
            f"{study}: of {len(learnt)} runs that reach a test accuracy of {LEARNT} (median t50 {spread(*onset[:3])}) "
            f"{learnt['collapse'].notna().sum()} collapse, a share of {spread(*lost[:3])}; of {len(mine)} runs "
            f"{mine['diverged'].notna().sum()} diverge, {spread(*broke[:3])}."
        )
        if study == LONG:
            parts.append(_unscored(int(learnt["collapse"].notna().sum())))
    return " ".join(parts)


def _unscored(collapses: int) -> str:
    """That no signal is scored against a collapse, and why."""
    if collapses < FEW:
        return f"Fewer than {FEW} of the long runs collapse: no signal is scored against a collapse."
    return f"{FEW} or more of the long runs collapse; signals are taken on none of them, so that none is scored against it."


def summary(sources: Sources) -> tuple[str, pd.DataFrame]:
    """In words, and a row per run."""
    found = table(sources)
    return told(found), found


def _answer(sources: Sources) -> Answer:
    return Answer(summary(sources)[0])


QUESTIONS = (
    Question(
        "late-collapse",
        "Does generalisation break down again late in a run, and does any run diverge?",
        (LONG, "signals", "signals-ce"),
        f"Collapse: test accuracy below {LOST} at two neighbouring epochs after it was {LEARNT}; shares with exact intervals.",
        _answer,
    ),
)
CHAPTERS = (
    Chapter(
        "signals-events",
        "What happens in these runs",
        STUDIES,
        None,
        "A signal announces one event. Onset, late collapse (arXiv 2602.02859) and divergence are told apart here, run by run: "
        "t10, t50 and t99 are the first epochs with a test accuracy of 0.1, 0.5 and 0.99, least the smallest after t99.",
        summary,
        section="Signals",
        first=1,
    ),
)
