"""Printed numbers of Dyck-1 beside the main tables: g₂₃ without decay, functional R², spectra, attention, layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.exhibits.model import NOT_REPRODUCED, NOTES, REPRODUCED, TABLE, TEXT, Claim, Entry
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.margins import (
    FIVE_PERCENT,
    PLANE,
    R_SQUARED,
    RATIO,
    SIZE,
    entry,
)
from analysis.papers.lifecycle.reading import (
    DYCK,
    LONG,
    ledger,
    measured,
    run_of,
)
from analysis.papers.lifecycle.rows import claim
from analysis.printed import lifecycle as printed
from analysis.words import number
from grok.numerics.edge import Edge, compression, edge, gap_23, leading
from grok.runs.edge_shares import windows

LATE = 5000
WIDTH = {"dyck": 3, "scan": 5}
"""W of the table of g₂₃."""


def run_id_of(sources: Sources, study: str, condition: str, seed: int) -> str:
    """Of one run by condition and seed."""
    return str(run_of(sources, study, condition, seed)["run_id"])


def ratio_12(one: Edge) -> float:
    """σ₁ / σ₂."""
    return float(np.sqrt(one.lambdas[0] / one.lambdas[1]))


def _until(edges: Sequence[Edge], every: int, step: float) -> int:
    """Index of the last window up to a step; infinity is the end of the run."""
    found = [place for place, one in enumerate(edges) if one.end * every <= step]
    if not found:
        raise Absent(f"the run has no window up to step {step:.0f}")
    return found[-1]


def ratio_of(sources: Sources, run_id: str, every: int, step: float, width: int) -> float:
    """The published ratio of g₂₃ up to a step."""
    edges = windows(ledger(sources, run_id, every), width)
    until = _until(edges, every, step)
    return compression(gap_23(edges), until, first=min(1, until)).published


def compressed(
    sources: Sources, run_id: str, step: float, width: int, name: str, numbers: tuple[int, str, str, str]
) -> list[Entry]:
    """Early, late and ratio of g₂₃ up to a step; the ratio is at least 1 by construction, so that it is not judged."""
    every, early, at, ratio = numbers
    edges = windows(ledger(sources, run_id, every), width)
    until, gaps = _until(edges, every, step), gap_23(edges)
    found = compression(gaps, until, first=min(1, until))
    first, last = (edges[place].end * every for place in (int(np.argmax(gaps[: until + 1])), until))
    why = f"≥ 1 by construction; plain {found.plain:.3g}, by chance {found.shuffled:.3g}"
    return [
        entry(f"{name} early", float(gaps[: until + 1].max()), early, SIZE, first),
        entry(f"{name} late", float(gaps[until]), at, SIZE, last),
        entry(f"{name} ratio", found.published, ratio, RATIO, 0, why),
    ]


def shape(
    sources: Sources, run_id: str, step: float, every: int, width: int, name: str, ratios: tuple[str, str] | None
) -> list[Entry]:
    """σ₁ / σ₂ where g₂₃ is largest and at a step, and whether k* = 1 there, by either formula of the paper's code."""
    edges = windows(ledger(sources, run_id, every), width)
    until = _until(edges, every, step)
    plain, weighted = (leading(edges[until].lambdas, weighted) for weighted in (False, True))
    said = REPRODUCED if 1 in (plain, weighted) else NOT_REPRODUCED
    out = [Entry(f"{name} k*", {"quantity": f"{name} k*"}, "1", f"{plain}, weighted by σ_k / Σσ {weighted}", said)]
    if ratios is not None:
        first = int(np.argmax(gap_23(edges)[: until + 1]))
        for told, place, text in zip(("early", "at grok"), (first, until), ratios, strict=True):
            out.append(entry(f"{name} σ₁/σ₂ {told}", ratio_12(edges[place]), text, RATIO, edges[place].end * every))
    return out


