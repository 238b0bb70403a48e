"""Write runs of a store into a folder that can be handed on: `python -m entry_points.export --study headline,relu`.

Configs, tags, metrics and histories of the runs, their studies and sensitivity runs, with checksums. `entry_points.import`
makes the same runs of it in another store, and `analyze` there gives the same report. The same store gives the same files.
"""

from __future__ import annotations

from pathlib import Path

from entry_points.analyze import FIRST, studies
from entry_points.cli import OneLineParser, run_main
from grok.spec.fields import ConfigError

SHARES = ("none", "all")


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
        default="none",
        metavar="VALUE",
        help="none or all: the products of updates, from which the spectrum of any window follows. Default none.",
    )
    out.add_argument(
        "--weights",
        default="none",
        metavar="VALUE",
        help="none or all: weights at checkpoints, and other tensors. Default none.",
    )
    return out


def main(arguments: list[str]) -> int:
    """Parse, write the bundle, print one line."""
    flags = parser().parse_args(arguments)
    names = studies(flags.study)
    run_ids = () if flags.runs == "none" else tuple(dict.fromkeys(word.strip() for word in flags.runs.split(",")))
    for name in ("bands", "weights"):
        if getattr(flags, name) not in SHARES:
            raise ConfigError(f"{name} must be {' or '.join(SHARES)}, got {getattr(flags, name)}. Pick one.")
    from analysis.bundle.pack import Wanted, pack
    from grok.store.store import adopt, open_store

    store = open_store(existing=FIRST)
    facts = pack(store, Wanted(names, run_ids, flags.bands == "all", flags.weights == "all"), Path(flags.out))
    adopt(store, f"export to {flags.out}", "export")
    counts = " ".join(f"{kind}={number}" for kind, number in facts["runs"].items())
    print(f"out={flags.out} {counts} bands={facts['bands']} bytes={facts['bytes']}")
    return 0


if __name__ == "__main__":
    run_main(main)
