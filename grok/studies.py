"""The registry of studies: named grids of runs, read from YAML. Data, not code paths."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grok.config import ConfigError, RunConfig

REGISTRY = Path(__file__).with_name("studies.yaml")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
OWN_FILE = re.compile(r"(.+\.ya?ml)(?::(.*))?")
NAME = re.compile(r"[\w./-]{1,100}", re.ASCII)
STUDY_KEYS = ("sentence", "source", "runs", "windows")


@dataclass(frozen=True)
class Cell:
    """One run of a study: its condition and its config."""

    condition: str
    config: RunConfig


@dataclass(frozen=True)
class Study:
    """A named grid of runs.

    Attributes:
        name: unique within its file. sentence: what it asks. source: where the question is from.
        cells: the runs, no two of the same identity.
        windows: detector windows of the summary table; empty for each run's own.
    """

    name: str
    sentence: str
    source: str
    cells: tuple[Cell, ...]
    windows: tuple[int, ...] = ()

    @property
    def hash(self) -> str:
        """(16 hex digits) identity of the grid: conditions and config hashes, in any order."""
        text = json.dumps(sorted((cell.condition, cell.config.hash) for cell in self.cells))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def cost(self) -> float:
        """Expected training work, in runs of the default config."""
        unit = training_flops(RunConfig())
        return sum(training_flops(cell.config) for cell in self.cells) / unit


def training_flops(config: RunConfig) -> float:
    """Matrix-product work of a run's training: three products of 2 n K M an epoch, and one for the test pairs."""
    c = config.resolved()
    n, epochs = c.n_train or 0, c.epochs or 0
    return 2.0 * c.width * c.modulus * (3 * n + c.modulus**2 - n) * epochs


def load_study(name: str) -> Study:
    """A study by name, or `file.yaml:name` (`file.yaml` if it has just one) for your own.

    Raises:
        ConfigError: if there is no such file or study, or it breaks a rule; the message names the place.
    """
    own = OWN_FILE.fullmatch(name)
    studies = load_file(Path(own[1])) if own else load_file(REGISTRY, prefix="")
    if own and own[2] is None and len(studies) == 1:
        return next(iter(studies.values()))
    wanted = own[2] if own else name
    if wanted not in studies:
        raise ConfigError(f"study must be one of {', '.join(studies)}, or file.yaml:name, got {wanted or 'none'}. Pick one.")
    return studies[wanted]


def load_file(path: Path, prefix: str | None = None) -> dict[str, Study]:
    """Every study of a YAML file, by the name it has there.

    Args:
        path: of the file.
        prefix: of the studies' own names, which the store knows them by; default `<file name>/`, so that yours are
            not taken for the registry's.

    Raises:
        ConfigError: if the file cannot be read or a study breaks a rule.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"study file must be readable, got {path} ({error.strerror}). Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"study file must be YAML, got {path} ({' '.join(str(error).split())}). Mend it.") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"study file must map names to studies, got {path}. See grok/studies.yaml.")
    prefix = f"{path.stem}/" if prefix is None else prefix
    for name in content:
        if not NAME.fullmatch(prefix + str(name)):
            raise ConfigError(f"study name must be letters, digits, _, - and dots, got {name} in {path}. Rename it.")
    return {str(name): _study(prefix + str(name), body) for name, body in content.items()}


def _study(name: str, body: Any) -> Study:
    if not isinstance(body, dict) or not isinstance(body.get("runs"), list) or not body["runs"]:
        raise ConfigError(f"study {name} must have a list `runs` with at least one block, got {body!r:.80}. Add one.")
    unknown = [str(key) for key in body if key not in STUDY_KEYS]
    if unknown:
        raise ConfigError(f"study {name} must have keys among {', '.join(STUDY_KEYS)}, got {', '.join(unknown)}. Drop them.")
    cells: dict[str, Cell] = {}
    for number, block in enumerate(body["runs"], start=1):
        for cell in _cells(f"study {name}, block {number}", block):
            cells.setdefault(cell.config.hash, cell)
    windows = tuple(body.get("windows") or ())
    for cell in cells.values():
        if not all(isinstance(w, int) and 3 <= w <= cell.config.max_window for w in windows):
            raise ConfigError(
                f"study {name}: windows must be whole numbers in [3, {cell.config.max_window}] (max_window), got {windows}. "
                "Lower them or raise max_window."
            )
    sentence, source = (str(body.get(key, "")).strip() for key in ("sentence", "source"))
    return Study(name, sentence, source, tuple(cells.values()), windows)


def _cells(place: str, block: Any) -> list[Cell]:
    if not isinstance(block, dict):
        raise ConfigError(f"{place} must map parameters to values, got {block!r:.80}. Write for example activation: relu.")
    values = {str(key): _values(value) for key, value in block.items() if key != "condition"}
    if any(not options for options in values.values()):
        raise ConfigError(f"{place} must give every parameter at least one value, got an empty list. Fill or drop it.")
    condition = str(block.get("condition", "run"))
    try:
        grid = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
        return [Cell(condition, RunConfig.from_strings(strings).resolved()) for strings in grid]
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _values(value: Any) -> list[str]:
    """The texts that a YAML value sweeps over."""
    if isinstance(value, str) and (found := RANGE.fullmatch(value.strip())):
        return [str(number) for number in range(int(found[1]), int(found[2]) + 1)]
    if isinstance(value, list):
        return [text for item in value for text in _values(item)]
    return [repr(value) if isinstance(value, float) else str(value)]


def varying(cells: tuple[Cell, ...]) -> list[str]:
    """Names of the config fields that differ between cells, the seed left out."""
    names = [field.name for field in dataclasses.fields(RunConfig) if field.name != "seed"]
    return [name for name in names if len({getattr(cell.config, name) for cell in cells}) > 1]
