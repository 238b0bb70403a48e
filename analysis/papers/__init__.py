"""The papers, a wing each; no wing imports another. What they hold against the runs is gathered here."""

from analysis.exhibits.model import Chapter, Claim
from analysis.exhibits.panels import Panel
from analysis.papers.xu import errata, headline, meaning, panels, rebuttal, repulsion, sweeps, windows

CLAIMS: tuple[Claim, ...] = (
    *headline.CLAIMS,
    *meaning.CLAIMS,
    *windows.CLAIMS,
    *rebuttal.CLAIMS,
    *repulsion.CLAIMS,
    *sweeps.CLAIMS,
)
"""Every published statement, in the order of the report."""
ERRATA: tuple[Chapter, ...] = errata.CHAPTERS
"""Every chapter of the errata, in the order of the report."""
PANELS: tuple[Panel, ...] = panels.PANELS
"""Every figure, in the order of the report."""
