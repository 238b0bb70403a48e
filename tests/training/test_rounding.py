"""The order of summation as a factor: what a named rounding pins, that its bits come back, and what a run says of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from grok.numerics import linalg
from grok.runs.cells import Payload, train_cells
from grok.runs.member import Member
from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.spec.roundings import EXAMPLES, named
from grok.spec.studies import Cell
from grok.store.tags import StoredRun
from grok.training import devices
from grok.training.devices import check_device, rounding_used
from grok.training.loop import Training
from grok.training.parts import check_parts
from tests.conftest import PROJECT, TINY

NAMED = tuple(f"{library}-{rows}-1{order}" for library in ("onednn", "mkl") for rows in (12, 16) for order in ("", "-reversed"))
"""Of the tiny network's 48 samples 12 or 16 a block: of two blocks alone the order would change no sum."""
SMALL = replace(TINY, threads=None, width=64, observe_every=0, checkpoint_epochs=())

pytestmark = pytest.mark.skipif(not all(map(linalg.has_library, ("onednn", "mkl"))), reason="this torch lacks a library")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def weights(config: RunConfig, epoch: int | None = None, seeds: tuple[int, ...] | None = None) -> torch.Tensor:
    """W of each seed at an epoch, the last by default."""
    at = config.last_epoch if epoch is None else epoch
    return next(step.weights["w"].clone() for step in Training(config, seeds) if step.epoch == at)


def test_the_examples_are_values_of_the_field() -> None:
    for text in EXAMPLES:
        pinned = named(RunConfig(rounding=text).rounding)
        assert pinned is None if text == "auto" else (pinned is not None and pinned.word == text)


@pytest.mark.parametrize("activation", ["square", "relu"])
def test_roundings_agree_at_first_and_part_later(activation: str) -> None:
    """One gradient entry is a sum of at most n + C terms in float32, off by γ = (n + C) ε of the sum of their sizes, and Adam's
    first step is lr · g / (|g| + eps): a flip of sign apart, two roundings can differ by 2 lr at the very most where g is all
    rounding, and by ε |w| where it is not. So: no entry by more than 2 lr, the median by no more than 4 ε of the largest."""
    config = replace(SMALL, activation=activation, epochs=120, learning_rate=0.01)
    every = [replace(config, rounding=text) for text in NAMED]
    first = [weights(one, 1) for one in every]
    for one in first[1:]:
        assert float((one - first[0]).abs().max()) <= 2 * config.learning_rate
        assert float((one - first[0]).abs().median()) <= 4 * torch.finfo(torch.float32).eps * float(first[0].abs().max())
    last = [weights(one) for one in every]
    bits = {hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in last}
    assert len(bits) == len(NAMED)
    assert float((last[0] - last[4]).norm()) > 10 * float((first[0] - first[4]).norm())


