"""Which of several named factors tells whether an event comes: left-out prediction and exact tests, conditions as units.

Shapes: R runs, C conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.estimates import Estimate, clopper_pearson

LEVEL = 0.05
"""Of every test here."""


class Factor(NamedTuple):
    """Something that a run may have.

    Attributes:
        name: short. words: what a run with it has. otherwise: what one without it has.
        value: (R,) float64; 0 or 1, or the quantity whose level is fitted.
        side: `yes` for 0 or 1; `below` or `above`: a run has it whose value is at most, or at least, the fitted level.
        gate: (R,) bool: runs without it never have the factor, and the level is fitted on those with it; None for all.
    """

    name: str
    words: str
    otherwise: str
    value: np.ndarray
    side: str = "yes"
    gate: np.ndarray | None = None

    def had(self, level: float) -> np.ndarray:
        """(R,) bool: which runs have it at a level (of no meaning for `yes`)."""
        found = {"yes": self.value > 0.5, "below": self.value <= level, "above": self.value >= level}[self.side]
        out: np.ndarray = found if self.gate is None else found & self.gate
        return out


class Found(NamedTuple):
    """What a factor says of the event.

    Attributes:
        factor: its name. words, otherwise: as the factor has them. level: fitted on all conditions, NaN where there is none.
        accuracy, null: shares of runs that the factor and the most frequent outcome predict, their condition left out.
        p_null: of the two being equal, exact sign-flip over conditions.
        conditions: (2, 2) int: [[event and factor, event alone], [factor alone, neither]], by most of a condition's runs.
        runs: the same of runs.
        p, p_adjusted: Fisher's exact test on `conditions`, two-sided, and Holm's adjustment over the factors.
        p_worst_seed: the largest p of the same test within one seed.
        without: event among runs without the factor. missed: no event among runs with it. Exact intervals.
        correct: (C,) int: runs that it predicts, by condition.
    """

    factor: str
    words: str
    otherwise: str
    level: float
    accuracy: float
    null: float
    p_null: float
    conditions: np.ndarray
    runs: np.ndarray
    p: float
    p_adjusted: float
    p_worst_seed: float
    without: Estimate
    missed: Estimate
    correct: np.ndarray

    @property
    def inverse(self) -> bool:
        """Whether the event comes with the factor's absence."""
        (both, alone), (missed, neither) = self.runs.tolist()
        return bool(both * neither < alone * missed)

    @property
    def associated(self) -> bool:
        """Whether it is told apart from chance and predicts better than the most frequent outcome."""
        return self.p_adjusted <= LEVEL and self.p_null <= LEVEL and self.accuracy > self.null


def explain(event: np.ndarray, condition: np.ndarray, seed: np.ndarray, factors: Sequence[Factor]) -> list[Found]:
    """Hold factors against an event, in the order given.

    Args:
        event: (R,) bool. condition: (R,) labels, the units of inference. seed: (R,) of each run. factors: named in advance.
    """
    labels = list(dict.fromkeys(condition.tolist()))
    null = np.array([_correct(event, condition == label, np.zeros(len(event), dtype=bool)) for label in labels])
    out = []
    for factor in factors:
        correct = np.array([_left_out(event, condition == label, factor) for label in labels])
        level = fitted_level(factor, event)
        had = factor.had(level)
        by_condition = [(_most(event[condition == label]), _most(had[condition == label])) for label in labels]
        counts = _counts(*(np.array(column, dtype=bool) for column in zip(*by_condition, strict=True)))
        seeds = [_fisher(_counts(event[seed == one], had[seed == one])) for one in np.unique(seed)]
        out.append(
            Found(
                factor.name,
                factor.words,
                factor.otherwise,
                level,
                float(correct.sum() / len(event)),
                float(null.sum() / len(event)),
                sign_flip(correct - null),
                counts,
                _counts(event, had),
                _fisher(counts),
                1.0,
                max(seeds),
                clopper_pearson(int((event & ~had).sum()), int((~had).sum())),
                clopper_pearson(int((~event & had).sum()), int(had.sum())),
                correct,
            )
        )
    adjusted = holm([one.p for one in out])
    return [one._replace(p_adjusted=float(p)) for one, p in zip(out, adjusted, strict=True)]


