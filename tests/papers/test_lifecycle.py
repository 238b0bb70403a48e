"""The lifecycle's claims in made-up worlds whose verdicts follow by hand, one for each verdict of a rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.evaluate import ask, evaluate
from analysis.exhibits.model import BY_DEFINITION, CAVEAT, CONTRADICTED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, Claim, Result
from analysis.exhibits.sources import Sources
from analysis.papers.lifecycle import (
    ablation_sentences,
    anatomy,
    arms,
    classes,
    controls,
    errata,
    flip,
    flip_sentences,
    numbers,
    panels,
    reading,
    scan,
    sentences,
    side,
)
from analysis.papers.lifecycle.margins import ACCURACY, SHARE, SIZE, verdict
from analysis.papers.lifecycle.reading import DYCK, Flip, shares
from analysis.printed import lifecycle as printed
from grok.numerics.edge import Compression, Edge
from grok.numerics.gap_flow import flow, judge
from grok.numerics.ledger import Ledger
from grok.runs.edge_shares import windows
from tests.helpers.lifecycle_world import NEVER, LifecycleWorld

GROKS = {42: 600, 137: 1400, 2024: 1000, 7: 800, 11: 800}
CLAIMS = (
    *flip_sentences.CLAIMS,
    *ablation_sentences.CLAIMS,
    *sentences.CLAIMS,
    *classes.CLAIMS,
    *numbers.CLAIMS,
    *anatomy.CLAIMS,
    *side.CLAIMS,
    *scan.CLAIMS,
)


@pytest.fixture(scope="module", autouse=True)
def remembered() -> Iterator[None]:
    """Windows of equal ledgers are computed once: a pure function, and made-up runs of one arm have equal ones."""
    known: dict[tuple[Any, ...], list[Edge]] = {}

    def remember(found: Ledger, size: int, k: int = 1) -> list[Edge]:
        key = (found.dd.shape, *(part.tobytes() for part in found), size, k)
        if key not in known:
            known[key] = windows(found, size, k)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (controls, errata, numbers, reading, scan, sentences, side):
            patch.setattr(module, "windows", remember)
        yield


def result(world: LifecycleWorld, id: str) -> Result:
    claim: Claim = next(claim for claim in CLAIMS if claim.id == f"lifecycle-{id}")
    evidence: Any = world
    return evaluate(evidence, [claim])[0]


def at(step: float, rise: float = NEVER, prefix: float = NEVER) -> Any:
    """Changes turn to decay's 600 steps before the fall would be read: the first window that holds one shows it."""
    return lambda cell: (prefix if cell.condition == "prefix" else step, rise)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_without_runs_a_claim_is_not_testable(claim: Claim) -> None:
    evidence: Any = LifecycleWorld(studies=())
    (found,) = evaluate(evidence, [claim])
    assert found.verdict == NOT_TESTABLE
    assert f"--study {claim.studies[0]}" in found.command


def test_a_fall_and_a_rise_by_hand() -> None:
    """Changes are decay's after step 700 and the gradient's again after 1500; windows of 500 steps show each at once."""
    evidence: Any = LifecycleWorld(at(700, 1500))
    sources = Sources(evidence)
    run_id = sources.take(DYCK, condition="grok")["run_id"].iloc[0]
    assert reading.flip(shares(sources, run_id, 100, 5)) == Flip(800.0, 1600.0, 500, 2)
    evidence = LifecycleWorld(follows_window=True)
    sources = Sources(evidence)
    run_id = sources.take(DYCK, condition="grok")["run_id"].iloc[0]
    for every, size in ((25, 3), (50, 10), (100, 5)):
        found = reading.flip(shares(sources, run_id, every, size))
        assert (found.falls, found.first) == ((size + 1) * every, size * every)


def answered(world: LifecycleWorld) -> str:
    evidence: Any = world
    (found,) = ask(evidence, flip.QUESTIONS)
    assert found.n > 0, found.note
    return found.text


