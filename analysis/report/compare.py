"""Two reports held against each other: which verdicts changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.exhibits.model import (
    IMPRECISE,
    KINDS,
    NOT_TESTABLE,
    UNDECIDABLE,
    VERDICTS,
    Answered,
    Entry,
    Replicate,
    Result,
)
from analysis.exhibits.robust import discoveries
from analysis.statistics.estimates import Estimate
from grok.spec.fields import ConfigError, shown
from grok.store.errors import StoreError
from grok.store.files import load_json
from grok.store.run import TrackedRun
from grok.store.store import Store

FORMAT = "grok-claims/1"
CHANGED, MOVED, NEW, ABSENT = "verdict changed", "measured value changed", "new", "absent"
TOLD = (CHANGED,)
"""Kinds of change that a reader sees at once; the others are folded."""


@dataclass(frozen=True)
class Change:
    """A claim that differs between the baseline and this report.

    Attributes:
        id: of the claim. statement: as the newer side has it.
        kind: `verdict changed`, `measured value changed` under the same verdict, `new` or `absent` in this report.
        before, after: verdicts; empty where the side lacks the claim. measured_before, measured_after: in words.
        reason: why a verdict changed, or where an absent claim went, as far as the two sides tell.
    """

    id: str
    statement: str
    kind: str
    before: str
    after: str
    measured_before: str
    measured_after: str
    reason: str = ""


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

    def by_kind(self) -> dict[str, tuple[Change, ...]]:
        """The changes of each kind that there are any of, those that are told at once first."""
        kinds = dict.fromkeys((*TOLD, *(change.kind for change in self.changes)))
        found = {kind: tuple(change for change in self.changes if change.kind == kind) for kind in kinds}
        return {kind: some for kind, some in found.items() if some}

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
            "rounding": r.rounding,
            "replicates": [asdict(replicate) for replicate in r.replicates],
            "made_by": {name: dict(counts) for name, counts in r.made_by.items()},
            "p": _finite(r.p),
            "p_adjusted": _finite(r.adjusted),
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
    counted: dict[str, Any] = {"verdicts": counts, "verdicts_by_kind": tally(results), "runs": dict(runs), "left_out": left_out}
    counted["false_discovery_control"] = dict(
        zip(("tested", "decided", "under_any_dependence"), discoveries(results), strict=True)
    )
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
    if "\0" in name or len(name) > 4000:
        raise ConfigError(
            f"baseline must be a folder, a claims.json or the id of an analysis run, got {shown(name)!r}. Check it."
        )
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
        found = load_json(path)
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}")
        for claim in found["claims"]:
            if not all(isinstance(claim[key], str) for key in ("id", "statement", "verdict", "measured")):
                raise TypeError("a claim without id, statement, verdict or measured")
            studies = claim.get("studies", [])
            if not isinstance(studies, list) or not all(isinstance(name, str) for name in studies):
                raise TypeError("a claim whose studies are no list of names")
            for text in (*(claim[key] for key in ("id", "statement", "verdict", "measured")), *studies):
                text.encode("utf-8")  # half a character would fail where the report is written
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"baseline must have a claims.json of format {FORMAT}, got {name} ({reason}). Make it anew."
        ) from error
    return dict(found)


def compare(
    baseline: Mapping[str, Any],
    results: Sequence[Result],
    name: str,
    studies: Iterable[str] = (),
    answers: Sequence[Answered] = (),
) -> Comparison:
    """What changed from a baseline to these results.

    Args:
        baseline: as `read_baseline` gives it. results: of this report. name: of the baseline, for people.
        studies: if this report is of some studies only: claims of the baseline that read others are not missed.
        answers: of this report: an absent claim may be a question now.
    """
    before = {claim["id"]: claim for claim in baseline["claims"]}
    after = {result.claim.id: result for result in results}
    only = set(studies)
    changes = []
    for key, result in after.items():
        old = before.get(key)
        texts = ("" if old is None else old["verdict"], result.verdict, "" if old is None else old["measured"], result.measured)
        kind = NEW if old is None else CHANGED if texts[0] != texts[1] else MOVED if texts[2] != texts[3] else ""
        reason = _why(old, result) if old is not None and kind == CHANGED else ""
        if kind:
            changes.append(Change(key, result.claim.statement, kind, *texts, reason))
    went = {answer.question.id: "a question of ours now" for answer in answers}
    for result in results:
        for id in result.claim.replaces:
            judged = f"{went[id]}; the published sentence is judged as" if id in went else "one sentence: an entry of"
            went[id] = f"{judged} {result.claim.id}{'' if id in went else ' now'}"
    for key, old in before.items():
        if key not in after and (not only or only & set(old.get("studies", ()))):
            changes.append(Change(key, old["statement"], ABSENT, old["verdict"], "", old["measured"], "", went.get(key, "")))
    order = (CHANGED, NEW, ABSENT, MOVED)
    changes.sort(key=lambda change: order.index(change.kind))  # stable: the registry's order within a kind
    known = sum(change.kind in (CHANGED, MOVED, NEW) for change in changes)
    return Comparison(name, tuple(changes), len(results) - known)


def _alone(result: Result) -> Replicate | None:
    """The rounding whose verdict is another than that of all others, at least two, where the claim's turns on it."""
    verdicts = [replicate.verdict for replicate in result.replicates]
    odd = [replicate for replicate in result.replicates if verdicts.count(replicate.verdict) == 1]
    if len(odd) != 1 or len(verdicts) < 3 or len(set(verdicts)) != 2:
        return None
    return odd[0] if result.verdict in (UNDECIDABLE, odd[0].verdict) else None


def _why(old: Mapping[str, Any], result: Result) -> str:
    """Why a verdict changed: roundings, many claims, the rule, the runs, or the measured value, whichever differ.

    A claim that had no runs was judged by no rule: that alone, and what the verdict of now rests on.
    """
    reasons = []
    if result.verdict == NOT_TESTABLE:
        return "its runs are not in this store" if not result.run_ids else "its runs here do not suffice"
    if result.verdict == UNDECIDABLE:
        reasons.append(f"roundings disagree: {result.rounding.rstrip('.')}")
    elif "Alone it would be" in result.note:
        reasons.append("it does not survive among so many claims")
    elif result.verdict == IMPRECISE:
        reasons.append("too few runs, or too wide an interval, for a test to decide")
    alone = _alone(result)
    if alone is not None:
        reasons.append(f"one rounding alone differs: {alone.rounding}, {alone.verdict}")
    if old["verdict"] == NOT_TESTABLE and (old.get("n") == 0 or old.get("run_ids") == []):
        return "; ".join([*reasons, "it had no runs before"])
    if old.get("rule", result.claim.rule) != result.claim.rule:
        reasons.append("another rule")
    if set(old.get("run_ids", result.run_ids)) != set(result.run_ids):
        both = len(set(old["run_ids"]) & set(result.run_ids))
        reasons.append(f"other runs ({both} of {result.n} are the same)")
    elif old["measured"] != result.measured:
        reasons.append("other numbers from the same runs")
    return "; ".join(reasons)
