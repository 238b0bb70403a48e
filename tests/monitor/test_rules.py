"""Alarms: the same update as the detector reads off the finished series, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok import Detector, Range, SpectralMonitor, Watch
from grok.detectors.base import DIRECTIONS, find, fire_epochs
from grok.monitor import measured
from grok.monitor.events import Calibration
from grok.monitor.rules import DEFAULT, Live, alarms
from grok.monitor.track import Row
from grok.numerics.series import fire_epoch
from grok.spec.fields import ConfigError
from grok.spec.plugins import DETECTORS

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "slope": [{"slope_lag": 5, "slope_threshold": 0.1, "direction": d} for d in DIRECTIONS],
    "level": [{"level": 4.0}],
    "sustained": [{"level": 2.0, "hold": 6}],
    "cusum": [{"cusum_drift": 0.02, "cusum_threshold": 1.5, "direction": d} for d in DIRECTIONS],
}
"""Settings that hold on some walks and not on others; a detector that is not here takes the middle of its ranges."""


NEGATIVES = {
    "signals.csv": ("random_labels", "random_labels, no decay", "data_starved", "eta0"),
    "signals-cross-entropy.csv": ("random_labels", "eta0"),
}
"""Control sets of a leaderboard that count."""


def walk(seed: int, length: int = 160, unknown: int = 3) -> np.ndarray:
    """A gap: its logarithm a random walk; NaN at first, and here and there."""
    rng = np.random.default_rng(seed)
    out = np.exp(np.cumsum(rng.normal(scale=0.25, size=length)))
    out[:unknown] = np.nan
    out[rng.integers(0, length, 2)] = np.nan
    return out


@pytest.mark.parametrize("name", DETECTORS.names)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.sampled_from([0, 3, 20, 100]), smoothing=st.sampled_from([1, 4]))
def test_a_rule_holds_first_where_its_detector_does(name: str, seed: int, first: int, smoothing: int) -> None:
    """On the whole series, of which a rule keeps a few numbers."""
    gap = walk(seed)
    for parameters in SETTINGS.get(name, [Watch(name).full]):
        rule = Live(Watch(name, first=first, smoothing=smoothing, parameters=parameters))
        told = [t for t, value in enumerate(gap) if rule.append(float(value))]
        whole = fire_epochs(find(name), np.log(gap)[None, :], first, smoothing, **parameters)[0]
        assert told == ([] if np.isnan(whole) else [int(whole)])
        assert rule.fired == (told[0] if told else None)


@pytest.mark.parametrize("seed", range(8))
def test_the_default_rule_is_the_published_detector(seed: int) -> None:
    gap = walk(seed, 400)
    rule = Live(Watch())
    for value in gap:
        rule.append(float(value))
    assert rule.fired == fire_epoch(gap, lag=25, threshold=0.04, first_epoch=100)
    assert Watch().words == "slope(slope_threshold 0.04, slope_lag 25, direction rising) on gap_23 from update 100"


def jumps(log_gap: np.ndarray, first_epoch: int, *, jump: float) -> np.ndarray:
    """A detector of one's own: the log gap has grown by so much since its lowest value ever."""
    lowest = np.fmin.accumulate(log_gap, axis=1)
    out: np.ndarray = log_gap - lowest >= jump
    out[:, :first_epoch] = False
    return out


OWN = Detector("own", {"jump": Range(0.5, 3.0)}, jumps)


@pytest.mark.parametrize("seed", range(4))
def test_a_detector_of_ones_own_sees_the_history_that_is_kept(seed: int) -> None:
    gap = walk(seed, 120)
    name = f"{__name__}:OWN"
    whole = fire_epochs(OWN, np.log(gap)[None, :], 30, jump=1.75)[0]
    for history in (200, 120):
        rule = Live(Watch(name, first=30), history)
        for value in gap:
            rule.append(float(value))
        assert rule.fired == (None if np.isnan(whole) else int(whole))


def test_a_collapse_is_looked_for_after_an_onset_only() -> None:
    flat, up, down = np.zeros(150), 0.1 * np.arange(1, 41), 4 - 0.1 * np.arange(1, 41)
    fall = np.exp(np.concatenate((flat, down - 4, np.full(60, -4.0))))
    rise = np.exp(np.concatenate((flat, up, np.full(40, 4.0), down, np.zeros(40))))
    onset, collapse = (watch.words for watch in DEFAULT)
    assert alarms(DEFAULT, {"gap_23": fall}) == {onset: None}
    found = alarms(DEFAULT, {"gap_23": rise})
    # a slope of 0.1 over the last 11 of 25 updates passes 0.04; the fall begins at update 230
    assert found == {onset: 160, collapse: 240}


def test_a_signal_that_announces_by_falling_is_turned_round() -> None:
    norm = np.exp(-0.02 * np.arange(200))
    found = alarms((Watch("level", "weight_norm", first=0, parameters={"level": 10.0}),), {"weight_norm": norm})
    (update,) = found.values()
    assert update == 116  # e^(0.02 · 116) = 10.2


