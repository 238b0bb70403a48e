"""The registry of studies: named grids of runs, read from YAML, a file per paper. Data, not code paths."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grok.numerics.methods import BLOCK, factor_kind
from grok.spec import limited_yaml
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError, did_you_mean, shown
from grok.spec.published import ANATOMY_STEPS, PAIRS, TRANSFORMERS, anatomy_flops, pairs_flops, samples, transformer_flops

REGISTRY = Path(__file__).with_name("studies")
"""The folder of the registry's files: `NAME.yaml` of a paper, `ours.yaml` of what no paper has."""
RANGE = re.compile(r"([0-9]{1,19})\.\.([0-9]{1,19})")
OWN_FILE = re.compile(r"(.+\.ya?ml)(?::(.*))?")
NAME = re.compile(r"[\w-][\w.-]{0,79}", re.ASCII)
STUDY_KEYS = ("sentence", "source", "runs", "windows")
AFTER = "after"
"""Key of a study of the registry that names the one it follows."""
MOST_RUNS = 10_000
"""Runs of one study, and of one file of your own; more is taken for a slip in a range."""


@dataclass(frozen=True)
class Cell:
    """One run of a study: its condition and its config."""

    condition: str
    config: ResolvedConfig


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
        """Expected training work, in runs of the default config; of a network of your own, as if it were the two-layer one."""
        unit = training_flops(RunConfig().resolved())
        return sum(training_flops(cell.config) for cell in self.cells) / unit


