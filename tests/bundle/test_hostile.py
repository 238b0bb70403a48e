"""Bundles that are broken, foreign or hostile, and imports that are stopped: refused in one line, nothing half-made."""

from __future__ import annotations

import gc
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.bundle import crate as crates
from analysis.bundle import layout, tables, unpack
from analysis.bundle.layout import BundleError
from analysis.bundle.pack import Wanted, pack
from grok.spec.artifacts import HISTORY
from grok.spec.config import RunConfig
from grok.store.errors import StoreError
from grok.store.store import Store
from grok.store.transplant import Database
from tests.bundle.conftest import call, files, made_up, small_bundle, store_in, travelling
from tests.conftest import TINY


@pytest.fixture(scope="module")
def small(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three made-up runs; to be copied."""
    return small_bundle(template_store, tmp_path_factory.mktemp("bundle-small"))


@pytest.fixture
def bundle(small: Path, tmp_path: Path) -> Path:
    """A copy of the small bundle, to be broken."""
    return Path(shutil.copytree(small, tmp_path / "bundle"))


def seal(bundle: Path) -> None:
    """Give a changed bundle the checksums that it has now, as a forger would."""
    manifest = json.loads((bundle / layout.MANIFEST).read_text(encoding="utf-8"))
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} - {layout.MANIFEST}
    found = {name: {"bytes": (bundle / name).stat().st_size, "sha256": layout.sha256(bundle / name)} for name in names}
    (bundle / layout.MANIFEST).write_text(json.dumps(manifest | {"files": found}), encoding="utf-8")


def rewrite(bundle: Path, change: Callable[[Any], Any], name: str = layout.RUNS) -> None:
    value = json.loads((bundle / name).read_text(encoding="utf-8"))
    changed = change(value)
    (bundle / name).write_text(json.dumps(value if changed is None else changed), encoding="utf-8")
    if name != layout.MANIFEST:
        seal(bundle)


def refused(bundle: Path, away: Store, words: str) -> None:
    """The command ends in one line with status 2, and the store is as it was."""
    gc.collect()
    gc.disable()  # a finalizer that runs where the parser is at its recursion limit writes lines that are not the command's
    try:
        answer = call("import", "--bundle", str(bundle))
    finally:
        gc.enable()
    assert answer.status == 2, answer
    assert answer.err.count("\n") == 1
    assert re.search(words, answer.err), answer.err
    assert travelling(away) == {}
    assert not [path for path in (away.folder / "mlruns").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (layout.MANIFEST, lambda path: path.unlink(), "bundle must have manifest.json, got none"),
        (layout.MANIFEST, lambda path: path.write_text("{"), "manifest.json must be JSON"),
        (layout.MANIFEST, lambda path: path.write_text("[1]"), "bundle must be of format grok-bundle/1, got None"),
        (layout.MANIFEST, lambda path: path.write_text("[" * 100_000), "manifest.json must be JSON"),
        (layout.RUNS, lambda path: path.unlink(), "runs.json, which is missing"),
        (layout.RUNS, lambda path: path.write_bytes(path.read_bytes()[:-9]), r"runs.json must have \d+ bytes, got \d+"),
        (
            layout.RUNS,
            lambda path: path.write_bytes(path.read_bytes().replace(b"grok", b"gruk")),
            "runs.json must have the SHA",
        ),
        (layout.METRICS, lambda path: path.write_bytes(path.read_bytes()[::-1]), "metrics.parquet must have the SHA-256"),
        (f"tables/{HISTORY}", lambda path: path.unlink(), "tables/history.parquet, which is missing"),
    ],
)
def test_a_broken_bundle_is_refused(bundle: Path, away: Store, name: str, change: Any, words: str) -> None:
    change(bundle / name)
    refused(bundle, away, words)


@pytest.mark.faults
def test_a_link_is_no_file_of_a_bundle(bundle: Path, away: Store, tmp_path: Path) -> None:
    shutil.move(bundle / layout.RUNS, tmp_path / "elsewhere.json")
    (bundle / layout.RUNS).symlink_to(tmp_path / "elsewhere.json")
    refused(bundle, away, "runs.json, which is missing or a link")
    shutil.move(bundle / "tables", tmp_path / "tables")
    (bundle / "tables").symlink_to(tmp_path / "tables", target_is_directory=True)
    (bundle / layout.RUNS).unlink()
    shutil.move(tmp_path / "elsewhere.json", bundle / layout.RUNS)
    refused(bundle, away, "tables/history.parquet, which is missing or a link")
    link = tmp_path / "link"
    link.symlink_to(bundle, target_is_directory=True)
    refused(link, away, "bundle must be a folder")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grok-bundle/2", "must be of format grok-bundle/1 or older, got grok-bundle/2. Import it with a newer version"),
        ("grok-bundle/0", "which never was"),
        ("other/1", "must be of format grok-bundle/1, got other/1"),
        (None, "got None"),
    ],
)
def test_a_bundle_of_another_format_is_refused(bundle: Path, away: Store, text: str | None, words: str) -> None:
    rewrite(bundle, lambda manifest: manifest | {"format": text}, layout.MANIFEST)
    refused(bundle, away, words)


@pytest.mark.parametrize(
    "name", ["../x.json", "/etc/passwd", "a/../../x", ".hidden", "a\\b", "C:/x", "a//b", "x.", "con\n", ""]
)
def test_names_stay_in_the_bundle(bundle: Path, away: Store, name: str) -> None:
    entry = {"bytes": 1, "sha256": "0"}
    rewrite(bundle, lambda manifest: manifest | {"files": {**manifest["files"], name: entry}}, layout.MANIFEST)
    refused(bundle, away, "must have plain names that stay in it")


def first(content: dict[str, Any], **changes: Any) -> None:
    content["runs"][0] |= changes


@pytest.mark.parametrize(
    "change",
    [
        lambda c: first(c, run_id="../" * 8),
        lambda c: first(c, run_id="0" * 32),
        lambda c: first(c, run_id=7),
        lambda c: first(c, status="DONE"),
        lambda c: first(c, start_time=-1),
        lambda c: first(c, start_time=True),
        lambda c: first(c, end_time="now"),
        lambda c: first(c, params={"seed": 3}),
        lambda c: first(c, tags=[1]),
        lambda c: first(c, datasets=[{}]),
        lambda c: first(c, files=["../../x"]),
        lambda c: first(c, files=["not/there.npz"]),
        lambda c: first(c, files=[HISTORY]),
        lambda c: first(c, tables={HISTORY: 99}),
        lambda c: first(c, tables={"x.parquet": 0}),
        lambda c: first(c, left_out=["a b/../c"]),
        lambda c: c["columns"].append([1]),
        lambda c: c["columns"].__setitem__(0, ["nothing"]),
        lambda c: c["runs"].append(c["runs"][0]),
        lambda c: c.pop("runs"),
        lambda c: [],
        lambda c: c["runs"].append(None),
    ],
)
def test_runs_are_looked_at_before_one_is_made(bundle: Path, away: Store, change: Callable[[Any], Any]) -> None:
    rewrite(bundle, change)
    refused(bundle, away, "runs.json must")


def test_a_table_that_does_not_fit_into_memory_is_not_read(bundle: Path, away: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "free_memory", lambda: 2000)
    refused(bundle, away, "must fit into one part of 2 of the free memory")


@pytest.mark.parametrize("name", [layout.RUNS, layout.MANIFEST])
def test_json_that_does_not_fit_into_memory_is_not_read(
    bundle: Path, away: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Three bytes of a file are a list of its own in memory, so that its length alone tells too little."""
    (bundle / name).write_bytes(b"[" + b"[]," * 40_000 + b"[]]")
    if name != layout.MANIFEST:
        seal(bundle)
    monkeypatch.setattr(layout, "free_memory", lambda: 10_000_000)
    told = "must be JSON that fits into memory, got 120004 bytes of JSON that may take 10160360 "
    refused(bundle, away, f"{re.escape(name)} {told}")
    monkeypatch.setattr(layout, "free_memory", lambda: 21_000_000)
    refused(bundle, away, "must (list|describe)|a list without|format")


def test_a_long_text_in_every_row_of_a_small_table_is_told_by_its_copies(tmp_path: Path) -> None:
    """200,000 rows of one text of 10⁶ letters are 1 KB on disk and 200 GB in memory: a third of it is enough."""
    path, rows = tmp_path / "t.parquet", np.zeros(200_000, dtype=np.int32)
    made = {
        "run_id": pa.DictionaryArray.from_arrays(rows, ["0" * 32]),
        "x": pa.DictionaryArray.from_arrays(rows, ["x" * 10**6]),
    }
    pq.write_table(pa.table(made), path, compression="zstd", store_schema=False, write_statistics=False)
    assert path.stat().st_size < 5000
    with pytest.raises(BundleError, match=r"200000 rows that unfold to 6554\d{7} bytes or more"):
        tables.by_run(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["long", "zero"])
def test_a_folder_whose_name_cannot_be_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    words = r"^out must be in a folder that can be written, got .*\. Name another\.$"
    with pytest.raises(BundleError, match=words) as caught, layout.building(tmp_path / name):
        pytest.fail("it was begun")
    assert len(str(caught.value)) < 400
    with pytest.raises(BundleError, match=r"^bundle must be a folder, got ") as caught:
        layout.verified(tmp_path / name)
    assert len(str(caught.value)) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 99 + b"PAR1", b"\x80\x04pickle"])
