"""What the slope detector responds to: interventions on weight decay and on the amount of data, by rules fixed before."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.model import Answer, Question
from analysis.exhibits.panels import Panel, Prepared, Tables, drawer
from analysis.exhibits.sources import Sources, column, fired, watched
from analysis.papers.xu import findings
from analysis.papers.xu.cause_words import before_switch, beside, counts, named, sentence, within
from analysis.papers.xu.interventions import LOSS, STUDY, ends, factors, table
from analysis.reading.evidence import Evidence
from analysis.statistics.estimates import Estimate, clopper_pearson
from analysis.statistics.factors import Found, explain

PUBLISHED_EPOCHS = 400
"""Of the square runs in the paper."""
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


def hold(found: pd.DataFrame) -> list[Found]:
    """The six factors held against the fires of some runs, of `table`."""
    return explain(
        found["fired"].to_numpy(dtype=bool), found["intervention"].to_numpy(), found["seed"].to_numpy(), factors(found)
    )


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
                "decay_epochs": sum(int(end) - int(start) for start, end in ends(str(decay))),
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
