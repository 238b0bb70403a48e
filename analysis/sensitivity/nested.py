"""Does a detector separate? Nested cross-validation over seeds: a setting is chosen without the seeds that it is told on.

Shapes: S settings, F folds, R runs, B swaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from analysis.sensitivity.neighbourhood import designed
from analysis.sensitivity.objectives import Outcome, youden
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import PUBLISHED, Space, has
from analysis.sensitivity.tried import EVERY, Tried
from analysis.statistics.estimates import Estimate

FOLDS = 5
LEAST_SEEDS = 5
"""Of each condition, below which nothing is decided: all swaps of four have one in sixteen."""
LEVEL = 0.05
"""Of the one-sided test by swaps."""
SWAPS, BLOCK = 1024, 64
"""Swapped worlds, and how many at once: bounds the memory."""
TIE = 1e-5
"""Rates that differ by less are equal."""


class Told(NamedTuple):
    """One nested cross-validation.

    Attributes:
        target: the control set that settings were chosen against: a condition, or `every` one of them.
        worst_case: whether the setting with the smallest J was chosen, not the one with the largest.
        folds: seeds of each outer fold. chosen: the setting of each. candidates: how many there were.
        by_set: J on held-out seeds by control set, each run told once, with Newcombe's 95 % interval; its runs count as
            independent, though folds share the seeds that they choose on.
        worst: the condition with the smallest of them.
        p: by condition of the target, of J being that large by chance, one-sided, as `by_swaps` has it; empty for `worst_case`.
        separates: whether every p is at most `LEVEL`; None where no outcome could be, or of `worst_case`.
    """

    target: str
    worst_case: bool
    folds: list[list[int]]
    chosen: list[dict[str, Any]]
    candidates: int
    by_set: dict[str, Estimate]
    worst: str
    p: dict[str, float]
    separates: bool | None


def candidates(space: Space, config: SensitivityConfig) -> list[dict[str, Any]]:
    """The published setting where the space has it, then a seeded Sobol sample of each rule's part, equally many: made
    without a look at any run.

    Args:
        space: of a search. config: how many in all (`samples`), and the seed.
    """
    each = max(1, config.samples // len(space.own))
    each = 1 << (each.bit_length() - 1)  # a power of two
    out = [dict(PUBLISHED)] if has(space, PUBLISHED) else []
    for number, rule in enumerate(space.own):
        out += designed(space, rule, each, config.seed + number)
    return out


def fold_seeds(seeds: Sequence[int], folds: int, seed: int) -> list[list[int]]:
    """Seeds dealt into folds after a seeded shuffle; no more folds than seeds.

    Args:
        seeds: of the runs, each once. folds: wished for. seed: of the shuffle.
    """
    mixed = np.random.default_rng(seed).permutation(sorted(seeds))
    count = min(folds, len(mixed))
    return [sorted(int(one) for one in mixed[start::count]) for start in range(count)]


def cross_validate(tried: Tried, target: str, config: SensitivityConfig, *, worst_case: bool = False) -> Told:
    """Choose on all outer folds but one, tell on that one, for each.

    The candidate is chosen by its worst J over the target's conditions, a condition's J being the mean over the inner folds,
    which are the other outer folds; ties by the mean over the conditions, then the first candidate. J is of detections, as
    `Tried.detected` has them, less false alarms.

    Args:
        tried: the candidates. target: a control condition, or `every`. config: the seed of shuffle and swaps.
        worst_case: choose the smallest instead.

    Source: S. Varma and R. Simon, BMC Bioinformatics 7 (2006).
    """
    folds = fold_seeds(sorted({int(one) for own in tried.seeds.values() for one in own}), FOLDS, config.seed)
    goal = tried.controls if target == EVERY else [target]
    told = _Folds(tried, goal, folds, worst_case)
    picks = [int(pick[0]) for pick in told.choose(*told.rates(None, np.zeros((0, 1))))]
    fires = {"grok": tried.detected["grok"]} | {name: tried.fired[name] for name in tried.controls}
    counted = {name: np.zeros(own.shape[1], dtype=bool) for name, own in fires.items()}
    for pick, fold in zip(picks, folds, strict=True):
        for name, own in fires.items():
            held = np.isin(tried.seeds[name], fold)
            counted[name][held] = own[pick, held]
    by_set = {name: youden(_outcome(counted, own)) for name, own in tried.sets().items()}
    p: dict[str, float] = {}
    separates = None
    if not worst_case:
        p = {name: told.by_swaps(name, config.seed) for name in goal}
        decidable = len(folds) > 1 and all(told.least_p(name) <= LEVEL for name in goal)
        separates = all(one <= LEVEL for one in p.values()) if decidable else None
    return Told(
        target,
        worst_case,
        folds,
        [tried.settings[pick] for pick in picks],
        len(tried.settings),
        by_set,
        min(tried.controls, key=lambda name: by_set[name].value),
        p,
        separates,
    )


def _outcome(counted: dict[str, np.ndarray], controls: Sequence[str]) -> Outcome:
    false = np.concatenate([counted[name] for name in controls])
    grok = counted["grok"]
    return Outcome(int(grok.sum()), len(grok), int(false.sum()), len(false), float("nan"), np.empty(0))


class _Folds:
    """Rates of all candidates by fold, with the labels of some seeds swapped or not, and what is chosen by them.

    Args:
        tried: the candidates. goal: conditions of which the worst J chooses. folds: of seeds. worst_case: choose the smallest.
    """

    def __init__(self, tried: Tried, goal: Sequence[str], folds: list[list[int]], worst_case: bool) -> None:
        self.tried, self.goal, self.folds, self.sign = tried, list(goal), folds, -1.0 if worst_case else 1.0

    def pairs(self, control: str) -> list[int]:
        """Seeds that have a grokking run and a control of a condition, in order: those whose labels can be swapped."""
        return sorted(set(self.tried.seeds["grok"].tolist()) & set(self.tried.seeds[control].tolist()))

    def least_p(self, control: str) -> float:
        """The smallest p that any outcome could have: one swap of all that there are."""
        return float(0.5 ** len(self.pairs(control)))

    def rates(self, control: str | None, swaps: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Runs that count, of each fold: detections (F, S, B) of what is labelled grokking, and false alarms of each condition.

        Args:
            control: whose labels are swapped with the grokking runs'; None for none. swaps: (pairs, B) of 0 and 1.
        """
        t, pairs = self.tried, self.pairs(control) if control else []
        count = swaps.shape[1]
        true = np.zeros((len(self.folds), len(t.settings), count), dtype=np.float32)
        false = {name: np.zeros_like(true) for name in self.goal}
        for number, fold in enumerate(self.folds):
            true[number] = t.detected["grok"][:, np.isin(t.seeds["grok"], fold)].sum(axis=1)[:, None]
            for name in self.goal:
                false[name][number] = t.fired[name][:, np.isin(t.seeds[name], fold)].sum(axis=1)[:, None]
            inside = [place for place, seed in enumerate(pairs) if seed in fold]
            if control and inside:
                swapped = swaps[inside].astype(np.float32)
                grok, own = (np.array([_at(t.seeds[name], pairs[place]) for place in inside]) for name in ("grok", control))
                true[number] += _difference(t.detected[control][:, own], t.detected["grok"][:, grok]) @ swapped
                false[control][number] += _difference(t.fired["grok"][:, grok], t.fired[control][:, own]) @ swapped
        return true, false

    def sizes(self, name: str) -> np.ndarray:
        """(F,) float64: runs of a condition in each fold."""
        return np.array([np.isin(self.tried.seeds[name], fold).sum() for fold in self.folds], dtype=np.float64)

    def choose(self, true: np.ndarray, false: dict[str, np.ndarray]) -> list[np.ndarray]:
        """(B,) of each outer fold: the candidate of the largest worst mean J over the other folds, then of the largest mean."""
        n = self.sizes("grok")
        js, known = {}, {}
        for name in self.goal:
            m = self.sizes(name)
            known[name] = (n > 0) & (m > 0)
            js[name] = true / np.maximum(n, 1)[:, None, None] - false[name] / np.maximum(m, 1)[:, None, None]
            js[name][~known[name]] = 0
        sums = {name: own.sum(axis=0) for name, own in js.items()}
        out = []
        for number in range(len(self.folds)):
            means = []
            for name in self.goal:
                count = known[name].sum() - known[name][number]
                means.append(self.sign * (sums[name] - js[name][number]) / max(int(count), 1))
            worst = np.min(means, axis=0) if self.sign > 0 else np.max(means, axis=0)
            best = worst >= worst.max(axis=0) - TIE
            out.append(np.argmax(np.where(best, np.round(np.mean(means, axis=0), 5), -np.inf), axis=0))
        return out

    def by_swaps(self, control: str, seed: int) -> float:
        """Of J against a condition being as large by chance: the share of swapped worlds in which all is chosen and told anew
        and J is at least as large.

        In a swapped world some seeds' grokking run and control have changed labels. Where a detector sees no difference between
        them every world is as likely as the one that was, whatever was chosen on what. All worlds are taken if they are no more
        than `SWAPS`; else so many at random, the one that was among them.
        """
        pairs = self.pairs(control)
        if 2 ** len(pairs) <= SWAPS:
            worlds = (np.arange(2 ** len(pairs))[None, :] >> np.arange(len(pairs))[:, None]) & 1
        else:
            worlds = np.random.default_rng(seed).integers(0, 2, (len(pairs), SWAPS))
            worlds[:, 0] = 0
        js = np.concatenate([self._told(control, worlds[:, at : at + BLOCK]) for at in range(0, worlds.shape[1], BLOCK)])
        return float(np.mean(js >= js[0] - TIE))

    def _told(self, control: str, swaps: np.ndarray) -> np.ndarray:
        """(B,) float64: J against a condition on held-out seeds, in each swapped world."""
        true, false = self.rates(control, swaps)
        picks, worlds = self.choose(true, false), np.arange(swaps.shape[1])
        fires = sum(true[number][pick, worlds] for number, pick in enumerate(picks))
        alarms = sum(false[control][number][pick, worlds] for number, pick in enumerate(picks))
        out: np.ndarray = fires / self.sizes("grok").sum() - alarms / self.sizes(control).sum()
        return out


def _at(seeds: np.ndarray, seed: int) -> int:
    return int(np.flatnonzero(seeds == seed)[0])


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one.astype(np.float32) - other.astype(np.float32)