def test_a_table_must_be_whole(bundle: Path, away: Store, content: bytes) -> None:
    (bundle / "tables" / HISTORY).write_bytes(content)
    seal(bundle)
    refused(bundle, away, "history.parquet must be a whole Parquet file")


def test_rows_of_a_run_are_together(bundle: Path, away: Store) -> None:
    path = bundle / "tables" / HISTORY
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    seal(bundle)
    refused(bundle, away, "must have the rows of a run together")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "file:///tmp/none"])
def test_a_store_that_gives_ids_of_its_own_is_refused(small: Path, uri: str) -> None:
    store = Store(None, uri, "0")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="must name a database for an import, since runs keep their ids"):
        unpack.unpack(store, unpack.read(small))


def test_another_mlflow_is_refused_by_its_tables(away: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from grok.store import transplant

    kind = next(iter(transplant.USED))
    monkeypatch.setitem(transplant.USED, kind, transplant.USED[kind] + " colour")
    with pytest.raises(StoreError, match=r"tables of version 3.17, got .*\(runs: colour\)"):
        Database(away)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: first(c, name="another"), "name"),
        (lambda c: first(c, start_time=5), "start time"),
        (lambda c: c["runs"][0]["params"].update(seed="77"), "params"),
        (lambda c: c["runs"][0]["tags"].update({"grok.state": "failed"}), "tag grok.state"),
    ],
)
def test_a_run_that_is_there_and_is_another_is_named(bundle: Path, away: Store, change: Any, words: str) -> None:
    one = json.loads((bundle / layout.RUNS).read_text(encoding="utf-8"))["runs"][0]["run_id"]
    assert call("import", "--bundle", str(bundle)).status == 0
    before, there = files(away.folder / "mlruns"), travelling(away).keys()
    rewrite(bundle, change)
    answer = call("import", "--bundle", str(bundle))
    assert answer.status == 2
    assert f"{one} ({words})" in answer.err
    assert "Nothing was imported" in answer.err
    assert (files(away.folder / "mlruns"), travelling(away).keys()) == (before, there)


