"""What SpectralMonitor adds to a training step on a GPU: `python -m benchmarks.monitor_gpu`.

Blocks of steps with the monitor and without take turns; each ends when the GPU has done its work, so that what the
monitor leaves to it counts too. The memory is that of the GPU's allocator: what stays, and the peak over the peak without.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks import record
from benchmarks.monitor import LEARNING_RATE, WINDOW, build

MODELS = {"mlp": 1024, "transformer-10M": 16384, "transformer-124M": 8192}
"""Samples or tokens in a step: as many as keep the GPU at work."""


def moved(name: str, tokens: int) -> tuple[Any, Any]:
    """The model and its loss on the GPU: what `build` makes is made there."""
    import torch

    with torch.device("cuda"):
        return build(name, tokens)


def overhead(name: str, sketch: str, precision: str, tokens: int, pairs: int, steps: int) -> dict[str, Any]:
    """Blocks of steps with the monitor against the block next to it without."""
    import torch

    from grok import SpectralMonitor

    torch.cuda.empty_cache()
    model, loss = moved(name, tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)

    def block() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                value = loss()
            value.backward()
            optimizer.step()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    block()
    torch.cuda.reset_peak_memory_stats()
    block()
    before, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    monitor = SpectralMonitor(model, WINDOW, sketch=sketch, memory_gb=32, strict=True).attach(optimizer)
    block()
    torch.cuda.reset_peak_memory_stats()
    block()
    grown, higher = torch.cuda.memory_allocated() - before, torch.cuda.max_memory_allocated() - peak
    with_it: list[float] = []
    without: list[float] = []
    for pair in range(pairs):
        for watched in (True, False) if pair % 2 else (False, True):
            monitor.off = None if watched else "not timed"
            (with_it if watched else without).append(block())
    monitor.off = None
    monitor.detach()
    ratios = [a / b for a, b in zip(with_it, without, strict=True)]
    return {
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens,
        "precision": precision,
        "sketch": sketch,
        "window": WINDOW,
        "pairs": pairs,
        "steps": steps,
        "step_ms": 1e3 * statistics.median(without),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "gpu_mb": grown / 1e6,
        "gpu_peak_mb": higher / 1e6,
    }


def main() -> int:
    """Every model, exact and sketched, in float32 and under autocast."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor_gpu", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--pairs", type=int, default=7, help="of blocks, one with the monitor and one without")
    parser.add_argument("--steps", type=int, default=10, help="in a block")
    record.json_flag(parser)
    flags = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.monitor_gpu needs a GPU of CUDA; python -m benchmarks.monitor measures on the processor.")
        return 2
    about, rows = record.environment(record.spelt("benchmarks.monitor_gpu")), []
    for name in flags.models:
        for precision in ("float32", "bfloat16"):
            for sketch in ("never", "count"):
                row = overhead(name, sketch, precision, MODELS[name], flags.pairs, flags.steps)
                rows.append(row)
                kind = "exact" if sketch == "never" else "sketched"
                print(
                    f"{name} ({row['parameters'] / 1e6:.1f} M), {precision}, {kind}: {row['step_ms']:.2f} ms a step, with the "
                    f"monitor x {row['ratio']:.3f} [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]; {row['gpu_mb']:.0f} MB, "
                    f"at most {row['gpu_peak_mb']:.0f} MB",
                    flush=True,
                )
                if flags.json:
                    record.write(flags.json, about, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
