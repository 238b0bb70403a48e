"""The first screen, the cards and their axes: sentences that follow the verdicts, one vocabulary, places on a line."""

from __future__ import annotations

import doctest
import math
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis import papers
from analysis.exhibits.model import (
    FRESH,
    KINDS,
    MEANING,
    TABLE,
    VERDICTS,
    Answer,
    Answered,
    Axis,
    Claim,
    Entry,
    Question,
    Result,
)
from analysis.papers.xu import paper
from analysis.report import axis, cards, opening, plain, words
from analysis.report.content import Content
from analysis.statistics.estimates import Estimate

NONE = math.nan


def result(name: str, verdict: str, kind: str = KINDS[0], measured: str = "7") -> Result:
    claim = Claim(name, f"Statement {name}.", "Xu", "1", "so", ("headline",), "rule", lambda _: None, kind=kind)  # type: ignore[arg-type, return-value]
    return Result(claim, measured, {"x": Estimate(7.0, 6.0, 8.0, 3)}, verdict, "", 3, ("r",), "command")


def content(*results: Result, answers: tuple[Answered, ...] = ()) -> Content:
    return Content(results, (), (), (), pd.DataFrame(columns=["run_id"]), 5, answers=answers)


def told(*results: Result, answers: tuple[Answered, ...] = ()) -> dict[str, str]:
    return {one.head: one.text for one in opening.sentences(content(*results, answers=answers))}


def answer(id: str, text: str, **shares: tuple[int, int]) -> Answered:
    question = Question(id, "Is it?", ("headline",), "so", lambda _: Answer(""))
    estimates = {name.replace("__", ", ").replace("_", " "): Estimate(a / b, NONE, NONE, b) for name, (a, b) in shares.items()}
    return Answered(question, text, estimates, "", 0, (), "command")


@pytest.mark.parametrize("module", [plain, axis, words])
def test_the_examples_of_the_docstrings_are_so(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# sentences


def test_five_sentences_follow_the_verdicts() -> None:
    found = told(
        result("row", "contradicted", TABLE),
        result("a", "reproduced"),
        result("b", "contradicted", measured="1; 2"),
        result("c", "not reproduced"),
        result("d", "reproduced with a caveat"),
        result("e", "not precise enough to tell"),
        result("f", "undecidable to rounding"),
        result("g", "not testable yet", measured=""),
        result("h", "reproduced", FRESH),
        result("i", "contradicted", FRESH),
    )
    assert list(found) == ["Asked", "Holds", "Does not hold", "Cannot be told", "Surprised"]
    assert found["Asked"].endswith("as it groks?")
    assert found["Holds"] == "2 of 7 tested statements, 1 with a caveat; “Statement a” (7)."
    caveat = told(result("d", "reproduced with a caveat"), result("n", "reproduced", KINDS[3]))["Holds"]
    assert caveat == "2 of 2 tested statements, 1 with a caveat; “Statement d” (with a caveat: 7)."
    assert told(result("a", "contradicted"))["Holds"] == "0 of 1 tested statement."
    assert found["Does not hold"] == "3 of the 7: 2 contradicted, 1 not reproduced; “Statement b” (1; 2)."
    assert found["Cannot be told"] == (
        "2 of the 7: for 1 the order of summation decides, for 1 runs are too few; “Statement f” (7); 1 more lacks its runs."
    )
    assert found["Surprised"] == "Nothing yet: the questions behind it lack their runs."


@pytest.mark.parametrize("verdict", VERDICTS)
def test_one_claim_of_each_verdict_is_told_in_the_right_sentence(verdict: str) -> None:
    found = told(result("a", verdict))
    named = [head for head, text in found.items() if "“Statement a”" in text]
    held, failed = ("reproduced", "reproduced with a caveat"), ("not reproduced", "contradicted")
    head = "Holds" if verdict in held else "Does not hold" if verdict in failed else "Cannot be told"
    assert named == [head] * (verdict != "not testable yet")
    assert set(MEANING) == set(VERDICTS)


def test_nothing_tested_claims_nothing() -> None:
    found = told(result("a", "not testable yet", measured=""))
    assert found["Holds"] == "Nothing is tested yet: the store lacks the runs."
    assert found["Does not hold"] == "Nothing is tested yet."


def test_the_surprise_is_what_the_counts_say() -> None:
    counts = {"square__groks": (15, 15), "square__data_starved": (15, 15), "square__random_labels": (0, 15)}
    no = paper.surprise({"marks-grokking": answer("marks-grokking", "No: …", **counts)})
    assert no == (
        "the detector does not mark grokking: it fires in 15/15 networks that grok with x², and in 15/15 (x², too few training "
        "pairs) that cannot generalise."
    )
    fresh = answer("fresh-negatives", "…", too_few_pairs=(60, 100), without_weight_decay=(3, 100))
    more = paper.surprise({"marks-grokking": answer("marks-grokking", "No: …", **counts), "fresh-negatives": fresh})
    assert more == no.replace("pairs)", "pairs; 60/100 on fresh seeds)")
    assert more != no
    silent = counts | {"square__data_starved": (0, 15)}
    assert "cannot" not in paper.surprise({"marks-grokking": answer("marks-grokking", "No: …", **silent)})
    assert "here it marks grokking" in paper.surprise({"marks-grokking": answer("marks-grokking", "Yes: …", **counts)})
    assert paper.surprise({}) == paper.surprise({"marks-grokking": answer("marks-grokking", "")}) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Its first fall follows generalisation: no, passive decay: no, the window: yes with true labels (within one "
            "interval in "
            "10 of 13 choices of N and W, in 52 of 102 in other conditions, and in 27 of 33 runs). How long: initial weights × "
            "¼ 0 "
            "steps, × 1 600 steps with median cos²(v₁, θ₀) 0.8, × 4 2000 steps",
            "the fall of grad% follows the length of its measuring window (in 10 of 13 tried, but in 52 of 102 under other "
            "labels, "
            "rates "
            "or scales), not generalisation or a set time of the initial weights' decay.",
        ),
        (
            "Its first fall follows generalisation: yes, passive decay: cannot be told, the window: no (in 2 of 13 choices of "
            "N and W)",
            "the fall of grad% follows generalisation, not the length of its measuring window; whether it follows a set "
            "time of the initial weights' decay cannot be told.",
        ),
        (
            "Its first fall follows generalisation: no, passive decay: no, the window: cannot be told (in 2 of 13 choices of N "
            "and W)",
            "what the fall of grad% follows is open, not generalisation or a set time of the initial weights' decay; whether "
            "it "
            "follows the length of its measuring window cannot be told.",
        ),
    ],
)
def test_what_the_fall_follows_is_said_as_the_question_answers(text: str, said: str) -> None:
    lifecycle = papers.PAPERS[1]
    question = "lifecycle-what-the-flip-follows"
    assert lifecycle.surprise({question: answer(question, text)}) == said
    assert lifecycle.surprise({}) == lifecycle.surprise({question: answer(question, "")}) == ""


