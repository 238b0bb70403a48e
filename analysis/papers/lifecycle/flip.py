"""The question that decides: what does the fall of grad% follow? And the sentences about its flip."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    NOT_REPRODUCED,
    REPRODUCED,
    TEXT,
    Answer,
    Chapter,
    Claim,
    Entry,
    Measured,
    Question,
)
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.reading import (
    DYCK,
    MINI,
    MODULAR,
    PUBLISHED_N,
    PUBLISHED_W,
    SCALE,
    Flip,
    flip,
    grok_step,
    ledger,
    value,
    windows,
)
from analysis.printed.lifecycle import LIFECYCLE
from analysis.statistics.estimates import median_interval
from analysis.words import number

ARMS: tuple[tuple[str, str], ...] = (
    (DYCK, "grok"),
    (DYCK, "prefix"),
    (DYCK, "random"),
    (SCALE, "scale_quarter"),
    (SCALE, "scale_4"),
    (SCALE, "decay_half"),
    (SCALE, "decay_2"),
    (SCALE, "rate_half"),
    (SCALE, "rate_2"),
)
"""Study and condition of the rows of the table, all with weight decay."""
INTERVALS, ROWS = (25, 50, 100, 200), (3, 5, 10, 20)
THRESHOLDS = (0.95, 0.98, 0.99)
MEMORISED, UNLEARNT, PREFIX_END = 0.99, 0.30, 4000
"""Training accuracy that is reached, and the most of test accuracy at a step, of labels that are memorised."""
MOST = 0.8
"""Of seeds: four of five."""
SAME, OTHER = 1.25, 1.5
"""Factors of ηωt: the same, and another."""
EVENTS = [
    "study",
    "condition",
    "seed",
    "run_id",
    "every",
    "rows",
    "falls",
    "rises",
    "crossings",
    "eta_omega",
    "grok_95",
    "grok_98",
    "grok_99",
]


class Arm(NamedTuple):
    """A condition in the published window: a row per run as `EVENTS` has it."""

    study: str
    condition: str
    table: pd.DataFrame

    @property
    def falls(self) -> np.ndarray:
        """Steps, NaN where it never falls."""
        return self.table["falls"].to_numpy(dtype=np.float64)

    @property
    def dimensionless(self) -> np.ndarray:
        """ηωt of the fall."""
        return np.asarray(self.falls * self.table["eta_omega"].to_numpy(dtype=np.float64))


def events(sources: Sources, study: str, condition: str, every: int = PUBLISHED_N, size: int = PUBLISHED_W) -> Arm:
    """When grad% falls and rises in each run of a condition.

    Raises:
        Absent: if the runs are not there.
    """
    rows = []
    for run in sources.take(study, condition=condition).to_dict("records"):
        run_id = run["run_id"]
        found: Flip = flip(windows(ledger(sources, run_id, every), size), every, size)
        groks = [grok_step(sources, run_id, level) for level in THRESHOLDS]
        pace = float(run["learning_rate"]) * float(run["weight_decay"])
        rows.append(
            [study, condition, int(run["seed"]), run_id, every, size, found.falls, found.rises, found.crossings, pace, *groks]
        )
    return Arm(study, condition, pd.DataFrame(rows, columns=EVENTS))


def arms(sources: Sources) -> dict[str, Arm]:
    """Every arm whose runs are there, by condition."""
    out: dict[str, Arm] = {}
    for study, condition in ARMS:
        try:
            out[condition] = events(sources, study, condition)
        except Absent:
            continue
    if not out:
        raise Absent(f"no run of {DYCK} or {SCALE} is there. Run {sources.evidence.command(DYCK)}")
    return out


def grid(sources: Sources) -> pd.DataFrame:
    """Fall and rise of the condition grok for every N and W: a row per run, N and W, with (W + 1)·N as `leaves`."""
    tables = [events(sources, DYCK, "grok", every, size).table for every in INTERVALS for size in ROWS]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(leaves=(table["rows"] + 1) * table["every"])


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
    usable = table[table["leaves"] <= steps / 2]
    off = usable.assign(off=(usable["falls"] - usable["leaves"]).abs() / usable["every"])
    falls = np.concatenate([arm.falls for arm in found.values()])
    near = np.abs(falls - (PUBLISHED_W + 1) * PUBLISHED_N) <= PUBLISHED_N
    return off.groupby(["every", "rows"])["off"].median() <= 1, near


def follows_window(found: dict[str, Arm], table: pd.DataFrame, steps: int) -> str:
    """Of the preregistration: the fall is at (W + 1)·N over N and W, and in the published window of every run."""
    pairs, runs = near_window(found, table, steps)
    least = min(float(pairs.mean()), float(runs.mean()))
    return "holds" if least >= 0.75 else "fails" if least < 0.5 else "cannot tell"


def middle(values: np.ndarray) -> float:
    """The median where an event that never came counts as latest; NaN if that is the median."""
    found = float(np.median(np.where(np.isfinite(values), values, np.inf)))
    return found if np.isfinite(found) else float("nan")


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
        told = f"step {_said(middle(arm.falls))}, ηωt {_said(middle(arm.dimensionless))}"
        seeds = ", ".join(f"{seed}: {_said(step)}" for seed, step in zip(arm.table["seed"], arm.falls, strict=True))
        entries.append(Entry(name, {"arm": name}, "", f"{told} ({seeds})", ""))
    for every, size in itertools.product(INTERVALS, ROWS):
        part = table[(table["every"] == every) & (table["rows"] == size)]
        leaves, falls = (size + 1) * every, middle(part["falls"].to_numpy())
        entries.append(
            Entry(f"N={every} W={size}", {"N": str(every), "W": str(size)}, str(leaves), f"falls {_said(falls)}", "")
        )
    pairs, near = near_window(found, table, steps)
    text = ", ".join(f"{name}: {SAID[verdict]}" for name, verdict in verdicts.items())
    text += f" (within one interval of (W + 1)·N in {pairs.sum()} of {len(pairs)} choices of N and W, and in {near.sum()} of "
    text += f"{len(near)} runs)"
    missing = [condition for _, condition in ARMS if condition not in found]
    note = f"Without the runs of {', '.join(missing)}. " if missing else ""
    note += f"Prefix labels: memorised and not generalised in {good} of {total} runs. " if total else ""
    off = ", ".join(f"N = {every} W = {size}" for every, size in pairs.index[~pairs])
    far = [name for name, arm in found.items() if abs(middle(arm.falls) - (PUBLISHED_W + 1) * PUBLISHED_N) > PUBLISHED_N]
    far += [name for name, arm in found.items() if np.isnan(middle(arm.falls))]
    note += f"Further off: {off}{', and the conditions ' if far else ''}{', '.join(far)}. " if off or far else ""
    note += "Within one interval of (W + 1)·N is W·N too, the first step at which a fall can be read."
    return Answer(f"Follows {text}", estimates, note, entries=tuple(entries))


def _memorised(sources: Sources, found: dict[str, Arm]) -> tuple[int, int]:
    """Runs with prefix labels whose training accuracy gets to .99 while test accuracy ends at most at .30, and all of them."""
    runs = [str(run_id) for run_id in found["prefix"].table["run_id"]] if "prefix" in found else []
    fitted = [bool((sources.evidence.history(run_id)["accuracy/train"] >= MEMORISED).any()) for run_id in runs]
    ends = [value(sources, run_id, "accuracy/test", PREFIX_END, PUBLISHED_N) for run_id in runs]
    return sum(one and end <= UNLEARNT for one, end in zip(fitted, ends, strict=True)), len(runs)


SAID = {"holds": "yes", "fails": "no", "cannot tell": "cannot be told"}
"""An answer in words."""


def _said(step: float) -> str:
    return "never" if np.isnan(step) else number(step)


# sentences


def at_grokking(sources: Sources) -> Measured:
    """Falls within one interval of the grok step at all thresholds, and never with prefix labels."""
    grok, prefix = events(sources, DYCK, "grok"), events(sources, DYCK, "prefix")
    steps = grok.table[["grok_95", "grok_98", "grok_99"]].to_numpy()
    near = np.abs(steps - grok.falls[:, None]) <= PUBLISHED_N  # NaN, never, is not near
    fell = float(np.isfinite(prefix.falls).mean())
    every, two_off = float(near.all(axis=1).mean()), float(((~near).sum(axis=1) >= 2).mean())
    verdict = REPRODUCED if every >= MOST and fell == 0 else NOT_REPRODUCED
    if fell >= MOST or two_off >= MOST:
        verdict = CONTRADICTED
    text = (
        f"within {PUBLISHED_N} steps of the grok step at each of .95, .98, .99 in {near.all(axis=1).sum()} of {len(near)}, "
        f"of .95 alone in {near[:, 0].sum()}; with prefix labels it falls in {np.isfinite(prefix.falls).sum()} of "
        f"{len(prefix.falls)}"
    )
    short = f"so in {near.all(axis=1).sum()}/{len(near)} runs; flips in {np.isfinite(prefix.falls).sum()}/"
    short += f"{len(prefix.falls)} that cannot generalise"
    found = {"falls": median_interval(grok.falls), "with prefix labels": median_interval(prefix.falls)}
    return Measured(text, verdict, found, short=short)


def two_phases(sources: Sources) -> Measured:
    """Stays below one half once it has fallen."""
    grok = events(sources, DYCK, "grok")
    fell, rose = np.isfinite(grok.falls), np.isfinite(grok.table["rises"].to_numpy(dtype=np.float64))
    stays = float((fell & ~rose).mean())
    verdict = REPRODUCED if stays >= MOST else CONTRADICTED if float((fell & rose).mean()) >= MOST else NOT_REPRODUCED
    text = f"grad% falls below one half in {fell.sum()} of {len(fell)} runs and rises again in {rose.sum()}"
    note = "The paper's own table rises again: 0.053 at step 600, 0.995 at 1500."
    short = f"falls in {fell.sum()}/{len(fell)} runs, rises again in {rose.sum()}"
    found = {"rises": median_interval(grok.table["rises"].to_numpy(dtype=np.float64))}
    return Measured(text, verdict, found, note, short=short)


TIMES, SMALL, LARGE = (1.0, 2.0, 4.0), 0.1, 0.2


def three_classes(sources: Sources) -> Measured:
    """Dyck-1 against SCAN at equal ηωt, the published order being Dyck-1 above SCAN."""
    off, parts = [], []
    for time in TIMES:
        middle = {}
        for study in (DYCK, MINI):
            runs = sources.take(study, condition="grok")
            shares = []
            for run in runs.to_dict("records"):
                step = round(time / (float(run["learning_rate"]) * float(run["weight_decay"])))
                shares.append(value(sources, run["run_id"], "edge/grad_share", step, PUBLISHED_N))
            middle[study] = float(np.median(shares))
        off.append(middle[DYCK] - middle[MINI])
        parts.append(f"ηωt = {time:g}: Dyck-1 {number(middle[DYCK])}, SCAN {number(middle[MINI])}")
    if sum(one > LARGE for one in off) >= 2:
        verdict = REPRODUCED
    else:
        verdict = CONTRADICTED if max(map(abs, off)) < SMALL else NOT_REPRODUCED
    try:
        runs = sources.take(MODULAR, condition="grok")
        third = [value(sources, run_id, "edge/grad_share", 4000, PUBLISHED_N) for run_id in runs["run_id"]]
        note = f"Modular addition at ηωt = 4: {number(float(np.median(third)))}; nothing was printed for it."
    except Absent:
        note = f"The third class has no runs yet: {sources.evidence.command(MODULAR)}."
    if verdict == REPRODUCED and not (off[0] > 0 and off[-1] > 0):
        verdict = CAVEAT
    return Measured("; ".join(parts), verdict, note=note + " SCAN in the small network, at ηω = 0.001.")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "lifecycle-at-grokking",
        "grad% of the edge flips from gradient to weight decay exactly at grokking.",
        f"{LIFECYCLE}, abstract",
        "at the grok step",
        "first full window of 5 × 100 steps with grad% below one half, against the grok step at .95, .98 and .99, and with "
        "labels that are memorised and cannot be generalised",
        (DYCK,),
        "Reproduced if in 4 of 5 seeds it falls within 100 steps of the grok step at all three thresholds and never with "
        "prefix labels; contradicted if it falls with those in 4 of 5, or is further off at two of three thresholds in 4 of 5.",
        at_grokking,
        kind=ABSTRACT,
    ),
    Claim(
        "lifecycle-two-phases",
        "The edge has a two-phase lifecycle: driven by the gradient before grokking, by weight decay after.",
        f"{LIFECYCLE}, abstract",
        "two phases",
        "whether grad% stays below one half once it has fallen",
        (DYCK,),
        "Reproduced if it stays there to the end in 4 of 5 seeds; contradicted if it rises again in 4 of 5.",
        two_phases,
        kind=ABSTRACT,
    ),
    Claim(
        "lifecycle-three-classes",
        "Tasks fall into three classes, told by how much of the late edge is the gradient's.",
        f"{LIFECYCLE}, its class table",
        "Dyck-1 0.87, SCAN 0.02, modular arithmetic high",
        "median grad% of Dyck-1 and of SCAN at ηωt = 1, 2 and 4 alike",
        (DYCK, MINI),
        "Reproduced if Dyck-1 is above SCAN by more than .2 at two of the three times; contradicted if they differ by less "
        "than .1 at all.",
        three_classes,
        kind=TEXT,
    ),
)
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

    Columns: `falls` and `rises` in the median over seeds, in steps, in ηωt and in units of W·N, each seed's beside it;
    `crossings` of one half, more than two where a window holds a collapse of accuracy;
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
            row[f"{event}_by_seed"] = ", ".join(map(_said, part[event]))
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
