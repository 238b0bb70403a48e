"""A report as an MLflow run of its own, so that it opens in the MLflow UI beside the runs that it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.exhibits.model import HELD, NOT_TESTABLE
from analysis.report import markdown, words, write
from analysis.report.content import Content
from analysis.report.opening import published
from grok.store import views
from grok.store.markdown import inert
from grok.store.prior import reap
from grok.store.provenance import code_tags
from grok.store.run import TrackedRun
from grok.store.store import Store, point_to
from grok.store.tags import KIND, NOTE, STUDY_NAME, StoredRun


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
    parents = _studies(store)
    note = f"{markdown.description(content)}\n{_of(parents)}"
    tags = {KIND: "analysis", "report_digest": digest, NOTE: note} | code_tags()
    tags |= {f"analyze.{name}": value for name, value in settings.items()}
    run = store.create(name(content), tags)
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
    link = f"[{inert(run.stored.name)}]({views.run_page(run.stored.experiment_id, run.run_id)})"
    for parent in parents:
        note = views.with_report(parent.tags.get(NOTE, ""), link)
        TrackedRun(store.client, parent).set_tags({NOTE: note})
    return run.run_id, False


def name(content: Content) -> str:
    """What a report's run is called: how many runs it read, and how many of the published statements that it tested hold."""
    tested = [result for result in published(content.results) if result.verdict != NOT_TESTABLE]
    return f"report: {content.runs} runs, {sum(result.verdict in HELD for result in tested)}/{len(tested)} hold"


def _studies(store: Store) -> list[StoredRun]:
    """The newest parent run of each study that is complete, in the order of their names."""
    newest: dict[str, StoredRun] = {}
    for run in store.find({KIND: "study", "state": "complete"}):
        newest.setdefault(run.get(STUDY_NAME), run)
    return [newest[study] for study in sorted(newest)]


def _of(parents: list[StoredRun]) -> str:
    """Links to the studies whose runs the report may speak of."""
    told = [f"[{inert(run.get(STUDY_NAME))}]({views.run_page(run.experiment_id, run.run_id)})" for run in parents]
    return f"The page is the artifact `report.html`. Studies: {', '.join(told) or 'none'}."
