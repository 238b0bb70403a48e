"""What a signal needs of a run that its config says."""

from __future__ import annotations

from typing import Any

from grok.spec.config import RunConfig
from grok.spec.published import DEFAULT_NETWORK

FIELDS = ("window", "seed", "learning_rate", "weight_decay")
"""Needs of the run that are fields of the config."""


def run_needs(config: RunConfig) -> dict[str, Any]:
    """The needs of kind `run`, of a config."""
    resolved = config.resolved()
    elements = resolved.modulus - (resolved.task == "multiplication")
    given = {"modulus": elements, "symbols": resolved.modulus, "cross_entropy": resolved.network != DEFAULT_NETWORK}
    return given | {name: getattr(resolved, name) for name in FIELDS}
