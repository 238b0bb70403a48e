"""How threads wait for one another: `python -m benchmarks.waiting [--rounds 3]`.

The training loop of the default run on two threads in fresh processes: as OpenMP waits by default (it spins, then sleeps),
with spins of other lengths (GOMP_SPINCOUNT), asleep at once (OMP_WAIT_POLICY=PASSIVE), and on one thread, which waits for
nobody. Each alone, two such processes at once, and one beside as many busy processes as there are cores. Milliseconds of an
epoch, the median over blocks, and of processor time, in which spinning counts. Processes at once begin together, end by the
clock and give a row each. In a round the settings go in turn, every second round backwards; ratios are to the default of the
same round.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import record
from benchmarks.jobs import THREAD_VARIABLES, Job, in_children
from grok.spec.config import RunConfig

Row = dict[str, Any]
DEFAULT, ONE = "default", "one thread"
SPINS = (1000, 5000, 20000, 100000)
SCENES = ("alone", "beside", "busy")
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", *THREAD_VARIABLES)
"""Of the caller's, that are taken away: the default is that of the libraries."""
BUSY_S = 900
"""After which a busy process ends by itself, should nobody end it."""
BUSY = f"import time\nend = time.monotonic() + {BUSY_S}\nwhile time.monotonic() < end: pass"


def settings(spins: tuple[int, ...]) -> dict[str, dict[str, str]]:
    """Variables of each way to wait, by its name."""
    spun = {f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": str(count)} for count in spins}
    return {DEFAULT: {}, **spun, "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"}, ONE: {}}


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but hold a core."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            child = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(child.wait)
            stack.callback(child.kill)
        yield


def measure(
    config: RunConfig, chosen: dict[str, dict[str, str]], scenes: list[str], flags: argparse.Namespace
) -> Iterator[Row]:
    """A row for each process of each round, scene and setting.

    Args:
        config: of the run. chosen: the settings. scenes: of `SCENES`. flags: `rounds`, `seconds`, `threads`, `busy`.
    """
    for turn in range(flags.rounds):
        for scene in scenes:
            for name in list(chosen)[:: -1 if turn % 2 else 1]:
                job = Job("epochs", config, 1 if name == ONE else flags.threads, {"seconds": flags.seconds}, chosen[name])
                with busy(flags.busy if scene == "busy" else 0):
                    found = in_children([job] * (2 if scene == "beside" else 1))
                about = {"setting": name, "scene": scene, "round": turn, "busy": flags.busy if scene == "busy" else 0}
                yield from (about | {"process": number, "load": os.getloadavg()[0]} | row for number, row in enumerate(found))


def report(rows: list[Row]) -> Iterator[str]:
    """A line for each scene and setting: medians over rounds and processes, ratios to the default's of the same round."""
    for scene, name in dict.fromkeys((row["scene"], row["setting"]) for row in rows):
        line = f"{scene}, {name}:"
        for key, told in (("epoch_ms", "ms an epoch"), ("cpu_ms", "ms of processor")):
            mine, default = (_by_round(rows, scene, one, key) for one in (name, DEFAULT))
            line += f" {statistics.median(mine.values()):.1f} [{min(mine.values()):.1f}, {max(mine.values()):.1f}] {told}"
            ratios = [value / default[turn] for turn, value in mine.items() if turn in default]
            line += f" ({statistics.median(ratios):.2f} × the default)" if ratios and name != DEFAULT else ""
        yield line


def _by_round(rows: list[Row], scene: str, name: str, key: str) -> dict[int, float]:
    """The mean over the processes of a round."""
    mine = [row for row in rows if (row["scene"], row["setting"]) == (scene, name)]
    turns = dict.fromkeys(row["round"] for row in mine)
    return {turn: statistics.mean(row[key] for row in mine if row["round"] == turn) for turn in turns}


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="Default 1, under three minutes; 3 for a figure.")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement, after its imports. Default 4.")
    parser.add_argument("--threads", type=int, default=2, help="of the loop. Default 2.")
    parser.add_argument("--busy", type=int, default=cores, help="busy processes. Default: one a core.")
    parser.add_argument("--spins", default=",".join(map(str, SPINS)), help="comma list of GOMP_SPINCOUNT; empty for none")
    parser.add_argument("--scenes", default=",".join(SCENES), help=f"comma list of {', '.join(SCENES)}")
    parser.add_argument(
        "--only", action="append", metavar="SETTING", help="default, passive, one or a spin count; may be repeated"
    )
    parser.add_argument("--width", type=int, default=RunConfig().width, help="of the network, to try the command")
    record.json_flag(parser)
    flags = parser.parse_args(arguments)
    scenes = flags.scenes.split(",")
    if unknown := [name for name in scenes if name not in SCENES]:
        parser.error(f"scenes must be of {', '.join(SCENES)}, got {', '.join(unknown)}. Pick from these.")
    if flags.rounds < 1 or flags.seconds <= 0:
        parser.error(f"rounds must be ≥ 1 and seconds > 0, got {flags.rounds} and {flags.seconds}. Take 1 and 4.")
    spins = tuple(int(text) for text in flags.spins.split(",") if text)
    chosen = {
        name: variables
        for name, variables in settings(spins).items()
        if not flags.only or any(word.lower() in name.lower() for word in flags.only)
    }
    if not chosen:
        parser.error(f"only must name a setting ({', '.join(settings(spins))}), got {', '.join(flags.only)}. Pick one.")
    about = record.environment(record.spelt("benchmarks.waiting"))
    for name in VARIABLES:
        if os.environ.pop(name, None) is not None:
            print(f"left out of the environment: {name}", file=sys.stderr)
    rows = []
    for row in measure(RunConfig(width=flags.width, device="cpu"), chosen, scenes, flags):
        rows.append(row)
        print(
            f"{row['scene']}, {row['setting']}: {row['epoch_ms']:.1f} ms an epoch, {row['cpu_ms']:.1f} of processor", flush=True
        )
    for line in report(rows):
        print(line)
    if flags.json:
        record.write(flags.json, about, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
