"""Every tag name that the project writes, and a run as the store has it. The one place that spells a tag."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import own_code
from grok.store.errors import masked

PREFIX: Final = "grok."
"""Of our tags; MLflow's own begin with `mlflow.`. The names below are without it."""

RUN_ID: Final = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)
"""What MLflow takes for the id of a run."""
THREAD_COUNT: Final = re.compile(r"[0-9]{1,9}")
"""The text of a number of threads; a tag may have been edited by hand."""
KIND: Final = "kind"
STATE: Final = "state"
CONFIG_HASH: Final = "config_hash"
PROTOCOL: Final = "protocol"
OWN_SOURCES: Final = "own_sources"
"""JSON: SHA-256 by field of the files of one's own that a run's identity counts in; of runs that name such code."""
ERROR: Final = "error"
CODE_VERSION: Final = "code_version"
CODE_DIRTY: Final = "code_dirty"
CODE_SEEN: Final = "code_version_seen"
"""What a run had recorded where its code version was set right afterwards."""
THREADS: Final = "threads"
ROUNDING: Final = "rounding"
"""What a run's sums were rounded by, in one word as the field `rounding` has it, also under `auto`."""
ROUNDING_FACTS: Final = "rounding_facts"
"""The same and what else decides the bits: `library=onednn rows=256 order=forward threads=1 precision=float32 …`."""
RESUMED_WITH: Final = "resumed_with"
"""What differs from the process that began the run."""
ACTIVATION: Final = "activation"
"""Of a logged model."""
POINTS_TO: Final = "points_to"
RESOLVED: Final = "resolved."
"""`resolved.NAME`: the value of a param: of `SEARCHED`, and of any that `mlflow run` has logged in another spelling."""
SEARCHED: Final = ("activation", "weight_decay", "n_train", "learning_rate", "optimizer", "epochs", "network")
"""Params that may read `auto`, or an alias: each training run has their values as tags too, however it was launched."""

HOST: Final = "host"
PROCESS: Final = "process"
HEARTBEAT: Final = "heartbeat"
SESSION: Final = "session"
"""The command that began the run; its workers may take it over from each other."""
CLAIM: Final = "claim"
"""Token of the lease that holds."""

STUDY: Final = "study."
"""`study.NAME`: the run's condition in that study."""
STUDY_NAME: Final = "study"
"""Of a study's parent run."""
FOUND: Final = "found"
"""Of a study's parent run: what was found, a sentence."""
LEFT: Final = "left"
"""Of a study's parent run: a hash of what it was made from and of its files, by which it is known to be as it was left; empty
where that cannot be told."""
GRID_HASH: Final = "grid_hash"
FORCED: Final = "forced"
PROGRESS: Final = "progress_"
"""`progress_NAME`: how many cells of a study."""
STOP: Final = "stop."
"""`stop.SESSION`: that command was asked to stop."""
WALL: Final = "wall_s"
WALL_LAST: Final = "wall_last_s"
FILES_LEFT_OUT: Final = "files_left_out"
"""Of a run that came here without some of its files: their paths, joined by spaces."""

NOTE: Final = "mlflow.note.content"
RUN_NAME: Final = "mlflow.runName"
PARENT: Final = "mlflow.parentRunId"
PROJECT_ENTRY: Final = "mlflow.project.entryPoint"
"""Of a run that `mlflow run` made."""
WORDS: Final = (ERROR, NOTE)
"""Tags that tell what somebody else's error said."""

