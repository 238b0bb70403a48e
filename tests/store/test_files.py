"""Tensors on disk: exact, atomic, no pickle."""

import os
import resource
from pathlib import Path

import pytest
import torch

from grok.store import files as checkpoint
from grok.store.errors import one_line
from grok.store.files import CheckpointError, load, save


def test_load_gives_back_the_bits_that_save_took(tmp_path):
    tensors = {
        "single": torch.randn(3, 4),
        "double": torch.randn(5, dtype=torch.float64),
        "count": torch.tensor(7),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "turned": torch.randn(4, 3).T,
        "none": torch.empty(0, 2),
    }
    facts = {"epoch": 3, "nested": {"pairs": [[1, 2, 0.1 + 0.2]]}, "absent": None}
    save(tmp_path / "deep" / "state.safetensors", tensors, facts)
    loaded, read = load(tmp_path / "deep" / "state.safetensors")
    assert read == facts
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert loaded[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()


def test_loaded_tensors_do_not_change_with_the_file(tmp_path):
    path = tmp_path / "state.safetensors"
    save(path, {"x": torch.zeros(1000)}, {})
    first, _ = load(path)
    with open(path, "r+b") as file:
        file.seek(-4000, os.SEEK_END)
        file.write(b"\x3f" * 4000)
    assert not first["x"].any()
    with pytest.raises(CheckpointError, match=r"as it was written, got state\.safetensors, whose checksum is another"):
        load(path)


@pytest.mark.parametrize("left", [0, 1, 7, 100, -1])
def test_a_file_cut_short_is_refused_in_one_line(tmp_path, left):
    path = tmp_path / "state.safetensors"
    save(path, {"x": torch.randn(100)}, {"epoch": 1})
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=r"checkpoint must be a whole safetensors file, got state\.safetensors"):
        load(path)


def test_a_missing_file_and_one_of_another_maker_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    for name in ("missing", "foreign"):
        with pytest.raises(CheckpointError, match=f"{name}.safetensors"):
            load(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("step", ["save_file", "fsync", "replace"])
def test_a_failing_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "state.safetensors"
    save(path, {"x": torch.zeros(2)}, {"epoch": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint if step == "save_file" else os, step, lambda *_, **__: full())
    with pytest.raises(OSError, match="No space left"):
        save(path, {"x": torch.ones(2)}, {"epoch": 2})
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]
    assert load(path)[1] == {"epoch": 1}


def test_a_file_being_written_has_a_name_that_partial_matches(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "replace", lambda source, target: seen.append(Path(source)))
    save(tmp_path / "epoch-00016.safetensors", {"x": torch.zeros(2)}, {})
    assert seen == list(tmp_path.rglob(checkpoint.PARTIAL))


def test_files_can_be_read_by_others(tmp_path):
    save(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, {})
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("write", ["save", "copy"])
def test_a_file_that_finds_no_room_is_named_and_leaves_nothing(write, tmp_path):
    """The limit is the system's own, on the size of any file; the error says which file and what to do."""
    source, target = tmp_path / "source", tmp_path / "run" / "net.safetensors"
    source.write_bytes(b"x" * 50_000)
    call = {"save": lambda: save(target, {"w": torch.zeros(20_000)}, {}), "copy": lambda: checkpoint.copy(source, target)}[
        write
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            call()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = f"[Errno 27] File too large: '{target}'. Raise the limit of a file's size, then repeat the command"
    assert one_line(caught.value) == told
    assert list(target.parent.iterdir()) == []
