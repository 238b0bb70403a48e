"""Make the runs of a bundle in this store: `python -m entry_points.import --bundle bundle`.

They keep their ids, times, tags and files. A run that is there already stays as it is; if it is another one, nothing is
imported; files that it came without are added if the bundle has them. Stopped anywhere, the same command goes on.
"""

from __future__ import annotations

from pathlib import Path

from entry_points.cli import OneLineParser, run_main


def parser() -> OneLineParser:
    """From where."""
    out = OneLineParser(prog="python -m entry_points.import", description=__doc__)
    out.add_argument("--bundle", default="bundle", metavar="FOLDER", help="that entry_points.export made. Default bundle.")
    return out


def main(arguments: list[str]) -> int:
    """Parse, look at every file of the bundle, make the runs, print one line."""
    flags = parser().parse_args(arguments)
    from analysis.bundle.unpack import read, unpack
    from entry_points.progress import counted
    from grok.store.store import adopt, open_store

    runs = read(Path(flags.bundle))
    store = open_store()
    outcome = unpack(store, runs, lambda todo: counted(todo, "import"))
    adopt(store, f"import of {flags.bundle}", "import")
    print(
        f"bundle={flags.bundle} imported={len(outcome.made)} completed={len(outcome.completed)} "
        f"there={len(outcome.there)} store={store.shown}"
    )
    return 0


if __name__ == "__main__":
    run_main(main)
