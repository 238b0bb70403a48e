"""The printed numbers of the lifecycle paper against runs of the same seeds: a row of a table is a claim of several entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analysis.exhibits.model import (
    BY_DEFINITION,
    CAVEAT,
    CONTRADICTED,
    NOT_REPRODUCED,
    NOTES,
    REPRODUCED,
    TABLE,
    Claim,
    Entry,
    Measured,
)
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.margins import (
    ACCURACY,
    ANGLE,
    FIVE_PERCENT,
    LOGGED,
    LOGGED_STEP,
    R_SQUARED,
    RAMP,
    RATIO,
    SHARE,
    SIZE,
    STEP,
    Margin,
    among,
    entry,
)
from analysis.papers.lifecycle.reading import (
    DYCK,
    INTERVENTION,
    LONG,
    SCAN,
    grok_step,
    ledger,
    measured,
    run_of,
    value,
)
from analysis.printed import lifecycle as printed
from analysis.printed.lifecycle import LIFECYCLE, SEEDS
from grok.numerics.edge import compression, gap_23, rotation, stability
from grok.runs.edge_shares import windows

RULE = (
    "Each number against the run of the paper's seed, or the mean over its three, within the margin of its kind as fixed in "
    "PREREGISTRATION-lifecycle.md; beyond four margins contradicted. Reproduced if all are, with a caveat if three "
    "quarters are."
)
NEAR = 100
"""Steps on either side whose median is taken of accuracies and their changes: one spike moves a snapshot."""
ORDER = (CONTRADICTED, NOT_REPRODUCED)
"""What is told first: where the runs and the print are apart."""
Entries = Callable[[Sources], list[Entry]]


def row(entries: Entries, limit: str = "") -> Callable[[Sources], Measured]:
    """A claim of several numbers; with a limit that agreement has, in words, reproduced with a caveat at best."""

    def measure(sources: Sources) -> Measured:
        found = entries(sources)
        judged = [one.verdict for one in found if one.verdict not in (BY_DEFINITION, "")]
        if not judged:
            verdict = BY_DEFINITION
        elif all(one == REPRODUCED for one in judged):
            verdict = REPRODUCED
        elif sum(one == REPRODUCED for one in judged) >= 0.75 * len(judged):
            verdict = CAVEAT
        else:
            verdict = CONTRADICTED if CONTRADICTED in judged else NOT_REPRODUCED
        if limit and verdict == REPRODUCED:
            verdict = CAVEAT
        off = [one for one in found if one.verdict in (CONTRADICTED, NOT_REPRODUCED)]
        told = sorted(found, key=lambda one: ORDER.index(one.verdict) if one.verdict in ORDER else len(ORDER))
        text = "; ".join(f"{one.id} {one.measured} (printed {one.published})" for one in told)
        far = ", ".join(one.id for one in off if one.verdict == CONTRADICTED and verdict != CONTRADICTED)
        note = " ".join(filter(None, (limit, f"Off by more than four margins: {far}." if far else "")))
        return Measured(text, verdict, note=note, entries=tuple(found), why=_why(found, verdict, limit))

    return measure


def _why(found: Sequence[Entry], verdict: str, limit: str) -> str:
    """How many numbers lie within their margins, and the first that does not."""
    judged = [one for one in found if one.verdict not in (BY_DEFINITION, "")]
    held, of = sum(one.verdict == REPRODUCED for one in judged), len(judged)
    if not of:
        return ""
    numbers = "Both" if held == of == 2 else f"All {of}" if held == of else f"{held} of {of}"
    count = f"{numbers} numbers lie within the margins of their kinds"
    if held == of:
        return f"{count}. {limit}".strip()
    worst = (CONTRADICTED,) if verdict == CONTRADICTED else ORDER
    first = next(one for one in judged if one.verdict in worst)
    far = "off by more than four margins" if first.verdict == CONTRADICTED else "outside its margin"
    enough = "three quarters or more" if verdict == CAVEAT else "fewer than three quarters"
    return f"{count}, {enough}; {first.id} is {far}: {_head(first.measured)} where {first.published} was printed."


def _head(measured: str) -> str:
    """The number that stands first in what was measured, without what stands beside it."""
    return measured.split(", ", maxsplit=1)[0].split(" (", maxsplit=1)[0]


def _seed42(sources: Sources, condition: str = "grok") -> str:
    return str(run_of(sources, DYCK, condition, 42)["run_id"])


def grad_share(sources: Sources) -> list[Entry]:
    """At the four published steps; the trapezoid's value beside it."""
    run_id, out = _seed42(sources), []
    for step, text in printed.GRAD_SHARE.items():
        exact, half = (value(sources, run_id, f"edge/grad_share{suffix}", step) for suffix in ("", "_trapezoid"))
        one = entry(f"step {step}", exact, text, SHARE, step)
        out.append(Entry(one.id, one.setting, one.published, f"{one.measured}, trapezoid {half:.3f}", one.verdict))
    return out


