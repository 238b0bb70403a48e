"""What a signal may be given, by name: its shape, what class of information it is, and how to make up an example.

Another need is a row here; whoever runs signals hands it over under this name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CLASSES = {
    "T": "training inputs and labels only",
    "G": "the group: its Fourier or character basis",
    "H": "held-out inputs",
    "L": "held-out labels",
    "C": "the clock, or an intervention",
}
"""Classes of information; a table that mixes them without saying so is unfair to T."""
SAMPLES, WIDTH, OUTPUTS, LAGS, EIGENVALUES = 24, 8, 4, 6, 5
"""Sizes of the examples: n, K, M, L, and the eigenvalues that a history holds."""
SYMBOLS = 7
"""Of the examples with an embedding: a prime."""
HELD_OUT = 1600
"""Held-out samples of the examples: more than a signal that takes the first of them takes."""


@dataclass(frozen=True)
class Need:
    """One thing that a signal may be given.

    Attributes:
        kind: `epoch` (the state at one epoch), `history` (an array with the epochs first) or `run` (a constant).
        text: what it is, with its shape.
        make: (generator) → an example at one epoch; (generator, epochs) → of a history or a run.
        information: the class that it belongs to.
    """

    kind: str
    text: str
    make: Callable[..., Any]
    information: str = "T"


def _tensor(*shape: int) -> Callable[[np.random.Generator], Any]:
    def make(rng: np.random.Generator) -> Any:
        import torch

        return torch.from_numpy(rng.standard_normal(shape))

    return make


def _integers(rng: np.random.Generator, *shape: int) -> Any:
    import torch

    return torch.from_numpy(rng.integers(0, OUTPUTS, shape))


def _labels(rng: np.random.Generator) -> Any:
    import torch

    return torch.from_numpy(rng.permutation(np.arange(SAMPLES) % OUTPUTS))


def _layers(rng: np.random.Generator) -> Any:
    shapes = {"w": (WIDTH, WIDTH), "v": (WIDTH, OUTPUTS), "embedding": (SYMBOLS, OUTPUTS)}
    return {name: _tensor(*shape)(rng) for name, shape in shapes.items()}


def _logits(rng: np.random.Generator) -> Any:
    return 12 * _tensor(SAMPLES, OUTPUTS)(rng)  # on some samples one class is certain


def _maps(rng: np.random.Generator) -> Any:
    """Neurons of which each is a tone with more or less noise."""
    import torch

    place = torch.arange(OUTPUTS)
    tone = torch.cos(2 * torch.pi / OUTPUTS * (place[:, None] + place)).double()
    return tone[:, :, None] + torch.from_numpy(rng.lognormal(-1, 2, WIDTH)) * _tensor(OUTPUTS, OUTPUTS, WIDTH)(rng)


def _attention(rng: np.random.Generator) -> Any:
    return _tensor(2, SAMPLES, 4, 3, 3)(rng).softmax(dim=-1)


def _positive(*shape: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, epochs: rng.lognormal(size=(epochs, *shape))


def _shares(rng: np.random.Generator, epochs: int) -> np.ndarray:
    return rng.random(epochs)


def _learnt(rng: np.random.Generator, epochs: int) -> np.ndarray:
    """One from some epoch after the tenth on."""
    return (np.arange(epochs) >= 10 + 20 * rng.random()) * 1.0


def _eigenvalues(rng: np.random.Generator, epochs: int) -> np.ndarray:
    return -np.sort(-rng.lognormal(sigma=2, size=(epochs, EIGENVALUES)), axis=1)


def _band(rng: np.random.Generator, epochs: int) -> np.ndarray:
    """The band of a random walk's updates; row 0 is NaN, since no update leads to epoch 0."""
    updates = rng.standard_normal((epochs, WIDTH))
    gram = updates @ updates.T
    row, lag = np.arange(epochs)[:, None], np.arange(LAGS)[None, :]
    return np.where(lag < row, gram[row, row - lag], np.nan)


