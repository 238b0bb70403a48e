"""A report as an MLflow run of its own, so that it opens in the MLflow UI beside the runs that it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.report import markdown, words, write
from analysis.report.content import Content
from grok.store.prior import reap
from grok.store.provenance import code_tags
from grok.store.store import Store, point_to


def keep(store: Store, content: Content, folder: Path, settings: Mapping[str, str]) -> tuple[str, bool]:
    """Log a built report to a run of kind `analysis`, unless one with the same bytes is there already.

    Args:
        store: that new runs go to. content: of the report. folder: with its files. settings: of the command, for its tags.

    Returns:
        The run's id, and whether it was there before.
    """
    digest = write.digest(folder)
    reap(store, "analysis")
    for prior in store.find({"kind": "analysis", "state": "complete", "report_digest": digest}):
        point_to(store, prior.run_id)
        return prior.run_id, True
    tags = {"kind": "analysis", "report_digest": digest, "mlflow.note.content": markdown.description(content)} | code_tags()
    tags |= {f"analyze.{name}": value for name, value in settings.items()}
    run = store.create("dissociation report", tags)
    try:
        run.log_points(
            (0, f"claims/{words.slug(verdict).replace('-', '_')}", number) for verdict, number in content.verdicts.items()
        )
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            run.put_file(path, path.parent.relative_to(folder).as_posix())
    except BaseException as error:
        run.end_by(error)
        raise
    run.end("complete")
    return run.run_id, False
