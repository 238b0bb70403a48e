"""What a row is held against: baselines in both directions, clocks that know the cell, and contests run by run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.papers.signals import baselines, rows
from analysis.papers.signals.study import MAIN
from grok.signals.base import find
from tests.helpers import signal_worlds as worlds
from tests.helpers.signal_worlds import Plant, early, noise, step, told


def test_a_cell_clock_knows_the_other_seeds_of_its_cell_alone() -> None:
    about = worlds.study()
    expected = baselines.forecasts(about)
    for run_id, one in about.items():
        own = (300, 301) if one.run.seed < 302 else (302, 303)
        times = [o.run.t50 for o in about.values() if o.cell == one.cell and o.run.seed not in own and not o.replicate]
        times = [t for t in times if t == t]
        assert expected[run_id] == (pytest.approx(np.median(times)) if times else pytest.approx(math.nan, nan_ok=True))
    assert baselines.mixed_cells(about) == 0
    row = baselines.cell_clock(about, MAIN).told
    assert (row["information"], row["fpr"], row["tpr_later"]) == ("C", 0, 1)
    assert abs(row["lead_t50"]) <= 10
    assert row["verdict"] not in ("alarm", "clock", "no information")
    early_ = baselines.cell_clock(about, MAIN, 0.5).told
    assert (early_["verdict"], early_["variant"]) == ("alarm", "at 0.5 of it")
    assert early_["relative_lead"] == pytest.approx(0.5, abs=0.03)


def test_a_signal_beats_the_baselines_that_are_alarms_at_its_own_cadence() -> None:
    """The loss leads by 0.2 of t50 and the signal by 0.4, or the other way round; a baseline of another cadence is no rival."""

    def leading(share: float) -> Plant:
        return lambda one, rng, epochs: step(one, epochs, share * one.run.t50) + noise(rng, epochs)

    about = worlds.study()
    for mine, other, columns in ((0.4, 0.2, ("loss (", "")), (0.2, 0.4, ("", "loss ("))):
        falls: Plant = lambda one, rng, epochs, share=other: -leading(share)(one, rng, epochs)  # noqa: E731
        made = [told(leading(mine), about=about), told(falls, "loss", about=about), told(falls, "loss", about=about)]
        made[2].told["every"] = 40
        baselines.contests(about, made)
        row = made[0].told
        assert [row["beats"][:6], row["not_beaten"][:6]] == list(columns)
        assert (row["beats"] + row["not_beaten"]).count("loss") == 1
        held = baselines.against(about, made[0], made[1])
        assert held.n == 76
        assert (made[1].told["beats"], made[1].told["not_beaten"]) == ("", "")


def test_an_alarm_at_its_first_chance_wins_no_contest_and_contests_are_adjusted_together() -> None:
    """Six of six runs have p = 2 · 2⁻⁶ = 0.031: enough against one baseline, not against two, and not with five runs."""
    groks = {i: one for i, one in worlds.study().items() if one.run.positive and not one.replicate}
    about = dict(list(groks.items())[:6])

    def made(signal: str, epoch: float, firsts: dict[str, float]) -> rows.Row:
        head = {"signal": signal, "variant": "", "rule": rows.CALIBRATED, "every": 10, "verdict": "alarm"}
        return rows.Row(head, dict.fromkeys(about, epoch), firsts)

    for others, firsts, beats in (
        (["loss"], {}, "loss (6 of 6)"),
        (["loss", "weight_norm"], {}, ""),
        (["loss"], {next(iter(about)): 20.0}, ""),
    ):
        mine = made("rho", 20.0, firsts)
        baselines.contests(about, [mine, *(made(name, 40.0, {}) for name in others)])
        assert mine.told["beats"] == beats
        assert bool(mine.told["not_beaten"]) != bool(beats)


def test_baselines_are_read_in_both_directions_and_at_every_epoch_where_they_are_known_there() -> None:
    held = {name: [one[2:5] for one in rows.readings(find(name), "", MAIN)] for name in ("loss", "gradient_norm", "rho")}
    assert (rows.CALIBRATED, 1, True) in held["loss"]
    assert {one[1] for one in held["gradient_norm"]} == {10, 40}
    assert {one[2] for one in held["gradient_norm"]} == {False, True}
    assert {one[2] for one in held["rho"]} == {False}
    about = worlds.study()
    series = worlds.stored(about, early, "weight_norm")
    found = [rows.row(about, series, one).told for one in rows.readings(find("weight_norm"), "", MAIN)]
    assert {one["variant"]: one["verdict"] for one in found if one["every"] == 10} == {
        "": "no information",
        "turned round": "alarm",
    }


def test_a_rival_is_of_the_rows_cadence_or_the_next_finer() -> None:
    def made(signal: str, every: int) -> rows.Row:
        return rows.Row({"signal": signal, "variant": "", "rule": rows.CALIBRATED, "every": every}, {})

    losses = [made("loss", every) for every in (1, 10, 40)]
    chosen = {every: baselines.comparable(made("rho", every), losses)[0].told["every"] for every in (1, 10, 40, 80)}
    assert chosen == {1: 1, 10: 10, 40: 40, 80: 40}
    assert baselines.comparable(made("gap", 1), losses[1:])[0].told["every"] == 10
