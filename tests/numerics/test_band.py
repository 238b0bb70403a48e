"""The band of inner products: equal to the direct Gram, whatever the blocks, and it goes on where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.numerics import band as updates_module
from grok.numerics.band import BandedGram
from tests.helpers.references import EPS, direct_gram, one_thread  # noqa: F401


def fed(updates: torch.Tensor, lags: int, block: int, **settings_: object) -> BandedGram:
    """A band that saw the updates (T, S, P)."""
    steps, seeds, parameters = updates.shape
    grams = BandedGram(lags, parameters, seeds=seeds, block=block, dtype=updates.dtype, **settings_)
    for t in range(steps):
        grams.append(updates[t], torch.zeros(seeds, parameters, dtype=updates.dtype))
    return grams


def draw(steps: int, seeds: int, parameters: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(steps, seeds, parameters, generator=torch.Generator().manual_seed(seed))


def direct_band(updates: np.ndarray, lags: int) -> np.ndarray:
    gram = direct_gram(updates)
    steps = len(gram)
    return np.array([[gram[t, t - lag] if lag <= t else np.nan for lag in range(lags)] for t in range(steps)])


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(0, 40),
    lags=st.integers(1, 12),
    block=st.integers(1, 9),
    parameters=st.integers(1, 30),
    seeds=st.integers(1, 3),
    reads=st.sets(st.integers(1, 40)),
    chunk=st.integers(1, 12),
)
def test_band_equals_the_direct_gram(
    steps: int, lags: int, block: int, parameters: int, seeds: int, reads: set[int], chunk: int
) -> None:
    """Any lags, blocks and chunks, read whenever: an inner product of ≤ 30 terms is off by at most 30 ε of its norms."""
    updates = draw(steps, seeds, parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updates_module, "CHUNK", chunk)
        grams = BandedGram(lags, parameters, seeds=seeds, block=block)
    for t in range(steps):
        grams.append(updates[t], torch.zeros(seeds, parameters))
        if t in reads:
            grams.band()
    band = grams.band()
    assert band.shape == (seeds, steps, lags)
    for s in range(seeds):
        if steps:
            expected = direct_band(updates[:, s].numpy(), lags)
            scale = float(updates[:, s].double().square().sum(dim=1).max())
            np.testing.assert_allclose(band[s], expected, rtol=0, atol=30 * EPS * scale)


def test_an_update_is_new_minus_old_in_the_weights_precision() -> None:
    old, new = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.1, 2.5]])
    grams = BandedGram(2, 2)
    grams.append(new, old)
    expected = ((new - old).double() ** 2).sum()
    np.testing.assert_array_equal(grams.band()[0], [[float(expected), np.nan]])


def test_appending_copies() -> None:
    new = torch.ones(1, 3)
    grams = BandedGram(2, 3)
    grams.append(new, torch.zeros(1, 3))
    new += 1
    assert grams.band()[0, 0, 0] == 3.0


@pytest.mark.parametrize("kind", ["even", "gaussian"])
def test_a_long_sum_keeps_float64(kind: str) -> None:
    """As many parameters, lags and updates a pass as the first layer of the papers. A running sum over all 290,816
    products is off by 600 to 1000 ε (measured, both kinds); one sum per chunk of 2048, then the sum of the chunks, by at
    most 40 ε. λ₃ … λ₅ sit 1e-5 … 1e-8 below λ₁ and live on these digits."""
    steps, parameters = 16, 2 * 71 * 2048
    updates = draw(steps, 1, parameters)
    if kind == "even":  # Adam's first updates are all close to ±lr
        updates = 1e-3 * updates[:1].sign() * (1 - 1e-3 * torch.rand(updates.shape, generator=torch.Generator().manual_seed(1)))
    band = fed(updates, lags=64, block=16).band()[0]
    for t in (0, 1, 15):
        wide = updates[t, 0].numpy().astype(np.longdouble)
        assert float(abs(band[t, 0] - np.sum(wide * wide)) / band[t, 0]) < 100 * EPS


def test_float32_updates_are_multiplied_in_float64() -> None:
    updates = torch.full((1, 1, 3), 1.0 + 2.0**-20)
    assert fed(updates, 1, 1).band()[0, 0, 0] == 3 * (1.0 + 2.0**-20) ** 2  # 41 bits: not a float32


@pytest.mark.parametrize("chunk", [1, 2, 5, 2048])
def test_window_gives_the_raw_updates_oldest_first(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates_module, "CHUNK", chunk)
    updates = draw(30, 2, 5)
    grams = fed(updates, lags=6, block=4)
    assert torch.equal(grams.window(6), updates[24:].transpose(0, 1))
    assert torch.equal(grams.window(3, end=27), updates[24:27].transpose(0, 1))
    copy = grams.window(1)
    copy.zero_()
    assert torch.equal(grams.window(1)[:, 0], updates[29])


@pytest.mark.parametrize(("size", "end"), [(31, 30), (2, 31), (2, 10), (0, 30), (3, 2)])
def test_window_that_is_not_kept_is_refused(size: int, end: int) -> None:
    with pytest.raises(ValueError, match=r"^window must lie in the last \d+ of 30 updates, got .*\. Ask earlier"):
        fed(draw(30, 1, 5), lags=6, block=4).window(size, end)


@pytest.mark.parametrize("bad", [{"lags": 0}, {"parameters": 0}, {"block": 0}])
def test_bad_sizes_are_refused(bad: dict[str, int]) -> None:
    sizes = {"lags": 2, "parameters": 3, "block": 4} | bad
    with pytest.raises(ValueError, match=r"^lags, parameters and block must be ≥ 1, got"):
        BandedGram(sizes["lags"], sizes["parameters"], block=sizes["block"])


def test_rows_come_in_whole_blocks() -> None:
    grams = fed(draw(11, 2, 5), lags=3, block=4)
    assert (grams.count, grams.complete) == (11, 8)
    np.testing.assert_array_equal(grams.band_rows(0), grams.band()[:, :8])
    np.testing.assert_array_equal(grams.band_rows(4), grams.band()[:, 4:8])
    assert grams.band_rows(8).shape == (2, 0, 3)


@pytest.mark.parametrize("stop", [0, 1, 4, 7, 19, 30])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("flat", [False, True])
def test_it_goes_on_bit_for_bit(stop: int, seeds: int, flat: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a state of (slots, P) rows, as runs of the first version saved them."""
    monkeypatch.setattr(updates_module, "CHUNK", 128)
    updates = draw(33, seeds, 300)
    straight = fed(updates, lags=6, block=4)
    stopped = fed(updates[:stop], lags=6, block=4)
    states = [{name: value.clone() for name, value in stopped.state(s).items()} for s in range(seeds)]
    if flat:
        for state in states:
            state["ring"] = state["ring"].transpose(0, 1).flatten(1)[:, :300]
    resumed = BandedGram(6, 300, seeds=seeds, block=4)
    resumed.load(states)
    for t in range(stop, 33):
        resumed.append(updates[t], torch.zeros(seeds, 300))
    np.testing.assert_array_equal(resumed.band(), straight.band())
    assert torch.equal(resumed.ring, straight.ring)


