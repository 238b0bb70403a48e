"""What the report is made of: figures that each draw or name their command, escapes, numbers, comparisons."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import papers
from analysis.exhibits.evaluate import draw, evaluate
from analysis.exhibits.model import (
    ABSTRACT,
    FRESH,
    IMPRECISE,
    REVIEW,
    TABLE,
    UNDECIDABLE,
    Answer,
    Answered,
    Claim,
    Question,
    Replicate,
    Result,
)
from analysis.exhibits.panels import Drawn, Panel
from analysis.figures.inline import inline_svg
from analysis.figures.save import save
from analysis.papers import PANELS
from analysis.papers.xu import tables
from analysis.reading.evidence import Evidence
from analysis.report import compare, markdown, words, write
from analysis.report.cards import cards, paper_of, why
from analysis.report.content import DIVERGED, Content, gather
from analysis.report.html import LISTED, PRINTED_ROWS, TEMPLATES
from analysis.report.plain import SHORT, heading, plain, short
from analysis.statistics.estimates import Estimate
from grok.spec.studies import Cell
from tests.conftest import PROJECT
from tests.frozen.worlds import WORLDS, Weighted
from tests.helpers.fake_evidence import FakeEvidence
from tests.helpers.lifecycle_world import LifecycleWorld
from tests.helpers.signal_tables import tables_of

STUDIES = ("headline", "relu", "controls", "theorem6", "svd", "eta", "scaling", "activations", "cause", "rounding")


def draw_one(panel: Panel, evidence: Any) -> Drawn:
    return draw(evidence, [panel])[0]


@pytest.fixture(scope="module")
def evidence() -> FakeEvidence:
    return FakeEvidence(STUDIES, keep=lambda cell: cell.config.seed < 3, sensitivity=True)


class Figures(dict[str, Drawn]):
    """By id, drawn when one is asked for."""

    def __init__(self, evidence: FakeEvidence) -> None:
        super().__init__()
        self.usual = evidence
        self.lifecycle: Any = LifecycleWorld(
            lambda cell: (700.0, 1500.0), groks={42: 600, 137: 1400}, numbers=lambda cell, kind, name, step: -0.3
        )

    def __missing__(self, name: str) -> Drawn:
        panel = panel_of(name)
        if name.startswith("signals-"):  # what prepares them is tried in test_signal_laws.py
            tables = tables_of(name)
            self[name] = Drawn(panel, tables, panel.draw(tables))
        else:
            self[name] = draw_one(panel, self.lifecycle if name.startswith("lifecycle-") else self.usual)
        return self[name]


@pytest.fixture(scope="module")
def drawn(evidence: FakeEvidence) -> Figures:
    return Figures(evidence)


# figures: one suite that each must pass


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.id)
def test_a_figure_has_data_in_every_panel_and_all_its_text_on_the_paper(panel: Panel, drawn: dict[str, Any]) -> None:
    found = drawn[panel.id]
    assert found.figure is not None
    assert found.missing == ()
    assert all(len(table) for table in found.tables.values())
    figure = found.figure
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.has_data(), "an empty panel"
        named = [label.get_text() for label in ax.get_xticklabels() if re.search(r"[a-z]", label.get_text())]
        assert ax.get_xlabel() or ax.get_ylabel() or ax.get_title(loc="left") or named
    box, outside = figure.bbox, outer_ticks(figure)
    for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text") and artist.get_visible()):
        if text.get_text() and id(text) not in outside and (extent := text.get_window_extent()).width > 0:
            assert extent.x0 >= -2, text.get_text()
            assert extent.x1 <= box.width + 2, text.get_text()
            assert extent.y0 >= -2, text.get_text()
            assert extent.y1 <= box.height + 2, text.get_text()


def outer_ticks(figure: Any) -> set[int]:
    """Ids of tick labels beyond their axis' limits, which matplotlib keeps and does not draw."""
    found = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    found |= {id(tick.label1), id(tick.label2)}
    return found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.id)
def test_a_figure_whose_runs_are_absent_names_the_command(panel: Panel) -> None:
    found = draw_one(panel, FakeEvidence())
    assert found.figure is None
    assert found.tables == {}
    assert len(found.missing) == len(panel.studies)
    assert all(command.startswith("python -m entry_points.") for command in found.missing)


def test_a_figure_says_which_studies_are_missing_or_not_complete(drawn: dict[str, Any]) -> None:
    def some(cell: Cell) -> bool:
        return cell.config.seed < 2

    (panel,) = [panel for panel in PANELS if panel.id == "detector"]
    found = draw_one(panel, FakeEvidence(("headline",), keep=some))
    assert found.partial == ("headline: 4 of 30 runs",)
    assert found.missing == ("python -m entry_points.study --study relu", "python -m entry_points.study --study controls")
    assert len(found.run_ids) == 4
    assert drawn["detector"].partial[0] == "headline: 6 of 30 runs"


