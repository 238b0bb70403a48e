"""A signal in the place of the gap: its series by run, its last value kept, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.sensitivity.cells import Cells, Group
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.signal_cells import with_signal
from grok.signals.base import Signal
from grok.spec.fields import ConfigError
from grok.store.errors import StoreError

PUBLISHED = {"matrix": "v", "gap": "12", "method": "gram", "window": 7, "first_epoch": 0, "smoothing": 1}


class Tables:
    """Signals of runs by id: a norm that falls by half at an epoch of each run's own, known at every tenth."""

    def __init__(self, falls: dict[str, int]) -> None:
        self.falls = falls

    def signals(self, run_id: str) -> pd.DataFrame:
        if run_id not in self.falls:
            raise StoreError("signals.parquet must exist")
        epochs = np.arange(0, 61, 10)
        value = np.where(epochs >= self.falls[run_id], 1.0, 2.0)
        return pd.DataFrame({"epoch": epochs, "signal": "weight_norm", "variant": "", "value": value})


def cells(*ids: str) -> Cells:
    table = pd.DataFrame(
        {"run_id": ids, "seed": range(len(ids)), "epochs": 60, "test_50": 55.0, "methods": [("gram",)] * len(ids)}
    )
    band = {"w": np.ones((60, 5)), "v": np.ones((60, 5))}
    group = Group("square", "grok", "headline", table, [band] * len(ids), [{}] * len(ids))
    return Cells({("square", "grok"): group}, {}, (), pd.DataFrame())


def test_its_series_stand_in_the_place_of_every_gap() -> None:
    evidence: Any = Tables({"a": 20, "b": 40})
    found = with_signal(cells("a", "b"), evidence, "weight_norm").cells["square", "grok"]
    series = found.log_gaps("w", "gram", 20)
    assert series.shape == (3, 2, 61)
    np.testing.assert_array_equal(series[0], series[2])
    expected = -np.log(np.where(np.arange(61) >= np.array([[20], [40]]), 1.0, 2.0))  # a falling signal is turned round
    np.testing.assert_allclose(series[1], expected)
    other: Any = Tables({"a": 20, "b": 50})
    assert with_signal(cells("a", "b"), other, "weight_norm").cells["square", "grok"].fingerprint != found.fingerprint


def test_a_variant_is_turned_round_by_its_own_direction() -> None:
    class Counts(Tables):
        def signals(self, run_id: str) -> pd.DataFrame:
            return super().signals(run_id).assign(signal="characters", variant="count")

    evidence: Any = Counts({"a": 20})
    found = with_signal(cells("a"), evidence, "characters/count").cells["square", "grok"].log_gaps("w", "gram", 20)
    np.testing.assert_allclose(found[1, 0], -np.log(np.where(np.arange(61) >= 20, 1.0, 2.0)))


OWN = Signal("weight_norm", lambda weights: 1.0, needs=("weights",), direction="rising")


def test_one_of_ones_own_is_read_by_its_module_and_name() -> None:
    """And not the project's, if it has the same name."""
    own = f"{__name__}:OWN"

    class Both(Tables):
        def signals(self, run_id: str) -> pd.DataFrame:
            theirs = super().signals(run_id)
            return pd.concat([theirs, theirs.assign(signal=own, value=3 * theirs["value"])])

    evidence: Any = Both({"a": 20})
    found = with_signal(cells("a"), evidence, own).cells["square", "grok"].log_gaps("w", "gram", 20)
    np.testing.assert_allclose(found[1, 0], np.log(3 * np.where(np.arange(61) >= 20, 1.0, 2.0)))
    evidence = Tables({"a": 20})
    with pytest.raises(ConfigError, match=rf"^signal must have been computed of every run, got no {own} of a\. Compute it\.$"):
        with_signal(cells("a"), evidence, own)


def test_a_detector_fires_on_it() -> None:
    from grok.detectors.base import find

    evidence: Any = Tables({"a": 20, "b": 40})
    found = with_signal(cells("a", "b"), evidence, "weight_norm").cells["square", "grok"]
    rule = find("slope")
    setting = PUBLISHED | {"slope_threshold": 0.05, "slope_lag": 5, "direction": "rising"}
    np.testing.assert_array_equal(found.fires(setting, rule), [20.0, 40.0])


@pytest.mark.parametrize(
    ("text", "ids", "said"),
    [
        ("weight_norm", ("a", "c"), r"^signal must have been computed of every run, got none of c\. Run python"),
        ("lar/raw", ("a",), r"^signal must have been computed of every run, got no lar of a\."),
        ("lar/rough", ("a",), r"^signal must be a variant that there is \(lar/raw, .*\), got lar/rough\."),
        ("norm", ("a",), r"^signal must be one of .*, got norm\."),
    ],
)
def test_what_is_not_there_is_refused(text: str, ids: tuple[str, ...], said: str) -> None:
    evidence: Any = Tables({"a": 20})
    with pytest.raises(ConfigError, match=said):
        with_signal(cells(*ids), evidence, text)


def test_it_is_a_part_of_what_is_asked_and_comes_with_a_search() -> None:
    plain, asked = SensitivityConfig(mode="search"), SensitivityConfig(mode="search", signal="ildr")
    assert plain.hash != asked.hash
    assert asked.space(64).windows() == [3]
    assert len(plain.space(64).windows()) > 10
    with pytest.raises(ConfigError, match=r"^signal must come with mode search, got ildr\. Take mode search"):
        SensitivityConfig(signal="ildr")
