"""The leaderboard on a made-up study: what each signal sees is planted, from the runs' tables to the verdict words."""

from __future__ import annotations

import dataclasses
import itertools
import math
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals import board
from analysis.reading.runs import grid
from analysis.statistics.alarms import Watched, fire_epoch
from grok.signals.base import Signal, find
from grok.spec.plugins import SIGNALS
from grok.store.errors import StoreError

EPOCHS = np.arange(0, 801, 10)
PLANTED = ("lar", "rho", "weight_norm", "loss", "clock")
"""rho rises 60 epochs before test accuracy 0.5, lar 60 after; the norm falls under decay; the loss is noise."""


class MadeUp:
    """Evidence of the study `signals`: every run of the grid, with planted signals."""

    def __init__(self, *, jitter: bool = False) -> None:
        rows, self.tables, self.times = [], {}, {}
        for number, cell in enumerate(grid(board.STUDY)):
            config = cell.config
            twin = (cell.condition, config.activation, config.weight_decay, config.n_train, config.seed)
            rng = np.random.default_rng(zlib.crc32(repr(twin).encode()))  # the same for replicates of a run
            groks = cell.condition == board.GROK
            t50 = 150 + 2e-2 / config.weight_decay + (2520 - config.n_train) / 8 if groks else math.nan
            run_id = f"run-{number}"
            self.times[run_id] = t50
            rows.append(
                dataclasses.asdict(config)
                | {"run_id": run_id, "condition": cell.condition, "config_hash": config.hash, "state": "complete"}
                | {"test_50_epoch": t50, "test_99_epoch": t50 + 40, "train_99_epoch": 20.0}
            )
            noise = rng.normal(0, 0.01, (len(PLANTED), len(EPOCHS)))
            hidden = jitter and config.rounding != "auto"
            early = (t50 - 60 <= EPOCHS) & (not hidden)
            series = {
                "rho": early + noise[0],
                "lar": (t50 + 60 <= EPOCHS) + noise[1],
                "weight_norm": 2 - ((EPOCHS >= 60) & (config.weight_decay > 0)) + noise[2],
                "loss": 1 + noise[3],
                "clock": EPOCHS.astype(float),
            }
            parts = [
                pd.DataFrame({"epoch": EPOCHS, "signal": name, "variant": "raw" if name == "lar" else "", "value": value})
                for name, value in series.items()
            ]
            self.tables[run_id] = pd.concat(parts, ignore_index=True)
        self.table = pd.DataFrame(rows)

    @staticmethod
    def command(study: str) -> str:
        return f"run {study}"

    def runs(self, study: str) -> pd.DataFrame:
        return self.table

    def signals(self, run_id: str) -> pd.DataFrame:
        if run_id not in self.tables:
            raise StoreError("signals.parquet must exist")
        return self.tables[run_id]

    def history(self, run_id: str) -> pd.DataFrame:
        epochs, t50 = np.arange(801), self.times[run_id]
        return pd.DataFrame({"epoch": epochs, "accuracy/test": np.where(epochs >= t50 - 20, 0.5, 0.01)})


def rows(evidence: MadeUp) -> pd.DataFrame:
    sources: Any = Sources(evidence)  # type: ignore[arg-type]
    about, left_out = board.known(sources, sources.take(board.STUDY))
    assert not left_out
    return board.board(about, board.tables(sources, list(about)), PLANTED)


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return rows(MadeUp())


def of(found: pd.DataFrame, signal: str, rule: str = board.CALIBRATED, variant: str = "") -> Any:
    mine = found[(found["signal"] == signal) & (found["rule"] == rule) & (found["variant"] == variant)]
    assert len(mine) == 1
    return mine.iloc[0]


def test_each_signal_is_called_what_it_was_planted_as(found: pd.DataFrame) -> None:
    words = {"rho": "alarm", "weight_norm": "sees weight decay, not grokking", "loss": "no information"}
    assert {name: of(found, name)["verdict"] for name in words} == words
    assert of(found, "lar", variant="raw")["verdict"] == "follows"
    assert of(found, "clock")["tpr"] == 0
    assert found["verdict"].iloc[0] == "alarm"


def test_what_eta_0_alone_would_have_shown(found: pd.DataFrame) -> None:
    """Without decay as the only negative nothing tells the norm from one that knows; its AUROC is high."""
    row = of(found, "weight_norm")
    assert row["eta0_only"] in {"clock", "alarm", "rank only"}
    assert row["verdict"] == "sees weight decay, not grokking"


