"""What SpectralMonitor adds to a training step, and how near its sketch is: `python -m benchmarks.monitor`.

Steps with the monitor and without it take turns in one loop, so that a machine that is slower for a while slows both; the ratio
is that of neighbouring steps. `share` is the monitor's own time in its steps, which neighbouring steps cannot blur; by the
processor's time it holds on a machine that others use too. Threads that wait for one another sleep (OMP_WAIT_POLICY), so that
their waiting is no processor's time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import record

WINDOW, LEARNING_RATE = 20, 3e-4
MODELS = {
    "mlp": {"tokens": 1024, "exact": True, "pairs": 20},
    "transformer-10M": {"tokens": 2048, "exact": True, "pairs": 4},
    "transformer-124M": {"tokens": 1024, "exact": False, "pairs": 2},
}
"""Samples or tokens in a step, whether the updates are kept as they are too, and pairs of steps."""
SHORT = 128
"""Tokens in a step where the error is measured, for which a step's size does not matter."""


def build(name: str, tokens: int) -> tuple[Any, Callable[[], Any]]:
    """A model and its loss on a fixed random batch: an MLP of 1 M parameters, or a transformer of GPT-2's shape."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if name == "mlp":
        model: nn.Module = nn.Sequential(nn.Linear(256, 768), nn.GELU(), nn.Linear(768, 768), nn.GELU(), nn.Linear(768, 256))
        x, y = torch.randn(tokens, 256), torch.randn(tokens, 256)
        return model, lambda: (model(x) - y).square().mean()
    width, layers, words, length = (768, 12, 50257, 512) if name.endswith("124M") else (336, 7, 2048, 256)
    length = min(length, tokens)
    model = nn.ModuleDict(
        {
            "token": nn.Embedding(words, width),
            "place": nn.Embedding(length, width),
            "blocks": nn.TransformerEncoder(
                nn.TransformerEncoderLayer(width, width // 48, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True),
                layers,
                nn.LayerNorm(width),
                enable_nested_tensor=False,
            ),
        }
    )
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    ids = torch.randint(0, words, (max(1, tokens // length), length))
    mask = nn.Transformer.generate_square_subsequent_mask(length)

    def loss() -> Any:
        hidden = model["blocks"](model["token"](ids) + model["place"].weight, mask=mask, is_causal=True)
        logits = hidden @ model["token"].weight.T
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    return model, loss


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """Of one call: on the wall, and of the processor in all threads, which other programs slow less."""
    start, busy = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - busy


class Between:
    """Seconds between the hooks of an optimiser, of what is attached between two marks: on the wall, and of the processor.

    Attributes:
        last, total: by the name of the mark that ends the stretch.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.at = optimizer, (0.0, 0.0)
        self.last: dict[str, tuple[float, float]] = {}
        self.total: dict[str, float] = {}
        self.mark("")

    def mark(self, name: str) -> None:
        """End a stretch here, after all that is attached so far."""

        def hook(*_: Any) -> None:
            now = time.perf_counter(), time.process_time()
            self.last[name] = now[0] - self.at[0], now[1] - self.at[1]
            self.total[name] = self.total.get(name, 0.0) + self.last[name][1]
            self.at = now

        self.optimizer.register_step_post_hook(hook)