def test_bad_rules_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^parameters must be of slope \(slope_threshold, slope_lag, direction\), got lag\."):
        Watch(parameters={"lag": 3})
    with pytest.raises(ConfigError, match="detector must be one of"):
        Watch("slop")
    weights = torch.zeros(3)
    with pytest.raises(ConfigError, match=r"^signal of a watch must be one of gap_23, .*, got rho\. Name it in signals\."):
        SpectralMonitor(weights, watches=[Watch(signal="rho")])
    with pytest.raises(ConfigError, match=r"^block of a watch must be one of all, got w\."):
        SpectralMonitor(weights, watches=[Watch(block="w")])


# calibration


def grown(seed: int, updates: int = 90, calibrated: Any = None) -> SpectralMonitor:
    """A monitor of a random walk of weights, in which one direction takes over from update 50 on, if the seed is even."""
    rng = np.random.default_rng(seed)
    weights = torch.zeros(12, dtype=torch.float64)
    rule = Watch(first=20, parameters={"slope_lag": 8, "slope_threshold": 0.1})
    monitor = SpectralMonitor(weights, 6, watches=(rule,), strict=True)
    if calibrated is not None:
        monitor.calibrate(calibrated, "walks")
    for t in range(updates + 1):
        monitor.update()
        weights += torch.from_numpy(rng.standard_normal(12))
        if seed % 2 == 0 and t >= 50:
            weights[:2] += 1.3 ** (t - 50) * torch.tensor([1.0, (-1.0) ** t], dtype=torch.float64)
    return monitor


def test_an_alarm_says_what_it_is_worth() -> None:
    plain = grown(2)
    (event,) = plain.events
    assert event.kind == "onset"
    assert event.calibration is None
    assert str(event).endswith("; uncalibrated")
    negatives = [grown(seed) for seed in range(1, 40, 2)]
    fired = sum(bool(negative.events) for negative in negatives)
    rule = plain.watches[0]
    known = plain.calibrate(negatives, "walks")[rule.words, "all"]
    assert known == Calibration("walks", 20, fired, 90)
    (told,) = grown(2, calibrated=negatives).events
    assert (told.update, told.calibration) == (event.update, known)
    assert str(told).endswith(f"; {known}")
    assert "false alarms on" in str(known)
    assert "of 20 negatives (walks; median 90 updates), rate" in str(known)


def test_the_interval_of_a_rate_is_exact() -> None:
    """Clopper and Pearson: 0 of 15 gives 1 − 0.025^(1/15)."""
    low, high = Calibration("x", 15, 0, 100).interval
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 15))
    assert Calibration("x", 4, 4, 100).interval == pytest.approx((0.025 ** (1 / 4), 1.0))


def test_negatives_come_as_monitors_columns_bands_and_files(tmp_path: Path) -> None:
    """The same run in every form gives the same false alarms."""
    from grok.monitor.negatives import tables_of
    from grok.monitor.sinks import JsonLines, Parquet

    run = grown(2)
    sinks = [JsonLines(tmp_path / "run.jsonl"), Parquet(tmp_path / "rows")]
    table = run.frame()
    for sink in sinks:
        for record in table[table["update"] > 0].to_dict("records"):
            sink.row({"block": "all"} | {str(name): value for name, value in record.items()})
        sink.close()
    band = run._clocks[""].tracks["all"].series.band.values[1:]
    np.savez(tmp_path / "band.npz", w=band)
    history = pd.DataFrame({f"delta_w/lambda_{k}": run.eigenvalues()[:, k - 1] for k in range(1, 6)})
    history["epoch"] = np.arange(len(history))
    history.to_parquet(tmp_path / "history.parquet")
    forms: list[Any] = [
        run,
        run.columns(),
        table,
        band,
        tmp_path / "run.jsonl",
        next((tmp_path / "rows").glob("*.parquet")),
        tmp_path / "rows",
        tmp_path / "band.npz",
        str(tmp_path / "history.parquet"),
        history,
    ]
    expected = [event.update for event in run.events]
    assert expected
    for form in forms:
        (columns,) = tables_of(form, run.settings).values()
        np.testing.assert_allclose(columns["gap_23"], run.gap(), rtol=1e-12)
        assert list(alarms(run.watches, columns).values()) == expected


def test_rows_that_a_resumed_run_has_written_twice_count_once(tmp_path: Path) -> None:
    from grok.monitor.negatives import tables_of
    from grok.monitor.sinks import JsonLines

    run = grown(2)
    sink = JsonLines(tmp_path / "run.jsonl")
    records = run.frame().to_dict("records")
    for record in (*records[1:61], *records[41:]):  # it stopped at update 60, twenty after its checkpoint
        sink.row({"block": "all"} | {str(name): value for name, value in record.items()})
    sink.close()
    (columns,) = tables_of(tmp_path / "run.jsonl", run.settings).values()
    np.testing.assert_array_equal(columns["gap_23"], run.gap())


