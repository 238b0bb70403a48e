"""Write a frozen file anew, where a change was meant: `python -m tests.frozen.write claims`.

Names: study_hashes, readings, schema, report, claims, sensitivity, network; `all` for every one. The store that most of them
are of is never written again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.frozen import documents, frozen_store, hashes, networks, readings, reports, shapes, worlds


def report() -> list[Path]:
    """The digests of its files, and its Markdown for a readable difference."""
    with frozen_store.temporary() as frozen, tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        paths = [documents.write("report", reports.report(frozen, out))]
        text = documents.FOLDER / "report.txt"
        text.write_bytes((out / "report.md").read_bytes())
        return [*paths, text]


def of_store(name: str, collect: Callable[[frozen_store.Frozen], object]) -> list[Path]:
    """A document about the frozen store."""
    with frozen_store.temporary() as frozen:
        return [documents.write(name, collect(frozen))]


WRITERS: dict[str, Callable[[], list[Path]]] = {
    "study_hashes": lambda: [documents.write("study_hashes", hashes.study_hashes())],
    "readings": lambda: of_store("readings", readings.readings),
    "schema": lambda: of_store("schema", shapes.stored),
    "report": report,
    "claims": lambda: [documents.write("claims", worlds.claims_document())],
    "sensitivity": lambda: [documents.write("sensitivity", worlds.sensitivity_document())],
    "network": lambda: of_store("network", networks.network_document),
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[1:]) <= {*WRITERS, "all"}:
        sys.exit(__doc__)
    for name in WRITERS if "all" in sys.argv else sys.argv[1:]:
        print(*WRITERS[name](), sep="\n")
