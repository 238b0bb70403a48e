"""One vocabulary for what a reader sees: conditions, activations and powers of ten as the figures write them.

What machines read (`claims.json`, the CSV) keeps the names of the store.
"""

from __future__ import annotations

import re

from analysis.exhibits.model import BY_DEFINITION, FAILED, HELD, NOT_TESTABLE, Claim, Result
from analysis.words import CONDITIONS

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SAID = (
    (re.compile(r"\bcontrol (?=fires)"), f"{CONDITIONS['eta0']} "),
    (re.compile(r"\beta0\b|(?<!out )\bno weight decay\b"), CONDITIONS["eta0"]),
    (re.compile(r"\bgrok (?=fires|late gap|seeds|[\d.]+ \[)"), f"with {CONDITIONS['grok']} "),
    (re.compile(r"\bfire_epoch\b"), "fires at"),
    (re.compile(r"\btest_50_epoch\b"), "test ≥ 0.5 at"),
    (re.compile(r"\btest_99_epoch\b"), "test ≥ 0.99 at"),
    (re.compile(r"\bdata[ _]starved\b"), CONDITIONS["data_starved"]),
    (re.compile(r"\brandom_labels\b"), CONDITIONS["random_labels"]),
    (re.compile(r"\brelu\b"), "ReLU"),
    (re.compile(r"(?<=λ₂/λ₃ at )(\d+) (?=\d)"), r"\1: "),
    (re.compile(r"(?<=without weight decay) (?=\d+/\d+$)"), " fires "),
)
"""Names of the store, and how a person says them."""
INDEX = re.compile(r"(?<![\w.])((?:\w\u0303?))_([jl]{1,2})(?![a-z])")
INDICES = str.maketrans("jl", "ⱼₗ")
"""`B_jl` is set as Bⱼₗ."""
POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?)0*(\d+)(?![\w.]*[a-zA-Z])")
COMMAND = re.compile(r"(python -m [^.;]*(?:\.\w[^.;]*)*)")
"""Left as it is: it is to be typed."""


def _said(text: str) -> str:
    for pattern, words in SAID:
        text = pattern.sub(words, text)
    text = INDEX.sub(lambda found: f"{found[1]}{found[2].translate(INDICES)}", text)
    return POWER.sub(lambda found: f"{found[1]}·10{(found[2].strip('+') + found[3]).translate(SUPERSCRIPT)}", text)


def plain(text: str) -> str:
    """A text of a claim in the words of the figures; commands in it stay as they are.

    Example:
        >>> plain("eta0 fires 1/15; λ₃ 8.49e-06")
        'without weight decay fires 1/15; λ₃ 8.49·10⁻⁶'
    """
    parts = COMMAND.split(text)
    return "".join(part if number % 2 else _said(part) for number, part in enumerate(parts))


def heading(column: str) -> str:
    """The name of a table's column, as people say it.

    Example:
        >>> heading("eta0 late_gap, published")
        'without weight decay late gap, published'
    """
    return plain(column).replace("_", " ")


def head(text: str, most: int = 90) -> str:
    """The first parts of a text, as many as fit, and how many more there are.

    A first part that is too long ends at a sentence, or before a bracket, a colon or a comma; whole where it has none of these.

    Example:
        >>> head("a 1; b 2; c 3", 8)
        'a 1; b 2 and 1 more'
    """
    parts = plain(text).split("; ")
    if len(parts[0]) > most:
        return _clause(parts[0], most)
    kept = 1
    while kept < len(parts) and len("; ".join(parts[: kept + 1])) <= most:
        kept += 1
    more = f" and {len(parts) - kept} more" if kept < len(parts) else ""
    return "; ".join(parts[:kept]) + more


def _clause(text: str, most: int) -> str:
    for mark in (". ", " (", ": ", ", "):
        at = text.find(mark, SHORTEST)
        if 0 <= at <= most:
            return text[:at].rstrip(".")
    return text


SHORTEST = 20
"""Characters that a clause has at least."""
CELL = 40
"""Characters that a published value has at most in two lines of its cell."""


LISTED = re.compile(r"; |, (?=[\d.]+ (?:\[[^\]]*\] )?at )|(?<=weight decay), ")
"""What stands between the numbers of one published value."""


def printed(claim: Claim) -> str:
    """What was published, for a cell: whole, or its first numbers and how many more there are."""
    whole = plain(claim.published)
    if len(whole) <= CELL:
        return whole
    parts = LISTED.split(whole)
    kept = 1
    while kept < len(parts) and len("; ".join(parts[: kept + 1])) <= CELL - 12:
        kept += 1
    first = "; ".join(parts[:kept])
    first = first if len(first) <= CELL else first.split(": ")[0]
    return first + (f" and {len(parts) - kept} more" if kept < len(parts) else "")


UNJUDGED = ("", BY_DEFINITION, NOT_TESTABLE)
"""Verdicts of entries that are told and not held against what was published."""
SHORT = 60
"""Characters that a value of the first screen has at most."""
BRACKET = re.compile(r" \[[^\]]*\]")


def short(result: Result) -> str:
    """What was measured, whole, in at most `SHORT` characters: nothing is cut, what does not fit is counted.

    A fraction of runs is said as one; quartiles are left to the card where a median has its interval. Of several numbers those
    that fail are named, or it is counted how many are as published.
    """
    if result.short:
        return plain(result.short)
    parts = [entry for entry in result.entries if entry.id != "quartiles" and entry.verdict not in UNJUDGED]
    only = parts[0].measured if len(parts) == 1 else result.measured
    if re.fullmatch(r"\d+/\d+", only):
        return f"{only} runs"
    if len(plain(only)) <= SHORT:
        return plain(only)
    failing = [entry for entry in parts if entry.verdict in FAILED] if result.verdict in FAILED else []
    told = plain("; ".join(f"{entry.id} {BRACKET.sub('', entry.measured)}" for entry in failing))
    if told and len(told) <= SHORT:
        return told
    if len(parts) > 1:
        return f"{sum(entry.verdict in HELD for entry in parts)} of {len(parts)} numbers as published"
    first = BRACKET.sub("", plain(only)).split("; ")[0]
    return first if len(first) <= SHORT else "several numbers: see the card"
