"""Bad input of the commands that read finished runs and hand runs on: one line with the rule, the value and the next step,
status 2, and nothing half-made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grok.spec.plugins import own_source
from tests.bundle.conftest import call, files
from tests.conftest import TINY, _copy, _environment
from tests.reading.test_evidence import add_run

GONE = "0" * 32
OWN = "def f(h):\n    return h * h\n"


@pytest.fixture(scope="module")
def world(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A store with a run of every kind that may be named, by kind; its folder, and places for what is written."""
    from grok.store import store as tracking

    folder = tmp_path_factory.mktemp("refusals")
    (folder / "own_refused.py").write_text(OWN)
    with _environment(**_copy(template_store, folder)), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        assert own_source("own_refused:f") is not None
        store = tracking.open_store()
        config = TINY.resolved()
        ids = {"done": add_run(store, config)}
        for number, state in enumerate(("interrupted", "failed", "running"), start=1):
            ids[state] = add_run(store, replace(config, seed=number), state=state)
        ids["deleted"] = add_run(store, replace(config, seed=7))
        store.client.delete_run(ids["deleted"])
        own = replace(config, activation="own_refused:f", seed=8)
        ids["own"] = add_run(store, own, study="")
        ids["changed"] = add_run(store, replace(config, seed=9), study="", config_hash="0" * 16)
        ids["stranger"] = store.client.create_run(store.experiment_id, tags={"mlflow.runName": "somebody else's"}).info.run_id
        parent = store.create("study", {"kind": "study"})
        parent.end("complete")
        ids["parent"] = parent.run_id
        (folder / "a_file").write_text("mine")
        (folder / "a_folder").mkdir()
        (folder / "a_folder" / "mine.txt").write_text("mine")
        (folder / "a_link").symlink_to(folder / "a_folder")
        yield ids | {"folder": str(folder), "uri": store.uri}


