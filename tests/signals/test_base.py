"""Signals: what they may say of themselves, what they are given, and where a run's history has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.reading.files import RunFiles
from grok.signals.base import NEEDS, Live, Signal, example, find, from_history, series
from grok.spec.artifacts import BAND
from grok.spec.fields import ConfigError


def compute(*needs: Any) -> Any:
    return needs[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"needs": ()}, r"^needs must be names of features, .*, got none in signal x\. Name what"),
        ({"needs": ("features", "hessian")}, r"^needs must be names of .*, got hessian in signal x\."),
        ({"needs": ("features", "norms")}, r"^needs must be of one epoch or of a history, got features, norms in signal x\."),
        ({"needs": ("window",)}, r"^needs must be of one epoch or of a history, got window"),
        ({"needs": ("test_loss",)}, r"^information must be letters of TGHLC with L for its needs, got T in signal x\."),
        ({"needs": ("held_out_features", "held_out_labels"), "information": "H"}, r"with HL for its needs, got H in"),
        ({"needs": ("norms",), "information": "X"}, r"^information must be letters of TGHLC with T for its needs, got X"),
        ({"needs": ("norms",), "information": ""}, r"got none in signal x\. Say what it is told\.$"),
        (
            {"needs": ("norms",), "direction": "up"},
            r"^direction must be one of rising, falling, got up in signal x\. Pick",
        ),
        (
            {"needs": ("norms",), "variants": {"": {}, "b": {}}, "turned": ("b", "c")},
            r"^turned must be a tuple of variants after the first \(b\), got \('b', 'c'\) in signal x\. The first has",
        ),
        ({"needs": ("norms",), "turned": ("",)}, r"^turned must be .* after the first \(none here\), got \(''\,\) in signal x"),
        (
            {"needs": ("norms",), "variants": {"": {}, "b": {}}, "turned": "b"},
            r"^turned must be a tuple .*, got 'b' in",
        ),
        ({"needs": ("norms",), "turned": None}, r"^turned must be a tuple .*, got None in"),
        ({"needs": ("norms",), "turned": ([],)}, r"^turned must be a tuple .*, got \(\[\],\) in"),
        ({"needs": ("norms",), "cadence": "often"}, r"^cadence must be one of epoch, observed, checkpoint, got often"),
    ],
)
def test_what_a_signal_says_of_itself_is_checked(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Signal("x", compute, **changes)


@pytest.mark.parametrize(("direction", "other"), [("rising", "falling"), ("falling", "rising")])
def test_a_variant_may_announce_by_the_other_direction(direction: str, other: str) -> None:
    variants = {"": {}, "b": {}, "c": {}}
    signal = Signal("x", compute, needs=("norms",), direction=direction, variants=variants, turned=("c",))
    assert [signal.direction_of(one) for one in (None, "", "b", "c")] == [direction, direction, direction, other]


def test_few_characters_announce() -> None:
    assert [find("characters").direction_of(one) for one in ("", "additive", "count")] == ["rising", "rising", "falling"]


def test_over_is_for_signals_of_one_epoch() -> None:
    with pytest.raises(ConfigError, match=r"^over must go with needs of one epoch, got norms in signal x\. Let compute do it"):
        Signal("x", compute, lambda values: values, needs=("norms",))


@pytest.mark.parametrize(
    ("signal", "shape"),
    [
        (Signal("x", lambda features: features[0].numpy(), needs=("features",)), r"\(5, 8\)"),
        (Signal("x", lambda features: 1.0, lambda values: values[1:], needs=("features",)), r"\(4,\)"),
        (Signal("x", lambda norms: norms, needs=("norms",)), r"\(5, 2\)"),
    ],
)
def test_a_signal_gives_one_value_an_epoch(signal: Signal, shape: str) -> None:
    with pytest.raises(ConfigError, match=rf"^x must give one value an epoch, \(5,\), got shape {shape}\. Reduce"):
        series(signal, example(signal, epochs=5))


def test_the_how_to_lists_every_need() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/howto/signal.md").read_text(encoding="utf-8")
    for kind, label in (("epoch", "of one epoch"), ("history", "of a history"), ("run", "of the run")):
        (row,) = re.findall(rf"^\| {label} \| (.*) \|$", text, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row) == [name for name, need in NEEDS.items() if need.kind == kind]


def test_a_signal_of_held_out_labels_says_so() -> None:
    assert Signal("x", compute, needs=("held_out_features", "held_out_labels"), information="HL").per_epoch
    assert Signal("x", compute, needs=("features", "modulus"), information="G").per_epoch
    assert not Signal("x", compute, needs=("eigenvalues", "window")).per_epoch


def test_a_need_that_is_not_given_is_named() -> None:
    gap = find("gap")
    with pytest.raises(ConfigError, match=r"^gap must be given eigenvalues, window, got no window\. Record it\.$"):
        series(gap, {"eigenvalues": np.ones((3, 5))})
    with pytest.raises(ConfigError, match=r"^gap must be given eigenvalues, window, got no eigenvalues"):
        Live(gap, window=20).append()
    with pytest.raises(ConfigError, match=r"^rho must be given features, got no features"):
        Live(find("rho")).append()
    with pytest.raises(ConfigError, match=r"^variant must be one of 23, 12, 34, got 45\. Pick one of these\.$"):
        series(gap, example(gap), "45")


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_examples_are_seeded_and_have_their_shape(name: str) -> None:
    need = NEEDS[name]
    made = [need.make(np.random.default_rng(0), *([] if need.kind == "epoch" else [9])) for _ in range(2)]
    assert str(made[0]) == str(made[1])
    if need.kind == "history":
        assert len(made[0]) == 9
    assert need.kind in ("epoch", "history", "run")
    assert need.text


def test_a_finished_runs_history_gives_the_series_that_the_run_recorded(finished: Any) -> None:
    """Bit for bit: the signal is the same function of the same arrays."""
    run_id = finished.outcome.run_id
    table = pd.read_parquet(finished.root / "history.parquet")
    band = RunFiles(finished.store).arrays(run_id, BAND)["v"]
    given = from_history(table, "v", band) | {"window": finished.config.window}
    for variant, column in (("23", "delta_v/gap_23"), ("12", "delta_v/gap_12")):
        np.testing.assert_array_equal(series(find("gap"), given, variant), table[column])
    np.testing.assert_array_equal(series(find("cosine"), given), table["delta_v/cosine_distance"])
    np.testing.assert_array_equal(series(find("loss"), given), table["loss/train"])
    np.testing.assert_array_equal(series(find("clock"), given), table["epoch"])
    np.testing.assert_allclose(series(find("weight_norm"), given), np.hypot(table["norm/w"], table["norm/v"]), rtol=1e-14)


def test_what_a_history_lacks_is_absent() -> None:
    assert from_history({"epoch": np.arange(3)}).keys() == {"epoch"}
    short = from_history({"delta_w/lambda_1": np.ones(2)})["eigenvalues"]
    np.testing.assert_array_equal(short, [[1.0] + [np.nan] * 4] * 2)
