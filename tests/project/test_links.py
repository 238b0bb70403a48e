"""What README, docs and committed report point to is there: files, anchors, pictures, modules, commands and flags."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import re
import shlex
import tomllib
import warnings
from collections.abc import Callable
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml

from entry_points.console import COMMANDS
from tests.conftest import PROJECT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "analysis/claims/*.md")
    for path in PROJECT.glob(pattern)
    if not {"site", "bundle"} & set(path.parts)  # summaries in a bundle are of the UI of the store that they came from
)
REPORT = PROJECT / "docs" / "report" / "report.html"
FENCE = re.compile(r"^(```|~~~)(\{?\w*)[^\n]*\n(.*?)^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
IDENTITY = re.compile(r"""\b(?:id|name)=["']([^"']+)["']""")
COMMAND = re.compile(r"^(?:[A-Z_]+=\S* )*(?:(?:python3? -m|grok|pip install) |mlflow (?![.=≥]|skinny)[a-z]|\.ci/\w+$)")
PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]{1,}\b|\.\.\.|…")
"""`RUN_ID`, `NAME`: what a reader puts in; any text will do where a flag takes text."""
OTHERS = {"pytest", "sphinx", "mlflow", "venv", "pip", "torch.distributed.run"}
"""Modules of other projects that may be run."""


@cache
def prose(path: Path) -> str:
    """A page without its code, in which nothing is a link."""
    return CODE.sub("", FENCE.sub("", path.read_text(encoding="utf-8")))


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page: headings as GitHub makes them, and ids that are written out."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    found: list[str] = []
    for heading in HEADING.findall(text):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", unescape(plain).lower()).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{sum(one.startswith(slug) for one in found)}")
    return set(found) | set(IDENTITY.findall(text))


class _Html(HTMLParser):
    """Links and pictures that are written out as HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"a": "href", "img": "src", "source": "srcset"}.get(tag)
        self.targets += [value for name, value in attrs if name == wanted and value]


def targets(path: Path) -> list[str]:
    """Where the links and pictures of a page lead, Markdown's and those of HTML."""
    found = _Html()
    found.feed(prose(path))
    return [*re.sub(r"\\([_*])", r"\1", " ".join(LINK.findall(prose(path)))).split(), *found.targets]


def within(place: Path) -> set[str] | None:
    """What a fragment may name in a file; None where it has no names."""
    if place.suffix == ".md":
        return anchors(place)
    return ids(place) if place.suffix in (".html", ".svg") else None


@cache
def ids(path: Path) -> set[str]:
    """The ids of a page of HTML."""
    return set(IDENTITY.findall(path.read_text(encoding="utf-8")))


def broken(path: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    out = []
    for target in targets(path):
        url = urlparse(unescape(target))
        if url.scheme in ("http", "https", "mailto"):
            if not url.netloc and url.scheme != "mailto":
                out.append(target)
            continue
        place = (path.parent / unquote(url.path)).resolve() if url.path else path
        there = place.exists() and place.is_relative_to(PROJECT)
        names = within(place) if there and url.fragment else None
        if not there or (names is not None and unquote(url.fragment) not in names):
            out.append(target)
    return out


def commands(path: Path) -> list[str]:
    """The commands of a page: of its shell blocks line by line, and those that stand in the text as code."""
    text = path.read_text(encoding="utf-8")
    blocks = [block for _, language, block in FENCE.findall(text) if language in ("sh", "bash", "shell", "console")]
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = [" ".join(code.split()) for _, code in CODE.findall(FENCE.sub("", text))]
    parts = [part.strip() for line in lines for part in re.split(r"&&|\|\||(?<!\|)\|(?!\|)|;", line)]
    return [one for one in [*parts, *inline] if COMMAND.match(one)]


@cache
def mlproject() -> dict[str, dict[str, dict[str, str]]]:
    """The entry points of MLproject."""
    found: dict[str, dict[str, dict[str, str]]] = yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))[
        "entry_points"
    ]
    return found


@cache
def extras() -> set[str]:
    """The extras that the project has."""
    about = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(about["project"]["optional-dependencies"])


def extras_of(words: list[str]) -> list[str]:
    """The extras of this project that `pip install` is asked for."""
    found = [re.fullmatch(r"(?:\.|\S*grok\S*)\[([\w,-]+)\]", word) for word in words]
    return [one for match in found if match for one in match[1].split(",")]