def grad_share_memo(sources: Sources) -> list[Entry]:
    """Without decay grad% is 1 by definition."""
    found = value(sources, _seed42(sources, "memo"), "edge/grad_share", 600)
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


def ablation(sources: Sources) -> list[Entry]:
    """Edge and bulk of seed 42, and the means over seeds; how much of ‖θ‖ is removed stands beside each."""
    run_id, out = _seed42(sources), []
    for name, table in (("edge", printed.ABLATION), ("bulk", printed.BULK)):
        for step, text in table.items():
            change = measured(sources, run_id, "ablation", f"{name}/change", step, NEAR)
            share = measured(sources, run_id, "ablation", f"{name}/share", step)
            one = _over_seeds(
                sources, entry(f"{name} at {step}", change, text, ACCURACY, step), "ablation", f"{name}/change", step
            )
            out.append(replace(one, measured=f"{one.measured}, removes {share:.0%} of ‖θ‖"))
    for step, text in printed.ABLATION_SEEDS.items():
        ids = [str(run_of(sources, DYCK, "grok", seed)["run_id"]) for seed in SEEDS]
        mean = float(np.mean([measured(sources, run_id, "ablation", "edge/change", step, NEAR) for run_id in ids]))
        spread = float(np.std([measured(sources, run_id, "ablation", "edge/change", step, NEAR) for run_id in ids]))
        one = entry(f"three seeds at {step}", mean, text, ACCURACY, step)
        out.append(replace(one, measured=f"{one.measured}, s.d. {spread:.2f} (printed {printed.ABLATION_SPREAD[step]})"))
    why = "a window of two changes has no bulk"
    return [*out, Entry("bulk at 200", {"quantity": "bulk at 200"}, printed.BULK_AT_200, why, BY_DEFINITION)]


def _over_seeds(sources: Sources, one: Entry, kind: str, name: str, step: int, reach: int = NEAR) -> Entry:
    """A number of seed 42 with decay beside the other seeds, late in the run, where only distributions agree."""
    if step <= RAMP:
        return one
    runs = [str(run_id) for run_id in sources.take(DYCK, condition="grok")["run_id"]]
    return among(one, [measured(sources, run_id, kind, name, step, reach) for run_id in runs])


def curvature(sources: Sources) -> list[Entry]:
    """By the published finite difference; the exact value stands beside it."""
    out = []
    for condition, values in printed.CURVATURE.items():
        run_id = _seed42(sources, condition)
        for k, text in enumerate(values, start=1):
            rough = measured(sources, run_id, "curvature", f"published/v{k}", 3900)
            exact = measured(sources, run_id, "curvature", f"test/v{k}", 3900)
            one = entry(f"{condition} v{k}", rough, text, SIZE, 3900)
            if condition == "grok":
                one = _over_seeds(sources, one, "curvature", f"published/v{k}", 3900, 0)
            out.append(Entry(one.id, one.setting, one.published, f"{one.measured}, exact {exact:.3g}", one.verdict))
        for k, (sigma, change) in printed.PATH[condition].items():
            found = (measured(sources, run_id, "curvature", f"{what}/v{k}", 3900) for what in ("sigma", "change"))
            names = (f"{condition} σ{k}", f"{condition} |ΔL| v{k}")
            out += [entry(n, v, text, SIZE, 3900) for n, v, text in zip(names, found, (sigma, change), strict=True)]
    return out


