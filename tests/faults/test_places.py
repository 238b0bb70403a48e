"""Places of files that a database names and links in a run's folder: nothing outside is read, written, deleted or asked."""

from __future__ import annotations

import http.server
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.utils.uri import append_to_uri_path

from analysis.reading.evidence import Evidence
from entry_points.cli import without
from grok.runs import study as studies
from grok.runs import train
from grok.spec.studies import Cell, Study
from grok.store import places, prior, sqlite
from grok.store.errors import PACKAGES, AstrayError, StoreError
from grok.store.model import logged_network
from grok.store.run import TrackedRun
from tests.conftest import Answer
from tests.faults.test_runs import stopped
from tests.reading.test_evidence import add_run

pytestmark = pytest.mark.faults


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """Requests that a server of somebody else's got, after its address."""
    got: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        got.append(f"http://127.0.0.1:{site.server_port}")
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield got
        site.shutdown()
        thread.join()


def set_uri(store: Any, uri: str, run_id: str = "", experiment: bool = False) -> None:
    """The place of a run's files, or of every experiment's, set by hand."""
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        if experiment:
            database.execute("UPDATE experiments SET artifact_location = ?", (uri,))
        else:
            database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (uri, run_id))
        database.commit()
    places._known.clear()


# places


def test_a_run_at_a_place_of_no_experiment_is_left_out_and_nobody_is_asked(store: Any, tiny: Any, asked: list[str]) -> None:
    whole, astray = add_run(store, tiny()), add_run(store, tiny(seed=1))
    for uri in (
        f"weird://x/{astray}/artifacts",
        f"s3://bucket/{astray}/artifacts",
        f"{asked[0]}/{astray}/artifacts",
        f"mlflow-artifacts://{asked[0][7:]}/{astray}/artifacts",
        f"runs:/{whole}/{astray}/artifacts",
        f"ftp://{asked[0][7:]}/{astray}/artifacts",
        "",
    ):
        set_uri(store, uri, astray)
        found = Evidence(store)
        assert list(found.runs("headline")["run_id"]) == [whole], uri
        (reason,) = found.left_out["reason"]
        assert reason.startswith("artifacts "), uri
        assert "\n" not in reason
    assert asked[1:] == []


