"""What the alarms of two rules were worth in this project: false alarms on runs in which there was nothing to find.

They are told with an alarm that is not calibrated, since another network's negatives stand for nobody's run. The runs are
those of the study `fresh`, counted from docs/results/fresh-runs.csv, and the negatives of the leaderboard of signals, from
docs/report/data/signals.csv and signals-cross-entropy.csv beside it; tests/monitor holds all of them.
"""

from __future__ import annotations

from grok.monitor.events import Calibration
from grok.monitor.rules import Watch
from grok.monitor.track import Settings

WINDOW = 20
"""Of those runs; one step is one update."""
PUBLISHED = (
    Calibration("two-layer network, square, without weight decay", 100, 3, 400),
    Calibration("the same with weight decay and random labels", 100, 60, 400),
    Calibration("the same with too few pairs", 100, 100, 400),
    Calibration("two-layer network, ReLU, without weight decay", 30, 16, 800),
    Calibration("two-layer networks of the leaderboard, three activations, negatives of four causes", 48, 32, 800),
    Calibration("shared embeddings under a cross-entropy, with attention and without, negatives of two causes", 32, 32, 2500),
)
"""Updates of the first layer, addition modulo 71, full batch, Adam; seeds that no rule was made with. The last: of the first
dense layer or, with attention, of the embedding; addition and multiplication modulo 59, AdamW."""


NORM_PEAK = Watch("level", "norm_peak", first=0, parameters={"level": 0.01})
"""The printed rule of the signal `norm_peak`, as the leaderboards read it at every epoch: a norm 0.01 below its maximum."""
PEAKS = (
    Calibration("two-layer networks of the leaderboard, three activations, negatives with weight decay", 24, 24, 800),
    Calibration("the same without", 24, 0, 800),
    Calibration(
        "shared embeddings under a cross-entropy, with attention and without, with weight decay and random labels", 16, 16, 2500
    ),
    Calibration("the same without weight decay", 16, 0, 2500),
)
"""The norm is that of all weights: of the block `all`, kept as it is, since a sketch has its norm with an error."""


def elsewhere(watch: Watch, settings: Settings, block: str) -> tuple[Calibration, ...]:
    """What is known of a rule from this project's own runs: of those above as they were read there, else nothing.

    Args:
        watch: the rule. settings: of the monitor. block: by its name; empty where an optimiser steps part of what is read.
    """
    if settings.every != 1:
        return ()
    if watch.words == Watch().words and settings.window == WINDOW:
        return PUBLISHED
    same = (watch.words, block) == (NORM_PEAK.words, "all") and block not in settings.sketched
    return PEAKS if same else ()
