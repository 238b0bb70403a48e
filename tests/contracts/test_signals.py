"""What every signal of the room must do, and one of a user's own from one file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grok.signals._untestable import UNTESTABLE
from grok.signals.base import CADENCES, CLASSES, DIRECTIONS, NEEDS, Live, Signal, cut, example, find, is_causal, series
from grok.spec.fields import ConfigError
from grok.spec.plugins import SIGNALS

NAMES = SIGNALS.names
EIGENVALUES = np.array([[np.nan] * 5, [16.0, 8.0, 2.0, 1.0, 0.5]])
RIGHT = torch.eye(3, dtype=torch.float64)[torch.tensor([(a + b) % 3 for a in range(3) for b in range(3)])]
"""Outputs that solve addition mod 3."""
ONE_PAIR = RIGHT.clone()
ONE_PAIR[1:] = 0
CLASSES_APART = torch.tensor([[0.0, 1.0], [0.0, -1.0], [2.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
CROSS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
LINE = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
TONES = torch.cos(2 * math.pi / 5 * torch.arange(5, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 2.0]])).repeat(2, 1)
"""(2M, 2) at M = 5: a neuron of frequency 1 and one of frequency 2."""
HEADS_ALIKE = torch.eye(2, dtype=torch.float64).expand(1, 1, 2, 2, 2)
"""One block, one sample, two heads of two places."""
HEADS_APART = torch.tensor([[[[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]]], dtype=torch.float64)
PLACE = torch.arange(4, dtype=torch.float64)
TONE = torch.cos(math.pi / 2 * (PLACE[:, None] + PLACE))
SUM_OF_TONES = torch.cos(math.pi / 2 * PLACE[:, None]) + torch.cos(math.pi * PLACE)
"""A neuron's map of frequency 1, and one of two frequencies."""
TRUTHS: dict[str, tuple[dict[str, Any], list[float]]] = {
    "gap": ({"eigenvalues": EIGENVALUES, "window": 20}, [math.nan, 4.0]),
    "rho": (  # FFᵀ = aI + b11ᵀ gives 0; of rank one with alternating signs √(1 − 1/n − 1/(n(n − 1)))
        {
            "features": [
                torch.eye(8, dtype=torch.float64) + 0.3,
                torch.tensor([[1.0, 0.0], [-1.0, 0.0]] * 4, dtype=torch.float64),
            ]
        },
        [0.0, math.sqrt(1 - 1 / 8 - 1 / 56)],
    ),
    "weight_norm": ({"norms": np.array([[3.0, 4.0], [5.0, 12.0]])}, [5.0, 13.0]),
    "cosine": (  # no update, the first, one at a right angle to it, one that turns back
        {"band": np.array([[np.nan, np.nan], [1.0, np.nan], [4.0, 0.0], [1.0, -2.0]])},
        [math.nan, math.nan, 1.0, 2.0],
    ),
    "loss": ({"train_loss": np.array([2.0, 1.0])}, [2.0, 1.0]),
    "clock": ({"epoch": np.array([0, 1, 2])}, [0.0, 1.0, 2.0]),
    "fourier_dominance": (  # one frequency in each neuron; noise-free ramps have two
        {"weights": [{"w": TONES}, {"w": TONES[:, :1] + TONES[:, 1:]}], "modulus": 5, "seed": 0},
        [1.0, 0.5],
    ),
    "fve": ({"grid_logits": [RIGHT, 3 * RIGHT + 7, ONE_PAIR], "modulus": 3}, [1.0, 1.0, 1 / 9]),
    "restricted_loss": ({"grid_logits": [RIGHT, 0 * RIGHT], "modulus": 3, "cross_entropy": False}, [0.0, 2 / 3]),
    "excluded_loss": (  # what an orbit explains is gone; nothing is left of a solution
        {
            "grid_logits": [RIGHT, 0 * RIGHT],
            "inputs": [torch.tensor([[0, 1], [2, 2]])] * 2,
            "grid_labels": [torch.tensor([1, 1])] * 2,
            "modulus": 3,
            "cross_entropy": False,
        },
        [2 / 3, 2 / 3],
    ),
    "ildr": (  # means 2 apart, 1 within; and no spread at all
        {"held_out_features": [CLASSES_APART, 2 * CLASSES_APART], "held_out_labels": [torch.tensor([0, 0, 1, 1])] * 2},
        [4 / (1 + 1e-8), 16 / (4 + 1e-8)],
    ),
    "ildr_train": ({"features": [CLASSES_APART], "labels": [torch.tensor([0, 0, 1, 1])]}, [4 / (1 + 1e-8)]),
    "lar": (  # rms F V = 4 of rms 1 and 1; a layer that keeps orthogonal entries as they are
        {
            "features": [torch.ones(2, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)],
            "readout": [torch.ones(4, 3, dtype=torch.float64), torch.eye(4, dtype=torch.float64)],
        },
        [1.0, 0.5],
    ),
    "spectral_entropy": ({"features": [CROSS, LINE]}, [1.0, 0.0]),
    "participation_ratio": ({"features": [CROSS, LINE]}, [2.0, 1.0]),
    "anisotropy": ({"features": [CROSS[:, [0, 1, 1]], LINE]}, [2.0, 2.0]),
    "effective_rank_w": ({"weights": [{"w": torch.eye(3).repeat(1, 2)}, {"w": torch.ones(3, 4)}]}, [3.0, 1.0]),
    "effective_rank_v": ({"weights": [{"v": torch.eye(3).repeat(2, 1)}, {"v": torch.ones(3, 4)}]}, [3.0, 1.0]),
    "commutator": (  # changes of (0.003, 0) and (0, 0.004) over a step of 0.001, of gradients of length 1
        {
            "minibatch_gradients": [
                torch.tensor([[[1, 0], [0, 1], [0.003, 1], [1, 0.004], [0, 0], [0, 0]]], dtype=torch.float64),
            ]
        },
        [5.0 / (1 + 1e-12)],
    ),
    "fiedler": (  # a path of three: 0, 1, 3; a star of four with weight 2: λ₂ = 2
        {
            "weights": [
                {"w": torch.ones(1, 1), "v": torch.ones(1, 1)},
                {"w": torch.tensor([[-2.0], [2.0]]), "v": torch.tensor([[2.0]])},
            ]
        },
        [1.0, 2.0],
    ),
    "hankel_dmd": (  # constant margins are predicted, from the first twelve rows on
        {"logits": [torch.tensor([[3.0, 1.0], [0.0, 5.0]])] * 13, "labels": [torch.tensor([0, 0])] * 13},
        [math.nan] * 11 + [0.0, 0.0],
    ),
    "logit_scale": ({"logits": [torch.tensor([[3.0, 4.0], [0.0, 15.0]]), torch.zeros(2, 2)]}, [math.log(10), math.nan]),
    "max_margin": (
        {"logits": [torch.tensor([[3.0, 4.0], [0.0, 15.0]]), torch.zeros(2, 2)], "labels": [torch.tensor([0, 1])] * 2},
        [math.log(15), math.nan],
    ),
    "angle_from_t_mem": (
        {
            "weights": [{"w": torch.eye(2)}, {"w": torch.eye(2)}, {"w": torch.tensor([[0.0, 1.0], [0.0, 0.0]])}],
            "memorised": [None, {"w": 3 * torch.eye(2)}, {"w": torch.eye(2)}],
        },
        [math.nan, 0.0, math.pi / 2],
    ),
    "gradient_norm": ({"gradients": [{"w": torch.tensor([3.0]), "v": torch.tensor([[4.0]])}]}, [5.0]),
    "norm_peak": ({"norms": np.array([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]])}, [0.0, 0.8, 0.0]),
    "first_passage": (  # log V falls by 0.02 an epoch from 2 above the target; known once ten epochs have been seen
        {
            "norms": np.sqrt(2501 * np.exp(2 - 0.02 * np.arange(13)))[:, None],
            "train_accuracy": np.ones(13),
            "learning_rate": 1e-3,
            "weight_decay": 1.0,
        },
        [math.nan] * 10 + [90.0, 89.0, 88.0],
    ),
    "topology": (  # a path whose λ₂ alternates: autocorrelation −1 throughout, and no entropy that falls
        {
            "weights": [{"w": torch.full((1, 1), s), "v": torch.full((1, 1), s)} for s in (1.0, 2.0) * 15],
            "moved": [{"w": torch.ones(1, 1), "v": torch.ones(1, 1)}] * 30,
        },
        [math.nan] * 29 + [-1.0],
    ),
    "mixture_precision": (  # two samples are one cluster at most: λ_max over half the trace
        {"features": [torch.tensor([[1.0, 0.0], [-1.0, 0.0]])], "modulus": 5},
        [2.0],
    ),
    "effective_rank_f": ({"features": [CROSS, LINE]}, [2.0, 1.0]),
    "logit_scale_all": (
        {"logits": [torch.tensor([[3.0, 4.0], [0.0, 15.0]])], "held_out_logits": [torch.tensor([[6.0, 8.0]])]},
        [math.log(10)],
    ),
    "softmax_collapse": ({"logits": [torch.tensor([[0.0, 0.0], [0.0, 200.0]])]}, [0.5]),
    "head_cosine": ({"attention": [HEADS_ALIKE, HEADS_APART]}, [1.0, 0.0]),
    "head_entropy": (  # a head that looks at one place, one at both
        {"attention": [torch.stack((HEADS_ALIKE[:, :, 0], torch.full((1, 1, 2, 2), 0.5)), dim=2)]},
        [math.log(2) / 2],
    ),
    "head_participation": ({"attention": [HEADS_ALIKE, HEADS_APART]}, [0.5, 1.0]),
    "characters": (  # mod 5 the powers of 2 are 1, 2, 4, 3: one frequency of two
        {"weights": [{"embedding": torch.tensor([[0.0], [1.0], [0.0], [0.0], [-1.0]])}], "symbols": 5},
        [0.5],
    ),
    "tuned_neurons": ({"grid_features": [torch.stack((TONE, SUM_OF_TONES), dim=2)]}, [0.5]),
    "test_loss_turnover": (
        {"test_loss": np.array([1.0, 2.0, 1.5, 0.5, 4.0]), "train_accuracy": np.array([0.1, 0.2, 1.0, 0.5, 1.0])},
        [np.nan, np.nan, 0.25, 0.75, 0.0],
    ),
}
"""Needs with a value that follows by hand; every signal of the room has one."""


