"""Figures of the signals on made-up studies: the leaderboard of each arm, and a page."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.sources import Sources
from analysis.papers.signals import board, panels, study
from grok.signals.base import find
from grok.spec.config import ResolvedConfig
from tests.helpers.law_worlds import everything, sources


@pytest.fixture(scope="module")
def main_study() -> Sources:
    return sources(lambda c, k: 300 + 1e-2 / c.weight_decay if k == "grok" else math.nan, everything)


def test_a_page_has_medians_by_condition_since_t50(main_study: Sources) -> None:
    """Each run that groks is drawn since its own t50: the planted rise, 60 epochs before it, is at one place for all."""
    gathered = panels.gathered(main_study, study.MAIN)
    found = panels.series_table(gathered, "lar")
    assert set(found["condition"]) == {"grok", *panels.SETS} - {study.LATE}
    grown = found[found["condition"] == "grok"].set_index("since")
    assert (grown.loc[grown.index < -70, "median"] == 0.5).all()
    assert (grown.loc[grown.index > -50, "median"] == 0.7).all()
    assert {-240, -100, 0, 240} <= set(grown.index)
    assert found.groupby(["column", "condition"]).size().max() <= panels.POINTS
    assert panels.series_table(gathered, "head_entropy").empty
    assert set(gathered.events["column"]) == {"square", "relu", "relu2"}
    assert (gathered.events["t10"] <= 0).all()
    assert (gathered.events["t99"] >= 0).all()
    from analysis.figures.signals import signals_page

    page = found.merge(gathered.events, on="column").assign(study="signals", threshold=0.6)
    assert len([ax for part in signals_page({"series": page}).subfigs for ax in part.axes]) == 3


def test_a_page_draws_the_threshold_of_its_own_variant() -> None:
    """Not that of another variant, cadence or rule, and turned round where a fall announces."""
    head = {"signal": "spectral_entropy", "rule": "calibrated"}
    rows = [("of_rank", 40, 1.0), ("", 80, 2.0), ("", 40, -0.6)]
    table = pd.DataFrame([head | {"variant": v, "every": every, "threshold": level} for v, every, level in rows])
    assert panels.level(table, "spectral_entropy", study.MAIN) == 0.6
    assert math.isnan(panels.level(table.iloc[:2], "spectral_entropy", study.MAIN))


def test_a_page_turns_a_threshold_as_its_variant_announces() -> None:
    arm = study.MAIN._replace(printed={"characters": "count"})
    head = {"signal": "characters", "rule": "calibrated", "every": arm.due(find("characters")), "threshold": -0.6}
    table = pd.DataFrame([head | {"variant": variant} for variant in ("", "count")])
    assert panels.level(table, "characters", study.MAIN) == -0.6
    assert panels.level(table, "characters", arm) == 0.6
    assert dict(panels._about("characters"))["What announces"] == "rising, of count falling."
    assert dict(panels._about("spectral_entropy"))["What announces"] == "falling."


def test_the_main_figure_keeps_the_order_of_the_leaderboard() -> None:
    """Each signal as published by either rule, not its best variant; what fires in fewer than half of the runs is not drawn."""
    row = {"variant": "raw", "information": "T", "tpr": 0.9, "lead_t50_low": 1.0, "lead_t50_high": 99.0}
    row |= {f"fpr {name}{end}": 0.1 for name in panels.SETS[:3] for end in ("", "_low", "_high")}
    rules = [("lar", "calibrated", "alarm", 90.0, 0.9, False), ("lar", "calibrated", "alarm", 30.0, 0.9, True)]
    rules += [("rho", "printed", "follows", -40.0, 1.0, True), ("lar", "printed", "false alarms", 400.0, 1.0, True)]
    rules += [("gap", "printed", "no information", 500.0, 0.2, True), ("fve", "printed", "not testable", 0.0, 1.0, None)]
    names = ("signal", "rule", "verdict", "lead_t50", "tpr_later", "published")
    rows = pd.DataFrame([row | dict(zip(names, one, strict=True)) for one in rules])
    found = panels.board_table(rows)
    assert found["control"].tolist() == [*panels.SETS[:3]] * 3
    drawn = found.drop_duplicates("row")[["row", "lead"]].values.tolist()
    assert drawn[:2] == [["lar raw, calibrated", 30.0], ["rho raw, printed", -40.0]]
    assert drawn[2][0] == "lar raw, printed"
    assert math.isnan(drawn[2][1])  # of false alarms a lead says nothing
    from analysis.figures.signals import MOST, signals_board

    axes = signals_board({"board": found}).axes
    assert len(axes) == 2
    lines = {float(line.get_xdata()[0]) for line in axes[0].lines if line.get_linestyle() == "--"}
    assert lines == set(MOST) == {0.1, 0.2}


def test_a_page_counts_runs_and_tells_a_lead_where_there_is_one() -> None:
    rows = pd.DataFrame(
        [
            {"signal": "rho", "variant": "", "rule": rule, "every": every, "tpr": 0.9, "verdict": word, "lead_t50": 300.0}
            for rule, every, word in (("calibrated", 10, "no information"), ("printed", 1, "follows"))
        ]
    )
    assert panels._verdicts(rows, "rho") == (
        "No information: as published, calibrated, every 10 epochs. Follows: as published, printed, every epoch, lead 300"
    )
    two = pd.DataFrame(
        {"since": [0.0, 1.0, 0.0], "value": 1.0, "condition": "grok", "column": "square", "run": ["a", "a", "b"]}
    )
    gathered = panels.Gathered({"rho": two}, pd.DataFrame(), ())
    assert panels.series_table(gathered, "rho")["n"].tolist() == [2]


def test_the_main_figure_says_first_which_rows_are_alarms() -> None:
    rows = pd.DataFrame({"row": ["fve, printed", "fve, printed", "rho, calibrated"], "verdict": ["alarm", "alarm", "clock"]})
    said = [panels.board_finding({"board": one}) for one in (rows, rows.iloc[2:], pd.concat([rows, rows.assign(row="x, y")]))]
    assert said[0] == "fve printed is an alarm; 1 more fire in half of the runs that grok and are none."
    assert said[1] == "No row is an alarm, of 1."
    assert said[2].startswith("fve printed and x y are alarms; 1 more")


def test_each_arm_has_a_figure() -> None:
    boards = {panel.id: panel.studies for panel in panels.PANELS if panel.id.startswith("signals-board")}
    assert boards == {"signals-board": ("signals",), "signals-board-cross-entropy": ("signals-ce",)}


def of_networks(config: ResolvedConfig, time: float) -> pd.DataFrame:
    """ρ rises 200 epochs before grokking to a level of the network's own; the loss is the clock."""
    epochs = np.arange(0, 2501, 25)
    high = 20.0 if config.network == "shared_mlp" else 2.0
    rise = epochs >= (time - 200 if not math.isnan(time) else math.inf)
    noise = np.random.default_rng(config.seed + config.n_train).normal(0, 0.001, len(epochs))
    parts = {"rho": high * (1 + rise) + noise, "clock": epochs.astype(float)}
    tables = [pd.DataFrame({"epoch": epochs, "signal": s, "variant": "", "value": v}) for s, v in parts.items()]
    return pd.concat(tables, ignore_index=True)


