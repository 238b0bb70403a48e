"""Claims: every one can be reproduced and can fail; its rule does what its words say; what is absent is not testable yet."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from analysis.exhibits import verdicts
from analysis.exhibits.evaluate import ask, evaluate
from analysis.exhibits.margins import ACCURACY, EPOCH, RATIO
from analysis.exhibits.model import (
    CAVEAT,
    CONTRADICTED,
    FRESH,
    IMPRECISE,
    KINDS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    REVIEW,
    TEXT,
    Answered,
    Claim,
    Measured,
    Question,
)
from analysis.exhibits.sources import Absent, Sources, fire_epochs
from analysis.papers import CLAIMS, QUESTIONS
from analysis.statistics.clusters import NO_FIT, Fit
from analysis.statistics.estimates import Estimate
from grok.spec.studies import registry
from grok.store.store import StoreError
from tests.helpers.synthetic import SyntheticEvidence

NEVER = math.nan
OF_XU = [claim for claim in CLAIMS if not claim.id.startswith(("lifecycle-", "signals-"))]
"""Those that the first paper's made-up runs can decide; test_lifecycle.py and test_signal_laws.py have the others."""


def verdict_of(claim: Claim, evidence: Any) -> str:
    return evaluate(evidence, [claim])[0].verdict


@pytest.fixture(scope="module")
def worlds() -> dict[tuple[bool, bool], Any]:
    """By (broken, rebuttal or marks)."""
    return {(b, r): SyntheticEvidence(broken=b, rebuttal=r, marks=r) for b in (False, True) for r in (False, True)}


# every claim


AGAINST = ("sufficient", "lambda3-collapse")
"""Sentences that the author's own numbers contradict: his η table, and λ₃ of his seed 0, which falls by 32 and not by 100."""
OWN = [claim for claim in OF_XU if claim.kind != FRESH and claim.id not in AGAINST]
"""Claims that the two worlds can decide: fresh seeds have tests of their own."""
AT_MOST_A_CAVEAT = {"repulsion-fixed-pairs"}
"""Their rule has no better verdict."""


@pytest.mark.parametrize("claim", OWN, ids=lambda claim: claim.id)
def test_a_claim_is_reproduced_where_the_published_numbers_hold_and_fails_where_none_does(claim: Claim, worlds: Any) -> None:
    rebuttal = claim.kind == REVIEW
    (good,) = evaluate(worlds[False, rebuttal], [claim])
    best = CAVEAT if claim.id in AT_MOST_A_CAVEAT else REPRODUCED
    assert good.verdict == best, (good.measured, good.note)
    assert good.measured
    assert good.estimates
    assert good.n == len(good.run_ids) > 0
    (bad,) = evaluate(worlds[True, rebuttal], [claim])
    assert bad.verdict in (NOT_REPRODUCED, CONTRADICTED), (bad.measured, bad.note)


@pytest.mark.parametrize("claim", OF_XU, ids=lambda claim: claim.id)
def test_a_claim_without_runs_is_not_testable_and_names_its_study(claim: Claim) -> None:
    (result,) = evaluate(SyntheticEvidence(studies=()), [claim])  # type: ignore[arg-type]
    assert (result.verdict, result.measured, result.n, result.run_ids) == (NOT_TESTABLE, "", 0, ())
    assert any(f"python -m entry_points.study --study {study}" in result.note for study in claim.studies)
    assert all(f"--study {study}" in result.command for study in claim.studies)


def test_ids_are_unique_and_every_field_is_said() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    registered = {*registry(), "fresh"}
    for claim in CLAIMS:
        assert all(getattr(claim, field.name) for field in dataclasses.fields(claim) if field.name != "replaces"), claim.id
        assert set(claim.studies) <= registered
        assert "eproduced" in claim.rule, claim.id
        assert claim.kind in KINDS