NEEDS: dict[str, Need] = {
    "features": Need("epoch", "(n, K) tensor, on the training samples, raw", _tensor(SAMPLES, WIDTH)),
    "labels": Need("epoch", "(n,) int64 tensor, of the training samples", _labels),
    "logits": Need("epoch", "(n, M) tensor, on the training samples", _logits),
    "readout": Need("epoch", "(K, M) tensor, the last layer", _tensor(WIDTH, OUTPUTS)),
    "inputs": Need(
        "epoch", "(n, 2) int64 tensor, the training pairs as the grid numbers them", lambda rng: _integers(rng, SAMPLES, 2)
    ),
    "grid_labels": Need("epoch", "(n,) int64 tensor, labels of the training samples as the grid numbers them", _labels),
    "weights": Need("epoch", "a tensor by layer", _layers),
    "moved": Need("epoch", "weights by layer less those at the epoch seen before; None at the first", _layers),
    "attention": Need("epoch", "(layers, n, H, T, T) tensor, on the training samples; rows sum to 1", _attention),
    "memorised": Need(
        "epoch", "weights by layer at the first epoch seen with a training accuracy ≥ 0.99; None before it", _layers
    ),
    "minibatch_gradients": Need(
        "epoch", "(draws, 6, P) float64 tensor, as `grok.numerics.dynamics.commutator` takes it", _tensor(3, 6, WIDTH)
    ),
    "grid_logits": Need(
        "epoch",
        "(M², M) tensor, on all pairs in the order of the group, pair i being (i // M, i % M)",
        _tensor(OUTPUTS**2, OUTPUTS),
        "H",
    ),
    "grid_features": Need("epoch", "(M, M, K) tensor, on all pairs in the order of the group", _maps, "H"),
    "gradients": Need("epoch", "of the training loss, a tensor by layer", _layers),
    "held_out_features": Need("epoch", "(n, K) tensor, on held-out samples, raw", _tensor(HELD_OUT, WIDTH), "H"),
    "held_out_logits": Need("epoch", "(n, M) tensor, on held-out samples", _tensor(HELD_OUT, OUTPUTS), "H"),
    "held_out_labels": Need("epoch", "(n,) int64 tensor, of held-out samples", lambda rng: _integers(rng, HELD_OUT), "L"),
    "epoch": Need("history", "(T + 1,) int64, the epochs themselves", lambda rng, epochs: np.arange(epochs), "C"),
    "train_loss": Need("history", "(T + 1,) float64", _positive()),
    "train_accuracy": Need("history", "(T + 1,) float64 in [0, 1]", _learnt),
    "test_loss": Need("history", "(T + 1,) float64", _positive(), "L"),
    "test_accuracy": Need("history", "(T + 1,) float64 in [0, 1]", _shares, "L"),
    "norms": Need("history", "(T + 1, layers) float64, Frobenius norm of each layer", _positive(2)),
    "band": Need("history", "(T + 1, L) float64, ⟨Δ_t, Δ_{t−l}⟩ of one layer's updates; row 0 and l ≥ t are NaN", _band),
    "eigenvalues": Need("history", "(T + 1, 5) float64, of one layer's rolling window, descending", _eigenvalues),
    "window": Need("run", "w, updates in the rolling window", lambda rng, epochs: 6),
    "modulus": Need(
        "run", "M, elements of the task's group: of addition mod M, of multiplication M − 1", lambda rng, epochs: OUTPUTS
    ),
    "symbols": Need("run", "p, symbols of the task", lambda rng, epochs: SYMBOLS),
    "cross_entropy": Need("run", "whether the loss is a cross-entropy, else squared", lambda rng, epochs: False),
    "learning_rate": Need("run", "η of the optimiser", lambda rng, epochs: 1e-2),
    "weight_decay": Need("run", "λ of the optimiser", lambda rng, epochs: 1.0),
    "seed": Need("run", "of the run, for what is drawn at random", lambda rng, epochs: 0),
}
COLUMNS = {
    "epoch": "epoch",
    "train_loss": "loss/train",
    "train_accuracy": "accuracy/train",
    "test_loss": "loss/test",
    "test_accuracy": "accuracy/test",
}
"""Needs that are columns of a run's history as they stand."""


def from_history(columns: Mapping[str, Any], layer: str = "w", band: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The needs of kind `history` that a finished run's history table holds.

    Args:
        columns: of the table `history.parquet`, by name; a DataFrame will do.
        layer: whose updates. band: (T, L) float64 of that layer, if signals are to have it.

    Returns:
        By name, (T + 1, …) each; what the table lacks is absent.
    """
    table = {str(name): np.asarray(columns[name]) for name in columns}
    found = {need: table[name] for need, name in COLUMNS.items() if name in table}
    norms = [name for name in table if name.startswith("norm/")]
    if norms:
        found["norms"] = np.stack([table[name] for name in norms], axis=1)
    lambdas = [f"delta_{layer}/lambda_{k}" for k in range(1, EIGENVALUES + 1)]
    if lambdas[0] in table:
        blank = np.full(len(table[lambdas[0]]), np.nan)
        found["eigenvalues"] = np.stack([table.get(name, blank) for name in lambdas], axis=1)
    if band is not None:
        found["band"] = np.concatenate((np.full((1, band.shape[1]), np.nan), band))
    return found
