"""What the recorders of every run make of scores and bands: spectra that grow with the band, the verdict, table and summary."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.numerics.series import cosine_distance, slope
from grok.numerics.spectra import gap, rolling_eigenvalues
from grok.recorders.base import Run
from grok.recorders.spectrum import Spectrum
from grok.spec.config import RunConfig
from grok.training.parts import network_of, recorders_of, task_of

WINDOW, LAGS = 4, 6
CONFIG = RunConfig(window=WINDOW, max_window=LAGS, slope_lag=3, slope_threshold=0.2, first_epoch=10, epochs=40)


def band_of(updates: np.ndarray) -> np.ndarray:
    gram = updates @ updates.T
    return np.array([[gram[t, t - l] if l <= t else np.nan for l in range(LAGS)] for t in range(len(gram))])


def fading(steps: int, start: int) -> np.ndarray:
    """Updates in two directions; the weaker pair fades from epoch `start`, so that the gap λ₂/λ₃ opens."""
    strength = np.exp(-0.5 * np.maximum(np.arange(steps) + 1 - start, 0))
    updates = np.zeros((steps, 4))
    t = np.arange(steps)
    updates[t, t % 4] = np.where(t % 4 < 2, 1.0, 0.1 * strength)
    return updates


def scores(epoch: int) -> dict[str, float]:
    return {"accuracy/test": epoch / 40, "accuracy/train": min(1.0, epoch / 10), "loss/train": 1.0 / (1 + epoch)}


def changed(**changes: Any) -> RunConfig:
    return dataclasses.replace(CONFIG, **changes)


def new(config: RunConfig = CONFIG) -> tuple[Run, Spectrum]:
    config = config.resolved()
    run = Run(config, 0, task_of(config), network_of(config), {})
    run.recordings = {name: recorder.start(run) for name, recorder in recorders_of(config).items()}
    spectrum = run.recordings["spectrum"]
    assert isinstance(spectrum, Spectrum)
    return run, spectrum


def run_of(steps: int = 40, start: int = 20, config: RunConfig = CONFIG) -> Run:
    run, spectrum = new(config)
    for epoch in range(steps + 1):
        run.rows.append(scores(epoch) | ({"features/rho": 0.1} if epoch % 10 == 0 else {}))
    for layer in ("w", "v"):
        spectrum.extend_band(layer, band_of(fading(steps, start) * (1 if layer == "w" else 2)))
    return run


def fire_epoch(run: Run) -> float | None:
    return run.summary().get("fire_epoch")


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 25), max_size=6))
def test_spectra_in_pieces_equal_the_whole(cuts: list[int]) -> None:
    band = band_of(np.random.default_rng(0).standard_normal((25, 9)))
    pieces, whole = new()[1], new()[1]
    for cut in [*cuts, 25]:  # in any order: a band that is no longer than what is known adds nothing
        pieces.extend_band("w", band[:cut])
    whole.extend_band("w", band)
    np.testing.assert_array_equal(pieces.eigenvalues["w"], whole.eigenvalues["w"])
    np.testing.assert_array_equal(pieces.cosines["w"], whole.cosines["w"])
    np.testing.assert_array_equal(whole.eigenvalues["w"], rolling_eigenvalues(band, WINDOW))


def test_complete_is_the_shortest_of_all() -> None:
    run, spectrum = new()
    assert run.complete == 0
    for epoch in range(6):
        run.rows.append(scores(epoch))
    assert run.complete == 0
    spectrum.extend_band("w", band_of(fading(5, 9)))
    spectrum.extend_band("v", band_of(fading(3, 9)))
    assert run.complete == 4
    assert list(run.frame()["epoch"]) == [0, 1, 2, 3]
    assert len(run.series("delta_w/gap_23")) == 4


def test_frame_holds_every_metric_under_its_name() -> None:
    run = run_of()
    frame = run.frame()
    assert list(frame["epoch"]) == list(range(41))
    for layer, factor in (("w", 1), ("v", 4)):
        eigenvalues = rolling_eigenvalues(band_of(fading(40, 20)), WINDOW)
        np.testing.assert_allclose(frame[f"delta_{layer}/lambda_1"], factor * eigenvalues[:, 0], rtol=1e-14)
        np.testing.assert_allclose(frame[f"delta_{layer}/gap_12"], gap(eigenvalues, 1, WINDOW), rtol=1e-9)
        np.testing.assert_allclose(frame[f"delta_{layer}/gap_23"], gap(eigenvalues, 2, WINDOW), rtol=1e-9)
        np.testing.assert_array_equal(frame[f"delta_{layer}/gap_23"], run.series(f"delta_{layer}/gap_23"))
        expected = slope(gap(eigenvalues, 2, WINDOW), CONFIG.slope_lag)
        np.testing.assert_allclose(frame[f"delta_{layer}/slope_23"], expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(frame[f"delta_{layer}/cosine_distance"], cosine_distance(band_of(fading(40, 20))))
    assert "delta_w/lambda_5" not in frame  # a window of 4 has none: no empty columns
    assert list(frame["features/rho"].dropna().index) == [0, 10, 20, 30, 40]
    with pytest.raises(KeyError, match="loss/train"):
        run.series("loss/train")


def test_raw_methods_get_gaps_and_slopes_of_their_own() -> None:
    run = run_of(config=changed(spectrum_methods=("svd",)))
    for epoch, row in enumerate(run.rows):
        if epoch >= 3:
            row |= {f"delta_w_svd/lambda_{k}": 2.0 ** (-k * epoch) for k in (1, 2, 3)}
    frame = run.frame()
    epochs = np.arange(3, 41)
    expected = gap(np.stack([2.0 ** (-k * epochs) for k in (1, 2, 3)], axis=1), 2, WINDOW)
    np.testing.assert_allclose(frame["delta_w_svd/gap_23"][3:], expected, rtol=1e-14)
    np.testing.assert_allclose(frame["delta_w_svd/slope_23"][6:], slope(expected, 3)[3:], rtol=0, atol=1e-14)
    assert not any(name.startswith("delta_v_svd") for name in frame.columns)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 41), size=st.integers(0, 41))
def test_points_are_the_finite_cells(first: int, size: int) -> None:
    run = run_of()
    frame = run.frame()
    got = list(run.points(first, first + size))
    cells = {
        (epoch, name): frame[name][epoch]
        for epoch in range(first, min(first + size, 41))
        for name in frame.columns
        if name != "epoch" and np.isfinite(frame[name][epoch])
    }
    assert {(epoch, name): value for epoch, name, value in got} == cells
    assert len(got) == len(cells)


def test_planted_gap_fires_and_a_flat_one_does_not() -> None:
    """The weak pair's λ₃ fades by e^{−1} an epoch from 20 on: the slope over 3 epochs passes 0.2 when the last update of
    full strength has left the window of 4, and at the latest one lag later."""
    fired = fire_epoch(run_of(start=20))
    assert fired is not None
    assert 20 < fired <= 20 + WINDOW + CONFIG.slope_lag
    assert fire_epoch(run_of(start=99)) is None


@pytest.mark.parametrize("change", [{"slope_lag": 20}, {"slope_threshold": 1.2}, {"first_epoch": 30}, {"window": 6}])
def test_detector_settings_count(change: dict[str, float]) -> None:
    assert fire_epoch(run_of(start=20, config=changed(**change))) != fire_epoch(run_of(start=20))


def test_summary() -> None:
    run = run_of(start=20)
    assert run.summary() == {
        "fired": 1.0,
        "fire_epoch": fire_epoch(run),
        "test_50_epoch": 20.0,
        "test_99_epoch": 40.0,
        "train_99_epoch": 10.0,
    }
    never = run_of(steps=15, start=99).summary()
    assert never == {"fired": 0.0, "train_99_epoch": 10.0}


def test_late_gap_is_the_median_of_its_epochs() -> None:
    run, spectrum = new(changed(epochs=450))
    for epoch in range(451):
        run.rows.append(scores(epoch))
    values = np.exp(np.random.default_rng(0).uniform(0, 3, 451))
    for layer in ("w", "v"):
        spectrum.eigenvalues[layer] = np.stack([9 * values, values, np.ones(451), np.ones(451), np.ones(451)], axis=1)
        spectrum.cosines[layer] = np.zeros(451)
    assert run.summary()["late_gap_23"] == pytest.approx(np.median(values[200:401]))


def test_truncate_forgets_what_follows() -> None:
    run, short = run_of(), run_of(steps=11)
    run.truncate(12)
    assert run.complete == 12
    for layer in ("w", "v"):
        mine, other = (one.recordings["spectrum"].eigenvalues[layer] for one in (run, short))
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-14)
    assert len(run.frame()) == 12


def test_cosine_distance_of_known_directions() -> None:
    updates = np.array([[1.0, 0, 0], [3.0, 0, 0], [0, 2.0, 0], [0, -1.0, 0], [0, 0, 0], [1.0, 0, 0], [1.0, 1.0, 0]])
    got = cosine_distance(band_of(updates))
    np.testing.assert_allclose(got, [np.nan, np.nan, 0, 1, 2, np.nan, np.nan, 1 - 0.5**0.5], rtol=0, atol=1e-15)
    assert np.isnan(cosine_distance(band_of(updates[:1]))).all()
    assert cosine_distance(band_of(updates[:0])).shape == (1,)
