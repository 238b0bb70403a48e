"""Faults of the files of runs: cut short, a bit turned over, gone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.reading.evidence import Evidence
from grok.runs.load import load_run
from grok.spec.artifacts import FACTORS
from grok.store.errors import StoreError
from grok.store.store import connect
from tests.faults.outcome import same, states
from tests.faults.world import LATE, LATE_S, LATE_SHARE, Missed, World

Fault = Callable[[World, random.Random], None]
"""Starts the command, disturbs it, and leaves it ended; the store is usable again then."""


def disturbed(world: World, rng: random.Random) -> Any:
    """The command under way, at a random moment: any from its first save to its end, or one as a late file comes to be.

    Raises:
        Missed: if it ends before.
    """
    process = world.start()
    if rng.random() < LATE_SHARE:
        world.wait_for(rng.choice(LATE), process)
        world.at(process, rng.uniform(0, LATE_S))
    else:
        world.wait_until_it_trains(process)
        world.at(process, rng.uniform(0, world.pace.whole_s - world.pace.first_s))
    return process


def files_of(world: World, pattern: str) -> list[Path]:
    """Files of runs by a pattern of their paths."""
    return sorted(world.folder.glob(f"mlruns/*/*/artifacts/{pattern}"))


def cut(path: Path, rng: random.Random) -> None:
    """Cut a file short."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flip(path: Path, rng: random.Random) -> None:
    """Turn a bit of a file over."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def altered(pattern: str, change: Callable[[Path, random.Random], None]) -> Fault:
    """The command is killed and a file is altered: all of a pattern. A `config.json` of a run that is finished stays so.

    Raises:
        Missed: if there is none.
    """

    def fault(world: World, rng: random.Random) -> None:
        world.end(disturbed(world, rng), kill=True)
        if not (paths := files_of(world, pattern)):
            raise Missed
        finished = [root for state, root in states(world) if state == "complete"]
        for path in paths:
            change(path, rng)
            if path.name == "config.json" and path.parent in finished:
                world.beside.add(path)

    return fault


def finished_altered(pattern: str) -> Fault:
    """A file of a finished run is cut: that run is named, and its cell trained anew by the same command.

    Weights, of which no number of a report comes, are named by whoever reads them.
    """

    def fault(world: World, rng: random.Random) -> None:
        world.ends_well(world.start())
        path = rng.choice(files_of(world, pattern))
        cut(path, rng)
        run_id = run_of(world, path)
        said = is_refused(world, run_id, path) if path.parent.name == "checkpoints" else is_left_out(world, run_id)
        if not said:
            raise AssertionError(f"{path.name} of {run_id} was cut and nobody said so")
        world.broken.add(run_id)

    return fault


def finished_beside(*patterns: str) -> Fault:
    """A file of a finished run that no number of a report comes from is cut, or a bit of it turned over: the run counts.

    The file itself stays as it is, or is written anew.
    """

    def fault(world: World, rng: random.Random) -> None:
        world.ends_well(world.start())
        path = rng.choice(files_of(world, rng.choice(patterns)))
        rng.choice((cut, flip))(path, rng)
        world.beside.add(path)

    return fault


def run_of(world: World, path: Path) -> str:
    """The id of the run that a file belongs to."""
    return path.relative_to(world.folder / "mlruns").parts[1]


def is_left_out(world: World, run_id: str) -> bool:
    """Whether a report names a run as one that does not count."""
    left_out = Evidence(connect(world.uri, "")).left_out
    return len(left_out) > 0 and run_id in set(left_out["run_id"])


def is_refused(world: World, run_id: str, path: Path) -> bool:
    """Whether whoever reads all of a run is told which file is not whole."""
    try:
        numbers(world, run_id)
    except (StoreError, RuntimeError, ValueError) as error:
        return run_id in str(error) or path.name in str(error)
    return False


def finished_gone(world: World, rng: random.Random) -> None:
    """The folder of files of a finished run is gone: that run is named, and its cell trained anew by the same command."""
    world.ends_well(world.start())
    run_id = run_of(world, rng.choice(files_of(world, "history.parquet")))
    (root,) = world.folder.glob(f"mlruns/*/{run_id}/artifacts")
    shutil.rmtree(root)
    if not is_left_out(world, run_id):
        raise AssertionError(f"the files of {run_id} were deleted and nobody said so")
    world.broken.add(run_id)


def finished_flipped(pattern: str) -> Fault:
    """A bit of a file of a finished run is turned over: whoever reads it says so by name, or reads the numbers that were there.

    A run whose history or band is broken so has its cell trained anew by the same command. One of whose weights this is true
    is deleted by hand first: their checksums are looked at when they are read.
    """

    def fault(world: World, rng: random.Random) -> None:
        world.ends_well(world.start())
        path = rng.choice(files_of(world, pattern))
        run_id = run_of(world, path)
        before = numbers(world, run_id)
        flip(path, rng)
        try:
            after = numbers(world, run_id)
        except (StoreError, RuntimeError, ValueError) as error:
            if run_id not in str(error) and path.name not in str(error):
                raise AssertionError(f"a bit of {path.name} was turned over, and what was said is {error}") from error
            after = before
            if is_left_out(world, run_id):
                world.broken.add(run_id)
            elif path.parent.name == "checkpoints":
                world.client().delete_run(run_id)
            else:
                raise AssertionError(f"a bit of {path.name} was turned over, {error} was said, and the run counts") from error
        if not same(before, after):
            raise AssertionError(f"a bit of {path.name} of {run_id} was turned over and other numbers were read")

    return fault


def numbers(world: World, run_id: str) -> dict[str, Any]:
    """What is read of a finished run: its history, band, factors and weights; a new reader each time.

    Raises:
        StoreError: if the run is left out, with the reason.
    """
    evidence = Evidence(connect(world.uri, ""))
    left = evidence.left_out
    if len(left) and run_id in set(left["run_id"]):
        raise StoreError(f"{run_id}: {left.set_index('run_id').loc[run_id, 'reason']}")
    run = load_run(run_id, store=connect(world.uri, ""))
    weights = {f"{epoch} {name}": array for epoch in run.checkpoints for name, array in run.weights(epoch).items()}
    factors = run.factors if FACTORS in run.files else {}
    return {"history": evidence.history(run_id), "band": evidence.band(run_id), "factors": factors, "weights": weights}


def artifacts_gone(world: World, rng: random.Random) -> None:
    """The folder of artifacts is deleted while the study runs; its finished runs are then deleted by hand."""
    world.end(disturbed(world, rng), kill=True)
    finished = {run.info.run_id for run in world.runs() if run.data.tags.get("grok.state") == "complete"}
    shutil.rmtree(world.folder / "mlruns", ignore_errors=True)
    for run_id in finished:
        world.client().delete_run(run_id)
