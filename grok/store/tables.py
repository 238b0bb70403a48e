"""Tables on disk as Parquet: every page with a checksum, read only as far as its size allows and where the checksums hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grok.spec.limited import MOST_BYTES, check_table


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index; the same table gives the same bytes."""
    table.to_parquet(path, index=False, write_page_checksum=True)


def load_table(path: Path, most_bytes: int = MOST_BYTES, most_rows: int | None = None) -> pd.DataFrame:
    """A table as it was written. Pages of files of earlier versions have no checksum, and are taken as they are.

    Args:
        path: of the file. most_bytes: of memory, that the table may take. most_rows: that it may have; None for any.

    Raises:
        ValueError: if the file is no whole table, or larger than a bound. OSError: if it cannot be read.
    """
    try:
        check_table(path, most_bytes, most_rows)
        return pd.read_parquet(path, page_checksum_verification=True)
    except (ValueError, OSError):
        raise
    except Exception as error:  # Arrow's that are neither, and pandas' where a description does not fit its columns
        raise ValueError(f"no whole Parquet file ({type(error).__name__} {error})") from error
