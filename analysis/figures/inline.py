"""Figures of `save` as elements for a page: the same drawing in a fraction of the bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from html import escape
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring, tostring

from analysis.figures.save import PAPER
from analysis.figures.style import COLOURS, INK

SHADES = 128
"""Colours of a small picture."""
GRID = 100
"""Steps of a point that paths are rounded to."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
SHIFT = re.compile(r"translate\((-?[\d.]+)(?: (-?[\d.]+))?\)")
COMMANDS = {"M": 2, "L": 2, "C": 6, "Q": 4, "Z": 0}
"""Commands of matplotlib's paths, all absolute, and how many numbers each takes."""
WHOLE = re.compile(r"(?:^|;)opacity:")
"""A style that means another thing of a group than of each thing in it."""
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def inline_svg(path: Path, label: str, axes: str = "") -> str:
    """An SVG of `save` as an element for a page: no background, ink in the page's text colour, names of its own, paths to a
    hundredth of a point.

    What matplotlib writes at length is said once: styles become classes, ids that nothing refers to and groups that do nothing
    go, paths are relative. The drawing stays.

    Args:
        path: of the file. label: what a screen reader says; letters, digits, spaces, commas and colons.
        axes: of `hover.places`, for the page's script.

    Returns:
        `<svg>…</svg>`, at most half as wide again on the page, in px, as the figure is on paper, in points; `--pt` has these.
    """
    text = path.read_text(encoding="utf-8").replace(PAPER, "", 1)
    text = re.sub(r"<metadata>.*?</metadata>|<!DOCTYPE[^>]*>", "", text, flags=re.DOTALL)
    root = fromstring(re.sub(r'xmlns(?::xlink)?="[^"]*"|xlink:(?=href=)', "", text))  # noqa: S314  # a file of `save`
    name = "f" + hashlib.sha256(path.stem.encode()).hexdigest()[:5]
    points = float(root.attrib["viewBox"].split()[2])
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    _strip(root)
    _names(root, name)
    for element in list(root.iter()):
        _places(element)
    _paint(root, name)
    root.attrib |= {"role": "img", "aria-label": label, "style": f"max-width: {points * 1.5:.0f}px; --pt: {points:.0f}"}
    root.attrib |= {"data-axes": axes} if axes else {}
    return tostring(root, encoding="unicode", short_empty_elements=True).replace(" />", "/>")


def _strip(root: Element) -> None:
    """No white space between elements; what matplotlib's style says of all elements of a page is said of the figure's group."""
    for element in root.iter():
        if element.tag == "style":
            element.attrib.pop("type", None)
            element.text = None
        element.text = element.text if (element.text or "").strip() else None
        element.tail = None
    next(root.iter("g")).set("stroke-linejoin", "round")


def _names(root: Element, name: str) -> None:
    """Short ids that no other figure of a page has; the first group keeps one, for those that show a figure twice."""
    refers = re.compile(r"(?<=url\(#)[^)]+|(?<=^#).+")
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {found for value in values for found in refers.findall(value)} | {next(root.iter("g")).attrib["id"]}
    new = {old: f"{name}{_letters(number)}" for number, old in enumerate(sorted(used))}
    for element in root.iter():
        identity = new.get(element.attrib.pop("id", ""))
        for attribute, value in element.attrib.items():
            element.set(attribute, refers.sub(lambda found: new[found[0]], value))
        if identity:
            element.set("id", identity)
        if element.get("href", "").startswith("data:"):
            element.set("href", re.sub(r"\s+", "", element.attrib["href"]))


def _letters(number: int) -> str:
    """0 → a, 25 → z, 26 → ba."""
    higher, digit = divmod(number, len(ALPHABET))
    return (_letters(higher) if higher else "") + ALPHABET[digit]


def _places(element: Element) -> None:
    """Paths, places and shifts in few digits."""
    letter = element.tag == "path" and "scale" in element.get("transform", "")  # an outline, in whole numbers
    if "d" in element.attrib:
        element.set("d", relative(element.attrib["d"], 1 if letter else GRID))
    for attribute in ("x", "y", "width", "height"):
        if element.tag in ("use", "rect", "image") and attribute in element.attrib:
            element.set(attribute, _short(float(element.attrib[attribute]), GRID))
    shift = SHIFT.fullmatch(element.get("transform", ""))
    if element.tag == "use" and shift:
        del element.attrib["transform"]
        element.attrib |= {axis: _short(float(at), 10) for axis, at in zip("xy", shift.groups("0"), strict=True) if float(at)}
    elif "transform" in element.attrib and not letter:
        element.set("transform", NUMBER.sub(lambda found: _short(float(found[0]), GRID * GRID), element.attrib["transform"]))


