"""Questions that the paper leaves: what no task gives, which matrices flip, and what an intervention leaves of its start."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import Answer, Entry, Question
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.arms import grid, middle
from analysis.papers.lifecycle.reading import (
    DYCK,
    EVERYTHING,
    INTERVENTION,
    PUBLISHED_N,
    PUBLISHED_W,
    Flip,
    flip,
    ledger,
    measured,
    segments,
    setting,
    value,
)
from analysis.words import number
from grok.numerics import edge_nulls
from grok.numerics.ledger import Ledger, coarsen
from grok.runs.edge_shares import INTERVALS, ROWS, shares, windows

NULL_SIZE, NULL_STEPS, NULL_SCALE, DRAWS = 1500, 4000, 0.06, 3
"""Weights, steps, initial standard deviation and draws of the null; θ_attn of Dyck-1 has 21.6 / √131072 = 0.06."""
FINEST = INTERVALS[0]


@functools.lru_cache(maxsize=8)
def null(kind: str, draw: int = 0) -> Ledger:
    """Intervals of 25 steps of weights without a task: `noise`, AdamW fed with fresh Gaussian gradients, or `passive` decay."""
    lags = (max(ROWS) + 1) * max(INTERVALS) // FINEST
    count = NULL_STEPS // FINEST
    if kind == "passive":
        return edge_nulls.passive(NULL_SIZE, count, FINEST, 1e-3, lags, draw)
    return edge_nulls.noise(NULL_SIZE, count, FINEST, 1e-3, 1.0, NULL_SCALE, lags=lags, seed=draw)


def null_table() -> pd.DataFrame:
    """When grad% falls and rises in AdamW fed with noise, the median over draws, and that of pure decay, by N and W."""
    rows = []
    for every, size in itertools.product(INTERVALS, ROWS):
        noise = [windows(coarsen(null("noise", draw), every // FINEST), size) for draw in range(DRAWS)]
        found: list[Flip] = [flip(shares(edges, every, size)) for edges in noise]
        passive = windows(coarsen(null("passive"), every // FINEST), size)
        rows.append(
            {
                "every": every,
                "rows": size,
                "leaves": (size + 1) * every,
                "falls_noise": middle(np.array([one.falls for one in found])),
                "rises_noise": middle(np.array([one.rises for one in found])),
                "fell_noise": sum(np.isfinite(one.falls) for one in found),
                "last_share_noise": float(np.median([edges[-1].exact.share for edges in noise])),
                "cos2_theta_noise": float(np.median([one.cos2_theta for edges in noise for one in edges])),
                "largest_share_passive": max(one.exact.share for one in passive),
            }
        )
    return pd.DataFrame(rows)


def without_a_task(sources: Sources) -> Answer:
    """The nulls beside the runs with true labels."""
    runs = grid(sources).groupby(["every", "rows"], as_index=False)["falls"].median()
    table = null_table().merge(runs, on=["every", "rows"])
    entries = []
    for row in table.to_dict("records"):
        told = f"noise falls {_said(row['falls_noise'])}, ends at {number(row['last_share_noise'])}; runs {_said(row['falls'])}"
        name = f"N={row['every']:.0f} W={row['rows']:.0f}"
        entries.append(Entry(name, {"N": f"{row['every']:.0f}", "W": f"{row['rows']:.0f}"}, "", told, ""))
    published = table[(table["every"] == PUBLISHED_N) & (table["rows"] == PUBLISHED_W)].iloc[0]
    text = (
        f"In the published window grad% of AdamW fed with noise falls at step {_said(published['falls_noise'])} and ends at "
        f"{number(published['last_share_noise'])}; with true labels it falls at {_said(published['falls'])} (median); "
        f"over N and W the noise falls in {int(table['falls_noise'].notna().sum())} of {len(table)} choices. "
        f"Pure decay has grad% below {table['largest_share_passive'].max():.1e} in every window"
    )
    note = f"{DRAWS} draws of {NULL_SIZE} weights, {NULL_STEPS} steps, ηω = 0.001; the noise is fresh at each step."
    return Answer(text, {}, note, entries=tuple(entries))


def _said(step: float) -> str:
    return "never" if np.isnan(step) else number(step)


def block_table(sources: Sources) -> pd.DataFrame:
    """Fall and rise of each matrix of each layer, and of all parameters: a row per run and block, in the published window."""
    rows = []
    for condition in ("grok", "prefix"):
        for run in sources.take(DYCK, condition=condition).to_dict("records"):
            run_id = str(run["run_id"])
            for block in (*segments(sources, run_id), "attention", EVERYTHING):
                try:
                    kept = ledger(sources, run_id, PUBLISHED_N, "" if block == "attention" else block)
                except Absent:
                    continue
                edges = windows(kept, PUBLISHED_W)
                found = flip(shares(edges, PUBLISHED_N, PUBLISHED_W))
                angles = [float(np.median([getattr(one, name) for one in edges])) for name in ("cos2_theta", "cos2_theta_0")]
                rows.append([condition, int(run["seed"]), run_id, block, found.falls, found.rises, *angles])
    names = ["condition", "seed", "run_id", "block", "falls", "rises", "cos2_theta", "cos2_theta_0"]
    return pd.DataFrame(rows, columns=names)


def by_block(sources: Sources) -> Answer:
    """Which matrices fall, and when."""
    table = block_table(sources)
    entries = []
    for (condition, block), part in table.groupby(["condition", "block"], sort=False):
        falls = ", ".join(_said(step) for step in part["falls"])
        told = f"falls {falls}; median cos²(v₁, θ) {number(float(part['cos2_theta'].median()))}"
        entries.append(Entry(f"{condition} {block}", {"labels": str(condition), "block": str(block)}, "", told, ""))
    grok = table[(table["condition"] == "grok") & ~table["block"].isin(("attention", EVERYTHING))]
    middle = grok.groupby("block", sort=False)["falls"].median().dropna()
    fell = f"between {_said(float(middle.min()))} and {_said(float(middle.max()))}" if len(middle) else "never"
    text = f"With true labels grad% of {len(middle)} of {grok['block'].nunique()} matrices falls {fell} (medians over seeds)"
    for condition, labels in (("grok", "true"), ("prefix", "prefix")):
        whole = table[(table["condition"] == condition) & (table["block"] == EVERYTHING)]["falls"]
        if len(whole):
            text += f"; over all parameters it falls in {whole.notna().sum()} of {len(whole)} runs with {labels} labels"
    return Answer(text, {}, "A row per block; all parameters where a run has kept them.", entries=tuple(entries))


STARTS, LENGTH = {"post": 1000, "pre": 400, "projected": 400}, 3000
READ = {
    "linear R²": "before/linear_raw/token",
    "standardised": "before/linear_standardised_ols/token",
    "MLP R²": "before/mlp_raw/token",
}


def intervention_table(sources: Sources) -> pd.DataFrame:
    """Start and end of every branch: accuracy, R² of three readers, entropy of attention, ‖θ‖ of what is ever used."""
    rows = []
    for condition, start in STARTS.items():
        try:
            runs = sources.take(INTERVENTION, condition=condition)
        except Absent:
            continue
        for run in runs.to_dict("records"):
            run_id = str(run["run_id"])
            end = int(run["epochs"]) if condition == "projected" else start + LENGTH
            decay = setting(run, "switch_weight_decay")
            arm = {"condition": condition, "seed": int(run["seed"]), "run_id": run_id, "state": setting(run, "switch_state")}
            arm |= {"update": setting(run, "switch_update"), "weight_decay": 1.0 if decay is None else float(decay)}
            for told, step in (("start", start), ("end", end)):
                found: dict[str, Any] = {"accuracy": value(sources, run_id, "accuracy/test", step, PUBLISHED_N)}
                found |= {name: measured(sources, run_id, "probe", kept, step) for name, kept in READ.items()}
                layers = [measured(sources, run_id, "attention", f"entropy/layer{layer}", step) for layer in (0, 1)]
                found |= {"entropy": float(np.mean(layers)), "norm": value(sources, run_id, "norm/used", step)}
                arm |= {f"{name}, {told}": number_ for name, number_ in found.items()}
            rows.append(arm)
    if not rows:
        raise Absent(f"no branch is there. Run {sources.evidence.command(INTERVENTION)}")
    return pd.DataFrame(rows)


def what_an_intervention_leaves(sources: Sources) -> Answer:
    """Each arm's end against its start, the median over seeds."""
    table = intervention_table(sources)
    keys, entries = ["condition", "weight_decay", "state", "update"], []
    names = ("accuracy", *READ, "entropy", "norm")
    for arm, part in table.groupby(keys, sort=False):
        ends = [(name, float(part[f"{name}, start"].median()), float(part[f"{name}, end"].median())) for name in names]
        told = ", ".join(f"{name} {number(first)} → {number(last)}" for name, first, last in ends)
        setting = dict(zip(keys, map(str, arm), strict=True))
        entries.append(Entry(f"{arm[0]} ω={arm[1]:g} {arm[2]} {arm[3]}", setting, "", told, ""))
    projected = table[table["condition"] == "projected"]
    text = "; ".join(_projected(str(update), part) for update, part in projected.groupby("update", sort=False))
    arms = table[table["condition"] == "post"].groupby(["weight_decay", "state"])
    post = arms[["linear R², start", "linear R², end"]].median()
    post["gain"], post["n"] = post["linear R², end"] - post["linear R², start"], arms.size()
    arms_told = [
        f"ω → {arm['weight_decay']:g}, {arm['state']} ({arm['n']:.0f}): linear R² {arm['gain']:+.3f}"
        for arm in post.reset_index().to_dict("records")
    ]
    text = "; ".join([*arms_told, text])
    note = "In brackets the seeds of an arm that begins at step 1000; those that begin at 400 are in the table. Norms "
    note += "leave out the position rows that no input reads; the paper prints end points of one seed, moments reset."
    return Answer(text.strip("; "), {}, note, entries=tuple(entries))


