"""What the report's first screen says of the signals."""

from __future__ import annotations

import doctest

import pandas as pd

from analysis.exhibits.model import Answer, Answered, Question
from analysis.papers.signals import margins, surprises
from analysis.report import opening
from analysis.report.content import Content
from analysis.statistics.estimates import Estimate

KNOWS = "which-signal-knows"


def answer(text: str) -> Answered:
    return Answered(Question(KNOWS, "Is it?", ("signals",), "so", lambda _: Answer("")), text, {}, "", 0, (), "command")


def surprised(text: str) -> str:
    content = Content((), (), (), (), pd.DataFrame(columns=["run_id"]), 5, answers=(answer(text),))
    return {one.head: one.text for one in opening.sentences(content)}["Surprised"]


def test_the_surprise_of_the_signals_is_what_the_leaderboard_says() -> None:
    """How many of those that can be judged are alarms and what these know; nothing without a leaderboard."""
    alarm = (
        "{} by a calibrated threshold, detected in 9 of 9 runs that grok, false alarms in 0 of 9 others, lead 4 [2, 6] epochs"
    )
    control = "; its control, permuted: alarm, lead 2 [1, 3]"
    counts = "Of 4 signals by a calibrated threshold: {}; of 1 as printed: false alarms 1, not testable at this cadence 1."
    able = "of {} signals that can be judged, by thresholds from other seeds, "
    decay = counts.format("alarm 1, fires without grokking where decay is 2, not testable 1")
    said = {
        f"Alarms: {alarm.format('fve')}{control}. {decay}": (
            f"{able.format(3)}1 is an alarm (fve knows the group and held-out inputs), and so is its control with shuffled "
            "tokens; 2 would fire on decay without grokking, calibrated on runs without decay."
        ),
        f"Alarms: {alarm.format('fve')}; {alarm.format('rho')}. {counts.format('alarm 2, clock 2')}": (
            f"{able.format(4)}2 are alarms (fve knows the group and held-out inputs; rho knows "
            "training inputs and labels only)."
        ),
        f"No signal is an alarm. {counts.format('no information 1, not testable at this cadence 3')}": (
            f"{able.format(1)}none is an alarm."
        ),
    }
    for text, surprise in said.items():
        assert surprises.surprise({KNOWS: answer(text)}) == surprise
        assert surprised(text) == f"Signals: {surprise}"
    assert surprises.surprise({}) == surprises.surprise({KNOWS: answer("")}) == ""


def test_the_examples_of_the_docstrings_are_so() -> None:
    assert doctest.testmod(margins, extraglobs={"Estimate": Estimate}) == (0, 1)


def test_a_number_that_alone_is_judged_is_told_with_its_name() -> None:
    """Else a first screen would have `0.5 [0.4, 0.6], n = 4` and nobody would know of what."""
    one = margins.entry("mean error", Estimate(0.5, 0.4, 0.6, 4), "0.2", "contradicted")
    beside = margins.entry("lead", Estimate(3.0, 2.0, 4.0, 4), "7", "")
    assert margins.measured([one, beside], {}).short == "mean error 0.5 [0.4, 0.6], n = 4"
    assert margins.measured([one], {}, short="half").short == "half"
    assert margins.measured([one, one], {}).short == ""
