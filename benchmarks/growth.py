"""Time an epoch as one number of a run grows, and ways to use the cores: `python -m benchmarks.growth`.

Each point is the training loop of `benchmarks.measure` in a fresh process, everything else at its default: an epoch, the
floor for the same shapes, the spectra of one epoch and the peak memory.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks import record
from benchmarks.jobs import Job, in_children
from benchmarks.speed import BLOCK, counted, device, positive
from grok.spec.config import RunConfig

AXES: dict[str, tuple[int, ...]] = {
    "width": (512, 1024, 2048, 4096, 8192),
    "modulus": (41, 59, 71, 97, 127),
    "n_train": (504, 1008, 2016, 4032),
    "window": (8, 20, 64, 128, 256),
    "seeds": (1, 2, 4, 8, 15),
}
"""What grows, and how far; `window` is also the number of lags that are kept, `seeds` train in lockstep."""


def job(base: RunConfig, axis: str, value: int, threads: int, blocks: int) -> Job:
    """The measurement of one point."""
    if axis == "seeds":
        return Job("loop", base, threads, {"blocks": blocks, "seeds": value})
    changes = {axis: value} | ({"max_window": value} if axis == "window" else {})
    return Job("loop", replace(base, **changes), threads, {"blocks": blocks})  # type: ignore[arg-type]


def grow(base: RunConfig, axis: str, values: Sequence[int], threads: int, blocks: int) -> Iterator[dict[str, Any]]:
    """A row per value of an axis: `axis`, `value`, and what `loop` measures; times are of all seeds together."""
    for value in values:
        (found,) = in_children([job(base, axis, value, threads, blocks)])
        yield {"axis": axis, "value": value} | found


def ways(base: RunConfig, cores: int, blocks: int) -> Iterator[dict[str, Any]]:
    """Ways to use the cores: a run on one, a run on all, a run on each; the training loop and whole tracked runs.

    Row: `axis` cores, `value` the runs at a time, `threads` of each; `per_s`, epochs or runs that end in a second, all
    runs together: the better way has more of them.
    """
    for runs, threads in dict.fromkeys(((1, 1), (1, cores), (cores, 1))):
        loops = in_children([Job("loop", replace(base, seed=seed), threads, {"blocks": blocks}) for seed in range(runs)])
        yield _way("loop", threads, loops, [1e3 / row["epoch_mean_ms"] for row in loops])
        whole = in_children([Job("tracked", replace(base, seed=seed), threads) for seed in range(runs)])
        yield _way("tracked", threads, whole, [1 / row["seconds"] for row in whole])


def _way(what: str, threads: int, rows: Sequence[dict[str, Any]], rates: Sequence[float]) -> dict[str, Any]:
    memory = sum(row["peak_mb"] for row in rows)
    return {"axis": "cores", "what": what, "value": len(rows), "threads": threads, "per_s": sum(rates), "peak_mb": memory}


def line(row: dict[str, Any]) -> str:
    """What is printed of a row."""
    runs, threads = row["value"], counted(row["threads"], "thread")
    if row["axis"] == "cores":
        rate = f"{row['per_s']:.2f} epochs/s" if row["what"] == "loop" else f"{row['per_s'] * 3600:.0f} tracked runs/h"
        return f"{counted(runs, 'run')} at a time, {threads}{' each' * (runs > 1)}: {rate}, {row['peak_mb']:.0f} MB"
    return (
        f"{row['axis']} {row['value']}, {threads}: {row['epoch_ms']:.1f} ms an epoch, "
        f"{row['epoch_ms'] / row['floor_ms']:.2f} × floor, spectra {row['spectra_ms']:.2f} ms, {row['peak_mb']:.0f} MB"
    )


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    cores = os.cpu_count() or 1
    out.add_argument(
        "--axes",
        nargs="*",
        choices=(*AXES, "cores"),
        default=[*AXES, "cores"],
        help="what to let grow, and `cores` (default: all of them)",
    )
    out.add_argument(
        "--epochs",
        type=positive,
        default=96,
        help="that a point is timed over, and of whole runs where the cores are compared (default: 96)",
    )
    out.add_argument("--threads", type=positive, default=cores, help="of each point (default: all cores)")
    out.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    record.json_flag(out)
    return out


def main() -> None:
    """Measure, print each point as it comes, and write where asked."""
    flags = parser().parse_args()
    about = record.environment(record.spelt("benchmarks.growth"))
    print(record.headline(about))
    base, blocks = RunConfig(device=flags.device), max(1, flags.epochs // BLOCK)
    rows = []
    for axis in flags.axes:
        points = (
            ways(replace(base, epochs=flags.epochs), os.cpu_count() or 1, blocks)
            if axis == "cores"
            else grow(base, axis, AXES[axis], flags.threads, blocks)
        )
        for row in points:
            rows.append(row)
            print(line(row), flush=True)
    if flags.json:
        record.write(flags.json, about, rows)
        print(f"written: {flags.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
