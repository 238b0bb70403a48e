"""Errata: the algebra on networks, and chapters that say what was measured, whichever way it goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.exhibits.evaluate import write
from analysis.exhibits.model import Chapter, Erratum
from analysis.papers.xu import demonstrations, errata, repulsion_errata
from grok.networks.two_layer import initial_weights
from grok.spec.config import RunConfig
from tests.conftest import TINY
from tests.helpers.synthetic import SyntheticEvidence
from tests.papers.test_claims import everywhere

CHAPTERS = (*repulsion_errata.CHAPTERS, *errata.CHAPTERS)


class Evidence(SyntheticEvidence):
    """Made-up runs of small networks: what the errata compute from weights takes milliseconds."""

    def _runs(self, study: str) -> pd.DataFrame:
        small = TINY.resolved()
        sizes = {name: getattr(small, name) for name in ("modulus", "width", "n_train", "top_pairs")}
        return super()._runs(study).assign(**sizes)

    def weights(self, run_id: str, epoch: int) -> dict[str, np.ndarray]:
        """A network that was not trained."""
        w, v = initial_weights(TINY.modulus, TINY.width, 0)
        return {"w": w.numpy(), "v": v.numpy()}


def written(evidence: Any) -> dict[str, Erratum]:
    return {erratum.id: erratum for erratum in write(evidence, CHAPTERS)}


@pytest.fixture(scope="module")
def good() -> dict[str, Erratum]:
    return written(Evidence())


@pytest.fixture(scope="module")
def broken() -> dict[str, Erratum]:
    return written(Evidence(broken=True))


# the algebra


def dense(run: pd.Series) -> tuple[np.ndarray, np.ndarray, float]:
    """F̃ and its Gram, by one-hot inputs and plain products in float64."""
    w, _ = initial_weights(int(run["modulus"]), int(run["width"]), int(run["seed"]))
    m = int(run["modulus"])
    order = torch.randperm(m * m, generator=torch.Generator().manual_seed(int(run["seed"])))[: int(run["n_train"])].numpy()
    x = np.zeros((len(order), 2 * m))
    x[np.arange(len(order)), order // m], x[np.arange(len(order)), m + order % m] = 1.0, 1.0
    f = (x @ w.double().numpy()) ** 2
    f -= f.mean(axis=0)
    return f, f.T @ f, float(run["weight_decay"])


@pytest.fixture(scope="module")
def run() -> pd.Series:
    """A row of the runs' table; n > K, so that both inverses are well conditioned."""
    config = replace(TINY, n_train=80).resolved()
    return pd.Series({name: getattr(config, name) for name in config.to_strings()})


def test_published_inverse_is_what_numpy_says(run: pd.Series) -> None:
    f, g, eta = dense(run)
    w, _ = initial_weights(TINY.modulus, TINY.width, 0)
    found = demonstrations.published_inverse({"w": w.numpy()}, run)
    b = np.linalg.inv(g + eta * np.eye(len(g)))
    s = f.T @ np.linalg.inv(f @ f.T + eta * np.eye(len(f))) @ f
    published = np.eye(len(g)) / eta - s / eta**2
    error = np.linalg.norm(published - b) / np.linalg.norm(b)
    # features are float32: they carry 6e-8 of relative error into both, and the ratio of norms keeps that order
    assert found["relative error of the published I/η − S/η²"] == pytest.approx(error, rel=6e-3)  # of three digits
    assert error > 1
    # (I − S)/η loses eps·‖B_pub‖/‖B‖ to cancellation: 2e-16 · 1/(η λ_min(B)) is 1e-9 at most here
    assert found["relative error of the Woodbury form (I − S)/η, at most"] <= 1e-8
    residual = g - g @ published @ g
    size = np.abs(g) / np.sqrt(np.outer(np.diag(g), np.diag(g)))
    j, l = np.triu_indices(len(g), 1)
    top = np.argsort(-size[j, l])[: TINY.top_pairs]
    j, l = j[top], l[top]
    assert found["share whose published residual has the sign of the raw similarity"] == np.mean(
        np.sign(residual[j, l]) == np.sign(g[j, l])
    )
    assert found["published sign match"] == np.mean(np.sign(b[j, l]) == -np.sign(residual[j, l]))
    assert found["repulsion rate"] == np.mean(np.sign(b[j, l]) == -np.sign(g[j, l]))
    assert (
        found["the same by multiplying the published inverse out"]
        == found["share whose published residual has the sign of the raw similarity"]
    )
    assert found["Theorem 6"] == 1.0


