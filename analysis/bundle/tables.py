"""Many runs' tables as one Parquet file, and back: every value as it was, every run's rows together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.bundle.layout import BundleError
from grok.spec.limited import BrokenFileError, free_memory
from grok.spec.limited_tables import check_table

RUN = "run_id"
"""The column that says whose a row is."""
LEVEL = 9
"""Of zstd; more makes no smaller files of such numbers."""
SHARE, SHARE_AS_OBJECTS = 2, 16
"""Parts of the free memory of which a table may take one: it is held as it is read and as runs get it, or as objects."""
KINDS = ("int64", "double", "bool", "string")
"""Types of columns that are taken together; a table with others is kept as it is."""


def plain(frame: pd.DataFrame) -> pa.Table | None:
    """A run's table in Arrow's form; None if it has names, an index or types that do not go with other runs' tables."""
    names = list(frame.columns)
    if not isinstance(frame.index, pd.RangeIndex) or not all(isinstance(name, str) for name in names) or RUN in names:
        return None
    if len(set(names)) < len(names) or not len(frame):
        return None
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    table = table.cast(pa.schema([(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in table.schema]))
    return table if all(str(field.type) in KINDS for field in table.schema) else None


def write(path: Path, tables: Mapping[str, pa.Table]) -> None:
    """One file of several runs' tables, in their order.

    Args:
        path: where. tables: as `plain` gives them, by run id; a column of one name has one type in all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables.values()])),
        pa.array(list(tables)),
    )
    together = pa.concat_tables(tables.values(), promote_options="default").combine_chunks()
    whole = together.add_column(0, RUN, ids)
    split = [field.name for field in together.schema if pa.types.is_float64(field.type) and not _few(together[field.name])]
    pq.write_table(
        whole,
        path,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=[name for name in whole.column_names if name not in split],
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
        write_statistics=False,
        store_schema=False,
        row_group_size=2**20,
        data_page_version="2.0",
    )


def _few(column: pa.ChunkedArray) -> bool:
    """Whether a column repeats its values, as accuracies do: a dictionary is smaller then."""
    return bool(len(column.unique()) < len(column) / 4)


def open_table(path: Path, share: int = SHARE) -> pa.Table:
    """A file of several runs' tables, once it is clear that it fits into memory.

    Args:
        path: of the file. share: the part of the free memory that it may take is one of so many.

    Raises:
        BundleError: if it does not, or is no such file.
    """
    room = free_memory() // share
    try:
        check_table(path, room)
    except BrokenFileError as error:
        if error.__cause__ is None:  # it is whole
            told = f"{path.name} must fit into one part of {share} of the free memory, got {error}"
            raise BundleError(f"{told}. Import it on a larger machine.") from error
        raise _broken(path, error) from error
    except OSError as error:
        raise _broken(path, error) from error
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        for name in table.column_names:  # texts that are none are found here, not where they are used
            if pa.types.is_string(table[name].type):
                table[name].validate(full=True)
        return table
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> BundleError:
    why = " ".join(str(error).split())[:120]
    return BundleError(f"{path.name} must be a whole Parquet file, got {why}. Export the bundle anew.")


def by_run(path: Path) -> dict[str, pa.Table]:
    """The rows of each run of a file, without the column that says whose they are.

    Raises:
        BundleError: if the file cannot be read, or a run's rows are not together.
    """
    table = open_table(path)
    if RUN not in table.column_names:
        raise BundleError(f"{path.name} must have a column {RUN}, got {', '.join(table.column_names)[:80]}. Export it anew.")
    ids = table[RUN].to_numpy() if len(table) else np.array([], dtype=object)
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.array([], dtype=int)
    rest, out = table.drop_columns([RUN]), dict[str, pa.Table]()
    for start, end in zip(starts, np.r_[starts[1:], len(ids)], strict=True):
        if str(ids[start]) in out:
            raise BundleError(f"{path.name} must have the rows of a run together, got {ids[start]} twice. Export it anew.")
        out[str(ids[start])] = rest.slice(start, end - start)
    return out
