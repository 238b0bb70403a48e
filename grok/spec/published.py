"""What `auto` means for a task and a network: the published values; and which fields do not apply to them."""

from __future__ import annotations

from typing import Any, NamedTuple

from grok.spec.fields import refuse, shown
from grok.spec.plugins import OWN

DEFAULT_TASK, DEFAULT_NETWORK = "modular", "two_layer"
NETWORKS = {"dyck": "transformer", "scan": "seq2seq"}
"""The network of a task, where it is not the two-layer one."""
TRANSFORMERS = ("transformer", "seq2seq", "seq2seq_mini")
PAIRS = ("shared_mlp", "one_layer_transformer")
"""Networks of pairs that share an embedding, under a cross-entropy."""
DYCK_SEQUENCES, SCAN_PAIRS = 5050, 20910

PLAIN: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 2e-4,
    "batch_size": 0,
    "clip": 0.0,
    "beta_2": 0.999,
    "evaluate_every": 1,
    "eval_sequences": 0,
    "keep_states": (),
    "save_every": 100,
}
"""Of the two-layer network on whatever task (Xu, arXiv 2605.08119, §2), and of networks of one's own."""
ADAMW = PLAIN | {"optimizer": "adamw", "weight_decay": 1.0, "clip": 1.0, "beta_2": 0.98, "save_every": 500}
"""Of transformers (Xu, arXiv 2604.07380)."""
PAIRS_ADAMW = PLAIN | {"optimizer": "adamw", "weight_decay": 1.0, "epochs": 3000, "save_every": 500}
"""Of networks of pairs, a full batch (Truong et al., arXiv 2606.13753); the number of epochs is ours."""
SCAN = ADAMW | {
    "learning_rate": 1e-4,
    "batch_size": 256,
    "evaluate_every": 500,
    "eval_sequences": 500,
    "epochs": 15000,
    "n_train": 2048,
}
TABLE: dict[tuple[str, str], dict[str, Any]] = {
    ("dyck", "transformer"): ADAMW
    | {
        "batch_size": 50,
        "evaluate_every": 100,
        "eval_sequences": 1000,
        "epochs": 4000,
        "n_train": 50,
        "keep_states": (400, 1000, 2000),
    },
    ("scan", "seq2seq"): SCAN,
    ("scan", "seq2seq_mini"): SCAN | {"learning_rate": 1e-3, "evaluate_every": 100, "epochs": 4000},
    ("modular", "transformer"): ADAMW | {"batch_size": 512, "evaluate_every": 100, "epochs": 6000},
    **{(task, network): PAIRS_ADAMW for task in ("modular", "multiplication") for network in PAIRS},
}
SHARES = {("modular", "transformer"): 0.3}
"""Of the pairs that train; 0.4 for the others."""


class Foreign(NamedTuple):
    """Fields that do not apply, by what they do not apply to."""

    task: dict[str, tuple[str, ...]]
    network: dict[str, tuple[str, ...]]


TWO_LAYER_ONLY = ("activation", "width", "top_pairs", "pair_ranking", "repulsion_every", "spectrum_methods", "delta_w")
PAIRS_ONLY = ("temperature", "clamp_norm", "clamp_at")
FOREIGN = Foreign(
    {
        "modular": ("eval_sequences", "data_folder"),
        "multiplication": ("eval_sequences", "data_folder"),
        "dyck": ("modulus", "data_folder"),
        "scan": ("modulus",),
    },
    {
        "two_layer": ("initial_scale", "switch_update", *PAIRS_ONLY),
        **dict.fromkeys(TRANSFORMERS, (*TWO_LAYER_ONLY, *PAIRS_ONLY)),
        **dict.fromkeys(PAIRS, (*TWO_LAYER_ONLY, "initial_scale", "switch_update")),
    },
)
LABELS = {
    "modular": ("true", "random"),
    "multiplication": ("true", "random"),
    "dyck": ("true", "random", "prefix"),
    "scan": ("true",),
}
"""That a task has; dyck has all that there are."""
TASKS_OF = {
    "transformer": ("modular", "dyck"),
    "seq2seq": ("scan",),
    "seq2seq_mini": ("scan",),
    "two_layer": ("modular", "multiplication"),
    **dict.fromkeys(PAIRS, ("modular", "multiplication")),
}
"""Tasks of the project that a network of the project can learn."""


