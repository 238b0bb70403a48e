"""Texts of a store, of errors and of names in what is written as Markdown: none becomes a link, a picture or HTML."""

from __future__ import annotations

import re

from grok.store.errors import masked

JOINER = "&#8288;"
"""A word joiner, without width: before an @ it keeps renderers that look for addresses after decoding from finding one."""


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()) if text != " " else " "
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", text)
    text = re.sub(r":(?=//)", "&#58;", text)  # renderers link addresses that stand bare
    text = re.sub(r"(?<=www)\.", "&#46;", text, flags=re.IGNORECASE)
    text = text.replace("@", f"{JOINER}&#64;")
    return re.sub(r"^([#+-]|\d+[.)])(?=\s)", r"\\\1", text)


def inert(text: str) -> str:
    r"""The same where it is read as it is written too, as in a tag: what Markdown shows as it is, an underscore within a word
    and a > within a line, stays. A password of a URI is masked first, since afterwards none is seen to be one.

    Example:
        >>> inert("weight_decay must be > 0, got ![x](http://e)")
        'weight_decay must be > 0, got !\\[x\\](http&#58;//e)'
    """
    text = re.sub(r"(?<=[^\W_])\\_(?=[^\W_])", "_", escape(masked(text)))
    return re.sub(r"(?<!^)&gt;", ">", text)
