"""Signals of finished runs: from checkpoints, from replay, equal to what was seen live, cached and refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.reading.evidence import Evidence
from entry_points import signals as command
from grok.numerics import dynamics
from grok.recorders import _battery, _minibatches
from grok.recorders._battery import put_weights
from grok.recorders.base import File
from grok.runs import signals as room
from grok.runs.finished import Finished, untrained
from grok.runs.saving import get, put
from grok.signals.base import Signal, find
from grok.spec.fields import ConfigError
from grok.spec.plugins import SIGNALS
from grok.store.errors import StoreError
from grok.training.parts import task_of

EPOCHS = (0, 7, 20, 33, 40)
OF_EMBEDDINGS = {"characters", "tuned_neurons"}
OF_STATE = tuple(name for name in SIGNALS.names if find(name).per_epoch)


@pytest.fixture(scope="module")
def finished_once(session_store: Any, finish: Any, tiny: Any) -> Any:
    """A run of its own, since tables are put beside it."""
    return finish(session_store, tiny(seed=5, n_train=60, learning_rate=0.02))


@pytest.fixture(scope="module")
def run(finished_once: Any) -> Finished:
    return Finished.of(finished_once.store, finished_once.store.get(finished_once.outcome.run_id))


@pytest.fixture(scope="module")
def table(run: Finished) -> pd.DataFrame:
    return room.compute(run, room.usable(run.config, SIGNALS.names), EPOCHS)


def of(table: pd.DataFrame, name: str, variant: str = "") -> np.ndarray:
    rows = table[(table["signal"] == name) & (table["variant"] == variant) & table["epoch"].isin(EPOCHS)]
    return rows.sort_values("epoch")["value"].to_numpy()


def test_every_signal_and_variant_has_every_epoch(run: Finished, table: pd.DataFrame) -> None:
    """Of a history those of the whole run, else those that were asked for."""
    usable = room.usable(run.config, SIGNALS.names)
    assert set(SIGNALS.names) - set(usable) == {name for name in SIGNALS.names if name.startswith("head_")} | OF_EMBEDDINGS
    assert list(table.columns) == ["epoch", "signal", "variant", "value"]
    found = {(name, variant): tuple(rows) for (name, variant), rows in table.groupby(["signal", "variant"])["epoch"]}
    whole = tuple(range(65))
    assert found == {(n, v): EPOCHS if one.per_epoch else whole for n, one in usable.items() for v in one.variants}


def test_costly_signals_are_taken_less_often(run: Finished, table: pd.DataFrame) -> None:
    """Every second of the epochs, with the same values there."""
    part = room.compute(run, room.usable(run.config, ("spectral_entropy", "lar")), EPOCHS, costly_every=2)
    epochs = {name: tuple(rows["epoch"].unique()) for name, rows in part.groupby("signal")}
    assert epochs == {"spectral_entropy": EPOCHS[::2], "lar": EPOCHS}
    both = part.merge(table, on=["epoch", "signal", "variant"])
    assert len(both) == len(part)
    np.testing.assert_array_equal(both["value_x"], both["value_y"])


def test_what_a_run_records_itself_is_the_same(finished_once: Any, table: pd.DataFrame) -> None:
    history = pd.read_parquet(finished_once.root / "history.parquet").set_index("epoch")
    for name, column in (("loss", "loss/train"), ("gap", "delta_w/gap_23")):
        np.testing.assert_array_equal(of(table, name, next(iter(find(name).variants))), history.loc[list(EPOCHS), column])
    seen = history["features/rho"].dropna()
    shared = [epoch for epoch in EPOCHS if epoch in seen.index]
    assert len(shared) >= 3
    rows = table[table["signal"] == "rho"].set_index("epoch")["value"]
    np.testing.assert_array_equal(rows[shared], seen[shared])


def test_checkpoints_give_what_replay_gives(run: Finished, table: pd.DataFrame) -> None:
    """20 and 40 are checkpoints; in `table` they were passed on the way of a replay. Histories of values are another matter."""
    names = [name for name in OF_STATE if find(name).over is None and name != "angle_from_t_mem"]  # and of what moved
    few = room.compute(run, room.usable(run.config, names), (0, 20, 40))
    both = few.merge(table, on=["epoch", "signal", "variant"])
    assert len(both) == len(few)
    np.testing.assert_array_equal(both["value_x"], both["value_y"])


def test_a_truncated_run_says_the_same_of_what_it_saw(run: Finished, table: pd.DataFrame) -> None:
    part = room.compute(run, room.usable(run.config, SIGNALS.names), EPOCHS[:3])
    both = part.merge(table, on=["epoch", "signal", "variant"])
    assert len(both) == len(part)
    np.testing.assert_array_equal(both["value_x"], both["value_y"])


def test_replay_that_meets_other_bits_is_refused(run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Finished.weights

    def flipped(self: Finished, epoch: int) -> dict[str, torch.Tensor]:
        weights = real(self, epoch)
        weights["v"][0, 0] = torch.nextafter(weights["v"][0, 0], torch.tensor(9.0))
        return weights

    monkeypatch.setattr(Finished, "weights", flipped)
    with pytest.raises(StoreError, match=r"replay must meet the stored weights, got other bits at epoch 0 .* Ask for"):
        list(room.states(run, (7,)))
    assert [epoch for epoch, _ in room.states(run, (0, 20))] == [0, 20]  # checkpoints need no replay


def test_checkpoints_are_renewed_where_the_run_cannot_be_trained_again(
    store: Any, finish: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Replay is asked for by what was stored at other epochs alone, which an older version made."""
    run_id = finish(store, tiny(n_train=60)).outcome.run_id
    run = Finished.of(store, store.get(run_id))

    def put_at(names: tuple[str, ...], epochs: tuple[int, ...] = (), **more: Any) -> int:
        return room.signals_of_run(store, store.get(run_id), names, epochs, **more)

    assert put_at(("lar", "fve"), (0, 7, 20)) == 2
    versions = get(run.tracked, _battery.VERSIONS).content
    assert isinstance(versions, pd.DataFrame)
    put(run.tracked, File(_battery.VERSIONS, versions.assign(version=[0 if one == "lar" else 1 for one in versions["signal"]])))
    whole = Finished.weights

    def flipped(self: Finished, epoch: int) -> dict[str, Any]:
        return {name: layer * (1 + 1e-6) for name, layer in whole(self, epoch).items()}

    monkeypatch.setattr(Finished, "weights", flipped)
    with pytest.raises(StoreError, match="got other bits"):
        put_at(("lar",), (0, 9))
    assert put_at(("lar", "fve"), force=True) == 2
    assert "got other bits at epoch 0" in capsys.readouterr().err
    table = get(run.tracked, _battery.TABLE).content
    assert isinstance(table, pd.DataFrame)
    epochs = {name: set(rows) for name, rows in table.groupby("signal")["epoch"]}
    assert epochs == {"lar": {0, 20, 40, 64}, "fve": {0, 7, 20, 40, 64}}


