"""What the slope detector responds to: made-up interventions whose cause is planted, from runs to sentence and figure."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.evaluate import draw
from analysis.papers.xu import cause, cause_words, findings, interventions
from analysis.reading.runs import grid
from analysis.statistics.factors import best

MODULUS, EPOCHS, SEEDS = 71, 800, 5


def cells() -> list[dict[str, Any]]:
    """The interventions of the study, seed 0 of each."""
    return [dataclasses.asdict(cell.config) for cell in grid(interventions.STUDY) if cell.config.seed == 0]


class MadeUp:
    """Evidence of the study `cause`: every run of the grid, with fires by a planted cause.

    Args:
        planted: `decay`, `generalisation`, `data` or `nothing`.
    """

    def __init__(self, planted: str) -> None:
        rng, rows = np.random.default_rng(4), []
        for number, (cell, seed) in enumerate(itertools.product(cells(), range(SEEDS))):
            late = any(end > 100 for _, end in interventions.spans(cell))
            # what generalises: enough data, and decay at any time at all
            groks = cell["n_train"] > 0.2 * MODULUS**2 and bool(interventions.spans(cell))
            chance = np.random.default_rng(number // SEEDS).random() < 0.5
            fires = {"decay": late, "generalisation": groks, "data": cell["n_train"] > 0.25 * MODULUS**2, "nothing": chance}[
                planted
            ]
            rows.append(
                cell
                | {"run_id": f"run-{number}", "seed": seed, "condition": "c", "config_hash": str(number), "state": "complete"}
                | {"fired": float(fires), "fire_epoch": 173.0 + rng.integers(3) if fires else np.nan}
                | {"test_50_epoch": 110.0 if groks else np.nan, "accuracy/test": 1.0 if groks else 0.01}
                | {"loss": 0.3 if late else 1e-4}
            )
        self.table = pd.DataFrame(rows)

    @staticmethod
    def command(study: str) -> str:
        return f"run {study}"

    def runs(self, study: str) -> pd.DataFrame:
        return self.table if study == interventions.STUDY else pd.DataFrame(columns=["run_id", "fired"])

    def history(self, run_id: str) -> pd.DataFrame:
        run = self.table.set_index("run_id").loc[run_id]
        loss = np.geomspace(1.0, float(run["loss"]), EPOCHS + 1)
        return pd.DataFrame({"epoch": np.arange(EPOCHS + 1), interventions.LOSS: loss})


@pytest.mark.parametrize(
    ("run", "held"),
    [
        ({"weight_decay": 0.0}, []),
        ({"weight_decay": 1e-4}, [(0, 400)]),
        ({"weight_decay": 1e-4, "decay_off_at": 50.0, "decay_on_at": np.nan}, [(0, 50)]),
        ({"weight_decay": 1e-4, "decay_off_at": None, "decay_on_at": 200}, [(200, 400)]),
        ({"weight_decay": 1e-4, "decay_off_at": "auto", "decay_on_at": 200}, [(200, 400)]),
        ({"weight_decay": 1e-4, "decay_off_at": 50, "decay_on_at": 200}, [(0, 50), (200, 400)]),
        ({"weight_decay": 1e-4, "decay_off_at": 200, "decay_on_at": 50}, [(50, 200)]),
    ],
)
def test_when_decay_is_on(run: dict[str, Any], held: list[tuple[int, int]]) -> None:
    assert interventions.spans(run | {"epochs": 400}) == held


def test_labels_tell_every_intervention_apart() -> None:
    labels = [interventions.label(cell) for cell in cells()]
    assert len(set(labels)) == len(labels) == 20
    assert labels[0] == "decay on to 50, n = 0.4 M²"
    assert labels[4] == "decay on from 100, n = 0.4 M²"
    assert labels[6] == "decay on, adamw of 15, n = 0.4 M²"
    assert labels[-1] == "decay off, n = 0.4 M²"


def test_decay_that_ends_at_the_first_epoch_is_not_on_after_it() -> None:
    found = interventions.table(MadeUp("decay"), MadeUp("decay").table)  # type: ignore[arg-type]
    on = found.groupby("intervention")["decay_on"].first()
    assert not on["decay on to 100, n = 0.4 M²"]
    assert on["decay on to 150, n = 0.4 M²"]
    assert on["decay on from 200, n = 0.4 M²"]


def test_what_comes_after_the_horizon_does_not_count() -> None:
    evidence = MadeUp("decay")
    late = evidence.table["seed"] == 0
    evidence.table.loc[late & (evidence.table["fired"] == 1), "fire_epoch"] = 401.0
    evidence.table.loc[late & evidence.table["test_50_epoch"].notna(), "test_50_epoch"] = 400.0
    whole = interventions.table(evidence, evidence.table)  # type: ignore[arg-type]
    early = interventions.table(evidence, evidence.table, 400)  # type: ignore[arg-type]
    assert whole["fired"].sum() == 60
    assert early["fired"].sum() == 48
    assert early["fired"].equals(early["fire_epoch"].notna())
    assert early["test_50_epoch"].equals(whole["test_50_epoch"])
    assert (early["loss_lowest"] > whole["loss_lowest"]).all()


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ("decay", "weight decay that is on after epoch 100: it fires in 60 of 60 runs that have it and in 0 of 40 that do not"),
        ("generalisation", "generalisation (test accuracy ≥ 0.5): it fires in 60 of 60 runs that have it and in 0 of 40"),
        ("data", "enough data (n ≥ 0.25 M²): it fires in 70 of 70 runs that have it and in 0 of 30 that do not"),
    ],
)
def test_a_planted_cause_is_what_the_sentence_says(planted: str, says: str) -> None:
    evidence = MadeUp(planted)
    held = cause.hold(interventions.table(evidence, evidence.table))  # type: ignore[arg-type]
    text = cause_words.sentence(held)
    assert text.startswith(f"The slope detector responds to {says}")
    assert "predicts 100 % of 100 runs whose condition is left out" in text
    first, _ = best(held)
    assert first is not None
    assert first.factor == planted
    assert [one.factor for one in held] == [
        *("decay", "loss", "generalisation", "data", "decay and generalisation", "decay and loss")
    ]
    assert f"{cause_words._capital(cause_words.named(first))}: predicts 100 %" in cause_words.beside(held)
    assert "(sufficient as far as seen)" in cause_words._one(first)
    assert "(necessary as far as seen)" in cause_words._one(first)


def test_where_no_factor_explains_it_the_sentence_says_so() -> None:
    evidence = MadeUp("nothing")
    text = cause_words.sentence(cause.hold(interventions.table(evidence, evidence.table)))  # type: ignore[arg-type]
    assert text.startswith("None of six factors explains when the slope detector fires: the best of them, ")


def test_the_caption_is_of_the_published_epochs() -> None:
    """Without weight decay all fire late: over all epochs nothing tells the runs apart, within 400 decay does."""
    evidence = MadeUp("decay")
    never = evidence.table["fired"] == 0
    evidence.table.loc[never, ["fired", "fire_epoch"]] = [1.0, 600.0]
    evidence.table.loc[evidence.table["seed"] == 0, ["fired", "fire_epoch"]] = [0.0, np.nan]
    prepared = cause._prepare(evidence)  # type: ignore[arg-type]
    assert findings.cause(prepared.tables) == (
        "Within 400 epochs weight decay that is on after epoch 100 predicts 88% of runs, the most frequent outcome 12%: an "
        "association."
    )
    early = cause.hold(interventions.table(evidence, evidence.table, 400))  # type: ignore[arg-type]
    assert cause_words.within(early, 400).startswith(
        "Within 400 epochs the slope detector responds to weight decay that is on after epoch 100: it fires in 48 of 60 runs"
    )
    assert cause_words.sentence(cause.hold(interventions.table(evidence, evidence.table))).startswith("None of six")  # type: ignore[arg-type]


def test_what_is_not_shown_is_told_with_the_test_that_fails() -> None:
    evidence = MadeUp("decay")
    held = cause.hold(interventions.table(evidence, evidence.table, 400))  # type: ignore[arg-type]
    decay = held[0]._replace(p_null=0.07, accuracy=0.88, null=0.62)
    text = cause_words.within([decay], 400)
    assert text == (
        "Within 400 epochs weight decay that is on after epoch 100 best tells which runs fire: 60 of 60 that have it do and 0 "
        "of 40 that do not, which predicts 88 % of 100 runs whose condition is left out (62 % by the most frequent outcome). "
        "It is not shown: the exact sign-flip test over 20 conditions of what it predicts gives p = 0.07, above 0.05, though "
        f"Fisher's exact test over conditions, adjusted, gives p = {decay.p_adjusted:.2g}."
    )
    both = cause_words.within([decay, held[2]._replace(p_null=0.07, accuracy=0.88)], 400)
    assert "; generalisation (test accuracy ≥ 0.5) (50 of 60, 10 of 40) predicts as many. It is not shown" in both
    assert cause_words.within([decay._replace(accuracy=0.62)], 400).startswith("Within 400 epochs: None of six factors")


def test_fires_before_the_switch_are_named() -> None:
    found = interventions.table(MadeUp("decay"), MadeUp("decay").table)  # type: ignore[arg-type]
    text = cause_words.before_switch(found)
    assert text.startswith("Before the switch that names their condition fire 10 runs (decay on to 200, n = 0.4 M²: 17")
    assert "decay on from 200" in text  # made up: at 173, when decay is not on yet
    assert "to 150" not in text
    assert cause_words.before_switch(found.assign(fired=False)) == ""


def test_the_question_is_answered_and_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = MadeUp("decay")
    (question, early), (panel,) = cause.QUESTIONS, cause.PANELS

    class Taking:
        def __init__(self) -> None:
            self.evidence = evidence

        def take(self, study: str) -> pd.DataFrame:
            return evidence.runs(study)

    answer = question.measure(Taking())  # type: ignore[arg-type]
    assert answer.text == cause_words.sentence(cause.hold(interventions.table(evidence, evidence.table)))  # type: ignore[arg-type]
    assert early.measure(Taking()).estimates["predicted by decay"].value == 1.0  # type: ignore[arg-type]  # none fires late
    assert answer.estimates["predicted by decay"].value == 1.0
    assert answer.estimates["predicted by the most frequent outcome"].value < 0.7
    monkeypatch.setattr("analysis.exhibits.evaluate.grid", lambda study: ())
    (drawn,) = draw(evidence, [panel])  # type: ignore[arg-type]
    assert drawn.problem == ""
    told = early.measure(Taking())  # type: ignore[arg-type]
    said = told.text[0].lower() + told.text[1:]
    assert told.note.endswith(f"Within 400 epochs {said} {cause.LATER}")
    assert cause.LATER not in answer.note
    assert drawn.caption == f"{findings.cause(drawn.tables)} {panel.caption}"
    assert len(drawn.caption.split()) <= 60
    assert drawn.tables["factors"]["until"].tolist() == [400] * 6 + [800] * 6
    assert len(drawn.tables["conditions"]) == 20
    assert drawn.tables["factors"]["associated"].tolist()[0]
    assert len(drawn.run_ids) == 100
    axes = drawn.figure.axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == drawn.tables["conditions"]["intervention"].tolist()
    dots = [line for line in axes[0].lines if line.get_marker() == "o"]
    assert sum(np.isfinite(line.get_xdata()).sum() for line in dots) == evidence.table["fired"].sum()
    bars = {(patch.get_x(), patch.get_width()) for patch in axes[0].patches}
    assert {(0, 50), (200, 600), (0, 800)} <= bars


def test_a_loss_that_does_not_fall_is_told_as_what_it_is() -> None:
    """Made up so that the training loss stays high where decay is on: not told apart from decay, and named by its side."""
    evidence = MadeUp("decay")
    held = cause.hold(interventions.table(evidence, evidence.table))  # type: ignore[arg-type]
    loss = next(one for one in held if one.factor == "loss")
    assert loss.inverse
    assert cause_words.named(loss) == "a training loss that stays above 0.0055"  # the geometric mean of 0.3 and 0.0001
    assert cause_words.counts(loss) == (60, 60, 0, 40)
    assert cause_words.sentence(held).endswith("; not told apart from a training loss that stays above 0.0055.")
    vacuous = next(one for one in held if one.factor == "decay and loss")
    assert "sufficient" not in cause_words._one(vacuous)
    assert "under any level" in cause_words.named(vacuous)
