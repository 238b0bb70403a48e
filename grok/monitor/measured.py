"""What the published rule's alarms were worth in this project: its false alarms on runs in which there was nothing to find.

They are told with an alarm that is not calibrated, since another network's negatives stand for nobody's run. The runs are
those of the study `fresh`, counted from docs/results/fresh-runs.csv, and the negatives of the leaderboard of signals, from
docs/results/signals-leaderboard.csv and docs/results/signals-ce-leaderboard.csv; tests/monitor holds all of them.
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


def elsewhere(watch: Watch, settings: Settings) -> tuple[Calibration, ...]:
    """What is known of a rule from this project's own runs: of the published one as it was published, else nothing."""
    same = watch.words == Watch().words and (settings.window, settings.every) == (WINDOW, 1)
    return PUBLISHED if same else ()
