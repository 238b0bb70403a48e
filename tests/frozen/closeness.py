"""Whether two runs of one config, perhaps of two processors, are the same up to rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from grok.spec.config import RunConfig
from tests.conftest import Contents

EPS = float(np.finfo(np.float64).eps)
HISTORY = "history.parquet"
START = ("loss/train", "loss/test", "norm/w", "norm/v")


@dataclass(frozen=True)
class Tolerance:
    """How far numbers of a float64 run may differ.

    Attributes:
        relative: of a number. noise: of an eigenvalue and of a cosine, in units of the largest eigenvalue and of 1.
        modes: of an entry of a direction of unit length.
    """

    relative: float
    noise: float
    modes: float


SAME_START = Tolerance(1e-8, 64 * EPS, 1e-5)
"""Sums in another order, as in the golden run of test_training.py. An eigenvalue of a float64 Gram is known to a few ε of the
largest, here 64. Kernels of AVX2 against those of AVX-512: 1e-10 but for eigenvalues, whose noise was 1 ε."""
OTHER_START = Tolerance(1e-2, 1e-9, 0.1)
"""torch draws initial weights in float32 by other formulas where a processor lacks AVX2, so that they are a rounding of 6e-8
away. Adam's division makes more of it: of these runs, 1e-3 of a third eigenvalue of 1e-5 of the largest."""


def tolerance(found: Contents, expected: Contents) -> Tolerance:
    """By whether both began with the same bits of weights, up to the order of sums."""
    first, other = (one.tables[HISTORY].loc[0, list(START)].to_numpy(dtype=float) for one in (found, expected))
    np.testing.assert_allclose(first, other, rtol=1e-6, err_msg="the initial network")
    return SAME_START if np.allclose(first, other, rtol=1e-12, atol=0) else OTHER_START


def assert_close(found: Contents, expected: Contents, config: RunConfig) -> None:
    """The same names, types, sizes, epochs and whole numbers; the same numbers up to rounding."""
    bound = tolerance(found, expected)
    assert found.files == expected.files
    assert found.tables.keys() == expected.tables.keys()
    for name, table in found.tables.items():
        other = expected.tables[name]
        assert (list(table), list(table.dtypes), len(table)) == (list(other), list(other.dtypes), len(other)), name
        for column in table:
            assert_column(table, other, str(column), bound, config)
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in found.arrays.items():
        assert_array(name, array, expected.arrays[name], bound)
    assert_metrics(found, expected, bound, config)


def assert_column(table: pd.DataFrame, other: pd.DataFrame, column: str, bound: Tolerance, config: RunConfig) -> None:
    """One column of two tables. A gap is off by what its eigenvalues are, a slope by what two log gaps are."""
    values, expected = (one[column].to_numpy(dtype=float) for one in (table, other))
    layer, _, what = column.rpartition("/")
    absolute: np.ndarray | float = 0.0
    if what == "theorem6_error":  # is rounding itself
        assert (np.nan_to_num(values) < 1e-10).all(), column
        return
    if what == "cosine_distance":
        absolute = 4 * bound.noise
    elif layer.startswith("delta_"):
        largest = other[f"{layer}/lambda_1"].max()
        if what.startswith("lambda_"):
            absolute = bound.noise * largest
        else:
            last = other[f"{layer}/lambda_{'2' if what == 'gap_12' else '3'}"].to_numpy(dtype=float)
            logarithm = bound.relative + bound.noise * largest / last
            absolute = 2 * np.nanmax(logarithm) / config.slope_lag if what == "slope_23" else logarithm * expected
    close = np.isclose(values, expected, rtol=bound.relative, atol=0, equal_nan=True) | (abs(values - expected) <= absolute)
    exact = table[column].dtype.kind == "i"
    assert (values == expected).all() if exact else close.all(), f"{column}: {values[~close]} for {expected[~close]}"


def assert_array(name: str, array: np.ndarray, other: np.ndarray, bound: Tolerance) -> None:
    """One array of two files."""
    assert (array.dtype, array.shape) == (other.dtype, other.shape), name
    if "modes" in name and array.ndim > 1:
        np.testing.assert_allclose(aligned(array, other), other, rtol=0, atol=bound.modes, err_msg=name)
        return
    scale = np.nanmax(np.abs(other)) if other.size else 0.0
    np.testing.assert_allclose(array, other, rtol=bound.relative, atol=bound.relative * scale, err_msg=name)


def aligned(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Directions with the signs of others: an eigenvector has none of its own."""
    products = (found.reshape(len(found), -1) * expected.reshape(len(found), -1)).sum(axis=1)
    return found * np.where(products < 0, -1.0, 1.0).reshape(-1, *[1] * (found.ndim - 1))


def assert_metrics(found: Contents, expected: Contents, bound: Tolerance, config: RunConfig) -> None:
    """The same metrics at the same epochs, each point close to that of the other's table; the same summary."""
    assert found.metrics.keys() == expected.metrics.keys()
    epochs = found.tables[HISTORY].index
    for name, points in found.metrics.items():
        assert [step for step, _ in points] == [step for step, _ in expected.metrics[name]], name
        if "/" in name:
            logged = pd.DataFrame({name: pd.Series(dict(points), dtype=float)}, index=epochs)
            assert_column(logged, expected.tables[HISTORY], name, bound, config)
        else:
            assert points == expected.metrics[name], name
