"""Printed numbers of what drives the edge, and when: grad%, grok steps, g₂₃, against runs of the same seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.exhibits.model import NOTES, TABLE, Claim, Entry
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.margins import LOGGED, LOGGED_STEP, RATIO, SHARE, SIZE, STEP, entry
from analysis.papers.lifecycle.reading import DYCK, SCAN, grok_step, ledger, run_of, seed_42, value
from analysis.papers.lifecycle.rows import claim
from analysis.printed import lifecycle as printed
from grok.numerics.edge import compression, gap_23
from grok.runs.edge_shares import windows


def grad_share(sources: Sources) -> list[Entry]:
    """At the four published steps; the trapezoid's value beside it."""
    run_id, out = seed_42(sources), []
    for step, text in printed.GRAD_SHARE.items():
        exact, half = (value(sources, run_id, f"edge/grad_share{suffix}", step) for suffix in ("", "_trapezoid"))
        one = entry(f"step {step}", exact, text, SHARE, step)
        out.append(Entry(one.id, one.setting, one.published, f"{one.measured}, trapezoid {half:.3f}", one.verdict))
    return out


def grad_share_memo(sources: Sources) -> list[Entry]:
    """Without decay grad% is 1 by definition."""
    found = value(sources, seed_42(sources, "memo"), "edge/grad_share", 600)
    return [entry("grad% at ω = 0", found, "1.00", SHARE, 600, "there is no decay to share with")]


def scan_share(sources: Sources) -> list[Entry]:
    """SCAN at the published size."""
    run_id = str(run_of(sources, SCAN, "grok", 2024)["run_id"])
    shares = printed.SCAN_GRAD_SHARE.items()
    out = [entry(f"step {s}", value(sources, run_id, "edge/grad_share", s), text, SHARE, s) for s, text in shares]
    return [*out, entry("grok step", grok_step(sources, run_id, 0.95), printed.SCAN_GROK[2024], STEP)]


def grok_steps(sources: Sources) -> list[Entry]:
    """First step at .95 of those that the paper logged, by seed; the first of all that were evaluated beside it."""
    out = []
    for seed, text in printed.GROK_STEPS.items():
        run_id = str(run_of(sources, DYCK, "grok", seed)["run_id"])
        one = entry(f"seed {seed}", grok_step(sources, run_id, 0.95, LOGGED), text, LOGGED_STEP)
        first = grok_step(sources, run_id, 0.95)
        out.append(replace(one, measured=f"{one.measured}, of every 100th {'never' if np.isnan(first) else f'{first:.0f}'}"))
    return out


def g23(sources: Sources) -> list[Entry]:
    """Early, at the printed grok step and their ratio, at least 1 by construction; at the run's own grok step beside it."""
    out: list[Entry] = []
    ratios: list[float] = []
    for seed, (every, early, at, ratio) in printed.G23.items():
        run_id = str(run_of(sources, DYCK, "grok", seed)["run_id"])
        edges = windows(ledger(sources, run_id, every), 3)
        gaps, named, own = gap_23(edges), int(printed.GROK_STEPS[seed]), grok_step(sources, run_id, 0.95, LOGGED)
        until, there = (
            max((i for i, one in enumerate(edges) if one.end * every <= step), default=None) for step in (named, own)
        )
        if until is None:
            raise Absent(f"run {run_id} has no window up to step {named}")
        found = compression(gaps, until, first=min(1, until))
        ours = entry(f"seed {seed} at step {named}", float(gaps[until]), at, SIZE, named)
        first = int(np.argmax(gaps[: until + 1]))
        beside = "it never groks" if there is None else f"{gaps[there]:.3g} at its own grok step {own:.0f}"
        out += [
            entry(f"seed {seed} early", float(gaps[first]), early, SIZE, edges[first].end * every),
            replace(ours, measured=f"{ours.measured}, {beside}"),
            entry(f"seed {seed} ratio", found.published, ratio, RATIO, 0, f"≥ 1 by construction; plain {found.plain:.3g}"),
        ]
        ratios.append(found.published)
    why = "a mean of ratios ≥ 1 by construction"
    return [*out, entry("mean ratio", float(np.mean(ratios)), printed.MEAN_COMPRESSION["Dyck-1"], RATIO, 0, why)]


CLAIMS: tuple[Claim, ...] = (
    claim(
        "grad-share",
        "grad% of v₁ on Dyck-1 before, at, after grokking and late.",
        "§ decomposition and README",
        "0.976, 0.053, 0.995, 0.87",
        "exact split over 5 intervals of 100 steps",
        grad_share,
        (DYCK,),
        TABLE,
    ),
    claim(
        "grad-share-memo",
        "Without weight decay the edge is the gradient's.",
        "§ decomposition",
        "1.00",
        "as above, at ω = 0",
        grad_share_memo,
        (DYCK,),
        TABLE,
    ),
    claim(
        "grad-share-scan",
        "grad% of v₁ on SCAN by step, and its grok step.",
        "§ decomposition and notes",
        "0.887, 0.523, 0.002, 0.021",
        "exact split over 5 intervals of 500 steps",
        scan_share,
        (SCAN,),
        TABLE,
    ),
    claim(
        "grok-steps",
        "The steps at which Dyck-1 groks.",
        "notes",
        "600, 1400, 1000",
        "first step with test token accuracy ≥ .95, of every 200th as the paper logged",
        grok_steps,
        (DYCK,),
        NOTES,
    ),
    claim(
        "g23",
        "g₂₃ of Dyck-1 early and at the grok step, and the ratio of the two.",
        "table of g₂₃",
        "48, 47, 4.5",
        "σ₂² − σ₃² of 3 intervals, its largest value over that at the printed grok step",
        g23,
        (DYCK,),
        TABLE,
    ),
)
