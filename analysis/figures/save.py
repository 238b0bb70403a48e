"""Figures to files and to SVG for a page; the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, INK, STYLE

FORMATS: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""What each format would say about when and by what it was written, left out."""


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG, PDF and PNG, and return the paths."""
    paths = []
    with rc_context(STYLE):
        _settle(figure)
        for suffix, metadata in FORMATS.items():
            paths.append(folder / f"{name}.{suffix}")
            figure.savefig(paths[-1], metadata=metadata)
    return paths


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an `<svg>` element for a page: no background, ink in the page's text colour, ids of its own.

    Args:
        figure: drawn in `STYLE`.
        name: prefix of its ids; letters, digits and dashes.
        label: what a screen reader says; must be escaped for an attribute.
    """
    buffer = io.StringIO()
    with rc_context(STYLE):
        _settle(figure)
        figure.savefig(buffer, format="svg", metadata=FORMATS["svg"], transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS, start=1):
        text = text.replace(colour.lower(), f"var(--c{number}, {colour.lower()})")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    width = round(figure.get_figwidth() * 96 * 1.15)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" style="max-width: {width}px"', 1).strip()


def _settle(figure: Figure) -> None:
    """Lay the figure out once, not once per format."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
