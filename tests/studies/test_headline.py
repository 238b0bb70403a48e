"""What a study found in one sentence, in numbers by condition, and the links to its runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from mlflow.utils.validation import _validate_metric_name

from analysis.studies import headline
from grok.runs.cells import Result
from grok.store import views


def conditions(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A table as `summary.conditions` gives it."""
    blank = {"fire_epoch": np.nan, "late_gap_23": np.nan, "test_50_epoch": np.nan}
    order = ["condition", *(name for name in rows[0] if name not in ("condition", "runs", "fired", *blank))]
    return pd.DataFrame([blank | row for row in rows])[[*order, "runs", "fired", *blank]]


GROK = {"condition": "grok", "runs": 15, "fired": 15, "fire_epoch": 174.0, "late_gap_23": 1.25, "test_50_epoch": 101.0}
ETA0 = {"condition": "eta0", "runs": 15, "fired": 0, "late_gap_23": 30.5}


def test_the_sentence_has_counts_and_medians_by_condition() -> None:
    assert headline.sentence(conditions([GROK, ETA0])) == (
        "The detector fires in: grok 15 of 15 (median epoch 174), eta0 0 of 15."
    )
    one = {"condition": "grok", "activation": "relu", "runs": 2, "fired": 1, "fire_epoch": 532.0}
    assert headline.sentence(conditions([one])) == "The detector fires in: grok relu 1 of 2 (epoch 532)."
    many = [{"condition": f"c{n}", "runs": 1, "fired": 0} for n in range(9)]
    assert headline.sentence(conditions(many)).endswith("c5 0 of 1, and 3 more.")
    assert headline.sentence(pd.DataFrame()) == ""


def test_the_sentence_of_sequences_begins_with_their_accuracy() -> None:
    """Of these no epoch of generalisation is told; of pairs one is, and the detector is what they are about."""
    table = conditions([GROK, ETA0]).assign(test_50_epoch_n=0, **{"accuracy/test": [0.9827, np.nan]})
    fires = "The detector fires in: grok 15 of 15 (median epoch 174), eta0 0 of 15."
    assert headline.sentence(table) == f"Test accuracy at the end (median): grok 0.983. {fires}"
    assert headline.sentence(table.assign(test_50_epoch_n=[15, 0])) == fires


def test_numbers_are_by_condition_and_leave_out_what_no_run_has() -> None:
    assert headline.metrics(conditions([GROK, ETA0]), 30, 30) == {
        "runs/done": 30,
        "runs/of": 30,
        "fires/grok": 15.0,
        "of/grok": 15.0,
        "median_epoch/grok": 174.0,
        "late_gap/grok": 1.25,
        "median_test_50_epoch/grok": 101.0,
        "fires/eta0": 0.0,
        "of/eta0": 15.0,
        "late_gap/eta0": 30.5,
    }
    assert headline.metrics(pd.DataFrame(), 0, 8) == {"runs/done": 0, "runs/of": 8}


def test_what_varies_within_a_condition_is_in_the_name_and_mlflow_takes_it() -> None:
    rows = [{"condition": "grok", "activation": name, "runs": 2, "fired": 1} for name in ("relu", "own:f")]
    found = headline.metrics(conditions(rows), 4, 4)
    assert {"fires/grok relu", "of/grok own:f"} <= found.keys()
    decays = [{"condition": "grok", "weight_decay": decay, "runs": 1, "fired": 0} for decay in ("2e-05", "0.0002")]
    odd = [{"condition": "a, b (c)", "runs": 1, "fired": 0}]
    for table in (rows, decays, odd):
        names = headline.metrics(conditions(table), 1, 1)
        assert len(names) == 2 + 2 * len(table)
        for name in names:
            _validate_metric_name(name)


def test_of_many_settings_the_counts_of_each_condition_are_told_alone() -> None:
    rows = [GROK | {"modulus": n, "fired": n % 2, "runs": 1} for n in range(30)]
    assert headline.metrics(conditions(rows), 30, 30) == {"runs/done": 30, "runs/of": 30, "fires/grok": 15.0, "of/grok": 30.0}


def test_every_cell_is_linked_the_reused_ones_too_where_they_are() -> None:
    def cell(condition: str, seed: int) -> Any:
        return SimpleNamespace(condition=condition, config=SimpleNamespace(activation="square", task="modular", seed=seed))

    results = [
        Result(cell("grok", 0), "complete", "a" * 32, reused=True),
        Result(cell("grok", 1), "complete", "b" * 32),
        Result(cell("eta0", 0), "failed", "", error="lost"),
    ]
    text = headline.links("quick", "7", results, {"a" * 32: "0"})
    assert f"[square 0]({views.run_page('0', 'a' * 32)}) (reused)" in text
    assert f"[square 1]({views.run_page('7', 'b' * 32)})" in text
    assert text.startswith(f"Runs: [all in a list]({views.members_page('7', 'quick')}).\n\n- grok: ")
    assert "eta0" not in text


def test_a_reports_link_takes_the_place_of_an_earlier_one() -> None:
    note = "**found**\n\nquestion\n\ntable\n"
    once = views.with_report(note, "[report: 9 runs](#/a)")
    assert once == "**found**\n\nquestion\n\nNewest report: [report: 9 runs](#/a).\n\ntable\n"
    assert views.with_report(once, "[another](#/b)") == once.replace("[report: 9 runs](#/a)", "[another](#/b)")
    assert views.with_report(note, "") == note
    assert (views.report_of(once), views.report_of(note)) == ("[report: 9 runs](#/a)", "")


def test_a_study_of_the_edge_is_answered_by_when_its_share_falls() -> None:
    table = pd.DataFrame({"run_id": ["a", "b", "c", "d"], "condition": ["grok", "grok", "memo", "other"]})
    histories = {
        "a": pd.DataFrame({"step": [0, 100, 200], "edge/grad_share": [0.9, 0.4, 0.2]}),
        "b": pd.DataFrame({"step": [0, 100, 200], "edge/grad_share": [0.9, 0.8, 0.2]}),
        "c": pd.DataFrame({"step": [0, 100], "edge/grad_share": [np.nan, 1.0]}),
        "d": pd.DataFrame({"step": [0], "accuracy/test": [1.0]}),
    }
    assert headline.edge(table, histories) == (
        "grad% of the edge falls below one half in: grok 2 of 2 (median step 150), memo 0 of 1."
    )
    assert headline.edge(table[table["run_id"] == "d"], histories) == ""
    many = table.assign(condition=list("wxyz")).loc[[0] * 9].assign(condition=list("abcdefghi"))
    assert headline.edge(many, histories).endswith(f", and {9 - headline.TOLD} more.")
