"""A store handed on: the same report, runs, files and studies where nothing was trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.reading.evidence import DERIVED, Evidence
from grok.spec.artifacts import BAND, HISTORY
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.transplant import STAY_BEHIND, record
from tests.bundle.conftest import Home, call, files, store_in, travelling
from tests.conftest import PROJECT


def root(store: Store, run_id: str) -> Path:
    found = TrackedRun(store.client, run_id)._root
    assert found is not None
    return found


def test_the_report_is_the_same_byte_for_byte(at_home: Home, brought: Store, template_store: Path, tmp_path: Path) -> None:
    answer = call("analyze", "--out", str(tmp_path / "here"))
    assert answer.status == 0, answer.err
    with store_in(brought.folder, template_store):
        there = call("analyze", "--out", str(tmp_path / "there"))
    assert there.status == 0, there.err
    first, second = files(tmp_path / "here"), files(tmp_path / "there")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    claims = json.loads(first["claims.json"])
    tested = [claim["id"] for claim in claims["claims"] if claim["verdict"] != "not testable yet"]
    assert len(tested) > 5, "the runs are such that claims are judged, or the test shows nothing"
    assert claims["left_out"] == 2
    assert "figures/windows.svg" in first, "a figure that reads gap series, which travel for bands"


def test_the_runs_are_the_same(home: Home, brought: Store) -> None:
    here, there = home.runs(), travelling(brought)
    assert [*here] == [*there], "the same ids in the same order"
    assert {run.kind for run in there.values()} == {"train", "study"}
    for run_id, run in there.items():
        assert record(run, "tests") == record(here[run_id], "tests")
        gone = {name for name in here[run_id].tags if name not in run.tags}
        assert gone <= set(STAY_BEHIND)
        assert run.params or run.kind == "study"
    assert any(run.tags.get("mlflow.parentRunId") in there for run in there.values()), "parents are known by the same ids"
    datasets = [run.inputs.dataset_inputs for run in there.values()]
    assert any(datasets), "the trained runs have logged what they were trained on"


def test_what_names_a_person_a_machine_or_a_folder_stays_behind(home: Home) -> None:
    tags = {name: text for run in home.runs().values() for name, text in run.tags.items()}
    for name in ("grok.host", "grok.process", "mlflow.user", "mlflow.source.name"):
        assert tags.get(name), "or there is nothing to look for"
    text = "".join(path.read_text(encoding="utf-8") for path in home.bundle.glob("*.json"))
    assert tags["grok.host"] not in text
    assert str(home.folder) not in text
    assert "mlflow.source.name" not in text


def test_histories_are_the_same_to_the_last_bit(home: Home, brought: Store) -> None:
    compared = 0
    for run_id, run in home.runs().items():
        if run.kind == "train" and run.done and run.name != "broken":
            here, there = (pd.read_parquet(root(store, run_id) / HISTORY) for store in (home.store, brought))
            pd.testing.assert_frame_equal(here, there, check_exact=True)
            compared += 1
    assert compared == 33


def test_charts_have_points_and_the_newest_value(home: Home, brought: Store) -> None:
    run = next(run for run in travelling(brought).values() if run.state == "complete" and run.name != "broken")
    points = brought.client.get_metric_history(run.run_id, "accuracy/test")
    table = pd.read_parquet(root(home.store, run.run_id) / HISTORY)["accuracy/test"]
    assert {point.step: point.value for point in points}.items() <= table.to_dict().items()
    assert (min(point.step for point in points), max(point.step for point in points)) == (0, 64)
    assert len(points) == 50
    assert run.metrics == home.store.get(run.run_id).metrics


def test_a_bundle_has_the_same_bytes_again_also_from_where_it_was_brought(
    at_home: Home, brought: Store, template_store: Path, tmp_path: Path
) -> None:
    assert call("export", "--out", str(tmp_path / "again")).status == 0
    assert files(tmp_path / "again") == files(at_home.bundle)
    with store_in(brought.folder, template_store):
        assert call("export", "--out", str(tmp_path / "passed-on")).status == 0
    assert files(tmp_path / "passed-on") == files(at_home.bundle)


def test_what_is_there_is_left_as_it_is(home: Home, brought: Store, template_store: Path) -> None:
    before = files(brought.folder / "mlruns")
    assert before
    with store_in(brought.folder, template_store):
        answer = call("import", "--bundle", str(home.bundle))
    assert (answer.status, answer.words["imported"], answer.words["there"]) == (0, "0", str(len(home.runs())))
    assert files(brought.folder / "mlruns") == before


def test_the_store_that_it_came_from_has_it_all(at_home: Home) -> None:
    answer = call("import", "--bundle", str(at_home.bundle))
    assert (answer.status, answer.words["imported"], answer.words["there"]) == (0, "0", str(len(at_home.runs())))


def test_a_study_goes_on_from_what_came(home: Home, away: Store) -> None:
    assert call("import", "--bundle", str(home.bundle)).status == 0
    before = travelling(away).keys()
    assert call("study", "--study", str(home.study), "--plan").status == 0
    answer = call("study", "--study", str(home.study), "--backend", "sequential")
    assert answer.status == 0, answer.err
    assert (answer.words["trained"], answer.words["reused"], answer.words["state"]) == ("0", "3", "complete")
    assert travelling(away).keys() == before, "the parent is known too"
    again = call("import", "--bundle", str(home.bundle))
    assert (again.status, again.words["imported"]) == (0, "0"), again.err


def test_bands_that_did_not_come_are_asked_for_in_one_line(home: Home, brought: Store, template_store: Path) -> None:
    evidence = Evidence(brought)
    run_id = str(evidence.runs("headline")["run_id"].iloc[0])
    assert BAND in brought.get(run_id).files_left_out
    with pytest.raises(StoreError, match=rf"delta_w/band.npz must have come with the run, got {run_id} without. .*--bands all"):
        evidence.band(run_id)
    evidence.gap(run_id, window=10)
    with pytest.raises(StoreError, match=rf"gap .*got gram w=11 k=2 seed=0 of {run_id}.*--bands all"):
        evidence.gap(run_id, window=11)
    with store_in(brought.folder, template_store):
        answer = call("sensitivity", "--study", "own/tiny", "--companions", "none", "--mode", "grid")
    assert answer.status == 2
    assert answer.err.count("\n") == 1
    assert "--bands all" in answer.err


def test_gap_series_that_came_are_those_of_the_band(home: Home, brought: Store) -> None:
    here, there = Evidence(home.store), Evidence(brought)
    run_id = next(run_id for run_id in there.runs("headline")["run_id"] if (root(brought, run_id) / DERIVED).exists())
    for window in (5, 10, 20):
        first, second = (one.gap(run_id, window=window) for one in (here, there))
        assert first.tobytes() == second.tobytes(), window


@pytest.mark.parametrize(("bands", "there"), [("all", True), ("none", False)])
def test_bands_travel_if_they_are_asked_for(at_home: Home, tmp_path: Path, bands: str, there: bool) -> None:
    out = tmp_path / "bundle"
    answer = call("export", "--out", str(out), "--study", "headline", "--bands", bands, "--files", "none")
    assert (answer.status, answer.words["bands"], answer.words["train"]) == (0, bands, "32"), answer.err
    assert bool(list(out.rglob("band.npz"))) == there
    assert not (out / "tables" / DERIVED).exists()


def test_single_runs_travel_by_id(at_home: Home, away: Any, template_store: Path, tmp_path: Path) -> None:
    chosen = sorted(run_id for run_id, run in at_home.runs().items() if run.studies.get("own/tiny"))[:2]
    with store_in(at_home.folder, template_store):
        answer = call("export", "--out", str(tmp_path / "two"), "--runs", ",".join(chosen), "--bands", "all", "--files", "all")
    assert (answer.status, answer.words["train"]) == (0, "2"), answer.err
    assert call("import", "--bundle", str(tmp_path / "two")).words["imported"] == "2"
    assert sorted(travelling(away)) == chosen
    for run_id in chosen:
        here, there = (files(root(store, run_id)) for store in (at_home.store, away))
        kept = {name for name in here if not name.startswith(("figures/", "resume/")) and name != "config.json"}
        assert there.keys() == kept
        assert all(there[name] == here[name] for name in kept if not name.endswith(".parquet"))
    assert away.get(chosen[0]).files_left_out == ()


def test_files_travel_by_the_pattern_of_their_paths(at_home: Home, template_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    chosen = sorted(run_id for run_id, run in at_home.runs().items() if run.studies.get("own/tiny"))[:2]
    flags = ("--runs", ",".join(chosen), "--bands", "none", "--files", "checkpoints/epoch-*.safetensors, none.csv")
    with store_in(at_home.folder, template_store):
        answer = call("export", "--out", str(out), *flags)
    assert answer.status == 0, answer.err
    of_runs = {path.relative_to(out / "files").parts[1:] for path in (out / "files").rglob("*.*")}
    assert of_runs
    assert {parts[0] for parts in of_runs} == {"checkpoints"}


def test_a_number_is_recomputed_as_the_page_says(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    page = (PROJECT / "docs" / "bundle.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 5
    monkeypatch.chdir(home.folder)
    exec(code, {})
    runs = Evidence(home.store).runs("headline")
    assert float(capsys.readouterr().out) == runs.loc[runs["condition"] == "grok", "fire_epoch"].median()


def test_a_report_of_an_own_study_counts_its_runs(at_home: Home, tmp_path: Path) -> None:
    """By the spelling of whoever trained it, which is not the store's."""
    answer = call("analyze", "--study", f"{at_home.study}:tiny", "--out", str(tmp_path / "report"))
    assert (answer.status, answer.words["runs"]) == (0, "3"), answer.err
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "3 finished runs" in page
    assert "own/tiny" in page
    assert "headline |" not in page


