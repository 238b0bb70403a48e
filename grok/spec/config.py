"""A run is its config: one frozen, validated dataclass with a hash.

Each field is the MLproject parameter, the command-line flag and the MLflow param of the same name. Nothing here
imports torch or mlflow, so `--help` and bad input answer at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grok.spec.fields import ConfigError

PROTOCOL_VERSION = "1"
"""Version of the numbers: it moves when the same config would give different ones."""

ACTIVATIONS = ("square", "relu", "abs", "cube", "relu2", "gelu", "silu", "tanh", "sigmoid")
ALIASES = {"x2": "square"}
CUSTOM_ACTIVATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
OPTIMIZERS = ("adam", "adamw", "sgd", "muon")
LABELS = ("true", "random")
PAIR_RANKINGS = ("current", "epoch_150")
RANKING_EPOCH = 150
DELTA_W = ("gram", "windows", "full")
SPECTRUM_METHOD = re.compile(r"gram|gram32|svd|randomized(_\d{1,3})?")
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
PRECISIONS = ("float32", "float64")
CHECKPOINTS = (50, 100, 175, 250, 300, 400, 500, 800)
"""Epochs of the published sign-match table (Xu, Theorem 6 table) up to 300, and three later ones."""
EXECUTION_FIELDS = ("device", "threads", "save_every")
"""Fields that say how a run is executed, not what it is: left out of the hash."""


def config_field(default: Any, text: str, source: str, choices: tuple[str, ...] = ()) -> Any:
    """A config field with what the command line needs to describe it."""
    return dataclasses.field(default=default, metadata={"help": text, "source": source, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that defines one run: network, task, optimiser, and what is recorded.

    `None` reads and prints as `auto`: `resolved()` puts the value in its place. A config is validated when it is made.

    Raises:
        ConfigError: if a value breaks its rule.

    Source: defaults are those of Xu (arXiv 2605.08119) §2 unless a field's metadata says otherwise.
    """

    activation: str = config_field(
        "square", "activation of the hidden layer, x2 = square, or your own as module:function", "Xu §2", ACTIVATIONS
    )
    weight_decay: float = config_field(2e-4, "η of the papers; L2 in adam and sgd, decoupled in adamw and muon", "Xu §2")
    labels: str = config_field("true", "(a + b) mod M, or drawn at random once per seed", "Xu §2; random: ours", LABELS)
    n_train: int | None = config_field(None, "training pairs; auto = 40 % of the modulus², 2016 at 71", "Xu §2")
    modulus: int = config_field(71, "M of the task (a + b) mod M", "Xu §2")
    width: int = config_field(2048, "hidden units K", "Xu §2")
    learning_rate: float = config_field(1e-3, "step size of the optimiser", "Xu §2")
    optimizer: str = config_field(
        "adam", "full-batch optimiser of torch.optim, its other settings at default", "Xu §2", OPTIMIZERS
    )
    epochs: int | None = config_field(None, "optimiser steps; auto = 400 for square, 800 otherwise", "Xu §2")
    seed: int = config_field(0, "seeds the split and the initial weights", "Xu §2: 0 to 14")
    window: int = config_field(20, "updates in the rolling window, at least 3", "Xu §2")
    max_window: int = config_field(64, "lags kept in the band: the largest window that can be asked of the run later", "ours")
    slope_lag: int = config_field(25, "epochs between the two gaps of the slope", "Xu eq. 3")
    slope_threshold: float = config_field(0.04, "slope of log gap, per epoch, above which the detector fires", "Xu eq. 3")
    first_epoch: int = config_field(100, "first epoch at which the detector may fire", "Xu eq. 3")
    top_pairs: int = config_field(200, "most similar feature pairs of the repulsion measurement", "Xu §4")
    pair_ranking: str = config_field(
        "current",
        "rank the pairs at each measurement, or once at epoch 150 and measure from there on",
        "Xu: code; rebuttal",
        PAIR_RANKINGS,
    )
    checkpoint_epochs: tuple[int, ...] | None = config_field(
        None,
        "epochs whose weights are kept and observed in full, comma list; auto = 50,100,175,250,300,400,500,800 "
        "as far as the run goes, and its last epoch",
        "Xu Theorem 6 table; from 400 on ours",
    )
    observe_every: int = config_field(10, "epochs between feature and gradient observables; 0 = only at checkpoints", "ours")
    repulsion_every: int = config_field(0, "epochs between repulsion measurements; 0 = only at checkpoints", "ours")
    delta_w: str = config_field("gram", "updates kept: their Gram band, raw windows at checkpoints, or all", "ours", DELTA_W)
    spectrum_methods: tuple[str, ...] = config_field(
        ("gram",),
        "comma list of gram (always), gram32, svd, randomized (or randomized_N: N oversampled columns, 10 unless said)",
        "Xu §2; rebuttal",
    )
    precision: str = config_field("float32", "of weights and training; the band is float64 either way", "Xu §2", PRECISIONS)
    device: str = config_field("auto", "auto (cuda where there is one), cpu, cuda or cuda:N", "ours")
    threads: int | None = config_field(None, "CPU threads of torch; auto leaves torch's own choice", "ours")
    save_every: int = config_field(100, "epochs between saves of the resumable state and logs of metrics; 0 = never", "ours")

    def __post_init__(self) -> None:
        """Replace aliases by names, put lists in order, and check every rule."""
        put = object.__setattr__
        _check_types(self)
        put(self, "activation", ALIASES.get(self.activation, self.activation))
        for name in ("weight_decay", "learning_rate", "slope_threshold"):
            put(self, name, float(getattr(self, name)) + 0.0)  # one text for 0, 0.0 and −0.0
        methods = {_canonical_method(method) for method in self.spectrum_methods}
        put(self, "spectrum_methods", ("gram", *sorted(methods - {"gram"})))
        if self.checkpoint_epochs is not None:
            put(self, "checkpoint_epochs", tuple(sorted(set(self.checkpoint_epochs))))
        _validate(self)

    def resolved(self) -> RunConfig:
        """The same run with every `auto` of its definition replaced by its value."""
        epochs = self.epochs
        if epochs is None:
            epochs = default_epochs(self.activation)
        checkpoints = self.checkpoint_epochs
        if checkpoints is None:
            ranked = (RANKING_EPOCH,) if self.pair_ranking == "epoch_150" else ()
            checkpoints = (*(e for e in (*CHECKPOINTS, *ranked) if e <= epochs), epochs)
        n_train = self.n_train if self.n_train is not None else (2 * self.modulus**2) // 5
        return dataclasses.replace(self, epochs=epochs, checkpoint_epochs=checkpoints, n_train=n_train)

    @property
    def hash(self) -> str:
        """(16 hex digits) SHA-256 of the resolved config without its execution fields: the run's identity."""
        text = {k: v for k, v in self.resolved().to_strings().items() if k not in EXECUTION_FIELDS}
        if source := self.activation_source():
            text["activation_source"] = hashlib.sha256(source.read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:16]

    def activation_source(self) -> Path | None:
        """The file of an activation of your own: part of the run's identity, since its name does not say what it does."""
        if self.activation in ACTIVATIONS:
            return None
        try:
            spec = importlib.util.find_spec(self.activation.partition(":")[0])
        except (ImportError, ValueError):
            return None
        return Path(spec.origin) if spec and spec.origin and spec.has_location else None

    def to_strings(self) -> dict[str, str]:
        """Field name to canonical text, as MLflow params hold it; `from_strings` is its inverse."""
        return {f.name: _format(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> RunConfig:
        """Read a config from text: command line, MLflow params or JSON.

        Aliases, `2e-4` for `0.0002` and the quotes that `mlflow run` puts around some values are understood; a
        missing field takes its default.

        Raises:
            ConfigError: if a name is not a field, a text is not of the field's type, or a value breaks its rule.
        """
        types = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        unknown = sorted(set(strings) - set(types))
        if unknown:
            raise ConfigError(f"parameters must be among {', '.join(types)}, got {', '.join(unknown)}. Check the spelling.")
        return cls(**{name: parse(name, types[name], text) for name, text in strings.items()})

    def display_name(self) -> str:
        """What a person would call the run: the activation, what differs from the default, the seed."""
        default = RunConfig(activation=self.activation, seed=self.seed).resolved()
        mine = self.resolved()
        auto = dataclasses.replace(self, n_train=None, checkpoint_epochs=None, epochs=mine.epochs).resolved()
        said = {"weight_decay": "η", "n_train": "n", "modulus": "M", "width": "K", "learning_rate": "lr"}
        parts = [self.activation]
        for field in dataclasses.fields(self):
            value = getattr(mine, field.name)
            if value == getattr(default, field.name) or field.name in EXECUTION_FIELDS:
                continue
            if field.name == "labels":
                parts.append("random labels")
            elif field.name in ("optimizer", "precision"):
                parts.append(value)
            elif field.name in ("n_train", "checkpoint_epochs") and value == getattr(auto, field.name):
                continue  # what auto gives at this modulus and length
            else:
                parts.append(f"{said.get(field.name, field.name)}={_format(value)}")
        return ", ".join([*parts, f"seed {self.seed}"])


def default_epochs(activation: str) -> int:
    """Epochs of an `auto`: 400 for square, 800 otherwise (Xu §2)."""
    return 400 if activation == "square" else 800


def parse(name: str, type_name: str, text: str) -> Any:
    """One field's value from text; `auto` is `None` where the field allows it.

    Raises:
        ConfigError: if the text is not of the field's type.
    """
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == "'":
        text = text[1:-1]
    if "None" in type_name and text == "auto":
        return None
    kind = type_name.removesuffix(" | None")
    items = [] if text in ("", "none") else [part.strip() for part in text.split(",")]
    try:
        match kind:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "tuple[int, ...]":
                return tuple(int(item) for item in items)
            case "tuple[str, ...]":
                return tuple(items)
            case _:
                return text
    except ValueError:
        rule = {"int": "be a whole number", "float": "be a number"}.get(kind, "be whole numbers separated by commas")
        auto = " or auto" if "None" in type_name else ""
        raise ConfigError(f"{name} must {rule}{auto}, got {text!r}. Write for example {_example(name)}.") from None


def _example(name: str) -> str:
    default = getattr(RunConfig().resolved(), name)
    return f"--{name.replace('_', '-')} {_format(default) if default is not None else 2}"


def _format(value: Any) -> str:
    if value is None:
        return "auto"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value) or "none"
    text = repr(float(value)) if isinstance(value, float) else str(value)
    return text if text.isprintable() else repr(text)


def _canonical_method(method: str) -> str:
    """`randomized` and `randomized_010` as `randomized_10`; anything else as it is."""
    number = method.removeprefix("randomized").removeprefix("_")
    if not method.startswith("randomized") or not (number.isdecimal() or method == "randomized"):
        return method
    return f"randomized_{int(number or 10)}"


def _check_types(c: RunConfig) -> None:
    """Refuse a value whose type a rule could not even be asked of."""
    for field in dataclasses.fields(c):
        kind, value = str(field.type), getattr(c, field.name)
        if value is None and "None" in kind:
            continue
        match kind.removesuffix(" | None"):
            case "str":
                ok, rule = isinstance(value, str), "be text"
            case "float":
                ok, rule = isinstance(value, (int, float)) and not isinstance(value, bool), "be a number"
            case "int":
                ok, rule = isinstance(value, int) and not isinstance(value, bool), "be a whole number"
            case "tuple[int, ...]":
                ok = isinstance(value, tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
                rule = "be a tuple of whole numbers"
            case _:
                ok, rule = isinstance(value, tuple) and all(isinstance(v, str) for v in value), "be a tuple of texts"
        if not ok:
            raise ConfigError(f"{field.name} must {rule}, got {_format(value)}. Write for example {_example(field.name)}.")


def _validate(c: RunConfig) -> None:
    """Check every field of `c`; each failure is one line with the rule, the value and what to do."""

    def check(ok: bool, name: str, rule: str, hint: str) -> None:
        if not ok:
            raise ConfigError(f"{name} must {rule}, got {_format(getattr(c, name))}. {hint}.")

    def whole(name: str, low: int, hint: str, high: float = math.inf) -> None:
        value = getattr(c, name)
        rule = f"be a whole number in [{low}, {high}]" if high < math.inf else f"be a whole number ≥ {low}"
        check(isinstance(value, int) and not isinstance(value, bool) and low <= value <= high, name, rule, hint)

    def number(name: str, ok: bool, rule: str, hint: str) -> None:
        check(isinstance(getattr(c, name), (int, float)) and math.isfinite(getattr(c, name)) and ok, name, rule, hint)

    for name, choices in (
        ("optimizer", OPTIMIZERS),
        ("labels", LABELS),
        ("pair_ranking", PAIR_RANKINGS),
        ("delta_w", DELTA_W),
        ("precision", PRECISIONS),
    ):
        check(getattr(c, name) in choices, name, f"be one of {', '.join(choices)}", "Pick one of these")
    check(
        c.activation in ACTIVATIONS or bool(CUSTOM_ACTIVATION.fullmatch(c.activation)),
        "activation",
        f"be one of {', '.join((*ACTIVATIONS, *ALIASES))} or module:function",
        "Pick one of these or give your own",
    )
    number("weight_decay", c.weight_decay >= 0, "be a finite number ≥ 0", "0 turns it off")
    number("learning_rate", c.learning_rate > 0, "be a finite number > 0", "The papers use 0.001")
    number("slope_threshold", True, "be a finite number", "The paper uses 0.04")
    whole("modulus", 3, "Any modulus ≥ 3 is a group under addition, prime or not; the papers use 71")
    whole("width", 2, "The papers use 2048")
    pairs = c.modulus**2
    if c.n_train is not None:
        whole("n_train", 2, f"Modulus {c.modulus} has {pairs} pairs, and at least one is kept for the test", pairs - 1)
    if c.epochs is not None:
        whole("epochs", 1, "The papers use 400 for square and 800 for relu")
    whole("seed", 0, "The papers use 0 to 14", 2**63 - 1)
    whole("max_window", 3, "64 lags serve windows up to 64", 4096)
    whole("window", 3, f"max_window is {c.max_window}: lower window or raise max_window", c.max_window)
    whole("slope_lag", 1, "The paper uses 25")
    whole("first_epoch", 0, "The paper uses 100")
    most = c.width * (c.width - 1) // 2
    whole("top_pairs", 1, f"Width {c.width} has {most} feature pairs", most)
    for name in ("observe_every", "repulsion_every", "save_every"):
        whole(name, 0, "0 turns it off")
    if c.threads is not None:
        whole("threads", 1, "auto leaves torch's own choice", 1024)
    check(bool(DEVICE.fullmatch(c.device)), "device", "be auto, cpu, cuda or cuda:N", "auto takes cuda where there is one")
    check(
        all(SPECTRUM_METHOD.fullmatch(m) for m in c.spectrum_methods),
        "spectrum_methods",
        "be a comma list of gram, gram32, svd, randomized, randomized_N",
        "gram is always recorded",
    )
    last = c.epochs if c.epochs is not None else default_epochs(c.activation)
    check(
        c.pair_ranking != "epoch_150" or last >= RANKING_EPOCH,
        "pair_ranking",
        f"be current in a run of fewer than {RANKING_EPOCH} epochs",
        "Raise epochs or rank at each measurement",
    )
    if c.checkpoint_epochs is not None:
        check(
            all(isinstance(e, int) and 0 <= e <= last for e in c.checkpoint_epochs),
            "checkpoint_epochs",
            f"be whole numbers in [0, {last}] (this run's epochs)",
            "Drop the others or raise epochs",
        )
