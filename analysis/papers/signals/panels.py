"""Figures of the signals: lead against false alarms by control set, and a page for each signal."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, Tables, drawer
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals.board import rows_of
from analysis.papers.signals.rows import CALIBRATED
from analysis.papers.signals.study import CROSS_ENTROPY, GROK, LATE, MAIN, STUDY, WEAK, Arm, Stored, tables, taken
from analysis.papers.signals.surprises import OF_LEAD
from analysis.reading.evidence import Evidence
from analysis.reading.once import once
from analysis.statistics.alarm_words import ALARMS
from analysis.words import number
from grok.signals.base import CLASSES, find
from grok.spec.plugins import SIGNALS

REACH = 24
"""Epochs before and after t50 that a page shows, in times of an arm's cadence; a point is of two, or of a costly one."""
POINTS = REACH + 1
"""Of a line on a page, at most: all pages together are in one file."""
SETS = ("random_labels", "random_labels, no decay", "data_starved", "eta0", WEAK, LATE)
"""Control sets, in the order of the study, the censored ones last."""
DRAWN = (
    "Median over runs by condition against epochs since a run's t50, with quartiles of those that grok; runs that do not are "
    "shown since the median t50 of those that do. A place at which fewer than half of the runs of a line have a value is left "
    "out. A row of panels per study, under a squared loss (signals) and a cross-entropy (signals-ce). Vertical: t50, dotted "
    "median t10 and t99. Horizontal, where the axis reaches it: the calibrated threshold of the published variant, by seeds "
    "300 and 301. The axis is logarithmic where the largest value is thirty times the median, about 0 linear."
)
"""How a page's figures are drawn."""
ROWS = (
    "Each signal in its published variant at its own cadence, as printed and calibrated, in the order of the leaderboard, if "
    "it fires in half of the runs that grok; each run by the threshold of the other pair of seeds. Exact 95 % intervals; the "
    "last sets may grok later and count for no word. Dashed: 0.1 and 0.2. A lead stands where the word allows one."
)
"""How the leaderboard's figure is drawn."""
HALF = 0.5
"""Share of the runs that grok in which a row of the figure gives an alarm at some time, at least."""