def test_a_stopped_run_whose_files_are_astray_is_passed_over_and_named(
    store: Any, tiny: Any, flags: Any, command: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The same command begins anew; by its id it is refused."""
    astray = stopped(store, tiny())
    set_uri(store, f"s3://bucket/{astray}/artifacts", astray)
    answer = command("--resume", astray)
    assert (answer.status, answer.out) == (2, "")
    assert "error: artifacts must be at the place of the run's experiment" in answer.err
    answer = command(*flags(tiny()))
    assert (answer.status, answer.words["state"], answer.words["reused"]) == (0, "complete", "no")
    assert answer.words["run"] != astray
    assert f"{astray} is passed over: artifacts must be at the place of the run's experiment" in caplog.text


def test_one_astray_run_of_another_kind_stops_no_command(
    store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A study's parent, a sensitivity study, a report that a killed command left."""
    study = Study("own/one", "One.", "ours", (Cell("grok", tiny()),))
    parent = studies.open_parent(store, study, force=False).run_id
    searched = store.create("sensitivity", {"kind": "sensitivity"})
    searched.put_json("sensitivity.json", {"neighbourhood": [1]})
    searched.end("complete")
    report = store.create("report", {"kind": "analysis"}).run_id
    assert Evidence(store).sensitivity() == {"run_id": searched.run_id, "neighbourhood": [1]}
    monkeypatch.setattr(prior, "is_alive", lambda run: False)
    for run_id in (parent, searched.run_id, report):
        set_uri(store, f"weird://x/{run_id}/artifacts", run_id)
    assert Evidence(store).sensitivity() is None
    prior.reap(store, "analysis")
    assert studies.open_parent(store, study, force=False).run_id != parent
    for run_id in (parent, searched.run_id, report):
        assert f"{run_id} is passed over: artifacts must be at the place of the run's experiment" in caplog.text


def test_no_run_is_left_where_the_experiment_keeps_files_that_cannot_be_written(store: Any) -> None:
    set_uri(store, "weird://x/runs", experiment=True)
    with pytest.raises(StoreError, match=r"artifacts must be at a place that answers, got weird://x/runs"):
        store.create("new", {"kind": "train"})
    assert store.find({"kind": "train"}) == []


@pytest.mark.parametrize(
    ("location", "place", "fits"),
    [
        ("s3://bucket/runs", "s3://bucket/runs/ID/artifacts", True),
        ("s3://bucket/runs/", "s3://bucket/runs/ID/artifacts/", True),
        ("s3://bucket/runs?version=1", "s3://bucket/runs/ID/artifacts?version=1", True),
        ("mlflow-artifacts:/1", "mlflow-artifacts:/1/ID/artifacts", True),
        ("s3://bucket/runs", "s3://bucket/runs/ID/artifacts?version=1", False),
        ("s3://bucket/runs", "s3://bucket/runs/OTHER/artifacts", False),
        ("s3://bucket/runs", "s3://bucket/runs/x/ID/artifacts", False),
        ("s3://bucket/runs", "s3://bucket2/runs/ID/artifacts", False),
        ("s3://bucket/runs", "gs://bucket/runs/ID/artifacts", False),
        ("runs:/1", "runs:/1/ID/artifacts", False),
    ],
)
def test_a_place_is_that_which_mlflow_makes_of_an_experiments(
    location: str, place: str, fits: bool, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_uri(store, location, experiment=True)
    monkeypatch.setattr(places, "get_artifact_repository", lambda uri, tracking_uri: uri)
    if fits:
        assert append_to_uri_path(location, "ID", "artifacts") == place.rstrip("/")
        assert places.repository(store.client, place, "ID", "artifacts") == place
    else:
        with pytest.raises(AstrayError, match="must be at the place of the run's experiment"):
            places.repository(store.client, place, "ID", "artifacts")


def test_a_place_of_the_experiment_is_used_and_a_missing_package_is_named(
    store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 is none of the project's packages."""
    run_id = add_run(store, tiny())
    set_uri(store, "s3://bucket/runs", experiment=True)
    set_uri(store, f"s3://bucket/runs/{run_id}/artifacts", run_id)
    for name in ("boto3", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)  # whether it is installed or not
    (reason,) = Evidence(store).left_out["reason"]
    assert reason.startswith("artifacts must be at a place whose package is installed, got s3://bucket/runs/")
    assert reason.endswith("(no boto3). pip install boto3.") or reason.endswith("(no botocore). pip install boto3.")


@pytest.mark.parametrize("name", ["boto3", "google.cloud", "azure", "databricks"])
def test_a_package_of_no_extra_is_told_by_its_own_name(name: str) -> None:
    told = str(without(ModuleNotFoundError(f"No module named {name!r}", name=name)))
    assert told.endswith(f"pip install {PACKAGES[name.partition('.')[0]]}")
    assert "registry" not in told


# links


def outside_of(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    (outside / "resume").mkdir(parents=True)
    (outside / "resume" / "precious.txt").write_text("precious")
    return outside


@pytest.mark.parametrize("link", ["artifacts", "run"])
def test_a_run_whose_folder_is_a_link_is_neither_read_nor_gone_on_with(
    link: str, store: Any, tiny: Any, command: Any, tmp_path: Path
) -> None:
    run_id = stopped(store, tiny())
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    outside, place = outside_of(tmp_path), root if link == "artifacts" else root.parent
    place.rename(tmp_path / "was")
    place.symlink_to(outside)
    (outside / "artifacts").mkdir(exist_ok=True)
    before = sorted(path.relative_to(outside) for path in outside.rglob("*"))
    answer: Answer = command("--resume", run_id)
    assert (answer.status, answer.out) == (2, "")
    assert f"artifacts of a run must be in a folder of its own, got the link {place}" in answer.err
    with pytest.raises(StoreError, match="got the link"):
        TrackedRun(store.client, run_id)
    assert sorted(path.relative_to(outside) for path in outside.rglob("*")) == before
    place.unlink()
    (tmp_path / "was").rename(place)
    assert command("--resume", run_id).status == 0


def test_a_folder_of_a_run_that_is_a_link_is_one_line(store: Any, tiny: Any, command: Any, tmp_path: Path) -> None:
    run_id = stopped(store, tiny())
    run = TrackedRun(store.client, run_id)
    assert run._root is not None
    outside = outside_of(tmp_path)
    (run._root / "resume").rename(tmp_path / "was")
    (run._root / "resume").symlink_to(outside / "resume")
    answer: Answer = command("--resume", run_id)
    assert answer.status != 0
    assert f"artifact must be in the folder of run {run_id}, got resume. Remove the link or the name." in answer.err
    assert answer.err.count("error:") == 1
    assert "resolved path" not in answer.err
    assert (outside / "resume" / "precious.txt").read_text() == "precious"
    assert not [path for path in run.walk() if "precious" in path]


@pytest.mark.parametrize(
    "path",
    [
        "a\0b",
        "x" * 300,
        f"{'x' * 300}/b.npz",
        "x/" * 3000 + "b",
        "\ud800",
        "circle/b",
        "circle",
        "out/b",
        "../b",
        "/b",
        "a\n/../b",
    ],
    ids=lambda path: ascii(path)[:20],
)
def test_a_name_that_leads_out_or_that_no_file_can_have_is_one_line(path: str, store: Any, tmp_path: Path) -> None:
    run = store.create("named", {})
    run.put_text("a.txt", "a")
    (run._root / "circle").symlink_to(run._root / "circle")
    (run._root / "out").symlink_to(tmp_path)
    for call in (lambda: run.get_file(path, tmp_path), lambda: run.delete(path), lambda: run.list_files(path)):
        with pytest.raises(StoreError, match=rf"^artifact must be in the folder of run {run.run_id}, got .*\.$") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300
    assert run.walk() == ["a.txt", "circle"]  # `out` is a folder


def test_a_disk_that_fails_is_no_wrong_name(store: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = store.create("named", {})

    def fails(self: Path) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "lstat", fails)
    with pytest.raises(OSError, match="Input/output error"):
        run.put_text("a.txt", "a")


def test_files_are_listed_as_they_are(store: Any) -> None:
    """By their paths, sorted, without what is being written; a folder that is not there, or a file, has none."""
    run = store.create("listed", {})
    for path in ("b.txt", "a/one.txt", "a/deep/two.txt", ".hidden/x.txt", "a/.part"):
        (run._root / path).parent.mkdir(parents=True, exist_ok=True)
        (run._root / path).write_text("x")
    assert run.walk() == ["a/deep/two.txt", "a/one.txt", "b.txt"]
    assert run.list_files("") == ["b.txt"]
    assert run.list_files("a") == ["a/one.txt"]
    assert run.list_files("none") == run.list_files("b.txt") == []


def test_a_logged_network_is_in_the_folder_of_its_model(store: Any, tiny: Any, tmp_path: Path) -> None:
    (done,) = train.train_tracked([tiny()], store)
    run = TrackedRun(store.client, done.run_id)
    assert set(logged_network(run, tmp_path)[0]) == {"w", "v"}
    (output,) = run.look().outputs.model_outputs
    place = Path(store.client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))
    (tmp_path / "elsewhere").symlink_to(place)
    for uri in ((tmp_path / "elsewhere").as_uri(), f"http://127.0.0.1:9/models/{output.model_id}/artifacts"):
        with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
            database.execute("UPDATE logged_models SET artifact_location = ?", (uri,))
            database.commit()
        with pytest.raises(StoreError, match=r"^artifacts (of a run must be in a folder models/|must be at the place of)"):
            logged_network(run, tmp_path)
