"""Where the axes of a figure are and what they count, so that a page can say the values under a pointer."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter

CELLS = 5000
"""Of the maps of a figure whose values a page takes with it; of larger ones it has the place alone."""
MATHS = {"lambda": "λ", "Delta": "Δ", "rho": "ρ", "eta": "η", "omega": "ω", "geq": "≥", "!": "", "^T": "ᵀ"}
"""Of matplotlib's labels, and what they are in plain text."""
LOW = str.maketrans("0123456789k+", "₀₁₂₃₄₅₆₇₈₉ₖ₊")


def places(figure: Figure) -> str:
    """The axes of a laid out figure as JSON.

    A list of objects: `at`, left, top, width and height in points; `x` and `y`, the ends from left to right and from bottom to
    top, whether the axis is logarithmic, and its label; null where it counts nothing or has none. Of a map with a bar also
    `columns` and `rows`, the edges of its cells, `values`, by row, and `name`.

    Args:
        figure: as `save` leaves it.
    """
    width, height = figure.get_size_inches() * 72
    mapped = [mesh for ax in figure.axes for mesh in ax.collections if isinstance(mesh, QuadMesh)]
    bars = {id(bar.ax): mesh for mesh in mapped if (bar := mesh.colorbar) is not None}
    names = {id(mesh): mesh.colorbar.ax.get_ylabel() for mesh in mapped if mesh.colorbar is not None}
    (name, *others) = {*names.values()} or {""}  # one bar often stands for several maps
    held = sum(np.asarray(mesh.get_array()).size for mesh in mapped) <= CELLS
    out = []
    for ax in figure.axes:
        if not ax.axison or id(ax) in bars:
            continue
        box = ax.get_position()
        one: dict[str, Any] = {
            "at": [round(v, 1) for v in (box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height)],
            "x": _axis(ax, "x"),
            "y": _axis(ax, "y"),
        }
        for mesh in ax.collections:
            if isinstance(mesh, QuadMesh) and held and (told := names.get(id(mesh)) or (name if not others else "")):
                one |= _map(mesh) | {"name": plain(told)}
        out.append(one)
    return json.dumps(out, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _axis(ax: Axes, way: str) -> list[Any] | None:
    axis = getattr(ax, f"{way}axis")
    low, high = axis.get_view_interval() if not axis.get_inverted() else axis.get_view_interval()[::-1]
    if axis.get_scale() not in ("linear", "log") or not math.isfinite(low + high):
        return None
    if isinstance(axis.get_major_formatter(), FixedFormatter) or any(map(str.isalpha, "".join(_ticks(axis)))):
        return None
    shared = getattr(ax, f"get_shared_{way}_axes")().get_siblings(ax)
    labels = [getattr(other, f"get_{way}label")() for other in (ax, *shared)]
    label = next(filter(None, [*labels, getattr(ax.get_figure(), f"get_sup{way}label")()]), "")
    return [_digits(low), _digits(high), int(axis.get_scale() == "log"), plain(label)] if label else None


def plain(label: str) -> str:
    r"""A label without its maths.

    Example:
        >>> plain(r"$\lambda_k / \lambda_{k+1}$ of the updates")
        'λₖ / λₖ₊₁ of the updates'
    """
    for name, letter in MATHS.items():
        label = label.replace(name if name == "^T" else f"\\{name}", letter)
    label = re.sub(r"_(?:\{([0-9k+]+)\}|([0-9k]))", lambda found: (found[1] or found[2]).translate(LOW), label)
    return " ".join(re.sub(r"[${}]", "", label).split())


def _ticks(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels() if "math" not in label.get_text()]


def _map(mesh: QuadMesh) -> dict[str, Any]:
    edges = np.asarray(mesh.get_coordinates())
    values = np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=np.float64), np.nan).reshape(len(edges) - 1, -1)
    rows = [[None if math.isnan(value) else round(float(value), 2) for value in row] for row in values]
    return {"columns": [_digits(x) for x in edges[0, :, 0]], "rows": [_digits(y) for y in edges[:, 0, 1]], "values": rows}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
