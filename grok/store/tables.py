"""Tables on disk as Parquet: each page and the whole with a checksum, read where these hold and the size is within a bound.

CSV files, of which there are few, are read within bounds too.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grok.spec.limited import MOST_BYTES, BrokenFileError, plain_file, untrusted
from grok.spec.limited_tables import check_table

DIGEST = b"grok.sha256"
"""Key of the file's own metadata. The checksums of pages say nothing of the names of columns, or of which page is whose."""
MOST_CSV_BYTES, MOST_CELLS, MOST_COLUMNS = 1 << 24, 2_000_000, 10_000
"""Of a CSV file; ours: the largest that is read, the surface of a sensitivity grid, has 240 kB and under 25,000 cells."""


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index; the same table gives the same bytes."""
    made = pa.Table.from_pandas(table, preserve_index=False)
    made = made.replace_schema_metadata({**(made.schema.metadata or {}), DIGEST: _digest(made.to_pandas())})
    pq.write_table(made, path, write_page_checksum=True)


def load_table(path: Path, most_bytes: int = MOST_BYTES, most_rows: int | None = None) -> pd.DataFrame:
    """A table as it was written. Files of earlier versions have no checksums, or of pages alone, and are taken as they are.

    Args:
        path: of the file. most_bytes: of memory, that the table may take. most_rows: that it may have; None for any.

    Raises:
        BrokenFileError: if the file is no whole table, or larger than a bound. OSError: if it is not there.
    """
    check_table(path, most_bytes, most_rows, objects=True)
    with untrusted():  # Arrow's errors, and pandas' where a description does not fit its columns
        table = pd.read_parquet(path, page_checksum_verification=True)
        known = (pq.read_schema(path).metadata or {}).get(DIGEST)
        if known is not None and known != _digest(table):
            raise BrokenFileError("other columns, rows or numbers than its checksum is of")
        return table


def load_csv(path: Path, most_cells: int = MOST_CELLS) -> pd.DataFrame:
    """A CSV file of cells without quotes: each line is a row. Rows by the longest of them are held against a bound first.

    Args:
        path: of the file. most_cells: that it may have, those that a short row lacks being counted.

    Raises:
        BrokenFileError: if it is no such file, or larger than a bound. OSError: if it is not there.
    """
    plain_file(path, MOST_CSV_BYTES)
    with untrusted():
        content = path.read_bytes()
        if b'"' in content:
            raise BrokenFileError("quotes, which are not read")
        rows, columns = content.count(b"\n") + content.count(b"\r") + 1, 1
        if rows <= most_cells:  # else the lines themselves take too much
            columns += max((line.count(b",") for line in content.splitlines()), default=0)
        if rows * columns > most_cells or columns > MOST_COLUMNS:
            most = f"at most {most_cells} cells in {MOST_COLUMNS} columns are read"
            raise BrokenFileError(f"{rows} rows of up to {columns} cells, {most}")
        return pd.read_csv(io.BytesIO(content))


def _digest(table: pd.DataFrame) -> bytes:
    """SHA-256 of the names of columns, of numbers by their bytes, of texts; nothing of what is in nested columns."""
    found = hashlib.sha256(f"{len(table)}".encode())
    for name, column in table.items():
        kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else "O"
        found.update(f"\0{name}\0{kind}\0".encode("utf-8", "surrogatepass"))
        if kind == "f":
            values = column.to_numpy()
            found.update(np.where(np.isnan(values), values.dtype.type(np.nan), values).tobytes())
        elif kind in "iub":
            found.update(np.ascontiguousarray(column.to_numpy()).tobytes())
        else:
            known = zip(column.tolist(), column.isna().tolist(), strict=True)
            texts = [str(one) if isinstance(one, str | int | float) and not blank else "" for one, blank in known]
            found.update("\0".join(texts).encode("utf-8", "surrogatepass"))
    return found.hexdigest().encode()
