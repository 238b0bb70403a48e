"""What was looked at after the second arm was read: `python -m benchmarks.after_reading`.

A reader of its leaderboard asked what its words hang on. None of this was fixed before, and none of it gives a word or a
verdict: which runs the rows miss that detect most, and what they would be called without these; characters of the basis of
each run's own task; a signal of a history read at every epoch; tuned neurons and the decay of the norm by network and share of
the pairs; how far runs that do not grok generalise; and, in both arms, how signals rank at equal training loss. It reads a
store with the runs of `signals` and `signals-ce`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.sources import Sources
from analysis.papers.signals.rows import CALIBRATED, Reading, Row, row
from analysis.papers.signals.study import CROSS_ENTROPY, MAIN, Arm, Known, Stored, tables, taken, watch
from analysis.reading.evidence import Evidence
from analysis.statistics.alarm_words import LEAST
from analysis.statistics.alarms import Watched, auroc
from benchmarks import record
from grok.signals.base import find
from grok.spec.plugins import SIGNALS
from grok.store.store import open_store

NEAREST = (("fve", "", 25), ("tuned_neurons", "mean", 25), ("test_loss_turnover", "", 1))
"""The rows that detect most: signal, variant, epochs between values."""
DELAY = 20
"""Epochs from memorisation to a test accuracy of one half up to which a run has no delay to announce."""
OWN = "of the task"
CELL = ("network", "task", "n_train", "learning_rate", "weight_decay")
BASIS = {"modular": "additive", "multiplication": ""}
"""The variant of `characters` whose basis is that of a task's group."""


