"""The three surprises and the best row of a class, chosen by rule among rows that are written by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from analysis.papers.signals import sentences, surprises
from analysis.papers.signals.rows import CALIBRATED, PRINTED, Row
from analysis.papers.signals.study import Known
from analysis.statistics.alarms import Watched


def row(signal: str, rule: str = CALIBRATED, **others: Any) -> dict[str, Any]:
    """A row of the leaderboard, the same in both pairs of seeds unless said."""
    told = {"signal": signal, "variant": "", "information": "T", "rule": rule, "every": 1 if rule == PRINTED else 10}
    told |= {"verdict": "alarm", "one_threshold": "alarm", "eta0_only": "alarm", "tpr": 0.9, "fpr": 0.0, "p_adjusted": 0.01}
    told |= {"eta0_only_tpr": 0.9, "eta0_only_fpr": 0.0, "not_beaten": "", "worst_decided": "undecided", "fpr_floor": 0.1}
    for half in ("first_half", "second_half"):
        told |= {half: "alarm", f"{half}_tpr": 0.9, f"{half}_fpr": 0.0, f"{half}_worst_fires": 0, f"{half}_worst_n": 6}
        told |= {f"{half}_lead": 50.0, f"{half}_lead_low": 40.0, f"{half}_lead_high": 60.0}
    return told | {f"tpr at {rate:.2f}": 0.9 for rate in (0.05, 0.1, 0.2)} | others


def test_a_printed_and_a_calibrated_rule_are_compared_within_one_signal() -> None:
    """By how far detection differs, either way, at the signal's own cadence; 0.9 and 0.1 are of two signals."""
    rows = [
        row("rho", PRINTED, tpr=0.2),
        row("rho", tpr=0.5, verdict="follows"),
        row("rho", tpr=0.99, every=40),
        row("ildr", PRINTED, tpr=0.9, verdict="false alarms", fpr=0.7),
        row("ildr", tpr=0.4),
        row("loss", tpr=0.1),
    ]
    assert surprises.printed_and_calibrated(rows) == (
        "The printed and the calibrated rule differ most for ildr: as printed it detects 0.9 with false alarms in 0.7 "
        "(false alarms), calibrated 0.4 with false alarms in 0 (alarm)."
    )
    assert surprises.printed_and_calibrated(rows[:3]).startswith("The printed and the calibrated rule differ most for rho: as")
    assert surprises.printed_and_calibrated(rows[4:]) == ""


def test_the_word_that_changes_most_is_farthest_in_the_order_of_the_leaderboard() -> None:
    rows = [
        row("rho", one_threshold="follows", eta0_only="alarm"),
        row("lar", one_threshold="no information", eta0_only="clock", fpr=0.3),
        row("fve", one_threshold="no information", eta0_only="alarm", eta0_only_fpr=0.05, fpr=0.4),
        row("gap", one_threshold="no information", eta0_only="alarm", fpr=0.2),
        row("loss", one_threshold="no information", eta0_only="no information", fpr=0.9),
    ]
    assert surprises.negatives(rows) == (
        "The word changes most for fve calibrated, every 10 epochs: no information against all negatives (0.9 with false "
        "alarms in 0.4), alarm against η = 0 alone (detects 0.9, false alarms 0.05)."
    )
    assert surprises.negatives([row("rho")]) == ""


def study() -> dict[str, Known]:
    """Ten runs of seeds 302 and 303 that grok at 200, and one of seed 300."""
    blank = np.array([])
    out = {}
    for i in range(11):
        run = Watched(300 if i == 10 else 302 + i % 2, True, "", True, 190.0, 200.0, 220.0, blank, blank)
        out[f"run-{i}"] = Known(run, 20.0, ("grok",), replicate=False)
    return out


def test_the_best_of_class_t_and_the_best_baseline_are_chosen_on_one_pair_of_seeds_and_told_on_the_other() -> None:
    """The longest lead of 302 and 303 is of another row, and has no part in the choice; nor has a signal of class H."""
    about = study()
    epochs = dict.fromkeys(about, 120.0)
    later = epochs | {"run-0": 200.0}
    rows = [
        Row(row("rho", first_half_lead=80.0, second_half_lead=30.0), epochs),
        Row(row("lar", first_half_lead=70.0, second_half_lead=300.0), epochs),
        Row(row("ildr", first_half_lead=500.0, information="HL"), epochs),
        Row(row("fve", first_half="follows", first_half_lead=500.0), epochs),
        Row(row("loss", first_half_lead=90.0, second_half="follows"), dict.fromkeys(about, 150.0)),
        Row(row("clock", first_half_lead=10.0, information="C"), later),
    ]
    assert surprises.baseline(about, rows) == (
        "On seeds 302 and 303 the best signal of class T, rho calibrated, every 10 epochs (alarm, lead 30 [40, 60], false "
        "alarms 0), leads longer than the best baseline, loss calibrated, every 10 epochs (follows, lead 50 [40, 60], false "
        "alarms 0), in 10 of the 10 runs in which both fire (sign test p = 0.00195)."
    )
    assert surprises.baseline(about, rows[:4]) == ""


def test_the_best_row_of_a_class_is_told_where_none_is_an_alarm() -> None:
    quiet = {"verdict": "follows", "first_half": "follows"}
    rows = [row("rho", first_half_lead=-20.0, **quiet), row("lar", first_half_lead=-90.0, **quiet)]
    rows.append(row("fve", first_half_lead=math.nan, verdict="no information", first_half="no information"))
    told = sentences._best(rows)
    assert told[0] == "No row of class T is an alarm."
    assert told[1].startswith(
        "Best of class T on seeds 300 and 301: rho calibrated, every 10 epochs, there follows; on seeds 302"
    )
    assert told[2].startswith("Of the calibrated rows of class T the best on seeds 300 and 301 is rho calibrated")
    assert sentences._best([row("rho")])[0].startswith("Best of class T")


@pytest.mark.parametrize(
    ("loss", "said"), [("alarm", "loss; 1 of 2 other alarms lead longer than each of these."), ("follows", "")]
)
def test_baselines_that_are_alarms_are_named_and_it_is_said_where_none_is(loss: str, said: str) -> None:
    rows = [row("rho"), row("lar", not_beaten="loss (3 of 9)"), row("loss", verdict=loss)]
    expected = f"Baselines that are alarms: {said}" if said else "No baseline is an alarm: nothing had to be beaten."
    assert sentences._baselines(rows) == expected


def test_what_eta_0_alone_would_show_counts_alarms_and_clocks() -> None:
    rows = [
        row("rho", eta0_only="clock", verdict="no information", after_memorisation="alarm", second_half="clock"),
        row("lar", eta0_only="alarm", verdict="follows", after_memorisation="alarm"),
        row("fve", eta0_only="clock", verdict="clock", one_threshold="clock", after_memorisation="alarm"),
        row("gap", eta0_only="alarm", after_memorisation="alarm"),
    ]
    assert sentences._beside(rows) == (
        "2 rows would be alarms or clocks with η = 0 as the only negatives and are neither with all. With the seeds exchanged "
        "1 rows get another word, and 1 read from memorisation on alone."
    )
