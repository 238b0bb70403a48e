"""Repulsion and Theorem 6 against formed matrices, and on features whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.numerics import repulsion
from grok.numerics.repulsion import (
    DEFAULT_RIDGE,
    NULL_DRAWS,
    THEOREM_SAMPLE,
    PairError,
    direct_residuals,
    gram_entries,
    inverse_columns,
    measure_repulsion,
    null_pairs,
    published_residual,
    rank_pairs,
    schur_residual,
    squared_gram,
)
from tests.helpers import references
from tests.helpers.references import one_thread  # noqa: F401

RIDGE = 0.1
"""Large enough that the formed inverses of the oracles, condition ≤ 1e4, keep 11 digits."""
SHAPES = [(30, 12), (12, 30), (16, 16), (5, 40)]  # n > K, n < K, square, n ≪ K


def features_of(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_of(features: torch.Tensor) -> torch.Tensor:
    f = torch.from_numpy(references.centred(features.numpy()))
    return f.T @ f


# ---- the identity ----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(4, 24), width=st.integers(3, 24), seed=st.integers(0, 999))
def test_theorem6_is_an_identity(n: int, width: int, seed: int) -> None:
    """For every matrix, trained or not: B formed, P formed with two columns left out, and the library's two forms agree."""
    features = features_of(n, width, seed)
    pairs = torch.tensor(list(itertools.combinations(range(width), 2))[:20])
    b = references.inverse(features.numpy(), RIDGE)
    built = np.array([references.theorem6_residual(features.numpy(), RIDGE, j, l) for j, l in pairs.tolist()])
    direct = direct_residuals(torch.from_numpy(references.centred(features.numpy())), RIDGE, pairs).numpy()
    j, l = pairs.T.numpy()
    schur = schur_residual(*(torch.from_numpy(x) for x in (b[j, l], b[j, j], b[l, l]))).numpy()
    # absolute, in units of ‖f̃_j‖‖f̃_l‖ ≤ 100: a residual near zero has no digits of its own
    np.testing.assert_allclose(direct, built, rtol=0, atol=1e-10)
    np.testing.assert_allclose(schur, built, rtol=0, atol=1e-10)
    clear = np.abs(built) > 1e-9
    assert (np.sign(b[j, l][clear]) == -np.sign(built[clear])).all()


@pytest.mark.parametrize(("n", "width"), SHAPES)
@pytest.mark.parametrize("repeats", [0.0, 1e-3, 1e-6])
def test_direct_residuals_where_pairs_repeat_each_other(n: int, width: int, repeats: float) -> None:
    """Columns 4 and 5 nearly repeat 0 and 1. Putting them back cancels: ε‖f̃‖²/η = 1e-10 is rounding, ten times that allowed."""
    features = features_of(n, width, 7)
    features[:, 4:6] = features[:, :2] + repeats * features_of(n, 2, 8)
    pairs = torch.tensor([[0, 1], [2, 3], [4, 5]]) if width > 5 else torch.tensor([[0, 1], [2, 3]])
    centred = references.centred(features.numpy())
    direct = direct_residuals(torch.from_numpy(centred), 2e-4, pairs).numpy()
    for residual, (j, l) in zip(direct, pairs.tolist(), strict=True):
        others = np.delete(centred, [j, l], axis=1).astype(np.longdouble)
        kernel = (others @ others.T).astype(np.float64) + 2e-4 * np.eye(n)
        alone = 2e-4 * centred[:, j] @ np.linalg.solve(kernel, centred[:, l])
        size = np.sqrt(np.prod([2e-4 * centred[:, k] @ np.linalg.solve(kernel, centred[:, k]) for k in (j, l)]))
        assert abs(residual - alone) <= 1e-9 * size


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_measurement_equals_the_formed_matrices(n: int, width: int) -> None:
    features, count = features_of(n, width, 1), 15
    got = measure_repulsion(features, RIDGE, count, seed=3)
    pairs = references.top_pairs(features.numpy(), count)
    assert [tuple(p) for p in got.pairs.tolist()] == pairs
    b, cos = references.inverse(features.numpy(), RIDGE), references.cosines(features.numpy())
    signed = np.array([cos[p] for p in pairs])
    np.testing.assert_allclose(got.cos, signed, rtol=1e-12)
    assert got.rate == np.mean([np.sign(b[p]) == -np.sign(cos[p]) for p in pairs])
    assert got.median_cos == pytest.approx(np.median(np.abs(signed)), rel=1e-12)
    assert got.positive_share == np.mean(signed > 0)
    residuals = references.published_residuals(features.numpy(), RIDGE, pairs)
    assert got.published_estimator == np.mean([np.sign(b[p]) == -np.sign(r) for p, r in zip(pairs, residuals, strict=True)])
    assert (got.theorem6, got.dead, got.ridge) == (1.0, 0, RIDGE)
    assert 0 < got.theorem6_error < 1e-9