def network_of(task: str) -> str:
    """The network of an `auto`."""
    return NETWORKS.get(task, DEFAULT_NETWORK)


def automatic(task: str, network: str) -> dict[str, Any]:
    """Field to the value that `auto` stands for, of the fields that have one whatever the others are."""
    return TABLE.get((task, network), PLAIN)


def samples(task: str, modulus: int) -> int:
    """How many there are in all of a task of the project: M² pairs, (M − 1)² without 0, sequences of dyck, commands of scan."""
    return {"dyck": DYCK_SEQUENCES, "scan": SCAN_PAIRS, "multiplication": (modulus - 1) ** 2}.get(task, modulus**2)


def check_fields(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuse fields of another task or network that were given, and a network that cannot learn the task.

    Args:
        values: of a config, resolved. defaults: of each field, resolved for the default task.

    Raises:
        ConfigError: if one was.
    """
    task, network = values["task"], values["network"]
    tasks = TASKS_OF.get(network, (task,))
    if task not in FOREIGN.task and not OWN.fullmatch(task):
        return  # there is no such task, which its own rule says
    if task not in tasks and not OWN.fullmatch(task):
        fitting = [name for name, learnt in TASKS_OF.items() if task in learnt]
        refuse("network", f"be able to learn {task} ({', '.join(fitting)})", network, "Pick one of these")
    for kind, name, table in (("task", task, FOREIGN.task), ("network", network, FOREIGN.network)):
        auto = automatic(task, network)
        for field in table.get(name, ()):
            if values[field] not in (defaults[field], auto.get(field, defaults[field])):
                refuse(field, f"be left out with {kind} {name}", shown(" ".join(str(values[field]).split())), "Drop it")
    if values["labels"] in LABELS["dyck"] and values["labels"] not in LABELS.get(task, (values["labels"],)):
        refuse("labels", f"be one of {', '.join(LABELS[task])} with task {task}", values["labels"], "Pick one of these")


PAIR_WEIGHTS = {"shared_mlp": (2 * 128 * 256, 256), "one_layer_transformer": (10 * 128 * 128 + 2 * 128 * 512, 128)}
"""Weights that a pair passes through besides the last layer's, and what that one reads, d = 128."""


def pairs_flops(network: str, modulus: int, drawn: int, evaluated: float, epochs: int) -> float:
    """Matrix-product work of a run of a network of pairs: six a weight and training pair, two a pair that is evaluated."""
    inner, last = PAIR_WEIGHTS[network]
    return epochs * (inner + last * modulus) * (6.0 * drawn + 2.0 * evaluated)


STEP_FLOPS = {"dyck": 1.9e9, "scan": 1.0e11, "modular": 1.7e9}
"""Matrix-product operations of a step of a transformer, by task: of Dyck-1 six a parameter and token, and
of the others as many as take their time beside it."""
MINI_SHARE = 0.18
"""Of them, that the small network of scan needs."""


ANATOMY_STEPS = 5
"""Of the whole anatomy, about, where a run names none."""
ANATOMY_FLOPS = {"dyck": (5e10, 8e11), "scan": (3e11, 1.2e12), "modular": (9e10, 7e11)}
"""What takes as long as an anatomy, by task: at a snapshot, and besides at a step of the whole one."""


def transformer_flops(task: str, network: str, steps: int, batch_size: int) -> float:
    """Matrix-product work of a transformer's run; a full batch counts as one of the published size."""
    share = batch_size / automatic(task, network)["batch_size"] if batch_size else 1.0
    return steps * share * STEP_FLOPS[task] * (MINI_SHARE if network == "seq2seq_mini" else 1.0)


def anatomy_flops(task: str, snapshots: int, whole: int) -> float:
    """What a run's anatomies take, as so much matrix-product work."""
    quick, slow = ANATOMY_FLOPS[task]
    return snapshots * quick + whole * slow
