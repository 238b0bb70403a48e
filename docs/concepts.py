"""The pictures and the table of verdicts of `docs/concepts.md`: `python -m docs.concepts` makes both."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.exhibits.model import MEANING
from analysis.figures import COLOURS, detector_controls
from analysis.figures.curves import DASHES
from analysis.figures.style import CONDITIONS, STYLE
from analysis.words import table
from grok.numerics.series import first_crossing, slope

DOCS = Path(__file__).resolve().parent
OUT, PAGE = DOCS / "figures" / "concepts", DOCS / "concepts.md"
WIDTH = 6.4
LAG, THRESHOLD, FIRST = 25, 0.04, 100
"""The published detector: Xu (arXiv 2605.08119), eq. 3."""


def data(name: str) -> pd.DataFrame:
    """A table of the committed report."""
    return pd.read_csv(DOCS / "report" / "data" / f"{name}.csv")


def medians(condition: str, metric: str) -> pd.Series:
    """A metric of the square network by epoch, the median over seeds."""
    table = data("eigenvalues-curves" if "lambda" in metric else "headline-curves")
    rows = table[(table["activation"] == "square") & (table["condition"] == condition) & (table["metric"] == metric)]
    return rows.set_index("epoch")["median"]


def spectrum() -> Figure:
    """λ₁ … λ₅ with weight decay and without."""
    figure = Figure(figsize=(WIDTH, 3.0))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, condition in zip(axes, ("grok", "eta0"), strict=True):
        for k in range(1, 6):
            line = medians(condition, f"delta_w/lambda_{k}")
            ax.plot(line.index, line, color=COLOURS[k - 1], linestyle=DASHES[k - 1], label=f"$\\lambda_{k}$")
        ax.set(title=CONDITIONS[condition][0], yscale="log", xlabel="epoch")
    axes[0].set_ylabel("eigenvalues of the Gram")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def gap() -> Figure:
    """The gap between the second and the third."""
    figure = Figure(figsize=(WIDTH, 2.6))
    ax = figure.subplots()
    for condition in ("grok", "eta0"):
        label, colour, dash, _ = CONDITIONS[condition]
        line = medians(condition, "delta_w/gap_23")
        ax.plot(line.index, line, color=colour, linestyle=dash, label=label)
    ax.set(yscale="log", xlabel="epoch", ylabel=r"$\lambda_2/\lambda_3$")
    ax.legend()
    return figure


def detector() -> Figure:
    """The slope of log λ₂/λ₃ against its threshold: of the median curve, not of one run."""
    figure = Figure(figsize=(WIDTH, 2.8))
    ax = figure.subplots()
    for condition in ("grok", "eta0"):
        label, colour, dash, _ = CONDITIONS[condition]
        line = medians(condition, "delta_w/gap_23")
        series = np.full(int(line.index.max()) + 1, np.nan)
        series[line.index] = line
        slopes = slope(series, LAG)
        ax.plot(slopes, color=colour, linestyle=dash, label=label)
        fires = first_crossing(slopes, THRESHOLD, FIRST)
        if fires is not None:
            ax.annotate(
                f"fires at {fires}", (fires, THRESHOLD), (fires + 40, THRESHOLD + 0.01), arrowprops={"arrowstyle": "->"}
            )
    ax.axhline(THRESHOLD, color="gray", linewidth=1, label=f"threshold {THRESHOLD:g}")
    ax.axvspan(0, FIRST, color="gray", alpha=0.12, linewidth=0, label="not asked yet")
    ax.set(xlabel="epoch", ylabel=r"slope of $\log\,\lambda_2/\lambda_3$")
    ax.legend(loc="lower right", ncols=2)
    return figure


def controls() -> Figure:
    """Where the detector fires, by condition."""
    shares, fires = data("detector-shares"), data("detector-fires")
    return detector_controls(shares[shares["activation"] == "square"], fires[fires["activation"] == "square"])


FIGURES = {"spectrum": spectrum, "gap": gap, "detector": detector, "controls": controls}


BEGIN, END = "<!-- verdicts: written by docs/concepts.py -->\n", "<!-- end of verdicts -->\n"


def verdicts() -> str:
    """The table of verdicts, in the words of the report."""
    return table(["Verdict", "What it says"], MEANING.items()) + "\n"


def page(text: str) -> str:
    """The page with the table of now.

    Args:
        text: of the page, with both marks.
    """
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + verdicts() + END + rest.partition(END)[2]


def main() -> int:
    """Draw each, and write the table."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        with rc_context(STYLE):
            draw().savefig(OUT / f"{name}.png", metadata={"Software": None}, facecolor="white")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"out={OUT.relative_to(DOCS.parent)} figures={len(FIGURES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