def test_rates_can_differ_from_one() -> None:
    """On all pairs of random features, weak ones too, the three rates are three different numbers."""
    seen = [measure_repulsion(features_of(12, 40, seed), RIDGE, 780, seed) for seed in range(3)]
    assert all(m.theorem6 == 1.0 for m in seen)
    assert all(0 < m.rate < 1 for m in seen)
    assert all(0 < m.null_rate < 1 for m in seen)
    assert any(m.rate != m.published_estimator for m in seen)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_inverse_columns(n: int, width: int) -> None:
    features = features_of(n, width, 2)
    columns = torch.tensor([2, 0])
    expected = references.inverse(features.numpy(), RIDGE)[:, [2, 0]]
    np.testing.assert_allclose(inverse_columns(gram_of(features), RIDGE, columns), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_published_residual_in_closed_form(n: int, width: int) -> None:
    features = features_of(n, width, 4)
    pairs = [(0, 1), (2, 7), (3, 4)]
    b = references.inverse(features.numpy(), RIDGE)
    index = torch.tensor(pairs)
    g = gram_of(features).triu()  # nothing below the diagonal is read
    got = published_residual(squared_gram(g, index), gram_entries(g, index), torch.tensor([b[p] for p in pairs]), RIDGE)
    np.testing.assert_allclose(got, references.published_residuals(features.numpy(), RIDGE, pairs), rtol=1e-8)


def test_published_inverse_is_not_the_inverse() -> None:
    """The paper's B_pub is B with the low-rank part divided by η once too often: equal at η = 1 only."""
    f = features_of(20, 8, 0).numpy()
    np.testing.assert_allclose(references.published_inverse(f, 1.0), references.inverse(f, 1.0), rtol=0, atol=1e-12)
    assert np.abs(references.published_inverse(f, RIDGE) - references.inverse(f, RIDGE)).max() > 1


# ---- a check that can fail -------------------------------------------------------------------------------------------


def test_theorem6_does_not_take_its_residual_from_b(monkeypatch: pytest.MonkeyPatch) -> None:
    features = features_of(20, 30, 0)
    honest = measure_repulsion(features, RIDGE, 40, seed=0)
    monkeypatch.setattr(repulsion, "inverse_columns", lambda g, ridge, columns: -inverse_columns(g, ridge, columns))
    mutated = measure_repulsion(features, RIDGE, 40, seed=0)
    assert (honest.theorem6, mutated.theorem6) == (1.0, 0.0)
    assert mutated.rate == pytest.approx(1 - honest.rate)


def test_a_wrong_ridge_in_b_shows_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    features = features_of(20, 30, 0)
    monkeypatch.setattr(repulsion, "inverse_columns", lambda g, ridge, columns: inverse_columns(g, 1.01 * ridge, columns))
    assert measure_repulsion(features, RIDGE, 40, seed=0).theorem6_error > 1e-3


# ---- pairs -----------------------------------------------------------------------------------------------------------


def gram_with(entries: dict[tuple[int, int], float], width: int = 5) -> torch.Tensor:
    g = torch.eye(width, dtype=torch.float64)
    for (j, l), value in entries.items():
        g[j, l] = g[l, j] = value
    return g


def test_ties_go_by_index() -> None:
    g = gram_with({(2, 3): 0.5, (0, 4): -0.5, (0, 1): 0.25, (1, 2): 0.5 + 1e-14, (3, 4): 0.5 + 1e-9})
    pairs, cos = rank_pairs(g, 5)
    assert pairs.tolist() == [[3, 4], [0, 4], [1, 2], [2, 3], [0, 1]]
    np.testing.assert_allclose(cos, [0.5, -0.5, 0.5, 0.5, 0.25], rtol=1e-8)


def test_a_tie_is_closeness_not_a_bin() -> None:
    """Three cosines within 3e-16 of each other, wherever they lie on a grid of 1e-12."""
    base = 0.5 + 0.5e-12
    g = gram_with({(0, 1): base - 1e-16, (0, 2): base + 1e-16, (1, 2): base + 2e-16}, width=3)
    assert rank_pairs(g, 3)[0].tolist() == [[0, 1], [0, 2], [1, 2]]


@settings(max_examples=30, deadline=None)
@given(width=st.integers(2, 14), count=st.integers(1, 100), seed=st.integers(0, 99), panel=st.sampled_from([1, 3, 256]))
def test_ranking_equals_sorting_everything(width: int, count: int, seed: int, panel: int) -> None:
    features = features_of(30, width, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repulsion, "PANEL_ROWS", panel)
        pairs, _ = rank_pairs(gram_of(features), count)
    assert [tuple(p) for p in pairs.tolist()] == references.top_pairs(features.numpy(), count)
    assert len(pairs) == min(count, width * (width - 1) // 2)


def test_fewer_pairs_than_asked() -> None:
    got = measure_repulsion(features_of(10, 3, 0), RIDGE, 200, seed=0)
    assert got.pairs.tolist() == [list(p) for p in references.top_pairs(features_of(10, 3, 0).numpy(), 3)]
    two = measure_repulsion(features_of(10, 2, 0), RIDGE, 200, seed=0)
    assert two.pairs.tolist() == [[0, 1]]
    assert two.theorem6 == 1.0


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1])
def test_dead_columns_are_in_no_pair_and_change_no_other(constant: float) -> None:
    """A constant column, zero or not, has nothing left once centred; 0.1 is no float32 and must not leave rounding."""
    features = features_of(20, 10, 0).float()
    living = measure_repulsion(features, RIDGE, 12, seed=0)
    dead = torch.full((20, 1), constant)
    got = measure_repulsion(torch.cat((features, dead, dead), dim=1), RIDGE, 12, seed=0)
    assert (got.dead, living.dead) == (2, 0)
    assert torch.equal(got.pairs, living.pairs)
    assert (got.rate, got.theorem6, got.null_rate) == (living.rate, 1.0, living.null_rate)
    everything = measure_repulsion(torch.cat((features, dead, dead), dim=1), RIDGE, 1000, seed=0)
    assert len(everything.pairs) == 45
    assert int(everything.pairs.max()) < 10


