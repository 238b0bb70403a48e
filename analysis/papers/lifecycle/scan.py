"""The printed numbers of SCAN at the published size, judged as those of Dyck-1 are."""

from __future__ import annotations

import math

import numpy as np

from analysis.exhibits.model import NOTES, TABLE, TEXT, Claim, Entry
from analysis.exhibits.sources import Sources
from analysis.papers.lifecycle.anatomy import NEAR
from analysis.papers.lifecycle.margins import ACCURACY, ANGLE, FIVE_PERCENT, R_SQUARED, RATIO, SIZE, STEP, entry
from analysis.papers.lifecycle.reading import SCAN, grok_step, ledger, measured
from analysis.papers.lifecycle.rows import claim
from analysis.papers.lifecycle.side import WIDTH, compressed, positions, ratio_12, ratio_of, responses, run_id_of, shape, signs
from analysis.printed import lifecycle as printed
from grok.numerics.edge import rotation
from grok.runs.edge_shares import windows

SCAN_SEED, SCAN_LATE = 2024, 9500


def scan_g23(sources: Sources) -> list[Entry]:
    """SCAN's table, with and without decay."""
    out = []
    for (condition, seed), numbers in printed.SCAN_G23.items():
        run_id, name = run_id_of(sources, SCAN, condition, seed), f"{condition} {seed}"
        step = float(printed.SCAN_GROK[seed]) if condition == "grok" else math.inf
        out += compressed(sources, run_id, step, WIDTH["scan"], name, numbers)
        ratios = printed.SCAN_G23_RATIOS[seed] if condition == "grok" else None
        out += shape(sources, run_id, step, numbers[0], WIDTH["scan"], name, ratios)
    over = [
        ratio_of(sources, run_id_of(sources, SCAN, "grok", seed), numbers[0], float(printed.SCAN_GROK[seed]), WIDTH["scan"])
        for (condition, seed), numbers in printed.SCAN_G23.items()
        if condition == "grok"
    ]
    why = "a mean of ratios ≥ 1 by construction"
    out.append(entry("mean ratio", float(np.mean(over)), printed.MEAN_COMPRESSION["SCAN"], RATIO, 0, why))
    steps = {seed: grok_step(sources, run_id_of(sources, SCAN, "grok", seed), 0.95) for seed in printed.SCAN_GROK}
    return out + [entry(f"grok step {seed}", step, printed.SCAN_GROK[seed], STEP) for seed, step in steps.items()]


def scan_alignment(sources: Sources) -> list[Entry]:
    """The same of SCAN at the paper's `at grokking`."""
    return signs(sources, run_id_of(sources, SCAN, "grok", SCAN_SEED), 500, 5000, "SCAN")


def scan_functional(sources: Sources) -> list[Entry]:
    """The same of SCAN's decoder, to the number of the action, which is no quantity."""
    run_id = run_id_of(sources, SCAN, "grok", SCAN_SEED)
    return responses(sources, run_id, 500, printed.SCAN_FUNCTIONAL, printed.SCAN_FUNCTIONAL_G23)


def scan_edge(sources: Sources) -> list[Entry]:
    """SCAN: ablation, curvature, rotation and the largest σ₁ / σ₂."""
    runs = {condition: run_id_of(sources, SCAN, condition, SCAN_SEED) for condition in ("grok", "memo")}
    out = []
    for condition, text in printed.SCAN_ABLATION.items():
        change = measured(sources, runs[condition], "ablation", "edge/change_token", SCAN_LATE, 5 * NEAR)
        out.append(entry(f"{condition} ablation", change, text, ACCURACY, SCAN_LATE))
    for (condition, k), text in printed.SCAN_CURVATURE.items():
        bent = measured(sources, runs[condition], "curvature", f"published/v{k}", SCAN_LATE)
        out.append(entry(f"{condition} curvature v{k}", bent, text, SIZE, SCAN_LATE))
    for condition, texts in printed.SCAN_ROTATION.items():
        found = ledger(sources, runs[condition], 500)
        for k, text in enumerate(texts, start=1):
            angles = [rotation(found, end, 5, k) for end in range(5, found.intervals)]
            out.append(entry(f"{condition} rotation v{k}", float(np.nanmean(angles)), text, ANGLE))
    largest = max(map(ratio_12, windows(ledger(sources, runs["grok"], 500), 5)))
    return [*out, entry("largest σ₁/σ₂", largest, printed.LARGEST_RATIO["SCAN"], RATIO)]


def scan_side(sources: Sources) -> list[Entry]:
    """SCAN's spectra over places, entropies and probes, with and without decay."""
    runs = {condition: run_id_of(sources, SCAN, condition, SCAN_SEED) for condition in ("grok", "memo")}
    out = []
    for condition, (frequency, *shares) in printed.SCAN_POSITIONS.items():
        out += positions(sources, runs[condition], "encoder", f"{condition} encoder", frequency, shares, SCAN_LATE)
    for place, texts in printed.SCAN_ENTROPY.items():
        for condition, text in zip(runs, texts, strict=True):
            found = [measured(sources, runs[condition], "attention", f"entropy/{place}{i}", SCAN_LATE) for i in range(3)]
            out.append(entry(f"{condition} entropy {place}", float(np.mean(found)), text, FIVE_PERCENT, SCAN_LATE))
    for name, (kept, *both) in printed.SCAN_PROBES.items():
        for condition, text in zip(runs, both, strict=True):
            score = measured(sources, runs[condition], "probe", kept, SCAN_LATE)
            out.append(entry(f"{condition} {name}", score, text, R_SQUARED, SCAN_LATE))
    return out


CLAIMS: tuple[Claim, ...] = (
    claim(
        "g23-scan",
        "g₂₃ of SCAN with and without weight decay, and its grok steps.",
        "table of g₂₃",
        "49.9, 31.0, 49.5; 5152, 2874, 4083",
        "windows of 5 intervals of 500 steps, of 100 for seed 2024 with decay; without decay to step 15 000, where the paper "
        "goes on to 20 000",
        scan_g23,
        (SCAN,),
        NOTES,
    ),
    claim(
        "alignment-scan",
        "The same of SCAN.",
        "§ decomposition",
        "aligned, opposing, opposing",
        "at step 5000, N = 500",
        scan_alignment,
        (SCAN,),
        TEXT,
    ),
    claim(
        "functional-scan",
        "The response along v₁ of SCAN empties out.",
        "notes and class table",
        "0.60, 0.12, 0.04; 26.3, 1.9, 0.6",
        "the same to the number of the action",
        scan_functional,
        (SCAN,),
        NOTES,
    ),
    claim(
        "scan-edge",
        "SCAN: ablation, curvature and rotation with and without decay, and the largest σ₁ / σ₂.",
        "ablation, curvature and rotation tables",
        "−0.49, −0.03; 0.001, 1.83; 7.7°, 28.8°; 12.4",
        "as for Dyck-1, at step 9500 where no step is told",
        scan_edge,
        (SCAN,),
        TABLE,
    ),
    claim(
        "scan-side",
        "SCAN's spectra over places, entropies and probes with and without decay.",
        "side sections and notes",
        "1 (.258/.615); 1.84/1.41, 2.23/2.07, 1.87/.97; .917/.960",
        "at step 9500; padding alone beside it",
        scan_side,
        (SCAN,),
        NOTES,
    ),
)
