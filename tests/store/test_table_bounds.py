"""What a table takes of memory is told before it is read, whatever its columns are: files of some kB that take megabytes."""

from __future__ import annotations

import datetime
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from analysis.bundle import tables as bundled
from grok.monitor import negatives
from grok.monitor.spectral import SpectralMonitor
from grok.spec.fields import ConfigError
from grok.spec.limited import BrokenFileError
from grok.spec.limited_tables import check_table
from grok.store import tables
from grok.store.tables import load_table

ROWS, OVERHEAD = 4000, 20_000
"""Of a table; bytes that any table takes, of whatever rows."""
LONG = {f"a{number}": number + 1000 for number in range(11)}
KINDS: dict[str, tuple[list[Any], pa.DataType]] = {
    "bytes of whole numbers": ([1], pa.int8()),
    "some whole numbers": ([1, None], pa.int32()),
    "some flags": ([True, None], pa.bool_()),
    "nothing": ([None], pa.null()),
    "halves": ([np.float16(1)], pa.float16()),
    "times": ([datetime.datetime(2026, 1, 1)], pa.timestamp("us", "UTC")),
    "days": ([datetime.date(2026, 1, day) for day in range(1, 30)], pa.date32()),
    "hours": ([datetime.time(hour) for hour in range(24)], pa.time64("us")),
    "decimals": ([Decimal("1.5")], pa.decimal128(5, 2)),
    "long decimals": ([Decimal("1.5")], pa.decimal256(76, 2)),
    "bytes": ([b"a", b"b"], pa.binary(1)),
    "more bytes": ([b"%d" % number for number in range(ROWS)], pa.binary()),
    "short texts": ([str(number) for number in range(ROWS)], pa.string()),
    "wide texts": (["\U0001f600" + "a" * 500], pa.string()),
    "categories": (["one", "two"], pa.dictionary(pa.int32(), pa.string())),
    "mappings": ([{"a": 1}], pa.struct([("a", pa.int32())])),
    "long mappings": ([LONG], pa.struct([(name, pa.int64()) for name in LONG])),
    "deep mappings": ([{"a": {"a": {"a": 1}}}], pa.struct([("a", pa.struct([("a", pa.struct([("a", pa.int8())]))]))])),
    "mappings of days": ([{"a": datetime.date(2026, 1, 1)}], pa.struct([("a", pa.date32())])),
    "empty lists": ([[]], pa.list_(pa.int32())),
    "lists of one": ([[1]], pa.list_(pa.int8())),
    "lists of one side": ([[1, 2]], pa.list_(pa.int8(), 2)),
    "deep lists": ([[[[]]]], pa.list_(pa.list_(pa.list_(pa.int8())))),
    "lists of mappings": ([[{"a": 1}] * 10], pa.list_(pa.struct([("a", pa.int32())]))),
    "lists of decimals": ([[Decimal("1.5")] * 10], pa.list_(pa.decimal128(5, 2))),
    "lists of texts": ([["a", "\U0001f600"]], pa.large_list(pa.string())),
    "pairs": ([[(1, 2)]], pa.map_(pa.int32(), pa.int32())),
    "no pairs": ([[]], pa.map_(pa.int32(), pa.int32())),
}
"""Values that a column repeats, and its type."""


def written(path: Path, kind: str, rows: int = ROWS) -> Path:
    values, of = KINDS[kind]
    pq.write_table(pa.table({"x": pa.array((values * -(-rows // len(values)))[:rows], of)}), path)
    return path


def held(path: Path) -> int:
    """Bytes that a table takes at most, as pandas has it and as NumPy does."""
    read = pq.read_table(path)
    out = []
    for made in (lambda: pd.read_parquet(path), lambda: read["x"].to_numpy(zero_copy_only=False)):
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        found = made()
        out.append(tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before)
        tracemalloc.stop()
        assert len(found) == ROWS
    return max(out)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_takes_no_more_than_is_told(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", kind)
    pd.read_parquet(path)  # what is imported first is no part of it
    took = held(path) - OVERHEAD
    assert check_table(path, objects=True) >= took
    with pytest.raises(
        BrokenFileError, match=rf"^{ROWS} rows that unfold to \d+ bytes or more, at most {took - 1} are expected"
    ):
        check_table(path, took - 1, objects=True)


def test_numbers_are_told_by_their_widths_as_before(tmp_path: Path) -> None:
    """Tables of ours have these alone, and texts that stay as Arrow has them."""
    table = pd.DataFrame({"epoch": np.arange(100), "value": 0.5, "text": "one"})
    tables.save_table(tmp_path / "t.parquet", table)
    assert check_table(tmp_path / "t.parquet") == 100 * (8 + 8 + 16 + 3)
    pd.testing.assert_frame_equal(load_table(tmp_path / "t.parquet"), table)


def test_lists_in_batches_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grok.spec.limited_tables.ROWS", 100)
    values = [["abc"], ["d" * 10] * 3] * (ROWS // 2)
    pq.write_table(pa.table({"x": values}), tmp_path / "t.parquet")
    told = check_table(tmp_path / "t.parquet")
    pq.write_table(pa.table({"x": [["" for _ in one] for one in values]}), tmp_path / "t.parquet")
    assert told - check_table(tmp_path / "t.parquet") == ROWS // 2 * (3 + 30)


def test_whoever_reads_a_table_refuses_what_its_columns_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's tables, a bundle's, a negative: each by its own bound."""
    path = written(tmp_path / "rows-00000.parquet", "mappings", 30_000)
    assert path.stat().st_size < 3000
    monkeypatch.setattr(bundled, "free_memory", lambda: 2_000_000)
    monkeypatch.setattr(negatives, "MOST_BYTES", 1_000_000)
    with pytest.raises(BrokenFileError, match="30000 rows that unfold to"):
        load_table(path, 1_000_000)
    with pytest.raises(bundled.BundleError, match="must fit into one part of 2 of the free memory, got 30000 rows"):
        bundled.open_table(path)
    with pytest.raises(ConfigError, match=r"negatives must be whole files, got .* that unfold to"):
        negatives.tables_of(path, SpectralMonitor(torch.zeros(3), 4).settings)


def test_texts_are_told_as_objects_where_they_become_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum goes through them one by one, and NumPy has nothing else."""
    path = written(tmp_path / "t.parquet", "short texts")
    assert check_table(path) < 100_000 < check_table(path, objects=True)
    with pytest.raises(BrokenFileError, match="4000 rows that unfold to"):
        load_table(path, 100_000)
    monkeypatch.setattr(negatives, "MOST_BYTES", 100_000)
    with pytest.raises(ConfigError, match="4000 rows that unfold to"):
        negatives.tables_of(path, SpectralMonitor(torch.zeros(3), 4).settings)


def test_long_texts_are_refused_by_what_they_take_unpacked(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Before more than a page of them is."""
    path = tmp_path / "t.parquet"
    letters = pa.table({"x": [f"{number:02}" + "a" * 10**6 for number in range(64)]})
    pq.write_table(letters, path, compression="zstd", use_dictionary=False, data_page_size=1, write_batch_size=1)
    assert path.stat().st_size < 50_000
    del letters
    usual, watched = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(watched)
    request.addfinalizer(lambda: pa.set_memory_pool(usual))
    with pytest.raises(BrokenFileError, match=r"64 rows that unfold to .* bytes or more, at most 1000000 are expected"):
        check_table(path, 1_000_000)
    assert 10**6 <= watched.max_memory() < 10**7
