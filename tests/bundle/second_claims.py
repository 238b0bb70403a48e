"""The claims that the second reader recomputes: each a function of a bundle and a rounding.

Nothing of the project is imported. The rules are those that the claims state, the words those that a report has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import log10

import numpy as np
import pandas as pd
from scipy import stats

from tests.bundle.second_numbers import (
    LAMBDA_3,
    PUBLISHED,
    RHO,
    TEST,
    TRAIN,
    Array,
    Bundle,
    digits,
    fire,
    flip,
    late,
    line,
    middle,
    reached,
    share,
    words,
)

Estimates = dict[str, Sequence[float]]


@dataclass(frozen=True)
class Answer:
    """A text in the report's form; estimates by key: value, or value, low and high; and what was seen beside it."""

    text: str
    estimates: Estimates = field(default_factory=dict)
    beside: str = ""


def _seen(epochs: Iterable[int | None]) -> list[int]:
    return sorted(epoch for epoch in epochs if epoch is not None)


def _each(estimates: Estimates) -> Answer:
    return Answer("; ".join(f"{name} {words(estimate)}" for name, estimate in estimates.items()), estimates)


def fires(bundle: Bundle, rounding: str, group: str) -> Answer:
    """Runs of the headline that fire."""
    epochs = [fire(bundle.gap(run)) for run in bundle.under(rounding, "headline", group, "square")]
    k, n = len(_seen(epochs)), len(epochs)
    return Answer(f"{k}/{n}", {"fires": share(k, n)}, f"at {_seen(epochs)}" if 0 < k < n else "")


def separation(bundle: Bundle, rounding: str, study: str, activation: str) -> Answer:
    """The ratio of the median late gaps with and without weight decay (its interval is a bootstrap's: not held)."""
    groups = [bundle.under(rounding, study, group, activation) for group in ("grok", "eta0")]
    grok, eta0 = (np.median([late(bundle.gap(run)) for run in group]) for group in groups)
    return Answer(digits(grok / eta0), {"separation": [grok / eta0]})


def lags(bundle: Bundle, rounding: str) -> Answer:
    """The fire epoch less that of test accuracy 0.5 and 0.99, with weight decay."""
    runs = bundle.under(rounding, "headline", "grok", "square")
    behind: dict[float, list[int]] = {0.5: [], 0.99: []}
    for level, differences in behind.items():
        for run in runs:
            fired, there = fire(bundle.gap(run)), reached(bundle.column(run, TEST), level)
            if fired is not None and there is not None:
                differences.append(fired - there)
    answer = _each({f"after test ≥ {level}": middle(differences) for level, differences in behind.items()})
    later, name = sum(difference > 0 for difference in behind[0.99]), "fire later than test ≥ 0.99"
    return Answer(f"{answer.text}; {name} {later}/{len(runs)}", answer.estimates | {name: share(later, len(runs))})


def plateau(bundle: Bundle, rounding: str) -> Answer:
    """The gap about epochs 300 and 400, with weight decay, and its ratio seed by seed."""
    gaps = [bundle.gap(run) for run in bundle.under(rounding, "headline", "grok", "square")]
    at300, at400 = (np.array([np.median(gap[epoch - 10 : min(epoch + 10, 400) + 1]) for gap in gaps]) for epoch in (300, 400))
    return _each({"λ₂/λ₃ at 300": middle(at300), "λ₂/λ₃ at 400": middle(at400), "ratio": middle(at400 / at300)})


def collapse(bundle: Bundle, rounding: str) -> Answer:
    """λ₃ at epoch 150 over that at 200, with weight decay."""
    series = [bundle.column(run, LAMBDA_3) for run in bundle.under(rounding, "headline", "grok", "square")]
    estimate = middle([each.loc[150] / each.loc[200] for each in series])
    return Answer(words(estimate), {"λ₃ at 150 over 200": estimate}, f"{log10(estimate[0]):.3g} orders")


def fresh(bundle: Bundle, _: str, group: str, activation: str, key: str) -> Answer:
    """Runs on fresh seeds that fire; one-sided 95 % bounds are the ends of a two-sided 90 % interval."""
    runs = bundle.of("fresh", group, activation=activation, labels="true", n_train="2016").values()
    epochs = [fire(bundle.gap(run)) for run in runs]
    k, n = len(_seen(epochs)), len(epochs)
    bounds = "one-sided 95 % bounds {} and {}".format(*(digits(bound) for bound in share(k, n, 0.90)[1:]))
    text = f"{k}/{n}, {bounds}" if key == "fire" else f"{k} of {n} fire, {bounds}"
    return Answer(text, {key: share(k, n)}, f"at {_seen(epochs)}" if 0 < k < n else "")


