"""A figure of a page is the figure of the file, said in fewer bytes."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from analysis.figures.inline import inline_picture, inline_svg, relative
from analysis.figures.save import PAPER, save
from analysis.figures.style import COLOURS, INK, STYLE

NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
SIZES = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "q": 4, "z": 0}
PLACE = 0.012
"""Points: paths are rounded to 0.005 each way, a letter's place to 0.05 of a hundredth of its size, a 10th at most."""


class Shape(NamedTuple):
    """Something that is drawn: its places on the figure, how it is painted, and what it is cut by."""

    places: np.ndarray
    style: dict[str, str]
    clips: tuple[tuple[float, ...], ...]


def places(path: str) -> list[tuple[float, float]]:
    """All places of a path, of control points too, by the grammar of SVG alone."""
    out: list[tuple[float, float]] = []
    at = start = (0.0, 0.0)
    for letter, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        numbers, size = [float(number) for number in NUMBER.findall(rest)], SIZES[letter.lower()]
        for first in range(0, max(len(numbers), 1), max(size, 1)):
            part = numbers[first : first + size]
            if letter in "zZ":
                at = start
                continue
            if letter in "hv":
                part = [part[0], 0.0] if letter == "h" else [0.0, part[0]]
            shift = at if letter.islower() else (0.0, 0.0)
            pairs = [(x + shift[0], y + shift[1]) for x, y in zip(part[::2], part[1::2], strict=True)]
            out += pairs
            at = pairs[-1]
            start = at if letter in "mM" else start
    return out


