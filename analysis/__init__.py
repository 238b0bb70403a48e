"""Analysis of tracked runs: tables, claims, figures and reports. Reads the store, never trains.

`analysis.runs(study)` and `analysis.tidy(study)` are its tables, `analysis.figures` draws. Names are imported when they are
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis import figures as figures
    from analysis.reading.asked import runs as runs
    from analysis.reading.asked import tidy as tidy

_HOMES = {"runs": "reading.asked", "tidy": "reading.asked"}


def __getattr__(name: str) -> Any:
    if name == "figures":
        return import_module("analysis.figures")
    if name not in _HOMES:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    return getattr(import_module(f"analysis.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*_HOMES, "figures"))
