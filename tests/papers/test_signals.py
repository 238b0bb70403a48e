"""The leaderboard on a made-up study: what each signal sees is planted, from the runs' tables to the verdict words."""

from __future__ import annotations

import dataclasses
import math
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals import board
from analysis.reading.runs import grid
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
    assert {"two_fields", "head_cosine"} <= set(missing["signal"])


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