def test_each_sentence_is_one_claim_and_its_settings_are_entries(worlds: Any) -> None:
    review = [claim for claim in CLAIMS if claim.kind == REVIEW]
    assert [claim.id for claim in review] == ["repulsion-fixed-pairs", "robust"]
    found = evaluate(worlds[False, True], review)[-1]
    assert len(found.entries) == len({entry.id for entry in found.entries}) == 4 * 5 * 3  # readings, methods, windows
    by_id = {entry.id: entry for entry in found.entries}
    assert (by_id["positive-svd-5"].verdict, by_id["mirrored-svd-5"].verdict) == (REPRODUCED, CONTRADICTED)
    grams: Any = SyntheticEvidence(rebuttal=True, studies=("headline", "relu"))
    alone = evaluate(grams, review)[-1]
    assert (alone.verdict, "of the study svd" in alone.note) == (NOT_TESTABLE, True)
    grams = SyntheticEvidence(rebuttal=True, broken=True, studies=("headline", "relu"))
    failed = evaluate(grams, review)[-1]
    assert (failed.verdict, "no spectrum by SVD" in failed.note) == (CONTRADICTED, True)


# questions of ours


ELSEWHERE = ("lifecycle-", "which-signal-knows")
"""How questions begin that are asked of made-up runs in test_lifecycle.py and test_signals.py."""
ASKED = [question for question in QUESTIONS if "fresh" not in question.studies and not question.id.startswith(ELSEWHERE)]
"""Questions that the worlds can answer."""


@pytest.mark.parametrize("question", ASKED, ids=lambda question: question.id)
def test_a_question_is_answered_where_its_runs_are_there(question: Question, worlds: Any) -> None:
    (found,) = ask(worlds[False, True], [question])
    assert found.text, found.note
    assert found.n == len(found.run_ids) > 0
    (absent,) = ask(SyntheticEvidence(studies=()), [question])  # type: ignore[arg-type]
    assert (absent.text, absent.n, absent.run_ids) == ("", 0, ())
    assert any(f"--study {study}" in absent.note for study in question.studies)


def asked(id: str, evidence: Any) -> Answered:
    (question,) = [question for question in QUESTIONS if question.id == id]
    return ask(evidence, [question])[0]


def test_the_papers_window_table_and_the_rebuttal_exclude_each_other(worlds: Any) -> None:
    """At window 10 the table has one of three firing, the rebuttal at least 14 of 15."""
    by_id = {claim.id: claim for claim in CLAIMS}
    assert verdict_of(by_id["robust"], worlds[False, False]) != REPRODUCED
    assert verdict_of(by_id["window-10"], worlds[False, True]) == CONTRADICTED


def test_evaluation_is_the_same_twice(worlds: Any) -> None:
    first, second = (repr(evaluate(SyntheticEvidence(), CLAIMS[:12])) for _ in range(2))  # type: ignore[arg-type]
    assert first == second


