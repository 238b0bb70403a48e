"""Whether a study that is asked for again is as it was left: then it is told again, and nothing is made anew.

Neither torch, pandas nor mlflow is imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from grok.spec.config import PROTOCOL_VERSION
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

PACKAGE = "grok-registry"
CHUNK = 1 << 20
"""Bytes that are read at a time."""


def digest(study: Study, runs: Mapping[str, str], found: str, artifact_uri: str) -> str:
    """What a study's parent run was made from and what it holds, as a hash; empty where that cannot be told.

    It is told by the words and cells of the study, the runs of these, the version of the code, and every file of the parent.

    Args:
        study: its grid. runs: ids by config hash. found: what was found, a sentence. artifact_uri: of the parent's files.
    """
    code, root = code_tags(), local_path(artifact_uri)
    if code[CODE_DIRTY] == "true" or root is None or root.is_symlink():
        return ""
    try:
        code["package"] = version(PACKAGE)
    except PackageNotFoundError:
        code["package"] = ""
    told = [study.name, study.hash, study.sentence, study.source, list(study.windows), sorted(runs.items()), found, code]
    out = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    try:
        for path in _files(root):
            out.update(f"\0{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while part := file.read(CHUNK):
                    out.update(part)
    except OSError:
        return ""
    return out.hexdigest()


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


def done(study: Study, name: str) -> tuple[glance.Seen, StoredRun] | None:
    """The complete parent run of a study in the local store that the environment names, and that store, if nothing has changed
    since it was written.

    Args:
        study: its grid. name: of the experiment of new runs, where the environment names none.

    Returns:
        None where something has, or where it takes more than a look to tell.

    Raises:
        StoreError: if the files of all runs are away.
    """
    place = glance.seen(name)
    if place is None:
        return None
    store, path = place
    asked = {KIND: "study", STUDY_NAME: study.name, GRID_HASH: study.hash, PROTOCOL: PROTOCOL_VERSION}
    parents = glance.find(path, asked, glance.unfetched)
    if not parents or parents[0].state != "complete" or parents[0].status != STATES["complete"] or parents[0].forced:
        return None
    parent, left = parents[0], parents[0].get(LEFT)
    cells = {cell.config.hash: cell.condition for cell in study.cells}
    runs = glance.find(path, {KIND: TRAIN, PROTOCOL: PROTOCOL_VERSION}, glance.unfetched, among=(CONFIG_HASH, cells.keys()))
    newest: dict[str, StoredRun] = {}
    for run in runs or ():
        if run.done and run.studies.get(study.name) == cells[run.config_hash]:
            newest.setdefault(run.config_hash, run)
    ids = {hash: run.run_id for hash, run in newest.items()}
    if not left or ids.keys() != cells.keys() or left != digest(study, ids, parent.get(FOUND), parent.artifact_uri):
        return None
    if any(run.status != STATES[run.state] or run.edited or whole.flaw(run) for run in newest.values()):
        return None
    return store, parent
