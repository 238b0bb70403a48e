"""Tags that somebody writes in a YAML file, and characters that are none: each is read, or refused with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grok.spec import limited_yaml
from grok.spec.fields import ConfigError
from grok.spec.studies import load_file
from tests.fuzz.mutate import WORDS

STUDY = """tiny:
  sentence: One.
  source: ours
  runs:
    - {{condition: grok, width: {}}}
"""
SCALARS = ("!!bool x", "!!int abc", "!!int 1_000", "!!int ''", "!!float x", "!!null x", "!!merge x")
OTHERS = (
    "!!timestamp x",
    "!!timestamp 2001-01-01",
    "!!binary x",
    "!!set {a}",
    "!!set x",
    "!!omap [a: 1]",
    "!!omap x",
    "!!pairs [a]",
)
MISPLACED = ("!!map x", "!!map [1]", "!!seq x", "!!seq {a: 1}", "!!str [a]", "!!int [1]", "!!bool {a: 1}")
OWN = ("!own x", "!<tag:x> y", "!!python/name:os x")
CHARACTERS = ('"\\UFFFFFFFF"', '"\\U00110000"', '"\\ud800"')


def read(tmp_path: Path, text: str) -> Any:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    return limited_yaml.read(tmp_path / "a.yaml")


@pytest.mark.parametrize("value", [*SCALARS, *OTHERS, *MISPLACED, *OWN, *CHARACTERS])
def test_a_value_that_does_not_fit_its_tag_is_refused_with_its_place(tmp_path: Path, value: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"line 1, column \d"):
        read(tmp_path, f"a: {value}\n")
    (tmp_path / "own.yaml").write_text(STUDY.format(value), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^study file must be YAML, got \S+own.yaml \(.*line 5, column \d+.*\)\. Mend"):
        load_file(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    "text", ["!!bool x: 1", "!!int [1]: 1", "!!merge z: {b: 1}", "? !!map x\n: 1", "%YAML 1." + "9" * 5000]
)
def test_the_same_of_keys_and_directives(tmp_path: Path, text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"line 1, column \d"):
        read(tmp_path, f"{text}\n")


def test_core_tags_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path, "[!!int '7', !!float 7, !!str 7, !!bool true, !!null '', !!seq [1], !!map {a: 1}, ! x, {!!merge <<: {b: 2}}]"
    )
    assert found == [7, 7.0, "7", True, None, [1], {"a": 1}, "x", {"b": 2}]
    assert list(map(type, found[:3])) == [int, float, str]


def test_the_fuzz_has_a_sign_of_each_tag_that_was_a_traceback() -> None:
    assert {b"!!bool", b"!!int", b"!!timestamp", b"!!binary", b"!!set", b"!!omap"} <= set(WORDS)
