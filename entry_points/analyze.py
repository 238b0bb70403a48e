"""Write the report of a store's runs: `python -m entry_points.analyze --out report`.

Every published number as a claim with a verdict, the errata, the figures; with `--baseline` also what changed since an
earlier report. The same store gives the same files, and the run that has them already is named instead of another.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entry_points import found as told
from entry_points.cli import OneLineParser, run_main
from grok.spec.fields import ConfigError, shown
from grok.spec.plugins import said

if TYPE_CHECKING:
    from analysis.exhibits.model import Chapter, Claim, Question
    from analysis.exhibits.panels import Panel
    from analysis.report.content import Content

ADDRESS = re.compile(r"https?://[^\s\"'<>]+")
FIRST = "Run one first: python -m entry_points.study --study headline"


def parser() -> OneLineParser:
    """Where to, against what, of which studies."""
    out = OneLineParser(prog="python -m entry_points.analyze", description=__doc__)
    out.add_argument(
        "--out",
        default="report",
        metavar="FOLDER",
        help="new, or one that analyze made; its files are replaced. Default report.",
    )
    out.add_argument(
        "--baseline",
        default="none",
        metavar="RUN_OR_REPORT",
        help="an earlier report to compare with: the id of its analysis run, its folder or its claims.json. Default none.",
    )
    out.add_argument(
        "--study",
        default="all",
        metavar="NAMES",
        help="only claims, errata and figures that read these studies of the registry, separated by commas. Default all.",
    )
    out.add_argument(
        "--claims",
        default="none",
        metavar="MODULE:NAME",
        help="claims, errata and figures of your own, in a list of that name; see docs/report.md. Default none.",
    )
    out.add_argument(
        "--ui-url",
        default="none",
        metavar="ADDRESS",
        help="of the MLflow UI that the report links each run to, as http://127.0.0.1:5000. Default none.",
    )
    return out


def main(arguments: list[str]) -> int:
    """Parse, read the store, write the report, track it, print one line."""
    flags = parser().parse_args(arguments)
    only, out, own = studies(flags.study), Path(flags.out), _own(flags.claims)
    ui_url = "" if flags.ui_url == "none" else _ui_url(flags.ui_url)
    from analysis.reading.evidence import Evidence
    from analysis.report import content, tracked, write
    from analysis.report.compare import read_baseline
    from entry_points.progress import StageBar
    from grok.store.errors import masked
    from grok.store.store import open_store

    write.owned(out)
    store = open_store(existing=FIRST)
    baseline = None if flags.baseline == "none" else read_baseline(store, flags.baseline)
    evidence = Evidence(store)
    if not any(len(evidence.runs(study)) for study in (only or evidence.studies)):
        of = f" of the study {' or '.join(only)}" if only else " of a study"
        first = FIRST.replace("headline", only[0]) if only else FIRST
        left = evidence.left_out
        reasons = list(left["reason"][left["study"].isin(only)] if only else left["reason"])
        why = f" that counts ({len(reasons)} left out, the first: {reasons[0]})" if reasons else ""
        raise ConfigError(f"store must hold a finished run{of}, got none in {masked(store.uri)}{why}. {first}.")
    with StageBar() as bar:
        found = replace(content.gather(evidence, only, baseline, flags.baseline, own, bar.over), ui_url=ui_url)
    with write.workspace(out) as folder:
        with StageBar() as bar:
            write.build(found, folder, bar.over)
        write.check(folder, out)
        kept = open_store()
        run_id, reused = tracked.keep(kept, found, folder, vars(flags))
        write.publish(folder, out)
    look = told.look(kept, kept.get(run_id).experiment_id, run_id, kind="analysis")
    told.say(*_said(found, out), told.of_strangers(kept), look)
    print(_line(found, run_id, reused, out))
    return 0


def _ui_url(text: str) -> str:
    """The address of a UI, without a slash at its end.

    Raises:
        ConfigError: if it is no address of a web page.
    """
    if not ADDRESS.fullmatch(text):
        raise ConfigError(
            f"ui_url must be none or begin with http:// or https://, got {shown(text)}. Copy it from the browser."
        )
    return text.rstrip("/")


def _said(found: Content, out: Path) -> list[str]:
    """What was found, in a sentence each, and where to look."""
    from analysis.report import opening
    from analysis.report.cards import waiting

    told = [f"{one.head}: {one.text}" for one in opening.sentences(found)[1:]]
    missing = waiting(found)
    further = f" Next, for {len(missing[0].results)} more claims: {missing[0].command}" if missing else ""
    return [*told, f"Open {out / 'report.html'}.{further}"]


def studies(text: str) -> tuple[str, ...]:
    """The names of `--study`; empty for all."""
    if text == "all":
        return ()
    from grok.spec.studies import load_study, study_names

    known = study_names()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            load_study(name)  # or says what is wrong with it
    return names


def _own(name: str) -> list[Claim | Question | Chapter | Panel]:
    """The claims, chapters and panels of `--claims`.

    Raises:
        ConfigError: if there is no such list, an entry is something else, or has the id of another.
    """
    if name == "none":
        return []
    from analysis import papers
    from analysis.exhibits.model import Chapter, Claim, Question
    from analysis.exhibits.panels import Panel

    try:
        found = list(pkgutil.resolve_name(name))
    except BaseException as error:  # whatever a module of somebody else raises, `SystemExit` too
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ConfigError(f"claims must be a list by module:NAME, got {name} ({said(error)}). Run from its folder.") from error
    theirs: dict[type, Sequence[Any]] = {Claim: papers.CLAIMS, Question: papers.QUESTIONS, Chapter: papers.ERRATA}
    theirs[Panel] = papers.PANELS
    ids = {kind: {one.id for one in there} for kind, there in theirs.items()}
    for one in found:
        kind = next((kind for kind in ids if isinstance(one, kind)), None)
        if kind is None:
            raise ConfigError(
                f"claims must hold Claim, Question, Chapter or Panel, got {type(one).__name__} in {name}. See docs/report.md."
            )
        if one.id in ids[kind]:
            raise ConfigError(f"claims must have ids of their own, got {one.id} in {name}, which is there. Name it otherwise.")
        ids[kind].add(one.id)
    return found


def _line(found: Content, run_id: str, reused: bool, out: Path) -> str:
    """The result line."""
    words = {"run": run_id, "reused": "yes" if reused else "no", "out": str(out), "runs": str(found.runs)}
    words |= {"left_out": str(found.left_out["run_id"].nunique()), "claims": str(len(found.results))}
    words |= {verdict.replace(" ", "_"): str(number) for verdict, number in found.verdicts.items()}
    if found.comparison is not None:
        from analysis.report.compare import ABSENT, CHANGED, NEW

        changed = [change.id for change in found.comparison.changes if change.kind == CHANGED]
        words |= {"changed": str(len(changed)), "new": str(found.comparison.count(NEW))}
        words |= {"absent": str(found.comparison.count(ABSENT)), "changed_claims": ",".join(changed) or "none"}
    return " ".join(f"{name}={value}" for name, value in words.items())


if __name__ == "__main__":
    run_main(main)
