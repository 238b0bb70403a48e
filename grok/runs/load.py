"""A tracked run from Python: its config, history, bands, weights and network, each read when it is first asked for.

Shapes: T epochs, L lags, w window, n samples, C classes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from grok.detectors._chosen import chosen
from grok.networks.base import Predictor
from grok.numerics.gaps import gap_series
from grok.numerics.spectra import EIGENVALUES, rolling_eigenvalues
from grok.runs.saving import get
from grok.spec.artifacts import BAND, FACTORS, HISTORY, WEIGHTS
from grok.spec.config import ResolvedConfig
from grok.spec.fields import did_you_mean, shown
from grok.spec.plugins import OWN, OWN_FIELDS, own_code
from grok.store.errors import StoreError
from grok.store.model import logged_network
from grok.store.run import TrackedRun
from grok.store.store import Store, open_store
from grok.store.tags import KIND, POINTS_TO, TRAIN, StoredRun
from grok.training.parts import DEFAULT_NETWORK, network_facts, network_of

FIRST = "Train one first: python -m entry_points.train"
SHORT = re.compile(r"[0-9a-f]{4,32}")
"""The beginning of an id or of a config hash."""
CHECKPOINT = re.compile(r"epoch-(\d+)\.safetensors")


@dataclass(frozen=True, repr=False)
class LoadedRun:
    """A training run of a store. Nothing is read before it is asked for, and what was read is kept.

    Attributes:
        stored: the run as the store has it: id, name, state, tags, params, newest metrics.
        store: that it is in.
        trust_code: whether code of somebody's own that the run names may be imported, for `network` and `fire_epoch`.
    """

    stored: StoredRun
    store: Store = field(compare=False)
    trust_code: bool = False

    def __repr__(self) -> str:
        return f"<run {self.id[:8]}: {self.stored.name}, {self.stored.state or 'of no state'}>"

    @property
    def id(self) -> str:
        """Of the run, 32 hex digits."""
        return self.stored.run_id

    @property
    def state(self) -> str:
        """`complete`, `diverged`, `running`, `interrupted` or `failed`."""
        return self.stored.state

    @property
    def conditions(self) -> dict[str, str]:
        """The run's condition by study, of the studies that it was trained for or reused in."""
        return self.stored.studies

    @property
    def metrics(self) -> dict[str, float]:
        """Summary metrics, and those by epoch at their last epoch, by name."""
        return dict(self.stored.metrics)

    @cached_property
    def config(self) -> ResolvedConfig:
        """The config that its params spell, which are held against its hash. What follows from it is refused where it is.

        Raises:
            ConfigError: if a param breaks a rule. StoreError: if they are not known to be those that it was trained with.
        """
        config = self.stored.config
        if why := self.stored.unproven(config):
            told = f"run must have the params of its config, got {self.id} ({why}). Read its files alone, or train it anew."
            raise StoreError(told)
        return config

    @cached_property
    def history(self) -> pd.DataFrame:
        """`history.parquet`: a row per epoch, columns named as the metrics; NaN where one was not observed."""
        return cast(pd.DataFrame, self.file(HISTORY))

    @cached_property
    def band(self) -> dict[str, np.ndarray]:
        """⟨ΔW_t, ΔW_{t−l}⟩ by layer: (T, L) float64, entry [t − 1, l]; NaN for l ≥ t."""
        return cast(dict[str, np.ndarray], self.file(BAND))

    @cached_property
    def factors(self) -> dict[str, np.ndarray]:
        """Factors of each window of updates by `<kind>_<layer>`, (T + 1, w, w) float64; of runs with raw spectra alone."""
        return cast(dict[str, np.ndarray], self.file(FACTORS))

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Paths of all that the run has stored, sorted."""
        return tuple(TrackedRun(self.store.client, self.stored).walk())

    def file(self, path: str) -> Any:
        """What a file of the run has in it, read by its ending: a table, arrays or tensors by name.

        Args:
            path: among `files`; ends in .parquet, .npz or .safetensors.

        Raises:
            StoreError: if the run has none.
        """
        return get(TrackedRun(self.store.client, self.stored), path).content

    def eigenvalues(self, window: int | None = None, *, layer: str | None = None, count: int = EIGENVALUES) -> np.ndarray:
        """λ₁ ≥ λ₂ ≥ … of the Gram of the last `window` updates, from the band: no training.

        Args:
            window: w in [1, L]; the run's own if None. layer: of the band; the one that the detector watches if None.
            count: how many.

        Returns:
            (T + 1, count) float64; NaN while fewer updates exist.

        Raises:
            ValueError: if the window is larger than what the band has. StoreError: as `config` has it.
        """
        own = self.config.window  # asked for in any case: whose spectrum it is
        return rolling_eigenvalues(self._band_of(layer), window or own, count)

    def gap(
        self, window: int | None = None, *, k: int = 2, layer: str | None = None, method: str = "gram", seed: int = 0
    ) -> np.ndarray:
        """λ_k / λ_{k+1} at every epoch, as the detector reads it.

        Args:
            window: w; the run's own if None. k: 1-based. layer: as `eigenvalues` has it.
            method: `gram`, from the band, or one that the run has recorded. seed: of a randomised method.

        Returns:
            (T + 1,) float64; NaN while fewer updates exist.

        Raises:
            ValueError: if the window is too large, or the method was not recorded. StoreError: as `config` has it.
        """
        own, factors = self.config.window, {} if method == "gram" else self.factors
        size, name = window or own, layer or self._watched
        return gap_series(self._band_of(name), factors, method=method, layer=name, window=size, k=k, seed=seed)

    def fire_epoch(self, window: int | None = None, *, k: int = 2, layer: str | None = None, **settings: Any) -> int | None:
        """The first epoch at which the run's detector holds, with another window, layer or setting; None if it never does.

        Args:
            window, k, layer: as `gap` has them.
            settings: fields of the config such as `slope_threshold`, `slope_lag`, `first_epoch` or `detector`.

        Raises:
            StoreError: if the run names a detector of somebody's own that is not trusted, and no other is given.
        """
        if "detector" not in settings:  # that one is the caller's
            self._refuse_own(("detector",))
        return chosen(replace(self.config, **settings)).fire_epoch(self.gap(window, k=k, layer=layer))

    @cached_property
    def checkpoints(self) -> tuple[int, ...]:
        """Epochs at which weights are stored."""
        there = TrackedRun(self.store.client, self.stored).list_files(WEIGHTS.partition("/")[0])
        return tuple(sorted(int(found[1]) for path in there if (found := CHECKPOINT.fullmatch(Path(path).name))))

    def weights(self, epoch: int) -> dict[str, np.ndarray]:
        """The weights at a checkpoint epoch by layer: of the two-layer network `w` (2M, K) and `v` (K, M); not kept.

        Raises:
            StoreError: if there are none; the message says at which epochs there are.
        """
        if epoch not in self.checkpoints:
            there = ", ".join(map(str, self.checkpoints)) or "none"
            raise StoreError(f"epoch must be one of the run's checkpoints ({there}), got {epoch}. Pick one of them.")
        return {name: tensor.numpy() for name, tensor in self.file(WEIGHTS.format(epoch)).items()}

    def network(self, epoch: int | None = None) -> Predictor:
        """The network as a function of inputs: (n, P) integers to (n, C) scores; pairs (a, b) of modular addition.

        Args:
            epoch: a checkpoint; the trained network if None.

        Raises:
            StoreError: if it was not stored, is of another config, or the run names code of somebody's own that is not trusted.
        """
        self._refuse_own()
        if epoch is not None:
            self.weights(epoch)  # or says at which epochs there are some
            return network_of(self.config).predictor(self.file(WEIGHTS.format(epoch)), network_facts(self.config))
        with tempfile.TemporaryDirectory() as folder:
            tensors, facts = logged_network(TrackedRun(self.store.client, self.stored), Path(folder))
        self._check_facts(facts)
        return network_of(self.config).predictor(tensors, facts)

    def _refuse_own(self, fields: Sequence[str] = OWN_FIELDS) -> None:
        """Refuse to load code of somebody's own that the run names, unless it is trusted."""
        if (own := own_code(self.config, fields)) and not self.trust_code:
            raise StoreError(
                f"run must not name code of somebody's own unless it is trusted, got {', '.join(own)} in {self.id}. "
                "Read that code, then load the run with trust_code=True."
            )

    def _check_facts(self, facts: Mapping[str, Any]) -> None:
        """Refuse a logged network whose file names other parts than the run does: its names are loaded.

        Raises:
            StoreError: if it does.
        """
        wanted = {"network": self.config.network, "activation": self.config.activation}
        found = {"network": facts.get("network", DEFAULT_NETWORK), "activation": facts.get("activation", wanted["activation"])}
        differ = [f"{name} {shown(found[name])}" for name in wanted if found[name] != wanted[name]]
        named = {text.split()[1] for text in own_code(self.config)}
        differ += [shown(text) for text in _texts(facts) if OWN.fullmatch(text) and text not in (*named, *found.values())]
        if differ:
            raise StoreError(
                f"logged network must be that of its run's config, got {', '.join(differ)} in {self.id}. Train anew."
            )

    @cached_property
    def _watched(self) -> str:
        """The layer whose updates the detector watches."""
        own = own_code(self.config, ("network",)) and not self.trust_code
        return next(iter(self.band)) if own else network_of(self.config).layers[0]

    def _band_of(self, layer: str | None) -> np.ndarray:
        name = layer or self._watched
        if name not in self.band:
            raise ValueError(
                f"layer must be one of {', '.join(self.band)}, got {name}. {did_you_mean(name, self.band, 'Pick one of them.')}"
            )
        return self.band[name]


