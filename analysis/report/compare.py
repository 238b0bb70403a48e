"""Two reports held against each other: which verdicts changed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.exhibits.model import KINDS, VERDICTS, Answered, Entry, Result
from analysis.statistics.estimates import Estimate
from grok.spec.fields import ConfigError
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from grok.store.store import Store

FORMAT = "grok-claims/1"
CHANGED, MOVED, NEW, ABSENT = "verdict changed", "measured value changed", "new", "absent"


@dataclass(frozen=True)
class Change:
    """A claim that differs between the baseline and this report.

    Attributes:
        id: of the claim. statement: as the newer side has it.
        kind: `verdict changed`, `measured value changed` under the same verdict, `new` or `absent` in this report.
        before, after: verdicts; empty where the side lacks the claim. measured_before, measured_after: in words.
    """

    id: str
    statement: str
    kind: str
    before: str
    after: str
    measured_before: str
    measured_after: str


@dataclass(frozen=True)
class Comparison:
    """What differs from a baseline.

    Attributes:
        baseline: as the user named it. changes: verdicts first, then new, absent and moved claims.
        same: claims equal in verdict and measured value.
    """

    baseline: str
    changes: tuple[Change, ...]
    same: int

    def count(self, kind: str) -> int:
        """Claims that differ in one way."""
        return sum(change.kind == kind for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        """The content of `compare.json`."""
        return {"baseline": self.baseline, "same": self.same, "changes": [asdict(change) for change in self.changes]}


def tally(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """By kind of source, in the order of `KINDS`, how many claims have each verdict; kinds without a claim are left out."""
    found = {kind: [result.verdict for result in results if result.claim.kind == kind] for kind in KINDS}
    return {kind: {one: verdicts.count(one) for one in VERDICTS} for kind, verdicts in found.items() if verdicts}


def claims_json(
    results: Sequence[Result], runs: Mapping[str, int], left_out: int, answers: Sequence[Answered] = ()
) -> dict[str, Any]:
    """The content of `claims.json`: what a later report is compared with.

    Args:
        results: in order. runs: finished ones by study. left_out: runs not counted. answers: to questions of ours.
    """
    counts = {verdict: sum(result.verdict == verdict for result in results) for verdict in VERDICTS}
    claims = [
        {
            "id": r.claim.id,
            "statement": r.claim.statement,
            "source": r.claim.source,
            "kind": r.claim.kind,
            "published": r.claim.published,
            "recomputed": r.claim.recomputed,
            "rule": r.claim.rule,
            "studies": list(r.claim.studies),
            "measured": r.measured,
            "estimates": _estimates(r.estimates),
            "verdict": r.verdict,
            "note": r.note,
            "n": int(r.n),
            "run_ids": list(r.run_ids),
            "command": r.command,
            "entries": _entries(r.entries),
        }
        for r in results
    ]
    questions = [
        {
            "id": a.question.id,
            "question": a.question.question,
            "source": a.question.source,
            "answered": a.question.answered,
            "studies": list(a.question.studies),
            "answer": a.text,
            "estimates": _estimates(a.estimates),
            "note": a.note,
            "n": int(a.n),
            "run_ids": list(a.run_ids),
            "command": a.command,
            "entries": _entries(a.entries),
        }
        for a in answers
    ]
    counted = {"verdicts": counts, "verdicts_by_kind": tally(results), "runs": dict(runs), "left_out": left_out}
    return {"format": FORMAT} | counted | {"claims": claims, "questions": questions}


def _estimates(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {
        name: {"value": _finite(e.value), "low": _finite(e.low), "high": _finite(e.high), "kind": kind(e), "n": int(e.n)}
        for name, e in estimates.items()
    }


def _entries(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in entries]


def kind(estimate: Estimate) -> str:
    """What an estimate's bracket is: `95 %`, `quartiles`, `range`, `between`."""
    return str(getattr(estimate, "kind", "95 %"))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def read_baseline(store: Store, name: str) -> dict[str, Any]:
    """The `claims.json` of an earlier report.

    Args:
        store: looked in for a run.
        name: a folder with `claims.json`, the file itself, or the id of an analysis run.

    Raises:
        ConfigError: if it is none of these, or not such a file. StoreError: if the run cannot be had.
    """
    path = Path(name)
    if path.is_dir():
        path = path / "claims.json"
        if not path.is_file():
            raise ConfigError(
                f"baseline must be a folder with claims.json, got {name}. Make it: python -m entry_points.analyze."
            )
    if path.is_file():
        return _parse(path, name)
    if not name.isalnum():
        raise ConfigError(f"baseline must be a folder, a claims.json or the id of an analysis run, got {name}. Check the path.")
    kind = store.get(name).kind or None
    if kind != "analysis":
        raise StoreError(f"baseline must be a run of kind analysis, got {name} (kind {kind}). Look its id up with `mlflow ui`.")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return _parse(TrackedRun(store.client, name).get_file("claims.json", Path(folder)), name)


def _parse(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}")
        for claim in found["claims"]:
            if not all(isinstance(claim[key], str) for key in ("id", "statement", "verdict", "measured")):
                raise TypeError("a claim without id, statement, verdict or measured")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"baseline must have a claims.json of format {FORMAT}, got {name} ({reason}). Make it anew."
        ) from error
    return dict(found)


def compare(baseline: Mapping[str, Any], results: Sequence[Result], name: str, studies: Iterable[str] = ()) -> Comparison:
    """What changed from a baseline to these results.

    Args:
        baseline: as `read_baseline` gives it. results: of this report. name: of the baseline, for people.
        studies: if this report is of some studies only: claims of the baseline that read others are not missed.
    """
    before = {claim["id"]: claim for claim in baseline["claims"]}
    after = {result.claim.id: result for result in results}
    only = set(studies)
    changes = []
    for key, result in after.items():
        old = before.get(key)
        texts = ("" if old is None else old["verdict"], result.verdict, "" if old is None else old["measured"], result.measured)
        kind = NEW if old is None else CHANGED if texts[0] != texts[1] else MOVED if texts[2] != texts[3] else ""
        if kind:
            changes.append(Change(key, result.claim.statement, kind, *texts))
    for key, old in before.items():
        if key not in after and (not only or only & set(old.get("studies", ()))):
            changes.append(Change(key, old["statement"], ABSENT, old["verdict"], "", old["measured"], ""))
    order = (CHANGED, NEW, ABSENT, MOVED)
    changes.sort(key=lambda change: order.index(change.kind))  # stable: the registry's order within a kind
    known = sum(change.kind in (CHANGED, MOVED, NEW) for change in changes)
    return Comparison(name, tuple(changes), len(results) - known)
