"""A small CNN on scikit-learn's digits: one block a layer, and an alarm that is uncalibrated.

python docs/gallery/cnn_digits.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

from grok import SpectralMonitor

torch.manual_seed(0)
digits = load_digits()
images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
labels = torch.from_numpy(digits.target).long()

model = nn.Sequential(
    nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

with SpectralMonitor(model, window=20, blocks="layer").attach(optimizer) as monitor:
    for _ in range(400):
        batch = torch.randint(0, 1500, (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()

with torch.no_grad():
    accuracy = (model(images[1500:]).argmax(1) == labels[1500:]).float().mean()
print(monitor)
for event in monitor.events:
    print(event)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
monitor.plot("6").savefig(folder / "cnn_digits.png", dpi=110)
first = monitor.eigenvalues("6")[-1, 0]
print(f"test accuracy {accuracy:.3f}, λ₁ of the last layer {first:.2e}, {len(monitor.events)} event(s)")