def test_only_one_activation_leaves_no_empty_panel() -> None:
    evidence = FakeEvidence(
        ("headline", "relu"), keep=lambda c: c.config.seed < 2 and c.condition + c.config.activation != "eta0relu"
    )
    (panel,) = [panel for panel in PANELS if panel.id == "eigenvalues"]
    figure = draw_one(panel, evidence).figure
    assert len(figure.axes) == 3
    assert all(ax.has_data() for ax in figure.axes)


def test_files_of_a_figure_are_the_same_twice_and_say_nothing_of_the_time(evidence: FakeEvidence, tmp_path: Any) -> None:
    (panel,) = [panel for panel in PANELS if panel.id == "detector"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(draw_one(panel, evidence).figure, tmp_path / name, "figure")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
        assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate|Matplotlib", path.read_bytes()), path.name
    svg = inline_svg(tmp_path / "a" / "figure.svg", "Where the detector fires")
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert "currentColor" in svg
    assert "#1b1f23" not in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= set(ids)


def test_tables_agree_with_the_runs(evidence: FakeEvidence, drawn: dict[str, Any]) -> None:
    shares = drawn["detector"].tables["shares"].set_index(["activation", "condition"])
    assert tuple(shares.loc[("square", "grok"), ["fired", "runs"]]) == (3, 3)
    assert shares.loc[("square", "grok"), "low"] == pytest.approx(0.025 ** (1 / 3))  # Clopper–Pearson at n of n
    assert tuple(shares.loc[("relu", "grok"), ["fired", "runs"]]) == (0, 3)
    headline = evidence.runs("headline")
    accuracy = np.array([evidence.history(i)["accuracy/test"] for i in headline.loc[headline["condition"] == "grok", "run_id"]])
    curves = drawn["headline"].tables["curves"].query("condition == 'grok' and metric == 'accuracy/test'")
    np.testing.assert_array_equal(curves["median"], np.median(accuracy, axis=0))
    np.testing.assert_array_equal(curves["q3"], np.quantile(accuracy, 0.75, axis=0))
    cells = drawn["scaling"].tables["cells"]
    assert list(cells["share"].unique()) == [0.1, 0.2, 0.3, 0.5]
    assert cells["diverged"].sum() == 3
    fit = drawn["eta"].tables["fit"].iloc[0]
    runs = drawn["eta"].tables["runs"].query("fitted")
    slope, intercept = np.polyfit(runs["test_50_epoch"], runs["rho_epoch"], 1)
    assert (fit["slope"], fit["intercept"]) == pytest.approx((slope, intercept))
    assert set(runs["epochs"]) == {600}


def test_windows_beyond_the_band_are_left_out(evidence: FakeEvidence) -> None:
    runs = evidence.runs("headline").head(2).assign(max_window=25)
    assert sorted(tables.by_window(evidence, runs, (5, 20, 30))["window"].unique()) == [5, 20]


# figures that fail, or that have nothing to show


def panel_of(name: str) -> Panel:
    (found,) = [panel for panel in PANELS if panel.id == name]
    return found


class OddSurface(FakeEvidence):
    """A sensitivity run with this `surface.csv`."""

    def __init__(self, table: pd.DataFrame) -> None:
        super().__init__((), sensitivity=True)
        self._table = table

    def csv(self, run_id: str, path: str) -> pd.DataFrame:
        return self._table


def test_surfaces_of_unknown_activations_and_controls_are_drawn_by_their_name() -> None:
    points = [(w, t, w / 64 - t) for w in (5, 20, 40) for t in (0.02, 0.04, 0.06)]
    pairs = (("abs", "eta0"), ("abs", "shuffled_$x"), ("cube", "eta0"))
    rows = [(activation, control, *point) for activation, control in pairs for point in points]
    table = pd.DataFrame(rows, columns=["activation", "control", "window", "threshold", "j"])
    figure = draw_one(panel_of("sensitivity"), OddSurface(table)).figure
    assert {ax.get_title(loc="left") for ax in figure.axes} - {""} == {
        "abs against\nno weight decay",
        "abs against\nshuffled_\\$x",
        "cube against\nno weight decay",
    }
    figure.draw_without_rendering()


def test_a_figure_with_an_empty_table_or_a_failure_says_so_and_stops_no_other() -> None:
    empty = draw_one(panel_of("sensitivity"), OddSurface(pd.DataFrame({"activation": []})))
    assert (empty.figure, empty.problem, empty.run_ids) == (None, "the runs that are there hold none of it", ())
    odd = draw_one(panel_of("sensitivity"), OddSurface(pd.DataFrame({"activation": ["abs"]})))
    assert odd.figure is None
    assert odd.problem == "an error stopped this: KeyError: 'control'"
    assert odd.commands == (Evidence.command("sensitivity"),)


@pytest.mark.slow
def test_the_runs_of_a_figure_are_those_that_it_draws(evidence: FakeEvidence, drawn: dict[str, Any]) -> None:
    for found in (drawn[panel.id] for panel in PANELS):
        for table in found.tables.values():
            if "run_id" in table and "fitted" not in table:
                assert set(table["run_id"]) == set(found.run_ids), found.panel.id
    fitted = drawn["eta"].tables["runs"].query("fitted")
    assert set(drawn["eta"].run_ids) == set(fitted["run_id"])
    assert len(fitted) < len(evidence.runs("eta"))
    relu = evidence.runs("activations").query("condition in ('grok', 'eta0')")
    assert set(drawn["activations"].run_ids) == set(relu["run_id"])
    svd = evidence.runs("svd")
    assert set(drawn["precision"].run_ids) <= set(svd["run_id"])


def test_a_study_of_which_nothing_is_drawn_lends_no_command(evidence: FakeEvidence) -> None:
    """ReLU runs that measured no repulsion are not in its figure, nor is the command that made them."""

    class Unmeasured(FakeEvidence):
        def history(self, run_id: str) -> pd.DataFrame:
            table = super().history(run_id)
            if self._config(run_id)["activation"] == "relu":
                table["repulsion/rate"] = np.nan
            return table

    found = draw_one(panel_of("repulsion"), Unmeasured(("headline", "relu"), keep=lambda cell: cell.config.seed < 2))
    headline = evidence.runs("headline").query("seed < 2")
    assert set(found.run_ids) == set(headline["run_id"])
    assert found.commands == ("python -m entry_points.study --study headline",)


@pytest.mark.parametrize(("name", "study"), [("precision", "svd"), ("windows", "headline")])
def test_a_condition_without_runs_is_not_in_the_legend(name: str, study: str) -> None:
    made = FakeEvidence((study,), keep=lambda cell: cell.config.seed < 2 and cell.condition == "grok")
    (legend,) = draw_one(panel_of(name), made).figure.legends
    assert "weight decay" in [text.get_text() for text in legend.get_texts()]
    assert not [text.get_text() for text in legend.get_texts() if "without weight decay" in text.get_text()]


@pytest.mark.parametrize("reached", [0, 1, 3])
def test_the_detector_caption_counts_controls_that_generalise(reached: int) -> None:
    made = FakeEvidence(("controls",), keep=lambda cell: cell.config.seed < 3 and cell.config.activation == "square")
    runs = made.runs("controls")
    random = runs.index[runs["condition"] == "random_labels"]
    made._runs["controls"].loc[random[:reached], "test_50_epoch"] = 50.0
    caption = draw_one(panel_of("detector"), made).caption
    first = caption.split(". ")[0]
    assert first.startswith("It fires in 3/3 (x², random labels); of kinds") == (reached == 3)
    assert ("random labels" in first) == (reached in (0, 3))  # told apart by what every run of a kind does
    assert first.endswith(("(x², too few pairs)", "(x², random labels)"))


# words


@given(st.text())
def test_markdown_escapes_leave_one_line_without_html_links_or_bars(text: str) -> None:
    out = markdown.escape(text)
    assert not re.search(r"[<>\n\r]", out)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|$~]", out)
    assert not re.search(r"://|www\.|@", out, re.IGNORECASE)


