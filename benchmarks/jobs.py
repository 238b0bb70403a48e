"""Measurements in processes of their own: each has its own thread count and memory peak, and nothing left from another."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grok.spec.config import RunConfig

PROJECT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        what: a name in `measure.MEASUREMENTS`. config: of the run. threads: of torch and of BLAS. options: of the measurement.
        environment: variables of its process beside those of this one. project: the checkout whose code is measured.
    """

    what: str
    config: RunConfig
    threads: int
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    project: Path = PROJECT

    def to_json(self) -> str:
        """One line that `from_json` reads; of the config what is not the default, so that an earlier version reads it too."""
        usual = RunConfig().to_strings()
        config = {name: value for name, value in self.config.to_strings().items() if value != usual.get(name)}
        plain = {"what": self.what, "config": config, "threads": self.threads, "options": self.options}
        plain |= {"environment": self.environment}
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job of a line."""
        plain = json.loads(text)
        config = RunConfig.from_strings(plain["config"])
        return cls(plain["what"], config, plain["threads"], plain["options"], plain["environment"])


@contextlib.contextmanager
def _child(job: Job) -> Iterator[subprocess.Popen[str]]:
    fewer = job.threads < len(os.sched_getaffinity(0))  # on all cores the libraries choose, as in a user's process
    environment = os.environ | (dict.fromkeys(THREAD_VARIABLES, str(job.threads)) if fewer else {}) | job.environment
    path = os.pathsep.join(filter(None, (str(job.project), environment.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.measure"],
        cwd=job.project,
        env=environment | {"PYTHONPATH": path},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def in_children(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Measure jobs at the same time, each in a fresh process; they begin together once all are ready.

    Returns:
        A row per job, in order: `what`, `threads`, what the measurement found, and `peak_mb`.

    Raises:
        RuntimeError: if a process ends without an answer; its own error is on standard error.
    """
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_child(job)) for job in jobs]
        for child, job in zip(children, jobs, strict=True):
            _say(child, job.to_json())
        for child, job in zip(children, jobs, strict=True):
            _hear(child, job, "ready")
        for child in children:
            _say(child, "go")
        return [json.loads(_hear(child, job, "{")) for child, job in zip(children, jobs, strict=True)]


def _say(child: subprocess.Popen[str], line: str) -> None:
    if child.stdin is not None:
        child.stdin.write(line + "\n")
        child.stdin.flush()


def _hear(child: subprocess.Popen[str], job: Job, start: str) -> str:
    for line in child.stdout or ():
        if line.startswith(start):
            return line
    raise RuntimeError(f"measurement must answer, got nothing from {job.what} of {job.config.display_name()}. See above.")


def command(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run one command of Python to its end, in an empty folder: what it took, and the last line that it printed.

    Args:
        words: after `python`, such as -m entry_points.train. environment: variables beside those of this process.

    Returns:
        `status`, `wall_s`, `cpu_s` (its own and its children's), `peak_mb` (MiB; None where this process has had more, which
        hides it), `line`.
    """
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as where,
        subprocess.Popen(
            [sys.executable, *words],
            cwd=where,
            env=os.environ | {"PYTHONPATH": str(PROJECT)} | dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child,
    ):
        told = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    hidden = usage.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a child begins with its parent's
    return {
        "status": child.returncode,
        "wall_s": time.perf_counter() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": None if hidden else usage.ru_maxrss / 1024,
        "line": (told.strip().splitlines() or [""])[-1][:120],
    }
