"""Why starved networks score below chance: what they answer on pairs that they have not seen.

The rules were fixed before the runs: analysis/claims/PREREGISTRATION-repulsion.md.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.exhibits.model import Answer, Question
from analysis.exhibits.sources import Absent, Sources
from analysis.statistics.estimates import Estimate, median_interval
from analysis.words import number, spread

ONE_SIDED = 0.025
BEYOND = 0.05
"""By which the share of seen labels must exceed chance to explain anything."""
THIS, MORE, SIGNAL, NOT = (
    "It is this",
    "This, and more",
    "This, against a signal",
    "Not this",
)


def verdict(excess: Estimate, beyond: np.ndarray) -> str:
    """The answer, by its rule.

    Args:
        excess: over runs, share of answers that are a seen label less its chance value.
        beyond: (R,) right answers among those outside less how many would be by chance, of each run: the unit, since the
            answers of one network are not independent.
    """
    if not excess.low > BEYOND:
        return NOT
    if flip(beyond, "less") <= ONE_SIDED:
        return MORE
    return SIGNAL if flip(beyond, "greater") <= ONE_SIDED else THIS


def flip(values: np.ndarray, side: str) -> float:
    """P of the exact one-sided sign-flip test of a mean of 0.

    Args:
        values: (R,), R ≤ 15: all 2^R signs are gone through. side: `less` or `greater`.
    """
    if not np.any(values):
        return 1.0
    found = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=1 << 15, alternative=side, vectorized=True
    )
    return float(found.pvalue)


def last_answers(sources: Sources, runs: pd.DataFrame) -> pd.DataFrame:
    """A row per run: the last of its answers.

    Raises:
        Absent: if a label is seen whose pair is not, so that the argument does not hold.
    """
    tables = [sources.evidence.measured(run_id, "answers") for run_id in runs["run_id"]]
    found = pd.DataFrame([table.iloc[-1] for table in tables]).reset_index(drop=True)
    if (found["label_seen"] > 0).any():
        raise Absent("labels of unseen pairs must not be among those seen in their row or column; these runs have another task")
    return found


def _below_chance(sources: Sources) -> Answer:
    texts, estimates, notes = [], dict[str, Estimate](), []
    for activation, name in (("square", "square"), ("relu", "ReLU")):
        found = last_answers(sources, sources.take("controls", condition="data_starved", activation=activation))
        tests, outside = found["tests"], found["tests"] - found["seen"]
        share, chance = found["seen"] / found["tests"], found["seen_expected"] / found["tests"]
        excess = median_interval((share - chance).to_numpy())
        total, right = int(outside.sum()), int(found["outside_right"].sum())
        expected = float(found["outside_expected"].sum())
        said = verdict(excess, (found["outside_right"] - found["outside_expected"]).to_numpy(dtype=np.float64))
        accuracy, follows = (
            median_interval((found["right"] / tests).to_numpy()),
            float(np.median(found["outside_expected"] / tests)),
        )
        estimates |= {
            f"{name}: share of seen labels": median_interval(share.to_numpy()),
            f"{name}: less chance": excess,
            f"{name}: test accuracy": accuracy,
        }
        for part in ("additive", "additive_right", "interaction_right"):
            estimates[f"{name}: {part.replace('_', ', ')}"] = median_interval((found[part] / tests).to_numpy())
        texts.append(
            f"{name}: {said.lower()}. {spread(*estimates[f'{name}: share of seen labels'][:3])} of the answers are labels "
            f"seen in the pair's row or column, by chance {number(float(chance.median()))}; of the {total} others {right} are "
            f"right, by chance {number(expected)}. Accuracy {number(accuracy.value, 2)}, {number(follows, 2)} follows, 1/M is "
            f"{number(1 / 71, 2)}"
        )
        parts = {part: estimates[f"{name}: {part}"].value for part in ("additive", "additive, right", "interaction, right")}
        notes.append(
            f"{name}: row and column parts of the logits alone give the same answer in {number(parts['additive'])} and are "
            f"right in {number(parts['additive, right'], 2)}; the interaction alone is right in "
            f"{number(parts['interaction, right'], 2)}"
        )
    return Answer("; ".join(texts), estimates, f"Medians over runs. {'; '.join(notes)}.")


QUESTIONS = (
    Question(
        "starved-below-chance",
        "Why do starved networks score below chance?",
        ("controls",),
        "A row or a column of the table has each label once, so the right label of an unseen pair is never among those seen "
        "in its row or column. It is this if the answers are seen labels more often than by chance, by "
        f"{BEYOND} or more, and of the other answers as many are right as by chance among the unseen labels (exact sign-flip "
        "over seeds, 2.5 % to each side); this and more if fewer; this against a signal if more; otherwise not this.",
        _below_chance,
    ),
)
