"""Printed numbers of what the edge is and does: ablation, curvature, rotation, probes, intervention, spectra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.exhibits.model import BY_DEFINITION, NOTES, TABLE, Claim, Entry
from analysis.exhibits.sources import Sources
from analysis.papers.lifecycle.margins import ACCURACY, ANGLE, FIVE_PERCENT, R_SQUARED, RAMP, RATIO, SIZE, among, entry
from analysis.papers.lifecycle.reading import DYCK, INTERVENTION, LONG, ledger, measured, run_of, seed_42, value
from analysis.papers.lifecycle.rows import claim
from analysis.printed import lifecycle as printed
from analysis.printed.lifecycle import SEEDS
from grok.numerics.edge import rotation, stability

NEAR = 100
"""Steps on either side whose median is taken of accuracies and their changes: one spike moves a snapshot."""


def ablation(sources: Sources) -> list[Entry]:
    """Edge and bulk of seed 42, and the means over seeds; how much of ‖θ‖ is removed stands beside each."""
    run_id, out = seed_42(sources), []
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
        run_id = seed_42(sources, condition)
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
    found = ledger(sources, seed_42(sources), 100)
    return out + [
        entry(f"α{k} at 600", stability(found, 6, k), text, R_SQUARED, 600) for k, text in enumerate(printed.STABILITY, start=1)
    ]


def probes(sources: Sources) -> list[Entry]:
    """As published: raw features before the last norm, split by token."""
    run_id, out = seed_42(sources), []
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
        memo = measured(sources, seed_42(sources, "memo"), "probe", "before/linear_raw/token", step)
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
    run_id = seed_42(sources)
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


CLAIMS: tuple[Claim, ...] = (
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
