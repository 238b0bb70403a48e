"""Intervals and tests for few seeds: arrays in, `Estimate` or a p-value out. Seeded, so that the same data gives the same bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes:
        value: NaN where nothing is known. low, high: ends of the interval, NaN where none can be given. n: runs behind it.
    """

    value: float
    low: float
    high: float
    n: int


UNKNOWN = Estimate(np.nan, np.nan, np.nan, 0)
"""No data."""