def rotations(sources: Sources) -> list[Entry]:
    """Mean over all full windows of 10 000 steps, as many as the paper's runs have."""
    out = []
    for condition, values in printed.ROTATION.items():
        found = ledger(sources, str(run_of(sources, LONG, condition, 42)["run_id"]), 100)
        for k, text in enumerate(values, start=1):
            angles = [rotation(found, end, 5, k) for end in range(5, found.intervals)]
            out.append(entry(f"{condition} v{k}", float(np.nanmean(angles)), text, ANGLE))
    found = ledger(sources, _seed42(sources), 100)
    return out + [
        entry(f"α{k} at 600", stability(found, 6, k), text, R_SQUARED, 600) for k, text in enumerate(printed.STABILITY, start=1)
    ]


def probes(sources: Sources) -> list[Entry]:
    """As published: raw features before the last norm, split by token."""
    run_id, out = _seed42(sources), []
    readers = ("linear_raw", "quadratic_raw", "mlp_raw")
    long = str(run_of(sources, LONG, "grok", 42)["run_id"])
    for owner, table in ((run_id, printed.PROBES), (long, printed.PROBES_LATE)):
        for step, values in table.items():
            for reader, text in zip(readers, values, strict=True):
                found = measured(sources, owner, "probe", f"before/{reader}/token", step)
                out.append(entry(f"{reader.removesuffix('_raw')} at {step}", found, text, R_SQUARED, step))
    ids = [str(run_of(sources, DYCK, "grok", seed)["run_id"]) for seed in SEEDS]
    for step, pair in printed.PROBES_SEEDS.items():
        for reader, text in zip(("linear_raw", "mlp_raw"), pair, strict=True):
            mean = float(np.mean([measured(sources, one, "probe", f"before/{reader}/token", step) for one in ids]))
            out.append(entry(f"{reader.removesuffix('_raw')}, three seeds at {step}", mean, text, R_SQUARED, step))
    for step in printed.MEMO_STEPS:
        memo = measured(sources, _seed42(sources, "memo"), "probe", "before/linear_raw/token", step)
        out.append(entry(f"linear at ω = 0 at {step}", memo, printed.MEMO_PROBE, R_SQUARED, step))
    return out


def intervention(sources: Sources) -> list[Entry]:
    """The end points of seed 42 with moments reset; the start, which was not printed, is in the note of the sentence."""
    out, ends = [], dict[float, float]()
    for decay, texts in printed.INTERVENTION.items():
        run = run_of(sources, INTERVENTION, "post", 42, switch_weight_decay=decay, switch_state="reset")
        run_id = str(run["run_id"])
        layers = [measured(sources, run_id, "attention", f"entropy/layer{layer}", 4000) for layer in (0, 1)]
        found = (
            (value(sources, run_id, "accuracy/test", 4000, 100), ACCURACY, "accuracy"),
            (measured(sources, run_id, "probe", "before/linear_raw/token", 4000), R_SQUARED, "linear R²"),
            (float(np.mean(layers)), FIVE_PERCENT, "entropy"),
            (value(sources, run_id, "norm/all", 4000), FIVE_PERCENT, "‖θ‖"),
            (measured(sources, run_id, "probe", "before/mlp_raw/token", 4000), R_SQUARED, "MLP R²"),
        )
        said = (*texts, printed.INTERVENTION_MLP)
        out += [entry(f"ω = {decay:g} {n}", v, text, m, 4000) for (v, m, n), text in zip(found, said, strict=True)]
        ends[decay] = found[0][0]
    drop = ends[1.0] - ends[0.0]
    return [*out, entry("accuracy lost without decay", drop, printed.ACCURACY_DROP, ACCURACY, 4000)]


