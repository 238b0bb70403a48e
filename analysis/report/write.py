"""A report's files: built in a folder of their own, then put where the user wants them, over nothing that is not ours."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report import html, markdown, words
from analysis.report.compare import claims_json
from analysis.report.content import Content
from grok.spec.fields import ConfigError

MANIFEST = "files.json"
MADE_BY = "entry_points.analyze"
FORMULA = re.compile(r"^[=+\-@\t\r]")
"""How a text begins that a spreadsheet would run."""


def build(content: Content, folder: Path) -> None:
    """Write every file of the report into an empty folder; the same content gives the same bytes.

    `report.html`, `report.md`, `claims.json`, `compare.json` with a baseline, `data/*.csv`, `figures/*`.
    """
    from analysis.figures.save import inline_svg, save

    (folder / "data").mkdir()
    (folder / "figures").mkdir()
    figures = []
    for drawn in content.drawn:
        name, svg, files = drawn.panel.id, "", []
        for part, table in drawn.tables.items():
            files.append(_csv(table, folder, f"{name}-{part}"))
        if drawn.figure is not None:
            paths = save(drawn.figure, folder / "figures", name)
            svg = inline_svg(paths[0], drawn.panel.title)
            files += [path.relative_to(folder).as_posix() for path in paths]
        figures.append(html.shown(drawn, svg, files))
    for erratum in content.errata:
        if len(erratum.table):
            _csv(erratum.table, folder, erratum.data_name)
    _csv(content.left_out, folder, "left_out")
    _csv(content.diverged, folder, "diverged")
    _csv(_claims_table(content), folder, "claims")
    _csv(_entries_table(content), folder, "entries")
    runs = {study.name: study.runs for study in content.studies}
    left_out = int(content.left_out["run_id"].nunique())
    _json(claims_json(content.results, runs, left_out, content.answers), folder / "claims.json")
    if content.comparison is not None:
        _json(content.comparison.as_json(), folder / "compare.json")
    (folder / "report.html").write_text(html.render(content, figures), encoding="utf-8", newline="\n")
    (folder / "report.md").write_text(markdown.render(content, figures), encoding="utf-8", newline="\n")
    _manifest(folder, digests(folder))


def _claims_table(content: Content) -> pd.DataFrame:
    rows = [
        {
            "id": r.claim.id,
            "statement": r.claim.statement,
            "source": r.claim.source,
            "kind": r.claim.kind,
            "published": r.claim.published,
            "measured": r.measured,
            "verdict": r.verdict,
            "n": r.n,
            "note": r.note,
            "estimates": "; ".join(f"{name}: {words.estimate(e)}" for name, e in r.estimates.items()),
            "rule": r.claim.rule,
            "command": r.command,
        }
        for r in content.results
    ]
    said = ["id", "statement", "source", "kind", "published", "measured", "verdict"]
    columns = [*said, "n", "note", "estimates", "rule", "command"]
    return pd.DataFrame(rows, columns=columns)


def _entries_table(content: Content) -> pd.DataFrame:
    """A row per entry of a claim that is made of several."""
    columns = ["claim", "entry", "setting", "published", "measured", "verdict"]
    rows = [
        (
            r.claim.id,
            e.id,
            "; ".join(f"{name} {value}" for name, value in e.setting.items()),
            e.published,
            e.measured,
            e.verdict,
        )
        for r in content.results
        for e in r.entries
    ]
    return pd.DataFrame(rows, columns=columns)


def _csv(table: pd.DataFrame, folder: Path, name: str) -> str:
    """Write `data/NAME.csv`, ten digits a number, texts that a spreadsheet would run made harmless."""

    def tame(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value

    path = f"data/{name}.csv"
    texts = {column: table[column].map(tame) for column in table.columns if table[column].dtype.kind not in "iufb"}
    table.assign(**texts).to_csv(folder / path, index=False, float_format="%.10g", lineterminator="\n")
    return path


def _json(value: Any, path: Path) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder but the manifest, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def digest(folder: Path) -> str:
    """One SHA-256 of all files of a report."""
    return hashlib.sha256(json.dumps(digests(folder), sort_keys=True).encode()).hexdigest()


def _manifest(folder: Path, files: dict[str, str]) -> None:
    partial = folder / f".{MANIFEST}.partial"
    _json({"made_by": MADE_BY, "files": dict(sorted(files.items()))}, partial)
    os.replace(partial, folder / MANIFEST)


def owned(out: Path) -> set[str]:
    """Paths in an output folder that an earlier report wrote, as its manifest has them.

    Raises:
        ConfigError: if `out` is a file, or holds files without being a report.
    """
    if not out.exists() and not out.is_symlink():
        return set()
    if not out.is_dir():
        raise ConfigError(f"out must be a folder, got {out}. Give another --out.")
    if not any(out.iterdir()):
        return set()
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if manifest["made_by"] != MADE_BY:
            raise ValueError(manifest["made_by"])
        names = {str(name) for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"out must be a new folder or one that analyze made, got {out}. Give another --out.") from None
    return {name for name in names if _inside(name)}


def _inside(name: str) -> bool:
    """Whether a path of a manifest is one that a report may have: in the folder, in `data` or in `figures`."""
    return re.fullmatch(r"(?:(?:data|figures)/)?[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is not None


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """A folder to build in, on the same disk as `out` and beside it; gone afterwards.

    Raises:
        ConfigError: if there is no place for it.
    """
    parent = out.absolute().parent
    while not parent.exists():
        parent = parent.parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=".report-", dir=parent))
    except OSError as error:
        raise ConfigError(
            f"out must be in a folder that can be written, got {out} ({error.strerror}). Name another."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(built: Path, out: Path) -> None:
    """Refuse if a file that is not the report's is in the way of one that is.

    Raises:
        ConfigError: naming that file.
    """
    old = owned(out)
    for name in sorted(digests(built)):
        if name not in old and ((out / name).exists() or (out / name).is_symlink()):
            raise ConfigError(f"out must not hold other files under the report's names, got {out / name}. Give another --out.")


def publish(built: Path, out: Path) -> None:
    """Put a built report into its output folder, over files of an earlier report only.

    Args:
        built: as `build` left it. out: new, empty, or with an earlier report; other files in it stay.

    Raises:
        ConfigError: if a file that is not the report's is in the way; nothing was changed then.
    """
    check(built, out)
    old, new = owned(out), digests(built)
    for name in ("data", "figures"):
        (out / name).mkdir(parents=True, exist_ok=True)
    _manifest(out, dict.fromkeys(old, "") | new)  # first: whatever happens next, these files are known to be ours
    for name in new:
        os.replace(built / name, out / name)
    for name in sorted(old - set(new)):
        (out / name).unlink(missing_ok=True)
    _manifest(out, new)
