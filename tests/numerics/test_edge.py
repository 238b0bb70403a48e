"""The measures of an edge against the matrices themselves, known truths, and their nulls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grok.numerics.edge import compression, edge, gap_23, leading, rotation, share, stability
from grok.numerics.edge_nulls import noise, passive, passive_factor
from grok.numerics.ledger import Keeper, Ledger, coarsen

P, T, W = 40, 9, 5


class Path:
    """A random path of θ with a decay part at each interval, and its ledger in two segments."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.theta = np.cumsum(rng.standard_normal((T + 1, P)), axis=0)
        self.decay = rng.standard_normal((T, P))
        start = torch.from_numpy(self.theta[0])
        self.keeper = Keeper(start, [slice(0, 15), slice(15, P)], lags=7)
        for theta, decay in zip(self.theta[1:], self.decay, strict=True):
            self.keeper.take(torch.from_numpy(theta), torch.from_numpy(decay), 0.1)

    @property
    def ledger(self) -> Ledger:
        return self.keeper.ledger().of()


@pytest.mark.parametrize("end", [2, 3, 5, 9])
def test_a_window_equals_its_matrices(end: int) -> None:
    """Rows are rounded to float32, a relative 6e-8 each: 1e-6 leaves room for what cancels."""
    path = Path()
    found = edge(path.ledger, end, W)
    assert found is not None
    rows = min(end, W)
    x = np.diff(path.theta, axis=0)[end - rows : end]
    d = path.decay[end - rows : end]
    _, sigma, vectors = np.linalg.svd(x, full_matrices=False)
    v = vectors[0]
    np.testing.assert_allclose(found.lambdas[:rows], sigma**2, rtol=1e-6)
    g, w = (x - d) @ v, d @ v
    assert found.exact.gradient == pytest.approx((g**2).mean(), rel=1e-5)
    assert found.exact.decay == pytest.approx((w**2).mean(), rel=1e-5)
    assert found.exact.cross == pytest.approx((g * w).mean(), rel=1e-5, abs=1e-6)
    assert found.exact.last == pytest.approx(g[-1] ** 2 / (g[-1] ** 2 + w[-1] ** 2), rel=1e-5)
    theta = path.theta
    half = -0.1 * (theta[end - rows : end] + theta[end - rows + 1 : end + 1]) / 2 @ v
    rest = x @ v - half
    assert found.trapezoid.share == pytest.approx((rest**2).mean() / ((rest**2).mean() + (half**2).mean()), rel=1e-5)
    assert found.cos2_theta == pytest.approx((theta[end] @ v) ** 2 / (theta[end] @ theta[end]), rel=1e-5)
    assert found.cos2_theta_0 == pytest.approx((theta[0] @ v) ** 2 / (theta[0] @ theta[0]), rel=1e-5)
    assert abs(found.projection) == pytest.approx(abs(theta[end] @ v), rel=1e-5)


def test_rotation_and_stability_equal_their_matrices() -> None:
    path = Path(1)
    x = np.diff(path.theta, axis=0)

    def first(rows: np.ndarray, k: int = 0) -> np.ndarray:
        return np.linalg.svd(rows, full_matrices=False)[2][k]

    for k in (1, 2):
        angle = np.degrees(np.arccos(abs(first(x[1:6], k - 1) @ first(x[2:7], k - 1))))
        assert rotation(path.ledger, 6, W, k) == pytest.approx(angle, rel=1e-5)
        assert stability(path.ledger, 6, k) == pytest.approx(abs(first(x[1:3], k - 1) @ first(x[3:6], k - 1)), abs=1e-6)
    assert np.isnan(rotation(path.ledger, 4, W))
    assert np.isnan(rotation(path.ledger, T, W))
    assert np.isnan(stability(path.ledger, 4))
    assert np.isnan(stability(path.ledger, 6, k=3))


def test_segments_add_up_and_stand_alone() -> None:
    path = Path()
    whole = path.keeper.ledger()
    part = edge(whole.of([0]), 5, W)
    assert part is not None
    x = np.diff(path.theta, axis=0)[:5, :15]
    np.testing.assert_allclose(part.lambdas, np.linalg.svd(x, compute_uv=False)[:5] ** 2, rtol=1e-5)
    np.testing.assert_allclose(whole.of([0, 1]).dd, whole.of().dd)


def test_no_window_reaches_back_across_a_restart() -> None:
    path = Path()
    path.keeper.restart()
    path.keeper.take(torch.from_numpy(path.theta[0]), torch.from_numpy(path.decay[0]), 0.1)
    assert edge(path.ledger, T + 1, W) is None
    path.keeper.take(torch.from_numpy(path.theta[3]), torch.from_numpy(path.decay[0]), 0.1)
    found = edge(path.ledger, T + 2, W)
    assert found is not None
    assert found.rows == 2


