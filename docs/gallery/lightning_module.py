"""A Lightning module with two optimisers, each with its own count of updates, rows in Lightning's own logger.

python docs/gallery/lightning_module.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grok.monitor.lightning import SpectralCallback

torch.manual_seed(0)


class TwoHeads(lightning.LightningModule):
    """An autoencoder and a classifier of its code, trained in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.encoder = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 8))
        self.decoder = nn.Linear(8, 20)
        self.classifier = nn.Linear(8, 3)

    def training_step(self, batch: Any, index: int) -> None:
        """A step of each; the classifier's every second time."""
        x, y = batch
        first, second = self.optimizers()
        code = self.encoder(x)
        first.zero_grad()
        self.manual_backward((self.decoder(code) - x).square().mean())
        first.step()
        if index % 2 == 0:
            second.zero_grad()
            self.manual_backward(nn.functional.cross_entropy(self.classifier(self.encoder(x).detach()), y))
            second.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One for the autoencoder, one for the classifier."""
        code = [*self.encoder.parameters(), *self.decoder.parameters()]
        return [torch.optim.AdamW(code, lr=3e-3), torch.optim.SGD(self.classifier.parameters(), lr=0.1)]


folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
centres = torch.randn(3, 20) * 2
labels = torch.randint(0, 3, (1600,))
data = TensorDataset(centres[labels] + torch.randn(1600, 20), labels)
callback = SpectralCallback(window=10, log_every=10)
with tempfile.TemporaryDirectory() as logs:
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[callback],
        logger=CSVLogger(logs),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(TwoHeads(), DataLoader(data, batch_size=32, shuffle=True))
    logged = next(Path(logs).rglob("metrics.csv")).read_text(encoding="utf-8").partition("\n")[0].count("monitor/")
monitor = callback.monitor
assert monitor is not None
print(monitor)
monitor.plot("optimizer_0/all").savefig(folder / "lightning_module.png", dpi=110)
print(f"updates {monitor.updates}, {logged} columns in Lightning's log")
