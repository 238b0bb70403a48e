"""Draw the benchmarks' figures from their data: `python -m benchmarks.plot [--data FOLDER] [--into FOLDER]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import record
from benchmarks.jobs import PROJECT
from benchmarks.speed import counted, middle, ratios

LABELS = {
    "run_to_loop": "tracked run / its training loop",
    "published_to_run": "published / tracked run",
    "published_to_run_every": "published / tracked run, all every epoch",
}


def speed_figures(data: dict[str, Any]) -> dict[str, Any]:
    """`speed-ratios` and `speed-parts` from the data of `benchmarks.speed`."""
    from analysis.figures import benchmarks as figures

    rows, where = data["rows"], place(data)
    found = ratios(rows)
    labelled = {
        f"epoch / floor, {counted(threads, 'thread')}": found[f"epoch_to_floor_{threads}"]
        for threads in sorted({row["threads"] for row in rows if row["name"] == "loop"})
    } | {label: found[name] for name, label in LABELS.items() if name in found}
    runs = {
        f"observables every {row['observe_every']}": row["parts"]
        for row in (middle(rows, "tracked"), middle(rows, "tracked_every"))
        if row
    }
    out = {"speed-ratios": figures.ratio_rounds(labelled, where)} if labelled else {}
    return out | ({"speed-parts": figures.time_parts(pd.DataFrame(runs).T, f"One tracked run; {where}")} if runs else {})


def growth_figures(data: dict[str, Any]) -> dict[str, Any]:
    """`growth` and `cores`, as far as there are rows for them, from the data of `benchmarks.growth`."""
    from analysis.figures import benchmarks as figures

    table, where = pd.DataFrame(data["rows"]), place(data)
    cores = table[table["axis"] == "cores"]
    points = table.drop(cores.index)
    out = {}
    if len(points):
        out["growth"] = figures.growth(points, f"{counted(int(points['threads'].iloc[0]), 'thread')}; {where}")
    if len(cores):
        label = [
            f"{counted(value, 'run')} × {counted(threads, 'thread')}"
            for value, threads in zip(cores["value"], cores["threads"], strict=True)
        ]
        out["cores"] = figures.core_use(cores.assign(label=label), where)
    return out


def place(data: dict[str, Any]) -> str:
    """Where and when it was measured, for a title."""
    machine = data["machine"]
    device = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    return f"{device}, torch {data['versions']['torch']}, {data['date'][:10]}"


MAKERS = {"speed": speed_figures, "growth": growth_figures}


def main() -> None:
    """Draw whatever data there is: speed*.json and growth*.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("--data", type=Path, default=PROJECT / "benchmarks" / "results", help="folder of the data")
    parser.add_argument("--into", type=Path, default=PROJECT / "docs" / "figures" / "benchmarks", help="folder for the figures")
    flags = parser.parse_args()
    flags.into.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in flags.data.glob("*.json") if path.stem.partition("-")[0] in MAKERS)
    if not files:
        parser.error(f"--data must hold speed*.json or growth*.json, got {flags.data}. Make them with benchmarks.speed --json.")
    for path in files:
        kind, _, rest = path.stem.partition("-")
        for name, figure in MAKERS[kind](record.read(path)).items():
            target = flags.into / (f"{name}-{rest}.png" if rest else f"{name}.png")
            figure.savefig(target)
            print(target)


if __name__ == "__main__":
    main()
