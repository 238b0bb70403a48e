"""The signals as a part of the report: statements of many papers, which no single address has."""

from __future__ import annotations

from analysis.exhibits.paper import Paper
from analysis.papers.signals.surprises import surprise

PART = Paper(
    name="many",
    short="Signals",
    title="one statement each of many papers",
    address="",
    asks="which published signal announces grokking, and is silent where it does not come?",
    surprise=surprise,
    figure="signals-board",
    says={
        "signals-ildr": "ILDR passes 2.5 times before the jump",
        "signals-commutator": "The commutator defect warns ahead",
        "signals-spectral-entropy": "Spectral entropy falls to 0.609 before grokking",
        "signals-norm-peak": "The norm peaks before grokking",
        "signals-logit-scale": "Time is linear in the logit scale",
        "signals-norm-clamp": "Time grows exponentially with a clamped norm",
        "signals-first-passage": "The delay follows from the norm's decay",
        "signals-escape-law": "The delay is an escape by noise",
    },
)
