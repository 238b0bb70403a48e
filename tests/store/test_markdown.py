"""Descriptions in Markdown: what a store, an error or a name puts into one is shown as it is, and does nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.reading.evidence import Evidence
from analysis.report import tracked
from analysis.studies import headline, markdown, report, summary
from grok.runs import study as studies
from grok.runs import train, words
from grok.runs.cells import Result
from grok.spec.config import ResolvedConfig
from grok.spec.studies import Cell, Study
from grok.store import launched, views
from grok.store.errors import masked
from grok.store.markdown import escape, inert
from grok.store.run import TrackedRun
from grok.store.store import hand_over
from grok.store.tags import NOTE

EVIL = "![x](http://e/p.png) <img src=//e> **b** `c` |\n\nNewest report: [y](//e) a_b _c_"
LIVE = re.compile(r"(?<!\\)!\[|(?<!\\)\]\((?!#/)|<|://|(?<!\\)`c|(?<!\\)\*\*b|\n\nNewest report: ")
"""A picture, a link out of the UI, HTML, an address, code, words in bold, a line of another meaning."""


def test_the_marks_are_seen() -> None:
    assert len(LIVE.findall(EVIL)) == 8


@given(st.text() | st.text("_a> *[]()`\\|", max_size=20))
def test_an_inert_text_is_the_escaped_one_but_for_what_markdown_shows_as_it_is(text: str) -> None:
    out = inert(text)
    assert not re.search(r"[<\n\r]|^>", out)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*\[\]|$~]", out)
    assert not re.search(r"(?<!\\)(?:\\\\)*(?:(?<![^\W_])_|_(?![^\W_]))", out)
    assert inert(text).replace("\\_", "_").replace("&gt;", ">") == escape(masked(text)).replace("\\_", "_").replace("&gt;", ">")


@pytest.mark.parametrize(
    "text", ["weight_decay must be > 0, got -1. Raise it.", "λ₂/λ₃ of n_train = p M², 2 of 3 (median epoch 43)"]
)
def test_plain_words_stay(text: str) -> None:
    assert inert(text) == text


def test_a_password_is_masked_before_it_is_no_uri_s_any_more() -> None:
    assert "s3cret" not in inert("from https://ann:s3cret@host/paper")
    assert inert("from https://ann:s3cret@host/paper").endswith("host/paper")


def results(config: ResolvedConfig, **own: Any) -> list[Result]:
    return [Result(Cell(own.pop("condition", "grok"), config), **{"state": "failed", **own})]


def test_a_study_tells_states_errors_and_names_as_they_are(store: Any, tiny: Any, tmp_path: Path) -> None:
    """Its note and `summary.md`: of a run with an edited state, one with an edited protocol, and a worker's error."""
    good = train.train_tracked([tiny(seed=2)], store, tags={"study.own/one": EVIL})[0].run_id
    for seed, name in enumerate(("state", "protocol")):
        made = store.create("x", {"kind": "train", "study.own/one": "grok", "protocol": "1"})
        made.log_config(tiny(seed=seed))
        made.end("complete")
        made.set_tags({name: EVIL})
    study = Study("own/one", EVIL, EVIL, tuple(Cell("grok", tiny(seed=seed)) for seed in range(3)))
    parent = studies.open_parent(store, study, force=False)
    assert not LIVE.search(store.get(parent.run_id).tags[NOTE])
    parent.set_tags({NOTE: "a\n\nb\n\nNewest report: [y](//e)."})
    parent = TrackedRun(store.client, parent.look())
    found = [*results(tiny(), error=EVIL), *results(tiny(seed=2), state="complete", run_id=good, condition=EVIL)]
    assert len(Evidence(store, study).runs("own/one")) == 1
    report.write(store, parent, study, found, 1.0)
    text = parent.get_file("summary.md", tmp_path).read_text(encoding="utf-8")
    for one in (text, parent.look().tags[NOTE]):
        assert not LIVE.search(one)
        assert one.count(inert(EVIL)) >= 7  # found, sentence, source, error, two reasons, the table
        for reason in (f"1 × protocol {inert(EVIL)}, not 1", f"1 × state {inert(EVIL)}"):
            assert reason in one


def test_pages_of_runs_tell_errors_and_names_as_they_are(store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create(EVIL, {"kind": "study", "state": "complete", "study": EVIL, "note": EVIL})
    made = store.client.create_run("0").info.run_id
    hand_over(store, made, run.run_id)
    other = store.client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    launched.give_reason("failed", f"{EVIL}. {EVIL}")
    linked = tracked._of([store.get(run.run_id)])
    for text in (store.get(made).tags[NOTE], store.get(other).tags[NOTE], words.stopped(tiny(), EVIL), linked):
        assert not LIVE.search(text)
        assert "!\\[x\\]" in text
    assert store.get(other).get("error") == f"{EVIL}. {EVIL}"  # a tag is text


def test_a_failed_run_tells_its_error_as_it_is(store: Any, tiny: Any) -> None:
    def fail() -> None:
        raise ValueError(EVIL)

    with pytest.raises(ValueError, match="Newest report"):
        train.train_tracked([tiny()], store, confirm=fail)
    (run,) = store.find({"kind": "train"})
    assert "Failed: ValueError: !\\[x\\]" in run.tags[NOTE]
    assert not LIVE.search(run.tags[NOTE])


def test_links_keep_to_their_pages(tiny: Any) -> None:
    assert views.run_page("1) ![x](//e", "a") == views.run_page("1", "a").replace("/1/", "/1%29%20%21%5Bx%5D%28%2F%2Fe/")
    for link in ("![x](#/a)", "[y](//e)", "[y](#/a) <b>", "[[y](#/a)"):
        assert views.report_of(f"a\n\nNewest report: {link}.") == ""
    told = headline.links("own/one", "1", results(replace(tiny(), activation="relu"), run_id="a" * 32, condition=EVIL), {})
    assert not LIVE.search(told)


def test_settings_that_are_lists_read_as_on_a_command_line(tiny: Any) -> None:
    base = {"state": "complete", "fired": 1.0, "fire_epoch": 3.0, "seed": 0, "condition": "a|b"}
    table = pd.DataFrame([base | {"spectrum_methods": methods} for methods in (("gram",), ("gram", "svd"))])
    lines = markdown.conditions(summary.conditions(table)).splitlines()
    assert [line[:22] for line in lines] == [
        "| condition | spectrum",
        "|---|---|---|---|---|-",
        "| a\\|b | gram | 1 | 1/",
        "| a\\|b | gram,svd | 1 ",
    ]
    label = summary.label(table.iloc[1].to_dict(), ["condition", "spectrum_methods"])
    assert label == ("a|b", "spectrum_methods=gram,svd")


def test_a_reason_ends_once(tiny: Any) -> None:
    study = Study("own/one", "One.", "ours", (Cell("grok", tiny()),))
    left_out = pd.DataFrame({"reason": ["a rule. Mend it.", "another", "a rule. Mend it."]})
    head = report._head(study, results(tiny(), error="no."), left_out, report.Wall(1.0, 0.0), pd.DataFrame(), "")
    assert head.endswith("\n\nNot counted: 2 × a rule. Mend it, 1 × another.")
