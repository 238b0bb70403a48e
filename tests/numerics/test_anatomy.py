"""Ablations, curvature, probes and spectra with values that follow by hand, and their nulls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grok.numerics import ablation, fourier, probes


def theta(size: int = 50) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_controls_match_what_they_are_named_for() -> None:
    """Shares are lengths in units of ‖θ‖: of the displacement f, and of what is left √(1 − f²)."""
    weights = theta()
    plane = ablation.random_directions(2, 50, torch.Generator().manual_seed(1))
    plane[0] = (plane[0] + 0.4 * weights / weights.norm()) / (plane[0] + 0.4 * weights / weights.norm()).norm()
    plane[1] -= (plane[1] @ plane[0]) * plane[0]
    plane[1] /= plane[1].norm()
    found: dict[str, list[ablation.Removal]] = {}
    for one in ablation.removals(weights, plane, draws=3):
        found.setdefault(one.name, []).append(one)
    edge = found["edge"][0]
    f, left = edge.share, (1 - edge.share**2) ** 0.5
    assert edge.residual == pytest.approx(left)
    assert float((edge.theta @ plane.T).abs().max()) < 1e-12
    matched = {"isotropic": (f, None), "radial_displacement": (f, 1 - f), "radial_residual": (1 - left, left)}
    matched |= {"angle_matched": (f, left), "zero": (1.0, 0.0)}
    for name, (share, residual) in matched.items():
        for one in found[name]:
            assert one.share == pytest.approx(share, abs=1e-12), name
            assert residual is None or one.residual == pytest.approx(residual, abs=1e-12), name
    turned = found["angle_matched"][0].theta
    assert float(turned @ weights) == pytest.approx(float(edge.theta @ weights))
    assert len(found["random_plane"]) == len(found["angle_matched"]) == 3


def test_a_random_plane_takes_out_the_root_of_two_over_p() -> None:
    weights = theta(20000)
    shares = [one.share for one in ablation.removals(weights, torch.eye(2, 20000).double()) if one.name == "random_plane"]
    assert np.sqrt(np.mean(np.square(shares))) == pytest.approx((2 / 20000) ** 0.5, rel=0.35)  # 40 squares: 3 · √(2/40) / 2


def test_directions_equal_those_of_the_matrix() -> None:
    changes = torch.randn(5, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions, sigma = ablation.top_directions(changes, 3)
    _, values, rows = torch.linalg.svd(changes, full_matrices=False)
    torch.testing.assert_close(sigma, values[:3])
    torch.testing.assert_close((directions @ rows[:3].T).abs(), torch.eye(3).double(), rtol=0, atol=1e-9)


def test_displacements_end_where_the_direction_is_ablated() -> None:
    weights, direction = theta(), torch.eye(50).double()[0]
    ends = ablation.displacements(weights, direction, 5)
    assert ends[2] == 0.0
    assert float(ends[-1]) == pytest.approx(abs(float(weights[0])))
    sign = 1 if weights[0] < 0 else -1
    torch.testing.assert_close(weights + sign * ends[-1] * direction, ablation.project_out(weights, direction[None]))


def test_curvature_of_a_quartic_and_its_difference() -> None:
    """L = Σ t⁴ has the second derivative 12 t²; the difference adds 2 ε² per unit of the fourth."""
    weights, v = torch.tensor([1.0, 2.0]).double(), torch.tensor([0.6, 0.8]).double()

    def loss(t: torch.Tensor) -> torch.Tensor:
        return (t**4).sum()

    exact = 12 * (0.36 * 1 + 0.64 * 4)
    assert ablation.curvature(loss, weights, v) == pytest.approx(exact)
    assert ablation.finite_difference(loss, weights, v, 1e-3) == pytest.approx(exact, rel=1e-6)
    assert ablation.gradient_of(loss, weights).tolist() == [4.0, 32.0]


def test_a_probe_reads_what_is_there_and_not_what_is_not() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 6))
    labels = (features[:, 0] > 0).astype(int) + (features[:, 1] > 0)
    split = probes.by_token(400, 0)
    assert (split.fitted ^ split.scored).all()
    assert int(split.fitted.sum()) == 280
    scores = dict(probes.battery(features, features[:, 0], {"token": split}, ("linear_raw", "linear_standardised_ols")))
    assert min(scores.values()) > 0.99
    shuffled = rng.permutation(labels)
    assert probes.score(probes.linear(), features, shuffled, split) < 0.1
    assert probes.score(probes.logistic(), features, labels, split) > 0.6


def test_a_fixed_penalty_fails_on_small_features_and_standardisation_mends_it() -> None:
    """A direction of variance s² keeps n s² / (n s² + α): with n = 280 and s = 0.005 that is 0.007."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((400, 3)) * 0.005
    split = probes.by_token(400, 0)
    scores = dict(probes.battery(features, features[:, 0] * 200, {"t": split}, ("linear_raw", "linear_standardised")))
    assert scores["linear_raw/t"] < 0.1
    assert scores["linear_standardised/t"] > 0.99


