"""Tracked training: prior runs, resume, interruption, failure, divergence, lockstep groups."""

import copy
import dataclasses
import itertools
import os

import pandas as pd
import pytest
import torch

from analysis.figures import run_figures
from grok.runs import group
from grok.runs import train as runner
from grok.runs.member import Member
from grok.runs.train import train_tracked
from grok.spec.fields import ConfigError
from grok.store import files as checkpoint
from grok.store.prior import find_prior
from grok.store.run import TrackedRun
from grok.training.loop import Training


def count_runs(store):
    experiments = [e.experiment_id for e in store.client.search_experiments()]
    return len(store.client.search_runs(experiments))


def stop_at(call):
    """A `should_stop` that says yes the `call`-th time it is asked, once an epoch."""
    calls = itertools.count(1)
    return lambda: next(calls) == call


def states(run):
    return [path.removeprefix("resume/") for path in run.list_files("resume")]


# stop and go on


@pytest.fixture(scope="module")
def straight(session_store, contents):
    """What an uninterrupted run of a config leaves, trained once per config."""
    known = {}

    def of(config):
        if config.hash not in known:
            (outcome,) = train_tracked([config], session_store)
            known[config.hash] = contents(session_store, outcome.run_id)
        return known[config.hash]

    return of


@pytest.mark.parametrize("at", [1, 20, 49, 65])
def test_stopped_and_resumed_equals_straight_through(store, tiny, contents, straight, at):
    config = tiny()
    (outcome,) = train_tracked([config], store, should_stop=stop_at(at))
    assert outcome.state == "interrupted"
    found = store.get(outcome.run_id)
    assert (found.info.status, found.data.tags["grok.state"]) == ("KILLED", "interrupted")
    assert states(TrackedRun(store.client, outcome.run_id)) == ([f"epoch-{at - 1:05d}.safetensors"] if at > 1 else [])
    prior = find_prior(store, config)
    assert (prior.run_id, prior.done) == (outcome.run_id, False)
    (again,) = train_tracked([config], store, resume=[prior])
    assert (again.run_id, again.state) == (outcome.run_id, "complete")
    contents(store, again.run_id).assert_same(straight(config))
    assert again.summary["elapsed_s"] > 0
    assert count_runs(store) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {
            "epochs": 48,
            "checkpoint_epochs": (48,),
            "delta_w": "full",
            "optimizer": "muon",
            "spectrum_methods": ("gram", "gram32", "svd"),
        },
        {
            "epochs": 48,
            "checkpoint_epochs": (48,),
            "optimizer": "sgd",
            "precision": "float64",
            "activation": "relu",
            "learning_rate": 0.1,
            "delta_w": "windows",
        },
        {
            "epochs": 48,
            "checkpoint_epochs": (48,),
            "optimizer": "adamw",
            "repulsion_every": 7,
            "observe_every": 3,
            "save_every": 11,
            "labels": "random",
        },
    ],
)
def test_every_kind_of_state_is_resumed_exactly(store, tiny, contents, straight, changes):
    config = tiny(**changes)
    run_id = None
    for at in (30, 9):  # epochs 29 and, 8 epochs on, 37
        (outcome,) = train_tracked([config], store, resume=[run_id], should_stop=stop_at(at))
        run_id = outcome.run_id
    (again,) = train_tracked([config], store, resume=[run_id])
    contents(store, again.run_id).assert_same(straight(config))


def test_raw_spectra_of_an_epoch_saved_at_the_end_of_a_block_are_not_lost(store, tiny, contents, straight):
    config = tiny(epochs=48, checkpoint_epochs=(48,), spectrum_methods=("gram", "gram32", "svd"))
    (stopped,) = train_tracked([config], store, should_stop=stop_at(33))  # epoch 32 = 2 blocks of 16
    (again,) = train_tracked([config], store, resume=[stopped.run_id])
    contents(store, again.run_id).assert_same(straight(config))
    history = contents(store, again.run_id).tables["history.parquet"]
    assert history["delta_w_svd/lambda_1"][2:].notna().all()


def test_a_later_save_replaces_the_earlier_also_after_a_resume(store, tiny):
    config = tiny()
    (outcome,) = train_tracked([config], store, should_stop=stop_at(30))
    train_tracked([config], store, resume=[outcome.run_id], should_stop=stop_at(9))
    assert states(TrackedRun(store.client, outcome.run_id)) == ["epoch-00037.safetensors"]


