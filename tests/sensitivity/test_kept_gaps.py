"""Gap series that a search keeps in a folder, of each run by itself: read as they were written, else computed anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.sensitivity import cells, kept
from analysis.sensitivity.cells import Cells, Group
from grok.numerics.spectra import gap, rolling_eigenvalues
from tests.helpers.synthetic_cells import cell, made_cells

KEY = ("w", "gram", 6)


def afresh(group: Group, **changes: Any) -> Group:
    """The same runs, of which nothing is known in memory."""
    return replace(group, _series={}, **changes)


def one_by_one(group: Group, matrix: str, window: int) -> np.ndarray:
    """(3, R, T + 1): each run and window by itself, NaN after a run's end."""
    out = np.full((3, len(group.bands), max(len(band[matrix]) for band in group.bands) + 1), np.nan)
    for number, band in enumerate(group.bands):
        values = rolling_eigenvalues(band[matrix], window, 4)
        with np.errstate(invalid="ignore"):
            for k in range(1, min(window, 4)):
                out[k - 1, number, : len(values)] = np.log(gap(values, k, window))
    return out


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """(id of the band, windows) of everything that is computed."""
    calls: list[tuple[int, list[int]]] = []
    real = cells.spectra_of_windows

    def told(band: np.ndarray, windows: Sequence[int], *rest: int) -> Iterator[np.ndarray]:
        for window, found in zip(windows, real(band, windows, *rest), strict=True):
            calls.append((id(band), [window]))
            yield found

    monkeypatch.setattr(cells, "spectra_of_windows", told)
    return calls


def test_kept_series_are_read_and_not_computed(tmp_path: Path, computed: list[Any]) -> None:
    group = replace(cell("square", "grok", 80, 3, 0), folder=tmp_path)
    right = group.log_gaps(*KEY)
    np.testing.assert_array_equal(right, one_by_one(group, "w", 6))
    assert len(computed) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(group.table["run_id"])
    np.testing.assert_array_equal(afresh(group).log_gaps(*KEY), right)
    assert len(computed) == 3


def test_a_new_run_leaves_those_of_the_others_as_they_are(tmp_path: Path, computed: list[Any]) -> None:
    """And so do another horizon and another epoch of test accuracy, of which series know nothing."""
    whole = cell("square", "grok", 80, 3, 0)
    two = replace(whole, table=whole.table[:2], bands=whole.bands[:2], factors=whole.factors[:2], folder=tmp_path)
    two.log_gaps(*KEY)
    assert len(computed) == 2
    table = whole.table.assign(test_50=7.0)
    right = one_by_one(whole, "w", 6)
    np.testing.assert_array_equal(afresh(whole, table=table, folder=tmp_path, horizon=90).log_gaps(*KEY), right[..., :91])
    assert [band for band, _ in computed[2:]] == [id(whole.bands[2]["w"])]
    other = [{name: 2 * band for name, band in own.items()} for own in whole.bands]  # other updates under the same ids
    np.testing.assert_array_equal(
        afresh(whole, bands=other, folder=tmp_path).log_gaps(*KEY), one_by_one(replace(whole, bands=other), "w", 6)
    )
    assert len(computed) == 6


@pytest.mark.parametrize("kind", ["empty", "cut", "bit", "no checksum", "other shape", "shorter"])
def test_kept_series_that_are_not_as_they_were_written_are_computed_anew(kind: str, tmp_path: Path) -> None:
    group = replace(cell("square", "grok", 80, 3, 0), folder=tmp_path)
    right = group.log_gaps(*KEY).copy()
    (path,) = (tmp_path / group.table["run_id"][1]).iterdir()
    content = path.read_bytes()
    if kind == "no checksum":
        path.write_bytes((right[:, 1] + 1).tobytes())
    elif kind in ("other shape", "shorter"):
        kept.write(path, right[:2, 1] if kind == "other shape" else right[:, 1, :-1])
    else:
        half = len(content) // 2
        altered = content[:half] + bytes([content[half] ^ 4]) + content[half + 1 :]
        path.write_bytes({"empty": b"", "cut": content[:300], "bit": altered}[kind])
    np.testing.assert_array_equal(afresh(group).log_gaps(*KEY), right)
    assert path.read_bytes() == content


def test_those_of_an_earlier_version_do_no_harm(tmp_path: Path) -> None:
    """A file of a whole cell, in a folder of its own."""
    group = replace(cell("square", "grok", 80, 3, 0), folder=tmp_path)
    earlier = tmp_path / f"square-grok-{group.fingerprint}-full" / "w-gram-6.npy"
    kept.write(earlier, np.zeros((3, 3, 161)))
    np.testing.assert_array_equal(group.log_gaps(*KEY), one_by_one(group, "w", 6))


@pytest.mark.parametrize("folder", [False, True])
def test_series_ahead_are_those_of_each_window_by_itself(folder: bool, tmp_path: Path, computed: list[Any]) -> None:
    made = made_cells(seeds=3, activations=("square", "relu"))
    short = made.cells["square", "eta0"]
    short.bands[1] = {name: band[:70] for name, band in short.bands[1].items()}  # a run that ended early
    short.bands[2]["w"][30:33, 0] = np.inf  # and one that diverged for a while
    for own in made.cells.values():
        own.folder = tmp_path if folder else None
    needed = [("square", (matrix, "gram", window)) for matrix, window in (("w", 16), ("w", 3), ("v", 2), ("w", 9))]
    told: list[tuple[int, int]] = []
    assert made.prepare(needed, lambda done, of: told.append((done, of)))
    assert told == [(done, 12) for done in range(1, 13)]  # two conditions, three seeds, two matrices
    assert len(computed) == 24
    for condition in ("grok", "eta0"):
        own = made.cells["square", condition]
        for _, (matrix, method, window) in needed:
            np.testing.assert_array_equal(own.log_gaps(matrix, method, window), one_by_one(own, matrix, window))
    ended = made.cells["square", "eta0"].log_gaps("w", "gram", 9)
    assert np.isnan(ended[:, 1, 71:]).all()
    assert np.isfinite(ended[:, 1, 70]).all()
    assert np.isnan(ended[:, 2, 31:40]).all()
    assert len(computed) == 24
    assert not made.cells["relu", "grok"]._series
    again = Cells({key: afresh(own) for key, own in made.cells.items()}, {}, (), pd.DataFrame())
    assert again.prepare(needed)
    assert len(computed) == (24 if folder else 48)


def test_a_stop_ends_series_ahead_and_an_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_cells(seeds=10)
    needed = [("square", ("w", "gram", window)) for window in (5, 9)]
    assert not made.prepare(needed, should_stop=lambda: True)
    answers = iter([False, False, True])
    told: list[int] = []
    assert not made.prepare(needed, lambda done, of: told.append(done), lambda: next(answers))
    assert told == [1, 2]
    assert made.prepare(needed)
    monkeypatch.setattr(cells, "spectra_of_windows", lambda *_: iter([1 / 0]))
    with pytest.raises(ZeroDivisionError):
        made.prepare([("square", ("v", "gram", 5))])


def test_a_fingerprint_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    group, made = cell("square", "grok", 80, 2, 0), []
    real = cells.hashlib.sha256
    monkeypatch.setattr(cells.hashlib, "sha256", lambda *content: made.append(1) or real(*content))
    first = group.fingerprint
    assert group.fingerprint == first
    assert len(made) == 1
    assert first == "83d09575961b99c5"
    assert replace(group, factors=[{"r_w": np.ones(1)}] * 2).fingerprint != first
