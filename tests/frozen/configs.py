"""The configs of the frozen store's runs, spelt out: nothing here follows a change of another test's config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from grok.spec.config import RunConfig

HERE = Path(__file__).resolve().parent
LARGE = RunConfig(
    modulus=11,
    width=32,
    epochs=48,
    max_window=24,
    window=6,
    slope_lag=5,
    first_epoch=34,
    slope_threshold=0.06,
    top_pairs=20,
    checkpoint_epochs=(0, 20, 48),
    observe_every=16,
    save_every=16,
    threads=1,
    device="cpu",
)
"""Fires; has a checkpoint off the saves, saves on and off the checkpoints."""
SMALL = RunConfig(
    modulus=7,
    width=16,
    n_train=25,
    epochs=24,
    window=5,
    max_window=8,
    slope_lag=5,
    first_epoch=10,
    top_pairs=12,
    checkpoint_epochs=(6, 24),
    weight_decay=0.01,
    observe_every=5,
    save_every=8,
    threads=1,
    device="cpu",
)
"""As small as a run can be that still has every part."""
LEAST = replace(SMALL, modulus=5, width=8, n_train=12, top_pairs=8, precision="float64", checkpoint_epochs=(24,))
"""For what only has to stop and go on."""
CONFIGS = {
    "complete": replace(
        LARGE,
        delta_w="windows",
        spectrum_methods=("gram", "gram32", "svd", "randomized_5"),
        repulsion_every=8,
        observe_every=4,
    ),
    "eta0": replace(LARGE, weight_decay=0.0),
    "relu": replace(SMALL, activation="relu", learning_rate=0.01),
    "random": replace(SMALL, labels="random", optimizer="adamw"),
    "full": replace(SMALL, delta_w="full", optimizer="muon"),
    "diverged": replace(SMALL, activation="cube", optimizer="sgd", learning_rate=10.0, seed=1),
    "interrupted": replace(SMALL, precision="float64", spectrum_methods=("gram", "svd"), delta_w="windows", repulsion_every=4),
    "ranked": replace(
        LEAST,
        pair_ranking="epoch_150",
        epochs=168,
        checkpoint_epochs=(150, 160, 168),
        observe_every=0,
        repulsion_every=6,
        save_every=50,
    ),
    "failed": replace(LEAST, seed=2),
    "dead": replace(LEAST, seed=3),
}
"""By the name that tests know the run by. What goes on after the move is float64: what another processor rounds otherwise is
then 1e-16 of a number, not 1e-7."""
TAGS = {
    "complete": {"study.headline": "grok", "study.theorem6": "grok", "study.activations": "grok"},
    "eta0": {"study.headline": "eta0", "study.activations": "eta0"},
    "relu": {"study.relu": "grok"},
    "random": {"study.controls": "random_labels"},
    "diverged": {"study.scaling": "grid"},
    "interrupted": {"study.headline": "grok"},
    "failed": {"study.headline": "grok"},
}
STOPS = {"interrupted": 21, "ranked": 157, "dead": 17}
"""Epochs at which a run was stopped and saved: after two saves, after the ranking of the pairs, after two saves."""
FINISHED = ("complete", "eta0", "relu", "random", "full", "diverged")
STUDY = f"{HERE / 'own.yaml'}:four"
"""Two seeds with weight decay and two without; the store knows it as `own/four`."""
