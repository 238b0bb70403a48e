"""The interventions on weight decay and on the amount of data: what was done to a run, what it did, which factors it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.sources import FIRST_EPOCH
from analysis.reading.evidence import Evidence
from analysis.statistics.factors import Factor

STUDY = "cause"
LOSS, TEST = "loss/train", "accuracy/test"
REACHES = 0.5
"""Test accuracy from which a run counts as generalising."""
DECAY = (f"weight decay that is on after epoch {FIRST_EPOCH}", f"weight decay that is off after epoch {FIRST_EPOCH}")
FALLS = ("a training loss that falls under {level}", "a training loss that stays above {level}")
GENERALISES = (f"generalisation (test accuracy ≥ {REACHES:g})", f"a test accuracy that stays below {REACHES:g}")
DATA = ("enough data (n ≥ {level} M²)", "little data (n < {level} M²)")
"""What a run has, and what one that has not: a detector may respond to either."""


def spans(run: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Epochs [from, to) in which weight decay is on, from a run's settings; empty where it never is.

    Args:
        run: weight_decay, epochs, and decay_off_at and decay_on_at where they are known: an epoch, or None.
    """
    last = int(run["epochs"])
    if not run["weight_decay"] > 0:
        return []
    off, on = (_epoch(run.get(name)) for name in ("decay_off_at", "decay_on_at"))
    if on is None:
        found = [(0, last if off is None else off)]
    elif off is None or off < on:
        found = [(0, off or 0), (on, last)]
    else:
        found = [(on, off)]
    return [(start, end) for start, end in found if start < end]


def _epoch(value: Any) -> int | None:
    """Of a run's table: a switch that is not there is None, NaN or, as `tidy` has it, `auto`."""
    return None if value is None or value == "auto" or pd.isna(value) else int(value)


def _by(epoch: Any, end: int) -> float:
    """An event's epoch, NaN if it comes after `end` or never."""
    return float(epoch) if epoch is not None and epoch <= end else np.nan


def label(run: Mapping[str, Any]) -> str:
    """An intervention in words: when decay is on, of which kind, and the share of pairs that is trained on."""
    held, last = spans(run), int(run["epochs"])
    if not held:
        decay = "decay off"
    elif held == [(0, last)]:
        decay = "decay on"
    else:
        decay = "decay on " + ", ".join(
            f"from {start}" if end == last else f"to {end}" if start == 0 else f"{start}–{end}" for start, end in held
        )
    kind = "" if run.get("optimizer", "adam") == "adam" else f", {run['optimizer']} of {run['weight_decay']:g}"
    return f"{decay}{kind}, n = {share(run):.2g} M²"


def share(run: Mapping[str, Any]) -> float:
    """n/M²: the part of all pairs that is trained on."""
    return float(run["n_train"]) / float(run["modulus"]) ** 2


def table(evidence: Evidence, runs: pd.DataFrame, until: int | None = None) -> pd.DataFrame:
    """A row per run: what was done to it, and what it did.

    Args:
        evidence: whose histories to read. runs: of `tidy`. until: the last epoch that counts; None for each run's own.

    Returns:
        run_id, seed, intervention, decay (`0–100, 200–400`, blank if never), epochs, n_share, decay_on (after the detector's
        first epoch), fired, fire_epoch, test_50_epoch, test (at its end), loss_lowest (of training; ∞ if never a number),
        loss_at_first (at the detector's first epoch).
    """
    rows = []
    for record in runs.to_dict("records"):
        run = {str(name): value for name, value in record.items()}
        history = evidence.history(run["run_id"])
        end = int(run["epochs"]) if until is None else min(until, int(run["epochs"]))
        loss = np.asarray(history[LOSS], dtype=np.float64)[: end + 1]
        held = spans(run)
        fire, half = (_by(run.get(name), end) for name in ("fire_epoch", "test_50_epoch"))
        rows.append(
            {
                "run_id": run["run_id"],
                "seed": int(run["seed"]),
                "intervention": label(run),
                "decay": ", ".join(f"{start}–{end}" for start, end in held),
                "epochs": int(run["epochs"]),
                "n_share": share(run),
                "decay_on": any(end > FIRST_EPOCH for _, end in held),
                "fired": bool(run["fired"]) if until is None else bool(np.isfinite(fire)),
                "fire_epoch": fire,
                "test_50_epoch": half,
                "test": run.get(TEST, np.nan),
                "loss_lowest": float(np.nanmin(loss)) if np.isfinite(loss).any() else np.inf,
                "loss_at_first": float(loss[FIRST_EPOCH]) if len(loss) > FIRST_EPOCH else np.nan,
            }
        )
    return pd.DataFrame(rows)


def factors(found: pd.DataFrame) -> list[Factor]:
    """The six factors, in the order in which they were named.

    Args:
        found: of `table`.
    """
    decay = found["decay_on"].to_numpy(dtype=bool)
    groks = found["test_50_epoch"].notna().to_numpy()
    with np.errstate(divide="ignore"):
        loss = np.log10(np.maximum(found["loss_lowest"].to_numpy(dtype=np.float64), 1e-300))
    return [
        Factor("decay", *DECAY, decay.astype(float)),
        Factor("loss", *FALLS, loss, "below"),
        Factor("generalisation", *GENERALISES, groks.astype(float)),
        Factor("data", *DATA, found["n_share"].to_numpy(dtype=np.float64), "above"),
        Factor("decay and generalisation", *_both(GENERALISES), (decay & groks).astype(float)),
        Factor("decay and loss", *_both(FALLS), loss, "below", decay),
    ]


def _both(words: tuple[str, str]) -> tuple[str, str]:
    return f"{words[0]} with {DECAY[0]}", f"not both {words[0]} and {DECAY[0]}"


def ends(decay: str) -> list[tuple[int, int]]:
    """(0, 100), (200, 400) of `0–100, 200–400`."""
    return [(int(start), int(end)) for start, end in (span.split("–") for span in decay.split(", ") if span)]
