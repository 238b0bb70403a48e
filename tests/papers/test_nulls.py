"""Repulsion, ranks and starved networks: each rule does what its words say, and each can go every way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.evaluate import ask, draw, evaluate
from analysis.exhibits.model import (
    CAVEAT,
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    Answered,
    Result,
)
from analysis.papers.xu import rank_panels, ranks, repulsion_nulls, repulsion_questions, starved
from analysis.papers.xu.repulsion_rates import matched
from analysis.papers.xu.starved import MORE, NOT, SIGNAL, THIS, flip, verdict
from analysis.statistics.estimates import Estimate
from tests.helpers.synthetic import SyntheticEvidence, measured_repulsion

Change = Callable[[pd.DataFrame, int], pd.DataFrame]


def world(kind: str, change: Change) -> Any:
    """The world in which all holds, with one measured table changed by seed."""

    class Changed(SyntheticEvidence):
        def _measured(self, run_id: str, asked: str) -> pd.DataFrame:
            table = super()._measured(run_id, asked)
            return change(table.copy(), self.cells[run_id][1].config.seed) if asked == kind else table

    return Changed()


def judged(id: str, evidence: Any) -> Result:
    (claim,) = [claim for claim in (*repulsion_nulls.CLAIMS, *ranks.CLAIMS) if claim.id == id]
    return evaluate(evidence, [claim])[0]


def asked(id: str, evidence: Any) -> Answered:
    every = (*repulsion_questions.QUESTIONS, *ranks.QUESTIONS, *starved.QUESTIONS)
    return ask(evidence, [question for question in every if question.id == id])[0]


def repelling(where: Callable[[pd.DataFrame], pd.Series], repel: Callable[[int], int]) -> Change:
    """Of 200 pairs, as many as a function of the seed gives, in some rows."""

    def change(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        mine = where(table) & (table["kind"] != "all")
        table.loc[mine, "repel"] = repel(seed)
        return table

    return change


def at(epoch: int, ridge: str | None = None) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: (table["epoch"] == epoch) & ((table["ridge"] == ridge) if ridge else True)


# repulsion


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (repelling(at(0, "mean_loss"), lambda seed: 200), CAVEAT),  # untrained it is 1 at the other ridge: no rise there
        (repelling(at(0), lambda seed: 200), CONTRADICTED),
        (repelling(at(0), lambda seed: 199 - seed % 2), CONTRADICTED),  # alike
        (repelling(at(0), lambda seed: 198 - seed % 2), CONTRADICTED),  # it rises, by less than the margin
        (repelling(at(0), lambda seed: 200 if seed % 2 else 180), IMPRECISE),
    ],
)
def test_a_rise_is_judged_against_epoch_0_at_two_ridges(change: Change, expected: str) -> None:
    assert judged("repulsion-rises", world("repulsion", change)).verdict == expected


def test_what_random_pairs_say_moves_no_verdict() -> None:
    """All nulls that cannot fail may be as low as they like: a rate that does not change has not risen."""
    high = world("repulsion", repelling(lambda table: table["features"] == "network", lambda seed: 198))
    found = judged("repulsion-rises", high)
    assert found.verdict == CONTRADICTED
    assert "alike" in found.measured


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (repelling(at(500), lambda seed: 198), NOT_REPRODUCED),
        (repelling(at(500), lambda seed: 190), CONTRADICTED),
        (repelling(at(0), lambda seed: 200), CONTRADICTED),
    ],
)
def test_relu_saturates_at_one_and_above_its_start(change: Change, expected: str) -> None:
    assert judged("repulsion-relu-saturates", world("repulsion", change)).verdict == expected


@pytest.mark.parametrize("id", ["repulsion-positive", "repulsion-fixed-pairs"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (repelling(at(0), lambda seed: 0), (REPRODUCED, CAVEAT)),  # pairs chosen late were not chosen at 0: no change counts
        (repelling(at(0), lambda seed: 200), (CAVEAT, CAVEAT)),  # an untrained network has it as well
        (repelling(at(0, "mean_loss"), lambda seed: 200), (REPRODUCED, CAVEAT)),
        (repelling(at(250, "mean_loss"), lambda seed: 100), (NOT_REPRODUCED, CAVEAT)),
        (repelling(at(250, "published"), lambda seed: 100), (NOT_REPRODUCED, CONTRADICTED)),
        (repelling(lambda table: table["epoch"] >= 175, lambda seed: 100), (CONTRADICTED, CONTRADICTED)),
    ],
)
def test_pairs_that_repel_do_so_at_every_late_epoch(id: str, change: Change, expected: tuple[str, str]) -> None:
    found = judged(id, world("repulsion", change))
    assert found.verdict == expected[id == "repulsion-fixed-pairs"]
    assert len(found.entries) == 6
    if id == "repulsion-fixed-pairs":
        assert REPRODUCED not in {entry.verdict for entry in found.entries}
        assert found.note.startswith("The pairs were chosen for their similarity at epoch 150, but not at epoch 0")


@pytest.mark.parametrize(
    ("permuted", "said"),
    [
        # 1 − 0.98 is 0.02, the end of the margin, and belongs to it
        (lambda seed: 196 if seed < 5 else 200, "0 [0, 0.02] (alike: the same rate without any dependence between features)"),
        (lambda seed: 195, "0.025 [0.025, 0.025] (above theirs)"),
        (lambda seed: 180 if seed % 2 else 200, "0 [0, 0.1] (not precise enough to tell)"),
    ],
)
def test_a_rise_is_told_beside_that_of_permuted_columns(permuted: Callable[[int], int], said: str) -> None:
    def change(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        mine = (table["features"] == "permuted") & (table["kind"] == "top") & (table["ridge"] == "published")
        table.loc[mine & (table["epoch"] == 300), "repel"] = permuted(seed)
        return table

    found = judged("repulsion-rises", world("repulsion", change))
    assert "columns permuted, ridge η: rate(300) − rate(0) 0.2" in found.note
    assert f"less theirs {said}." in found.note
    assert found.verdict == judged("repulsion-rises", SyntheticEvidence()).verdict


def test_a_rise_without_measured_surrogates_is_judged_without_them() -> None:
    found = judged("repulsion-rises", world("repulsion", lambda table, seed: table[table["features"] == "network"]))
    assert (found.verdict, "permuted" in found.note) == (REPRODUCED, False)


def test_fixed_pairs_that_no_run_could_fix_are_not_testable() -> None:
    found = judged("repulsion-fixed-pairs", world("repulsion", lambda table, seed: table[table["kind"] != "fixed"]))
    assert (found.verdict, "was measured in 0 of 15 runs" in found.note) == (NOT_TESTABLE, True)


def test_a_tie_is_among_the_pairs_and_repels_not() -> None:
    def ties(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        mine = at(300)(table) & (table["kind"] == "top")
        rest = table[mine].assign(sign=0, pairs=200, repel=0, tie=200)
        return pd.concat([table, rest], ignore_index=True)

    found = judged("repulsion-rises", world("repulsion", ties))
    assert found.estimates["epoch 300 at ridge η"].value == 0.5


def test_matching_compares_pairs_as_similar() -> None:
    names = ["epoch", "features", "ridge", "kind", "low", "sign", "pairs", "repel"]
    rows = [
        (0, "network", "published", "all", 0.1, 1, 1000, 0),  # not similar
        (0, "network", "published", "all", 0.2, 1, 100, 50),
        (0, "network", "published", "all", 0.3, 1, 40, 30),
        (0, "network", "published", "all", 0.3, -1, 40, 0),
        (300, "network", "published", "all", 0.1, 1, 1000, 1000),
        (300, "network", "published", "all", 0.2, 1, 30, 30),  # 1 − 0.5
        (300, "network", "published", "all", 0.3, 1, 60, 30),  # 0.5 − 0.75
        (300, "network", "published", "all", 0.6, 1, 90, 90),  # none so similar at epoch 0
        (300, "network", "published", "all", 0.3, -1, 19, 19),  # too few
    ]
    table = pd.DataFrame(rows, columns=names)
    change, held = matched(table, 300, "published", (1,))
    assert change == pytest.approx((30 * 0.5 - 60 * 0.25) / 90)
    assert held == 0.5
    assert np.isnan(matched(table, 300, "published", (-1,))[0])


def test_questions_say_which_way() -> None:
    evidence = SyntheticEvidence()
    assert "square, ridge η: rises" in asked("repulsion-every-activation", evidence).text
    falls = asked("repulsion-every-activation", SyntheticEvidence(broken=True)).text
    assert "square, ridge η: falls" in falls
    decay = asked("repulsion-decay", evidence)
    assert decay.text.count("rises") == 2
    assert "p = 6.1e-05" in decay.note
    assert "rotated, ridge η, epoch 300: rises" in asked("repulsion-surrogates", evidence).text
    assert "ridge 0.202: " in asked("repulsion-ridge", evidence).text
    assert "cos < 0, ridge nη/2: rises" in asked("repulsion-similarity", evidence).text


@pytest.mark.parametrize(("lacking", "answered"), [(15, False), (4, False), (3, True)])
def test_similarity_is_answered_by_sign(lacking: int, answered: bool) -> None:
    """A sign without a bin that can be compared takes no answer from the other."""

    def change(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        few = (table["kind"] == "all") & (table["sign"] == -1) & (table["epoch"] == 0) & (seed < lacking)
        return table.assign(pairs=table["pairs"].where(~few, 19))

    found = asked("repulsion-similarity", world("repulsion", change))
    assert "cos > 0, ridge η: rises" in found.text
    assert ("cos < 0, ridge η: rises" in found.text) is answered
    words = f"cos < 0, ridge η: no comparable bin in {lacking} of 15 runs"
    assert words in (found.note if answered else found.text)
    assert ("cos < 0, ridge η" in found.estimates) is answered


def test_similarity_that_was_not_measured_is_not_answered() -> None:
    found = asked("repulsion-similarity", world("repulsion", lambda table, seed: table[table["kind"] != "all"]))
    assert (found.text, "were measured in 0 of 15 runs" in found.note) == ("", True)


def test_made_up_tables_have_the_columns_of_measured_ones() -> None:
    from grok.numerics.nulls import Count
    from grok.spec.studies import load_study

    (cell, *_) = load_study("headline").cells
    assert list(measured_repulsion(cell, False).columns) == ["epoch", "features", *Count._fields]


# ranks


def ranked(where: str, k: int, value: float) -> Change:
    def change(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        table.loc[(table["of"] == where) & (table["k"] == k), "value"] = value
        return table

    return change


@pytest.mark.parametrize(
    "change",
    [
        ranked("raw", 3, 6.0),  # a near tie with λ₂/λ₃ = 500 of square, and the largest of ReLU
        ranked("unit", 3, 9.0),  # another rank without norms
        ranked("excess", 2, 0.1),  # a drift has that ratio too
        ranked("above", 1, 0.0),
    ],
)
def test_a_rank_that_a_null_has_is_not_told(change: Change) -> None:
    found = judged("ranks", world("ranks", change))
    assert found.verdict == NOT_REPRODUCED
    assert "none told in 15" in found.measured


def test_a_rank_of_runs_that_do_not_grok_is_counted_beside() -> None:
    text = asked("rank-of-grokking", SyntheticEvidence()).text
    assert "W, 200 … 400, square, weight decay: rank 2 in 15 of 15" in text
    assert "W, 200 … 400, square, none: rank 2 in 15 of 15" in text
    assert "V, 600 … 800, ReLU, starved: rank 1 in 15 of 15" in text
    alone = asked("rank-of-grokking", SyntheticEvidence(studies=("headline",)))
    assert "ReLU" not in alone.text
    assert alone.text
    assert "less a line rank 2 in 15 of 15" in asked("rank-detrended", SyntheticEvidence()).text


def test_the_figure_draws_ratios_beside_drifts() -> None:
    (drawn,) = draw(SyntheticEvidence(), rank_panels.PANELS)  # type: ignore[arg-type]
    assert (drawn.problem, drawn.missing) == ("", ())
    table = drawn.tables["ratios"]
    assert set(table["condition"]) == {"grok", "eta0", "random_labels", "data_starved"}
    mine = table[(table["layer"] == "W") & (table["activation"] == "square") & (table["condition"] == "grok")]
    np.testing.assert_allclose(mine["ratio"], [2, 500, 10 / 9, 9 / 8], rtol=1e-12)
    np.testing.assert_allclose(mine["drift"], np.exp(0.1), rtol=1e-12)
    assert [ax.get_title(loc="left") for ax in drawn.figure.axes] == ["W, $x^2$", "W, ReLU", "V, $x^2$", "V, ReLU"]
    (empty,) = draw(SyntheticEvidence(studies=()), rank_panels.PANELS)  # type: ignore[arg-type]
    assert empty.figure is None


# starved networks


@pytest.mark.parametrize(
    ("excess", "beyond", "expected"),
    [
        (Estimate(0.3, 0.2, 0.4, 15), 0.0, THIS),
        (Estimate(0.3, 0.2, 0.4, 15), -3.0, MORE),
        (Estimate(0.3, 0.2, 0.4, 15), 3.0, SIGNAL),
        (Estimate(0.1, 0.05, 0.9, 15), 0.0, NOT),
        (Estimate(np.nan, np.nan, np.nan, 0), 0.0, NOT),
    ],
)
def test_the_answer_follows_its_rule(excess: Estimate, beyond: float, expected: str) -> None:
    """Fifteen networks with so many right answers more than chance, plus or minus 4."""
    noise = np.tile([-4.0, 0.0, 4.0], 5)
    assert verdict(excess, noise + beyond) == expected


def test_one_network_that_answers_right_very_often_is_no_signal_of_fifteen() -> None:
    """Among its answers a binomial would see one; the seeds are the unit."""
    beyond = np.zeros(15)
    beyond[3] = 400.0
    assert verdict(Estimate(0.3, 0.2, 0.4, 15), beyond) == THIS


def test_the_sign_flip_goes_through_every_sign() -> None:
    assert flip(np.arange(1.0, 6.0), "greater") == 1 / 32
    assert flip(np.arange(1.0, 6.0), "less") == 1.0
    assert flip(np.arange(1.0, 16.0), "greater") == 1 / 32768


def test_all_answers_seen_leave_nothing_outside() -> None:
    assert verdict(Estimate(0.8, 0.8, 0.8, 15), np.zeros(15)) == THIS


def test_starved_networks_are_asked_by_activation() -> None:
    good, none = (asked("starved-below-chance", SyntheticEvidence(broken=broken)) for broken in (False, True))
    assert good.text.startswith("square: it is this. 0.661")
    assert "ReLU: it is this" in good.text
    assert none.text.startswith("square: not this")
    other = asked("starved-below-chance", world("answers", lambda table, seed: table.assign(label_seen=3)))
    assert (other.text, "another task" in other.note) == ("", True)
