"""What the scores of a run that came to its end must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grok.recorders._stored import flaw_of_scores

NAN = np.nan


@pytest.mark.parametrize(
    ("name", "values", "whole"),
    [
        ("loss/train", [0.9, 0.1, 0.0], True),
        ("loss/train", [0.9, 2e-9, -1.4e-8], True),  # a difference of sums in float32, seen without weight decay
        ("loss/train", [0.9, -2e-6, 1e-3], False),
        ("loss/train", [0.9, -0.9, 1e-3], False),
        ("loss/train", [-1e-9, -1e-9, -1e-9], False),
        ("loss/train", [0.9, NAN, 1e-3], False),
        ("loss/train", [NAN, NAN, NAN], True),
        ("loss/train", [0.9, np.inf, 1e-3], False),
        ("loss/test", [0.9, NAN, -1e-8], True),
        ("accuracy/train", [0.0, -1e-9, 1.0], False),
        ("accuracy/train", [0.0, 0.5, 1.0 + 1e-9], False),
        ("accuracy/test", [0.0, NAN, 1.0], False),
    ],
)
def test_a_loss_may_be_below_zero_by_rounding_and_a_share_is_one(name: str, values: list[float], whole: bool) -> None:
    flaw = flaw_of_scores(pd.DataFrame({"epoch": range(3), name: values}))
    assert flaw == (
        "" if whole else f"{name} {'in [0, 1]' if name.startswith('accuracy') else 'finite and ≥ 0'} at every epoch"
    )
