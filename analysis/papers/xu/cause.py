"""What the slope detector responds to: interventions on weight decay and on the amount of data, by rules fixed before."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import Answer, Question
from analysis.exhibits.panels import Panel, Prepared, Tables, drawer
from analysis.exhibits.sources import FIRST_EPOCH, Sources, column, fired, watched
from analysis.papers.xu import findings
from analysis.reading.evidence import Evidence
from analysis.statistics.estimates import Estimate, clopper_pearson
from analysis.statistics.factors import LEVEL, Factor, Found, best, explain
from analysis.words import number

STUDY = "cause"
PUBLISHED_EPOCHS = 400
"""Of the square runs in the paper."""
LOSS, TEST = "loss/train", "accuracy/test"
REACHES = 0.5
"""Test accuracy from which a run counts as generalising."""
DECAY = (f"weight decay that is on after epoch {FIRST_EPOCH}", f"weight decay that is off after epoch {FIRST_EPOCH}")
FALLS = ("a training loss that falls under {level}", "a training loss that stays above {level}")
GENERALISES = (f"generalisation (test accuracy ≥ {REACHES:g})", f"a test accuracy that stays below {REACHES:g}")
DATA = ("enough data (n ≥ {level} M²)", "little data (n < {level} M²)")
"""What a run has, and what one that has not: a detector may respond to either."""
LATER = (
    f"{PUBLISHED_EPOCHS} epochs are those of the published square runs, a horizon chosen after the runs had been seen; the "
    "answer over all epochs stands among the questions."
)
ANSWERED = (
    "Six factors named before the runs, each held against the fires of all interventions: whether it predicts the runs of a "
    "condition that is left out better than the most frequent outcome (exact sign-flip over conditions), and Fisher's exact "
    "test over conditions, Holm-adjusted. The answer is the associated factor that predicts best; one that conditions cannot "
    "tell from it is named too. The condition is the unit, its seeds are replicates."
)


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


def named(one: Found) -> str:
    """What a run has that fires, of a factor, with the level that was fitted: the factor, or its opposite."""
    level = one.level if one.factor == "data" else 10.0**one.level
    words = one.otherwise if one.inverse else one.words
    return words.format(level="any level" if np.isnan(level) else number(level, 2))


def counts(one: Found) -> tuple[int, int, int, int]:
    """Runs that fire with what `named` says, that have it, that fire without it, and that do not have it."""
    (both, alone), (missed, neither) = (one.runs[:, ::-1] if one.inverse else one.runs).tolist()
    return both, both + missed, alone, alone + neither


def hold(found: pd.DataFrame) -> list[Found]:
    """The six factors held against the fires of some runs, of `table`."""
    return explain(
        found["fired"].to_numpy(dtype=bool), found["intervention"].to_numpy(), found["seed"].to_numpy(), factors(found)
    )


def sentence(held: list[Found]) -> str:
    """What the detector responds to, in one sentence."""
    first, others = best(held)
    runs = int(held[0].runs.sum())
    if first is None:
        top = max(held, key=lambda one: one.accuracy)
        return (
            f"None of six factors explains when the slope detector fires: the best of them, {named(top)}, predicts "
            f"{_percent(top.accuracy)} of {runs} runs whose condition is left out, the most frequent outcome "
            f"{_percent(top.null)} (sign-flip over conditions p = {number(top.p_null, 2)}, Fisher's test adjusted "
            f"p = {number(top.p_adjusted, 2)})."
        )
    fires, having, others_fire, lacking = counts(first)
    told = (
        f"The slope detector responds to {named(first)}: it fires in {fires} of {having} runs that have it and in "
        f"{others_fire} of {lacking} that do not, which predicts {_percent(first.accuracy)} of {runs} runs whose condition "
        f"is left out ({_percent(first.null)} by the most frequent outcome; adjusted p = {number(first.p_adjusted, 2)})"
    )
    return told + (f"; not told apart from {' or '.join(named(one) for one in others)}." if others else ".")


def within(held: list[Found], until: int) -> str:
    """What tells the runs that fire within an epoch apart, for a reader of the figure, and what it lacks to be shown.

    Args:
        held: the factors held against the fires by then. until: that epoch.
    """
    if best(held)[0] is not None:
        told = sentence(held)
        return f"Within {until} epochs {told[0].lower()}{told[1:]}"
    top = max(held, key=lambda one: one.accuracy)
    if top.accuracy <= top.null:
        return f"Within {until} epochs: {sentence(held)}"
    fires, having, others, lacking = counts(top)
    equal = [
        f"{named(one)} ({both} of {have}, {alone} of {lack})"
        for one in held
        if one is not top and one.accuracy == top.accuracy
        for both, have, alone, lack in (counts(one),)
    ]
    return (
        f"Within {until} epochs {named(top)} best tells which runs fire: {fires} of {having} that have it do and {others} of "
        f"{lacking} that do not, which predicts {_percent(top.accuracy)} of {int(top.runs.sum())} runs whose condition is left "
        f"out ({_percent(top.null)} by the most frequent outcome)"
        + (f"; {' and '.join(equal)} predict{'' if len(equal) > 1 else 's'} as many" if equal else "")
        + f". It is not shown: {_lacks(top)}."
    )


def _lacks(one: Found) -> str:
    """Why a factor that predicts better than the most frequent outcome is not associated."""
    tests = (
        (one.p_null, f"the exact sign-flip test over {len(one.correct)} conditions of what it predicts"),
        (one.p_adjusted, "Fisher's exact test over conditions, adjusted,"),
    )
    fails, holds = (
        [f"{test} gives p = {number(p, 2)}" for p, test in tests if (p > LEVEL) is failing] for failing in (True, False)
    )
    return " and ".join(fails) + f", above {LEVEL}" + (f", though {' and '.join(holds)}" if holds else "")


def beside(held: list[Found]) -> str:
    """Every factor in one line: what it predicts, and whether it is necessary and sufficient as far as seen."""
    return " ".join(_one(one) for one in held)


def _one(one: Found) -> str:
    fires, having, others, lacking = counts(one)
    words = [
        f"predicts {_percent(one.accuracy)}",
        f"{fires}/{having} fire with it" + (" (sufficient as far as seen)" if 0 < fires == having else ""),
        f"{others}/{lacking} without" + (" (necessary as far as seen)" if 0 == others < lacking else ""),
        f"adjusted p = {number(one.p_adjusted, 2)}, {number(one.p_worst_seed, 2)} in the worst seed",
    ]
    return f"{_capital(named(one))}: {'; '.join(words)}; {'associated' if one.associated else 'not associated'}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def before_switch(found: pd.DataFrame) -> str:
    """Fires before the switch of decay that their condition is named by, a sentence; empty where there is none."""
    early = [
        f"{row['intervention']}: {number(row['fire_epoch'])}"
        for row in found[found["fired"]].to_dict("records")
        if (switch := _switch(row["decay"], row["epochs"])) is not None and row["fire_epoch"] < switch
    ]
    return f"Before the switch that names their condition fire {len(early)} runs ({'; '.join(early)})." if early else ""


def _switch(decay: str, epochs: int) -> int | None:
    inner = [end for span in _ends(decay) for end in span if 0 < end < epochs]
    return inner[0] if inner else None


def _ends(decay: str) -> list[tuple[int, int]]:
    """(0, 100), (200, 400) of `0–100, 200–400`."""
    return [(int(start), int(end)) for start, end in (span.split("–") for span in decay.split(", ") if span)]


def conditions(found: pd.DataFrame) -> pd.DataFrame:
    """A row per intervention, as the figure has them: by n, then by for how long decay is on.

    Args:
        found: of `table`.

    Returns:
        intervention, decay, decay_epochs, epochs, n_share, runs, fires, share with its exact ends low and high, and medians
        over seeds of fire_epoch (of those that fire), test_50_epoch (of those that reach it), test, loss_lowest.
    """
    rows = []
    for (intervention, decay), group in found.groupby(["intervention", "decay"], sort=False):
        interval = clopper_pearson(int(group["fired"].sum()), len(group))
        medians = {name: group[name].median() for name in ("fire_epoch", "test_50_epoch", "test", "loss_lowest")}
        rows.append(
            {
                "intervention": intervention,
                "decay": decay,
                "decay_epochs": sum(int(end) - int(start) for start, end in _ends(str(decay))),
                "epochs": int(group["epochs"].max()),
                "n_share": group["n_share"].iloc[0],
                "runs": len(group),
                "fires": int(group["fired"].sum()),
                "share": interval.value,
                "low": interval.low,
                "high": interval.high,
            }
            | medians
        )
    order = ["n_share", "decay_epochs", "intervention"]
    return pd.DataFrame(rows).sort_values(order, ascending=[False, True, True], ignore_index=True)


def factor_table(held: list[Found]) -> pd.DataFrame:
    """A row per factor: its words, level, what it predicts, its counts and tests."""
    rows = []
    for one in held:
        names = ("fires_with", "with", "fires_without", "without")
        found = dict(zip(names, counts(one), strict=True))
        (both, alone), (missed, neither) = (one.conditions[:, ::-1] if one.inverse else one.conditions).tolist()
        found |= {"conditions_fire_with": both, "conditions_with": both + missed}
        found |= {"conditions_fire_without": alone, "conditions_without": alone + neither}
        tests = {"p": one.p, "p_adjusted": one.p_adjusted, "p_worst_seed": one.p_worst_seed, "p_null": one.p_null}
        rows.append(
            {"factor": one.factor, "words": named(one), "level": one.level, "accuracy": one.accuracy, "null": one.null}
            | found
            | tests
            | {"associated": one.associated}
        )
    return pd.DataFrame(rows)


def estimates(held: list[Found]) -> dict[str, Estimate]:
    """The shares of runs that each factor predicts, and that the most frequent outcome does."""
    n = int(held[0].runs.sum())
    shares = {f"predicted by {one.factor}": one.accuracy for one in held} | {
        "predicted by the most frequent outcome": held[0].null
    }
    return {name: Estimate(value, np.nan, np.nan, n) for name, value in shares.items()}


def _measure(sources: Sources, until: int | None = None) -> Answer:
    runs = sources.take(STUDY)
    fired(runs)  # known of each, or the question cannot be answered
    watched(sources, runs, LOSS)
    found = table(sources.evidence, runs, until)
    held = hold(found)
    early = f"{within(held, until)} {LATER}" if until is not None else ""
    note = " ".join(filter(None, (beside(held), before_switch(found), early)))
    return Answer(sentence(held), estimates(held), note)


def _prepare(evidence: Evidence) -> Prepared:
    runs = evidence.runs(STUDY)
    runs = runs[np.isfinite(column(runs, "fired"))]
    if runs.empty:
        return Prepared({"conditions": runs})
    found = table(evidence, runs)
    early = hold(table(evidence, runs, PUBLISHED_EPOCHS))
    last = int(found["epochs"].max())
    by = [factor_table(held).assign(until=until) for held, until in ((early, PUBLISHED_EPOCHS), (hold(found), last))]
    tables = {"conditions": conditions(found), "runs": found, "factors": pd.concat(by, ignore_index=True)}
    return Prepared(tables, tuple(found["run_id"]))


def _draw(prepared: Tables) -> Any:
    return drawer("cause")(prepared["conditions"], prepared["runs"])


QUESTIONS = (
    Question("slope-responds-to", "What does the slope detector respond to?", (STUDY,), ANSWERED, _measure),
    Question(
        "slope-responds-to-early",
        f"What does the slope detector respond to within the published {PUBLISHED_EPOCHS} epochs?",
        (STUDY,),
        f"{ANSWERED} What comes after epoch {PUBLISHED_EPOCHS} does not count. Asked after the runs had been seen: without "
        "weight decay the detector fires late, on gaps at the level of rounding.",
        partial(_measure, until=PUBLISHED_EPOCHS),
    ),
)
PANELS = (
    Panel(
        "cause",
        "What the slope detector responds to",
        "An intervention a row, five seeds. Bar: weight decay is on; dots: fires; line: median epoch of test accuracy 0.5. "
        "Right: share that fires, 95 % interval, median test accuracy, lowest loss.",
        (STUDY,),
        _prepare,
        _draw,
        finding=findings.cause,
    ),
)
