"""The papers, a wing each; no wing imports another. What they hold against the runs is gathered here."""

from analysis.exhibits.model import Chapter, Claim, Question
from analysis.exhibits.panels import Panel
from analysis.papers.xu import (
    cause,
    errata,
    headline,
    meaning,
    panels,
    rank_panels,
    ranks,
    rebuttal,
    repulsion,
    repulsion_nulls,
    starved,
    sweeps,
    windows,
)

CLAIMS: tuple[Claim, ...] = (
    *headline.CLAIMS,
    *meaning.CLAIMS,
    *ranks.CLAIMS,
    *windows.CLAIMS,
    *repulsion.CLAIMS,
    *repulsion_nulls.CLAIMS,
    *sweeps.CLAIMS,
    *rebuttal.CLAIMS,
)
"""Every published statement, in the order of the report."""
QUESTIONS: tuple[Question, ...] = (
    *meaning.QUESTIONS,
    *cause.QUESTIONS,
    *ranks.QUESTIONS,
    *repulsion.QUESTIONS,
    *repulsion_nulls.QUESTIONS,
    *starved.QUESTIONS,
)
"""What nobody has published an answer to, in the order of the report."""
ERRATA: tuple[Chapter, ...] = errata.CHAPTERS
"""Every chapter of the errata, in the order of the report."""
PANELS: tuple[Panel, ...] = (*panels.PANELS, *rank_panels.PANELS, *cause.PANELS)
"""Every figure, in the order of the report."""
