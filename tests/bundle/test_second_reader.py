"""The committed report's claims against a second reader's, who has the committed bundle alone."""

from __future__ import annotations

import copy
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.bundle.second_claims import CLAIMS
from tests.bundle.second_numbers import Bundle, fire, flip, line, middle, read, share, stored_differs
from tests.bundle.second_reader import Answers, Claims, by_id, compare, recompute, text
from tests.conftest import PROJECT

REPORT = PROJECT / "docs" / "report"
BUNDLE = REPORT / "bundle"


def test_the_second_reader_imports_nothing_of_the_project() -> None:
    code = "import sys, tests.bundle.second_reader; print({name.split('.')[0] for name in sys.modules} & {'grok', 'analysis'})"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_second_readers_detector_finds_a_planted_rise() -> None:
    gap = np.exp(0.05 * np.clip(np.arange(401) - 200, 0, None))  # 0.05 k / 25 > 0.04 from k = 21 epochs of the rise on
    assert fire(gap) == 221
    assert fire(gap, threshold=0.05 + 1e-9) is None
    assert fire(gap, first=300) == 300
    assert fire(np.where(np.arange(401) < 250, np.nan, gap)) == 275


def test_the_second_readers_statistics_have_known_values() -> None:
    assert middle(range(15)) == (7, 3, 11)  # the 4th and 12th of 15: 2 P(B(15, 1/2) ≤ 3) = 0.035
    assert middle([3, 1, 2]) == (2, 1, 3)
    assert share(0, 15) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 15)))
    assert share(15, 15, 0.90) == pytest.approx((1, 0.05 ** (1 / 15), 1))
    assert flip(np.arange(1, 16)) == 2 / 2**15
    assert line(np.array([0.0, 1, 2]), np.array([1.0, 3, 5])) == pytest.approx([2, 1, 1])


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read(BUNDLE)


@pytest.fixture(scope="module")
def claims() -> Claims:
    return by_id(REPORT / "claims.json")


@pytest.fixture(scope="module")
def answers(bundle: Bundle, claims: Claims) -> Answers:
    return recompute(bundle, claims)


@pytest.mark.slow
def test_a_second_reader_has_the_reports_numbers(answers: Answers, claims: Claims) -> None:
    rows = compare(answers, claims)
    assert [row for row in rows if not row.same] == []
    assert {(row.claim, row.part) for row in rows} == CLAIMS.keys()


@pytest.mark.slow
def test_one_changed_digit_is_seen(answers: Answers, claims: Claims) -> None:
    for (name, part, rounding), answer in answers.items():
        said = text(claims[name], part, rounding)
        place = [found.start() for found in re.finditer(r"\d", said)][-1]
        changed = said[:place] + str((int(said[place]) + 1) % 10) + said[place + 1 :]
        other = copy.deepcopy(claims[name])
        replicates = [entry for entry in other["replicates"] if entry["rounding"] == rounding]
        entry, key = other if rounding == "default" else replicates[0], "note" if part == "note" else "measured"
        entry[key] = entry[key].replace(said, changed, 1)
        (row,) = compare({(name, part, rounding): answer}, {name: other})
        assert not row.same
        assert row.report == changed


@pytest.mark.slow
def test_an_estimate_that_is_off_is_seen(answers: Answers, claims: Claims) -> None:
    for (name, part, rounding), answer in answers.items():
        for key in answer.estimates if rounding == "default" else ():
            other = copy.deepcopy(claims[name])
            other["estimates"][key]["value"] += 1e-6
            (row,) = compare({(name, part, rounding): answer}, {name: other})
            assert len(row.far) == 1


@pytest.mark.slow
def test_what_runs_stored_follows_from_their_histories(bundle: Bundle) -> None:
    held, differ = stored_differs(bundle)
    assert differ == []
    assert held > 1000


@pytest.mark.slow
def test_a_stored_epoch_that_is_off_is_seen(bundle: Bundle) -> None:
    run_id = next(iter(bundle.of("headline", "grok").values()))
    off = bundle.stored["fire_epoch"] + (bundle.stored.index == run_id)
    stored = bundle.stored.assign(fire_epoch=off)
    _, differ = stored_differs(Bundle(bundle.folder, {run_id: bundle.runs[run_id]}, bundle.histories, stored))
    assert len(differ) == 1
