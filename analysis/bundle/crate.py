"""What a bundle says of itself to catalogues: RO-Crate 1.1 metadata, one file of JSON-LD."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from analysis.bundle.layout import METRICS, RUNS, TABLES

CONTEXT: Final = "https://w3id.org/ro/crate/1.1/context"
PROFILE: Final = "https://w3id.org/ro/crate/1.1"
LICENSE: Final = "https://spdx.org/licenses/MIT"
SAID: Final = {
    RUNS: "Every run: id, name, times, state, params and tags.",
    METRICS: "The newest value of each metric of each run.",
    f"{TABLES}/history.parquet": "Every metric by run and epoch, float64.",
    f"{TABLES}/repulsion_pairs.parquet": "The most similar pairs of features at each measurement of repulsion.",
    f"{TABLES}/derived/gaps.parquet": "Ratios of neighbouring eigenvalues by run, window, method and epoch.",
}
"""What files hold, for people."""
KINDS: Final = {"json": "application/json", "parquet": "application/vnd.apache.parquet", "csv": "text/csv"}


def crate(facts: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `ro-crate-metadata.json`.

    Args:
        facts: of the manifest. files: `bytes` and `sha256` of each file, by name.

    Source: RO-Crate Metadata Specification 1.1; a descriptor, a root data set, a file entity for each file.
    """
    counts, studies = facts["runs"], ", ".join(facts["studies"]) or "no study"
    date = datetime.fromtimestamp(facts["newest"] / 1000, UTC).strftime("%Y-%m-%d")
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{counts['train']} training runs of grokking networks",
        "description": f"Configs, histories and summary metrics of {counts['train']} runs, of {studies}.",
        "datePublished": date,
        "license": {"@id": LICENSE},
        "hasPart": [{"@id": name} for name in sorted(files)],
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": PROFILE},
        "about": {"@id": "./"},
    }
    terms = {"@id": LICENSE, "@type": "CreativeWork", "name": "MIT License"}
    return {"@context": CONTEXT, "@graph": [descriptor, root, terms, *(_file(name, files[name]) for name in sorted(files))]}


def _file(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    kind = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
    out = {"@id": name, "@type": "File", "name": name, "encodingFormat": kind, "contentSize": str(entry["bytes"])}
    return out | ({"description": SAID[name]} if name in SAID else {})
