"""The paper itself, and the sentence that the answer to our question makes."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.exhibits.model import Answered
from analysis.exhibits.paper import Paper


def surprise(answers: Mapping[str, Answered]) -> str:
    """What the flip of grad% follows, as the question says; empty where its runs are absent."""
    asked = answers.get("lifecycle-what-the-flip-follows")
    if asked is None or not asked.text:
        return ""
    told = asked.text.removeprefix("Follows ").rstrip(".")
    return f"What the fall of grad% follows. {told[0].upper()}{told[1:]}."


PAPER = Paper(
    name="Xu",
    title="The Lifecycle of the Spectral Edge",
    address="https://arxiv.org/abs/2604.07380",
    asks="Does the leading direction of a transformer's updates turn from the gradient's to weight decay's at grokking, or do "
    "the decay of the initial weights and the window of the measurement make the same picture?",
    surprise=surprise,
    figure="lifecycle-flip",
)
