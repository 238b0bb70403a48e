"""Figures of the signals: lead against false alarms by control set, and a page for each signal."""

from __future__ import annotations

import functools
import math
import weakref
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, drawer
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals.board import CALIBRATED, CROSS_ENTROPY, GROK, MAIN, STUDY, Arm, known, rows_of, tables
from analysis.reading.evidence import Evidence
from analysis.words import number
from grok.signals.base import CLASSES, find
from grok.spec.plugins import SIGNALS

POINTS = 20
"""Epochs of a line on a page, at most: all pages together are in one file."""
SETS = ("random_labels", "random_labels, no decay", "data_starved", "eta0", "weak decay")
"""Control sets, in the order of the study."""


def board_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The best rule of each signal by lead among those that detect at least half; a row per signal and control set.

    Returns:
        signal, rule, information, verdict, tpr, lead, lead_low, lead_high, control, fpr, fpr_low, fpr_high.
    """
    scored = rows[rows["tpr"] >= 0.5].sort_values("lead_t50", ascending=False, kind="stable")
    best = scored.drop_duplicates("signal")
    out = []
    for row in best.to_dict("records"):
        base = {"signal": " ".join(filter(None, (row["signal"], row["variant"]))), "rule": row["rule"]}
        base |= {name: row[name] for name in ("information", "verdict", "tpr")}
        base |= {"lead": row["lead_t50"], "lead_low": row["lead_t50_low"], "lead_high": row["lead_t50_high"]}
        for control in SETS:
            names = (f"fpr {control}", f"fpr {control}_low", f"fpr {control}_high")
            values = [row.get(name, math.nan) for name in names]
            out.append(base | {"control": control} | dict(zip(("fpr", "fpr_low", "fpr_high"), values, strict=True)))
    return pd.DataFrame(out)


def _board(evidence: Evidence) -> Prepared:
    sources = Sources(evidence)
    try:
        return Prepared({"board": board_table(rows_of(sources))}, tuple(sources.run_ids))
    except Absent:
        return Prepared({"board": pd.DataFrame()})


class Gathered(NamedTuple):
    """The signals of an arm's runs, as published.

    Attributes:
        series: columns epoch, signal, value, condition, column (activation, or network and task).
        events: columns column, t10, t50, t99: medians over the runs that grok. run_ids: of the runs.
    """

    series: dict[str, pd.DataFrame]
    events: pd.DataFrame
    run_ids: tuple[str, ...]


_GATHERED: weakref.WeakKeyDictionary[Evidence, dict[str, Gathered]] = weakref.WeakKeyDictionary()
"""By study, of each `Evidence` that was asked: every page reads them."""


def gathered(sources: Sources, arm: Arm) -> Gathered:
    """Of all runs that are positive or negative, but replicates, at the epochs that a page shows.

    Raises:
        Absent: if runs or their signals are not there.
    """
    kept = _GATHERED.setdefault(sources.evidence, {})
    if arm.study not in kept:
        runs = sources.take(arm.study)
        about, _ = known(sources, runs)
        about = {run_id: one for run_id, one in about.items() if not one.replicate}
        stored, labels, parts = tables(sources, list(about), arm), runs.set_index("run_id"), list[pd.DataFrame]()
        published = pd.MultiIndex.from_tuples([(name, next(iter(find(name).variants))) for name in SIGNALS.names])
        for run_id in about:
            table = stored[run_id][stored[run_id]["epoch"] % arm.every == 0]
            mine = table[pd.MultiIndex.from_frame(table[["signal", "variant"]]).isin(published)]
            words = [str(labels.at[run_id, key]) for key in (("activation",) if arm is MAIN else ("network", "task"))]
            here = {"condition": str(labels.at[run_id, "condition"]), "column": ", ".join(words)}
            parts.append(mine[["epoch", "signal", "value"]].assign(**here))
        held = [(part["column"].iloc[0], about[i].run) for i, part in zip(about, parts, strict=True) if len(part)]
        times = pd.DataFrame([{"column": column, "t10": run.t10, "t50": run.t50, "t99": run.t99} for column, run in held])
        every = pd.concat(parts, ignore_index=True)
        events = times.dropna(subset=["t50"]).groupby("column", sort=False).median().reset_index()
        kept[arm.study] = Gathered({str(name): one for name, one in every.groupby("signal")}, events, tuple(about))
    return kept[arm.study]


def series_table(found: Gathered, name: str) -> pd.DataFrame:
    """Median and quartiles of a signal by column and condition.

    Returns:
        column, condition, epoch, median, q1, q3, n; empty if no run gives the signal.
    """
    head = ["column", "condition", "epoch", "median", "q1", "q3", "n"]
    known_ = found.series.get(name, pd.DataFrame({"value": []})).dropna(subset=["value"])
    if known_.empty:
        return pd.DataFrame(columns=head)
    epochs = np.unique(known_["epoch"])
    shown = epochs[np.unique(np.linspace(0, len(epochs) - 1, min(POINTS, len(epochs))).round().astype(int))]
    values = known_[known_["epoch"].isin(shown)].groupby(["column", "condition", "epoch"], sort=False)["value"]
    out = values.quantile(np.array([0.25, 0.5, 0.75])).unstack().reset_index()
    out = out.rename(columns={0.25: "q1", 0.5: "median", 0.75: "q3"}).merge(values.size().rename("n").reset_index())
    out["place"] = [(GROK, *SETS).index(one) if one in SETS else 0 for one in out["condition"]]
    return out.sort_values(["column", "place", "epoch"], ignore_index=True)[head]


def _verdicts(rows: pd.DataFrame, name: str) -> str:
    """What the leaderboard says of a signal, rule by rule."""
    mine = rows[rows["signal"] == name].sort_values(["rule", "variant"], kind="stable")
    words: dict[str, list[str]] = {}
    for row in mine.to_dict("records"):
        lead = f", lead {number(row['lead_t50'])}" if row["tpr"] > 0 else ""
        rule = f"{row['variant'] or 'as published'}, {row['rule']}, every {row['every']} epochs{lead}"
        words.setdefault(row["verdict"], []).append(rule)
    return ". ".join(f"{word.capitalize()}: {'; '.join(rules)}" for word, rules in words.items())


def _page(evidence: Evidence, name: str) -> Prepared:
    """A signal on both arms, where it has a series, with its verdicts."""
    found, said, run_ids = list[pd.DataFrame](), list[str](), list[str]()
    for arm in (MAIN, CROSS_ENTROPY):
        sources = Sources(evidence)
        try:
            here = gathered(sources, arm)
            rows = rows_of(sources, arm)
        except Absent:
            continue
        table = series_table(here, name)
        if table.empty:
            continue
        levels = rows.loc[(rows["signal"] == name) & (rows["rule"] == CALIBRATED) & (rows["every"] == arm.every), "threshold"]
        sign = -1 if find(name).direction == "falling" else 1
        threshold = sign * float(levels.iloc[0]) if len(levels) else math.nan
        found.append(table.merge(here.events, on="column", how="left").assign(study=arm.study, threshold=threshold))
        said.append(f"{arm.study}: {_verdicts(rows, name)}.")
        run_ids += here.run_ids
    if not found:
        return Prepared({"series": pd.DataFrame()})
    return Prepared({"series": pd.concat(found, ignore_index=True)}, tuple(run_ids), f"{_about(name)} {' '.join(said)}")


def _about(name: str) -> str:
    """Formula, what it is told, source and printed rule of a signal."""
    signal = find(name)
    formula = " ".join((signal.compute.__doc__ or "").split("\n\n")[0].split())
    told = "; ".join(CLASSES[letter] for letter in signal.information)
    rule = f" Printed rule: {signal.printed.text}." if signal.printed else ""
    return f"{formula} It is told {told}; {signal.direction} announces. Source: {signal.source}.{rule}"


PANELS: tuple[Panel, ...] = (
    Panel(
        "signals-board",
        "Which signal knows: lead and false alarms",
        "Of each signal the rule with the longest lead among those that detect half of the runs that grok, on held-out seeds. "
        "Left: false alarms by control set, exact 95 % intervals. Right: median lead before test accuracy 0.5, its interval.",
        (STUDY,),
        _board,
        drawer("signals_board"),
    ),
    *(
        Panel(
            f"signals-{name.replace('_', '-')}",
            name,
            f"{find(name).title[0].upper()}{find(name).title[1:]}: median over runs by condition, with quartiles of those that "
            "grok; above under a squared loss, below under a cross-entropy, where it is known. Vertical: median t50 of runs "
            "that grok, dotted t10 and t99. Horizontal: the calibrated threshold of the published variant.",
            (STUDY, CROSS_ENTROPY.study),
            functools.partial(_page, name=name),
            drawer("signals_page"),
            fold="Signal",
        )
        for name in SIGNALS.names
    ),
)