TRAIN: Final = "train"
"""Kind of a training run."""
RUNNING: Final = "running"
DONE: Final = ("complete", "diverged")
"""States of a run that needs no more training."""
STATES: Final = {
    RUNNING: "RUNNING",
    "complete": "FINISHED",
    "diverged": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
"""Our state, and the MLflow status that goes with it."""


def tag(name: str) -> str:
    """A tag's name in the store: ours get the prefix, MLflow's stay."""
    return name if name.startswith(("mlflow.", PREFIX)) else PREFIX + name


def named(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as the store has them: ours get the prefix, a text is cut to what MLflow takes, no words tell a password."""
    return {tag(key): (masked(str(value)) if key in WORDS else str(value))[:7900] for key, value in tags.items()}


def study_tag(study: str) -> str:
    """The tag by which a run belongs to a study; its value is the run's condition there."""
    return PREFIX + STUDY + study


def texts(found: Mapping[Any, Any]) -> dict[str, str]:
    """Those of a run's tags or params that are texts: a database also takes NULL and bytes, which are as if not there."""
    return {name: text for name, text in found.items() if isinstance(name, str) and isinstance(text, str)}


def numbers(found: Mapping[Any, Any]) -> dict[str, float]:
    """Those of a run's metrics that are numbers: a column of SQLite takes a text too, and bytes, as if not there."""
    return {name: float(one) for name, one in found.items() if isinstance(name, str) and isinstance(one, int | float)}


def word(value: object) -> str:
    """A name or a status; empty where the database has no text for it."""
    return value if isinstance(value, str) else ""


def whole_number(value: object) -> int:
    """A time; 0 where the database has no whole number for it."""
    return value if isinstance(value, int) else 0


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
        tags, params, metrics = texts(data.tags), texts(data.params), numbers(data.metrics)
        name, status, start = word(info.run_name), word(info.status), whole_number(info.start_time)
        return cls(info.run_id, name, status, start, tags, params, metrics, run)

    def get(self, name: str, default: str = "") -> str:
        """A tag of ours by its name without prefix."""
        return self.tags.get(tag(name), default)

    @property
    def state(self) -> str:
        """`running`, `complete`, `failed`, `interrupted`, `diverged`; empty for a stranger's run."""
        return self.get(STATE)

    @property
    def done(self) -> bool:
        """Whether it needs no more training."""
        return self.state in DONE

    @property
    def kind(self) -> str:
        """`train`, `study`, `analysis`, `sensitivity`, `pointer`; empty for a stranger's run."""
        return self.get(KIND)

    @property
    def config_hash(self) -> str:
        """Identity of its config; empty if it has none."""
        return self.get(CONFIG_HASH)

    @property
    def own_sources(self) -> dict[str, str] | None:
        """SHA-256 by field of the files of somebody's own that its identity counts in; None where it does not say."""
        try:
            found = json.loads(self.get(OWN_SOURCES))
        except (ValueError, RecursionError):  # of earlier code, or edited by hand
            return None
        whole = isinstance(found, dict) and all(isinstance(digest, str) for digest in found.values())
        return found if whole else None

    @property
    def protocol(self) -> str:
        """Version of its numbers; empty if it has none."""
        return self.get(PROTOCOL)

    @property
    def threads(self) -> int | None:
        """CPU threads that it began with: the same bits need the same ones."""
        text = self.get(THREADS)
        return int(text) if THREAD_COUNT.fullmatch(text) else None

    @property
    def rounding(self) -> str:
        """What its sums were rounded by, in one word such as `onednn-256-1`; empty where an earlier version did not say."""
        return self.get(ROUNDING)

    @property
    def rounding_facts(self) -> dict[str, str]:
        """The same and what else decides the bits: library, rows, order, threads, precision, device, cpu, torch; by name."""
        words = (word.partition("=") for word in self.get(ROUNDING_FACTS).split())
        return {name: value for name, equals, value in words if equals}  # a word without = was edited in by hand

    @property
    def code_version(self) -> str:
        """Commit of the code that began it; empty if it has none."""
        return self.get(CODE_VERSION)

    @property
    def studies(self) -> dict[str, str]:
        """Condition by study, of the studies that it was made a member of."""
        start = PREFIX + STUDY
        return {name.removeprefix(start): value for name, value in self.tags.items() if name.startswith(start)}

    @property
    def config(self) -> ResolvedConfig:
        """The config that its params spell, resolved; what they leave out has its default.

        Raises:
            ConfigError: if a param breaks a rule.
        """
        fields = RunConfig().to_strings()
        return ResolvedConfig.from_strings({name: text for name, text in self.params.items() if name in fields})

    def unproven(self, config: ResolvedConfig) -> str:
        """Why its params are not known to be those that it was trained with, in words; empty where they are.

        They are held against its hash. The bytes of code of somebody's own are in it: the run says which they were, one of
        earlier code does not, and then they are those of the files here, if these are there and the same. Nothing is loaded.

        Args:
            config: that its params spell.
        """
        own = own_code(config)
        known = self.own_sources if own else {}
        try:
            digests = config.own_digests() if known is None else known
        except OSError:
            digests = {}
        if config.hash_by(digests) == self.config_hash:
            return ""
        if known is not None:
            return "its params are not those that it was trained with: they were changed since"
        told = f"it names {', '.join(own)}, and the code here is not what it was trained with"
        return f"not verifiable: {told}, so that its params cannot be held against its hash"

    @property
    def edited(self) -> str:
        """`unproven` of the config that its params spell, or that they spell none; empty where it has no params yet: they are
        logged before all else.
        """
        if not self.params:
            return "its params are gone" if self.metrics else ""
        try:
            return self.unproven(self.config)
        except ConfigError as error:
            return f"its params are those of no config: {error}"

    @property
    def session(self) -> str:
        """The command that began it."""
        return self.get(SESSION)

    @property
    def claim(self) -> str:
        """Token of the lease that holds; empty if none was taken."""
        return self.get(CLAIM)

    @property
    def forced(self) -> bool:
        """Whether it is the parent of a study that passes over older runs."""
        return self.get(FORCED) == "1"

    @property
    def wall_s(self) -> float:
        """Seconds that a study took so far."""
        try:
            seconds = float(self.get(WALL, "0"))
        except ValueError:  # edited by hand
            return 0.0
        return seconds if 0 <= seconds < math.inf else 0.0

    def stop_asked(self, session: str) -> bool:
        """Whether the study command of this session was asked to stop."""
        return tag(STOP + session) in self.tags

    @property
    def files_left_out(self) -> tuple[str, ...]:
        """Paths of files that the run has where it was trained, and not here."""
        return tuple(self.get(FILES_LEFT_OUT).split())

    @property
    def artifact_uri(self) -> str:
        """Where its files are."""
        return str(self.raw.info.artifact_uri)

    @property
    def experiment_id(self) -> str:
        """The experiment that it is in."""
        return str(self.raw.info.experiment_id)

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
