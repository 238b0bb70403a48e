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

    Artifacts: `runs.csv` and `runs.parquet` (a row per run), `conditions.csv`, `summary.md`, `figures/series.png`.

    Args:
        store: that holds the runs. parent: the study's run, open. study: its grid.
        results: per cell, as `run_study` gives them.
        seconds: wall time of the command.
    """
    hashes = {cell.config.hash for cell in study.cells}
    table = queries.study_runs(store, study.name).table
    table = table[table["config_hash"].isin(hashes)].drop_duplicates("config_hash")
    order = {cell.config.hash: number for number, cell in enumerate(study.cells)}
    table = table.sort_values("config_hash", key=lambda column: column.map(order), ignore_index=True)
    done, failed = sum(result.done for result in results), [result for result in results if result.state == "failed"]
    head = f"**{study.sentence}**\n\nSource: {study.source}. {done} of {len(results)} runs are complete"
    trained = sum(result.done and not result.reused for result in results)
    head += f" ({trained} trained, {done - trained} reused by the last command, in {seconds:.0f} s).\n"
    for result in failed:
        head += f"\nFailed: {result.cell.config.display_name()}: {result.error}\n"
    conditions = pd.DataFrame()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(table):
            shown = table
            if study.windows:
                shown = study_summary.by_window(table, queries.read_bands(store, table["run_id"]), study.windows)
            conditions = study_summary.conditions(shown)
            head += "\n" + study_summary.markdown(conditions) + "\n\nMedian over seeds [quartiles].\n"
            shown.to_csv(folder / "runs.csv", index=False)
            shown.assign(**{c: shown[c].map(str) for c in ("checkpoint_epochs", "spectrum_methods")}).to_parquet(
                folder / "runs.parquet", index=False
            )
            conditions.to_csv(folder / "conditions.csv", index=False)
            histories = queries.read_histories(store, table["run_id"])
            plotted = {m: study_summary.series(table, histories, m) for m in ("accuracy/test", "delta_w/gap_23")}
            figures.study_series(plotted, study.name).savefig(folder / "series.png")
            parent.put_file(folder / "series.png", "figures")
        (folder / "summary.md").write_text(head, encoding="utf-8")
        for path in sorted(folder.glob("*.[cmp]*")):
            if path.suffix != ".png":
                parent.put_file(path)
    parent.set_tags({"mlflow.note.content": head})
    return conditions
