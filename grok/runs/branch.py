"""A run that branches from a stored state of another: its config, and the state."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from grok.spec.config import EXECUTION_FIELDS, ResolvedConfig
from grok.spec.fields import ConfigError, refuse
from grok.store import files
from grok.store.prior import run_config
from grok.store.run import TrackedRun
from grok.store.store import Store

STATES_KEPT = "states/step-{:05d}.safetensors"
"""The whole state of a run at a step of `keep_states`."""
FREE = ("epochs", "weight_decay", "switch_weight_decay", "switch_state", "switch_update", *EXECUTION_FIELDS)
"""Fields that a branch may change; `weight_decay` is taken for that after the branch."""


@dataclass(frozen=True)
class Branch:
    """Where a run goes on.

    Attributes:
        config: of the new run: that of the other, with a switch at the step. A run of this config that begins at step 0 gets
            to the same bits.
        run_id: of the other. step: of the state. tensors, facts: the state.
    """

    config: ResolvedConfig
    run_id: str
    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def branch(store: Store, run_id: str, step: int, given: Mapping[str, str], trust_code: bool = False) -> Branch:
    """The branch of a run at a step.

    Args:
        store: that holds the run. run_id: a training run. step: of `keep_states`.
        given: texts of the fields that are to differ.
        trust_code: whether code of a user's own that the run names may be imported.

    Raises:
        ConfigError: if the run has no such state, or a field may not differ. StoreError: if there is no such run.
    """
    if other := sorted(set(given) - set(FREE)):
        refuse("parameters", f"be among {', '.join(FREE)} with --branch-from", ", ".join(other), "Drop the others")
    stored = store.get(run_id)
    parent, tracked = run_config(stored, trust_code), TrackedRun(store.client, stored)
    paths = {Path(path).stem.removeprefix("step-"): path for path in tracked.list_files("states")}
    kept = {int(number): path for number, path in paths.items() if number.isdecimal() and len(number) < 20}
    if step not in kept:
        known = ", ".join(map(str, sorted(kept))) or "none"
        raise ConfigError(
            f"at must be a step whose state the run has ({known}), got {step}. Pick one of these, or train it with "
            f"--keep-states {step} --force."
        )
    changed = dict(given)
    if "weight_decay" in changed:
        if "switch_weight_decay" in changed:
            refuse("weight_decay", "be given once", changed["weight_decay"], "Drop it or switch_weight_decay")
        changed["switch_weight_decay"] = changed.pop("weight_decay")
    config = ResolvedConfig.from_strings(parent.to_strings() | {"switch_at": str(step)} | changed)
    with tempfile.TemporaryDirectory() as folder:
        tensors, facts = files.load(tracked.get_file(kept[step], Path(folder)))
    if (facts.get("config_hash"), facts.get("epoch")) != (parent.hash, step):
        raise ConfigError(
            f"state must be that of the run at step {step}, got another in {kept[step]}. Delete it and train anew."
        )
    return Branch(config, run_id, step, tensors, facts)