def test_a_deleted_run_is_not_made_again(bundle: Path, away: Store) -> None:
    assert call("import", "--bundle", str(bundle)).status == 0
    gone = next(iter(travelling(away)))
    away.client.delete_run(gone)
    answer = call("import", "--bundle", str(bundle))
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert f"run must not be deleted, got {gone}" in answer.err
    assert len(travelling(away)) == 2


def test_a_history_that_differs_is_named(bundle: Path, away: Store) -> None:
    assert call("import", "--bundle", str(bundle)).status == 0
    run = next(iter(travelling(away).values()))
    path = Path(run.artifact_uri.removeprefix("file://")) / HISTORY
    table = pd.read_parquet(path)
    table.loc[3, "accuracy/test"] = np.nextafter(table.loc[3, "accuracy/test"], 2)
    table.to_parquet(path, index=False)
    answer = call("import", "--bundle", str(bundle))
    assert answer.status == 2
    assert f"{run.run_id} (history.parquet)" in answer.err


@pytest.mark.faults
@pytest.mark.parametrize("where", ["before the second run", "within the second run", "among its files"])
def test_a_stopped_import_goes_on(bundle: Path, away: Store, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    import sqlalchemy

    calls: Iterator[int] = iter(range(10**6))

    def failing(real: Any, at: int) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            if next(calls) == at:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        return step

    with monkeypatch.context() as patch:
        if where == "before the second run":
            patch.setattr(Database, "put", failing(Database.put, 1))
        elif where == "within the second run":
            patch.setattr("grok.store.transplant.insert", failing(sqlalchemy.insert, 6))
        else:
            patch.setattr(unpack.TrackedRun, "put_file", failing(unpack.TrackedRun.put_file, 1))
        assert call("import", "--bundle", str(bundle)).status == 130
    assert len(travelling(away)) == 1
    done = next(iter(travelling(away).values()))
    assert done.params
    assert done.metrics
    answer = call("import", "--bundle", str(bundle))
    assert (answer.status, answer.words["imported"], answer.words["there"]) == (0, "2", "1"), answer.err
    assert all(run.params and run.metrics for run in travelling(away).values())


def test_files_that_a_run_came_without_are_added(template_store: Path, tmp_path: Path, away: Store) -> None:
    with store_in(tmp_path / "first", template_store) as store:
        run_id = made_up(store, RunConfig(), "grok")
        pack(store, Wanted(), tmp_path / "light")
        pack(store, Wanted(bands=True), tmp_path / "heavy")
    assert call("import", "--bundle", str(tmp_path / "light")).words["imported"] == "1"
    assert away.get(run_id).files_left_out == ("delta_w/band.npz",)
    answer = call("import", "--bundle", str(tmp_path / "heavy"))
    assert (answer.words["imported"], answer.words["completed"], answer.words["there"]) == ("0", "1", "0")
    assert away.get(run_id).files_left_out == ()
    assert call("import", "--bundle", str(tmp_path / "heavy")).words["there"] == "1"
    assert call("import", "--bundle", str(tmp_path / "light")).words["there"] == "1"


# export


def test_an_export_replaces_a_bundle_and_nothing_else(bundle: Path, away: Store, tmp_path: Path) -> None:
    made_up(away, RunConfig(seed=9), "grok")
    (bundle / "mine.txt").write_text("mine")
    before = files(bundle)
    answer = call("export", "--out", str(bundle), "--bands", "none", "--files", "none")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "out must be a new folder or hold a bundle alone" in answer.err
    assert files(bundle) == before
    (bundle / "mine.txt").unlink()
    assert call("export", "--out", str(bundle), "--bands", "none", "--files", "none").status == 0
    assert len(unpack.read(bundle)) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--study", "nothing"), "study must be a known name, got nothing"),
        (("--bands", "some"), "bands must be none, read, all, got some"),
        (("--files", "some"), "files must be none, read, all or patterns of paths, got some"),
        (("--runs", "0" * 32), "run must exist in"),
        (("--study", "relu"), "store must hold training runs of relu, got none"),
    ],
)
def test_a_wrong_export_is_refused_in_one_line(away: Store, tmp_path: Path, flags: tuple[str, str], words: str) -> None:
    made_up(away, RunConfig(seed=9), "grok")
    answer = call("export", "--out", str(tmp_path / "out"), "--files", "none", *flags)
    assert (answer.status, answer.err.count("\n")) == (2, 1), answer
    assert words in answer.err
    assert not (tmp_path / "out").exists()