def test_in_the_second_arm_a_scale_is_of_a_network() -> None:
    """No run of it was repeated; the page shows both arms' words, the figure the rows that fire."""
    second = sources(lambda c, k: 1000.0 + 100 * (c.seed % 4) if k == "grok" else math.nan, of_networks)
    text, table = board._both(second, study.CROSS_ENTROPY)
    row = table[(table["signal"] == "rho") & (table["rule"] == "calibrated") & (table["every"] == 25)].iloc[0]
    assert (row["verdict"], row["by_activation"]) == ("alarm, activation by activation", "alarm")
    assert row["one_threshold"] not in ("alarm", "clock")
    assert (row["tpr_n"], row["fpr_n"]) == (32, 32)
    assert (
        "Alarms activation by activation alone, by a second look that is in the family: rho calibrated, every 25 epochs" in text
    )
    assert "No run was repeated by another order of summation: no word here says anything of rounding." in text
    drawn = panels.board_table(table)
    assert set(drawn["control"]) == {"random_labels", "eta0"}
    page = panels._page(second.evidence, "rho")
    assert "signals-ce: Alarm, activation by activation: as published, calibrated, every 25 epochs" in page.note
    assert set(page.tables["series"]["column"]) >= {"shared_mlp, modular", "one_layer_transformer, multiplication"}


