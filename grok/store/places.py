"""Where files of a run and of its model are: in a folder of their own, at the place of an experiment, never through a link.

The database says where, and a store may be somebody else's: what it says is held against what MLflow makes of an experiment.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
from mlflow.entities import ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from grok.spec.fields import shown
from grok.store.errors import LONGEST, PACKAGES, AstrayError, StoreError, brief, step
from grok.store.moved import local_path

INDIRECT = ("runs:", "models:")
"""Places that lead to another place."""
NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ)
"""What a file system says of a name that no file can have."""
_known: dict[str, frozenset[str]] = {}
"""Places of the experiments of a store, by its URI."""


def folder(uri: str, *end: str) -> Path | None:
    """The folder of a place in a file system; None if it is elsewhere.

    Args:
        uri: as the database has it. end: names that its path must end in.

    Raises:
        AstrayError: if it ends otherwise, or one of these names is a link.
    """
    root = local_path(uri)
    if root is None:
        return None
    if root.parts[-len(end) :] != end or ".." in root.parts:
        told = shown(root, LONGEST)
        raise AstrayError(f"artifacts of a run must be in a folder {'/'.join(end)}, got {told}. Restore the store.")
    links = [place for place in (root, *root.parents[: len(end) - 1]) if place.is_symlink()]
    if links:
        raise AstrayError(f"artifacts of a run must be in a folder of its own, got the link {links[-1]}. Remove the link.")
    return root


def within(root: Path, path: str, run_id: str) -> Path:
    """The path of an artifact below the folder of a run, which no name and no link leads out of it.

    Args:
        root: of the run's artifacts. path: below it, as somebody gives it. run_id: of the run, for the message.

    Raises:
        StoreError: if one does, or no file can have the name. OSError: if the disk fails, or does not let us look.
    """
    place, pure = root / path, PurePosixPath(path)
    try:
        inside = place.parent.resolve().is_relative_to(root.resolve()) and not _is_link(place)
    except (ValueError, RuntimeError):  # a NUL, halves of characters; links in a circle
        inside = False
    except OSError as error:
        if error.errno not in NO_NAME:
            raise
        inside = False
    if pure.is_absolute() or ".." in pure.parts or not inside:
        told = shown(" ".join(path.split()))
        raise StoreError(f"artifact must be in the folder of run {run_id}, got {told}. Remove the link or the name.")
    return place


def _is_link(place: Path) -> bool:
    """As `Path.is_symlink`, which takes a name that none can have for one that is not there."""
    try:
        return stat.S_ISLNK(place.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def repository(client: mlflow.MlflowClient, uri: str, *end: str) -> Any:
    """MLflow's reader and writer of a place that is not in a file system.

    Args:
        client: of the store. uri: as the database has it. end: names that follow the place of an experiment.

    Raises:
        AstrayError: if it is no experiment's. StoreError: if it cannot be used here.
    """
    place = "" if uri.startswith(INDIRECT) else _experiment_place(uri, end)
    if not place or not (place in _known.get(client.tracking_uri, ()) or place in _experiments(client)):
        raise AstrayError(f"artifacts must be at the place of the run's experiment, got {uri:.200}. Restore the store.")
    try:
        return get_artifact_repository(uri, tracking_uri=client.tracking_uri)
    except Exception as error:  # MLflow's own, an import's, those of an address that is none
        raise unusable(uri, error) from error


def unusable(uri: str, error: Exception) -> StoreError:
    """Why a place cannot be read or written, in one line."""
    missing = next((one for one in (error, error.__cause__) if isinstance(one, ModuleNotFoundError)), None)
    if missing is None:
        told, what = (
            f"artifacts must be at a place that answers, got {uri:.200} ({brief(error, 160)})",
            step(error) or "Check it",
        )
        return StoreError(f"{told}. {what}.")
    name = (missing.name or "its package").partition(".")[0]
    what = f"pip install {PACKAGES[name]}" if name in PACKAGES else f"Install what has {name}"
    return StoreError(f"artifacts must be at a place whose package is installed, got {uri:.200} (no {name}). {what}.")


def _experiment_place(uri: str, end: tuple[str, ...]) -> str:
    """The place of the experiment that MLflow has made a place from, which keeps its query; empty if it ends otherwise."""
    head, mark, query = uri.partition("?")
    plain, tail = head.rstrip("/"), "/" + "/".join(end)
    return plain.removesuffix(tail) + mark + query if plain.endswith(tail) else ""


def _experiments(client: mlflow.MlflowClient) -> frozenset[str]:
    """The places of a store's experiments, deleted ones among them: one of their runs may be read by its id."""
    found, token = set[str](), None
    while True:
        page = client.search_experiments(view_type=ViewType.ALL, page_token=token)
        for one in page:
            head, mark, query = str(one.artifact_location).partition("?")
            found.add(head.rstrip("/") + mark + query)
        token = page.token
        if not token:
            break
    _known[client.tracking_uri] = frozenset(found)
    return _known[client.tracking_uri]
