"""Processor, memory, disk and network of the machine as MLflow's system metrics, on request."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

VARIABLE = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""MLflow's own; workers of a study on this machine inherit it."""


def asked() -> bool:
    """Whether they are asked for."""
    return os.environ.get(VARIABLE, "").strip().lower() in ("true", "1")


def ask() -> None:
    """Ask for them, for this process and those that it starts."""
    os.environ[VARIABLE] = "true"


@contextlib.contextmanager
def watched(run_ids: Sequence[str]) -> Iterator[None]:
    """Log them to runs meanwhile, if asked for: MLflow's monitor, a thread a run."""
    if not asked():
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitors = [SystemMetricsMonitor(run_id, resume_logging=True) for run_id in run_ids]
    for monitor in monitors:
        monitor.start()
    try:
        yield
    finally:
        for monitor in monitors:
            monitor.finish()
