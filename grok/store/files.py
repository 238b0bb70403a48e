"""Tensors on disk, without pickle: atomic save, exact load."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

PARTIAL = ".*.safetensors.*"
"""Pattern of the names that a file has while it is written."""


class CheckpointError(RuntimeError):
    """A file is missing, cut short or of another run."""


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts to one safetensors file, whole or not at all.

    The file is written beside its place, forced to disk and renamed; whatever stops the process, `path` holds either
    the old file or the new one.

    Args:
        path: where; parent folders are made.
        tensors: by name, any device and dtype.
        facts: small values that go into the header, read back by `load`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        save_file(plain, name, metadata={"facts": json.dumps(facts, sort_keys=True)})
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote: tensors in memory of their own, and the facts.

    Raises:
        CheckpointError: if the file is missing, cut short or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {key: torch.clone(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"checkpoint must be a whole safetensors file, got {path.name} ({error}).") from error
    return tensors, facts
