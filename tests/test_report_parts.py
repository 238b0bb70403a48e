"""What the report is made of: figures that each draw or name their command, escapes, numbers, comparisons."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.claims import Claim, Result
from analysis.figures.save import inline_svg, save
from analysis.report import compare, markdown, panels, tables, words, write
from analysis.statistics import Estimate
from grok.studies import Cell
from tests.fake_evidence import FakeEvidence

STUDIES = ("headline", "relu", "controls", "theorem6", "svd", "eta", "scaling", "activations")


@pytest.fixture(scope="module")
def evidence() -> FakeEvidence:
    return FakeEvidence(STUDIES, keep=lambda cell: cell.config.seed < 3, sensitivity=True)


@pytest.fixture(scope="module")
def drawn(evidence: FakeEvidence) -> dict[str, panels.Drawn]:
    return {panel.id: panels.evaluate(panel, evidence) for panel in panels.PANELS}


# figures: one suite that each must pass


@pytest.mark.parametrize("panel", panels.PANELS, ids=lambda panel: panel.id)
def test_a_figure_has_data_in_every_panel_and_all_its_text_on_the_paper(panel: panels.Panel, drawn: dict[str, Any]) -> None:
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
    box = figure.bbox
    for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text") and artist.get_visible()):
        if text.get_text() and text.get_window_extent().width > 0 and not is_outer_tick(text, figure):
            extent = text.get_window_extent()
            assert extent.x0 >= -2, text.get_text()
            assert extent.x1 <= box.width + 2, text.get_text()
            assert extent.y0 >= -2, text.get_text()
            assert extent.y1 <= box.height + 2, text.get_text()


def is_outer_tick(text: Any, figure: Any) -> bool:
    """A tick label beyond its axis' limits, which matplotlib keeps and does not draw."""
    drawn = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    drawn |= {id(tick.label1), id(tick.label2)}
    return id(text) in drawn


@pytest.mark.parametrize("panel", panels.PANELS, ids=lambda panel: panel.id)
def test_a_figure_whose_runs_are_absent_names_the_command(panel: panels.Panel) -> None:
    found = panels.evaluate(panel, FakeEvidence())
    assert found.figure is None
    assert found.tables == {}
    assert len(found.missing) == len(panel.studies)
    assert all(command.startswith("mlflow run . -e ") for command in found.missing)


def test_a_figure_says_which_studies_are_missing_or_not_complete(drawn: dict[str, Any]) -> None:
    def some(cell: Cell) -> bool:
        return cell.config.seed < 2

    (panel,) = [panel for panel in panels.PANELS if panel.id == "detector"]
    found = panels.evaluate(panel, FakeEvidence(("headline",), keep=some))
    assert found.partial == ("headline: 4 of 30 runs",)
    assert found.missing == ("mlflow run . -e study -P study=relu", "mlflow run . -e study -P study=controls")
    assert len(found.run_ids) == 4
    assert drawn["detector"].partial[0] == "headline: 6 of 30 runs"


def test_only_one_activation_leaves_no_empty_panel() -> None:
    evidence = FakeEvidence(
        ("headline", "relu"), keep=lambda c: c.config.seed < 2 and c.condition + c.config.activation != "eta0relu"
    )
    (panel,) = [panel for panel in panels.PANELS if panel.id == "eigenvalues"]
    figure = panels.evaluate(panel, evidence).figure
    assert len(figure.axes) == 3
    assert all(ax.has_data() for ax in figure.axes)


def test_files_of_a_figure_are_the_same_twice_and_say_nothing_of_the_time(evidence: FakeEvidence, tmp_path: Any) -> None:
    (panel,) = [panel for panel in panels.PANELS if panel.id == "detector"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(panels.evaluate(panel, evidence).figure, tmp_path / name, "figure")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
        assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate|Matplotlib", path.read_bytes()), path.name
    svg = inline_svg(tmp_path / "a" / "figure.svg", "Where the detector fires")
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert "currentColor" in svg
    assert "#1b1f23" not in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert all(name.startswith("fig-figure-") for name in ids)
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


# words


@given(st.text())
def test_markdown_escapes_leave_one_line_without_html_links_or_bars(text: str) -> None:
    out = markdown.escape(text)
    assert not re.search(r"[<>\n\r]", out)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|$~]", out)


@given(st.text(min_size=1))
def test_code_spans_do_not_end_early(text: str) -> None:
    out = str(markdown.code(text))
    assert (out == f"`{text}`" and not re.search(r"[`|\n]", text)) or out == markdown.escape(text)


def test_markdown_keeps_plain_sentences_readable() -> None:
    assert markdown.escape("λ₂/λ₃ ≥ 0.5 (n = 15): 229×.") == "λ₂/λ₃ ≥ 0.5 (n = 15): 229×."
    assert markdown.escape("# a\nb") == "\\# a b"
    assert markdown.escape("1. a") == "\\1. a"


def test_numbers_and_estimates() -> None:
    assert [words.number(x) for x in (229.04, 1.312, 2.1e-5, 12345.6, float("nan"), -float("inf"))] == [
        "229", "1.312", "2.1e-05", "12346", "–", "−∞",
    ]  # fmt: skip
    assert words.estimate(Estimate(174, 173, 174, 15)) == "174 [173, 174], n = 15"
    assert words.estimate(Estimate(0.5, float("nan"), float("nan"), 1)) == "0.5, n = 1"
    assert [cell.text for cell in words.rows(pd.DataFrame({"a": [1], "b": [0.25], "c": ["x"], "d": [np.nan]}))[0]] == [
        "1", "0.25", "x", "–",
    ]  # fmt: skip


def test_a_spreadsheet_runs_nothing_of_a_csv(tmp_path: Any) -> None:
    (tmp_path / "data").mkdir()
    table = pd.DataFrame({"name": ["=1+1", "@x", "plain"], "value": [-1.5, 2.0, np.nan]})
    write._csv(table, tmp_path, "t")
    assert (tmp_path / "data" / "t.csv").read_text() == "name,value\n'=1+1,-1.5\n'@x,2\nplain,\n"


# comparisons


def result(name: str, verdict: str, measured: str = "1") -> Result:
    claim = Claim(name, f"Statement {name}.", "paper", "1", "so", ("headline",), "rule", lambda _: None)  # type: ignore[arg-type, return-value]
    estimates = {"x": Estimate(1.0, float("nan"), float("inf"), 1)}
    return Result(claim, measured, estimates, verdict, "", 1, ("r",), "command")


def test_claims_json_is_json_without_nan_and_reads_back(tmp_path: Any) -> None:
    text = json.dumps(compare.claims_json([result("a", "reproduced")], {"headline": 1}, 0), allow_nan=False)
    (tmp_path / "claims.json").write_text(text, encoding="utf-8")
    found = compare.read_baseline(SimpleNamespace(), str(tmp_path))  # type: ignore[arg-type]  # the store is not asked
    assert found["claims"][0]["estimates"] == {"x": {"value": 1.0, "low": None, "high": None, "n": 1}}
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
        ("changed", "verdict changed", "reproduced", "contradicted"), ("new", "new", "", "reproduced"),
        ("gone", "absent", "reproduced", ""), ("moved", "measured value changed", "reproduced", "reproduced"),
    ]  # fmt: skip
    assert found.same == 1
    assert [c.id for c in compare.compare(before, after, "before", ["relu"]).changes] == ["changed", "new", "moved"]
    assert words.change_line(found) == (
        "Against before: 1 verdict changed, 1 claim is new, 1 claim is absent now, 1 measured value changed; 1 claim as before."
    )
