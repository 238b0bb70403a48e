"""The leaderboard: every signal with its printed and its calibrated rule, on held-out runs of the study `signals`.

The rules are those of analysis/claims/PREREGISTRATION-signals.md.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits.model import Answer, Chapter, Question
from analysis.exhibits.sources import Absent, Sources, column
from analysis.reading.evidence import Evidence
from analysis.statistics.alarms import FPR, WORDS, Score, Watched, calibrate, fire_epoch, score, verdict
from analysis.statistics.factors import holm
from analysis.words import number
from grok.signals._untestable import UNTESTABLE
from grok.signals.base import Signal, find
from grok.spec.plugins import SIGNALS
from grok.store.errors import StoreError

STUDY, GROK, NO_DECAY = "signals", "grok", "eta0"
CALIBRATION, HELD_OUT = (300, 301), (302, 303)
"""Seeds that give thresholds, and seeds on which they are told."""


class Arm(NamedTuple):
    """A study with its cadence.

    Attributes:
        study: of the registry. every: epochs between the values that a calibrated rule reads; a printed rule reads all that
            were computed. last: epoch.
    """

    study: str
    every: int
    last: int

    @property
    def measure(self) -> str:
        """The command that computes its signals."""
        return f"python -m entry_points.signals --study {self.study} --epochs 0-{self.last}-{self.every} --costly-every 4"


MAIN, CROSS_ENTROPY = Arm(STUDY, 10, 800), Arm("signals-ce", 25, 2500)
EVERY = MAIN.every
SLOWER = ("commutator",)
"""Signals whose alarm moves with the cadence: they are told at eight times the arm's too."""
BASELINES = ("clock", "loss", "weight_norm", "gradient_norm", "test_loss_turnover")
CALIBRATED, PRINTED = "calibrated", "printed"


SAME = ("condition", "network", "task", "activation", "weight_decay", "n_train", "seed")
"""What runs share that differ in rounding alone."""


class Known(NamedTuple):
    """What is known of a run apart from signals.

    Attributes:
        run: without a series. memorised: first epoch with a training accuracy ≥ 0.99, NaN if none. twin: what runs share that
            differ in rounding alone. replicate: whether it repeats another.
    """

    run: Watched
    memorised: float
    twin: tuple[Any, ...]
    replicate: bool


def known(sources: Sources, runs: pd.DataFrame) -> tuple[dict[str, Known], Counter[str]]:
    """Runs that are positive or negative by run id, and how many of each condition are neither."""
    found, left_out = dict[str, Known](), Counter[str]()
    t50, t99, memorised = (column(runs, name) for name in ("test_50_epoch", "test_99_epoch", "train_99_epoch"))
    for i, row in enumerate(runs.to_dict("records")):
        positive = row["condition"] == GROK and not math.isnan(t99[i])
        if not positive and (row["condition"] == GROK or not math.isnan(t50[i])):
            left_out[row["condition"]] += 1
            continue
        accuracy = sources.evidence.history(row["run_id"])["accuracy/test"].to_numpy()
        t10 = float(np.argmax(accuracy >= 0.1)) if (accuracy >= 0.1).any() else math.nan
        control = "" if positive else row["condition"]
        blank = np.array([])
        run = Watched(
            int(row["seed"]), positive, control, float(row["weight_decay"]) > 0, t10, float(t50[i]), float(t99[i]), blank, blank
        )
        twin = tuple(row.get(name) for name in SAME)
        found[row["run_id"]] = Known(run, float(memorised[i]), twin, str(row.get("rounding", "auto")) != "auto")
    return found, left_out


def tables(sources: Sources, run_ids: Sequence[str], arm: Arm = MAIN) -> dict[str, pd.DataFrame]:
    """`signals.parquet` of each run of an arm.

    Raises:
        Absent: if one has none.
    """
    out = {}
    for run_id in run_ids:
        try:
            out[run_id] = sources.evidence.signals(run_id)
        except StoreError as error:
            raise Absent(f"signals of run {run_id} are not there. Run {arm.measure}") from error
    return out


def watch(
    about: Mapping[str, Known], stored: Mapping[str, pd.DataFrame], signal: Signal, variant: str, every: int = EVERY
) -> dict[str, Watched]:
    """The runs with a signal's series, oriented so that high announces; those without a known value are left out.

    Args:
        about, stored: as `board` takes them. signal, variant: which series. every: epochs between the values that are taken.
    """
    sign, out = -1.0 if signal.direction == "falling" else 1.0, {}
    for run_id, one in about.items():
        table = stored[run_id]
        mine = table[(table["signal"] == signal.name) & (table["variant"] == variant)].sort_values("epoch")
        mine = mine[mine["epoch"] % every == 0]
        values = mine["value"].to_numpy(dtype=np.float64)
        if np.isfinite(values).any():
            out[run_id] = one.run._replace(epochs=mine["epoch"].to_numpy(), values=sign * values)
    return out


