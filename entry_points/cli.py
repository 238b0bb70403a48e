"""What every command line shares: one-line errors, clean stops."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import re
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grok.spec.fields import ConfigError, shown
from grok.spec.plugins import blamed
from grok.store.errors import LONGEST, PACKAGES, POSTGRES, brief, one_line, step

INTERRUPTED = 130
NO_WORDS: dict[type[BaseException], str] = {
    RecursionError: "input must not be nested so deep. Flatten it",
    MemoryError: "memory must hold the work, got none left. Lower width, modulus, max_window or the number of workers",
}
"""What is said where Python says nothing of use."""
EXTRAS = {"mlflow": "registry", "distributed": "dask", "psycopg2": "postgres"}
"""By the package that is missing, the extra of the project that has it; the others that it imports are of `registry`."""
ADAPTERS = ("lightning", "transformers", "accelerate", "ignite")
OURS = ("grok", "analysis", "entry_points")
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables of the environment that say how threads wait for each other."""
SPINS = "1000"
"""Looks of a waiting thread before it sleeps, of some nanoseconds each; measured by `benchmarks.waiting`."""
IDLE = 0.25
"""Load a core below which a machine does nothing else, where nobody says who is at work."""
SPELT = {"optimiser": "optimizer", "batchsize": "batch_size", "lr": "learning_rate", "wd": "weight_decay"}
"""What flags are called elsewhere."""
FAULTS = (LookupError, TypeError, AttributeError, AssertionError, ArithmeticError)
"""Errors whose text alone, say `'x'`, tells nobody anything."""
LONGEST_NUMBER = 19
"""Characters of a whole number."""


class OneLineParser(argparse.ArgumentParser):
    """argparse whose errors are one line, without the usage before them; exit status 2."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # argparse takes -1e-4 for a flag

    def error(self, message: str) -> Any:
        """Print one line and leave with status 2.

        Raises:
            Refused: always.
        """
        told = f"{message}.{self._meant(message)} See --help."
        print(f"error: {told}", file=sys.stderr)
        raise Refused(told)

    def exit(self, status: int = 0, message: str | None = None) -> Any:
        """Leave as argparse does after `--help`.

        Raises:
            Left: always.
        """
        if message:
            self._print_message(message, sys.stderr)
        raise Left(status)

    def _meant(self, message: str) -> str:
        """Flags that an unknown one may be meant for."""
        flags = {option for action in self._actions for option in action.option_strings if option.startswith("--")}
        found: list[str] = []
        for word in re.findall(r"--[\w-]+", message if message.startswith("unrecognized") else ""):
            name = word.removeprefix("--").replace("-", "_")
            known = f"--{SPELT.get(name, name).replace('_', '-')}"
            found += [known] if known in flags else difflib.get_close_matches(word, flags, n=1, cutoff=0.7)
        return f" Did you mean {', '.join(dict.fromkeys(found))}?" if found else ""

    def valued(self) -> dict[str, Any]:
        """The default of each flag that takes a value, by its name."""
        return {action.dest: action.default for action in self._actions if action.nargs != 0}


class Left(SystemExit):
    """A command line that is at its end before there is work: `--help`. Any other `SystemExit` is of somebody else's code."""


class Refused(Left):
    """A command line that cannot be read; status 2, with the reason, which has been printed."""

    def __init__(self, reason: str) -> None:
        super().__init__(2)
        self.reason = reason


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
        with contextlib.suppress(OSError):  # standard error may be closed; print may not be re-entered
            os.write(2, b"stopping: saving the state first (Ctrl-C again stops at once)\n")

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.requested


def run_main(main: Callable[[list[str]], int]) -> None:
    """Run an entry point: one error line and status 2 for bad input, 1 for a failure while running, 130 for a stop.

    What a terminal, a pipe or a full disk does not take of the output is lost, and the work goes on.
    """
    wait_briefly()
    with _streams():
        status = _status(main)
        status = status or _flushed()
    sys.exit(status)


def wait_briefly() -> None:
    """Have threads that wait for each other look for some microseconds and then sleep; before torch is imported.

    They spin for milliseconds otherwise, which is an eighth faster on a machine that does nothing else, and takes twice as
    long on a shared one, whose core the thread needs which they wait for. So they may spin where nobody else is at work, and
    sleep at once where the mean load is above the number of cores. The numbers are the same. Whoever has set one of `WAITING`
    has decided.

    Who is at work Linux tells. Elsewhere the mean load does, in which one's own last command lingers. macOS has that mean, but
    its OpenMP knows `OMP_WAIT_POLICY` alone: threads sleep there above a load of one a core, and spin below it. Windows has
    neither, and its threads wait as they would.
    """
    if any(name in os.environ for name in WAITING):
        return
    load, others = _load(), _others_run()
    if load is not None and load > 1:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    elif others or (others is None and (load is None or load >= IDLE)):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def _load() -> float | None:
    """The mean load of the last minute for each core that is ours; None where the system does not say so."""
    try:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return os.getloadavg()[0] / cores
    except (AttributeError, OSError):
        return None


