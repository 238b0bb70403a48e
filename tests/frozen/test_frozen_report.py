"""Reports are as they were: of the frozen store byte for byte, of made-up runs claim by claim and table by table."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.exhibits.evaluate import evaluate
from analysis.papers import CLAIMS
from analysis.reading.evidence import Evidence
from analysis.report.compare import ABSENT, CHANGED, MOVED, compare, read_baseline
from tests.frozen import documents, reports, worlds
from tests.frozen.frozen_store import Frozen


def test_the_report_of_the_frozen_store(own: Frozen, tmp_path: Path) -> None:
    """Every number in it is stored, or an eigenvalue of a stored band to at most ten digits: kernels without AVX gave the same
    bytes as those of AVX-512.
    """
    found = reports.report(own, tmp_path / "report")
    text, expected = (tmp_path / "report" / "report.md").read_text(encoding="utf-8"), documents.FOLDER / "report.txt"
    assert not (difference := documents.diff(expected.read_text(encoding="utf-8"), text, "report")), difference
    assert not (difference := documents.difference("report", found)), difference


def test_the_report_is_tracked_and_found_again(own: Frozen, tmp_path: Path) -> None:
    lines = [reports.command("--out", str(tmp_path / name), "--study", "scaling") for name in ("first", "second")]
    first, second = (dict(word.split("=", 1) for word in line.split()) for line in lines)
    assert (first["reused"], second["reused"], first["run"]) == ("no", "yes", second["run"])
    run = own.store.get(first["run"])
    assert (run.data.tags["grok.kind"], run.data.tags["grok.state"]) == ("analysis", "complete")
    assert "grok.report_digest" in run.data.tags


def test_a_stored_report_is_a_baseline(frozen: Frozen) -> None:
    """Read by its run's id; every claim that both have is told to be as before, or what changed."""
    baseline = read_baseline(frozen.store, frozen.ids["analysis"])
    results = evaluate(Evidence(frozen.store), CLAIMS)
    found = compare(baseline, results, frozen.ids["analysis"])
    assert json.loads(json.dumps(found.as_json()))["baseline"] == frozen.ids["analysis"]
    before, now = {c["id"] for c in baseline["claims"]}, {r.claim.id for r in results}
    assert before - now == {"theorem6-saturates", "repulsion-every-activation", "marks-grokking"} | {
        f"robust-{name}" for name in ("window-5", "window-10", "window-20", "svd", *(f"randomized-{o}" for o in (5, 10, 20)))
    }
    assert found.count(ABSENT) == len(before - now)
    assert found.count(CHANGED) == 0
    assert found.same + found.count(MOVED) == len(before & now)


def test_claims_errata_and_figures_of_made_up_runs() -> None:
    """In a world where what was published holds, in one where nothing does, and in the two that exclude the first."""
    assert not (difference := documents.difference("claims", worlds.claims_document())), difference


def test_tables_of_a_sensitivity_study_on_made_up_bands() -> None:
    assert not (difference := documents.difference("sensitivity", worlds.sensitivity_document())), difference
