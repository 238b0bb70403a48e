"""Claims on signals and laws on made-up studies in which the law holds, or does not; events; the figures' tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.model import CONTRADICTED, IMPRECISE, NOT_REPRODUCED, REPRODUCED
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.signals import events, laws, margins, published
from analysis.statistics.estimates import Estimate, clopper_pearson
from grok.spec.config import ResolvedConfig
from tests.helpers.law_worlds import MEMORISED, MadeUp, everything, sources


def scales(config: ResolvedConfig, time: float) -> pd.DataFrame:
    """A logit scale of 10 over temperature at every epoch."""
    return pd.DataFrame(
        {"epoch": [0, 100], "signal": "logit_scale", "variant": "", "value": [0.0, math.log(10 / config.temperature)]}
    )


def test_a_line_of_ln_t_over_the_logit_scale_is_found_and_its_absence_too() -> None:
    found = laws.logit_scale(sources(lambda c, _: 300 * math.exp(0.05 * 10 / c.temperature), scales))
    assert (found.verdict, round(found.estimates["R²"].value, 6)) == (REPRODUCED, 1.0)
    flat = laws.logit_scale(sources(lambda c, _: 500.0 + 100 * (c.seed % 2), scales))
    assert flat.verdict in (CONTRADICTED, NOT_REPRODUCED)


def test_the_exponent_of_a_clamp_is_the_planted_one() -> None:
    def law(config: ResolvedConfig, condition: str) -> float:
        return 600 * math.exp(7.5 * (config.clamp_norm / 55 - 1)) * (0.003 / config.learning_rate) ** (1 / 3)

    found = laws.clamp(sources(law))
    assert found.estimates["α"].value == pytest.approx(7.5, rel=1e-9)
    assert found.estimates["times by norm"].value == pytest.approx(math.exp(7.5 * 0.4), rel=1e-9)
    assert found.estimates["times by rate"].value == pytest.approx(2, rel=1e-9)
    assert found.verdict == REPRODUCED
    assert "groks" not in found.note
    cut = laws.clamp(sources(lambda c, k: math.nan if c.clamp_norm == 66 else law(c, k)))
    assert cut.estimates["times by norm"].value == pytest.approx(math.exp(7.5 * 0.3), rel=1e-9)
    least = 6000 / (600 * math.exp(-7.5 * 0.2))
    assert cut.note.endswith(
        f" At ρ 1.2 no run groks; the times by norm are of the others, and with it are more than {least:.1f}."
    )
    by_rate = laws.clamp(sources(lambda c, _: 300 * 0.003 / c.learning_rate))
    assert by_rate.verdict == CONTRADICTED


def test_a_forecast_of_first_passage_is_told_on_other_seeds() -> None:
    found = laws.first_passage(sources(lambda c, k: 1000.0 if k == "grok" else math.nan))
    assert found.verdict == REPRODUCED
    assert found.estimates["error"].value == pytest.approx(0, abs=1e-6)
    assert found.estimates["error"].n == 16  # two held-out seeds of two networks, two tasks, two sizes
    assert "0 held-out runs are left out" in found.note
    sized = laws.first_passage(sources(lambda c, k: 500.0 + (c.n_train > 2000) * 900 if k == "grok" else math.nan))
    assert sized.estimates["error"].value > 0.1
    assert sized.note.endswith("looked at after the reading, the mean error is 0.000, n = 16.")
    spread = laws.first_passage(sources(lambda c, k: 500.0 + 900 * (c.seed >= 302) if k == "grok" else math.nan))
    assert spread.estimates["error"].value > 0.5
    assert spread.verdict in (CONTRADICTED, NOT_REPRODUCED)


def test_an_escape_and_a_drift_are_told_apart() -> None:
    escape = laws.arrhenius(sources(lambda c, _: MEMORISED + 100 * math.exp(c.batch_size / c.learning_rate / 1e6)))
    assert (escape.verdict, round(escape.estimates["R² of B/lr"].value, 6)) == (REPRODUCED, 1.0)
    drift = laws.arrhenius(sources(lambda c, _: MEMORISED + 1 / c.learning_rate))
    assert drift.estimates["R² of 1/(lr ω)"].value == pytest.approx(1)
    assert drift.verdict != REPRODUCED


def test_a_law_needs_runs_that_grok() -> None:
    with pytest.raises(Absent, match=r"^0 of 12 runs of signals-arrhenius grok, and 6 must"):
        laws.arrhenius(sources(lambda c, _: math.nan))


def test_characters_are_read_at_the_end_of_runs_that_multiply() -> None:
    def table(config: ResolvedConfig, time: float) -> pd.DataFrame:
        right = 0.6 if config.task == "multiplication" else 0.0
        rows = [("characters", "", right), ("characters", "additive", 0.05), ("tuned_neurons", "", 0.95)]
        return pd.DataFrame(
            [(e, s, v, x * (e > 0)) for s, v, x in rows for e in (0, 2500)], columns=["epoch", "signal", "variant", "value"]
        )

    found = laws.characters(sources(lambda c, k: 1000.0 if k == "grok" else math.nan, table))
    assert found.verdict == REPRODUCED
    assert found.estimates["Gini, multiplicative"].value == 0.6


@pytest.mark.parametrize(("least", "verdict"), [(0.40, REPRODUCED), (0.32, NOT_REPRODUCED), (0.46, NOT_REPRODUCED)])
def test_the_share_of_the_pairs_is_between_two_that_were_tried(least: float, verdict: str) -> None:
    found = laws.critical_share(sources(lambda c, _: 400.0 if c.n_train / 5041 >= least else math.nan))
    share = found.estimates["share"]
    assert share.low < least <= share.high
    assert found.verdict == verdict


def test_a_share_below_all_that_were_tried_is_known_by_its_bound_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = laws.critical_share(sources(lambda c, _: 400.0 if c.n_train / 5041 >= 0.2 else math.nan))
    ((name, share),) = found.estimates.items()
    assert (name, round(share.value, 2), share.n, found.verdict) == ("share, at most", 0.3, 12, NOT_REPRODUCED)
    assert math.isnan(share.low)
    assert found.short == "share, at most 0.3, n = 12"
    assert "half of the runs grok at 6; of all runs 12 of 12." in found.note
    monkeypatch.setitem(laws.printed.CRITICAL_SHARE, 71, 0.32)  # what lies below a bound may be anywhere
    assert laws.critical_share(sources(lambda c, _: 400.0)).verdict == IMPRECISE


@pytest.mark.parametrize(
    ("value", "ends", "verdict"),
    [
        (0.95, (0.9, 0.99), REPRODUCED),
        (0.7, (0.4, 0.9), IMPRECISE),
        (0.7, (0.65, 0.75), NOT_REPRODUCED),
        (0.3, (0.2, 0.4), CONTRADICTED),
    ],
)
def test_a_number_is_judged_by_its_margin(value: float, ends: tuple[float, float], verdict: str) -> None:
    assert margins.verdict(Estimate(value, *ends, 10), 0.97, margins.R_SQUARED) == verdict


def test_an_unknown_number_is_not_judged_and_an_event_that_never_came_is() -> None:
    unknown = Estimate(math.nan, math.nan, math.nan, 3)
    with pytest.raises(Absent, match="a R² cannot be told from 3 runs"):
        margins.verdict(unknown, 0.97, margins.R_SQUARED)
    assert margins.verdict(unknown, 0.415, margins.PAIRS, event=True) == CONTRADICTED
    never = laws.critical_share(sources(lambda c, _: math.nan))
    assert never.verdict == CONTRADICTED


def test_a_line_or_a_ratio_of_one_setting_is_not_told() -> None:
    y = np.arange(6.0)
    with pytest.raises(Absent, match="some are not known"):
        laws.fit(np.array([1, 2, math.nan, 4, 5, 6]), y)
    with pytest.raises(Absent, match="needs two settings"):
        laws.fit(np.ones(6), y)
    assert [one.value for one in laws.fit(y, np.ones(6))] == [0, 0]
    with pytest.raises(Absent, match="needs two settings in which runs grok, and 1 has"):
        laws._range(np.full(3, 0.003), np.array([900.0, 1000, 1100]))


def test_a_factor() -> None:
    found = [margins.verdict(Estimate(x, x, x, 9), 7.5, margins.FACTOR) for x in (6.0, 4.0, 1.2, -7.0)]
    assert found == [REPRODUCED, NOT_REPRODUCED, CONTRADICTED, CONTRADICTED]


def test_events_say_nothing_that_a_longer_run_takes_back() -> None:
    accuracy = np.array([0, 0.2, 0.6, 1, 1, 0.8, 1, 0.8, 0.7, 1, np.nan, 1])
    whole = events.events(np.arange(12), accuracy)
    assert whole == events.Events(1, 2, 3, 8, 0.7)
    for end in range(1, 12):
        part = events.events(np.arange(end), accuracy[:end])
        for name in ("t10", "t50", "t99", "collapse"):
            assert math.isnan(getattr(part, name)) or getattr(part, name) == getattr(whole, name)
            assert math.isnan(getattr(part, name)) == (not getattr(whole, name) < end)


def test_the_chapter_on_events_counts_collapses() -> None:
    class Falls(MadeUp):
        def history(self, run_id: str) -> pd.DataFrame:
            found = super().history(run_id)
            if run_id.startswith(events.LONG) and run_id.endswith(("-0", "-5")):
                found.loc[3000:3005, "accuracy/test"] = 0.5
            return found

    made: Any = Falls(lambda c, k: 400.0 if k == "grok" else math.nan)
    text, table = events.summary(Sources(made))
    lost = table[table["collapse"].notna()]
    assert lost["run_id"].tolist() == [f"{events.LONG}-0", f"{events.LONG}-5"]
    assert (lost["collapse"] == 3001).all()
    assert "signals-long: of 10 runs that reach a test accuracy of 0.99" in text
    assert "2 collapse, a share of 0.2 [" in text
    assert "signals: of 84 runs" in text
    assert "of 144 runs 0 diverge" in text  # sixteen more repeat others
    assert text.count("Fewer than 5 of the long runs collapse: no signal is scored against a collapse.") == 1
    assert events._unscored(5).startswith("5 or more of the long runs collapse;")


def test_events_are_not_told_of_a_study_that_lacks_most_of_a_set() -> None:
    class Short(MadeUp):
        def _runs(self, study: str) -> pd.DataFrame:
            found = super()._runs(study)
            return found.drop(index=found.index[found["condition"] == "eta0"][:3])

    made: Any = Short(lambda c, k: 400.0 if k == "grok" else math.nan)
    with pytest.raises(Absent, match=r"every set of signals must have 0\.8 of its runs .* 9 of 12 of eta0$"):
        events.table(Sources(made))
    with pytest.raises(Absent, match="every set of signals must have"):
        published.series(Sources(made), "lar")


@pytest.fixture(scope="module")
def main_study() -> Sources:
    return sources(lambda c, k: 300 + 1e-2 / c.weight_decay if k == "grok" else math.nan, everything)


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        ("spectral-entropy", REPRODUCED),
        ("hankel-dmd", CONTRADICTED),  # it ranks far better than the paper's 0.41 over runs, which is the claim
        ("lar", REPRODUCED),
        ("restricted-loss", REPRODUCED),
        ("norm-shell", REPRODUCED),
        ("norm-peak", REPRODUCED),
        ("ildr", REPRODUCED),  # 60 epochs before t50 in every run; the lead of 950 steps is told and not judged
        ("commutator", REPRODUCED),
    ],
)
def test_claims_of_the_main_setup_are_judged_as_planted(main_study: Sources, measure: str, verdict: str) -> None:
    (claim,) = [one for one in published.CLAIMS if one.id == f"signals-{measure}"]
    assert claim.measure(main_study).verdict == verdict


def test_leads_by_the_printed_rule_are_the_planted_ones(main_study: Sources) -> None:
    found = published.leads(published.series(main_study, "ildr"), "ildr")
    assert (found.share.value, found.false.value, found.false.n) == (1, 0, 48)
    assert found.lead.value == pytest.approx(60, abs=10)


def test_a_claim_on_a_printed_rule_tells_its_false_alarms_and_counts_no_first_chance() -> None:
    """ILDR high in random labels; and of a topology that warns at its first value in every run nothing is detected."""

    def table(config: ResolvedConfig, time: float) -> pd.DataFrame:
        found = everything(config, time)
        if config.labels == "random":
            found.loc[(found["signal"] == "ildr") & (found["epoch"] > 200), "value"] = 99.0
        found.loc[found["signal"] == "topology", "value"] = 1.0
        return found

    held = sources(lambda c, k: 300 + 1e-2 / c.weight_decay if k == "grok" else math.nan, table)
    claims = {one.id: one for one in published.CLAIMS}
    found = claims["signals-ildr"].measure(held)
    assert found.estimates["false alarms"].value == 0.5
    warned = claims["signals-topology"].measure(held)
    assert (warned.estimates["share"].value, warned.estimates["false alarms"].value) == (0, 1)
    assert warned.verdict == CONTRADICTED


def test_the_published_variant_must_have_been_computed() -> None:
    def table(config: ResolvedConfig, time: float) -> pd.DataFrame:
        found = everything(config, time)
        return found[(found["signal"] != "hankel_dmd") | (config.seed == 300)]

    held = sources(lambda c, k: 300 + 1e-2 / c.weight_decay if k == "grok" else math.nan, table)
    with pytest.raises(Absent, match=r"hankel_dmd rows 50 was computed for [0-9]+ of 144 runs\. Run .* --force"):
        published.series(held, "hankel_dmd")


def test_claims_on_costly_signals_are_not_judged_where_the_cadence_leaves_nothing() -> None:
    """Runs that grok at about 60 have no two values of every fortieth epoch before it."""

    def table(config: ResolvedConfig, time: float) -> pd.DataFrame:
        every = everything(config, time)
        return every[every["epoch"] % 40 == 0]

    soon = sources(lambda c, k: 40 + 2e-3 / c.weight_decay if k == "grok" else math.nan, table)
    for name in ("commutator", "spectral-entropy", "topology"):
        (claim,) = [one for one in published.CLAIMS if one.id == f"signals-{name}"]
        with pytest.raises(Absent, match=r"not testable at this cadence: in [0-9]+ of 84 runs that grok it could come"):
            claim.measure(soon)
    (claim,) = [one for one in published.CLAIMS if one.id == "signals-ildr"]
    assert claim.measure(soon).verdict


def test_a_peak_of_the_norm_is_inside_and_stands_out() -> None:
    def history(norms: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"epoch": range(len(norms)), "norm/w": norms, "norm/v": 0.0})

    assert published._peaks(history([1.0, 1.2, 1.1, 5.0]), 2)
    assert not published._peaks(history([1.0, 1.2, 1.1]), 1)  # still rising at t50
    assert not published._peaks(history([1.0, 0.9, 0.8]), 2)  # falls from the start
    assert not published._peaks(history([1.0, 1.005, 0.8]), 2)  # less than a hundredth
    assert not published._peaks(history([1.0, 1.2, 1.195]), 2)  # hardly falls


def test_a_law_of_the_other_sign_is_contradicted_whatever_its_fit() -> None:
    up, down = (Estimate(x, x, x, 9) for x in (2.0, -2.0))
    assert laws.rising(up, REPRODUCED) == REPRODUCED
    assert laws.rising(down, REPRODUCED) == CONTRADICTED


def test_a_share_over_four_runs_is_not_told() -> None:
    with pytest.raises(Absent, match="in 4 runs that grok, and 5 must"):
        published.held(clopper_pearson(4, 4))


@pytest.mark.parametrize(
    ("hits", "n", "verdict"),
    [(18, 20, REPRODUCED), (16, 20, IMPRECISE), (60, 80, NOT_REPRODUCED), (8, 20, CONTRADICTED)],
)
def test_what_must_hold_in_all_runs_is_judged_with_its_interval(hits: int, n: int, verdict: str) -> None:
    assert published.held(clopper_pearson(hits, n)) == verdict
