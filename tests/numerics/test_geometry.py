"""Geometry, Fourier measures and dynamics against slow oracles, and what must not change them."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from grok.numerics import dynamics, geometry, harmonics

M, K, N = 7, 10, 30


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def labels(n: int = N, classes: int = 4) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).permutation(np.arange(n) % classes))


@pytest.mark.parametrize("floor", [False, True])
def test_class_distances_is_its_definition(floor: bool) -> None:
    f, y = drawn(N, K).numpy(), labels().numpy()
    groups = [f[y == c] for c in range(4)]
    between = [((a.mean(0) - b.mean(0)) ** 2).sum() for a, b in itertools.combinations(groups, 2)]
    within = [((g - g.mean(0)) ** 2).sum(1).mean() for g in groups]
    chance = [1 / (len(a) - 1) + 1 / (len(b) - 1) for a, b in itertools.combinations(groups, 2)]
    expected = np.mean(between) / (np.mean(within) + 1e-8) - (np.mean(chance) if floor else 0)
    assert geometry.class_distances(drawn(N, K), labels(), floor=floor) == pytest.approx(expected, rel=1e-12)


def test_the_floor_is_what_chance_gives_whatever_the_number_of_samples() -> None:
    """Features without classes: the ratio is 2/(N_c − 1), and 0 without it; 400 features average the noise away."""
    for n in (40, 160):
        f, y = drawn(n, 2000, seed=n), labels(n)
        assert geometry.class_distances(f, y) == pytest.approx(2 / (n / 4 - 1), rel=0.1)
        assert abs(geometry.class_distances(f, y, floor=True)) < 0.1 * 2 / (n / 4 - 1)


def test_alignment_from_singular_values() -> None:
    """LAR = 1 + ½ log_K Σ p_i q_i with p the squared singular values of V over their sum, q the share of F along each."""
    f, v = drawn(N, K), drawn(K, M, seed=1)
    u, s, _ = torch.linalg.svd(v, full_matrices=False)
    p, q = s.square() / s.square().sum(), (f @ u).square().sum(0) / f.square().sum()
    expected = 1 + 0.5 * math.log(float((p * q).sum())) / math.log(K)
    assert geometry.log_alignment(f, v) == pytest.approx(expected, rel=1e-12)
    shifted = v + drawn(K, 1, seed=2)
    assert geometry.log_alignment(f, shifted, zero_mean=True) == pytest.approx(
        geometry.log_alignment(f, v, zero_mean=True), rel=1e-12
    )
    assert geometry.log_alignment(f + 5, v, centre=True) == pytest.approx(geometry.log_alignment(f, v, centre=True), rel=1e-9)
    assert abs(geometry.log_alignment(drawn(400, 400), drawn(400, 400, seed=1)) - 0.5) < 0.01


@pytest.mark.parametrize("shape", [(N, K), (K, N)])
def test_covariance_measures_are_those_of_the_covariance(shape: tuple[int, int]) -> None:
    f = drawn(*shape) * torch.arange(1, shape[1] + 1)
    values = np.linalg.eigvalsh(np.cov(f.numpy(), rowvar=False)).clip(0)
    p = values[values > 1e-12] / values.sum()
    assert geometry.spectral_entropy(f) == pytest.approx(-(p * np.log(p)).sum() / math.log(shape[1]), rel=1e-9)
    assert geometry.participation_ratio(f) == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-9)
    assert geometry.anisotropy(f) == pytest.approx(shape[1] * values.max() / values.sum(), rel=1e-9)
    most = min(shape[0] - 1, shape[1])
    assert geometry.spectral_entropy(f, of_rank=True) == pytest.approx(-(p * np.log(p)).sum() / math.log(most), rel=1e-9)
    assert geometry.anisotropy(f, of_rank=True) == pytest.approx(most * values.max() / values.sum(), rel=1e-9)
    s = np.linalg.svd(f.numpy(), compute_uv=False) ** 2
    share = s / s.sum()
    assert geometry.effective_rank(f) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-9)


def test_nothing_is_said_of_features_that_do_not_vary() -> None:
    still = torch.ones(5, 3)
    for measure in (geometry.spectral_entropy, geometry.participation_ratio, geometry.anisotropy):
        assert math.isnan(measure(still))
    assert math.isnan(geometry.log_alignment(0 * still, torch.ones(3, 2)))
    assert math.isnan(harmonics.dominance(torch.ones(2 * M, K), M))
    assert math.isnan(harmonics.explained(torch.zeros(M * M, M), M))


@pytest.mark.parametrize("small", [1e-3, 1e-7])
def test_small_angles_keep_their_digits(small: float) -> None:
    one = {"w": torch.tensor([1.0, 0.0], dtype=torch.float64)}
    turned = {"w": 3 * torch.tensor([math.cos(small), math.sin(small)], dtype=torch.float64)}
    assert geometry.angle(one, turned) == pytest.approx(small, rel=1e-8)


def test_dominance_is_its_definition() -> None:
    w = drawn(2 * M, K).numpy()
    shares, weights = [], []
    for j in range(K):
        power = [
            sum(abs(sum(part[a] * np.exp(-2j * np.pi * k * a / M) for a in range(M))) ** 2 for part in (w[:M, j], w[M:, j]))
            for k in range(1, M // 2 + 1)
        ]
        shares.append(max(power) / sum(power))
        weights.append((w[:, j] ** 2).sum())
    assert harmonics.dominance(drawn(2 * M, K), M) == pytest.approx(np.average(shares, weights=weights), rel=1e-12)
    assert harmonics.dominance(drawn(2 * M, K), M, weighted=False) == pytest.approx(np.mean(shares), rel=1e-12)


def test_tones_dominate_until_the_tokens_are_permuted() -> None:
    tones = torch.cos(2 * math.pi * 3 / 31 * torch.arange(31, dtype=torch.float64))[:, None].repeat(2, 4)
    assert harmonics.dominance(tones, 31) == pytest.approx(1, rel=1e-12)
    assert harmonics.dominance(tones, 31, permute=0) < 0.6


def test_orbit_means_are_the_projection_on_sums() -> None:
    """z̄ lies in the span of functions of a + b − c, and z − z̄ is at right angles to all of them."""
    z = drawn(M * M, M)
    z = z - z.mean(dim=1, keepdim=True)
    grid = z.reshape(M, M, M)
    expected = [np.mean([grid[a, b, (a + b - d) % M] for a in range(M) for b in range(M)]) for d in range(M)]
    mean = harmonics.orbit_mean(z, M).numpy()
    np.testing.assert_allclose(mean, expected, atol=1e-14)
    projected = torch.tensor([[mean[(a + b - c) % M] for c in range(M)] for a in range(M) for b in range(M)])
    assert harmonics.explained(z, M) == pytest.approx(float(projected.square().sum() / z.square().sum()), rel=1e-12)
    pairs = torch.tensor([[1, 5], [6, 6], [0, 2]])
    y = torch.tensor([6, 5, 0])  # a wrong label on purpose: excluded loss takes the labels that were trained
    hot = torch.eye(M, dtype=torch.float64)

    def loss(out: Tensor, target: Tensor) -> float:
        centred = out - out.mean(dim=1, keepdim=True)
        return float((centred - hot[target] + 1 / M).square().sum(dim=1).mean())

    rows = pairs[:, 0] * M + pairs[:, 1]
    sums = torch.tensor([(a + b) % M for a in range(M) for b in range(M)])
    assert harmonics.restricted_loss(z, M) == pytest.approx(loss(projected, sums), rel=1e-12)
    assert harmonics.excluded_loss(z, pairs, y, M) == pytest.approx(loss((z - projected)[rows], y), rel=1e-12)


def test_the_residual_is_that_of_the_best_linear_map() -> None:
    """At full rank A = UᵀYX⁺U: the residual is that of projecting Y X⁺ X on U."""
    z = drawn(16, 3).numpy()
    h = np.concatenate([z[i : i + 15] for i in range(2)], axis=1).T
    x, y = h[:, :-1], h[:, 1:]
    u = np.linalg.svd(x, full_matrices=False)[0]
    expected = np.linalg.norm(y - u @ u.T @ y @ np.linalg.pinv(x) @ x) / np.linalg.norm(y)
    assert dynamics.hankel_residual(z, delays=2, energy=1.0)[-1] == pytest.approx(expected, rel=1e-9)


def test_linear_dynamics_leave_no_residual_and_a_jump_does() -> None:
    a = np.array([[0.9, 0.2], [-0.2, 0.95]])
    z = np.array([np.linalg.matrix_power(a, t) @ [1.0, 0.5] for t in range(40)])
    calm = dynamics.hankel_residual(z, energy=1 - 1e-13)
    assert np.isnan(calm[:11]).all()
    assert np.nanmax(calm) < 1e-6
    z[30:] += 1
    jump = dynamics.hankel_residual(z, energy=1 - 1e-13)
    np.testing.assert_array_equal(jump[:30], calm[:30])
    assert jump[32] > 1e-3


def test_the_commutator_of_quadratics_is_that_of_their_hessians() -> None:
    """g_X(θ) = H_X θ + c_X: both forms are ‖H_B g_A − H_A g_B‖ / (‖g_A‖ ‖g_B‖)."""
    draws, expected = [], []
    for seed in range(3):
        ha, hb, ca, cb, at = (drawn(*s, seed=seed + 10 * i) for i, s in enumerate([(K, K), (K, K), (K,), (K,), (K,)]))
        ha, hb = ha + ha.T, hb + hb.T
        a, b = ha @ at + ca, hb @ at + cb
        b_after, a_after = hb @ (at - 1e-3 * a) + cb, ha @ (at - 1e-3 * b) + ca
        draws.append(torch.stack([a, b, b_after, a_after, hb @ a, ha @ b]))
        expected.append(float((hb @ a - ha @ b).norm() / (a.norm() * b.norm())))
    given = torch.stack(draws)
    assert dynamics.commutator(given) == pytest.approx(np.median(expected), rel=1e-9)
    assert dynamics.commutator(given, hessian=True) == pytest.approx(np.median(expected), rel=1e-12)


def test_connectivity_is_of_the_laplacian_and_near_the_smallest_degree_in_wide_networks() -> None:
    w, v = drawn(2 * M, K), drawn(K, M, seed=1)
    size = 3 * M + K
    adjacency = np.zeros((size, size))
    adjacency[: 2 * M, 2 * M : 2 * M + K], adjacency[2 * M : 2 * M + K, 2 * M + K :] = w.abs(), v.abs()
    adjacency += adjacency.T
    values = np.linalg.eigvalsh(np.diag(adjacency.sum(0)) - adjacency)
    assert dynamics.connectivity(w, v) == pytest.approx(values[1], rel=1e-9)
    wide, out = drawn(60, 400), drawn(400, 30, seed=1)
    assert dynamics.connectivity(wide, out) == pytest.approx(dynamics.connectivity(wide, out, degree=True), rel=0.02)
    assert math.isnan(dynamics.connectivity(w * math.nan, v))


@pytest.mark.parametrize("weight", [1e-18, 1e-40])
def test_connectivity_of_a_graph_with_a_neuron_all_but_cut_off_is_zero_to_rounding(weight: float) -> None:
    w, v = torch.ones(2, 401, dtype=torch.float64), torch.ones(401, 2, dtype=torch.float64)
    w[:, 5] = v[5] = weight
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0.0 <= dynamics.connectivity(w, v) < 1e-11


def test_margins_and_quantiles() -> None:
    z = drawn(50, 5)
    y = labels(50)
    expected = [float(row[t] - max(x for c, x in enumerate(row) if c != t)) for row, t in zip(z, y, strict=True)]
    np.testing.assert_array_equal(dynamics.margins(z, y).numpy(), expected)
    np.testing.assert_allclose(dynamics.quantiles(torch.arange(101.0)), np.arange(5, 100, 5), rtol=1e-12)
