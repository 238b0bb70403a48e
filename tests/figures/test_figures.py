"""The figures of a run show what the tables say."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from analysis import figures
from analysis.figures import COLOURS, run_figures


@pytest.fixture(scope="module")
def tables(finished):
    return pd.read_parquet(finished.root / "history.parquet"), pd.read_parquet(finished.root / "repulsion_pairs.parquet")


def line(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def drawn(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_a_run_has_three_figures_that_draw_without_a_warning(finished, tables):
    figures = run_figures(*tables, finished.config)
    assert list(figures) == ["accuracy", "spectrum", "top_pairs"]
    for figure in figures.values():
        assert drawn(figure).startswith(b"\x89PNG")
        for ax in figure.axes:
            assert ax.get_ylabel()
        assert figure.axes[-1].get_xlabel()


def test_accuracy_shows_both_parts_and_the_fire_epoch(finished, tables):
    figure = run_figures(*tables, finished.config)["accuracy"]
    for number, family in enumerate(("accuracy", "loss")):
        for part in ("train", "test"):
            np.testing.assert_array_equal(line(figure.axes[number], part).get_ydata(), tables[0][f"{family}/{part}"])
    mark = line(figure.axes[0], "detector fires, epoch 46")
    assert list(mark.get_xdata()) == [46, 46]
    assert figure.axes[1].get_yscale() == "log"


def test_spectrum_shows_eigenvalues_gap_slope_and_threshold(finished, tables):
    history, axes = tables[0], run_figures(*tables, finished.config)["spectrum"].axes
    for k in range(1, 6):
        np.testing.assert_array_equal(line(axes[0], f"$\\lambda_{k}$").get_ydata(), history[f"delta_w/lambda_{k}"])
        assert to_hex(line(axes[0], f"$\\lambda_{k}$").get_color()) == COLOURS[k - 1].lower()
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), history["delta_w/gap_23"])
    np.testing.assert_array_equal(axes[2].lines[0].get_ydata(), history["delta_w/slope_23"])
    assert set(line(axes[2], "threshold 0.06").get_ydata()) == {0.06}


def test_top_pairs_are_sorted_and_one_line_an_epoch(finished, tables):
    left, right = run_figures(*tables, finished.config)["top_pairs"].axes
    assert [line.get_label() for line in left.lines] == ["0", "20", "40", "64"]
    for shown in left.lines:
        size = tables[1].loc[tables[1]["epoch"] == int(shown.get_label()), "cos"].abs()
        np.testing.assert_array_equal(shown.get_ydata(), np.sort(size)[::-1])
    known = tables[0].dropna(subset="repulsion/rate")
    np.testing.assert_array_equal(line(right, "top pairs").get_ydata(), known["repulsion/rate"])


def test_a_run_that_does_not_fire_is_not_marked(finished, tables):
    history = tables[0].assign(**{"delta_w/gap_23": 1.0})
    figures = run_figures(history, tables[1], finished.config)
    assert not any(
        "fires" in str(line.get_label()) for name in ("accuracy", "spectrum") for ax in figures[name].axes for line in ax.lines
    )


def test_the_marked_epoch_is_that_of_the_config(finished, tables, tiny):
    figures = run_figures(*tables, tiny(first_epoch=0))
    first = tables[0].loc[tables[0]["delta_w/slope_23"] > 0.06, "epoch"].min()
    assert first != 46
    assert line(figures["accuracy"].axes[0], f"detector fires, epoch {first}")


@pytest.mark.parametrize("epochs", [1, 3, 5, 12])
def test_short_runs_have_the_figures_that_they_can(finished, tables, epochs):
    history = tables[0].iloc[:epochs].dropna(axis="columns", how="all")
    figures = run_figures(history, tables[1].iloc[:0], finished.config)
    assert list(figures) == (["accuracy"] if epochs < 4 else ["accuracy", "spectrum"])
    assert all(drawn(figure) for figure in figures.values())


def test_a_long_name_is_wrapped_into_the_figure(finished, tables):
    figure = run_figures(*tables, finished.config)["accuracy"]
    drawn(figure)
    (title,) = figure.texts
    assert len(title.get_text()) > 100
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_many_measurements_fit_the_figure(finished, tables):
    pairs = pd.concat([tables[1].query("epoch == 0").assign(epoch=epoch) for epoch in range(161)])
    figure = run_figures(tables[0], pairs, finished.config)["top_pairs"]
    drawn(figure)
    assert [line.get_label() for line in figure.axes[0].lines] == [str(epoch) for epoch in range(0, 161, 20)]


@pytest.mark.parametrize(("name", "panels"), [("accuracy", 2), ("spectrum", 3), ("top_pairs", 2)])
def test_a_figure_of_a_run_draws_into_axes_of_the_caller(finished, tables, name, panels):
    history, pairs = tables
    given = (history, pairs) if name == "top_pairs" else (history,)
    own = run_figures(*tables, finished.config)[name]
    figure = Figure()
    axes = figure.subplots(panels, 1)
    draw = getattr(figures, name)
    assert draw(*given, finished.config, axes=axes) is figure
    for mine, theirs in zip(axes, own.axes, strict=True):
        assert len(mine.lines) == len(theirs.lines) > 0
        for line_here, line_there in zip(mine.lines, theirs.lines, strict=True):
            np.testing.assert_array_equal(line_here.get_ydata(), line_there.get_ydata())
    assert figure._suptitle is None
    with pytest.raises(ValueError, match=rf"axes must be {panels}, got {panels + 1}"):
        draw(*given, finished.config, axes=Figure().subplots(panels + 1, 1))


def test_the_headline_draws_into_axes_of_the_caller():
    epochs = np.arange(5)
    quartiles = {"median": epochs + 1.0, "q1": epochs + 0.5, "q3": epochs + 2.0}
    curves = pd.concat(
        pd.DataFrame({"condition": condition, "metric": metric, "epoch": epochs} | quartiles)
        for condition in ("grok", "eta0")
        for metric in ("accuracy/test", "delta_w/gap_23")
    )
    fires = pd.DataFrame({"condition": ["grok", "eta0"], "fire_epoch": [3.0, np.nan]})
    figure = Figure()
    axes = figure.subplots(2, 1)
    assert figures.headline(curves, fires, axes) is figure
    assert axes[0].get_legend() is not None
    assert not figure.legends
    own = figures.headline(curves, fires)
    assert own is not figure
    assert [text.get_text() for text in own.legends[0].get_texts()] == [t.get_text() for t in axes[0].get_legend().get_texts()]


def test_the_headlines_key_is_on_the_paper_where_both_conditions_fire():
    epochs = np.arange(5)
    frames = [
        pd.DataFrame({"condition": c, "metric": m, "epoch": epochs, "median": 1.0, "q1": 1.0, "q3": 1.0})
        for c in ("grok", "eta0")
        for m in ("accuracy/test", "delta_w/gap_23")
    ]
    fires = pd.DataFrame({"condition": ["grok", "eta0"], "fire_epoch": [174.0, 344.0]})
    figure = figures.headline(pd.concat(frames), fires)
    figure.draw_without_rendering()
    for text in figure.legends[0].get_texts():
        assert "median epoch" in text.get_text()
        assert 0 <= text.get_window_extent().x0 < text.get_window_extent().x1 <= figure.bbox.width