def test_orthogonal_columns() -> None:
    """Exactly orthogonal features: pairs come in lexicographic order, and a residual of nothing breaks no rule."""
    features = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64).repeat(4, 1)
    got = measure_repulsion(features, RIDGE, 3, seed=0)
    assert got.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert got.median_cos == 0.0
    assert got.theorem6 == 1.0
    assert math.isfinite(got.theorem6_error)


@pytest.mark.parametrize("living", [0, 1])
def test_a_dead_network_has_no_pair(living: int) -> None:
    features = torch.zeros(10, 5, dtype=torch.float64)
    features[:, :living] = features_of(10, living, 0)
    with pytest.raises(PairError, match=rf"^pairs need at least two living features, got {living}\. "):
        measure_repulsion(features, RIDGE, 5, seed=0)
    with pytest.raises(PairError):  # also where the pairs were chosen while the network lived
        measure_repulsion(features, RIDGE, 5, seed=0, pairs=torch.tensor([[0, 1], [2, 3]]))


# ---- pairs chosen earlier --------------------------------------------------------------------------------------------


def test_given_pairs_are_measured_as_they_are() -> None:
    features = features_of(20, 10, 0)
    ranked = measure_repulsion(features, RIDGE, 8, seed=1)
    again = measure_repulsion(features, RIDGE, 8, seed=1, pairs=ranked.pairs)
    for name, value in ranked._asdict().items():
        if name in ("pairs", "cos"):
            torch.testing.assert_close(getattr(again, name), value, rtol=1e-14, atol=0)
        else:
            assert getattr(again, name) == pytest.approx(value, rel=1e-14)
    other = measure_repulsion(features, RIDGE, 8, seed=1, pairs=torch.tensor([[0, 1], [3, 9]]))
    assert other.pairs.tolist() == [[0, 1], [3, 9]]
    assert other.median_cos != ranked.median_cos


