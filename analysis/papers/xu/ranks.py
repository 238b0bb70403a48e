"""The claim on the ranks of the updates."""

from __future__ import annotations

import numpy as np

from analysis.exhibits.model import ABSTRACT, CAVEAT, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, Claim, Measured
from analysis.exhibits.sources import Sources
from analysis.papers.xu.headline import GROK
from analysis.papers.xu.meaning import late_ratios, ratio_estimates
from analysis.printed.xu import XU
from analysis.statistics import estimates as statistics
from analysis.statistics.estimates import Estimate
from analysis.words import spread


def _ranks(sources: Sources) -> Measured:
    counts, text = dict[str, Estimate](), []
    largest = dict[str, Estimate]()
    for name, study, rank in (("square", "headline", 2), ("relu", "relu", 1)):
        ratios = late_ratios(sources, sources.take(study, condition=GROK))
        ranks = np.nanargmax(ratios, axis=1) + 1
        counts[f"{name} of rank {rank}"] = statistics.clopper_pearson(int((ranks == rank).sum()), len(ranks))
        largest |= {f"{name} {key}": estimate for key, estimate in ratio_estimates(ratios).items()}
        told = ", ".join(f"rank {r} in {int((ranks == r).sum())}" for r in sorted(set(ranks.tolist())))
        text.append(f"{name}: {told} of {len(ranks)}")
    shares = [estimate.value for estimate in counts.values()]
    if all(share == 1 for share in shares):
        verdict = REPRODUCED
    elif all(share >= 0.8 for share in shares):
        verdict = CAVEAT
    else:
        verdict = CONTRADICTED if any(share <= 0.2 for share in shares) else NOT_REPRODUCED
    note = "; ".join(f"{name} {spread(*estimate[:3])}" for name, estimate in largest.items()) + "."
    return Measured("; ".join(text), verdict, counts | largest, note)


CLAIMS = (
    Claim(
        "ranks",
        "The updates of the square network that groks are of rank 2, those of ReLU of rank 1.",
        XU,
        "rank 2; rank 1",
        "the k ≤ 4 with the largest λ_k/λ_{k+1}, per run the median over epochs 200 … 400",
        ("headline", "relu"),
        "Reproduced if every run has the rank that its activation is said to have; with a caveat if 80 % of each do; "
        "contradicted if 20 % or less of one do; otherwise not reproduced.",
        _ranks,
        kind=ABSTRACT,
    ),
)
