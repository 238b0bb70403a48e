"""Finished runs whose files are gone, cut short or altered: they stand for no config, and are kept as they are."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grok.runs import train
from grok.spec.artifacts import BAND, FACTORS, HISTORY, WEIGHTS, bounds, needed
from grok.store import whole
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.tables import load_table, save_table
from grok.store.tags import StoredRun
from tests.bundle.conftest import call
from tests.conftest import TINY

pytestmark = pytest.mark.faults
LAST = WEIGHTS.format(TINY.epochs)
STUDY = """\
two:
  sentence: Two cells.
  source: ours
  runs:
    - {condition: grok, modulus: 7, width: 16, epochs: 30, max_window: 12, window: 6, slope_lag: 3, first_epoch: 8,
       top_pairs: 20, threads: 1, device: cpu, seed: 0..1}
"""


def turn(path: Path, place: int) -> None:
    """A bit of a file is turned over."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    """The last byte of a file is gone."""
    path.write_bytes(path.read_bytes()[:-1])


def bomb(path: Path, method: int, numbers: int = 2_500_000) -> None:
    """Many zeros in few bytes."""
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("w.npy", "w") as member:
        np.save(member, np.zeros(numbers))


def repeat(path: Path) -> None:
    """Every row of a table twice."""
    table = load_table(path)
    save_table(path, pd.concat([table, table], ignore_index=True))


DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    (HISTORY, Path.unlink, f"its file {HISTORY} is gone"),
    (BAND, Path.unlink, f"its file {BAND} is gone"),
    (LAST, Path.unlink, f"its file {LAST} is gone"),
    (HISTORY, cut, f"its file {HISTORY} is not whole"),
    (BAND, cut, f"its file {BAND} is not whole"),
    (LAST, cut, f"its file {LAST} is not whole"),
    (HISTORY, lambda path: path.write_bytes(b""), f"its file {HISTORY} is not whole"),
    (BAND, lambda path: path.write_bytes(b""), f"its file {BAND} is not whole"),
    (LAST, lambda path: path.write_bytes(b""), f"its file {LAST} is not whole"),
    (HISTORY, lambda path: turn(path, 200), f"its file {HISTORY} is not whole"),
    (BAND, lambda path: turn(path, 200), f"its file {BAND} is not whole"),
    (HISTORY, lambda path: turn(path, -3), f"its file {HISTORY} is not whole"),
    (BAND, lambda path: turn(path, -3), f"its file {BAND} is not whole"),  # where its list of arrays begins: before the file
    (BAND, lambda path: bomb(path, zipfile.ZIP_DEFLATED), f"its file {BAND} is not whole (20000128 bytes of arrays, at most"),
    (BAND, lambda path: bomb(path, zipfile.ZIP_LZMA, 9), f"its file {BAND} is not whole (arrays packed by method 14"),
    (HISTORY, repeat, f"its file {HISTORY} is not whole (130 rows, at most 65 are expected"),
    ("", shutil.rmtree, "its folder of files is gone"),
]
"""A file of a run, what is done to it, and what is said."""


@pytest.fixture
def done(store: Any, tiny: Any) -> tuple[Path, Callable[[], StoredRun]]:
    """The folder of a finished run's files, and the run as the store has it."""
    (outcome,) = train.train_tracked([tiny()], store)
    return Path(str(TrackedRun(store.client, outcome.run_id)._root)), lambda: store.get(outcome.run_id)


def test_what_was_damaged_is_named_and_a_whole_run_is_whole(done: Any) -> None:
    root, run = done
    assert whole.flaw(run()) == ""
    kept = root.with_name("kept")
    shutil.copytree(root, kept)
    for name, damage, told in DAMAGES:
        damage(root / name)
        assert whole.flaw(run()).startswith(told), (name, told)
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(kept, root)
    assert whole.flaw(run()) == ""


def test_what_a_run_needs_follows_from_its_config(tiny: Any) -> None:
    config = tiny(checkpoint_epochs=(0, 64))
    assert needed(config, complete=True) == (HISTORY, BAND, WEIGHTS.format(0), LAST)
    assert needed(config, complete=False) == (HISTORY, BAND)
    assert FACTORS in needed(tiny(spectrum_methods=("gram", "svd")), complete=False)


