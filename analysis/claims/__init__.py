"""Every published number as a claim with a verdict."""

from analysis.claims.model import VERDICTS, Claim, Measured, Result
from analysis.claims.registry import CLAIMS, evaluate

__all__ = ["CLAIMS", "VERDICTS", "Claim", "Measured", "Result", "evaluate"]
