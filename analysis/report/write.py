"""A report's files: built in a folder of their own, then put where the user wants them, over nothing that is not ours."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from analysis.report import html, markdown, words
from analysis.report.compare import claims_json
from analysis.report.content import Content, Over
from analysis.report.pictures import save_all
from grok.spec.fields import ConfigError, shown
from grok.store.errors import StoreError, brief
from grok.store.files import load_json, whole

MANIFEST = "files.json"
MADE_BY = "entry_points.analyze"
PARTS = ("data", "figures")
"""Folders of a report."""
WORKSPACE, LOCK, FRESH_S = ".report-", ".lock", 60
"""What the name of a folder to build in begins with; the lock in it; how long one may be there without."""
FORMULA = re.compile(r"^[=+\-@\t\r]")
"""How a text begins that a spreadsheet would run."""


def build(content: Content, folder: Path, over: Over = lambda _, items: items) -> None:
    """Write every file of the report into an empty folder; the same content gives the same bytes.

    `report.html`, `report.md`, `claims.json`, `compare.json` with a baseline, `data/*.csv`, `figures/*`. `over` is told of what
    is done.
    """
    (folder / "data").mkdir()
    (folder / "figures").mkdir()
    inline, figures = save_all(content.drawn, folder, over), []
    for drawn in content.drawn:
        files = [_csv(table, folder, f"{drawn.panel.id}-{part}") for part, table in drawn.tables.items()]
        svg, saved = inline.get(drawn.panel.id, ("", []))
        figures.append(html.shown(drawn, svg, files + saved))
    for erratum in content.errata:
        if len(erratum.table):
            _csv(erratum.table, folder, erratum.data_name)
    _csv(content.left_out, folder, "left_out")
    _csv(content.diverged, folder, "diverged")
    _csv(_claims_table(content), folder, "claims")
    _csv(_entries_table(content), folder, "entries")
    _csv(_runs_table(content), folder, "runs")
    runs = {study.name: study.runs for study in content.studies}
    left_out = int(content.left_out["run_id"].nunique())
    _json(claims_json(content.results, runs, left_out, content.answers), folder / "claims.json")
    if content.comparison is not None:
        _json(content.comparison.as_json(), folder / "compare.json")
    (folder / "report.html").write_text(html.render(content, figures), encoding="utf-8", newline="\n")
    for name, own in html.beside(figures).items():
        (folder / f"{name}.html").write_text(html.render_page(content, name, own), encoding="utf-8", newline="\n")
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
            "rounding": r.rounding,
            "p": r.p,
            "p_adjusted": r.adjusted,
            "n": r.n,
            "note": r.note,
            "estimates": "; ".join(f"{name}: {words.estimate(e)}" for name, e in r.estimates.items()),
            "rule": r.claim.rule,
            "command": r.command,
        }
        for r in content.results
    ]
    said = ["id", "statement", "source", "kind", "published", "measured", "verdict", "rounding", "p", "p_adjusted"]
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


def _runs_table(content: Content) -> pd.DataFrame:
    """A row per run of a claim, a question, a chapter or a figure."""
    parts = [("claim", r.claim.id, r.run_ids) for r in content.results]
    parts += [("question", a.question.id, a.run_ids) for a in content.answers]
    parts += [("chapter", erratum.id, erratum.run_ids) for erratum in content.errata]
    parts += [("figure", drawn.panel.id, drawn.run_ids) for drawn in content.drawn]
    rows = [(what, name, run_id) for what, name, run_ids in parts for run_id in run_ids]
    return pd.DataFrame(rows, columns=["what", "id", "run_id"])


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
    with whole(folder / MANIFEST) as partial:
        _json({"made_by": MADE_BY, "files": dict(sorted(files.items()))}, partial)


def owned(out: Path) -> set[str]:
    """Paths in an output folder that an earlier report wrote, as its manifest has them.

    Raises:
        ConfigError: if `out` is a file, or holds files without being a report, or is reached through links inside it.
    """
    try:
        if not out.exists() and not out.is_symlink():
            return set()
        if not out.is_dir():
            raise ConfigError(f"out must be a folder, got {out}. Give another --out.")
        if not any(out.iterdir()):
            return set()
    except (OSError, ValueError) as error:
        raise ConfigError(f"out must be a folder that can be had, got {shown(out)} ({_why(error)}). Name another.") from error
    for part in PARTS:
        if (out / part).is_symlink():
            raise ConfigError(f"out must hold no link for a folder of the report, got {out / part}. Remove it.")
    try:
        manifest = load_json(out / MANIFEST)
        if manifest["made_by"] != MADE_BY:
            raise ValueError(manifest["made_by"])
        names = {str(name) for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"out must be a new folder or one that analyze made, got {out}. Give another --out.") from None
    return {name for name in names if _inside(name)}


def _inside(name: str) -> bool:
    """Whether a path of a manifest is one that a report may have: in the folder, in `data` or in `figures`."""
    return re.fullmatch(r"(?:(?:data|figures)/)?[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is not None


def _why(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else brief(error, 120)


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """A folder to build in, on the same disk as `out` and beside it; gone afterwards, as are those of killed commands.

    Raises:
        ConfigError: if there is no place for it.
    """
    try:
        parent = Path(os.path.realpath(out)).parent
        while not parent.exists():
            parent = parent.parent
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=WORKSPACE, dir=parent))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"out must be in a folder that can be written, got {shown(out)} ({_why(error)}). Name another."
        ) from error
    try:
        with FileLock(folder / LOCK):  # lets go when the process dies
            (folder / "report").mkdir()
            yield folder / "report"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove the folders that killed commands built in: nobody holds their lock."""
    for left in parent.glob(f"{WORKSPACE}*"):
        if left.is_symlink() or not left.is_dir() or time.time() - left.stat().st_mtime < FRESH_S:
            continue
        with suppress(OSError, Timeout), FileLock(left / LOCK, timeout=0):
            shutil.rmtree(left, ignore_errors=True)


