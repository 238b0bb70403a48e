"""Who holds a run, and whether it lives."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from grok.store import alive

PROJECT = Path(__file__).resolve().parent.parent.parent


# who lives


def test_a_run_lives_as_long_as_its_process(store):
    run = store.create("alive", {"kind": "train"})
    assert alive.is_alive(store.get(run.run_id))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        born = psutil.Process(child.pid).create_time()
        run.set_tags({"process": f"{child.pid}:{born:.2f}"})
        assert alive.is_alive(store.get(run.run_id))
        run.set_tags({"process": f"{child.pid}:{born - 50:.2f}"})  # the pid now belongs to another
        assert not alive.is_alive(store.get(run.run_id))
        run.set_tags({"process": f"{child.pid}:{born:.2f}"})
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked for its status
        assert not alive.is_alive(store.get(run.run_id))
    finally:
        child.kill()
        child.communicate()
    assert not alive.is_alive(store.get(run.run_id))


def test_a_run_of_another_host_lives_for_an_hour_after_its_last_sign(store, monkeypatch):
    run = store.create("afar", {"kind": "train"})
    run.set_tags({"host": "elsewhere", "process": "1:1.00"})
    assert alive.is_alive(store.get(run.run_id))
    now = alive.time.time()
    monkeypatch.setattr(alive.time, "time", lambda: now + alive.STALE_S + 10)
    assert not alive.is_alive(store.get(run.run_id))