def board_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Each signal in its published variant at its own cadence, by either rule, in the leaderboard's order; a row a control set.

    What fires in fewer than half of the runs that grok is left out; a lead of which a word says nothing is not known.

    Returns:
        row (signal, variant and rule), information, verdict, tpr, lead, lead_low, lead_high, control, fpr, fpr_low, fpr_high.
    """
    best = rows[(rows["tpr_later"] >= HALF) & (rows["published"] == True)]  # noqa: E712  # objects: some rows have none
    sets = [name for name in SETS if f"fpr {name}" in rows and rows[f"fpr {name}"].notna().any()]
    out = []
    for row in best.to_dict("records"):
        base: dict[str, Any] = {"row": f"{' '.join(filter(None, (row['signal'], row['variant'])))}, {row['rule']}"}
        base |= {name: row[name] for name in ("information", "verdict", "tpr")}
        for end in ("", "_low", "_high"):
            base[f"lead{end}"] = row[f"lead_t50{end}"] if row["verdict"] in OF_LEAD else math.nan
        for control in sets:
            names = (f"fpr {control}", f"fpr {control}_low", f"fpr {control}_high")
            values = [row[name] for name in names]
            out.append(base | {"control": control} | dict(zip(("fpr", "fpr_low", "fpr_high"), values, strict=True)))
    return pd.DataFrame(out)


def board_finding(tables: Tables) -> str:
    """Which of the rows are alarms."""
    rows = tables["board"].drop_duplicates("row")
    alarms = [name.replace(", ", " ") for name in rows.loc[rows["verdict"].isin(ALARMS), "row"]]
    others = len(rows) - len(alarms)
    which = f"{' and '.join(alarms)} {'is an alarm' if len(alarms) == 1 else 'are alarms'}" if alarms else "No row is an alarm"
    return f"{which}; {others} more fire in half of the runs that grok and are none." if alarms else f"{which}, of {others}."


def _board(evidence: Evidence, arm: Arm = MAIN) -> Prepared:
    sources = Sources(evidence)
    try:
        table = board_table(rows_of(sources, arm))
        return Prepared({"board": table}, tuple(sources.run_ids), details=(("How it is drawn", ROWS),))
    except Absent:
        return Prepared({"board": pd.DataFrame()})


TOLD = ["signal", "variant", "rule", "every", "verdict", "lead_t50"]
"""Columns of the leaderboard that a page tells of."""


class Gathered(NamedTuple):
    """The signals of an arm's runs, as published.

    Attributes:
        series: by signal, columns since (epochs since the run's t50; of a run that does not grok since the median t50 of its
            column), value, condition, run, column (activation, or network and task).
        events: columns column, t50, and t10 and t99 since t50: medians over the runs that grok. run_ids: of the runs.
    """

    series: dict[str, pd.DataFrame]
    events: pd.DataFrame
    run_ids: tuple[str, ...]


def gathered(sources: Sources, arm: Arm) -> Gathered:
    """Of all runs that are positive, negative or censored, but replicates; once for an `Evidence`, as every page reads it.

    Raises:
        Absent: if runs or their signals are not there.
    """
    return once(sources.evidence, ("signals", arm.study), lambda: _gather(sources, arm))


def _gather(sources: Sources, arm: Arm) -> Gathered:
    about, _, runs = taken(sources, arm)
    about = {run_id: one for run_id, one in about.items() if not one.replicate}
    stored, labels = tables(sources, about, arm), runs.set_index("run_id")
    keys = ("activation",) if arm is MAIN else ("network", "task")
    columns = {run_id: ", ".join(str(labels.at[run_id, key]) for key in keys) for run_id in about}
    times = [(columns[i], one.run.t10, one.run.t50, one.run.t99) for i, one in about.items() if one.run.positive]
    grown = pd.DataFrame(times, columns=["column", "t10", "t50", "t99"])
    grown[["t10", "t99"]] = grown[["t10", "t99"]].sub(grown["t50"], axis=0)
    events = grown.groupby("column", sort=False).median().reset_index()
    middle, parts = dict(zip(events["column"], events["t50"], strict=True)), dict[str, list[pd.DataFrame]]()
    for run_id, one in about.items():
        start = one.run.t50 if one.run.positive else middle.get(columns[run_id], math.nan)
        here = {"condition": one.run.control or GROK, "column": columns[run_id]}
        for name, part in _published(stored[run_id], arm, start):
            parts.setdefault(name, []).append(part.assign(run=run_id, **here))
    series = {name: pd.concat(some, ignore_index=True) for name, some in parts.items()}
    return Gathered(series, events, tuple(about))


def _published(stored: Stored, arm: Arm, start: float) -> list[tuple[str, pd.DataFrame]]:
    """Of each signal the published variant of one run, at its cadence, by epochs since a start."""
    out = []
    for name in SIGNALS.names:
        signal = find(name)
        key = name, arm.published(signal)
        if key in stored:
            epochs, values = stored[key]
            due = (epochs % arm.due(signal) == 0) & (np.abs(epochs - start) <= REACH * arm.every)
            out.append((name, pd.DataFrame({"since": epochs[due] - start, "value": values[due]})))
    return out


def series_table(found: Gathered, name: str, arm: Arm = MAIN) -> pd.DataFrame:
    """Median and quartiles of a signal by column and condition, in bins of epochs since t50, by their middle.

    Of a bin each run has one value, the mean of its own there. A bin with fewer than half of the runs of its column and
    condition is left out: the median would be of others than in the next.

    Returns:
        column, condition, since, median, q1, q3, n (runs); empty if no run gives the signal.
    """
    head = ["column", "condition", "since", "median", "q1", "q3", "n"]
    known_ = found.series.get(name, pd.DataFrame({"value": []})).dropna(subset=["value"])
    if known_.empty:
        return pd.DataFrame(columns=head)
    wide = max(2 * arm.every, arm.due(find(name)))
    bins = ["column", "condition", "since"]
    binned = known_.assign(since=np.floor(known_["since"] / wide + 0.5) * wide + 0.0)
    values = binned.groupby([*bins, "run"], sort=False)["value"].mean().groupby(bins, sort=False)
    out = values.quantile(np.array([0.25, 0.5, 0.75])).unstack().reset_index()
    out = out.rename(columns={0.25: "q1", 0.5: "median", 0.75: "q3"}).merge(values.size().rename("n").reset_index())
    runs = known_.groupby(["column", "condition"], sort=False)["run"].nunique().rename("runs").reset_index()
    out = out.merge(runs)
    out = out[out["n"] >= HALF * out["runs"]]
    out["place"] = [(GROK, *SETS).index(one) if one in SETS else 0 for one in out["condition"]]
    return out.sort_values(["column", "place", "since"], ignore_index=True)[head]


def _verdicts(rows: pd.DataFrame, name: str, *, published: bool = False) -> str:
    """What the leaderboard says of a signal, rule by rule; of its published variant alone if so wished."""
    chosen = rows["signal"] == name
    if published:
        chosen &= rows["published"].eq(True)  # of some rows None
    mine = rows.loc[chosen, TOLD].sort_values(["rule", "variant"], kind="stable")
    words: dict[str, list[str]] = {}
    for row in mine.to_dict("records"):
        lead = f", lead {number(row['lead_t50'])}" if row["verdict"] in OF_LEAD else ""
        often = (
            "" if math.isnan(row["every"]) else ", every epoch" if row["every"] == 1 else f", every {row['every']:.0f} epochs"
        )
        rule = f"{row['variant'] or 'as published'}, {row['rule']}{often}{lead}"
        words.setdefault(row["verdict"], []).append(rule)
    return ". ".join(f"{word.capitalize()}: {'; '.join(rules)}" for word, rules in words.items())


def _page(evidence: Evidence, name: str) -> Prepared:
    """A signal on both arms, where it has a series, with its verdicts."""
    found, said, every, run_ids = list[pd.DataFrame](), list[str](), list[str](), list[str]()
    for arm in (MAIN, CROSS_ENTROPY):
        sources = Sources(evidence)
        try:
            here = gathered(sources, arm)
            rows = rows_of(sources, arm)
        except Absent:
            continue
        table = series_table(here, name, arm)
        if table.empty:
            continue
        threshold = level(rows, name, arm)
        found.append(table.merge(here.events, on="column", how="left").assign(study=arm.study, threshold=threshold))
        said.append(f"{arm.study}: {_verdicts(rows, name, published=True)}.")
        every.append(f"{arm.study}: {_verdicts(rows, name)}.")
        run_ids += here.run_ids
    if not found:
        return Prepared({"series": pd.DataFrame()})
    details = (*_about(name), ("Each row of it", " ".join(every)), ("Drawn", DRAWN))
    return Prepared({"series": pd.concat(found, ignore_index=True)}, tuple(run_ids), " ".join(said), details)


def level(rows: pd.DataFrame, name: str, arm: Arm) -> float:
    """The calibrated threshold of a signal's published variant at its own cadence, by seeds 300 and 301; NaN without one."""
    signal = find(name)
    mine = (rows["signal"] == name) & (rows["rule"] == CALIBRATED) & (rows["every"] == arm.due(signal))
    variant = arm.published(signal)
    levels = rows.loc[mine & (rows["variant"] == variant), "threshold"]
    return (-1 if signal.direction_of(variant) == "falling" else 1) * float(levels.iloc[0]) if len(levels) else math.nan


