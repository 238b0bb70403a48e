"""Write runs of a store into a folder that can be handed on: `python -m entry_points.export --study headline,relu`.

Configs, tags, metrics and histories of the runs, their studies and sensitivity runs, with checksums. `entry_points.import`
makes the same runs of it in another store, and `analyze` there gives the same report. The same store gives the same files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from entry_points.analyze import FIRST, studies
from entry_points.cli import OneLineParser, run_main
from entry_points.found import of_strangers, say
from grok.spec.fields import ConfigError

SHARES = ("none", "read", "all")


def parser() -> OneLineParser:
    """Which runs, what of them, where to."""
    out = OneLineParser(prog="python -m entry_points.export", description=__doc__)
    out.add_argument("--out", default="bundle", metavar="FOLDER", help="new, or one that holds a bundle alone. Default bundle.")
    out.add_argument(
        "--study",
        default="all",
        metavar="NAMES",
        help="only runs that count in these studies, and what asked for them, separated by commas. Default all.",
    )
    out.add_argument(
        "--runs", default="none", metavar="IDS", help="only these runs, by id, separated by commas; instead of --study."
    )
    out.add_argument(
        "--bands",
        default="read",
        metavar="VALUE",
        help="the products of updates, from which the spectrum of any window follows: none; read, what the report reads of "
        "them; all. Default read.",
    )
    out.add_argument(
        "--files",
        default="read",
        metavar="VALUE",
        help="other files of training runs, such as weights at checkpoints: none; read, those that the report reads; all; or "
        "patterns of paths, as signals*.parquet, separated by commas. Default read.",
    )
    out.add_argument(
        "--drop",
        default="none",
        metavar="PATTERNS",
        help="columns of histories that stay behind, as delta_v/*, or of the runs of one study, as rounding:delta_w/*, "
        "separated by commas. Default none.",
    )
    return out


def main(arguments: list[str]) -> int:
    """Parse, write the bundle, print one line."""
    flags = parser().parse_args(arguments)
    names = studies(flags.study)
    run_ids = words(flags.runs)
    if flags.bands not in SHARES:
        raise ConfigError(f"bands must be {', '.join(SHARES)}, got {flags.bands}. Pick one.")
    named = () if flags.files in SHARES else words(flags.files)
    if not all("." in one or "*" in one for one in named):
        raise ConfigError(
            f"files must be {', '.join(SHARES)} or patterns of paths, got {flags.files}. Pick one, or write signals*.parquet."
        )
    from analysis.bundle.noting import nothing, read_by_report
    from analysis.bundle.pack import BANDS, Wanted, pack
    from entry_points.progress import counted
    from grok.store.store import adopt, open_store

    store = open_store(existing=FIRST)
    reading = read_by_report(store) if "read" in (flags.bands, flags.files) else nothing()
    also = reading.only(lambda path: getattr(flags, "bands" if BANDS.fullmatch(path) else "files") == "read")
    drop = words(flags.drop)
    wanted = Wanted(names, run_ids, flags.bands == "all", flags.files == "all", drop, named, also)
    derived = reading.derived if flags.bands == "read" else {}
    facts = pack(store, wanted, Path(flags.out), derived, lambda runs: counted(runs, "export"))
    adopt(store, f"export to {flags.out}", "export")
    counts = " ".join(f"{kind}={number}" for kind, number in facts["runs"].items())
    for kind in ("broken", "failed"):
        for run_id, why in facts[kind].items():
            print(f"{kind}: {run_id}: {why}", file=sys.stderr)
    for run_id, why in facts["uncounted"].items():
        print(f"goes along, and no report counts it: {run_id}: {why}", file=sys.stderr)
    say(of_strangers(store))
    print(f"out={flags.out} {counts} bands={facts['bands']} bytes={facts['bytes']}")
    return 1 if facts["failed"] else 0


def words(text: str) -> tuple[str, ...]:
    """The words of a flag, each once; empty for `none`."""
    return () if text == "none" else tuple(dict.fromkeys(word.strip() for word in text.split(",")))


if __name__ == "__main__":
    run_main(main)