def fed(signal: Signal, given: dict[str, Any], variant: str) -> list[float]:
    """The values of `Live`, an epoch at a time."""
    moving = [need for need in signal.needs if NEEDS[need].kind != "run"]
    live = Live(signal, variant, **{need: given[need] for need in signal.needs if need not in moving})
    epochs = len(given[moving[0]])
    return [live.append(**{need: given[need][t] for need in moving}) for t in range(epochs)]


def arrays(need: Any) -> list[np.ndarray]:
    """What a need holds, epoch by epoch and layer by layer."""
    epochs = need if isinstance(need, list) else [need]
    return [np.asarray(part) for one in epochs for part in (one.values() if isinstance(one, dict) else [one])]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    signal = find(name)
    assert isinstance(signal, Signal)
    assert signal.name == name
    for text in (signal.title, signal.source, signal.cost):
        assert text
    assert signal.needs
    assert set(signal.needs) <= set(NEEDS)
    assert set(signal.information) <= set(CLASSES)
    assert signal.direction in DIRECTIONS
    assert signal.cadence in CADENCES
    assert signal.version >= 1
    assert signal.skip() is None


@pytest.mark.parametrize("name", NAMES)
def test_it_is_causal(name: str) -> None:
    assert is_causal(find(name))


@pytest.mark.parametrize("name", NAMES)
def test_live_is_post_hoc(name: str) -> None:
    signal = find(name)
    for variant in signal.variants:
        given = example(signal, epochs=36, seed=1)
        whole = series(signal, given, variant)
        assert whole.shape == (36,)
        assert whole.dtype == np.float64
        assert np.isfinite(whole).any()
        np.testing.assert_allclose(fed(signal, given, variant), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_its_value_on_a_known_truth(name: str) -> None:
    given, expected = TRUTHS[name]
    np.testing.assert_allclose(series(find(name), given), expected, rtol=1e-12, atol=1e-7)  # ρ is the root of a difference


@pytest.mark.parametrize("name", [name for name in NAMES if find(name).printed])
def test_its_printed_rule_never_takes_back_what_it_said(name: str) -> None:
    """On random walks over all decades, and on some through 0, cut off at every seventh epoch."""
    rule = find(name).printed
    assert rule is not None
    assert rule.text
    rng, held = np.random.default_rng(3), 0
    for memorised, shift in itertools.product((math.nan, 0.0, 11.0), (0.0, 1.0)):
        values = np.exp(0.5 * rng.standard_normal(200).cumsum()) - shift
        epochs = np.arange(0, 200)
        whole = rule.holds(epochs, values, memorised)
        held += int(whole.sum())
        for end in range(1, 200, 7):
            np.testing.assert_array_equal(rule.holds(epochs[:end], values[:end], memorised), whole[:end])
    assert held


def test_what_cannot_be_tested_says_what_is_missing() -> None:
    names = [row.name for row in UNTESTABLE]
    assert len(set(names)) == len(names)
    assert not set(names) & set(NAMES)
    assert all("arXiv" in row.paper and row.missing for row in UNTESTABLE)


@pytest.mark.parametrize("name", NAMES)
def test_it_moves_with_each_of_its_needs_and_leaves_them_alone(name: str) -> None:
    signal = find(name)
    given, other = example(signal, seed=0), example(signal, seed=1)
    before = series(signal, given)
    for need in signal.needs:
        if NEEDS[need].kind != "run" and need != "epoch":  # a constant of the run may bear on rare values only
            assert not np.array_equal(series(signal, given | {need: other[need]}), before, equal_nan=True)
    np.testing.assert_array_equal(series(signal, given), before)
    fresh = example(signal)
    for need in signal.needs:
        for mine, other_ in zip(arrays(given[need]), arrays(fresh[need]), strict=True):
            np.testing.assert_array_equal(mine, other_)


@pytest.mark.parametrize("name", NAMES)
def test_its_variants_differ(name: str) -> None:
    signal = find(name)
    given = example(signal, 64)  # longer than a window of 50
    if signal.needs == ("features",):  # of more samples than features two variants are one
        given = {"features": [features[:6] for features in given["features"]]}
    found = [series(signal, given, variant) for variant in signal.variants]
    for i, one in enumerate(found):
        assert not any(np.array_equal(one, other, equal_nan=True) for other in found[:i])


OWN = """
import numpy as np
import torch
from grok import Signal


def margin(logits, labels):
    own = logits.gather(1, labels[:, None])[:, 0]
    return float((own - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)).mean())


def lag_one(values):
    out = np.full(len(values), np.nan)
    for t in range(10, len(values)):
        past = values[: t + 1]
        out[t] = np.corrcoef(past[:-1], past[1:])[0, 1]
    return out


def ahead(train_loss):
    return train_loss / train_loss[-1]


calls = []


def remembers(features):
    calls.append(float(features.sum()))
    return sum(calls)


margin_signal = Signal("margin", margin, needs=("logits", "labels"), title="mean margin", cost="a gather")
autocorrelation = Signal("ar1", margin, lag_one, needs=("logits", "labels"))
fiedler = Signal("fiedler", lambda weights: float(sum(w.abs().sum() for w in weights.values())), needs=("weights",))
cheat = Signal("cheat", ahead, needs=("train_loss",))
cheat_over = Signal("cheat_over", margin, lambda values: values - values[-1], needs=("logits", "labels"))
with_memory = Signal("with_memory", remembers, needs=("features",))
nothing = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Signal]:
    (tmp_path / "own_signals.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name: find(f"own_signals:{name}")


def test_one_of_ones_own_is_one_file(own: Callable[[str], Signal]) -> None:
    given = {"logits": [torch.tensor([[3.0, 1.0], [0.0, 4.0]]), torch.tensor([[0.0, 1.0], [2.0, 2.0]])]}
    given["labels"] = [torch.tensor([0, 1])] * 2
    assert series(own("margin_signal"), given).tolist() == [3.0, -0.5]
    for name in ("margin_signal", "autocorrelation", "fiedler"):
        made = example(own(name))
        np.testing.assert_allclose(fed(own(name), made, ""), series(own(name), made), rtol=1e-12)
    known = series(own("autocorrelation"), example(own("autocorrelation")))
    assert np.isnan(known[:10]).all()
    assert np.isfinite(known[10:]).all()


@pytest.mark.parametrize("name", ["cheat", "cheat_over", "with_memory"])
def test_one_that_looks_ahead_or_remembers_is_refused(own: Callable[[str], Signal], name: str) -> None:
    rule = "(use epochs ≤ t only|give the same values each time)"
    with pytest.raises(ConfigError, match=rf"^signal must {rule}, got own_signals:{name}, "):
        own(name)


def test_what_is_no_signal_is_refused(own: Callable[[str], Signal]) -> None:
    with pytest.raises(ConfigError, match=r"must be a grok\.signals\.base\.Signal, got own_signals:nothing \(int\)"):
        own("nothing")
    with pytest.raises(ConfigError, match=r"signal must be one of .*, got gapp\. Did you mean gap\?"):
        find("gapp")


def test_the_check_of_causality_reads_every_variant() -> None:
    """The first is honest, the second is not."""

    def compute(train_loss: np.ndarray, *, scaled: bool) -> np.ndarray:
        return train_loss / train_loss.max() if scaled else train_loss

    signal = Signal("x", compute, needs=("train_loss",), variants={"raw": {"scaled": False}, "scaled": {"scaled": True}})
    assert not is_causal(signal)
    part = cut(signal, example(signal), 7)
    assert series(signal, part, "raw").shape == (7,)
