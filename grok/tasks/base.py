"""What a task is: its samples, and all that is said of it elsewhere. A file of this room ends in `TASK`.

Shapes: n training samples, m test samples, P places of an input, each one of V symbols; C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from grok.spec.config import ResolvedConfig
from grok.spec.plugins import About

IGNORED = -100
"""A label that does not count, where a sample has a label at each of several places."""


class Problem(NamedTuple):
    """A classification task split in two; an input is a row of symbols.

    Attributes:
        train_inputs: (n, P) int64, values in [0, V).
        train_labels: (n,) int64, values in [0, C); or (n, O), a label at each of O places, `IGNORED` where there is none.
        test_inputs: (m, P) int64.
        test_labels: (m,) int64.
        symbols: V. classes: C.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    symbols: int
    classes: int

    @property
    def train_pairs(self) -> Tensor:
        """`train_inputs` by the name that fits two places: (n, 2) int64."""
        return self.train_inputs

    @property
    def test_pairs(self) -> Tensor:
        """`test_inputs` by the name that fits two places: (m, 2) int64."""
        return self.test_inputs

    @property
    def modulus(self) -> int:
        """M of modular arithmetic, the number of classes."""
        return self.classes


class Sizes(NamedTuple):
    """The sizes of a problem, known before it is drawn.

    Attributes:
        train: n. test: m. places: P. symbols: V. classes: C.
        outputs: O, labels of a sample; 0 where it has one that is no row.
    """

    train: int
    test: int
    places: int
    symbols: int
    classes: int
    outputs: int = 0


class Dataset(NamedTuple):
    """How MLflow lists a task's samples.

    Attributes:
        name: of the data. source: the call that gives them.
    """

    name: str
    source: str


@dataclass(frozen=True)
class Target:
    """A level of a score whose first epoch is a summary metric of the run.

    Attributes:
        metric: of every epoch, such as `accuracy/test`. level: reached where the metric is ≥ it.
    """

    metric: str
    level: float


def grokking_targets() -> Mapping[str, Target]:
    """When test accuracy reaches one half and 0.99, and training accuracy 0.99."""
    return {
        "test_50_epoch": Target("accuracy/test", 0.5),
        "test_99_epoch": Target("accuracy/test", 0.99),
        "train_99_epoch": Target("accuracy/train", 0.99),
    }


@dataclass(frozen=True, kw_only=True)
class Task(About, ABC):
    """A task. Each method takes a resolved config.

    Attributes:
        targets: summary metric to the level whose first epoch it is.
        seeded: whether another seed gives other samples; a published data set is the same for each.
        disjoint: whether no test sample is a training sample.
    """

    targets: Mapping[str, Target] = field(default_factory=grokking_targets)
    seeded: bool = True
    disjoint: bool = True

    def check(self, config: ResolvedConfig) -> None:
        """Refuse, before a run is made, what the config names for the task and is not there.

        Raises:
            ConfigError: if so.
        """

    @abstractmethod
    def problem(self, config: ResolvedConfig) -> Problem:
        """The samples of a config with its seed, on the CPU; torch's global generator is left as it was."""

    @abstractmethod
    def sizes(self, config: ResolvedConfig) -> Sizes:
        """The sizes that `problem` will have; nothing is drawn."""

    @abstractmethod
    def sentence(self, config: ResolvedConfig) -> str:
        """The task in a description, such as `addition mod 71: 2016 of 5041 pairs train`."""

    @abstractmethod
    def dataset(self, config: ResolvedConfig) -> Dataset:
        """Name and source for MLflow's list of datasets."""