def test_the_authors_table_itself_contradicts_that_firing_suffices(worlds: Any) -> None:
    """At η = 1e-5 it prints a median fire epoch and no run that groks."""
    (found,) = evaluate(worlds[False, False], [of("sufficient")])
    assert found.verdict == CONTRADICTED
    assert {entry.id: entry.measured for entry in found.entries}["η 1e-5"] == "0/5"

    class Grown(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            return super()._metrics(study, cell) | {"accuracy/test": 1.0 if cell.config.seed else self.first}

        first = 1.0

    assert verdict_of(of("sufficient"), Grown()) == REPRODUCED
    Grown.first = 0.2
    assert verdict_of(of("sufficient"), Grown()) == NOT_REPRODUCED


def test_one_relu_run_that_fires_refutes_never() -> None:
    class Loud(SyntheticEvidence):
        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            kind = f"{study} {cell.condition} {cell.config.activation}"
            loud = kind == "controls data_starved relu" and cell.config.seed < 1
            return super()._metrics(study, cell) | ({"fired": 1.0} if loud else {})

    (found,) = evaluate(Loud(), [of("relu-never-fires")])  # type: ignore[arg-type]
    assert (found.verdict, found.measured.rpartition(" ")[2]) == (NOT_REPRODUCED, "1/15")
    (few,) = evaluate(SyntheticEvidence(studies=("relu",)), [of("relu-never-fires")])  # type: ignore[arg-type]
    assert (few.verdict, "none of ReLU, random labels" in few.note) == (CAVEAT, True)


def test_equal_phase_and_equal_horizon(worlds: Any) -> None:
    phase = asked("equal-phase", worlds[False, False])
    assert phase.estimates["square, weight decay"].value == pytest.approx(500.0)
    assert phase.estimates["ReLU, ratio"].value == pytest.approx(1.0)
    short: Any = SyntheticEvidence(missing=frozenset({("relu", "eta0", 3)}))
    assert "1 runs of ReLU end before it" in asked("equal-phase", short).note
    relative = asked("relative-epochs", worlds[False, False])
    assert "square 35" in relative.text
    assert relative.estimates["ReLU: test ≥ 0.99 − t₅₀"].value == pytest.approx(166.0)
    starved = asked("starved-horizon", worlds[True, False])
    assert [entry.id for entry in starved.entries][:2] == ["square, by epoch 400", "square, by epoch 800"]
    eta = asked("slope-fires-per-eta", worlds[False, False])
    assert eta.text.startswith("η 1e-5 5/5 (0 reach test ≥ 0.5)")


# absent and unreadable runs


def test_fewer_runs_than_the_grid_cap_the_verdict_and_too_few_withhold_it() -> None:
    claim = next(claim for claim in CLAIMS if claim.id == "headline-grok-fires")
    for gone, verdict in ((0, REPRODUCED), (1, CAVEAT), (3, IMPRECISE), (4, NOT_TESTABLE)):
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
            raise StoreError(f"history.parquet must be a whole parquet file, got {run_id}. Delete it and train anew.")

    claim = next(claim for claim in CLAIMS if claim.id == "eigenvalues-grok-25")
    (result,) = evaluate(Broken(), [claim])  # type: ignore[arg-type]
    assert result.verdict == NOT_TESTABLE
    assert "must be a whole parquet file" in result.note


def everywhere(seed: int) -> frozenset[tuple[str, str, int]]:
    """A run of that seed in every study and condition."""
    return frozenset((name, c.condition, seed) for name, study in registry().items() for c in study.cells)


@pytest.mark.parametrize("seed", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_runs_that_diverged_are_named_and_break_no_claim(seed: int) -> None:
    evidence: Any = SyntheticEvidence(diverged=everywhere(seed))
    results = {result.claim.id: result for result in evaluate(evidence, CLAIMS)}
    assert [name for name, result in results.items() if "error" in result.note] == []
    runs = evidence.runs("headline")
    gone = runs.loc[(runs["condition"] == "grok") & (runs["seed"] == seed), "run_id"].item()
    fires = results["headline-grok-fires"]
    assert (fires.verdict, fires.measured) == (CAVEAT, "14/14")
    assert f"14 of 15 runs of headline (diverged: {gone})" in fires.note
    assert gone not in fires.run_ids
    assert (results["headline-seed-0"].verdict == NOT_TESTABLE) == (seed == 0)


def test_runs_that_diverged_count_where_the_claim_is_of_divergence(worlds: Any) -> None:
    sources = Sources(worlds[False, False])
    with pytest.raises(Absent, match=r"0 of the 5 runs .* are there \(diverged: scaling-"):
        sources.take("scaling", modulus=127, n_train=8064)
    assert len(sources.take("scaling", diverged=True, modulus=127, n_train=8064)) == 5


def test_an_error_in_one_claim_is_a_row_that_says_so(worlds: Any) -> None:
    def measure(sources: Sources) -> Measured:
        raise IndexError("index 0 is out\nof bounds")

    mine = Claim("mine", "S.", "me", "1", "so", ("headline",), verdicts.MEDIAN, measure, kind=TEXT)
    found = evaluate(worlds[False, False], [mine, CLAIMS[0]])
    assert [result.verdict for result in found] == [NOT_TESTABLE, REPRODUCED]
    assert found[0].note == "An error stopped this: IndexError: index 0 is out of bounds."


def test_sources_take_what_is_asked_for_in_the_grids_order() -> None:
    sources = Sources(SyntheticEvidence())  # type: ignore[arg-type]
    runs = sources.take("controls", condition="data_starved", activation="relu", seed=(2, 0))
    assert list(runs["seed"]) == [0, 2]
    assert set(runs["activation"]) == {"relu"}
    assert list(sources.run_ids) == list(runs["run_id"])
    with pytest.raises(ValueError, match="settings must be in the grid of controls"):
        sources.take("controls", condition="no such")
    with pytest.raises(Absent, match=r"0 of the 26 runs .* study eta are there\. Run python -m entry_points\.study"):
        Sources(SyntheticEvidence(studies=("relu",))).take("eta")  # type: ignore[arg-type]


def test_a_user_adds_a_claim_in_one_place() -> None:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("headline", condition="grok")
        return verdicts.judge([verdicts.median("test accuracy", runs["accuracy/test"], "1.0")])

    claim = Claim("mine", "They generalise.", "me", "1.0", "test accuracy", ("headline",), verdicts.MEDIAN, measure, kind=TEXT)
    (result,) = evaluate(SyntheticEvidence(), [claim])  # type: ignore[arg-type]
    assert (result.verdict, result.n, result.command) == (REPRODUCED, 15, "python -m entry_points.study --study headline")


# the rules, by their words


@pytest.mark.parametrize(
    ("found", "n", "published", "of", "verdict"),
    [
        (15, 15, 15, 15, REPRODUCED),
        (14, 15, 15, 15, CAVEAT),
        (9, 15, 15, 15, NOT_REPRODUCED),
        (7, 15, 15, 15, CONTRADICTED),  # most do the opposite
        (14, 14, 15, 15, CAVEAT),  # the missing one may not
        (12, 12, 15, 15, IMPRECISE),  # the missing three may not
        (0, 12, 15, 15, CONTRADICTED),  # whatever the missing three do
        (4, 5, 5, 5, NOT_REPRODUCED),
        (2, 5, 5, 5, CONTRADICTED),
        (1, 5, 0, 5, NOT_REPRODUCED),
        (9, 15, 0, 15, CONTRADICTED),
        (28, 30, 30, 30, CAVEAT),
    ],
)
def test_count(found: int, n: int, published: int, of: int, verdict: str) -> None:
    assert verdicts.count("x", found, n, published, of).verdict == verdict


@pytest.mark.parametrize(
    ("values", "published", "verdict"),
    [
        ([173.6] * 15, "174", REPRODUCED),
        ([180.0] * 15, "174", REPRODUCED),  # within 5 %
        ([173.6] * 5, "174", REPRODUCED),  # p = 1/32
        ([80.0] * 7 + [174.0] + [250.0] * 7, "174", IMPRECISE),  # to the digit, and too wide for that
        ([100.0] * 7 + [190.0] + [250.0] * 7, "174", IMPRECISE),
        ([150.0] * 7 + [174.0] + [250.0] * 7, "174", REPRODUCED),  # to the digit, within a factor of 2
        ([150.0] * 7 + [175.0] + [250.0] * 7, "174", IMPRECISE),
        ([200.0] * 15, "174", NOT_REPRODUCED),
        ([200.0] * 5, "174", NOT_REPRODUCED),
        ([400.0] * 15, "174", CONTRADICTED),
        ([180.0] * 3, "174", IMPRECISE),  # three decide nothing
        ([400.0] * 3, "174", IMPRECISE),
        ([173.6] * 12 + [NEVER] * 3, "174", REPRODUCED),
    ],
)
def test_median(values: Any, published: str, verdict: str) -> None:
    assert verdicts.median("x", values, published, event=True).verdict == verdict


def test_what_was_not_measured_is_not_testable_and_what_never_came_contradicts() -> None:
    assert verdicts.median("x", [NEVER] * 5, "20", event=True).verdict == CONTRADICTED
    assert verdicts.median("x", [NEVER, 541.8], "542", event=True).verdict == REPRODUCED
    assert verdicts.digits("x", NEVER, "3", event=True).verdict == CONTRADICTED
    for unknown in (
        lambda: verdicts.median("x", [NEVER] * 5, "20"),
        lambda: verdicts.median("x", [NEVER, 541.8], "542"),
        lambda: verdicts.digits("x", NEVER, "3"),
        lambda: verdicts.ratio("x", [NEVER] * 5, [1.0] * 5, "3"),
        lambda: verdicts.interval("x", NO_FIT, "3", RATIO),
        lambda: verdicts.share_of_seed("x", NEVER, np.array([0.7, 0.9]), "0.8"),
    ):
        with pytest.raises(Absent, match="x is known of"):
            unknown()


MEASURED = (
    "delta_w/lambda_1",
    "delta_w/lambda_2",
    "delta_w/lambda_3",
    "delta_w/gap_12",
    "delta_w/gap_23",
    "features/rho",
    "accuracy/train",
    "repulsion/theorem6",
    "repulsion/rate",
    "repulsion/published_estimator",
)


@pytest.mark.parametrize("broken", [False, True])
def test_runs_that_measured_nothing_contradict_nothing(broken: bool) -> None:
    class Blind(SyntheticEvidence):
        def _history(self, run_id: str) -> Any:
            return super()._history(run_id).drop(columns=list(MEASURED), errors="ignore")

        def _runs(self, study: str) -> Any:
            return super()._runs(study).drop(columns=["late_gap_23", "accuracy/test", "fired"], errors="ignore")

    judged = {r.claim.id: r for r in evaluate(Blind(broken=broken), CLAIMS)}  # type: ignore[arg-type]
    assert [name for name, r in judged.items() if "error stopped" in r.note] == []
    told = {name for name, r in judged.items() if r.verdict != NOT_TESTABLE}
    from_gaps = {name for name in judged if name.startswith(("window-", "robust", "rank-windows"))}
    from_epochs = {"headline-fire-epoch", "headline-test-epoch", "headline-seed-0", "scaling-127-0.5", "eta-regression", "lags"}
    from_epochs |= {"fresh-fire-epoch", "fresh-test-epoch", "fresh-lags"}
    from_epochs |= {"lag-quartiles", "fresh-lag-quartiles", "eta-lead-range", "signals-critical-share"}
    assert told <= from_gaps | from_epochs


def test_the_printed_relu_row_needs_seed_0() -> None:
    claim = next(claim for claim in CLAIMS if claim.id == "sign-match-relu-0")
    evidence: Any = SyntheticEvidence(missing=frozenset({("relu", "grok", 0)}))
    (result,) = evaluate(evidence, [claim])
    assert result.verdict == NOT_TESTABLE
    assert "seed 0" in result.note


def of(id: str) -> Claim:
    return next(claim for claim in CLAIMS if claim.id == id)


def test_marking_grokking_and_silence_on_relu_exclude_each_other(worlds: Any) -> None:
    for world, verdict, answer in ((worlds[False, False], REPRODUCED, "No"), (worlds[False, True], CONTRADICTED, "Yes")):
        assert verdict_of(of("relu-grok-fires"), world) == verdict
        assert asked("marks-grokking", world).text.startswith(f"{answer}: ")


def test_marks_grokking_counts_every_kind_of_negative() -> None:
    class Loud(SyntheticEvidence):
        loud, generalise = "", ""

        def _metrics(self, study: str, cell: Any) -> dict[str, float]:
            kind = f"{cell.config.activation} {cell.condition}"
            out = super()._metrics(study, cell)
            if study == "controls":
                out["fired"] = float(kind == self.loud and cell.config.seed < 10)
                out["accuracy/test"] = 0.95 if kind == self.generalise else 0.0
            return out

    evidence: Any
    for name in ("square random_labels", "relu random_labels", "square data_starved", "relu data_starved"):
        Loud.loud, evidence = name, Loud(marks=True)
        found = asked("marks-grokking", evidence)
        assert found.text.startswith("No: "), name
        assert "fires in 10/15" in found.text
    Loud.loud, Loud.generalise = "", "square random_labels"
    evidence = Loud(marks=True)
    none = asked("marks-grokking", evidence)
    assert (none.text, "square, random labels 15/15" in none.note) == ("", True)
    few = asked("marks-grokking", SyntheticEvidence(marks=True, studies=("headline", "controls")))
    assert (few.text[:4], "none of ReLU, groks" in few.note) == ("Yes:", True)


def test_repulsion_needs_every_activation_of_the_study() -> None:
    class Few(SyntheticEvidence):
        def _runs(self, study: str) -> Any:
            runs = super()._runs(study)
            return runs[runs["activation"] != "tanh"] if study == "activations" else runs

    found = asked("repulsion-every-activation", Few())
    assert (found.text, "0 of the 5 runs" in found.note) == ("", True)


def test_separations_are_paired_by_seed(worlds: Any) -> None:
    missing = frozenset({("headline", "grok", 3), ("headline", "eta0", 5)})
    (found,) = evaluate(SyntheticEvidence(missing=missing), [of("headline-separation")])  # type: ignore[arg-type]
    assert found.estimates["separation"].n == 26  # thirteen seeds that both have
    assert "sign-flip test of the logarithms over 13 seeds: p = 0.00024, of 0.00024 at least" in found.note  # 2 / 2^13
    (relu,) = evaluate(worlds[False, False], [of("relu-separation")])
    assert "over 15 seeds: p = 6.1e-05" in relu.note  # 2 / 2^15


@pytest.mark.parametrize(
    ("value", "printed", "verdict"),
    [
        (2.09e-5, "2.1e-5", REPRODUCED),
        (2.16e-5, "2.1e-5", CAVEAT),
        (1.6e-5, "2.1e-5", NOT_REPRODUCED),
        (9e-6, "2.1e-5", CONTRADICTED),
        (-75.4, "-75", REPRODUCED),
        (75.0, "-75", CONTRADICTED),
        (0.0204, "0.020", REPRODUCED),
        (0.0206, "0.020", CAVEAT),
        (3.649, "3.6", REPRODUCED),
        (3.66, "3.6", CAVEAT),
    ],
)
def test_digits(value: float, printed: str, verdict: str) -> None:
    assert verdicts.digits("x", value, printed).verdict == verdict


@pytest.mark.parametrize(
    ("found", "published", "verdict"),
    [
        ([174, 173, 173], [173, 173, 174], REPRODUCED),
        ([174, 172, 173], [173, 173, 174], CAVEAT),
        ([180, 173, 174], [173, 173, 174], CAVEAT),
        ([220, 173, 174], [173, 173, 174], NOT_REPRODUCED),
        ([NEVER, 173, 174], [173, 173, 174], CONTRADICTED),
        ([NEVER, 347, NEVER], [NEVER, NEVER, 347], REPRODUCED),
        ([166, 167, 167], [NEVER, NEVER, 347], CONTRADICTED),
        ([NEVER] * 3, [NEVER] * 3, REPRODUCED),
    ],
)
def test_epochs(found: list[float], published: list[float], verdict: str) -> None:
    assert verdicts.epochs("x", found, published).verdict == verdict


def test_quartiles_and_ratio() -> None:
    many = np.arange(100.0, 200.0)
    assert verdicts.quartiles("x", many, (125, 175), EPOCH).verdict == REPRODUCED
    assert verdicts.quartiles("x", many, (125, 199), EPOCH).verdict == NOT_REPRODUCED
    assert verdicts.quartiles("x", many, (125, 400), EPOCH).verdict == CONTRADICTED
    assert verdicts.quartiles("x", [120.0, 130, 140, 150, 160], (128, 155), EPOCH).verdict == IMPRECISE
    above, below = np.linspace(190, 210, 15), np.linspace(0.9, 1.1, 15)
    assert verdicts.ratio("x", above, below, "200").verdict == REPRODUCED
    assert verdicts.ratio("x", above, below, "270").verdict == NOT_REPRODUCED
    assert verdicts.ratio("x", above, below, "1.4").verdict == CONTRADICTED
    assert verdicts.ratio("x", above[:3], below[:3], "201").verdict == IMPRECISE


def test_a_fitted_line_is_judged_with_its_error() -> None:
    def of(value: float, error: float, printed: str) -> str:
        return verdicts.interval("x", Fit(Estimate(value, value - error, value + error, 20), error, 4), printed, RATIO).verdict

    assert of(0.81, 0.02, "0.80") == REPRODUCED
    assert of(0.81, 0.30, "0.80") == IMPRECISE
    assert of(1.30, 0.02, "0.80") == NOT_REPRODUCED
    assert of(2.40, 0.02, "0.80") == CONTRADICTED
    assert of(-0.8, 0.02, "0.80") == CONTRADICTED


def test_an_event_seen_at_a_cadence_is_decided_only_if_all_that_it_may_be_is() -> None:
    assert verdicts.between("x", [(12, 16)] * 15, "15").verdict == REPRODUCED
    assert verdicts.between("x", [(10, 20)] * 15, "15").verdict == IMPRECISE
    assert verdicts.between("x", [(20, 25)] * 15, "15").verdict == NOT_REPRODUCED
    assert verdicts.between("x", [(14, 15)] * 5, "15").verdict == REPRODUCED
    assert verdicts.between("x", [(30, 40)] * 5, "15").verdict == CONTRADICTED
    assert verdicts.between("x", [], "15").verdict == CONTRADICTED


def test_a_bound_is_judged_on_its_side_only() -> None:
    assert verdicts.at_most("x", 0.001, "0.065").verdict == REPRODUCED
    assert verdicts.at_most("x", 0.0654, "0.065").verdict == REPRODUCED  # half a unit of the last digit
    assert verdicts.at_most("x", 0.0656, "0.065").verdict == NOT_REPRODUCED  # no margin beyond that half unit
    assert verdicts.at_most("x", 0.090, "0.065").verdict == NOT_REPRODUCED
    assert verdicts.at_most("x", 0.140, "0.065").verdict == CONTRADICTED
    assert verdicts.at_most("x", 0.03, "0.015").verdict == NOT_REPRODUCED  # a factor of 2 is not beyond it
    assert verdicts.at_most("x", 0.01, "0.015").margin == "at most 0.0155"


@pytest.mark.parametrize(
    ("found", "n", "verdict"),
    [
        (100, 100, REPRODUCED),
        (96, 100, REPRODUCED),
        (95, 100, IMPRECISE),
        (85, 100, IMPRECISE),
        (84, 100, NOT_REPRODUCED),
        (30, 100, CONTRADICTED),
        (30, 30, REPRODUCED),
        (29, 30, IMPRECISE),
        (15, 15, IMPRECISE),
    ],
)
def test_every_run_of_all_seeds(found: int, n: int, verdict: str) -> None:
    assert verdicts.every("x", found, n).verdict == verdict


def test_share_of_one_seed() -> None:
    seeds = np.array([0.78, 0.75, 0.92])
    assert verdicts.share_of_seed("x", 0.78, seeds, "0.78").verdict == REPRODUCED
    assert verdicts.share_of_seed("x", 0.78, seeds, "0.79").verdict == CAVEAT
    assert verdicts.share_of_seed("x", 0.78, seeds, "0.91").verdict == NOT_REPRODUCED
    assert verdicts.share_of_seed("x", 0.78, seeds, "0.995").verdict == CONTRADICTED


def test_several_numbers_make_one_verdict() -> None:
    part = verdicts.digits("x", 1, "1")

    def verdict(*parts: str) -> str:
        return verdicts.judge([part._replace(name=str(i), verdict=one) for i, one in enumerate(parts)]).verdict

    assert verdict(REPRODUCED, REPRODUCED) == REPRODUCED
    assert verdict(REPRODUCED, CAVEAT) == CAVEAT
    assert verdict(REPRODUCED, REPRODUCED, CAVEAT, IMPRECISE) == IMPRECISE
    assert verdict(REPRODUCED, REPRODUCED, REPRODUCED, NOT_REPRODUCED) == NOT_REPRODUCED
    assert verdict(IMPRECISE, NOT_REPRODUCED) == NOT_REPRODUCED
    assert verdict(*[REPRODUCED] * 9, CONTRADICTED) == CONTRADICTED


def test_the_p_value_of_a_claim_is_of_its_decision() -> None:
    inside, outside = (verdicts.median(name, [x] * 5, "174", event=True) for name, x in (("a", 174.0), ("b", 200.0)))
    fact, failed = verdicts.count("c", 15, 15, 15, 15), verdicts.count("d", 3, 15, 15, 15)
    assert verdicts.judge([inside, inside._replace(name="e")]).p == pytest.approx(1 / 32)  # the larger of both
    assert verdicts.judge([inside, fact]).p == pytest.approx(1 / 32)
    assert math.isnan(verdicts.judge([fact, failed]).p)
    assert math.isnan(verdicts.judge([inside, failed]).p)  # the fact decides
    both = verdicts.judge([outside, outside._replace(name="e")])
    assert (both.verdict, both.p) == (NOT_REPRODUCED, pytest.approx(1 / 32))  # Simes
    one = verdicts.judge([inside, outside])
    assert (one.verdict, one.p) == (IMPRECISE, pytest.approx(2 / 32))  # one of two, at 5 runs


def test_entries_carry_the_margin() -> None:
    (entry,) = verdicts.judge([verdicts.median("median", [0.03] * 15, "0.03", margin=ACCURACY)]).entries
    assert entry.setting == {"quantity": "median", "margin": "0.02 … 0.04"}


def test_a_negative_threshold_fires_on_a_flat_gap_at_the_first_epoch_allowed() -> None:
    assert list(fire_epochs([np.ones(401)], -0.01)) == [100]
    assert "negative θ fires on a flat gap at the first epoch allowed, 100" in of("robust").rule


def test_series_helpers() -> None:
    gap = np.ones(401)
    gap[200:] = 3.0
    assert list(fire_epochs([gap, np.ones(401)])) == pytest.approx([200, NEVER], nan_ok=True)