def test_a_page_of_the_leaderboard_has_signals_as_published_and_controls_that_are_alarms(main_study: Sources) -> None:
    """Its file has all rows. Of a set in which none fires no name is given, and of what cannot be scored no number."""
    about, _, runs = study.taken(main_study)
    assert "network" not in runs  # each is the default one
    assert {one.cell[1] for one in about.values()} == {None}
    blank = dict.fromkeys(("tpr", "fpr", "auroc", "lead_t50"), 0.5)
    blank |= {f"{name}{end}": 0.4 for name in blank for end in ("_low", "_high")} | {"worst_fires": 0, "worst_n": 12}
    base = blank | {"variant": "", "information": "T", "rule": "calibrated", "every": 10, "worst_set": "eta0", "beats": ""}
    base |= {"eta0_only": "alarm", "decay_fpr": math.nan}
    rows = [
        base
        | {"signal": "rho", "verdict": "alarm", "published": True, "beats": "loss (9 of 9)", "worst_fires": 3}
        | {"decay_fpr": 0.75},
        base | {"signal": "loss", "verdict": "alarm", "published": False, "variant": "turned round"},
        base | {"signal": "loss", "verdict": "follows", "published": False},
        base | {"signal": "lar", "verdict": "no information", "published": False},
        {"signal": "characters", "variant": "", "information": "G", "rule": "calibrated", "every": 10, "published": True}
        | {"verdict": "not testable"},
        {"signal": "norm_clamp", "rule": "Truong et al.", "verdict": "not testable"},
    ]
    found = board.brief(pd.DataFrame(rows))
    assert found["signal"].tolist() == ["rho", "loss turned round", "characters"]
    assert found["worst set"].tolist() == ["3 of 12, without weight decay", "0 of 12", "–"]
    assert found["lead"].tolist() == ["0.5 [0.4, 0.4]", "0.5 [0.4, 0.4]", "–"]
    assert found["leads longer than"].tolist() == ["loss (9 of 9)", "–", "–"]
    assert found["detected"].tolist()[2] == "–"
    assert found["word of η = 0 alone"].tolist() == ["alarm", "alarm", "–"]
    assert found["fires with decay"].tolist() == ["0.75", "–", "–"]


def test_a_line_has_one_value_of_a_run_at_a_place_and_none_of_few_runs() -> None:
    """A run whose t50 lies between two measured epochs, and one at such an epoch: both clocks are straight lines."""
    runs = {"a": 75, "b": 80, "c": 310}
    rows = [
        {"since": float(epoch - t50), "value": float(epoch - t50), "condition": "grok", "column": "square", "run": run}
        for run, t50 in runs.items()
        for epoch in range(0, 401, 25)
    ]
    drawn = panels.Gathered({"clock": pd.DataFrame(rows)}, pd.DataFrame(), ())
    found = panels.series_table(drawn, "clock", study.CROSS_ENTROPY)
    assert found["n"].max() == 3
    assert found["n"].min() == 2
    assert (found["since"].diff().dropna() == 50).all()
    assert (found["median"] - found["since"]).abs().max() <= 25
    assert not np.signbit(found.loc[found["since"] == 0, "since"]).any()
