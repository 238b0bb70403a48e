"""Curves that others released, on a stand-in of the same layout: what is planted comes out, what is not of it is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from analysis.papers.signals import released
from grok.spec.fields import ConfigError

STEPS = np.unique(np.geomspace(1, 6000, 120).astype(int))
SEEDS = 12


def write(path: Path, *, alpha: float, groks: bool, change: dict[str, object] | None = None) -> None:
    """A configuration: the norm peaks and falls in every run; the Gini rises 400 steps before grokking and nowhere else."""
    rng = np.random.default_rng(int(100 * alpha))
    t50 = 1000 + 100 * np.arange(SEEDS) if groks else np.full(SEEDS, np.inf)
    reached = STEPS[None, :] >= t50[:, None]
    noise = rng.normal(0, 0.01, (SEEDS, len(STEPS)))
    arrays: dict[str, object] = {
        "steps": STEPS,
        "test_acc": np.where(reached, 0.995, 0.02),
        "train_acc": np.where(STEPS >= 100, 1.0, 0.1)[None, :].repeat(SEEDS, 0),
        "weight_norm": (60 - 20 * (STEPS > 300))[None, :] + noise,
        "eff_rank_E": 40 + noise,
        "fourier_gini": np.where(STEPS[None, :] >= t50[:, None] - 400, 0.6, 0.1) + noise,
        "p": 59,
        "alpha": alpha,
        "lam": 1.0,
        "lr": 1e-3,
        "optim": "adamw",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(arrays | (change or {})))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "data/grokfss/metrics/a.npz", alpha=0.5, groks=True)
    write(tmp_path / "data/grokfss/metrics/b.npz", alpha=0.15, groks=False)
    np.savez(tmp_path / "data/other.npz", steps=STEPS)
    return tmp_path


def test_every_seed_is_a_run_with_its_events(folder: Path) -> None:
    runs = released.load(folder)
    assert len(runs) == 2 * SEEDS
    grown = [one for one in runs if one.run.positive]
    assert [one.run.seed for one in grown] == list(range(SEEDS))
    for one in grown:
        asked = 1000 + 100 * one.run.seed
        assert one.run.t50 == STEPS[asked <= STEPS][0]
        assert one.memorised == STEPS[STEPS >= 100][0]
    assert {one.run.control for one in runs} == {"", "p = 59, 0.15 of the pairs"}
    assert all(math.isnan(one.run.t50) for one in runs if not one.run.positive)


def test_the_rules_find_what_was_planted(folder: Path) -> None:
    rows = released.board(released.load(folder)).set_index("signal")
    assert rows.loc["gini", "verdict"] == "alarm"
    assert rows.loc["gini", ["tpr", "fpr"]].tolist() == [1.0, 0.0]
    assert 250 <= rows.loc["gini", "lead_t50"] <= 400
    for name in ("norm_peak", "weight_norm", "effective_rank", "clock"):
        assert rows.loc[name, "tpr"] < 0.8
    assert (rows["positives"] == SEEDS // 2).all()


def test_what_neither_groks_nor_fails_is_left_out(folder: Path) -> None:
    half = np.full((SEEDS, len(STEPS)), 0.5)
    write(folder / "data/grokfss/metrics/c.npz", alpha=0.3, groks=False, change={"test_acc": half})
    assert len(released.load(folder)) == 2 * SEEDS


def test_what_is_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^released must be a folder with \.npz files of steps, test_acc, .* without one\."):
        released.load(tmp_path)
    write(tmp_path / "a.npz", alpha=0.5, groks=True, change={"fourier_gini": np.zeros((SEEDS, 3))})
    with pytest.raises(ConfigError, match=r"^curves must be seeds by steps, got others in .*a\.npz\. Check"):
        released.load(tmp_path)


def test_other_keys_are_not_looked_at(tmp_path: Path) -> None:
    """Those that are released hold objects too."""
    write(tmp_path / "a.npz", alpha=0.5, groks=True, change={"config": np.array([{}], dtype=object)})
    assert len(released.load(tmp_path)) == SEEDS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": np.array([[{}]], dtype=object)}, r"released must have whole \.npz files, got .*holds object"),
        ({"test_acc": np.array(["x"])}, r"released must have whole \.npz files, got .*could not convert string"),
        ({"p": np.ones(3)}, "p, alpha, lam, lr must be numbers beside curves, got others in"),
        ({"p": np.nan}, "steps, accuracies and p, alpha, lam, lr must be finite, got others in"),
        ({"steps": np.full(len(STEPS), np.inf)}, "steps, accuracies and p, alpha, lam, lr must be finite, got others in"),
        ({"test_acc": np.full((SEEDS, len(STEPS)), np.nan)}, "steps, accuracies and p, alpha, lam, lr must be finite, got"),
        ({"steps": STEPS[:, None]}, "curves must be seeds by steps, got others in"),
    ],
)
def test_arrays_that_are_no_curves_are_refused_in_one_line(tmp_path: Path, change: dict[str, object], words: str) -> None:
    write(tmp_path / "a.npz", alpha=0.5, groks=True, change=change)
    with pytest.raises(ConfigError, match=f"^{words}") as caught:
        released.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04junk", b"\x93NUMPY"])
def test_a_file_that_is_no_archive_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^released must have whole \.npz files, got .*Check the download\.$"):
        released.load(tmp_path)


def test_a_file_that_unfolds_to_more_than_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released, "MOST_BYTES", 10_000)
    write(tmp_path / "a.npz", alpha=0.5, groks=True)
    with pytest.raises(ConfigError, match=r"bytes of arrays, at most 10000 are expected"):
        released.load(tmp_path)
