"""Answers on unseen pairs: counts by hand, what the Latin square excludes, predictors whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from grok.numerics.answers import answers, seen_labels, two_way
from grok.tasks.modular import modular_addition

M, N = 23, 60


def split(seed: int, labels: str = "true", n: int = N) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    found = modular_addition(M, n, seed, labels)
    return (found.train_pairs.numpy(), found.train_labels.numpy()), (found.test_pairs.numpy(), found.test_labels.numpy())


def test_seen_labels_by_hand() -> None:
    train, test = split(0)
    got = seen_labels(*train, test[0], M)
    for i in (0, 7, 100):
        a, b = test[0][i]
        wanted = {int(y) for (x, z), y in zip(*train, strict=True) if a == x or b == z}
        assert set(np.flatnonzero(got[i]).tolist()) == wanted


def test_the_right_label_of_an_unseen_pair_is_never_seen_in_a_latin_square() -> None:
    logits = np.zeros((M, M, M))
    assert answers(logits, *split(0)).label_seen == 0
    assert answers(logits, *split(0, "random")).label_seen > 0


def test_a_network_of_rows_and_columns_alone_is_never_right() -> None:
    """Each row and column votes for the labels that it has seen: every answer is a seen one, so none is right."""
    train, test = split(1, n=200)
    votes = 1e-3 * np.random.default_rng(0).random((2, M, M))  # votes that tie go one way
    for place in (0, 1):
        np.add.at(votes[place], (train[0][:, place], train[1]), 1.0)
    got = answers(votes[0][:, None] + votes[1][None], train, test)
    assert (got.right, got.seen, got.additive, got.outside_expected) == (0, got.tests, got.tests, 0.0)
    assert 0.4 * got.tests < got.seen_expected < 0.7 * got.tests


def test_random_logits_are_at_chance_everywhere() -> None:
    """469 tests and 20 draws: 408 right answers are expected, with a standard deviation of 20."""
    train, test = split(2)
    found = [answers(np.random.default_rng(s).standard_normal((M, M, M)), train, test) for s in range(20)]
    total = {name: sum(getattr(one, name) for one in found) for name in found[0]._fields}
    assert total["right"] == pytest.approx(total["tests"] / M, abs=60)
    assert total["seen"] == pytest.approx(total["seen_expected"], rel=0.05)
    assert total["outside_right"] == total["right"]
    assert total["outside_right"] == pytest.approx(total["outside_expected"], abs=60)


def test_a_network_that_knows_addition_is_right_by_its_interaction() -> None:
    logits = np.eye(M)[np.add.outer(np.arange(M), np.arange(M)) % M]
    got = answers(logits, *split(3))
    assert got.right == got.outside_right == got.interaction_right == got.tests
    assert got.seen == 0
    assert got.additive_right < 0.2 * got.tests


def test_the_two_parts_add_up_and_the_interaction_has_no_means() -> None:
    logits = np.random.default_rng(0).standard_normal((5, 7, 3))
    additive, interaction = two_way(logits)
    np.testing.assert_allclose(additive + interaction, logits, rtol=0, atol=1e-14)
    for axis in (0, 1):
        np.testing.assert_allclose(interaction.mean(axis=axis), 0, atol=1e-14)