def fresh_relu(bundle: Bundle, rounding: str) -> Answer:
    """The same of ReLU, with weight decay and without."""
    names = {"weight decay": "grok", "without weight decay": "eta0"}
    answers = {name: fresh(bundle, rounding, group, "relu", name) for name, group in names.items()}
    text = "; ".join(f"{name} {answer.text}" for name, answer in answers.items())
    return Answer(text, {name: answer.estimates[name] for name, answer in answers.items()})


def _repulsion(bundle: Bundle) -> dict[str, tuple[Array, Array]]:
    """(S,) shares of the 200 most similar pairs that repel at epochs 0 and 300, by ridge."""
    nulls = pd.read_parquet(bundle.folder / "tables" / "repulsion_nulls.parquet")
    top = nulls[(nulls.kind == "top") & (nulls.features == "network")]
    counts = top.groupby(["ridge", "epoch", "run_id"])[["pairs", "repel"]].sum()
    rates = counts["repel"] / counts["pairs"].where(counts["pairs"] == 200)
    runs = list(bundle.of("headline", "grok").values())
    two = {"ridge η": "published", "ridge nη/2": "mean_loss"}
    return {name: (rates[ridge, 0].loc[runs].to_numpy(), rates[ridge, 300].loc[runs].to_numpy()) for name, ridge in two.items()}


def repulsion(bundle: Bundle, _: str) -> Answer:
    """The change of the repulsion rate from epoch 0 to 300, seed by seed, at two ridges."""
    said, estimates = [], Estimates()
    for name, (start, end) in _repulsion(bundle).items():
        change, untrained, trained = middle(end - start), middle(start), middle(end)
        estimates |= {f"change at {name}": change, f"untrained at {name}": untrained, f"epoch 300 at {name}": trained}
        alike = "alike" if change[1] >= -0.02 and change[2] <= 0.02 else "?"
        verdict = "rises" if change[1] > 0 and change[0] >= 0.02 else alike
        said.append(f"{name}: {words(change)} ({verdict}), from {digits(untrained[0])} untrained to {digits(trained[0])}")
    return Answer("rate(300) − rate(0): " + "; ".join(said), estimates)


def repulsion_flips(bundle: Bundle, _: str) -> Answer:
    """The sign-flip tests of the same, as the claim's note has them."""
    tests = {name: (flip(end - start), len(end)) for name, (start, end) in _repulsion(bundle).items()}
    return Answer("; ".join(f"{name}: exact sign-flip test over {n} seeds, p = {p:.2g}" for name, (p, n) in tests.items()))


def eta_line(bundle: Bundle, _: str) -> Answer:
    """The epoch of ρ ≥ 0.075 on that of test ≥ 0.5 over the sweep of η; intervals leave out a seed at a time."""
    points = []
    for group in ("η 1e-5", "η 5e-5", "η 1e-4", "η 2e-4", "η 5e-4"):
        for seed, run in bundle.of("eta", group, epochs="600").items():
            half, crossed = reached(bundle.column(run, TEST), 0.5), reached(bundle.column(run, RHO), 0.075)
            if half is not None and crossed is not None:
                points.append((seed, half, crossed))
    seeds, x, y = np.array(points, dtype=float).T
    names, n = np.unique(seeds), len(np.unique(seeds))
    left = np.array([line(x[seeds != seed], y[seeds != seed]) for seed in names])
    width = np.sqrt((n - 1) / n * ((left - left.mean(axis=0)) ** 2).sum(axis=0)) * stats.t.ppf(0.975, n - 1)
    estimates: Estimates = {
        name: (value, value - error, value + error)
        for name, value, error in zip(("slope", "intercept", "R²"), line(x, y), width, strict=True)
    }
    return Answer(_each(estimates).text, estimates, f"{len(x)} runs")


def rho(bundle: Bundle, _: str) -> Answer:
    """The first epoch with ρ ≥ 0.075, seen at every epoch to 100 (onset.parquet)."""
    onset = pd.read_parquet(bundle.folder / "tables" / "onset.parquet").set_index("epoch").sort_index()
    runs = list(bundle.of("headline", "grok").values())
    epochs = _seen(reached(onset.loc[onset.run_id == run, RHO], 0.075) for run in runs)
    estimate = middle(epochs)
    text = f"fires {len(epochs)}/{len(runs)}; epoch {words(estimate)}"
    return Answer(text, {"fires": share(len(epochs), len(runs)), "epoch": estimate})