def test_only_papers_with_a_tested_statement_ask() -> None:
    lock_in, lifecycle = papers.PAPERS
    assert f"{lock_in.short}: {lock_in.asks}" in told(result("a", "reproduced"))["Asked"]  # of neither: then both are named
    assert f"{lifecycle.short}: {lifecycle.asks}" in told(result("a", "reproduced"))["Asked"]
    asked = told(result(papers.LOCK_IN[0].id, "contradicted"), result(papers.LIFECYCLE[0].id, "not testable yet"))["Asked"]
    assert lock_in.asks in asked
    assert lifecycle.asks not in asked


def test_each_paper_is_named_with_its_count_and_its_weightiest_statement() -> None:
    first, second = papers.LOCK_IN[0].id, papers.LOCK_IN[1].id
    flip = papers.LIFECYCLE[0].id
    some = (
        result(first, "reproduced"),
        result(second, "contradicted"),
        result(flip, "reproduced"),
        result("own", "reproduced"),
    )
    words = papers.PAPERS[0].says.get(first, f"Statement {first}")
    assert told(*some)["Holds"].startswith(f"3 of 4 tested statements; Lock-in (1 of 2): “{words}” (7); Lifecycle (1 of 1): “")
    assert "Statement own" not in told(*some)["Holds"]
    assert "Lock-in: “" in told(*some)["Does not hold"]


