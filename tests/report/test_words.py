"""Numbers, spreads and tables as every text of the project writes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis import words

NEVER = math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NEVER, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (174.0, "174"),
        (np.float64(174.5), "174"),
        (2.09e-5, "2.09e-05"),
        (228.78, "229"),
        (999.6, "1000"),
        (1234.5, "1234"),
        (1.5e6, "1.5e+06"),
    ],
)
def test_numbers_are_short_and_never_nan(value: float, text: str) -> None:
    assert words.number(value) == text


def test_digits_and_decimals_are_the_callers() -> None:
    assert [words.number(229.04, digits) for digits in (2, 3, 4)] == ["229", "229", "229"]
    assert [words.number(1.31249, digits) for digits in (2, 3, 4)] == ["1.3", "1.31", "1.312"]
    assert words.number(17.5, decimals=0) == "18"
    assert words.number(NEVER, decimals=2) == "–"


def test_spreads() -> None:
    assert words.spread(174, 173, 174.5) == "174 [173, 174]"
    assert words.spread(0.5, NEVER, NEVER) == "0.5"
    assert words.spread(NEVER, NEVER, NEVER) == "–"
    assert words.spread(0.571, 0.52, 0.61, decimals=2) == "0.57 [0.52, 0.61]"


def test_a_table_has_its_numbers_to_the_right() -> None:
    assert words.table(["a", "n"], [["x", "1"]], {"n"}) == "| a | n |\n|---|---:|\n| x | 1 |"
