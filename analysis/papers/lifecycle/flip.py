"""The question that decides: what the fall of grad% follows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import (
    Answer,
    Chapter,
    Entry,
    Question,
)
from analysis.exhibits.sources import Sources
from analysis.papers.lifecycle.arms import (
    ARMS,
    MOST,
    Arm,
    arms,
    grid,
    grids,
    middle,
    near_pairs,
    step_told,
    stretch,
    stretches,
)
from analysis.papers.lifecycle.reading import (
    DYCK,
    PUBLISHED_N,
    PUBLISHED_W,
    SCALE,
    value,
)
from analysis.statistics.estimates import median_interval
from analysis.words import number
from grok.runs.edge_shares import INTERVALS, ROWS

MEMORISED, UNLEARNT, PREFIX_END = 0.99, 0.30, 4000
"""Training accuracy that is reached, and the most of test accuracy at a step, of labels that are memorised."""
SAME, OTHER = 1.25, 1.5
"""Factors of ηωt: the same, and another."""


# the three answers


def follows_generalisation(found: dict[str, Arm], memorised: float) -> str:
    """Of the preregistration: holds where memorised labels show no fall, fails where they do.

    Args:
        found: the arms. memorised: share of the runs with prefix labels that fit these and do not generalise.
    """
    if "prefix" not in found or memorised < MOST:
        return "cannot tell"
    fell = float(np.isfinite(found["prefix"].falls).mean())
    return "holds" if 1 - fell >= MOST else "fails" if fell >= MOST else "cannot tell"


def follows_decay(found: dict[str, Arm]) -> str:
    """Of the preregistration: the same ηωt over rates and decays, another for another initial scale.

    A fall in the first full window may have come before: its ηωt is a bound from above, which makes no arm later than another.
    """
    names = ("grok", "rate_half", "rate_2", "decay_half", "decay_2", "scale_4", "scale_quarter")
    if not set(names) <= set(found):
        return "cannot tell"
    at = {name: middle(found[name].dimensionless) for name in names}
    first = {name for name in names if middle(found[name].falls) <= PUBLISHED_N * PUBLISHED_W}
    for slow, fast in (("rate_half", "rate_2"), ("decay_half", "decay_2")):
        if at[slow] / at[fast] > OTHER or (at[fast] / at[slow] > OTHER and fast not in first):  # NaN, never, is neither
            return "fails"
    if not np.isfinite(list(at.values())).all():
        return "cannot tell"
    exact = [at[name] for name in names[:5] if name not in first]
    can_be = all(at[name] * SAME >= min(exact, default=0.0) for name in names[:5] if name in first)
    same = len(exact) >= 3 and can_be and max(exact) / min(exact) <= SAME
    return "holds" if same and _factor(at["scale_4"], at["scale_quarter"]) > SAME else "cannot tell"


def near_window(found: dict[str, Arm], table: pd.DataFrame, steps: int) -> tuple[pd.Series, np.ndarray]:
    """Which pairs of N and W, and which runs in the published window, fall within one interval of (W + 1)·N.

    Args:
        found: the arms. table: of `grid`. steps: of its runs; a pair counts if (W + 1)·N is at most half of them.

    Returns:
        By (N, W) bool, of the median over seeds; by run bool.
    """
    falls = np.concatenate([arm.falls for arm in found.values()])
    near = np.abs(falls - (PUBLISHED_W + 1) * PUBLISHED_N) <= PUBLISHED_N
    return near_pairs(table, steps), near


def follows_window(found: dict[str, Arm], table: pd.DataFrame, steps: int) -> str:
    """Of the preregistration: the fall is at (W + 1)·N over N and W, and in the published window of every run."""
    pairs, runs = near_window(found, table, steps)
    least = min(float(pairs.mean()), float(runs.mean()))
    return "holds" if least >= 0.75 else "fails" if least < 0.5 else "cannot tell"


def _factor(a: float, b: float) -> float:
    return max(a, b) / min(a, b)


def answer(sources: Sources) -> Answer:
    """The three answers, and the fall of each arm."""
    found, table = arms(sources), grid(sources)
    steps = int(sources.take(DYCK, condition="grok")["epochs"].max())
    good, total = _memorised(sources, found)
    verdicts = {
        "generalisation": follows_generalisation(found, good / max(total, 1)),
        "passive decay": follows_decay(found),
        "the window": follows_window(found, table, steps),
    }
    entries, estimates = [], {}
    for name, arm in found.items():
        estimates[name] = median_interval(arm.falls)
        told = f"step {step_told(middle(arm.falls))}, ηωt {step_told(middle(arm.dimensionless))}"
        seeds = ", ".join(f"{seed}: {step_told(step)}" for seed, step in zip(arm.table["seed"], arm.falls, strict=True))
        entries.append(Entry(name, {"arm": name}, "", f"{told} ({seeds})", ""))
    for every, size in itertools.product(INTERVALS, ROWS):
        part = table[(table["every"] == every) & (table["rows"] == size)]
        leaves, falls = (size + 1) * every, middle(part["falls"].to_numpy())
        entries.append(
            Entry(f"N={every} W={size}", {"N": str(every), "W": str(size)}, str(leaves), f"falls {step_told(falls)}", "")
        )
    pairs, near = near_window(found, table, steps)
    said = SAID | {"holds": "yes with true labels"}
    text = ", ".join(f"{name}: {(said if name == 'the window' else SAID)[verdict]}" for name, verdict in verdicts.items())
    whole = grids(sources)
    others = _over_arms(sources, whole)
    text += f" (within one interval of (W + 1)·N in {pairs.sum()} of {len(pairs)} choices of N and W, "
    text += f"in {sum(one.sum() for one in others.values())} of {sum(map(len, others.values()))} in other conditions, and in "
    text += f"{near.sum()} of {len(near)} runs in the published window)"
    text += f". {_lasting(sources, found)}"
    missing = [condition for _, condition in ARMS if condition not in found]
    note = f"Without the runs of {', '.join(missing)}. " if missing else ""
    note += f"Prefix labels: memorised and not generalised in {good} of {total} runs. " if total else ""
    off = ", ".join(f"N = {every} W = {size}" for every, size in pairs.index[~pairs])
    far = [name for name, arm in found.items() if abs(middle(arm.falls) - (PUBLISHED_W + 1) * PUBLISHED_N) > PUBLISHED_N]
    far += [name for name, arm in found.items() if np.isnan(middle(arm.falls))]
    note += f"Further off: {off}{', and the conditions ' if far else ''}{', '.join(far)}. " if off or far else ""
    told = ", ".join(f"{name} {one.sum()} of {len(one)}" for name, one in others.items())
    note += f"Choices of N and W in other conditions, which are not judged: {told}. " if others else ""
    note += _shortest(whole)
    note += "Within one interval of (W + 1)·N is W·N too, the first step at which a fall can be read."
    return Answer(f"Its first fall follows {text}", estimates, note, entries=tuple(entries))


SCALES = {"scale_quarter": "initial weights × ¼", "grok": "× 1", "scale_4": "× 4"}


def _lasting(sources: Sources, found: dict[str, Arm]) -> str:
    """How long grad% stays below one half by the initial scale, and what v₁ is there."""
    told = []
    for name, words in SCALES.items():
        if name in found:
            one = stretches(sources, found[name])
            lasts = middle((one["ends"] - one["begins"] + PUBLISHED_N).fillna(0.0).to_numpy())
            initial = one["initial"].dropna()
            there = f" with median cos²(v₁, θ₀) {number(float(initial.median()))}" if len(initial) and lasts else ""
            told.append(f"{words} {number(lasts)} steps{there}")
    return f"How long it then stays below one half, by the scale of the initial attention: {', '.join(told)}"


def _shortest(whole: pd.DataFrame) -> str:
    """ηωt of the fall under the shortest window, which hides least: by condition, told and not judged."""
    every, size = INTERVALS[0], ROWS[0]
    part = whole[(whole["every"] == every) & (whole["rows"] == size)]
    told = []
    for condition in ("decay_half", "rate_half", "grok", "decay_2", "rate_2"):
        mine = part[part["condition"] == condition]
        if len(mine):
            step = middle(mine["falls"].to_numpy(dtype=np.float64))
            told.append(f"{condition} {step_told(step)} ({number(step * float(mine['eta_omega'].iloc[0]))})")
    words = f"In the published window a fall before {PUBLISHED_N * PUBLISHED_W} steps cannot be read. Under the shortest one, "
    return f"{words}N = {every} W = {size}, it is at step (ηωt) {', '.join(told)}. " if told else ""


def _over_arms(sources: Sources, whole: pd.DataFrame) -> dict[str, pd.Series]:
    """`near_pairs` of every condition but grok: told, and not judged."""
    out = {}
    for (study, condition), part in whole.groupby(["study", "condition"], sort=False):
        if (study, condition) != (DYCK, "grok"):
            runs = sources.take(str(study), condition=str(condition))
            out[str(condition)] = near_pairs(part, int(runs["epochs"].max()))
    return out


def _memorised(sources: Sources, found: dict[str, Arm]) -> tuple[int, int]:
    """Runs with prefix labels whose training accuracy gets to .99 while test accuracy ends at most at .30, and all of them."""
    runs = [str(run_id) for run_id in found["prefix"].table["run_id"]] if "prefix" in found else []
    fitted = [bool((sources.evidence.history(run_id)["accuracy/train"] >= MEMORISED).any()) for run_id in runs]
    ends = [value(sources, run_id, "accuracy/test", PREFIX_END, PUBLISHED_N) for run_id in runs]
    return sum(one and end <= UNLEARNT for one, end in zip(fitted, ends, strict=True)), len(runs)


SAID = {"holds": "yes", "fails": "no", "cannot tell": "cannot be told"}
"""An answer in words."""


QUESTIONS: tuple[Question, ...] = (
    Question(
        "lifecycle-what-the-flip-follows",
        "Does the fall of grad% follow grokking, the passive decay of the initial weights, or the window that it is read from?",
        (DYCK, SCALE),
        "Three answers, each of which can hold: no fall with memorised labels; the same ηωt at other rates and decays and "
        "another at another initial scale; a fall at (W + 1)·N whatever N and W. The rules are those of the preregistration.",
        answer,
    ),
)


def decisive(sources: Sources) -> tuple[str, pd.DataFrame]:
    """The table behind the question: a row per condition in the published window, and per N and W of the condition grok.

    Columns: `falls` and `rises` in the median over seeds, in steps, in ηωt and in units of W·N, each seed's beside it; of the
    published window `first_share`, grad% of the first full one, and `below_from` and `below_to`, the longest stretch below one
    half, with its `below_cos2_theta_0`; `crossings` of one half, more than two where a window holds a collapse of accuracy;
    `leaves` is (W + 1)·N, `grok_95` the median step at which test accuracy gets to .95. An event that never came is latest.
    """
    tables = [*(arm.table for arm in arms(sources).values()), grid(sources)]
    table = pd.concat(tables, ignore_index=True).drop_duplicates(["run_id", "every", "rows"])
    rows = []
    for _, part in table.groupby(["study", "condition", "every", "rows"], sort=False):
        one = part.iloc[0]
        every, size, pace = int(one["every"]), int(one["rows"]), float(one["eta_omega"])
        row: dict[str, Any] = {"study": one["study"], "condition": one["condition"], "every": every, "rows": size}
        row |= {"runs": len(part), "leaves": (size + 1) * every}
        for event in ("falls", "rises"):
            step = middle(part[event].to_numpy(dtype=np.float64))
            row |= {event: step, f"{event}_eta_omega_t": step * pace, f"{event}_in_windows": step / (size * every)}
            row[f"{event}_by_seed"] = ", ".join(map(step_told, part[event]))
        if (every, size) == (PUBLISHED_N, PUBLISHED_W):
            below = pd.DataFrame([stretch(sources.evidence.history(str(run_id))) for run_id in part["run_id"]])
            row |= {"first_share": float(below["first"].median()), "below_from": middle(below["begins"].to_numpy())}
            row |= {"below_to": middle(below["ends"].to_numpy()), "below_cos2_theta_0": float(below["initial"].median())}
        row["crossings"] = float(part["crossings"].median())
        rows.append(row | {"grok_95": middle(part["grok_95"].to_numpy(dtype=np.float64))})
    return f"{answer(sources).text}.", pd.DataFrame(rows)


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        "lifecycle-flip",
        "Where grad% falls: at grokking, at an ηωt, or where the first interval leaves the window",
        (DYCK, SCALE),
        "lifecycle-flip",
        "The paper reads a flip at grokking from four windows of one seed. Two other things can move v₁ at about that step, "
        "whether a network generalises or not. Weights that the loss does not hold decay as e^(−ηωt). A change over the first "
        "interval that is larger than later ones leads v₁ as long as a window holds it: W intervals of N steps hold it until "
        "step W·N, and the first full window without it ends at (W + 1)·N. The table has every condition, N and W; more than "
        "two crossings of one half are those of short windows that hold a collapse of accuracy.",
        decisive,
    ),
)
