"""Options of plug-ins: each says the names that it reads, and the rest is refused."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grok.spec.fields import ConfigError
from grok.training.loop import Training
from grok.training.parts import check_parts
from tests.contracts.test_recorders import FULL, Recorded

SOURCE = """
from grok.recorders.base import Recorder, Recording


class Often(Recording):
    def due(self, epoch):
        return epoch % int(self.config.option_values.get("often_every", "12")) == 0

    def see(self, step, view):
        return {"often/epoch": float(step.epoch)}


RECORDER = Recorder(title="Epochs", start=Often, options=("often_every",))
"""


@pytest.fixture
def often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A recorder of one's own with an option."""
    (tmp_path / "often_of_my_own.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "often_of_my_own:RECORDER"
    sys.modules.pop("often_of_my_own", None)


@pytest.mark.parametrize(("options", "epochs"), [("none", [0, 12, 24]), ("often_every=8", [0, 8, 16, 24])])
def test_a_plug_in_reads_its_option(often: str, options: str, epochs: list[int]) -> None:
    config = dataclasses.replace(FULL, recorders=(often,), options=options)
    frame = Recorded(config).member.run.frame()
    assert frame["often/epoch"].dropna().tolist() == epochs


def test_an_option_that_nothing_takes_is_refused(often: str) -> None:
    config = dataclasses.replace(FULL, recorders=(often,), options="often_every=8;oftn=3")
    with pytest.raises(ConfigError, match=r"^options must be names of often_every, got oftn\. Drop them or name"):
        Training(config)
    both = dataclasses.replace(FULL, recorders=(often,), detector="level", options="often_every=8;level=2")
    check_parts(both)
    with pytest.raises(ConfigError, match=r"^options must be none, .* got often_every\."):
        check_parts(dataclasses.replace(FULL, options="often_every=8"))
