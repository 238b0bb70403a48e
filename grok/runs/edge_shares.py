"""grad% of the edge in every window that a run's ledgers hold: a small table in place of many inner products."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pandas as pd

from grok.numerics.edge import Edge, edge
from grok.numerics.ledger import Ledger
from grok.recorders.edge import LEDGER, OTHERS

SHARES: Final = "edge_shares.parquet"
INTERVALS: Final = (25, 50, 100, 200)
"""N, steps of an interval, that Dyck-1 keeps."""
ROWS: Final = (3, 5, 10, 20)
"""W, intervals of a window."""


def attention(arrays: Mapping[str, np.ndarray], part: str = "") -> Ledger:
    """The inner products of the attention's matrices together, those with a text in their name, of a stored ledger."""
    chosen = [place for place, name in enumerate(arrays["segments"].tolist()) if name != OTHERS and part in name]
    return Ledger(**{name: arrays[name] for name in Ledger._fields}).of(chosen)


def windows(found: Ledger, size: int, k: int = 1) -> list[Edge]:
    """Every window of at most `size` rows."""
    return [one for end in range(2, found.intervals + 1) if (one := edge(found, end, size, k)) is not None]


def shares(edges: list[Edge], every: int, size: int) -> pd.DataFrame:
    """A row per window: `step` of its end, `share`, grad% of v₁ by the exact split, and `full`, whether it has all its rows."""
    steps = np.array([one.end * every for one in edges], dtype=np.int64)
    found = np.array([one.exact.share for one in edges], dtype=np.float64)
    return pd.DataFrame({"step": steps, "share": found, "full": np.array([one.rows == size for one in edges], dtype=bool)})


def shares_table(ledgers: Mapping[int, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Columns `every`, `rows`, then those of `shares`, for every N that is there and every W in `ROWS`.

    Args:
        ledgers: by N, the arrays of a stored ledger.
    """
    tables = []
    for every, arrays in ledgers.items():
        found = attention(arrays)
        for size in ROWS:
            one = shares(windows(found, size), every, size)
            tables.append(one.assign(every=every, rows=size)[["every", "rows", *one.columns]])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def stored(paths: Iterable[str]) -> dict[int, str]:
    """By N, those of a run's files that are ledgers."""
    pattern = re.compile(re.escape(LEDGER).replace(re.escape("{:04d}"), r"(\d+)"))
    found = ((pattern.fullmatch(path), path) for path in paths)
    return dict(sorted((int(match[1]), path) for match, path in found if match))
