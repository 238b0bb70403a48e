"""Every parser and loader with hostile bytes: no exception but its own, no hang.

The profile `ci` tries some dozens of inputs each, in seconds, the same each time. `python -m pytest tests/fuzz
--hypothesis-profile=nightly` tries 50,000 each, over a million in all, other ones each time, and makes what it finds small.
`python -m tests.fuzz` goes through more in the same time.
"""

from __future__ import annotations

import io
import json
import math
import random
import time
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from benchmarks.record import code_version
from tests.fuzz import greedy, recipes
from tests.fuzz.__main__ import RESET, limited, main, tried
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
    seed = data.draw(st.sampled_from((*targets()[name].seeds, *targets()[name].odd)))
    content = data.draw(st.one_of(st.lists(EDITS, min_size=1, max_size=MOST_EDITS).map(lambda e: edited(seed, e)), st.binary()))
    with limited():
        attempt(name, content)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_inputs_of_the_campaign_find_nothing(name: str) -> None:
    found = tried(name, 50, seed=1, stop=float("inf"))
    assert found["faults"] == {}
    assert found["inputs"] >= 50


def test_the_result_says_of_which_code_it_is(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    assert main(["--only", "epochs", "--inputs", "1", "--out", str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["code"] == code_version() != ""


RECIPES = [*greedy.ARRAYS[:3], *greedy.FACTORS, *greedy.TABLES[:3], *greedy.TENSORS[-2:]]


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_described_file_is_whole(number: int) -> None:
    """It is the reader's bound that refuses it, not a slip in how it was made."""
    made = io.BytesIO(recipes.unfolded(RECIPES[number]))
    kind = RECIPES[number].partition(b"\n")[0]
    if kind == b"@arrays":
        with zipfile.ZipFile(made) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    assert npy.read_magic(member) == (1, 0)
                    shape, _, dtype = npy.read_array_header_1_0(member)
                    assert math.prod(shape) * dtype.itemsize == entry.file_size - member.tell()
            assert archive.testzip() is None
    elif kind == b"@table":
        assert pq.ParquetFile(made).metadata.num_rows == 3_000_000
    else:
        length = int.from_bytes(made.read(8), "little")
        assert len(made.getvalue()) == 8 + length


def test_what_is_no_description_is_an_input_as_it_is() -> None:
    for content in (b"@table\nrows x", b"@arrays\nw", b"a@b", b"@1*@", b"@arrays\nw 99999999999,9 <f8 zeros"):
        assert recipes.unfolded(content) == content
    assert recipes.unfolded(b"[@3*1,@1]") == b"[1,1,1,1]"
    assert len(recipes.unfolded(b"@999999999*ab@")) == recipes.MOST_INPUT


@settings(PROFILE, max_examples=20)
@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=200))
@example(0, b"\0")
def test_inputs_are_bounded_and_the_same_for_a_seed(seed: int, content: bytes) -> None:
    one, again = (drawn(random.Random(seed), (content,)) for _ in range(2))
    assert one == again
    assert len(one) <= 1 << 16


def test_a_fault_of_a_parser_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that fails on a zero byte, one that computes without end, one that waits: the campaign says each."""
    from tests.fuzz import __main__ as campaign
    from tests.fuzz import base
    from tests.fuzz import targets as known

    def fails(content: bytes) -> None:
        if b"\0" in content:
            raise IndexError("a zero byte")

    def hangs(content: bytes) -> None:
        while content != b"good":
            pass

    def waits(content: bytes) -> None:
        if content != b"good":
            time.sleep(60)

    monkeypatch.setattr(known, "targets", lambda: made)
    monkeypatch.setattr(campaign, "targets", lambda: made)
    made = {
        "fails": base.Target(fails, (b"good",)),
        "hangs": base.Target(hangs, (b"good",)),
        "waits": base.Target(waits, (b"good",)),
    }
    assert tried("fails", 400, seed=0, stop=float("inf"))["faults"].keys() == {"IndexError: a zero byte"}
    monkeypatch.setattr(campaign, "limited", lambda: limited(0.05))
    assert tried("hangs", 2, seed=0, stop=float("inf"))["faults"].keys() == {"HangError: more than 0.05 s"}
    monkeypatch.setattr(campaign, "limited", lambda: limited(10, 0.05))
    assert tried("waits", 2, seed=0, stop=float("inf"))["faults"].keys() == {"HangError: more than 0.05 s by the clock"}


@pytest.mark.skipif(not RESET.exists(), reason="the system does not forget how much memory a process has had")
def test_memory_of_a_parser_is_found_also_after_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest memory that the process has ever had says nothing of what comes later."""
    from tests.fuzz import __main__ as campaign
    from tests.fuzz import base
    from tests.fuzz import targets as known

    def takes(content: bytes) -> None:
        if content != b"good":
            bytearray(100 * 2**20)

    bytearray(300 * 2**20)
    made = {"takes": base.Target(takes, (b"good",))}
    monkeypatch.setattr(known, "targets", lambda: made)
    monkeypatch.setattr(campaign, "targets", lambda: made)
    monkeypatch.setattr(campaign, "MOST_MB", 60)
    found = tried("takes", 3, seed=0, stop=float("inf"))
    assert found["faults"] == {campaign.MEMORY: 3}
    assert 60 < found["grown_mb"] < 200
    monkeypatch.setattr(campaign, "MOST_MB", 200)
    assert tried("takes", 3, seed=0, stop=float("inf"))["faults"] == {}