def relative(path: str, grid: int = GRID) -> str:
    """A path in relative commands and few digits.

    Differences are taken between rounded places, so that errors do not add up.

    Args:
        path: of absolute commands M, L, C, Q and Z; one that has others is left as it is. grid: steps of a unit that places
            are rounded to.

    Example:
        >>> relative("M 1.001 2 L 3.5 2 L 3.5 4.25 z")
        'M1 2h2.5v2.25z'
    """
    said, last, at, start = "", "", (0, 0), (0, 0)
    for letter, rest in re.findall(r"([A-Za-z])([-+.\d\s,]*)", path):
        command, places = letter.upper(), [round(float(number) * grid) for number in NUMBER.findall(rest)]
        if len(places) != COMMANDS.get(command, -1):
            return path
        if command == "Z":
            said, last, at = f"{said}z", "z", start
            continue
        ends = list(zip(places[::2], places[1::2], strict=True))
        if command == "M":
            name, numbers, start = "M", places, ends[-1]
        else:
            name, numbers = command.lower(), [step for x, y in ends for step in (x - at[0], y - at[1])]
        if name == "l" and 0 in numbers:
            name, numbers = ("v", numbers[1:]) if numbers[0] == 0 else ("h", numbers[:1])
        written = [_short(number / grid, grid) for number in numbers]
        spaced = "".join(number if number.startswith("-") else f" {number}" for number in written)
        said += spaced if name == last else f"{name}{spaced.lstrip()}"
        last, at = name, ends[-1]
    return said


def _short(value: float, grid: int) -> str:
    """A number to one of `grid` steps of a unit, without what says nothing."""
    digits = len(str(grid)) - 1
    text = f"{round(value * grid) / grid:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else re.sub(r"^(-?)0\.", r"\1.", text)


def _paint(root: Element, name: str) -> None:
    """Styles as classes, the page's own colours in them; what all of a group have stands at the group."""
    drawn = list(root)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
    for child in drawn:
        _flatten(child)
    counts = Counter(element.attrib["style"] for element in root.iter() if "style" in element.attrib)
    often = sorted(counts, key=lambda style: (-counts[style], style))
    classes = {style: f"{name}-{_letters(number)}" for number, style in enumerate(often)}
    for element in root.iter():
        if "style" in element.attrib:
            element.set("class", classes[element.attrib.pop("style")])
    next(root.iter("style")).text = "".join(f".{one}{{{style}}}" for style, one in classes.items())


def _themed(style: str) -> str:
    """A style with ink as the page's text and the palette as the page's, in few letters."""
    style = style.replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS, start=1):
        style = style.replace(colour.lower(), f"var(--c{number},{colour.lower()})")
    return re.sub(r"\s*([:;])\s*", r"\1", style.strip())


def _flatten(element: Element) -> None:
    """Groups that do nothing give way to what is in them; a style that all of a group have goes to the group."""
    children = list(element)
    for child in children:
        _flatten(child)
        element.remove(child)
    for child in children:
        if child.tag == "g" and not child.attrib:
            element.extend(list(child))
        elif len(child) or child.tag not in ("g", "defs"):
            element.append(child)
    styles = {child.get("style", "") for child in element}
    inherited = len(styles) == 1 and "" not in styles and not any(WHOLE.search(style) for style in styles)
    if element.tag == "g" and "style" not in element.attrib and inherited and {child.tag for child in element} == {"use"}:
        element.set("style", styles.pop())
        for child in element:
            del child.attrib["style"]


def inline_picture(path: Path, label: str) -> str:
    """A PNG of `save` as an element for a page, in few colours and smaller: for figures of which a page has many.

    Args:
        path: of the file. label: what a screen reader says.

    Returns:
        `<img>` with its data, a fifth as long as `inline_svg` of the same figure.
    """
    from PIL import Image  # which matplotlib writes PNG by

    with Image.open(path) as whole:
        size = (whole.width * 2 // 3, whole.height * 2 // 3)
        small = whole.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small = small.quantize(SHADES, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)  # a median cut turns thin lines grey
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return f'<img alt="{escape(label)}" width="{size[0]}" height="{size[1]}" loading="lazy" src="data:image/png;base64,{data}">'
