"""Tables on disk as Parquet: each page and the whole with a checksum, read where these hold and the size is within a bound."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grok.spec.limited import MOST_BYTES, BrokenFileError, check_table, untrusted

DIGEST = b"grok.sha256"
"""Key of the file's own metadata. The checksums of pages say nothing of the names of columns, or of which page is whose."""


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
    check_table(path, most_bytes, most_rows)
    with untrusted():  # Arrow's errors, and pandas' where a description does not fit its columns
        table = pd.read_parquet(path, page_checksum_verification=True)
        known = (pq.read_schema(path).metadata or {}).get(DIGEST)
        if known is not None and known != _digest(table):
            raise BrokenFileError("other columns, rows or numbers than its checksum is of")
        return table


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
