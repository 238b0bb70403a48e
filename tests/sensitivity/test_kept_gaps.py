"""Gap series that a search keeps in a folder: read as they were written, else computed anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.sensitivity import cells
from tests.helpers.synthetic_cells import cell

KEY = ("w", "gram", 6)


def test_kept_series_are_read_and_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = replace(cell("square", "grok", 80, 3, 0), folder=tmp_path)
    right = group.log_gaps(*KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["w-gram-6.npy"]
    monkeypatch.setattr(cells, "rolling_eigenvalues", lambda *_: 1 / 0)
    np.testing.assert_array_equal(replace(group, _series={}).log_gaps(*KEY), right)


@pytest.mark.parametrize("kind", ["empty", "cut", "bit", "earlier", "other shape", "other kind", "object"])
def test_kept_series_that_are_not_as_they_were_written_are_computed_anew(kind: str, tmp_path: Path) -> None:
    group = replace(cell("square", "grok", 80, 3, 0), folder=tmp_path)
    right, path = group.log_gaps(*KEY).copy(), tmp_path / "w-gram-6.npy"
    content = path.read_bytes()
    if kind == "earlier":
        np.save(path, right + 1)
    elif kind in ("other shape", "other kind"):
        cells._write(path, right[:, :2] if kind == "other shape" else right.astype(np.float32))
    elif kind == "object":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        half = len(content) // 2
        altered = content[:half] + bytes([content[half] ^ 4]) + content[half + 1 :]
        path.write_bytes({"empty": b"", "cut": content[:300], "bit": altered}[kind])
    np.testing.assert_array_equal(replace(group, _series={}).log_gaps(*KEY), right)
    assert path.read_bytes() == content
