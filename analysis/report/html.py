"""The report as one HTML file that needs nothing else: style, script and figures are inside, and every text is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.exhibits.model import VERDICTS
from analysis.exhibits.panels import Drawn, Panel
from analysis.report import words
from analysis.report.content import Content

TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Shown:
    """A figure as the templates see it.

    Attributes:
        panel: its definition. caption, run_ids, commands, missing, partial, problem: as in `Drawn`.
        svg: the drawing, empty if there is none. files: relative paths of its data and its picture, data first.
    """

    panel: Panel
    caption: str
    run_ids: tuple[str, ...]
    commands: tuple[str, ...]
    missing: tuple[str, ...]
    partial: tuple[str, ...]
    problem: str
    svg: Markup
    files: tuple[str, ...]


def shown(drawn: Drawn, svg: str, files: Sequence[str]) -> Shown:
    """A figure with its drawing and its files.

    Args:
        drawn: the panel held against a store. svg: of `figures.inline_svg`, trusted; empty if not drawn.
        files: relative to the report's folder.
    """
    return Shown(
        drawn.panel,
        drawn.caption,
        drawn.run_ids,
        drawn.commands,
        drawn.missing,
        drawn.partial,
        drawn.problem,
        Markup(svg),  # noqa: S704
        tuple(files),
    )


def context(content: Content, figures: Sequence[Shown]) -> dict[str, object]:
    """What both templates read."""
    return {
        "title": words.TITLE,
        "lead": words.lead(content),
        "verdicts": content.verdicts,
        "tally": words.tally_rows(content),
        "answers": content.answers,
        "comparison": content.comparison,
        "change_line": words.change_line(content.comparison),
        "results": content.results,
        "errata": content.errata,
        "figures": figures,
        "shown": {figure.panel.id for figure in figures if figure.svg},
        "studies": content.studies,
        "runs_line": words.runs_line(content),
        "reasons": content.reasons,
        "left_out": content.left_out,
        "summary": words.summary(content),
        "contradicted_line": words.contradicted_line(content),
        "contradicted": content.contradicted,
        "diverged": content.diverged,
        "diverged_line": words.diverged_line(content),
        "method": words.METHOD,
    }


def render(content: Content, figures: Sequence[Shown]) -> str:
    """The page.

    Args:
        content: of the report. figures: in order.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    order: Mapping[str, int] = {verdict: number for number, verdict in enumerate(VERDICTS)}
    environment.filters |= {
        "rows": words.rows,
        "numeric": words.numeric,
        "estimate": words.estimate,
        "paragraphs": words.paragraphs,
        "slug": words.slug,
        "order": order.__getitem__,
    }
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "sort.js"))
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    own = {"style": Markup(style), "script": Markup(script), "script_hash": f"sha256-{digest}"}  # noqa: S704  # our own files
    return environment.get_template("report.html.j2").render(context(content, figures) | own)