def fault(command: str) -> str:
    """Why a command, or one of several, does not run, from what it names; empty if it does."""
    if " && " in command:
        return ", ".join(filter(None, map(fault, command.split(" && "))))
    words = shlex.split(command, comments=True)
    words = words[next(i for i, word in enumerate(words) if not re.fullmatch(r"[A-Z_]+=.*", word)) :]
    if words[0].startswith(".ci/"):
        return "" if (PROJECT / words[0]).exists() else f"no {words[0]}"
    if words[:2] == ["pip", "install"]:
        return ", ".join(f"no extra {one}" for one in extras_of(words[2:]) if one not in extras())
    if words[0] == "mlflow" and words[1:2] != ["run"]:
        return mlflow_fault(words[1:])
    if end := [i for i, word in enumerate(words) if word in (">", ">>")]:
        words = words[: end[0]]
    if words[:2] == ["mlflow", "run"]:
        name = words[words.index("-e") + 1] if "-e" in words else "main"
        given = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "-P"]
        if name not in mlproject():
            return f"no entry point {name}"
        return ", ".join(one for one in given if one.partition("=")[0] not in mlproject()[name]["parameters"])
    name = words[1] if words[0] == "grok" else words[2] if len(words) > 2 else ""
    rest = words[2:] if words[0] == "grok" else words[3:]
    if words[0] == "grok":
        return flags(name, rest) if name in COMMANDS else "" if name in ("completion", "--version", "--help") else f"no {name}"
    if PLACEHOLDER.search(name) or name.endswith(".X"):
        return ""
    if name.startswith("entry_points."):
        return flags(name.removeprefix("entry_points."), rest)
    top = name.partition(".")[0]
    if name == "mlflow":
        return mlflow_fault(rest)
    if top in OTHERS or name in OTHERS:
        return ""
    if (PROJECT / f"{name.replace('.', '/')}.py").is_file() and (parser := parser_of(name)):
        return refused(parser, rest)
    return "" if (PROJECT / f"{name.replace('.', '/')}.py").is_file() or _runs(name) else f"no module {name}"


def mlflow_fault(words: list[str]) -> str:
    """What MLflow's own command line says of a command; empty if it takes it."""
    import click

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, of its annotations
        from mlflow.cli import cli

    command: click.Command = cli
    rest = list(words)
    context = click.Context(cli, info_name="mlflow")
    while isinstance(command, click.Group):
        if not rest or rest[0] == "--help":
            return ""
        name = rest.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"no mlflow {name}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    try:
        command.make_parser(context).parse_args([PLACEHOLDER.sub("7", word) for word in rest if word != "--help"])
    except click.UsageError as error:
        return error.format_message()
    return ""


