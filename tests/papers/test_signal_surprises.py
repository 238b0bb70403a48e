"""The three surprises and the best row of a class, chosen by rule among rows that are written by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from analysis.papers.signals import sentences, surprises
from analysis.papers.signals.rows import CALIBRATED, PRINTED, Row
from analysis.papers.signals.study import Known
from analysis.statistics.alarms import Watched


def row(signal: str, rule: str = CALIBRATED, **others: Any) -> dict[str, Any]:
    """A row of the leaderboard, the same in both pairs of seeds unless said."""
    told = {"signal": signal, "variant": "", "information": "T", "rule": rule, "every": 10, "published": True}
    told |= {"verdict": "alarm", "one_threshold": "alarm", "eta0_only": "alarm", "tpr": 0.9, "fpr": 0.0, "p_adjusted": 0.01}
    told |= {"tpr_n": 10, "fpr_n": 48, "lead_t50": 50.0, "lead_t50_low": 40.0, "lead_t50_high": 60.0}
    told |= {"lead_t10": 5.0, "lead_t10_low": 0.0, "lead_t10_high": 10.0}
    told |= {"one_threshold_tpr": 0.9, "one_threshold_fpr": 0.0, "beats": "", "worst_n": 12}
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
        row("rho", tpr=0.99, every=40, published=False),
        row("ildr", PRINTED, tpr=0.9, verdict="false alarms", fpr=0.7),
        row("ildr", tpr=0.4),
        row("loss", tpr=0.1),
        row("gap", PRINTED, tpr=0.0, verdict="not testable at this cadence"),
        row("gap", tpr=1.0),
        row("fve", PRINTED, tpr=0.1, fpr=0.9),
        row("fve", tpr=0.6),
    ]
    assert surprises.printed_and_calibrated(surprises.own(rows)) == (
        "The printed and the calibrated rule differ most for ildr: as printed it detects 0.9 with false alarms in 0.7 "
        "(false alarms), calibrated 0.4 with false alarms in 0 (alarm)."
    )
    said = surprises.printed_and_calibrated(surprises.own(rows[:3]))
    assert said.startswith("The printed and the calibrated rule differ most for rho: as printed it detects 0.2")
    assert "calibrated 0.5 " in said
    assert surprises.printed_and_calibrated(surprises.own(rows[4:8])) == ""


def test_the_word_that_changes_most_is_farthest_in_the_order_of_the_leaderboard_and_of_equal_ones_the_first() -> None:
    """Of a rule's own words, of signals that are no baselines, in their published variant: others change as much or more."""
    rows = [
        row("rho", one_threshold="follows", eta0_only="alarm"),
        row("lar", one_threshold="no information", eta0_only="clock", fpr=0.3),
        row("gap", one_threshold="no information", eta0_only="alarm", one_threshold_fpr=0.2),
        row("fve", one_threshold="no information", eta0_only="alarm", one_threshold_fpr=0.4),
        row("loss", one_threshold="not testable", eta0_only="alarm"),
        row("ildr", one_threshold="not testable at this cadence", eta0_only="alarm"),
        row("rho", one_threshold="no information", eta0_only="alarm", every=40, published=False),
        row("loss", one_threshold="no information", eta0_only="alarm"),
        row("gap", PRINTED, one_threshold="false alarms", eta0_only="alarm"),
    ]
    told = surprises.own(rows)
    assert surprises.negatives([one for one in told if one["rule"] == CALIBRATED]) == (
        "Of calibrated rules the word changes most for gap calibrated, every 10 epochs: no information against all negatives "
        "(0.9 with false alarms in 0.2), alarm against η = 0 alone (detects 0.9, false alarms 0)."
    )
    every = surprises.surprises({}, [Row(one, {}) for one in rows[:-2]])
    assert [text.split(" changes most")[0] for text in every if "changes most" in text] == ["Of calibrated rules the word"]
    both = surprises.surprises(study(), [Row(one, dict.fromkeys(study(), 120.0)) for one in rows])
    assert sum("the word changes most" in text for text in both) == 2
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
    """The longest lead of 302 and 303 is of another row, and has no part in the choice; nor has a signal of class H.

    One alarm of ρ is at its first chance, which no contest counts. The clock at the other cadence is no rival.
    """
    about = study()
    epochs = dict.fromkeys(about, 120.0)
    rows = [
        Row(row("rho", first_half_lead=80.0, second_half_lead=30.0), epochs, {"run-3": 120.0}),
        Row(row("lar", first_half_lead=70.0, second_half_lead=300.0), epochs),
        Row(row("ildr", first_half_lead=500.0, information="HL"), epochs),
        Row(row("fve", first_half="follows", first_half_lead=500.0), epochs),
        Row(row("loss", first_half_lead=90.0, second_half="follows"), dict.fromkeys(about, 150.0)),
        Row(row("loss", first_half_lead=190.0, every=40), dict.fromkeys(about, 10.0)),
        Row(row("weight_norm", first_half_lead=10.0), epochs | {"run-0": 200.0}),
    ]
    assert surprises.baseline(about, rows) == (
        "On seeds 302 and 303 the best signal of class T that is no baseline, rho calibrated, every 10 epochs "
        "(alarm, lead 30 [40, 60], false "
        "alarms 0), leads longer than the best baseline, loss calibrated, every 10 epochs (follows, lead 50 [40, 60], false "
        "alarms 0), in 9 of the 9 runs in which both fire after their first chance (sign test of leading longer, p = 0.00391)."
    )
    assert surprises.baseline(about, rows[:4]) == ""
    silent = Row(row("loss", second_half="no information", second_half_lead=300.0), epochs)
    assert "(no information, false alarms 0)" in surprises.baseline(about, [rows[0], silent])


