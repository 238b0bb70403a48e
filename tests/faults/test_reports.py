"""Hostile files under a report and a run: sizes before memory, folders that are links, and what a killed command leaves."""

from __future__ import annotations

import io
import json
import os
import struct
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.reading.derived import detected
from analysis.reading.evidence import Evidence
from analysis.reading.files import RunFiles
from analysis.report import write
from analysis.report.compare import FORMAT, read_baseline
from grok.spec.artifacts import BAND, HISTORY
from grok.spec.fields import ConfigError
from grok.spec.limited import load_arrays
from grok.store.files import CheckpointError, load, load_json, save
from grok.store.run import TrackedRun
from tests.conftest import TINY
from tests.reading.test_evidence import add_run

pytestmark = pytest.mark.faults


# bands


def good(epochs: int = 64, lags: int = 24) -> np.ndarray:
    values = np.random.default_rng(0).random((epochs, lags))
    return np.where(np.arange(lags)[None] < np.arange(1, epochs + 1)[:, None], values, np.nan)


def npz(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=pickled)
    return out.getvalue()


def huge_header() -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": (64, 10**10)})
    return out.getvalue()


def changed(row: int, lag: int, value: float) -> bytes:
    band = good()
    band[row, lag] = value
    return npy(band)


BANDS = {
    "one-dimensional": (npy(np.ones(64)), "no bands of real numbers"),
    "complex": (npy(good().astype(complex)), "holds complex128, not plain numbers"),
    "objects": (npy(np.array([[{}]], dtype=object), pickled=True), "holds object, not plain numbers"),
    "whole numbers": (npy(np.ones((64, 24), dtype=np.int64)), "no bands of real numbers"),
    "header of terabytes": (huge_header(), "its header says 5120000000000"),
    "bomb": (npy(np.zeros((64, 2**15))), "33554432 bytes of arrays, at most"),  # thirty times what the run's config asks for
    "no lags": (npy(np.empty((64, 0))), "no bands of real numbers"),
    "rows of no lags": (npy(np.empty((10**7, 0))), "160000000 bytes of arrays, at most"),
    "negative square": (changed(5, 0, -1.0), "must have squares of updates ≥ 0"),
    "not a number": (changed(40, 3, np.nan), "must have finite inner products"),
    "infinite": (changed(40, 3, np.inf), "must have finite inner products"),
    "few lags": (npy(good(lags=8)), "must have 24 lags, got 8"),
    "short": (npy(good(epochs=30)), "must cover 64 epochs, got 65 rows and 30 updates"),
    "cut": (npy(good())[:-100], "bytes, its header says"),
    "no array": (b"hello", "must be a whole npz file"),
}


@pytest.mark.parametrize("kind", sorted(BANDS))
def test_a_band_that_is_none_is_left_out_and_named_before_it_takes_memory(store: Any, kind: str) -> None:
    run_id = add_run(store, TINY)
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    content, words = BANDS[kind]
    npz(root / BAND, w=content, v=content)
    began = time.monotonic()
    (reason,) = Evidence(store).left_out["reason"]
    assert words in reason
    assert time.monotonic() - began < 5


def test_a_whole_band_is_read(store: Any) -> None:
    run_id = add_run(store, TINY)
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    npz(root / BAND, w=npy(good()), v=npy(good()))
    evidence = Evidence(store)
    assert list(evidence.runs("headline")["run_id"]) == [run_id]
    np.testing.assert_array_equal(evidence.band(run_id)["w"], good())


@pytest.mark.parametrize("kind", ["long", "texts", "altered"])
def test_a_history_that_is_none_is_left_out_and_named(store: Any, kind: str) -> None:
    run_id = add_run(store, TINY)
    run = TrackedRun(store.client, run_id)
    assert run._root is not None
    table = pd.read_parquet(run._root / HISTORY)
    if kind == "long":
        table = pd.DataFrame(dict.fromkeys(("epoch", "accuracy/train", "accuracy/test"), np.zeros(10**6)))
    elif kind == "texts":
        table["accuracy/train"] = "high"
    table.to_parquet(run._root / HISTORY, write_page_checksum=True, compression="none", use_dictionary=False)
    if kind == "altered":
        content = bytearray((run._root / HISTORY).read_bytes())
        number = struct.pack("<d", table["accuracy/train"][30])
        content[content.index(number)] ^= 1  # without a checksum it is another number
        (run._root / HISTORY).write_bytes(content)
    words = {"long": "1000000 rows, at most 65 are expected", "texts": "no numbers in accuracy/train", "altered": "CRC"}
    (reason,) = Evidence(store).left_out["reason"]
    assert words[kind] in reason