def _others_run() -> bool | None:
    """Whether another process wants a core at this moment, as Linux tells and a mean over a minute does not; None elsewhere."""
    try:
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]) > 1
    except (OSError, IndexError, ValueError):
        return None


def _status(main: Callable[[list[str]], int]) -> int:
    try:
        return main(sys.argv[1:])
    except Left as left:  # --help, or what argparse refused
        if isinstance(left, Refused):
            _tell_launcher("refused", left.reason)
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except ConfigError as error:
        return _fail(2, near_first(str(error)))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "stopped. Repeat the command to go on from the last save")
    except (Exception, SystemExit) as error:
        if os.environ.get("GROK_TRACEBACK"):
            raise
        return _fail(getattr(error, "exit_status", 1), blamed(error) or _words(error))


def _words(error: BaseException) -> object:
    """What is said of an error that is none of ours."""
    if isinstance(error, SystemExit):
        return f"command must come to its end, got an exit with {error.code} from code that it called. Mend that code"
    if isinstance(error, FAULTS):
        return f"the command must come to its end, got {type(error).__name__}: {error}. GROK_TRACEBACK=1 before it says where"
    return without(error) if isinstance(error, ModuleNotFoundError) else NO_WORDS.get(type(error), error)


LONG = 120
"""Characters from which on a list of names hides what stands behind it."""
LISTED = re.compile(r"(\w[\w ]* must )be one of (.+?)(, got .+)", re.DOTALL)


def near_first(text: str) -> str:
    """A refusal of a name with what was perhaps meant before the list of all names, where that is long; where what follows the
    list would be cut off, with the name in any case.

    Example:
        >>> near_first(f"x must be one of {', '.join(['alpha'] * 20)}, got b. Did you mean alpha?")[:56]
        'x must be a known name, got b. Did you mean alpha? Known'
    """
    found = LISTED.fullmatch(text) if len(text) > LONG else None
    if found is None or not ("Did you mean" in found[3] or len(text) > LONGEST):
        return text
    return f"{found[1]}be a known name{found[3].rstrip()} Known: {found[2]}."


def without(error: ModuleNotFoundError) -> object:
    """What to install for a package that is not there; the error itself where it is a module of ours or of a user's own."""
    name = (error.name or "").partition(".")[0]
    if not name or name in OURS or os.path.exists(f"{name}.py"):
        return error
    if name == "psycopg":
        return f"the package {name} must be installed, got none. {POSTGRES}"
    if name in PACKAGES:
        return f"the package {name} must be installed, got none. pip install {PACKAGES[name]}"
    extra = "adapters" if name in ADAPTERS else EXTRAS.get(name, "registry")
    return f"the package {name} must be installed, got none. In the project's folder: pip install -e '.[{extra}]'"


def _tell_launcher(state: str, reason: str) -> None:
    """Say on the run that `mlflow run` made for this process why nothing came of it, if nothing has taken it."""
    if not os.environ.get("MLFLOW_RUN_ID"):
        return
    with contextlib.suppress(Exception):  # the store may be what is wrong; the reason is on standard error anyway
        from grok.store.launched import give_reason

        give_reason(state, reason)


class _Lenient(io.TextIOBase):
    """A stream whose failures end no work: a full disk, a closed pipe. The first is remembered."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failed: Exception | None = None

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError) as error:
            self.failed = self.failed or error
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self.failed = self.failed or error

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self._stream.encoding or "utf-8")  # a stream in memory names none


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Standard output and error that take any text as UTF-8, are there, and never fail."""
    with contextlib.ExitStack() as kept:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:  # closed by the caller
                stream = kept.enter_context(open(os.devnull, "w", encoding="utf-8"))
                kept.enter_context(_replaced(name, stream))
            if hasattr(stream, "reconfigure") and str(stream.encoding).lower().replace("-", "") != "utf8":
                stream.reconfigure(encoding="utf-8", errors="replace")
            kept.enter_context(_replaced(name, _Lenient(getattr(sys, name))))
        yield


@contextlib.contextmanager
def _replaced(name: str, stream: Any) -> Iterator[None]:
    before = getattr(sys, name)
    setattr(sys, name, stream)
    try:
        yield
    finally:
        setattr(sys, name, before)


def _flushed() -> int:
    """Hand out what was printed; what cannot be is said, and the work stays done."""
    sys.stdout.flush()
    error = getattr(sys.stdout, "failed", None)
    if error is None:
        return 0
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it leaves
    what = f"{step(error) or 'Keep it open'}, then repeat the command: the work is done and in the store"
    return _fail(1, f"standard output must take the result line, got {brief(error)}. {what}.")


def _fail(status: int, reason: object) -> int:
    line = one_line(reason)
    print(f"error: {line}", file=sys.stderr)
    if status:
        _tell_launcher({2: "refused", INTERRUPTED: "stopped"}.get(status, "failed"), line)
    return status


def integer(name: str) -> Callable[[str], int]:
    """An argparse type: a whole number."""

    def read(text: str) -> int:
        try:
            if len(text) > LONGEST_NUMBER:
                raise ValueError
            return int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{name} must be a whole number, got {shown(repr(text))}") from None

    return read
