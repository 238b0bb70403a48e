"""The papers, a wing each; no wing imports another. What they hold against the runs is gathered here."""

from analysis.exhibits.model import Chapter, Claim, Question
from analysis.exhibits.panels import Panel
from analysis.exhibits.paper import Paper
from analysis.papers.lifecycle import (
    ablation_sentences,
    anatomy,
    classes,
    controls,
    flip,
    flip_sentences,
    numbers,
    scan,
    sentences,
    side,
)
from analysis.papers.lifecycle import errata as lifecycle_errata
from analysis.papers.lifecycle import panels as lifecycle_panels
from analysis.papers.lifecycle import paper as lifecycle_paper
from analysis.papers.signals import board, events, laws, published
from analysis.papers.signals import panels as signal_panels
from analysis.papers.signals import paper as signals_paper
from analysis.papers.xu import (
    cause,
    designs,
    errata,
    fresh,
    headline,
    horizon,
    meaning,
    notes,
    panels,
    paper,
    phase,
    rank_panels,
    ranks,
    rebuttal,
    repulsion,
    repulsion_errata,
    repulsion_nulls,
    repulsion_questions,
    rounding,
    sign_rule,
    starved,
    sweeps,
    windows,
)

PAPERS: tuple[Paper, ...] = (paper.PAPER, lifecycle_paper.PAPER)
"""What is held against the runs."""
PARTS: tuple[Paper, ...] = (*PAPERS, signals_paper.PART)
"""The same, and what many papers say one statement each of."""
LOCK_IN: tuple[Claim, ...] = (
    *headline.CLAIMS,
    *phase.CLAIMS,
    *notes.CLAIMS,
    *meaning.CLAIMS,
    *ranks.CLAIMS,
    *windows.CLAIMS,
    *repulsion.CLAIMS,
    *repulsion_nulls.CLAIMS,
    *sign_rule.CLAIMS,
    *sweeps.CLAIMS,
    *fresh.CLAIMS,
    *rebuttal.CLAIMS,
)
LIFECYCLE: tuple[Claim, ...] = (
    *flip_sentences.CLAIMS,
    *ablation_sentences.CLAIMS,
    *sentences.CLAIMS,
    *classes.CLAIMS,
    *numbers.CLAIMS,
    *anatomy.CLAIMS,
    *side.CLAIMS,
    *scan.CLAIMS,
)
SIGNALS: tuple[Claim, ...] = (*published.CLAIMS, *laws.CLAIMS)
CLAIMS: tuple[Claim, ...] = (*LOCK_IN, *LIFECYCLE, *SIGNALS)
"""Every published statement, in the order of the report."""
SAID = {paper.PAPER.address: LOCK_IN, lifecycle_paper.PAPER.address: LIFECYCLE, signals_paper.PART.address: SIGNALS}
"""The statements of each part, by its address."""
QUESTIONS: tuple[Question, ...] = (
    *meaning.QUESTIONS,
    *cause.QUESTIONS,
    *horizon.QUESTIONS,
    *ranks.QUESTIONS,
    *repulsion.QUESTIONS,
    *repulsion_questions.QUESTIONS,
    *starved.QUESTIONS,
    *fresh.QUESTIONS,
    *flip.QUESTIONS,
    *controls.QUESTIONS,
    *classes.QUESTIONS,
    *board.QUESTIONS,
    *events.QUESTIONS,
)
"""What nobody has published an answer to, in the order of the report."""
ERRATA: tuple[Chapter, ...] = (
    *fresh.CHAPTERS,
    *rounding.CHAPTERS,
    *designs.CHAPTERS,
    *repulsion_errata.CHAPTERS,
    *errata.CHAPTERS,
    *flip.CHAPTERS,
    *ablation_sentences.CHAPTERS,
    *lifecycle_errata.CHAPTERS,
    *classes.CHAPTERS,
    *board.CHAPTERS,
    *events.CHAPTERS,
)
"""Every chapter, in the order of the report, those of a section together."""
PANELS: tuple[Panel, ...] = (
    *panels.PANELS,
    *rank_panels.PANELS,
    *cause.PANELS,
    *rounding.PANELS,
    *lifecycle_panels.PANELS,
    *signal_panels.PANELS,
)
"""Every figure, in the order of the report."""