def printed_epoch(signal: Signal, run: Watched, memorised: float) -> float:
    """Where a signal's printed rule first holds, NaN where it never does."""
    if signal.printed is None:
        return math.nan
    values = -run.values if signal.direction == "falling" else run.values
    holds = np.flatnonzero(signal.printed.holds(run.epochs, values, memorised))
    return float(run.epochs[holds[0]]) if len(holds) else math.nan


def unstable(about: Mapping[str, Known], epochs: Mapping[str, float]) -> float:
    """The share of runs repeated by other orders of summation of which not all or none fire; 0 where none was repeated.

    Args:
        about: the runs. epochs: of the alarm by run id, NaN for none.
    """
    groups: dict[tuple[Any, ...], list[bool]] = {}
    repeated = {one.twin for one in about.values() if one.replicate}
    for run_id, epoch in epochs.items():
        if about[run_id].twin in repeated:
            groups.setdefault(about[run_id].twin, []).append(not math.isnan(epoch))
    split = [len(set(fired)) > 1 for fired in groups.values() if len(fired) > 1]
    return float(np.mean(split)) if split else 0.0


def scored(
    about: Mapping[str, Known],
    watched: Mapping[str, Watched],
    signal: Signal,
    rule: str,
    seeds: tuple[tuple[int, ...], tuple[int, ...]] = (CALIBRATION, HELD_OUT),
) -> tuple[Score, str]:
    """A signal by one of its rules: its score on held-out seeds and the verdict."""
    plain = {run_id: run for run_id, run in watched.items() if not about[run_id].replicate}
    fit = [run for run in plain.values() if run.seed in seeds[0]]
    told = {run_id: run for run_id, run in plain.items() if run.seed in seeds[1]}
    if rule == PRINTED:
        epochs = {run_id: printed_epoch(signal, run, about[run_id].memorised) for run_id, run in watched.items()}
        found = score(fit, list(told.values()), [epochs[run_id] for run_id in told])
    else:
        threshold = calibrate([run for run in fit if not run.positive], FPR, [run for run in fit if run.positive])
        epochs = {run_id: fire_epoch(run, threshold) for run_id, run in watched.items()}
        found = score(fit, list(told.values()))
    held = {run_id: epoch for run_id, epoch in epochs.items() if watched[run_id].seed in seeds[1]}
    return found, verdict(found, unstable(about, held))


def board(
    about: Mapping[str, Known],
    stored: Mapping[str, pd.DataFrame],
    names: Sequence[str] = SIGNALS.names,
    cadence: int = EVERY,
) -> pd.DataFrame:
    """A row per signal, variant and rule, and one per signal that cannot be tested; by verdict, then by lead against t50.

    Args:
        about: the runs, as `known` has them. stored: their signals, as `tables` has them. names: of signals.
        cadence: epochs between the values of a calibrated rule.
    """
    rows, fails = list[dict[str, Any]](), list[float]()
    for name in names:
        signal = find(name)
        for variant in signal.variants:
            for rule, every in _readings(signal, variant, cadence):
                watched = watch(about, stored, signal, variant, every)
                found, word = scored(about, watched, signal, rule)
                narrow = {i: run for i, run in watched.items() if run.positive or run.control == NO_DECAY}
                swapped = scored(about, watched, signal, rule, (HELD_OUT, CALIBRATION))[1]
                alone, said = scored(about, narrow, signal, rule)
                row = _row(signal, variant, rule, found, word) | {"every": every, "seeds_exchanged": swapped}
                row |= {"eta0_only": said, "eta0_tpr": alone.tpr.value, "eta0_fpr": alone.fpr.value}
                row |= {"missing": None if watched else "no run of this study gives it"}
                rows.append(row | {"eta0_lead_t50": alone.leads["t50"].value, "eta0_auroc": alone.area.value})
                fails.append(found.p)
    out = pd.DataFrame(rows)
    out["p_adjusted"] = holm(fails)
    out["beaten_by"] = [_beaten(out, row) for row in out.to_dict("records")]
    out["order"] = [WORDS.index(word) for word in out["verdict"]]
    out = out.sort_values(["order", "lead_t50"], ascending=[True, False], kind="stable").drop(columns="order")
    missing = [{"signal": one.name, "rule": one.paper, "verdict": "not testable", "missing": one.missing} for one in UNTESTABLE]
    return pd.concat([out, pd.DataFrame(missing)], ignore_index=True)


def _readings(signal: Signal, variant: str, cadence: int) -> list[tuple[str, int]]:
    """The rules by which a variant is read, each with the epochs between its values; what is computed more often is thinned."""
    published = signal.printed is not None and variant == next(iter(signal.variants))
    slower = [8 * cadence] if signal.name in SLOWER else []
    return [(CALIBRATED, every) for every in (cadence, *slower)] + [(PRINTED, every) for every in (1, *slower) if published]


