"""Figures to files and to SVG for a page; the same figure gives the same bytes."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, INK, STYLE

SVG: dict[str, Any] = {"Date": None, "Creator": None}
PDF: dict[str, Any] = {"CreationDate": None, "Creator": None, "Producer": None}
PNG: dict[str, Any] = {"Software": None}
"""What each format would say about when and by what it was written, left out."""
PAPER = '<rect width="100%" height="100%" fill="#ffffff"/>'


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG, PDF and PNG, and return the paths, the SVG's first."""
    paths = [folder / f"{name}.svg"]
    with rc_context(STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, not once per format
        text = io.StringIO()
        paths += [folder / f"{name}.pdf", folder / f"{name}.png"]
        # the canvases' own writers: `savefig` would lay each format out once more before it draws
        FigureCanvasPdf(figure).print_pdf(str(paths[1]), metadata=PDF)
        figure.set_dpi(rcParams["savefig.dpi"])
        FigureCanvasAgg(figure).print_png(str(paths[2]), metadata=PNG)
        for patch in (figure.patch, *(ax.patch for ax in figure.axes)):
            patch.set_facecolor("none")
        FigureCanvasSVG(figure).print_svg(text, metadata=SVG)
        opening, tag, rest = re.split(r"(<svg[^>]*>)", text.getvalue(), maxsplit=1)
        paths[0].write_text(f"{opening}{tag}{PAPER}{rest}", encoding="utf-8", newline="\n")
    return paths


def inline_svg(path: Path, label: str) -> str:
    """An SVG of `save` as an element for a page: no background, ink in the page's text colour, ids of its own, paths to a
    hundredth of a point.

    Args:
        path: of the file. label: what a screen reader says; letters, digits, spaces, commas and colons.

    Returns:
        `<svg>…</svg>`, at most as wide on the page as the figure is on paper.
    """
    text = path.read_text(encoding="utf-8").replace(PAPER, "", 1)
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>fig-{path.stem}-", text)
    text = text.replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS, start=1):
        text = text.replace(colour.lower(), f"var(--c{number}, {colour.lower()})")
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\d\.\d\d)\d+", r"\1", path[0]).replace("\n", ""), text)
    opening, rest = text.split(">", 1)
    points = float(re.findall(r'viewBox="0 0 ([\d.]+)', opening)[0])
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{label}" style="max-width: {points * 1.5:.0f}px">{rest}'


def inline_picture(path: Path, label: str) -> str:
    """A PNG of `save` as an element for a page, in few colours and smaller: for figures of which a page has many, folded.

    Args:
        path: of the file. label: what a screen reader says.

    Returns:
        `<img>` with its data, a fifth as long as `inline_svg` of the same figure.
    """
    from PIL import Image  # which matplotlib writes PNG by

    with Image.open(path) as whole:
        size = (whole.width * 2 // 3, whole.height * 2 // 3)
        small = whole.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(SHADES, dither=Image.Dither.NONE)
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return f'<img alt="{label}" width="{size[0]}" height="{size[1]}" loading="lazy" src="data:image/png;base64,{data}">'


SHADES = 16
"""Colours of a small picture."""
