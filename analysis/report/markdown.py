"""The report as Markdown: every text is escaped, so that none from a store becomes a link, a picture or HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from markupsafe import escape as html_escape

from analysis.exhibits.model import Claim
from analysis.report import opening, words
from analysis.report.content import Content
from analysis.report.html import TEMPLATES, Shown, context
from analysis.report.plain import head, plain, printed, short
from analysis.words import table as table_of
from grok.store.markdown import escape as escaped

LISTED = 200
"""Rows of a table that the text shows; the CSV has all."""


def escape(value: Any) -> str:
    """Text that Markdown shows as it is, on one line; what is Markdown already as it is."""
    return str(value) if isinstance(value, Markup) else escaped(str(value))


def code(text: str) -> Markup:
    """A code span; escaped text where a backtick or a bar would break out of one."""
    return Markup(escape(text)) if re.search(r"[`|\n]", text) else Markup(f"`{text}`")  # noqa: S704  # nothing acts in a span


def link(address: str) -> Markup:
    """A link to an address of our own texts, named as people name it."""
    return Markup(f"[{escape(words.address(address))}]({address})")  # noqa: S704


def named(claim: Claim) -> Markup:
    """The statement of a claim, a link to its rule and data."""
    return Markup(f"[{escape(claim.statement)}](#claim-{quote(claim.id, safe='')})")  # noqa: S704  # both are made harmless


def anchor(claim: str) -> Markup:
    """A place that a link leads to, by the id of a claim, which may be anybody's."""
    return Markup(f'<a id="claim-{html_escape(claim)}"></a>')  # noqa: S704


def table(frame: pd.DataFrame) -> Markup:
    """A table of escaped cells, numbers to the right."""
    head, numbers = [escape(name) for name in frame.columns], {escape(name) for name in words.numeric(frame)}
    lines = table_of(head, ([escape(cell.text) for cell in row] for row in words.rows(frame.head(LISTED))), numbers)
    more = f"\n\nThe first {LISTED} of {len(frame)} rows." if len(frame) > LISTED else ""
    return Markup(lines + more)  # noqa: S704


def render(content: Content, figures: Sequence[Shown]) -> str:
    """The report in Markdown.

    Args:
        content: of the report. figures: in order.
    """
    environment = Environment(  # every `{{ }}` goes through `escape`, which is Markdown's, not HTML's
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    own = {
        "make": words.make,
        "estimate": words.estimate,
        "paragraphs": words.paragraphs,
        "code": code,
        "link": link,
        "anchor": anchor,
        "named": named,
        "plain": plain,
        "head": head,
        "printed": printed,
        "short": short,
        "visible": words.visible,
        "table": table,
    }
    environment.filters |= own
    return environment.get_template("report.md.j2").render(context(content, figures))


def description(content: Content) -> str:
    """The same in a few lines, for the page of the MLflow run."""
    lines = [f"**{one.head}.** {escape(one.text)}\n" for one in opening.sentences(content)]
    lines += [words.lead(content), ""]
    lines += [f"- **{number}** {verdict}" for verdict, number in content.verdicts.items()]
    if content.comparison is not None:
        lines += ["", escape(words.change_line(content.comparison))]
    return "\n".join([*lines, "", "Open `report.html` among the artifacts; `claims.json` has every number."]) + "\n"
