"""A store that older code wrote: it is read to the last bit, its runs are found again, replayed and loaded."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.figures import run_figures
from analysis.studies import headline
from entry_points import sensitivity, study
from grok.runs.replay import replay
from grok.store import files as checkpoint
from grok.store.prior import find_prior
from grok.store.tags import SEARCHED
from tests.conftest import Answer
from tests.frozen import documents, networks, readings, shapes
from tests.frozen.configs import CONFIGS, FINISHED, STUDY
from tests.frozen.frozen_store import ARCHIVE, PLACEHOLDER, Frozen
from tests.frozen.make_store import SENSITIVITY
from tests.frozen.make_store import command as line_of

LATER = {
    "task": "modular",
    "network": "two_layer",
    "recorders": "none",
    "signals": "none",
    "detector": "slope",
    "options": "none",
    "rounding": "auto",
    "decay_off_at": "auto",
    "decay_on_at": "auto",
    "batch_size": "0",
    "clip": "0.0",
    "beta_2": "0.999",
    "evaluate_every": "1",
    "eval_sequences": "0",
    "initial_scale": "1.0",
    "data_folder": "none",
    "switch_at": "0",
    "switch_weight_decay": "auto",
    "switch_state": "keep",
    "switch_update": "free",
    "keep_states": "none",
    "log_every": "1",
    "temperature": "1.0",
    "clamp_norm": "0.0",
    "clamp_at": "500",
    "signal_every": "0",
    "costly_every": "4",
}
"""Params that came after the store was written, at their defaults."""
GONE_TAGS = ("grok.heartbeat",)
"""Tags that a run loses as it is done, which those of earlier code kept."""
LATER_TAGS = ("grok.rounding", "grok.rounding_facts", *(f"grok.resolved.{name}" for name in SEARCHED))
"""Tags that came after it; the shape of a run has the names of these and not the values."""
LATER_FILES = ["input_example.json", "serving_input_example.json"]
"""Of a logged network: an example of its input came after it."""

# reading


def test_what_is_read_is_what_was_stored(frozen: Frozen) -> None:
    """The runs' table, what is left out of it and why, and every series behind it: no number is computed anew."""
    assert not (difference := documents.difference("readings", readings.readings(frozen))), difference


def test_the_shape_of_every_stored_run(frozen: Frozen) -> None:
    assert not (difference := documents.difference("schema", shapes.stored(frozen))), difference


def test_no_folder_or_person_is_in_the_committed_store(frozen: Frozen) -> None:
    with tarfile.open(ARCHIVE) as archive:
        members = {one.name: archive.extractfile(one) for one in archive.getmembers() if one.isfile()}
        texts = {name: file.read() for name, file in members.items() if file is not None}
    assert PLACEHOLDER.encode() in texts["mlflow.db"]
    for word in (b"/tmp/", b"/home/", b"/root/", b"/usr/", b"/Users/"):
        assert [name for name, text in texts.items() if word in text] == []
    told = [run.data.tags for run in frozen.store.find({"protocol": "1"})]
    assert {(tags["mlflow.user"], tags["mlflow.source.name"]) for tags in told} == {("user", "train.py")}
    assert {tags["grok.host"] for tags in told} == {"host", "another-host"}


# writing


def test_a_run_trained_now_has_the_names_types_and_sizes_of_a_stored_one(store: Any) -> None:
    """Every file, column, array, metric, param and tag: a reader of either finds what it looks for, and `LATER` besides."""
    stored, found = documents.read("schema"), shapes.trained(store, run_figures)
    for name, shape in found.items():
        for texts in (shape["params"], shape["content"]["config.json"]["config"]):
            assert {field: texts.pop(field) for field in LATER} == LATER
        assert {shape["tags"].pop(tag) for tag in LATER_TAGS} == {""}
        assert {stored[name]["tags"].pop(tag) for tag in GONE_TAGS} == {""}
        if shape["model"]:
            assert shape["model"]["name"].startswith("network of ")  # which run's came after it
            shape["model"]["name"] = "network"
            assert [file for file in shape["model"]["files"] if file in LATER_FILES] == LATER_FILES
            shape["model"]["files"] = [file for file in shape["model"]["files"] if file not in LATER_FILES]
        difference = documents.diff(documents.text_of(stored[name]), documents.text_of(shape), "schema")
        assert not difference, f"{name}: {difference}"


# the same work again


def memberships(frozen: Frozen) -> dict[str, dict[str, str]]:
    """By run id, the tags of every training run, those among them that make it a member of studies."""
    return {run.info.run_id: dict(run.data.tags) for run in frozen.store.find({"kind": "train"})}


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_is_reused(frozen: Frozen, command: Callable[..., Answer], flags: Callable[..., Any], name: str) -> None:
    config = replace(CONFIGS[name], threads=2, save_every=0)  # how it is executed makes no other run
    answer = command(*flags(config))
    assert (answer.status, answer.words["run"], answer.words["reused"]) == (0, frozen.ids[name], "yes"), answer.err
    assert answer.words["state"] == ("diverged" if name == "diverged" else "complete")


def test_another_config_is_not_reused(frozen: Frozen) -> None:
    assert find_prior(frozen.store, replace(CONFIGS["complete"], seed=9)) is None
    assert find_prior(frozen.store, replace(CONFIGS["complete"], weight_decay=1e-3)) is None