def test_grid_logits_are_in_the_order_of_pairs(run: Finished) -> None:
    stack = put_weights(untrained(run.config), run.weights(40))
    state = _battery.State(run.config, task_of(run.config).problem(run.config), stack, None)
    w, v = stack.layers["w"][0], stack.layers["v"][0]
    size = run.config.modulus
    for a, b in ((0, 3), (3, 0), (10, 10)):
        torch.testing.assert_close(state.grid_logits[a * size + b], (w[a] + w[size + b]).square() @ v)


def test_minibatch_gradients_are_those_of_the_network(run: Finished) -> None:
    """On the whole training set in place of minibatches they are the closed form; along a step they follow the Hessian."""
    config, problem = run.config, task_of(run.config).problem(run.config)
    stack = put_weights(untrained(dataclasses.replace(config, precision="float64")), run.weights(40))
    found = _minibatches.minibatch_gradients(config, problem, stack)
    rows = np.random.default_rng(config.seed).integers(0, len(problem.train_inputs), 512)
    batch = stack.batch(problem.train_inputs[rows][None], problem.train_labels[rows][None])
    with torch.no_grad():
        stack.loss_and_gradient(batch)
    closed = torch.cat([stack.gradients[name][0].flatten() for name in ("w", "v")])
    torch.testing.assert_close(found[0, 0], closed, rtol=1e-10, atol=1e-13)
    assert found.shape == (5, 6, closed.numel())
    step = (found[0, 1] - found[0, 2]) / dynamics.DISPLACEMENT  # H_B g_A to first order
    assert float((step - found[0, 4]).norm() / found[0, 4].norm()) < 0.05