def test_tables_of_a_run_carry_checksums(finished: Any, tmp_path: Path) -> None:
    """Wherever a bit of the numbers is turned over, the table is refused or the same."""
    whole = (finished.root / HISTORY).read_bytes()
    right, refused = pd.read_parquet(finished.root / HISTORY), 0
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # the description of the table behind them has no checksum
    for place in np.linspace(4, pages - 1, 40).astype(int):
        content = bytearray(whole)
        content[place] ^= 1
        (tmp_path / HISTORY).write_bytes(content)
        try:
            pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / HISTORY, page_checksum_verification=True), right)
        except OSError:
            refused += 1
    assert refused > 20


def test_json_and_tables_beyond_a_bound_are_not_read(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep.json").write_text("[" * 10**5)
    with pytest.raises(ValueError, match="nested too deep"):
        load_json(tmp_path / "deep.json")
    with pytest.raises(ValueError, match="100000 bytes of JSON that may take 1000000 of memory, at most 10 are read"):
        load_json(tmp_path / "deep.json", 10)
    run = store.create("table", {})
    run.put_text("a.csv", "x\n" * 100)
    monkeypatch.setattr("grok.store.tables.MOST_CSV_BYTES", 10)
    with pytest.raises(Exception, match="200 bytes, at most 10 are read"):
        RunFiles(store).csv(run.run_id, "a.csv")


def test_a_detector_that_only_a_store_names_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_detector.py").write_text("raise RuntimeError('it ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    row = {"detector": "their_detector:D", "slope_lag": 5, "slope_threshold": 0.1, "first_epoch": 3}
    assert np.isnan(detected(row, np.ones(65))["fired"])
    assert detected(row | {"detector": "slope"}, np.ones(65))["fired"] == 0.0


@pytest.mark.fuzz
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_bytes_a_file_has_it_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    import torch

    save(tmp_path / "a.safetensors", {"x": torch.arange(40.0)}, {"epoch": 1})
    np.savez_compressed(tmp_path / "a.npz", w=good(8, 4))
    (tmp_path / "a.json").write_text('{"a": [1, 2, {"b": null}]}')
    for name, read, errors in (
        ("a.safetensors", load, (CheckpointError,)),
        (
            "a.npz",
            load_arrays,
            (ValueError, OSError, zipfile.BadZipFile, NotImplementedError, EOFError, KeyError, RuntimeError),
        ),
        ("a.json", load_json, (ValueError,)),
    ):
        content = bytearray((tmp_path / name).read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(0, len(content)))]
        (tmp_path / name).write_bytes(content)
        try:
            read(tmp_path / name)
        except errors as error:
            assert str(error) or isinstance(error, EOFError)  # noqa: PT017
        except Exception as error:  # zlib's own, which has no public base
            assert type(error).__module__ in ("zlib", "struct", "tokenize")  # noqa: PT017


# the folder of a report


def built(folder: Path) -> Path:
    """A report of two files, as `build` leaves it."""
    for part in write.PARTS:
        (folder / part).mkdir(parents=True)
    (folder / "report.md").write_text("new")
    (folder / "data" / "claims.csv").write_text("new")
    write._manifest(folder, write.digests(folder))
    return folder


def earlier(out: Path, *names: str) -> None:
    """What an earlier report left, with these files."""
    out.mkdir()
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("old")
    (out / write.MANIFEST).write_text(json.dumps({"made_by": write.MADE_BY, "files": dict.fromkeys(names, "")}))


def test_nothing_is_written_or_deleted_through_a_link(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "claims.csv").write_text("theirs")
    (outside / "old.csv").write_text("theirs")
    earlier(out)
    (out / write.MANIFEST).write_text(
        json.dumps({"made_by": write.MADE_BY, "files": ["data/old.csv", "data/claims.csv", "../outside/old.csv", "/etc/x"]})
    )
    (out / "data").symlink_to(outside)
    with pytest.raises(ConfigError, match=r"out must hold no link for a folder of the report, got .*/out/data\. Remove it"):
        write.publish(built(tmp_path / "built"), out)
    (out / "data").unlink()
    (outside / "target").write_text("theirs")
    (out / f".{write.MANIFEST}.partial").symlink_to(outside / "target")
    write.publish(tmp_path / "built", out)
    assert {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(
        ("claims.csv", "old.csv", "target"), "theirs"
    )
    assert (out / "data" / "claims.csv").read_text() == "new"


@pytest.mark.parametrize("name", ["report.md", "data/claims.csv"])
def test_a_folder_where_a_file_should_be_is_refused_and_nothing_is_changed(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    earlier(out, "report.md", "data/claims.csv")
    (out / name).unlink()
    (out / name).mkdir()
    with pytest.raises(ConfigError, match="out must not hold other files under the report's names"):
        write.publish(built(tmp_path / "built"), out)
    assert {path.read_text() for path in out.rglob("*") if path.is_file() and path.name != write.MANIFEST} == {"old"}


@pytest.mark.parametrize(
    "manifest", ["[" * 10**5, "5", '{"made_by": 3}', '{"made_by": "entry_points.analyze", "files": 5}', ""]
)
def test_a_manifest_that_is_none_is_refused_in_one_line(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / write.MANIFEST).write_text(manifest)
    with pytest.raises(ConfigError, match="out must be a new folder or one that analyze made"):
        write.owned(tmp_path / "out")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "/proc/report", "/dev/null/report"])
def test_a_name_that_cannot_be_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^out must be .*\.$") as caught, write.workspace(Path(name)) as folder:
        write.publish(built(folder / "x"), Path(name))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a file immutable, which keeps root out too")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    import subprocess

    out = tmp_path / "out"
    earlier(out, "report.md")
    if subprocess.run(["chattr", "+i", str(out)], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        with pytest.raises(ConfigError, match=r"out must be a folder that can be written, got .*Operation not permitted"):
            write.publish(built(tmp_path / "built"), out)
    finally:
        subprocess.run(["chattr", "-i", str(out)], check=True)
    assert (out / "report.md").read_text() == "old"


def test_folders_that_killed_commands_built_in_are_swept_and_those_at_work_stay(tmp_path: Path) -> None:
    for name in ("dead", "living"):
        (tmp_path / f"{write.WORKSPACE}{name}").mkdir()
        (tmp_path / f"{write.WORKSPACE}{name}" / write.LOCK).touch()
        os.utime(tmp_path / f"{write.WORKSPACE}{name}", (1, 1))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{write.WORKSPACE}link").symlink_to(tmp_path / "elsewhere")
    with FileLock(tmp_path / f"{write.WORKSPACE}living" / write.LOCK), write.workspace(tmp_path / "out") as folder:
        assert folder.is_dir()
        assert not (tmp_path / f"{write.WORKSPACE}dead").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".report-link", ".report-living", "elsewhere"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**5,
        json.dumps({"format": FORMAT, "claims": 5}),
        json.dumps({"format": FORMAT, "claims": [5]}),
        *(
            json.dumps(
                {"format": FORMAT, "claims": [dict.fromkeys(("id", "statement", "verdict", "measured"), "x") | {key: value}]}
            )
            for key, value in (("studies", 5), ("studies", [5]), ("measured", "\ud800"), ("studies", ["\udfff"]), ("id", None))
        ),
        "9" * 5000,
    ],
    ids=["deep", "no list", "no claim", "studies 5", "studies [5]", "half a character", "half a name", "no id", "digits"],
)
def test_a_baseline_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "claims.json").write_text(text)
    with pytest.raises(
        ConfigError, match=rf"^baseline must have a claims.json of format {FORMAT}, got .*Make it anew\.$"
    ) as no:
        read_baseline(None, str(tmp_path))  # type: ignore[arg-type]
    assert "\n" not in str(no.value)
    str(no.value).encode("utf-8")


def test_a_run_whose_config_a_hand_made_otherwise_is_named_with_the_others(store: Any) -> None:
    """The tag of the identity set by hand, to that of another run."""
    one, other = add_run(store, TINY), add_run(store, replace(TINY, seed=9))
    store.client.set_tag(other, "grok.config_hash", store.get(one).config_hash)
    reasons = Evidence(store).left_out.set_index("run_id")["reason"]
    assert "params are not those" in reasons[other]
    assert list(Evidence(store).runs("headline")["run_id"]) == [one]
