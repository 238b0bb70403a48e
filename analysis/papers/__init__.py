"""The papers, a wing each; no wing imports another. What they hold against the runs is gathered here."""

from analysis.exhibits.model import Chapter, Claim, Question
from analysis.exhibits.panels import Panel
from analysis.papers.lifecycle import flip, numbers, sentences
from analysis.papers.lifecycle import panels as lifecycle_panels
from analysis.papers.xu import errata, headline, meaning, panels, ranks, rebuttal, repulsion, sweeps, windows

CLAIMS: tuple[Claim, ...] = (
    *headline.CLAIMS,
    *meaning.CLAIMS,
    *ranks.CLAIMS,
    *windows.CLAIMS,
    *repulsion.CLAIMS,
    *sweeps.CLAIMS,
    *rebuttal.CLAIMS,
    *flip.CLAIMS,
    *sentences.CLAIMS,
    *numbers.CLAIMS,
)
"""Every published statement, in the order of the report."""
QUESTIONS: tuple[Question, ...] = (*meaning.QUESTIONS, *repulsion.QUESTIONS, *flip.QUESTIONS)
"""What nobody has published an answer to, in the order of the report."""
ERRATA: tuple[Chapter, ...] = (*errata.CHAPTERS, *flip.CHAPTERS, *sentences.CHAPTERS)
"""Every chapter of the errata, in the order of the report."""
PANELS: tuple[Panel, ...] = (*panels.PANELS, *lifecycle_panels.PANELS)
"""Every figure, in the order of the report."""
