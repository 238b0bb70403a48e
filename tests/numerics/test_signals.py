"""Numerics of the later signals against slow oracles and known truths: characters, heads, mixtures, graphs, norms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from grok.numerics import characters, dynamics, harmonics, heads, mixture, passage, topology


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_powers_are_those_of_a_generator() -> None:
    found = characters.powers(71)
    assert sorted(found) == list(range(1, 71))
    assert found[:2] == (1, 7)  # the smallest generator of 71
    assert all(b == a * 7 % 71 for a, b in itertools.pairwise(found))
    with pytest.raises(ValueError, match=r"^p must be a prime, got 10\."):
        characters.powers(10)


@pytest.mark.parametrize("q", [7, 10])
def test_strengths_are_projections_on_sines_and_cosines(q: int) -> None:
    """Of length one each; the sine at q/2 vanishes."""
    rows, alpha = drawn(q, 5), np.arange(q)
    expected = []
    for k in range(1, q // 2 + 1):
        waves = [np.sin(2 * np.pi * k * alpha / q), np.cos(2 * np.pi * k * alpha / q)]
        waves = [wave / np.linalg.norm(wave) for wave in waves if np.linalg.norm(wave) > 1e-9]
        expected.append(math.sqrt(sum(float(np.square(wave @ rows.numpy()).sum()) for wave in waves)))
    np.testing.assert_allclose(characters.strengths(rows), expected, rtol=1e-12)


def test_gini_and_number_of_frequencies_at_their_ends() -> None:
    assert characters.gini(np.ones(8)) == pytest.approx(0)
    assert characters.gini(np.array([0, 0, 0, 5.0])) == pytest.approx(1 - 1 / 4)
    assert characters.inverse_participation(np.ones(8)) == pytest.approx(8)
    assert characters.inverse_participation(np.array([0, 0, 5.0])) == pytest.approx(1)
    assert math.isnan(characters.gini(np.zeros(3)))


def test_tuning_is_the_share_of_one_block() -> None:
    """By least squares on {1, sin_k, cos_k}², without the mean."""
    q, maps = 7, drawn(7, 7, 3)
    place = np.arange(q)
    best = np.zeros(3)
    centred = maps.numpy() - maps.numpy().mean(axis=(0, 1))
    for k in range(1, q // 2 + 1):
        waves = [np.ones(q), np.sin(2 * np.pi * k * place / q), np.cos(2 * np.pi * k * place / q)]
        basis = np.stack([np.outer(a, b).ravel() for a, b in itertools.product(waves, waves)], axis=1)
        fitted = basis @ np.linalg.lstsq(basis, centred.reshape(q * q, 3), rcond=None)[0]
        best = np.maximum(best, np.square(fitted).sum(axis=0) / np.square(centred).sum(axis=(0, 1)))
    np.testing.assert_allclose(characters.tuning(maps), best, rtol=1e-10)
    assert characters.tuning(torch.ones(4, 4, 1))[0] == 0


def test_products_are_sums_in_the_order_of_logarithms() -> None:
    """Outputs that multiply mod 7 are, in that order, outputs that add mod 6; and a layer's rows likewise."""
    order = list(characters.powers(7))
    right = torch.zeros(6, 6, 6, dtype=torch.float64)
    for i, j in itertools.product(range(6), range(6)):
        right[i, j, order.index(order[i] * order[j] % 7)] = 1
    assert harmonics.explained(right.flatten(0, 1), 6) == pytest.approx(1)
    wave = torch.zeros(7, 1, dtype=torch.float64)
    wave[torch.tensor(order), 0] = torch.cos(2 * math.pi / 6 * torch.arange(6, dtype=torch.float64))
    assert harmonics.dominance(wave.repeat(2, 1), 6) == pytest.approx(1)


