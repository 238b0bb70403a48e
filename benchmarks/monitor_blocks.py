"""What each block of a SpectralMonitor costs: `python -m benchmarks.monitor_blocks`.

A model of many small layers is read as one block and as a block for each layer. Steps of plain training and of both monitors
take turns in one loop, so that a machine that is slower for a while slows all; times are of the processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

from benchmarks import record
from benchmarks.monitor import WINDOW

LAYERS, WIDTH, SAMPLES = 100, 32, 32


def measured(steps: int) -> list[dict[str, Any]]:
    """A row for plain steps, one for `all` and one for `layer`: medians over the steps of each."""
    import torch
    from torch import nn

    from grok import SpectralMonitor

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(SAMPLES, WIDTH)
    kinds: dict[str, tuple[Any, Any, list[float], int]] = {}
    for blocks in ("none", "all", "layer"):
        model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
        optimizer = torch.optim.AdamW(model.parameters())
        memory = 0
        if blocks != "none":
            memory = SpectralMonitor(model, WINDOW, blocks=blocks, strict=True).attach(optimizer).memory
        kinds[blocks] = model, optimizer, [], memory
    for t in range(steps + WINDOW):
        for model, optimizer, times, _ in kinds.values():
            start = time.process_time()
            optimizer.zero_grad()
            (model(x) - x).square().mean().backward()
            optimizer.step()
            if t >= WINDOW:
                times.append(time.process_time() - start)
    plain = statistics.median(kinds["none"][2])
    return [
        {
            "blocks": blocks,
            "layers": LAYERS,
            "parameters": sum(p.numel() for p in model.parameters()),
            "steps": steps,
            "window": WINDOW,
            "step_cpu_ms": 1e3 * plain,
            "update_cpu_ms": 1e3 * (statistics.median(times) - plain),
            "kept_mb": memory / 1e6,
            "load": os.getloadavg()[0],
        }
        for blocks, (model, _, times, memory) in kinds.items()
        if blocks != "none"
    ]


def main() -> None:
    """Print a line for each way to divide the model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor_blocks", description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="that are timed, after as many as the window has")
    record.json_flag(parser)
    flags = parser.parse_args()
    about, rows = record.environment(record.spelt("benchmarks.monitor_blocks")), measured(flags.steps)
    for row in rows:
        print(
            f"{row['layers']} layers, {row['parameters']:,} parameters, blocks={row['blocks']}: {row['update_cpu_ms']:.1f} ms "
            f"of the processor an update beside a step of {row['step_cpu_ms']:.1f} ms; keeps {row['kept_mb']:.0f} MB"
        )
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()