def test_angles_begin_at_memorisation(run: Finished, table: pd.DataFrame, finished_once: Any) -> None:
    accuracy = pd.read_parquet(finished_once.root / "history.parquet")["accuracy/train"].to_numpy()
    memorised = int(np.argmax(accuracy >= 0.99))
    assert accuracy.max() >= 0.99
    angles = of(table, "angle_from_t_mem")
    before = np.array(EPOCHS) < memorised
    assert before.any()
    assert np.isnan(angles[before]).all()
    assert angles[~before][0] == 0
    assert (np.diff(angles[~before]) > 0).all()


def test_the_command_caches_resumes_and_notices_a_new_version(
    run: Finished, finished_once: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = finished_once.outcome.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished_once.store.uri)

    def say(*more: str) -> int:
        assert command.main(["--run", run_id, "--workers", "1", *more]) == 0
        line = capsys.readouterr().out
        return int(line.split("signals=")[1].split()[0])

    assert say("--signals", "ildr,lar") == 2
    assert say("--signals", "ildr,lar,fve") == 1
    assert say("--signals", "ildr,lar,fve", "--epochs", "0,20") == 0
    assert say("--signals", "lar", "--epochs", "0,7") == 1
    assert say("--signals", "lar", "--epochs", "0-20-20", "--force") == 1
    assert say("--signals", "lar", "--epochs", "0-20-20", "--force", "true") == 1
    assert say("--signals", "lar", "--epochs", "0-20-20", "--force", "false") == 0
    assert say("--signals", "lar", "--epochs", "0-20-20", "--no-force") == 0
    evidence = Evidence(finished_once.store)
    found = evidence.signals(run_id)
    assert set(found["signal"]) == {"ildr", "lar", "fve"}
    assert set(found.loc[found["signal"] == "lar", "epoch"]) == {0, 7, 20, 40, 64}
    assert not found.duplicated(["epoch", "signal", "variant"]).any()
    old = get(run.tracked, _battery.VERSIONS).content
    assert isinstance(old, pd.DataFrame)
    put(run.tracked, File(_battery.VERSIONS, old.assign(version=0)))
    assert say("--signals", "fve") == 1
    assert say("--signals", "fve") == 0
    put(run.tracked, File(_battery.VERSIONS, old.assign(version=0)))
    done: list[str] = []

    def stops_after_one(tracked: Any, file: File) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(file.path)
        put(tracked, file)

    with monkeypatch.context() as patch:
        patch.setattr(room, "put", stops_after_one)
        with pytest.raises(KeyboardInterrupt):
            room.signals_of_run(finished_once.store, finished_once.store.get(run_id), ("fve",))
    assert say("--signals", "fve") == 1  # half of it was there, and none is taken for new


SEEN = Signal(
    "seen",
    lambda features: float(features.shape[0]),
    over=lambda values: np.arange(len(values), dtype=np.float64),
    needs=("features",),
    title="how many epochs were seen before",
    source="ours: a test",
    cost="nothing",
)


