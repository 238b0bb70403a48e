"""The papers, a wing each; no wing imports another."""

from analysis.exhibits.model import Claim
from analysis.papers.xu import headline, meaning, rebuttal, repulsion, sweeps, windows

CLAIMS: tuple[Claim, ...] = (
    *headline.CLAIMS,
    *meaning.CLAIMS,
    *windows.CLAIMS,
    *rebuttal.CLAIMS,
    *repulsion.CLAIMS,
    *sweeps.CLAIMS,
)
"""Every published statement, in the order of the report."""
