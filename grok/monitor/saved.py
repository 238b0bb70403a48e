"""A monitor's state as a safetensors file, without pickle: tensors as such, plain values as JSON beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from grok.spec.fields import refuse, shown
from grok.spec.limited import tensors_header

STATE, TENSOR, ITEMS = "state", "tensor", "items"
"""Key of the file's metadata; keys in it for what stands for a tensor, and for a mapping."""
MOST_HEADER = 1 << 29
"""Bytes of memory that the header may ask for, as `within_json` tells them; ours."""


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a `state_dict` of a monitor, whole or not at all: mappings, lists, tensors and plain values."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_plain(state, tensors))
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        save_file(tensors, partial, metadata={STATE: text})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, most_bytes: int) -> dict[str, Any]:
    """Read what `save` wrote; tuples come back as lists.

    Args:
        path: of the file. most_bytes: of memory, that its tensors may take.

    Raises:
        ConfigError: if it is no such file, or larger than a bound.
    """
    try:
        tensors_header(path, most_bytes, MOST_HEADER)
        with safe_open(path, framework="pt") as known:
            state = json.loads(known.metadata()[STATE])
            found = {name: torch.clone(known.get_tensor(name)) for name in known.keys()}  # noqa: SIM118
        whole = _whole(state, found)
        if not isinstance(whole, dict):
            raise ValueError("a state that is no mapping")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError, RecursionError) as error:
        _refuse(path, error)
    return whole


def _refuse(path: Path, error: Exception) -> NoReturn:
    why = " ".join(f"{type(error).__name__} {error}".split())[:100]
    refuse("state", "be a whole file of a monitor", f"{shown(path.name, 60)} ({why})", "Remove it: the monitor starts anew")


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON has it, each tensor by the name under which it is now among the tensors."""
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{strange[0]!r} for a name in a monitor's state")
        return {ITEMS: {key: _plain(one, tensors) for key, one in value.items()}}
    if isinstance(value, list | tuple):
        return [_plain(one, tensors) for one in value]
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # a copy: no two may share memory in such a file
        return {TENSOR: name}
    return value


def _whole(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_whole(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if ITEMS in value:
        return {key: _whole(one, tensors) for key, one in dict(value[ITEMS]).items()}
    return tensors[value[TENSOR]]