def spectra(sources: Sources) -> list[Entry]:
    """Depth-Fourier elevation beside the ramp's, and entropy of the first layer."""
    run_id = _seed42(sources)
    ids = [str(run_of(sources, DYCK, "grok", seed)["run_id"]) for seed in SEEDS]
    mean = float(np.mean([measured(sources, one, "fourier", "elevation", 500) for one in ids]))
    ramp = measured(sources, run_id, "fourier", "ramp", 500)
    first = entry("elevation at 500", measured(sources, run_id, "fourier", "elevation", 500), printed.ELEVATION, RATIO, 500)
    beside = Entry(first.id, first.setting, first.published, f"{first.measured}, a ramp {ramp:.2f}", first.verdict)
    entropy = measured(sources, run_id, "attention", "entropy/layer0", 3900)
    return [
        beside,
        entry("elevation, three seeds", mean, printed.ELEVATION_SEEDS, RATIO, 500),
        entry("entropy of layer 0, late", entropy, "2.28", FIVE_PERCENT, 3900),
    ]


def claim(
    name: str,
    statement: str,
    where: str,
    shown: str,
    how: str,
    entries: Entries,
    studies: Sequence[str],
    kind: str,
    limit: str = "",
) -> Claim:
    """A row of printed numbers as a claim, under the rule that all of them share; `limit` as `row` has it."""
    source = f"{LIFECYCLE}, {where}"
    return Claim(f"lifecycle-{name}", statement, source, shown, how, tuple(studies), RULE, row(entries, limit), kind=kind)


MARGINS: tuple[Margin, ...] = (SHARE, ACCURACY, R_SQUARED, SIZE, RATIO, ANGLE, STEP, LOGGED_STEP, FIVE_PERCENT)
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
    claim(
        "ablation",
        "What removing the edge from the attention weights costs, and what removing the bulk does, by step.",
        "ablation table and notes",
        "−0.40, −0.29, −0.29, −0.62",
        "projection out of θ, token accuracy of 300 sequences: the median within 100 steps; the share of ‖θ‖ at the step",
        ablation,
        (DYCK,),
        TABLE,
    ),
    claim(
        "curvature",
        "Curvature, motion and change of loss along v₁ … v₄, late.",
        "curvature table",
        "0.078 … 1.838",
        "finite difference at 0.001 ‖θ‖ of the test loss, as published; exact beside it",
        curvature,
        (DYCK,),
        TABLE,
    ),
    claim(
        "rotation",
        "How far v₁, v₂, v₃ turn from window to window, and how stable they are within one.",
        "rotation table",
        "17.8°, 41.7°, 51.6°",
        "mean angle over all windows of a run of the paper's length",
        rotations,
        (DYCK, LONG),
        TABLE,
    ),
    claim(
        "probes",
        "R² of linear, quadratic and MLP probes for depth.",
        "probe table and notes",
        "0.981/0.995/0.993 at 600",
        "ridge 1, ridge 10 on products, 64 units; split by token",
        probes,
        (DYCK, LONG),
        TABLE,
    ),
    claim(
        "intervention",
        "What is left 3000 steps after weight decay is changed at step 1000.",
        "intervention table",
        "0.987 … 0.709",
        "moments reset, seed 42; probes on 300 sequences, where the paper has 200",
        intervention,
        (INTERVENTION,),
        TABLE,
    ),
    claim(
        "spectra",
        "Elevation over depth, and entropy of attention.",
        "side sections and notes",
        "5.2, 4.1, 2.28",
        "response to 0.005 ‖θ‖ along v₁",
        spectra,
        (DYCK,),
        NOTES,
        "A plain ramp over the depths, 3.78, lies within the margin of both elevations: agreement does not tell a period.",
    ),
)