def matrix(element: Element) -> np.ndarray:
    """The element's own transform."""
    whole = np.eye(3)
    for name, inside in re.findall(r"(\w+)\(([^)]*)\)", element.get("transform", "")):
        numbers = [float(number) for number in NUMBER.findall(inside)]
        one = np.eye(3)
        if name == "translate":
            one[:2, 2] = [*numbers, 0.0][:2]
        elif name == "scale":
            one[0, 0], one[1, 1] = [*numbers, numbers[0]][:2]
        else:
            assert name == "rotate"
            angle = math.radians(numbers[0])
            one[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        whole = whole @ one
    if element.tag == "use":
        one = np.eye(3)
        one[:2, 2] = float(element.get("x", 0)), float(element.get("y", 0))
        whole = whole @ one
    return whole


def shapes(text: str) -> list[Shape]:
    """Whatever an SVG draws, in order."""
    text = re.sub(r"<metadata>.*?</metadata>|<!DOCTYPE[^>]*>", "", text, flags=re.DOTALL)
    root = fromstring(re.sub(r'xmlns(?::xlink)?="[^"]*"|xlink:(?=href=)', "", text))
    by_id = {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}
    sheet = "".join(element.text or "" for element in root.iter("style"))
    classes = dict(re.findall(r"\.([\w-]+)\{([^}]*)\}", sheet))

    def painted(element: Element, style: dict[str, str]) -> dict[str, str]:
        own = "" if element is root else element.get("style") or classes.get(element.get("class", ""), "")
        own = re.sub(r"var\(--c\d,(#\w+)\)", r"\1", own).replace("currentColor", INK)
        return style | {
            name.strip(): value.strip() for name, _, value in (part.partition(":") for part in own.split(";")) if value
        }

    def clipped(element: Element) -> tuple[tuple[float, ...], ...]:
        if "clip-path" not in element.attrib:
            return ()
        (rectangle,) = by_id[element.attrib["clip-path"][5:-1]]
        return (tuple(float(rectangle.get(name, 0)) for name in ("x", "y", "width", "height")),)

    def walk(element: Element, at: np.ndarray, style: dict[str, str], clips: tuple[Any, ...]) -> Iterator[Shape]:
        if element.tag in ("defs", "style", "clipPath"):
            return
        at, style, clips = at @ matrix(element), painted(element, style), clips + clipped(element)
        if element.tag == "use":
            yield from walk(by_id[element.attrib["href"][1:]], at, style, clips)
        elif element.tag == "path" and "d" in element.attrib:  # the outline of a space has none
            whole = np.array([(*place, 1.0) for place in places(element.attrib["d"])])
            yield Shape((whole @ at.T)[:, :2], style, clips)
        elif element.tag == "image":
            x, y, width, height = (float(element.get(name, 0)) for name in ("x", "y", "width", "height"))
            corners = np.array([(x, y, 1.0), (x + width, y + height, 1.0)])
            yield Shape((corners @ at.T)[:, :2], style | {"image": re.sub(r"\s", "", element.attrib["href"])}, clips)
        for child in element:
            yield from walk(child, at, style, clips)

    return list(walk(root, np.eye(3), {}, ()))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines, markers, bands, half-seen dots, bars with hatches, cells, mathematics, turned letters and a legend."""
    draws = np.random.default_rng(0)
    with rc_context(STYLE):
        figure = Figure(figsize=(5, 4))
        (lines, dots), (bars, cells) = figure.subplots(2, 2)
        walk = draws.normal(size=300).cumsum()
        lines.plot(walk, marker="o", markevery=40, color=COLOURS[0], label=r"$\lambda_2/\lambda_3$")
        lines.fill_between(range(300), walk - 1, walk + 1, alpha=0.2, color=COLOURS[1])
        lines.legend()
        dots.scatter(draws.random(40), draws.random(40), c=COLOURS[2], alpha=0.5, linewidths=0)
        dots.set_ylabel("turned, η = 5·10⁻⁵")
        bars.bar([1, 2], [3, 4], hatch="//", facecolor="none", edgecolor=COLOURS[3])
        cells.imshow(draws.random((4, 5)))
    folder = tmp_path_factory.mktemp("figures")
    return save(figure, folder, "many")[0]


def test_nothing_moves_and_nothing_changes_colour(file: Path) -> None:
    before, after = shapes(file.read_text(encoding="utf-8").replace(PAPER, "")), shapes(inline_svg(file, "Many"))
    assert len(before) == len(after) > 200
    for old, new in zip(before, after, strict=True):
        assert old.places == pytest.approx(new.places, abs=PLACE)
        assert old.clips == tuple(pytest.approx(clip, abs=PLACE) for clip in new.clips)
        same = {name: value for name, value in new.style.items() if not name.startswith("fill") or "url(" not in value}
        assert {name: old.style[name] for name in same} == same
        assert set(old.style) == set(new.style)


def test_a_figure_takes_less_than_half_of_its_file(file: Path) -> None:
    assert len(inline_svg(file, "Many")) < 0.5 * len(file.read_text(encoding="utf-8"))


def test_names_are_a_figures_own_and_all_that_is_referred_to_is_there(file: Path) -> None:
    other = file.with_name("other.svg")
    other.write_bytes(file.read_bytes())
    mine, others = (set(re.findall(r'\bid="([^"]+)"', inline_svg(path, "Many"))) for path in (file, other))
    assert not mine & others
    svg = inline_svg(file, "Many")
    assert len(mine) == svg.count(' id="')
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) < mine
    assert set(re.findall(r'class="([^"]+)"', svg)) == set(re.findall(r"\.([\w-]+)\{", svg))


def test_the_page_has_its_own_ink_palette_and_label(file: Path) -> None:
    svg = inline_svg(file, 'Where <b>, & "why"')
    assert 'aria-label="Where &lt;b&gt;, &amp; &quot;why&quot;"' in svg
    assert INK not in svg
    assert "currentColor" in svg
    assert f"var(--c1,{COLOURS[0].lower()})" in svg
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert svg.count('<g stroke-linejoin="round"') == 1  # what matplotlib says of all elements
    assert 'style="max-width: 540px; --pt: 360"' in svg  # 5 inches are 360 points


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("M 0 0 L 0.004 0 L 0.008 0 L 0.012 0", "M0 0v0h.01v0"),
        ("M 10 5 L 10 -5 L 12.5 -5.25", "M10 5v-10l2.5-.25"),
        ("M 1 1 Q 2 2 3 1 Q 4 0 5 1 z M 7 7 L 8 9", "M1 1q1 1 2 0 1-1 2 0zM7 7l1 2"),
        ("M 0 0 A 1 1 0 0 1 2 2", "M 0 0 A 1 1 0 0 1 2 2"),
    ],
)
def test_paths_are_relative_and_their_errors_do_not_add_up(path: str, said: str) -> None:
    assert relative(path) == said


def test_a_small_picture_is_an_image_of_the_same_shape(file: Path) -> None:
    picture = inline_picture(file.with_suffix(".png"), "Many")
    width, height = (int(number) for number in re.findall(r'(?:width|height)="(\d+)"', picture))
    assert width / height == pytest.approx(5 / 4, rel=0.01)
    assert picture.startswith('<img alt="Many"')


def test_thin_lines_of_a_small_picture_keep_their_colours(tmp_path: Path) -> None:
    """Of seven on white, with a shaded band, each has a pixel of its hue: a palette by median cut made most of them grey."""
    figure = Figure(figsize=(7.2, 2.3))
    axes = figure.subplots(1, 3)
    for ax in axes:
        for place, colour in enumerate(COLOURS):
            ax.plot([0, 1], [place, place + 0.3], color=colour, linewidth=1, linestyle="-" if place % 2 else ":")
        ax.fill_between([0, 1], 0, 6, color=COLOURS[0], alpha=0.15)
    picture = inline_picture(save(figure, tmp_path, "thin")[2], "Thin")
    data = base64.b64decode(picture.rpartition("base64,")[2].rstrip('">'))
    pixels = imread(io.BytesIO(data))[..., :3].reshape(-1, 3)
    for colour in COLOURS:
        assert np.abs(pixels - to_rgb(colour)).max(axis=1).min() < 0.15, colour