def test_the_best_row_of_a_class_is_told_where_none_is_an_alarm() -> None:
    quiet = {"verdict": "follows", "first_half": "follows"}
    rows = [row("rho", first_half_lead=-20.0, **quiet), row("lar", first_half_lead=-90.0, **quiet)]
    rows.append(row("fve", first_half_lead=math.nan, verdict="no information", first_half="no information"))
    told = sentences._best(rows)
    assert told[1].startswith(
        "No row of class T is an alarm. Best of class T on seeds 300 and 301: rho calibrated, every 10 epochs, there follows; "
        "on seeds 302 and 303 alarm, lead 50 [40, 60] epochs before test accuracy 0.5, detected 0.9,"
    )
    assert " On all four it has 9 of 10: follows. Of the calibrated rows of class T the best on seeds 300 and 301 is" in told[1]
    lone = sentences._best([row("rho", second_half="no information")])[1]
    assert "on seeds 302 and 303 no information, detected 0.9," in lone
    assert sentences._best([row("rho")])[1].startswith("Best of class T")


def test_baselines_that_are_alarms_are_named_and_what_met_none_has_beaten_none() -> None:
    never = (
        "The clock, and the cell clock at its forecast, can be none by construction, and a share of the forecast can be "
        "chosen to lead as long as one likes."
    )
    rows = [
        row("rho", beats="loss (9 of 9)"),
        row("lar", not_beaten="loss (3 of 9)"),
        row("fve"),
        row("loss", variant="turned round"),
    ]
    assert sentences._baselines(rows) == (
        "Baselines that are alarms: loss turned round. Of 3 other rows that are alarms 1 lead longer than each of these, 1 do "
        f"not, 1 had none to be held against (sign tests with Holm's adjustment over all). {never}"
    )
    alone = [row("rho", verdict="follows"), row("loss", variant="turned round")]
    assert sentences._baselines(alone) == f"Baselines that are alarms: loss turned round; no other row is one. {never}"
    quiet = [*rows[:3], row("loss", verdict="follows")]
    assert sentences._baselines(quiet) == f"No baseline is an alarm, so that nothing had to be beaten. {never}"