ELSEWHERE = ("onednn-16-1", "onednn-32-2-reversed", "mkl-16-1-reversed", "mkl-32-2")


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The weights' digest by rounding, in another process."""
    told = {name: value for name, value in SMALL.to_strings().items() if value != RunConfig().to_strings()[name]}
    script = (
        "import hashlib; from grok.spec.config import RunConfig; from grok.training.loop import Training\n"
        f"for text in {ELSEWHERE!r}:\n"
        f"    config = RunConfig.from_strings({told!r} | {{'epochs': '12', 'rounding': text}})\n"
        "    *_, step = Training(config)\n"
        "    print(text, hashlib.sha256(step.weights['w'].numpy().tobytes()).hexdigest())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    return dict(line.split() for line in run.stdout.splitlines())


@pytest.mark.parametrize("text", ELSEWHERE)
def test_a_named_rounding_gives_its_bits_in_any_process(text: str, elsewhere: dict[str, str]) -> None:
    torch.set_num_threads(3)  # whatever the process has
    mine = hashlib.sha256(weights(replace(SMALL, rounding=text, epochs=12)).numpy().tobytes()).hexdigest()
    assert elsewhere[text] == mine


@pytest.mark.parametrize(("threads", "text"), [(1, "onednn-256-1"), (2, "onednn-512-2")])
def test_auto_is_the_rounding_that_it_says(threads: int, text: str) -> None:
    """At the papers' width, where a block is 256 rows a thread: more than one block of the 2016 samples."""
    auto = RunConfig(threads=threads, epochs=2, device="cpu", observe_every=0, checkpoint_epochs=())
    training = Training(auto)
    assert training.rounding.word == text
    assert len(training.batches.whole.blocks(training.network.block_rows)) == 8 / threads  # type: ignore[attr-defined]
    (*_, step) = training
    assert torch.equal(step.weights["w"], weights(replace(auto, threads=None, rounding=text)))


@pytest.mark.parametrize("text", ["onednn-16-1-reversed", "mkl-16-1"])
def test_lockstep_seeds_have_the_bits_that_they_have_alone(text: str) -> None:
    config = replace(SMALL, rounding=text, epochs=40)
    together = weights(config, seeds=(0, 4, 9))
    for s, seed in enumerate((0, 4, 9)):
        assert torch.equal(together[s], weights(replace(config, seed=seed))[0])


@pytest.mark.parametrize("text", ["onednn-16-1-reversed", "mkl-32-1"])
def test_a_run_that_was_stopped_goes_on_with_its_rounding(
    text: str, store: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the cell of a study, whose worker has threads of its own."""
    config = replace(TINY, rounding=text, threads=None).resolved()
    asked: list[int] = []

    def stop(self: Any) -> bool:
        asked.append(1)
        return len(asked) > 35

    payload = Payload((Cell("grok", config),), store.uri, store.experiment_id, "", "study.x", "s", threads=3)
    with monkeypatch.context() as patch:
        patch.setattr("grok.runs.stopping.Poll.__call__", stop)
        (stopped,) = train_cells(payload)
    assert stopped.state == "interrupted"
    (result,) = train_cells(payload)
    assert (result.state, result.run_id, result.error) == ("complete", stopped.run_id, "")
    run = store.get(result.run_id)
    assert (run.rounding, run.threads, run.get("resumed_with")) == (text, named(text).threads, "")  # type: ignore[union-attr]
    (straight,) = train_tracked([replace(config, seed=0)], store)
    mine, other = (contents(store, run_id).arrays for run_id in (straight.run_id, result.run_id))
    assert mine.keys() == other.keys()
    for name, array in mine.items():
        assert array.tobytes() == other[name].tobytes(), name


def test_a_run_says_how_it_was_rounded(finished: Any, store: Any) -> None:
    run = finished.run
    torch.set_num_threads(TINY.threads or 1)  # as the run, whatever a test before has left
    assert run.rounding == rounding_used(TINY, max(256, (1 << 19) // TINY.width), torch.device("cpu")).word
    facts = run.rounding_facts
    assert (facts["rows"], facts["threads"], facts["order"]) == (str((1 << 19) // 32), "1", "forward")
    assert (facts["precision"], facts["device"], facts["torch"]) == ("float32", "cpu", torch.__version__)
    assert facts["cpu"] == torch.backends.cpu.get_cpu_capability()
    assert facts["library"] == run.rounding.split("-")[0]
    pinned = replace(TINY, threads=None, rounding="mkl-16-1-reversed", precision="float64", epochs=8, checkpoint_epochs=())
    (outcome,) = train_tracked([pinned.resolved()], store)
    told = store.get(outcome.run_id)
    assert told.rounding == "mkl-16-1-reversed"
    assert told.rounding_facts | {"cpu": "", "torch": ""} == {
        "library": "mkl",
        "rows": "16",
        "order": "reversed",
        "threads": "1",
        "precision": "float64",
        "device": "cpu",
        "seeds": "1",
        "cpu": "",
        "torch": "",
    }


def test_an_older_run_says_nothing_of_its_rounding() -> None:
    run = StoredRun("r", "", "FINISHED", 0, {}, {}, {}, None)
    assert (run.rounding, run.rounding_facts, run.code_version) == ("", {}, "")


def test_a_rounding_that_is_not_to_be_had_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    check_device(RunConfig(rounding="mkl-256-1"))
    monkeypatch.setattr(devices, "has_library", lambda library: library == "mkl")
    with pytest.raises(
        ConfigError, match=r"^rounding must be of a library that this torch multiplies with \(mkl\), got onednn-"
    ):
        check_device(RunConfig(rounding="onednn-256-1"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"^rounding must be auto on a GPU, got mkl-256-1\. Use device cpu, or auto\.$"):
        check_device(RunConfig(rounding="mkl-256-1"))
    check_device(RunConfig(rounding="mkl-256-1", device="cpu"))


def test_a_network_that_cannot_name_its_rounding_refuses_one(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from dataclasses import replace\nfrom grok.networks.two_layer import NETWORK as ONE\n"
    (tmp_path / "deaf_network.py").write_text(source + "NETWORK = replace(ONE, takes_rounding=False)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = RunConfig(network="deaf_network:NETWORK")
    check_parts(config)
    with pytest.raises(ConfigError, match=r"^rounding must be auto with the network deaf_network:NETWORK, got mkl-256-1"):
        check_parts(replace(config, rounding="mkl-256-1"))


def test_products_are_of_the_library_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    mm, bmm = torch.mm, torch.bmm
    monkeypatch.setattr(torch, "mm", lambda *a: (calls.append("mm"), mm(*a))[1])
    monkeypatch.setattr(torch, "bmm", lambda *a: (calls.append("bmm"), bmm(*a))[1])
    x, y = torch.rand(2, 3, 4), torch.rand(2, 5, 4)
    for library, expected in (("mkl", ["mm", "mm"]), ("onednn", []), (None, [] if linalg.ONEDNN else ["bmm"])):
        calls.clear()
        with linalg.products_of(library):
            torch.testing.assert_close(linalg.product(x, y), x @ y.transpose(1, 2))
        assert calls == expected
    calls.clear()
    linalg.product(x, y)
    assert calls == []  # nothing is left of what was asked for


def test_a_word_is_of_what_was_used() -> None:
    assert rounding_used(RunConfig(), 1 << 30, torch.device("cuda")).word == "cuda"
    assert rounding_used(RunConfig(), 0, torch.device("cpu")).word in ("onednn", "mkl")  # of a network that does not tell
    assert rounding_used(RunConfig(rounding="mkl-8-2"), 99, torch.device("cpu")).word == "mkl-8-2"
    assert rounding_used(RunConfig(precision="float64"), 99, torch.device("cpu")).library == "mkl"


# ---- weight decay that is switched -----------------------------------------------------------------------------------


def test_decay_is_on_where_the_switches_say() -> None:
    def epochs(**switches: int) -> list[int]:
        config = RunConfig(weight_decay=0.5, epochs=6, **switches).resolved()
        decays = [config.decay_at(epoch) for epoch in range(6)]
        assert set(decays) <= {0.0, 0.5}
        return [epoch for epoch, decay in enumerate(decays) if decay]

    assert epochs() == [0, 1, 2, 3, 4, 5]
    assert epochs(decay_off_at=2) == [0, 1]
    assert epochs(decay_on_at=2) == [2, 3, 4, 5]
    assert epochs(decay_on_at=1, decay_off_at=4) == [1, 2, 3]
    assert epochs(decay_off_at=1, decay_on_at=4) == [0, 4, 5]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "muon"])
def test_a_run_is_the_plain_one_up_to_its_switch(optimizer: str) -> None:
    """Row t has taken t steps: the step at the switch is the first that differs."""
    plain = replace(SMALL, weight_decay=0.05, optimizer=optimizer, epochs=12, threads=1)
    bare = replace(plain, weight_decay=0.0)
    for switched, before, after in (
        (replace(plain, decay_off_at=7), plain, bare),
        (replace(plain, decay_on_at=7), bare, plain),
    ):
        assert torch.equal(weights(switched, 7), weights(before, 7))
        assert not torch.equal(weights(switched, 8), weights(before, 8))
        training = Training(after)  # from the same state on, the step is that of the other plain run
        source = Training(before)
        next(step for step in source if step.epoch == 7)
        training.load([{name: value.clone() for name, value in source.state(0).items()}])
        assert torch.equal(weights(switched, 8), next(s.weights["w"] for s in training if s.epoch == 8))


@pytest.mark.parametrize("stop", [6, 7, 8])
@pytest.mark.parametrize("switches", [{"decay_off_at": 7}, {"decay_on_at": 7}, {"decay_off_at": 4, "decay_on_at": 7}])
def test_it_goes_on_across_the_switch(stop: int, switches: dict[str, int]) -> None:
    config = replace(SMALL, weight_decay=0.05, epochs=12, threads=1, **switches)
    stopped = Training(config)
    next(step for step in stopped if step.epoch == stop)
    tensors, facts = Member(stopped, 0).state()
    resumed = Training(config)
    resumed.load([Member(resumed, 0).restore(tensors, facts)])
    (*_, step) = resumed
    assert torch.equal(step.weights["w"], weights(config))
