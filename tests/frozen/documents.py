"""Frozen values in JSON files of this folder: written by `python -m tests.frozen.write NAME`, compared with a readable diff."""

from __future__ import annotations

import difflib
import json
import math
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SHOWN = 80
"""Lines of a diff that a failing test shows."""


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers that are not finite as texts, tuples as lists, floats with every digit."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def text_of(value: Any) -> str:
    """The content of a file: a value a line, lists of numbers and short texts on one."""
    return _lines(plain(value), "") + "\n"


def _lines(value: Any, indent: str) -> str:
    inner = indent + " "
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or (isinstance(value, list) and len(indent + flat) <= 120):
        return flat
    if isinstance(value, dict):
        items = [f"{inner}{json.dumps(key, ensure_ascii=False)}: {_lines(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _lines(item, inner) for item in value) + f"\n{indent}]"


def write(name: str, value: Any) -> Path:
    """Write `NAME.json`."""
    path = FOLDER / f"{name}.json"
    path.write_text(text_of(value), encoding="utf-8", newline="\n")
    return path


def read(name: str) -> Any:
    """The frozen value."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def difference(name: str, value: Any) -> str:
    """How a value differs from the frozen one, as a diff; empty if it does not."""
    return diff((FOLDER / f"{name}.json").read_text(encoding="utf-8"), text_of(value), name)


def diff(frozen: str, found: str, name: str) -> str:
    """How a text differs from the frozen one, and what to do; empty if it does not."""
    if frozen == found:
        return ""
    lines = list(difflib.unified_diff(frozen.splitlines(), found.splitlines(), "frozen", "now", n=1, lineterm=""))
    more = [f"… and {len(lines) - SHOWN} lines more"] if len(lines) > SHOWN else []
    what = f"Moved, against tests/frozen/{name}*. If it was meant to: python -m tests.frozen.write {name}"
    return "\n".join([what, *lines[:SHOWN], *more])
