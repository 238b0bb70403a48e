"""The paper itself, and the sentence that the answer to our question makes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from analysis.exhibits.model import Answered
from analysis.exhibits.paper import Paper

CAUSES = {
    "generalisation": "generalisation",
    "passive decay": "a set time of the initial weights' decay",
    "the window": "the length of its measuring window",
}
"""What the fall could follow, as the question has it and as a reader does."""


def surprise(answers: Mapping[str, Answered]) -> str:
    """What the flip of grad% follows, as the question says; empty where its runs are absent."""
    asked = answers.get("lifecycle-what-the-flip-follows")
    if asked is None or not asked.text:
        return ""
    told = dict(re.findall(rf"({'|'.join(CAUSES)}): (yes|no|cannot be told)", asked.text))
    of = {word: [CAUSES[name] for name, said in told.items() if said == word] for word in ("yes", "no", "cannot be told")}
    pairs = re.search(r"in (\d+ of \d+) choices of N and W, in (\d+ of \d+) in other conditions", asked.text)
    tried = f" (in {pairs[1]} tried, but in {pairs[2]} under other labels, rates or scales)" if pairs else ""
    tried = tried if told.get("the window") == "yes" else ""
    follows = (
        f"the fall of grad% follows {' and '.join(of['yes'])}{tried}" if of["yes"] else "what the fall of grad% follows is open"
    )
    not_ = [f"not {' or '.join(of['no'])}"] if of["no"] else []
    rest = [f"whether it follows {' or '.join(of['cannot be told'])} cannot be told"] if of["cannot be told"] else []
    return f"{'; '.join([', '.join([follows, *not_]), *rest])}."


PAPER = Paper(
    name="Xu",
    short="Lifecycle",
    title="The Lifecycle of the Spectral Edge",
    address="https://arxiv.org/abs/2604.07380",
    asks="does the edge of a transformer's updates turn from gradient (grad%) to weight decay as it groks?",
    surprise=surprise,
    figure="lifecycle-flip",
    says={
        "lifecycle-at-grokking": "grad% of the edge flips at grokking",
        "lifecycle-two-phases": "Gradient drives the edge before, weight decay after",
        "lifecycle-24-of-24": "The edge compresses only in runs that grok",
        "lifecycle-flat-yet-critical": "The edge is flat, yet critical to ablation",
        "lifecycle-not-a-norm-effect": "Its ablation is no effect of norm",
        "lifecycle-re-encoded": "Depth is re-encoded: linear R² falls",
    },
)
