"""Which gaps of a training in float32 are those of the same training in float64: `python -m benchmarks.monitor_floor`.

A small network is trained on a full batch with momentum, its learning rate falling to nothing along a cosine, from the same
weights in both. Where the plain λ₂/λ₃ of float32 is more than 1.5 times off, it is rounding; the monitor's gap should be NaN.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.monitor import WINDOW

FACTOR = 1.5
"""By which a gap may be off to be called right."""


def watched(dtype: str, seed: int, steps: int) -> Any:
    """The monitor of one training."""
    import torch
    from torch import nn

    from grok import SpectralMonitor

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).to(getattr(torch, dtype))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(7)).to(getattr(torch, dtype))
    with SpectralMonitor(model, WINDOW, watches=(), strict=True).attach(optimizer) as monitor:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) - x[:, :4]).square().mean().backward()
            optimizer.step()
            schedule.step()
    return monitor


def compared(seed: int, steps: int) -> dict[str, Any]:
    """How many gaps are right, told, and both; and by how much those that are told are off at most."""
    low, high = (watched(dtype, seed, steps) for dtype in ("float32", "float64"))
    plain, true = (one.eigenvalues()[:, 1] / one.eigenvalues()[:, 2] for one in (low, high))
    known = np.isfinite(true)
    off = np.exp(np.abs(np.log(plain[known] / true[known])))
    told = np.isfinite(low.gap()[known])
    return {
        "seed": seed,
        "updates": steps,
        "gaps": int(known.sum()),
        "plain_wrong": int((off > FACTOR).sum()),
        "told": int(told.sum()),
        "told_off_max": float(off[told].max()),
        "told_share_of_right": float(told[off <= FACTOR].mean()),
    }


def main() -> None:
    """Print a line for each seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor_floor", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1200)
    record.json_flag(parser)
    flags = parser.parse_args()
    about, rows = record.environment(record.spelt("benchmarks.monitor_floor")), []
    for seed in range(flags.seeds):
        rows.append(compared(seed, flags.steps))
        row = rows[-1]
        print(
            f"seed {seed}: of {row['gaps']} plain gaps {row['plain_wrong']} are off by more than {FACTOR} times; {row['told']} "
            f"are told, off by {row['told_off_max']:.3f} at most, {row['told_share_of_right']:.0%} of those that are right"
        )
    if flags.json:
        record.write(flags.json, about, rows)


if __name__ == "__main__":
    main()
