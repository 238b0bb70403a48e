"""The detector that a config names: its parameters, what is refused, and that a run's fire epoch is its reading."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from analysis.figures import run_figures
from analysis.reading.derived import detected
from grok.detectors._chosen import chosen
from grok.detectors.base import find, fire_epochs
from grok.numerics.series import fire_epoch
from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.training.parts import check_parts, sources
from tests.contracts.test_recorders import FULL, Recorded

LEVEL = dataclasses.replace(FULL, detector="level", options="level=1.6")
OWN = """
import numpy as np

from grok import Detector, Range


def hits(log_gap, first_epoch, *, jump):
    out = np.zeros(log_gap.shape, dtype=bool)
    out[:, 1:] = log_gap[:, 1:] - log_gap[:, :-1] > jump
    out[:, :first_epoch] = False
    return out


jump = Detector("jump", {"jump": Range(0.05, 2.0)}, hits)
"""


def test_slope_is_the_published_reading_with_the_fields_of_the_config() -> None:
    gap = np.exp(np.abs(np.cumsum(np.random.default_rng(3).normal(scale=0.3, size=200))))
    config = RunConfig(slope_lag=7, slope_threshold=0.02, first_epoch=20)
    assert chosen(config).detector is None
    assert chosen(config).fire_epoch(gap) == fire_epoch(gap, 7, 0.02, 20) is not None
    assert chosen(config).words == "slope detector (window 20, slope > 0.02 over 7 epochs)"


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("level", "none", {"level": math.sqrt(1.5 * 1000)}),
        ("sustained", "level=3", {"level": 3.0, "hold": 26}),
        (
            "cusum",
            "direction=falling;cusum_drift=0",
            {"cusum_drift": 0.0, "cusum_threshold": math.sqrt(0.2 * 8), "direction": "falling"},
        ),
    ],
)
def test_a_parameter_not_given_is_the_middle_of_its_range(name: str, options: str, parameters: dict[str, Any]) -> None:
    found = chosen(RunConfig(detector=name, options=options, first_epoch=20))
    assert found.parameters.keys() == parameters.keys()
    assert all(
        value == found.parameters[key] or math.isclose(value, found.parameters[key]) for key, value in parameters.items()
    )
    gap = np.exp(np.abs(np.cumsum(np.random.default_rng(5).normal(scale=0.4, size=300))))
    gap[:5] = np.nan
    epoch = fire_epochs(find(name), np.log(gap)[None], 20, **parameters)[0]
    assert found.fire_epoch(gap) == (None if np.isnan(epoch) else epoch)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"detector": "level", "options": "levle=3"}, r"^options must be names of level, got levle\. Drop them"),
        ({"options": "level=3"}, r"^options must be none, as nothing that the config names takes any, got level\."),
        (
            {"detector": "level", "options": "level=high"},
            r"^options must give level a finite number, got high\. .*=38\.7",
        ),
        ({"detector": "level", "options": "level=nan"}, r"^options must give level a finite number, got nan\."),
        ({"detector": "sustained", "options": "hold=2.5"}, r"^options must give hold a whole number, got 2\.5\. .* hold=26\."),
        ({"detector": "cusum", "options": "direction=up"}, r"^options must give direction one of rising, falling, got up\."),
        ({"detector": "nowhere:at_all"}, r"^detector must be importable, got nowhere:at_all"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_a_run_is_made(changes: dict[str, Any], told: str, store: Store) -> None:
    config = dataclasses.replace(FULL, **changes)
    with pytest.raises(ConfigError, match=told) as refused:
        train_tracked([config], store)
    assert "\n" not in str(refused.value)
    assert not store.find({})
    with pytest.raises(ConfigError, match=told):
        check_parts(config)


def test_a_runs_fire_epoch_is_the_reading_of_its_detector() -> None:
    run = Recorded(LEVEL).member.run
    gap = run.series("delta_w/gap_23")
    epoch = int(np.flatnonzero((gap >= 1.6) & (np.arange(len(gap)) >= LEVEL.first_epoch))[0])
    assert (run.summary()["fired"], run.summary()["fire_epoch"]) == (1.0, epoch)
    assert epoch != Recorded(FULL).member.run.summary().get("fire_epoch")
    modes = Recorded(LEVEL).files["delta_w/modes.safetensors"][1]
    assert modes.facts["fire_epoch"] == epoch
    row = {name: getattr(LEVEL, name) for name in ("slope_lag", "slope_threshold", "first_epoch", "detector", "options")}
    assert detected(row, gap)["fire_epoch"] == epoch


def test_a_detector_of_ones_own_reads_a_stored_run(store: Store, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words name it, its file is kept, it is part of the identity, and the figure shows its epoch."""
    (tmp_path / "detectors_of_my_own.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = dataclasses.replace(FULL, detector="detectors_of_my_own:jump", options="jump=0.1")
    (outcome,) = train_tracked([config], store, figures=run_figures)
    found = store.get(outcome.run_id)
    note = found.data.tags["mlflow.note.content"].replace("&emsp;", "")
    assert "| detectors_of_my_own:jump detector (window 5, jump 0.1) | **" in note
    assert config.hash != FULL.hash
    log_gap = np.log(Recorded(config).member.run.series("delta_w/gap_23"))
    rises = [t for t in range(config.first_epoch, len(log_gap)) if log_gap[t] - log_gap[t - 1] > 0.1]
    assert outcome.summary.get("fire_epoch") == (rises[0] if rises else None)
    assert rises
    assert [path.name for path in sources(config)] == ["detectors_of_my_own.py"]
    assert TrackedRun(store.client, outcome.run_id).list_files("code") == ["code/detectors_of_my_own.py"]