def test_a_state_goes_on_to_the_same_ledger() -> None:
    path, other = Path(), Path(5)
    other.keeper.load(path.keeper.state())
    for keeper in (path.keeper, other.keeper):
        keeper.take(torch.from_numpy(path.theta[2]), torch.from_numpy(path.decay[2]), 0.2)
    for mine, theirs in zip(other.keeper.ledger(), path.keeper.ledger(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_pure_decay_is_the_null_of_every_measure() -> None:
    """grad% 0, v₁ = θ, no rotation, k* = 1; the trapezoid errs by .0334 % of the decay, by its square in grad%."""
    ledger = passive(300, intervals=8, every=100, rate=1e-3)
    found = edge(ledger, 8, W)
    assert found is not None
    assert found.exact.share < 1e-12
    assert found.trapezoid.share == pytest.approx(3.34e-4**2, rel=1e-2)
    assert found.cos2_theta == pytest.approx(1.0, abs=1e-9)
    assert found.cos2_theta_0 == pytest.approx(1.0, abs=1e-9)
    assert rotation(ledger, 6, W) < 1e-3  # degrees: arccos near 1 loses half the digits
    assert stability(ledger, 6) == pytest.approx(1.0, abs=1e-9)
    assert leading(found.lambdas) == 1
    assert np.sqrt(ledger.tt[8] / ledger.tt[0]) == pytest.approx(float(passive_factor(800, 1e-3)), rel=1e-12)


def test_the_passive_norms_of_the_attention() -> None:
    """21.63 at the start: 16.0, 11.9, 8.0, 4.8 and 0.4 at steps 300, 600, 1000, 1500 and 4000."""
    found = 21.63 * passive_factor(np.array([300, 600, 1000, 1500, 4000]), 1e-3)
    assert found.round(1).tolist() == [16.0, 11.9, 8.0, 4.8, 0.4]


def test_noise_alone_flips_the_share() -> None:
    """AdamW without a task: the share falls below one half and rises again once the initial weights are gone."""
    ledger = noise(400, intervals=40, every=20, learning_rate=5e-3, weight_decay=1.0, scale=0.5)
    shares = [found.exact.share for end in range(2, 41) if (found := edge(ledger, end, W)) is not None]
    assert min(shares) < 0.2
    assert shares.index(min(shares)) < 20
    assert np.median(shares[-8:]) > 0.5


def test_gaps_their_compression_and_its_null() -> None:
    gaps = np.array([5.0, 4.0, 8.0, 2.0, 1.0])
    found = compression(gaps, at=3, first=1)
    assert (found.published, found.plain) == (4.0, 2.0)
    assert found.shuffled >= 1
    rising = compression(gaps[::-1].copy(), at=4)
    assert rising.published >= 1 > rising.plain
    path = Path()
    edges = [found for end in (2, 5) if (found := edge(path.ledger, end, W)) is not None]
    first, second = gap_23(edges)
    assert first == edges[0].lambdas[1]  # two rows have no third value: as published
    assert second == edges[1].lambdas[1] - edges[1].lambdas[2]


def test_the_leading_gap_and_its_weighted_kin() -> None:
    sigma = np.array([4.0, 3.0, 1.0, 0.9])
    assert leading(sigma**2) == 2
    assert leading(np.array([100.0, 30.0, 3.0, np.nan])) == 2
    assert leading(np.array([100.0, 30.0, 3.0]), weighted=True) == 1


def test_the_share_by_hand() -> None:
    assert share(3.0, 1.0) == 0.75
    assert share(1.0, 1.0) == 0.5  # where Adam balances decay
    assert share(1.0, 0.0) == 1.0  # without decay, whatever happens
    assert np.isnan(share(0.0, 0.0))


def test_longer_intervals_are_sums_of_shorter_ones() -> None:
    """Every measure of 3 N from the ledger of N equals that of a keeper of 3 N, to rounding of its float32 rows."""
    generator = torch.Generator().manual_seed(4)
    start = torch.randn(40, generator=generator, dtype=torch.float64)
    fine, coarse = (Keeper(start, [slice(0, 40)], lags) for lags in (15, 5))
    theta, total = start.clone(), torch.zeros(40, dtype=torch.float64)
    for step in range(1, 25):
        decay = -0.1 * theta
        theta = theta + decay + 0.2 * torch.randn(40, generator=generator, dtype=torch.float64)
        total += decay
        fine.take(theta, decay, 0.1)
        if step % 3 == 0:
            coarse.take(theta, total, 0.3)
            total = torch.zeros(40, dtype=torch.float64)
    mine, theirs = coarsen(fine.ledger().of(), 3), coarse.ledger().of()
    for end in range(2, 9):
        for k in (1, 2):
            one, other = edge(mine, end, 5, k), edge(theirs, end, 5, k)
            assert one is not None
            assert other is not None
            for name in ("exact", "trapezoid"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-4, abs=1e-6)
            assert (one.cos2_theta, one.cos2_theta_0) == pytest.approx((other.cos2_theta, other.cos2_theta_0), rel=1e-4)
            np.testing.assert_allclose(one.lambdas, other.lambdas, rtol=1e-5)
    with pytest.raises(ValueError, match="factor must be in"):
        coarsen(fine.ledger().of(), 16)


def test_a_longer_interval_does_not_reach_across_a_restart() -> None:
    keeper, theta = Keeper(torch.ones(3), [slice(0, 3)], lags=9), torch.ones(3, dtype=torch.float64)
    for step in range(1, 13):
        theta = theta + 0.1 * step
        keeper.take(theta, torch.zeros(3, dtype=torch.float64), 0.1)
        if step == 4:
            keeper.restart()
    found = coarsen(keeper.ledger().of(), 3)
    assert found.first.tolist() == [0, 2, 2, 2]
    assert np.isnan(found.dd[1]).all()
    assert np.isfinite(found.dd[2, 0])
    assert edge(found, 2, 5) is None
