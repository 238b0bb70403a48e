"""Whether a study that is asked for again is as it was left: then it is told again, and nothing is made anew.

Neither torch, pandas nor mlflow is imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from grok.spec.artifacts import needed
from grok.spec.config import PROTOCOL_VERSION
from grok.spec.fields import ConfigError
from grok.spec.studies import Study
from grok.store import glance, whole
from grok.store.moved import local_path
from grok.store.provenance import code_tags
from grok.store.tags import (
    CODE_DIRTY,
    CONFIG_HASH,
    FOUND,
    GRID_HASH,
    KIND,
    LEFT,
    PROTOCOL,
    STATES,
    STUDY_NAME,
    TRAIN,
    StoredRun,
)
from grok.store.views import EXPERIMENT

PACKAGE = "grok-registry"
CHUNK = 1 << 20
"""Bytes that are read at a time."""


def mark(study: Study, runs: Collection[StoredRun], found: str, parent: StoredRun) -> str:
    """What a study's parent run was made from and what it holds, as a hash; empty where that cannot be told.

    It is told by the words and cells of the study, the runs of these with the sizes and times of the files that they need, the
    version of the code, and every file of the parent to the last byte.

    Args:
        study: its grid. runs: of its cells. found: what was found, a sentence. parent: the parent run.
    """
    code, root = code_tags(), local_path(parent.artifact_uri)
    if code[CODE_DIRTY] == "true" or root is None or root.is_symlink():
        return ""
    try:
        code["package"] = version(PACKAGE)
    except PackageNotFoundError:
        code["package"] = ""
    try:
        of_runs = sorted([run.config_hash, run.run_id, *_stamps(run)] for run in runs)
        told = [study.name, study.hash, study.sentence, study.source, list(study.windows), of_runs, found, code]
        out = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for path in _files(root):
            out.update(f"\0{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while part := file.read(CHUNK):
                    out.update(part)
    except (OSError, ConfigError):
        return ""
    return out.hexdigest()


def _stamps(run: StoredRun) -> Iterator[str]:
    """Name, size and time of change of each file that a finished run needs.

    Raises:
        OSError: if one cannot be had. ConfigError: if its params are those of no config.
    """
    root = local_path(run.artifact_uri)
    if root is None:
        raise FileNotFoundError(run.artifact_uri)
    for name in needed(run.config, run.state == "complete"):
        if name not in run.files_left_out:
            status = (root / name).stat()
            yield f"{name} {status.st_size} {status.st_mtime_ns}"


def _files(root: Path) -> Iterator[Path]:
    """All files below a folder, in one order.

    Raises:
        OSError: if something there is neither a file nor a folder, such as a link.
    """
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise OSError(f"{path} must be a plain file")
        if path.is_file():
            yield path


def left(study: Study, found: str, run_id: str) -> str:
    """`mark` of a study that is complete just now in the local store that the environment names; empty where it cannot be told.

    Args:
        study: its grid. found: what was found. run_id: of its parent run.
    """
    place = glance.seen(EXPERIMENT)
    parent = None if place is None else next((one for one in _parents(place[1], study) if one.run_id == run_id), None)
    runs = None if place is None else _runs(place[1], study)
    return "" if parent is None or runs is None else mark(study, runs, found, parent)


def _parents(path: Path, study: Study) -> list[StoredRun]:
    """The parent runs of a study, newest first."""
    asked = {KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash, PROTOCOL: PROTOCOL_VERSION}
    return glance.find(path, asked, glance.unfetched) or []


def _runs(path: Path, study: Study) -> list[StoredRun] | None:
    """The newest finished run of each cell that is a member of the study; None where a cell has none."""
    cells = {cell.config.hash: cell.condition for cell in study.cells}
    runs = glance.find(path, {KIND: TRAIN, PROTOCOL: PROTOCOL_VERSION}, glance.unfetched, among=(CONFIG_HASH, cells.keys()))
    newest: dict[str, StoredRun] = {}
    for run in runs or ():
        if run.done and run.studies.get(study.name) == cells[run.config_hash]:
            newest.setdefault(run.config_hash, run)
    return [*newest.values()] if newest.keys() == cells.keys() else None


def done(study: Study) -> tuple[glance.Seen, StoredRun, int] | None:
    """The complete parent run of a study in the local store that the environment names, if nothing has changed since it was
    written.

    Args:
        study: its grid.

    Returns:
        The store, the parent and how many runs it has; None where something has changed, or where it takes more than a look
        to tell.

    Raises:
        StoreError: if the files of all runs are away.
    """
    place = glance.seen(EXPERIMENT)
    if place is None:
        return None
    store, path = place
    parent, runs = next(iter(_parents(path, study)), None), _runs(path, study)
    if parent is None or parent.state != "complete" or parent.status != STATES["complete"] or parent.forced or runs is None:
        return None
    if any(run.status != STATES[run.state] or run.edited or whole.flaw(run) for run in runs):
        return None
    known = parent.get(LEFT)
    return (store, parent, len(runs)) if known and known == mark(study, runs, parent.get(FOUND), parent) else None