def test_the_abstracts_table_has_a_group_per_paper_the_rest_in_a_fold() -> None:
    lock_in, lifecycle = papers.PAPERS
    ids = list(lock_in.says)
    rows = [result(id, "reproduced") for id in reversed(ids)]
    others = [
        result("text", "contradicted", KINDS[2]),
        result("open", "not testable yet"),
        result("fresh", "reproduced", FRESH),
        result("own", "reproduced"),
        result(next(iter(lifecycle.says)), "contradicted"),
    ]
    assert KINDS[0] == "paper abstract"
    found = opening.of_abstracts(content(*rows, *others))
    assert [group.paper for group in found] == [lock_in, lifecycle, None]
    assert [said.result.claim.id for said in (*found[0].first, *found[0].rest)] == ids
    assert [said.words for said in found[0].first] == list(lock_in.says.values())[: opening.ROWS]
    assert [group.more for group in found] == [len(ids) - opening.ROWS, 0, 0]
    assert [said.words for said in found[2].first] == ["Statement own"]
    assert opening.of_abstracts(content(*others[:3])) == []


def test_what_the_abstracts_say_is_of_claims_that_are_there_in_few_words() -> None:
    for one in papers.PAPERS:
        kinds = {claim.id: claim.kind for claim in papers.SAID[one.address]}
        assert {kinds.get(id) for id in one.says} == {KINDS[0]}
        assert all(len(words.split()) <= 8 and not words.endswith(".") for words in one.says.values())
        assert len(set(one.says.values())) == len(one.says)


@pytest.mark.parametrize(
    ("measured", "entries", "said"),
    [
        ("15/15", (), "15/15 runs"),
        ("fire_epoch 173", (), "fires at 173"),
        ("median 7; quartiles [6, 8]", (("median", "7 [6, 8]", True), ("quartiles", "[6, 8]", True)), "7 [6, 8]"),
        ("long " * 20, (("a", "0.9 [0.8, 1]", True), ("b", "7/15", False), ("c", "0.1 [0, 0.2]", False)), "b 7/15; c 0.1"),
        (
            "long " * 20,
            tuple((f"a number of a long name, {k}", "7 of them", False) for k in range(3)),
            "0 of 3 numbers as published",
        ),
        ("first 1 [0, 2]; " + "long " * 20, (), "first 1"),
        ("long " * 20, (), "several numbers: see the card"),
    ],
)
def test_a_short_value_is_whole(measured: str, entries: tuple[tuple[str, str, bool], ...], said: str) -> None:
    made = tuple(Entry(id, {}, "1", text, "reproduced" if good else "contradicted") for id, text, good in entries)
    one = replace(result("a", "contradicted", measured=measured), entries=made)
    assert plain.short(one) == said
    assert plain.short(replace(one, short="as eta0 says")) == "as without weight decay says"


def test_the_figure_at_the_top_is_the_papers_or_the_first_that_is_drawn() -> None:
    assert opening.main_figure(["headline", papers.PAPERS[0].figure]) == papers.PAPERS[0].figure
    assert opening.main_figure(["eta", "scaling"]) == "eta"
    assert opening.main_figure([]) == ""


# one vocabulary


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grok fires 15/15; eta0 fires 0/15", "with weight decay fires 15/15; without weight decay fires 0/15"),
        ("fires 15/15; control fires 0/15", "fires 15/15; without weight decay fires 0/15"),
        ("grok 0/5; ρ ≥ 0.075 11 [11, 11]", "grok 0/5; ρ ≥ 0.075 11 [11, 11]"),
        ("fire_epoch 173; test_50_epoch 101", "fires at 173; test ≥ 0.5 at 101"),
        ("λ₃ 2.09e-05, 1.5e+06", "λ₃ 2.09·10⁻⁵, 1.5·10⁶"),
        ("square, data starved; relu", "square, too few pairs; ReLU"),
        ("run 47e12ab0", "run 47e12ab0"),
        ("λ₂/λ₃ at 300 317 [299, 329]", "λ₂/λ₃ at 300: 317 [299, 329]"),
        ("Run python -m entry_points.study --study relu. On relu.", "Run python -m entry_points.study --study relu. On ReLU."),
    ],
)
def test_names_of_the_store_are_said_as_figures_say_them(text: str, said: str) -> None:
    assert plain.plain(text) == said


def test_texts_that_are_cut_end_with_a_whole_part_and_count_the_rest() -> None:
    long = "; ".join(f"number {k} is {k}" for k in range(40))
    assert plain.head(long, 40) == "number 0 is 0; number 1 is 1 and 38 more"
    assert plain.head("word " * 50, 60) == "word " * 50
    assert plain.head("15/15") == "15/15"
    asked = "None of six factors explains it: the best of them, decay, predicts 78 % of 100 runs (p = 1)."
    assert plain.head(asked, 60) == "None of six factors explains it"
    assert plain.head("Its first fall follows the window, and no more (in 10 of 13 choices). How long: 600", 60) == (
        "Its first fall follows the window, and no more"
    )