def test_theorem_6_holds_on_a_network_that_was_not_trained(run: pd.Series) -> None:
    obey, error, pairs = demonstrations.untrained_theorem6(run)
    assert (obey, pairs) == (1.0, demonstrations.PAIRS)
    assert 0 < error <= 1e-8  # a solve of its own, not the same number twice


def test_demonstrations_are_on_one_thread_and_give_the_others_back(run: pd.Series, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, before = [], torch.get_num_threads()
    right = demonstrations.features

    def features(*words: Any) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return right(*words)

    monkeypatch.setattr(demonstrations, "features", features)
    w, _ = initial_weights(TINY.modulus, TINY.width, 0)
    torch.set_num_threads(3)
    try:
        demonstrations.untrained_theorem6(run)
        demonstrations.published_inverse({"w": w.numpy()}, run)
        with pytest.raises(KeyError):
            demonstrations.published_inverse({}, run)
        assert (seen, torch.get_num_threads()) == ([1, 1], 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("error", "bound"), [(3.2e-11, 1e-10), (1e-10, 1e-10), (0.0, 0.0), (2.0, 10.0)])
def test_rounding_errors_are_told_as_a_power_of_ten(error: float, bound: float) -> None:
    assert demonstrations.bound(error) == pytest.approx(bound)


def test_the_theorem_check_can_fail(run: pd.Series, monkeypatch: pytest.MonkeyPatch) -> None:
    right = demonstrations.direct_residuals
    monkeypatch.setattr(demonstrations, "direct_residuals", lambda *words: -right(*words))
    assert demonstrations.untrained_theorem6(run)[0] == 0.0


# the chapters


def test_every_chapter_has_a_table_runs_and_a_command(good: dict[str, Erratum]) -> None:
    assert list(good) == [chapter.id for chapter in CHAPTERS]
    for erratum in good.values():
        assert "Not shown yet" not in erratum.text
        assert len(erratum.table) > 0
        assert erratum.run_ids
        assert erratum.command.startswith("python -m entry_points.study --study ")
        assert erratum.data_name == erratum.id
        assert erratum.table.map(lambda value: isinstance(value, (str, int, float, np.number))).all(axis=None)


def test_absent_studies_are_named() -> None:
    for erratum in written(Evidence(studies=())).values():
        assert erratum.table.empty
        assert "Not shown yet: 0 of the" in erratum.text
        assert "python -m entry_points.study" in erratum.text


def test_chapters_say_what_was_measured_whichever_way(good: Any, broken: Any) -> None:
    """The same chapters on runs with other results have other numbers: nothing in their text is fixed in advance."""
    for name in good:
        if name != "published-estimator":  # its table is of the weights alone
            assert good[name].text != broken[name].text, name
            assert not good[name].table.equals(broken[name].table), name


def test_separation_is_given_in_both_units(good: Any) -> None:
    table = good["gram-eigenvalues"].table
    assert table["separation"].iloc[0] == pytest.approx(300 / 1.31)
    assert table["separation"].iloc[1] == pytest.approx((300 / 1.31) ** 0.5)
    assert "229 in eigenvalues and 15.1 in singular values" in good["gram-eigenvalues"].text
    assert "Exact sign-flip test of the logarithms over 15 seeds: p = 6.1e-05" in good["gram-eigenvalues"].text


def test_separation_is_of_the_seeds_that_both_conditions_have() -> None:
    evidence: Any = Evidence(missing=frozenset({("headline", "grok", 3), ("headline", "eta0", 5)}))
    assert "over 13 seeds" in written(evidence)["gram-eigenvalues"].text


def test_negatives_and_relu_controls_count_the_runs_that_fire(good: Any, broken: Any) -> None:
    assert list(good["matched-negatives"].table["fire"]) == [15, 0, 0, 0, 0]
    assert list(broken["matched-negatives"].table["fire"]) == [0, 15, 15, 15, 15]
    assert list(good["relu-controls"].table["fire"]) == [0, 0]
    assert "p = 1" in good["relu-controls"].text


def test_relu_row_is_held_against_both_networks(good: Any, broken: Any) -> None:
    assert "3 of 3 for ReLU, 2 of 3 for square" in good["relu-sign-match"].text  # made-up squares are not measured at 500
    assert "0 of 3 for ReLU, 0 of 3 for square" in broken["relu-sign-match"].text


def test_null_counts_runs_above_their_own_draws(good: Any, broken: Any) -> None:
    assert set(good["repulsion-null"].table["runs above their null"]) == {15}
    assert set(broken["repulsion-null"].table["runs above their null"]) == {0}


def test_precision_lists_windows_and_spectra(good: Any) -> None:
    table = good["precision"].table
    assert list(zip(table["window"], table["spectrum"], strict=True))[:3] == [
        (5, "float64 Gram"),
        (5, "float32 Gram"),
        (5, "SVD"),
    ]
    assert table["grok seeds 0–2"].iloc[0] == table["grok seeds 0–2, published"].iloc[0] == "144, 149, 153"


def test_a_shortfall_is_said() -> None:
    evidence: Any = Evidence(missing=frozenset({("relu", "eta0", 4)}))
    assert "14 of 15 runs of relu" in written(evidence)["relu-controls"].text


@pytest.mark.parametrize("seed", [0, 2])
def test_runs_that_diverged_break_no_chapter(seed: int) -> None:
    for name, erratum in written(Evidence(diverged=everywhere(seed))).items():
        assert "error stopped" not in erratum.text, name
        assert ("diverged: " in erratum.text) or "of seed 0" in erratum.text, name


def test_the_printed_row_needs_seed_0() -> None:
    for study in ("relu", "theorem6"):
        erratum = written(Evidence(missing=frozenset({(study, "grok", 0)})))["relu-sign-match"]
        assert "Not shown yet: the" in erratum.text
        assert erratum.table.empty


def test_chapters_whose_measurements_are_absent_are_not_shown_yet() -> None:
    class Unmeasured(Evidence):
        def _repulsion(self, epochs: np.ndarray, cell: Any) -> dict[str, np.ndarray]:
            return {}

    found = written(Unmeasured())
    for name in ("theorem6-identity", "published-estimator", "repulsion-null"):
        assert "Not shown yet: none of 15 runs has measured" in found[name].text


def test_an_error_in_one_chapter_is_said_and_the_others_stay() -> None:
    def build(sources: Any) -> tuple[str, pd.DataFrame]:
        raise KeyError("seed")

    own = Chapter("mine", "Mine", ("eta",), None, "Why.", build)
    mine, other = write(Evidence(), (own, CHAPTERS[4]))  # type: ignore[arg-type]
    assert mine.text == "Why.\n\nNot shown yet. An error stopped this: KeyError: 'seed'."
    assert mine.table.empty
    assert len(other.table)


def test_a_chapter_of_ones_own() -> None:
    def build(sources: Any) -> tuple[str, pd.DataFrame]:
        return f"{len(sources.take('eta'))} runs.", pd.DataFrame({"n": [1]})

    (erratum,) = write(Evidence(), [Chapter("mine", "Mine", ("eta",), None, "Why.", build)])  # type: ignore[arg-type]
    assert (erratum.text, erratum.command) == ("Why.\n\n26 runs.", "python -m entry_points.study --study eta")


def test_features_are_those_of_the_training(finished: Any) -> None:
    """From the checkpoint of a tracked run, the estimator that the run itself logged."""
    from analysis.reading.evidence import Evidence as Real

    evidence, config = Real(finished.store), RunConfig.from_strings(finished.run.data.params).resolved()
    row = pd.Series({name: getattr(config, name) for name in config.to_strings()})
    found = demonstrations.published_inverse(evidence.weights(finished.outcome.run_id, 40), row)
    history = evidence.history(finished.outcome.run_id)
    assert found["published sign match"] == history["repulsion/published_estimator"].iloc[40]
    assert found["repulsion rate"] == history["repulsion/rate"].iloc[40]
