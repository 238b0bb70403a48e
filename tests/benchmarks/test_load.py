"""Load on a store: a point that is missing or twice is found, a run asked again is timed alone, and a leak has its interval."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import linregress, t

from benchmarks import load
from grok.store.sqlite import path_of
from grok.store.store import Store


def test_the_slope_of_a_leak_is_found_and_none_where_there_is_none() -> None:
    """A leak of 3 a run under noise, and noise alone; both intervals hold the truth."""
    x = np.arange(200.0)
    noise = np.random.default_rng(0).standard_normal(200)
    for truth in (0.0, 3.0):
        slope, half = load.line(x, 100 + truth * x + noise)
        assert abs(slope - truth) < half < 0.01


def test_without_dependence_the_interval_is_that_of_the_least_squares_line() -> None:
    """Residuals that alternate have a negative autocorrelation, which narrows nothing."""
    x = np.arange(50.0)
    y = 2 * x + np.where(x % 2, 1.0, -1.0)
    slope, half = load.line(x, y)
    fit = linregress(x, y)
    assert (slope, half) == pytest.approx((fit.slope, fit.stderr * t.ppf(0.975, 48)))


@pytest.mark.parametrize("dependence", [0.0, 0.6, 0.9])
def test_the_interval_holds_the_slope_as_often_as_it_says(dependence: float) -> None:
    """Of 200 series, within three binomial standard errors; corrected twice it holds all at 0.6, uncorrected two thirds."""
    draws = np.random.default_rng(0).standard_normal((200, 600))
    series = lfilter([1.0], [1.0, -dependence], draws)[:, 200:]  # AR(1), its start forgotten
    x = np.arange(400.0)
    held = 0
    for noise in series:
        slope, half = load.line(x, 7 + 0.5 * x + noise)
        held += abs(slope - 0.5) < half
    assert 0.95 - 0.046 < held / len(series) < 0.95 + 0.046


@pytest.fixture(scope="module")
def trained() -> Iterator[tuple[Store, str]]:
    """A store with one run of the benchmark's."""
    from grok.store.store import open_store

    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
            patch.setenv(name, "")  # so that what is set below is undone
        with load.store("") as uri:
            assert load.train(0) == 0
            opened = open_store()
            assert opened.uri == uri
            (run,) = opened.find({"kind": "train"})
            yield opened, run.run_id


@contextlib.contextmanager
def changed(opened: Store, words: str) -> Iterator[None]:
    """A change of the table of points that is taken back."""
    with contextlib.closing(sqlite3.connect(path_of(opened.uri))) as base:
        base.execute("CREATE TEMP TABLE kept AS SELECT * FROM metrics")
        base.execute(words)
        base.commit()
        yield
        base.execute("DELETE FROM metrics")
        base.execute("INSERT INTO metrics SELECT * FROM kept")
        base.commit()


COPY = "INSERT INTO metrics SELECT key, value, {}, run_uuid, {}, is_nan FROM metrics WHERE key = 'norm/w' AND step = 7"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("SELECT 1", {}),
        ("DELETE FROM metrics WHERE key = 'norm/w' AND step IN (7, 8)", {"steps_missing": 2}),
        ("DELETE FROM metrics WHERE key = 'delta_v/gap_12'", {"steps_missing": 59}),
        (COPY.format("timestamp + 1", "step"), {"steps_twice": 1}),
        (COPY.format("timestamp", "99"), {"steps_beyond": 1}),
    ],
)
def test_every_metric_is_held_against_the_table_of_its_run(
    trained: tuple[Store, str], words: str, found: dict[str, int]
) -> None:
    opened, run_id = trained
    with changed(opened, words):
        told = load.held(opened, [run_id])
    assert told.pop("metrics_by_epoch") > 30
    assert told == dict.fromkeys(load.COUNTED[1:], 0) | found


def test_a_servers_points_are_counted_as_those_of_a_database(
    trained: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, run_id = trained
    with changed(opened, COPY.format("timestamp + 1", "step")):
        by_query = load.counted(opened, [run_id])
        monkeypatch.setattr(Store, "is_local", False)
        assert load.counted(opened, [run_id]) == by_query
    assert by_query[run_id, "norm/w"] == (62, 61)


def test_the_time_of_a_run_asked_again_is_that_of_the_command_alone(
    trained: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = trained
    monkeypatch.setenv("MLFLOW_TRACKING_URI", opened.uri)
    plain = Store.find

    def slow(store: Store, *given: Any, **more: Any) -> Any:
        time.sleep(0.3)
        return plain(store, *given, **more)

    monkeypatch.setattr(Store, "find", slow)
    monkeypatch.setattr(load, "train", lambda seed: 0)
    (row,) = load.writers(0, 1, 0)
    assert row["reuse_s"] < 0.3
    assert (row["runs"], row["runs_in_store"]) == (0, 1)


def test_a_soak_keeps_what_its_line_was_drawn_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "train", lambda seed: 0)
    (row,) = load.soak(0.0, 0)
    assert len(row[load.SERIES]) == row["runs"] == 4
    assert row[load.SERIES][0] == pytest.approx(row["memory_mib"][0], abs=0.006)
