"""Files of finished runs that were cut, altered or swapped: told by name, for that run alone, and never counted."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.reading.evidence import Evidence
from grok.spec import limited
from grok.spec.artifacts import BAND, FACTORS, HISTORY
from grok.spec.limited_tables import check_table
from grok.store import files
from grok.store.errors import StoreError
from grok.store.store import open_store
from grok.store.tables import load_table, save_table
from tests.bundle.conftest import call
from tests.frozen import frozen_store
from tests.frozen.after.make_store import ARCHIVE
from tests.frozen.frozen_store import Frozen, named

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """Unpacked once; each test gets its runs' files anew."""
    found = frozen_store.unpack(tmp_path_factory.mktemp("kept"))
    shutil.copytree(found.folder / "mlruns", found.folder / "sound")
    return found


@pytest.fixture
def own(unpacked: Frozen) -> Iterator[Frozen]:
    shutil.rmtree(unpacked.folder / "mlruns")
    shutil.copytree(unpacked.folder / "sound", unpacked.folder / "mlruns")
    with named(unpacked):
        yield unpacked


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def reshaped(path: Path) -> None:
    tensors, facts = files.load(path)
    files.save(path, {name: tensor[:-1] for name, tensor in tensors.items()}, facts)


def without_numbers(path: Path) -> None:
    tensors, facts = files.load(path)
    files.save(path, {name: torch.full_like(tensor, torch.nan) for name, tensor in tensors.items()}, facts)


def left_out(own: Frozen, name: str = "complete") -> str:
    """Why a run is not counted, of a store that is read anew; the other run of the study is."""
    evidence = Evidence(own.store)
    table = evidence.runs("headline")
    assert own.ids["eta0"] in set(table["run_id"])
    assert own.ids[name] not in set(table["run_id"])
    found = evidence.left_out
    return str(found[found["run_id"] == own.ids[name]]["reason"].iloc[0])


# measured again


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, "checkpoint must be a whole safetensors file"),
        (reshaped, "checkpoints/epoch-00020.safetensors must have layers v (32, 11), w (22, 32), got v (31, 11), w (21, 32)"),
        (without_numbers, "checkpoints/epoch-00020.safetensors must have finite weights"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_told_for_its_run_and_the_others_are_measured(
    own: Frozen, change: Any, words: str
) -> None:
    broken, sound = own.ids["complete"], own.ids["eta0"]
    change(own.root(broken) / "checkpoints" / "epoch-00020.safetensors")
    answer = call("measure", "--study", "headline", "--what", "answers")
    assert answer.status == 1
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"failed: {broken}: ")
    assert words in answer.err
    assert "runs=2 " in answer.out
    assert "failed=1 " in answer.out
    assert (own.root(sound) / "answers.parquet").exists()
    assert not (own.root(broken) / "answers.parquet").exists()


def test_a_run_that_is_left_out_of_its_study_is_told_by_what_measures_the_study(own: Frozen) -> None:
    cut(own.root(own.ids["complete"]) / BAND)
    for words in (("measure", "--what", "answers"), ("signals", "--signals", "rho", "--workers", "1")):
        answer = call(*words, "--study", "headline")
        assert answer.status == 1
        assert answer.err.startswith(f"failed: {own.ids['complete']}: {BAND} must be a whole npz file, got ")
        assert answer.err.count("\n") == 1
        assert ("runs=2 " in answer.out, "failed=1 " in answer.out) == (True, True)


def test_files_beside_the_checkpoints_are_passed_over(own: Frozen) -> None:
    folder = own.root(own.ids["complete"]) / "checkpoints"
    for name in ("notes.txt", "epoch-x.safetensors", "epoch-7.safetensors", "epoch-00099.safetensors"):
        (folder / name).write_text("junk")
    answer = call("measure", "--study", "headline", "--what", "answers")
    assert (answer.status, answer.err) == (0, "")
    epochs = load_table(own.root(own.ids["complete"]) / "answers.parquet")["epoch"]
    assert list(epochs) == [0, 20, 48]


def test_a_table_of_signals_that_was_cut_is_computed_anew(own: Frozen) -> None:
    run_id = own.ids["complete"]
    path = own.root(run_id) / "signals.parquet"
    words = ("signals", "--run", f"{run_id},{own.ids['eta0']}", "--signals", "rho,weight_norm", "--workers", "1")
    assert call(*words).status == 0
    right = load_table(path)
    cut(path)
    again = call(*words)
    assert (again.status, "signals=2 failed=0" in again.out) == (0, True)
    assert again.err.startswith(f"signals.parquet and signal_versions.parquet must be whole, got others in {run_id} (")
    assert again.err.count("\n") == 1
    pd.testing.assert_frame_equal(load_table(path), right)
    save_table(path, right.rename(columns={"value": "valve"}))
    assert call(*words).status == 0
    pd.testing.assert_frame_equal(load_table(path), right)


