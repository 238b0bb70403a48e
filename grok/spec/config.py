"""A run is its config: one frozen, validated dataclass with a hash.

Each field is the MLproject parameter, the command-line flag and the MLflow param of the same name. Nothing here
imports torch or mlflow, so `--help` and bad input answer at once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok.spec.blocks import (
    ACTIVATIONS,
    ALIASES,
    DEVICE,
    OPTIMIZERS,
    RANKING_EPOCH,
    DetectorBlock,
    ExecutionBlock,
    NetworkBlock,
    OptimisationBlock,
    RecordingBlock,
    TaskBlock,
)
from grok.spec.fields import Config, pairs, refuse, to_text
from grok.spec.pairs_block import PairsBlock
from grok.spec.plugins import EVERY, OF_SIGNALS, USUAL_RECORDERS, own_code, own_source
from grok.spec.published import DEFAULT_NETWORK, SHARES, automatic, check_fields, network_of, samples
from grok.spec.roundings import named
from grok.spec.transformer_block import TransformerBlock

__all__ = [
    "ACTIVATIONS",
    "ALIASES",
    "BLOCKS",
    "CHECKPOINTS",
    "DEVICE",
    "EXECUTION_FIELDS",
    "OPTIMIZERS",
    "ORDER",
    "PROTOCOL_VERSION",
    "RANKING_EPOCH",
    "ResolvedConfig",
    "RunConfig",
    "default_epochs",
    "told_fields",
]

PROTOCOL_VERSION = "1"
"""Version of the numbers: it moves when the same config would give different ones."""
CHECKPOINTS = (50, 100, 175, 250, 300, 400, 500, 800)
"""Epochs of the published sign-match table (Xu, Theorem 6 table) up to 300, and three later ones."""
MOST_CHECKPOINTS = 100_000
"""That `auto` stands for where they are the epochs of evaluation; ours: each is a file."""
CHART_POINTS = 200
"""Of a metric in MLflow, about, unless `log_every` says otherwise: what a chart there shows."""
BLOCKS = (
    TaskBlock,
    NetworkBlock,
    OptimisationBlock,
    TransformerBlock,
    PairsBlock,
    RecordingBlock,
    DetectorBlock,
    ExecutionBlock,
)
"""What a run is made of, in the order of its flags."""
EXECUTION_FIELDS = tuple(field.name for field in dataclasses.fields(ExecutionBlock) if field.name != "rounding")
"""Fields that say how a run is executed, not what it is: left out of the hash. A named rounding makes a run of its own."""
ORDER = (
    *("activation", "weight_decay", "labels", "n_train", "modulus", "width", "learning_rate", "optimizer", "epochs", "seed"),
    *("window", "max_window", "slope_lag", "slope_threshold", "first_epoch", "top_pairs", "pair_ranking"),
    *("checkpoint_epochs", "observe_every", "repulsion_every", "delta_w", "spectrum_methods", "precision"),
    *("device", "threads", "save_every", "task", "network", "recorders", "signals", "detector", "options"),
    *("rounding", "decay_off_at", "decay_on_at"),
    *(field.name for field in dataclasses.fields(TransformerBlock)),
    *("keep_states", "log_every", "signal_every", "costly_every"),
    *(field.name for field in dataclasses.fields(PairsBlock)),
)
"""Of params, of columns in tables and of what a name tells: as stored runs have it, what came later at the end."""
SHOWN = {"weight_decay": "η={}", "labels": "{} labels", "n_train": "n={}", "modulus": "M={}", "width": "K={}"}
SHOWN |= {"learning_rate": "lr={}", "optimizer": "{}", "precision": "{}", "rounding": "{}"}
SHOWN |= {"decay_off_at": "decay off at {}", "decay_on_at": "decay on at {}"}
"""How `display_name` tells a value that is not the default; `name=value` for the others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunConfig(
    ExecutionBlock,
    DetectorBlock,
    RecordingBlock,
    PairsBlock,
    TransformerBlock,
    OptimisationBlock,
    NetworkBlock,
    TaskBlock,
    Config,
):
    """Everything that defines one run: task, network, optimisation, detector, and what is recorded.

    `None` reads and prints as `auto`: `resolved()` puts the value in its place. A config is validated when it is made.
    Two configs are equal if all their values are.

    Raises:
        ConfigError: if a value breaks its rule.

    Source: defaults are those of Xu (arXiv 2605.08119) §2 unless a field's metadata says otherwise.
    """

    def _canonical(self) -> dict[str, Any]:
        """Aliases by their names, and lists in order."""
        methods = {_canonical_method(method) for method in self.spectrum_methods}
        checkpoints = self.checkpoint_epochs
        options = pairs("options", self.options)
        return {
            "activation": ALIASES.get(self.activation, self.activation),
            "spectrum_methods": ("gram", *sorted(methods - {"gram"})),
            "checkpoint_epochs": None if checkpoints is None else tuple(sorted(set(checkpoints))),
            "recorders": tuple(sorted(set(self.recorders) - {*USUAL_RECORDERS, *OF_SIGNALS})),  # which are there anyway
            "signals": tuple(sorted(set(self.signals))),
            "options": ";".join(f"{name}={options[name]}" for name in sorted(options)) or "none",
            "keep_states": None if self.keep_states is None else tuple(sorted(set(self.keep_states))),
        }

    def values(self) -> dict[str, Any]:
        """Field name to value, in `ORDER`."""
        return {name: getattr(self, name) for name in ORDER}

    def __eq__(self, other: object) -> bool:
        return self.values() == other.values() if isinstance(other, RunConfig) else NotImplemented

    def __hash__(self) -> int:
        known: int | None = self.__dict__.get("_own_hash")
        if known is None:
            known = hash(tuple(self.values().values()))
            object.__setattr__(self, "_own_hash", known)
        return known

    def __getstate__(self) -> dict[str, Any]:
        """Its fields: what is kept beside them is of one process, whose texts have hashes of their own."""
        return self.values()

    @property
    def last_epoch(self) -> int:
        """The epoch at which the run ends."""
        if self.epochs is not None:
            return self.epochs
        automatic_epochs: int = self._automatic.get("epochs", default_epochs(self.activation))
        return automatic_epochs

    @property
    def _automatic(self) -> dict[str, Any]:
        """What `auto` stands for with this task and network."""
        return automatic(self.task, self.network or network_of(self.task))

    @property
    def decay(self) -> float:
        """η, an `auto` replaced."""
        return float(self._automatic["weight_decay"] if self.weight_decay is None else self.weight_decay)

    @property
    def samples(self) -> int:
        """Of the task in all, training and test."""
        return samples(self.task, self.modulus)

    @property
    def samples_told(self) -> str:
        """The same in words."""
        return f"Modulus {self.modulus} has {self.samples} pairs" if self.task == "modular" else f"There are {self.samples}"

    @property
    def ranking_epoch(self) -> int:
        """The epoch at which pairs are ranked once, if they are."""
        return RANKING_EPOCH

    def evaluated(self, epoch: int) -> bool:
        """Whether the run is evaluated at an epoch; resolved configs only."""
        return epoch % (self.evaluate_every or 1) == 0 or epoch == self.last_epoch

    @property
    def evaluations(self) -> int:
        """Of how many epochs that holds; resolved configs only.

        Example:
            >>> config = RunConfig(evaluate_every=4, checkpoint_epochs=()).resolved()
            >>> [dataclasses.replace(config, epochs=epochs).evaluations for epochs in (3, 4, 5, 10**12)]
            [2, 2, 3, 250000000001]
        """
        return _evaluations(self.last_epoch, self.evaluate_every or 1)

    def decay_at(self, step: int) -> float:
        """The weight decay of the step that leads from an epoch to the next; resolved configs only.

        η, or `switch_weight_decay` from the switch on; 0 where `decay_on_at` and `decay_off_at` leave it off.

        Example:
            >>> config = RunConfig(weight_decay=0.5, decay_off_at=10, decay_on_at=20).resolved()
            >>> [config.decay_at(step) for step in (9, 10, 20)]
            [0.5, 0.0, 0.5]
        """
        after = self.switch_weight_decay
        now = after if after is not None and 0 < self.switch_at <= step else self.decay
        switches = {self.decay_on_at: True, self.decay_off_at: False}
        epochs = sorted(at for at in switches if at is not None)
        passed = [at for at in epochs if at <= step]
        on = switches[passed[-1]] if passed else not epochs or not switches[epochs[0]]
        return now if on else 0.0

    @property
    def feature_pairs(self) -> int:
        """Pairs of hidden units."""
        return self.width * (self.width - 1) // 2

    @property
    def pinned_threads(self) -> int | None:
        """CPU threads that `rounding` pins; None where it is `auto`."""
        pinned = named(self.rounding)
        return None if pinned is None else pinned.threads

    @property
    def option_values(self) -> dict[str, str]:
        """The plug-ins' own options, by name."""
        return pairs("options", self.options)

    def resolved(self) -> ResolvedConfig:
        """The same run with every `auto` of its definition replaced by its value."""
        return ResolvedConfig(**self.values())

    @property
    def hash(self) -> str:
        """(16 hex digits) SHA-256 of what defines the run: its identity.

        That is the resolved config without its execution fields, without those later fields that are as in the default
        config and without signals that are `all`, which change nothing but a table, and the bytes of every plug-in of one's
        own. Kept where there is none of these: their files may change.
        """
        known: str | None = self.__dict__.get("_identity")
        if known is not None:
            return known
        identity = self.hash_by(self.own_digests())
        if not own_code(self):
            object.__setattr__(self, "_identity", identity)
        return identity

    def hash_by(self, digests: Mapping[str, str]) -> str:
        """(16 hex digits) The identity where the plug-ins of one's own had these bytes, whatever their files have now.

        Args:
            digests: as `own_digests` gives them.
        """
        text, default = self.resolved().to_strings(), default_config()
        for field in dataclasses.fields(self):
            later = field.metadata["later"] and text[field.name] == to_text(getattr(default, field.name))
            if field.name in EXECUTION_FIELDS or later or (field.name == "signals" and self.signals == (EVERY,)):
                del text[field.name]
        text |= {f"{name}_source": digest for name, digest in digests.items()}
        return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:16]

    def own_digests(self) -> dict[str, str]:
        """SHA-256 of each file of `own_sources`, 64 hex digits; nothing is imported.

        Raises:
            OSError: if one cannot be read.
        """
        return {name: hashlib.sha256(source.read_bytes()).hexdigest() for name, source in self.own_sources().items()}

    def own_sources(self) -> dict[str, Path]:
        """The files of plug-ins of one's own: part of the run's identity, since a name does not say what it does.

        Returns:
            Path by field; by field and name where a field names several.
        """
        network = self.network or network_of(self.task)
        named = {"activation": self.activation, "task": self.task, "network": network, "detector": self.detector}
        named["optimizer"] = self.optimizer or ""  # auto is one of torch
        named |= {f"recorders {name}": name for name in self.recorders} | {f"signals {name}": name for name in self.signals}
        return {place: path for place, name in named.items() if (path := own_source(name)) is not None}

    def display_name(self) -> str:
        """What a person would call the run: the activation, what differs from the default, the seed."""
        own = self.resolved()
        if own.network != DEFAULT_NETWORK and (own.task, own.network) != (own.task, network_of(own.task)):
            first, known = f"{own.task}, {own.network}", RunConfig(task=own.task, network=own.network, seed=own.seed)
        elif own.network != DEFAULT_NETWORK and own.network == network_of(own.task):
            first, known = own.task, RunConfig(task=own.task, seed=own.seed)
        else:
            first, known = own.activation, RunConfig(activation=own.activation, seed=own.seed)
        mine, default = own.values(), known.resolved().values()
        names = ["n_train"]
        if own.evaluate_every == 1 or own.evaluations <= MOST_CHECKPOINTS:  # else there is no auto
            names.append("checkpoint_epochs")
        free = ResolvedConfig(**mine | dict.fromkeys(names)).values()  # at this modulus, length
        auto = {name: free[name] for name in names}
        differ = [name for name in ORDER if mine[name] not in (default[name], auto.get(name, default[name]))]
        said = [SHOWN.get(name, name + "={}").format(to_text(mine[name])) for name in differ if name not in EXECUTION_FIELDS]
        return ", ".join([first, *said, f"seed {self.seed}"])


