"""The sentences about the flip of grad%: at grokking, in two phases, and in three classes of tasks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.exhibits.model import ABSTRACT, CAVEAT, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, TEXT, Axis, Claim, Measured
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.arms import MOST, events
from analysis.papers.lifecycle.reading import DYCK, MINI, MODULAR, PUBLISHED_N, value
from analysis.printed.lifecycle import CLASS_SHARES, LIFECYCLE
from analysis.statistics.estimates import clopper_pearson, median_interval
from analysis.words import number


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
        f"in {near.all(axis=1).sum()} of {len(near)} within {PUBLISHED_N} steps of the grok step at each of .95, .98, .99, "
        f"in {near[:, 0].sum()} of .95; with labels that cannot be generalised it falls in "
        f"{np.isfinite(prefix.falls).sum()} of {len(prefix.falls)}"
    )
    short = f"on time in {near.all(axis=1).sum()}/{len(near)} runs; flips in {np.isfinite(prefix.falls).sum()}/"
    short += f"{len(prefix.falls)} that cannot generalise"
    found = {"falls": median_interval(grok.falls), "with prefix labels": median_interval(prefix.falls)}
    runs, on_time, off = len(near), int(near.all(axis=1).sum()), int(((~near).sum(axis=1) >= 2).sum())
    falls = int(np.isfinite(prefix.falls).sum())
    axes = (
        Axis("runs that fall at the grok step, at all three thresholds", f"{runs}/{runs}", clopper_pearson(on_time, runs)),
        Axis(
            "runs that fall with labels that cannot be generalised",
            f"0/{len(prefix.falls)}",
            clopper_pearson(falls, len(prefix.falls)),
        ),
    )
    why = {
        REPRODUCED: f"It falls at the grok step in {on_time} of {runs} runs, and never with labels that cannot be generalised.",
        NOT_REPRODUCED: f"It falls at the grok step in {on_time} of {runs} runs only, less than four in five, or without "
        f"grokking, in {falls} of {len(prefix.falls)}.",
        CONTRADICTED: f"It falls in {falls} of {len(prefix.falls)} runs that cannot generalise; where they grok it is off by "
        f"more than {PUBLISHED_N} steps at two of three thresholds in {off} of {runs}.",
    }[verdict]
    return Measured(text, verdict, found, short=short, why=why, axes=axes)


def two_phases(sources: Sources) -> Measured:
    """Stays below one half once it has fallen."""
    grok = events(sources, DYCK, "grok")
    fell, rose = np.isfinite(grok.falls), np.isfinite(grok.table["rises"].to_numpy(dtype=np.float64))
    stays = float((fell & ~rose).mean())
    verdict = REPRODUCED if stays >= MOST else CONTRADICTED if float((fell & rose).mean()) >= MOST else NOT_REPRODUCED
    text = f"grad% falls below one half in {fell.sum()} of {len(fell)} runs and rises again in {rose.sum()}"
    note = "The paper's own table rises again: 0.053 at step 600, 0.995 at 1500."
    short = f"falls in {fell.sum()}/{len(fell)} runs, but rises again in {rose.sum()}/{len(fell)}"
    found = {"rises": median_interval(grok.table["rises"].to_numpy(dtype=np.float64))}
    n, back = len(fell), int((fell & rose).sum())
    kept = int((fell & ~rose).sum())
    axes: tuple[Axis, ...] = (
        Axis("runs in which grad% falls below one half", f"{n}/{n}", clopper_pearson(int(fell.sum()), n)),
        Axis("runs in which it stays there", f"{n}/{n}", clopper_pearson(kept, n)),
        Axis("step at which it rises again", "", found["rises"], samples=_steps(grok.table["rises"])),
    )
    axes = axes if rose.any() else axes[:2]
    why = {
        REPRODUCED: f"Once below one half it stays there in {kept} of {n} runs.",
        CONTRADICTED: f"Once below one half it rises again in {back} of {n} runs.",
    }.get(verdict, f"It stays below one half in {kept} of {n} runs and rises again in {back}: neither in four of five.")
    return Measured(text, verdict, found, note, short=short, why=why, axes=axes)


def _steps(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values if np.isfinite(value))


TIMES, SMALL, LARGE = (1.0, 2.0, 4.0), 0.1, 0.2
NAMES = {DYCK: "Dyck-1", MINI: "SCAN"}


def three_classes(sources: Sources) -> Measured:
    """Dyck-1 against SCAN at equal ηωt, the published order being Dyck-1 above SCAN."""
    off, parts, axes = [], [], []
    for time in TIMES:
        middle = {}
        for study in (DYCK, MINI):
            runs = sources.take(study, condition="grok")
            shares = []
            for run in runs.to_dict("records"):
                step = round(time / (float(run["learning_rate"]) * float(run["weight_decay"])))
                shares.append(value(sources, run["run_id"], "edge/grad_share", step, PUBLISHED_N))
            middle[study] = float(np.median(shares))
            axes.append(
                Axis(
                    f"{NAMES[study]}, ηωt = {time:g}",
                    CLASS_SHARES[NAMES[study]],
                    median_interval(np.array(shares)),
                    samples=_steps(shares),
                    ends=(0.0, 1.0),
                )
            )
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
    if max(off) < 0:
        note += " The order is the other one at all three times."
    times = f"at {sum(one > LARGE for one in off)} of {len(off)} times"
    above = f"grad% of Dyck-1 is above that of SCAN by more than {LARGE} {times}"
    why = {
        CONTRADICTED: f"grad% of the two differs by less than {SMALL} at all of the times.",
        CAVEAT: f"{above}, but below it at one.",
        REPRODUCED: f"{above}.",
        NOT_REPRODUCED: f"{above}, not at two; less that of SCAN it is {', '.join(f'{one:+.2f}' for one in off)}.",
    }[verdict]
    note += " SCAN in the small network, at ηω = 0.001."
    short = f"Dyck-1 less SCAN: {', '.join(f'{one:+.2f}' for one in off)} at equal ηωt"
    return Measured("; ".join(parts), verdict, note=note, short=short, why=why, axes=tuple(axes))


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
