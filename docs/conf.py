"""The docs site: `sphinx-build -W -b html -c docs . build/site`. Pages are the project's own Markdown, from its root."""

from __future__ import annotations

import re
from typing import Any

project = "Grok registry"
author = copyright = "The grok registry authors"
root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
include_patterns = ["docs/**", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/*.md", "analysis/claims/*.md"]
exclude_patterns = ["docs/report/data/**", "docs/results/**", "docs/report/bundle/**"]
html_theme = "furo"
html_title = project
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
nitpicky = False


def _text(line: str) -> str:
    """One line of plain text as reStructuredText: `code` as code, |, * and a trailing _ as themselves."""
    parts = re.split(r"(?<!`)(`[^`\n]+`)(?!`)", line)
    for i, part in enumerate(parts):
        if part.startswith("`") and len(part) > 1:
            after = parts[i + 1][:1] if i + 1 < len(parts) else ""
            parts[i] = f"`{part}`" + ("\\ " if after.isalnum() else "")
        else:
            parts[i] = re.sub(r"([|*]|(?<=\w)_(?!\w))", r"\\\1", part)
    return "".join(parts)


def _plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: an indented block after an empty line is an equation or code, and stays as it is."""
    out: list[str] = []
    literal = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not literal and out and not out[-1].strip():
            out += ["::", ""]
            literal = True
        elif line.strip() and not indented:
            literal = False
        out.append(line if literal else _text(line))
    lines[:] = out


def _anchors(app: Any, name: str, source: list[str]) -> None:
    """Places that are written out as HTML, which pages elsewhere understand, become places that links are checked against."""
    source[0] = re.sub(r'<a id="([^"]+)"></a>(\*\*.+?\*\*)', r'[\2]{id="\1"}', source[0])


def setup(app: Any) -> None:
    """Connect the docstrings' reader, before napoleon's, and that of anchors."""
    app.connect("autodoc-process-docstring", _plain, priority=400)
    app.connect("source-read", _anchors)
