"""Make a moved or copied store use the files beside its database: `python -m entry_points.rebase`.

`MLFLOW_TRACKING_URI` names the database; without that it is the project's own. Nothing else may use the store meanwhile.
"""

from __future__ import annotations

from entry_points.cli import OneLineParser, run_main


def main(arguments: list[str]) -> int:
    """Rebase, and print one line."""
    OneLineParser(prog="python -m entry_points.rebase", description=__doc__).parse_args(arguments)
    from grok.store.errors import StoreError
    from grok.store.moved import rebase
    from grok.store.sqlite import is_sqlite, path_of
    from grok.store.store import tracking_uri

    uri = tracking_uri()
    if not is_sqlite(uri):
        raise StoreError(f"store must be an SQLite file to be mended, got {uri}. Name it by MLFLOW_TRACKING_URI.")
    path = path_of(uri)
    if not path.is_file():
        raise StoreError(f"store must be there to be mended, got no database at {path}. Name it by MLFLOW_TRACKING_URI.")
    found, changed = rebase(path)
    print(f"store={path} from={','.join(found) or 'none'} changed={changed}")
    return 0


if __name__ == "__main__":
    run_main(main)
