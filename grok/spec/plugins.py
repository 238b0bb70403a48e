"""Plug-ins: a file of a room is a plug-in, its name is its name on the command line, and `module:NAME` is your own.

A room is a package. Its `base.py` is the contract; every other file that ends in the constant named after the room (`TASK`,
`NETWORK`, `RECORDER`, `SIGNAL`, `DETECTOR`) is a plug-in. Names are read from the folder and the constant from the text, so
that `--help` lists them without an import of torch.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grok.spec.fields import ConfigError, did_you_mean

OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a plug-in of one's own is named: `module:NAME`."""


def ready() -> str | None:
    """Nothing stands in the way: the `skip` of a plug-in that works everywhere."""
    return None


@dataclass(frozen=True, kw_only=True)
class About:
    """What every plug-in says of itself.

    Attributes:
        title: a sentence, shown in tables and docs.
        source: paper, or "ours" with the reason.
        needs: what it must be given, by name; the room's `base.py` lists the names.
        cost: what it takes, in words or in multiples of a training step.
        options: names that it reads from the config's `options`; another name there is refused.
        version: raised when its numbers change for the same input.
        skip: gives the reason why it cannot be used here, None if it can.
    """

    title: str = ""
    source: str = "ours"
    needs: tuple[str, ...] = ()
    cost: str = ""
    options: tuple[str, ...] = ()
    version: int = 1
    skip: Callable[[], str | None] = ready


@dataclass(frozen=True)
class Room:
    """A place for plug-ins of one kind.

    Attributes:
        kind: what one is called in a message, such as `detector`.
        package: where the files are. contract: the class that each must be an instance of, as `module:Class`.
    """

    kind: str
    package: str
    contract: str

    @property
    def constant(self) -> str:
        """The name in which a file of the room ends."""
        return self.kind.upper()

    @property
    def names(self) -> tuple[str, ...]:
        """The plug-ins that come with the project, by file name; nothing is imported, and a room may not be there yet."""
        return _names(self.package, self.constant)

    @property
    def words(self) -> str:
        """What a name must be."""
        return f"one of {', '.join(self.names)}, or module:NAME" if self.names else "your own as module:NAME"

    def find(self, name: str) -> Any:
        """A plug-in by its name, or one's own by `module:NAME`.

        Raises:
            ConfigError: if there is none, it is not of the room's contract, or it says that it cannot be used here.
        """
        if name in self.names:
            found = getattr(importlib.import_module(f"{self.package}.{name}"), self.constant)
        elif OWN.fullmatch(name):
            found = self._own(name)
        else:
            raise ConfigError(f"{self.kind} must be {self.words}, got {name}. {did_you_mean(name, self.names)}")
        reason = found.skip()
        if reason is not None:
            raise ConfigError(f"{self.kind} must be usable here, got {name} ({reason}). Pick another.")
        return found

    def _own(self, name: str) -> Any:
        found = load_own(self.kind, name)
        contract = pkgutil.resolve_name(self.contract)
        if not isinstance(found, contract):
            raise ConfigError(
                f"{self.kind} must be a {self.contract.replace(':', '.')}, got {name} ({type(found).__name__}). "
                f"See docs/howto/{self.kind}.md."
            )
        accept_own(self.kind, name)
        return found


@functools.cache
def _names(package: str, constant: str) -> tuple[str, ...]:
    spec = importlib.util.find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations or () if spec else ())]
    ends = re.compile(rf"^{constant}\s*[:=]", re.MULTILINE)
    files = (path for folder in folders for path in folder.glob("*.py") if path.stem != "base")
    return tuple(sorted(path.stem for path in files if ends.search(path.read_text(encoding="utf-8"))))


class OwnCodeError(RuntimeError):
    """Somebody's own code failed while it ran, after it had worked on a first try; one line that names it."""


_LOADED: dict[tuple[str, str], str] = {}
"""Kind and name of the plug-ins of one's own that this process has loaded as such, and the file of each."""


