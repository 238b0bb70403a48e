"""Where `Range` and `Rule` were first documented to be; they are in `grok` now."""

import warnings

from grok.detectors.base import Range, Rule

__all__ = ["Range", "Rule"]
warnings.warn("grok.rules has moved: write `from grok import Range, Rule`.", DeprecationWarning, stacklevel=2)