def test_losses_of_orbits_under_a_cross_entropy() -> None:
    """By the definition: the mean over all pairs of the cross-entropy of z̄, and of z − z̄ on the training pairs."""
    m, z = 5, drawn(25, 5)
    mean = harmonics.orbit_mean(z, m)
    a, b = torch.arange(25) // m, torch.arange(25) % m
    full = mean[((a + b)[:, None] - torch.arange(m)) % m]
    labels = (a + b) % m
    expected = float(torch.nn.functional.cross_entropy(full, labels))
    assert harmonics.restricted_loss(z, m, cross_entropy=True) == pytest.approx(expected, rel=1e-12)
    rows, inputs = torch.tensor([1, 7, 19]), torch.stack((a, b), dim=1)
    rest = z - z.mean(dim=1, keepdim=True) - full
    expected = float(torch.nn.functional.cross_entropy(rest[rows], labels[rows]))
    found = harmonics.excluded_loss(z, inputs[rows], labels[rows], m, cross_entropy=True)
    assert found == pytest.approx(expected, rel=1e-12)


def test_heads_by_loops() -> None:
    attention = drawn(2, 5, 3, 4, 4).softmax(dim=-1)
    cosines, spreads = [], []
    for block in attention:
        flat = [block[:, h].flatten() for h in range(3)]
        pairs = [float(x @ y / (x.norm() * y.norm())) for x, y in itertools.combinations(flat, 2)]
        cosines.append(np.mean(pairs))
        spreads.append(np.std([float(-(block[:, h] * block[:, h].log()).sum(dim=-1).mean()) for h in range(3)]))
    assert heads.cosine(attention) == pytest.approx(np.mean(cosines), rel=1e-12)
    assert heads.entropy_spread(attention) == pytest.approx(np.mean(spreads), rel=1e-12)
    assert math.isnan(heads.cosine(attention[:, :, :1]))


def test_a_mixture_finds_the_variance_that_was_planted() -> None:
    """Four clusters 20 apart in ten dimensions, of variance 0.25."""
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(10)[:4]
    samples = centres[np.arange(400) % 4] + 0.5 * rng.standard_normal((400, 10))
    features = torch.from_numpy(samples)
    largest = float(torch.linalg.eigvalsh(torch.cov(features.T, correction=0))[-1])
    assert mixture.precision_ratio(features, 4) == pytest.approx(largest / 0.25, rel=0.05)
    assert mixture.precision_ratio(features, 4) > 5 * mixture.precision_ratio(features, 1)
    assert math.isnan(mixture.precision_ratio(torch.ones(5, 3), 2))


