"""The numbers of docs/signals.md are those of the committed leaderboard."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.papers.signals import surprises
from analysis.papers.signals.board import brief
from analysis.papers.signals.study import BASELINES
from analysis.papers.signals.surprises import first_half
from analysis.statistics.alarm_words import ALARMS, SLOW, UNTESTED
from analysis.words import spread
from grok.signals.base import find

DOCS = Path(__file__).resolve().parents[2] / "docs"


def count(one: Any, name: str) -> str:
    return f"{one[name] * one[f'{name}_n']:.0f} of {one[f'{name}_n']:.0f}"


def leaderboard(study: str) -> pd.DataFrame:
    board = pd.read_csv(DOCS / "report" / "data" / f"{study}.csv", keep_default_na=False, na_values=[""])
    return board.fillna({"variant": ""}).assign(published=board["published"].astype(str) == "True")


def row(board: pd.DataFrame, signal: str, rule: str, every: int, variant: str = "") -> Any:
    rows = board[(board["signal"] == signal) & (board["rule"] == rule) & (board["variant"] == variant)]
    return rows[rows["every"] == every].iloc[0]


def ahead_of(one: Any) -> str:
    return spread(one["lead_t50"], one["lead_t50_low"], one["lead_t50_high"])


def the_page() -> str:
    return " ".join((DOCS / "signals.md").read_text(encoding="utf-8").split())


def test_what_was_found_is_what_the_leaderboard_has() -> None:
    board, page = leaderboard("signals"), the_page()
    of = functools.partial(row, board)

    def lead(one: Any) -> str:
        return ahead_of(one).replace(" [", " epochs [", 1)

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
    half = spread(*(norm[f"second_half_lead{end}"] for end in ("", "_low", "_high"))).replace(" [", " epochs [")
    worst = f"{norm['second_half_worst_fires']:.0f} of {norm['second_half_worst_n']:.0f}"
    assert f"302 and 303 it detects {count(norm, 'second_half_tpr')}, {half} ahead, and fires in {worst} of its" in page
    ours = [one for one in board.to_dict("records") if one["information"] == "T" and one["verdict"] != UNTESTED]
    assert min(ours, key=first_half)["signal"] == "weight_norm"
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
    board, page = leaderboard("signals-cross-entropy"), the_page()
    of, lead = functools.partial(row, board), ahead_of

    signals = board[board["published"] & ~board["signal"].isin((*BASELINES, "cell_clock")) & (board["verdict"] != UNTESTED)]
    assert not signals["verdict"].isin(ALARMS).any()
    words = signals.loc[signals["rule"] == "calibrated", "verdict"].value_counts()
    assert f"Of {words.sum()} by a threshold from other seeds {words['no information']} get the last word" in page
    assert f"and {words[SLOW]} cannot be told at this cadence" in page
    fve, tuned = of("fve", "calibrated", 25), of("tuned_neurons", "calibrated", 25, "mean")
    ahead = lead(fve).replace(" [", " epochs [")
    said = f"`fve` detects {count(fve, 'tpr')} with a false alarm in {count(fve, 'fpr')}, {ahead} before one half"
    assert f"{said}, but {-fve['lead_t10']:.0f} after one tenth" in page
    assert (count(tuned, "tpr"), count(tuned, "fpr")) == (count(fve, "tpr"), count(fve, "fpr"))
    assert f"the `mean` of `tuned_neurons` as many, {lead(tuned)}, and {tuned['lead_t10']:.1f} before one tenth" in page
    turn = of("test_loss_turnover", "calibrated", 1)
    assert f"read at each epoch, {count(turn, 'tpr')}, {count(turn, 'fpr')}, {lead(turn)}." in page
    assert (fve["second_half"], tuned["second_half"], turn["second_half"]) == ("alarm",) * 3
    characters = of("characters", "calibrated", 25)
    assert f"where it is the control: {count(characters, 'tpr')}." in page
    assert of("fourier_dominance", "calibrated", 25)["missing"] == "no run of this study gives it"
    peak = of("norm_peak", "printed", 1)
    assert peak["tpr_later"] == 1
    ahead = lead(peak).replace(" [", " epochs [")
    assert f"it fires in all runs that grok, in {count(peak, 'tpr')} before one half, {ahead}, in 16 of the 16 at" in page
    assert [peak[f"fires {name}"] for name in ("random_labels", "eta0")] == [16, 0]
    assert (peak["eta0_only"], peak["verdict"]) == ("alarm", "false alarms")
    best = of("norm_peak", "calibrated", 25)
    half = spread(*(best[f"second_half_lead{end}"] for end in ("", "_low", "_high")))
    worst = f"{best['second_half_worst_fires']:.0f} of {best['second_half_worst_n']:.0f}"
    found = f"{count(best, 'second_half_tpr')}, its lead is {half}, and it fires in {worst} of its worst set"
    assert f"on held-out seeds it detects {found}" in page
    assert of("gap", "printed", 1, "23")["verdict"] == SLOW
    clock = of("cell_clock", "median t50 of the cell", 25, "at 0.5 of it")
    assert clock["verdict"] in ALARMS
    said = f"{count(clock, 'tpr')}, {count(clock, 'fpr')}, {lead(clock).replace(' [', ' epochs [')}"
    assert f"is an alarm again: {said}." in page


def test_what_was_looked_at_after_the_reading_is_as_it_was_measured() -> None:
    data = json.loads((DOCS.parent / "benchmarks" / "results" / "after_reading.json").read_text(encoding="utf-8"))["rows"]
    page = the_page()
    rows = {(one["row"], one["runs"]): one for one in data if "row" in one}
    (never,) = (one for one in data if "missed by all" in one)
    (each,) = (one["missed by each"] for one in data if "missed by each" in one)
    names = ("fve", "tuned_neurons mean", "test_loss_turnover")
    assert never["missed by all"] == 7
    assert [each[name] for name in (*names, "characters of the task")] == [7] * 4
    assert [str(("one_layer_transformer", task, 2263)) for task in ("modular", "multiplication")] == never["cells"]
    half = "{:.0f} to {:.0f}".format(*never["t50"])
    delay = "{:.0f} to {:.0f}".format(*never["delay"])
    said = f"reach one half at epochs {half}, {delay} after they memorise; the next delay is {never['next delay']:.0f}."
    assert said in page
    assert (never["the same"], never["without a delay"]) == (True, 7)
    rest = [rows[name, "with a delay"] for name in names]
    assert [rows[name, "with a delay"]["verdict"] for name in ("characters of the task", "norm_peak at every epoch")] == [
        "alarm"
    ] * 2
    assert {one["verdict"] for one in rest} == {"alarm"}
    assert [one["tpr"] for one in rest] == [[25, 25], [24, 25], [24, 25]]
    assert [one["fpr"] for one in rest] == [[0, 32]] * 3
    for name, text in (("characters of the task", "they detect"), ("norm_peak at every epoch", "it would detect")):
        one = rows[name, "all"]
        counts = ", ".join(f"{a} of {b}" for a, b in (one["tpr"], one["fpr"]))
        assert f"{text} {counts}, {spread(one['lead_t50'], one['lead_t50_low'], one['lead_t50_high'])}" in page
    cells = {(one["network"], one["task"], one["n_train"]): one for one in data if "kappa" in one}
    ends = []
    for network in ("one_layer_transformer", "shared_mlp"):
        medians = [one["kappa"][1] for key, one in cells.items() if key[0] == network]
        ends.append(f"{min(medians):.2g} to {max(medians):.2g}")
    assert f"by cell its median is {ends[0].replace('0.4', '0.40')} with attention and {ends[1]} without" in page
    tuned = []
    for network in ("shared_mlp", "one_layer_transformer"):
        medians = [one["tuned"][1] for key, one in cells.items() if key[:2] == (network, "multiplication")]
        tuned.append(f"{min(medians):.2g} to {max(medians):.2g}")
    assert (
        f"by cell the median is {tuned[0].replace('0.6', '0.60')} for products without attention and {tuned[1]} with it" in page
    )
    (open_,) = (one for one in data if one.get("condition") == "eta0" and one["network"] == "one_layer_transformer")
    assert (
        f"{open_['tenth']} of {open_['runs']} with attention reach a test accuracy of 0.1, at most {open_['best']:.3f}" in page
    )
    others = [one["tenth"] for one in data if "tenth" in one and one is not open_]
    assert others == [0, 0, 0]
    equal = {one["signal"]: one for one in data if one.get("equal loss") == "signals"}
    assert f"a training loss at or below {equal['fve']['level']:.3f}, which 0.8" in page
    assert f"{equal['fve']['grok']} of the 64 have that value before t10" in page
    high = [f"`{name}` {spread(*one['auroc'], 2)}" for name, one in equal.items() if one["auroc"][0] >= 0.8]
    assert f"Five have an AUROC of 0.8 or more: {', '.join(high[:-1])} and {high[-1]}." in page
    inside = {name: one["auroc"][0] for name, one in equal.items() if set(find(name).information) == {"T"}}
    assert inside.pop("angle_from_t_mem") > 0.8
    assert f"is between {min(inside.values()):.2f} and {max(inside.values()):.2f}." in page
    (loss,) = (one for one in data if one.get("equal loss") == "signals-ce" and one["signal"] == "loss")
    assert f"the training loss itself ranks runs, {spread(*loss['auroc'], 2)}." in page


def test_the_characters_under_a_cross_entropy_are_those_of_the_committed_runs() -> None:
    """The least and the largest Gini coefficient of either basis at the end, by task and network."""
    for folder in sorted(path.parent for path in DOCS.rglob("runs.json")):
        runs = json.loads((folder / "runs.json").read_text(encoding="utf-8"))["runs"]
        params = {run["run_id"]: run["params"] for run in runs if run["params"].get("modulus") == "59"}
        ids = [run_id for run_id, one in params.items() if (one["epochs"], one["learning_rate"]) == ("2500", "0.003")]
        if len(ids) == 64:
            break
    assert len(ids) == 64
    chosen = [("run_id", "in", ids), ("signal", "==", "characters"), ("epoch", "==", 2500), ("variant", "!=", "count")]
    table = pd.read_parquet(folder / "tables" / "signals.parquet", filters=chosen)
    for name in ("network", "task", "labels", "weight_decay"):
        table[name] = [params[run_id][name] for run_id in table["run_id"]]
    right = table["variant"] == table["task"].map({"modular": "additive", "multiplication": ""})
    grok = (table["labels"] == "true") & (table["weight_decay"] == "1.0")
    assert len(table[grok & right]) == len(table[grok & ~right]) == 32
    page = the_page()
    ranges = []
    for task in ("multiplication", "modular"):
        for network in ("one_layer_transformer", "shared_mlp"):
            values = table.loc[grok & right & (table["task"] == task) & (table["network"] == network), "value"]
            ranges.append((f"{values.min():.2f}", f"{values.max():.2f}"))
    (a, b), (c, d), (e, f), (g, h) = ranges
    assert f"characters is {a} to {b} with attention and {c} to {d} without" in page
    assert f"after sums that of the additive ones is {e} to {f} and {g} to {h}" in page
    assert f"the other basis is at most {table.loc[grok & ~right, 'value'].max():.3f}" in page
    still = (table["labels"] == "true") & (table["weight_decay"] == "0.0")
    assert f"without decay neither above {math.ceil(1000 * table.loc[still, 'value'].max()) / 1000:.3f}" in page
    fired = pd.read_parquet(folder / "metrics.parquet")
    fired = fired[fired["run_id"].isin(ids)].pivot(index="run_id", columns="key", values="value")
    assert fired["fired"].sum() == 64
    assert f"fires in all 64 runs,** at a median epoch of {fired['fire_epoch'].median():.0f}, the first" in page
    grok_ = fired["test_50_epoch"].dropna()
    assert f"at a median epoch of {grok_.median():.0f}; 32 do not" in page
    assert (len(grok_), f"in the fastest at epoch {grok_.min():.0f}" in page) == (32, True)
    assert f"neither is above {math.ceil(1000 * table.loc[table['labels'] == 'random', 'value'].max()) / 1000:.3f}" in page


def test_what_is_said_of_two_machines_is_as_it_was_measured() -> None:
    data = json.loads((DOCS.parent / "benchmarks" / "results" / "machines.json").read_text(encoding="utf-8"))["rows"]
    found = {one["measured"]: one["found"] for one in data}
    page = the_page()
    board = leaderboard("signals")
    exchanged = found["exchanged"]
    assert exchanged["rows"] == (board["verdict"] != UNTESTED).sum()
    assert (exchanged["rows_of_one_only"], exchanged["other_words"], exchanged["alarms_with_another_lead"]) == (0, {}, [])
    assert f"none of the {exchanged['rows']} rows gets another word" in page
    most = f"{exchanged['most_detections']} of 64, or false alarms by more than {exchanged['most_false_alarms']} of 48"
    assert f"of no row do detections differ by more than {most}" in page
    here, there = zip(*sorted(found["t50"]), strict=True)
    assert (
        "reach one half at epochs {:.0f} and {:.0f}, there at {:.0f} and {:.0f}.".format(*sorted(there), *sorted(here)) in page
    )
    (second,) = (one for name, one in found["within"].items() if "2.11" in name)
    said = "{} of {} runs that grok and in {} of {}".format(*second["grok"], *second["negative"])
    assert f"Within the second machine alone `fourier_dominance` fires in {said} that do not." in page
    edge = found["edge"]["fourier_dominance permuted"]
    over = max(edge["threshold"], edge["threshold_exchanged"]) / edge["largest_negative"] - 1
    assert f"its thresholds are {100 * over:.1f} % above the largest negative" in page
    first, ce = found["twice"]["signals"], found["twice"]["signals-ce"]
    assert len(first) + len(ce) == 7
    (grok,) = (one for one in first.values() if one["times"][0][0] is not None)
    assert grok["times"][0] == grok["times"][1]
    assert "at epochs {:.0f}, {:.0f} and {:.0f}, and the median".format(*grok["times"][0]) in page
    assert f"is below 1e-4 for {grok['close']} of the {grok['series']} series" in page
    farthest = [f"{grok['farthest'][name]:.2f}" for name in ("cosine", "gap 23")]
    assert f"and largest, {' and '.join(farthest)}, for the cosine and the gap λ₂/λ₃" in page
    (grok,) = (one for one in ce.values() if one["times"][0][0] is not None)
    (still,) = (one for one in ce.values() if one is not grok)
    assert grok["times"][0] == grok["times"][1]
    times = "{:.0f}, {:.0f} and {:.0f}".format(*grok["times"][0])
    said = f"{grok['close']} of {grok['series']} series of a run that groks, at epochs {times} on both"
    assert f"that is {said}, and {still['close']} of {still['series']} of one at random labels" in page


def test_what_surprised_most_is_what_both_leaderboards_have() -> None:
    page = the_page()
    counts, praised = [], []
    for name, every, changes in (("signals", 10, "fve"), ("signals-cross-entropy", 25, "fiedler")):
        board = leaderboard(name)
        told = surprises.own(board[board["verdict"] != UNTESTED].to_dict("records"))
        assert surprises.printed_and_calibrated(told).startswith(
            "The printed and the calibrated rule differ most for norm_peak:"
        )
        by_rule = [surprises.negatives([one for one in told if one["rule"] == rule]) for rule in ("calibrated", "printed")]
        assert [text.split(" changes most for ")[1].split()[0] for text in by_rule] == [changes, "norm_peak"]
        mine = board[board["published"] & (board["rule"] == "calibrated") & ~board["verdict"].isin((*ALARMS, "clock"))]
        praised.append([set(mine.loc[mine["eta0_only"] == word, "signal"]) for word in ("alarm", "clock")])
        rows = board[board["signal"] == "norm_peak"].set_index(["rule", "every"])
        counts.append([rows.loc["printed", 1], rows.loc["calibrated", every]])
        assert (counts[-1][0]["fpr"], counts[-1][0]["eta0_only"]) == (0.5, "alarm")
    assert praised == [[{"norm_peak", "fiedler"}, {"weight_norm", "effective_rank_w"}], [set(), set()]]
    (first, own), (second, other) = counts
    assert f"As printed it detects {count(first, 'tpr')}, and {count(second, 'tpr')} in the second arm" in page
    assert (
        f"10th and 25th epoch, {count(own, 'tpr')} and {count(other, 'tpr')}, with false alarms in {count(own, 'fpr')} and"
        in page
    )
    assert f"and {count(other, 'fpr')}." in page
