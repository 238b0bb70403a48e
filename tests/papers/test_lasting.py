"""A fire that lasts, and one that crosses the threshold once."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.papers.xu.horizon import LASTING, lasts

LAG, FIRST = 25, 100


@pytest.mark.parametrize(("length", "once", "long"), [(0, False, False), (1, True, False), (4, True, False), (5, True, True)])
def test_a_slope_above_the_threshold_lasts_or_does_not(length: int, once: bool, long: bool) -> None:
    log_gap = np.zeros(300)
    log_gap[150 : 150 + length] = 0.05 * LAG  # the slope is 0.05 per epoch at these, and below 0 a lag later
    gap = np.exp(log_gap)
    assert (lasts(gap, 1), lasts(gap, LASTING)) == (once, long)


def test_what_comes_before_the_first_epoch_of_the_detector_does_not_count() -> None:
    log_gap = np.zeros(300)
    log_gap[FIRST - 10 : FIRST + 3] = 0.05 * LAG
    assert lasts(np.exp(log_gap), 3)
    assert not lasts(np.exp(log_gap), LASTING)
