"""Arrays and tables on disk, without pickle: what they ask of memory is known from their headers before any of it is taken.

Nothing is imported that the monitor does not have; pyarrow only where there is a table.
"""

from __future__ import annotations

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


def plain_file(path: Path, most_bytes: float = math.inf) -> None:
    """Look that a path is a plain file, whose opening does not wait, and not larger than a bound.

    Raises:
        ValueError: if it is not. OSError: if it is not there.
    """
    if not path.is_file():
        path.stat()  # not there: says so
        raise ValueError("a plain file is read, not a folder, a pipe or a device")
    if path.stat().st_size > most_bytes:
        raise ValueError(f"{path.stat().st_size} bytes, at most {most_bytes} are read")


def load_arrays(path: Path, most_bytes: int = MOST_BYTES, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file, by name; its headers are read first, and what they ask for is held against a bound.

    Args:
        path: of the file. most_bytes: of memory, that all arrays together may take. names: of those that are wanted, as far as
            they are there, the others not being looked at; None for all.

    Raises:
        ValueError: if an array is not of plain numbers, or larger than its header or the bound has it, or cannot be unpacked.
        OSError, zipfile.BadZipFile: if the file cannot be read.
    """
    try:
        plain_file(path)
        return _arrays(path, most_bytes, names)
    except (ValueError, OSError, zipfile.BadZipFile):
        raise
    except Exception as error:  # zlib's, the tokenizer's of a header, those of methods of packing that are not there
        raise ValueError(f"no whole npz file ({type(error).__name__} {error})") from error


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
                    raise ValueError(f"{entry.filename} has {entry.file_size - member.tell()} bytes, its header says {size}")
                total += size
        if total > most_bytes:
            raise ValueError(f"{total} bytes of arrays, at most {most_bytes} are expected")
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
        raise ValueError(f"{name} is of npy version {version}")
    shape, _, dtype = readers[version](member)
    if dtype.kind not in "fiubU":
        raise ValueError(f"{name} holds {dtype}, not plain numbers or text")
    if any(side < 0 for side in shape):
        raise ValueError(f"{name} has a negative side")
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
        ValueError: if it does not, with the figure. OSError, pyarrow.ArrowException: if the file cannot be read.
    """
    import pyarrow.parquet as pq

    plain_file(path)
    with pq.ParquetFile(path) as file:
        known, schema = file.metadata, file.schema
        groups = [known.row_group(i) for i in range(known.num_row_groups)]
        rows = max(known.num_rows, sum(group.num_rows for group in groups))
        if most_rows is not None and rows > most_rows:
            raise ValueError(f"{rows} rows, at most {most_rows} are expected")
        total, texts = 0, []
        for i in range(known.num_columns):
            column = schema.column(i)
            cells = max(rows, sum(group.column(i).num_values for group in groups))
            total += cells * (WIDTHS.get(column.physical_type) or column.length or PLACE)
            total += sum(group.column(i).total_uncompressed_size for group in groups) if column.physical_type == TEXT else 0
            texts += [column.path] if column.physical_type == TEXT else []
    _within(total, rows, most_bytes)
    if texts:
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for name in texts:
                for chunk in file.read(columns=[name]).column(0).chunks:
                    total += sum(map(_letters, _leaves(chunk)))
                    _within(total, rows, most_bytes)
    return total


def _within(total: int, rows: int, most_bytes: int) -> None:
    if total > most_bytes:
        raise ValueError(f"{rows} rows that unfold to {total} bytes or more, at most {most_bytes} are expected")


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