@dataclass(frozen=True, kw_only=True, eq=False)
class ResolvedConfig(RunConfig):
    """A config without `auto` in its definition: what is trained, tracked and compared. An `auto` given is replaced."""

    if TYPE_CHECKING:
        n_train: int
        network: str
        optimizer: str
        learning_rate: float
        weight_decay: float
        epochs: int
        batch_size: int
        clip: float
        beta_2: float
        evaluate_every: int
        eval_sequences: int
        keep_states: tuple[int, ...]
        checkpoint_epochs: tuple[int, ...]
        save_every: int
        log_every: int

    def _canonical(self) -> dict[str, Any]:
        """Aliases by their names, lists in order, and a value for every `auto`."""
        put = self.values() | super()._canonical()
        if put["network"] is None:
            put["network"] = network_of(self.task)
        put |= {name: value for name, value in self._automatic.items() if put[name] is None}
        if put["epochs"] is None:
            put["epochs"] = default_epochs(put["activation"])
        if put["log_every"] is None:
            put["log_every"] = _log_every(put["epochs"])
        if self.values()["keep_states"] is None:
            put["keep_states"] = tuple(step for step in put["keep_states"] if step < put["epochs"])
        if put["n_train"] is None:
            share = SHARES.get((self.task, put["network"]))
            every = samples(self.task, self.modulus) if self.task == "multiplication" else self.modulus**2
            put["n_train"] = (2 * every) // 5 if share is None else int(share * every)
        if put["checkpoint_epochs"] is None and put["evaluate_every"] > 1:
            if (count := _evaluations(put["epochs"], put["evaluate_every"])) > MOST_CHECKPOINTS:
                rule = f"be given where a run of {put['epochs']} steps is evaluated more than {MOST_CHECKPOINTS} times"
                refuse("checkpoint_epochs", rule, f"auto, which are {count}", "Name them, or raise evaluate_every")
            put["checkpoint_epochs"] = tuple(sorted({*range(0, put["epochs"], put["evaluate_every"]), put["epochs"]}))
        if put["checkpoint_epochs"] is None:
            ranked = (self.ranking_epoch,) if self.pair_ranking == "epoch_150" else ()
            last = put["epochs"]
            put["checkpoint_epochs"] = tuple(sorted({e for e in (*CHECKPOINTS, *ranked) if e <= last} | {last}))
        check_fields(put, _DEFAULTS)
        return put

    def resolved(self) -> ResolvedConfig:
        """The config itself."""
        return self


