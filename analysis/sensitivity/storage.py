"""Where Optuna studies are kept, and whose they are: a journal file, or a database by URL; found again by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from analysis.sensitivity.settings import SensitivityConfig, shown_storage
from analysis.sensitivity.space import Space
from grok.store.errors import POSTGRES, StoreError


@dataclass(frozen=True)
class Task:
    """One Optuna study: which J or lead, of what, in which direction, over which space.

    Attributes:
        part: what it is for: `search`, `relu_best_eta0`, `square_worst_all`, …
        name: of the Optuna study. storage: where. fingerprint: of the runs.
        activation, controls: conditions, as `Judge` takes them.
        objective: `separation`, `lead` or `multi`. minimise: look for the worst instead.
        space: of settings. config: the command's.
    """

    part: str
    name: str
    storage: str
    fingerprint: str
    activation: str
    controls: tuple[str, ...]
    objective: str
    minimise: bool
    space: Space
    config: SensitivityConfig

    @property
    def metric_names(self) -> list[str]:
        """What the objectives are called where a study is shown."""
        j = f"{'worst ' if self.minimise else ''}J of {self.activation} on calibration seeds"
        lead = "lead before test accuracy 0.5, epochs"
        return {"separation": [j], "lead": [lead], "multi": [j, lead]}[self.objective]

    @property
    def directions(self) -> list[StudyDirection]:
        """Of the objectives."""
        return [StudyDirection.MINIMIZE if self.minimise else StudyDirection.MAXIMIZE] * (2 if self.objective == "multi" else 1)


def open_storage(url: str) -> BaseStorage:
    """The storage of a URL, or a journal file of that path.

    Raises:
        StoreError: if it cannot be opened.
    """
    try:
        if "://" in url:
            engine = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
            return RDBStorage(url, engine_kwargs=engine)
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(_Journal(url))
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        reason = _without_secrets(reason, url)
        driver = isinstance(error, ImportError) and url.startswith(("postgresql:", "postgresql+psycopg2:"))
        what = POSTGRES if driver else "Check it"
        raise StoreError(
            f"storage must be a file or a database URL that can be opened, got {shown_storage(url)} ({reason}). {what}."
        ) from (error if shown_storage(url) == url else None)


def _without_secrets(text: str, url: str) -> str:
    """A driver's own words may repeat the URL that it was given, or the password."""
    shown = shown_storage(url)
    if shown == url:
        return text
    try:
        known = make_url(url)
    except (ArgumentError, ValueError):
        return "it cannot be read"
    secrets = [known.password, *(value for key, value in known.query.items() if "pass" in key.lower())]
    text = text.replace(url, shown)
    for secret in secrets:
        for form in (str(secret), quote(str(secret), safe=""), quote_plus(str(secret))) if secret else ():
            text = text.replace(form, "***")
    return text


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its log lines and notices of experimental parts."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)


def lock(task: Task) -> FileLock:
    """Held while a study is made, or a trial is counted and added."""
    path = task.storage.removeprefix("sqlite:///").partition("?")[0]
    if "://" in path:  # a database server: the lock is this machine's only
        path = str(Path(tempfile.gettempdir()) / f"grok-{hashlib.sha256(path.encode()).hexdigest()[:12]}")
    return FileLock(f"{path}.lock")


class _Journal(JournalFileBackend):
    """Optuna's journal file, with a lock that goes when its process is killed (Optuna's own then keeps others waiting for half
    a minute) and without waiting for the disk after each line, which took most of a trial's time; a killed process loses
    nothing by that. A line that a crash of the machine has cut off is dropped before the next one is written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._journal, self._guard = Path(path), FileLock(f"{path}.append")

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._guard, self._journal.open("rb+") as file:
            if file.seek(0, 2):
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
                    file.seek(0, 2)
            file.write(text.encode())


def open_study(task: Task) -> optuna.Study:
    """The shared Optuna study of a task, made if it is not there.

    Raises:
        StoreError: if it is of other runs or of another question: its trials must not be mixed with new ones.
    """
    storage = open_storage(task.storage)
    with quiet(), lock(task):
        study = optuna.create_study(
            study_name=task.name,
            storage=storage,
            directions=task.directions,
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        if study.metric_names is None:  # of a study that an earlier version made, too
            study.set_metric_names(task.metric_names)
        asked = {"runs": task.fingerprint, "question": _question(task)}
        there = study.user_attrs
        for name, value in asked.items():
            if name not in there:
                study.set_user_attr(name, value)
            elif there[name] != value:
                what = "the same runs" if name == "runs" else "the same question"
                raise StoreError(
                    f"study {task.name} must be of {what} as before, got others ({there[name]} then, {value} now): their "
                    "trials must not be mixed. Give another --name, or restore the runs."
                )
    return study


def _question(task: Task) -> str:
    texts = task.space.texts()
    return " ".join([task.objective, task.config.hash, *(f"{name}={text}" for name, text in sorted(texts.items()))])
