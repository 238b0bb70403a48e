"""A one-layer transformer that groks addition modulo 23, with the published rule calibrated on runs without weight decay.

python docs/gallery/modular_addition.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from grok import SpectralMonitor

MODULUS, WIDTH, STEPS = 23, 64, 600
pairs = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS))
sums = pairs.sum(1) % MODULUS


class Transformer(nn.Module):
    """Two numbers in, attention and an MLP, logits of their sum out."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.place = nn.Embedding(MODULUS, WIDTH), nn.Parameter(torch.randn(2, WIDTH) / 8)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True, bias=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH))
        self.head = nn.Linear(WIDTH, MODULUS, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, MODULUS)."""
        hidden = self.number(x) + self.place
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        hidden = hidden.mean(1)
        out: torch.Tensor = self.head(hidden + self.mlp(hidden))
        return out


def train(seed: int, weight_decay: float, negatives: list[SpectralMonitor]) -> tuple[SpectralMonitor, int | None, float]:
    """Full batch; the monitor, the step at which test accuracy reached 0.95, and its last value."""
    torch.manual_seed(seed)
    order = torch.randperm(len(pairs))
    seen, held_out = order[: len(pairs) * 6 // 10], order[len(pairs) * 6 // 10 :]
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=weight_decay, betas=(0.9, 0.98))
    monitor = SpectralMonitor(model, window=20)
    if negatives:
        monitor.calibrate(negatives, f"{len(negatives)} run(s) without weight decay")
    grokked = None
    with monitor.attach(optimizer):
        for step in range(1, STEPS + 1):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pairs[seen]), sums[seen]).backward()
            optimizer.step()
            if step % 20 == 0:
                with torch.no_grad():
                    accuracy = (model(pairs[held_out]).argmax(1) == sums[held_out]).float().mean().item()
                if accuracy >= 0.95 and grokked is None:
                    grokked = step
    return monitor, grokked, accuracy


folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
controls = [train(seed, 0.0, []) for seed in (1, 2)]
monitor, grokked, accuracy = train(0, 2.0, [control[0] for control in controls])
for event in monitor.events:
    print(event)
for (rule, _), known in monitor.calibrations.items():
    print(f"{rule}: {known}")
figure = monitor.plot()
if grokked is not None:
    for ax in figure.axes:
        ax.axvline(grokked, color="#737373", lw=1)
    figure.axes[1].text(grokked, 0.02, " test accuracy ≥ 0.95", fontsize=7, transform=figure.axes[1].get_xaxis_transform())
figure.savefig(folder / "modular_addition.png", dpi=110)
ends = ", ".join(f"{control[2]:.2f}" for control in controls)
print(f"test accuracy {accuracy:.2f}, at 0.95 from step {grokked}; without weight decay it ends at {ends}")
