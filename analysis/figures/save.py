"""Figures to files; the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis.figures.style import STYLE

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