def _projected(update: str, part: pd.DataFrame) -> str:
    """An arm whose updates have lost, or kept, their part along the weights: what it reads, and what is left of the network."""
    read, right = ((part[f"{name}, start"].median(), part[f"{name}, end"].median()) for name in ("linear R²", "accuracy"))
    return f"{update} ({len(part)}): linear R² {read[0]:.3f} → {read[1]:.3f}, accuracy {right[0]:.3f} → {right[1]:.3f}"


QUESTIONS: tuple[Question, ...] = (
    Question(
        "lifecycle-without-a-task",
        "What does grad% do where there is no task: weights that only decay, and AdamW fed with noise?",
        (DYCK,),
        "The same windows over N and W read from two nulls, beside the runs with true labels.",
        without_a_task,
    ),
    Question(
        "lifecycle-blocks",
        "Which of the matrices carry the fall of grad%, and is it there over all parameters?",
        (DYCK,),
        "The published window of W_Q, W_K, W_V and W_O of each layer, of the attention and of all parameters.",
        by_block,
    ),
    Question(
        "lifecycle-interventions",
        "What does a change of weight decay, of the moments, or of the update along the weights leave of where it began?",
        (INTERVENTION,),
        "Start and end of each branch: accuracy, probes, entropy of attention and ‖θ‖ of what is used, the median over seeds.",
        what_an_intervention_leaves,
    ),
)
