"""What a file asks of memory is known before any of it is taken: JSON, lines, CSV, tensors. The files are small on disk."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from grok.monitor import negatives
from grok.monitor.spectral import SpectralMonitor
from grok.spec import limited
from grok.spec.fields import ConfigError
from grok.spec.limited import BrokenFileError, load_json, within_json
from grok.store import files, tables
from grok.store.files import CheckpointError, load, save
from grok.store.tables import load_csv

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
MB = 10**6
SHAPES: dict[str, Callable[[int], str]] = {
    "empty lists": lambda n: "[" + ",".join(["[]"] * (n // 3)) + "]",
    "lists of one": lambda n: "[" + ",".join(["[0]"] * (n // 4)) + "]",
    "deep lists": lambda n: "[" + ",".join(["[" * 400 + "]" * 400] * (n // 801)) + "]",
    "mappings": lambda n: "[" + ",".join(['{"":0}'] * (n // 7)) + "]",
    "deep mappings": lambda n: "[" + ",".join(['{"":' * 300 + "0" + "}" * 300] * (n // 1501)) + "]",
    "a long mapping": lambda n: "{" + ",".join(f'"{i:x}":0' for i in range(n // 9)) + "}",
    "numbers": lambda n: "[" + ",".join(["1e1"] * (n // 4)) + "]",
    "short texts": lambda n: "[" + ",".join(['"ab"'] * (n // 5)) + "]",
    "wide texts": lambda n: "[" + ",".join(['"\U0001f600"'] * (n // 7)) + "]",
    "a wide text": lambda n: '["\U0001f600' + "a" * n + '"]',
    "lines": lambda n: "\n" * n + "0",
}


def peak(call: Callable[[], Any]) -> int:
    """Bytes of Python's memory that a call takes at most, beside what it is given."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_json_takes_no_more_than_its_signs_say(shape: str) -> None:
    content = SHAPES[shape](200_000).encode()
    took = peak(lambda: json.loads(content.decode("utf-8")))
    within_json(content, 2**40)
    with pytest.raises(BrokenFileError, match=r"\d+ bytes of JSON that may take \d+ of memory"):
        within_json(content, took - 1)


def test_a_json_file_of_many_lists_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    """8 bytes of memory for one of the file would be taken for a bound of its length; it takes 24 and more."""
    path = tmp_path / "grid.json"
    path.write_bytes(b"[" + b"[]," * (2 * MB) + b"[]]")

    def refused() -> None:
        with pytest.raises(BrokenFileError, match=f"^6000004 bytes of JSON that may take .* at most {2**28} are read"):
            load_json(path)

    assert peak(refused) < 20 * MB


def test_a_json_file_is_not_read_where_its_length_alone_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grid.json"
    path.touch()
    os.truncate(path, 10**12)
    with pytest.raises(BrokenFileError, match=r"^1000000000000 bytes of JSON"):
        load_json(path)


def test_lines_of_many_mappings_are_no_negative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n" * 100_000)
    monkeypatch.setattr(negatives, "MOST_TEXT", 10 * MB)

    def refused() -> None:
        with pytest.raises(ConfigError, match=r"be whole files, got rows\.jsonl \(300000 bytes of JSON that may take"):
            negatives.tables_of(path, settings)

    settings = SpectralMonitor(torch.zeros(3), 4).settings
    assert peak(refused) < 2 * MB


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a," * 2999 + b"a\n" + b"0\n" * 3000, r"^3002 rows of up to 3000 cells, at most 2000000 cells in 10000"),
        (b"a\n" + b"0," * 2999 + b"0\n" + b"0\n" * 3000, r"^3003 rows of up to 3000 cells"),
        (b"a," * 10_000 + b"a\n0\n", r"^3 rows of up to 10001 cells"),
        (b"\n" * 2_000_000, r"^2000001 rows of up to 1 cells"),
        (b"\r" * 2_000_000, r"^2000001 rows of up to 1 cells"),
        (b'"a\n' + b"," * 100 + b'"\n', "^quotes, which are not read"),
    ],
)
def test_a_csv_file_of_too_many_cells_is_refused_before_it_takes_memory(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "surface.csv"
    path.write_bytes(content)

    def refused() -> None:
        with pytest.raises(BrokenFileError, match=words):
            load_csv(path)

    assert peak(refused) < 5 * MB


def test_a_csv_file_is_read_up_to_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "surface.csv"
    path.write_text("a,b\n1,x\n2,\n")
    assert load_csv(path, 8).to_dict("list")["a"] == [1, 2]
    with pytest.raises(BrokenFileError, match="at most 7 cells"):
        load_csv(path, 7)
    monkeypatch.setattr(tables, "MOST_CSV_BYTES", 10)
    with pytest.raises(BrokenFileError, match="11 bytes, at most 10 are read"):
        load_csv(path)


def sparse(path: Path, count: int) -> None:
    """A safetensors file whose one tensor has so many zeros, none of which is on the disk."""
    header = json.dumps({"x": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + count)


def test_tensors_larger_than_memory_are_refused_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "epoch-00001.safetensors"
    sparse(path, 10**12)
    with pytest.raises(CheckpointError, match=r"epoch-00001\.safetensors \(1000000000000 bytes of tensors, at most \d+ are"):
        load(path)
    save(path, {"x": torch.zeros(1000)}, {})
    assert load(path, 4000)[0]["x"].shape == (1000,)
    with pytest.raises(CheckpointError, match="4000 bytes of tensors, at most 3999 are read"):
        load(path, 3999)
    monkeypatch.setattr(limited, "CGROUP", tmp_path / "memory.max")
    (tmp_path / "memory.max").write_text("2000\n")
    with pytest.raises(CheckpointError, match="4000 bytes of tensors, at most 2000 are read"):
        load(path)


def test_the_header_of_tensors_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "epoch-00001.safetensors"
    path.write_bytes((10**9).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="a header of 1000000000 bytes in a file of 10"):
        load(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"facts": json.dumps({"lists": [[]] * 100_000})})
    assert len(load(path)[1]["lists"]) == 100_000
    monkeypatch.setattr(files, "MOST_JSON_BYTES", 20 * MB)
    with pytest.raises(CheckpointError, match="bytes of JSON that may take"):
        load(path)


def test_what_the_stored_studies_hold_is_within_the_bounds_with_room() -> None:
    bundles = [path.parent for path in DOCS.rglob("manifest.json")]
    assert len(bundles) > 2
    for bundle in bundles:
        for path in bundle.rglob("*.json"):
            within_json(path.read_bytes(), limited.MOST_JSON_BYTES if path.parent == bundle else limited.MOST_JSON_BYTES // 16)
        for path in bundle.rglob("surface.csv"):
            load_csv(path, tables.MOST_CELLS // 16)
