"""Tables that are asked a hundred times, by column: arrays compare in microseconds, columns of a table in 0.1 ms."""

from __future__ import annotations

import weakref

import numpy as np
import pandas as pd

_known: dict[int, tuple[weakref.ref[pd.DataFrame], dict[str, np.ndarray]]] = {}
"""By the id of a table that is still there."""


def columns_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of a table as arrays, texts as arrays of text; kept as long as the table. Neither is to be changed."""
    key = id(table)
    found = _known.get(key)
    if found is None or found[0]() is not table:
        plain = {str(name): column.dtype.kind in "iufb" for name, column in table.items()}
        columns = {name: table[name].to_numpy(None if number else str) for name, number in plain.items()}
        found = weakref.ref(table, lambda _: _known.pop(key, None)), columns
        _known[key] = found
    return found[1]
