"""The block of sampled batches, sequences and branches: what a transformer's run has besides the others' fields.

`auto` is the published value of the task and network (`grok.spec.published`), and what changes nothing for the two-layer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grok.spec.fields import Rule, field, finite, whole

KEPT_STATES = ("keep", "reset")
UPDATES = ("free", "unaligned", "aligned")
"""What a switch does to the part of Adam's update along the decay: nothing, take it out, or put all of it there."""
PUBLISHED = "Xu (arXiv 2604.07380), its code"
LESS_THAN_RUN = Rule(
    lambda value, c: value == 0 or value < c.last_epoch,
    lambda c: f"be below {c.last_epoch}, the run's last step",
    "Lower it or raise epochs",
)
NEEDS_SWITCH = Rule(
    lambda value, c: value in ("keep", "free") or c.switch_at > 0, "come with a switch", "Give switch_at, the step of it"
)


def _of_switch(value: Any, config: Any) -> bool:
    return value is None or config.switch_at > 0


@dataclass(frozen=True, kw_only=True)
class TransformerBlock:
    """Steps and sequences: sampled batches, when a run is evaluated, and branches from a state."""

    batch_size: int | None = field(
        None,
        "samples of a step, drawn with replacement; 0 = all of them; auto = 50 for dyck, 256 for scan, 512 for modular with "
        "transformer, else 0",
        PUBLISHED,
        whole(0, "0 takes every sample at each step"),
        example="50",
        later=True,
    )
    clip: float | None = field(
        None,
        "largest norm of the gradient of a step; 0 = any; auto = 1 for transformers, else 0",
        PUBLISHED,
        finite("The paper uses 1", low=0),
        example="1.0",
        later=True,
    )
    beta_2: float | None = field(
        None,
        "decay rate of Adam's second moment; auto = 0.98 for transformers, else 0.999",
        PUBLISHED,
        Rule(lambda v, _: 0 <= v < 1, "be in [0, 1)", "The paper uses 0.98"),
        example="0.98",
        later=True,
    )
    evaluate_every: int | None = field(
        None,
        "steps between evaluations, which are the rows of history.parquet; auto = 100 for dyck and modular with transformer, "
        "500 for scan, else 1",
        PUBLISHED,
        whole(1, "1 evaluates at every step"),
        example="100",
        later=True,
    )
    eval_sequences: int | None = field(
        None,
        "test sequences that are evaluated, the first ones; 0 = all; auto = 1000 for dyck, 500 for scan",
        "scan: Xu (arXiv 2604.07380); dyck: ours, 5000 there",
        whole(0, "0 evaluates every sequence"),
        example="1000",
        later=True,
    )
    initial_scale: float = field(
        1.0, "factor of the attention's initial weights", "ours", finite("1 leaves them", above=0), later=True
    )
    data_folder: str = field(
        "none",
        "folder with tasks_train_simple.txt and tasks_test_simple.txt, for the published split of scan; none = a seeded split",
        "Lake & Baroni (arXiv 1711.00350)",
        Rule(lambda value, _: value.isprintable(), "be printable text", "Name a folder"),
        later=True,
    )
    switch_at: int = field(
        0,
        "step from which on the switch holds; 0 = none; train --branch-from gives it a stored state to go on from",
        "Xu (arXiv 2604.07380), its intervention",
        whole(0, "0 is without a switch"),
        LESS_THAN_RUN,
        later=True,
    )
    switch_weight_decay: float | None = field(
        None,
        "weight decay after the switch; auto = as before",
        "Xu (arXiv 2604.07380): 0, 0.5, 1, 2",
        finite("0 turns it off", low=0),
        Rule(_of_switch, "come with a switch", "Give switch_at, the step of it"),
        example="auto",
        later=True,
    )
    switch_state: str = field(
        "keep",
        "the optimiser's moments at the switch",
        "keep: ours; reset: Xu (arXiv 2604.07380)",
        Rule(lambda value, _: value in KEPT_STATES, f"be one of {', '.join(KEPT_STATES)}", "Pick one of these"),
        NEEDS_SWITCH,
        choices=KEPT_STATES,
        later=True,
    )
    switch_update: str = field(
        "free",
        "after the switch, the part of Adam's update along the attention's weights: left, taken out, or all of it put there",
        "ours: decay stays as it is",
        Rule(lambda value, _: value in UPDATES, f"be one of {', '.join(UPDATES)}", "Pick one of these"),
        NEEDS_SWITCH,
        choices=UPDATES,
        later=True,
    )