def _about(name: str) -> tuple[tuple[str, str], ...]:
    """Formula, what it is told, direction, source and printed rule of a signal."""
    signal = find(name)
    formula = " ".join((signal.compute.__doc__ or "").split("\n\n")[0].split()).replace("`", "")
    told = "; ".join(CLASSES[letter] for letter in signal.information)
    other = f", of {', '.join(signal.turned)} {signal.direction_of(signal.turned[0])}" if signal.turned else ""
    rule = (("Printed rule", f"{signal.printed.text}."),) if signal.printed else ()
    heads = (("Formula", formula), ("It is told", f"{told}."), ("What announces", f"{signal.direction}{other}."))
    return (*heads, ("Source", f"{signal.source}."), *rule)


def _board_panel(name: str, arm: Arm, title: str) -> Panel:
    return Panel(
        name,
        title,
        "Left: false alarms by control set, with exact intervals; dashed what an alarm may have, pooled and on its worst set. "
        "Right: median lead before test accuracy 0.5, with its interval.",
        (arm.study,),
        functools.partial(_board, arm=arm),
        drawer("signals_board"),
        finding=board_finding,
    )


PANELS: tuple[Panel, ...] = (
    _board_panel("signals-board", MAIN, "Which signal knows: lead and false alarms"),
    _board_panel("signals-board-cross-entropy", CROSS_ENTROPY, "Which signal knows under a cross-entropy"),
    *(
        Panel(
            f"signals-{name.replace('_', '-')}",
            name,
            f"{find(name).title[0].upper()}{find(name).title[1:]}, before and after t50.",
            (STUDY, CROSS_ENTROPY.study),
            functools.partial(_page, name=name),
            drawer("signals_page"),
            page="signals",
        )
        for name in SIGNALS.names
    ),
)
"""The figures of the leaderboard of signals."""