def test_a_state_does_not_change_while_it_waits_to_be_written(tiny):
    config = tiny(checkpoint_epochs=(0, 1, 2))
    training = Training(config)
    member = Member(training, 0)
    records = iter(training)
    for _ in range(2):
        record = next(records)
        member.add(record, record.scores[0].numpy())
    tensors, facts = member.state()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(facts)
    for _ in range(3):
        record = next(records)
        member.add(record, record.scores[0].numpy())
        member.extend()
    assert facts == kept[1]
    assert len(member.pair_table()) > len(facts["pairs"]) > 0
    assert all(torch.equal(tensor, kept[0][name]) for name, tensor in tensors.items())


def test_a_damaged_state_is_passed_over_for_the_one_before(store, tiny, contents, straight):
    config = tiny()
    (outcome,) = train_tracked([config], store, should_stop=stop_at(30))
    run = TrackedRun(store.client, outcome.run_id)
    whole = run._root / "resume" / "epoch-00029.safetensors"
    whole.with_name("epoch-00048.safetensors").write_bytes(whole.read_bytes()[:1000])
    train_tracked([config], store, resume=[outcome.run_id])
    contents(store, outcome.run_id).assert_same(straight(config))


def test_a_state_of_another_config_is_not_loaded(store, tiny, contents, straight):
    (other,) = train_tracked([tiny(seed=1)], store, should_stop=stop_at(40))
    (mine,) = train_tracked([tiny()], store, should_stop=stop_at(1))
    foreign = TrackedRun(store.client, other.run_id)._root / "resume" / "epoch-00039.safetensors"
    target = TrackedRun(store.client, mine.run_id)._root / "resume" / foreign.name
    target.parent.mkdir()
    target.write_bytes(foreign.read_bytes())
    train_tracked([tiny()], store, resume=[mine.run_id])
    contents(store, mine.run_id).assert_same(straight(tiny()))


def test_a_run_that_died_before_its_first_words_gets_them_when_resumed(store, tiny, contents, straight):
    config = tiny()
    run = store.create(
        config.display_name(), {"kind": "train", "config_hash": config.hash, "protocol": runner.PROTOCOL_VERSION}
    )
    run.set_tags({"process": "1:1.00"})
    prior = find_prior(store, config)
    (outcome,) = train_tracked([config], store, resume=[prior])
    contents(store, outcome.run_id).assert_same(straight(config))
    found = store.get(run.run_id)
    assert found.data.params == config.resolved().to_strings()
    assert len(found.inputs.dataset_inputs) == 2


