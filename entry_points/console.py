"""The command `grok`: `grok train …` is `python -m entry_points.train …`, with the same flags.

`grok NAME --help` explains a command, `grok completion bash` prints what a shell completes it by.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from entry_points.cli import OneLineParser, run_main
from grok.spec.fields import ConfigError, did_you_mean, shown

COMMANDS = {
    "main": "the study `quick`, then the sensitivity of its findings and the report",
    "train": "one network",
    "study": "a named grid of runs",
    "measure": "tables that claims read, of finished runs",
    "signals": "published signals of finished runs",
    "sensitivity": "does the detector's setting make the result?",
    "analyze": "every published number against the runs, as a report",
    "export": "runs as a folder that can be handed on",
    "import": "and back",
    "rebase": "a moved store",
}
"""What each does, in words; the modules of `entry_points` that have a `main`."""
SHELLS = ("bash", "zsh", "tcsh")
MODULE, COMMAND = "python -m entry_points.", "grok "
"""How messages spell a command, and how this one is called."""


class Spelled:
    """A stream on which `python -m entry_points.train` is `grok train`: what a reader of it can run."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, with commands as they are called here."""
        self._stream.write(text.replace(MODULE, COMMAND))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def usage() -> str:
    """What is said without a command."""
    wide = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{wide}}{told}" for name, told in COMMANDS.items()]
    return "\n".join(["usage: grok COMMAND [flags]", "", *lines, "", "grok COMMAND --help has the flags; grok --version"])


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the first word names; leaves with its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    out, err = sys.stdout, sys.stderr
    sys.argv = ["grok", *words[1:]]
    sys.stdout, sys.stderr = Spelled(out), Spelled(err)
    try:
        run_main(lambda rest: _run(words[0] if words else "--help", rest))
    finally:
        sys.stdout, sys.stderr = out, err


def _run(name: str, rest: list[str]) -> int:
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name in ("-V", "--version"):
        import grok

        print(f"grok-registry {grok.__version__}")
        return 0
    if name == "completion":
        return _complete(rest)
    if name not in COMMANDS:
        told = did_you_mean(name, COMMANDS, "See grok --help.")
        raise ConfigError(f"command must be one of {', '.join(COMMANDS)}, got {shown(name)}. {told}")
    return int(importlib.import_module(f"entry_points.{name}").main(rest))


def parser() -> OneLineParser:
    """Every command with its flags as one parser, for a shell that completes them."""
    out = OneLineParser(prog="grok", description=__doc__)
    commands = out.add_subparsers(dest="command")
    for name, told in COMMANDS.items():
        module = importlib.import_module(f"entry_points.{name}")
        if hasattr(module, "parser"):
            commands.add_parser(name, help=told, parents=[module.parser()], conflict_handler="resolve")
        else:
            commands.add_parser(name, help=told)
    return out


def _complete(rest: list[str]) -> int:
    """Print the completion of a shell."""
    if len(rest) != 1 or rest[0] not in SHELLS:
        raise ConfigError(f"completion must be of one of {', '.join(SHELLS)}, got {' '.join(rest) or 'none'}. Name your shell.")
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise ConfigError("completion must have shtab, got none. pip install shtab.") from error
    print(shtab.complete(parser(), shell=rest[0]))
    return 0


if __name__ == "__main__":
    main()