@given(st.text(min_size=1))
def test_code_spans_do_not_end_early(text: str) -> None:
    out = str(markdown.code(text))
    assert (out == f"`{text}`" and not re.search(r"[`|\n]", text)) or out == markdown.escape(text)


def test_markdown_keeps_plain_sentences_readable() -> None:
    assert markdown.escape("λ₂/λ₃ ≥ 0.5 (n = 15): 229×.") == "λ₂/λ₃ ≥ 0.5 (n = 15): 229×."
    assert markdown.escape("# a\nb") == "\\# a b"
    assert markdown.escape("1. a") == "\\1. a"


def test_markdown_addresses_are_not_ones_that_a_renderer_links() -> None:
    assert markdown.escape("ftp://x.y www.x.y") == "ftp&#58;//x.y www&#46;x.y"
    assert markdown.escape("Www.x.y a: b") == "Www&#46;x.y a: b"
    shown = html.unescape(markdown.escape("me@x.y"))
    assert shown == "me\u2060@x.y"


def test_numbers_and_estimates() -> None:
    assert [words.number(x, words.DIGITS) for x in (229.04, 1.312, 2.1e-5, 12345.6, float("nan"), -float("inf"))] == [
        "229",
        "1.312",
        "2.1e-05",
        "12346",
        "–",
        "−∞",
    ]
    assert words.estimate(Estimate(174, 173, 174, 15)) == "174 [173, 174] (95 %), n = 15"
    assert words.estimate(Estimate(0.5, float("nan"), float("nan"), 1)) == "0.5, n = 1"
    assert [cell.text for cell in words.rows(pd.DataFrame({"a": [1], "b": [0.25], "c": ["x"], "d": [np.nan]}))[0]] == [
        "1",
        "0.25",
        "x",
        "–",
    ]