def test_the_run_that_mlflow_made_is_named_for_the_command(bundle: Path, away: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = away.client.create_run(away.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    assert call("import", "--bundle", str(bundle)).status == 0
    run = away.get(made)
    assert (run.kind, run.state, run.status) == ("import", "complete", "FINISHED")
    assert made not in travelling(away)


# metadata


def test_the_metadata_is_an_ro_crate(small: Path) -> None:
    """Of RO-Crate 1.1: a flat graph, a descriptor, a root with name, description, date and licence, an entity a file."""
    value = json.loads((small / layout.CRATE).read_text(encoding="utf-8"))
    assert value["@context"] == "https://w3id.org/ro/crate/1.1/context"
    graph = {one["@id"]: one for one in value["@graph"]}
    assert len(graph) == len(value["@graph"])
    about = graph["ro-crate-metadata.json"]
    assert (about["@type"], about["about"], about["conformsTo"]) == ("CreativeWork", {"@id": "./"}, {"@id": crates.PROFILE})
    whole = graph["./"]
    assert whole["@type"] == "Dataset"
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", whole["datePublished"])
    assert all(isinstance(whole[name], str) and whole[name] for name in ("name", "description"))
    assert whole["license"]["@id"] in graph
    manifest = json.loads((small / layout.MANIFEST).read_text(encoding="utf-8"))
    parts = {part["@id"] for part in whole["hasPart"]}
    assert parts == set(manifest["files"]) - {layout.CRATE}
    for name in parts:
        assert graph[name]["@type"] == "File"
        assert int(graph[name]["contentSize"]) == (small / name).stat().st_size
    assert not any(isinstance(v, dict) and set(v) != {"@id"} for one in value["@graph"] for v in one.values()), "flat"


# tables

COLUMN = st.one_of(
    st.lists(st.floats(width=64), min_size=1, max_size=6).map(lambda v: np.array(v, dtype=np.float64)),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6).map(lambda v: np.array(v, dtype=np.int64)),
)
FRAMES = st.dictionaries(st.sampled_from(["a", "b", "ä/ü", "epoch"]), COLUMN, min_size=1).map(
    lambda found: pd.DataFrame({name: values[: min(map(len, found.values()))] for name, values in found.items()})
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(FRAMES, min_size=1, max_size=3))
def test_tables_come_back_to_the_last_bit(tmp_path: Path, frames: list[pd.DataFrame]) -> None:
    kinds: dict[str, Any] = {}
    frames = [one for one in frames if all(kinds.setdefault(name, one[name].dtype) == one[name].dtype for name in one)]
    packed = {f"{number:032x}": tables.plain(one) for number, one in enumerate(frames)}
    tables.write(tmp_path / "t.parquet", packed)
    found = tables.by_run(tmp_path / "t.parquet")
    assert list(found) == list(packed)
    for one, back in zip(frames, found.values(), strict=True):
        again = back.select(list(one.columns)).to_pandas()
        for name in one:
            mine, theirs = one[name].to_numpy(), again[name].to_numpy()
            assert mine.dtype == theirs.dtype or np.isnan(mine.astype(np.float64)).all()
            there = ~np.isnan(mine.astype(np.float64))
            assert mine[there].tobytes() == theirs[there].astype(mine.dtype).tobytes()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"run_id": [1.0]}),
        pd.DataFrame({"a": [1.0]}, index=[5]),
        pd.DataFrame({"a": [object()]}),
        pd.DataFrame({"a": pd.to_datetime(["2026-01-01"])}),
        pd.DataFrame({"a": []}),
        pd.DataFrame({1: [1.0]}),
    ],
)
def test_tables_that_do_not_go_together_are_kept_as_files(frame: pd.DataFrame) -> None:
    assert tables.plain(frame) is None


