"""Divergence is a loss that is not finite; a network that falls to nothing collapses; neither is told of one that trains."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.reading.derived import with_ending, with_rho
from grok.numerics.endings import Ending, ending
from grok.numerics.features import feature_observables
from grok.recorders.base import score_names
from grok.spec.config import RunConfig
from grok.training.loop import Training
from tests.conftest import TINY

NAMES = score_names(("w", "v"))


def history(config: RunConfig, **changes: Any) -> pd.DataFrame:
    """A run's history as a store keeps it: the epochs before the loss stops being finite."""
    rows = []
    for step in Training(replace(config, **changes)):
        row = step.metrics()
        if not math.isfinite(row["loss/train"]):
            break
        rows.append({"epoch": step.epoch} | row)
    return pd.DataFrame(rows)


def ended(frame: pd.DataFrame, config: RunConfig) -> Ending:
    norms = {layer: frame[f"norm/{layer}"].to_numpy() for layer in "wv"}
    return ending(frame["loss/train"].to_numpy(), norms, config.modulus, config.last_epoch)


def test_a_network_that_trains_ran() -> None:
    assert ended(history(TINY), TINY) == Ending("ran", None)
    still = replace(TINY, learning_rate=1e-12)  # the loss of fresh weights is near that of no output, their norms are not
    frame = history(still)
    assert abs(frame["loss/train"].iloc[-1] - (1 - 1 / 11)) < 0.02
    assert ended(frame, still) == Ending("ran", None)


def test_a_loss_that_is_not_finite_diverged() -> None:
    config = replace(TINY, learning_rate=1e6, activation="cube", optimizer="sgd")
    frame = history(config)
    assert 0 < len(frame) <= config.last_epoch
    assert ended(frame, config) == Ending("diverged", len(frame))
    loss = np.array([0.9, np.inf, np.nan, 0.9])
    assert ending(loss, {"w": np.ones(4)}, 10, 3) == Ending("diverged", 1)


@pytest.fixture(scope="module")
def collapsed() -> tuple[RunConfig, pd.DataFrame]:
    """Decoupled decay that halves every weight at each step: the loss has no say."""
    config = replace(TINY, optimizer="adamw", learning_rate=1e-3, weight_decay=500.0, epochs=120, observe_every=5)
    return replace(config, checkpoint_epochs=()), history(replace(config, checkpoint_epochs=()))


def test_a_network_that_falls_to_nothing_collapsed(collapsed: tuple[RunConfig, pd.DataFrame]) -> None:
    config, frame = collapsed
    found = ended(frame, config)
    assert found.state == "collapsed"
    assert found.epoch is not None
    assert np.isfinite(frame[list(NAMES)].to_numpy()).all()
    share = frame[["norm/w", "norm/v"]] / frame[["norm/w", "norm/v"]].iloc[0]
    assert (share.iloc[found.epoch :] <= 1e-3).all().all()
    assert (share.iloc[found.epoch - 1] > 1e-3).any()


def test_one_layer_or_the_loss_alone_is_no_collapse() -> None:
    loss, small = np.full(5, 0.9), np.array([1.0, 1e-4, 1e-4, 1e-4, 1e-4])
    assert ending(loss, {"w": small, "v": small}, 10, 4) == Ending("collapsed", 1)
    assert ending(loss, {"w": small, "v": np.ones(5)}, 10, 4) == Ending("ran", None)
    assert ending(loss - 1e-5, {"w": small, "v": small}, 10, 4) == Ending("ran", None)
    back = np.array([1.0, 1e-4, 1.0, 1e-4, 1e-4])
    assert ending(loss, {"w": back, "v": small}, 10, 4) == Ending("collapsed", 3)  # to the end, or it is none


def test_series_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^loss and norms must cover the same epochs from 0 on, got 3, 2\. Give whole"):
        ending(np.ones(3), {"w": np.ones(2)}, 10, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-160, 1e-30, 1e-22])
def test_rho_of_no_features_is_not_a_number(dtype: torch.dtype, scale: float) -> None:
    """0/0, or rounding over rounding where the squares of a Gram's entries leave the normal numbers."""
    features = torch.rand(20, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = feature_observables((features * scale).to(dtype))
    known = dtype == torch.float64 and scale >= 1e-30
    for name in ("features/rho", "features/offdiag_ratio"):
        expected = feature_observables(features)[name] if known else math.nan
        assert found[name] == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_rho_of_a_collapsed_run_is_absent_and_of_an_older_one_not_read(collapsed: tuple[RunConfig, pd.DataFrame]) -> None:
    config, frame = collapsed
    assert 0 < frame["features/rho"].notna().sum() < frame["features/dead"].notna().sum()
    runs = pd.DataFrame([{"run_id": "a", "epochs": config.last_epoch, "modulus": config.modulus}])
    (found,) = with_ending(runs, {"a": frame}).to_dict("records")
    assert (found["ended"], found["ended_epoch"]) == tuple(ended(frame, config))
    older = frame.assign(**{"features/rho": np.where(frame["epoch"] >= found["ended_epoch"], 0.9, np.nan)})
    (read,) = with_rho(runs, {"a": older}).to_dict("records")
    assert math.isnan(read["rho_epoch"])
    trained = history(TINY)
    seen = with_rho(runs.assign(epochs=64), {"a": trained.assign(**{"features/rho": 0.9})})
    assert list(seen["rho_epoch"]) == [0.0]
