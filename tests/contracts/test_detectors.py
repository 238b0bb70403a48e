"""What every detector of the room must do, and one of a user's own from one file."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grok.detectors.base import DIRECTIONS, NEEDS, Detector, Range, at_share, find, fire_epochs, is_causal
from grok.spec.fields import ConfigError
from grok.spec.plugins import DETECTORS

NAMES = DETECTORS.names
EPOCHS, PLANTED, JUMP = 240, 130, 7.0
"""A log gap of 0 that jumps by 7 at epoch 130: gap 1097, above every level that a detector may ask for."""
LONGEST_WAIT = 60
"""Epochs after the jump: no longer than the longest hold or lag of a range."""


def setting(detector: Detector, share: float = 0.5, **changes: Any) -> dict[str, Any]:
    return {name: at_share(kind, share) for name, kind in detector.parameters.items()} | changes


def directions(detector: Detector) -> dict[str, dict[str, Any]]:
    """What it can wait for, and the parameters that say so."""
    if "direction" in detector.parameters:
        return {direction: {"direction": direction} for direction in DIRECTIONS}
    return {detector.direction: {}}


def walks(seed: int, runs: int = 5) -> np.ndarray:
    return np.abs(np.cumsum(np.random.default_rng(seed).normal(scale=0.3, size=(runs, EPOCHS)), axis=1))


def planted(direction: str, at: int = PLANTED) -> np.ndarray:
    series = np.zeros((1, EPOCHS))
    series[:, at:] = JUMP if direction == "rising" else -JUMP
    return series


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    detector = find(name)
    assert isinstance(detector, Detector)
    assert detector.name == name
    for text in (detector.title, detector.source, detector.cost):
        assert text
    assert set(detector.needs) <= set(NEEDS)
    assert detector.direction in DIRECTIONS
    assert detector.version >= 1
    assert detector.skip() is None


def test_ranks_differ() -> None:
    assert len({find(name).rank for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_ranges_make_sense(name: str) -> None:
    for kind in find(name).parameters.values():
        if isinstance(kind, tuple):
            assert len(set(kind)) == len(kind) > 1
            continue
        assert kind.low < kind.high
        assert not kind.log or kind.low > 0
        assert not kind.whole or (kind.low == int(kind.low) and kind.high == int(kind.high))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_causal(name: str) -> None:
    assert is_causal(find(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_fed_epoch_by_epoch_it_fires_when_the_whole_series_says(name: str, share: float) -> None:
    detector = find(name)
    fired = 0
    for series in walks(3)[:, None]:
        whole = fire_epochs(detector, series, 20, **setting(detector, share))[0]
        live = math.nan
        for known in range(1, EPOCHS + 1):
            live = fire_epochs(detector, series[:, :known], 20, **setting(detector, share))[0]
            if not math.isnan(live):
                assert known == live + 1  # on the epoch itself, not later
                fired += 1
                break
        assert np.array_equal(live, whole, equal_nan=True)
    assert fired or share == 1.0  # the far ends of the ranges are silent on these walks


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_changes_something(name: str) -> None:
    detector = find(name)
    jump, series = planted("rising", 60), np.concatenate((walks(5), -walks(5)))
    for parameter in detector.parameters:
        both = []
        for share in (0.0, 1.0):
            own = setting(detector, 0.1, **{parameter: at_share(detector.parameters[parameter], share)})
            both.append(np.concatenate([detector.hits(one, 0, **own) for one in (series, jump)]))
        assert not np.array_equal(*both), f"{parameter} of {name} changes nothing"


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_jump_is_found_and_nothing_before_it(name: str) -> None:
    detector = find(name)
    for direction, own in directions(detector).items():
        epoch = fire_epochs(detector, planted(direction), 20, **setting(detector, **own))[0]
        assert PLANTED <= epoch <= PLANTED + LONGEST_WAIT
        other = next(one for one in DIRECTIONS if one != direction)
        assert np.isnan(fire_epochs(detector, planted(other), 20, **setting(detector, **own))).all()
        late = fire_epochs(detector, planted(direction), PLANTED + LONGEST_WAIT + 1, **setting(detector, **own))[0]
        assert np.isnan(late) or late > PLANTED + LONGEST_WAIT  # never before its first epoch


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_is_not_known_never_fires(name: str, share: float) -> None:
    detector = find(name)
    own = setting(detector, share)
    series = np.concatenate((np.full((5, 30), np.nan), walks(1)), axis=1)
    series[:, 100:110] = np.nan
    held = detector.hits(series, 0, **own)
    assert held.shape == series.shape
    assert held.dtype == bool
    assert not held[np.isnan(series)].any()
    assert np.isnan(fire_epochs(detector, np.full((2, 50), np.nan), 0, **own)).all()
    assert not detector.hits(series, 200, **own)[:, :200].any()
    assert fire_epochs(detector, series, EPOCHS + 100, **own).shape == (5,)


OWN = """
import numpy as np
from grok import Detector, Range


