"""The block of interventions on the networks of pairs: the temperature of their loss, a clamp on the norm of their weights."""

from __future__ import annotations

from dataclasses import dataclass

from grok.spec.fields import field, finite, whole


@dataclass(frozen=True, kw_only=True)
class PairsBlock:
    """Interventions: temperature of a cross-entropy, clamp of a norm."""

    temperature: float = field(
        1.0,
        "by which outputs are divided in the cross-entropy of a network of pairs",
        "ours: logit scale as an intervention (Khanh, arXiv 2606.18465)",
        finite("1 leaves them", above=0),
        later=True,
    )
    clamp_norm: float = field(
        0.0,
        "norm of all weights together after each step from clamp_at on, by one factor, the moments kept; 0 = free",
        "Truong et al. (arXiv 2606.13753)",
        finite("0 leaves it free", low=0),
        later=True,
    )
    clamp_at: int = field(
        500,
        "step from which on clamp_norm holds",
        "Truong et al. (arXiv 2606.13753): 500",
        whole(0, "0 clamps from the first step on"),
        later=True,
    )