def g23_memo(sources: Sources) -> list[Entry]:
    """Without decay, to the end of 10 000 steps in intervals of 500."""
    out = []
    for seed, numbers in printed.G23_MEMO.items():
        run_id = run_id_of(sources, LONG, "memo", seed)
        out += compressed(sources, run_id, math.inf, WIDTH["dyck"], f"seed {seed}", (500, *numbers))
        out += shape(sources, run_id, math.inf, 500, WIDTH["dyck"], f"seed {seed}", None)
    return out


def g23_shape(sources: Sources) -> list[Entry]:
    """σ₁ / σ₂, k* and whether the fall is monotone, with decay."""
    out = []
    for seed, ratios in printed.G23_RATIOS.items():
        run_id, every = run_id_of(sources, DYCK, "grok", seed), printed.G23[seed][0]
        step = float(printed.GROK_STEPS[seed])
        out += shape(sources, run_id, step, every, WIDTH["dyck"], f"seed {seed}", ratios)
        edges = windows(ledger(sources, run_id, every), WIDTH["dyck"])
        gaps = gap_23(edges)[: _until(edges, every, step) + 1]
        falls = bool((np.diff(gaps[int(np.argmax(gaps)) :]) <= 0).all())
        name, text = f"seed {seed} monotone", "yes" if printed.G23_MONOTONE[seed] else "no"
        same = falls == printed.G23_MONOTONE[seed]
        out.append(Entry(name, {"quantity": name}, text, "yes" if falls else "no", REPRODUCED if same else NOT_REPRODUCED))
    return out