def test_a_world_where_the_window_decides() -> None:
    text = answered(LifecycleWorld(follows_window=True, groks=GROKS))
    assert text.startswith("Its first fall follows generalisation: no, passive decay: no, the window: yes with true labels (")
    assert "in 13 of 13 choices of N and W, in 102 of 102 in other conditions, and in 33 of 33 runs" in text


@pytest.mark.parametrize("step", [800, 600])
def test_a_world_where_passive_decay_decides(step: int) -> None:
    """The fall at ηωt = step / 1000, later with larger initial weights and earlier with smaller ones, whatever the labels.

    At 0.6 the two fast arms fall before the first full window, which reads them at ηωt = 1: that is no other time than 0.6.
    """

    def times(cell: Any) -> tuple[float, float]:
        shift = {4.0: 2.5, 0.25: 0.6}.get(cell.config.initial_scale, 1.0)
        return step * shift / (cell.config.learning_rate * max(cell.config.weight_decay, 1e-9) * 1000), NEVER

    assert answered(LifecycleWorld(times, groks=GROKS)).startswith(
        "Its first fall follows generalisation: no, passive decay: yes"
    )


def test_a_world_where_generalisation_decides() -> None:
    text = answered(
        LifecycleWorld(lambda cell: (NEVER if cell.condition in ("prefix", "random") else 900.0, NEVER), groks=GROKS)
    )
    assert text.startswith("Its first fall follows generalisation: yes, passive decay: no, the window: no (")


def test_the_longest_stretch_below_one_half() -> None:
    steps = np.arange(0, 1500, 50)
    share = np.where((steps >= 700) & (steps <= 900), 0.1, 0.9)
    share[steps == 1200], share[steps == 300] = 0.2, 0.0  # a single window later; one that is not full
    share[steps == 750] = 0.99  # between two snapshots of the published window
    history = pd.DataFrame({"step": steps, "edge/grad_share": share, "edge/cos2_theta_0": steps / 1000})
    assert arms.stretch(history) == arms.Stretch(0.9, 700.0, 900.0, 0.8)
    none = arms.stretch(history.assign(**{"edge/grad_share": 0.9}))
    assert none.first == 0.9
    assert np.isnan(none[1:]).all()


def test_labels_that_were_not_memorised_decide_nothing() -> None:
    evidence: Any = LifecycleWorld(groks=GROKS)
    found = arms.arms(Sources(evidence))
    assert [flip.follows_generalisation(found, share) for share in (1.0, 0.8, 0.6)] == ["holds", "holds", "cannot tell"]


def test_the_flip_at_grokking() -> None:
    near = lambda cell: (NEVER if cell.condition == "prefix" else GROKS[cell.config.seed] + 0.0, NEVER)  # noqa: E731
    assert result(LifecycleWorld(near, groks=GROKS), "at-grokking").verdict == REPRODUCED
    assert result(LifecycleWorld(at(2500), groks=GROKS), "at-grokking").verdict == CONTRADICTED
    both = lambda cell: (GROKS[cell.config.seed] + 0.0, NEVER)  # noqa: E731
    assert result(LifecycleWorld(both, groks=GROKS), "at-grokking").verdict == CONTRADICTED
    some = lambda cell: (NEVER if cell.condition == "prefix" or cell.config.seed in (7, 11) else 700.0, NEVER)  # noqa: E731
    assert result(LifecycleWorld(some, groks=dict.fromkeys(GROKS, 700)), "at-grokking").verdict == NOT_REPRODUCED


def test_two_phases() -> None:
    assert result(LifecycleWorld(at(700)), "two-phases").verdict == REPRODUCED
    assert result(LifecycleWorld(at(700, 1500)), "two-phases").verdict == CONTRADICTED
    assert result(LifecycleWorld(), "two-phases").verdict == NOT_REPRODUCED


