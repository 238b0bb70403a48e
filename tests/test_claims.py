"""Claims: every one can be reproduced and can fail; its rule does what its words say; what is absent is not testable yet."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from analysis.claims import CLAIMS, VERDICTS, Claim, evaluate, rules
from analysis.claims.model import CAVEAT, CONTRADICTED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, Measured
from analysis.claims.sources import Absent, Sources, fire_epochs, late_median
from analysis.claims.windows import Cell, judge_cells
from grok.studies import REGISTRY, load_file
from grok.tracking import StoreError
from tests.synthetic import SyntheticEvidence

NEVER = math.nan


def verdict_of(claim: Claim, evidence: Any) -> str:
    return evaluate(evidence, [claim])[0].verdict


@pytest.fixture(scope="module")
def worlds() -> dict[tuple[bool, bool], Any]:
    """By (broken, rebuttal)."""
    return {(b, r): SyntheticEvidence(broken=b, rebuttal=r) for b in (False, True) for r in (False, True)}


# every claim


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_reproduced_where_the_published_numbers_hold_and_fails_where_none_does(claim: Claim, worlds: Any) -> None:
    rebuttal = claim.id.startswith("robust")
    (good,) = evaluate(worlds[False, rebuttal], [claim])
    assert good.verdict == REPRODUCED, (good.measured, good.note)
    assert good.measured
    assert good.estimates
    assert good.n == len(good.run_ids) > 0
    (bad,) = evaluate(worlds[True, rebuttal], [claim])
    assert bad.verdict in (NOT_REPRODUCED, CONTRADICTED), (bad.measured, bad.note)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_without_runs_is_not_testable_and_names_its_study(claim: Claim) -> None:
    (result,) = evaluate(SyntheticEvidence(studies=()), [claim])  # type: ignore[arg-type]
    assert (result.verdict, result.measured, result.n, result.run_ids) == (NOT_TESTABLE, "", 0, ())
    assert any(f"mlflow run . -e study -P study={study}" in result.note for study in claim.studies)
    assert all(f"study={study}" in result.command for study in claim.studies)


def test_ids_are_unique_and_every_field_is_said() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    registered = set(load_file(REGISTRY, prefix=""))
    for claim in CLAIMS:
        assert all(getattr(claim, field.name) for field in dataclasses.fields(claim)), claim.id
        assert set(claim.studies) <= registered
        assert "eproduced" in claim.rule, claim.id


def test_the_papers_window_table_and_the_rebuttal_exclude_each_other(worlds: Any) -> None:
    """At window 10 the table has one of three firing, the rebuttal at least 14 of 15."""
    by_id = {claim.id: claim for claim in CLAIMS}
    assert verdict_of(by_id["robust-window-10"], worlds[False, False]) != REPRODUCED
    assert verdict_of(by_id["window-10"], worlds[False, True]) == CONTRADICTED


def test_evaluation_is_the_same_twice(worlds: Any) -> None:
    first, second = (repr(evaluate(SyntheticEvidence(), CLAIMS[:12])) for _ in range(2))  # type: ignore[arg-type]
    assert first == second


# absent and unreadable runs


def test_fewer_runs_than_the_grid_cap_the_verdict_and_too_few_withhold_it() -> None:
    claim = next(claim for claim in CLAIMS if claim.id == "headline-grok-fires")
    for gone, verdict in ((0, REPRODUCED), (1, CAVEAT), (3, CAVEAT), (4, NOT_TESTABLE)):
        missing = frozenset(("headline", "grok", seed) for seed in range(gone))
        (result,) = evaluate(SyntheticEvidence(missing=missing), [claim])  # type: ignore[arg-type]
        assert result.verdict == verdict
        assert (f"{15 - gone} of 15 runs of headline" in result.note) == (gone in (1, 3))
    assert "11 of the 15 runs" in result.note


def test_a_shortfall_does_not_soften_a_failure() -> None:
    claim = next(claim for claim in CLAIMS if claim.id == "headline-grok-fires")
    evidence: Any = SyntheticEvidence(broken=True, missing=frozenset({("headline", "grok", 3)}))
    assert verdict_of(claim, evidence) == CONTRADICTED


def test_a_file_that_breaks_while_claims_are_read_withholds_the_verdict() -> None:
    class Broken(SyntheticEvidence):
        def _history(self, run_id: str) -> Any:
            raise StoreError(f"history.parquet must be a whole parquet file, got {run_id}. Train that run anew.")

    claim = next(claim for claim in CLAIMS if claim.id == "eigenvalues-grok-25")
    (result,) = evaluate(Broken(), [claim])  # type: ignore[arg-type]
    assert result.verdict == NOT_TESTABLE
    assert "must be a whole parquet file" in result.note


def test_sources_take_what_is_asked_for_in_the_grids_order() -> None:
    sources = Sources(SyntheticEvidence())  # type: ignore[arg-type]
    runs = sources.take("controls", condition="data_starved", activation="relu", seed=(2, 0))
    assert list(runs["seed"]) == [0, 2]
    assert set(runs["activation"]) == {"relu"}
    assert list(sources.run_ids) == list(runs["run_id"])
    with pytest.raises(ValueError, match="settings must be in the grid of controls"):
        sources.take("controls", condition="no such")
    with pytest.raises(Absent, match=r"0 of the 26 runs .* study eta are there\. Run mlflow run"):
        Sources(SyntheticEvidence(studies=("relu",))).take("eta")  # type: ignore[arg-type]


def test_a_user_adds_a_claim_in_one_place() -> None:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("headline", condition="grok")
        return rules.judge([rules.median("test accuracy", runs["accuracy/test"], "1.0")])

    claim = Claim("mine", "They generalise.", "me", "1.0", "test accuracy", ("headline",), rules.MEDIAN, measure)
    (result,) = evaluate(SyntheticEvidence(), [claim])  # type: ignore[arg-type]
    assert (result.verdict, result.n, result.command) == (REPRODUCED, 15, "mlflow run . -e study -P study=headline")


# the rules, by their words


@pytest.mark.parametrize(
    ("found", "n", "published", "of", "verdict"),
    [
        (15, 15, 15, 15, REPRODUCED),
        (14, 15, 15, 15, CAVEAT),
        (12, 15, 15, 15, NOT_REPRODUCED),  # Fisher p = 0.22
        (9, 15, 15, 15, CONTRADICTED),  # 0.017
        (12, 12, 15, 15, REPRODUCED),
        (3, 5, 5, 5, NOT_REPRODUCED),
        (0, 5, 5, 5, CONTRADICTED),
        (9, 15, 0, 15, CONTRADICTED),
    ],
)
def test_count(found: int, n: int, published: int, of: int, verdict: str) -> None:
    assert rules.count("x", found, n, published, of).verdict == verdict


@pytest.mark.parametrize(
    ("values", "published", "verdict"),
    [
        ([173.6] * 15, "174", REPRODUCED),  # rounds to it
        (range(95, 110), "104", REPRODUCED),  # the interval of the median, [98, 106], holds it
        (range(95, 110), "107", CAVEAT),  # outside, within 10 %
        (range(95, 110), "120", NOT_REPRODUCED),
        (range(95, 110), "210", CONTRADICTED),
        ([4.6, 2317, 5554], "408", CAVEAT),  # in a range that holds almost anything
        ([NEVER] * 5, "20", CONTRADICTED),
        ([NEVER, 541.8], "542", REPRODUCED),
    ],
)
def test_median(values: Any, published: str, verdict: str) -> None:
    assert rules.median("x", values, published).verdict == verdict


@pytest.mark.parametrize(
    ("value", "printed", "verdict"),
    [
        (2.09e-5, "2.1e-5", REPRODUCED), (2.16e-5, "2.1e-5", CAVEAT), (1.6e-5, "2.1e-5", NOT_REPRODUCED),
        (9e-6, "2.1e-5", CONTRADICTED), (-75.4, "-75", REPRODUCED), (75.0, "-75", CONTRADICTED), (NEVER, "3", CONTRADICTED),
        (0.0204, "0.020", REPRODUCED), (0.0206, "0.020", CAVEAT), (3.649, "3.6", REPRODUCED), (3.66, "3.6", CAVEAT),
    ],
)  # fmt: skip
def test_digits(value: float, printed: str, verdict: str) -> None:
    assert rules.digits("x", value, printed).verdict == verdict


@pytest.mark.parametrize(
    ("found", "published", "verdict"),
    [
        ([174, 172, 173], [173, 173, 174], REPRODUCED),
        ([180, 173, 174], [173, 173, 174], CAVEAT),
        ([220, 173, 174], [173, 173, 174], NOT_REPRODUCED),
        ([NEVER, 173, 174], [173, 173, 174], CONTRADICTED),
        ([NEVER, 347, NEVER], [NEVER, NEVER, 347], REPRODUCED),
        ([166, 167, 167], [NEVER, NEVER, 347], CONTRADICTED),
        ([NEVER] * 3, [NEVER] * 3, REPRODUCED),
    ],
)
def test_epochs(found: list[float], published: list[float], verdict: str) -> None:
    assert rules.epochs("x", found, published).verdict == verdict


def test_quartiles_and_ratio() -> None:
    assert rules.quartiles("x", range(100), (24, 75)).verdict == REPRODUCED
    assert rules.quartiles("x", range(100), (24, 95)).verdict == CAVEAT
    above, below = np.linspace(190, 210, 15), np.linspace(0.9, 1.1, 15)
    assert rules.ratio("x", above, below, "200").verdict == REPRODUCED
    assert rules.ratio("x", above, below, "240").verdict == NOT_REPRODUCED
    assert rules.ratio("x", above, below, "1.4").verdict == CONTRADICTED


def test_an_event_seen_at_a_cadence_is_at_best_a_caveat() -> None:
    assert rules.between("x", [(10, 20)] * 5, "15").verdict == CAVEAT
    assert rules.between("x", [(14, 15)] * 5, "15").verdict == REPRODUCED
    assert rules.between("x", [(30, 40)] * 5, "15").verdict == CONTRADICTED
    assert rules.between("x", [], "15").verdict == CONTRADICTED


def test_share_of_one_seed() -> None:
    seeds = np.array([0.78, 0.75, 0.92])
    assert rules.share_of_seed("x", 0.78, seeds, "0.78").verdict == REPRODUCED
    assert rules.share_of_seed("x", 0.78, seeds, "0.91").verdict == NOT_REPRODUCED
    assert rules.share_of_seed("x", 0.78, seeds, "0.995").verdict == CONTRADICTED


def test_several_numbers_make_one_verdict() -> None:
    def verdict(*parts: str) -> str:
        return rules.judge(
            [rules.Part(str(i), "1", "1", rules.digits("x", 1, "1").estimate, p) for i, p in enumerate(parts)]
        ).verdict

    assert verdict(REPRODUCED, REPRODUCED) == REPRODUCED
    assert verdict(REPRODUCED, CAVEAT) == CAVEAT
    assert verdict(REPRODUCED, REPRODUCED, CAVEAT, NOT_REPRODUCED) == CAVEAT
    assert verdict(REPRODUCED, REPRODUCED, NOT_REPRODUCED) == NOT_REPRODUCED
    assert verdict(*[REPRODUCED] * 9, CONTRADICTED) == CONTRADICTED
    assert set(VERDICTS) >= {REPRODUCED, CAVEAT, NOT_REPRODUCED, CONTRADICTED, NOT_TESTABLE}


def test_the_rebuttals_grid_is_judged_cell_by_cell() -> None:
    good = Cell(20, 0.04, "gram", 14, 15, 174.0, 0, 15, 0, 15)
    late, few, loud = good._replace(epoch=176.0), good._replace(fired=13), good._replace(relu_fired=1)
    assert judge_cells([good] * 10).verdict == REPRODUCED
    for bad in (late, few, loud):
        assert judge_cells([good] * 9 + [bad]).verdict == CAVEAT
        assert judge_cells([good] * 8 + [bad] * 2).verdict == NOT_REPRODUCED
        assert judge_cells([good] * 4 + [bad] * 6).verdict == CONTRADICTED
    assert "all three in 8" in judge_cells([good] * 8 + [late, loud]).text
    assert judge_cells([good._replace(epoch=NEVER)]).verdict == CONTRADICTED


def test_series_helpers() -> None:
    gap = np.ones(401)
    gap[200:] = 3.0
    assert list(fire_epochs([gap, np.ones(401)])) == pytest.approx([200, NEVER], nan_ok=True)
    assert late_median(gap) == 3.0
    assert math.isnan(late_median(np.ones(50)))


def test_numbers_are_short_and_never_nan() -> None:
    assert [rules.number(x) for x in (NEVER, 174.0, 2.09e-5, 228.78, 1234.5)] == ["–", "174", "2.09e-05", "229", "1234"]
