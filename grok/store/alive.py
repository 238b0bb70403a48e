"""Which process holds a run, and whether it still lives: what the store writes on a run that begins, read back."""

from __future__ import annotations

import os
import socket
import time

import psutil

from grok.store.tags import HEARTBEAT, HOST, PROCESS, RUNNING, StoredRun

STALE_S = 3600.0
"""A run of another host without a sign of life for this long counts as dead."""
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
    process = f"{os.getpid()}:{psutil.Process().create_time():.2f}"
    return {HOST: socket.gethostname(), PROCESS: process, HEARTBEAT: f"{time.time():.0f}"}


def is_ours(run: StoredRun) -> bool:
    """Whether it was set running by this very process, which has not let go of it."""
    return run.state == RUNNING and run.run_id in _held


def is_alive(run: StoredRun) -> bool:
    """Whether the process that holds a `running` run still lives, as far as can be told from here."""
    if run.state != RUNNING:
        return False
    if run.get(HOST) != socket.gethostname():
        return time.time() - float(run.get(HEARTBEAT, "0")) < STALE_S
    if run.get(PROCESS) == process_tags()[PROCESS]:
        return run.run_id in _held
    pid, _, born = run.get(PROCESS, "0:0").partition(":")
    try:
        process = psutil.Process(int(pid))
        return bool(abs(process.create_time() - float(born)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, ValueError):
        return False
