"""The one way from a store to tables. For notebooks: `from analysis.reading import tidy`."""

from analysis.reading.runs import tidy

__all__ = ["tidy"]
