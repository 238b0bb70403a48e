"""How sums are rounded: what a value of `rounding` pins, spelt `LIBRARY-ROWS-THREADS`, with `-reversed` at the end or not.

Late in training a trajectory amplifies rounding until it decides what is measured, so the order of summation is a factor of
the experiment. A named rounding gives the same bits on every CPU of the same capability and version of torch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

AUTO = "auto"
"""oneDNN's products where torch has them, blocks that suit the cache and the threads, in their order."""
LIBRARIES = ("onednn", "mkl")
"""Libraries of matrix products: `onednn` is torch's linear operator of oneDNN, `mkl` is `torch.mm` as MKL has it."""
REVERSED = "reversed"
NAMED = re.compile(rf"({'|'.join(LIBRARIES)})-([1-9]\d{{0,5}})-([1-9]\d{{0,3}})(-{REVERSED})?")
ROUNDING = re.compile(rf"{AUTO}|{NAMED.pattern}")
EXAMPLES = ("auto", "onednn-256-1", "onednn-256-1-reversed", "onednn-512-2", "mkl-256-1", "mkl-256-1-reversed", "mkl-512-2")
"""At width 2048 `auto` gives the bits of onednn-256-1 on one thread and those of onednn-512-2 on two."""


class Rounding(NamedTuple):
    """What decides the order of summation.

    Attributes:
        library: of the matrix products: one of `LIBRARIES`, or what else multiplies.
        rows: samples of each seed at most that pass through the network together; gradients are summed over such blocks. 0
            where there are none: on a GPU, and in a network that does not tell.
        threads: of torch and of BLAS. reversed: whether the blocks come last to first.
    """

    library: str
    rows: int
    threads: int
    reversed: bool = False

    @property
    def word(self) -> str:
        """In one word, as the field has it; the library alone where there are no blocks.

        Example:
            >>> Rounding("mkl", 256, 1, reversed=True).word, Rounding("cuda", 0, 1).word
            ('mkl-256-1-reversed', 'cuda')
        """
        if not self.rows:
            return self.library
        return "-".join([self.library, str(self.rows), str(self.threads), *[REVERSED] * self.reversed])


def named(text: str) -> Rounding | None:
    """What a value of the field pins; None for `auto`, which pins nothing.

    Example:
        >>> named("onednn-512-2")
        Rounding(library='onednn', rows=512, threads=2, reversed=False)
    """
    found = NAMED.fullmatch(text)
    return None if found is None else Rounding(found[1], int(found[2]), int(found[3]), found[4] is not None)
