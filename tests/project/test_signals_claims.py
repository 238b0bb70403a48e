"""What docs/signals.md says of the papers' claims and of late collapse is what the committed report has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.words import number, spread

DOCS = Path(__file__).resolve().parents[2] / "docs"
PRINTED = {
    "error": "0.177 in print",
    "R² of B/lr": "0.991 in print",
    "R²": "0.97 in print",
    "α": "7.5 in print",
    "times by norm": "19 in print",
    "times by rate": "2 in print",
    "tuned neurons": "0.969 in print",
}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "report" / "claims.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def page() -> str:
    return " ".join((DOCS / "signals.md").read_text(encoding="utf-8").split())


def of(report: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in (*report["claims"], *report["questions"]) if one["id"] == name)
    return dict(found)


def told(claim: dict[str, Any], name: str) -> str:
    """An estimate as the page has it, its interval with it where it has one."""
    one = claim["estimates"][name]
    return number(one["value"]) if one["low"] is None else spread(one["value"], one["low"], one["high"])


@pytest.mark.parametrize(
    ("name", "estimate", "words", "verdict"),
    [
        ("signals-first-passage", "error", "a mean error of {}, {}: not reproduced", "not reproduced"),
        ("signals-discrete-log", "tuned neurons", "share of tuned neurons, {} over both networks, {}", "contradicted"),
        (
            "signals-escape-law",
            "R² of B/lr",
            "has an R² of {}, {}, over four batches and three rates: contradicted",
            "contradicted",
        ),
        ("signals-logit-scale", "R²", "has an R² of {}, {}: contradicted", "contradicted"),
        ("signals-norm-clamp", "α", "ln T_grok rises with ρ by {}, {}: as published", "not reproduced"),
        ("signals-norm-clamp", "times by norm", "The slowest norm takes {} times the fastest, {}", "not reproduced"),
        (
            "signals-norm-clamp",
            "times by rate",
            "the slowest rate takes {} times the fastest, {}: not reproduced",
            "not reproduced",
        ),
    ],
)
def test_a_number_of_a_claim_is_the_reports(
    report: dict[str, Any], page: str, name: str, estimate: str, words: str, verdict: str
) -> None:
    claim = of(report, name)
    assert claim["verdict"] == verdict
    assert words.format(told(claim, estimate), PRINTED[estimate]) in page
    assert f"(printed {PRINTED[estimate].split()[0]})" in claim["measured"]


def test_what_stands_beside_a_claim_is_in_its_note(report: dict[str, Any], page: str) -> None:
    known = "With κ and V* of each share of the pairs as well, which was looked at after the reading, the mean error is 0.212"
    assert known in of(report, "signals-first-passage")["note"]
    assert "it is 0.212." in page
    assert "The drift's line has R² 0.76" in of(report, "signals-escape-law")["note"]
    assert "in 1/(rate · decay), has 0.76 on the same runs" in page
    assert (
        "At ρ 1.2 no run groks; the times by norm are of the others, and with it are more than 9.3."
        in of(report, "signals-norm-clamp")["note"]
    )
    assert "at ρ = 1.2 neither run groks in 6000 epochs, and over all five norms it is more than 9.3" in page
    share = of(report, "signals-critical-share")
    assert (share["verdict"], share["estimates"]["share, at most"]["n"]) == ("not reproduced", 12)
    assert round(share["estimates"]["share, at most"]["value"], 2) == 0.3
    assert "Of 6 shares from 0.30 to 0.50 half of the runs grok at 6; of all runs 12 of 12." in share["note"]
    assert "all shares from 0.30 to 0.50 grok, 12 of 12 runs" in page
    assert (
        "An outside benchmark's 0.415 is not reproduced at this rate and decay, which it does not print: at most 0.30" in page
    )
    tuned = of(report, "signals-discrete-log")["note"]
    assert tuned == "Tuned neurons by network: shared_mlp 0.55 to 0.68, one_layer_transformer 0 to 0.13."


def test_as_many_claims_have_each_verdict_as_the_page_says(report: dict[str, Any], page: str) -> None:
    of_both = {"signals": ["signals"], "signals-ce": ["signals-ce"]}
    counts = {
        study: [one["verdict"] for one in report["claims"] if one["id"].startswith("signals-") and one["studies"] == studies]
        for study, studies in of_both.items()
    }
    first = counts["signals"]
    verdicts = ("reproduced", "not reproduced", "contradicted", "not testable yet")
    assert (len(first), [first.count(one) for one in verdicts]) == (9, [1, 1, 5, 2])
    assert "Of the nine claims of the papers seven can be tested by this arm. One is reproduced" in page
    assert "one is not (a Hankel DMD ranks better than printed: AUROC 0.66 [0.55, 0.78] on 37 runs that grok" in page
    assert (
        "five are contradicted, of which two, the level of the spectral entropy and the decay of the norm, were known" in page
    )
    assert "Two cannot be told at this cadence." in page
    dmd = of(report, "signals-hankel-dmd")
    assert [f"{dmd['estimates']['AUROC'][name]:.2f}" for name in ("value", "low", "high")] == ["0.66", "0.55", "0.78"]
    assert (dmd["estimates"]["AUROC"]["n"], "27 runs grok too early to be looked at." in dmd["note"]) == (
        85,
        True,
    )  # 37 of 64 and 48
    known = [one["id"] for one in report["claims"] if one["note"].startswith("Known of one network before")]
    assert known == ["signals-spectral-entropy", "signals-norm-shell"]
    assert "With any fall by t50, however small, 47 of 64 runs peak" in of(report, "signals-norm-peak")["note"]
    assert "if any fall by t50 made a peak: 47 of 64" in page
    assert sorted(counts["signals-ce"]) == ["contradicted", "not reproduced"]
    assert "Of the papers' claims this arm tests two." in page


def test_no_run_collapses(report: dict[str, Any], page: str) -> None:
    answer = of(report, "late-collapse")["answer"]
    assert (
        "of 64 runs that reach a test accuracy of 0.99 (median t50 188 [158, 206]) 0 collapse, a share of 0 [0, 0.056]"
        in answer
    )
    assert (
        "of 10 runs that reach a test accuracy of 0.99 (median t50 218 [99, 358]) 0 collapse, a share of 0 [0, 0.308]" in answer
    )
    assert "of 144 runs 0 diverge" in answer
    assert "of 10 runs 0 diverge" in answer
    assert "of ten runs of 4000 epochs, of which all reach a test accuracy of 0.99, none falls below 0.9" in page
    assert (
        "0 [0, 0.308], nor does one of the 64 of `signals`, 0 [0, 0.056], or of the 32 of `signals-ce`, 0 [0, 0.109]." in page
    )
    assert (
        "of 32 runs that reach a test accuracy of 0.99 (median t50 367 [252, 402]) 0 collapse, a share of 0 [0, 0.109]"
        in answer
    )
    assert "of 64 runs 0 diverge" in answer
    assert "`signals-ce`, 0 [0, 0.109]. None diverges." in page


def test_basis_is_found_and_the_other_is_not(report: dict[str, Any], page: str) -> None:
    estimates = of(report, "signals-discrete-log")["estimates"]
    assert estimates["Gini, multiplicative"]["low"] > estimates["Gini, additive"]["high"]
    assert "Its basis is found." in page


def test_what_signals_cost_is_as_it_was_measured(page: str) -> None:
    rows = json.loads((DOCS.parent / "benchmarks" / "results" / "signals.json").read_text(encoding="utf-8"))["rows"]
    ms = {(one["name"], one.get("network", "")): round(one["ms"]) for one in rows}
    found = re.search(r"\| the dearest alone: ([^|]*) \| ([^|]*) \|", page)
    assert found is not None
    alone = [ms[name.strip("`"), "two_layer"] for name in found[1].split(", ")]
    assert alone == sorted((one for (name, network), one in ms.items() if network == "two_layer"), reverse=True)[:5]
    assert f"| a training epoch | {ms['training epoch', '']} |" in page
    assert f"| signals of the weights alone, together | {ms['weights', '']} |" in page
    assert f"| all that cost less than a training step, together | {ms['cheap', '']} |" in page
    assert f"| these without ρ, which a run measures anyway | {ms['cheap without rho', '']} |" in page
    assert f"which shares what several need | {ms['all', '']} |" in page
    assert found[2] == ", ".join(map(str, alone))
    tuned = ", ".join(str(ms["tuned_neurons", network]) for network in ("shared_mlp", "one_layer_transformer"))
    assert f"of the MLP and with attention | {tuned} |" in page
    by_parts, measured = (one["added_share"] for one in rows if "added_share" in one)
    assert f"the battery adds {by_parts:.2f} of a run's epochs by these numbers and {measured:.2f} as measured" in page


def test_the_runs_of_the_logit_scale_grok_when_the_page_says(page: str) -> None:
    epochs = []
    for folder in sorted((DOCS / "signals").glob("runs-*")):
        runs = json.loads((folder / "runs.json").read_text(encoding="utf-8"))["runs"]
        ids = [run["run_id"] for run in runs if "grok.study.signals-temperature" in run["tags"]]
        chosen = [("run_id", "in", ids), ("key", "==", "test_99_epoch")]
        epochs += pd.read_parquet(folder / "metrics.parquet", filters=chosen)["value"].tolist() if ids else []
    assert f"all ten runs grok, at epochs {min(epochs):.0f} to {max(epochs):.0f}" in page
    assert len(epochs) == 10
