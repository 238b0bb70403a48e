"""The paper itself, and the sentence that the answers to our questions make."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.exhibits.model import Answered
from analysis.exhibits.paper import Paper
from analysis.papers.xu.fresh import OLD
from analysis.statistics.estimates import Estimate, counts_differ

KINDS = {
    "square, groks": "{} networks with x² that grok",
    "ReLU, groks": "{} networks with ReLU that grok",
    "square, data starved": "{} with x² and too few training pairs",
    "square, random labels": "{} with x² and random labels",
    "ReLU, data starved": "{} with ReLU and too few pairs",
    "ReLU, random labels": "{} with ReLU and random labels",
}
"""How the kinds of runs of the question `marks-grokking` are said."""


def of(share: Estimate) -> str:
    """`4 of 15`."""
    return f"{round(share.value * share.n)} of {share.n}"


def surprise(answers: Mapping[str, Answered]) -> str:
    """Whether the detector tells networks that grok from those that do not, in counts."""
    asked = answers.get("marks-grokking")
    if asked is None or not asked.text:
        return ""
    if asked.text.startswith("Yes"):
        return "The detector fires in every network that groks and in none that cannot: here it marks grokking."
    shares = {name: share for name, share in asked.estimates.items() if name in KINDS}
    positives = [KINDS[name].format(of(share)) for name, share in shares.items() if name.endswith("groks")]
    negatives = [KINDS[name].format(of(share)) for name, share in shares.items() if not name.endswith("groks") and share.value]
    text = f"The detector does not tell networks that grok from those that cannot: it fires in {' and '.join(positives)}"
    text += f", and in {' and '.join(negatives)}, which cannot generalise." if negatives else "."
    fresh = answers.get("fresh-negatives")
    if fresh is not None and fresh.text:
        counts = [
            f"{of(share)} {'' if name.startswith('without') else 'with '}{name}" for name, share in fresh.estimates.items()
        ]
        text += f" On fresh seeds (x²): {', '.join(counts)}.{_unlike(answers)}"
    return text


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
    title="Feature Repulsion and Spectral Lock-in: An Empirical Study of Two-Layer Network Grokking",
    address="https://arxiv.org/abs/2605.08119",
    asks="Does a detector on the slope of the gap λ₂/λ₃, of the spectrum of recent weight updates, fire when a network groks, "
    "and only then?",
    surprise=surprise,
    figure="detector",
)
