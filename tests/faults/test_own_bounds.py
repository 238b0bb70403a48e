"""How large its files may be and how long it ran follows from what a run says of itself: its reader keeps bounds of its own."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.reading.evidence import Evidence
from analysis.reading.latest import Latest
from analysis.sensitivity.signal_cells import with_signal
from grok.runs import train
from grok.spec import limited
from grok.spec.artifacts import BAND, HISTORY, WEIGHTS
from grok.spec.config import MOST_CHECKPOINTS, ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.limited import BrokenFileError, NoRoomError, load_arrays
from grok.store import whole
from grok.store.run import TrackedRun
from tests.conftest import TINY
from tests.faults.test_reports import npy, npz
from tests.reading.test_evidence import add_run, put_history
from tests.sensitivity.test_signal_cells import Tables, cells
from tests.store.test_bounds import peak

pytestmark = pytest.mark.faults
MB = 10**6
LONG = 10**12
"""Epochs."""


# how long it ran


@pytest.mark.parametrize("changes", [{"epochs": LONG}, {"epochs": LONG, "evaluate_every": 7}])
def test_a_run_of_any_length_is_left_out_at_once(store: Any, monkeypatch: pytest.MonkeyPatch, changes: Any) -> None:
    def asked(config: ResolvedConfig, epoch: int) -> bool:
        raise AssertionError("an epoch is asked for one by one")

    monkeypatch.setattr(ResolvedConfig, "evaluated", asked)
    good, long = add_run(store, TINY), add_run(store, replace(TINY, seed=3, **changes), epochs=64)
    evidence = Evidence(store)
    assert list(evidence.runs("headline")["run_id"]) == [good]
    (left,) = evidence.left_out.to_dict("records")
    assert (left["run_id"], left["reason"]) == (
        long,
        f"its files must cover {LONG} epochs, got 65 rows and 64 updates",
    )


@pytest.mark.parametrize("every", [1, 2, 3, 7, 64, 65, 1000])
def test_evaluations_are_counted_without_going_through_them(every: int) -> None:
    for epochs in (1, 2, 6, 63, 64, 65, 66):
        config = RunConfig(epochs=epochs, evaluate_every=every, checkpoint_epochs=()).resolved()
        assert config.evaluations == sum(config.evaluated(epoch) for epoch in range(epochs + 1))


def test_the_checkpoints_of_auto_are_not_written_out_where_they_are_too_many(store: Any) -> None:
    """A config is made of a run's params, which may leave them out, before anything else is known of it."""
    began = time.monotonic()
    words = (
        rf"^checkpoint_epochs must be given where a run of {LONG} steps is evaluated more than {MOST_CHECKPOINTS} times, got"
    )
    with pytest.raises(ConfigError, match=words):
        RunConfig(epochs=LONG, evaluate_every=2).resolved()
    given = RunConfig(epochs=LONG, evaluate_every=2, checkpoint_epochs=(5,)).resolved()
    assert given.display_name() == f"square, epochs={LONG}, checkpoint_epochs=5, evaluate_every=2, seed 0"
    run_id = add_run(store, given, epochs=4)
    store.client.set_tag(run_id, "grok.protocol", "1")
    assert store.get(run_id).edited == ""
    assert time.monotonic() - began < 5
    most = RunConfig(epochs=2 * (MOST_CHECKPOINTS - 1), evaluate_every=2).resolved()
    assert len(most.checkpoint_epochs) == most.evaluations == MOST_CHECKPOINTS
    assert most.display_name() == f"square, epochs={most.epochs}, evaluate_every=2, seed 0"
    assert RunConfig(epochs=MOST_CHECKPOINTS).display_name() == f"square, epochs={MOST_CHECKPOINTS}, seed 0"  # auto is a few


def test_a_signal_is_not_laid_out_over_more_epochs_than_memory_has() -> None:
    table = cells("a")
    table.cells["square", "grok"].table["epochs"] = LONG
    evidence: Any = Tables({"a": 20})
    with pytest.raises(ConfigError, match=rf"^epochs must be at most 268435456 times .*, got {LONG} in 1 runs\. Leave"):
        with_signal(table, evidence, "weight_norm")


# how large its files are


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which little is free."""
    monkeypatch.setattr(limited, "MOST_BYTES", 10_000)
    monkeypatch.setattr(limited, "free_memory", lambda: 60_000)


def test_files_within_a_runs_own_bound_are_held_against_the_free_memory(
    store: Any, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be those of a run of a larger machine: nobody is told to delete it."""
    run_id = add_run(store, TINY)
    evidence = Evidence(store)
    (reason,) = evidence.left_out["reason"]
    assert reason == (
        f"{BAND} must fit into memory, got {run_id} (24576 bytes, at most 20000 of the free memory are taken). "
        "Read it on a larger machine."
    )
    monkeypatch.setattr(limited, "free_memory", lambda: 3 * 24576)
    assert list(Evidence(store).runs("headline")["run_id"]) == [run_id]


