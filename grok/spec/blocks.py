"""The blocks that a run is made of: task, network, optimisation, recording, detector, execution.

A block is a frozen dataclass of fields with their rules; `RunConfig` inherits from all of them, so that names, flags and
params stay flat. Rules may ask for any field or property of the whole config.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from grok.spec import plugins, roundings
from grok.spec.fields import Rule, did_you_mean, field, finite, matching, one_of, whole

ACTIVATIONS = ("square", "relu", "abs", "cube", "relu2", "gelu", "silu", "tanh", "sigmoid")
ALIASES = {"x2": "square"}
OPTIMIZERS = ("adam", "adamw", "sgd", "muon")
LABELS = ("true", "random", "prefix")
PAIR_RANKINGS = ("current", "epoch_150")
RANKING_EPOCH = 150
"""At which `pair_ranking` epoch_150 ranks."""
DELTA_W = ("gram", "windows", "full")
SPECTRUM_METHOD = re.compile(r"gram|gram32|svd|randomized(_\d{1,3})?")
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
PRECISIONS = ("float32", "float64")
OFF = "0 turns it off"


def plugin(room: plugins.Room, default: Any, text: str, source: str, *rules: Rule, words: tuple[str, ...] = ()) -> Any:
    """A field that names a plug-in of a room, or several; one's own as module:NAME; `words` are no names but are taken too."""
    several = isinstance(default, tuple)
    name = room.kind + "s" * several

    def unknown(value: str | tuple[str, ...]) -> list[str]:
        named = (value,) if isinstance(value, str) else value
        return [one for one in named if one != default and one not in (*room.names, *words) and not plugins.OWN.fullmatch(one)]

    rule = Rule(
        lambda value, _: not unknown(value),
        lambda _: f"{'each ' * several}be {room.words}",
        lambda config: did_you_mean(unknown(getattr(config, name))[0], room.names),
    )
    return field(default, text, source, rule, *rules, choices=(*room.names, *words), later=True)


@dataclass(frozen=True, kw_only=True)
class TaskBlock:
    """Task: what is learnt, from how many examples."""

    task: str = plugin(plugins.TASKS, "modular", "what is learnt, or your own as module:NAME", "Xu §2")
    modulus: int = field(
        71,
        "M of the task (a + b) mod M",
        "Xu §2",
        whole(3, "Any modulus ≥ 3 is a group under addition, prime or not; the papers use 71"),
    )
    n_train: int | None = field(
        None,
        "training samples; auto = 40 % of the modulus², 2016 at 71 (30 % with transformer), 50 for dyck, 2048 for scan",
        "Xu §2",
        whole(2, lambda c: f"{c.samples_told}, and at least one is kept for the test", lambda c: c.samples - 1),
        example="2016",
    )
    labels: str = field(
        "true",
        "as the task has them, drawn at random once per seed, or for dyck at random but the same for equal prefixes",
        "Xu §2; random, prefix: ours",
        choices=LABELS,
    )


@dataclass(frozen=True, kw_only=True)
class NetworkBlock:
    """Network: what learns."""

    network: str | None = plugin(
        plugins.NETWORKS,
        None,
        "what learns, or your own as module:NAME; auto = transformer for dyck, seq2seq for scan, else two_layer",
        "Xu §2",
    )
    activation: str = field(
        "square",
        "activation of the hidden layer, x2 = square, or your own as module:function",
        "Xu §2",
        Rule(
            lambda value, _: value in ACTIVATIONS or bool(plugins.OWN.fullmatch(value)),
            f"be one of {', '.join((*ACTIVATIONS, *ALIASES))} or module:function",
            "Pick one of these or give your own",
            ACTIVATIONS,
        ),
        choices=ACTIVATIONS,
    )
    width: int = field(2048, "hidden units K", "Xu §2", whole(2, "The papers use 2048"))


SWITCH = (
    whole(1, "At epoch 0 write weight_decay 0 or leave it on", lambda c: c.last_epoch - 1),
    Rule(lambda _, c: c.decay > 0, "be auto without weight decay", "Raise weight_decay: it is η while decay is on"),
    Rule(lambda _, c: c.decay_off_at != c.decay_on_at, "not be the epoch of the other switch", "Drop one of the two"),
)
"""Rules of an epoch at which weight decay is switched."""


