"""Arrays, tensors and JSON on disk, without pickle: what they ask of memory is known from headers, or from a count of signs,
before any of it is taken. Tables are in `limited_tables`.

Nothing is imported that the monitor does not have; psutil only where it is needed.
"""

from __future__ import annotations

import contextlib
import json
import math
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

MOST_BYTES = 1 << 31
"""Bytes of memory that a file may ask for unless it is known how large it should be."""
COPIES = 3
"""Parts of the free memory of which a file of more than that may take one: itself, a copy, and what is compared with it."""
MOST_JSON_BYTES = 1 << 28
"""Bytes of memory that a JSON file may ask for; ours: the largest of the stored studies takes 14 MiB."""
BYTES_A_BRACKET, BYTES_A_COMMA, BYTES_A_LETTER = 160, 64, 10
"""What JSON takes in memory at most, measured on Python 3.11: a list or mapping of its own, a place in one with a number or a
short text, a letter in the file, as text and as part of a value, of four bytes in these two."""
CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Where Linux has the bound of a container's memory."""
LENGTH = 8
"""Bytes at the head of a safetensors file that say how long its header is."""


class BrokenFileError(ValueError):
    """A file is not whole, not of its kind, or asks for more than its bound."""


class NoRoomError(MemoryError):
    """A file is within its bound, and there is not the memory here for it: that says nothing of the file."""


@contextlib.contextmanager
def untrusted() -> Iterator[None]:
    """Whatever broken bytes end in, zlib's errors, the tokenizer's, Arrow's, those of a text's code, is a `BrokenFileError`."""
    try:
        yield
    except (BrokenFileError, NoRoomError):
        raise
    except Exception as error:
        raise BrokenFileError(f"{type(error).__name__} {' '.join(str(error).split())}") from error


def plain_file(path: Path, most_bytes: float = math.inf) -> None:
    """Look that a path is a plain file, whose opening does not wait, and not larger than a bound.

    Raises:
        BrokenFileError: if it is not. OSError: if it is not there.
    """
    if not path.is_file():
        path.stat()  # not there: says so
        raise BrokenFileError("a plain file is read, not a folder, a pipe or a device")
    if path.stat().st_size > most_bytes:
        raise BrokenFileError(f"{path.stat().st_size} bytes, at most {most_bytes} are read")


def free_memory() -> int:
    """Bytes of memory that can be had now; of a container's share of the machine, where it has one."""
    import psutil

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # no such file, or `max`
        free = min(free, int(CGROUP.read_text(encoding="ascii")))
    return free


def check_room(size: int) -> None:
    """Look that so many bytes can be had here. A bound that follows from what a file's own store says is none for its reader.

    Raises:
        NoRoomError: if they are more than `MOST_BYTES`, and than one part of `COPIES` of the free memory.
    """
    if size > MOST_BYTES and size > (room := free_memory() // COPIES):
        raise NoRoomError(f"{size} bytes, at most {max(room, MOST_BYTES)} of the free memory are taken")


def load_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """The value of a JSON file; what it asks of memory is told from its brackets, commas, colons and length, before it is read.

    Args:
        path: of the file. most_bytes: of memory, that its value may take.

    Raises:
        BrokenFileError: if it is not JSON, nested too deep, or larger than the bound. OSError: if it is not there.
    """
    plain_file(path)
    with untrusted():
        within_json(b"", most_bytes, path.stat().st_size)
        content = path.read_bytes()
        within_json(content, most_bytes)
        try:
            return json.loads(content.decode("utf-8"))
        except RecursionError:
            raise BrokenFileError("nested too deep") from None


def within_json(content: bytes, most_bytes: int, length: int = 0) -> None:
    """Look that JSON, or lines of it, stays within a bound of memory once it is read.

        bytes ≤ 160 (brackets) + 64 (commas + colons + lines) + 10 (length)

    Signs in texts are counted too, so that it may be less.

    Args:
        content: as it is in the file. most_bytes: the bound. length: of the file, where its content is not read yet.

    Raises:
        BrokenFileError: if it does not, with the figure.
    """
    brackets, commas = (sum(map(content.count, signs)) for signs in ((b"[", b"{"), (b",", b":", b"\n")))
    length = max(length, len(content))
    total = BYTES_A_BRACKET * brackets + BYTES_A_COMMA * commas + BYTES_A_LETTER * length
    if total > most_bytes:
        raise BrokenFileError(f"{length} bytes of JSON that may take {total} of memory, at most {most_bytes} are read")


def load_arrays(path: Path, most_bytes: int = MOST_BYTES, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file, by name; its headers are read first, and what they ask for is held against a bound.

    Args:
        path: of the file. most_bytes: of memory, that all arrays together may take. names: of those that are wanted, as far as
            they are there, the others not being looked at; None for all.

    Raises:
        BrokenFileError: if an array is not of plain numbers, or larger than its header or the bound has it, or cannot be
            unpacked. NoRoomError: if they are within the bound and not within `check_room`. OSError: if the file is not there.
    """
    plain_file(path)
    with untrusted():
        return _arrays(path, most_bytes, names)


def _arrays(path: Path, most_bytes: int, names: Collection[str] | None) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        total = 0
        for entry in archive.infolist():
            if names is not None and entry.filename.removesuffix(".npy") not in names:
                continue
            with archive.open(entry) as member:
                shape, dtype = array_header(member, entry.filename)
                size = math.prod(shape) * dtype.itemsize
                if size != entry.file_size - member.tell():
                    rest = entry.file_size - member.tell()
                    raise BrokenFileError(f"{entry.filename} has {rest} bytes, its header says {size}")
                # An empty one by its sides, `<U0` as `<U1`: whoever goes through its rows takes memory for each.
                total += math.prod(side or 1 for side in shape) * (dtype.itemsize or 4)
        if total > most_bytes:
            raise BrokenFileError(f"{total} bytes of arrays, at most {most_bytes} are expected")
        check_room(total)
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if names is None or name in names}


def array_header(member: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array of plain numbers, from a file that stands at its beginning and then at its numbers.

    Raises:
        ValueError: if it is none.
    """
    version = npy.read_magic(member)
    readers: dict[tuple[int, int], Callable[..., Any]] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise BrokenFileError(f"{name} is of npy version {version}")
    shape, _, dtype = readers[version](member)
    if dtype.kind not in "fiubU":
        raise BrokenFileError(f"{name} holds {dtype}, not plain numbers or text")
    if any(side < 0 for side in shape):
        raise BrokenFileError(f"{name} has a negative side")
    return shape, dtype


def tensors_header(path: Path, most_bytes: float = math.inf, most_header: int = MOST_JSON_BYTES) -> tuple[bytes, int]:
    """The header of a safetensors file, which is JSON, and the bytes that follow it: tensors without a gap.

    Args:
        path: of the file. most_bytes: of memory, that the tensors may take. most_header: that the header may, once it is read.

    Raises:
        BrokenFileError: if one is beyond its bound, or the file ends in its header. OSError: if it is not there.
    """
    plain_file(path)
    with path.open("rb") as file:
        length, size = int.from_bytes(file.read(LENGTH), "little"), path.stat().st_size - LENGTH
        if not 2 <= length <= size:
            raise BrokenFileError(f"a header of {length} bytes in a file of {size + LENGTH}")
        if size - length > most_bytes:
            raise BrokenFileError(f"{size - length} bytes of tensors, at most {most_bytes} are read")
        within_json(b"", most_header, length)
        header = file.read(length)
    within_json(header, most_header)
    return header, size - length
