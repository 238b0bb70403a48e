"""Which process holds a run, and whether it still lives: what the store writes on a run that begins, read back.

A process is named by its id and by when it began, counted from the boot of its machine and with that boot's own id: neither
moves when the clock is set.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from pathlib import Path

import psutil

from grok.store.tags import HEARTBEAT, HOST, PROCESS, RUNNING, StoredRun

STALE_S = 3600.0
"""A run of another host without a sign of life for this long counts as dead."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Of the machine, on Linux."""
_held: set[str] = set()
"""Ids of the runs that this process is training."""


def hold(run_id: str) -> None:
    """Note that this process trains a run."""
    _held.add(run_id)


def let_go(run_id: str) -> None:
    """Hold a run no longer, and leave it as it is."""
    _held.discard(run_id)


def process_tags() -> dict[str, str]:
    """Who runs this: host, process and time, by which a dead run is told from a living one."""
    return {HOST: socket.gethostname(), PROCESS: process_name(os.getpid()), HEARTBEAT: f"{time.time():.0f}"}


def process_name(pid: int) -> str:
    """`pid:ticks since boot:boot` of a process; `pid:seconds since 1970` where the system does not count from its boot.

    Raises:
        psutil.NoSuchProcess: if there is none, or it is dead and nobody has asked for its status.
    """
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    boot, ticks = _boot(), _ticks(pid)
    return f"{pid}:{ticks}:{boot}" if boot and ticks is not None else f"{pid}:{process.create_time():.2f}"


@functools.cache
def _boot() -> str:
    with contextlib.suppress(OSError):
        return BOOT.read_text(encoding="ascii").strip()
    return ""


def _ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since boot: field 22 of its `stat`, whose second field may hold anything."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def is_ours(run: StoredRun) -> bool:
    """Whether it was set running by this very process, which has not let go of it."""
    return run.state == RUNNING and run.run_id in _held


def is_this_process(run: StoredRun) -> bool:
    """Whether it was last set running by this very process, which may have let go of it, or not know of it."""
    return run.get(HOST) == socket.gethostname() and run.get(PROCESS) == process_name(os.getpid())


def is_alive(run: StoredRun) -> bool:
    """Whether the process that holds a `running` run still lives, as far as can be told from here."""
    if run.state != RUNNING:
        return False
    if run.get(HOST) != socket.gethostname():
        return abs(time.time() - _number(run.get(HEARTBEAT))) < STALE_S  # a clock may be wrong either way
    if run.get(PROCESS) == process_name(os.getpid()):
        return run.run_id in _held
    return is_process(run.get(PROCESS))


def is_process(name: str) -> bool:
    """Whether a process of this machine lives, by the name that `process_name` gave it, or gave it in earlier versions."""
    pid, _, born = name.partition(":")
    if not pid.isdecimal() or len(pid) > 10:
        return False
    try:
        if ":" in born:
            return process_name(int(pid)) == name
        process = psutil.Process(int(pid))
        return abs(process.create_time() - _number(born)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, OverflowError):
        return False


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
