"""`docs/results.md` from its text and the committed data: `python -m docs.results` writes it, `--check` only looks.

`results.md.j2` is the text; what stands in it between {{ and }} is computed from `docs/results`, `docs/report` and
`benchmarks/results`. A sentence that says more than a number stands beside a `holds(…)`: if the data say otherwise, nothing is
written.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.papers.xu import tables

DOCS = Path(__file__).resolve().parent
PAGE, TEXT = DOCS / "results.md", "results.md.j2"


@functools.cache
def data(name: str) -> pd.DataFrame:
    """A committed table: `headline-runs` of `docs/results`, `report/eta-fit` of the report's data."""
    folder, _, own = name.rpartition("/")
    return pd.read_csv(DOCS / ("report/data" if folder else "results") / f"{own}.csv")


@functools.cache
def json_of(name: str) -> Any:
    """A committed JSON file, by its path from `docs`."""
    return json.loads((DOCS / name).read_text(encoding="utf-8"))


def rows(name: str, **where: Any) -> pd.DataFrame:
    """The rows of a table with these values."""
    table = data(name)
    for column, value in where.items():
        table = table[table[column] == value]
    if not len(table):
        raise ValueError(f"data must have rows of {name} with {where}, got none. Change the text.")
    return table


def row(name: str, **where: Any) -> pd.Series:
    """The one row of a table with these values."""
    found = rows(name, **where)
    if len(found) > 1:
        raise ValueError(f"data must have one row of {name} with {where}, got {len(found)}. Say more.")
    return found.iloc[0]


def number(value: float, digits: int | None = None) -> str:
    """A number with so many digits after the point; without, a whole or half number as it is; a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:g}" if digits is None else f"{value:.{digits}f}".replace("-", "−")


def spread(of: pd.Series, name: str, digits: int | None = None) -> str:
    """`median [quartile, quartile]` of a table of conditions; the median alone where they are equal."""
    low, middle, high = (number(of[one], digits) for one in (f"{name}_q1", name, f"{name}_q3"))
    return middle if low == middle == high else f"{middle} [{low}, {high}]"


def interval(of: dict[str, float], digits: int = 2) -> str:
    """`value [low, high]` of an estimate."""
    value, low, high = (number(of[name], digits) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def share(of: pd.Series) -> str:
    """`15/15`: runs whose detector fired, of all."""
    return f"{int(of['fired'])}/{int(of['runs'])}"


def fires(of: pd.Series) -> str:
    """Fire epochs in the order of seeds, those that fired; a dash for none."""
    return ", ".join(text for text in str(of["fire_epochs"]).split() if text != "–") or "–"


def epochs(of: pd.Series) -> str:
    """Fire epochs in the order of seeds, a dash for a run that never fired."""
    return ", ".join(str(of["fire_epochs"]).split())


def trained(*names: str) -> str:
    """What made the runs of these tables: `commit 19fe8c8, rounding onednn-256-1, precision float32`."""
    tables = [data(name)[["code_version", "rounding_used", "precision"]] for name in names]
    made = pd.concat(tables).drop_duplicates().sort_values(["code_version", "rounding_used"])
    return "; ".join(f"commit {one[0][:7]}, rounding {one[1]}, {one[2]}" for one in made.itertuples(index=False))


def commits(name: str) -> str:
    """The commits that made the runs of a table, first seven digits, in order."""
    return " and ".join(sorted({str(one)[:7] for one in data(name)["code_version"]}))


ORDERS = ("mkl-256-1", "mkl-256-1-reversed", "onednn-256-1", "onednn-256-1-reversed", "onednn-512-1")
"""The columns of the table of roundings in float32; float64 comes after them."""


def by_rounding(activation: str, condition: str) -> list[pd.Series]:
    """The rows of `rounding-conditions` at the published window, in the order of the table."""
    of = {"activation": activation, "window": 20}
    single = [row("rounding-conditions", condition=condition, rounding=one, **of) for one in ORDERS]
    return [*single, row("rounding-conditions", condition=f"{condition}, float64", **of)]


def same_share(activation: str, condition: str) -> bool:
    """Whether as many runs fire by every rounding."""
    return len({share(one) for one in by_rounding(activation, condition)}) == 1


def apart(name: str) -> float:
    """The largest relative distance of a method's median late gap from the float64 Gram's, float32 Grams left out."""
    table = data(name)
    keys = ["condition", "activation", "window"]
    base = table[table.spectrum_methods == "gram"].set_index(keys)["late_gap_23"]
    others = table[~table.spectrum_methods.isin(["gram", "gram32"])].set_index(keys)["late_gap_23"]
    return float((others / base.reindex(others.index) - 1).abs().max())


def _nested(of: str, against: str, control: str) -> pd.Series:
    return row("sensitivity-nested", of=of, chosen_against=against, control=control)


def nested(of: str, control: str) -> str:
    """J against a kind of control of settings chosen against it, on seeds that did not choose: `0.8 [0.46, 0.91]`."""
    one = _nested(of, control, control)
    return interval({"value": one.j, "low": one.j_low, "high": one.j_high})


def worst(of: str) -> str:
    """The smallest J over the kinds of control, of settings chosen against every kind."""
    kinds = [_nested(of, "every", control) for control in ("eta0", "random_labels", "data_starved")]
    one = min(kinds, key=lambda kind: float(kind.j))
    return interval({"value": one.j, "low": one.j_low, "high": one.j_high})


def separates(of: str) -> bool:
    """Whether settings chosen against every kind of control separate from each, on seeds that did not choose."""
    return bool((rows("sensitivity-nested", of=of, chosen_against="every").separates == "yes").all())


def last(name: str, **where: Any) -> pd.Series:
    """The row of the last epoch among the rows with these values."""
    found = rows(name, **where)
    return row(name, epoch=found["epoch"].max(), **where)


def eta_fit() -> pd.Series:
    """Slope, intercept and R² of the line through the runs of `eta` that grok, with intervals over seeds."""
    return tables.eta(data("eta-runs"))["fit"].iloc[0]


def holds(said: bool) -> str:
    """Nothing, if what the sentence beside it says is so.

    Raises:
        ValueError: if it is not.
    """
    if not said:
        raise ValueError("a sentence must be what the data say, got another. Change it where this error's line is.")
    return ""


def render() -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(DOCS),
        autoescape=False,  # noqa: S701  # Markdown of our own
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    own = (data, json_of, rows, row, number, spread, interval, share, fires, epochs, trained, commits, eta_fit, by_rounding)
    own += (same_share, apart, nested, worst, separates, last, holds)
    environment.globals |= {one.__name__: one for one in own} | {"abs": abs, "len": len, "int": int, "set": set, "list": list}
    return environment.get_template(TEXT).render()


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is as the data have it."""
    text = render()
    same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
    if arguments == ["--check"]:
        if not same:
            print(f"{PAGE.name} must be as the data have it, and is not. Run: python -m docs.results", file=sys.stderr)
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    print(f"out={PAGE.name} changed={'no' if same else 'yes'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
