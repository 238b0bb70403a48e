"""Where `analysis` and `entry_points` are: beside this package in a clone, inside it where it is installed.

Their names are common, so that an installed copy keeps them in `grok/_installed`, where they are nobody's top-level packages;
the command `grok` and `grok.analysis` put that folder on the path of their own process.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parent
NAMES = ("analysis", "entry_points")


def folder() -> Path:
    """The folder that has both."""
    clone = PACKAGE.parent
    return clone if (clone / "MLproject").is_file() else PACKAGE / "_installed"


def mount() -> Path:
    """Make both importable under their names, and the modules of the current folder after them.

    Returns:
        The folder that is on the path now.

    Raises:
        ImportError: if another `analysis` or `entry_points` was imported already.
    """
    place = folder()
    for name in NAMES:
        there = sys.modules.get(name)
        if there is not None and not _within(there, place):
            raise ImportError(f"{name} must be that of grok-registry, got {there.__file__}. Import grok.analysis before it.")
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
        importlib.invalidate_caches()
    return place


def _within(module: ModuleType, place: Path) -> bool:
    return module.__file__ is not None and Path(module.__file__).resolve().is_relative_to(place)