def _texts(value: Any) -> list[str]:
    """Every text in a value as JSON has it."""
    found, left = list[str](), [value]  # not by recursion: it may be nested deep
    while left:
        one = left.pop()
        if isinstance(one, Mapping | list):
            left += one.values() if isinstance(one, Mapping) else one
        elif isinstance(one, str):
            found.append(one)
    return found


def load_run(name: str, *, store: Store | None = None, trust_code: bool = False) -> LoadedRun:
    """A training run of a store by its id or by the hash of its config.

        run = grok.load_run("3f9c")
        run.history["accuracy/test"], run.gap(window=10), run.fire_epoch(slope_threshold=0.03), run.weights(400)["w"]

    Args:
        name: id, config hash, or the beginning of either, of at least four digits. Of several runs of one config the newest
            that is done is taken.
        store: an open store; that of `MLFLOW_TRACKING_URI`, or the project's own, if None.
        trust_code: whether code of somebody's own that the run names may be imported.

    Raises:
        StoreError: if there is none, several configs begin so, or it is no training run.
    """
    store = store or open_store(existing=FIRST)
    if not SHORT.fullmatch(name):
        raise StoreError(f"run must be 4 to 32 hex digits of its id or its config hash, got {name!r:.80}. See analysis.runs().")
    return LoadedRun(_pointed(store, store.get(name)) if len(name) == 32 else _begins(store, name), store, trust_code)


def _pointed(store: Store, run: StoredRun) -> StoredRun:
    """The training run that an id leads to: itself, or where a pointer points."""
    target = run.get(POINTS_TO)
    if target:
        run = store.get(target)
    if run.kind != TRAIN:
        raise StoreError(f"run must be a training run, got {run.run_id} ({run.kind or 'not of this project'}). Name another.")
    return run


def _begins(store: Store, name: str) -> StoredRun:
    """The training run whose id or config hash begins so; of one config the newest that is done."""
    found = [run for run in store.find({KIND: TRAIN}) if run.run_id.startswith(name) or run.config_hash.startswith(name)]
    if not found:
        raise StoreError(f"run must be in {store.shown}, got none that begins with {name}. See analysis.runs().")
    by_hash: Mapping[str, str] = {run.config_hash: run.run_id for run in found}
    if len(by_hash) > 1:
        several = ", ".join(sorted(run_id[:8] for run_id in by_hash.values()))
        raise StoreError(f"run must be one, got {name}, with which several begin ({several}). Give more digits.")
    exact = [run for run in found if run.run_id.startswith(name)]
    among = exact if len(exact) == 1 else found
    return next((run for run in among if run.done), among[0])
