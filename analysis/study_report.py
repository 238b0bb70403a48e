"""What a study leaves on its parent run: tables, the figure of its main series, a description."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import figures, queries, study_summary
from grok.studies import Study
from grok.study_runner import Result
from grok.tracking import Store, TrackedRun


def write(store: Store, parent: TrackedRun, study: Study, results: Sequence[Result], seconds: float) -> pd.DataFrame:
    """Summarise a study on its parent run and return the table of conditions.

    Artifacts: `runs.csv` and `runs.parquet` (a row per run), `conditions.csv`, `repulsion.csv`,
    `summary.md`, `figures/series.png`.

    Args:
        store: that holds the runs. parent: the study's run, open. study: its grid.
        results: per cell, as `run_study` gives them.
        seconds: wall time of the command.
    """
    found = queries.study_runs(store, study.name)
    order = {cell.config.hash: number for number, cell in enumerate(study.cells)}
    table = found.table[found.table["config_hash"].isin(order)]
    table = table.sort_values("config_hash", key=lambda column: column.map(order), ignore_index=True)
    head = _head(study, results, found.left_out, seconds)
    conditions = pd.DataFrame()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(table):
            histories = queries.read_histories(store, table["run_id"])
            shown = table = study_summary.with_rho(table, histories)
            if study.windows:
                raw = table.loc[table["spectrum_methods"].map(len) > 1, "run_id"]
                factors = queries.read_arrays(store, raw, "delta_w/factors.npz")
                shown = study_summary.by_setting(table, queries.read_bands(store, table["run_id"]), factors, study.windows)
            conditions = study_summary.conditions(shown)
            head += "\n" + study_summary.markdown(conditions) + "\n\nMedian [quartiles] over the seeds that have the value.\n"
            shown.to_csv(folder / "runs.csv", index=False)
            shown.assign(**{c: shown[c].map(str) for c in ("checkpoint_epochs", "spectrum_methods")}).to_parquet(
                folder / "runs.parquet", index=False
            )
            conditions.to_csv(folder / "conditions.csv", index=False)
            study_summary.repulsion(table, histories).to_csv(folder / "repulsion.csv", index=False)
            plotted = {m: study_summary.series(table, histories, m) for m in ("accuracy/test", "delta_w/gap_23")}
            figures.study_series(plotted, study.name).savefig(folder / "series.png")
            parent.put_file(folder / "series.png", "figures")
        (folder / "summary.md").write_text(head, encoding="utf-8")
        for path in sorted(path for path in folder.iterdir() if path.suffix != ".png"):
            parent.put_file(path)
    parent.set_tags({"mlflow.note.content": head})
    return conditions


def _head(study: Study, results: Sequence[Result], left_out: pd.DataFrame, seconds: float) -> str:
    """What was asked, how far it got, what failed and what is not counted."""
    done, reused = sum(result.done for result in results), sum(result.done and result.reused for result in results)
    head = (
        f"**{study.sentence}**\n\nSource: {study.source}. {done} of {len(results)} runs are complete ({done - reused} "
        f"trained, {reused} reused by the last command, in {seconds:.0f} s).\n"
    )
    for result in results:
        if result.failed:
            head += f"\nFailed: {result.cell.config.display_name()}: {result.error}\n"
    reasons = ", ".join(f"{count} × {reason}" for reason, count in left_out["reason"].value_counts(sort=False).items())
    return head + (f"\nNot counted: {reasons}.\n" if reasons else "")