def test_the_leads_and_the_rates_are_the_planted_ones(found: pd.DataFrame) -> None:
    row = of(found, "rho")
    assert row["lead_t50"] == pytest.approx(50, abs=10)
    assert (row["tpr"], row["worst_fpr"], row["beaten_by"]) == (1, 0, "")
    assert row["tpr_n"] == 2 * 3 * 7  # two held-out seeds, three activations, seven cells that grok
    assert row["p_adjusted"] < 1e-6
    assert row["seeds_exchanged"] == "alarm"


def test_a_printed_rule_stands_beside_the_calibrated_one(found: pd.DataFrame) -> None:
    assert not math.isnan(of(found, "rho", board.PRINTED)["tpr"])
    assert set(found.loc[found["rule"] == board.PRINTED, "signal"]) == {"rho"}


def test_rows_that_cannot_be_tested_say_what_is_missing(found: pd.DataFrame) -> None:
    missing = found[found["missing"].notna()]
    assert (missing["verdict"] == "not testable").all()
    assert {"two_fields", "norm_clamp"} <= set(missing["signal"])


def test_an_alarm_that_rounding_makes_is_none() -> None:
    assert of(rows(MadeUp(jitter=True)), "rho")["verdict"] == "unstable to rounding or estimator"


def test_the_sentences_say_who_leads(found: pd.DataFrame) -> None:
    text = board.told(found)
    assert "Longest lead of class T: rho printed" in text
    assert "2 alarm;" in text


def test_without_signals_it_says_how_to_get_them() -> None:
    evidence = MadeUp()
    evidence.tables.clear()
    with pytest.raises(Absent, match=r"are not there\. Run python -m entry_points\.signals --study signals"):
        board._both(Sources(evidence))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SIGNALS.names)
def test_no_rule_takes_back_what_it_said(name: str) -> None:
    """Of every signal: cut a run at any epoch, and an alarm before it is the same, and one after it is not given."""
    signal, rng = find(name), np.random.default_rng(len(name))
    values = np.exp(0.6 * rng.standard_normal((6, 90)).cumsum(axis=1)) - 0.5
    for row, memorised in itertools.product(values, (math.nan, 20.0)):
        whole = Watched(0, True, "", True, math.nan, 700.0, math.nan, np.arange(0, 900, 10), row)
        said = {rule: _said(rule, signal, whole, memorised) for rule in (board.CALIBRATED, board.PRINTED)}
        for rule, end in itertools.product(said, range(1, 90, 4)):
            part = whole._replace(epochs=whole.epochs[:end], values=row[:end])
            found, before = _said(rule, signal, part, memorised), said[rule] <= part.epochs[-1]
            assert found == said[rule] if before else math.isnan(found)


def _said(rule: str, signal: Signal, run: Watched, memorised: float) -> float:
    return board.printed_epoch(signal, run, memorised) if rule == board.PRINTED else fire_epoch(run, 1.3)


def test_a_printed_rule_reads_every_epoch_that_was_computed() -> None:
    """The slope of the gap over 25 epochs cannot be read from every tenth: there the rule would never fire."""
    signal, epochs = find("gap"), np.arange(801)
    table = pd.DataFrame(
        {"epoch": epochs, "signal": "gap", "variant": "23", "value": np.exp(0.05 * np.maximum(epochs - 300, 0))}
    )
    run = Watched(302, True, "", True, 400.0, 420.0, 450.0, np.array([]), np.array([]))
    about = {"a": board.Known(run, 20.0, ("a",), replicate=False)}
    fires = {
        every: board.printed_epoch(signal, board.watch(about, {"a": table}, signal, "23", every)["a"], 20.0)
        for every in (1, board.EVERY)
    }
    assert fires[1] == 321  # 0.05 · 21/25 is the first slope above 0.04
    assert math.isnan(fires[board.EVERY])
    assert (board.PRINTED, 1) in board._readings(signal, "23", board.EVERY)


def test_the_commutator_is_told_at_two_cadences() -> None:
    assert board._readings(find("commutator"), "", 10) == [
        (board.CALIBRATED, 10),
        (board.CALIBRATED, 80),
        (board.PRINTED, 1),
        (board.PRINTED, 80),
    ]
