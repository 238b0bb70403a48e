"""Dyck-1 is the published data, byte for byte, and its labels are what their names say."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from grok.tasks.dyck import PAD, depths, dyck, prefixes, train_labels, unseen_prefix

SHA_256 = "95450497174340608854e47261a3d33a313191c64c035022115eaf9514154d45"


def test_it_is_the_published_data() -> None:
    problem = dyck()
    tokens = torch.cat((problem.train_inputs, problem.test_inputs)).numpy().astype(np.int8)
    assert tokens.shape == (5050, 24)
    assert hashlib.sha256(tokens.tobytes()).hexdigest() == SHA_256


def test_the_counts_of_the_training_data() -> None:
    problem = dyck()
    train = problem.train_inputs
    assert int((train != PAD).sum()) == 576
    assert len({tuple(row) for row in train.tolist()}) == 36
    assert len(set(prefixes(train))) == 321
    assert int(problem.train_labels.max()) == 9


def test_the_counts_of_the_test_data() -> None:
    problem = dyck()
    train, test = problem.train_inputs, problem.test_inputs
    known = {tuple(row) for row in train.tolist()}
    assert int((test != PAD).sum()) == 64820
    assert len({tuple(row) for row in test.tolist()}) == 2234
    assert sum(tuple(row) in known for row in test.tolist()) == 1221
    unseen = unseen_prefix(test, train)
    assert float(1 - unseen.sum() / 64820) == pytest.approx(0.496, abs=5e-4)
    assert (int((test[:1000] != PAD).sum()), int(unseen[:1000].sum())) == (13186, 6671)
    assert int((test[:300] != PAD).sum()) == 3978
    share = torch.bincount(problem.test_labels[problem.test_labels >= 0])[:4] / 64820
    assert share.tolist() == pytest.approx([0.178, 0.303, 0.209, 0.135], abs=5e-4)


def test_depths_by_hand() -> None:
    tokens = torch.tensor([[0, 0, 1, 1, PAD, PAD], [0, 1, 0, 1, 0, 1]])
    assert depths(tokens).tolist() == [[1, 2, 1, 0, -100, -100], [1, 0, 1, 0, 1, 0]]
    assert prefixes(tokens[:1]) == [(0,), (0, 0), (0, 0, 1), (0, 0, 1, 1)]
    assert unseen_prefix(tokens[1:], tokens[:1]).tolist() == [[False, True, True, True, True, True]]


def test_prefix_labels_agree_on_equal_prefixes_and_random_ones_do_not() -> None:
    train = dyck().train_inputs
    found = prefixes(train)
    for labels, fitted in (("prefix", True), ("random", False), ("true", True)):
        drawn = train_labels(train, labels, seed=42)
        flat = drawn[train != PAD].tolist()
        assert (len(set(zip(found, flat, strict=True))) == len(set(found))) is fitted
        assert torch.equal(drawn == -100, train == PAD)
    assert not torch.equal(train_labels(train, "prefix", 42), train_labels(train, "prefix", 137))
    assert int(train_labels(train, "prefix", 42).max()) == 12


@pytest.mark.parametrize(("n_train", "labels"), [(0, "true"), (5050, "true"), (50, "iid")])
def test_bad_arguments(n_train: int, labels: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        dyck(n_train, labels=labels)