def test_the_split_by_sequence_leaves_no_prefix_on_both_sides() -> None:
    rows = [(0, 1), (0, 1), (0, 0, 1, 1), (0, 1, 0, 1), (0, 0, 1, 0)]
    place = np.repeat(np.arange(5), [len(row) for row in rows])
    prefixes = [row[: end + 1] for row in rows for end in range(len(row))]
    for seed in range(6):
        split = probes.by_sequence(rows, prefixes, place, seed)
        first, second = ({p for p, inside in zip(prefixes, mask, strict=True) if inside} for mask in split)
        assert not first & second
        assert first


def test_spectra_and_their_nulls() -> None:
    assert fourier.elevation(np.cos(2 * np.pi * 3 * np.arange(12) / 12)) == pytest.approx(7.0)  # one bin of seven
    assert np.isnan(fourier.elevation(np.ones(5)))
    assert fourier.by_depth(np.array([1.0, 3.0, 5.0]), np.array([2, 2, 7])).tolist() == [2.0, 5.0]
    wave = np.cos(2 * np.pi * 5 * np.arange(24) / 24)[None, :, None]
    assert fourier.positional(wave)[5] == pytest.approx(1.0)
    assert fourier.uniform_entropy(24) == pytest.approx(2.2827, abs=5e-5)
    even = torch.tril(torch.ones(24, 24)) / torch.arange(1, 25)[:, None]
    assert float(fourier.entropy(even[None, None]).mean()) == pytest.approx(fourier.uniform_entropy(24), rel=1e-5)


def test_curvatures_of_several_directions_are_those_of_each() -> None:
    weights, planes = torch.tensor([1.0, 2.0]).double(), torch.tensor([[0.6, 0.8], [0.8, -0.6]]).double()

    def loss(t: torch.Tensor) -> torch.Tensor:
        return (t**4).sum() + t[0] * t[1]

    slope, bent = ablation.curvatures(loss, weights, planes)
    assert slope.tolist() == [6.0, 33.0]
    assert bent == pytest.approx([ablation.curvature(loss, weights, v) for v in planes])


def test_a_head_that_counts_and_one_that_looks_at_itself() -> None:
    """Even rows are at 0; all weight on the row's own place is at ln(t + 1), mean over t = 1, 2, 3: ln(2 · 3 · 4) / 3."""
    even = torch.tril(torch.ones(4, 4)) / torch.arange(1, 5)[:, None]
    found = fourier.counting_divergence(torch.stack((even, torch.eye(4)))[None])
    assert found.tolist() == pytest.approx([0.0, np.log(24) / 3], abs=1e-7)


def test_centroids_on_a_line_and_on_a_circle() -> None:
    labels = np.repeat(np.arange(8), 5)
    line = np.outer(labels, [3.0, 4.0]) + np.tile([[0.0, 1.0], [0, -1], [1, 0], [-1, 0], [0, 0]], (8, 1))
    assert probes.centroids(line, labels) == pytest.approx((5.0, 1.0))
    angles = 2 * np.pi * labels / 8
    assert probes.centroids(np.stack((np.cos(angles), np.sin(angles)), axis=1), labels).first == pytest.approx(0.5)


def test_a_periodic_response_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 600)
    wave = np.stack((np.cos(2 * np.pi * 7 * labels / 20), np.sin(2 * np.pi * 7 * labels / 20)), axis=1)
    split = probes.by_token(600, 0)
    assert probes.periodic(wave @ rng.standard_normal((2, 5)), labels, split) > 0.99
    assert probes.periodic(rng.standard_normal((600, 5)), labels, split) < 0.2
