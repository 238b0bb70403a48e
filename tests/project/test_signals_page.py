"""The numbers of docs/signals.md are those of the committed leaderboard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.papers.signals.board import brief
from analysis.papers.signals.study import BASELINES
from analysis.statistics.alarm_words import ALARMS, SLOW, UNTESTED
from analysis.words import spread

DOCS = Path(__file__).resolve().parents[2] / "docs"


def count(one: Any, name: str) -> str:
    return f"{one[name] * one[f'{name}_n']:.0f} of {one[f'{name}_n']:.0f}"


def test_what_was_found_is_what_the_leaderboard_has() -> None:
    board = pd.read_csv(DOCS / "results" / "signals-leaderboard.csv", keep_default_na=False, na_values=[""]).fillna(
        {"variant": ""}
    )
    page = " ".join((DOCS / "signals.md").read_text(encoding="utf-8").split())
    board["published"] = board["published"].astype(str) == "True"

    def of(signal: str, rule: str, every: int, variant: str = "") -> Any:
        rows = board[(board["signal"] == signal) & (board["rule"] == rule) & (board["variant"] == variant)]
        return rows[rows["every"] == every].iloc[0]

    def lead(one: Any) -> str:
        return spread(one["lead_t50"], one["lead_t50_low"], one["lead_t50_high"]).replace(" [", " epochs [", 1)

    signals = board[board["published"] & ~board["signal"].isin((*BASELINES, "cell_clock")) & (board["verdict"] != UNTESTED)]
    calibrated, printed = (signals[signals["rule"] == rule] for rule in ("calibrated", "printed"))
    able = (calibrated["verdict"] != SLOW).sum()
    assert f"Of {len(calibrated)} signals, of which {able} can be tested here, one is an alarm" in page
    assert calibrated.loc[calibrated["verdict"].isin(ALARMS), "signal"].tolist() == ["fourier_dominance"]
    assert (len(printed), (printed["verdict"] != SLOW).sum()) == (9, 6)
    assert not printed["verdict"].isin(ALARMS).any()
    best, control = of("fourier_dominance", "calibrated", 10), of("fourier_dominance", "calibrated", 10, "permuted")
    assert f"in {count(best, 'tpr')} runs that grok and in {count(best, 'fpr')} others, {lead(best)} before a test" in page
    first = spread(best["lead_t10"], best["lead_t10_low"], best["lead_t10_high"])
    assert f"of one half, but {first} before one of a tenth" in page
    late = [f"{best[f'fires {name}']:.0f} of {best[f'runs {name}']:.0f}" for name in ("no grokking yet", "weak decay")]
    assert f"it fires in {' and '.join(late)}." in page
    assert control["verdict"] in ALARMS
    assert (
        f"it detects {count(control, 'tpr')}, {count(control, 'fpr')}, {lead(control)} before one half, and after one tenth"
        in page
    )
    assert control["lead_t10"] < 0
    assert of("fourier_dominance", "calibrated", 40)["verdict"] == "rank only"
    peak = of("norm_peak", "printed", 1)
    assert (peak["tpr"], peak["eta0_only"], peak["fires eta0"], peak["runs eta0"]) == (1, "alarm", 0, 12)
    decayed = [peak[f"fires {name}"] for name in ("random_labels", "data_starved")]
    assert (sum(decayed), peak["fpr"]) == (24, 0.5)
    inside = signals[signals["information"] == "T"]
    assert not inside["verdict"].isin(ALARMS).any()
    assert (calibrated["verdict"] == "fires without grokking where decay is").sum() == 11
    norm = of("weight_norm", "calibrated", 10)
    assert f"detects most, {count(norm, 'tpr')}, with false alarms in {count(norm, 'fpr')}." in page
    assert norm["tpr"] == board.loc[(board["information"] == "T") & (board["rule"] == "calibrated"), "tpr"].max()
    turn = of("test_loss_turnover", "printed", 1)
    said = f"{count(turn, 'tpr')}, {count(turn, 'fpr')}, {lead(turn).replace('epochs', 'epochs ahead')}"
    assert f"each epoch is read: {said}." in page
    assert of("test_loss_turnover", "calibrated", 10)["verdict"] not in ALARMS
    assert "test_loss_turnover printed (57 of 64)" in best["beats"]
    assert "leads longer in 57 of 64 runs" in page
    clock = of("cell_clock", "median t50 of the cell", 10, "at 0.5 of it")
    sooner = of("cell_clock", "median t50 of the cell", 10, "at 0.8 of it")
    assert f"of a run's cell it leads {lead(sooner)}, at half of it {lead(clock).replace(' epochs', '')}." in page
    alarms = board[board["verdict"].isin(ALARMS)]
    assert clock["lead_t50"] == alarms["lead_t50"].max()
    assert not (alarms["worst_decided"] == "below").any()
    assert set(inside["verdict"]) >= {SLOW}
    shown = brief(board.assign(beats=board["beats"].fillna("")))
    assert shown["word"].isin(ALARMS).sum() == 6
    assert "fourier_dominance permuted" in set(shown["signal"])


def test_what_was_found_under_a_cross_entropy_is_what_its_leaderboard_has() -> None:
    board = pd.read_csv(DOCS / "results" / "signals-ce-leaderboard.csv", keep_default_na=False, na_values=[""])
    board = board.fillna({"variant": ""})
    page = " ".join((DOCS / "signals.md").read_text(encoding="utf-8").split())
    board["published"] = board["published"].astype(str) == "True"

    def of(signal: str, rule: str, every: int, variant: str = "") -> Any:
        rows = board[(board["signal"] == signal) & (board["rule"] == rule) & (board["variant"] == variant)]
        return rows[rows["every"] == every].iloc[0]

    def lead(one: Any) -> str:
        return spread(one["lead_t50"], one["lead_t50_low"], one["lead_t50_high"])

    signals = board[board["published"] & ~board["signal"].isin((*BASELINES, "cell_clock")) & (board["verdict"] != UNTESTED)]
    assert not signals["verdict"].isin(ALARMS).any()
    words = signals.loc[signals["rule"] == "calibrated", "verdict"].value_counts()
    said = f"Of {words.sum()} by a threshold from other seeds {words['no information']} have no information and {words[SLOW]}"
    assert f"No signal is an alarm.** {said} cannot be told at this cadence" in page
    fve, tuned = of("fve", "calibrated", 25), of("tuned_neurons", "calibrated", 25, "mean")
    ahead = lead(fve).replace(" [", " epochs [")
    assert f"`fve` detects {count(fve, 'tpr')} with a false alarm in {count(fve, 'fpr')}, {ahead} before" in page
    assert (count(tuned, "tpr"), count(tuned, "fpr")) == (count(fve, "tpr"), count(fve, "fpr"))
    assert f"the `mean` of `tuned_neurons` as many, {lead(tuned)}; an alarm has to detect 0.8" in page
    turn = of("test_loss_turnover", "calibrated", 1)
    assert f"read at each epoch: {count(turn, 'tpr')}, {count(turn, 'fpr')}, {lead(turn)}." in page
    assert of("fourier_dominance", "calibrated", 25)["missing"] == "no run of this study gives it"
    peak = of("norm_peak", "printed", 1)
    assert f"it fires in {count(peak, 'tpr')} runs that grok, {lead(peak).replace(' [', ' epochs [')} ahead, in" in page
    assert [peak[f"fires {name}"] for name in ("random_labels", "eta0")] == [16, 0]
    assert (peak["eta0_only"], peak["verdict"]) == ("alarm", "false alarms")
    best = of("norm_peak", "calibrated", 25)
    half = spread(*(best[f"second_half_lead{end}"] for end in ("", "_low", "_high")))
    worst = f"{best['second_half_worst_fires']:.0f} of {best['second_half_worst_n']:.0f}"
    assert f"on held-out seeds its lead is {half}, with a false alarm in {worst} on its worst set" in page
    gap = of("gap", "printed", 1, "23")
    assert (count(gap, "fpr"), count(gap, "tpr")) == ("32 of 32", "10 of 32")
    clock = of("cell_clock", "median t50 of the cell", 25, "at 0.5 of it")
    assert clock["verdict"] in ALARMS
    said = f"{count(clock, 'tpr')}, {count(clock, 'fpr')}, {lead(clock).replace(' [', ' epochs [')}"
    assert f"is an alarm again: {said}." in page


def test_the_characters_under_a_cross_entropy_are_those_of_the_committed_runs() -> None:
    """The least and the largest Gini coefficient of either basis at the end, by task and network."""
    for folder in sorted(path.parent for path in DOCS.rglob("runs.json")):
        runs = json.loads((folder / "runs.json").read_text(encoding="utf-8"))["runs"]
        params = {run["run_id"]: run["params"] for run in runs if run["params"].get("modulus") == "59"}
        ids = [run_id for run_id, one in params.items() if (one["epochs"], one["learning_rate"]) == ("2500", "0.003")]
        if ids:
            break
    assert len(ids) == 64
    chosen = [("run_id", "in", ids), ("signal", "==", "characters"), ("epoch", "==", 2500), ("variant", "!=", "count")]
    table = pd.read_parquet(folder / "tables" / "signals.parquet", filters=chosen)
    for name in ("network", "task", "labels", "weight_decay"):
        table[name] = [params[run_id][name] for run_id in table["run_id"]]
    right = table["variant"] == table["task"].map({"modular": "additive", "multiplication": ""})
    grok = (table["labels"] == "true") & (table["weight_decay"] == "1.0")
    assert len(table[grok & right]) == len(table[grok & ~right]) == 32
    page = " ".join((DOCS / "signals.md").read_text(encoding="utf-8").split())
    ranges = []
    for task in ("multiplication", "modular"):
        for network in ("one_layer_transformer", "shared_mlp"):
            values = table.loc[grok & right & (table["task"] == task) & (table["network"] == network), "value"]
            ranges.append((f"{values.min():.2f}", f"{values.max():.2f}"))
    (a, b), (c, d), (e, f), (g, h) = ranges
    assert f"characters is {a} to {b} with attention and {c} to {d} without" in page
    assert f"after sums that of the additive ones is {e} to {f} and {g} to {h}" in page
    assert f"the other basis is at most {table.loc[grok & ~right, 'value'].max():.3f}" in page
    assert f"neither is above {math.ceil(1000 * table.loc[table['labels'] == 'random', 'value'].max()) / 1000:.3f}" in page
