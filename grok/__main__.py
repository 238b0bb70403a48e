"""`grok COMMAND …`, also as `python -m grok COMMAND …`: the command lines, from any folder."""

from __future__ import annotations

import importlib
import os
import sys

from grok._beside import mount


def main() -> None:
    """Run the command that the first word names; a user's own modules are found in the current folder."""
    mount()
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(1, here)
    importlib.import_module("entry_points.console").main()


if __name__ == "__main__":
    main()
