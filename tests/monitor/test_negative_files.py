"""Files of negatives that are broken, hostile or of another kind, and numbers beyond all bounds: the house's one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from grok import RollingSpectrum, SpectralMonitor
from grok.monitor import negatives
from grok.monitor.negatives import tables_of
from grok.monitor.sinks import Parquet
from grok.spec.fields import ConfigError

CONTENTS: dict[str, tuple[bytes, str]] = {
    "deep.jsonl": (b"[" * 100_000, "be whole files"),
    "bad.jsonl": (b"{", "be whole files"),
    "five.jsonl": (b"5\n", "be whole files"),
    "list.jsonl": (b"[1, 2]\n", "be whole files"),
    "latin.jsonl": (b"\xff", "be whole files"),
    "text.jsonl": (b'{"loss": "x"}\n{"loss": {}}\n', "be whole files"),
    "digits.jsonl": (b'{"a": ' + b"9" * 5000 + b"}", "be whole files"),
    "large.jsonl": (b'{"a": 1' + b"0" * 400 + b"}", "be whole files"),
    "empty.jsonl": (b"", "have rows"),
    "events.jsonl": (b'{"event": "onset"}\n', "have rows"),
    "bad.npz": (b"PK", "be whole files"),
    "bad.parquet": (b"PAR1", "be whole files"),
    "far.jsonl": (b'{"block": "all", "update": 1e15, "gap_23": 1}\n', "have every update from the first"),
    "part.jsonl": (b'{"block": "all", "update": 1.5, "gap_23": 1}\n', "have whole numbers ≥ 0 as updates"),
    "none.jsonl": (b'{"block": "all", "update": NaN, "gap_23": 1}\n', "have whole numbers ≥ 0 as updates"),
    "word.jsonl": (b'{"block": "all", "update": "x", "gap_23": 1}\n', "have whole numbers ≥ 0 as updates"),
}


def refused(negative: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        tables_of(negative, SpectralMonitor(torch.zeros(3), 4).settings)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_a_file_that_is_no_negative_is_one_line(name: str, tmp_path: Path) -> None:
    content, words = CONTENTS[name]
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name).startswith(f"negatives must {words}, got ")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"w": np.array([[{}]], dtype=object)}, "holds object, not plain numbers"),
        ({"w": np.ones(5)}, "be bands, updates by lags, got w in "),
        ({"w": np.ones((5, 2, 2))}, "be bands, updates by lags, got w in "),
        ({"w": np.array([["a"]])}, "be bands, updates by lags, got w in "),
    ],
)
def test_arrays_that_are_no_bands_are_one_line(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "band.npz", **arrays)
    assert words in refused(tmp_path / "band.npz")


def test_a_file_that_unfolds_to_more_than_the_bound_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negatives, "MOST_BYTES", 1_000_000)
    np.savez_compressed(tmp_path / "band.npz", w=np.zeros((2, 10**6)))
    assert "16000000 bytes of arrays, at most 1000000 are" in refused(tmp_path / "band.npz")
    pq.write_table(pa.table({"update": np.zeros(10**6)}), tmp_path / "rows-00000.parquet")
    assert "1000000 rows that unfold to 8000000 bytes" in refused(tmp_path)
    pq.write_table(pa.table({"update": np.zeros(80_000)}), tmp_path / "rows-00000.parquet")
    pq.write_table(pa.table({"update": np.zeros(80_000)}), tmp_path / "rows-00001.parquet")
    assert "80000 rows that unfold to 640000 bytes" in refused(tmp_path)  # of what the first has left


@pytest.mark.parametrize("name", ["a\0b.npz", "x" * 300 + ".npz", "y" * 300])
def test_a_name_that_no_file_can_have_is_not_there(name: str) -> None:
    assert refused(name).startswith("negatives must be files that are there, got ")


def test_a_table_of_a_sink_has_checksums_and_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "rows-x.parquet").write_bytes(b"junk")
    for number in range(2):
        sink = Parquet(tmp_path)
        for update in range(1, 40):
            sink.row({"block": "all", "update": update + 39 * number, "step": update, "gap_23": update / 7})
        sink.close()
    settings = SpectralMonitor(torch.zeros(3), 4).settings
    right = tables_of(tmp_path, settings)["all"]["gap_23"]
    assert len(right) == 79
    path, refusals = tmp_path / "rows-00000.parquet", 0
    content = path.read_bytes()
    for at in range(4, len(content) // 2, 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            found = tables_of(tmp_path, settings)["all"]["gap_23"]
        except ConfigError:
            refusals += 1
        else:
            np.testing.assert_array_equal(found, right)
    assert refusals > 20


def test_columns_of_several_lengths_are_refused() -> None:
    assert refused({"update": np.arange(1, 5), "gap_23": np.ones(3)}).startswith("negatives must have columns of one length")
    assert refused({"gap_23": np.ones((3, 2))}).startswith("negatives must have columns of one length")


@pytest.mark.parametrize("value", [10**5000, -(10**5000), 2**63], ids=["large", "small", "64 bits"])
def test_a_window_of_thousands_of_digits_is_one_short_line(value: int) -> None:
    weights = torch.zeros(3)
    calls = (
        ("window", lambda: SpectralMonitor(weights, value)),
        ("window", lambda: RollingSpectrum(value)),
        ("every", lambda: SpectralMonitor(weights, 4, every=value)),
        ("history", lambda: SpectralMonitor(weights, 4, history=value)),
        ("seed", lambda: SpectralMonitor(weights, 4, seed=value)),
        ("sketch_width", lambda: SpectralMonitor(weights, 4, sketch_width=value)),
    )
    for name, call in calls:
        with pytest.raises(ConfigError, match=f"^{name} must be ") as caught:
            call()
        assert len(str(caught.value)) < 200
