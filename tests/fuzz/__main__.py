"""Hostile inputs by the million: `python -m tests.fuzz --inputs 1000000 --seed 0 --out FILE`.

Each target of `targets.py` gets its share, made by `mutate.py`; what is found is printed with the input and counted, and the
exit status is 1 then. An input may use the processor for LIMIT_S seconds and take WALL_S by the clock, and no input may bring
the memory of the process to MOST_MB above what it was before its target.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import gc
import importlib.metadata
import json
import platform
import random
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from benchmarks.record import code_version
from tests.fuzz.mutate import drawn
from tests.fuzz.targets import attempt, targets

LIMIT_S = 10.0
"""Of the processor, for one input; the largest that may be read, 10,000 runs of a study, takes some seconds."""
WALL_S = 120.0
"""By the clock, on a machine that does other things too: what waits for a pipe or a server uses no processor."""
MOST_MB = 512
"""By which the memory of the process may grow under a target."""
RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
MEMORY = f"memory grew by more than {MOST_MB} MB"
PACKAGES = ("numpy", "torch", "pandas", "pyarrow", "safetensors", "pyyaml", "sqlalchemy", "hypothesis")


class HangError(BaseException):
    """An input took too long. Whoever answers for any error of a file must not answer for this one."""


@contextlib.contextmanager
def limited(seconds: float = LIMIT_S, wall: float = WALL_S) -> Iterator[None]:
    """Raise where the processor is used for longer, or more time goes by."""

    def late(number: int, _: object) -> None:
        used = number == signal.SIGVTALRM
        raise HangError(f"more than {seconds:g} s" if used else f"more than {wall:g} s by the clock")

    timers = ((signal.SIGVTALRM, signal.ITIMER_VIRTUAL, seconds), (signal.SIGALRM, signal.ITIMER_REAL, wall))
    before = {number: signal.signal(number, late) for number, _, _ in timers}
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def forget_peak() -> None:
    """Have `peak_mb` begin anew with the memory of now, where the system can."""
    with contextlib.suppress(OSError):
        RESET.write_text("5")


def settle() -> None:
    """Give back what an input has left behind, so that the next one is not charged with it."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # of glibc alone
        ctypes.CDLL(None).malloc_trim(0)
    forget_peak()


def peak_mb() -> float:
    """Memory that the process has had at most since `forget_peak`; where the system does not tell, what it has now."""
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return psutil.Process().memory_info().rss / 2**20


def tried(name: str, inputs: int, seed: int, stop: float) -> dict[str, Any]:
    """What came of a target: inputs, those that were taken, faults by their words, seconds of the slowest, memory.

    Args:
        name: of the target. inputs: how many; those that are odd or greedy once each, then drawn ones. seed: of what is drawn.
        stop: `time.process_time` at which it ends early.
    """
    rng, target = random.Random(f"{seed} {name}"), targets()[name]
    first, seeds = (*target.odd, *target.greedy), (*target.seeds, *target.odd)
    inputs = max(inputs, len(first))
    for content in target.seeds:
        attempt(name, content)  # what is imported late is no memory of an input
    settle()
    before, began = peak_mb(), time.process_time()
    taken, slowest, done, grown, faults = 0, 0.0, 0, 0.0, dict[str, int]()
    while done < inputs and time.process_time() < stop:
        content = first[done] if done < len(first) else drawn(rng, seeds, target.greedy)
        started = time.process_time()
        try:
            with limited():
                taken += attempt(name, content)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            if words not in faults and len(faults) < 20:
                print(f"{name}: {words}\n  {content[:2000]!r}", file=sys.stderr, flush=True)
            faults[words] = faults.get(words, 0) + 1
        slowest, done = max(slowest, time.process_time() - started), done + 1
        peak = peak_mb() - before
        grown = max(grown, peak)
        if peak > MOST_MB:
            print(f"{name}: memory grew by {peak:.0f} MB\n  {content[:2000]!r}", file=sys.stderr, flush=True)
            faults[MEMORY] = faults.get(MEMORY, 0) + 1
        if peak > MOST_MB / 8:
            settle()
    return {
        "target": name,
        "inputs": done,
        "taken": taken,
        "faults": faults,
        "slowest_s": round(slowest, 3),
        "grown_mb": round(grown, 1),
        "cpu_s": round(time.process_time() - began, 1),
    }


def main(arguments: list[str]) -> int:
    """Try inputs, print a table; exit status 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--cpu-s", type=float, default=float("inf"), help="end after so many seconds of the processor")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--only", choices=sorted(targets()), action="append", help="this target; may be repeated")
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    flags = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    names = flags.only or list(targets())
    began, found = time.process_time(), []
    for number, name in enumerate(names):
        share = -(-(flags.inputs - sum(one["inputs"] for one in found)) // (len(names) - number))
        left = began + flags.cpu_s - time.process_time()
        found.append(tried(name, share, flags.seed, time.process_time() + left / (len(names) - number)))
        print(json.dumps(found[-1], ensure_ascii=False), file=sys.stderr, flush=True)
    print("| target | inputs | taken | faults | slowest, s | memory grown, MB |\n|---|---|---|---|---|---|")
    for one in found:
        print(
            f"| {one['target']} | {one['inputs']} | {one['taken']} | {sum(one['faults'].values())} | {one['slowest_s']} "
            f"| {one['grown_mb']} |"
        )
    faults = sum(sum(one["faults"].values()) for one in found)
    print(f"| all | {sum(one['inputs'] for one in found)} | {sum(one['taken'] for one in found)} | {faults} | | |")
    if flags.out:
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        facts = {
            "command": " ".join(["python -m tests.fuzz", *arguments]),
            "code": code_version(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "python": platform.python_version(),
            "versions": versions,
            "limit_s": LIMIT_S,
            "wall_s": WALL_S,
            "most_mb": MOST_MB,
        }
        flags.out.write_text(json.dumps(facts | {"targets": found}, indent=1) + "\n", encoding="utf-8")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
