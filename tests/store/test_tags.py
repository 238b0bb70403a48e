"""Tag names are spelt in one place, and a stored run tells what they say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.store import tags
from grok.store.tags import StoredRun
from tests.conftest import PROJECT

SPELT = {tags.tag(name) for name in vars(tags).values() if isinstance(name, str) and name.replace("_", "").isalpha()}
SPELT |= {tags.PREFIX + start for start in (tags.STUDY, tags.STOP, tags.RESOLVED, tags.PROGRESS)}
"""Whole names, and how those begin that end in a name of something else."""


def texts(source: str) -> Iterator[str]:
    """Every string of a module, also the parts of f-strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def spelt(source: str) -> set[str]:
    """Tags that a module spells."""
    return {text for text in texts(source) if text in SPELT or text == tags.PREFIX}


@pytest.mark.parametrize("package", ["grok", "entry_points"])
def test_no_module_but_one_spells_a_tag(package: str) -> None:
    found = {path: spelt(path.read_text(encoding="utf-8")) for path in (PROJECT / package).rglob("*.py")}
    assert {"grok.state", "grok.claim", "grok.study.", "grok.progress_"} <= SPELT
    assert spelt("x['grok.state']; y = f'grok.{name}'; z = f'grok.study.{name}'") == {"grok.state", "grok.", "grok.study."}
    places = {path.relative_to(PROJECT) for path, names in found.items() if names}
    assert places <= {Path("grok/store/tags.py"), Path("grok/__init__.py")}  # which makes the names of modules so


def stored(params: dict[str, str] | None = None, **own: str) -> StoredRun:
    return StoredRun("r", "", "RUNNING", 0, tags.named(own), params or {}, {}, None)


def test_a_run_tells_what_its_tags_say() -> None:
    run = stored(state="diverged", kind="train", threads="3", wall_s="1.5", forced="1", session="s", claim="c")
    assert (run.state, run.done, run.kind, run.threads, run.wall_s) == ("diverged", True, "train", 3, 1.5)
    assert (run.forced, run.session, run.claim) == (True, "s", "c")
    bare = stored()
    assert (bare.state, bare.done, bare.kind, bare.threads, bare.wall_s) == ("", False, "", None, 0.0)
    assert (bare.forced, bare.session, bare.claim, bare.studies) == (False, "", "", {})
    assert stored(threads="unknown").threads is None


def test_members_and_stops_are_told_by_name() -> None:
    run = replace(stored(), tags={tags.study_tag("own/tiny"): "eta0", tags.tag(tags.STOP + "s"): "1"})
    assert run.studies == {"own/tiny": "eta0"}
    assert (run.stop_asked("s"), run.stop_asked("t")) == (True, False)


def test_the_config_is_that_of_the_params(tiny: Any) -> None:
    assert stored(tiny().to_strings() | {"of_mlflow": "1"}).config == tiny()
    assert stored({"weight_decay": "2e-3"}).config == RunConfig(weight_decay=0.002).resolved()
    with pytest.raises(ConfigError):
        _ = stored({"weight_decay": "much"}).config
