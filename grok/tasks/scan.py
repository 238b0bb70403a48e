"""SCAN, simple split: commands to actions. The grammar makes all 20 910 pairs, so that nothing has to be downloaded.

Shapes: n pairs; an input has 11 places of the command and 49 of the actions as the decoder reads them; 49 labels.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from grok.spec.config import ResolvedConfig
from grok.spec.fields import refuse, shown
from grok.spec.limited import plain_file
from grok.spec.published import SCAN_PAIRS
from grok.tasks.base import IGNORED, Dataset, Problem, Sizes, Target, Task

PAD, SOS, EOS = 0, 1, 2
SOURCE, TARGET = 11, 49
"""Places of a command, nine words with a begin and an end, and of the 48 actions with one of them."""
ACTIONS = {"walk": "I_WALK", "look": "I_LOOK", "run": "I_RUN", "jump": "I_JUMP"}
TURNS = {"left": "I_TURN_LEFT", "right": "I_TURN_RIGHT"}
WORDS = tuple(sorted((*ACTIONS, *TURNS, "turn", "opposite", "around", "twice", "thrice", "and", "after")))
MOVES = tuple(sorted((*ACTIONS.values(), *TURNS.values())))
SYMBOLS, CLASSES = 3 + len(WORDS), 3 + len(MOVES)
DATA_SEED = 0
TRAIN_PAIRS = 16728
"""Of the published split, and of the seeded one."""
FILES = {
    "tasks_train_simple.txt": (3267938, "941bb8a0", "73262dd"),
    "tasks_test_simple.txt": (812450, "1fe1c8f5", "610fc6"),
}
"""Bytes, and how the SHA-256 of each published file begins and ends."""

Pair = tuple[str, str]
"""A command and its actions, each words with spaces between."""


def _verbs() -> list[Pair]:
    """34 phrases: a verb, with a direction, or with opposite or around and a direction; turn needs a direction."""
    out: list[Pair] = list(ACTIONS.items())
    for verb, (way, turn) in itertools.product((*ACTIONS, "turn"), TURNS.items()):
        move = [ACTIONS[verb]] if verb in ACTIONS else []
        out.append((f"{verb} {way}", " ".join([turn, *move])))
        out.append((f"{verb} opposite {way}", " ".join([turn, turn, *move])))
        out.append((f"{verb} around {way}", " ".join([turn, *move] * 4)))
    return out


@functools.cache
def grammar() -> tuple[Pair, ...]:
    """All pairs, 102 + 2 · 102² = 20 910, each command once.

    Source: Lake & Baroni (arXiv 1711.00350), their appendix: C → S and S | S after S | S; S → V twice | V thrice | V.
    """
    single = _verbs()
    for word, times in (("twice", 2), ("thrice", 3)):
        single += [(f"{command} {word}", " ".join([actions] * times)) for command, actions in _verbs()]
    both = itertools.product(single, repeat=2)
    joined = [((f"{a} and {b}", f"{x} {y}"), (f"{a} after {b}", f"{y} {x}")) for (a, x), (b, y) in both]
    return (*single, *(pair for two in joined for pair in two))


def read(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """Training and test pairs of the published files.

    Raises:
        ConfigError: if a file is missing or is not the published one.
    """
    return _read(folder, "tasks_train_simple.txt"), _read(folder, "tasks_test_simple.txt")


def _read(folder: Path, name: str) -> list[Pair]:
    size, head, tail = FILES[name]
    try:
        plain_file(folder / name)
        with (folder / name).open("rb") as file:
            content = file.read(size + 1)  # one more tells a longer file, however long it is
    except (OSError, ValueError) as error:
        reason = f"{getattr(error, 'strerror', None) or error}: {shown(folder / name, 60)}"
        refuse("data_folder", f"have {' and '.join(FILES)}", reason, "Take them from SCAN's simple split or use none")
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != size or not (digest.startswith(head) and digest.endswith(tail)):
        rule = f"have the published {name} ({size} bytes, SHA-256 {head}…{tail})"
        length = (folder / name).stat().st_size
        refuse("data_folder", rule, f"{length} bytes, {digest[:8]}…{digest[-7:]}", "Fetch the file anew")
    rows = content.decode("ascii").splitlines()
    pairs = [tuple(part.strip() for part in row.removeprefix("IN:").split(" OUT:")) for row in rows]
    return [(command, actions) for command, actions in pairs]


def encode(pairs: list[Pair]) -> tuple[Tensor, Tensor]:
    """Inputs (n, 60) int64, the command with begin and end, the actions after a begin; labels (n, 49), −100 after the end."""
    word = {name: number for number, name in enumerate(WORDS, start=3)}
    move = {name: number for number, name in enumerate(MOVES, start=3)}
    inputs = torch.full((len(pairs), SOURCE + TARGET), PAD, dtype=torch.int64)
    labels = torch.full((len(pairs), TARGET), IGNORED, dtype=torch.int64)
    for row, (command, actions) in enumerate(pairs):
        source = [SOS, *(word[name] for name in command.split()), EOS]
        target = [move[name] for name in actions.split()]
        inputs[row, : len(source)] = torch.tensor(source)
        inputs[row, SOURCE : SOURCE + len(target) + 1] = torch.tensor([SOS, *target])
        labels[row, : len(target) + 1] = torch.tensor([*target, EOS])
    return inputs, labels


def scan(n_train: int = 2048, folder: str = "none") -> Problem:
    """N training pairs and the 4182 test pairs of the simple split, in a drawn order.

    Args:
        n_train: n ≤ 16 728; 2048 in the paper.
        folder: of the published files; `none` for a split of the same sizes by a permutation of seed 0.

    Raises:
        ConfigError: if the published files are asked for and are not there. ValueError: if n_train is out of range.

    Source: Xu (arXiv 2604.07380), its code, for what is taken of the split.
    """
    if not 1 <= n_train <= TRAIN_PAIRS:
        raise ValueError(f"n_train must be in [1, {TRAIN_PAIRS}], got {n_train}. Lower it.")
    if folder == "none":
        every = sorted(grammar())
        order = torch.randperm(len(every), generator=torch.Generator().manual_seed(DATA_SEED)).tolist()
        chosen, held = ([every[i] for i in part] for part in (order[:TRAIN_PAIRS], order[TRAIN_PAIRS:]))
    else:
        first, second = read(Path(folder))
        index = list(range(len(first)))
        random.Random(DATA_SEED).shuffle(index)  # as the paper's code does  # noqa: S311
        test = torch.randperm(len(second), generator=torch.Generator().manual_seed(DATA_SEED)).tolist()
        chosen, held = [first[i] for i in index], [second[i] for i in test]
    return Problem(*encode(chosen[:n_train]), *encode(held), SYMBOLS, CLASSES)


@dataclass(frozen=True, kw_only=True)
class Scan(Task):
    """`scan` of the config's `n_train` and `data_folder`."""

    def check(self, config: ResolvedConfig) -> None:
        """Refuse a folder without the published files."""
        if config.data_folder != "none":
            read(Path(config.data_folder))
        if config.n_train > TRAIN_PAIRS:
            refuse("n_train", f"be at most {TRAIN_PAIRS}, the training pairs of the split", config.n_train, "Lower it")

    def problem(self, config: ResolvedConfig) -> Problem:
        """The pairs of the split."""
        return scan(config.n_train, config.data_folder)

    def sizes(self, config: ResolvedConfig) -> Sizes:
        """60 places and 49 labels."""
        held, places = SCAN_PAIRS - TRAIN_PAIRS, SOURCE + TARGET
        return Sizes(train=config.n_train, test=held, places=places, symbols=SYMBOLS, classes=CLASSES, outputs=TARGET)

    def sentence(self, config: ResolvedConfig) -> str:
        """`SCAN, simple split (seeded): 2048 of 20910 pairs train`."""
        split = "seeded" if config.data_folder == "none" else "published"
        return f"SCAN, simple split ({split}): {config.n_train} of {SCAN_PAIRS} pairs train"

    def dataset(self, config: ResolvedConfig) -> Dataset:
        """The source is the call of `grok.tasks.scan.scan`."""
        return Dataset("SCAN, simple split", f"grok.tasks.scan.scan({config.n_train}, {config.data_folder!r})")


TASK = Scan(
    title="Commands of a small grammar to actions",
    source="Lake & Baroni (arXiv 1711.00350); Xu (arXiv 2604.07380) for what is taken of it",
    cost="none: 20 910 pairs from a grammar",
    seeded=False,
    targets={
        "train_99_epoch": Target("accuracy/train", 0.99),
        "test_95_epoch": Target("accuracy/test", 0.95),
        "test_98_epoch": Target("accuracy/test", 0.98),
        "test_99_epoch": Target("accuracy/test", 0.99),
    },
)