def own_basis(about: Mapping[str, Known], stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tables with the characters of each run's own group in the place of those of multiplication."""
    return {i: {**stored[i], ("characters", ""): stored[i]["characters", BASIS[str(one.cell[2])]]} for i, one in about.items()}


def told(one: Row) -> dict[str, Any]:
    """A row in short: its word, counts, lead and rank."""
    names = ("verdict", "lead_t50", "lead_t50_low", "lead_t50_high", "lead_t10", "auroc", "first_half", "second_half")
    out: dict[str, Any] = {name: one.told[name] for name in names}
    return out | {name: [round(one.told[name] * one.told[f"{name}_n"]), one.told[f"{name}_n"]] for name in ("tpr", "fpr")}


def missed(about: Mapping[str, Known], one: Row) -> set[str]:
    """The runs that grok and are not detected."""
    early = one.announced
    return {i for i, run in about.items() if run.run.positive and not early[i] < run.run.t50}


def reading(about: Mapping[str, Known], stored: Mapping[str, Stored], signal: str, variant: str, every: int) -> Row:
    """A calibrated row."""
    return row(about, stored, Reading(find(signal), variant, CALIBRATED, every))


def equal_loss(sources: Sources, about: Mapping[str, Known], stored: Mapping[str, Stored], arm: Arm) -> list[dict[str, Any]]:
    """How well each signal ranks at one training loss: its first value with a loss at or below that which 0.8 of the runs that
    grok pass before t10. At equal epochs a signal may rank by the speed of training. Best first. Left out and counted are runs
    that never get there, and runs that grok whose first such value is not before t10.
    """
    losses = {i: sources.evidence.history(i)["loss/train"].to_numpy() for i in about}
    plain = {i: one for i, one in about.items() if not one.replicate and not one.run.censored}
    level = float(np.quantile([losses[i][int(one.run.t10)] for i, one in plain.items() if one.run.positive], 0.8))
    out: list[dict[str, Any]] = []
    for signal in (find(name) for name in SIGNALS.names):
        series = watch(plain, stored, signal, arm.published(signal), arm.due(signal))
        there: dict[bool, list[Watched]] = {True: [], False: []}
        for i, run in series.items():
            low = losses[i][run.epochs.astype(int)] <= level
            first = int(np.argmax(low)) if low.any() else -1
            value = float(run.values[first]) if low.any() else math.nan
            if math.isfinite(value) and not (run.positive and run.epochs[first] >= run.t10):
                twice = replace(run, epochs=np.arange(2), values=np.full(2, value), t10=2.0)
                there[run.positive].append(twice)
        if min(map(len, there.values())) >= LEAST:
            area = auroc(there[True], there[False])
            counts = {"grok": len(there[True]), "negative": len(there[False]), "of": len(series)}
            out.append({"signal": signal.name, "auroc": [area.value, area.low, area.high], **counts})
    head = {"equal loss": arm.study, "level": level}
    return [head | one for one in sorted(out, key=lambda one: -max(one["auroc"][0], 1 - one["auroc"][0]))]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and keep as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.after_reading", description=__doc__)
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    sources = Sources(Evidence(open_store()))
    about, _, runs = taken(sources, CROSS_ENTROPY)
    stored = tables(sources, about, CROSS_ENTROPY)
    ours = own_basis(about, stored)
    asked: dict[str, tuple[Mapping[str, Stored], str, str, int]] = {}
    asked |= {f"{name} {variant}".strip(): (stored, name, variant, every) for name, variant, every in NEAREST}
    asked |= {f"characters {OWN}": (ours, "characters", "", 25), "norm_peak at every epoch": (stored, "norm_peak", "", 1)}
    full = {name: reading(about, *how) for name, how in asked.items()}
    never = set.intersection(*(missed(about, full[name]) for name in list(asked)[: len(NEAREST) + 1]))
    delays = {i: one.run.t50 - one.memorised for i, one in about.items() if one.run.positive}
    quick = {i for i, delay in delays.items() if delay <= DELAY}
    rest = {i: one for i, one in about.items() if i not in quick}
    out = [{"row": name, "runs": "all", **told(one)} for name, one in full.items()]
    out += [{"row": name, "runs": "with a delay", **told(reading(rest, *how))} for name, how in asked.items()]
    one = pd.DataFrame(
        [{"memorised": about[i].memorised, "t10": about[i].run.t10, "t50": about[i].run.t50, "delay": delays[i]} for i in never]
    )
    out.append({"missed by all": len(never), "cells": sorted({str(about[i].cell[1:3] + about[i].cell[-1:]) for i in never})})
    out[-1] |= {str(name): [float(one[name].min()), float(one[name].max())] for name in one}
    longer = min(delay for i, delay in delays.items() if i not in quick)
    out[-1] |= {"without a delay": len(quick), "the same": quick == never, "next delay": longer}
    each = {name: len(missed(about, made)) for name, made in full.items()}
    out.append({"missed by each": each})
    ends: list[Any] = runs[["run_id", "condition", *CELL]].to_dict("records")
    out += ended(sources, [run for run in ends if run["condition"] == "grok"])
    out += generalised(sources, [run for run in ends if run["condition"] != "grok"])
    out += equal_loss(sources, about, stored, CROSS_ENTROPY)
    first, _, _ = taken(sources)
    out += equal_loss(sources, first, tables(sources, first), MAIN)
    print(json.dumps(out, indent=1, ensure_ascii=False))
    if flags.json:
        record.write(flags.json, record.environment(record.spelt("benchmarks.after_reading")), out)
    return 0


def ended(sources: Sources, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By network, task and share of the pairs: the median share of tuned neurons at the end, and κ of the norm's decay."""
    rows = []
    for run in runs:
        table = sources.evidence.signals(run["run_id"])
        last = table[(table["signal"] == "tuned_neurons") & (table["variant"] == "")].sort_values("epoch")["value"].iloc[-1]
        history = sources.evidence.history(run["run_id"])
        squares = np.square(history[[name for name in history if str(name).startswith("norm/")]].to_numpy()).sum(axis=1)
        start, end = (int(np.argmax(history[name].to_numpy() >= 0.99)) for name in ("accuracy/train", "accuracy/test"))
        rate = math.log(squares[start] / squares[end]) / (end - start) if end > start else math.nan
        rows.append(
            run | {"tuned": float(last), "kappa": rate / (2 * float(run["learning_rate"]) * float(run["weight_decay"]))}
        )
    cells = pd.DataFrame(rows).groupby(["network", "task", "n_train"])[["tuned", "kappa"]]
    low, middle, high = (cells.quantile(q) for q in (0.0, 0.5, 1.0))
    return [
        {"network": key[0], "task": key[1], "n_train": int(key[2])}
        | {name: [float(part.loc[key, name]) for part in (low, middle, high)] for name in ("tuned", "kappa")}
        for key in middle.index
    ]


def generalised(sources: Sources, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By condition and network of runs that do not grok: the largest test accuracy, and how many reach one tenth."""
    rows = [run | {"best": float(sources.evidence.history(run["run_id"])["accuracy/test"].max())} for run in runs]
    groups = pd.DataFrame(rows).groupby(["condition", "network"])["best"]
    return [
        {
            "condition": key[0],
            "network": key[1],
            "runs": len(best),
            "best": float(best.max()),
            "tenth": int((best >= 0.1).sum()),
        }
        for key, best in groups
    ]


if __name__ == "__main__":
    raise SystemExit(main())
