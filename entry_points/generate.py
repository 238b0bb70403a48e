"""Flags and MLproject, both written from the fields of the configs, so that no parameter is told twice."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import TypeVar

from entry_points.cli import OneLineParser
from grok.spec.fields import Config, flag

C = TypeVar("C", bound=Config)
HEAD = """\
name: grok-registry

# Environments: bare (conda), --env-manager uv, --env-manager local. Pins: requirements.txt.
# Written by `python -m entry_points.mlproject` from the flags of the entry points.
conda_env: conda.yaml

entry_points:
"""
ENTRY_POINTS = {
    "main": ("The study `quick`, or another of grok/spec/studies/; {help} explains them.", ""),
    "study": ("A study of grok/spec/studies/, or your file.yaml:name; {help} explains them.", ""),
    "measure": ("Tables that claims read, from the files of finished runs; {help} explains the parameters.", ""),
    "signals": ("Signals of finished runs from their stored states; {help} explains the parameters.", ""),
    "analyze": ("The report of the store's runs; {help} explains the parameters.", ""),
    "export": ("Runs of the store into a folder to hand on; {help} explains the parameters.", ""),
    "import": ("The runs of such a folder into the store; {help} explains the parameters.", ""),
    "train": ("Every field of {config}, with its default; {help} explains them.", "grok.spec.config.RunConfig"),
    "sensitivity": ("Every field of {config}; {help} explains them.", "analysis.sensitivity.settings.SensitivityConfig"),
}
"""What MLproject says of each, and the config whose fields are its parameters; without one, the flags that take a value."""
PLAIN = re.compile(r"(?!true$|false$|yes$|no$|on$|off$|null$)[a-z]\w*")
"""Texts that YAML reads as they are."""


def add_config_flags(parser: argparse.ArgumentParser, config_type: type[Config]) -> None:
    """One kebab-case flag for each field, with its default, choices and source in the help, in a group for each block."""
    defaults = config_type().to_strings()
    for block in _blocks(config_type):
        title, _, text = (inspect.getdoc(block) or "").partition(": ")
        group = parser if block is config_type else parser.add_argument_group(title.lower(), text)
        for field in dataclasses.fields(block):
            choices = field.metadata["choices"]
            listed = f" ({', '.join(choices)})" if choices else ""
            text = f"{field.metadata['help']}{listed}. Default {defaults[field.name]}; source: {field.metadata['source']}."
            group.add_argument(flag(field.name), default=None, metavar="VALUE", help=text.replace("%", "%%"), dest=field.name)


def _blocks(config_type: type[Config]) -> Iterator[type]:
    """The blocks that a config inherits from, in the order of its fields; the config itself if it has none."""
    blocks = [kind for kind in config_type.__mro__[1:] if dataclasses.is_dataclass(kind) and not issubclass(kind, Config)]
    yield from reversed(blocks) if blocks else [config_type]


def config_from(arguments: argparse.Namespace, config_type: type[C]) -> C:
    """The config that the flags spell out; what was not given keeps its default.

    Raises:
        ConfigError: if a value breaks its rule.
    """
    names = [field.name for field in dataclasses.fields(config_type)]
    return config_type.from_strings({name: text for name in names if (text := getattr(arguments, name)) is not None})


def parameters(name: str) -> dict[str, tuple[str, str]]:
    """Type and default of each MLproject parameter of an entry point."""
    place = ENTRY_POINTS[name][1]
    if not place:
        parser: OneLineParser = importlib.import_module(f"entry_points.{name}").parser()
        return {flag: ("int" if isinstance(value, int) else "string", str(value)) for flag, value in parser.valued().items()}
    config_type: type[Config] = pkgutil.resolve_name(place)
    types = {field.name: str(field.type) for field in dataclasses.fields(config_type)}
    defaults = config_type().to_strings()
    return {field: (types[field] if types[field] in ("int", "float") else "string", defaults[field]) for field in defaults}


def mlproject() -> str:
    """The text of MLproject."""
    return HEAD + "\n".join(_entry_point(name) for name in ENTRY_POINTS)


def _entry_point(name: str) -> str:
    found = parameters(name)
    wide, typed = max(map(len, found)) + 1, max(len(kind) for kind, _ in found.values()) + 1
    told, place = ENTRY_POINTS[name]
    told = told.format(config=place, help=f"`python -m entry_points.{name} --help`")
    lines = [f"  {name}:", f"    # {told}", "    parameters:"]
    for parameter, (kind, default) in found.items():
        text = default if kind != "string" or PLAIN.fullmatch(default) else f"'{default}'"
        lines.append(f"      {parameter + ':':{wide}} {{type: {kind + ',':{typed}} default: {text}}}")
    lines += ["    command: >-", f"      python -m entry_points.{name}"]
    return "\n".join([*lines, *(f"      {flag(parameter)} {{{parameter}}}" for parameter in found)]) + "\n"
