"""Every docs/howto/KIND.md does what it says: its first Python block is one file outside the package, and works.

The file is written under the name that the text gives it, into a folder that is on the path; the other Python blocks are run
there, the shell lines are read by the commands' own parsers, and the kind's check in `CHECKS` looks at what the file added.
"""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from analysis.sensitivity.settings import SensitivityConfig
from entry_points.generate import config_from
from grok.spec.config import RunConfig

HOWTO = Path(__file__).resolve().parent.parent.parent / "docs" / "howto"
KINDS = sorted(path.stem for path in HOWTO.glob("*.md") if path.stem != "index")


@dataclass(frozen=True)
class HowTo:
    """One of the texts.

    Attributes:
        file: the example's name. source: what is in it. examples: the other Python blocks. commands: the shell lines.
        name: `module:NAME` as the text says it.
    """

    file: str
    source: str
    examples: list[str]
    commands: list[str]
    name: str


def read(text: str) -> HowTo:
    """The parts of a text; it must name its file before the first block and `module:NAME` after it."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    before, _, after = text.partition("```python\n")
    (file,) = re.findall(r"`(\w+\.py)`", before)
    shell = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    name = re.search(rf"`({file.removesuffix('.py')}:\w+)`", after)
    assert name, f"the text must name its plug-in as {file.removesuffix('.py')}:NAME"
    commands = [line for line in shell.splitlines() if line.strip() and not line.startswith("#")]
    return HowTo(file, blocks[0], blocks[1:], commands, name[1])


def check_detector(howto: HowTo) -> None:
    """It fires where a jump is planted, and is causal, which `find` asks."""
    from grok.detectors.base import at_share, find, fire_epochs

    detector = find(howto.name)
    series = np.zeros((1, 120))
    series[:, 70:] = 7.0
    own = {name: at_share(kind, 0.5) for name, kind in detector.parameters.items()}
    assert fire_epochs(detector, series, 20, **own).tolist() == [70.0]


def check_signal(howto: HowTo) -> None:
    """It is causal, which `find` asks, and says the same live as after the run."""
    from grok.signals.base import Live, example, find, series

    signal = find(howto.name)
    given = example(signal, epochs=6)
    live = Live(signal)
    fed = [live.append(**{need: given[need][t] for need in signal.needs}) for t in range(6)]
    np.testing.assert_allclose(fed, series(signal, given), rtol=1e-12)
    assert np.isfinite(fed).all()


CHECKS: dict[str, Callable[[HowTo], None]] = {"detector": check_detector, "signal": check_signal}


def understood(command: str) -> None:
    """A command's flags are those of its parser, and what they ask for is accepted."""
    words = shlex.split(command, comments=True)
    assert words[:2] == ["python", "-m"]
    assert words[2].startswith("entry_points.")
    entry = importlib.import_module(words[2])
    flags = entry.parser().parse_args(words[3:])
    kind = {"train": RunConfig, "sensitivity": SensitivityConfig}.get(words[2].removeprefix("entry_points."))
    if kind is not None:
        config_from(flags, kind)


def follow(kind: str, text: str, folder: Path, patch: pytest.MonkeyPatch) -> HowTo:
    """Do what a text says in a folder."""
    howto = read(text)
    patch.delitem(sys.modules, howto.file.removesuffix(".py"), raising=False)
    importlib.invalidate_caches()
    (folder / howto.file).write_text(howto.source, encoding="utf-8")
    patch.chdir(folder)
    patch.syspath_prepend(str(folder))
    for example in howto.examples:
        exec(compile(example, f"{kind}.md", "exec"), {"__name__": "example"})
    for command in howto.commands:
        understood(command)
    assert kind in CHECKS, f"docs/howto/{kind}.md must have a check in CHECKS"
    CHECKS[kind](howto)
    return howto


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_one_file_and_works(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(kind, (HOWTO / f"{kind}.md").read_text(encoding="utf-8"), tmp_path, monkeypatch)


def test_every_check_has_its_text() -> None:
    assert sorted(CHECKS) == KINDS


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("detector", "log_gap[:, 1:] - log_gap[:, :-1] > jump", "log_gap[:, 1:] - log_gap[:, :-1] > 9 + jump"),
        ("detector", "my_detectors:jump`", "my_detectors:jumps`"),
        ("detector", "--mode search --rule slope,", "--mood search --rule slope,"),
        ("detector", "--rule slope,my_detectors:jump", "--rule slope,my_detectors:hits"),
        ("signal", 'needs=("features",)', 'needs=("attention",)'),
        ("signal", 'find("my_signals:', 'find("my_signal:'),
    ],
)
def test_a_text_that_says_what_is_not_so_fails(
    kind: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (HOWTO / f"{kind}.md").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises((AssertionError, ValueError, SystemExit)):
        follow(kind, text.replace(old, new), tmp_path, monkeypatch)