def test_the_fiedler_value_by_lanczos_is_that_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers, and a chain of three with a table that two places share; one with a bottleneck falls back."""
    two = drawn(12, 500), drawn(500, 9, seed=1)
    table = {"embedding": drawn(40, 30), "w1": drawn(60, 400, seed=1), "v": drawn(400, 40, seed=2)}
    three = dynamics.chain(table)
    assert [tuple(layer.shape) for layer in three] == [(80, 60), (60, 400), (400, 40)]
    assert torch.equal(three[0][:40, :30], three[0][40:, 30:])
    assert float(three[0][:40, 30:].abs().max()) == 0
    narrow = two[0].clone(), two[1].clone()
    narrow[0][:, 250:] = 0
    narrow[1][250:, :8] = 0
    narrow[1][:250, 8] = 0
    found = [dynamics.connectivity(*layers) for layers in (two, three, narrow)]
    monkeypatch.setattr(dynamics, "SMALL_GRAPH", 10**6)
    np.testing.assert_allclose(found, [dynamics.connectivity(*layers) for layers in (two, three, narrow)], rtol=1e-9, atol=1e-9)


def test_eigenvalues_below_zero_are_counted_off_a_factor_where_none_is_near_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Sylvester's law; blocks of two pivots too, as zeros on the diagonal ask for. Near 0 the eigenvalues decide."""
    rng, asked, real = np.random.default_rng(0), [], dynamics.eigvalsh
    monkeypatch.setattr(dynamics, "eigvalsh", lambda matrix: asked.append(1) or real(matrix))
    for size in (1, 2, 7, 40):
        for below in {0, size // 3, size}:
            q = np.linalg.qr(rng.standard_normal((size, size)))[0]
            values = rng.lognormal(size=size) * np.where(np.arange(size) < below, -1, 1)
            assert dynamics._below_zero((q * values) @ q.T) == below
    hollow = np.ones((6, 6)) - np.eye(6)
    assert dynamics._below_zero(hollow) == 5
    assert not asked
    assert dynamics._below_zero(np.diag([-2.0, 1e-9, 3.0, -1e-9])) == 2
    assert dynamics._below_zero(np.diag([-1.0, 0.0, 1.0])) == 1
    assert len(asked) == 2


def test_collapse_counts_what_float32_no_longer_tells() -> None:
    """1 + exp(−17) is 1 in float32, 1 + exp(−15) is not."""
    assert dynamics.collapsed(torch.tensor([[0.0, -17.0], [0.0, -15.0]])) == 0.5


def test_windows_of_a_series_by_their_definition() -> None:
    rng = np.random.default_rng(0)
    values = np.stack((rng.standard_normal(45).cumsum(), rng.random(45)), axis=1)
    shown = {name: topology.warnings(values, show=name) for name in ("ar1", "variance", "alarm")}
    for t in (19, 30, 44):
        x = values[t - 19 : t + 1, 0]
        assert shown["ar1"][t] == pytest.approx(np.corrcoef(x[1:], x[:-1])[0, 1], rel=1e-10)
        assert shown["variance"][t] == pytest.approx(x[16:].var() / x[:16].var(), rel=1e-10)
    base = shown["ar1"][19:29].mean() + 0.1
    for t in range(29, 45):
        falls = values[t, 1] < values[t - 19 : t + 1, 1].mean()
        expected = min(shown["ar1"][t] - base, shown["variance"][t] - 1) if falls else -1
        assert shown["alarm"][t] == pytest.approx(expected, rel=1e-10)
    assert np.isnan(shown["alarm"][:29]).all()


def test_a_trend_alone_is_autocorrelated_until_it_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    values = np.stack((np.arange(60) + 0.1 * rng.standard_normal(60), np.zeros(60)), axis=1)
    assert np.nanmin(topology.warnings(values, show="ar1")) > 0.99
    assert np.nanmedian(topology.warnings(values, show="ar1", detrend=True)) < 0.5


def test_entropy_of_what_moved() -> None:
    assert topology.histogram_entropy({"w": torch.tensor([0.0, 1.0])}, 2) == pytest.approx(math.log(2))
    assert topology.histogram_entropy({"w": torch.ones(5)}) == pytest.approx(0)
    assert math.isnan(topology.histogram_entropy({"w": torch.zeros(5)}))
    assert math.isnan(topology.histogram_entropy(None))


def test_a_forecast_is_exact_where_its_law_holds() -> None:
    norms = 80 * np.exp(-0.001 * np.arange(400))[:, None]
    left = passage.remaining(norms, np.ones(400), 2501.0)
    crossing = math.log(80**2 / 2501) / 0.002
    np.testing.assert_allclose(left[10:], crossing - np.arange(10, 400), rtol=1e-9)
    assert passage.delay(80.0, 2501.0, 0.002) == pytest.approx(crossing)
    assert np.isnan(passage.remaining(norms[::-1], np.ones(400), 2501.0)).all()  # a norm that grows
    assert np.isnan(passage.remaining(norms, np.zeros(400), 2501.0)).all()  # nothing memorised
    assert np.isnan(passage.remaining(norms, np.ones(400), 2501.0, rate=0.0)).all()  # without decay the law has no time


def test_the_tanh_of_a_transition_is_found() -> None:
    epochs = np.arange(0, 400)
    middle, width, square = passage.tanh_fit(epochs, 0.5 * (1 + np.tanh((epochs - 210) / 25)))
    assert (middle, width, square) == (pytest.approx(210, rel=1e-6), pytest.approx(25, rel=1e-6), pytest.approx(1))
    assert math.isnan(passage.tanh_fit(epochs, np.zeros(400))[0])