@pytest.mark.parametrize(
    ("published", "said"),
    [
        ("15/15", "15/15"),
        ("0.83 at 50, 0.91 at 100, 0.975 at 175, 0.975 at 250, 0.995 at 300", "0.83 at 50; 0.91 at 100 and 3 more"),
        (
            "0.865 [0.865, 0.875] at 50, 0.895 at 100, 0.955 at 175, 0.970 at 250",
            "0.865 [0.865, 0.875] at 50 and 3 more",
        ),
        ("0/5, numerical divergence: train accuracy 0.008 by epoch 250, ρ NaN", "0/5, numerical divergence"),
    ],
)
def test_a_published_value_is_whole_or_counted(published: str, said: str) -> None:
    one = result("a", "reproduced").claim
    assert plain.printed(replace(one, published=published)) == said


def test_every_published_value_fits_two_lines_and_none_ends_in_dots() -> None:
    told = {claim.id: plain.printed(claim) for claim in papers.CLAIMS}
    assert {id: text for id, text in told.items() if len(text) > plain.CELL + 12 or text.rstrip().endswith(("…", "..."))} == {}


# cards


def test_tested_claims_have_a_card_each_and_the_others_wait_by_study() -> None:
    found = content(result("a", "reproduced", TABLE), result("b", "contradicted"), result("c", "not testable yet", measured=""))
    assert [card.result.claim.id for card in cards.cards(found)] == ["b", "a"]
    (waits,) = cards.waiting(found)
    assert (waits.study, waits.command, [r.claim.id for r in waits.results]) == ("headline", "command", ["c"])
    assert [(name, options) for name, _, options in cards.filters(cards.cards(found))] == [
        ("verdict", ["reproduced", "contradicted"]),
        ("kind", [KINDS[0], TABLE]),
    ]


def test_a_reason_names_the_number_that_decides() -> None:
    entries = (Entry("ρ", {}, "17", "17 [17, 18]", "reproduced"), Entry("lead", {}, "84", "12 [9, 13]", "not reproduced"))
    one = replace(result("a", "contradicted"), entries=entries)
    assert cards.why(one).startswith("Measured 7, where 1 was published.")  # no entry has the verdict of the claim
    one = replace(one, entries=(entries[0], replace(entries[1], verdict="contradicted", setting={"margin": "80 … 88"})))
    assert cards.why(one).startswith("Lead is 12 [9, 13] where 84 was published; the margin is 80 … 88. ")
    said = replace(one, why="tests put lead outside of 80 … 88")
    assert cards.why(said) == "Tests put lead outside of 80 … 88. As published: ρ 17 [17, 18]."
    assert cards.why(one).endswith("As published: ρ 17 [17, 18].")
    assert all(cards.why(result("a", verdict)) for verdict in VERDICTS if verdict not in ("not testable yet",))


def test_what_decides_that_a_claim_holds_is_said_as_it_is() -> None:
    def why(p: float, **setting: str) -> str:
        entry = Entry("median", {name.replace("_", " "): text for name, text in setting.items()}, "7", "7", "reproduced")
        return cards.why(replace(result("a", "reproduced"), p=p, entries=(entry,)))

    assert why(0.01, margin="6 … 8") == "One-sided tests at 5 % put 7 within the margin, 6 … 8."
    assert why(NONE, margin="6 … 8") == "The runs that it names give 7 as published."
    assert why(NONE, margin="6 … 8", decided_by="printed digits").endswith("no test puts this in the margin: median.")
    assert why(NONE, activation="relu") == "Measured 7, as the claim has it."
    assert "margin" not in why(0.01, ridge="η")


def test_false_discoveries_are_said_to_cover_what_a_test_decides_and_nothing_else() -> None:
    def entry(**setting: str) -> tuple[Entry, ...]:
        return (Entry("x", {name.replace("_", " "): text for name, text in setting.items()}, "7", "7", "reproduced"),)

    margin = {"margin": "6 … 8"}
    line = words.discovery_line(
        content(
            replace(result("tested", "reproduced"), p=0.01, entries=entry(**margin)),
            replace(result("fact", "reproduced"), entries=entry(**margin)),
            replace(result("digits", "reproduced"), entries=entry(**margin, decided_by="printed digits")),
            replace(result("never", "contradicted"), entries=entry(runs="all")),
            result("summed", "undecidable to rounding"),
            result("absent", "not testable yet", measured=""),
        )
    )
    assert line.startswith("A test decides 1 of the 1 claim that one could;")
    assert line.endswith(
        "That does not cover 1 claim on named runs: facts, compared as they are; 1 claim that printed digits decide in part, "
        "where the test failed; 1 claim whose rule counts, or holds single runs to a margin, without a test; 1 undecidable to "
        "rounding."
    )


