"""What was worked out of one evidence is not worked out again, and not shared with another."""

from __future__ import annotations

import gc
import weakref

import pytest

from analysis.reading.once import once


class Evidence:
    """Any object that can be forgotten."""


def test_once_makes_it_once_for_each_evidence_and_key() -> None:
    one, other, made = Evidence(), Evidence(), list[str]()

    def make(text: str) -> str:
        made.append(text)
        return text

    assert [once(one, "a", lambda: make("1")), once(one, "a", lambda: make("2"))] == ["1", "1"]
    assert once(one, "b", lambda: make("3")) == "3"
    assert once(other, "a", lambda: make("4")) == "4"
    assert made == ["1", "3", "4"]


def test_what_raised_is_asked_again() -> None:
    evidence = Evidence()
    with pytest.raises(ZeroDivisionError):
        once(evidence, "a", lambda: 1 // 0)
    assert once(evidence, "a", lambda: 2) == 2


def test_an_evidence_that_goes_takes_what_was_made_of_it_along() -> None:
    evidence, content = Evidence(), Evidence()
    kept = weakref.ref(content)
    once(evidence, "a", lambda held=content: held)
    del content
    gc.collect()
    assert kept() is not None
    del evidence
    gc.collect()
    assert kept() is None
