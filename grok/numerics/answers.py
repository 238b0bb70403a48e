"""What a network answers on pairs that it has not seen: labels of the pair's row and column, or others.

Shapes: n training and m test samples of P places, C classes; for modular addition two places of M symbols and C = M. A label is
*seen* by a test sample if some training sample with the same symbol in the same place has it. In a Latin square, such as the
table of addition, a row or a column has each label once: there the right label of a test pair is never among its seen ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Answers(NamedTuple):
    """Predictions on the test samples.

    Attributes:
        tests: m. right: predictions that are the label.
        seen: predictions that are a seen label. seen_expected: how many would be if each class were as likely.
        outside_right: right predictions that are no seen label. outside_expected: how many would be if each unseen class were
            as likely, for as many predictions as are outside.
        label_seen: test samples whose own label is seen; 0 in a Latin square.
        additive: predictions equal to those of the row and column parts of the logits alone. additive_right,
            interaction_right: right predictions of those parts alone, and of the interaction alone.
    """

    tests: int
    right: int
    seen: int
    seen_expected: float
    outside_right: int
    outside_expected: float
    label_seen: int
    additive: int
    additive_right: int
    interaction_right: int


def seen_labels(train_inputs: np.ndarray, train_labels: np.ndarray, test_inputs: np.ndarray, classes: int) -> np.ndarray:
    """Which labels each test sample has seen: (m, C) bool.

    Args:
        train_inputs: (n, P) int64. train_labels: (n,) int64. test_inputs: (m, P) int64. classes: C.

    Example: of the pair (0, 1) the row has shown label 0 and the column label 2.
        >>> seen_labels(np.array([[0, 0], [1, 1]]), np.array([0, 2]), np.array([[0, 1]]), classes=3).tolist()
        [[True, False, True]]
    """
    symbols = int(max(train_inputs.max(), test_inputs.max())) + 1
    out = np.zeros((len(test_inputs), classes), dtype=bool)
    for place in range(train_inputs.shape[1]):
        table = np.zeros((symbols, classes), dtype=bool)
        table[train_inputs[:, place], train_labels] = True
        out |= table[test_inputs[:, place]]
    return out


def two_way(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row and column parts of a table of logits, and what they leave: the interaction.

        additive = row mean + column mean − grand mean,  interaction = logits − additive,  class by class

    Args:
        logits: (A, B, C) float64, of every pair.

    Returns:
        (A, B, C) float64 each; the interaction's row and column means are 0.
    """
    additive = logits.mean(axis=1, keepdims=True) + logits.mean(axis=0, keepdims=True) - logits.mean(axis=(0, 1), keepdims=True)
    return additive, logits - additive


def answers(logits: np.ndarray, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> Answers:
    """What a network answers on its test pairs.

    Args:
        logits: (A, B, C) float64, of every pair. train, test: inputs, (·, 2) int64, and labels, (·,) int64.

    Source: ours.
    """
    classes = logits.shape[2]
    inputs, labels = test
    row, column = inputs.T
    additive, interaction = (part[row, column].argmax(axis=1) for part in two_way(logits))
    given = logits[row, column].argmax(axis=1)
    seen = seen_labels(*train, inputs, classes)
    inside = seen[np.arange(len(labels)), given]
    sizes = seen.sum(axis=1)
    return Answers(
        tests=len(labels),
        right=int((given == labels).sum()),
        seen=int(inside.sum()),
        seen_expected=float(sizes.sum() / classes),
        outside_right=int((given == labels)[~inside].sum()),
        outside_expected=float((1 / (classes - sizes[~inside])).sum()),
        label_seen=int(seen[np.arange(len(labels)), labels].sum()),
        additive=int((given == additive).sum()),
        additive_right=int((additive == labels).sum()),
        interaction_right=int((interaction == labels).sum()),
    )
