"""Each test is fast, long or slow, and what is long is there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests import durations

PROJECT = Path(__file__).resolve().parents[2]


def test_the_examples_of_the_docstrings_are_so() -> None:
    assert doctest.testmod(durations) == (0, 1)


def test_what_is_long_is_there() -> None:
    """A test of another name would be fast again, and nobody would know."""
    for name in durations.kept():
        file, _, test = name.partition("::")
        text = (PROJECT / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"^ *(async )?def {test}\(", text, re.MULTILINE), name


def test_a_test_is_fast_unless_it_is_long_or_slow(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        marks = [one for one in ("fast", "long", "slow") if item.get_closest_marker(one)]
        assert len(marks) == 1, item.nodeid
        listed = {item.nodeid.split("[")[0], item.nodeid.split("::")[0]} & durations.kept()
        assert marks == ["slow"] or (marks == ["long"]) == bool(listed), item.nodeid
    assert request.node.get_closest_marker("fast")


def test_the_checks_of_a_change_run_all_that_is_not_slow() -> None:
    texts = {name: (PROJECT / ".ci" / name).read_text(encoding="utf-8") for name in ("run", "long")}
    assert "pytest -n 2 -m fast ||" in texts["run"]
    assert "pytest -n 2 -m long\n" in texts["long"]
    workflow = (PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert all(f"- run: .ci/{name}\n" in workflow for name in texts)