def test_a_run_that_signals_cannot_be_computed_of_is_told_and_the_others_are(own: Frozen) -> None:
    broken, sound = own.ids["complete"], own.ids["eta0"]
    cut(own.root(broken) / "checkpoints" / "epoch-00020.safetensors")
    answer = call("signals", "--run", f"{broken},{sound}", "--signals", "rho", "--workers", "1")
    assert answer.status == 1
    assert answer.err.startswith(f"failed: {broken}: checkpoint must be a whole safetensors file")
    assert (own.root(sound) / "signals.parquet").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("signals", "--run", "../../etc/passwd"), "run must be named by its id"),
        (("signals", "--run", "0" * 32), "run must exist in"),
        (("signals", "--run", "x" * 3000), "run must be named by its id"),
        (("signals", "--epochs", "0-99999999999-1"), "epochs must be at most 1000000 in all, got 100000000000 in 0-9999"),
        (("signals", "--epochs", "x" * 3000), "epochs must be whole numbers separated by commas"),
        (("signals", "--epochs", "9" * 3000), "epochs must be whole numbers separated by commas"),
        (("signals", "--epochs", "5-4-1"), "epochs must be whole numbers separated by commas"),
        (("measure", "--what", "x" * 3000), "what must be of repulsion, ranks"),
    ],
)
def test_what_a_command_is_asked_for_wrongly_is_refused_in_one_short_line(
    own: Frozen, words: tuple[str, ...], said: str
) -> None:
    answer = call(*words)
    assert answer.status == 2
    assert answer.err.startswith(f"error: {said}")
    assert answer.err.count("\n") == 1
    assert len(answer.err) < 400


# counted


def test_one_bit_of_a_table_does_not_change_a_number_unnoticed(own: Frozen) -> None:
    """Wherever it is: in a page, in the name of a column, in the place of a page, in the checksum itself."""
    run_id = own.ids["complete"]
    path = own.root(run_id) / "signals.parquet"
    assert call("signals", "--run", run_id, "--signals", "rho,weight_norm", "--workers", "1").status == 0
    right, content = Evidence(own.store).signals(run_id), path.read_bytes()
    refused, rng = 0, np.random.default_rng(0)
    for at in rng.integers(4, len(content) - 8, 150):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :])
        try:
            found = Evidence(own.store).files.table(run_id, "signals.parquet")
        except StoreError:
            refused += 1
        else:
            pd.testing.assert_frame_equal(found, right)
    assert refused > 60


def test_a_table_of_earlier_code_has_no_checksums_and_is_read(tmp_path: Path) -> None:
    table = pd.DataFrame({"epoch": [0, 1], "signal": ["a", "b"], "value": [0.5, 0.25]})
    table.to_parquet(tmp_path / "t.parquet", index=False)
    pd.testing.assert_frame_equal(load_table(tmp_path / "t.parquet"), table)


def test_a_table_of_any_columns_comes_back_as_it_was(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "float": [0.1, np.nan, -0.0],
            "small": np.array([1, 2, 3], dtype=np.float32),
            "whole": [1, 2, 3],
            "text": ["a", None, "ü"],
            "flag": [True, False, True],
            "unknown": [True, None, False],
            "mixed": pd.Series([1, None, 3], dtype=object),
            "list": [[1.0, 2.0], [], [3.0]],
            "time": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "category": pd.Categorical(["a", "b", "a"]),
            "none": [None, None, None],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
        }
    )
    table.to_parquet(tmp_path / "plain.parquet", index=False)
    save_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(load_table(tmp_path / "t.parquet"), pd.read_parquet(tmp_path / "plain.parquet"))
    save_table(tmp_path / "empty.parquet", table[:0])
    assert list(load_table(tmp_path / "empty.parquet")) == list(table)
    first = (tmp_path / "t.parquet").read_bytes()
    save_table(tmp_path / "t.parquet", table)
    assert (tmp_path / "t.parquet").read_bytes() == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {name: one[:, 0, 0] for name, one in a.items()}, "no factors of real numbers"),
        (lambda a: {name: np.full_like(one, np.nan) for name, one in a.items()}, "must have finite factors from epoch"),
        (lambda a: {name: one[:, 1:, 1:] for name, one in a.items()}, "one for each of 49 epochs"),
        (lambda a: {name: one[:-1] for name, one in a.items()}, "one for each of 49 epochs"),
        (lambda a: {name: one for name, one in a.items() if "qr" not in name}, "must have factors gram32_v, gram32_w, qr_v"),
        (lambda a: {name: one.astype(complex) for name, one in a.items()}, "not plain numbers"),
    ],
)
def test_factors_of_other_shapes_or_without_numbers_leave_their_run_out(own: Frozen, change: Any, words: str) -> None:
    path = own.root(own.ids["complete"]) / FACTORS
    np.savez_compressed(path, **change(limited.load_arrays(path)))
    assert words in left_out(own)


@pytest.mark.parametrize(
    ("column", "value"), [("accuracy/test", 7.5), ("accuracy/train", np.nan), ("loss/train", np.inf), ("loss/train", -1.0)]
)
def test_scores_that_no_run_has_leave_their_run_out(own: Frozen, column: str, value: float) -> None:
    path = own.root(own.ids["complete"]) / HISTORY
    table = load_table(path)
    table.loc[table.index[7], column] = value
    save_table(path, table)
    assert f"{HISTORY} must have {column} " in left_out(own)


