"""What a study leaves on its parent run: tables, the figures of its main series and of repulsion, a description."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis import figures
from analysis.reading.derived import by_setting
from analysis.reading.evidence import Evidence
from analysis.reading.runs import MADE_BY, RESERVED
from analysis.studies import headline, markdown, summary
from analysis.words import watched
from grok.runs.cells import Result
from grok.spec.studies import Study
from grok.store import tables, views
from grok.store.markdown import inert
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import FOUND, NOTE

LOG = logging.getLogger("grok")
NOTE_LENGTH = 7500
"""Characters of the description in the MLflow UI, which keeps 8000 of a tag; `summary.md` has all."""
MAIN = 2
"""Sections of the summary before the links to the runs: what the table holds, and the table."""


class Wall(NamedTuple):
    """Wall time of commands, in s: of the last one, and of all that trained a part of this study."""

    last_s: float
    all_s: float


def add_wall_time(store: Store, parent: TrackedRun, results: Sequence[Result], seconds: float) -> Wall:
    """Note how long the command took on the study's parent run: tags `wall_s` of all commands, `wall_last_s` of this one.

    A command that trained nothing adds nothing, so that a finished study keeps the time that it took.

    Args:
        store: of the run. parent: the study's run. results: of the command's cells. seconds: wall time of the command.
    """
    before = store.get(parent.run_id).wall_s
    wall = Wall(seconds, before + seconds if any(not result.reused for result in results) else before)
    parent.set_tags({"wall_s": f"{wall.all_s:.1f}", "wall_last_s": f"{wall.last_s:.1f}"})
    return wall


def write(store: Store, parent: TrackedRun, study: Study, results: Sequence[Result], seconds: float) -> pd.DataFrame:
    """Summarise a study on its parent run and return the table of conditions.

    Artifacts: `runs.csv` and `runs.parquet` (a row per run; per window and method if the study asks for windows),
    `conditions.csv`, `repulsion.csv`, `summary.md`, `figures/series.png`, and `figures/repulsion.png` if it was measured.

    Args:
        store: that holds the runs. parent: the study's run, open. study: its grid.
        results: per cell, as `run_study` gives them.
        seconds: wall time of the command.
    """
    evidence = Evidence(store, study)
    found = evidence.select(study.name)
    order = {cell.config.hash: number for number, cell in enumerate(study.cells)}
    table = found.table[found.table["config_hash"].isin(order)]
    table = table.sort_values("config_hash", key=lambda column: column.map(order), ignore_index=True)
    known = [*table].index(MADE_BY[-1]) + 1  # after it what was measured, in the order of the runs that had it first
    measured = [name for name in [*table][known:] if name not in RESERVED]
    table = table[[*table][:known] + sorted(measured) + [name for name in [*table][known:] if name in RESERVED]]
    counted = _counted(results, table, found.left_out)
    wall = add_wall_time(store, parent, results, seconds)
    conditions, sections = summary.conditions(table) if len(table) else pd.DataFrame(), list[str]()
    histories = {str(run_id): evidence.history(run_id) for run_id in table["run_id"]}
    told = headline.edge(table, histories) or headline.sentence(conditions)
    conditions.attrs |= {headline.FOUND: told, headline.COUNTED: counted}
    head = _head(study, results, found.left_out, wall, table, told)
    done = sum(result.done for result in results)
    parent.log_summary(headline.metrics(conditions, done, len(results)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(table):
            sections = _write_tables(evidence, study, table, histories, folder)
            for path in sorted(folder.glob("*.png")):
                parent.put_file(path, "figures")
        sections.insert(MAIN, headline.links(study.name, parent.stored.experiment_id, results, evidence.homes))
        (folder / "summary.md").write_text("\n\n".join([head, *sections]) + "\n", encoding="utf-8")
        for path in sorted(path for path in folder.iterdir() if path.suffix != ".png"):
            parent.put_file(path)
    earlier = views.report_of(parent.stored.tags.get(NOTE, ""))
    parent.set_tags(({FOUND: told} if told else {}) | {NOTE: views.spaced(views.with_report(_note(head, sections), earlier))})
    return conditions


def _counted(results: Sequence[Result], table: pd.DataFrame, left_out: pd.DataFrame) -> list[str]:
    """Ids of the runs in the tables, none where these lack a complete cell; a line for each such, as those whose files a server
    has lost.
    """
    counted, reasons = set(table["config_hash"]), dict(zip(left_out["run_id"], left_out["reason"], strict=True))
    lacking = [one for one in results if one.state == "complete" and one.cell.config.hash not in counted]
    for one in lacking:
        LOG.warning("%s is not counted: %s", one.run_id, reasons.get(one.run_id, "the store does not have it"))
    return [] if lacking else [str(run_id) for run_id in table["run_id"]]


def _without_a_setting(table: pd.DataFrame, by_window: pd.DataFrame, windows: Sequence[int]) -> int:
    """How many runs lack a row of some window or spectrum method."""
    if not windows:
        return 0
    wanted = table.set_index("run_id")["spectrum_methods"].map(len) * len(windows)
    return int((by_window["run_id"].value_counts().reindex(wanted.index, fill_value=0) < wanted).sum())


def _write_tables(
    evidence: Evidence, study: Study, table: pd.DataFrame, histories: dict[str, pd.DataFrame], folder: Path
) -> list[str]:
    """Tables and figures into a folder; the sections of the summary, the main one first."""
    by_window = by_setting(table, evidence.gap, study.windows) if study.windows else table
    shown = by_window if len(by_window) else table
    conditions = summary.conditions(shown)
    if not table["rounding_used"].any():  # of earlier versions alone: the table that they had
        shown = shown.drop(columns=list(MADE_BY))
    shown.to_csv(folder / "runs.csv", index=False)
    mixed = [c for c in shown if c in ("checkpoint_epochs", "spectrum_methods") or _mixed(shown[c])]
    tables.save_table(folder / "runs.parquet", shown.assign(**{str(c): shown[c].map(str) for c in mixed}))
    conditions.to_csv(folder / "conditions.csv", index=False)
    updates = next(filter(None, (watched(history.columns) for history in histories.values())), "delta_w")
    plotted = {m: summary.series(table, histories, m) for m in ("accuracy/test", f"{updates}/gap_23")}
    figures.study_series(plotted, study.name).savefig(folder / "series.png")

    sections = ["Median [quartiles] over the seeds that have the value."]
    if lacking := _without_a_setting(table, by_window, study.windows):
        runs = "1 run" if lacking == 1 else f"{lacking} runs"
        sections.append(f"{runs} came without bands: the tables by window have them only where their series came too.")
    sections += [markdown.by_window(conditions)] if "window" in conditions else []
    sections.append(markdown.conditions(conditions))
    repulsion = summary.repulsion(table, histories)
    repulsion.to_csv(folder / "repulsion.csv", index=False)
    if len(repulsion):
        fields = summary.label_fields(table)
        rates, null = (summary.repulsion_series(repulsion, fields, name) for name in ("rate", "null_rate"))
        figures.study_repulsion(rates, null, study.name).savefig(folder / "repulsion.png")
        sections.append("Repulsion of the most similar pairs of features:\n\n" + markdown.repulsion(repulsion, fields))
    return sections


def _mixed(column: pd.Series) -> bool:
    """Whether words stand among numbers, such as an `auto` among weight decays: a Parquet column has one type."""
    kinds = set(column.dropna().map(type))
    return len(kinds) > 1 and str in kinds


def _note(head: str, sections: Sequence[str]) -> str:
    """The summary as far as a description holds it; a section too long for that is pointed to, never cut."""
    parts, dropped = [head], 0
    for section in sections:
        if sum(map(len, parts)) + len(section) < NOTE_LENGTH:
            parts.append(section)
        else:
            dropped += 1
    if dropped:
        parts.append(f"{dropped} longer table{'s are' if dropped > 1 else ' is'} in the artifact `summary.md`.")
    return "\n\n".join(parts) + "\n"


def _head(study: Study, results: Sequence[Result], left_out: pd.DataFrame, wall: Wall, table: pd.DataFrame, found: str) -> str:
    """What was found and what was asked, how far it got, how long it took, what failed and what is not counted."""
    done, reused = sum(result.done for result in results), sum(result.done and result.reused for result in results)
    head = f"**{inert(found)}**\n\n" if found else ""
    head += (
        f"{inert(study.sentence)}\n\nSource: {inert(study.source)}. {done} of {len(results)} runs are complete "
        f"({done - reused} trained, {reused} reused by the last command, in {wall.last_s:.0f} s)."
    )
    if len(table):
        head += f" Time in runs: {table['elapsed_s'].sum():.0f} s"
        head += f"; all commands that trained: {wall.all_s:.0f} s." if wall.all_s else "."
    failed = [result for result in results if result.failed]
    for result in failed[:3]:
        head += f"\n\nFailed: {inert(f'{result.cell.config.display_name()}: {result.error:.300}')}"
    if len(failed) > 3:
        head += f"\n\nFailed too: {len(failed) - 3} more."
    counts = left_out["reason"].str.rstrip(".").value_counts(sort=False).items()
    reasons = ", ".join(f"{count} × {inert(str(reason))}" for reason, count in counts)
    return head + (f"\n\nNot counted: {reasons}." if reasons else "")
