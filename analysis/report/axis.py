"""Published and measured on one axis: a small drawing as SVG, in the colours of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from analysis.report.plain import plain
from analysis.statistics.estimates import Estimate
from analysis.words import number

WIDTH, HEIGHT, SIDE, LINE = 260, 44, 14, 25
"""Of the drawing, its blank sides and the height of its line, in px."""
LOGARITHMIC = 30.0
"""From this ratio of largest to smallest on, the axis is logarithmic."""
STACKED, STEP = 5, 3
"""Runs of one place stand upon each other, so many at most, so many px apart."""
NUMBER = re.compile(r"(?:≤ |≥ |≈ )?([+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)")
SHARE = re.compile(r"(\d+)/(\d+)")
ENDS = re.compile(r"(-?[\d.]+(?:e[+-]?\d+)?) … (-?[\d.]+(?:e[+-]?\d+)?)")


def printed(text: str) -> float:
    """A published value as a number, a count as its share; NaN where it is neither.

    Example:
        >>> printed("15/15"), printed("≤ 0.065"), printed("[173, 174]")
        (1.0, 0.065, nan)
    """
    if found := SHARE.fullmatch(text):
        return int(found[1]) / int(found[2]) if int(found[2]) else math.nan
    found = NUMBER.fullmatch(text)
    return float(found[1]) if found else math.nan


LEADING = re.compile(rf"({NUMBER.pattern})(?: \[({NUMBER.pattern}), ({NUMBER.pattern})\])?(?=$|[,; °])")
RANGE = re.compile(rf"over (\d+) seeds ({NUMBER.pattern}) to ({NUMBER.pattern})")


def read(text: str) -> Estimate | None:
    """The number that a measured value begins with, with its interval, or its range over seeds, where it says so.

    Example:
        >>> read("0.0634, over 5 seeds 0.0613 to 0.0921")
        Estimate(value=0.0634, low=0.0613, high=0.0921, n=5, kind='range')
    """
    found = LEADING.match(text)
    if found is None:
        return None
    value, low, high = (float(found[place]) if found[place] else math.nan for place in (2, 4, 6))
    if spread := RANGE.search(text):
        return Estimate(value, float(spread[3]), float(spread[5]), int(spread[1]), "range")
    return Estimate(value, low, high, 1)


class Scale:
    """Values to px: from 0 to 1 for shares, else as far as the values go, logarithmic where they differ much."""

    def __init__(self, values: Sequence[float], share: bool) -> None:
        low, high = (0.0, 1.0) if share else (min(values), max(values))
        self.log = not share and low > 0 and high / low >= LOGARITHMIC
        if low == high:
            room = abs(low) * 0.05 or 1.0
            low, high = low - room, high + room
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        """The place of a value, in px."""
        low, high, at = (math.log(max(x, 1e-300)) if self.log else x for x in (self.low, self.high, value))
        return round(SIDE + (WIDTH - 2 * SIDE) * min(1.0, max(0.0, (at - low) / (high - low))), 1)


def draw(
    published: str,
    estimate: Estimate,
    samples: Sequence[float] = (),
    margin: str = "",
    ends: tuple[float, float] | None = None,
) -> Markup:
    """The published value as a diamond, the measured one as a point with its interval, runs as dots, the margin shaded.

    Args:
        published: as printed. estimate: measured. samples: a value per run. margin: `165 … 183`, or other words.
        ends: of the line at the least; as far as the values go where None.

    Returns:
        `<svg>…</svg>`; empty where neither is a number.
    """
    mark, share = printed(published), SHARE.fullmatch(published) is not None
    known = [x for x in (mark, estimate.value, estimate.low, estimate.high, *samples, *(ends or ())) if math.isfinite(x)]
    if not known or not math.isfinite(estimate.value):
        return Markup("")
    scale = Scale(
        known, share or (ends is None and not samples and all(0 <= x <= 1 for x in known) and estimate.value in (0.0, 1.0))
    )
    parts = [_band(margin, scale), f'<path class="rail" d="M{SIDE} {LINE}H{WIDTH - SIDE}"/>', *_dots(samples, scale)]
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        parts.append(f'<path class="interval" d="M{scale(estimate.low)} {LINE}H{scale(estimate.high)}"/>')
    parts.append(f'<circle class="point" cx="{scale(estimate.value)}" cy="{LINE}" r="4"/>')
    if math.isfinite(mark):
        x = scale(mark)
        parts.append(f'<path class="mark" d="M{x} {LINE - 7}l5 7l-5 7l-5 -7z"/>')
    for at, anchor, value in ((SIDE, "start", scale.low), (WIDTH - SIDE, "end", scale.high)):
        parts.append(f'<text x="{at}" y="{HEIGHT - 3}" text-anchor="{anchor}">{escape(plain(number(value)))}</text>')
    said = escape(f"published {published or 'no number'}, measured {number(estimate.value)}")
    body = "".join(part for part in parts if part)
    return Markup(f'<svg class="axis" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{body}</svg>')  # noqa: S704


def _band(margin: str, scale: Scale) -> str:
    found = ENDS.fullmatch(margin)
    if not found:
        return ""
    low, high = scale(float(found[1])), scale(float(found[2]))
    return f'<rect class="margin" x="{low}" y="{LINE - 9}" width="{round(max(1.0, high - low), 1)}" height="18"/>'


def _dots(samples: Sequence[float], scale: Scale) -> list[str]:
    heights: dict[int, int] = {}
    dots = []
    for x in sorted(scale(value) for value in samples if math.isfinite(value)):
        level = heights[round(x / STEP)] = heights.get(round(x / STEP), 0) + 1
        if level <= STACKED:
            dots.append(f'<circle class="run" cx="{x}" cy="{LINE - 6 - STEP * level}" r="1.4"/>')
    return dots
