"""Tables on disk: what a Parquet file takes once it is unfolded is told from its description and the letters of its texts.

pyarrow is imported only where it is needed: a monitor may do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from grok.spec.limited import MOST_BYTES, BrokenFileError, plain_file, untrusted

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a cell, by its type on disk."""
LEAST, PLACE, OBJECT, VALUE, NEST = 8, 16, 64, 128, 256
"""Bytes that take: a number, a missing one making all of its column floats; a text beside its letters; that as an object of
Python's, bytes, a date or a time; a decimal, or a value within a mapping; a list or mapping itself. Measured on Python 3.11."""
ROWS, SLACK = 1 << 16, 1 << 20
"""Of texts that are read at a time, and bytes of a file beside its texts."""
TEXT, FLOATS, LAST_NARROW = "BYTE_ARRAY", ("DOUBLE", "FLOAT"), 127


def check_table(path: Path, most_bytes: int = MOST_BYTES, most_rows: int | None = None, *, objects: bool = False) -> int:
    """Look that a Parquet file, unfolded, stays within a bound of memory: rows by the widths of its columns, and all letters.

    What pandas and NumPy hold as objects, lists, mappings, decimals, dates, is told as such, whatever its width on disk. A
    column of texts is read as its distinct ones and their numbers, so that one long text in every row is told by its length
    and not by its copies.

    Args:
        path: of the file. most_bytes: of memory, that the table may take. most_rows: that it may have; None for any.
        objects: whether texts become objects too, as in NumPy; else they stay as Arrow has them.

    Returns:
        Bytes that it takes, about.

    Raises:
        BrokenFileError: if it does not, with the figure, or is no whole file. OSError: if the file is not there.
    """
    plain_file(path)
    with untrusted():
        return _table_bytes(path, most_bytes, most_rows, objects)


def _table_bytes(path: Path, most_bytes: int, most_rows: int | None, objects: bool) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        known, schema = file.metadata, file.schema
        rows = max(known.num_rows, sum(known.row_group(i).num_rows for i in range(known.num_row_groups)))
        if most_rows is not None and rows > most_rows:
            raise BrokenFileError(f"{rows} rows, at most {most_rows} are expected")
        total, columns = 0, [schema.column(i) for i in range(known.num_columns)]
        tops = [list(_kinds(kind)) for kind in file.schema_arrow.types]
        kinds = [kind for top in tops for kind in top]
        if len(kinds) != len(columns):
            raise BrokenFileError(f"{len(columns)} columns, {len(kinds)} in its description")
        total += NEST * rows * sum(top[0][1] > 0 for top in tops if top)
        for i, (column, (kind, nests)) in enumerate(zip(columns, kinds, strict=True)):
            cells = max(rows, _described(file, i, "num_values")) if column.max_repetition_level else rows
            total += cells * (_within_nests(kind, nests, column) if nests else _cell(kind, column, objects))
        texts = [(i, columns[i].path, nests > 0) for i, (_, nests) in enumerate(kinds) if columns[i].physical_type == TEXT]
    _within(total, rows, most_bytes)
    if texts:
        with pq.ParquetFile(path, read_dictionary=[name for _, name, _ in texts]) as file:
            for i, name, nested in texts:
                least = _described(file, i, "total_uncompressed_size", [name])  # no fewer are read at once
                _within(least - SLACK, rows, most_bytes)
                for batch in file.iter_batches(batch_size=ROWS, columns=[name]):
                    total += sum(_letters(leaf, objects or nested) for leaf in _leaves(batch.column(0)))
                    _within(total, rows, most_bytes)
    return int(total)


def _kinds(kind: Any, nests: int = 0) -> Iterator[tuple[Any, int]]:
    """Types of the columns on disk that a column is made of, in order, each with how many of Python's objects it is in."""
    import pyarrow as pa

    if pa.types.is_primitive(kind):
        yield kind, nests
        return
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_map(kind):  # a list of pairs
        for part in (kind.key_type, kind.item_type):
            yield from _kinds(part, nests + 2)
    elif pa.types.is_struct(kind):
        for part in kind:
            yield from _kinds(part.type, nests + 1)
    elif pa.types.is_nested(kind):
        yield from _kinds(kind.value_type, nests + 1)
    else:
        yield (kind.value_type if pa.types.is_dictionary(kind) else kind), nests


def _cell(kind: Any, column: Any, objects: bool) -> int:
    """Bytes of a cell beside its letters."""
    if column.physical_type in FLOATS:  # most are
        return LEAST
    import pyarrow as pa

    known = pa.types
    if known.is_decimal(kind):
        return VALUE
    if known.is_date(kind) or known.is_time(kind) or known.is_binary(kind) or known.is_large_binary(kind):
        return OBJECT
    if known.is_fixed_size_binary(kind):
        return OBJECT + int(column.length)
    if column.physical_type == TEXT:
        return OBJECT if objects else PLACE
    return max(LEAST, int(WIDTHS.get(column.physical_type) or column.length or PLACE))


def _within_nests(kind: Any, nests: int, column: Any) -> int:
    """The same of a value in lists and mappings, with those around it but the outermost; numbers of a list are an array."""
    import pyarrow as pa

    if nests == 1 and column.max_repetition_level and pa.types.is_primitive(kind) and not pa.types.is_boolean(kind):
        return _cell(kind, column, True)
    return NEST * (nests - 1) + max(VALUE, _cell(kind, column, True))


def _described(file: Any, column: int, fact: str, columns: list[str] | None = None) -> int:
    """A number that a column's description has, of all groups of rows: its values, its bytes without its repeats.

    It is looked at once Arrow has begun to read the column: of a description that is broken, reading is an error, looking ends
    the process.
    """
    found = 0
    for i in range(file.metadata.num_row_groups):
        next(file.iter_batches(batch_size=1, row_groups=[i], columns=columns), None)
        found += getattr(file.metadata.row_group(i).column(column), fact)
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
        yield from _leaves(array.flatten())
    else:
        yield array


def _letters(array: Any, objects: bool) -> int:
    """Bytes of the texts of a column, each as often as it is there; of one that is not of texts, what it has.

    An object of Python's has four bytes for each letter if one of them is wide.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(array.type):
        return int(array.nbytes)
    values = array.dictionary
    if not (pa.types.is_binary(values.type) or pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return int(array.nbytes)
    lengths = np.asarray(pc.fill_null(pc.binary_length(values), 0), dtype=np.int64)
    numbers = array.indices.drop_null()
    found = int(lengths[np.asarray(numbers)].sum()) if len(numbers) else 0
    content = values.buffers()[2] if objects and found else None
    wide = content is not None and bool((np.frombuffer(content, dtype=np.uint8) > LAST_NARROW).any())
    return found * (4 if wide else 1)
