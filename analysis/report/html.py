"""The report as one HTML file that needs nothing else: style, script and figures are inside, and every text is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import papers
from analysis.exhibits.model import KINDS, MEANING, VERDICTS
from analysis.exhibits.panels import Drawn, Panel
from analysis.report import opening, words
from analysis.report.cards import cards, filters, waiting
from analysis.report.compare import TOLD
from analysis.report.content import Content
from analysis.report.plain import head, heading, plain, printed, short

TEMPLATES = Path(__file__).resolve().parent / "templates"
LISTED = 40
"""Ids of runs that a fold holds; `data/runs.csv` has all."""
PRINTED_ROWS = 8
"""Rows of a chapter's table that stand open and are printed, as `report.css` has it; the rest is folded, its file has all."""


@dataclass(frozen=True)
class Shown:
    """A figure as the templates see it.

    Attributes:
        panel: its definition. caption, run_ids, commands, missing, partial, problem, details: as in `Drawn`.
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
    details: tuple[tuple[str, str], ...] = ()


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
        drawn.details,
    )


def beside(figures: Sequence[Shown]) -> dict[str, list[Shown]]:
    """The figures that stand on pages of their own, by page; one that is not drawn stands on none."""
    out: dict[str, list[Shown]] = {}
    for figure in figures:
        if figure.panel.page and (figure.svg or figure.problem):
            out.setdefault(figure.panel.page, []).append(figure)
    return out


def context(content: Content, figures: Sequence[Shown]) -> dict[str, Any]:
    """What both templates read."""
    found, pages = cards(content), beside(figures)
    figures = [figure for figure in figures if not figure.panel.page]
    drawn = [figure.panel.id for figure in figures if figure.svg]
    main = opening.main_figure(drawn)
    return {
        "title": words.TITLE,
        "papers": papers.PAPERS,
        "sentences": opening.sentences(content),
        "abstracts": opening.of_abstracts(content),
        "brackets": opening.BRACKETS,
        "top": next((figure for figure in figures if figure.panel.id == main), None),
        "next": opening.next_links(content, drawn),
        "meanings": MEANING,
        "cards": found,
        "card_kinds": [kind for kind in KINDS if any(card.result.claim.kind == kind for card in found)],
        "filters": filters(found),
        "waiting": waiting(content),
        "verdict_names": list(content.verdicts),
        "ui_url": content.ui_url,
        "listed": LISTED,
        "lead": words.lead(content),
        "verdicts": words.verdicts_told(content),
        "tally": words.tally_rows(content),
        "answers": content.answers,
        "sections": words.sections(content),
        "discovery_line": words.discovery_line(content),
        "rounding_line": words.rounding_line(content),
        "without_test": words.without_test(content),
        "printed_rows": PRINTED_ROWS,
        "comparison": content.comparison,
        "changes": content.comparison.by_kind() if content.comparison else {},
        "told": TOLD,
        "all_kinds": words.ALL,
        "change_line": words.change_line(content.comparison),
        "results": content.results,
        "errata": content.errata,
        "figures": figures,
        "pages": pages,
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
    found = context(content, figures)
    return _environment().get_template("report.html.j2").render(found | _head() | {"top_use": again(found["top"])})


def render_page(content: Content, name: str, figures: Sequence[Shown]) -> str:
    """A page of figures beside the report.

    Args:
        content: of the report. name: of the page. figures: as `beside` has them.
    """
    found = {"title": words.TITLE, "name": name, "figures": figures, "ui_url": content.ui_url, "listed": LISTED}
    return _environment().get_template("page.html.j2").render(found | _head())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    order: Mapping[str, int] = {verdict: number for number, verdict in enumerate(VERDICTS)}
    environment.filters |= {
        "visible": words.visible,
        "rows": words.rows,
        "numeric": words.numeric,
        "estimate": words.estimate,
        "paragraphs": words.paragraphs,
        "slug": words.slug,
        "make": words.make,
        "order": order.__getitem__,
        "plain": plain,
        "head": head,
        "printed": printed,
        "short": short,
        "heading": heading,
        "first_sentence": words.first_sentence,
        "stopped": words.stopped,
        "address": words.address,
    }
    return environment


def _head() -> dict[str, Any]:
    """Style, script, and the script's hash, without which no browser runs it."""
    style, *scripts = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "sort.js", "filter.js", "hover.js")
    )
    script = "".join(scripts)
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return {"style": Markup(style), "script": Markup(script), "script_hash": f"sha256-{digest}"}  # noqa: S704  # our own files


def again(figure: object) -> Markup:
    """The drawing of a figure once more, without its bytes: an element that refers to it; empty where there is none."""
    if not isinstance(figure, Shown):
        return Markup("")
    box, name = re.search(r'viewBox="([\d. ]+)"', figure.svg), re.search(r'<g\b[^>]*? id="([^"]+)"', figure.svg)
    if box is None or name is None:
        return Markup("")
    style = f"--pt: {float(box[1].split()[2]):.0f}"
    use = f'<use href="#{name[1]}"/>'
    return Markup(f'<svg viewBox="{box[1]}" style="{style}" role="img" aria-hidden="true">{use}</svg>')  # noqa: S704
