"""Published signals and laws that are not computed here, each with what is missing: rows of the leaderboard that say so."""

from __future__ import annotations

from typing import NamedTuple

RECIPE = "no public recipe"
"""What is missing where a paper defines a quantity but not how it is measured."""


class Untestable(NamedTuple):
    """A published signal without a file here.

    Attributes:
        name: short. paper: authors and arXiv number. missing: what would have to be there.
    """

    name: str
    paper: str
    missing: str


UNTESTABLE: tuple[Untestable, ...] = (
    Untestable(
        "beta_ratio",
        "Yang, arXiv 2605.24057",
        f"{RECIPE} of the estimator of β(t); `anisotropy` and `mixture_precision` are two stated proxies",
    ),
    Untestable("energy_threshold", "Khanh, arXiv 2606.07563", f"{RECIPE} of E_c; the norm's peak is `norm_peak`"),
    Untestable("two_fields", "Khanh, arXiv 2605.16325", f"{RECIPE}: the theory names no measurement"),
    Untestable(
        "exposure_split", "A Pre-Training Analogue of Grokking, arXiv 2606.00230", "language-model checkpoints and their corpus"
    ),
    Untestable(
        "escape_law",
        "Ersoy and Wiesner, arXiv 2606.17120",
        "a law over runs, no series of one: a full batch has no noise temperature. The study signals-arrhenius tests it",
    ),
    Untestable(
        "norm_clamp",
        "Truong et al., arXiv 2606.13753",
        "an intervention, no series: weights clamped to a norm. The study signals-clamp tests it",
    ),
    Untestable(
        "critical_decay",
        "Verma, arXiv 2605.20441",
        "a sweep of λ with attention: over one the paper has λ_c = 0.0158, its follow-up no value beyond clock, loss and norm. "
        "Of signals-ce the runs that grok have one decay. The series are `head_cosine` and `head_entropy`",
    ),
)
"""In the order of the leaderboard."""