@dataclass(frozen=True, kw_only=True)
class OptimisationBlock:
    """Optimisation: steps, their size, and where they begin."""

    optimizer: str | None = field(
        None,
        "optimiser of torch.optim, its other settings at default, or your own as module:NAME; auto = adamw for transformers, "
        "else adam",
        "Xu §2",
        Rule(
            lambda value, _: value in OPTIMIZERS or bool(plugins.OWN.fullmatch(value)),
            f"be one of {', '.join(OPTIMIZERS)} or module:NAME",
            "Pick one of these or give your own",
            OPTIMIZERS,
        ),
        choices=OPTIMIZERS,
        example="adam",
    )
    learning_rate: float | None = field(
        None,
        "step size of the optimiser; auto = 0.0001 for scan with seq2seq, else 0.001",
        "Xu §2",
        finite("The papers use 0.001", above=0),
        example="0.001",
    )
    weight_decay: float | None = field(
        None,
        "η of the papers; L2 in adam and sgd, decoupled in adamw and muon; auto = 1 for transformers, else 0.0002",
        "Xu §2",
        finite(OFF, low=0),
        example="0.0002",
    )
    decay_off_at: int | None = field(
        None, "epoch from which on weight decay is 0; auto = none", "ours", *SWITCH, example="100", later=True
    )
    decay_on_at: int | None = field(
        None,
        "epoch from which on weight decay is η: 0 before it, unless decay_off_at comes first; auto = none",
        "ours",
        *SWITCH,
        example="100",
        later=True,
    )
    epochs: int | None = field(
        None,
        "optimiser steps; auto = 400 for square, 800 otherwise; 4000 for dyck, 15000 for scan (4000 with seq2seq_mini), "
        "6000 for modular with transformer",
        "Xu §2",
        whole(1, "The papers use 400 for square and 800 for relu"),
        example="400",
    )
    seed: int = field(
        0, "seeds the split and the initial weights", "Xu §2: 0 to 14", whole(0, "The papers use 0 to 14", 2**63 - 1)
    )
    precision: str = field("float32", "of weights and training; the band is float64 either way", "Xu §2", choices=PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class RecordingBlock:
    """Recording: what is measured and kept, and when."""

    max_window: int = field(
        64,
        "lags kept in the band: the largest window that can be asked of the run later",
        "ours",
        whole(3, "64 lags serve windows up to 64", 4096),
    )
    checkpoint_epochs: tuple[int, ...] | None = field(
        None,
        "epochs whose weights are kept and observed in full, comma list; auto = 50,100,175,250,300,400,500,800 "
        "as far as the run goes, and its last epoch",
        "Xu Theorem 6 table; from 400 on ours",
        Rule(
            lambda value, c: all(0 <= epoch <= c.last_epoch for epoch in value),
            lambda c: f"be whole numbers in [0, {c.last_epoch}] (this run's epochs)",
            "Drop the others or raise epochs",
        ),
        example="50,100,175,250,300,400",
    )
    observe_every: int = field(
        10, "epochs between feature and gradient observables; 0 = only at checkpoints", "ours", whole(0, OFF)
    )
    repulsion_every: int = field(0, "epochs between repulsion measurements; 0 = only at checkpoints", "ours", whole(0, OFF))
    top_pairs: int = field(
        200,
        "most similar feature pairs of the repulsion measurement",
        "Xu §4",
        whole(1, lambda c: f"Width {c.width} has {c.feature_pairs} feature pairs", lambda c: c.feature_pairs),
    )
    pair_ranking: str = field(
        "current",
        "rank the pairs at each measurement, or once at epoch 150 and measure from there on",
        "Xu: code; rebuttal",
        one_of(PAIR_RANKINGS),
        Rule(
            lambda value, c: value != "epoch_150" or c.last_epoch >= c.ranking_epoch,
            lambda c: f"be current in a run of fewer than {c.ranking_epoch} epochs",
            "Raise epochs or rank at each measurement",
        ),
        choices=PAIR_RANKINGS,
    )
    delta_w: str = field("gram", "updates kept: their Gram band, raw windows at checkpoints, or all", "ours", choices=DELTA_W)
    spectrum_methods: tuple[str, ...] = field(
        ("gram",),
        "comma list of gram (always), gram32, svd, randomized (or randomized_N: N oversampled columns, 10 unless said)",
        "Xu §2; rebuttal",
        matching(SPECTRUM_METHOD, "be a comma list of gram, gram32, svd, randomized, randomized_N", "gram is always recorded"),
    )
    recorders: tuple[str, ...] = plugin(
        plugins.RECORDERS, (), "comma list of recorders besides those of every run, or your own as module:NAME", "ours"
    )
    signals: tuple[str, ...] = plugin(
        plugins.SIGNALS,
        (),
        "comma list of signals computed while training, or your own as module:NAME; all = all, into the table of signal_every",
        "ours",
        Rule(
            lambda value, c: plugins.EVERY not in value or (value == (plugins.EVERY,) and c.signal_every > 0),
            f"be names, or {plugins.EVERY} alone with signal_every above 0",
            "Set signal_every to 10",
        ),
        words=(plugins.EVERY,),
    )
    options: str = field(
        "none",
        "options of plug-ins, name=value;name=value; a detector's parameter not given is the middle of its range",
        "ours",
        Rule(lambda value, _: value.isprintable(), "be printable text", "Write name=value;name=value"),
        later=True,
    )


@dataclass(frozen=True, kw_only=True)
class DetectorBlock:
    """Detector: how an epoch is read from the spectra."""

    detector: str = plugin(plugins.DETECTORS, "slope", "how the epoch is read, or your own as module:NAME", "Xu eq. 3: slope")
    window: int = field(
        20,
        "updates in the rolling window, at least 3",
        "Xu §2",
        whole(3, lambda c: f"max_window is {c.max_window}: lower window or raise max_window", lambda c: c.max_window),
    )
    slope_lag: int = field(25, "epochs between the two gaps of the slope", "Xu eq. 3", whole(1, "The paper uses 25"))
    slope_threshold: float = field(
        0.04, "slope of log gap, per epoch, above which the detector fires", "Xu eq. 3", finite("The paper uses 0.04")
    )
    first_epoch: int = field(100, "first epoch at which the detector may fire", "Xu eq. 3", whole(0, "The paper uses 100"))


@dataclass(frozen=True, kw_only=True)
class ExecutionBlock:
    """Execution: how a run is carried out, not what it is; left out of its identity, but for a rounding that is named."""

    device: str = field(
        "auto",
        "auto (cuda where there is one), cpu, cuda or cuda:N",
        "ours",
        matching(DEVICE, "be auto, cpu, cuda or cuda:N", "auto takes cuda where there is one"),
    )
    threads: int | None = field(
        None,
        "CPU threads of torch; auto leaves torch's own choice",
        "ours",
        whole(1, "auto leaves torch's own choice", 1024),
        example="2",
    )
    save_every: int | None = field(
        None,
        "epochs between saves of the resumable state and logs of metrics; 0 = never; auto = 500 for transformers, else 100",
        "ours",
        whole(0, OFF),
        example="100",
    )
    keep_states: tuple[int, ...] | None = field(
        None,
        "steps whose whole state is kept, so that runs can branch there; auto = 400,1000,2000 for dyck, as far as it goes",
        "Xu (arXiv 2604.07380): 400 and 1000",
        Rule(
            lambda value, c: all(0 < step < c.last_epoch for step in value),
            lambda c: f"be whole numbers in [1, {c.last_epoch - 1}]",
            "Drop the others or raise epochs",
        ),
        example="50,100",
        later=True,
    )
    log_every: int | None = field(
        None,
        "epochs between the points of a metric in MLflow, for its charts; the files have all; auto = 200 points of a series. "
        "The spectra of layers after the first have a fifth of them, but for log_every = 1",
        "ours",
        whole(1, "1 logs every epoch"),
        example="10",
        later=True,
    )
    signal_every: int = field(
        0,
        "epochs between the states of which the run's signals are put into signals.parquet, in every variant; 0 = no table",
        "ours",
        whole(0, OFF),
        later=True,
    )
    costly_every: int = field(
        4,
        "of these states every so many for signals that cost more than a training step",
        "ours",
        whole(1, "1 takes every state"),
        later=True,
    )
    rounding: str = field(
        roundings.AUTO,
        "order of summation on a CPU, LIBRARY-ROWS-THREADS: whose products, samples a block, threads; with -reversed, blocks "
        "last to first; named, it is a part of the run's identity; auto = what is fastest",
        "ours",
        matching(
            roundings.ROUNDING,
            f"be auto or LIBRARY-ROWS-THREADS of {' or '.join(roundings.LIBRARIES)}, with -reversed or not",
            "Write for example onednn-256-1 or mkl-256-1-reversed",
        ),
        Rule(
            lambda _, c: None in (c.threads, c.pinned_threads) or c.threads == c.pinned_threads,
            lambda c: f"be auto or name the {c.threads} threads that threads asks for",
            "Drop threads: a named rounding pins them",
        ),
        Rule(
            lambda value, c: value == roundings.AUTO or not c.device.startswith("cuda"),
            "be auto on a GPU",
            "Use device cpu, or auto",
        ),
        Rule(
            lambda value, c: not value.startswith("onednn") or c.precision == "float32",
            "be auto or of mkl at precision float64",
            "oneDNN multiplies float32 only",
        ),
        choices=roundings.EXAMPLES,
        later=True,
    )