def test_a_claim_without_axes_of_numbers_has_a_count() -> None:
    entries = (
        Entry("sign", {}, "aligned", "aligned", "reproduced"),
        Entry("other", {}, "opposing", "aligned", "not reproduced"),
    )
    (card,) = cards.cards(content(replace(result("a", "not reproduced"), entries=entries, estimates={})))
    (row,) = card.rows
    assert (row.published, row.measured) == ("2/2", "1/2")
    assert "<svg" in str(row.drawing)


def test_the_axes_of_a_claim_come_before_its_entries() -> None:
    axes = (Axis("runs that compress", "0/24", Estimate(1.0, 0.4, 1.0, 4)), Axis("change", "", Estimate(0.1, 0.0, 0.2, 3)))
    (card,) = cards.cards(content(replace(result("a", "contradicted"), axes=axes)))
    assert [(row.name, row.published, row.measured) for row in card.rows] == [
        ("runs that compress", "0/24", "4/4"),
        ("change", "", "0.1 [0, 0.2]"),
    ]


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("0.982, trapezoid 0.976", 0.982, NONE, NONE),
        ("-0.205, removes 33% of ‖θ‖", -0.205, NONE, NONE),
        ("0.955 [0.95, 0.96]; less that of epoch 0", 0.955, 0.95, 0.96),
        ("0.0634, over 5 seeds 0.0613 to 0.0921, exact 0.06", 0.0634, 0.0613, 0.0921),
        ("5.57e+07 (less than one token)", 5.57e7, NONE, NONE),
    ],
)
def test_a_number_that_a_text_begins_with_is_read(text: str, value: float, low: float, high: float) -> None:
    found = axis.read(text)
    assert found is not None
    assert found[:3] == pytest.approx((value, low, high), nan_ok=True)


@pytest.mark.parametrize("text", ["aligned, correlation 0.95", "5/5 fire", "of 5 cells: all", "", "1.2.3"])
def test_a_text_that_begins_with_no_number_is_not_read(text: str) -> None:
    assert axis.read(text) is None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"note": "Not all runs are there: 14 of 15 runs of headline."}, "It holds on the runs that are there. Not all runs"),
        ({"note": "Seeds of a pilot. More."}, "It holds, with a limit: Seeds of a pilot."),
    ],
)
def test_a_caveat_says_which(setting: dict[str, str], said: str) -> None:
    assert cards.why(replace(result("a", "reproduced with a caveat"), **setting)).startswith(said)  # type: ignore[arg-type]


def test_a_row_has_the_runs_the_margin_and_the_interval() -> None:
    entries = (Entry("x", {"margin": "5 … 9"}, "7", "7 [6, 8]", "reproduced"),)
    (card,) = cards.cards(content(replace(result("a", "reproduced"), entries=entries, samples={"x": (6.0, 7.0, 7.0, 8.0)})))
    (row,) = card.rows
    drawing = str(row.drawing)
    assert [drawing.count(f'class="{name}"') for name in ("run", "point", "interval", "mark", "margin")] == [4, 1, 1, 1, 1]


def test_places_on_the_axis_keep_their_order_and_stay_inside() -> None:
    for values in ((1.0, 2.0, 3.0), (1e-6, 1e-3, 1.0), (5.0, 5.0), (-2.0, 0.0, 4.0)):
        places = [axis.Scale(values, False)(value) for value in values]
        assert places == sorted(places)
        assert all(axis.SIDE <= place <= axis.WIDTH - axis.SIDE for place in places)
    assert axis.Scale((1e-6, 1.0), False).log
    assert not axis.Scale((1.0, 2.0), False).log


def test_what_is_no_number_is_not_drawn_and_nothing_breaks_out() -> None:
    assert axis.draw("never", Estimate(NONE, NONE, NONE, 0)) == ""
    drawn = str(axis.draw('"><script>', Estimate(1.0, NONE, NONE, 1)))
    assert "<script>" not in drawn
    assert 'class="interval"' not in drawn
    shares = str(axis.draw("15/15", Estimate(14 / 15, 0.7, 0.99, 15)))
    assert re.findall(r"<text[^>]*>([^<]*)</text>", shares) == ["0", "1"]