def load_own(kind: str, name: str, rule: str = "be importable", step: str = "") -> Any:
    """What `module:NAME` names; its module runs. Only for a name that a user has given, or of a run whose code is trusted.

    Args:
        kind: what it is to be. name: of it. rule, step: of the message; by default the folder to run from.

    Raises:
        ConfigError: if it cannot be imported, whatever it raises, `SystemExit` too.
    """
    try:
        return pkgutil.resolve_name(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        step = step or f"Run from the folder that has {name.partition(':')[0]}.py."
        raise ConfigError(f"{kind} must {rule}, got {name} ({said(error)}). {step}") from error


def accept_own(kind: str, name: str) -> None:
    """Remember that somebody's own code was loaded as a plug-in of a kind, and is one."""
    _LOADED[kind, name] = _file(name)


def is_loaded(kind: str, name: str) -> bool:
    """Whether this process has loaded somebody's own code as a plug-in of a kind: it was named here, not by a store alone."""
    return (kind, name) in _LOADED


def _file(name: str) -> str:
    return getattr(sys.modules.get(name.partition(":")[0]), "__file__", None) or ""


def blamed(error: BaseException) -> OwnCodeError | None:
    """An error in a line that names the plug-in of one's own whose file it passed through; None if it passed through none.

    What is refused in one line already, and a stop, are left as they are.
    """
    if isinstance(error, ConfigError | OwnCodeError | KeyboardInterrupt) or hasattr(error, "exit_status"):
        return None
    passed = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
    found = next(((kind, name) for (kind, name), file in _LOADED.items() if file in passed), None)
    return None if found is None else failed(*found, said(error))


def failed(kind: str, name: str, why: str) -> OwnCodeError:
    """The error of a plug-in of one's own that fails while it runs."""
    return OwnCodeError(f"{kind} must work to the end, got {name} ({why}). Mend it, then repeat the command.")


@contextmanager
def to_the_end(kind: str, name: str) -> Iterator[None]:
    """Somebody's own code while it is used: whatever it raises, `SystemExit` too, names it, also where its file was not in the
    way: a function of a library that it hands over, or what is made of its answer.

    Raises:
        OwnCodeError: if it raises anything.
    """
    try:
        yield
    except (ConfigError, OwnCodeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise failed(kind, name, said(error)) from error


@contextmanager
def tried(kind: str, name: str) -> Iterator[None]:
    """Somebody's own code on made-up input: whatever it raises, `SystemExit` too, becomes one line.

    Raises:
        ConfigError: if it raises anything.
    """
    try:
        yield
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ConfigError(
            f"{kind} must work on made-up input, got {name} ({said(error)}). Mend it; docs/howto/{kind}.md has its contract."
        ) from error


def own_source(name: str) -> Path | None:
    """The file of a plug-in of one's own, which is part of a run's identity: its name does not say what it does.

    Nothing is imported for that, not even the package that the file is in.

    None for a plug-in of the project, and for a module without a file.
    """
    if not OWN.fullmatch(name):
        return None
    module, places, spec = "", None, None
    for part in name.partition(":")[0].split("."):
        module = f"{module}.{part}".lstrip(".")
        try:
            specs = (finder.find_spec(module, places) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            spec = next((found for found in specs if found is not None), None)
        except (ImportError, ValueError, OSError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


OWN_FIELDS = ("activation", "task", "network", "optimizer", "detector", "recorders", "signals")
"""Fields of a config that may name code of one's own."""


def own_code(config: Any, fields: Sequence[str] = OWN_FIELDS) -> list[str]:
    """What a config names of one's own, `field module:NAME` each: code that runs when it is used.

    Args:
        config: of a run. fields: of `OWN_FIELDS`, which count.
    """
    named = [(field, getattr(config, field) or "") for field in fields]
    each = [(field, name) for field, value in named for name in ((value,) if isinstance(value, str) else value)]
    return [f"{field} {name}" for field, name in each if OWN.fullmatch(name)]


def said(error: BaseException) -> str:
    """What an error of somebody else's code says, in one line: its kind and the first words."""
    text = " ".join(str(error).split())
    if text and isinstance(error, ImportError | AttributeError):
        return text[:200]
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


TASKS = Room("task", "grok.tasks", "grok.tasks.base:Task")
NETWORKS = Room("network", "grok.networks", "grok.networks.base:Network")
RECORDERS = Room("recorder", "grok.recorders", "grok.recorders.base:Recorder")
SIGNALS = Room("signal", "grok.signals", "grok.signals.base:Signal")
DETECTORS = Room("detector", "grok.detectors", "grok.detectors.base:Detector")
USUAL_RECORDERS = ("history", "spectrum", "directions", "observables", "pairs", "weights", "updates")
"""The recorders of every run, in the order in which they see a step."""
OF_SIGNALS = ("signals", "signal_table")
"""Recorders of runs that name signals."""
EVERY = "all"
"""In place of names of signals: every one that the run can feed."""
ROOMS = (TASKS, NETWORKS, RECORDERS, SIGNALS, DETECTORS)
