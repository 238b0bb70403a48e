"""What two machines make of the signals' leaderboard: `python -m benchmarks.machines`, in a store with the runs of `signals`.

Part of these runs was trained on a second machine, and the machine goes with the set (docs/signals.md, *Two machines*). It
tells: whether a row gets another word where seed 300 of the sets of the second machine is taken from the first; what the one
calibrated alarm says within a machine; how far cells that both machines trained are apart; and how far the thresholds of the
alarms are above the largest negative. `docs/signals/first` and `docs/signals/again` have the runs that no study counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from analysis.bundle.unpack import read, unpack
from analysis.exhibits.sources import Sources
from analysis.papers.signals.board import KEY, Board, board
from analysis.papers.signals.study import CROSS_ENTROPY, MAIN, Arm, Known, known, tables, taken, watch
from analysis.reading.evidence import Evidence
from analysis.statistics.alarm_words import ALARMS
from analysis.statistics.alarms import sustained_peak
from benchmarks import record
from grok.signals.base import find
from grok.store.store import open_store, tracking_uri

SIGNALS = Path(__file__).resolve().parents[1] / "docs" / "signals"
ALARM = "fourier_dominance"
CLOSE = 1e-4
"""Median relative difference of a series below which two runs of a config are told as close."""


def opened(folder: Path, at: Path) -> Evidence:
    """The runs of a bundle in a store of their own, which is then the one that is in use."""
    mlflow.set_tracking_uri(f"sqlite:///{at / 'mlflow.db'}")
    store = open_store()
    unpack(store, read(folder))
    return Evidence(store)


def swapped(base: Board, other: Board) -> dict[str, Any]:
    """What a leaderboard says otherwise than another: words, and the largest differences in runs that fire."""
    mine, theirs = ({tuple(one.told[key] for key in KEY): one.told for one in made.rows} for made in (base, other))
    shared = [key for key in mine if key in theirs]

    def most(name: str) -> int:
        runs = [(mine[key], theirs[key]) for key in shared if mine[key][f"{name}_n"]]
        gaps: list[int] = [abs(round(a[name] * a[f"{name}_n"]) - round(b[name] * b[f"{name}_n"])) for a, b in runs]
        return max(gaps)

    changed = {" ".join(map(str, key)): [mine[key]["verdict"], theirs[key]["verdict"]] for key in shared}
    leads = [key for key in shared if mine[key]["verdict"] in ALARMS and mine[key]["lead_t50"] != theirs[key]["lead_t50"]]
    return {
        "rows": len(mine),
        "rows_of_one_only": len(mine.keys() ^ theirs.keys()),
        "other_words": {key: words for key, words in changed.items() if words[0] != words[1]},
        "most_detections": most("tpr"),
        "most_false_alarms": most("fpr"),
        "alarms_with_another_lead": [" ".join(map(str, key)) for key in leads],
    }


def within(made: Board, machine: Mapping[str, str], signal: str = ALARM) -> dict[str, dict[str, list[int]]]:
    """Of each machine how many runs that grok a signal announces, and in how many others it fires, each of how many."""
    one = next(row for row in made.rows if row.told["signal"] == signal and not row.told["variant"] and row.told["published"])
    out: dict[str, dict[str, list[int]]] = {}
    for i, epoch in one.announced.items():
        run, name = made.about[i].run, machine[i]
        if made.about[i].replicate or run.censored:
            continue
        counts = out.setdefault(name, {"grok": [0, 0], "negative": [0, 0]})["grok" if run.positive else "negative"]
        counts[0] += bool(epoch < run.t50) if run.positive else not np.isnan(one.epochs[i])
        counts[1] += 1
    return out


def edge(made: Board, stored: Mapping[str, Any], arm: Arm = MAIN) -> dict[str, dict[str, float]]:
    """Of each calibrated alarm its thresholds and the largest sustained peak of a negative, on the oriented series."""
    out = {}
    for one in made.rows:
        if one.told["verdict"] not in ALARMS or "threshold" not in one.told or one.told["every"] != arm.every:
            continue
        series = watch(made.about, stored, find(one.told["signal"]), one.told["variant"], arm.every)
        peaks = [sustained_peak(run) for i, run in series.items() if run.negative and not made.about[i].replicate]
        thresholds = {name: one.told[name] for name in ("threshold", "threshold_exchanged")}
        out[f"{one.told['signal']} {one.told['variant']}".strip()] = thresholds | {"largest_negative": max(peaks)}
    return out


def apart(mine: tuple[Known, pd.DataFrame], theirs: tuple[Known, pd.DataFrame]) -> dict[str, Any]:
    """How far two runs of a config are apart: when test accuracy passes 0.1, 0.5 and 0.99, and each signal's values.

    A relative difference is of the larger of both values; a series counts if one of its values is not equal to zero in both.
    """
    pairs = mine[1].merge(theirs[1], on=["epoch", "signal", "variant"], suffixes=("", "_other"))
    larger = pairs[["value", "value_other"]].abs().max(axis=1).replace(0, np.nan)
    pairs["apart"] = (pairs["value"] - pairs["value_other"]).abs() / larger
    medians = pairs.groupby(["signal", "variant"])["apart"].median().dropna().sort_values()
    last = medians.tail(2).reset_index().to_dict("records")
    return {
        "times": [
            [None if np.isnan(at) else at for at in (one.run.t10, one.run.t50, one.run.t99)] for one, _ in (mine, theirs)
        ],
        "series": len(medians),
        "close": int((medians < CLOSE).sum()),
        "farthest": {f"{one['signal']} {one['variant']}".strip(): float(one["apart"]) for one in last},
    }


def twice(mine: Evidence, theirs: Evidence, arm: Arm) -> dict[str, dict[str, Any]]:
    """`apart` of each cell of an arm that both stores have, by the run's name; a run that never groks has no times."""
    frames = [one.runs(arm.study) for one in (mine, theirs)]
    about = [known(Sources(one), frame, arm)[0] for one, frame in zip((mine, theirs), frames, strict=True)]
    ids = [dict(zip(frame["config_hash"], frame["run_id"], strict=True)) for frame in frames]
    return {
        theirs.store.get(b).name: apart((about[0][a], mine.signals(a)), (about[1][b], theirs.signals(b)))
        for a, b in ((ids[0][key], ids[1][key]) for key in ids[1] if key in ids[0])
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and keep as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description=__doc__)
    record.json_flag(parser)
    options = parser.parse_args(arguments)
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    sources = Sources(Evidence(open_store()))
    about, _, runs = taken(sources)
    stored = tables(sources, about)
    base = board(about, stored)
    machine = dict(zip(runs["run_id"], runs["made_on"], strict=True))
    ids = dict(zip(runs["config_hash"], runs["run_id"], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        spots = [Path(folder) / name for name in ("first", "again")]
        for spot in spots:
            spot.mkdir()
        first = opened(SIGNALS / "first", spots[0])
        frame = first.runs(MAIN.study)
        into = {run_id: ids[key] for run_id, key in zip(frame["run_id"], frame["config_hash"], strict=True)}
        others = Sources(first)
        new, _ = known(others, frame)
        values = tables(others, new)
        exchanged = board(about | {into[i]: one for i, one in new.items()}, stored | {into[i]: values[i] for i in new})
        grok = {into[i]: one for i, one in new.items() if one.run.positive}
        result = {
            "exchanged": {"runs": len(new), **swapped(base, exchanged)},
            "t50": [[about[i].run.t50, one.run.t50] for i, one in grok.items()],
            "within": within(base, machine),
            "edge": edge(base, stored),
        }
        again = opened(SIGNALS / "again", spots[1])
        result["twice"] = {arm.study: twice(sources.evidence, again, arm) for arm in (MAIN, CROSS_ENTROPY)}
        mlflow.set_tracking_uri(uri)
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if options.json:
        rows = [{"measured": name, "found": found} for name, found in result.items()]
        record.write(options.json, record.environment(record.spelt("benchmarks.machines")), rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