def told_fields(configs: Iterable[RunConfig]) -> list[str]:
    """The fields that a table of some configs shows: all, less the later ones that each has at its default."""
    runs = [config.resolved() for config in configs]
    default = default_config()
    later = {field.name: getattr(default, field.name) for field in dataclasses.fields(RunConfig) if field.metadata["later"]}
    charts = all(run.log_every == _log_every(run.epochs) for run in runs)
    shown = [name for name in ORDER if name not in later or any(getattr(run, name) != later[name] for run in runs)]
    return [name for name in shown if name != "log_every" or not charts]


@functools.cache
def default_config() -> ResolvedConfig:
    """The config of which nothing is given: its later fields are left out of an identity where another's equal them."""
    return RunConfig().resolved()


def default_epochs(activation: str) -> int:
    """Epochs of an `auto`: 400 for square, 800 otherwise (Xu §2)."""
    return 400 if activation == "square" else 800


def _evaluations(epochs: int, every: int) -> int:
    """Of how many epochs a run is evaluated: the first, each `every`-th, the last."""
    return -(-epochs // every) + 1


def _log_every(epochs: int) -> int:
    """Epochs between points of an `auto`."""
    return max(1, round(epochs / CHART_POINTS))


def _canonical_method(method: str) -> str:
    """`randomized` and `randomized_010` as `randomized_10`; anything else as it is."""
    number = method.removeprefix("randomized").removeprefix("_")
    if not method.startswith("randomized") or not (number.isdecimal() or method == "randomized") or len(number) > 3:
        return method
    return f"randomized_{int(number or 10)}"


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(RunConfig)} | automatic("modular", DEFAULT_NETWORK)
"""Of each field, an `auto` replaced where the default config has a value for it."""