@pytest.mark.parametrize("kind", ["95 %", "quartiles", "range", "between"])
def test_a_bracket_says_what_it_is_wherever_an_estimate_is_shown(kind: str, tmp_path: Any) -> None:
    spread = SimpleNamespace(value=174.0, low=173.0, high=176.0, n=15, kind=kind)
    (told,) = [replace(result("a", "reproduced"), estimates={"x": spread})]  # type: ignore[dict-item]
    found = Content((told,), (), (), (), pd.DataFrame(columns=["run_id", "name", "study", "condition", "reason"]), 1)
    write.build(found, tmp_path)
    for name in ("report.html", "report.md", "data/claims.csv"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\\[", "[").replace("\\]", "]")
        assert f"x: 174 [173, 176] ({kind}), n = 15" in text, name
    document = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert document["claims"][0]["estimates"]["x"] == {"value": 174.0, "low": 173.0, "high": 176.0, "kind": kind, "n": 15}


def test_a_spreadsheet_runs_nothing_of_a_csv(tmp_path: Any) -> None:
    (tmp_path / "data").mkdir()
    table = pd.DataFrame({"name": ["=1+1", "@x", "plain"], "value": [-1.5, 2.0, np.nan]})
    write._csv(table, tmp_path, "t")
    assert (tmp_path / "data" / "t.csv").read_text() == "name,value\n'=1+1,-1.5\n'@x,2\nplain,\n"


# comparisons


def result(name: str, verdict: str, measured: str = "1") -> Result:
    claim = Claim(name, f"Statement {name}.", "paper", "1", "so", ("headline",), "rule", lambda _: None, kind=TABLE)  # type: ignore[arg-type, return-value]
    estimates = {"x": Estimate(1.0, float("nan"), float("inf"), 1)}
    return Result(claim, measured, estimates, verdict, "", 1, ("r",), "command")


def test_claims_json_is_json_without_nan_and_reads_back(tmp_path: Any) -> None:
    text = json.dumps(compare.claims_json([result("a", "reproduced")], {"headline": 1}, 0), allow_nan=False)
    (tmp_path / "claims.json").write_text(text, encoding="utf-8")
    found = compare.read_baseline(SimpleNamespace(), str(tmp_path))  # type: ignore[arg-type]  # the store is not asked
    assert found["claims"][0]["estimates"] == {"x": {"value": 1.0, "low": None, "high": None, "kind": "95 %", "n": 1}}
    assert found["verdicts"]["reproduced"] == 1


def test_each_kind_of_change_is_told_once_and_in_order() -> None:
    before = compare.claims_json([result(n, "reproduced") for n in ("same", "moved", "changed", "gone")], {}, 0)
    after = [
        result("same", "reproduced"),
        result("moved", "reproduced", "2"),
        result("changed", "contradicted"),
        result("new", "reproduced"),
    ]
    found = compare.compare(before, after, "before")
    assert [(c.id, c.kind, c.before, c.after) for c in found.changes] == [
        ("changed", "verdict changed", "reproduced", "contradicted"),
        ("new", "new", "", "reproduced"),
        ("gone", "absent", "reproduced", ""),
        ("moved", "measured value changed", "reproduced", "reproduced"),
    ]
    assert found.same == 1
    assert [c.id for c in compare.compare(before, after, "before", ["relu"]).changes] == ["changed", "new", "moved"]
    assert words.change_line(found) == (
        "Against before: 1 verdict changed, 1 claim is new, 1 claim is absent now, 1 measured value changed; 1 claim as before."
    )


def test_a_change_says_why_as_far_as_both_sides_tell() -> None:
    before = compare.claims_json(
        [result(n, "reproduced") for n in ("rule", "runs", "rounds", "wide", "many", "part", "asked", "gone", "short")], {}, 0
    )
    for claim in before["claims"]:
        claim["rule"] = "an older rule" if claim["id"] == "rule" else claim["rule"]
        claim["run_ids"] = ["r", "s"] if claim["id"] == "runs" else claim["run_ids"]
    whole = result("whole", "contradicted")
    after = [
        result("rule", "not reproduced"),
        result("runs", "not reproduced"),
        replace(result("rounds", UNDECIDABLE), rounding="Over 2 roundings: reproduced in 1, not reproduced in 1."),
        result("wide", IMPRECISE),
        replace(result("many", IMPRECISE, "2"), note="Alone it would be reproduced (p = 0.04), but not among 9 claims (0.2)."),
        replace(whole, claim=replace(whole.claim, replaces=("part",))),
        replace(result("gone", "not testable yet", ""), run_ids=()),
        result("short", "not testable yet", ""),
    ]
    asked = Answered(Question("asked", "Is it?", ("headline",), "so", lambda _: Answer("")), "", {}, "", 0, (), "")  # type: ignore[arg-type]
    found = compare.compare(before, after, "before", answers=[asked])
    assert {change.id: change.reason for change in found.changes} == {
        "rule": "another rule",
        "runs": "other runs (1 of 1 are the same)",
        "rounds": "roundings disagree: Over 2 roundings: reproduced in 1, not reproduced in 1",
        "wide": "too few runs, or too wide an interval, for a test to decide",
        "many": "it does not survive among so many claims; other numbers from the same runs",
        "whole": "",
        "part": "one sentence: an entry of whole now",
        "asked": "a question of ours now",
        "gone": "its runs are not in this store",
        "short": "its runs here do not suffice",
    }


def test_a_claim_without_runs_before_has_no_other_reason() -> None:
    (never,) = compare.claims_json([replace(result("never", "not testable yet", ""), run_ids=(), n=0)], {}, 0)["claims"]
    before = {"claims": [never | {"rule": "an older rule"}]}
    (change,) = compare.compare(before, [result("never", "reproduced")], "before").changes
    assert change.reason == "it had no runs before"
    (change,) = compare.compare(before, [result("never", IMPRECISE)], "before").changes
    assert change.reason == "too few runs, or too wide an interval, for a test to decide; it had no runs before"
    short = {"claims": [never | {"run_ids": ["r"], "n": 1}]}
    (change,) = compare.compare(short, [replace(result("never", "reproduced"), run_ids=("r", "s"), n=2)], "before").changes
    assert change.reason == "other runs (1 of 2 are the same)"


@pytest.mark.parametrize(
    ("verdicts", "now", "named"),
    [
        (("reproduced", "reproduced", "reproduced with a caveat"), "reproduced with a caveat", "c, reproduced with a caveat"),
        (("reproduced", "not reproduced", "reproduced"), UNDECIDABLE, "b, not reproduced"),
        (("reproduced", "reproduced with a caveat", "reproduced with a caveat"), "reproduced with a caveat", ""),
        (("reproduced", "not reproduced"), UNDECIDABLE, ""),
        (("reproduced", "not reproduced", "contradicted"), UNDECIDABLE, ""),
        (("reproduced", "reproduced", "reproduced"), "reproduced", ""),
    ],
)
def test_a_rounding_that_alone_turns_a_verdict_is_named(verdicts: tuple[str, ...], now: str, named: str) -> None:
    before = compare.claims_json([result("one", "contradicted")], {}, 0)
    replicates = tuple(Replicate(name, verdict, "1") for name, verdict in zip("abc", verdicts, strict=False))
    (change,) = compare.compare(before, [replace(result("one", now), replicates=replicates)], "before").changes
    assert ("one rounding alone differs" in change.reason) is bool(named)
    assert named in change.reason


def test_verdicts_are_counted_by_whose_word_they_are_the_papers_first() -> None:
    kinds = (REVIEW, ABSTRACT, TABLE, FRESH, TABLE)
    verdicts = ("contradicted", "reproduced", "reproduced", "reproduced", "not reproduced")
    results = [result(str(i), verdict) for i, verdict in enumerate(verdicts)]
    found = content_of(*(replace(r, claim=replace(r.claim, kind=k)) for r, k in zip(results, kinds, strict=True)))
    assert list(found.tally) == [ABSTRACT, TABLE, FRESH, REVIEW]
    assert found.tally[TABLE]["reproduced"] == found.tally[TABLE]["not reproduced"] == 1
    assert words.tally_rows(found)[1][:4] == [TABLE, "2", "1", "0"]
    assert words.tally_rows(found)[-1] == [words.ALL, "5", "3", "0", "1", "1"]
    assert len(words.tally_rows(content_of(results[1]))) == 1  # the sum of one row is that row
    assert words.lead(found).startswith("4 published statements, 1 of their numbers on fresh seeds too, held against")
    assert words.summary(found) == (
        "Of the 4 that could be tested: 2 reproduced, 0 with a caveat, 1 not reproduced, 1 contradicted. Of those in the "
        "papers themselves, without notes and code, 2 of 3 hold. On fresh seeds 1 of 1 hold."
    )
    document = compare.claims_json(found.results, {}, 0)
    assert document["verdicts_by_kind"] == found.tally
    assert [claim["kind"] for claim in document["claims"]] == list(kinds)


def test_rounding_provenance_and_the_false_discovery_control_are_told(tmp_path: Any) -> None:
    repeats = (Replicate("default", "reproduced", "0/15"), Replicate("mkl-256-1", "not reproduced", "2/15"))
    one = replace(
        result("a", UNDECIDABLE), replicates=repeats, rounding="Over 2 roundings.", made_by={"code_version": {"c1": 2}}
    )
    found = content_of(one, replace(result("b", "reproduced"), p=0.01, adjusted=0.02, rounding="Judged on one rounding."))
    write.build(found, tmp_path)
    page, text = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for told in (page, text):
        assert "A test decides 1 of the 1 claim that one could" in told
        assert "1 claim judged over several roundings, 1 on one." in told
        assert "Over 2 roundings." in told
        assert "code version c1 (2)" in told
    assert "mkl-256-1: <span" in page
    first, second = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))["claims"]
    told = {"rounding": "mkl-256-1", "verdict": "not reproduced", "measured": "2/15"}
    assert first["replicates"][1] == told | {"replaced": 0, "made_by": {}}
    assert (first["made_by"], first["p"]) == ({"code_version": {"c1": 2}}, None)
    assert (second["p"], second["p_adjusted"]) == (0.01, 0.02)