def scaling(bundle: Bundle, _: str) -> Answer:
    """M = 127, p = 0.5: runs that grok, train accuracy at 250, runs without ρ at the end."""
    runs = list(bundle.of("scaling", "M 127", n_train="8064").values())
    grown = len(_seen(reached(bundle.column(run, TEST), 0.99) for run in runs))
    accuracy = middle([bundle.column(run, TRAIN).loc[250] for run in runs])
    gone = sum(bool(np.isnan(bundle.column(run, RHO).iloc[-1])) for run in runs)
    text = f"grok {grown}/{len(runs)}; train accuracy at 250 {words(accuracy)}; no ρ at the end {gone}/{len(runs)}"
    counts: Estimates = {"grok": share(grown, len(runs)), "no ρ at the end": share(gone, len(runs))}
    return Answer(text, counts | {"train accuracy at 250": accuracy})


def sign_match(bundle: Bundle, _: str) -> Answer:
    """The published estimator of five seeds: median and range, quartiles at 50 and 300."""
    series = [bundle.column(run, PUBLISHED) for seed, run in bundle.of("headline", "grok").items() if seed < 5]
    said, estimates = [], Estimates()
    for epoch in (50, 100, 175, 250, 300):
        values = [each.loc[epoch] for each in series]
        estimates[f"epoch {epoch}"] = middle(values)
        said.append(f"epoch {epoch} {words(middle(values))}")
        if epoch in (50, 300):
            low, value, high = np.quantile(values, [0.25, 0.5, 0.75])
            estimates[f"epoch {epoch} quartiles"] = (value, low, high)
            said.append(f"epoch {epoch} quartiles [{digits(low)}, {digits(high)}]")
    return Answer("; ".join(said), estimates)


def window_30(bundle: Bundle, rounding: str) -> Answer:
    """Fire epochs and late gap of three seeds at window 30, from the gap series of bands."""
    table = pd.read_parquet(bundle.folder / "tables" / "derived" / "gaps.parquet")
    table = table[table.series == "gram w=30 k=2 seed=0"]
    said, estimates = [], Estimates()
    for group in ("grok", "eta0"):
        runs = bundle.under(rounding, "headline", group, "square")[:3]
        gaps = [table.loc[table.run_id == run, "value"].to_numpy() for run in runs]
        if any(len(gap) != 401 for gap in gaps):
            raise LookupError("a gap series at window 30")
        epochs = _seen(fire(gap) for gap in gaps)
        there = [str(epoch) for epoch in epochs] + ["–"] * (len(gaps) - len(epochs))
        estimate = middle([late(gap) for gap in gaps])
        estimates |= {f"{group} late gap": estimate} | ({f"{group} fires": middle(epochs)} if epochs else {})
        said.append(f"{group} fires {', '.join(there)}; {group} late gap {words(estimate)}")
    return Answer("; ".join(said), estimates)


CLAIMS: dict[tuple[str, str], Callable[[Bundle, str], Answer]] = {
    ("headline-grok-fires", "measured"): partial(fires, group="grok"),
    ("headline-control-fires", "measured"): partial(fires, group="eta0"),
    ("headline-separation", "value"): partial(separation, study="headline", activation="square"),
    ("lags", "measured"): lags,
    ("plateau", "measured"): plateau,
    ("lambda3-collapse", "measured"): collapse,
    ("relu-separation", "value"): partial(separation, study="relu", activation="relu"),
    ("window-30", "measured"): window_30,
    ("fresh-grok-fires", "measured"): partial(fresh, group="grok", activation="square", key="fire"),
    ("fresh-control-fires", "measured"): partial(fresh, group="eta0", activation="square", key="fires"),
    ("fresh-relu-fires", "measured"): fresh_relu,
    ("repulsion-rises", "measured"): repulsion,
    ("repulsion-rises", "note"): repulsion_flips,
    ("eta-regression", "measured"): eta_line,
    ("rho-0.075", "measured"): rho,
    ("scaling-127-0.5", "measured"): scaling,
    ("sign-match-square-5", "measured"): sign_match,
}
"""What is recomputed: by claim and the part of its words that is held: all that was measured, its value, the note's start."""