def signs(sources: Sources, run_id: str, every: int, step: int, name: str) -> list[Entry]:
    """The sign of the cross term, as printed; |cross| / √(E_g E_w) beside it, which is 0 where the sign means nothing."""
    found = ledger(sources, run_id, every)
    out = []
    for k, sign in printed.SIGNS.items():
        one = edge(found, step // every, 5, k)
        if one is None:
            continue
        both = (one.exact.gradient * one.exact.decay) ** 0.5
        size = abs(one.exact.cross) / both if both > 0 else 0.0
        told, words = f"{name} v{k}", {1: "aligned", 0: "neither", -1: "opposing"}
        mine = int(np.sign(one.exact.cross))
        verdict = REPRODUCED if mine == sign else NOT_REPRODUCED
        out.append(Entry(told, {"quantity": told}, words[sign], f"{words[mine]}, correlation {size:.2f}", verdict))
    return out


def alignment(sources: Sources) -> list[Entry]:
    """Whether Adam's part and decay's point the same way along v₁, v₃ and v₄, Dyck-1."""
    return signs(sources, run_id_of(sources, DYCK, "grok", 42), 100, 600, "Dyck-1")


def functional(sources: Sources) -> list[Entry]:
    """R² of the response along v₁ by phase, standardised beside it; and g₂₃."""
    run_id = run_id_of(sources, DYCK, "grok", 42)
    return responses(sources, run_id, 100, printed.FUNCTIONAL, printed.FUNCTIONAL_G23)


def responses(sources: Sources, run_id: str, every: int, texts: dict[int, str], gaps: dict[int, str]) -> list[Entry]:
    """R² of the response along v₁ and g₂₃, by step."""
    out, found = [], ledger(sources, run_id, every)
    for step, text in texts.items():
        raw, fair = (measured(sources, run_id, "functional", f"linear_{one}/token", step) for one in ("raw", "standardised"))
        one = entry(f"functional R² at {step}", raw, text, R_SQUARED, step)
        out.append(Entry(one.id, one.setting, one.published, f"{one.measured}, standardised {fair:.3f}", one.verdict))
    for step, text in gaps.items():
        window = edge(found, step // every, 5)
        if window is not None and np.isfinite(window.lambdas[2]):
            out.append(entry(f"g₂₃ at {step}", float(window.lambdas[1] - window.lambdas[2]), text, SIZE, step))
    return out


def random_plane(sources: Sources) -> list[Entry]:
    """The published control, and the factor over it, whose denominator is less than a token."""
    run_id, out = run_id_of(sources, DYCK, "grok", 42), []
    for step in (200, 500, 1400, 3900):
        change, share = (measured(sources, run_id, "ablation", f"random_plane/{what}", step) for what in ("change", "share"))
        one = entry(f"random plane at {step}", change, "0.000", PLANE, step)
        out.append(Entry(one.id, one.setting, one.published, f"{one.measured}, removes {share:.2%} of ‖θ‖", one.verdict))
    edge_, plane = (measured(sources, run_id, "ablation", f"{name}/change", 3900) for name in ("edge", "random_plane"))
    factor = abs(edge_) / (abs(plane) + 1e-8)
    why = "the denominator is less than one token of 3978"
    return [*out, entry("edge over random plane at 3900", factor, printed.FACTOR, RATIO, 3900, why)]


def flat(sources: Sources) -> list[Entry]:
    """The largest KL of the published sweep, early and late: no contrast between them is printed."""
    run_id = run_id_of(sources, DYCK, "grok", 42)
    return [
        entry(f"largest KL at {step}", measured(sources, run_id, "sweep", "largest_divergence", step), text, SIZE, step)
        for step, text in printed.LARGEST_KL.items()
    ]


def layers(sources: Sources) -> list[Entry]:
    """Linear R² layer by layer, and the depth geometry, with and without decay; the paper does not say at which steps."""
    runs = {condition: run_id_of(sources, LONG, condition, 42) for condition in ("grok", "memo")}
    out = []
    for condition, table in printed.LAYERS.items():
        for layer, texts in table.items():
            for step, text in zip((200, LATE), texts, strict=True):
                found = measured(sources, runs[condition], "probe", f"{layer}/linear_raw/token", step)
                out.append(entry(f"{condition} {layer} at {step}", found, text, R_SQUARED, step))
    first = measured(sources, runs["grok"], "probe", "layer0/linear_raw/token", 100)
    said = REPRODUCED if first > float(printed.LAYER_0_AT_100) else NOT_REPRODUCED
    name = "layer0 at 100 is above"
    out.append(Entry(name, {"quantity": name}, printed.LAYER_0_AT_100, f"{first:.3f}", said))
    for name, (kept, *both) in printed.GEOMETRY.items():
        margin = SIZE if kept == "centroid_step" else R_SQUARED
        for condition, text in zip(("grok", "memo"), both, strict=True):
            out.append(
                entry(f"{condition} {name}", measured(sources, runs[condition], "probe", kept, LATE), text, margin, LATE)
            )
    far, near = (measured(sources, runs[condition], "probe", "centroid_step", LATE) for condition in ("memo", "grok"))
    return [*out, entry("centroids, without decay over with it", far / near, printed.CENTROID_FACTOR, RATIO, LATE)]


def attention(sources: Sources) -> list[Entry]:
    """Spectra over places beside that of padding alone, counting heads, and the largest σ₁ / σ₂ of a W_Q, Dyck-1."""
    out = []
    for condition, (frequency, *shares) in printed.POSITIONS.items():
        run_id = run_id_of(sources, LONG, condition, 42)
        out += positions(sources, run_id, "layer1", f"{condition} layer 1", frequency, shares, LATE)
        most, least = (
            measured(sources, run_id, "attention", f"{name}/layer0", LATE) for name in ("counting_most", "entropy_least")
        )
        texts = printed.COUNTING[condition]
        out.append(entry(f"{condition} KL to even", most, texts[0], R_SQUARED, LATE))
        out.append(entry(f"{condition} least entropy", least, texts[1], FIVE_PERCENT, LATE))
    largest = max(map(ratio_12, windows(ledger(sources, run_id_of(sources, LONG, "grok", 42), 100, ".q"), 5)))
    least = measured(sources, run_id_of(sources, LONG, "memo", 42), "attention", "counting_least/layer0", LATE)
    out.append(entry("memo least KL to even", least, printed.LEAST_COUNTING, R_SQUARED, LATE))
    name = "largest σ₁/σ₂ of W_Q"
    told = f"{number(largest)}, both layers together; of which matrix's updates it is printed is not told"
    return [*out, Entry(name, {"quantity": name}, printed.LARGEST_RATIO["Dyck-1, W_Q"], told, "")]


def positions(
    sources: Sources, run_id: str, layer: str, name: str, frequency: str, shares: Sequence[str], step: int
) -> list[Entry]:
    """Leading frequency over places and its shares, beside that of padding alone."""
    found = {
        what: measured(sources, run_id, "fourier", f"position/{layer}/{what}", step) for what in ("frequency", "first", "three")
    }
    padding = measured(sources, run_id, "fourier", "position/padding/first", step)
    same = REPRODUCED if found["frequency"] == float(frequency) else NOT_REPRODUCED
    told = f"{name} frequency"
    first = entry(f"{name} first share", found["first"], shares[0], R_SQUARED, step)
    return [
        Entry(told, {"quantity": told}, frequency, f"{found['frequency']:.0f}", same),
        Entry(first.id, first.setting, first.published, f"{first.measured}, of padding {padding:.3f}", first.verdict),
        entry(f"{name} three shares", found["three"], shares[1], R_SQUARED, step),
    ]


CLAIMS: tuple[Claim, ...] = (
    claim(
        "g23-memo",
        "g₂₃ of Dyck-1 without weight decay, which does not grok.",
        "table of g₂₃",
        "192, 151, 21.8",
        "as the table with decay, in intervals of 500 steps to the end of 10 000",
        g23_memo,
        (LONG,),
        NOTES,
    ),
    claim(
        "g23-shape",
        "σ₁ / σ₂ early and at the grok step, k* = 1, and whether g₂₃ falls all the way.",
        "table of g₂₃",
        "3.70/4.12, 2.43/2.26, 2.48/2.66",
        "windows of 3 intervals up to the printed grok step; early is where g₂₃ is largest; k* as in the text or weighted",
        g23_shape,
        (DYCK,),
        NOTES,
    ),
    claim(
        "alignment",
        "Along v₁ gradient and decay are aligned at grokking, along v₃ and v₄ they oppose.",
        "§ decomposition",
        "aligned, opposing, opposing",
        "sign of the mean product of the two parts along v at step 600",
        alignment,
        (DYCK,),
        TEXT,
    ),
    claim(
        "functional",
        "How well the response along v₁ tells the depth, by phase, and g₂₃ there.",
        "notes",
        "0.61, 0.46, 0.80; 7.1, 1.7, 1.2",
        "ridge 1 on the change of the last states at 0.005 ‖θ‖; standardised beside it",
        functional,
        (DYCK,),
        NOTES,
        "No response along a random direction stands beside it in these runs: agreement does not tell what is v₁'s own.",
    ),
    claim(
        "random-plane",
        "A random plane costs nothing, so that the edge costs over 4000 times as much.",
        "ablation table and abstract",
        "0.000, > 4000×",
        "20 random planes, as published",
        random_plane,
        (DYCK,),
        TABLE,
    ),
    claim(
        "largest-kl",
        "The output hardly changes along the edge.",
        "perturbation sweep and notes",
        "6e-5, 5e-5",
        "largest KL of 25 displacements up to ± 0.03 along v₁, over 300 sequences where the paper has 200",
        flat,
        (DYCK,),
        NOTES,
    ),
    claim(
        "layers",
        "Linear R² layer by layer, and how the depths lie, with and without decay.",
        "side sections and notes",
        ".956 → .718; 0.714 against 0.946; .21 against 30.95",
        "at steps 200 and 5000, which the paper does not tell; 300 sequences, where it has 500",
        layers,
        (LONG,),
        NOTES,
    ),
    claim(
        "positions",
        "Spectra over places, heads that count, and the largest σ₁ / σ₂ of a W_Q.",
        "side sections and notes",
        "12 (.281/.541), 0 (.771/.917); 2.28, 1.02; 3187",
        "late, at step 5000; padding alone beside it; 300 sequences, where the paper has 500, and 100 or 200 for attention",
        attention,
        (LONG,),
        NOTES,
    ),
)
