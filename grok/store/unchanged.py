"""Whether a study that is asked for again is as it was left: then it is told again, and nothing is made anew.

Neither torch, pandas nor mlflow is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from grok.spec.config import PROTOCOL_VERSION
from grok.spec.plugins import own_code
from grok.spec.studies import Study
from grok.store import glance, whole
from grok.store.moved import local_path
from grok.store.provenance import code_digest
from grok.store.tags import (
    FOUND,
    GRID_HASH,
    KIND,
    LEFT,
    PREFIX,
    PROTOCOL,
    STATES,
    STUDY,
    STUDY_NAME,
    TRAIN,
    StoredRun,
    study_tag,
)
from grok.store.views import EXPERIMENT

CHUNK = 1 << 20
"""Bytes that are read at a time."""


def members(study: Study) -> str:
    """All runs of a study as the local store that the environment names has them now, as a hash: what its tables are made of.

    Of each run that was ever made a member, whatever became of it: what the store says of it, and name, size and time of
    change of each of its files.

    Args:
        study: its grid.

    Returns:
        Empty where it takes more than a look to tell, or where code of somebody's own has a part in it.
    """
    place = glance.seen(EXPERIMENT)
    return "" if place is None else _members(study, _runs(place[1], study))


def left(study: Study, found: str, run_id: str, *, code: str, before: str, used: Collection[str]) -> str:
    """A study's mark, by which `done` knows it: what a parent run that is complete just now was made from, and what it holds.

    It is told by the words and cells of the study, its runs, the code, what was found, and every file of the parent to the
    last byte.

    Args:
        study: its grid. found: what was found, a sentence. run_id: of its parent run.
        code: `code_digest` from before the code was loaded. before: `members` from before the tables were made.
        used: ids of the runs in the tables, which may lack those that diverged.

    Returns:
        64 hex digits; empty where it cannot be told, and where the code or a run has changed meanwhile or the tables are of
        other runs, so that they need not be those of what is there now.
    """
    place = glance.seen(EXPERIMENT)
    if place is None or not code or code != code_digest():
        return ""
    parent = next((one for one in _parents(place[1], study) if one.run_id == run_id), None)
    runs = _runs(place[1], study)
    now, counted = _members(study, runs), {run.run_id: run.state for run in _counted(runs, study)}
    complete = {run_id for run_id, state in counted.items() if state == "complete"}
    if parent is None or not now or now != before or not complete <= {*used} <= counted.keys():
        return ""
    return _mark(study, now, found, parent, code)


def done(study: Study, code: str) -> tuple[glance.Seen, StoredRun, int] | None:
    """The complete parent run of a study in the local store that the environment names, if nothing has changed since it was
    written.

    Args:
        study: its grid. code: `code_digest` from before the code was loaded.

    Returns:
        The store, the parent and how many runs it has; None where something has changed, or where it takes more than a look
        to tell.

    Raises:
        StoreError: if the files of all runs are away.
    """
    place = glance.seen(EXPERIMENT)
    if place is None or not code:
        return None
    store, path = place
    parent = next(iter(_parents(path, study)), None)
    if parent is None or parent.state != "complete" or parent.status != STATES["complete"] or parent.forced:
        return None
    known, runs = parent.get(LEFT), _runs(path, study)
    counted, now = _counted(runs, study), _members(study, runs) if known else ""
    if not counted or not now or known != _mark(study, now, parent.get(FOUND), parent, code):
        return None
    if any(run.status != STATES[run.state] or run.edited or whole.flaw(run) for run in counted):
        return None
    return store, parent, len(counted)


def _parents(path: Path, study: Study) -> list[StoredRun]:
    """The parent runs of a study, newest first."""
    asked = {KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash, PROTOCOL: PROTOCOL_VERSION}
    return glance.find(path, asked, glance.unfetched) or []


def _runs(path: Path, study: Study) -> list[StoredRun]:
    """Every training run that is a member of a study, newest first."""
    return glance.find(path, {KIND: TRAIN}, glance.unfetched, study_tag(study.name)) or []


def _counted(runs: Sequence[StoredRun], study: Study) -> list[StoredRun]:
    """The newest finished run of each cell; none at all where a cell has none."""
    cells = {cell.config.hash: cell.condition for cell in study.cells}
    newest: dict[str, StoredRun] = {}
    for run in runs:
        if run.done and run.protocol == PROTOCOL_VERSION and run.studies.get(study.name) == cells.get(run.config_hash):
            newest.setdefault(run.config_hash, run)
    return [*newest.values()] if newest.keys() == cells.keys() else []


def _members(study: Study, runs: Sequence[StoredRun]) -> str:
    """`members` of the runs that were found."""
    if any(own_code(cell.config) for cell in study.cells):
        return ""
    out, own, others = hashlib.sha256(), study_tag(study.name), PREFIX + STUDY
    try:
        for run in runs:
            tags = {name: text for name, text in run.tags.items() if name == own or not name.startswith(others)}
            out.update(_text([run.run_id, run.experiment_id, run.status, run.start_time, tags, run.params, run.metrics]))
            root = _root(run)
            for path, entry in _files(root) if run.done or os.path.isdir(root) else ():  # one that failed may have left nothing
                status = entry.stat(follow_symlinks=False)
                out.update(b"\0%b\0%d %d\0" % (path, status.st_size, status.st_mtime_ns))
    except OSError:
        return ""
    return out.hexdigest()


def _mark(study: Study, runs: str, found: str, parent: StoredRun, code: str) -> str:
    """What a study's parent run was made from and what it holds, as a hash; empty where that cannot be told.

    Args:
        study: its grid. runs: `members`. found: what was found. parent: the parent run. code: `code_digest`.
    """
    cells = [[cell.condition, cell.config.hash, cell.config.to_strings()] for cell in study.cells]
    words = [study.name, study.sentence, study.source, list(study.windows)]
    out = hashlib.sha256(_text([words, cells, runs, found, code]))
    try:
        for path, entry in _files(_root(parent)):
            out.update(b"\0%b\0%d\0" % (path, entry.stat(follow_symlinks=False).st_size))
            with open(entry.path, "rb") as file:
                while part := file.read(CHUNK):
                    out.update(part)
    except OSError:
        return ""
    return out.hexdigest()


def _text(values: list[Any]) -> bytes:
    return json.dumps(values, sort_keys=True).encode()


def _root(run: StoredRun) -> str:
    """The folder of a run's files.

    Raises:
        OSError: if it is not one on a disk here.
    """
    root = local_path(run.artifact_uri)
    if root is None or root.is_symlink():
        raise NotADirectoryError(run.artifact_uri)
    return str(root)


def _files(folder: str, above: bytes = b"") -> Iterator[tuple[bytes, os.DirEntry[str]]]:
    """All files below a folder with their paths from it, in one order.

    Raises:
        OSError: if something there is neither a file nor a folder, such as a link.
    """
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = above + os.fsencode(entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, path + b"/")
        elif entry.is_file(follow_symlinks=False):
            yield path, entry
        else:
            raise OSError(f"{entry.path} must be a plain file")
