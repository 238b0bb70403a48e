"""Detectors by hand, against slow versions, and cut off: none looks ahead."""

from __future__ import annotations

import importlib
import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.detectors.base import Detector, Range, Rule, find, fire_epochs, is_causal, ordered
from grok.numerics.series import fire_epoch, first_crossing
from grok.spec.fields import ConfigError

SETTINGS: dict[str, dict[str, Any]] = {
    "slope": {"slope_threshold": 0.02, "slope_lag": 7, "direction": "rising"},
    "level": {"level": 3.0},
    "sustained": {"level": 2.0, "hold": 5},
    "cusum": {"cusum_drift": 0.02, "cusum_threshold": 1.0, "direction": "rising"},
}


def slowly(name: str, log_gap: np.ndarray, first: int, **p: Any) -> float:
    """The same rule for one run, epoch by epoch, as its definition reads."""
    sign = -1.0 if p.get("direction") == "falling" else 1.0
    total = 0.0
    for t in range(first, len(log_gap)):
        if name == "slope":
            lag = p["slope_lag"]
            hit = t >= lag and sign * (log_gap[t] - log_gap[t - lag]) / lag > p["slope_threshold"]
        elif name == "level":
            hit = log_gap[t] >= math.log(p["level"])
        elif name == "sustained":
            hit = t + 1 >= p["hold"] and all(log_gap[s] >= math.log(p["level"]) for s in range(t - p["hold"] + 1, t + 1))
        else:
            if t > first:
                total = max(0.0, total + sign * (log_gap[t] - log_gap[t - 1]) - p["cusum_drift"])
            hit = total >= p["cusum_threshold"]
        if hit:
            return float(t)
    return math.nan


def walks(seed: int, runs: int = 6, length: int = 120) -> np.ndarray:
    return np.abs(np.cumsum(np.random.default_rng(seed).normal(scale=0.2, size=(runs, length)), axis=1))


@pytest.mark.parametrize("name", sorted(ordered()))
@pytest.mark.parametrize("direction", ["rising", "falling"])
@pytest.mark.parametrize("first", [0, 3, 40, 119, 120, 500])
def test_rules_equal_their_definitions(name: str, direction: str, first: int) -> None:
    own = SETTINGS[name] | ({"direction": direction} if "direction" in SETTINGS[name] else {})
    for seed in range(5):
        series = walks(seed)
        expected = [slowly(name, one, first, **own) for one in series]
        np.testing.assert_array_equal(fire_epochs(ordered()[name], series, first, **own), expected)


@pytest.mark.parametrize("name", sorted(ordered()))
def test_rules_are_causal_and_ignore_what_is_not_known(name: str) -> None:
    assert is_causal(ordered()[name])
    series = walks(1)
    blank = np.concatenate((np.full((6, 10), np.nan), series), axis=1)
    assert not ordered()[name].hits(blank, 0, **SETTINGS[name])[:, :10].any()
    assert np.isnan(fire_epochs(ordered()[name], np.full((2, 50), np.nan), 0, **SETTINGS[name])).all()


def test_a_rule_that_looks_ahead_is_found_out() -> None:
    def hits(log_gap: np.ndarray, first_epoch: int, *, level: float) -> np.ndarray:
        return np.broadcast_to(log_gap.max(axis=1, keepdims=True) > level, log_gap.shape)

    assert not is_causal(Detector("clairvoyant", {"level": Range(0.5, 2.0)}, hits))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), lag=st.integers(1, 30), threshold=st.floats(-0.05, 0.15), first=st.integers(0, 90))
def test_the_slope_rule_is_the_published_detector(seed: int, lag: int, threshold: float, first: int) -> None:
    series = walks(seed, runs=3)
    own = {"slope_threshold": threshold, "slope_lag": lag, "direction": "rising"}
    expected = [fire_epoch(np.exp(one), lag, threshold, first) for one in series]
    got = fire_epochs(find("slope"), np.log(np.exp(series)), first, **own)
    assert [None if np.isnan(epoch) else int(epoch) for epoch in got] == expected


def test_the_level_rule_is_a_first_crossing() -> None:
    series = walks(4)
    expected = [first_crossing(np.exp(one), 3.0, 11, strict=False) for one in series]
    got = fire_epochs(find("level"), series, 11, level=3.0)
    assert [None if np.isnan(epoch) else int(epoch) for epoch in got] == expected


def test_a_rule_of_ones_own_is_one_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rules.py").write_text(
        "import numpy as np\nfrom grok import Range, Rule\n"
        "def hits(log_gap, first_epoch, *, jump):\n"
        "    out = np.zeros(log_gap.shape, dtype=bool)\n"
        "    out[:, 1:] = log_gap[:, 1:] - log_gap[:, :-1] > jump\n    return out\n"
        "def ahead(log_gap, first_epoch):\n    return log_gap > log_gap[:, -1:]\n"
        "jump = Rule('jump', {'jump': Range(0.05, 2.0)}, hits)\ncheat = Rule('cheat', {}, ahead)\nnothing = 3\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rule = find("my_rules:jump")
    np.testing.assert_array_equal(fire_epochs(rule, np.array([[0.0, 0.1, 0.2, 1.0, 1.1]]), 0, jump=0.5), [3.0])
    for name, said in (
        ("my_rules:cheat", "looks ahead"),
        ("my_rules:nothing", r"must be a grok\.detectors\.base\.Detector, got my_rules:nothing \(int\)"),
        ("my_rules:absent", "must be importable"),
        ("no_such_module:x", "must be importable"),
        ("slop", "must be one of cusum, level, slope, sustained, or module:NAME, got slop. Did you mean slope"),
    ):
        with pytest.raises(ConfigError, match=said):
            find(name)


def test_the_first_documented_import_still_works_and_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "grok.rules", raising=False)
    with pytest.warns(DeprecationWarning, match="write `from grok import Range, Rule`"):
        rules = importlib.import_module("grok.rules")
    assert rules.Rule is Rule is Detector
    assert rules.Range is Range
    monkeypatch.delitem(sys.modules, "grok.rules")


def test_the_projects_detectors_keep_their_order() -> None:
    """Which the search's default names, and no other detector's file may change by its name."""
    assert list(ordered()) == ["slope", "level", "sustained", "cusum"]
