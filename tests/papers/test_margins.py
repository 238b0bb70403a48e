"""Margins of equivalence: what they hold, and that the written rules have the same ones."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from analysis.exhibits.margins import ACCURACY, EPOCH, MARGINS, R_SQUARED, RATIO, SHARE, SIZE, Margin, rounds_to

WRITTEN = Path(__file__).resolve().parents[2] / "analysis" / "claims" / "PREREGISTRATION.md"


def test_the_written_margins_are_those_of_the_code() -> None:
    (table,) = re.findall(r"<!-- margins.*?-->\n(.*?)<!-- end of margins -->", WRITTEN.read_text(encoding="utf-8"), re.DOTALL)
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.strip().splitlines()[2:]]
    assert rows == [(margin.kind, margin.width, margin.reason) for margin in MARGINS]


@pytest.mark.parametrize(
    ("margin", "published", "low", "high"),
    [
        (EPOCH, "15", 13.0, 17.0),
        (EPOCH, "1527", 1450.65, 1603.35),
        (EPOCH, "-75", -78.75, -71.25),
        (RATIO, "229", 183.2, 286.25),
        (RATIO, "1.3", 1.3**0.5, 1.3**1.5),  # half of its logarithm
        (RATIO, "1", 0.5, 1.5),  # half a unit of the printed digit
        (SIZE, "8.4e-6", 8.4e-6 / 1.1, 8.4e-6 * 1.1),
        (SIZE, "0.008", 0.008 / 1.1, 0.008 * 1.1),
        (ACCURACY, "0.03", 0.02, 0.04),
        (ACCURACY, "1.0", 0.95, 1.05),  # printed to a tenth
        (SHARE, "0.865", 0.845, 0.885),
        (R_SQUARED, "0.87", 0.82, 0.92),
    ],
)
def test_a_margin_around_a_printed_number(margin: Margin, published: str, low: float, high: float) -> None:
    assert margin.around(published) == pytest.approx((low, high))


def test_a_ratio_near_one_is_never_taken_for_none() -> None:
    for printed in ("1.05", "1.31", "1.40", "2.00", "300"):
        assert RATIO.around(printed)[0] > 1.0
        assert math.prod(RATIO.around(printed)) == pytest.approx(float(printed) ** 2)


def test_rounding_to_the_printed_digits() -> None:
    assert rounds_to(2.09e-5, "2.1e-5")
    assert not rounds_to(2.16e-5, "2.1e-5")
    assert not rounds_to(math.nan, "2")
