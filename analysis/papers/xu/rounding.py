"""What rounding decides: the spread over seeds against that over orders of summation, and fires by order of summation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import Chapter
from analysis.exhibits.panels import Panel, Prepared, Tables, drawer
from analysis.exhibits.sources import ROUNDINGS, Absent, Sources, column, rounding_of
from analysis.papers.xu import findings
from analysis.reading.evidence import Evidence
from analysis.reading.runs import grid
from analysis.statistics.clusters import Spread, seeds_and_roundings
from analysis.words import CONDITIONS, number

QUANTITIES = {
    "fire_epoch": "fire epoch",
    "test_50_epoch": "epoch of test ≥ 0.5",
    "test_99_epoch": "epoch of test ≥ 0.99",
    "late_gap_23": "log of the late λ₂/λ₃",
    "accuracy/test": "test accuracy at the end",
}
"""Of the headline, by summary metric."""
LOGARITHMS = ("late_gap_23",)


def _groups(runs: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The runs of the study by activation and condition, in whatever precision, with the name of their rounding."""
    names = {cell.config.hash: rounding_of(cell) for cell in grid(ROUNDINGS)}
    plain = [str(run["condition"]).removesuffix(f", {run['precision']}") for run in runs.to_dict("records")]
    runs = runs.assign(variant=runs["config_hash"].map(names), condition=plain)
    keys = ["activation", "condition"]
    return [(str(a), str(c), group) for (a, c), group in runs.groupby(keys, sort=False)]


def _decomposed(sources: Sources) -> tuple[str, pd.DataFrame]:
    rows, as_much = [], []
    for activation, condition, runs in _groups(sources.take(ROUNDINGS)):
        for name, title in QUANTITIES.items():
            values = np.log(column(runs, name)) if name in LOGARITHMS else column(runs, name)
            whole = runs.assign(value=values).pivot(index="seed", columns="variant", values="value").dropna()
            if len(whole) < 2 or whole.shape[1] < 2:
                continue
            found = seeds_and_roundings(whole.to_numpy())
            place = CONDITIONS.get(condition, condition)
            if found.of_roundings >= found.of_seeds > 0:
                as_much.append(f"{title} ({activation}, {place})")
            rows.append({"activation": activation, "condition": place, "quantity": title} | _row(found))
    if not rows:
        raise Absent("no quantity is known of two seeds in two roundings")
    text = "Seeds spread each quantity more than rounding does"
    if as_much:
        text = f"Rounding spreads as much as the seed does, or more: {'; '.join(as_much)}"
    text += ". Shares are variance components; the rest is what rounding does to one seed and not to another."
    return text, pd.DataFrame(rows)


def _row(found: Spread) -> dict[str, float]:
    total = found.seed + found.rounding + found.rest
    parts = {"seed": found.seed, "rounding": found.rounding, "rest": found.rest}
    return {
        "seeds": found.n,
        "roundings": found.roundings,
        "sd_over_seeds": found.of_seeds,
        "sd_over_roundings": found.of_roundings,
    } | {f"share_{key}": part / total if total else np.nan for key, part in parts.items()}


def _fires(sources: Sources) -> tuple[str, pd.DataFrame]:
    rows, told = [], []
    for activation, condition, runs in _groups(sources.take(ROUNDINGS)):
        counts = runs.groupby("variant", sort=False)["fired"].agg(["sum", "count"])
        for variant, row in counts.iterrows():
            fires, n = int(row["sum"]), int(row["count"])
            place = {"activation": activation, "condition": CONDITIONS.get(condition, condition), "rounding": str(variant)}
            rows.append(place | {"fires": fires, "n": n})
        least, most = int(counts["sum"].min()), int(counts["sum"].max())
        span = f"{least}" if least == most else f"{least} to {most}"
        told.append(f"{activation}, {CONDITIONS.get(condition, condition)}: {span} of {number(float(counts['count'].max()))}")
    return f"Fires by order of summation: {'; '.join(told)}.", pd.DataFrame(rows)


def _prepare(evidence: Evidence) -> Prepared:
    runs = evidence.runs(ROUNDINGS)
    runs = runs[np.isfinite(column(runs, "fired"))]
    if runs.empty:
        return Prepared({"runs": runs})
    order = {rounding_of(cell): place for place, cell in enumerate(grid(ROUNDINGS))}
    blocks = [
        group.assign(condition=CONDITIONS.get(condition, condition), place=group["variant"].map(order))
        for _, condition, group in _groups(runs)
    ]
    rows = pd.concat(blocks).sort_values(["place", "seed"], kind="stable")
    rows = rows.sort_values(["activation", "condition"], kind="stable", key=lambda names: names.map(_place))
    columns = ["run_id", "activation", "condition", "variant", "seed", "fired", "fire_epoch", "late_gap_23"]
    return Prepared({"runs": rows.reindex(columns=columns).reset_index(drop=True)}, tuple(rows["run_id"]))


def _place(name: str) -> int:
    known = ["square", "relu", *CONDITIONS.values()]
    return known.index(name) if name in known else len(known)


def _draw(prepared: Tables) -> Any:
    return drawer("rounding")(prepared["runs"])


PANELS = (
    Panel(
        "rounding",
        "What an order of summation moves, beside what a seed moves",
        "The same configs by several orders of summation, a line each; dot: a seed, bar: the median. Left: fire epochs, "
        "and how many fire. Right: late λ₂/λ₃ (epochs 200 to 400).",
        (ROUNDINGS,),
        _prepare,
        _draw,
        finding=findings.rounding,
    ),
)
CHAPTERS = (
    Chapter(
        "rounding-spread",
        "The spread over seeds against the spread over roundings",
        (ROUNDINGS,),
        None,
        "The same configs were trained by several orders of summation: two libraries of matrix products, two orders of "
        "blocks, the blocks of one thread and of two (whose number alone changes no bit), and float64. A two-way "
        "analysis of variance, seeds and roundings both random, says what each does.",
        _decomposed,
        section="Rounding",
    ),
    Chapter(
        "rounding-fires",
        "Fires by order of summation",
        (ROUNDINGS,),
        None,
        "A claim whose runs all have replicates is judged in each rounding; one that some of them hold and others do not is "
        "undecidable to rounding.",
        _fires,
        section="Rounding",
    ),
)
