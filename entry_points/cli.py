"""What every command line shares: one-line errors, clean stops."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

from grok.spec.fields import ConfigError

INTERRUPTED = 130


class OneLineParser(argparse.ArgumentParser):
    """argparse whose errors are one line, without the usage before them; exit status 2."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # argparse takes -1e-4 for a flag

    def error(self, message: str) -> Any:
        """Print one line and leave with status 2."""
        self.exit(2, f"{self.prog}: {message}. See --help.\n")

    def valued(self) -> dict[str, Any]:
        """The default of each flag that takes a value, by its name."""
        return {action.dest: action.default for action in self._actions if action.nargs != 0}


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a request to save and stop; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        os.write(2, b"stopping: saving the state first (Ctrl-C again stops at once)\n")  # print may not be re-entered

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.requested


def run_main(main: Callable[[list[str]], int]) -> None:
    """Run an entry point: one error line and status 2 for bad input, 1 for a failure while running, 130 for a stop."""
    try:
        status = main(sys.argv[1:])
    except ConfigError as error:
        status = _fail(2, error)
    except KeyboardInterrupt:
        status = _fail(INTERRUPTED, "stopped. The same command goes on from the last save")
    except Exception as error:
        status = _fail(getattr(error, "exit_status", 1), error)
        if os.environ.get("GROK_TRACEBACK"):
            raise
    sys.exit(status)


def _fail(status: int, reason: object) -> int:
    line = " ".join(str(reason).split()) or type(reason).__name__
    print(f"error: {line}", file=sys.stderr)
    return status


def integer(name: str) -> Callable[[str], int]:
    """An argparse type: a whole number."""

    def read(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{name} must be a whole number, got {text!r}") from None

    return read