def test_three_classes() -> None:
    apart = LifecycleWorld(share=lambda cell, step: 0.8 if cell.config.task == "dyck" else 0.05)
    assert result(apart, "three-classes").verdict == REPRODUCED
    assert result(LifecycleWorld(), "three-classes").verdict == CONTRADICTED
    late = LifecycleWorld(share=lambda cell, step: 0.8 if cell.config.task == "dyck" and step >= 3500 else 0.05)
    assert result(late, "three-classes").verdict == NOT_REPRODUCED


def costs(edge: float, control: float) -> Any:
    def value(cell: Any, kind: str, name: str, step: int) -> float:
        removal, _, what = name.partition("/")
        if kind == "flow":
            return {"d1": 2.0 + 0.1 * np.sin(step), "d2": 1.0}.get(name, 0.5)
        if kind != "ablation" or what == "share":
            return 0.5
        return -{"edge": edge, "random_plane": 0.0}.get(removal, control)

    return value


def test_the_ablation_against_what_removes_as_much() -> None:
    for edge, control, said in ((0.5, 0.1, REPRODUCED), (0.3, 0.3, CONTRADICTED), (0.33, 0.3, NOT_REPRODUCED)):
        assert result(LifecycleWorld(numbers=costs(edge, control)), "not-a-norm-effect").verdict == said


def test_flat_and_critical_are_two_points_of_a_curve() -> None:
    for lost, said in ((0.4, CAVEAT), (0.01, CONTRADICTED), (0.04, NOT_REPRODUCED)):
        assert result(LifecycleWorld(sweep=lambda x, lost=lost: 0.9 - lost * (x / 6) ** 2), "flat-yet-critical").verdict == said


def test_re_encoded_or_a_matter_of_scale() -> None:
    def readers(raw: float, fair: float, out: float) -> Any:
        def value(cell: Any, kind: str, name: str, step: int) -> float:
            if kind != "probe" or step < 3900:
                return 0.98
            if name.startswith("after/logistic"):
                return 0.98 - out
            return 0.98 - (raw if "raw" in name else fair)

        return value

    for raw, fair, out, said in (
        (0.12, 0.1, 0.0, REPRODUCED),
        (0.12, 0.01, 0.0, CONTRADICTED),
        (0.12, 0.1, 0.3, NOT_REPRODUCED),
    ):
        assert result(LifecycleWorld(numbers=readers(raw, fair, out)), "re-encoded").verdict == said


def test_removing_decay() -> None:
    def gains(keep: float, reset: float) -> Any:
        def value(cell: Any, kind: str, name: str, step: int) -> float:
            gain = keep if cell.config.switch_state == "keep" else reset
            return 0.9 + (gain if step == 4000 else 0.0)

        return value

    for keep, reset, said in ((0.05, 0.06, REPRODUCED), (-0.05, -0.01, CONTRADICTED), (0.05, 0.0, NOT_REPRODUCED)):
        assert result(LifecycleWorld(numbers=gains(keep, reset)), "removing-decay").verdict == said


def test_the_gap_flow_by_hand() -> None:
    """One direction pair whose gap decays by damping alone: predicted is measured."""
    rate, decay, every = 1e-3, 1.0, 100
    steps = np.arange(0, 4000, every)
    gap = 5 * np.exp(-rate * decay * steps)
    d = np.stack((gap + 1, np.ones_like(gap)), axis=1)
    flat = np.zeros_like(d)
    found = judge(flow(d, flat, flat, rate, decay, window=5).total, gap, every)
    assert found.r_squared > 0.99
    assert found.signs == found.one_sign == found.last_sign == 1.0  # a gap that only falls: whoever says so is right
    assert judge(-flow(d, flat, flat, rate, decay, window=5).total, gap, every).signs == 0.0
    terms = flow(np.array([[3.0, 1.0]]), np.array([[2.0, 4.0]]), np.array([[3.0, 2.0]]), 0.1, 1.0, 5.0)
    assert [float(term[0]) for term in terms] == pytest.approx([0.4, -0.8, 0.5 * (3 - 4)])
    with pytest.raises(ValueError, match="at least 4 snapshots"):
        judge(np.zeros(3), np.zeros(3), 100)