@pytest.mark.parametrize(("before", "after"), [(128, 300), (300, 128), (128, 7)])
def test_a_state_goes_on_in_chunks_of_another_size(before: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As between a CPU and a GPU, which has one chunk."""
    updates = draw(33, 1, 300)
    straight = fed(updates, lags=6, block=4)
    monkeypatch.setattr(updates_module, "CHUNK", before)
    state = {name: value.clone() for name, value in fed(updates[:18], lags=6, block=4).state(0).items()}
    monkeypatch.setattr(updates_module, "CHUNK", after)
    resumed = BandedGram(6, 300, block=4)
    resumed.load([state])
    for update in updates[18:]:
        resumed.append(update, torch.zeros(1, 300))
    np.testing.assert_allclose(
        resumed.band(), straight.band(), rtol=0, atol=300 * EPS * float(updates.square().sum(dim=2).max())
    )
    assert torch.equal(resumed.window(6), straight.window(6))


@pytest.mark.parametrize("size", [2, 4, 6])
@pytest.mark.parametrize("chunk", [1, 3, 2048])
def test_an_update_of_another_size_is_refused(size: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates_module, "CHUNK", chunk)
    with pytest.raises(RuntimeError, match="shape"):
        BandedGram(2, 3).append(torch.ones(1, size), torch.zeros(1, size))


def test_seeds_are_kept_apart() -> None:
    updates = draw(9, 3, 20)
    band = fed(updates, lags=4, block=2).band()
    for s in range(3):
        alone = fed(updates[:, s : s + 1], lags=4, block=2).band()[0]
        scale = float(np.nanmax(alone))
        np.testing.assert_allclose(band[s], alone, rtol=0, atol=20 * EPS * scale)
