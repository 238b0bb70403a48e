"""Whose time an update of SpectralMonitor is, where it keeps updates as they are: `python -m benchmarks.monitor_parts`.

Parts are timed within whole updates of a transformer of 10 M parameters, by the processor's time; `read`, `convert` and
`multiply` are what the products consist of, each alone over the same ring.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import record
from benchmarks.monitor import SHORT, WINDOW, build

MODEL, UPDATES = "transformer-10M", 7


def timed(times: list[float], call: Callable[..., Any]) -> Callable[..., Any]:
    """A function that notes its seconds of the processor, in all threads."""

    def called(*args: Any, **more: Any) -> Any:
        start = time.process_time()
        out = call(*args, **more)
        times.append(time.process_time() - start)
        return out

    return called


def parts(threads: int) -> dict[str, Any]:
    """Medians of some updates, in milliseconds."""
    import torch

    from grok import SpectralMonitor
    from grok.numerics.band import BATCH

    torch.set_num_threads(threads)
    model, _ = build(MODEL, SHORT)
    monitor = SpectralMonitor(model, WINDOW, sketch="never", memory_gb=16, strict=True)
    monitor.update()
    (piece,) = monitor._clocks[""].pieces
    series, grams = monitor._clocks[""].tracks["all"].series, piece.grams
    times: dict[str, list[float]] = {}
    for name, owner, method in (
        ("difference", piece, "push"),
        ("products", grams, "_columns"),
        ("weights_kept", piece, "_remember"),
        ("norm", piece, "weight_square"),
        ("spectrum_and_signals", series, "append"),
    ):
        setattr(owner, method, timed(times.setdefault(name, []), getattr(owner, method)))
    update = timed(times.setdefault("update", []), monitor.update)
    ring = grams.ring
    wide = ring[:, :BATCH].double().flatten(0, 1)
    steps = range(0, ring.shape[1], BATCH)

    def convert() -> None:
        for i in steps:
            ring[:, i : i + BATCH].double()

    def multiply() -> None:
        for _ in steps:
            torch.bmm(wide[:, :1], wide.transpose(1, 2))

    alone: dict[str, Callable[[], Any]] = {"read": ring.sum, "convert": convert, "multiply": multiply}
    for _ in range(UPDATES):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1e-4)
        update()
        for name, call in alone.items():
            timed(times.setdefault(name, []), call)()
    found = {f"{name}_ms": 1e3 * statistics.median(values) for name, values in times.items()}
    return {"what": "parts", "model": MODEL, "threads": threads, "window": WINDOW, **found, "load": os.getloadavg()[0]}


def batched(batch: int) -> dict[str, Any]:
    """An update whose products are taken by itself, and one of a batch, in turns on one thread: means over whole batches."""
    import torch

    from grok import SpectralMonitor

    torch.set_num_threads(1)
    model, _ = build(MODEL, SHORT)
    monitors = {one: SpectralMonitor(model, WINDOW, batch=one, sketch="never", memory_gb=16, strict=True) for one in (1, batch)}
    times: dict[int, list[float]] = {one: [] for one in monitors}
    for _ in range(1 + 2 * WINDOW):
        for one, monitor in monitors.items():
            timed(times[one], monitor.update)()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1e-4)
    found = {f"batch_{one}_ms": 1e3 * statistics.mean(values[-WINDOW:]) for one, values in times.items()}
    return {"what": "batch", "model": MODEL, "threads": 1, "window": WINDOW, **found, "load": os.getloadavg()[0]}


def main() -> None:
    """Print a line for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", type=int, help="compare updates of such batches with updates by themselves, and no more")
    record.json_flag(parser)
    flags = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported
    about = record.environment(record.spelt("benchmarks.monitor_parts"))
    rows = []
    for threads in flags.threads if flags.batch is None else (1,):
        rows.append(parts(threads) if flags.batch is None else batched(flags.batch))
        told = ", ".join(
            f"{name[:-3].replace('_', ' ')} {value:.1f} ms" for name, value in rows[-1].items() if name.endswith("_ms")
        )
        print(f"{threads} thread(s): {told}", flush=True)
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()