def test_a_run_that_no_report_counts_goes_along_and_is_named(template_store: Path, tmp_path: Path) -> None:
    """One without its hash, one whose params were changed; one that was stopped is nobody's surprise."""
    with store_in(tmp_path / "home", template_store) as store:
        whole, bare, edited = (made_up(store, replace(TINY, seed=seed), "grok") for seed in (1, 2, 3))
        store.client.delete_tag(bare, "grok.config_hash")
        store.client.set_tag(edited, "grok.config_hash", "0" * 12)
        store.create("stopped", {"kind": "train", "protocol": "1"}).end("interrupted")
        answer = call("export", "--out", str(tmp_path / "bundle"), "--bands", "none", "--files", "none")
    assert (answer.status, answer.words["train"]) == (0, "4")
    told = "goes along, and no report counts it: "
    assert sorted(answer.err.splitlines()) == sorted(
        [
            f"{told}{bare}: it has no tag grok.config_hash",
            f"{told}{edited}: its params are not those that it was trained with: they were changed since",
        ]
    )
    found = json.loads((tmp_path / "bundle" / layout.RUNS).read_text(encoding="utf-8"))["runs"]
    assert {whole, bare, edited} < {run["run_id"] for run in found}
    assert "uncounted" not in json.loads((tmp_path / "bundle" / layout.MANIFEST).read_text(encoding="utf-8"))


def test_a_bundle_error_is_bad_input() -> None:
    from grok.spec.fields import ConfigError

    assert issubclass(BundleError, ConfigError), "status 2"