def test_a_run_that_ended_is_complete_even_if_its_state_was_not_yet_dropped(store, tiny, monkeypatch):
    monkeypatch.setattr(TrackedRun, "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    config = tiny(save_every=60)
    with pytest.raises(KeyboardInterrupt):
        train_tracked([config], store)
    (found,) = store.prior(config)
    assert (found.state, found.status) == ("complete", "RUNNING")  # MLflow's status comes last: the rest is still to be done
    assert found.data.metrics["accuracy/test"] >= 0
    monkeypatch.undo()
    assert find_prior(store, config).status == store.get(found.run_id).status == "FINISHED"
    assert TrackedRun(store.client, found.run_id).list_files("resume") == []


def test_a_resumed_run_may_be_executed_differently(store, tiny):
    (outcome,) = train_tracked([tiny()], store, should_stop=stop_at(30))
    (again,) = train_tracked([tiny(save_every=0, device="auto")], store, resume=[outcome.run_id])
    assert again.state == "complete"


# lockstep


def test_seeds_in_lockstep_are_runs_of_their_own(store, tiny, contents):
    configs = [tiny(seed=seed) for seed in (0, 1)]
    parent = store.create("parent", {"kind": "study"}).run_id
    outcomes = train_tracked(configs, store, parent=parent, tags={"study": "pair"}, should_stop=stop_at(30))
    assert [o.state for o in outcomes] == ["interrupted"] * 2
    outcomes = train_tracked(configs, store, resume=[o.run_id for o in outcomes])
    for config, outcome in zip(configs, outcomes, strict=True):
        found = store.get(outcome.run_id)
        assert found.data.tags["mlflow.parentRunId"] == parent
        assert found.data.tags["grok.study"] == "pair"
        assert found.data.params["seed"] == str(config.seed)
        (alone,) = train_tracked([config], store)
        together, single = contents(store, outcome.run_id), contents(store, alone.run_id)
        frame = "history.parquet"
        # a batched product of two seeds may round otherwise than that of one
        pd.testing.assert_frame_equal(
            together.tables[frame][["epoch", "accuracy/train"]], single.tables[frame][["epoch", "accuracy/train"]]
        )
        assert together.metrics.keys() == single.metrics.keys()
        assert all(len({step for step, _ in points}) == len(points) for points in together.metrics.values())


# failures


@pytest.mark.parametrize("where", ["put_tensors", "log_points", "put_file", "log_network"])
def test_a_failure_marks_the_run_and_the_same_config_goes_on(store, tiny, monkeypatch, contents, straight, where):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(group if where == "log_network" else TrackedRun, where, full)
    with pytest.raises(OSError, match="No space left on device"):
        train_tracked([tiny()], store)
    monkeypatch.undo()
    (found,) = store.prior(tiny())
    assert (found.info.status, found.data.tags["grok.state"]) == ("FAILED", "failed")
    step = "Make room, then repeat the command"
    assert found.data.tags["grok.error"] == f"OSError: [Errno 28] No space left on device. {step}"
    if where != "put_file":
        text = (TrackedRun(store.client, found.info.run_id)._root / "failure.txt").read_text()
        assert "Traceback" in text
    (again,) = train_tracked([tiny()], store, resume=[find_prior(store, tiny())])
    contents(store, again.run_id).assert_same(straight(tiny()))


@pytest.mark.parametrize("changes", [{"device": "cuda:63"}, {"activation": "no_such_module:function"}])
def test_what_this_machine_cannot_do_is_refused_before_a_run_is_made(store, tiny, changes):
    before = count_runs(store)
    with pytest.raises(ConfigError):
        train_tracked([tiny(**changes)], store)
    assert count_runs(store) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1e20},
        {"learning_rate": 1e200, "precision": "float64"},
        {"learning_rate": 1e9, "activation": "cube", "optimizer": "sgd"},
    ],
)
def test_a_diverged_run_ends_with_its_last_finite_epoch(store, tiny, changes):
    config = tiny(**changes)
    (outcome,) = train_tracked([config], store)
    found = store.get(outcome.run_id)
    assert outcome.state == found.data.tags["grok.state"] == "diverged"
    assert found.info.status == "FINISHED"
    epoch = found.data.metrics["diverged_epoch"]
    assert 1 <= epoch <= 20
    assert f"from epoch {epoch:.0f} on" in found.data.tags["mlflow.note.content"]
    table = pd.read_parquet(TrackedRun(store.client, outcome.run_id)._root / "history.parquet")
    assert table["epoch"].tolist() == list(range(int(epoch)))
    for name in found.data.metrics:
        history = store.client.get_metric_history(outcome.run_id, name)
        assert all(m.value == m.value and abs(m.value) < 1.7e308 and m.step < epoch for m in history), name
    prior = find_prior(store, config)
    assert (prior.run_id, prior.state, prior.done) == (outcome.run_id, "diverged", True)
    training = Training(config)
    losses = [float(record.scores[0, 0]) for record in itertools.islice(training, int(epoch) + 1)]
    assert not torch.isfinite(torch.tensor(losses[-1]))
    assert all(torch.isfinite(torch.tensor(losses[:-1])))


# the smallest runs


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_a_run_shorter_than_its_window_is_whole(store, tiny, epochs):
    config = dataclasses.replace(tiny(), epochs=epochs, checkpoint_epochs=None, save_every=1)
    (outcome,) = train_tracked([config], store, figures=run_figures)
    root = TrackedRun(store.client, outcome.run_id)._root
    assert len(pd.read_parquet(root / "history.parquet")) == epochs + 1
    assert checkpoint.load(root / "checkpoints" / f"epoch-{epochs:05d}.safetensors")[1]["epoch"] == epochs
    assert outcome.summary["fired"] == 0
    assert (root / "figures" / "accuracy.png").stat().st_size
    assert not os.listdir(root / "resume") if (root / "resume").exists() else True


def test_seconds_say_where_the_time_went(finished):
    seconds = finished.outcome.seconds
    assert {"training", "updates", "observables", "spectra", "finish", "background", "waited", "total"} == set(seconds)
    assert all(value >= 0 for value in seconds.values())
    parts = seconds["training"] + seconds["updates"] + seconds["observables"] + seconds["spectra"] + seconds["finish"]
    assert parts <= seconds["total"]