def test_a_finished_run_that_memory_cannot_hold_is_whole(
    store: Any, tiny: Any, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are looked through piece by piece: a study whose run a larger machine made goes on."""
    (outcome,) = train.train_tracked([tiny()], store)
    run = store.get(outcome.run_id)
    monkeypatch.setattr(whole, "bounds", lambda config: {HISTORY: 65, BAND: 10**14})
    monkeypatch.setattr(limited, "free_memory", lambda: 3)
    assert whole.flaw(run) == ""


def test_what_is_less_than_any_run_may_have_is_read_whatever_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing asks what is: a run is read in the same way on a machine at work."""

    def asked() -> int:
        raise AssertionError("memory is asked for")

    monkeypatch.setattr(limited, "free_memory", asked)
    npz(tmp_path / "band.npz", w=npy(np.ones((64, 24))))
    assert load_arrays(tmp_path / "band.npz", 10**14)["w"].shape == (64, 24)
    limited.check_room(limited.MOST_BYTES)
    monkeypatch.setattr(limited, "free_memory", lambda: 3)
    with pytest.raises(NoRoomError, match=f"{2**31 + 1} bytes, at most {2**31} of the free memory are taken"):
        limited.check_room(limited.MOST_BYTES + 1)


def test_what_was_read_last_is_kept_within_bytes() -> None:
    read: list[str] = []

    def made(name: str) -> bytes:
        read.append(name)
        return name.encode() * 10

    kept = Latest(made, len, 3, 100)
    for name in ("a", "b", "a", "c", "a", "d", "b", "a"):  # three at most: d puts b out, b puts c out
        assert kept(name) == name.encode() * 10
    assert "".join(read) == "abcdb"
    assert kept("eeeeeee") == b"e" * 70  # with it there are 100 bytes
    assert kept("ffff") == b"f" * 40  # and now 110 without the two oldest
    assert kept("g" * 11) == b"g" * 110  # more than is kept puts nothing out
    read.clear()
    for name in ("ffff", "g" * 11, "a"):
        kept(name)
    assert read == ["g" * 11, "a"]


# what nothing of is there


def no_letters(count: int) -> bytes:
    """So many texts of no letters, which NumPy does not write."""
    header = f"{{'descr': '<U0', 'fortran_order': False, 'shape': ({count},), }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def test_an_empty_array_is_told_by_its_sides(tmp_path: Path) -> None:
    """Whoever goes through its rows takes memory for each."""
    path = tmp_path / "band.npz"
    for shape in ((10**9, 0), (0, 10**9), (10**5, 0, 10**5)):
        npz(path, w=npy(np.empty(shape)))
        with pytest.raises(BrokenFileError, match=r"^80*0 bytes of arrays, at most 2147483648 are expected"):
            load_arrays(path)
    npz(path, w=no_letters(10**9))
    with pytest.raises(BrokenFileError, match=r"^4000000000 bytes of arrays"):
        load_arrays(path)
    npz(path, w=npy(np.empty((0, 64))), v=npy(np.empty((12, 0))))  # a run that diverged at once has no updates
    assert {name: one.shape for name, one in load_arrays(path).items()} == {"w": (0, 64), "v": (12, 0)}


def test_a_run_that_diverged_at_once_is_read_without_updates(store: Any) -> None:
    run_id = add_run(store, TINY, state="diverged", epochs=0)
    put_history(TrackedRun(store.client, run_id), pd.DataFrame({"epoch": [0], "accuracy/train": [0.1], "accuracy/test": [0.1]}))
    assert Evidence(store).band(run_id)["w"].shape == (0, 24)


# the header of its weights


def test_the_header_of_a_finished_runs_weights_is_told_before_it_is_read(store: Any, tiny: Any) -> None:
    """Three bytes of it take seventy and more."""
    (outcome,) = train.train_tracked([tiny()], store)
    run = store.get(outcome.run_id)
    path = Path(str(TrackedRun(store.client, outcome.run_id)._root)) / WEIGHTS.format(TINY.epochs)
    content = b'{"x":[' + b"[]," * (6 * MB // 5) + b"[]]}"
    path.write_bytes(len(content).to_bytes(8, "little") + content)
    told = f"its file {path.parent.name}/{path.name} is not whole ({len(content)} bytes of JSON that may take"
    assert peak(lambda: whole.flaw(run)) < 20 * MB
    assert whole.flaw(run).startswith(told)
    path.write_bytes((10**9).to_bytes(8, "little") + b"{}")
    assert "not whole (a header of 1000000000 bytes in a file of 10" in whole.flaw(run)
    header = json.dumps({"x": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert "not whole (8 bytes of tensors in place of 9" in whole.flaw(run)
