"""Arrays, tables and JSON on disk, without pickle: what they ask of memory is known from headers, or from a count of signs,
before any of it is taken.

Nothing is imported that the monitor does not have; pyarrow and psutil only where they are needed.
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
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a cell, by its type on disk; a text has a place of 16 beside its letters."""
PLACE = 16
TEXT = "BYTE_ARRAY"
MOST_JSON_BYTES = 1 << 28
"""Bytes of memory that a JSON file may ask for; ours: the largest of the stored studies takes 14 MiB."""
BYTES_A_BRACKET, BYTES_A_COMMA, BYTES_A_LETTER = 160, 64, 10
"""What JSON takes in memory at most, measured on Python 3.11: a list or mapping of its own, a place in one with a number or a
short text, a letter in the file, as text and as part of a value, of four bytes in these two."""
CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Where Linux has the bound of a container's memory."""


class BrokenFileError(ValueError):
    """A file is not whole, not of its kind, or asks for more than its bound."""


@contextlib.contextmanager
def untrusted() -> Iterator[None]:
    """Whatever broken bytes end in, zlib's errors, the tokenizer's, Arrow's, those of a text's code, is a `BrokenFileError`."""
    try:
        yield
    except BrokenFileError:
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
            unpacked. OSError: if the file is not there.
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
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                if size != entry.file_size - member.tell():
                    rest = entry.file_size - member.tell()
                    raise BrokenFileError(f"{entry.filename} has {rest} bytes, its header says {size}")
                total += size
        if total > most_bytes:
            raise BrokenFileError(f"{total} bytes of arrays, at most {most_bytes} are expected")
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


def check_table(path: Path, most_bytes: int = MOST_BYTES, most_rows: int | None = None) -> int:
    """Look that a Parquet file, unfolded, stays within a bound of memory: rows by the widths of its columns, and all letters.

    A column of texts is read as its distinct ones and their numbers, so that one long text in every row is told by its length
    and not by its copies.

    Args:
        path: of the file. most_bytes: of memory, that the table may take. most_rows: that it may have; None for any.

    Returns:
        Bytes that it takes, about.

    Raises:
        BrokenFileError: if it does not, with the figure, or is no whole file. OSError: if the file is not there.
    """
    plain_file(path)
    with untrusted():
        return _table_bytes(path, most_bytes, most_rows)


def _table_bytes(path: Path, most_bytes: int, most_rows: int | None) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        known, schema = file.metadata, file.schema
        rows = max(known.num_rows, sum(known.row_group(i).num_rows for i in range(known.num_row_groups)))
        if most_rows is not None and rows > most_rows:
            raise BrokenFileError(f"{rows} rows, at most {most_rows} are expected")
        total, columns = 0, [schema.column(i) for i in range(known.num_columns)]
        for i, column in enumerate(columns):
            cells = max(rows, _cells(file, i)) if column.max_repetition_level else rows
            total += cells * (WIDTHS.get(column.physical_type) or column.length or PLACE)
        texts = [column.path for column in columns if column.physical_type == TEXT]
    _within(total, rows, most_bytes)
    if texts:
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for name in texts:
                for chunk in file.read(columns=[name]).column(0).chunks:
                    total += sum(map(_letters, _leaves(chunk)))
                    _within(total, rows, most_bytes)
    return total


def _cells(file: Any, column: int) -> int:
    """Values in a column of lists. Its description is looked at once Arrow has begun to read the column: of a description that
    is broken, reading is an error, looking ends the process.
    """
    found = 0
    for i in range(file.metadata.num_row_groups):
        next(file.iter_batches(batch_size=1, row_groups=[i]), None)
        found += file.metadata.row_group(i).column(column).num_values
    return found


def _within(total: int, rows: int, most_bytes: int) -> None:
    if total > most_bytes:
        raise BrokenFileError(f"{rows} rows that unfold to {total} bytes or more, at most {most_bytes} are expected")


def _leaves(array: Any) -> Iterator[Any]:
    """The columns that a nested one is made of; itself where it is none."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_struct(kind):
        for part in array.flatten():
            yield from _leaves(part)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_map(kind):
        yield from _leaves(array.values)
    else:
        yield array


def _letters(array: Any) -> int:
    """Bytes of the texts of a column, each as often as it is there; of one that is not of texts, what it has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(array.type):
        return int(array.nbytes)
    values = array.dictionary
    if not (pa.types.is_binary(values.type) or pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return int(array.nbytes)
    lengths = np.asarray(pc.fill_null(pc.binary_length(values), 0), dtype=np.int64)
    numbers = array.indices.drop_null()
    return int(lengths[np.asarray(numbers)].sum()) if len(numbers) else 0
