"""Figures of the signals: lead against false alarms by control set, and a page of series for every six signals."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, drawer
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals.board import CALIBRATED, EVERY, STUDY, known, rows_of, tables
from analysis.reading.evidence import Evidence
from grok.signals.base import find
from grok.spec.plugins import SIGNALS

PAGE = 6
"""Signals of a figure: what a screen holds."""
SETS = ("random_labels", "random_labels, no decay", "data_starved", "eta0", "weak decay")
"""Control sets, in the order of the study."""
PAGES = tuple(SIGNALS.names[start : start + PAGE] for start in range(0, len(SIGNALS.names), PAGE))


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


def series_table(evidence: Evidence, names: tuple[str, ...], sources: Sources) -> pd.DataFrame:
    """Median and quartiles of each signal, as published, by condition and activation, at every tenth epoch.

    Returns:
        signal, activation, condition, epoch, median, q1, q3, t50 (of the condition's runs that grok, else NaN), n.
    """
    runs = sources.take(STUDY)
    about, _ = known(sources, runs)
    kept = [run_id for run_id, one in about.items() if not one.replicate]
    stored, rows = tables(sources, kept), []
    labels = runs.set_index("run_id")[["activation", "condition"]]
    for name in names:
        first = next(iter(find(name).variants))
        parts = []
        for run_id in kept:
            table = stored[run_id]
            mine = table[(table["signal"] == name) & (table["variant"] == first) & (table["epoch"] % EVERY == 0)]
            of = {key: str(labels.at[run_id, key]) for key in ("activation", "condition")}
            parts.append(mine[["epoch", "value"]].assign(run_id=run_id, t50=about[run_id].run.t50, **of))
        every = pd.concat(parts, ignore_index=True)
        for (activation, condition), part in every.groupby(["activation", "condition"], sort=False):
            times = part.drop_duplicates("run_id")["t50"]
            middle = float(times.median()) if times.notna().any() else math.nan
            for epoch, values in part.groupby("epoch")["value"]:
                if values.notna().any():
                    low, median, high = np.nanquantile(values, [0.25, 0.5, 0.75])
                    rows.append((name, activation, condition, epoch, median, low, high, middle, int(values.notna().sum())))
    head = ["signal", "activation", "condition", "epoch", "median", "q1", "q3", "t50", "n"]
    return pd.DataFrame(rows, columns=head)


def _verdicts(sources: Sources, names: tuple[str, ...]) -> str:
    rows = rows_of(sources)
    said = []
    for name in names:
        mine = rows[(rows["signal"] == name) & (rows["rule"] == CALIBRATED)]
        signal = find(name)
        words = "; ".join(f"{row['variant'] or 'as published'}: {row['verdict']}" for row in mine.to_dict("records"))
        formula = " ".join((signal.compute.__doc__ or "").split("\n")[0].split())
        said.append(f"{name} ({signal.information}; {signal.source}): {formula} {words}.")
    return " ".join(said)


def _page(evidence: Evidence, names: tuple[str, ...]) -> Prepared:
    sources = Sources(evidence)
    try:
        found = series_table(evidence, names, sources)
        return Prepared({"series": found}, tuple(sources.run_ids), _verdicts(sources, names))
    except Absent:
        return Prepared({"series": pd.DataFrame()})


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
            f"signals-page-{number}",
            f"Signals {names[0]} to {names[-1]}",
            "A row per signal, a column per activation; a line per condition: median and quartiles over runs. The vertical "
            "line is the median epoch of test accuracy 0.5 of the runs that grok.",
            (STUDY,),
            functools.partial(_page, names=names),
            drawer("signals_page"),
        )
        for number, names in enumerate(PAGES, start=1)
    ),
)