def test_a_pair_that_died_repels_nobody() -> None:
    """A feature of a chosen pair that dies later has no similarity and no B entry: it must not count as a match."""
    features = features_of(12, 10, 0)
    features[:, 1] = 0
    b, cos = references.inverse(features.numpy(), RIDGE), references.centred(features.numpy())
    g = cos.T @ cos
    attracting = [[j, l] for j, l in itertools.combinations((0, *range(2, 10)), 2) if b[j, l] * g[j, l] > 0]
    pairs = torch.tensor([[0, 1], *attracting])
    living = measure_repulsion(features, RIDGE, 3, seed=0, pairs=pairs[1:])
    got = measure_repulsion(features, RIDGE, 3, seed=0, pairs=pairs)
    assert len(attracting) > 1
    assert got.dead == 1
    assert got.rate == living.rate == 0.0
    assert got.published_estimator == living.published_estimator
    assert got.theorem6 == 1.0
    assert math.isfinite(got.theorem6_error)


# ---- null, seeds, ridge ----------------------------------------------------------------------------------------------


def test_null_pairs_are_different_living_columns() -> None:
    living = torch.tensor([1, 3, 4, 8])
    pairs = null_pairs(living, 25, np.random.default_rng(0))
    assert pairs.shape == (NULL_DRAWS, 25, 2)
    assert (pairs[..., 0] != pairs[..., 1]).all()
    assert set(pairs.flatten().tolist()) == set(living.tolist())


def test_null_has_its_range_and_known_value() -> None:
    """Known truth: with K ≪ n and independent columns B ≈ D − D G_off D, so every pair repels, random ones too."""
    got = measure_repulsion(features_of(600, 4, 0), RIDGE, 6, seed=0)
    assert got.null_low <= got.null_rate <= got.null_high
    assert (got.rate, got.null_rate) == (1.0, 1.0)
    wide = measure_repulsion(features_of(12, 40, 0), RIDGE, 60, seed=0)
    assert wide.null_low < wide.null_rate < wide.null_high


def test_seed_moves_the_null_alone() -> None:
    features = features_of(12, 40, 0)
    first = measure_repulsion(features, RIDGE, 60, seed=0)
    torch.rand(3)
    np.random.default_rng().random(3)
    again, other = (measure_repulsion(features, RIDGE, 60, seed=s) for s in (0, 1))
    assert again.metrics() == first.metrics()
    assert (other.rate, other.median_cos) == (first.rate, first.median_cos)
    assert other.null_rate != first.null_rate
    assert other.theorem6_error != first.theorem6_error  # another sample


def test_theorem_sample_is_a_few_of_the_top_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(f: torch.Tensor, ridge: float, pairs: torch.Tensor) -> torch.Tensor:
        asked.append(pairs)
        return direct_residuals(f, ridge, pairs)

    monkeypatch.setattr(repulsion, "direct_residuals", spy)
    got = measure_repulsion(features_of(20, 30, 0), RIDGE, 40, seed=0)
    assert len(asked[0]) == THEOREM_SAMPLE
    assert {tuple(p) for p in asked[0].tolist()} <= {tuple(p) for p in got.pairs.tolist()}


def test_without_weight_decay_a_stated_ridge() -> None:
    features = features_of(20, 30, 0)
    off, default = measure_repulsion(features, 0.0, 40, 0), measure_repulsion(features, DEFAULT_RIDGE, 40, 0)
    assert off.ridge == DEFAULT_RIDGE == 2e-4
    assert off.metrics() == default.metrics()


@pytest.mark.parametrize("ridge", [1e-4, 1e-12, 1e-16])
def test_a_tiny_weight_decay_is_measured_or_skipped(ridge: float) -> None:
    """K > n makes G singular: a ridge below rounding of G must not end a run that trains well."""
    features = 10 * features_of(20, 50, 0)
    try:
        got = measure_repulsion(features, ridge, 20, seed=0)
    except PairError:
        return
    assert all(math.isfinite(value) for value in got.metrics().values())
    assert got.theorem6 == 1.0


def test_metrics_are_the_scalars() -> None:
    metrics = measure_repulsion(features_of(20, 10, 0), RIDGE, 5, 0).metrics()
    names = (
        "rate",
        "null_rate",
        "null_low",
        "null_high",
        "theorem6",
        "theorem6_error",
        "published_estimator",
        "median_cos",
        "positive_share",
        "dead",
        "ridge",
    )
    assert tuple(metrics) == tuple(f"repulsion/{name}" for name in names)
    assert all(isinstance(value, float) for value in metrics.values())
