"""Claims, errata and figures' data of made-up evidence, where nearly every claim can be judged."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.evaluate import ask, evaluate, write
from analysis.papers import CLAIMS, ERRATA, PANELS, QUESTIONS
from analysis.papers.xu import rebuttal_grid
from analysis.report.compare import kind
from analysis.sensitivity import grid
from analysis.sensitivity.settings import SensitivityConfig
from grok.networks.two_layer import initial_weights
from grok.spec.config import RunConfig
from grok.spec.studies import registry
from tests.helpers.fake_evidence import FakeEvidence
from tests.helpers.synthetic import SyntheticEvidence
from tests.helpers.synthetic_cells import made_cells, with_raw

SMALL = RunConfig(modulus=11, width=32, top_pairs=20).resolved()
WORLDS: dict[str, dict[str, bool]] = {
    "default": {},
    "broken": {"broken": True},
    "rebuttal": {"rebuttal": True},
    "marks": {"marks": True},
}
TOUCHED = {"rebuttal": ("window-", "robust"), "marks": ("relu-",)}
"""How the ids of the claims begin that a world changes; elsewhere it is the default, and is not evaluated again."""
DIGITS = "%.9g"
"""Of a number in a table: what two processors' eigenvalues have in common."""


class Weighted(SyntheticEvidence):
    """With weights of a small network that was not trained, for the errata that read some."""

    def _runs(self, study: str) -> pd.DataFrame:
        sizes = {name: getattr(SMALL, name) for name in ("modulus", "width", "n_train", "top_pairs")}
        return super()._runs(study).assign(**sizes)

    def weights(self, run_id: str, epoch: int) -> dict[str, np.ndarray]:
        """The same at every epoch."""
        w, v = initial_weights(SMALL.modulus, SMALL.width, 0)
        return {"w": w.numpy(), "v": v.numpy()}


def csv(table: pd.DataFrame) -> str:
    """A table as text, floats to nine digits."""
    return table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")


def short(value: float) -> float | str:
    """A number to nine digits."""
    return float(DIGITS % value) if np.isfinite(value) else str(value)


def claims(evidence: Any, prefixes: tuple[str, ...] = ("",)) -> dict[str, Any]:
    """What became of each claim whose id begins so: verdict, measured text, note, runs, and its estimates."""
    chosen = [claim for claim in CLAIMS if claim.id.startswith(prefixes)]
    return {
        result.claim.id: {
            "verdict": result.verdict,
            "measured": result.measured,
            "note": result.note,
            "n": result.n,
            "estimates": {
                name: f"{short(e.value)} [{short(e.low)}, {short(e.high)}] {kind(e)}, n = {e.n}"
                for name, e in result.estimates.items()
            },
        }
        for result in evaluate(evidence, chosen)
    }


def answers(evidence: Any) -> dict[str, Any]:
    """What is answered to each question of ours."""
    return {a.question.id: {"answer": a.text, "note": a.note, "n": a.n} for a in ask(evidence, QUESTIONS)}


def chapters(evidence: Any) -> dict[str, Any]:
    """Every erratum: title, text, command, figure and its table's lines."""
    out = {}
    for erratum in write(evidence, ERRATA):
        fields = {name: value for name, value in asdict(erratum).items() if name not in ("id", "table", "run_ids")}
        out[erratum.id] = fields | {"runs": len(erratum.run_ids), "table": csv(erratum.table).splitlines()}
    return out


def table(found: pd.DataFrame) -> str:
    """Rows, columns and digest of a table."""
    return f"{len(found)} rows of {', '.join(map(str, found))}: {hashlib.sha256(csv(found).encode()).hexdigest()[:16]}"


def figures() -> dict[str, Any]:
    """Of each figure of the report, what is drawn, on made-up runs of every registry study, seeds 0 to 3."""
    evidence = FakeEvidence(tuple(registry()), lambda cell: cell.config.seed < 4, sensitivity=True)
    out = {}
    for panel in PANELS:
        prepared = panel.prepare(evidence)
        tables = {name: table(found) for name, found in prepared.tables.items()}
        out[panel.id] = {"title": panel.title, "note": prepared.note, "runs": len(set(prepared.run_ids)), "tables": tables}
    return out


def statements() -> dict[str, Any]:
    """What does not depend on evidence: every claim's words, those of its rule by a digest, and the rules."""
    results = evaluate(SyntheticEvidence(studies=()), CLAIMS)  # type: ignore[arg-type]
    names = ("statement", "source", "kind", "published", "recomputed", "studies")
    rules = {r.claim.id: hashlib.sha256(r.claim.rule.encode()).hexdigest()[:8] for r in results}
    said = {
        r.claim.id: {name: getattr(r.claim, name) for name in names}
        | {"rule": rules[r.claim.id], "command": r.command, "untested": r.note}
        for r in results
    }
    return {"claims": said, "rules": {rules[r.claim.id]: r.claim.rule for r in results}}


def claims_document() -> dict[str, Any]:
    """Claims in every world, errata in the two that differ most, figures."""
    evidence = {name: Weighted(**words) for name, words in WORLDS.items()}
    worlds = {name: claims(made, TOUCHED.get(name, ("",))) for name, made in evidence.items()}
    written = {name: chapters(evidence[name]) for name in ("default", "broken")}
    asked = {name: answers(evidence[name]) for name in ("default", "broken")}
    return {"statements": statements(), "worlds": worlds, "answers": asked, "errata": written, "figures": figures()}


def sensitivity_document() -> dict[str, Any]:
    """The exhaustive tables of a sensitivity study, on bands whose gap opens at a planted epoch."""
    activations, conditions = ("square", "relu"), ("grok", "eta0", "random_labels")
    cells = with_raw(made_cells(3, seeds=6, activations=activations, conditions=conditions), window=12)
    config = SensitivityConfig(samples=64)
    whole = grid.grid(made_cells(3, seeds=6, activations=activations, conditions=conditions), config)
    tables = {
        "grid": whole,
        "rebuttal": rebuttal_grid.table(whole),
        "window_table": grid.window_table(cells),
        "neighbourhood": grid.neighbourhood(cells, config),
        "surface": grid.surface(cells, config),
    }
    return {
        "tables": {name: table(found) for name, found in tables.items()},
        "window_table": csv(tables["window_table"]).splitlines(),
        "square fires": csv(whole[whole["grok_fires"] > 0].head(60)).splitlines(),
    }
