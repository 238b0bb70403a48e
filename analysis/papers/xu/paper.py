"""The paper itself, and the sentence that the answers to our questions make."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.exhibits.model import Answered
from analysis.exhibits.paper import Paper
from analysis.statistics.estimates import Estimate

KINDS = {
    "square, groks": "{} networks that grok with x²",
    "ReLU, groks": "{} with ReLU",
    "square, data starved": "{} (x², too few training pairs)",
    "square, random labels": "{} (x², random labels)",
    "ReLU, data starved": "{} (ReLU, too few training pairs)",
    "ReLU, random labels": "{} (ReLU, random labels)",
}
"""How the kinds of runs of the question `marks-grokking` are said."""
FRESH = {"square, random labels": "random labels", "square, data starved": "too few pairs"}
"""The same kinds on fresh seeds, as the question `fresh-negatives` has them."""


def of(share: Estimate) -> str:
    """`4/15`."""
    return f"{round(share.value * share.n)}/{share.n}"


def surprise(answers: Mapping[str, Answered]) -> str:
    """Whether the detector tells networks that grok from those that do not, in counts; of these the kind that fires most."""
    asked = answers.get("marks-grokking")
    if asked is None or not asked.text:
        return ""
    if asked.text.startswith("Yes"):
        return "the detector fires in every network that groks and in none that cannot: here it marks grokking."
    shares = {name: share for name, share in asked.estimates.items() if name in KINDS}
    positives = [KINDS[name].format(of(share)) for name, share in shares.items() if name.endswith("groks")]
    text = f"the detector does not mark grokking: it fires in {', '.join(positives)}"
    negatives = {name: share.value for name, share in shares.items() if not name.endswith("groks") and share.value}
    if not negatives:
        return f"{text}."
    most = max(negatives, key=negatives.__getitem__)
    asked_fresh = answers.get("fresh-negatives")
    fresh = dict(asked_fresh.estimates) if asked_fresh is not None and asked_fresh.text else {}
    told = KINDS[most].format(of(shares[most]))
    if FRESH.get(most) in fresh:
        told = told.replace(")", f"; {of(fresh[FRESH[most]])} on fresh seeds)")
    return f"{text}, and in {told} that cannot generalise."


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
