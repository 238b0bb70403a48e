"""The runs that a claim reads: asked for by what they are, counted against the study's grid, their ids kept."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.evidence import Evidence
from grok.studies import Cell, load_study

ENOUGH = 0.8
"""Share of the asked-for runs that must be there (12 of 15, 4 of 5); with less, a claim is not testable yet."""


class Absent(Exception):
    """Runs that a claim needs are not in the store; the text says which study to run."""


class Sources:
    """What one claim takes from the evidence.

    Attributes:
        evidence: of the store. run_ids: of the runs taken. shortfalls: `14 of 15 runs of headline` for each incomplete take.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.run_ids: dict[str, None] = {}
        self.shortfalls: list[str] = []

    def take(self, study: str, **where: Any) -> pd.DataFrame:
        """The finished runs of a study's grid with these settings, in the grid's order.

        Args:
            study: of the registry.
            where: `condition` or config fields; a value, or a tuple of which any will do.

        Raises:
            Absent: if less than `ENOUGH` of them are there.
        """
        wanted = [cell for cell in load_study(study).cells if all(_fits(cell, k, v) for k, v in where.items())]
        if not wanted:
            raise ValueError(f"settings must be in the grid of {study}, got {where}. See grok/studies.yaml.")
        hashes = {cell.config.hash: number for number, cell in enumerate(wanted)}
        runs = self.evidence.runs(study)
        runs = runs[runs["config_hash"].isin(hashes)]
        runs = runs.sort_values("config_hash", key=lambda column: column.map(hashes), ignore_index=True)
        if len(runs) < ENOUGH * len(wanted):
            raise Absent(f"{len(runs)} of {len(wanted)} runs of the study {study} are there: {self.evidence.command(study)}")
        if len(runs) < len(wanted):
            self.shortfalls.append(f"{len(runs)} of {len(wanted)} runs of {study}")
        self.run_ids |= dict.fromkeys(runs["run_id"])
        return runs


def _fits(cell: Cell, name: str, value: Any) -> bool:
    options = value if isinstance(value, tuple) else (value,)
    own = cell.condition if name == "condition" else getattr(cell.config, name)
    return own in options
