"""The leaderboard on a made-up study: what each signal sees is planted, from the runs' tables to the words and sentences."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals import board, rows, study
from analysis.papers.signals.rounding import untried
from analysis.papers.signals.sentences import told
from analysis.reading.runs import grid
from analysis.statistics.alarms import Watched, fire_epoch
from grok.signals.base import PrintedRule, Signal, find
from grok.spec.plugins import SIGNALS
from grok.store.errors import StoreError

EPOCHS = np.arange(0, 801, 10)
PLANTED = ("lar", "rho", "weight_norm", "loss", "clock")
"""rho rises 60 epochs before test accuracy 0.5, lar 60 after, without noise; the norm falls under decay; the loss is noise."""


class MadeUp:
    """Evidence of the study `signals`: every run of the grid, with planted signals."""

    def __init__(self, *, jitter: bool = False) -> None:
        rows_, self.tables, self.times = [], {}, {}
        for number, cell in enumerate(grid(study.STUDY)):
            config = cell.config
            twin = (cell.condition, config.activation, config.weight_decay, config.n_train, config.seed)
            rng = np.random.default_rng(zlib.crc32(repr(twin).encode()))  # the same for replicates of a run
            groks = cell.condition == study.GROK
            t50 = 150 + 2e-2 / config.weight_decay + (2520 - config.n_train) / 8 if groks else math.nan
            run_id = f"run-{number}"
            self.times[run_id] = t50
            rows_.append(
                dataclasses.asdict(config)
                | {"run_id": run_id, "condition": cell.condition, "config_hash": config.hash, "state": "complete"}
                | {"test_50_epoch": t50, "test_99_epoch": t50 + 40, "train_99_epoch": 20.0}
            )
            noise = rng.normal(0, 0.01, (len(PLANTED), len(EPOCHS)))
            hidden = jitter and config.rounding != "auto"
            early = (t50 - 60 <= EPOCHS) & (not hidden)
            series = {
                "rho": early + noise[0],
                "lar": (t50 + 60 <= EPOCHS).astype(float),
                "weight_norm": 2 - ((EPOCHS >= 60) & (config.weight_decay > 0)) + noise[2],
                "loss": 1 + noise[3],
                "clock": EPOCHS.astype(float),
            }
            parts = [
                pd.DataFrame({"epoch": EPOCHS, "signal": name, "variant": "raw" if name == "lar" else "", "value": value})
                for name, value in series.items()
            ]
            self.tables[run_id] = pd.concat(parts, ignore_index=True)
        self.table = pd.DataFrame(rows_)

    @staticmethod
    def command(study_: str) -> str:
        return f"run {study_}"

    def runs(self, study_: str) -> pd.DataFrame:
        return self.table

    def signals(self, run_id: str) -> pd.DataFrame:
        if run_id not in self.tables:
            raise StoreError("signals.parquet must exist")
        return self.tables[run_id]

    def history(self, run_id: str) -> pd.DataFrame:
        epochs, t50 = np.arange(801), self.times[run_id]
        return pd.DataFrame({"epoch": epochs, "accuracy/test": np.where(epochs >= t50 - 20, 0.5, 0.01)})


def made(evidence: MadeUp) -> board.Board:
    sources: Any = Sources(evidence)  # type: ignore[arg-type]
    about, left_out, _ = study.taken(sources)
    assert not left_out
    return board.board(about, study.tables(sources, about), PLANTED)


@functools.cache
def whole() -> board.Board:
    return made(MadeUp())


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return whole().table


def of(table: pd.DataFrame, signal: str, rule: str = rows.CALIBRATED, variant: str = "", every: int = 10) -> Any:
    mine = table[(table["signal"] == signal) & (table["rule"] == rule) & (table["every"] == every)]
    mine = mine[mine["variant"] == variant]
    assert len(mine) == 1
    return mine.iloc[0]


def test_each_signal_is_called_what_it_was_planted_as(found: pd.DataFrame) -> None:
    words = {"rho": "alarm", "weight_norm": "fires without grokking where decay is", "loss": "no information"}
    assert {name: of(found, name)["verdict"] for name in words} == words
    assert of(found, "lar", variant="raw")["verdict"] == "follows"
    assert of(found, "clock")["tpr"] == 0
    assert found["verdict"].iloc[0] == "alarm"


def test_what_eta_0_alone_would_have_shown(found: pd.DataFrame) -> None:
    """Without decay as the only negative nothing tells the norm from one that knows."""
    row = of(found, "weight_norm")
    assert row["eta0_only"] == "clock"
    assert row["verdict"] == "fires without grokking where decay is"


def test_the_leads_and_the_rates_are_the_planted_ones(found: pd.DataFrame) -> None:
    row = of(found, "rho")
    assert row["lead_t50"] == pytest.approx(50, abs=10)
    assert (row["tpr"], row["worst_fpr"], row["beats"]) == (1, 0, "")
    assert row["not_beaten"].startswith("cell_clock at 0.5 of it (0 of 84)")
    assert row["tpr_n"] == 4 * 3 * 7  # all seeds, three activations, seven cells that grok
    assert row["fpr_n"] == 4 * 3 * 4  # four sets of twelve; those of weak decay are told apart
    assert (row["runs weak decay"], row["fires weak decay"]) == (12, 0)
    assert (row["worst_n"], row["worst_decided"]) == (12, "undecided")
    assert row["p_adjusted"] < 1e-6
    assert {row["first_half"], row["second_half"]} == {"alarm"}


def test_both_looks_of_a_row_are_in_the_family_and_it_has_the_p_of_the_one_that_gives_its_word() -> None:
    """Holm of four: 0.001 · 4, 0.01 · 3, 0.02 · 2, and 0.5 of the printed rule, which has one look."""
    head = {"one_threshold": "alarm", "by_activation": "alarm"}
    first = head | {"verdict": "alarm, activation by activation", "one_threshold_p": 0.02, "by_activation_p": 0.001}
    told_ = [first, head | {"verdict": "alarm", "one_threshold_p": 0.5, "by_activation": None}]
    other = head | {"verdict": "alarm", "one_threshold_p": 0.01, "by_activation": None}
    board._adjust([rows.Row(one, {}) for one in (*told_, other)])
    assert [one["p_adjusted"] for one in (*told_, other)] == pytest.approx([0.004, 0.5, 0.03])
    assert first["one_threshold_p_adjusted"] == pytest.approx(0.04)


def test_cheap_signals_are_told_at_the_costly_cadence_too(found: pd.DataFrame) -> None:
    """At every fortieth epoch the alarm of a step comes 40 to 80 epochs after it: a lead of 60 is hardly one."""
    for name in ("rho", "loss", "clock", "weight_norm"):
        assert of(found, name, every=40)["every"] == 40
    assert of(found, "rho", every=40)["lead_t50"] < of(found, "rho")["lead_t50"]


def test_a_printed_rule_stands_beside_the_calibrated_one(found: pd.DataFrame) -> None:
    """ρ ≥ 0.075 as printed: half of the noise is above it nowhere, so that it is an alarm here."""
    assert of(found, "rho", rows.PRINTED)["verdict"] == "alarm"
    assert set(found.loc[found["rule"] == rows.PRINTED, "signal"]) == {"rho"}


def test_rows_that_cannot_be_tested_say_what_is_missing(found: pd.DataFrame) -> None:
    missing = found[found["missing"].notna()]
    assert (missing["verdict"] == "not testable").all()
    assert {"two_fields", "norm_clamp", "critical_decay"} <= set(missing["signal"])
    assert "zero_meaned" in set(missing["variant"])


@pytest.mark.slow
def test_an_alarm_that_rounding_makes_is_none() -> None:
    row = of(made(MadeUp(jitter=True)).table, "rho")
    assert row["verdict"] == "unstable to rounding or estimator"
    assert (row["rounding_split"], row["rounding_n"]) == (
        4,
        8,
    )  # two activations, two seeds, two sets


def test_the_sentences_say_who_leads_and_what_it_rests_on(found: pd.DataFrame) -> None:
    held = whole()
    text = told(held.about, held.rows, {"eta0": 2}, untried(held.about.values()))
    for said in (
        "Alarms: rho as printed, detected in 84 of 84 runs that grok, false alarms in 0 of 48 others, lead 53 [53, 56] epochs "
        "before test accuracy 0.5 and ",
        "Of 2 signals by a calibrated threshold: alarm 1, follows 1; of 1 as printed: alarm 1.",
        "Of all 18 rows that could be scored, with other variants and cadences, controls and baselines: alarm 4,",
        "a choice on one pair is not blind to the other.",
        "Best of class T on seeds 300 and 301: rho printed, every 10 epochs, there alarm; on seeds 302 and 303 alarm, lead 53 "
        "[",
        "Of the calibrated rows of class T the best on seeds 300 and 301 is rho calibrated, every 10 epochs: on all seeds it "
        "detects 1, 1, 1 at calibrated rates of 0.05, 0.10, 0.20, half of the runs that grok can be detected at a "
        "false-positive rate of 0 and no lower",
        "Best of class C on seeds 300 and 301: cell_clock at 0.5 of it",
        "Baselines that are alarms: cell_clock at 0.5 of it, cell_clock at 0.8 of it. Of 2 other rows that are alarms 0 lead "
        "longer than each of these, 2 do not, 0 had none to be held against",
        "epochs off in the median of 84 of 84 runs. No cell has runs of both kinds: no signal is shown to beat the config",
        "2 rows would be alarms or clocks with η = 0 as the only negatives and are neither with all, 0 the other way round.",
        "too few pairs 0 and 0; random labels 0 and 0; random labels, no decay 2 and 0.",
        "is below 0.2 can be decided for none of the 4 rows that are alarms: where none of 12 fires the bound is 0.221.",
        "By activation or network: square 28 and 16; relu 28 and 16; relu2 28 and 16.",
        "Not repeated by another order of summation: random_labels, no decay, data_starved, eta0, weak decay.",
        "Outside the calibration and the rates, as they may grok later: 12 of weak decay.",
        "Neither positive nor negative: 2 of eta0.",
        "over the family of all looks of all rows",
        "intervals and p-values are nominal.",
    ):
        assert said in text, said
    first, *_, missing = text.split("\n\n")
    assert first.startswith("Alarms: rho")
    assert missing.startswith("Classes of information: ")
    assert "norm_clamp (Truong et al., arXiv 2606.13753): an intervention" in missing


def test_the_surprises_that_the_rows_can_fill_are_told() -> None:
    """Of ρ both rules detect alike, and no word of a published variant turns on the negatives: one of three can be filled."""
    held = whole()
    text = told(held.about, held.rows, {}, [])
    assert "The printed and the calibrated rule" not in text
    assert "the word changes most" not in text
    assert (
        "On seeds 302 and 303 the best signal of class T that is no baseline, rho printed, every 10 epochs (alarm, lead 53"
        in text
    )
    assert "leads longer than the best baseline, cell_clock at 0.5 of it" in text
    assert "in none of the 42 runs in which both fire after their first chance (sign test of leading longer, p = 1)." in text


def test_without_signals_it_says_how_to_get_them() -> None:
    evidence = MadeUp()
    evidence.tables.clear()
    with pytest.raises(Absent, match=r"are not there\. Run python -m entry_points\.signals --study signals"):
        board._both(Sources(evidence))  # type: ignore[arg-type]


@pytest.mark.parametrize(("condition", "again", "lost"), [("eta0", False, 3), ("grok", True, 2)])
def test_nothing_is_told_before_every_set_has_most_of_its_runs(condition: str, again: bool, lost: int) -> None:
    """Of 12 runs 9, of 8 replicates 6: the other 150 do not make up for them; with one more all is told."""
    for gone in (lost, lost - 1):
        evidence = MadeUp()
        mine = (evidence.table["condition"] == condition) & ((evidence.table["rounding"] != "auto") == again)
        evidence.table = evidence.table.drop(index=evidence.table.index[mine][:gone]).reset_index(drop=True)
        sources: Any = Sources(evidence)  # type: ignore[arg-type]
        if gone == lost:
            with pytest.raises(Absent, match=f"every set of signals must have 0.8 of its runs .* of {condition}"):
                study.taken(sources)
        else:
            assert study.taken(sources)[0]


@pytest.mark.parametrize("name", SIGNALS.names)
def test_no_rule_takes_back_what_it_said(name: str) -> None:
    """Of every signal: cut a run at any epoch, and an alarm before it is the same, and one after it is not given."""
    signal, rng = find(name), np.random.default_rng(len(name))
    values = np.exp(0.6 * rng.standard_normal((6, 90)).cumsum(axis=1)) - 0.5
    for row, memorised in itertools.product(values, (math.nan, 20.0)):
        run = Watched(0, True, "", True, math.nan, 700.0, math.nan, np.arange(0, 900, 10), row)
        said = {rule: _said(rule, signal, run, memorised) for rule in (rows.CALIBRATED, rows.PRINTED)}
        for rule, end in itertools.product(said, range(1, 90, 4)):
            part = dataclasses.replace(run, epochs=run.epochs[:end], values=row[:end])
            found_, before = _said(rule, signal, part, memorised), said[rule] <= part.epochs[-1]
            assert found_ == said[rule] if before else math.isnan(found_)


def _said(rule: str, signal: Signal, run: Watched, memorised: float) -> float:
    return study.printed_epoch(signal, run, memorised) if rule == rows.PRINTED else fire_epoch(run, 1.3)


def test_a_printed_rule_reads_every_epoch_that_was_computed() -> None:
    """The slope of the gap over 25 epochs cannot be read from every tenth: there the rule would never fire."""
    signal, epochs = find("gap"), np.arange(801)
    stored = {"a": {("gap", "23"): (epochs, np.exp(0.05 * np.maximum(epochs - 300, 0)))}}
    run = Watched(302, True, "", True, 400.0, 420.0, 450.0, np.array([]), np.array([]))
    about = {"a": study.Known(run, 20.0, ("grok", "net", "task"), replicate=False)}
    fires = {
        every: study.printed_epoch(signal, study.watch(about, stored, signal, "23", every)["a"], 20.0)
        for every in (1, study.MAIN.every)
    }
    assert fires[1] == 321  # 0.05 · 21/25 is the first slope above 0.04
    assert math.isnan(fires[study.MAIN.every])
    assert study.printed_epoch(signal, study.watch(about, stored, signal, "23")["a"], 330.0, after=True) == 330
    assert (rows.PRINTED, 1) in [one[2:4] for one in rows.readings(signal, "23", study.MAIN)]


def test_a_variant_is_oriented_by_its_own_direction_and_its_printed_rule_reads_what_was_measured() -> None:
    """High announces in the series; a rule as printed has the number that a paper has."""
    rule = PrintedRule("at most 4", lambda epochs, values, memorised: values <= 4, could=lambda e, values, m: values < 9)
    signal = dataclasses.replace(find("characters"), printed=rule)
    stored = {"a": {("characters", one): (np.array([0, 10, 20]), np.array([9.0, 5.0, 3.0])) for one in ("", "count")}}
    run = Watched(302, True, "", True, 400.0, 420.0, 450.0, np.array([]), np.array([]))
    about = {"a": study.Known(run, 20.0, ("grok", "net", "task"), replicate=False)}
    for variant, sign in (("", 1), ("count", -1)):
        found = study.watch(about, stored, signal, variant)["a"]
        assert found.values.tolist() == [sign * 9.0, sign * 5.0, sign * 3.0]
        turned = study.watch(about, stored, signal, variant, turned=True)["a"]
        assert turned.values.tolist() == [-sign * 9.0, -sign * 5.0, -sign * 3.0]
        assert study.printed_epoch(signal, found, 20.0, variant) == 20
        assert study.printed_chances(signal, found, 20.0, variant) == (10.0, 20.0)


def test_costly_signals_have_their_cadence_and_the_commutator_two() -> None:
    def cadences(name: str) -> list[tuple[str, int]]:
        return [one[2:4] for one in rows.readings(find(name), next(iter(find(name).variants)), study.MAIN)]

    calibrated, printed = rows.CALIBRATED, rows.PRINTED
    assert cadences("commutator") == [(calibrated, 40), (calibrated, 80), (printed, 1), (printed, 80)]
    assert cadences("anisotropy") == [(calibrated, 40)]
    assert cadences("rho") == [(calibrated, 10), (calibrated, 40), (printed, 1)]


def test_an_epoch_that_was_not_computed_is_not_known_and_its_neighbours_are_none() -> None:
    """At 0, 80 and 120 of every fortieth epoch: the first alarm of a series above its threshold is at 120, not at 80."""
    signal = find("anisotropy")
    stored = {"a": {("anisotropy", ""): (np.array([0, 70, 80, 120]), np.array([9.0, 9.0, 9.0, 9.0]))}}
    run = Watched(302, True, "", True, 400.0, 420.0, 450.0, np.array([]), np.array([]))
    about = {"a": study.Known(run, 20.0, ("grok", "net", "task"), replicate=False)}
    found = study.watch(about, stored, signal, "", 40)["a"]
    assert found.epochs.tolist() == [0, 40, 80, 120]
    assert np.isnan(found.values).tolist() == [False, True, False, False]
    assert fire_epoch(found, 1.0) == 120


def test_a_table_that_is_older_than_a_variant_has_it_by_n_and_the_width() -> None:
    evidence = MadeUp()
    for run_id, table in evidence.tables.items():
        extra = pd.DataFrame({"epoch": [0, 40], "signal": "spectral_entropy", "variant": "", "value": [0.5, 0.25]})
        evidence.tables[run_id] = pd.concat([table, extra], ignore_index=True)
    sources: Any = Sources(evidence)  # type: ignore[arg-type]
    about, _, runs = study.taken(sources)
    stored = study.tables(sources, about)
    for run_id, n in zip(runs["run_id"], runs["n_train"], strict=True):
        expected = np.array([0.5, 0.25]) * math.log(2048) / math.log(min(n - 1, 2048))
        np.testing.assert_allclose(stored[run_id]["spectral_entropy", "of_rank"][1], expected)
    assert set(runs["n_train"]) == {504, 1008, 1512, 2016, 2520}
