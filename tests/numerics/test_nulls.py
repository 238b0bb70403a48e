"""Nulls of repulsion: counts against formed matrices, surrogates that keep what they say, known rates of what is untrained."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.networks.two_layer import Batch, TwoLayerNetwork
from grok.numerics.linalg import upper_gram
from grok.numerics.nulls import (
    EDGES,
    Count,
    count_pairs,
    decay_ridge,
    disjoint_pairs,
    permuted,
    ridges,
    rotated,
    upper_inverse,
)
from grok.numerics.repulsion import DEFAULT_RIDGE, PairError, centred, measure_repulsion, rank_pairs
from grok.spec.config import OPTIMIZERS
from grok.tasks.modular import modular_addition
from tests.helpers import references
from tests.helpers.references import one_thread  # noqa: F401

RIDGE = 0.1


def features_of(n: int, width: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return centred(drawn)


def rate(counts: list[Count], kind: str, ridge: str = "r", sign: int | None = None) -> float:
    mine = [c for c in counts if (c.kind, c.ridge) == (kind, ridge) and sign in (None, c.sign)]
    return sum(c.repel for c in mine) / sum(c.pairs for c in mine)


# ---- counts against formed matrices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "width"), [(30, 12), (12, 30), (16, 16)])
def test_counts_equal_those_of_formed_matrices(n: int, width: int) -> None:
    f = features_of(n, width, 0)
    fixed = torch.tensor([[0, 1], [2, 5], [3, 9]])
    got = count_pairs(f, {"r": RIDGE, "s": 3.0}, 15, fixed)
    cos, everything = references.cosines(f.numpy()), list(itertools.combinations(range(width), 2))
    for name, ridge in (("r", RIDGE), ("s", 3.0)):
        b = references.inverse(f.numpy(), ridge)
        kinds = {
            "top": references.top_pairs(f.numpy(), 15),
            "positive": sorted((p for p in everything if cos[p] > 0), key=lambda p: -cos[p])[:15],
            "fixed": [tuple(p) for p in fixed.tolist()],
        }
        for kind, pairs in kinds.items():
            for sign in (1, -1):
                mine = [p for p in pairs if np.sign(cos[p]) == sign]
                (one,) = [c for c in got if (c.ridge, c.kind, c.sign) == (name, kind, sign)]
                expected = len(mine), sum(np.sign(b[p]) == -sign for p in mine), 0
                assert (one.pairs, one.repel, one.tie) == expected
                if mine:
                    assert one.median_cos == pytest.approx(np.median([abs(cos[p]) for p in mine]), rel=1e-12)
        bins = [c for c in got if (c.ridge, c.kind) == (name, "all")]
        for one in bins:
            mine = [p for p in everything if one.low <= abs(cos[p]) < one.high and np.sign(cos[p]) == one.sign]
            assert (one.pairs, one.repel) == (len(mine), sum(np.sign(b[p]) == -one.sign for p in mine))
        assert sum(one.pairs for one in bins) == len(everything)
    assert {c.low for c in got if c.kind == "all"} <= set(EDGES)


def test_the_top_rate_is_that_of_the_recorder() -> None:
    f = features_of(12, 40, 1)
    assert rate(count_pairs(f, {"r": RIDGE}, 700), "top") == measure_repulsion(f, RIDGE, 700, seed=0).rate < 1


def test_only_the_upper_triangle_is_read_and_the_gram_is_kept() -> None:
    f = features_of(12, 20, 2)
    g = upper_gram(f)
    before = g.clone()
    expected = np.triu(references.inverse(f.numpy(), RIDGE))
    np.testing.assert_allclose(np.triu(upper_inverse(g, RIDGE)), expected, rtol=0, atol=1e-11)
    assert torch.equal(g, before)
    with pytest.raises(np.linalg.LinAlgError, match="Raise the ridge"):
        upper_inverse(-torch.eye(3, dtype=torch.float64), RIDGE)


def test_a_sign_of_zero_is_a_tie_and_no_agreement() -> None:
    """Four columns in two blocks that do not meet: between blocks cos and B are both exactly 0."""
    f = torch.zeros(8, 4, dtype=torch.float64)
    f[:4, 0], f[:4, 1] = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    f[4:, 2], f[4:, 3] = torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    counts = count_pairs(f, {"r": RIDGE}, 6)
    ties = [c for c in counts if c.sign == 0]
    assert {(c.kind, c.pairs, c.repel, c.tie) for c in ties} == {("top", 4, 0, 4), ("all", 4, 0, 4)}
    assert rate(counts, "top") == measure_repulsion(f, RIDGE, 6, seed=0).rate == 2 / 6
    assert rate(counts, "positive") == 1.0


def test_dead_features_are_in_no_pair() -> None:
    f = features_of(20, 10, 3)
    f[:, 4] = 0
    counts = count_pairs(f, {"r": RIDGE}, 5, torch.tensor([[0, 4], [1, 2]]))
    assert sum(c.pairs for c in counts if c.kind == "all") == 9 * 8 // 2
    assert sum(c.pairs for c in counts if c.kind == "fixed") == 1
    with pytest.raises(PairError, match="two living"):
        count_pairs(torch.zeros(4, 3, dtype=torch.float64), {"r": RIDGE}, 5)
    with pytest.raises(PairError, match="overflow"):
        count_pairs(features_of(20, 10, 3) * 1e200, {"r": RIDGE}, 5)


def test_a_ridge_below_rounding_is_raised_to_what_can_be_resolved() -> None:
    (one, *_) = count_pairs(features_of(10, 30, 4), {"r": 1e-30}, 5)
    assert 1e-30 < one.value < 1e-9


# ---- pairs -----------------------------------------------------------------------------------------------------------


def test_signed_ranking_takes_similar_pairs_alone() -> None:
    g = torch.eye(4, dtype=torch.float64)
    g[0, 1], g[0, 2], g[1, 3], g[2, 3] = -0.9, 0.3, 0.5, 0.3
    pairs, cos = rank_pairs(g, 5, signed=True)
    assert pairs.tolist() == [[1, 3], [0, 2], [2, 3]]
    assert cos.tolist() == [0.5, 0.3, 0.3]
    assert rank_pairs(g, 1)[0].tolist() == [[0, 1]]
    g[1, 3] = g[0, 2] = g[2, 3] = -0.1
    with pytest.raises(PairError, match="No two features are similar"):
        rank_pairs(g, 2, signed=True)


@settings(max_examples=30, deadline=None)
@given(alive=st.integers(4, 60), seed=st.integers(0, 99))
def test_disjoint_pairs_share_no_feature(alive: int, seed: int) -> None:
    living = torch.arange(alive) * 3
    pairs = disjoint_pairs(living, alive // 2, np.random.default_rng(seed))
    assert len(set(pairs.flatten().tolist())) == 2 * (alive // 2)
    assert set(pairs.flatten().tolist()) <= set(living.tolist())
    assert (pairs[:, 0] < pairs[:, 1]).all()
    with pytest.raises(PairError, match="share no feature"):
        disjoint_pairs(living, alive // 2 + 1, np.random.default_rng(seed))


def test_disjoint_pairs_are_uniform() -> None:
    """Of 4 features any of 6 pairs is drawn as often: 600 draws, 100 each, standard deviation 9.1."""
    generator = np.random.default_rng(0)
    drawn = [tuple(disjoint_pairs(torch.arange(4), 1, generator)[0].tolist()) for _ in range(600)]
    assert all(60 < drawn.count(pair) < 140 for pair in itertools.combinations(range(4), 2))


# ---- ridges ----------------------------------------------------------------------------------------------------------


def test_the_ridge_follows_a_penalty_and_no_other_decay() -> None:
    assert {name: decay_ridge(1e-3, name) for name in OPTIMIZERS} == {
        "adam": 1e-3,
        "adamw": DEFAULT_RIDGE,
        "sgd": 1e-3,
        "muon": DEFAULT_RIDGE,
    }
    assert decay_ridge(0.0, "adam") == DEFAULT_RIDGE
    assert ridges(2e-4, "adam", 2016)["mean_loss"] == pytest.approx(0.2016)
    assert ridges(0.0, "adam", 2016) == ridges(1.0, "adamw", 2016) == ridges(2e-4, "adam", 2016)


def test_the_mean_losss_ridge_is_the_solution_of_its_readout() -> None:
    """(1/n) ‖Y − FV‖² + (η/2) ‖V‖² is least at V = (FᵀF + nη/2)⁻¹ FᵀY, and not at another ridge."""
    generator = torch.Generator().manual_seed(0)
    f, y = (torch.randn(30, k, generator=generator, dtype=torch.float64) for k in (6, 3))
    eta = 0.02

    def slope(ridge: float) -> float:
        v = torch.linalg.solve(f.T @ f + ridge * torch.eye(6, dtype=torch.float64), f.T @ y).requires_grad_()
        loss = (y - f @ v).square().sum() / 30 + eta / 2 * v.square().sum()
        return float(torch.autograd.grad(loss, v)[0].norm())

    assert slope(ridges(eta, "adam", 30)["mean_loss"]) < 1e-12 < 1e-4 < slope(eta)


# ---- surrogates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "width"), [(40, 25), (25, 40)])
def test_rotated_features_have_the_same_spectrum_and_no_units(n: int, width: int) -> None:
    f = features_of(n, width, 5)
    f[:, 0] *= 30
    got = rotated(f, np.random.default_rng(0))
    np.testing.assert_allclose(torch.linalg.svdvals(got), torch.linalg.svdvals(f), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.mean(dim=0), 0, atol=1e-13)
    shares = [x.square().sum(dim=0).max() / x.square().sum() for x in (f, got)]
    assert shares[0] > 0.9  # one unit has nearly all; of a uniform direction the largest of 25 squares is 0.2 or so
    assert shares[1] < 0.5
    assert not torch.equal(got, rotated(f, np.random.default_rng(1)))
    assert torch.equal(got, rotated(f, np.random.default_rng(0)))


def test_a_rotation_is_as_good_as_one_drawn_uniformly() -> None:
    """The column norms² of a rank-one F̃H are those of a uniform direction: mean 1/K, variance about 2/K²."""
    f = torch.zeros(2, 256, dtype=torch.float64)
    f[:, 7] = torch.tensor([1.0, -1.0], dtype=torch.float64) / math.sqrt(2)
    squares = np.concatenate([rotated(f, np.random.default_rng(s)).square().sum(dim=0).numpy() for s in range(40)]) * 256
    assert squares.mean() == pytest.approx(1.0, abs=1e-10)
    assert squares.var() == pytest.approx(2 * (1 - 1 / 128), rel=0.1)  # 10,240 values: standard error of a variance about 4 %


def test_permuted_features_keep_each_column_and_lose_dependence() -> None:
    f = features_of(200, 8, 6)
    f[:, 1] = f[:, 0] + 0.1 * f[:, 1]
    got = permuted(f, np.random.default_rng(0))
    assert torch.equal(got.sort(dim=0).values, f.sort(dim=0).values)
    cosine = [float(x[:, 0] @ x[:, 1] / x[:, 0].norm() / x[:, 1].norm()) for x in (f, got)]
    assert cosine[0] > 0.99
    assert abs(cosine[1]) < 0.3  # four standard deviations of 200 samples


def test_few_independent_columns_repel_always() -> None:
    """With K ≪ n, B ≈ D − D G_off D: every pair repels, and its surrogates do as well. A high rate is no sign of training."""
    f = features_of(2000, 5, 7)
    for some in (f, rotated(f, np.random.default_rng(0)), permuted(f, np.random.default_rng(0))):
        assert rate(count_pairs(some, {"r": RIDGE}, 10), "all") == 1.0


# ---- known truths of untrained networks ------------------------------------------------------------------------------


def untrained(activation: str, seed: int) -> torch.Tensor:
    problem = modular_addition(71, 2016, seed)
    network = TwoLayerNetwork.initialised(71, 2048, (seed,), activation, torch.device("cpu"), torch.float32)
    return centred(network.features(Batch(problem.train_pairs[None], problem.train_labels[None], 71, torch.device("cpu")))[0])


@pytest.mark.slow
def test_known_rates_of_untrained_networks() -> None:
    """Square: 15 seeds 0.865 … 0.960, median 0.92, at ridge 2e-4, and 1.000 at nη/2. ReLU 0.79, tanh 1.00, GELU 0.515."""
    at = ridges(2e-4, "adam", 2016, scan=False)

    def rates(activation: str, seeds: int) -> np.ndarray:
        found = [count_pairs(untrained(activation, seed), at, 200, bins=False) for seed in range(seeds)]
        return np.array([[rate(counts, "top", ridge) for ridge in at] for counts in found])

    square = rates("square", 15)
    assert (square[:, 0].min(), np.median(square[:, 0]), square[:, 0].max()) == pytest.approx((0.865, 0.92, 0.96), abs=1e-12)
    assert (square[:, 1] == 1.0).all()
    for activation, expected in (("relu", 0.79), ("tanh", 1.0), ("gelu", 0.515)):
        found = rates(activation, 3)[:, 0]
        assert found.min() <= expected + 0.005
        assert found.max() >= expected - 0.005
        assert np.ptp(found) < 0.1


@pytest.mark.slow
def test_known_rate_of_gaussian_features() -> None:
    """0.70 at ridge 2e-4: three standard errors of 200 pairs are 0.1."""
    found = count_pairs(centred(torch.randn(2016, 2048, generator=torch.Generator().manual_seed(0))), {"r": 2e-4}, 200)
    assert rate(found, "top") == pytest.approx(0.70, abs=0.1)