def test_a_study_finds_its_parent_and_its_runs(own: Frozen) -> None:
    """Nothing is trained, and the summary that is written again from the stored runs has the stored bytes."""
    tables = ("runs.csv", "conditions.csv", "repulsion.csv")
    root, runs = own.root(own.ids["study"]), own.count()
    before, members = {name: (root / name).read_bytes() for name in tables}, memberships(own)
    grid = json.loads((root / "grid.json").read_text())
    assert sum("grok.study.own/four" in tags for tags in members.values()) == 4
    answer = line_of(study.main, "--study", STUDY, "--backend", "sequential")
    assert {name: answer[name] for name in ("run", "state", "cells", "trained", "reused")} == {
        "run": own.ids["study"],
        "state": "complete",
        "cells": "4",
        "trained": "0",
        "reused": "4",
    }
    assert (own.count(), memberships(own)) == (runs, members)
    assert {name: (root / name).read_bytes() for name in tables} == before
    for cell in grid["cells"]:
        cell["config"] |= LATER
    assert json.loads((root / "grid.json").read_text()) == grid
    stored, now = documents.read("schema")["study"], documents.plain(shapes.shape(own.store, own.ids["study"]))
    assert stored["metrics"] == {}  # headline numbers came after it
    assert {"runs/done", "runs/of"} < now["metrics"].keys()
    assert {name.partition("/")[0] for name in now["metrics"]} <= {"runs", "fires", "of", *headline.MEDIANS}
    assert [now["tags"].pop(name) for name in ("grok.found", "grok.left")] == ["", ""]  # these came after it, too
    assert {stored["tags"].pop(tag) for tag in GONE_TAGS} == {""}
    assert now | {"metrics": {}} == stored


def test_a_sensitivity_study_gives_the_tables_that_are_stored(own: Frozen) -> None:
    """Counts of runs that fire and epochs, of the stored bands. Another code makes another run, so all is computed anew."""
    own.store.client.set_tag(own.ids["sensitivity"], "grok.code_version", "older")
    answer = line_of(sensitivity.main, *SENSITIVITY)
    assert answer["run"] != own.ids["sensitivity"]
    stored, now = own.root(own.ids["sensitivity"]), own.root(answer["run"])
    assert {path.name for path in now.iterdir()} == {path.name for path in stored.iterdir()}
    for path in stored.glob("*.csv"):
        if path.name != "importance.csv":
            after, before = pd.read_csv(now / path.name), pd.read_csv(path)
            if path.name == "rebuttal.csv":  # its rule is another since: a reading more, and verdicts, of the same counts
                after = after[after["reading"] != "positive"].reset_index(drop=True)
                after, before = (rows.loc[:, :"relu_eta0_fires"] for rows in (after, before))
            # columns that came later stand beside; whether a setting holds is by another rule since, of the same counts
            kept = [name for name in before.columns if not name.startswith("holds_")]
            assert set(kept) <= set(after.columns)
            pd.testing.assert_frame_equal(after[kept], before[kept], rtol=1e-9, obj=path.name)
    identities = {own.store.get(run).data.tags["grok.sensitivity_hash"] for run in (own.ids["sensitivity"], answer["run"])}
    assert len(identities) == 1


# the same numbers again


@pytest.mark.parametrize(
    ("name", "epoch", "tolerance"),
    [
        # Adam's step is at most lr = 1e-3 an epoch and weight, whatever the gradient; sums over 48 samples in another order
        # move a gradient by 48 ε = 3e-6 of its size, so a weight by 3e-9 an epoch. Kernels without AVX moved it by 1.5e-7 in 48
        # epochs; 1e-5 is 70 times that, and a hundredth of one step.
        ("complete", 20, 1e-5),
        ("complete", 48, 1e-5),
        ("eta0", None, 1e-5),
        # In float64 sums are exact for this; but without AVX2 torch draws initial weights that are a float32 rounding of 3e-8
        # away. 1e-6 is 30 times that, and a thousandth of one step.
        ("interrupted", 6, 1e-6),
    ],
)
def test_a_stored_run_is_replayed(frozen: Frozen, tmp_path: Path, name: str, epoch: int | None, tolerance: float) -> None:
    """Bit for bit where the processor is the one that trained it, which no test can know; else up to rounding."""
    out = tmp_path / "weights.safetensors"
    result = replay(frozen.store, frozen.ids[name], epoch, out)
    expected = CONFIGS[name].epochs if epoch is None else epoch
    assert (result.run_id, result.epoch, result.out) == (frozen.ids[name], expected, out)
    assert result.largest <= tolerance
    assert result.identical == (result.largest == 0)
    weights, facts = checkpoint.load(out)
    assert facts == {"config_hash": CONFIGS[name].hash, "epoch": expected}
    assert {layer: tuple(tensor.shape) for layer, tensor in weights.items()} == {
        "w": (2 * CONFIGS[name].modulus, CONFIGS[name].width),
        "v": (CONFIGS[name].width, CONFIGS[name].modulus),
    }


def test_the_stored_network_is_loaded_with_the_code_that_was_stored_with_it(frozen: Frozen) -> None:
    """Float32 scores are sums of K = 32 products of at most 1: another order moves one by 32 ε = 2e-6 of the largest."""
    expected, found = documents.read("network"), networks.predicted(frozen)
    scores = np.array([[float(word) for word in line.split()] for line in expected["scores"]])
    assert found["dtype"] == expected["dtype"]
    np.testing.assert_allclose(np.array(found["scores"]), scores, rtol=0, atol=2e-6 * np.abs(scores).max())
