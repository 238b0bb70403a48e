"""Plug-ins: names from the folder without an import, one's own by module:NAME, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grok.spec import plugins
from grok.spec.fields import ConfigError
from grok.spec.plugins import OWN, ROOMS, About, Room, own_source

BASE = """\
from dataclasses import dataclass
from grok.spec.plugins import About

@dataclass(frozen=True, kw_only=True)
class Tool(About):
    weight: int = 1
"""
TOOL = "from tools_room.base import Tool\n\nTOOL = Tool(title='{name}', weight=7)\n"


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A room of two tools, a helper and a file that cannot be imported."""
    folder = tmp_path / "tools_room"
    folder.mkdir()
    files = {
        "__init__": "raise_if_imported = 1\n",
        "base": BASE + "\nTOOL = 1\n",
        "hammer": TOOL.format(name="hammer"),
        "saw": TOOL.format(name="saw").replace("TOOL =", "TOOL: Tool ="),
        "shared": "def help():\n    TOOL = 3\n    return TOOL\n",
        "broken": "import no_such_module\n\nTOOL = 1\n",
        "drill": TOOL.format(name="drill").replace("weight=7", "skip=lambda: 'no socket here'"),
    }
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Room("tool", "tools_room", "tools_room.base:Tool")
    for name in [name for name in sys.modules if name.split(".")[0] in ("tools_room", "my_tools")]:
        del sys.modules[name]
    plugins._names.cache_clear()


def test_names_are_the_files_that_end_in_the_constant(room: Room) -> None:
    assert room.names == ("broken", "drill", "hammer", "saw")
    assert not [name for name in sys.modules if name.startswith("tools_room.")]  # read, not imported


def test_a_plugin_by_its_name(room: Room) -> None:
    assert (room.find("hammer").title, room.find("saw").weight) == ("hammer", 7)


def test_one_of_your_own(room: Room, tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(TOOL.format(name="mine") + "NUMBER = 3\n", encoding="utf-8")
    assert room.find("my_tools:TOOL").title == "mine"
    said = {
        "my_tools:NUMBER": r"^tool must be a tools_room\.base\.Tool, got my_tools:NUMBER \(int\)\. See docs/howto/tool\.md\.$",
        "my_tools:NONE": r"^tool must be importable, got my_tools:NONE \(.*'NONE'.*\)\. Run from the folder that has my_tools",
        "no_tools:TOOL": r"^tool must be importable, got no_tools:TOOL \(No module named 'no_tools'\)\. Run from the folder",
    }
    for name, words in said.items():
        with pytest.raises(ConfigError, match=words):
            room.find(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hamer", "tool must be one of broken, drill, hammer, saw, or module:NAME, got hamer. Did you mean hammer?"),
        ("x", "tool must be one of broken, drill, hammer, saw, or module:NAME, got x. Pick one of these."),
        ("shared", "tool must be one of broken, drill, hammer, saw, or module:NAME, got shared. Pick one of these."),
        ("base", "tool must be one of broken, drill, hammer, saw, or module:NAME, got base. Pick one of these."),
        ("a:b:c", "tool must be one of broken, drill, hammer, saw, or module:NAME, got a:b:c. Pick one of these."),
        ("drill", "tool must be usable here, got drill (no socket here). Pick another."),
    ],
)
def test_what_is_none_is_told_in_one_line(room: Room, name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        room.find(name)
    assert str(caught.value) == said


def test_a_room_that_is_not_there_has_no_names() -> None:
    empty = Room("ghost", "grok.ghosts", "grok.ghosts.base:Ghost")
    assert empty.names == ()
    with pytest.raises(ConfigError, match=r"^ghost must be your own as module:NAME, got boo\. Pick one"):
        empty.find("boo")


def test_the_source_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = tmp_path / "source_of_my_own.py"
    source.write_text("raise RuntimeError\n", encoding="utf-8")
    assert own_source("source_of_my_own:X") == source  # found, not imported
    for name in ("slope", "no_such_module:X", "sys:path", "no.such.package:X"):
        assert own_source(name) is None


@pytest.mark.parametrize("name", ["a:B", "a.b_1:c", "_a:_b"])
def test_names_of_your_own(name: str) -> None:
    assert OWN.fullmatch(name)


@pytest.mark.parametrize("name", ["a", ":b", "a:", "a:b:c", "1a:b", "a:b.c", "a b:c"])
def test_what_is_no_name_of_your_own(name: str) -> None:
    assert not OWN.fullmatch(name)


def test_rooms() -> None:
    assert [room.kind for room in ROOMS] == ["task", "network", "recorder", "signal", "detector"]
    assert [room.constant for room in ROOMS] == ["TASK", "NETWORK", "RECORDER", "SIGNAL", "DETECTOR"]
    assert About().skip() is None


def test_names_need_neither_torch_nor_mlflow() -> None:
    heavy = "{'torch', 'mlflow'}"
    program = f"import sys; from grok.spec.plugins import ROOMS; [r.names for r in ROOMS]; print({heavy} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
