"""The MLflow UI: experiments of the project's own, saved views, links, and runs that leave `Default`."""

import base64
import json
import os
import zlib

import pytest

from grok.store import views
from grok.store.store import open_store, point_to
from grok.store.tags import NOTE


@pytest.fixture
def unnamed(store, monkeypatch):
    """A store whose experiment nobody has named."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    return open_store()


def tags_of(store, experiment_id):
    return store.client.get_experiment(experiment_id).tags


def test_runs_go_to_grok_and_what_speaks_of_them_to_an_experiment_of_its_own(unnamed):
    homes = {kind: unnamed.create("x", {"kind": kind}).stored.experiment_id for kind in ("train", "study", *views.ASIDE)}
    names = {kind: unnamed.client.get_experiment(home).name for kind, home in homes.items()}
    assert names == {"train": "grok", "study": "grok"} | dict.fromkeys(views.ASIDE, "grok-reports")
    for kind in ("train", "analysis"):
        tags = tags_of(unnamed, homes[kind])
        assert tags[NOTE] == views.NOTES[names[kind]]
        assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert open_store().experiment_id == unnamed.experiment_id


def test_an_experiment_that_somebody_names_has_all_kinds_and_all_views(store):
    assert store.home("analysis") == store.home("train") == store.experiment_id
    keys = {key for key in tags_of(store, store.experiment_id) if key.startswith(views.SHARED)}
    assert keys == {views.SHARED + view.key for view in views.VIEWS}
    assert NOTE not in tags_of(store, store.experiment_id)


def test_a_saved_view_reads_back_as_the_ui_reads_it():
    text = json.loads(views.encoded(views.DETECTOR))
    assert text["name"] == "Detector"
    head, _, packed = text["state"].partition(";")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert head == "deflate"
    assert state["searchFilter"] == "tags.`grok.kind` = 'train'"
    assert state["selectedColumns"][:2] == ["metrics.`fired`", "metrics.`fire_epoch`"]
    sections = {section["uuid"]: section["name"] for section in state["compareRunSections"]}
    first = state["compareRunCharts"][0]
    assert (first["metricKey"], sections[first["metricSectionId"]]) == ("accuracy/test", "Does it generalise?")
    assert {card["scaleType"] for card in state["compareRunCharts"] if "lambda" in card["metricKey"]} == {"log"}
    assert len({card["uuid"] for card in state["compareRunCharts"]}) == len(state["compareRunCharts"])
    assert views.encoded(views.DETECTOR) == views.encoded(views.DETECTOR)
    assert max(len(views.encoded(view)) for view in views.VIEWS) < 5000  # of a tag of an experiment, in MLflow


def test_views_are_written_for_versions_of_the_ui_that_are_known():
    known = views.tags_of("grok", "3.17.9")
    assert {views.SHARED + "grok-detector", views.SHARED + "grok-studies"} <= known.keys()
    for version in ("3.18.0", "3.1.7", "4.0.0"):
        other = views.tags_of("grok", version)
        assert not [key for key in other if key.startswith(views.SHARED)]
        assert other[NOTE] == known[NOTE]


def test_what_a_person_wrote_stays_and_a_view_of_an_older_version_is_written_anew(unnamed):
    key = views.SHARED + views.DETECTOR.key
    unnamed.client.set_experiment_tag(unnamed.experiment_id, NOTE, "mine")
    unnamed.client.set_experiment_tag(unnamed.experiment_id, key, "old")
    unnamed.client.set_experiment_tag(unnamed.experiment_id, views.SHARED + "theirs", "a view of their own")
    tags = tags_of(unnamed, open_store().experiment_id)
    assert (tags[NOTE], tags[key]) == ("mine", views.encoded(views.DETECTOR))
    assert tags[views.SHARED + "theirs"] == "a view of their own"


def made_in_default(store, monkeypatch):
    """What `mlflow run` does: a run in Default, and variables that name it."""
    run_id = store.client.create_run("0").info.run_id
    store.client.log_param(run_id, "epochs", "auto")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    return run_id


HOMES = {"train": "grok", "study": "grok", "analysis": "grok-reports", "measure": "Default"}


@pytest.mark.parametrize(("kind", "home"), HOMES.items())
def test_a_run_that_mlflow_made_in_default_moves_with_its_files_as_it_is_taken(unnamed, monkeypatch, kind, home):
    run_id = made_in_default(unnamed, monkeypatch)
    run = open_store().create("taken", {"kind": kind})
    assert run.run_id == run_id
    run.put_text("note.txt", "text")
    run.end("complete")
    found = unnamed.get(run_id)
    experiment = unnamed.client.get_experiment(found.experiment_id)
    assert (experiment.name, found.params) == (home, {"epochs": "auto"})
    assert found.artifact_uri == f"{experiment.artifact_location}/{run_id}/artifacts"
    assert [entry.path for entry in unnamed.client.list_artifacts(run_id)] == ["note.txt"]
    assert open_store().home("train") == unnamed.experiment_id  # of what the same process makes next


def test_a_run_in_an_experiment_that_somebody_named_stays_there(unnamed, monkeypatch):
    other = unnamed.experiment("mine")
    monkeypatch.setenv("MLFLOW_RUN_ID", unnamed.client.create_run(other).info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", other)
    opened = open_store()
    assert opened.create("taken", {"kind": "train"}).stored.experiment_id == other
    assert opened.home("analysis") == other
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")  # somebody does want it
    run_id = unnamed.client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert open_store().create("taken", {"kind": "train"}).stored.experiment_id == "0"


def test_runs_of_default_are_found_as_before(unnamed, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    old = open_store().create("old", {"kind": "train", "config_hash": "abc"})
    old.end("complete")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    assert [run.run_id for run in open_store().find({"config_hash": "abc"})] == [old.run_id]


def test_a_pointer_says_where_the_work_is_and_stays_out_of_the_way(unnamed, monkeypatch):
    work = unnamed.create("square, seed 00", {"kind": "train"})
    made = made_in_default(unnamed, monkeypatch)
    point_to(unnamed, work.run_id)
    assert "MLFLOW_RUN_ID" not in os.environ
    pointer = unnamed.get(made)
    assert (pointer.experiment_id, pointer.name) == ("0", "see: square, seed 00")
    note = pointer.tags[NOTE]
    assert note.startswith(f"**The work is in [square, seed 00](#/experiments/{unnamed.experiment_id}/runs/{work.run_id}?")
    assert "--force" in note


def test_links_land_in_the_training_pages():
    assert views.run_list("7", views.DETECTOR, charts=True) == (
        "#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=grok-detector"
    )
    assert views.members_page("7", "my/own").endswith("&searchFilter=tags.%60grok.study.my%2Fown%60%20IS%20NOT%20NULL")
    assert views.address("sqlite:////x/mlflow.db") == "http://127.0.0.1:5000"
    assert views.address("http://user:word@host:8080/") == "http://host:8080"


def test_tables_of_a_description_have_room_between_columns_once() -> None:
    note = "Text | as it is\n\n| fires | a \\| b | |\n|---|---:|---|\n| 15 | 174 |  |"
    spaced = views.spaced(note)
    assert spaced == "Text | as it is\n\n| fires&emsp; | a \\| b&emsp; | |\n|---|---:|---|\n| 15&emsp; | 174&emsp; |  |"
    assert views.spaced(spaced) == spaced
