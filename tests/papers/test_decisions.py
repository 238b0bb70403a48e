"""What decides a verdict: printed digits without a p-value, quartiles of which none is dropped, rules with two equal sides."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits import verdicts
from analysis.exhibits.evaluate import ask, evaluate, write
from analysis.exhibits.margins import EPOCH, RATIO
from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    NOTES,
    REPRODUCED,
    REVIEW,
    TEXT,
    Claim,
    Result,
)
from analysis.papers import CLAIMS, ERRATA, QUESTIONS
from analysis.papers.xu import headline
from analysis.papers.xu.headline import sustained
from analysis.report.compare import compare
from tests.helpers.synthetic import SyntheticEvidence

NEVER = math.nan


def of(id: str) -> Claim:
    return next(claim for claim in CLAIMS if claim.id == id)


def judged(id: str, evidence: Any = None) -> Result:
    return evaluate(evidence or SyntheticEvidence(), [of(id)])[0]


def test_the_examples_of_the_docstrings_are_so() -> None:
    assert doctest.testmod(headline, extraglobs={"np": np}).failed == 0


# printed digits


WIDE = [150.0] * 7 + [174.0] + [250.0] * 7
"""The printed digits at the median, and no test that puts it inside the margin."""


def test_a_claim_that_printed_digits_decide_has_no_p_value() -> None:
    inside, alike = (verdicts.median(name, x, "174", event=True) for name, x in (("a", [174.0] * 15), ("b", WIDE)))
    assert (alike.verdict, alike.by_digits, alike.tested, inside.by_digits) == (REPRODUCED, True, False, False)
    found = verdicts.judge([inside, alike])
    assert (found.verdict, math.isnan(found.p)) == (REPRODUCED, True)
    assert found.note == "Printed digits decide, and no test: b."
    assert [entry.setting.get("decided by") for entry in found.entries] == [None, "printed digits"]
    assert verdicts.judge([inside]).p == pytest.approx(2.0**-15)


def test_printed_digits_are_among_the_numbers_that_outside_is_adjusted_for() -> None:
    alike = verdicts.median("b", WIDE, "174", event=True)
    outside = verdicts.median("a", [200.0] * 15, "174", event=True)
    found = verdicts.judge([outside, alike])
    assert (found.verdict, found.p) == (NOT_REPRODUCED, pytest.approx(2 * 2.0**-15))  # Simes over both
    few = verdicts.median("c", [200.0] * 5, "174", event=True)
    assert verdicts.judge([few]).verdict == NOT_REPRODUCED  # 1/32
    assert verdicts.judge([few, alike]).verdict == IMPRECISE  # 2/32


def test_no_quartile_is_dropped_beside_a_tested_one() -> None:
    tested = verdicts.median("low", [125.0] * 15, "125", event=True)
    never = verdicts.median("high", [NEVER] * 15, "175", event=True)
    both = verdicts._both(tested._replace(name="quartiles"), [tested, never])
    assert (tested.verdict, never.verdict, never.tested, both.verdict) == (REPRODUCED, CONTRADICTED, False, CONTRADICTED)
    found = verdicts.judge([both, tested])
    assert (found.verdict, math.isnan(found.p)) == (CONTRADICTED, True)
    many = np.linspace(100, 200, 1001)
    digits = np.concatenate([np.linspace(80, 124, 4), [125.0], np.linspace(126, 174, 9), [175.0], np.linspace(176, 230, 4)])
    mixed = verdicts.quartiles("x", digits, (125, 175), EPOCH)
    assert (mixed.verdict, mixed.by_digits) == (REPRODUCED, True)
    assert math.isnan(verdicts.judge([mixed]).p)
    assert verdicts.judge([verdicts.quartiles("x", many, (125, 175), EPOCH)]).p <= 0.05


def test_never_prints_what_fires() -> None:
    part = verdicts.never("x", 3, 100)
    assert (part.verdict, part.text) == (REPRODUCED, "3 of 100 fire, one-sided 95 % bounds 0.00823 and 0.0757")
    assert (part.published, part.sides) == ("none", verdicts.every("x", 97, 100).sides)
    assert verdicts.never("x", 16, 30).verdict == NOT_REPRODUCED
    assert verdicts.never("x", 25, 30).verdict == CONTRADICTED
    assert verdicts.never("x", 1, 30).verdict == IMPRECISE


# whose word


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("repulsion-rises", ABSTRACT),
        ("repulsion-relu-saturates", ABSTRACT),
        ("repulsion-positive", ABSTRACT),
        ("repulsion-across-activations", ABSTRACT),
        ("fires-only-when-saturated", ABSTRACT),
        ("sign-match-saturates", TEXT),
        ("repulsion-fixed-pairs", REVIEW),
        ("repulsion-negative-0", NOTES),
        ("late-gap-quartiles", NOTES),
        ("lag-quartiles", NOTES),
        ("headline-late-gap-grok", TEXT),
    ],
)
def test_each_sentence_is_of_its_source(id: str, kind: str) -> None:
    assert of(id).kind == kind


def test_the_papers_late_gaps_are_judged_without_the_quartiles_of_the_notes() -> None:
    class Wide(SyntheticEvidence):
        """Medians as printed, quartiles not."""

        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            out = super()._metrics(study, cell)
            if (study, cell.condition) == ("headline", "grok"):
                out["late_gap_23"] = 300.0
            return out

    assert judged("headline-late-gap-grok", Wide()).verdict == REPRODUCED
    apart = judged("late-gap-quartiles", Wide())
    assert apart.verdict == IMPRECISE  # one of four quartiles is off, at p = 0.75¹⁵, which is 0.053 over four
    assert "weight decay, quartiles [300, 300], published [168, 320] (not precise enough to tell)" in apart.note


def test_a_demoted_claim_is_found_again_where_its_sentence_is_judged() -> None:
    evidence: Any = SyntheticEvidence()
    old = [
        {"id": id, "statement": "Old.", "verdict": "not reproduced", "measured": "1"}
        for id in ("theorem6-saturates", "repulsion-every-activation", "marks-grokking", "robust-svd")
    ]
    wanted = ("fires-only-when-saturated", "repulsion-across-activations", "robust")
    results = evaluate(evidence, [of(id) for id in wanted])
    asked = [question for question in QUESTIONS if question.id in {one["id"] for one in old}]
    found = compare({"claims": old}, results, "x", answers=ask(evidence, asked))
    now = "a question of ours now; the published sentence is judged as"
    assert {change.id: change.reason for change in found.changes if change.kind == "absent"} == {
        "theorem6-saturates": f"{now} fires-only-when-saturated",
        "repulsion-every-activation": f"{now} repulsion-across-activations",
        "marks-grokking": "a question of ours now",
        "robust-svd": "one sentence: an entry of robust now",
    }


# saturation


class Rated(SyntheticEvidence):
    """With a sign match at epoch 175 of its own by seed, and some ReLU runs that fire."""

    low, high, firing = 0.94, 0.96, 0

    def _history(self, run_id: str) -> Any:
        table = super()._history(run_id)
        study, cell = self.cells[run_id]
        if (study, cell.condition) == ("headline", "grok"):
            table.loc[175, "repulsion/published_estimator"] = self.low if cell.config.seed < 4 else self.high
        return table

    def _metrics(self, study: str, cell: Any) -> dict[str, float]:
        loud = study == "relu" and cell.condition == "eta0" and cell.config.seed < self.firing
        return super()._metrics(study, cell) | ({"fired": 1.0, "fire_epoch": 290.0} if loud else {})


def test_saturation_at_the_fire_is_judged_by_an_exact_test_alone() -> None:
    found = judged("sign-match-saturates", Rated())  # eleven of fifteen: p = 0.059
    assert (found.verdict, found.p) == (IMPRECISE, pytest.approx(0.05923, abs=1e-5))
    evidence = Rated()
    evidence.low = 0.95  # the bound itself, as a count of 200 pairs
    assert judged("sign-match-saturates", evidence).verdict == REPRODUCED
    evidence = Rated()
    evidence.high = 0.94
    assert judged("sign-match-saturates", evidence).verdict == NOT_REPRODUCED
    note = judged("sign-match-saturates").note
    assert "Without weight decay 0.78 [0.78, 0.78] at 175 (exact sign-flip test over 15 seeds, p = 6.1e-05" in note
    assert "Less that of the same seed at epoch 0: " in note
    assert "comes after 175" in note


def test_firing_without_saturation_refutes_only_when() -> None:
    evidence = Rated()
    evidence.low, evidence.firing = 0.96, 9
    found = judged("fires-only-when-saturated", evidence)
    entries = {entry.id: entry.verdict for entry in found.entries}
    assert entries == {"square, weight decay": REPRODUCED, "ReLU, without weight decay": NOT_REPRODUCED}
    assert found.verdict == NOT_REPRODUCED
    evidence = Rated()
    evidence.low, evidence.firing = 0.96, 4
    few = judged("fires-only-when-saturated", evidence)
    assert (few.verdict, "Fewer than 5 fire, which decides nothing: ReLU, without weight decay 4" in few.note) == (
        REPRODUCED,
        True,
    )


def test_a_rule_that_an_untrained_network_obeys_holds_with_a_caveat() -> None:
    class Untrained(SyntheticEvidence):
        def _measured(self, run_id: str, kind: str) -> Any:
            table = super()._measured(run_id, kind)
            if kind == "repulsion":
                table.loc[(table["epoch"] == 0) & (table["kind"] == "top"), "repel"] = 200
            return table

    found = judged("repulsion-across-activations", Untrained())
    assert (found.verdict, "square 0 [0, 0]" in found.note) == (CAVEAT, True)
    assert judged("repulsion-across-activations").p == pytest.approx(1 / 32)  # of nine activations, five seeds each


def test_negative_entries_are_counted_among_pairs_with_a_positive_cosine() -> None:
    class Signed(SyntheticEvidence):
        """Forty of the pairs are anti-similar, and none of these repels."""

        def _measured(self, run_id: str, kind: str) -> Any:
            table = super()._measured(run_id, kind)
            if kind != "repulsion":
                return table
            top = table["kind"] == "top"
            return pd.concat([table, table[top].assign(sign=-1, pairs=40, repel=0)], ignore_index=True)

    assert judged("repulsion-negative-0", Signed()).verdict == REPRODUCED
    assert judged("repulsion-rises", Signed()).estimates["epoch 300 at ridge η"].value == pytest.approx(200 / 240)


# focused and spreading


class Activated(SyntheticEvidence):
    """Which activations fire, and which grok."""

    fire: tuple[str, ...] = ("square", "cube")
    dull: tuple[str, ...] = ()

    def _metrics(self, study: str, cell: Any) -> dict[str, float]:
        out = super()._metrics(study, cell)
        if study == "activations" and cell.condition == "grok":
            name = cell.config.activation
            out |= {"fired": float(name in self.fire), "accuracy/test": 0.02 if name in self.dull else 1.0}
        return out


@pytest.mark.parametrize(
    ("fire", "dull", "verdict"),
    [
        (("square", "cube"), (), REPRODUCED),
        (("square",), ("cube",), CAVEAT),  # of a power of which none groks nothing is judged
        (("square", "cube", "sigmoid", "tanh"), ("sigmoid", "tanh"), CAVEAT),  # nor of a spreading one
        (("square", "cube", "silu"), (), REPRODUCED),  # Tian names SiLU, the sentence does not
        (("square", "cube", "relu"), (), CONTRADICTED),
        (("square",), (), CONTRADICTED),
        (("square", "cube", "gelu"), (), REPRODUCED),  # not named
    ],
)
def test_both_sides_of_theorem_5_are_treated_alike(fire: tuple[str, ...], dull: tuple[str, ...], verdict: str) -> None:
    evidence = Activated()
    evidence.fire, evidence.dull = fire, dull
    found = judged("theorem5", evidence)
    assert found.verdict == verdict
    assert {entry.id for entry in found.entries} == {"square", "cube", "relu", "sigmoid"}
    assert f"which this sentence does not: silu {5 if 'silu' in fire else 0}/5 fire" in found.note
    assert all(f"{name} " in found.measured for name in ("gelu", "abs", "relu2"))
    assert {entry.id for entry in found.entries if entry.verdict == NOT_TESTABLE} == set(dull) - {"tanh"}


# the errata and the notes


def test_relu_controls_are_compared_on_shared_seeds() -> None:
    class Loud(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            loud = study == "relu" and cell.condition == "eta0" and cell.config.seed < 9
            return super()._metrics(study, cell) | ({"fired": 1.0} if loud else {})

    evidence: Any = Loud()
    (chapter,) = write(evidence, [chapter for chapter in ERRATA if chapter.id == "relu-controls"])
    assert chapter.text.endswith("McNemar's exact test on the 15 seeds of both, of which 9 differ: p = 0.0039.")  # 2 / 2^9


def test_one_fact_that_two_claims_count_is_named() -> None:
    class Loud(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            loud = (study, cell.condition, cell.config.seed) == ("headline", "eta0", 3)
            return super()._metrics(study, cell) | ({"fired": 1.0} if loud else {})

        def _history(self, run_id: str) -> Any:
            table = super()._history(run_id)
            study, cell = self.cells[run_id]
            if (study, cell.condition, cell.config.seed) == ("headline", "eta0", 3):
                table.loc[139, "delta_w/gap_12"] = 90.0
            return table

    note = judged("gap12-slope", Loud()).note
    assert "Of the 1 that fire without weight decay 1 also fires by λ₂/λ₃" in note
    assert note.endswith("it is one fact, counted in both claims.")
    assert judged("gap12-slope").note == ""


def test_a_level_that_must_be_sustained_fires_at_the_first_of_its_epochs() -> None:
    series = np.array([NEVER, 30.0, 24.0, 25.0, 26.0, 26.0, 26.0, 26.0, 1.0])
    assert [sustained(series, 25, epochs) for epochs in (1, 2, 5, 6)] == [1, 3, 3, None]
    assert "sustained for 5 epochs" in of("gap12-level-25").statement
    assert "sustained" not in of("gap12-level-100").statement


def test_two_orders_are_not_thirty_and_the_author_prints_both() -> None:
    assert (judged("lambda3-collapse").measured, judged("lambda3-collapse-30").measured) == ("32.4 [32.4, 32.4]",) * 2
    assert judged("lambda3-collapse").note.startswith("The median is 1.51 orders; the author's notes have a factor of 30. ")
    assert judged("lambda3-collapse").verdict == CONTRADICTED
    values = np.full(15, 25.0)
    assert verdicts.relation("x", values, "100", (10**1.5, 10**2.5), (10, 1000)).verdict == NOT_REPRODUCED
    assert verdicts.median("x", values, "30", margin=RATIO).verdict == REPRODUCED


def test_the_range_of_leads_is_of_single_runs() -> None:
    class Spread(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            out = super()._metrics(study, cell)
            return out | ({"lead": 40.0} if study == "eta" and cell.config.seed == 4 and out["lead"] == 79.0 else {})

    found = judged("eta-lead-range", Spread())
    assert (found.verdict, found.measured) == (NOT_REPRODUCED, "smallest lead 40; largest lead 154")


def test_the_train_accuracy_says_whose_sample_was_printed() -> None:
    assert "The notes print it of a pilot of seed 0" in judged("headline-train-accuracy").note


def test_a_collapse_that_is_no_divergence_holds_with_a_caveat() -> None:
    class Collapsed(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            return super()._metrics(study, cell) | {"diverged": 0.0}

    assert judged("scaling-127-0.5").verdict == REPRODUCED
    found = judged("scaling-127-0.5", Collapsed())
    assert (found.verdict, found.note.startswith("Published as a numerical divergence; no run diverges.")) == (CAVEAT, True)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([verdicts.count("fires", 15, 15, 15, 15)], ""),
        ([verdicts.count("fires", 13, 15, 15, 15)], "It is off by more than 1 run, one in fifteen."),
        ([verdicts.count("fires", 2, 15, 15, 15)], "More than half of the runs do the opposite."),
        ([verdicts.count("fires", 3, 5, 5, 5)], "Of so few runs none may be off."),
        ([verdicts.digits("λ", 9.28e-06, "8.4e-6")], "It is outside the margin, 7.64e-06 … 9.24e-06."),
        ([verdicts.digits("λ", 1.9e-05, "8.4e-6")], "It is beyond a factor of 2 of what was published."),
        ([verdicts.digits("epoch", math.nan, "174", event=True)], "It never came."),
        ([verdicts.at_most("ρ", 0.07, "0.065")], "It is above the bound, 0.0655 with half a unit of the printed digit."),
        (
            [verdicts.digits("a", 1.0, "1.0"), verdicts.digits("b", 30.0, "25")],
            "b is 30 where 25 was published: it is outside the margin, 22.7 … 27.5.",
        ),
        (
            [verdicts.epochs("fires", [160, 171, 172], [179, 193, 263])],
            "One is off by more than 5 % of it, at least 2 epochs.",
        ),
        ([verdicts.epochs("fires", [160, 171], [179, 193, 263])], "It came in 2 runs, and in 3 as published."),
        (
            [verdicts.share_of_seed("rate", 0.79, np.linspace(0.715, 0.83, 15), "0.91")],
            "None of 15 seeds reaches the printed share.",
        ),
        ([verdicts.median("lag", np.full(15, 300.0), "174", event=True)], "Tests put it outside the margin, 165 … 183."),
        (
            [verdicts.median("lag", np.full(15, 900.0), "174", event=True)],
            "Tests put it beyond a factor of 2 of what was published.",
        ),
        ([verdicts.every("groks", 3, 30)], "Tests put it below one half of all seeds."),
    ],
)
def test_the_condition_that_decided_is_said(parts: list[verdicts.Part], said: str) -> None:
    assert verdicts.judge(parts).why == said
