"""Tensors, arrays and JSON on disk, without pickle: written whole or not at all, read only as far as their sizes allow."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from grok.spec.limited import MOST_JSON_BYTES, free_memory, load_json, tensors_header
from grok.store.errors import NO_ROOM

PARTIAL = ".*.partial-*"
"""Pattern of the names that a file has while it is written."""
EARLIER_PARTIAL = ".*.safetensors.*"
"""The same of earlier versions."""
OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How safetensors tells an error of the system's."""

__all__ = ["CheckpointError", "copy", "load", "load_json", "save", "whole"]


class CheckpointError(RuntimeError):
    """A file is missing, cut short, altered or of another run."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside another, to be written in full: it is renamed to that then, or goes.

    Whatever stops the process, `path` holds either the old file or the new one. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}"[:200] + ".partial-")
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM:  # of the file that is meant: writing itself names none
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def copy(source: Path, path: Path) -> None:
    """Copy a file, whole or not at all."""
    with whole(path) as partial:
        shutil.copyfile(source, partial)


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts to one safetensors file, whole or not at all, forced to disk.

    Args:
        path: where; parent folders are made.
        tensors: by name, any device and dtype.
        facts: small values that go into the header, read back by `load`.
    """
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    with whole(path) as partial:
        try:
            save_file(plain, partial, metadata={"facts": text, "sha256": _digest(plain, text)})
        except SafetensorError as error:
            if (found := OS_ERROR.search(str(error))) is None:
                raise
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
        with partial.open("rb") as written:
            os.fsync(written.fileno())


def load(path: Path, most_bytes: int | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote: tensors in memory of their own, and the facts.

    Files of earlier versions have no checksum, and are taken as they are.

    Args:
        path: of the file. most_bytes: of memory, that its tensors may take; None for what is free.

    Raises:
        CheckpointError: if the file is missing, cut short, altered or not one of ours, or larger than the bound.
    """
    path = Path(path)  # a model that MLflow serves gives a text
    try:
        tensors_header(path, free_memory() if most_bytes is None else most_bytes, MOST_JSON_BYTES)
        with safe_open(path, framework="pt") as file:
            known = file.metadata() or {}
            tensors = {key: torch.clone(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
        facts = json.loads(known["facts"])
        if not isinstance(facts, dict):
            raise ValueError("facts that are no mapping")
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError, RuntimeError, TypeError, AttributeError) as error:
        why = " ".join(f"{error}".split())[:200]
        raise CheckpointError(f"checkpoint must be a whole safetensors file, got {path.name} ({why}).") from error
    if known.get("sha256", "") not in ("", _digest(tensors, known["facts"])):
        raise CheckpointError(f"checkpoint must be as it was written, got {path.name}, whose checksum is another.")
    return tensors, facts


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """SHA-256 of names, dtypes, shapes and bytes of tensors, and of the facts."""
    found = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            found.update(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
    return found.hexdigest()