def training_flops(config: ResolvedConfig) -> float:
    """Matrix-product work of a run: three products of 2 n K M an epoch and one for the test pairs; n K² an observation.

    Raw spectra take, for each kind of factor, one pass of 2 P (b + w)² over every block of b updates, P = 3 M K in both
    layers. The band is left out: it costs every run the same.
    """
    if config.network in TRANSFORMERS:
        work = transformer_flops(config.task, config.network, config.epochs, config.batch_size)
        if "anatomy" not in config.recorders:
            return work
        whole = config.option_values.get("anatomy_steps", "")
        count = len(whole.split("+")) if whole else ANATOMY_STEPS
        return work + anatomy_flops(config.task, (config.epochs - config.switch_at) // config.evaluate_every, count)
    c, n, epochs = config, config.n_train, config.epochs
    if config.network in PAIRS:
        evaluated = (samples(config.task, config.modulus) - n) / config.evaluate_every
        return pairs_flops(config.network, config.modulus, config.batch_size or n, evaluated, epochs)
    observations = epochs / c.observe_every if c.observe_every else 0
    kinds = len({factor_kind(method) for method in c.spectrum_methods[1:]})
    raw = kinds * 2.0 * 3 * c.modulus * c.width * (BLOCK + c.window) ** 2 * epochs / BLOCK
    return raw + 2.0 * c.width * c.modulus * (3 * n + c.modulus**2 - n) * epochs + 1.0 * n * c.width**2 * observations


def load_study(name: str) -> Study:
    """A study by name, or `file.yaml:name` (`file.yaml` if it has just one) for your own.

    Raises:
        ConfigError: if there is no such file or study, or it breaks a rule; the message names the place.
    """
    own = OWN_FILE.fullmatch(name)
    if own:
        return _own(Path(own[1]), own[2])
    names = study_names()
    if name not in names:
        said = shown(name) if name else "none"
        step = did_you_mean(name, names, "Pick one.")
        raise ConfigError(f"study must be one of {', '.join(names)}, or file.yaml:name, got {said}. {step}")
    return _registered(_files(), name)


def _own(path: Path, wanted: str | None) -> Study:
    """One study of a file of your own, the only one if none is named; a fault in another does not stand in its way."""
    bodies = _bodies(path)
    if wanted is None and len(bodies) == 1:
        wanted = next(iter(bodies))
    if wanted not in bodies:
        spelled = [f"{path}:{name}" for name in bodies]
        named = shown(wanted) if wanted else "none"
        step = did_you_mean(f"{path}:{wanted}", spelled, "Pick one.")
        raise ConfigError(f"study must be one of {', '.join(spelled)}, got {named}. {step}")
    return _study(f"{path.stem}/{wanted}", bodies[wanted])


def registry() -> dict[str, Study]:
    """Every study of the registry by its name, in its order.

    Raises:
        ConfigError: if a file cannot be read, a study breaks a rule, or a name is there twice.
    """
    files = _files()
    return {name: _registered(files, name) for name in _registry(files)}


def study_names() -> tuple[str, ...]:
    """The names of the registry's studies, in its order; no config is made.

    Raises:
        ConfigError: if a file cannot be read or a name is there twice.
    """
    return tuple(_registry(_files()))


_Files = tuple[tuple[Path, int], ...]
"""The registry's files, each with when it was changed."""


def _files() -> _Files:
    return tuple((path, path.stat().st_mtime_ns) for path in sorted(REGISTRY.glob("*.yaml")))


@functools.lru_cache(maxsize=1)
def _registry(files: _Files) -> dict[str, Any]:
    """The registry's studies as YAML has them, read once: the report asks for each study often."""
    homes: dict[str, Path] = {}
    bodies: dict[str, Any] = {}
    for path, _ in files:
        for name, body in _read(path, names=()).items():
            if name in homes:
                raise ConfigError(
                    f"names of studies must be given once, got {name} in {homes[name].name} and {path.name}. Rename one."
                )
            homes[name], bodies[name] = path, body
    return {name: bodies[name] for name in _ordered(bodies)}


@functools.lru_cache(maxsize=1000)
def _registered(files: _Files, name: str) -> Study:
    """One study of the registry, made once: hundreds of configs to check in all."""
    return _study(name, _registry(files)[name])


def _ordered(bodies: dict[str, Any]) -> list[str]:
    """The names as the files have them, each with `after` behind the study it names; the key is taken out."""
    after = {name: body.pop(AFTER) for name, body in bodies.items() if isinstance(body, dict) and AFTER in body}
    order = [name for name in bodies if name not in after]
    for name, earlier in after.items():
        if earlier not in order:
            raise ConfigError(f"study {name} must have `after` name a study before it, got {earlier}. Correct it.")
        order.insert(order.index(earlier) + 1, name)
    return order


def load_file(path: Path) -> dict[str, Study]:
    """Every study of a YAML file of your own, by the name it has there.

    The store knows them as `<file name>/<name>`, so that yours are not taken for the registry's.

    Raises:
        ConfigError: if the file cannot be read or a study breaks a rule.
    """
    return {name: _study(f"{path.stem}/{name}", body) for name, body in _bodies(path).items()}


def _bodies(path: Path) -> dict[str, Any]:
    """The studies of a file of your own as YAML has them, no more runs than are allowed."""
    bodies = _read(path, names=(path.stem,))
    counts = [_count(block) for body in bodies.values() for block in _blocks(body)]
    runs = sum(counts)
    if max(counts, default=0) <= MOST_RUNS < runs:  # of a block alone it is said with its place
        raise ConfigError(f"study file must have at most {MOST_RUNS} runs in all, got {runs} in {path}. Shorten it.")
    return bodies


def _blocks(body: Any) -> list[Any]:
    """The blocks of a study as YAML has it, if it has any."""
    runs = body.get("runs") if isinstance(body, dict) else None
    return runs if isinstance(runs, list) else []


def _count(block: Any) -> int:
    """How many runs a block asks for; none are made."""
    return math.prod(_many(value) for key, value in block.items() if key != "condition") if isinstance(block, dict) else 0


def _many(value: Any) -> int:
    """How many values a YAML value sweeps over."""
    if isinstance(value, list):
        return sum(map(_many, value))
    found = RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    return max(0, int(found[2]) - int(found[1]) + 1) if found else 1


def _read(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The studies of a file as YAML has them; `names` must be as good as theirs."""
    try:
        content = limited_yaml.read(path)
    except (OSError, ValueError) as error:  # a name with a zero byte
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"study file must be readable, got {path} ({why}). Check the path.") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"study file must be YAML, got {path} ({shown(' '.join(str(error).split()), 400)}). Mend it."
        ) from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"study file must map names to studies, got {path}. See docs/howto/study.md.")
    for name in (*names, *content):
        if not NAME.fullmatch(str(name)):
            raise ConfigError(
                f"names of studies and their file must be up to 80 letters, digits, _, - and dots, got {name} in {path}. "
                "Rename it."
            )
    return {str(name): body for name, body in content.items()}


def _study(name: str, body: Any) -> Study:
    if not isinstance(body, dict) or not isinstance(body.get("runs"), list) or not body["runs"]:
        raise ConfigError(f"study {name} must have a list `runs` with at least one block, got {body!r:.80}. Add one.")
    unknown = [str(key) for key in body if key not in STUDY_KEYS]
    if unknown:
        raise ConfigError(f"study {name} must have keys among {', '.join(STUDY_KEYS)}, got {', '.join(unknown)}. Drop them.")
    sentence, source = (body.get(key) for key in ("sentence", "source"))
    for key, text in (("sentence", sentence), ("source", source)):
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"study {name} must have a {key}, got {text!r:.80}. Write one line of text.")
    cells: dict[str, Cell] = {}
    for number, block in enumerate(body["runs"], start=1):
        for cell in _cells(f"study {name}, block {number}", block):
            if cell.config.hash in cells:
                raise ConfigError(
                    f"study {name}, block {number} must not repeat a run, got {cell.config.display_name()} again. Drop one."
                )
            cells[cell.config.hash] = cell
    return Study(name, str(sentence).strip(), str(source).strip(), tuple(cells.values()), _windows(name, body, cells.values()))


def _windows(name: str, body: dict[str, Any], cells: Iterable[Cell]) -> tuple[int, ...]:
    windows = body.get("windows", [])
    # The band serves windows up to max_window, the factors of raw spectra those up to the run's own.
    most = min(c.config.max_window if c.config.spectrum_methods == ("gram",) else c.config.window for c in cells)
    if not isinstance(windows, list) or not all(type(w) is int and 3 <= w <= most for w in windows):
        raise ConfigError(
            f"study {name}: windows must be a list of whole numbers in [3, {most}], got {windows!r:.80}. "
            "Lower them or raise max_window, or window where raw spectra are recorded."
        )
    return tuple(dict.fromkeys(windows))


def _cells(place: str, block: Any) -> list[Cell]:
    if not isinstance(block, dict):
        raise ConfigError(f"{place} must map parameters to values, got {block!r:.80}. Write for example activation: relu.")
    count = _count(block)
    if count > MOST_RUNS:
        raise ConfigError(f"{place} must be at most {MOST_RUNS} runs, got {count}. Shorten its lists.")
    values = {str(key): _values(value) for key, value in block.items() if key != "condition"}
    for name, options in values.items():
        if not options:
            raise ConfigError(f"{place} must give every parameter at least one value, got none for {name}. Fill or drop it.")
    condition = block.get("condition", "run")
    if not isinstance(condition, str) or not condition.strip() or not condition.isprintable():
        raise ConfigError(f"{place} must have one line of printable text as condition, got {condition!r:.80}. Quote it.")
    try:
        grid = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
        return [Cell(condition, ResolvedConfig.from_strings(strings)) for strings in grid]
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _values(value: Any) -> Sequence[str]:
    """The texts that a YAML value sweeps over."""
    if isinstance(value, str) and (found := RANGE.fullmatch(value.strip())):
        first, last = int(found[1]), int(found[2])
        return [str(number) for number in range(first, last + 1)]
    if isinstance(value, list):
        return [text for item in value for text in _values(item)]
    if isinstance(value, bool):
        return [str(value).lower()]  # `labels: true` is a boolean to YAML
    return [repr(value) if isinstance(value, float) else str(value)]
