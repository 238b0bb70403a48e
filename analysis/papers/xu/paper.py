"""The paper itself, and the sentence that the answers to our questions make."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.exhibits.model import Answered
from analysis.exhibits.paper import Paper
from analysis.papers.xu.fresh import OLD
from analysis.statistics.estimates import Estimate, counts_differ

KINDS = {
    "square, groks": "{} networks that grok with x²",
    "ReLU, groks": "{} that grok with ReLU",
    "square, data starved": "{} with x² and too few training pairs",
    "square, random labels": "{} with x² and random labels",
    "ReLU, data starved": "{} with ReLU and too few training pairs",
    "ReLU, random labels": "{} with ReLU and random labels",
}
"""How the kinds of runs of the question `marks-grokking` are said."""
FRESH = {"square, random labels": "random labels", "square, data starved": "too few training pairs"}
"""The same kinds on fresh seeds, as the question `fresh-negatives` has them."""


def of(share: Estimate) -> str:
    """`4/15`."""
    return f"{round(share.value * share.n)}/{share.n}"


def surprise(answers: Mapping[str, Answered]) -> str:
    """Whether the detector tells networks that grok from those that do not, in counts."""
    asked = answers.get("marks-grokking")
    if asked is None or not asked.text:
        return ""
    if asked.text.startswith("Yes"):
        return "the detector fires in every network that groks and in none that cannot: here it marks grokking."
    shares = {name: share for name, share in asked.estimates.items() if name in KINDS}
    positives = [f"in {KINDS[name].format(of(share))}" for name, share in shares.items() if name.endswith("groks")]
    asked_fresh = answers.get("fresh-negatives")
    fresh = dict(asked_fresh.estimates) if asked_fresh is not None and asked_fresh.text else {}
    again = {name: f" ({of(fresh[FRESH[name]])} on fresh seeds)" for name in FRESH if FRESH[name] in fresh}
    negatives = [
        KINDS[name].format(of(share)) + again.get(name, "")
        for name, share in shares.items()
        if not name.endswith("groks") and share.value
    ]
    text = f"the detector does not mark grokking. It fires {', '.join(positives)}"
    text += f"; of those that cannot generalise, in {', '.join(negatives)}." if negatives else "."
    return f"{text}{_unlike(answers)}"


def _unlike(answers: Mapping[str, Answered]) -> str:
    """Which kinds of fresh runs fire more or less often than those of seeds 0–14, by Fisher's exact test at 5 % each."""
    found = answers["fresh-alike"].estimates if "fresh-alike" in answers else {}
    told = []
    for name, new in found.items():
        old = found.get(f"{name}, {OLD}")
        if old is None:
            continue
        p = counts_differ(round(old.value * old.n), old.n, round(new.value * new.n), new.n)
        if p <= 0.05:
            told.append(f"{name}: {of(old)} on {OLD} against {of(new)} (p = {p:.2g})")
    return f" Not alike on both, each by Fisher's exact test: {'; '.join(told)}." if told else ""


PAPER = Paper(
    name="Xu",
    short="Lock-in",
    title="Feature Repulsion and Spectral Lock-in: An Empirical Study of Two-Layer Network Grokking",
    address="https://arxiv.org/abs/2605.08119",
    asks="does the slope detector fire when a network groks, and only then?",
    surprise=surprise,
    figure="detector",
    says={
        "headline-grok-fires": "The detector fires in every run with decay",
        "headline-control-fires": "The detector never fires without weight decay",
        "relu-never-fires": "With ReLU the detector never fires",
        "ranks": "Updates have rank 2 (x²), 1 (ReLU)",
        "headline-separation": "Late gaps with and without: 229 times apart",
        "fires-only-when-saturated": "The detector fires only when Theorem 6 saturates",
        "repulsion-rises": "The sign match of similar features rises",
        "repulsion-relu-saturates": "With ReLU the sign match saturates at 1.000",
        "repulsion-across-activations": "The sign rule holds across activations",
    },
)
