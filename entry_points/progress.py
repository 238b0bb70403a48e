"""The progress bar: on standard error, silent when that is not a terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from grok.config import RunConfig


class EpochBar:
    """A tqdm bar over epochs with accuracy and gap."""

    def __init__(self, config: RunConfig) -> None:
        config = config.resolved()
        self._bar = tqdm(
            total=config.epochs, desc=config.display_name(), unit="epoch", file=sys.stderr, disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )  # fmt: skip

    def update(self, epoch: int, metrics: dict[str, float]) -> None:
        """Move to `epoch` and show what is new."""
        names = {"accuracy/train": "train", "accuracy/test": "test", "delta_w/gap_23": "λ₂/λ₃"}
        self._bar.set_postfix({label: f"{metrics[key]:.3g}" for key, label in names.items() if key in metrics}, refresh=False)
        self._bar.update(epoch - self._bar.n)

    def __enter__(self) -> EpochBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
