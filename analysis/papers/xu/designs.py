"""What the designs can tell, by arithmetic, before any run: a chapter without runs."""

from __future__ import annotations

import pandas as pd

from analysis.exhibits.model import Chapter
from analysis.exhibits.sources import Sources
from analysis.statistics.exact import power

DESIGNS = {
    3: "window table",
    5: "η and M × p tables, sign match",
    15: "headline, ReLU, controls",
    30: "fresh seeds of ReLU",
    100: "fresh seeds of square",
}
"""Seeds a condition, and where."""


def _designs(_: Sources) -> tuple[str, pd.DataFrame]:
    rows = [{"seeds": n, "of": name} | power(n)._asdict() for n, name in DESIGNS.items()]
    table = pd.DataFrame(rows).drop(columns="n")
    names = {
        "sign": "smallest_p_of_a_median",
        "needed": "seeds_on_one_side_needed",
        "quartile": "smallest_p_of_a_quartile",
        "never": "share_not_excluded_by_none",
        "flips": "smallest_p_of_sign_flips",
        "difference": "share_differing_found",
    }
    text = (
        "Three seeds decide nothing about a median at 5 %, five only if all lie on one side, and neither says anything about "
        "a quartile. None of fifteen leaves room for a share of 18 %, none of a hundred for 3 %. McNemar's test needs six "
        "seeds that differ one way; the last column is the share of seeds that must differ for it to find that with a power "
        "of 0.8."
    )
    return text, table.rename(columns=names)


CHAPTERS = (
    Chapter(
        "designs",
        "What so many seeds can tell",
        (),
        None,
        "The smallest p-value that a design can give, and the largest share that it cannot exclude, follow from the number of "
        "seeds alone; a verdict beyond them would be luck.",
        _designs,
        section="Power",
    ),
)