def overhead(name: str, sketch: str, threads: int, pairs: int, tokens: int, window: int) -> dict[str, Any]:
    """A step with the monitor against the step next to it without."""
    import psutil
    import torch

    from grok import SpectralMonitor

    torch.set_num_threads(threads)
    model, loss = build(name, tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    step()
    before = psutil.Process().memory_info().rss
    clock = Between(optimizer)
    monitor = SpectralMonitor(model, window, sketch=sketch, memory_gb=16, strict=True).attach(optimizer)
    clock.mark("monitor")
    step()
    grown = psutil.Process().memory_info().rss - before
    with_it: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []
    inside: list[tuple[float, float]] = []
    for pair in range(pairs):
        for watched in (True, False) if pair % 2 else (False, True):  # neither is always the first
            monitor.off = None if watched else "not timed"
            (with_it if watched else without).append(seconds(step))
            if watched:
                inside.append(clock.last["monitor"])
    monitor.off = None
    monitor.detach()
    ratios = [a[0] / b[0] for a, b in zip(with_it, without, strict=True)]
    wall, busy = ([i[n] / (w[n] - i[n]) for i, w in zip(inside, with_it, strict=True)] for n in (0, 1))
    return {
        "what": "overhead",
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens,
        "sketch": sketch,
        "window": window,
        "threads": threads,
        "pairs": pairs,
        "step_s": statistics.median(w for w, _ in without),
        "step_cpu_s": statistics.median(b for _, b in without),
        "monitor_s": statistics.median(w for w, _ in inside),
        "monitor_cpu_s": statistics.median(b for _, b in inside),
        "share": statistics.median(wall),
        "share_cpu": statistics.median(busy),
        "share_cpu_low": min(busy),
        "share_cpu_high": max(busy),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "kept_mb": monitor.memory / 1e6,
        "resident_mb": grown / 1e6,
    }


def error(name: str, steps: int) -> list[dict[str, Any]]:
    """Sketched eigenvalues and gaps against exact ones, of the same steps, for both sketches."""
    import torch

    from grok import SpectralMonitor

    torch.set_num_threads(1)
    model, loss = build(name, SHORT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    clock = Between(optimizer)
    monitors = {}
    for kind in ("never", "count", *(["srht"] if name == "mlp" else [])):  # slower, and it need not be shown twice
        monitors[kind] = SpectralMonitor(model, WINDOW, sketch=kind, memory_gb=16, strict=True).attach(optimizer)
        clock.mark(kind)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    rows = []
    exact = monitors["never"]
    true, gaps = exact.eigenvalues()[WINDOW:], {k: exact.gap(k)[WINDOW:] for k in (1, 2, 3)}
    for kind in list(monitors)[1:]:
        monitor = monitors[kind]
        (stated,) = monitor.sketched.values()
        off = np.abs(monitor.eigenvalues()[WINDOW:] / true - 1)
        apart = {k: np.abs(monitor.gap(k)[WINDOW:] / gaps[k] - 1) for k in gaps}
        rows.append(
            {
                "what": "error",
                "model": name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "steps": steps,
                "sketch": kind,
                "width": monitor.settings.width,
                "stated": stated,
                "monitor_s": clock.total[kind] / steps,
                "exact_s": clock.total["never"] / steps,
                "smallest": float((true[:, 4] / true[:, 0]).min()),
            }
            | {f"lambda_{k + 1}_median": float(np.median(off[:, k])) for k in range(5)}
            | {f"lambda_{k + 1}_max": float(off[:, k].max()) for k in range(5)}
            | {f"gap_{k}{k + 1}_max": float(values.max()) for k, values in apart.items()}
        )
    return rows


def flat(updates: int) -> dict[str, Any]:
    """A small model's updates: memory and time for each after a tenth of them and at the end."""
    import psutil
    import torch

    from grok import SpectralMonitor

    torch.set_num_threads(1)
    weights = torch.zeros(1000)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 1000, generator=generator)
    monitor = SpectralMonitor(weights, WINDOW, strict=True)
    sizes, times = [], []
    tenth = updates // 10
    for part in range(10):
        start = time.process_time()
        for t in range(tenth):
            monitor.update()
            weights += noise[t % 64]
        times.append((time.process_time() - start) / tenth)
        if part in (0, 9):
            sizes.append(psutil.Process().memory_info().rss / 1e6)
    return {
        "what": "flat",
        "updates": updates,
        "update_us_second_tenth": 1e6 * times[1],
        "update_us_last_tenth": 1e6 * times[-1],
        "resident_mb_after_a_tenth": sizes[0],
        "resident_mb_at_the_end": sizes[1],
    }


def report(rows: list[dict[str, Any]]) -> list[str]:
    """Lines to read."""
    out = []
    for row in rows:
        if row["what"] == "overhead":
            kind = "exact" if row["sketch"] == "never" else "sketched"
            about = (
                f"{row['model']} ({row['parameters'] / 1e6:.1f} M), {kind}, w = {row['window']}, threads {row['threads']}, "
                f"tokens {row['tokens']}"
            )
            out.append(
                f"{about}: {row['monitor_cpu_s'] * 1e3:.1f} ms of the processor = {row['share_cpu']:.1%} "
                f"[{row['share_cpu_low']:.1%}, {row['share_cpu_high']:.1%}] of a step of {row['step_cpu_s']:.3f} s; on the "
                f"wall {row['share']:.1%}, ratio {row['ratio']:.3f} [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]; "
                f"keeps {row['kept_mb']:.0f} MB"
            )
        elif row["what"] == "error":
            worst = ", ".join(f"λ{k} {row[f'lambda_{k}_max']:.2%}" for k in range(1, 6))
            gaps = ", ".join(f"λ{k}/λ{k + 1} {row[f'gap_{k}{k + 1}_max']:.2%}" for k in (1, 2, 3))
            out.append(
                f"{row['model']}, {row['sketch']}, m = {row['width']}: worst of {row['steps']} steps {worst}; {gaps} (stated "
                f"{row['stated']:.2%}); {row['monitor_s'] * 1e3:.1f} ms an update, exact {row['exact_s'] * 1e3:.1f} ms"
            )
        else:
            out.append(
                f"{row['updates']} updates: {row['update_us_second_tenth']:.0f} µs each in the second tenth, "
                f"{row['update_us_last_tenth']:.0f} µs in the last; {row['resident_mb_after_a_tenth']:.0f} MB resident after a "
                f"tenth, {row['resident_mb_at_the_end']:.0f} MB at the end"
            )
    return out


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS), help="whose overhead")
    parser.add_argument(
        "--sketch", nargs="+", choices=["never", "count"], help="default: both, but not exact where it takes 10 GB"
    )
    parser.add_argument("--window", type=int, default=WINDOW, help="of the overhead")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--error", nargs="*", default=["mlp", "transformer-10M"], choices=list(MODELS), help="whose error")
    parser.add_argument("--steps", type=int, default=200, help="in which the error is measured")
    parser.add_argument("--updates", type=int, default=100_000, help="of the small model; 0: none")
    record.json_flag(parser)
    flags = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported
    about = record.environment(record.spelt("benchmarks.monitor"))
    rows: list[dict[str, Any]] = []

    def add(found: list[dict[str, Any]]) -> None:
        rows.extend(row | {"load": os.getloadavg()[0]} for row in found)
        print("\n".join(report(found)), flush=True)
        if flags.json:
            record.write(flags.json, about, rows)

    def overheads(threads: int) -> None:
        for name in flags.models:
            one = MODELS[name]
            for sketch in flags.sketch or (("never", "count") if one["exact"] else ("count",)):
                add([overhead(name, sketch, threads, int(one["pairs"]), int(one["tokens"]), flags.window)])

    for threads in flags.threads[:1]:
        overheads(threads)
    for name in flags.error:
        add(error(name, flags.steps))
    if flags.updates:
        add([flat(flags.updates)])
    for threads in flags.threads[1:]:
        overheads(threads)


if __name__ == "__main__":
    main()
