"""Factors held against the fires of the slope detector, in sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.papers.xu.interventions import ends
from analysis.statistics.factors import LEVEL, Found, best
from analysis.words import number


def named(one: Found) -> str:
    """What a run has that fires, of a factor, with the level that was fitted: the factor, or its opposite."""
    level = one.level if one.factor == "data" else 10.0**one.level
    words = one.otherwise if one.inverse else one.words
    return words.format(level="any level" if np.isnan(level) else number(level, 2))


def counts(one: Found) -> tuple[int, int, int, int]:
    """Runs that fire with what `named` says, that have it, that fire without it, and that do not have it."""
    (both, alone), (missed, neither) = (one.runs[:, ::-1] if one.inverse else one.runs).tolist()
    return both, both + missed, alone, alone + neither


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
    inner = [end for span in ends(decay) for end in span if 0 < end < epochs]
    return inner[0] if inner else None
