"""Every tag name that the project writes, and a run as the store has it. The one place that spells a tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PREFIX: Final = "grok."
"""Of our tags; MLflow's own begin with `mlflow.`."""
STUDY: Final = "study."
"""`study.NAME`: the run's condition in that study."""
STOP: Final = "stop."
RESOLVED: Final = "resolved."
"""`resolved.NAME`: the value of a param that `mlflow run` has logged in another spelling."""
DONE: Final = ("complete", "diverged")
"""States of a run that needs no more training."""
RESUMABLE: Final = "resumable"
"""What a run is to who may go on with it."""


def tag(name: str) -> str:
    """A tag's name in the store: ours get the prefix, MLflow's stay."""
    return name if name.startswith(("mlflow.", PREFIX)) else PREFIX + name


def study_tag(study: str) -> str:
    """The tag by which a run belongs to a study; its value is the run's condition there."""
    return PREFIX + STUDY + study


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it.

    Attributes:
        run_id, name: of the run. status: MLflow's. start_time: ms since 1970.
        tags: by their whole names. params: texts. metrics: newest values.
        raw: MLflow's own object, for what is not told here.
    """

    run_id: str
    name: str
    status: str
    start_time: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    raw: Any

    @classmethod
    def of(cls, run: Any) -> StoredRun:
        """From MLflow's `Run`."""
        info, data = run.info, run.data
        return cls(
            info.run_id, info.run_name or "", info.status, info.start_time or 0, data.tags, data.params, data.metrics, run
        )

    def get(self, name: str, default: str = "") -> str:
        """A tag of ours by its name without prefix."""
        return self.tags.get(tag(name), default)

    @property
    def state(self) -> str:
        """`running`, `complete`, `failed`, `interrupted`, `diverged`; empty for a stranger's run."""
        return self.get("state")

    @property
    def done(self) -> bool:
        """Whether it needs no more training."""
        return self.state in DONE

    @property
    def kind(self) -> str:
        """`train`, `study`, `analysis`, `sensitivity`, `pointer`; empty for a stranger's run."""
        return self.get("kind")

    @property
    def config_hash(self) -> str:
        """Identity of its config; empty if it has none."""
        return self.get("config_hash")

    @property
    def protocol(self) -> str:
        """Version of its numbers; empty if it has none."""
        return self.get("protocol")

    @property
    def threads(self) -> int | None:
        """CPU threads that it began with: the same bits need the same ones."""
        text = self.get("threads")
        return int(text) if text.isdigit() else None

    @property
    def studies(self) -> dict[str, str]:
        """Condition by study, of the studies that it was made a member of."""
        start = PREFIX + STUDY
        return {name.removeprefix(start): value for name, value in self.tags.items() if name.startswith(start)}

    @property
    def info(self) -> Any:
        """MLflow's `info`."""
        return self.raw.info

    @property
    def data(self) -> Any:
        """MLflow's `data`."""
        return self.raw.data

    @property
    def inputs(self) -> Any:
        """MLflow's datasets of the run."""
        return self.raw.inputs

    @property
    def outputs(self) -> Any:
        """MLflow's logged models of the run."""
        return self.raw.outputs