# the top of the report, and diverged runs


def content_of(*results: Result, diverged: pd.DataFrame | None = None) -> Content:
    odd = pd.DataFrame(columns=["run_id", "name", "study", "condition", "reason"])
    return Content(results, (), (), (), odd, 1, None, pd.DataFrame(columns=DIVERGED) if diverged is None else diverged)


def test_the_summary_has_the_counts_and_links_the_contradicted_claims(tmp_path: Any) -> None:
    found = content_of(result("a", "reproduced"), result("b", "contradicted", "7 <i>"), result("c", "not testable yet", ""))
    write.build(found, tmp_path)
    page, text = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    counts = (
        "Of the 2 that could be tested: 1 reproduced, 0 with a caveat, 0 not reproduced, 1 contradicted. 1 cannot be tested"
    )
    top = page[page.index("<h1") : page.index('<h2 id="claims"')]
    assert counts in top
    assert '<a href="#claim-b">Statement b.</a> <span class="against">1 → 7 &lt;i&gt;</span>' in top
    listed = top[top.index('id="contradicted"') :]
    assert '"#claim-a"' not in listed
    opening = text[: text.index("## Claims")]
    assert counts in opening
    assert "The runs contradict this one:\n\n- [Statement b.](#claim-b) 1 → 7 &lt;i&gt;" in opening
    assert '<a id="claim-b"></a>**b**' in text
    assert words.contradicted_line(content_of(result("a", "reproduced"))) == "The runs contradict none of them."
    assert words.contradicted_line(content_of(result("a", "not testable yet"))) == ""


