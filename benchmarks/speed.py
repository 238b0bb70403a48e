"""Time an epoch against its floor and a tracked run against the published procedure: `python -m benchmarks.speed`.

Everything is measured in one sitting, each measurement in a fresh process, the whole round several times in turn; ratios
are taken within a round and printed as the median over the rounds, with their range. With `--before CHECKOUT` the loop and
the tracked run of an earlier version, which lies in that folder, are measured in turn with ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, cast

from benchmarks import record
from benchmarks.jobs import Job, in_children
from grok.spec.config import DEVICE, RunConfig

Row = dict[str, Any]
BLOCK = 16
"""Epochs that the training loop is timed by, one block of the band."""
NAMES = ("loop", "bare", "tracked", "tracked_every", "published")
"""The training loop; a whole run without a store, tracked, and tracked with every observable at every epoch; the baseline."""

BEFORE = ("loop", "tracked")
"""What is measured of an earlier version too; its rows are named `before_loop` and `before_tracked`."""


def jobs(config: RunConfig, threads: Sequence[int], published_epochs: int) -> Iterator[tuple[str, Job]]:
    """The measurements of one round, by name; whole runs on the last of the thread counts."""
    config = config.resolved()
    blocks = max(1, config.epochs // BLOCK)
    for count in threads:
        yield "loop", Job("loop", config, count, {"blocks": blocks})
    most = threads[-1]
    yield "bare", Job("bare", config, most)
    yield "tracked", Job("tracked", config, most)
    yield "tracked_every", Job("tracked", replace(config, observe_every=1), most, {"everything": True})
    yield "published", Job("published", config, most, {"epochs": published_epochs})


def measure(
    config: RunConfig,
    threads: Sequence[int],
    rounds: int,
    published_epochs: int,
    only: Sequence[str] = NAMES,
    before: Path | None = None,
) -> list[Row]:
    """Rows of all rounds; each row has its `name`, `round`, `epochs` and `observe_every`.

    Args:
        config: of the runs. threads, published_epochs: as `jobs` takes them. rounds: times that everything is measured.
        only: names of what is measured. before: the checkout of an earlier version, which comes first every second time.
    """
    rows = []
    for number in range(rounds):
        for name, job in jobs(config, threads, published_epochs):
            if name not in only:
                continue
            pair = [(name, job)]
            if before is not None and name in BEFORE:
                pair.insert(number % 2, (f"before_{name}", replace(job, config=config, project=before)))
            for name_, job_ in pair:
                print(f"round {number + 1} of {rounds}: {name_}, {counted(job.threads, 'thread')}", file=sys.stderr)
                (found,) = in_children([job_])
                about = {"name": name_, "round": number, "epochs": job.config.epochs, "observe_every": job.config.observe_every}
                rows.append(about | found)
    return rows


def ratios(rows: Sequence[Row]) -> dict[str, list[float]]:
    """What the benchmark is about, a value per round; what was not measured is absent.

    `epoch_to_floor_N`: an epoch of the training loop on N threads, in floors; `epoch_to_floor_then_N`: in floors timed right
    before and after it, which a machine that is slower for a while slows as much. `run_to_loop`: the tracked run in its own
    training loop's seconds, that loop timed alone; `run_to_loop_once` with what a process pays once. `tracking_share`:
    part of the tracked run that the same run without a store does not take. `published_to_run` and
    `published_to_run_every`: the published procedure in seconds of the tracked run, at the default cadence and with every
    observable at every epoch; `published_to_run_every_less_kernel` leaves the n×n Gram out of our run only. Of an earlier
    version `before_epoch_to_floor_then_N` and `before_run_to_loop`; `epoch_to_before_N`, `run_to_before`: ours in its seconds.
    """
    out: dict[str, list[float]] = {}
    for number in sorted({row["round"] for row in rows}):
        mine = [row for row in rows if row["round"] == number]
        for name, value in _round_ratios(mine).items():
            out.setdefault(name, []).append(value)
    return out


def _round_ratios(rows: Sequence[Row]) -> dict[str, float]:
    loops = {row["threads"]: row for row in rows if row["name"] == "loop"}
    out = {f"epoch_to_floor_{threads}": row["epoch_ms"] / row["floor_ms"] for threads, row in loops.items()}
    out |= {f"epoch_to_floor_then_{n}": row["floors_then"] for n, row in loops.items() if "floors_then" in row}
    bare, run, every, published = (one(rows, name) for name in NAMES[1:])
    if run and run["threads"] in loops:
        alone = loops[run["threads"]]["epoch_mean_ms"] / 1e3 * run["epochs"]
        out["run_to_loop"] = run["seconds"] / alone
        out["run_to_loop_once"] = (run["seconds"] + run["once_s"]) / alone
    if run and bare:
        out["tracking_share"] = 1 - bare["seconds"] / run["seconds"]
    if published and run:
        out["published_to_run"] = published["seconds"] / run["seconds"]
    if published and every:
        out["published_to_run_every"] = published["seconds"] / every["seconds"]
        out["published_to_run_every_less_kernel"] = published["seconds"] / (every["seconds"] - every["parts"]["kernel"])
    earlier = {row["threads"]: row for row in rows if row["name"] == "before_loop"}
    out |= {f"before_epoch_to_floor_then_{threads}": row["floors_then"] for threads, row in earlier.items()}
    out |= {f"epoch_to_before_{n}": loops[n]["epoch_ms"] / row["epoch_ms"] for n, row in earlier.items()}
    if then := one(rows, "before_tracked"):
        out["run_to_before"] = run["seconds"] / then["seconds"]
        if then["threads"] in earlier:
            out["before_run_to_loop"] = then["seconds"] / (earlier[then["threads"]]["epoch_mean_ms"] / 1e3 * then["epochs"])
    return out


def one(rows: Sequence[Row], name: str) -> Row:
    """The row of a name in a round; empty if there is none."""
    return next((row for row in rows if row["name"] == name), {})


def middle(rows: Sequence[Row], name: str) -> Row:
    """The row of a name whose seconds are the median of its rounds (the lower one of two); empty if there is none."""
    ordered = sorted((row for row in rows if row["name"] == name), key=lambda row: cast(float, row["seconds"]))
    return ordered[(len(ordered) - 1) // 2] if ordered else {}


def report(about: dict[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """The lines that are printed, of what was measured."""
    yield record.headline(about)
    found = ratios(rows)

    def told(name: str) -> str:
        values = found.get(name, [])
        if not values:
            return "not measured"
        return f"{median(values):.2f} ×" + (f" [{min(values):.2f}, {max(values):.2f}]" if len(values) > 1 else "")

    for threads in sorted({row["threads"] for row in rows if row["name"] == "loop"}):
        loops = [row for row in rows if row["name"] == "loop" and row["threads"] == threads]
        epoch, floor, rate = (median(row[key] for row in loops) for key in ("epoch_ms", "floor_ms", "floor_gflops"))
        shares = ", ".join(f"{part} {median(row['parts_ms'][part] for row in loops):.1f}" for part in loops[0]["parts_ms"])
        then_ = f"epoch_to_floor_then_{threads}"
        then = f", {told(then_)} that of the same moment" if then_ in found else ""
        yield (
            f"epoch, {counted(threads, 'thread')}: {told(f'epoch_to_floor_{threads}')} the floor ({epoch:.1f} ms: {shares};"
            f" floor {floor:.1f} ms at {rate:.0f} GFLOP/s){then}"
        )
        if f"epoch_to_before_{threads}" in found:
            yield f"  {told(f'epoch_to_before_{threads}')} the earlier one, which is {told(f'before_{then_}')} the floor then"
    run, every, published = (middle(rows, name) for name in ("tracked", "tracked_every", "published"))
    if run:
        yield (
            f"tracked run, {run['epochs']} epochs, {run['seconds']:.1f} s: {told('run_to_loop')} its training loop"
            f" ({told('run_to_loop_once')} with {run['once_s']:.1f} s that a process pays once)"
        )
    if "run_to_before" in found:
        yield f"  {told('run_to_before')} the earlier one, which is {told('before_run_to_loop')} its own loop"
    if "tracking_share" in found:
        yield f"tracking: {median(found['tracking_share']):.1%} of the tracked run"
    if published:
        yield (
            f"published procedure, {published['seconds']:.1f} s: scaled from {published['timed_epochs']} epochs of"
            f" {published['epoch_ms']:.0f} ms and {published['repulsion_s']:.1f} s a repulsion measurement"
        )
        yield f"  against the tracked run, observables every {run.get('observe_every', '?')} epochs: {told('published_to_run')}"
        yield (
            f"  against the tracked run, all observables every epoch: {told('published_to_run_every')}"
            f" ({told('published_to_run_every_less_kernel')} without the n×n Gram in ours)"
        )
    for row in filter(None, (run, every)):
        shares = ", ".join(f"{name} {value / row['seconds']:.1%}" for name, value in _largest_first(row["parts"]))
        yield f"parts, observables every {row['observe_every']}, {row['seconds']:.1f} s: {shares}"
    if run:
        yield f"stored: {run['artifacts_mb']:.1f} MB of artifacts, {run['database_mb']:.1f} MB in the database"
    memory = ", ".join(f"{name} {row['peak_mb']:.0f} MB" for name in NAMES[1:] if (row := middle(rows, name)))
    if memory:
        yield f"peak memory: {memory}"


def _largest_first(parts: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(parts.items(), key=lambda part: -part[1])


def counted(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}{'s' * (number > 1)}"


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    out = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    cores = os.cpu_count() or 1
    out.add_argument("--activation", choices=("square", "relu"), default="square", help="of the network (default: square)")
    out.add_argument("--epochs", type=positive, help="of a run; few to try the command (default: 400, relu 800)")
    out.add_argument(
        "--published-epochs",
        type=positive,
        default=60,
        help="of the published procedure that are timed and scaled to the run, at least the window (default: 60)",
    )
    out.add_argument("--rounds", type=positive, default=3, help="times that everything is measured (default: 3)")
    out.add_argument("--only", choices=NAMES, nargs="+", default=NAMES, help="measurements to take (default: all)")
    out.add_argument(
        "--threads",
        type=positive,
        nargs="+",
        default=sorted({1, cores}),
        help="of the training loop; whole runs take the last (default: 1 and all cores)",
    )
    out.add_argument("--before", type=Path, metavar="CHECKOUT", help="folder of an earlier version, measured in turn")
    out.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    record.json_flag(out)
    return out


def device(text: str) -> str:
    """A device that a config takes."""
    if not DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"must be auto, cpu, cuda or cuda:N, got {text}. auto takes cuda where there is one.")
    return text


def positive(text: str) -> int:
    """A whole number ≥ 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number ≥ 1, got {text}. Write for example 20.")
    return int(text)


def main() -> None:
    """Measure, print, and write where asked."""
    flags = parser().parse_args()
    config = RunConfig(activation=flags.activation, epochs=flags.epochs, device=flags.device)
    fewest = min(flags.published_epochs, config.resolved().epochs)
    if "published" in flags.only and fewest < config.window:
        parser().error(f"--epochs and --published-epochs must reach the window, {config.window}, got {fewest}. Raise them.")
    about = record.environment(record.spelt("benchmarks.speed"))
    before = flags.before.resolve() if flags.before else None
    if before:
        if not (before / "benchmarks" / "measure.py").exists():
            parser().error(f"--before must be a checkout of this project, got {flags.before}. Make one by git worktree add.")
        words = ["git", "-C", str(before), "rev-parse", "HEAD"]
        about["before"] = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    rows = measure(config, flags.threads, flags.rounds, flags.published_epochs, flags.only, before)
    print("\n".join(report(about, rows)))
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()
