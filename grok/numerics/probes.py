"""Probes: how well a label is read from hidden states, by several readers, and by how much that is chance, scale or memory.

Shapes: n tokens with d features, integer labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

TRAINED = 0.7
"""Share of tokens, or of sequences, that a probe is fitted on (Xu, arXiv 2604.07380, its code)."""


class Split(NamedTuple):
    """Which tokens a probe is fitted and scored on, two boolean masks (n,)."""

    fitted: np.ndarray
    scored: np.ndarray


def by_token(count: int, seed: int) -> Split:
    """A share of 0.7 of the tokens at random, as published: equal prefixes, which are equal features, fall on both sides."""
    order = np.random.default_rng(seed).permutation(count)
    fitted = np.zeros(count, dtype=bool)
    fitted[order[: int(TRAINED * count)]] = True
    return Split(fitted, ~fitted)


def by_sequence(rows: Sequence[tuple[int, ...]], prefixes: Sequence[tuple[int, ...]], sequence: np.ndarray, seed: int) -> Split:
    """Distinct sequences apart, and of the scored ones only tokens whose prefix no fitted sequence has.

    Args:
        rows: the sequences. prefixes: of each token. sequence: (n,) index in `rows` of each token.
    """
    distinct = list(dict.fromkeys(rows))
    order = np.random.default_rng(seed).permutation(len(distinct))
    first = {distinct[i] for i in order[: int(TRAINED * len(distinct))]}
    member = np.array([rows[i] in first for i in sequence])
    known = {prefix for prefix, inside in zip(prefixes, member, strict=True) if inside}
    return Split(member, ~member & np.array([prefix not in known for prefix in prefixes]))


def in_sample(count: int) -> Split:
    """Fitted and scored on the same tokens, as one published table has it."""
    return Split(np.ones(count, dtype=bool), np.ones(count, dtype=bool))


class Centroids(NamedTuple):
    """Means of the features of each class, in the order of the classes.

    Attributes:
        step: mean distance of neighbours. first: share of their variance along its leading direction, in [0, 1].
    """

    step: float
    first: float


def centroids(features: np.ndarray, labels: np.ndarray) -> Centroids:
    """Of the classes that occur. The step has the scale of the features: halved features, half the step.

    Source: Xu (arXiv 2604.07380), its notes.
    """
    means = np.stack([features[labels == one].mean(axis=0, dtype=np.float64) for one in np.unique(labels)])
    values = np.linalg.svd(means - means.mean(axis=0), compute_uv=False) ** 2
    total = float(values.sum())
    first = float(values[0]) / total if total > 0 else float("nan")
    return Centroids(float(np.linalg.norm(np.diff(means, axis=0), axis=1).mean()), first)


def standardised(features: np.ndarray, split: Split) -> np.ndarray:
    """Mean 0 and variance 1 on the fitted tokens; constant features stay 0."""
    fitted = features[split.fitted]
    spread = fitted.std(axis=0)
    scaled: np.ndarray = (features - fitted.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def linear(alpha: float = 1.0) -> Any:
    """Ridge regression to the depth as a number; α = 1 as published."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=alpha)


def quadratic() -> Any:
    """Products of two different features, ridge with α = 10, as published."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    return make_pipeline(PolynomialFeatures(2, interaction_only=True), Ridge(alpha=10.0))


def mlp(seed: int = 0) -> Any:
    """64 ReLU units, Adam, early stopping, α = 0.01, at most 500 passes, as published."""
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, alpha=0.01, max_iter=500, random_state=seed)


def logistic() -> Any:
    """Logistic regression to the depth as a class: scored by accuracy."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=300)


def score(probe: Any, features: np.ndarray, labels: np.ndarray, split: Split) -> float:
    """R² on the scored tokens of a regression, accuracy of a classification; NaN if none is scored."""
    if not split.scored.any():
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a probe that has not converged is scored as it is
        probe.fit(features[split.fitted], labels[split.fitted])
        return float(probe.score(features[split.scored], labels[split.scored]))


def periodic(features: np.ndarray, labels: np.ndarray, split: Split) -> float:
    """The best R² over frequencies k of ridge from standardised features to cos and sin of 2 π k c / M.

    It is a maximum over M / 2 frequencies: what shuffled labels give stands beside it.

    Args:
        features: (n, d). labels: c, (n,) classes 0 … M − 1 of which the last occurs. split: of the tokens.

    Source: ours, after the single frequency that Xu (arXiv 2604.07380) tells of modular addition.
    """
    from sklearn.metrics import r2_score

    classes = int(labels.max()) + 1
    angles = 2 * np.pi * np.outer(labels, np.arange(1, classes // 2 + 1)) / classes
    waves = np.concatenate((np.cos(angles), np.sin(angles)), axis=1)
    scaled = standardised(features, split)
    found = linear().fit(scaled[split.fitted], waves[split.fitted]).predict(scaled[split.scored])
    scores = np.asarray(r2_score(waves[split.scored], found, multioutput="raw_values")).reshape(2, -1)
    return float(scores.mean(axis=0).max())


READERS: dict[str, tuple[Callable[[], Any], bool]] = {
    "linear_raw": (linear, False),
    "linear_raw_ols": (lambda: linear(1e-6), False),
    "linear_standardised": (linear, True),
    "linear_standardised_ols": (lambda: linear(1e-6), True),
    "quadratic_raw": (quadratic, False),
    "quadratic_standardised": (quadratic, True),
    "mlp_raw": (mlp, False),
    "mlp_standardised": (mlp, True),
    "logistic_standardised": (logistic, True),
}
"""By name: the probe, and whether its features are standardised."""


def battery(
    features: np.ndarray, labels: np.ndarray, splits: dict[str, Split], readers: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Scores by `<reader>/<split>`.

    Args:
        features: (n, d). labels: (n,) int. splits: by name. readers: names of `READERS`.
    """
    for name, split in splits.items():
        scaled = standardised(features, split)
        for reader in readers:
            make, scale = READERS[reader]
            yield f"{reader}/{name}", score(make(), scaled if scale else features, labels, split)
