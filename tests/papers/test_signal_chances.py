"""When a rule of a row can give an alarm at all, at which cadence it is read, and which variant is the published one."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.papers.signals import rows
from analysis.papers.signals.study import CROSS_ENTROPY, MAIN, Known
from grok.signals.base import find
from tests.helpers import signal_worlds as worlds
from tests.helpers.signal_worlds import early, noise, step, told


def jump(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """A hundredfold at 0.6 of t50, as no other run has."""
    return 1 + 99 * step(one, epochs, 0.4 * one.run.t50) + noise(rng, epochs)


@pytest.mark.parametrize(
    ("name", "every", "start", "first"),
    [("commutator", 40, 0, 120), ("commutator", 80, 0, 240), ("hankel_dmd", 10, 110, 220), ("ildr", 10, 0, 30)],
)
def test_a_printed_rule_has_its_first_chance_when_its_baseline_is_behind_it(
    name: str, every: int, start: int, first: float
) -> None:
    """Three values and one more; ten from 110 on, and two on end; the first after memorisation at 20."""

    def from_start(one: Known, rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
        return np.where(epochs < start, np.nan, jump(one, rng, epochs))

    about = worlds.study()
    found = told(from_start, name, rows.PRINTED, every=every, about=about)
    assert set(found.firsts.values()) == {first}
    possible = [one.run.t50 > first + every for one in about.values() if one.run.positive and not one.replicate]
    assert found.told["seen"] == pytest.approx(np.mean(possible))
    assert found.told["tpr"] <= found.told["seen"]
    assert (found.told["verdict"] == "not testable at this cadence") == (name != "ildr")


def test_the_slope_of_the_gap_cannot_hold_before_epoch_100_and_at_100_detects_nothing() -> None:
    """It grows from epoch 0 on, so that the rule holds at the first epoch at which it may; in the other world from 120 on."""
    for begin, epoch, share in ((0, 100, 0.0), (120, 141, 1.0)):

        def grows(one: Known, rng: np.random.Generator, epochs: np.ndarray, begin: int = begin) -> np.ndarray:
            return np.exp(0.05 * np.maximum(epochs - begin, 0) * one.run.positive)

        about = {i: one for i, one in worlds.study().items() if not one.run.t50 < 200}
        found = told(grows, "gap", rows.PRINTED, every=1, about=about)
        assert {found.epochs[i] for i, one in about.items() if one.run.positive} == {epoch}
        assert set(found.firsts.values()) == {100}
        assert (found.told["tpr"], found.told["every"]) == (share, 1)


def test_rows_have_the_cadence_at_which_they_are_read() -> None:
    assert told(early, rule=rows.PRINTED).told["every"] == 10
    assert told(jump, "commutator", rows.PRINTED, every=40).told["every"] == 40
    assert told(early, every=40).told["every"] == 40


def test_a_variant_that_was_computed_for_few_runs_is_not_scored() -> None:
    about = worlds.study()
    held = worlds.stored(about, early)
    for run_id in list(about)[:40]:
        held[run_id] = {}
    found = rows.row(about, held, rows.readings(find("rho"), "", MAIN)[0]).told
    assert (found["verdict"], found["missing"][:31]) == ("not testable", "it was computed for 120 of 160 ")
    blank = worlds.stored(about, lambda one, rng, epochs: np.full(len(epochs), np.nan), "first_passage")
    said = rows.row(about, blank, rows.readings(find("first_passage"), "", MAIN)[0]).told["missing"]
    assert said.startswith("its value is known in no run.")
    assert "its premise fails" in said


def test_the_published_reading_of_an_arm_is_scored_as_printed() -> None:
    signal = find("hankel_dmd")
    for arm, variant in ((MAIN, "rows 50"), (CROSS_ENTROPY, "log_p rows 20")):
        made = {name: rows.readings(signal, name, arm) for name in signal.variants}
        assert [name for name, some in made.items() if any(one.rule == rows.PRINTED for one in some)] == [variant]
        assert [name for name, some in made.items() if any(one.own for one in some)] == [variant]
