"""Which files the report reads: its claims, errata and figures are held against a store, and what they ask for is noted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from analysis import papers
from analysis.exhibits.evaluate import attempt, evaluate
from analysis.exhibits.sources import Sources
from analysis.reading.evidence import DERIVED, DERIVED_RANKS, Evidence, series_name
from analysis.reading.files import RunFiles
from grok.runs.measure import KINDS, RANKS
from grok.spec.artifacts import WEIGHTS
from grok.store.errors import StoreError
from grok.store.store import Store

ASKED: Final = ("arrays", "file", "json", "csv", "table")
"""Methods of `RunFiles` that read a file by its path."""


class NotedFiles:
    """`RunFiles` that remembers which files were asked for by path; not what `load` looks at.

    Args:
        files: that are read.
    """

    def __init__(self, files: RunFiles) -> None:
        self.files = files
        self.asked: dict[str, set[str]] = {}
        self.paused = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.files, name)
        return self._noted(found) if name in ASKED else found

    def _noted(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def noted(run_id: str, path: str) -> Any:
            self._note(run_id, path)
            return read(run_id, path)

        return noted

    def weights(self, run_id: str, epoch: int) -> Any:
        """As `RunFiles.weights`."""
        self._note(run_id, WEIGHTS.format(epoch))
        return self.files.weights(run_id, epoch)

    def _note(self, run_id: str, path: str) -> None:
        if not self.paused:
            self.asked.setdefault(run_id, set()).add(path)


class NotingEvidence(Evidence):
    """Evidence that remembers which files were read for something other than a gap series or ranks, and which of these were.

    Attributes:
        ranks: by run id, what ranks are told from, of runs that hold no such table.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.ranks: dict[str, pd.DataFrame] = {}
        self.noted = NotedFiles(self.files)
        self.files = self.noted  # type: ignore[assignment]  # the same to all that read

    def gap(self, *args: Any, **kwargs: Any) -> Any:
        """As `Evidence.gap`; the band that it is made from is not noted."""
        with self._aside():
            return super().gap(*args, **kwargs)

    def measured(self, run_id: str, kind: str) -> pd.DataFrame:
        """As `Evidence.measured`; the band that ranks are made from is not noted."""
        if KINDS[kind][0] != RANKS:
            return super().measured(run_id, kind)
        with self._aside():
            found = super().measured(run_id, kind)
            if run_id not in self.ranks:
                try:
                    self.files.table(run_id, RANKS)
                except StoreError:
                    self.ranks[run_id] = found
                else:
                    self.noted.asked.setdefault(run_id, set()).add(RANKS)
        return found

    @contextmanager
    def _aside(self) -> Any:
        before, self.noted.paused = self.noted.paused, True
        try:
            yield
        finally:
            self.noted.paused = before


@dataclass(frozen=True)
class Reading:
    """What the report reads beyond histories.

    Attributes:
        files: paths by run id.
        derived: by run id and path, tables that travel in place of bands: the gap series that were asked for (columns series
            and value, epochs in order), and what ranks are told from.
    """

    files: dict[str, set[str]]
    derived: dict[str, dict[str, pd.DataFrame]]

    def only(self, wanted: Callable[[str], bool]) -> dict[str, set[str]]:
        """The files whose path is wanted."""
        return {run_id: {path for path in paths if wanted(path)} for run_id, paths in self.files.items()}


def nothing() -> Reading:
    """What is read where nobody looks."""
    return Reading({}, {})


def read_by_report(store: Store) -> Reading:
    """Hold the claims, errata and figures of all papers against a store, draw nothing, and tell what they read."""
    evidence = NotingEvidence(store)
    evaluate(evidence, papers.CLAIMS)  # over roundings too, as the report does
    for question in papers.QUESTIONS:
        attempt(evidence, question.studies, question.measure)
    for chapter in papers.ERRATA:
        attempt(evidence, chapter.studies, chapter.build)
    for panel in papers.PANELS:
        attempt(evidence, panel.studies, _prepared(panel.prepare))
    parts: dict[str, list[pd.DataFrame]] = {}
    for key, series in sorted(evidence.series.items()):
        parts.setdefault(key[0], []).append(pd.DataFrame({"series": series_name(*key[1:]), "value": series}))
    derived = {run_id: {DERIVED: pd.concat(found, ignore_index=True)} for run_id, found in parts.items()}
    for run_id, ranks in sorted(evidence.ranks.items()):
        derived.setdefault(run_id, {})[DERIVED_RANKS] = ranks
    return Reading(evidence.noted.asked, derived)


def _prepared(prepare: Callable[[Evidence], Any]) -> Callable[[Sources], Any]:
    return lambda sources: prepare(sources.evidence)
