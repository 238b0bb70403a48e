"""Hostile bytes from good ones: a seed of a parser, edited in a few places with what parsers stumble over."""

from __future__ import annotations

import random
from collections.abc import Sequence

SIGNS = """ ' ? # @ , ; : = / \\ % %41 ~ | > [ ] { } () &a *a .. ../.. [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
{{7*7}} <script> !!python/name:os 0 -1 -0.0 1e-3 1e999 -1e999 nan inf .inf NaN Infinity 0x10 010 1_000
!!bool !!int !!timestamp !!binary !!set !!omap 0..9999999999 1000000000000 2147483648 9223372036854775808
² ٣ é \\ud800
null None true auto none module:NAME os:system sqlite:// file:///etc/passwd s3:// http://u:hidden7@h PK\x05\x06 PAR1 """
WORDS: tuple[bytes, ...] = (
    *(word.encode() for word in SIGNS.split()),
    *(b"", b"\0", b" ", b"\n", b"\r\n", b"\t", b'"', b"<<: *a", b'{"a":' * 50, b"- " * 40, b"a" * 300, b"@300000*9@"),
    *(b"9" * 20, b"9" * 50, b"9" * 5000, b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x93NUMPY"),
    *(b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
)
"""What is put in: signs of each language, numbers at the ends of their kinds, halves of characters, markup, paths, marks."""
Edit = tuple[int, int, int, bytes]
"""Kind, place, length (both of 2¹⁶ parts of what there is), and bytes that are put in."""
KINDS = 6
MOST_EDITS = 6
FEW = (1, 1, 1, 1, 2, 2, 3, MOST_EDITS)
"""Edits, as often as they are drawn: most inputs are nearly good, so that they come far."""
PARTS = 1 << 16
LONGEST = 1 << 16
"""Bytes of an input, unless its seed has more."""
SELDOM = 128
"""Inputs that take a thousand times as long are one of so many."""


def edited(seed: bytes, edits: Sequence[Edit]) -> bytes:
    """A seed after edits: put in, put in place of, taken out, a bit turned over, doubled, cut off."""
    content = bytearray(seed)
    for kind, place, length, word in edits:
        at = len(content) * place // PARTS
        end = min(len(content), at + 1 + len(content) * length // PARTS // 4)
        if kind == 0:
            content[at:at] = word
        elif kind == 1:
            content[at:end] = word
        elif kind == 2:
            del content[at:end]
        elif kind == 3 and content:
            content[at] ^= 1 << (length % 8)
        elif kind == 4:
            content[at:at] = content[at:end]
        elif kind == 5:
            del content[at:]
    return bytes(content[: max(LONGEST, len(seed))])


def drawn(rng: random.Random, seeds: Sequence[bytes], greedy: Sequence[bytes] = ()) -> bytes:
    """A hostile input at random.

    Args:
        rng: that is drawn from. seeds: of which one is edited. greedy: of which one is, once in `SELDOM` inputs.
    """
    seed = rng.choice(greedy if greedy and rng.randrange(SELDOM) == 0 else seeds)
    edits = [
        (rng.randrange(KINDS - 1 if rng.random() < 0.9 else KINDS), rng.randrange(PARTS), rng.randrange(PARTS), _word(rng))
        for _ in range(rng.choice(FEW))
    ]
    return edited(seed, edits)


def _word(rng: random.Random) -> bytes:
    return rng.choice(WORDS) if rng.random() < 0.8 else rng.randbytes(rng.randint(1, 8))