def test_runs_are_links_where_the_address_of_a_ui_is_given(tmp_path: Any) -> None:
    for name, address in (("without", ""), ("with", "http://127.0.0.1:5000")):
        (tmp_path / name).mkdir()
        write.build(replace(content_of(result("a", "reproduced")), ui_url=address), tmp_path / name)
    without, linked = ((tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("without", "with"))
    assert '<a href="http://127.0.0.1:5000/#/runs/r">r</a>' in linked
    assert "127.0.0.1" not in without
    assert (tmp_path / "with" / "data" / "runs.csv").read_text(encoding="utf-8") == "what,id,run_id\nclaim,a,r\n"


def test_of_many_runs_the_first_are_in_the_fold_and_all_in_a_file(tmp_path: Any) -> None:
    ids = tuple(f"run-{number:03d}" for number in range(LISTED + 2))
    write.build(content_of(replace(result("a", "reproduced"), run_ids=ids)), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<summary>{LISTED + 2} runs</summary>" in page
    assert [id for id in ids if id not in page] == list(ids[LISTED:])
    assert f'The first {LISTED}; all are in <a href="data/runs.csv">runs.csv</a>.' in page
    assert all(id in (tmp_path / "data" / "runs.csv").read_text(encoding="utf-8") for id in ids)


def test_diverged_runs_are_named_by_study(evidence: FakeEvidence, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("CLAIMS", "ERRATA", "PANELS"):
        monkeypatch.setattr(papers, name, ())
    found = gather(evidence)
    scaling = evidence.runs("scaling").query("state == 'diverged'")
    assert len(scaling) == 3
    assert [tuple(row) for row in found.diverged[["study", "run_id"]].to_numpy()] == [("scaling", i) for i in scaling["run_id"]]
    write.build(found, tmp_path)
    for name in ("report.html", "report.md", "data/diverged.csv"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert all(run_id in text for run_id in scaling["run_id"]), name
        assert name.endswith("csv") or "count as they are: 3 of scaling." in text


def test_tables_say_conditions_and_columns_as_people_do() -> None:
    table = pd.DataFrame({"condition": ["grok", "eta0", "mine"], "late_gap": [1.0, 2.0, 3.0]})
    assert [row[0].text for row in words.rows(table)] == ["weight decay", "without weight decay", "mine"]
    assert heading("eta0 late_gap") == "without weight decay late gap"
    assert heading("grok seeds 0-2") == "with weight decay seeds 0-2"
    assert table["condition"][0] == "grok"


def test_indices_are_set_low_and_names_are_left() -> None:
    assert plain("f̃_jᵀ P f̃_l = −B_jl / B_jj; n_train, w_out, x.a_j") == "f̃ⱼᵀ P f̃ₗ = −Bⱼₗ / Bⱼⱼ; n_train, w_out, x.a_j"


def test_a_text_ends_with_one_stop() -> None:
    assert [words.stopped(text) for text in ("a", "a.", "a …")] == ["a.", "a.", "a …"]


def test_a_card_has_the_title_of_its_paper() -> None:
    titles = [paper_of(claim.id) for claim in (papers.LOCK_IN[0], papers.LIFECYCLE[0], papers.CLAIMS[-1])]
    assert titles == [papers.PAPERS[0].title, papers.PAPERS[1].title, "others"]
    assert paper_of("of-my-own") == "own"


def test_no_cell_of_a_table_of_the_committed_report_ends_in_dots() -> None:
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    cells = [
        re.sub(r"<details>.*?</details>|<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[ >].*?</td>", page, re.DOTALL)
    ]
    assert len(cells) > 500
    assert [cell for cell in cells if cell.endswith(("…", "..."))] == []
    assert "line-clamp" not in (TEMPLATES / "report.css").read_text(encoding="utf-8")


def test_every_card_of_the_committed_report_has_an_axis_and_a_reason_of_its_own() -> None:
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'<article class="card" id="([^"]+)".*?</article>', page, re.DOTALL)
    bodies = re.findall(r'<article class="card".*?</article>', page, re.DOTALL)
    assert len(found) == len(bodies) > 100
    assert [id for id, body in zip(found, bodies, strict=True) if '<svg class="axis"' not in body] == []
    whys = [re.sub(r"<[^>]+>", "", re.findall(r'<p class="why">(.*?)</p>', body, re.DOTALL)[0]) for body in bodies]
    assert [id for id, why in zip(found, whys, strict=True) if not why.strip() or "rule of this claim" in why] == []


def test_cells_of_claims_fit_two_lines_and_no_chapter_shows_ids() -> None:
    """Of the committed page: 103 characters of a claim and 40 of what was published are two lines at 1440 pixels."""
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr data-of="[^"]+">(.*?)</tr>', page, re.DOTALL)
    cells = [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]
    assert len(cells) > 100
    assert [row[0] for row in cells if len(html.unescape(row[0])) > 103] == []
    assert [row[1] for row in cells if len(html.unescape(row[1])) > 52] == []
    chapters = re.findall(r'<section id="erratum-(.*?)</section>', page, re.DOTALL)
    assert len(chapters) > 15
    assert [text[:40] for text in chapters if re.search(r"<td>[0-9a-f]{32}</td>", text)] == []


def test_reasons_of_the_committed_report_begin_with_no_other_symbol() -> None:
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    whys = [html.unescape(re.sub(r"<[^>]+>", "", why)) for why in re.findall(r'<p class="why">(.*?)</p>', page, re.DOTALL)]
    assert [why for why in whys if re.match(r"[Α-Ω]", why)] == []
    assert any(re.match(r"[α-ω]", why) for why in whys)


def test_captions_of_the_committed_report_begin_with_a_finding_and_are_short() -> None:
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    captions = dict(
        re.findall(r'<section id="figure-([^"]+)">(?:(?!</section>).)*?<figcaption>(.*?)</figcaption>', page, re.DOTALL)
    )
    assert len(captions) > 20
    assert {id: len(text.split()) for id, text in captions.items() if len(text.split()) > 60} == {}


def test_each_sentence_of_the_committed_first_screen_is_one_of_forty_words_a_paper() -> None:
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    told = [re.sub(r"<[^>]+>", "", one) for one in re.findall(r"<dd>(.*?)</dd>", page[: page.index('class="beside"')])]
    assert len(told) == 5
    assert {one for one in told if len(one.split()) > 40 * len(papers.PARTS)} == set()
    assert [one for one in told[1:] if re.search(r"\. [A-Z]", one)] == []  # the first asks a question a paper


def test_figures_of_the_committed_report_draw_in_the_ink_of_the_page() -> None:
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    drawings = re.findall(r'<section id="figure-([^"]+)">(?:(?!</section>).)*?(<svg.*?</svg>)', page, re.DOTALL)
    assert len(drawings) > 20
    black = {id for id, svg in drawings if re.search(r"(?:stroke|fill): ?(?:#000000|#000\b|black)", svg)}
    assert black <= {"sensitivity"}  # the star, white with a black edge, which is seen on every colour


def test_on_a_phone_a_claim_keeps_what_was_published_measured_and_how_many_runs() -> None:
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    for number, word in ((2, "Published"), (3, "Measured"), (4, "Runs")):
        assert f'table.claims td:nth-child({number})::before {{ content: "{word} "; }}' in style
    assert not re.search(r"table\.claims[^{]*(?:th|td)[^{]*\{ display: none", style)


def test_verdicts_that_changed_are_shown_and_the_rest_is_folded_after_the_claims(tmp_path: Any) -> None:
    old = {"id": "a", "verdict": "contradicted", "measured": "3", "statement": "Statement a.", "studies": ["headline"]}
    results = (result("a", "reproduced"), result("b", "reproduced"))
    found = replace(content_of(*results), comparison=compare.compare({"claims": [old]}, results, "old"))
    assert found.comparison is not None
    assert list(found.comparison.by_kind()) == ["verdict changed", "new"]
    write.build(found, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.index('<h2 id="claims">') < page.index('<h2 id="changes">')
    changes = page[page.index('<h2 id="changes">') : page.index('<h2 id="figures">')]
    table, fold = changes.split("<details>")
    assert "#claim-a" in table
    assert "#claim-b" not in table
    assert "<summary>New: 1 claim</summary>" in fold
    assert "#claim-b" in fold


def test_of_a_long_table_the_first_rows_are_printed_and_its_file_is_named() -> None:
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    (first_hidden,) = re.findall(r"table\.frame tbody tr:nth-child\(n \+ (\d+)\) \{ display: none; \}", style)
    assert int(first_hidden) == PRINTED_ROWS + 1
    page = (PROJECT / "docs" / "report" / "report.html").read_text(encoding="utf-8")
    told = re.findall(r'<p class="printed">(\d+) of (\d+) rows: (data/[^ ]+\.csv) has all\.</p>', page)
    assert told
    for first, rows, path in told:
        assert int(first) == PRINTED_ROWS < int(rows)
        assert len(pd.read_csv(PROJECT / "docs" / "report" / path)) == int(rows)


def test_what_the_abstracts_say_has_a_value_that_is_whole_and_short() -> None:
    lifecycle = LifecycleWorld(groks={42: 600, 137: 1400, 2024: 1000, 7: 800, 11: 800})
    made: tuple[Any, ...] = (Weighted(**WORLDS["default"]), lifecycle)
    told = {}
    for world, paper in zip(made, papers.PAPERS, strict=True):
        claims = [claim for claim in papers.SAID[paper.address] if claim.id in paper.says]
        told |= {one.claim.id: short(one) for one in evaluate(world, claims) if one.measured}
    assert set(told) == {id for paper in papers.PAPERS for id in paper.says}
    assert {id: text for id, text in told.items() if len(text) > SHORT or "…" in text or "see the card" in text} == {}


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_in_every_world_each_verdict_has_its_reason_and_each_card_something_drawn(name: str) -> None:
    found = [one for one in evaluate(Weighted(**WORLDS[name]), papers.LOCK_IN) if one.measured]
    assert found
    assert [one.claim.id for one in found if not why(one).endswith((".", "…"))] == []
    assert [one.claim.id for one in found if "rule of this claim" in why(one)] == []
    held = [one for one in found if one.verdict in ("reproduced",) and re.search(r"outside|contradict|opposite", why(one))]
    assert [one.claim.id for one in held] == []
    failed = [one for one in found if one.verdict in ("not reproduced", "contradicted") and "inside the margin" in why(one)]
    assert [one.claim.id for one in failed] == []
    drawn = cards(content_of(*found))
    assert [card.result.claim.id for card in drawn if not any(row.drawing for row in card.rows)] == []


@pytest.mark.parametrize(
    "groks", [{42: 600, 137: 1400, 2024: 1000, 7: 800, 11: 800}, {42: 600, 137: 600, 2024: 600, 7: 600, 11: 600}]
)
def test_every_sentence_of_the_lifecycle_has_a_reason_and_axes(groks: dict[int, int]) -> None:
    found = [one for one in evaluate(LifecycleWorld(groks=groks), papers.LIFECYCLE) if one.measured]
    assert len(found) > 5
    assert [one.claim.id for one in found if not why(one).endswith(".")] == []
    drawn = cards(content_of(*found))
    assert [card.result.claim.id for card in drawn if not any(row.drawing for row in card.rows)] == []
