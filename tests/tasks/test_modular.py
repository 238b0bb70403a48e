"""The task: every pair once, the protocol's split, labels that are true or drawn once per seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.tasks.base import Problem
from grok.tasks.modular import modular_addition


def everything(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat((problem.train_pairs, problem.test_pairs)), torch.cat((problem.train_labels, problem.test_labels))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_split_covers_every_pair_once(data: st.DataObject) -> None:
    modulus = data.draw(st.integers(2, 13))
    n_train = data.draw(st.integers(1, modulus**2 - 1))
    problem = modular_addition(modulus, n_train, data.draw(st.integers(0, 10**6)))
    pairs, labels = everything(problem)
    assert sorted(map(tuple, pairs.tolist())) == [(a, b) for a in range(modulus) for b in range(modulus)]
    assert [(a + b) % modulus for a, b in pairs.tolist()] == labels.tolist()
    assert (len(problem.train_pairs), len(problem.train_labels), problem.modulus) == (n_train, n_train, modulus)


@pytest.mark.parametrize("seed", [0, 1, 14])
def test_split_is_the_protocols(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(71 * 71, generator=generator).tolist()
    pairs, _ = everything(modular_addition(71, 2016, seed))
    assert pairs.tolist() == [[i // 71, i % 71] for i in order]


def test_same_seed_same_split_and_other_seed_another() -> None:
    first = modular_addition(11, 40, 3)
    torch.rand(5)  # an unrelated draw
    again, other = modular_addition(11, 40, 3), modular_addition(11, 40, 4)
    assert all(torch.equal(x, y) for x, y in zip(first[:4], again[:4], strict=True))
    assert not torch.equal(first.train_pairs, other.train_pairs)


def test_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    modular_addition(7, 20, 0, "random")
    assert torch.equal(torch.get_rng_state(), before)


def test_random_labels_belong_to_pairs_not_to_places() -> None:
    """Each pair's label is the entry of one draw over all pairs, whichever side of the split it fell on."""
    modulus, seed = 11, 5
    drawn = torch.randint(0, modulus, (modulus**2,), generator=torch.Generator().manual_seed(1000 + seed))
    for n_train in (30, 90):
        pairs, labels = everything(modular_addition(modulus, n_train, seed, "random"))
        assert torch.equal(labels, drawn[pairs[:, 0] * modulus + pairs[:, 1]])
    assert torch.equal(pairs, everything(modular_addition(modulus, 30, seed))[0])  # the split stays


def test_random_labels_differ_by_seed_and_tell_nothing() -> None:
    """Known truth: chance agrees with (a + b) mod M on 1/M of the pairs; 5 standard deviations about it."""
    modulus = 31
    pairs, labels = everything(modular_addition(modulus, 100, 0, "random"))
    agree = (labels == pairs.sum(dim=1) % modulus).double().mean()
    deviation = (1 / modulus * (1 - 1 / modulus) / modulus**2) ** 0.5
    assert abs(float(agree) - 1 / modulus) < 5 * deviation
    assert not torch.equal(labels, everything(modular_addition(modulus, 100, 1, "random"))[1])


@pytest.mark.parametrize(
    ("n_train", "labels", "message"),
    [
        (0, "true", r"n_train must be in \[1, 48\], got 0\. "),
        (49, "true", r"n_train must be in \[1, 48\], got 49\. "),
        (20, "wrong", r"labels must be true or random, got wrong\. "),
    ],
)
def test_bad_input_is_refused(n_train: int, labels: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        modular_addition(7, n_train, 0, labels)
