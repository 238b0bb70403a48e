"""Verdicts over roundings, of runs of one make, and among many; fresh seeds by the rules that were fixed before them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.exhibits.evaluate import ask, evaluate, write
from analysis.exhibits.model import (
    CAVEAT,
    CONTRADICTED,
    FRESH,
    IMPRECISE,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDABLE,
    Claim,
    Result,
)
from analysis.exhibits.robust import ONE, control, discoveries, over_roundings, provenance
from analysis.exhibits.sources import Sources, replicates
from analysis.papers import CLAIMS, ERRATA, QUESTIONS
from tests.helpers.extra import VARIANTS, fresh_cells, lay, rounding_cells
from tests.helpers.synthetic import SyntheticEvidence


def of(id: str) -> Claim:
    return next(claim for claim in CLAIMS if claim.id == id)


class Repeated(SyntheticEvidence):
    """Two seeds of the control fire by one rounding and by no other; its runs say what made them."""

    loud = "mkl-256-1"
    without: tuple[str, ...] = ()

    def _metrics(self, study: str, cell: Any) -> dict[str, float]:
        out = super()._metrics(study, cell)
        fires = study == "rounding" and cell.config.hash.endswith(self.loud) and cell.condition == "eta0"
        if fires and cell.config.activation == "square" and cell.config.seed in (3, 7):
            out["fired"] = 1.0
        return out

    def _runs(self, study: str) -> pd.DataFrame:
        runs = super()._runs(study)
        return runs.assign(code_version="a1", protocol="1", rounding_used=["onednn-512-2"] * len(runs)) if len(runs) else runs


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> Any:
    lay(monkeypatch, rounding=rounding_cells(), fresh=fresh_cells())
    return Repeated()


# roundings


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        (REPRODUCED, [REPRODUCED] * 3, REPRODUCED),
        (REPRODUCED, [REPRODUCED, CAVEAT], CAVEAT),
        (CONTRADICTED, [NOT_REPRODUCED, CONTRADICTED], NOT_REPRODUCED),
        (IMPRECISE, [IMPRECISE], IMPRECISE),
        (REPRODUCED, [REPRODUCED, NOT_REPRODUCED], UNDECIDABLE),
        (IMPRECISE, [REPRODUCED], UNDECIDABLE),
        (NOT_REPRODUCED, [], NOT_REPRODUCED),
        (NOT_TESTABLE, [REPRODUCED], NOT_TESTABLE),
    ],
)
def test_over_roundings(own: str, others: list[str], verdict: str) -> None:
    found, told = over_roundings(own, others)
    assert found == verdict
    assert told == {NOT_TESTABLE: ""}.get(own, ONE if not others else told)
    if verdict == UNDECIDABLE and own == REPRODUCED:
        assert told == "Over 3 roundings: reproduced in 2, not reproduced in 1."


def test_a_claim_is_judged_with_each_rounding_in_place_of_its_runs(repeated: Any) -> None:
    assert replicates() == VARIANTS
    grok, control = evaluate(repeated, [of("headline-grok-fires"), of("headline-control-fires")])
    assert (grok.verdict, grok.rounding) == (REPRODUCED, "Over 4 roundings: reproduced in 4.")
    # two of fifteen are more than the one that a count may be off by
    assert (control.verdict, control.measured) == (UNDECIDABLE, "0/15")
    told = {one.rounding: (one.verdict, one.measured) for one in control.replicates}
    assert told["mkl-256-1"] == (NOT_REPRODUCED, "2/15")
    assert told["default"] == told["onednn-256-1"] == told["float64"] == (REPRODUCED, "0/15")
    assert control.rounding == "Over 4 roundings: reproduced in 3, not reproduced in 1."


def test_all_runs_of_a_replicate_are_of_its_rounding(repeated: Any) -> None:
    sources = Sources(repeated, "mkl-256-1")
    runs = sources.take("headline", condition="eta0", seed=(3, 0))
    assert list(runs["seed"]) == [0, 3]
    assert all(run_id.startswith("rounding-") and run_id.endswith("mkl-256-1") for run_id in runs["run_id"])
    assert sources.replaced == 2
    others = sources.take("controls", condition="random_labels", activation="square")  # which none repeats
    assert (len(others), sources.replaced) == (15, 2)
    assert not any(run_id.endswith("mkl-256-1") for run_id in others["run_id"])


def test_a_claim_is_judged_over_roundings_where_a_part_of_its_runs_is_repeated(repeated: Any) -> None:
    (eta, never) = evaluate(repeated, [of("eta-2e-4"), of("relu-never-fires")])
    assert (eta.rounding, eta.replicates) == (ONE, ())
    assert (never.rounding, never.verdict) == ("Over 4 roundings of 30 of the 60 runs: reproduced in 4.", REPRODUCED)
    assert {one.rounding: one.replaced for one in never.replicates} == {"default": 0} | dict.fromkeys(VARIANTS, 30)  # of 60


def test_without_the_study_every_claim_is_judged_on_one_rounding() -> None:
    (found,) = evaluate(SyntheticEvidence(), [of("headline-grok-fires")])  # type: ignore[arg-type]
    assert (found.rounding, found.replicates, "code_version" in found.made_by) == (ONE, (), False)


@pytest.mark.parametrize(("id", "times"), [("headline-grok-fires", 1 + len(VARIANTS)), ("eta-2e-4", 1)])
def test_a_claim_is_measured_once_more_for_each_rounding_that_its_runs_have(repeated: Any, id: str, times: int) -> None:
    asked: list[Sources] = []

    def measure(sources: Sources) -> Any:
        asked.append(sources)
        return of(id).measure(sources)

    evaluate(repeated, [replace(of(id), measure=measure)])
    assert len(asked) == times


def test_the_make_of_runs_stands_with_the_claim_and_a_mixture_is_named(repeated: Any) -> None:
    (found,) = evaluate(repeated, [of("headline-grok-fires")])
    assert found.made_by == {"code_version": {"a1": 15}, "protocol": {"1": 15}, "rounding": {"onednn-512-2": 15}}
    assert "mixture" not in found.note
    made, told = provenance({"r1": ("a1", "1", "", ""), "r2": ("b2", "1", "", ""), "r3": ("", "1", "", "")})
    assert made == {"code_version": {"not recorded": 1, "a1": 1, "b2": 1}, "protocol": {"1": 3}}
    assert told == "The runs are a mixture: code version not recorded (1), a1 (1), b2 (1)."


def test_chapters_on_roundings_decompose_the_spread(repeated: Any) -> None:
    spread, fires = write(repeated, [chapter for chapter in ERRATA if chapter.section == "Rounding"])
    table = spread.table.set_index(["activation", "condition", "quantity"])
    row = table.loc[("square", "weight decay", "fire epoch")]
    assert (row["seeds"], row["roundings"]) == (15, 3)
    assert (row["sd_over_roundings"], row["share_seed"]) == pytest.approx((0.0, 1.0))
    counts = fires.table.set_index(["activation", "condition", "rounding"])["fires"]
    assert counts["square", "without weight decay", "mkl-256-1"] == 2
    assert "square, without weight decay: 0 to 2 of 15" in fires.text
    assert spread.section == "Rounding"


# many claims


def result(p: float, verdict: str) -> Result:
    return Result(of("headline-grok-fires"), "", {}, verdict, "", 1, (), "", p=p)


def test_a_decision_that_does_not_survive_among_many_is_not_precise_enough() -> None:
    ps = [0.001, 0.03, 0.03, 0.2, 0.9]
    found = control([*(result(p, REPRODUCED if p < 0.05 else IMPRECISE) for p in ps), result(math.nan, REPRODUCED)])
    expected = stats.false_discovery_control(ps)
    assert [one.adjusted for one in found[:5]] == pytest.approx(expected.tolist())
    assert [one.verdict for one in found] == [REPRODUCED, REPRODUCED, REPRODUCED, IMPRECISE, IMPRECISE, REPRODUCED]
    few = control([result(0.03, NOT_REPRODUCED), result(0.9, IMPRECISE)])
    assert few[0].verdict == IMPRECISE
    assert "Alone it would be not reproduced (p = 0.03), but not among 2 claims (0.06)." in few[0].note
    assert discoveries(found) == (5, 3, 1)


def test_wrong_decisions_among_many_are_as_rare_as_said() -> None:
    """500 families of 40 claims: at the margin's end, where either decision is wrong half the time, and well inside."""
    rng = np.random.default_rng(6)
    wrong = []
    for _ in range(500):
        truth = rng.random(40) < 0.5
        z = rng.normal(np.where(truth, 4.0, 0.0), 1.0)  # inside by four errors, or just outside
        ps = stats.norm.sf(z)
        found = control([result(float(p), REPRODUCED if p <= 0.05 else IMPRECISE) for p in ps])
        said = np.array([one.verdict == REPRODUCED for one in found])
        wrong.append((said & ~truth).sum() / max(1, said.sum()))
    assert np.mean(wrong) < 0.05