def test_what_each_control_set_alone_would_show_is_told_both_ways() -> None:
    other = {"random_labels only": "alarm"}
    rows = [
        row("rho", eta0_only="clock", verdict="no information", after_memorisation="alarm", second_half="clock", **other),
        row("lar", eta0_only="alarm", verdict="follows", after_memorisation="alarm", **other),
        row("fve", eta0_only="clock", verdict="clock", one_threshold="clock", after_memorisation="alarm", **other),
        row("gap", eta0_only="follows", after_memorisation="alarm", **{"random_labels only": "follows"}),
        row("ildr", eta0_only="alarm", after_memorisation="alarm", **{"random_labels only": "rank only"}),
    ]
    assert sentences._beside(rows) == (
        "2 rows would be alarms or clocks with η = 0 as the only negatives and are neither with all, 1 the other way round. "
        "With another control set as the only negatives: random labels 2 and 2. The two pairs of seeds give 1 rows different "
        "words, and 1 get another word read from memorisation on alone."
    )


def test_what_the_worst_set_cannot_decide_is_said() -> None:
    assert sentences._worst([row("rho")]).endswith(
        "can be decided for none of the 1 rows that are alarms: where none of 12 fires the bound is 0.221."
    )
    large = [row("rho", worst_n=16, worst_decided="below"), row("lar", worst_n=16)]
    assert sentences._worst(large).endswith("is below 0.2 is decided for 1 of the 2 rows that are alarms.")


def test_words_are_counted_of_signals_and_of_rows() -> None:
    rows = [row("rho"), row("rho", PRINTED, verdict="never fires"), row("rho", every=40, published=False), row("clock")]
    assert sentences._counts(rows) == (
        "Alarms: rho by a calibrated threshold, detected in 9 of 10 runs that grok, false alarms in 0 of 48 others, lead 50 "
        "[40, 60] epochs before test accuracy 0.5 and 5 [0, 10] before 0.1. Of 1 signals by a calibrated threshold: "
        "alarm 1; of 1 as printed: never fires 1."
    )
    assert sentences._counts([row("rho", verdict="follows")]).startswith("No signal is an alarm. Of 1 signals")
    beaten = sentences._counts([row("rho", beats="loss (9 of 9); clock (8 of 9)", not_beaten="weight_norm (1 of 9)")])
    assert (
        "0.5 and 5 [0, 10] before 0.1, longer than loss (9 of 9), clock (8 of 9), not longer than weight_norm (1 of 9)."
        in beaten
    )
    told = {"published": False, "variant": "permuted", "lead_t50": 20.0}
    control = [row("fourier_dominance"), row("fourier_dominance", every=40, **told | {"lead_t50": 9.0})]
    assert "control" not in sentences._counts(control)
    held = sentences._counts([*control, row("fourier_dominance", **told)])
    assert "before test accuracy 0.5 and 5 [0, 10] before 0.1; its control, permuted: alarm, lead 20 [40, 60]." in held
    quiet = row("fourier_dominance", **told, verdict="no information")
    assert "; its control, permuted: no information." in sentences._counts([*control, quiet])
    assert sentences._looks(rows).startswith(
        "Of all 4 rows that could be scored, with other variants and cadences, controls and baselines: alarm 3, never fires 1."
    )


def test_a_printed_rule_that_fires_at_the_start_is_told_with_its_epochs() -> None:
    about = study()
    early = dict.fromkeys(about, 0.0)
    told = "rho as printed fires within 10 epochs in 11 of 11 runs that grok, at {}: what it sees there is the start."
    assert sentences._early(about, [Row(row("rho", PRINTED), early)]) == told.format("epoch 0")
    assert sentences._early(about, [Row(row("rho", PRINTED), early | {"run-3": 10.0})]) == told.format("epochs 0 to 10")
    assert sentences._early(about, [Row(row("rho", PRINTED), dict.fromkeys(about, 11.0)), Row(row("rho"), early)]) == ""