def test_the_gap_flow_claim_in_a_world_that_obeys_it_and_in_noise() -> None:
    """The gap is the solution of the equation's own recursion with a term that alternates, so that persistence fails."""
    steps = np.arange(200, 4001, 100)
    drive = 4e-3 * np.cos(np.pi * np.arange(len(steps)))  # per step, of h₁ − h₂ alone
    gap = [3.0]
    for one in drive:
        gap.append(gap[-1] + 100 * (one - 1e-3 * gap[-1]))
    d = dict(zip(steps.tolist(), gap, strict=False))

    def obeys(cell: Any, kind: str, name: str, step: int) -> float:
        if kind != "flow" or step not in d:
            return 0.5
        d1, d2 = 50 + d[step], 50.0
        bent = -drive[(step - 200) // 100] / (1e-3 * (d1 + d2) / 2)
        return {"d1": d1, "d2": d2, "d3": 1.0, "h1": bent / 2, "h2": -bent / 2}.get(name, 0.0)

    found = result(LifecycleWorld(numbers=obeys), "gap-flow")
    assert found.verdict == REPRODUCED, found.measured
    names = [f"{task} k={k}" for task in classes.TASKS for k in (1, 2)] + [f"{task} k=1 by term" for task in classes.TASKS]
    assert [entry.id for entry in found.entries] == names
    sources = Sources(cast(Any, LifecycleWorld(numbers=obeys)))
    terms = classes.alone(sources, sources.take(DYCK, condition="grok").to_dict("records"))
    assert all(one.r_squared > 0.9 for one in terms["curvature"])  # the gap alternates by this term
    assert all(one.r_squared < 0.2 for one in terms["damping"])
    assert all(np.isnan(one.r_squared) for one in terms["driving, W = 500"])  # no gradient at all: it never changes

    def against(cell: Any, kind: str, name: str, step: int) -> float:
        value = obeys(cell, kind, name, step)
        return -3 * value if name in ("h1", "h2") else value

    assert result(LifecycleWorld(numbers=against), "gap-flow").verdict == CONTRADICTED
    only = LifecycleWorld(numbers=obeys, studies=(DYCK,))
    assert "Without modular, SCAN" in result(only, "gap-flow").note


def terms_of(modular: str, dyck: str, scan_: str) -> Any:
    """A task whose gap flow has one large term."""

    def value(cell: Any, kind: str, name: str, step: int) -> float:
        large = {"modular": modular, "dyck": dyck, "scan": scan_}[cell.config.task]
        if kind != "flow":
            return 0.5
        parts = {"d1": 2.0 + 0.1 * np.sin(step), "d2": 1.0, "d3": 0.5, "h1": 1e-4, "g1": 1e-4}
        parts |= {"g1": 40.0} if large == "driving" else {"g1": 0.2} if large == "both" else {}
        return float(parts.get(name, 0.0))

    return value


def test_classes_by_the_terms_of_the_gap_flow() -> None:
    published = LifecycleWorld(numbers=terms_of("driving", "both", "damping"))
    assert result(published, "classes-by-flow").verdict == REPRODUCED
    alike = LifecycleWorld(numbers=terms_of("damping", "damping", "damping"))
    assert result(alike, "classes-by-flow").verdict == CONTRADICTED
    turned = LifecycleWorld(numbers=terms_of("damping", "both", "driving"))
    assert result(turned, "classes-by-flow").verdict == NOT_REPRODUCED
    some = LifecycleWorld(numbers=terms_of("driving", "both", "damping"), studies=(DYCK,))
    assert result(some, "classes-by-flow").verdict == NOT_TESTABLE


def test_questions_are_answered_where_their_runs_are_there() -> None:
    world: Any = LifecycleWorld(at(700, 1500), numbers=terms_of("driving", "both", "damping"), groks=GROKS)
    answers = {one.question.id: one for one in ask(world, (*controls.QUESTIONS, *classes.QUESTIONS))}
    for one in answers.values():
        assert one.text, one.note
        assert one.entries
    assert len(answers["lifecycle-without-a-task"].entries) == 16
    blocks = {entry.id for entry in answers["lifecycle-blocks"].entries}
    assert {"grok layers.0.q", "grok attention", "prefix everything"} <= blocks
    arms = {entry.id for entry in answers["lifecycle-interventions"].entries}
    assert {"post ω=0 reset free", "pre ω=2 keep free", "projected ω=1 keep aligned"} <= arms


def test_the_nulls_without_a_task() -> None:
    """Pure decay is decay's in every window, whatever N and W."""
    table = controls.null_table()
    assert table["largest_share_passive"].max() < 1e-6
    assert table["last_share_noise"].between(0, 1).all()
    assert len(table) == 16


@pytest.mark.parametrize(
    ("grok", "memo", "said"), [(3.0, 1.0, REPRODUCED), (3.0, 3.0, CONTRADICTED), (1.5, 1.0, NOT_REPRODUCED)]
)
def test_compression_without_its_maximum(monkeypatch: pytest.MonkeyPatch, grok: float, memo: float, said: str) -> None:
    plain = iter([grok] * 5 + [memo] * 5)  # in the order of the conditions
    monkeypatch.setattr(sentences, "compression", lambda *_, **__: Compression(9.0, next(plain), 9.0))
    assert result(LifecycleWorld(groks=GROKS), "24-of-24").verdict == said


def as_printed(cell: Any, kind: str, name: str, step: int) -> float:
    """The printed numbers, wherever they stand."""
    removal, _, what = name.partition("/")
    if kind == "ablation":
        table = {"edge": printed.ABLATION, "bulk": printed.BULK}.get(removal, {})
        step = min(printed.ABLATION, key=lambda one: abs(one - step))  # the median of neighbours is read
        if what == "change" and cell.config.seed == 42 and step in table:
            return float(table[step])
        # the other two seeds, so that the mean over three is the printed one
        if what == "change" and removal == "edge" and step in printed.ABLATION_SEEDS:
            return (3 * float(printed.ABLATION_SEEDS[step]) - float(printed.ABLATION[step])) / 2
        return 0.0
    if kind == "probe":
        place, _, reader = name.rpartition("/")[0].partition("/")
        column = {"linear_raw": 0, "quadratic_raw": 1, "mlp_raw": 2}.get(reader)
        if cell.condition == "memo":
            return float(printed.MEMO_PROBE)
        known = printed.PROBES | printed.PROBES_LATE
        if place == "before" and column is not None and step in known:
            return float(known[step][column])
        if step in printed.PROBES_SEEDS and reader in ("linear_raw", "mlp_raw"):
            return float(printed.PROBES_SEEDS[step][reader == "mlp_raw"])
    return 0.5


def test_rows_of_printed_numbers() -> None:
    world = LifecycleWorld(numbers=as_printed, groks={42: 600, 137: 1400, 2024: 1000})
    for id in ("ablation", "probes", "grok-steps"):
        found = result(world, id)
        assert found.verdict == REPRODUCED, (id, found.measured)
        assert len(found.entries) >= 3
    far = LifecycleWorld(numbers=lambda *_: 5.0, groks={42: 3000, 137: 3000, 2024: 3000})
    for id in ("ablation", "probes", "grok-steps"):
        assert result(far, id).verdict == CONTRADICTED
    shares = LifecycleWorld(share=lambda cell, step: {300: 0.97, 600: 0.07, 1500: 0.99, 4000: 0.8}.get(step, 0.5))
    assert result(shares, "grad-share").verdict == REPRODUCED
    assert "trapezoid 0.070" in result(shares, "grad-share").measured
    assert result(LifecycleWorld(), "grad-share").verdict == CONTRADICTED
    assert result(LifecycleWorld(share=lambda cell, step: 1.0), "grad-share-memo").verdict == BY_DEFINITION


def test_every_row_of_numbers_is_judged_where_its_runs_are_there() -> None:
    world = LifecycleWorld(at(700, 1500), numbers=lambda *_: 0.5, groks=GROKS)
    for claim in (*numbers.CLAIMS, *anatomy.CLAIMS, *side.CLAIMS, *scan.CLAIMS):
        found = result(world, claim.id.removeprefix("lifecycle-"))
        assert found.verdict != NOT_TESTABLE, (claim.id, found.note)
        assert found.entries
        assert "error" not in found.note


@pytest.mark.parametrize(
    ("value", "text", "margin", "step", "said"),
    [
        (0.08, "0.053", SHARE, 600, REPRODUCED),
        (0.10, "0.053", SHARE, 600, NOT_REPRODUCED),
        (0.10, "0.053", SHARE, 900, REPRODUCED),
        (0.30, "0.053", SHARE, 600, CONTRADICTED),
        (0.10, "-0.03", ACCURACY, 3900, CONTRADICTED),
        (2.4, "2.0", SIZE, 600, REPRODUCED),
        (3.0, "2.0", SIZE, 600, NOT_REPRODUCED),
        (5.0, "2.0", SIZE, 600, CONTRADICTED),
        (-2.0, "2.0", SIZE, 600, CONTRADICTED),
        (float("nan"), "600", SHARE, 0, CONTRADICTED),
    ],
)
def test_the_verdict_on_one_number(value: float, text: str, margin: Any, step: int, said: str) -> None:
    assert verdict(value, text, margin, step) == said


def test_panels_have_tables_and_are_drawn() -> None:
    evidence: Any = LifecycleWorld(at(700, 1500), groks=GROKS, numbers=costs(0.4, 0.2))
    for panel in panels.PANELS:
        prepared = panel.prepare(evidence)
        assert prepared.run_ids
        assert all(len(table) for table in prepared.tables.values())
        figure = panel.draw(prepared.tables)
        assert figure.axes[0].get_ylabel()
    empty: Any = LifecycleWorld(studies=())
    assert all(table.empty for panel in panels.PANELS for table in panel.prepare(empty).tables.values())


def test_chapters_have_words_and_a_table() -> None:
    evidence: Any = LifecycleWorld(follows_window=True, groks=GROKS, numbers=costs(0.4, 0.2))
    for chapter in (*flip.CHAPTERS, *ablation_sentences.CHAPTERS, *errata.CHAPTERS, *classes.CHAPTERS):
        text, table = chapter.build(Sources(evidence))
        assert text
        assert len(table)
        assert chapter.figure in {None, *(panel.id for panel in panels.PANELS)}


def test_rates_alone_refuse_passive_decay() -> None:
    """Whatever the arms of another initial scale do; but a fall in the first full window is a bound, and refuses nothing."""

    def worlds(fast: float) -> dict[str, arms.Arm]:
        falls = dict.fromkeys(("grok", "rate_half", "scale_4"), 600.0) | {"rate_2": fast}
        falls |= {"decay_half": 1200.0, "decay_2": 500.0, "scale_quarter": NEVER}
        paces = {"rate_half": 5e-4, "rate_2": 2e-3, "decay_half": 5e-4, "decay_2": 2e-3}
        return {
            name: arms.Arm("s", name, pd.DataFrame({"falls": [step], "eta_omega": [paces.get(name, 1e-3)]}))
            for name, step in falls.items()
        }

    assert [flip.follows_decay(worlds(fast)) for fast in (600.0, 500.0)] == ["fails", "cannot tell"]