def check(built: Path, out: Path) -> None:
    """Refuse if a file that is not the report's is in the way of one that is.

    Raises:
        ConfigError: naming that file.
    """
    old = owned(out)
    for part in PARTS:
        if (out / part).exists() and not (out / part).is_dir():
            raise ConfigError(f"out must not hold other files under the report's names, got {out / part}. Give another --out.")
    for name in sorted(digests(built)):
        there = out / name
        if there.is_dir() or (name not in old and (there.exists() or there.is_symlink())):
            raise ConfigError(f"out must not hold other files under the report's names, got {there}. Give another --out.")


def publish(built: Path, out: Path) -> None:
    """Put a built report into its output folder, over files of an earlier report only, and never through a link.

    Args:
        built: as `build` left it. out: new, empty, or with an earlier report; other files in it stay.

    Raises:
        ConfigError: if a file that is not the report's is in the way, or the folder cannot be written; nothing was changed.
        StoreError: if the folder could not be written to the end: its manifest names what is the report's, old and new.
    """
    check(built, out)
    old, new = owned(out), digests(built)
    try:
        for name in PARTS:
            (out / name).mkdir(parents=True, exist_ok=True)
        _manifest(out, dict.fromkeys(old, "") | new)  # first: whatever happens next, these files are known to be ours
    except OSError as error:
        raise ConfigError(f"out must be a folder that can be written, got {out} ({_why(error)}). Name another.") from error
    try:
        for name in new:
            os.replace(built / name, out / name)
        for name in sorted(old - set(new)):
            (out / name).unlink(missing_ok=True)
        _manifest(out, new)
    except OSError as error:
        raise StoreError(
            f"out must be a folder whose files can be replaced, got {out} ({_why(error)}). Mend it and repeat."
        ) from error