# fresh seeds


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.kind == FRESH], ids=lambda claim: claim.id)
def test_a_sentence_on_fresh_seeds_holds_where_they_are_as_printed_and_fails_where_not(
    claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(monkeypatch, fresh=fresh_cells())
    good: Any = SyntheticEvidence()
    bad: Any = SyntheticEvidence(broken=True)
    (held,), (failed,) = evaluate(good, [claim]), evaluate(bad, [claim])
    assert held.verdict == REPRODUCED, (held.measured, held.note)
    assert failed.verdict in (NOT_REPRODUCED, CONTRADICTED), (failed.measured, failed.note)
    assert held.rounding == ONE


def test_fresh_seeds_have_their_counts_and_exact_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    lay(monkeypatch, fresh=fresh_cells())
    evidence: Any = SyntheticEvidence()
    (chapter,) = write(evidence, [chapter for chapter in ERRATA if chapter.section == "Fresh seeds"])
    table = chapter.table.set_index(["activation", "condition"])
    assert list(table["n"]) == [100, 100, 100, 100, 30, 30]
    assert tuple(table.loc[("square", "weight decay"), ["fires", "low", "high"]]) == pytest.approx((100, 0.9638, 1.0), abs=1e-4)
    assert "relu, weight decay: 0 of 30 (0.000 to 0.116)" in chapter.text
    answers = {a.question.id: a for a in ask(evidence, [q for q in QUESTIONS if "fresh" in q.studies])}
    assert answers["fresh-negatives"].text == "random labels 0/100; too few pairs 0/100; without weight decay 0/100"
    assert "square, weight decay 15/15 and 100/100" in answers["fresh-alike"].text
    assert "square, random labels 0/15 and 0/100; square, too few pairs 0/15 and 0/100" in answers["fresh-alike"].text


def test_never_on_fresh_seeds_prints_those_that_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    lay(monkeypatch, fresh=fresh_cells())

    class Few(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            out = super()._metrics(study, cell)
            loud = cell.condition == "eta0" and cell.config.activation == "square" and cell.config.seed in (103, 110, 150)
            return out | ({"fired": 1.0} if loud else {})

    (found,) = evaluate(Few(), [of("fresh-control-fires")])  # type: ignore[arg-type]
    assert found.verdict == REPRODUCED
    assert found.measured == "3 of 100 fire, one-sided 95 % bounds 0.00823 and 0.0757"
    assert found.p == pytest.approx(stats.binom.sf(96, 100, 0.9))
    assert "two rules" in found.note
    assert "nine of ten of all seeds" in found.claim.statement


def test_the_lag_counts_runs_that_fire_later(monkeypatch: pytest.MonkeyPatch) -> None:
    lay(monkeypatch, fresh=fresh_cells())

    class Early(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            out = super()._metrics(study, cell)
            return out | ({"test_99_epoch": 180.0} if cell.condition == "grok" and cell.config.seed in (0, 1, 100) else {})

    own, fresh, quartiles = evaluate(Early(), [of("lags"), of("fresh-lags"), of("lag-quartiles")])  # type: ignore[arg-type]
    assert {entry.id: entry.measured for entry in own.entries}["fire later than test ≥ 0.99"] == "13/15"
    assert own.verdict == NOT_REPRODUCED  # two of fifteen
    assert {entry.id: entry.verdict for entry in fresh.entries}["fire later than test ≥ 0.99"] == REPRODUCED  # 99 of 100
    assert [entry.published for entry in quartiles.entries] == ["[34, 36]"]


def test_mcnemar_on_fresh_seeds_counts_seeds_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    lay(monkeypatch, fresh=fresh_cells(square=10))

    class Loud(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            out = super()._metrics(study, cell)
            return out | ({"fired": 1.0} if cell.condition == "random_labels" and cell.config.seed < 107 else {})

    (found,) = ask(Loud(), [q for q in QUESTIONS if q.id == "fresh-negatives"])  # type: ignore[arg-type]
    assert "random labels p = 0.016 (7 seeds differ)" in found.note  # 2 / 2^7


def test_power_needs_no_runs() -> None:
    evidence: Any = SyntheticEvidence(studies=())
    (chapter,) = write(evidence, [chapter for chapter in ERRATA if chapter.section == "Power"])
    assert list(chapter.table["seeds_on_one_side_needed"])[:3] == [0, 5, 12]


def test_a_result_without_p_is_left_as_it_is() -> None:
    one = result(math.nan, CONTRADICTED)
    assert control([one]) == [replace(one)]