def test_negatives_without_their_beginning_are_refused() -> None:
    """Of what is not kept nobody knows whether it had an alarm."""
    weights = torch.zeros(12, dtype=torch.float64)
    short = SpectralMonitor(weights, 6, history=40, strict=True)
    for t in range(91):
        short.update()
        weights += torch.from_numpy(np.random.default_rng(t).standard_normal(12))
    with pytest.raises(ConfigError, match=r"^negatives must have every update from the first, got none at 1\. Pass the file"):
        grown(1).calibrate([short])


def test_negatives_that_will_not_do_are_refused(tmp_path: Path) -> None:
    monitor = grown(1)
    for negatives, line in (
        ([], "negatives must be at least one run, got none."),
        ([3], "negatives must be monitors, columns, bands or paths, got int."),
        ([{"gap_12": np.ones(9)}], "negatives must have the signal gap_23, got gap_12 in number 1."),
        ([tmp_path / "none.parquet"], "negatives must be files that are there"),
        ([np.ones((30, 3))], "window must be at most 3 (a negative's band), got 6."),
    ):
        with pytest.raises(ConfigError) as refused:
            monitor.calibrate(negatives)
        assert str(refused.value).startswith(line)
    (tmp_path / "x.csv").touch()
    with pytest.raises(ConfigError, match=r"end in \.jsonl, \.parquet or \.npz, got x\.csv"):
        monitor.calibrate([tmp_path / "x.csv"])


def test_a_rule_after_an_event_is_judged_on_runs_with_that_event() -> None:
    """Of a run without an onset nobody can say whether its collapse was a false alarm."""
    flat, other = {"gap_23": np.ones(300)}, {"gap_23": np.full(300, 2.0)}
    rise = {"gap_23": np.exp(np.concatenate((np.zeros(150), 0.1 * np.arange(40), np.full(110, 4.0))))}
    monitor = SpectralMonitor(torch.zeros(3))
    known = monitor.calibrate([flat, other, rise], "made up")
    assert [one.negatives for one in known.values()] == [3, 1]
    assert [one.alarms for one in known.values()] == [1, 0]


def test_an_alarm_of_the_published_rule_says_what_it_was_worth_in_this_project() -> None:
    """Whatever it says is counted from the committed runs; it stays uncalibrated."""
    data = Path(__file__).resolve().parents[2] / "docs" / "results" / "fresh-runs.csv"
    runs = pd.read_csv(data)
    assert set(runs["window"]) == {measured.WINDOW}
    rows = (("eta0", "square"), ("random_labels", "square"), ("data_starved", "square"), ("eta0", "relu"))
    for (condition, activation), told in zip(rows, measured.PUBLISHED[:-2], strict=True):
        chosen = runs[(runs["condition"] == condition) & (runs["activation"] == activation)]
        assert set(chosen["weight_decay"]) == ({0.0} if condition == "eta0" else {2e-4})
        assert told == Calibration(told.label, len(chosen), int(chosen["fired"].sum()), int(chosen["epochs"].median()))
    assert set(runs["condition"]) - {condition for condition, _ in rows} == {"grok"}  # no negative is left out
    counts = []
    for one, (file, sets) in zip(measured.PUBLISHED[-2:], NEGATIVES.items(), strict=True):
        board = pd.read_csv(data.parents[1] / "report" / "data" / file)
        row = board[(board["signal"] == "gap") & (board["variant"] == "23") & (board["rule"] == "printed")].iloc[0]
        counts.append(tuple(round(sum(row[f"{what} {name}"] for name in sets)) for what in ("fires", "runs")))
        assert (one.alarms, one.negatives) == counts[-1]
        assert counts[-1][0] == round(row["fpr"] * row["fpr_n"])  # no set is left out
    (fires, n), (others, m) = counts
    page = " ".join((data.parents[1] / "monitor.md").read_text(encoding="utf-8").split())
    assert f"it fired on {fires} of the {n} of [the leaderboard](signals.md) and on all {m} of its second arm" in page
    assert others == m
    gap = np.exp(np.concatenate((np.zeros(150), 0.1 * np.arange(40))))
    for window, every, smoothing, known in ((20, 1, 1, True), (19, 1, 1, False), (20, 2, 1, False), (20, 1, 2, False)):
        monitor = SpectralMonitor(torch.zeros(3), window, every=every, watches=(Watch(smoothing=smoothing),))
        monitor.update()
        track = monitor._tracks()["all"]
        for update, value in enumerate(gap[1:], 1):
            monitor._see(Row("all", update, update, {"gap_23": float(value)}))
        assert track.rules[0].count == len(gap)
        (event,) = (one for one in monitor.events if one.kind == "onset")
        assert event.words.startswith("uncalibrated")
        assert event.elsewhere == (measured.PUBLISHED if known else ())
        told = (
            "; false alarms on this project's own negatives: 3 of 100 (two-layer network, square, without weight decay), 60 of"
        )
        assert (told in str(event)) == known
        again = SpectralMonitor(torch.zeros(3), window, every=every, watches=(Watch(smoothing=smoothing),))
        again.load_state_dict(monitor.state_dict())
        assert again.events == monitor.events
