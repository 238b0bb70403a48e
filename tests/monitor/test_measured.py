"""What the project has measured of the rule of the norm's peak, told with its alarms; what the page says of each column."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from grok import SpectralMonitor
from grok.monitor import measured
from grok.monitor.rules import alarms
from grok.monitor.series import GIVEN, NOW
from grok.signals.base import find as find_signal
from grok.spec.plugins import SIGNALS as ROOM

NEGATIVES = {
    "signals.csv": ("random_labels", "random_labels, no decay", "data_starved", "eta0"),
    "signals-cross-entropy.csv": ("random_labels", "eta0"),
}
"""Control sets of a leaderboard that count."""


def test_an_alarm_of_the_norms_peak_says_what_it_was_worth_in_this_project() -> None:
    """Counted from both leaderboards, apart for negatives with weight decay and without."""
    folder, counted = Path(__file__).resolve().parents[2] / "docs" / "report" / "data", []
    for file, sets in NEGATIVES.items():
        board = pd.read_csv(folder / file)
        row = board[(board["signal"] == "norm_peak") & (board["rule"] == "printed")].iloc[0]
        assert row["every"] == 1
        for without in (False, True):
            chosen = [name for name in sets if (name == "eta0" or "no decay" in name) == without]
            counted.append(tuple(round(sum(row[f"{what} {name}"] for name in chosen)) for what in ("runs", "fires")))
        assert sum(fires for _, fires in counted[-2:]) == round(row["fpr"] * row["fpr_n"])
    assert [(one.negatives, one.alarms) for one in measured.PEAKS] == counted
    never, count = "never", "count"
    for every, block, sketch, known in (
        (1, "all", never, True),
        (2, "all", never, False),
        (1, "layer", never, False),
        (1, "all", count, False),
    ):
        weights = {"layer.weight": torch.full((64,), 10.0)}
        settings: dict[str, Any] = {"every": every, "blocks": block, "sketch": sketch, "sketch_width": 32, "strict": True}
        monitor = SpectralMonitor(weights, 3, signals=("norm_peak",), watches=[measured.NORM_PEAK], **settings)
        for factor in (1.0, 1.2, 0.995, 0.99, 0.9):
            weights["layer.weight"] *= factor
            for _ in range(every):
                monitor.update()
        (event,) = monitor.events
        assert event.elsewhere == (measured.PEAKS if known else ())
        assert ("24 of 24 (two-layer networks of the leaderboard" in str(event)) == known


@pytest.mark.parametrize("parts", [(0, 1), (0,), (1,)])
def test_the_norm_of_a_part_of_the_weights_has_no_rate(parts: tuple[int, ...]) -> None:
    """Of two optimisers each has a block `all` of its own; of one that steps a part it is called as that of the whole."""
    weights = [torch.nn.Parameter(torch.full((64,), 10.0)) for _ in range(2)]
    monitor = SpectralMonitor(weights, 3, signals=("norm_peak",), watches=[measured.NORM_PEAK], strict=True, sketch="never")
    optimisers = [torch.optim.SGD([weights[i]], lr=1.0) for i in parts]
    for i, optimiser in enumerate(optimisers):
        monitor.attach(optimiser, name="first"[i:])
    for factor in (1.0, 1.2, 0.995, 0.99, 0.9):
        for i, optimiser in zip(parts, optimisers, strict=True):
            weights[i].grad = (1 - factor) * weights[i].detach()
            optimiser.step()
    assert len(monitor.events) == len(parts)
    assert all(event.elsewhere == () for event in monitor.events)


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_of_the_norms_peak_is_the_printed_one(seed: int) -> None:
    norms = 10 + 0.03 * np.cumsum(np.random.default_rng(seed).normal(size=300))
    signal = find_signal("norm_peak")
    values = signal.compute(norms[:, None])
    assert signal.printed is not None
    printed = np.flatnonzero(signal.printed.holds(np.arange(300), values, np.nan))
    (update,) = alarms((measured.NORM_PEAK,), {"norm_peak": values}).values()
    assert len(printed)
    assert update == printed[0]


@pytest.mark.parametrize("name", [name for name in ROOM.names if set(find_signal(name).needs) <= {*GIVEN, *NOW}])
def test_a_monitor_is_pickled_with_each_signal(name: str) -> None:
    weights = {"first": torch.ones(4, 3), "second": torch.ones(2, 4)}
    monitor = SpectralMonitor(weights, 3, blocks={"block": "first" if "rank" in name else "."}, signals=("gap", name))
    assert list(pickle.loads(pickle.dumps(monitor)).settings.signals) == list(monitor.settings.signals)


def test_the_page_explains_each_column() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")
    table = page.partition("## What the numbers mean")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", "".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `"))))
    monitor = SpectralMonitor(torch.zeros(3), 3)
    monitor.update()
    columns = {name for name in monitor.columns() if name not in ("lambda_2", "lambda_3", "lambda_4")}
    more = {name for name in ROOM.names if set(find_signal(name).needs) <= {*GIVEN, *NOW}} - {"gap"}
    assert told | {"effective_rank_v"} == columns | more | {"_v"}