def parser_of(name: str) -> Callable[[], argparse.ArgumentParser] | None:
    """The function of a module that makes its parser, if it has one."""
    if "def parser(" not in (PROJECT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"):
        return None
    made: Callable[[], argparse.ArgumentParser] = importlib.import_module(name).parser
    return made


def _runs(name: str) -> bool:
    return (PROJECT / name.replace(".", "/") / "__main__.py").is_file()


def flags(name: str, rest: list[str]) -> str:
    """What an entry point says of flags that it does not take."""
    if not (PROJECT / "entry_points" / f"{name}.py").is_file():
        return f"no entry point {name}"
    module = importlib.import_module(f"entry_points.{name}")
    if not hasattr(module, "parser"):
        return " ".join(rest)
    return refused(module.parser, rest)


def refused(parser: Callable[[], argparse.ArgumentParser], rest: list[str]) -> str:
    """What a parser says of words that it does not take; empty if it takes them."""
    told = io.StringIO()
    words = [word for word in rest if word not in ("--help", "…", "...", "[flags]")]
    numbers = [re.sub(PLACEHOLDER, "7", word) for word in words]
    for given in (words, numbers):  # a number that the reader puts in
        try:
            with contextlib.redirect_stderr(told):
                parser().parse_args(given)
        except SystemExit:
            continue
        return ""
    return told.getvalue().splitlines()[-1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_anchor_and_picture_of_a_page_is_there(path: Path) -> None:
    assert broken(path) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_command_of_a_page_names_what_is_there(path: Path) -> None:
    if path.name == "CHANGELOG.md":
        return  # tells of commands as they were
    assert {command: why for command in commands(path) if (why := fault(command))} == {}


def test_the_pages_have_links_anchors_and_commands() -> None:
    """What finds none would pass everything."""
    links = [target for path in PAGES for target in targets(path)]
    assert len(links) > 100
    assert any("#" in target for target in links)
    assert len([command for path in PAGES for command in commands(path)]) > 100


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("[a](README.md#nothing-like-it)", ["README.md#nothing-like-it"]),
        ("![a](docs/figures/none.png) [b](README.md#start) `[c](code.md)`", ["docs/figures/none.png"]),
        ("[a](../outside.md) [b](https://example.org)", ["../outside.md"]),
        (
            '<a href="gone.md">a</a> <img src="docs/figures/headline.png"> <img src="docs/none.png">',
            ["gone.md", "docs/none.png"],
        ),
        ("[a](docs/report/report.html#claims) [b](docs/report/report.html#nothing)", ["docs/report/report.html#nothing"]),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text: str, targets: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    page = PROJECT / "made-up.md"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text if self == page else self.read_bytes().decode())
    prose.cache_clear()
    anchors.cache_clear()
    assert broken(page) == targets
    prose.cache_clear()
    anchors.cache_clear()


@pytest.mark.parametrize(
    "command",
    [
        "python -m entry_points.trian",
        "python -m entry_points.train --optimiser adam",
        "python -m entry_points.study --workers many",
        "python -m docs.nothing",
        "mlflow run . -e trian",
        "mlflow run . -e train -P sed=3",
        "grok trian",
        "grok train --sed 3",
        "mlflow servre",
        "mlflow ui --wrokers 1",
        "python -m mlflow gc --backend-store 1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --worker-count 1",
    ],
)
def test_a_command_that_does_not_run_is_found(command: str) -> None:
    assert fault(command)


class _Report(HTMLParser):
    """Anchors, links and code of the report."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.code: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if value and (tag, name) in (("a", "href"), ("img", "src")) and not value.startswith("data:"):
                self.targets.append(value)
        self._open = self._open or tag == "code"
        if tag == "code":
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "code"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.code[-1] += data


def astray(page: str, folder: Path) -> list[str]:
    """What is wrong with a report: links that lead nowhere, anchors that stand twice, commands that do not run."""
    found = _Report()
    found.feed(page)
    local = [target for target in found.targets if not urlparse(target).scheme]
    missing = []
    for target in local:
        path, _, fragment = (unquote(part) for part in target.partition("#"))
        place = folder / path
        names = set(found.ids) if not path else within(place) if place.is_file() else None
        if (path and not place.exists()) or (fragment and names is not None and fragment not in names):
            missing.append(target)
    twice = [one for one in dict.fromkeys(found.ids) if found.ids.count(one) > 1]
    asked = [line.strip() for code in found.code for line in code.splitlines() if COMMAND.match(line.strip())]
    return [*missing, *twice, *(command for command in asked if fault(command))]


def test_every_anchor_file_and_command_of_the_committed_report_is_there() -> None:
    found = _Report()
    page = REPORT.read_text(encoding="utf-8")
    found.feed(page)
    assert astray(page, REPORT.parent) == []
    assert len([target for target in found.targets if not urlparse(target).scheme]) > 10
    assert len([line for code in found.code for line in code.splitlines() if COMMAND.match(line.strip())]) > 10


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<a href="#gone">a</a><p id="here"><a href="#here">b</a>', ["#gone"]),
        ('<a href="data/none.csv">a</a><a href="claims.json">b</a><a href="https://example.org">c</a>', ["data/none.csv"]),
        ('<p id="one"></p><p id="one"></p>', ["one"]),
        ('<a href="report.md#claims">a</a><a href="report.md#nothing">b</a>', ["report.md#nothing"]),
        ('<img src="figures/none.png">', ["figures/none.png"]),
        ("<code>python -m entry_points.study --study headline</code>", []),
        ("<code>python -m entry_points.study --worker 2</code>", ["python -m entry_points.study --worker 2"]),
    ],
)
def test_what_leads_astray_in_a_report_is_found(page: str, found: list[str]) -> None:
    assert astray(page, REPORT.parent) == found


def test_the_reference_names_every_plug_in_of_its_rooms() -> None:
    page = (PROJECT / "docs" / "reference.md").read_text(encoding="utf-8")
    for room in ("tasks", "networks", "recorders", "detectors"):
        named = re.findall(rf"^\| {room} \| (.*) \|$", page, re.MULTILINE)[0]
        files = (PROJECT / "grok" / room).glob("[a-z]*.py")
        assert re.findall(r"`(\w+)`", named) == sorted(path.stem for path in files if path.stem != "base")
    assert len(re.findall(r"^## ", page, re.MULTILINE)) >= 5


def test_every_claim_of_the_committed_report_has_an_anchor_in_markdown_too() -> None:
    folder = REPORT.parent
    claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))["claims"]
    tested = {f"claim-{claim['id']}" for claim in claims if claim["verdict"] != "not testable yet"}
    assert tested <= anchors(folder / "report.md")
    assert tested <= ids(REPORT)