CASES: list[tuple[str, str, str, str]] = [
    ("measure", "--study nope", "study must be a known name, got nope.", "Known: "),
    ("measure", "--study relu", "study must have finished runs in sqlite:", "got relu with none. Run it first: python -m"),
    ("measure", "--study {folder}/none.yaml:x", "study file must be readable, got", "none.yaml"),
    ("measure", "--what ranq", "what must be of repulsion, ranks, answers, onset, edge, got ranq.", "Pick of these."),
    ("measure", "--what ranks,", "what must be of repulsion,", "Pick of these."),
    ("measure", "--trust-code maybe", "argument --trust-code: trust-code must be true or false, got maybe", "See --help."),
    ("measure", "--run {done}", "unrecognized arguments: --run", "See --help."),
    ("signals", "", "run or study must be given, one of them, got run none and study none.", "Name one."),
    ("signals", "--run {done} --study headline", "run or study must be given, one of them, got run", "Name one."),
    ("signals", "--study nope", "study must be a known name, got nope.", "Known: "),
    ("signals", "--study relu", "study must have finished runs in sqlite:", "Run it first: python -m entry_points.study"),
    ("signals", "--run " + GONE, "run must exist in sqlite:", "Look its id up with `mlflow ui`."),
    ("signals", "--run ../x", "run must be named by its id, 32 hex digits, got '../x'.", "Look it up with `mlflow ui`."),
    ("signals", "--run {done},", "run must be named by its id, 32 hex digits, got ''.", "Look it up with `mlflow ui`."),
    ("signals", "--run {deleted}", "run must not be deleted, got {deleted}.", "Restore it: `mlflow runs restore"),
    ("signals", "--run {stranger}", "run must be a training run of this project, got {stranger}.", "Look its id up"),
    ("signals", "--run {parent}", "run must be a training run of this project, got {parent}.", "Look its id up"),
    ("signals", "--run {interrupted}", "run must be finished to be measured, got {interrupted} (interrupted).", "Repeat its"),
    ("signals", "--run {failed}", "run must be finished to be measured, got {failed} (failed).", "Repeat its command first."),
    ("signals", "--run {running}", "run must be finished to be measured, got {running} (running).", "Repeat its command"),
    ("signals", "--run {done},{running}", "run must be finished to be measured, got {running} (running).", "Repeat its"),
    (
        "signals",
        "--run {own}",
        "run must not name code of somebody's own unless it is trusted, got activation",
        "--trust-code.",
    ),
    ("signals", "--run x --force maybe", "argument --force: force must be true or false, got maybe", "See --help."),
    ("signals", "--run {own} --trust-code false", "run must not name code of somebody's own", "then add --trust-code."),
    ("signals", "--run {changed}", "run must have the params of its config, got {changed}", "Repeat its command."),
    ("signals", "--run {done} --signals ildrr", "signal must be a known name, got ildrr. Did you mean ildr?", "Known: "),
    ("signals", "--run {done} --signals gap,", "signal must be a known name, got .", "Known: "),
    ("signals", "--run {done} --signals no_module:S", "signal must be importable, got no_module:S", "Run from the folder"),
    ("signals", "--run {done} --signals own_refused:f", "signal must be a grok.signals.base.Signal, got own_refused:f", "See"),
    ("signals", "--run {done} --epochs soon", "epochs must be whole numbers separated by commas", "Write 0,40,100."),
    ("signals", "--run {done} --epochs 9-0-1", "epochs must be whole numbers separated by commas", "Write 0,40,100."),
    ("signals", "--run {done} --epochs 0,65", "epochs must be whole numbers in [0, 64] of run {done}, got 65.", "Leave out"),
    ("signals", "--run {done} --epochs 0-2000000-1", "epochs must be at most 1000000 in all, got 2000001", "larger step."),
    ("signals", "--run {done} --costly-every 0", "costly-every must be a whole number ≥ 1, got 0.", "1 takes every epoch."),
    (
        "signals",
        "--run {done} --costly-every x",
        "argument --costly-every: costly-every must be a whole number, got 'x'",
        "See --help.",
    ),
    ("signals", "--run {done} --workers -1", "workers must be", "got -1"),
    ("signals", "--released {folder}/none", "released must", "none"),
    ("signals", "--released {folder}/a_folder", "released must", "a_folder"),
    ("export", "--out {folder}/out --runs " + GONE, "run must exist in sqlite:", "Look its id up with `mlflow ui`."),
    (
        "export",
        "--out {folder}/out --runs ../x",
        "run must be named by its id, 32 hex digits, got '../x'.",
        "Look it up with `mlflow ui`.",
    ),
    ("export", "--out {folder}/out --runs {deleted}", "run must not be deleted, got {deleted}.", "Restore it: `mlflow runs"),
    ("export", "--out {folder}/out --runs {stranger}", "runs must be of kind train, study, sensitivity, got", "Leave it out."),
    ("export", "--out {folder}/out --runs {parent}", "store must hold training runs, got none in sqlite:", "Train them first."),
    ("export", "--out {folder}/out --runs {done},{running}", "runs must have ended, got {running} (running).", "Wait for it"),
    ("export", "--out {folder}/out --study nope", "study must be a known name, got nope.", "Known: "),
    ("export", "--out {folder}/out --study relu", "store must hold training runs of relu, got none in", "Train them first."),
    ("export", "--out {folder}/out --bands some", "bands must be none, read, all, got some.", "Pick one."),
    (
        "export",
        "--out {folder}/out --files some",
        "files must be none, read, all or patterns of paths, got some.",
        "Pick one, or write signals*.parquet.",
    ),
    ("export", "--out {folder}/a_file", "out must be a folder, got {folder}/a_file.", "Name another."),
    ("export", "--out {folder}/a_folder", "out must be a new folder or hold a bundle alone, got", "Name another."),
    ("export", "--out {folder}/a_link", "out must be a folder, got {folder}/a_link.", "Name another."),
    ("export", "--out {folder}/a_file/out", "out must be in a folder that can be written, got", "Name another."),
    ("export", "--out /proc/out", "out must be in a folder that can be written, got /proc/out", "Name another."),
    ("import", "--bundle {folder}/none", "bundle must be a folder, got {folder}/none.", "Make one: python -m"),
    ("import", "--bundle {folder}/a_file", "bundle must be a folder, got {folder}/a_file.", "Make one: python -m"),
    ("import", "--bundle {folder}/a_link", "bundle must be a folder, got {folder}/a_link.", "Make one: python -m"),
    ("import", "--bundle {folder}/a_folder", "bundle must have manifest.json, got none in", "Make it anew: python -m"),
    ("import", "--bundle", "argument --bundle: expected one argument", "See --help."),
]
"""Command, words, how its line begins, and what is in it beside: the next step."""


@pytest.mark.parametrize(("name", "words", "rule", "step"), CASES, ids=[f"{name} {words}"[:60] for name, words, *_ in CASES])
def test_bad_input_is_one_line_and_leaves_nothing(
    name: str, words: str, rule: str, step: str, world: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(world["folder"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world["uri"])
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder / "a_folder")
    before = files(folder)
    answer = call(name, *words.format(**world).split())
    assert (answer.status, answer.out) == (2, ""), answer
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith(f"error: {rule.format(**world)}"), answer.err
    assert step in answer.err
    assert {path for path in files(folder) if "__pycache__" not in path} == set(before)
    assert {path: text for path, text in files(folder).items() if path in before} == before


@pytest.mark.parametrize("name", ["measure", "signals", "export"])
def test_a_store_that_is_not_there_is_not_made(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    answer = call(name, *(["--study", "headline"] if name == "signals" else []))
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("error: store must hold runs, got no database at sqlite:///")
    assert ": python -m entry_points.study --study" in answer.err
    assert list(tmp_path.iterdir()) == []
