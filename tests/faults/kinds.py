"""What is done to a small study, and to its files: the faults of `campaign.py`."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from entry_points.cli import INTERRUPTED
from grok.spec.studies import load_file
from tests.faults import disks, served
from tests.faults.altered import (
    Fault,
    altered,
    artifacts_gone,
    cut,
    disturbed,
    finished_altered,
    finished_beside,
    finished_flipped,
    finished_gone,
    flip,
)
from tests.faults.world import World


def kill_command(world: World, rng: random.Random) -> None:
    """kill -9 of the command and its workers."""
    world.end(disturbed(world, rng), kill=True)


def kill_parent(world: World, rng: random.Random) -> None:
    """kill -9 of the command alone: its workers end after the cell at hand, and the command is repeated meanwhile."""
    process = disturbed(world, rng)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def kill_early(world: World, rng: random.Random) -> None:
    """kill -9 at any moment from the first on, imports among them."""
    process = world.start()
    world.at(process, rng.uniform(0, world.pace.whole_s))
    world.end(process, kill=True)


def kill_worker(world: World, rng: random.Random) -> None:
    """kill -9 of a worker; the command itself goes on."""
    process = disturbed(world, rng)
    for worker in world.workers(process)[:1]:
        worker.kill()
    world.end(process)


def kill_train(world: World, rng: random.Random) -> None:
    """kill -9 of the command that trains one cell alone; the study goes on with its run."""
    cell = next(iter(load_file(world.own).values())).cells[0].config
    flags = [word for name in CELL for word in (f"--{name.replace('_', '-')}", shown_value(getattr(cell, name)))]
    process = world.start("entry_points.train", *flags)
    world.wait_until_it_trains(process)
    world.at(process, rng.uniform(0, 10))
    world.end(process, kill=True)
    if len(world.runs()) != 1:
        raise AssertionError(f"the command began {len(world.runs())} runs")


def shown_value(value: Any) -> str:
    """A field as a flag has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def kill_new_store(world: World, rng: random.Random) -> None:
    """kill -9 at any moment while the command makes the store itself."""
    process = world.start()
    deadline = time.monotonic() + 60
    while not any(world.folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    world.at(process, rng.uniform(0, 6))
    world.end(process, kill=True)


def interrupt(world: World, rng: random.Random) -> None:
    """Ctrl-C."""
    process = disturbed(world, rng)
    process.send_signal(signal.SIGINT)
    (status,) = world.end(process)
    if status not in (0, INTERRUPTED):  # 0: all was there when it came
        world.noted.append(f"exit status {status} after Ctrl-C")


def stop_and_continue(world: World, rng: random.Random) -> None:
    """SIGSTOP of everything for ten seconds, while another command looks at the store."""
    process = disturbed(world, rng)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
    other = world.start()
    time.sleep(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    world.ends_well(process, other)


def stopped_long(world: World, rng: random.Random) -> None:
    """SIGSTOP of everything for longer than a database waits for a lock, while another command wants the same runs."""
    process = disturbed(world, rng)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
    other = world.start()
    time.sleep(served.STOPPED_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    world.end(process, other)


def clock_back(world: World, rng: random.Random) -> None:
    """The clock goes back by an hour and a half while the command runs, and another command comes; libfaketime does it."""
    clock, sleep = world.folder.parent / "clock", world.folder.parent / "sleep.so"
    clock.write_text("+0\n")
    sleep.with_suffix(".c").write_text(SLEEP, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(sleep), str(sleep.with_suffix(".c"))], check=True)
    fake = {"LD_PRELOAD": f"{sleep} {faketime()}", "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "0"}
    process = world.start(**fake)
    world.wait_until_it_trains(process)
    world.at(process, rng.uniform(0, world.pace.whole_s - world.pace.first_s))
    clock.write_text("-5400\n")
    world.at(process, 2)
    world.ends_well(process, world.start(**fake))


SLEEP = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, until, left) ? errno : 0;
}
"""
"""Python sleeps until a time of the monotonic clock, which nobody sets back; libfaketime takes it for one of the other."""


def faketime() -> Path | None:
    """The library that gives a process another clock, where it is installed, and a C compiler."""
    if shutil.which("cc") is None:
        return None
    places = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib/faketime").glob("libfaketime.so.1")]
    return next(iter(places), None)


def two_commands(world: World, rng: random.Random) -> None:
    """Two identical commands at once."""
    world.ends_well(*(world.start() for _ in range(2)))


def four_commands(world: World, rng: random.Random) -> None:
    """Four identical commands at once, and one of them is killed."""
    processes = [world.start() for _ in range(4)]
    killed = processes.pop(rng.randrange(4))
    world.wait_until_it_trains(killed)
    world.at(killed, rng.uniform(0, world.pace.whole_s - world.pace.first_s))
    world.kill(killed)
    world.ends_well(*processes)


def run_deleted(world: World, rng: random.Random) -> None:
    """A run is deleted in the UI while it trains."""
    process = disturbed(world, rng)
    world.client().delete_run(rng.choice(world.runs()).info.run_id)
    world.end(process)


def run_renamed(world: World, rng: random.Random) -> None:
    """A run is renamed in the UI while it trains."""
    process = disturbed(world, rng)
    for run in world.runs():
        world.client().update_run(run.info.run_id, name="'; drop table runs; --")
    world.ends_well(process)


def tags_edited(world: World, rng: random.Random) -> None:
    """Tags of a run are edited in the UI while it trains: it seems stopped, or of another process."""
    process = disturbed(world, rng)
    for run in world.runs()[:1]:
        key, value = rng.choice([("grok.state", "interrupted"), ("grok.process", "1:1.00"), ("grok.claim", "x")])
        world.client().set_tag(run.info.run_id, key, value)
    world.end(process)


FAULTS: dict[str, Fault] = {
    "command and workers killed": kill_command,
    "command alone killed": kill_parent,
    "killed at any moment": kill_early,
    "killed while the store is made": kill_new_store,
    "train killed": kill_train,
    "worker killed": kill_worker,
    "Ctrl-C": interrupt,
    "stopped for ten seconds": stop_and_continue,
    "stopped beyond a database's time-out": stopped_long,
    "clock moved back": clock_back,
    "two commands at once": two_commands,
    "four at once, one killed": four_commands,
    "run deleted while it trains": run_deleted,
    "run renamed while it trains": run_renamed,
    "tags edited while it trains": tags_edited,
    "state cut short": altered("resume/*.safetensors", cut),
    "bit of a state turned over": altered("resume/*.safetensors", flip),
    "grid.json cut short": altered("grid.json", cut),
    "config.json cut short": altered("config.json", cut),
    "band or factors of a finished run cut": finished_altered("delta_w/*.npz"),
    "history of a finished run cut": finished_altered("history.parquet"),
    "bit of a band or of factors turned over": finished_flipped("delta_w/*.npz"),
    "bit of a history turned over": finished_flipped("history.parquet"),
    "bit of a checkpoint turned over": finished_flipped("checkpoints/*.safetensors"),
    "checkpoint of a finished run cut": finished_altered("checkpoints/*.safetensors"),
    "pairs or modes of a finished run cut": finished_beside("repulsion_pairs.parquet", "delta_w/modes.safetensors"),
    "bit of config.json turned over": finished_beside("config.json"),
    "files of a finished run gone": finished_gone,
    "artifacts gone": artifacts_gone,
    "disk of artifacts full": disks.disk_full,
    "disk of the database full": disks.database_full,
    "store read-only": disks.read_only,
}
SERVED: dict[str, Callable[[served.Served, random.Random], None]] = {
    "MLflow server killed": served.server_killed,
    "PostgreSQL killed": served.postgres_killed,
    "Dask scheduler killed": served.scheduler_killed,
    "Dask worker killed": served.worker_killed,
    "PostgreSQL stopped": served.postgres_stopped,
    "Dask scheduler stopped": served.scheduler_stopped,
    "disk of PostgreSQL full": served.database_full,
    "tags edited on a server": tags_edited,
    "MLflow server stopped beyond a request's time-out": served.server_stopped,
    "two commands at once, on a server": served.two_on_a_server,
    "four commands at once, on a server": served.four_on_a_server,
}
"""On servers, where PostgreSQL is installed."""
ON_DASK = ("Dask scheduler killed", "Dask scheduler stopped", "Dask worker killed")
NEED_ROOT = ("disk of artifacts full", "disk of the database full", "store read-only", "disk of PostgreSQL full")
GO_ON = frozenset(
    {"worker killed", "stopped for ten seconds", "stopped beyond a database's time-out", "clock moved back"}
    | {"two commands at once", "four at once, one killed", "run renamed while it trains", "run deleted while it trains"}
    | {"tags edited while it trains", *SERVED}
)
"""Faults whose commands end by themselves: what these train again cannot be told from what is left."""
NEW_STORE = ("killed while the store is made",)
CELL = ("modulus", "width", "epochs", "max_window", "window", "slope_lag", "first_epoch", "top_pairs", "threads", "save_every")
CELL += ("checkpoint_epochs", "observe_every", "device", "seed")
"""Fields of the study's cells that are not as by default."""
