"""What a target of made-up input is, and where its inputs lie."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grok.spec.fields import ConfigError

MOST_SMALL = 1 << 20
"""Bytes of memory that an input may ask for where the target has a bound to be told."""
RUN_ID = "0" * 31 + "7"
Call = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        call: takes the bytes. seeds: good inputs. refuses: the errors that are an answer; any other is a fault.
        odd: other inputs to begin from, taken or refused. greedy: such that ask for much memory or time, edited less often.
    """

    call: Call
    seeds: tuple[bytes, ...]
    refuses: tuple[type[BaseException], ...] = (ConfigError,)
    odd: tuple[bytes, ...] = ()
    greedy: tuple[bytes, ...] = ()


def text(content: bytes) -> str:
    """As Python hands over arguments and file names: bytes that are no UTF-8 as halves of characters."""
    return content.decode("utf-8", "surrogateescape")


@functools.cache
def scratch() -> Path:
    """A folder for inputs that are files, kept to the end of the process."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz-")
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[Any] = []


def placed(content: bytes, name: str) -> Path:
    """The input as a file."""
    path = scratch() / name
    path.write_bytes(content)
    return path


def lines(*texts: str) -> bytes:
    """Texts as an input has them."""
    return "\n".join(texts).encode()