def test_epochs_off_the_grid_stay_and_change_nothing_of_it(store: Any, finish: Any, tiny: Any) -> None:
    """A costly signal takes every so many of those asked for; one that reads earlier values reads these only."""
    run_id = finish(store, tiny(n_train=60, learning_rate=0.02)).outcome.run_id
    run, mine = Finished.of(store, store.get(run_id)), f"{__name__}:SEEN"
    names = ("spectral_entropy", "lar", "hankel_dmd", mine, "loss")

    def put_at(epochs: tuple[int, ...], **more: Any) -> int:
        return room.signals_of_run(store, store.get(run_id), names, epochs, costly_every=4, **more)

    def stored() -> pd.Series:
        found = get(run.tracked, _battery.TABLE).content
        assert isinstance(found, pd.DataFrame)
        assert not found.duplicated(["epoch", "signal", "variant"]).any()
        return found.set_index(["signal", "variant", "epoch"])["value"].sort_index()

    def alone(epochs: tuple[int, ...]) -> pd.Series:
        table = room.compute(run, room.usable(run.config, names), epochs, costly_every=4)
        return table.set_index(["signal", "variant", "epoch"])["value"].sort_index()

    off, grid = (0, 17, 45, 50, 60), tuple(range(0, 61, 10))
    assert put_at(off) == 5
    before = stored()
    assert put_at(grid) == 4  # the loss is there at every epoch
    after, asked = stored(), alone(grid)
    assert list(after[mine, ""].index) == [0, 10, 17, 20, 30, 40, 45, 50, 60]
    assert list(after["spectral_entropy", ""].index) == [0, 40, 60]  # 60 of the first call, 40 of the second
    pd.testing.assert_series_equal(after[asked.index], asked, check_exact=True)
    others = before.index.difference(asked.index)
    assert {epoch for *_, epoch in others} >= {17, 45, 60}
    pd.testing.assert_series_equal(after[others], before[others], check_exact=True)
    assert put_at(grid) == 0
    pd.testing.assert_series_equal(stored(), after, check_exact=True)

    assert put_at((0, 20, 33)) == 3  # one more epoch; the longer series of before keeps what it says at 20
    more = stored()
    pd.testing.assert_series_equal(more[after.index], after, check_exact=True)
    assert more[mine, "", 20] == 2
    assert more[mine, "", 33] == 2  # 0 and 20 are before it

    versions = get(run.tracked, _battery.VERSIONS).content
    assert isinstance(versions, pd.DataFrame)
    put(run.tracked, File(_battery.VERSIONS, versions.assign(version=0)))
    assert put_at((0, 20)) == 5  # none is lacking, all are of another version
    renewed = stored()
    assert list(renewed.index) == list(more.index)
    assert list(renewed[mine, ""]) == list(range(10))
    of_state = [key for key in more.index if key[0] in ("spectral_entropy", "lar", "loss")]
    pd.testing.assert_series_equal(renewed[of_state], more[of_state], check_exact=True)
    assert put_at(grid, force=True) == 5
    pd.testing.assert_series_equal(stored()[asked.index], asked, check_exact=True)
    assert list(stored().index) == list(more.index)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--run", "x", "--epochs", "soon"], r"^epochs must be whole numbers separated by commas, .* got soon\. Write"),
        (["--run", "x", "--epochs", "0-9"], r"^epochs must be whole numbers"),
        (["--run", "x", "--costly-every", "0"], r"^costly-every must be a whole number ≥ 1, got 0\. 1 takes"),
        (["--run", "x", "--signals", "ildrr"], r"^signal must be one of .*, got ildrr\. Did you mean ildr\?"),
        (["--run", "x", "--study", "y"], r"^run or study must be given, one of them"),
        ([], r"^run or study must be given, one of them"),
    ],
)
def test_bad_input_is_refused(flags: list[str], said: str, finished_once: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished_once.store.uri)
    with pytest.raises(ConfigError, match=said):
        command.main(flags)


def test_an_epoch_beyond_the_run_is_refused(finished_once: Any) -> None:
    stored = finished_once.store.get(finished_once.outcome.run_id)
    with pytest.raises(ConfigError, match=r"^epochs must be whole numbers in \[0, 64\] of run .*, got \(0, 65\)"):
        room.signals_of_run(finished_once.store, stored, ("lar",), (0, 65))


def test_golden_values(run: Finished, table: pd.DataFrame) -> None:
    """Every signal and variant of one small run, to nine digits of the same states; a retrained network may differ more."""
    golden = json.loads(Path(__file__).with_name("golden_signals.json").read_text(encoding="utf-8"))
    keys = table[["signal", "variant"]].drop_duplicates().itertuples(index=False)
    found = {f"{name}/{variant}": of(table, name, variant) for name, variant in keys}
    assert set(golden) == set(found)
    for name, values in golden.items():
        expected = np.array([np.nan if value is None else value for value in values])
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-9, err_msg=name)