def hits(log_gap, first_epoch, *, jump):
    out = np.zeros(log_gap.shape, dtype=bool)
    out[:, 1:] = log_gap[:, 1:] - log_gap[:, :-1] > jump
    out[:, :first_epoch] = False
    return out


def ahead(log_gap, first_epoch, *, jump):
    return log_gap > np.nanmean(log_gap, axis=1, keepdims=True) + jump


def late(log_gap, first_epoch, *, jump):
    return np.roll(hits(log_gap, 0, jump=jump), -1, axis=1)


jump = Detector("jump", {"jump": Range(0.05, 2.0)}, hits, title="one epoch's rise", cost="a difference")
cheat = Detector("cheat", {"jump": Range(0.0, 1.0)}, ahead)
one_ahead = Detector("one_ahead", {"jump": Range(0.0, 1.0)}, late)
broken = Detector("broken", {}, hits, skip=lambda: "no such library here")
"""


ROOM = """
import grok.detectors
grok.detectors.__path__.append(FOLDER)  # as if the file had been put into the room
from analysis.sensitivity.settings import SensitivityConfig
print(SensitivityConfig(rule="slope,jumps").space(16).texts()["jumps.jump"])
print(SensitivityConfig(rule="jumps", own_parameters="jump=0.1..1").space(16).texts()["jumps.jump"])
print(SensitivityConfig().hash)
"""


def test_one_more_file_in_the_room_is_all_that_it_takes(tmp_path: Path) -> None:
    """The search takes it by its name, its ranges can be changed, and what was asked before keeps its identity."""
    from analysis.sensitivity.settings import SensitivityConfig

    (tmp_path / "jumps.py").write_text(f"{OWN}DETECTOR = jump\n", encoding="utf-8")
    program = ROOM.replace("FOLDER", repr(str(tmp_path)))
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.stdout.splitlines() == ["0.05..2", "0.1..1", SensitivityConfig().hash], answer.stderr


def test_one_of_ones_own_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, fires where planted and is searched over; one that looks ahead is refused."""
    from analysis.sensitivity.settings import SensitivityConfig

    (tmp_path / "own_detectors.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    detector = find("own_detectors:jump")
    assert fire_epochs(detector, planted("rising"), 20, jump=0.5)[0] == PLANTED
    space = SensitivityConfig(rule="slope,own_detectors:jump").space(16)
    assert space.own["own_detectors:jump"] == {"jump": Range(0.05, 2.0)}
    for name in ("cheat", "one_ahead"):
        with pytest.raises(ConfigError, match=rf"^detector must use epochs ≤ t only, got own_detectors:{name}, .*\. Cut"):
            find(f"own_detectors:{name}")
    with pytest.raises(ConfigError, match=r"^rule must use epochs ≤ t only, got own_detectors:cheat"):
        SensitivityConfig(rule="own_detectors:cheat")
    with pytest.raises(ConfigError, match=r"must be usable here, got own_detectors:broken \(no such library here\)"):
        find("own_detectors:broken")
