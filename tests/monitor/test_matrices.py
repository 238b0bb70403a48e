"""Signals of the weights themselves, on anyone's matrices."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from grok import SpectralMonitor, Watch
from grok.monitor.rules import Live
from grok.signals.base import find, series
from grok.spec.fields import ConfigError
from tests.helpers.references import one_thread  # noqa: F401
from tests.monitor.loops import network, train

OF_WEIGHTS = ("effective_rank_w", "effective_rank_v", "fiedler", "topology")
ONE, CHAIN = {"first": r"^0\."}, {"both": "weight$"}
"""Blocks of one matrix, and of two in a chain."""


def run(blocks: dict[str, str], names: tuple[str, ...], steps: int = 60, **settings: Any) -> tuple[SpectralMonitor, list[Any]]:
    """A monitor, and the two matrices as (inputs, outputs) at each update."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0.5)
    monitor = SpectralMonitor(model, 4, blocks=blocks, signals=names, watches=(), strict=True, **settings).attach(optimizer)

    def now() -> dict[str, torch.Tensor]:
        return {"w": model[0].weight.detach().T.clone(), "v": model[2].weight.detach().T.clone()}

    seen = [now()]
    train(model, optimizer, steps, after=lambda: seen.append(now()))
    return monitor, seen


def after(name: str, variant: str, seen: list[dict[str, torch.Tensor]]) -> np.ndarray:
    """The signal of a finished run."""
    moved = [None, *({n: w - before[n] for n, w in at.items()} for before, at in itertools.pairwise(seen))]
    return series(find(name), {"weights": seen, "moved": moved}, variant)


def test_an_effective_rank_is_that_of_the_singular_values() -> None:
    monitor, seen = run(ONE, ("effective_rank_w",))
    found = monitor.columns("first")
    for t, weights in enumerate(seen):
        p = np.linalg.svd(weights["w"].double().numpy(), compute_uv=False) ** 2
        p /= p.sum()
        np.testing.assert_allclose(found["effective_rank_w"][t], np.exp(-(p * np.log(p)).sum()), rtol=1e-9)
        np.testing.assert_allclose(found["effective_rank_w_participation"][t], 1 / (p**2).sum(), rtol=1e-9)
    assert np.ptp(found["effective_rank_w"]) > 0.01


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_signals_of_the_weights_are_the_same_live_and_after(name: str, batch: int) -> None:
    monitor, seen = run(CHAIN if name in ("fiedler", "topology") else ONE, (name,), batch=batch)
    found = monitor.columns()
    if name == "effective_rank_v":
        seen = [{"v": weights["w"]} for weights in seen]  # a block of one matrix stands for either layer
    for variant in find(name).variants:
        column = f"{name}_{variant}" if variant else name
        true = after(name, variant, seen)
        assert np.isfinite(true).sum() > 20
        np.testing.assert_allclose(found[column], true, rtol=1e-9)


def test_a_resumed_run_has_them_to_the_bit() -> None:
    def make() -> Any:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
        names = ("fiedler", "topology")
        return model, optimizer, SpectralMonitor(model, 4, blocks=CHAIN, signals=names, watches=(), batch=2, strict=True)

    model, optimizer, straight = make()
    straight.attach(optimizer)
    train(model, optimizer, 41, seed=1)
    file = io.BytesIO()
    torch.save({"m": model.state_dict(), "o": optimizer.state_dict(), "s": straight.state_dict()}, file)
    train(model, optimizer, 41, seed=2)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other, again, resumed = make()
    other.load_state_dict(saved["m"])
    again.load_state_dict(saved["o"])
    resumed.attach(again).load_state_dict(saved["s"])
    train(other, again, 41, seed=2)
    assert np.isfinite(straight.columns()["topology_ar1"]).sum() > 50
    for column, values in straight.columns().items():
        np.testing.assert_array_equal(resumed.columns()[column], values, err_msg=column)


def test_weights_that_are_not_finite_have_none() -> None:
    weights = torch.eye(4)
    monitor = SpectralMonitor({"w": weights}, 3, signals=("effective_rank_w",), watches=(), strict=True)
    for t in range(6):
        monitor.update()
        weights[0, 0] = float("nan") if t == 2 else 2.0 + t
    assert np.isnan(monitor.columns()["effective_rank_w"]).tolist() == [False, False, False, True, False, False]
    assert [event.kind for event in monitor.events] == ["divergence"]


def test_a_copy_of_the_weights_is_counted_as_memory() -> None:
    model = nn.Sequential(nn.Linear(50, 40, bias=False), nn.Linear(40, 30, bias=False))
    plain = SpectralMonitor(model, 4, signals=("gap", "fiedler"))
    copies = SpectralMonitor(model, 4, signals=("gap", "topology"))
    columns = len(copies.settings.signals) - len(plain.settings.signals)
    assert copies.memory - plain.memory == 4 * (50 * 40 + 40 * 30) + 8 * 2 * 4096 * columns


def test_a_rule_turns_a_signal_round_that_announces_by_falling() -> None:
    names = ("effective_rank_w", "effective_rank_w_participation", "gap_23")
    assert [Live(Watch("level", name))._negative for name in names] == [True, True, False]
    assert not Live(Watch("slope", "effective_rank_w"))._negative  # it has a direction of its own
    assert [Live(Watch("level", f"characters{one}"))._negative for one in ("", "_additive", "_count")] == [False, False, True]


@pytest.mark.parametrize(
    ("model", "blocks", "name", "line"),
    [
        (network(), "all", "effective_rank_w", "signal effective_rank_w must find one matrix in each block, got 2 in all."),
        (network(), ONE, "fiedler", "signal fiedler must find two matrices in a chain in each block, got 1 in first."),
        ({"a": torch.ones(2, 3), "b": torch.ones(2, 3)}, "all", "fiedler", "signal fiedler must find two matrices in a chain"),
        ({"a": torch.ones(2, 3).cfloat()}, "all", "effective_rank_w", "signal effective_rank_w must read whole real matrices"),
        (network(), "all", "fourier_dominance", "signals must need no more than the weights ("),
    ],
)
def test_what_a_block_cannot_feed_is_refused(model: Any, blocks: Any, name: str, line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SpectralMonitor(model, 4, blocks=blocks, signals=(name,), watches=())
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_a_state_of_before_there_were_such_signals_is_loaded() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    monitor = SpectralMonitor(model, 4, batch=2, strict=True).attach(optimizer)
    train(model, optimizer, 7)
    state = monitor.state_dict()
    (clock,) = state["clocks"].values()
    del clock["now"], clock["since"], clock["paused"]
    for track in clock["tracks"].values():
        del track["matrices"]
    other = SpectralMonitor(model, 4, batch=2, strict=True).attach(optimizer)
    other.load_state_dict(state)
    train(model, optimizer, 7, seed=2)
    np.testing.assert_array_equal(other.eigenvalues(), monitor.eigenvalues())
    assert other.updates == {"all": 14}