def test_a_large_run_is_held_against_what_its_config_asks_for(done: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not against one bound for all."""
    large = tiny(epochs=800, max_window=512, window=512, slope_lag=25, spectrum_methods=("gram", "svd"))
    assert bounds(large)[FACTORS] > 8 * 2 * 801 * 512**2 > whole.MOST_BYTES
    _, run = done
    monkeypatch.setattr(whole, "MOST_BYTES", 10)
    assert whole.flaw(run()) == ""


def test_files_that_did_not_come_with_a_run_are_not_missed(store: Any, done: Any) -> None:
    root, run = done
    (root / BAND).unlink()
    store.client.set_tag(run().run_id, "grok.files_left_out", BAND)
    assert whole.flaw(run()) == ""


@pytest.mark.parametrize("damage", [DAMAGES[4], DAMAGES[-1]], ids=["band cut", "folder gone"])
def test_the_same_command_trains_anew(damage: Any, done: Any, tiny: Any, flags: Any, command: Any, caplog: Any) -> None:
    root, run = done
    name, change, told = damage
    change(root / name)
    answer = command(*flags(tiny()))
    assert (answer.status, answer.words["reused"], answer.words["state"]) == (0, "no", "complete")
    assert f"{run().run_id} is passed over: {told}" in caplog.text
    assert command(*flags(tiny())).words == {**answer.words, "reused": "yes"}
    assert run().state == "complete"  # it is kept as it is


def test_a_run_that_is_named_is_refused(done: Any, command: Any) -> None:
    root, run = done
    cut(root / BAND)
    answer = command("--resume", run().run_id)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert f"run must be whole, got {run().run_id}: its file {BAND} is not whole" in answer.err


def test_a_store_whose_files_are_away_trains_nothing(done: Any, tiny: Any, flags: Any, command: Any, store: Any) -> None:
    """As those of a disk that is not mounted."""
    root, _ = done
    home = root.parent.parent
    home.rename(home.with_name("away"))
    for config in (tiny(), replace(tiny(), device="cpu")):
        answer = command(*flags(config))
        assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
        assert f"files of finished runs must be there, got no folder {home}" in answer.err
    assert len(store.prior(tiny())) == 1


def test_a_study_trains_the_cell_of_a_broken_run_anew(store: Any, tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "own.yaml").write_text(STUDY, encoding="utf-8")
    words = ("study", "--study", str(tmp_path / "own.yaml"), "--backend", "sequential")
    assert call(*words).words["trained"] == "2"
    broken = next(run for run in store.find({"kind": "train"}))
    cut(Path(str(TrackedRun(store.client, broken.run_id)._root)) / BAND)
    store.client.set_tag(broken.run_id, "mlflow.note.content", "mine")
    answer = call(*words)
    assert (answer.status, answer.words["trained"], answer.words["reused"]) == (0, "1", "1")
    assert f"{broken.run_id} is passed over: its file {BAND} is not whole" in caplog.text
    assert store.get(broken.run_id).tags["mlflow.note.content"] == "mine"
    assert call(*words).words["reused"] == "2"


def test_a_report_without_runs_says_why_those_that_are_there_do_not_count(store: Any, tiny: Any, tmp_path: Path) -> None:
    (outcome,) = train.train_tracked([tiny()], store, tags={"study.headline": "grok"})
    cut(Path(str(TrackedRun(store.client, outcome.run_id)._root)) / BAND)
    answer = call("analyze", "--study", "headline", "--out", str(tmp_path / "report"))
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"got none in {store.uri} that counts (1 left out, the first: {BAND} must be a whole npz file" in answer.err
    assert not (tmp_path / "report").exists()


def test_a_study_has_the_same_table_in_whatever_order_its_runs_came(store: Any, tmp_path: Path) -> None:
    """Columns that one run alone has stand at one place."""
    (tmp_path / "own.yaml").write_text(STUDY.replace("seed: 0..1}", 'seed: 0, spectrum_methods: "gram,svd"}'), encoding="utf-8")
    with (tmp_path / "own.yaml").open("a", encoding="utf-8") as file:
        file.write(STUDY.partition("runs:\n")[2].replace("seed: 0..1", "seed: 1"))
    words = ("study", "--study", str(tmp_path / "own.yaml"), "--backend", "sequential")

    def columns() -> list[str]:
        (parent,) = store.find({"kind": "study"})
        return (
            (Path(str(TrackedRun(store.client, parent.run_id)._root)) / "runs.csv")
            .read_text("utf-8")
            .splitlines()[0]
            .split(",")
        )

    call(*words)
    before = columns()
    for run in store.find({"kind": "train"}):
        store.client.delete_run(run.run_id) if run.params["seed"] == "0" else None
    assert call(*words).words["trained"] == "1"
    assert columns() == before
    assert "delta_w_svd/gap_23" in before


SAYS_NOTHING = (
    PermissionError(13, "Permission denied"),
    OSError(5, "Input/output error"),
    OSError(24, "Too many open files"),
    MemoryError("none"),
    MemoryError("malloc of size 4096 failed"),
)
BROKEN = (
    OSError(22, "Invalid argument"),
    OSError(27, "File too large"),
    NotADirectoryError(20, "Not a directory"),
    MemoryError("malloc of size 2147483584 failed"),  # what no file of so small a run asks for
    RecursionError("too deep"),
)


@pytest.mark.parametrize("name", [BAND, HISTORY])
def test_what_keeps_a_file_from_being_read_says_nothing_of_its_run(
    done: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No right to it, a bad disk, no memory: refused, and nothing is trained anew. Not so what broken bytes end in."""
    _, run = done
    raised: list[BaseException] = []

    def fail(path: Path, most: int) -> None:
        raise raised[-1]

    monkeypatch.setitem(whole.CHECKS, Path(name).suffix, fail)
    for error in SAYS_NOTHING:
        raised.append(error)
        with pytest.raises(StoreError, match=rf"files of finished runs must be readable, got .*{Path(name).name}"):
            whole.flaw(run())
    for error in BROKEN:
        raised.append(error)
        assert whole.flaw(run()).startswith(f"its file {name} is not whole"), error


def test_a_study_names_a_cell_that_its_tables_do_not_count(store: Any, tmp_path: Path, caplog: Any) -> None:
    """Whole files with numbers that no run has."""
    (tmp_path / "own.yaml").write_text(STUDY, encoding="utf-8")
    words = ("study", "--study", str(tmp_path / "own.yaml"), "--backend", "sequential")
    call(*words)
    wrong = store.find({"kind": "train"})[0].run_id
    path = Path(str(TrackedRun(store.client, wrong)._root)) / HISTORY
    save_table(path, load_table(path).assign(**{"accuracy/test": 2.0}))
    for _ in range(2):  # each time
        caplog.clear()
        call(*words)
        assert f"{wrong} is not counted: {HISTORY} must have accuracy/test in [0, 1] at every epoch" in caplog.text