def _row(signal: Signal, variant: str, rule: str, found: Score, word: str) -> dict[str, Any]:
    row: dict[str, Any] = {"signal": signal.name, "variant": variant, "information": signal.information, "rule": rule}
    row |= {"verdict": word, "threshold": found.threshold}
    for name, estimate in (("tpr", found.tpr), ("fpr", found.fpr), ("auroc", found.area), ("relative_lead", found.relative)):
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high, f"{name}_n": estimate.n}
    worst = found.sets.get(found.worst)
    row |= {"worst_set": found.worst, "worst_fpr": worst.value if worst else math.nan}
    for name, estimate in found.sets.items():
        row |= {f"fpr {name}": estimate.value, f"fpr {name}_low": estimate.low, f"fpr {name}_high": estimate.high}
    for name, lead in found.leads.items():
        row |= {f"lead_{name}": lead.value, f"lead_{name}_low": lead.low, f"lead_{name}_high": lead.high}
    row |= {f"tpr at {rate:.2f}": value for rate, value in found.coverage.items()}
    return row | {"fpr_floor": found.floor, "alarm_with_t50": found.tied, "p": found.p}


def _beaten(rows: pd.DataFrame, row: Mapping[Any, Any]) -> str:
    """Baselines that are alarms too and lead at least as long."""
    if row["verdict"] != "alarm":
        return ""
    rivals = rows[rows["signal"].isin(BASELINES) & (rows["verdict"] == "alarm") & (rows["signal"] != row["signal"])]
    longer = rivals[rivals["lead_t50"] >= row["lead_t50"]]
    return ", ".join(dict.fromkeys(longer["signal"]))


def told(rows: pd.DataFrame) -> str:
    """The leaderboard in sentences: how many of each verdict, and the best alarm of each class of information."""
    counts = Counter(rows["verdict"])
    parts = [f"{counts[word]} {word}" for word in WORDS if counts[word]]
    text = f"Of {len(rows)} rows (a signal, a variant, a rule): {'; '.join(parts)}."
    alarms = rows[rows["verdict"] == "alarm"]
    for information, mine in alarms.groupby("information", sort=True):
        top = mine.sort_values("lead_t50", ascending=False).iloc[0]
        text += (
            f" Longest lead of class {information}: {' '.join(filter(None, (top['signal'], top['variant'], top['rule'])))}, "
            f"{number(top['lead_t50'])} epochs before test accuracy 0.5 [{number(top['lead_t50_low'])}, "
            f"{number(top['lead_t50_high'])}], false alarms {number(top['fpr'])}, on the worst set {number(top['worst_fpr'])}."
        )
    changed = rows[rows["eta0_only"].notna() & (rows["eta0_only"] == "alarm") & (rows["verdict"] != "alarm")]
    return text + f" {len(changed)} rows would be alarms with η = 0 as the only negatives."


_MADE: weakref.WeakKeyDictionary[Evidence, dict[str, pd.DataFrame]] = weakref.WeakKeyDictionary()
"""The leaderboards of each `Evidence` that was asked for one: a question, a chapter and a figure read it."""


def _both(sources: Sources, arm: Arm = MAIN) -> tuple[str, pd.DataFrame]:
    runs = sources.take(arm.study)
    about, left_out = known(sources, runs)
    kept = _MADE.setdefault(sources.evidence, {})
    if arm.study not in kept:
        kept[arm.study] = board(about, tables(sources, list(about), arm), cadence=arm.every)
    rows = kept[arm.study]
    out = "; ".join(f"{count} of {name}" for name, count in sorted(left_out.items()))
    return told(rows) + (f" Neither positive nor negative: {out}." if out else ""), rows


def _answer(sources: Sources) -> Answer:
    return Answer(_both(sources)[0])


def rows_of(sources: Sources, arm: Arm = MAIN) -> pd.DataFrame:
    """The leaderboard of an arm, worked out once for one `Evidence`.

    Raises:
        Absent: if runs or their signals are not there.
    """
    return _both(sources, arm)[1]


QUESTIONS = (
    Question(
        "which-signal-knows",
        "Which published signal announces grokking, on runs that do and runs that do not for different reasons?",
        (STUDY,),
        "Every signal by its printed and its calibrated rule on held-out seeds; a verdict in words each, by rules fixed before "
        f"the runs. After the study: {MAIN.measure}.",
        _answer,
    ),
)
CHAPTERS = (
    Chapter(
        "signals",
        "Which signal knows?",
        (STUDY,),
        None,
        "Each paper shows its signal on runs of its own, mostly against runs without weight decay. Here all are on the same "
        "runs, with negatives of every cause, thresholds from other seeds, and the class of information beside each.",
        _both,
        section="Signals",
    ),
    Chapter(
        "signals-cross-entropy",
        "Which signal knows under a cross-entropy?",
        (CROSS_ENTROPY.study,),
        None,
        "The same rules on networks that share an embedding, with attention and without, for addition and multiplication. A "
        "signal that a network cannot feed is scored on the runs that can.",
        functools.partial(_both, arm=CROSS_ENTROPY),
        section="Signals",
    ),
)