def test_many_bundles_answer_as_one_table(
    at_home: Home, template_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The code of docs/scale.md on two parts, of which one lacks columns, against the store itself."""
    page = (PROJECT / "docs" / "scale.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    evidence, first = Evidence(at_home.store), dict[str, int]()
    run_ids = list(evidence.runs("headline")["run_id"])
    for name, part, flags in (("one", run_ids[::2], ()), ("two", run_ids[1::2], ("--drop", "features/*"))):
        words = (
            "--out",
            str(tmp_path / "bundles" / name),
            "--runs",
            ",".join(part),
            "--bands",
            "none",
            "--files",
            "none",
            *flags,
        )
        with store_in(at_home.folder, template_store):
            assert call("export", *words).status == 0
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    for run_id in run_ids:
        history = pd.read_parquet(root(at_home.store, run_id) / HISTORY)
        if (reached := history.loc[history["accuracy/test"] >= 0.99, "epoch"]).any():
            first[run_id] = int(reached.min())
    assert dict(zip(*found["grokked"].to_pydict().values(), strict=True)) == first != {}
    assert int(capsys.readouterr().out.splitlines()[-1]) == len(first)


@pytest.mark.parametrize("drop", ["delta_w/*,accuracy/*", "headline:delta_w/*,relu:features/*"])
def test_columns_that_are_dropped_stay_behind(
    at_home: Home, away: Store, template_store: Path, tmp_path: Path, drop: str
) -> None:
    with store_in(at_home.folder, template_store):
        flags = ("--bands", "none", "--files", "none", "--drop", drop)
        assert call("export", "--out", str(tmp_path / "light"), "--study", "headline", *flags).status == 0
    assert call("import", "--bundle", str(tmp_path / "light")).status == 0
    run_id = str(Evidence(away).runs("headline")["run_id"].iloc[0])
    here, there = (pd.read_parquet(root(store, run_id) / HISTORY) for store in (at_home.store, away))
    assert [*there] == ["epoch", "accuracy/train", "accuracy/test", "features/rho", "repulsion/rate"]
    pd.testing.assert_frame_equal(here[[*there]], there, check_exact=True)
    assert call("import", "--bundle", str(tmp_path / "light")).words["imported"] == "0"
