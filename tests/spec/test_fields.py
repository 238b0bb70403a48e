"""The language of configs: text to value and back, rules in the house's sentence, for any config that is written in it."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.sensitivity.settings import SensitivityConfig
from grok.spec.config import RunConfig
from grok.spec.fields import Config, ConfigError, Rule, did_you_mean, field, finite, matching, pairs, refuse, to_text, whole

TYPES = (
    "str",
    "int",
    "float",
    "tuple[int, ...]",
    "tuple[str, ...]",
    "int | None",
    "tuple[int, ...] | None",
    "str | None",
    "float | None",
)


@dataclass(frozen=True, kw_only=True)
class Small(Config):
    """A field of each kind."""

    word: str = field("one", "a word", "ours", choices=("one", "two"))
    top: int = field(9, "a bound", "ours", whole(1, "Raise it"))
    count: int = field(3, "a number up to top", "ours", whole(1, lambda c: f"top is {c.top}", lambda c: c.top))
    rate: float = field(0.5, "a rate", "ours", finite("Lower it", above=0))
    shift: float = field(0.0, "a shift", "ours", finite("Raise it", low=-1))
    ends: tuple[int, ...] | None = field(
        None, "ends", "ours", Rule(lambda v, c: max(v, default=0) <= c.top, "be small", "Drop some"), example="1,2"
    )
    names: tuple[str, ...] = field(("a",), "names", "ours", matching(re.compile("[a-z]"), "be letters", "Write a,b"))
    threads: int | None = field(None, "threads", "ours", example="2")


@given(
    st.builds(
        Small,
        word=st.sampled_from(("one", "two")),
        top=st.just(10**9),
        count=st.integers(1, 10**9),
        rate=st.floats(0, 1e300, exclude_min=True),
        shift=st.floats(-1, 1e300),
        ends=st.none() | st.lists(st.integers(-5, 10**9), max_size=3).map(tuple),
        names=st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
        threads=st.none() | st.integers(1 - 2**63, 2**63 - 1),
    )
)
def test_text_and_back(config: Small) -> None:
    texts = config.to_strings()
    assert list(texts) == [f.name for f in dataclasses.fields(Small)]
    assert Small.from_strings(texts) == config
    assert Small.from_strings({name: f"'{text}'" for name, text in texts.items()}) == config  # as `mlflow run` has it


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"word": "three"}, "word must be one of one, two, got three. Pick one of these."),
        ({"word": 3}, "word must be text, got 3. Write for example --word one."),
        ({"top": 0}, "top must be a whole number ≥ 1, got 0. Raise it."),
        ({"top": True}, "top must be a whole number, got True. Write for example --top 9."),
        ({"count": 10}, "count must be a whole number in [1, 9], got 10. top is 9."),
        ({"count": 10, "top": 5}, "count must be a whole number in [1, 5], got 10. top is 5."),
        ({"rate": 0}, "rate must be a finite number > 0, got 0.0. Lower it."),
        ({"shift": -2}, "shift must be a finite number ≥ -1, got -2.0. Raise it."),
        ({"shift": math.nan}, "shift must be a finite number ≥ -1, got nan. Raise it."),
        ({"rate": "x"}, "rate must be a number, got x. Write for example --rate 0.5."),
        ({"ends": (10,)}, "ends must be small, got 10. Drop some."),
        ({"ends": [1]}, "ends must be a tuple of whole numbers, got [1]. Write for example --ends 1,2."),
        ({"names": ("a", "bb")}, "names must be letters, got a,bb. Write a,b."),
        ({"names": (1,)}, "names must be a tuple of texts, got 1. Write for example --names a."),
        ({"threads": 1.5}, "threads must be a whole number, got 1.5. Write for example --threads 2."),
    ],
)
def test_a_bad_value_is_told_in_one_sentence(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Small(**given_)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"count": "x"}, "count must be a whole number, got 'x'. Write for example --count 3."),
        ({"count": "auto"}, "count must be a whole number, got 'auto'. Write for example --count 3."),
        ({"threads": "x"}, "threads must be a whole number or auto, got 'x'. Write for example --threads 2."),
        ({"ends": "1,x"}, "ends must be whole numbers separated by commas or auto, got '1,x'. Write for example --ends 1,2."),
        ({"nam": "1", "age": "2"}, "parameters must be among word, top, .*, threads, got age, nam. Check the spelling."),
    ],
)
def test_a_bad_text_is_told_in_one_sentence(text: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Small.from_strings(text)
    assert re.fullmatch(re.escape(said).replace(r"\.\*", ".*"), str(caught.value))


def test_texts_of_values() -> None:
    assert [to_text(value) for value in (None, (), (1, 2), 2e-4, 3, "a\nb")] == [
        "auto",
        "none",
        "1,2",
        "0.0002",
        "3",
        r"'a\nb'",
    ]
    assert Small(shift=-0.0).to_strings()["shift"] == "0.0"
    assert Small.from_strings({"names": "none"}).names == ()
    assert Small.from_strings({"names": ""}).names == ()
    assert Small.from_strings({"word": " 'two' "}).word == "two"


def test_pairs() -> None:
    assert pairs("options", "none") == {}
    assert pairs("options", "b=2; a = x=y,z ;c=") == {"b": "2", "a": "x=y,z", "c": ""}
    for text, said in (("b", "be name=value;name=value, got b"), ("=1", "be name=value"), ("a=1;a=2", "give each name once")):
        with pytest.raises(ConfigError, match=f"^options must {said}"):
            pairs("options", text)


@pytest.mark.parametrize(("step", "end"), [("Pick one", "Pick one."), ("Did you mean a?", "Did you mean a?"), ("No.", "No.")])
def test_a_sentence_ends_once(step: str, end: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse("x", "be y", 1, step)
    assert str(caught.value) == f"x must be y, got 1. {end}"


@pytest.mark.parametrize("config_type", [RunConfig, SensitivityConfig])
def test_both_configs_are_written_in_the_language(config_type: type[Config]) -> None:
    config, fields = config_type(), dataclasses.fields(config_type)
    assert isinstance(config, Config)
    assert config_type.from_strings(config.to_strings()) == config
    assert {str(f.type) for f in fields} <= set(TYPES)
    for f in fields:
        assert f.metadata["help"], f.name
        assert f.metadata["source"], f.name
        config_type.from_strings({f.name: f.metadata["example"]})  # what an error tells to write is good


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"n_trials": 0}, "n_trials must be a whole number ≥ 1, got 0. Raise it."),
        ({"samples": 32}, "samples must be a whole number in [64, 1048576], got 32. Take one of these."),
        ({"samples": 100}, "samples must be a power of two, got 100. Write for example 4096."),
        ({"alpha": math.inf}, "alpha must be in [0, 1), got inf. Write for example 0.0667."),
        ({"alpha": math.nan}, "alpha must be in [0, 1), got nan. Write for example 0.0667."),
        ({"method": "svd"}, "method must include gram in mode all, got svd. Add it, or take mode search."),
        ({"held_out": "x"}, "held_out must be odd, even, a range or a comma list of seeds, got x. Write for example 8..14."),
        ({"own_parameters": "a"}, "own_parameters must be name=values;name=values, got a. Write =."),
    ],
)
def test_rules_of_a_sensitivity_study(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SensitivityConfig(**given_)
    assert str(caught.value) == said


def test_whole_numbers_of_a_sensitivity_study_are_numbers() -> None:
    assert SensitivityConfig(alpha=0).hash == SensitivityConfig.from_strings({"alpha": "0"}).hash


def test_a_name_of_megabytes_is_compared_with_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A param of an edited store may be as long: each comparison took a second for a million characters."""
    compared: list[int] = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda name, *_, **__: compared.append(len(name)) or [])
    assert did_you_mean("x" * 1_000_000, ["mlp"]) == did_you_mean("mlq", ["mlp"]) == "Pick one of these."
    assert compared == [3]
