"""A character transformer on text that ships with Python: attention and the rest as two blocks, sketched, rows as JSON lines.

python docs/gallery/char_transformer.py [FOLDER]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import nn

from grok import SpectralMonitor
from grok.monitor.sinks import JsonLines

torch.manual_seed(0)
text = "".join(topics.values())[:200_000]
letters = sorted(set(text))
tokens = torch.tensor([letters.index(letter) for letter in text])
length, width = 64, 64


class Transformer(nn.Module):
    """Two layers, causal."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(len(letters), width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, len(letters))
        self.mask: torch.Tensor
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the next character."""
        hidden = self.layers(self.token(x) + self.place.weight, mask=self.mask, is_causal=True)
        out: torch.Tensor = self.head(hidden)
        return out


model = Transformer()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=250)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rows = folder / "char_transformer.jsonl"
rows.unlink(missing_ok=True)
blocks = {"attention": "self_attn", "rest": "^(?!.*self_attn)"}
monitor = SpectralMonitor(model, window=20, blocks=blocks, sketch="count", sketch_width=4096, sinks=[JsonLines(rows)])

with monitor.attach(optimizer):
    for _ in range(250):
        starts = torch.randint(0, len(tokens) - length - 1, (16,))
        batch = torch.stack([tokens[s : s + length + 1] for s in starts])
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()

print(monitor)
monitor.plot("attention").savefig(folder / "char_transformer.png", dpi=110)
lines, chance = len(rows.read_text(encoding="utf-8").splitlines()), math.log(len(letters))
print(f"loss {loss.item():.2f} of {chance:.2f} at chance, {lines} lines, λ to ±{monitor.sketched['attention']:.1%}")
