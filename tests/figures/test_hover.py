"""What a page says under a pointer: places of axes, their scales and labels, and the values of maps."""

from __future__ import annotations

import doctest
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures import hover
from analysis.figures.inline import inline_svg
from analysis.figures.save import save

SCRIPT = Path(hover.__file__).parents[1] / "report" / "templates" / "hover.js"


@pytest.fixture
def figure() -> Figure:
    made = Figure(figsize=(6, 4), layout="constrained")
    curve, log, names, heat = made.subplots(2, 2).ravel()
    curve.plot([0, 100], [0.0, 1.0])
    curve.set(xlabel="epoch", ylabel="accuracy", xlim=(0, 100), ylim=(0, 1))
    log.plot([1, 10], [1e-6, 1.0])
    log.set(xlabel="w", ylabel=r"$\lambda_2/\lambda_3$", yscale="log", ylim=(1e-6, 1))
    names.barh(["one", "two"], [1, 2])
    names.set_xlabel("runs")
    mesh = heat.pcolormesh([1.0, 2.0, 3.0], [0.0, 1.0], np.array([[0.25, -0.5, np.nan], [1, 2, 3]]), shading="nearest")
    heat.set(xlabel="window", ylabel="threshold")
    made.colorbar(mesh, ax=heat, label="J")
    return made


def test_axes_are_where_they_are_drawn_with_their_ends_and_labels(figure: Figure, tmp_path: Path) -> None:
    save(figure, tmp_path, "made")
    curve, log, names, heat = json.loads(hover.places(figure))  # the bar of the map is none of them
    assert curve["x"] == [0, 100, 0, "epoch"]
    assert curve["y"] == [0, 1, 0, "accuracy"]
    assert log["y"] == [1e-6, 1, 1, "λ₂/λ₃"]
    assert names["y"] is None  # names of things
    assert names["x"][3] == "runs"
    assert heat["values"] == [[0.25, -0.5, None], [1, 2, 3]]
    assert heat["columns"] == [0.5, 1.5, 2.5, 3.5]
    assert heat["rows"] == [-0.5, 0.5, 1.5]
    assert heat["name"] == "J"
    assert curve["at"][0] < log["at"][0]
    assert curve["at"][1] < names["at"][1]  # from the top down
    frame = re.search(r'<g id="patch_2">\s*<path d="M ([\d.]+) ([\d.]+)', (tmp_path / "made.svg").read_text(encoding="utf-8"))
    assert frame is not None
    left, bottom = curve["at"][0], curve["at"][1] + curve["at"][3]
    assert [float(frame[1]), float(frame[2])] == pytest.approx([left, bottom], abs=0.2)


def test_a_large_map_and_one_without_a_name_are_left_out() -> None:
    for shape, label in (((80, 80), "J"), ((4, 4), "")):
        made = Figure()
        ax = made.subplots()
        made.colorbar(ax.pcolormesh(np.zeros(shape)), ax=ax, label=label)
        (one,) = json.loads(hover.places(made))
        assert "values" not in one


def test_labels_are_plain() -> None:
    assert doctest.testmod(hover).failed == 0
    assert hover.plain(r"eigenvalues of $\Delta^T\!\Delta$") == "eigenvalues of ΔᵀΔ"


BROWSER = shutil.which("chromium")


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize(
    ("place", "share", "said"),
    [(0, (0.5, 0.25), "epoch 50, accuracy 0.75"), (1, (0.5, 0.5), "w 5.5, λ₂/λ₃ 0.001"), (3, (0.5, 0.75), "J -0.5")],
)
def test_the_page_says_the_values_under_the_pointer(
    figure: Figure, tmp_path: Path, place: int, share: tuple[float, float], said: str
) -> None:
    figure.axes[1].set_xlim(1, 10)
    paths = save(figure, tmp_path, "made")
    axes = hover.places(figure)
    left, top, width, height = json.loads(axes)[place]["at"]
    at = left + share[0] * width, top + share[1] * height
    move = f"""addEventListener("load", () => {{
      const svg = document.querySelector("svg"), point = new DOMPoint({at[0]}, {at[1]}).matrixTransform(svg.getScreenCTM());
      svg.dispatchEvent(new PointerEvent("pointermove", {{ clientX: point.x, clientY: point.y }}));
      document.title = document.querySelector("output.under").textContent;
    }});"""
    page = tmp_path / "page.html"
    drawn = inline_svg(paths[0], "made", axes)
    script = SCRIPT.read_text(encoding="utf-8")
    page.write_text(f'<meta charset="utf-8"><title>none</title>{drawn}<script>{script}{move}</script>', encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    asked = [str(BROWSER), *flags, page.as_uri()]
    shown = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"<title>(.*?)</title>", shown)
    assert found is not None
    assert found[1].endswith(said)
