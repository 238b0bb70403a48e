"""Every parser and loader with hostile bytes: no exception but its own, no hang.

The profile `ci` tries some dozens of inputs each, in seconds, the same each time. `python -m pytest tests/fuzz
--hypothesis-profile=nightly` tries 50,000 each, over a million in all, other ones each time, and makes what it finds small.
`python -m tests.fuzz` goes through more in the same time.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import limited, tried
from tests.fuzz.mutate import KINDS, MOST_EDITS, PARTS, WORDS, drawn, edited
from tests.fuzz.targets import attempt, targets

pytestmark = pytest.mark.fuzz
PROFILE = settings.get_profile("nightly" if settings.get_current_profile_name() == "nightly" else "ci")
NAMES = list(targets())
PLACES = st.integers(0, PARTS - 1)
EDITS = st.tuples(st.integers(0, KINDS - 1), PLACES, PLACES, st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)))


@pytest.mark.parametrize("name", NAMES)
def test_a_good_input_is_taken(name: str) -> None:
    for content in targets()[name].seeds:
        assert attempt(name, content), content


@pytest.mark.parametrize("name", NAMES)
@PROFILE
@given(st.data())
def test_any_input_is_taken_or_refused_in_our_own_words(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(targets()[name].seeds))
    content = data.draw(st.one_of(st.lists(EDITS, min_size=1, max_size=MOST_EDITS).map(lambda e: edited(seed, e)), st.binary()))
    with limited():
        attempt(name, content)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_inputs_of_the_campaign_find_nothing(name: str) -> None:
    found = tried(name, 50, seed=1, stop=float("inf"))
    assert found["faults"] == {}
    assert found["inputs"] == 50


@settings(PROFILE, max_examples=20)
@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=200))
@example(0, b"\0")
def test_inputs_are_bounded_and_the_same_for_a_seed(seed: int, content: bytes) -> None:
    one, again = (drawn(random.Random(seed), (content,)) for _ in range(2))
    assert one == again
    assert len(one) <= 1 << 16


def test_a_fault_of_a_parser_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that fails on a zero byte, and one that hangs: the campaign says both."""
    from tests.fuzz import __main__ as campaign
    from tests.fuzz import targets as known

    def fails(content: bytes) -> None:
        if b"\0" in content:
            raise IndexError("a zero byte")

    def hangs(content: bytes) -> None:
        while content != b"good":
            pass

    monkeypatch.setattr(known, "targets", lambda: made)
    monkeypatch.setattr(campaign, "targets", lambda: made)
    made = {"fails": known.Target(fails, (b"good",)), "hangs": known.Target(hangs, (b"good",))}
    assert tried("fails", 400, seed=0, stop=float("inf"))["faults"].keys() == {"IndexError: a zero byte"}
    monkeypatch.setattr(campaign, "limited", lambda: limited(0.05))
    assert tried("hangs", 2, seed=0, stop=float("inf"))["faults"].keys() == {"HangError: more than 0.05 s"}