# exported


@pytest.fixture
def after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Frozen]:
    """The store of the code after the move."""
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(frozen_store, "ARCHIVE", ARCHIVE)
    found = frozen_store.unpack(tmp_path / "home")
    with named(found):
        yield found


def brought(after: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The runs of `bundle` in a store of their own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/away.db")
    answer = call("import", "--bundle", str(tmp_path / "bundle"))
    assert answer.status == 0, answer.err
    return open_store()


def test_a_store_with_short_runs_is_exported_with_the_default_flags_and_read_elsewhere(
    after: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = call("export", "--out", str(tmp_path / "bundle"))
    assert (answer.status, answer.err) == (0, "")
    here, there = Evidence(after.store), Evidence(brought(after, tmp_path, monkeypatch))
    pd.testing.assert_frame_equal(here.runs("headline"), there.runs("headline"))
    run_id = after.ids["complete"]
    pd.testing.assert_frame_equal(here.history(run_id), there.history(run_id))
    pd.testing.assert_frame_equal(here.measured(run_id, "ranks"), there.measured(run_id, "ranks"))


def test_tables_of_imported_runs_have_checksums_too(after: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("export", "--out", str(tmp_path / "bundle"), "--bands", "all").status == 0
    store, run_id = brought(after, tmp_path, monkeypatch), after.ids["complete"]
    path = Path(store.get(run_id).info.artifact_uri.removeprefix("file://")) / HISTORY
    right, content, refused = Evidence(store).files.history(run_id), path.read_bytes(), 0
    for at in range(4, len(content) - 8, 401):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            found = Evidence(store).files.history(run_id)
        except StoreError:
            refused += 1
        else:
            pd.testing.assert_frame_equal(found, right)
    assert refused > 20


def test_an_altered_table_is_exported_as_it_is_and_told_and_not_sealed_as_sound(
    after: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = after.ids["complete"]
    path = after.root(run_id) / HISTORY
    save_table(path, load_table(path))
    content = bytearray(path.read_bytes())
    for at in range(40, len(content)):
        altered = bytes(content[:at]) + bytes([content[at] ^ 4]) + bytes(content[at + 1 :])
        path.write_bytes(altered)
        try:
            load_table(path)
        except (ValueError, OSError) as error:
            if "CRC" in str(error) or "checksum" in str(error):
                break
    answer = call("export", "--out", str(tmp_path / "bundle"))
    assert answer.status == 0
    assert answer.err == f"broken: {run_id}: {answer.err.partition(run_id + ': ')[2]}"
    assert f"{HISTORY} is not whole and goes as it is" in answer.err
    there = Evidence(brought(after, tmp_path, monkeypatch))
    assert run_id not in set(there.runs("headline").get("run_id", []))
    assert f"{HISTORY} must be a whole parquet file" in there.left_out.set_index("run_id")["reason"][run_id]


def test_a_run_whose_files_cannot_be_read_is_told_and_the_rest_is_exported(after: Frozen, tmp_path: Path) -> None:
    run_id = after.ids["interrupted"]
    with contextlib.closing(sqlite3.connect(after.folder / "mlflow.db")) as database:
        database.execute("UPDATE runs SET artifact_uri = 'file:///etc' WHERE run_uuid = ?", (run_id,))
        database.commit()
    answer = call("export", "--out", str(tmp_path / "bundle"))
    assert answer.status == 1
    assert answer.err.startswith(f"failed: {run_id}: artifacts of a run must be in a folder {run_id}/artifacts, got /etc")
    assert answer.err.count("\n") == 1
    rows = json.loads((tmp_path / "bundle" / "runs.json").read_text())["runs"]
    assert after.ids["complete"] in {row["run_id"] for row in rows}
    assert run_id not in {row["run_id"] for row in rows}


# sizes


def test_a_table_of_many_rows_is_refused_before_it_is_read(tmp_path: Path) -> None:
    save_table(tmp_path / "t.parquet", pd.DataFrame({"epoch": np.zeros(100_000, dtype=np.int64), "value": 0.0}))
    assert (tmp_path / "t.parquet").stat().st_size < 10_000
    with pytest.raises(ValueError, match="100000 rows that unfold to 1600000 bytes or more, at most 1000000 are expected"):
        check_table(tmp_path / "t.parquet", 1_000_000)
    check_table(tmp_path / "t.parquet", 1_600_000)


def test_texts_of_a_table_are_counted_as_often_as_they_are_there(tmp_path: Path) -> None:
    rows: dict[str, Any] = {
        "plain": ["x" * 1000] * 500,
        "listed": [["y" * 1000, None]] * 500,
        "within": [{"name": "z" * 1000}] * 500,
        "none": [None] * 500,
    }
    for name, values in rows.items():
        save_table(tmp_path / "t.parquet", pd.DataFrame({name: pd.Series(values, dtype=object)}))
        check_table(tmp_path / "t.parquet", 760_000)
        if name != "none":
            with pytest.raises(ValueError, match=r"500 rows that unfold to [5-7]\d{5} bytes or more"):
                check_table(tmp_path / "t.parquet", 490_000)