def best(found: Sequence[Found]) -> tuple[Found | None, list[Found]]:
    """The associated factor that predicts best, the earlier of equals, and the associated ones that an exact sign-flip test
    over conditions cannot tell from it; None where no factor is associated.
    """
    known = [one for one in found if one.associated]
    if not known:
        return None, []
    first = max(known, key=lambda one: one.accuracy)
    return first, [one for one in known if one is not first and sign_flip(first.correct - one.correct) > LEVEL]


def fitted_level(factor: Factor, event: np.ndarray) -> float:
    """The level, midway between two neighbouring values, that makes the fewest mistakes; of equals that in the widest gap.

    NaN for `yes`, or where there are no two values.

    Args:
        factor: of the runs it is fitted on. event: (R,) bool, of these runs.
    """
    if factor.side == "yes":
        return float("nan")
    gate = np.ones(len(event), dtype=bool) if factor.gate is None else factor.gate
    values = np.unique(factor.value[gate & np.isfinite(factor.value)])
    if len(values) < 2:
        return float("nan")
    inside, wrong = event[gate], []
    levels = (values[1:] + values[:-1]) / 2
    for level in levels:
        had = factor.had(float(level))[gate]
        wrong.append(sum(min(int(part.sum()), len(part) - int(part.sum())) for part in (inside[had], inside[~had])))
    fewest = np.flatnonzero(np.array(wrong) == min(wrong))
    return float(levels[fewest[int(np.argmax(np.diff(values)[fewest]))]])


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p of whole differences being symmetric about 0: exact, over all 2^C flips of their signs.

    The distribution of the sum is the convolution of two-point ones, so that no flip is drawn and no p is a resampling floor.

    Args:
        differences: (C,) int.
    """
    sizes = np.abs(np.asarray(differences, dtype=np.int64))
    total = int(sizes.sum())
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for size in sizes[sizes > 0]:
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2  # nothing wraps: the sum's ends are at ± total
    sums = np.abs(np.arange(-total, total + 1))
    return float(min(1.0, chance[sums >= abs(int(np.sum(differences)))].sum()))


def holm(values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values, in the order given.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    p = np.asarray(values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(raised, 1.0)
    return out


def _left_out(event: np.ndarray, out: np.ndarray, factor: Factor) -> int:
    """Runs of a condition that the factor predicts, fitted on the others."""
    gate = None if factor.gate is None else factor.gate[~out]
    level = fitted_level(factor._replace(value=factor.value[~out], gate=gate), event[~out])
    return _correct(event, out, factor.had(level))


def _correct(event: np.ndarray, out: np.ndarray, had: np.ndarray) -> int:
    """Runs in `out` whose outcome is the most frequent one of the other runs that are like them; no event of equals."""
    right = 0
    for value in (False, True):
        like = had == value
        others, own = event[~out & like], event[out & like]
        # what no other run is like is predicted as all of them together
        others = others if len(others) else event[~out]
        right += int((own == (2 * others.sum() > len(others))).sum())
    return right


def _most(values: np.ndarray) -> bool:
    return bool(2 * values.sum() >= len(values))


def _counts(event: np.ndarray, had: np.ndarray) -> np.ndarray:
    """(2, 2) int: [[both, event alone], [factor alone, neither]]."""
    return np.array([[(event & had).sum(), (event & ~had).sum()], [(~event & had).sum(), (~event & ~had).sum()]], dtype=int)


def _fisher(counts: np.ndarray) -> float:
    return float(stats.fisher_exact(counts).pvalue)
