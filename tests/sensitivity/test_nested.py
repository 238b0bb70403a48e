"""Held-out seeds, detections and control sets: what a verdict on the detector's setting is made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.sensitivity import neighbourhood, nested, words
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.nested import candidates, cross_validate, fold_seeds
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import PUBLISHED, has
from analysis.sensitivity.tried import EVERY, Tried, try_all
from tests.helpers.synthetic_cells import OPENS, made_cells

CONFIG = SensitivityConfig(
    window="8,12", gap="23", matrix="w", smoothing="1", first_epoch="20..60", slope_lag="10..20", samples=64
)
CONTROLS = ("eta0", "random_labels")
BOTH = ("grok", *CONTROLS)


def made(rates: dict[str, float], settings: int, seeds: int, seed: int = 0) -> Tried:
    """Settings that fire at random on every run, at a rate by condition."""
    rng = np.random.default_rng(seed)
    fired = {name: rng.random((settings, seeds)) < rate for name, rate in rates.items()}
    return Tried([{"number": n} for n in range(settings)], {name: np.arange(seeds) for name in rates}, fired, fired)


def test_folds_are_of_whole_seeds_and_seeded() -> None:
    folds = fold_seeds(range(13), 5, 7)
    assert sorted(itertools.chain(*folds)) == list(range(13))
    assert sorted(map(len, folds)) == [2, 2, 3, 3, 3]
    assert folds == fold_seeds(range(13), 5, 7) != fold_seeds(range(13), 5, 8)
    assert len(fold_seeds([4, 9], 5, 0)) == 2


def test_a_fold_is_told_by_a_setting_that_was_chosen_without_it() -> None:
    """Turning every outcome of a fold around changes what is told of it, and never what was chosen for it."""
    tried = made({"grok": 0.6, "eta0": 0.4, "random_labels": 0.3}, 50, 15)
    before = cross_validate(tried, EVERY, CONFIG)
    for number, fold in enumerate(before.folds):
        turned = {name: own ^ np.isin(tried.seeds[name], fold) for name, own in tried.fired.items()}
        after = cross_validate(tried._replace(fired=turned, detected=turned), EVERY, CONFIG)
        assert after.folds == before.folds
        assert after.chosen[number] == before.chosen[number]
        assert after.by_set != before.by_set


def test_the_choice_is_the_best_worst_j_over_inner_folds() -> None:
    tried = made({"grok": 0.7, "eta0": 0.3, "random_labels": 0.5}, 40, 15, seed=3)
    told, true = cross_validate(tried, EVERY, CONFIG), tried.detected["grok"]
    for fold, chosen in zip(told.folds, told.chosen, strict=True):
        inner = [other for other in told.folds if other != fold]
        js = []
        for number in range(40):
            means = [
                np.mean([true[number, part].mean() - tried.fired[name][number, part].mean() for part in inner])
                for name in CONTROLS
            ]
            js.append((round(min(means), 12), round(float(np.mean(means)), 12), -number))
        assert chosen == {"number": -max(js)[2]}


def test_without_signal_the_best_of_many_settings_rarely_separates() -> None:
    """Settings that fire at random: p ≤ 0.05 in 5 % of 100 worlds. J's interval, which takes runs as independent, lies above 0
    in more of them: it is told, and does not decide.
    """
    loud = 0
    for seed in range(100):
        told = cross_validate(made({"grok": 0.5, "eta0": 0.5}, 200, 15, seed), EVERY, CONFIG)
        loud += bool(told.separates)
        assert told.separates is not None
    assert loud <= 11  # of a binomial with 5 % one in two hundred is more


def test_swapped_worlds_are_told_as_if_they_had_been_found_so() -> None:
    """The labels of some seeds swapped in the data, and J of the whole procedure told anew, world by world."""
    tried = made({"grok": 0.7, "eta0": 0.4, "random_labels": 0.4}, 30, 6, seed=5)
    told = cross_validate(tried, EVERY, CONFIG)
    js = []
    for swap in itertools.product((False, True), repeat=6):
        chosen = np.array(swap)
        fired = dict(tried.fired)
        fired["grok"] = np.where(chosen, tried.fired["eta0"], tried.fired["grok"])
        fired["eta0"] = np.where(chosen, tried.fired["grok"], tried.fired["eta0"])
        js.append(cross_validate(tried._replace(fired=fired, detected=fired), EVERY, CONFIG).by_set["eta0"].value)
    assert told.p["eta0"] == pytest.approx(np.mean(np.array(js) >= js[0] - 1e-9))


def test_separates_only_where_every_control_set_is_told_apart() -> None:
    tried = made({"grok": 1.0, "eta0": 0.0, "random_labels": 0.9}, 10, 15)
    told = cross_validate(tried, EVERY, CONFIG)
    assert told.separates is False
    assert told.worst == "random_labels"
    assert told.by_set["eta0"].low > 0
    assert told.by_set["all"].low > 0  # pooled it would
    assert told.by_set["all"].value == pytest.approx((told.by_set["eta0"].value + told.by_set["random_labels"].value) / 2)
    assert cross_validate(tried, "eta0", CONFIG).separates is True
    assert cross_validate(made({"grok": 1.0, "eta0": 0.0, "random_labels": 0.0}, 10, 15), EVERY, CONFIG).separates is True


@pytest.mark.parametrize(("seeds", "decided"), [(1, None), (2, None), (4, None), (5, True)])
def test_fewer_than_five_seeds_decide_nothing(seeds: int, decided: bool | None) -> None:
    told = cross_validate(made({"grok": 1.0, "eta0": 0.0}, 4, seeds), EVERY, CONFIG)
    assert told.separates is decided
    line = words._separates("relu", {"j": {"eta0": _json(told)}, "worst": "eta0", "folds": told.folds} | _words(told))
    assert ("cannot be decided" in line) == (decided is None)


def _json(told: nested.Told) -> dict[str, float]:
    found = told.by_set["eta0"]
    return {"value": found.value, "low": found.low, "high": found.high}


def _words(told: nested.Told) -> dict[str, object]:
    return {"candidates": told.candidates, "separates": told.separates}


def test_candidates_are_made_without_a_look_at_runs_the_published_setting_first() -> None:
    space = SensitivityConfig(samples=64).space(64)
    settings = candidates(space, SensitivityConfig(samples=64))
    assert settings[0] == PUBLISHED
    assert [sum(one["rule"] == rule for one in settings[1:]) for rule in space.own] == [16] * 4
    assert (
        settings == candidates(space, SensitivityConfig(samples=64)) != candidates(space, SensitivityConfig(samples=64, seed=1))
    )
    assert not has(CONFIG.space(16), PUBLISHED)
    assert all(has(space, one) for one in settings)


# detections


def test_a_firing_at_the_first_epoch_at_which_it_may_is_no_detection() -> None:
    """The planted gap opens at epoch 80 and stays open: a level that is looked for from 150 on was there before."""
    cells = made_cells(conditions=BOTH)
    judge = Judge(cells, "square", CONTROLS, CONFIG)
    level = {"matrix": "w", "gap": "23", "method": "gram", "window": 8, "smoothing": 1, "rule": "level", "level": 30.0}
    early, late = ({**level, "first_epoch": first} for first in (40, 150))
    tried = try_all(judge, [early, late])
    assert tried.fired["grok"].all()
    assert tried.detected["grok"].all(axis=1).tolist() == [True, False]
    assert not tried.detected["grok"][1].any()
    assert tried.holds()[EVERY].tolist() == [True, False]
    assert judge.fires(early)["grok"].min() > OPENS


def test_the_first_epoch_at_which_it_may_fire_waits_for_the_series() -> None:
    """λ₂/λ₃ is known from three updates on, at epoch 3; a slope needs its lag besides, a hold its length."""
    judge = Judge(made_cells(), "square", ["eta0"], CONFIG)
    slope = PUBLISHED | {"window": 12, "first_epoch": 0, "slope_lag": 15}
    assert set(judge.earliest(slope)) == {18.0}
    assert set(judge.earliest(slope | {"first_epoch": 40})) == {40.0}
    sustained = {k: v for k, v in slope.items() if k != "slope_lag"} | {"rule": "sustained", "level": 2.0, "hold": 10}
    assert set(judge.earliest(sustained)) == {12.0}
    fires = judge.fires(slope | {"slope_threshold": -5.0})["grok"]
    np.testing.assert_array_equal(fires, judge.earliest(slope))  # true everywhere: it fires there, and not before


def test_a_setting_holds_on_every_set_only_if_it_holds_on_each() -> None:
    """Two false alarms among fifteen of one kind are too many for it, though not for the thirty of both kinds."""
    quiet = np.zeros((1, 15), dtype=bool)
    loud = quiet.copy()
    loud[0, :2] = True
    seeds = {name: np.arange(15) for name in BOTH}
    tried = Tried([{}], seeds, {"grok": ~quiet, "eta0": quiet, "random_labels": loud}, {"grok": ~quiet})
    held = {name: bool(found[0]) for name, found in tried.holds().items()}
    assert held == {"eta0": True, "random_labels": False, "all": True, EVERY: False}
    missed = ~quiet
    missed[0, :2] = False
    assert not tried._replace(detected={"grok": missed}).holds()["eta0"][0]  # they fire, but at once


# intervals over seeds


def test_resamples_draw_seeds_with_all_of_their_runs() -> None:
    """Seed by seed by hand: a seed that has no control is drawn among its like, so that every resample has as many of each."""
    rng = np.random.default_rng(0)
    seeds = {"grok": np.array([3, 0, 1, 2, 7, 8]), "eta0": np.array([2, 1, 0, 3])}
    fired = {name: rng.random((30, len(own))) < (0.95 if name == "grok" else 0.05) for name, own in seeds.items()}
    tried = Tried([{}] * 30, seeds, fired, fired)
    found = tried.resampled(50, 1)[EVERY]
    draws = np.random.default_rng(1)
    both, alone = draws.integers(0, 4, (50, 4)), draws.integers(0, 2, (50, 2))
    for number in range(50):
        drawn = [*both[number].tolist(), *(7 + alone[number]).tolist()]
        grok = [int(np.flatnonzero(seeds["grok"] == one)[0]) for one in drawn]
        control = [int(np.flatnonzero(seeds["eta0"] == one)[0]) for one in drawn if one in seeds["eta0"]]
        true = 15 * fired["grok"][:, grok].sum(axis=1) >= 14 * 6
        assert found[number] == pytest.approx((true & (15 * fired["eta0"][:, control].sum(axis=1) <= 4)).mean())


def test_the_share_has_an_interval_over_seeds_and_one_over_settings() -> None:
    cells = made_cells(conditions=BOTH)
    found = neighbourhood.sample(cells, CONFIG)
    over, own = neighbourhood.over_seeds(found, CONFIG), neighbourhood.shares(found.table, "square")
    assert over.keys() == {"eta0", "random_labels", "all", EVERY}
    for name, share in over.items():
        assert share.value == own[name].value
        assert share.low <= share.value <= share.high
    assert over == neighbourhood.over_seeds(found, CONFIG)
    tried = found.tried["square"]
    assert (tried.resampled(50, 0)[EVERY] != tried.resampled(50, 1)[EVERY]).any()


@pytest.mark.parametrize(
    ("low", "high", "seeds", "begins"),
    [
        (0.91, 1.0, 15, "No, the detector's setting does not make the result on square: the published"),
        (0.2, 0.89, 15, "Yes, the detector's setting makes the result on square: "),
        (0.0, 0.0, 15, "The published conclusion holds at no setting near the published one on square: the published"),
        (0.8, 0.95, 15, "Whether the detector's setting makes the result on square cannot be decided: the published"),
        (0.2, 0.3, 2, "Whether the detector's setting makes the result on square cannot be decided: it takes 5 seeds of each"),
    ],
)
def test_the_first_sentence_answers_the_question(low: float, high: float, seeds: int, begins: str) -> None:
    share = {"value": (low + high) / 2, "low": low, "high": high}
    data = {"over_seeds": {"every": share}, "settings": 64, "activation": "square", "least_seeds": seeds}
    (line,) = words._made_by_setting(data)
    assert line.startswith(begins)


def test_few_seeds_are_warned_of_by_kind_of_run() -> None:
    few = {"data": {"runs": {"square": {"grok": 15, "eta0": 4}, "relu": {"grok": 2}}}}
    (line,) = words.warnings(few)
    assert (
        line == "fewer than 5 seeds, so nothing is decided of 4 of square runs without weight decay, 2 of relu runs that grok"
    )
    assert not list(words.warnings({"data": {"runs": {"square": {"grok": 5}}}}))
