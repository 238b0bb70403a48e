"""The first command: a study and what follows it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grok.spec.config import RunConfig
from tests.conftest import TINY

MORE = "To have it: python -m entry_points.main --study headline"


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[Any]]]:
    """`main(arguments, **followers)`: the entry point with a study that trains nothing and stand-ins for what follows it."""

    def run(arguments: list[str], status: int = 0, **followers: Any) -> tuple[int, list[Any]]:
        import importlib.util
        import types

        from entry_points import main, study

        ran: list[Any] = []
        monkeypatch.setattr(study, "run", lambda flags: ran.append((flags.study, flags.backend)) or status)
        found = importlib.util.find_spec
        for name in ("sensitivity", "analyze"):
            module = types.ModuleType(f"entry_points.{name}")
            module.main = lambda words, name=name: ran.append((name, *words)) or followers[name]()  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, f"entry_points.{name}", module)
        names = {f"entry_points.{name}": object() if name in followers else None for name in ("sensitivity", "analyze")}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: names[name] if name in names else found(name))
        return main.main(arguments), ran

    return run


def test_main_is_the_quick_study_and_what_follows(main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == (0, [("quick", "loky")])
    assert "analyze: skipped, this version has none" in capsys.readouterr().err
    status, ran = main([], sensitivity=lambda: 0, analyze=lambda: 0)
    assert (status, ran) == (0, [("quick", "loky"), ("analyze", "--out", "report")])
    told = f"sensitivity: skipped, it needs 5 seeds of condition grok and quick has 2. {MORE}\n"
    assert capsys.readouterr().err == told
    status, ran = main(["--study", "headline", "--backend", "sequential"], sensitivity=lambda: 0, analyze=lambda: 0)
    follow = [("sensitivity", "--study", "headline"), ("analyze", "--out", "report")]
    assert (status, ran) == (0, [("headline", "sequential"), *follow])


@pytest.mark.parametrize(
    ("condition", "follows"), [("grok", ("sensitivity", "--study", "own/tiny")), ("mine", "it needs 5 seeds of condition grok")]
)
def test_main_names_an_own_study_as_the_store_does(
    main: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: str, follows: Any
) -> None:
    base = {name: text for name, text in TINY.to_strings().items() if text != RunConfig().to_strings()[name]}
    runs = [{"condition": condition, **base, "seed": "0..4"}]
    (tmp_path / "own.yaml").write_text(repr({"tiny": {"sentence": "Tiny.", "source": "ours", "runs": runs}}), encoding="utf-8")
    path = f"{tmp_path / 'own.yaml'}:tiny"
    status, ran = main(["--study", path], sensitivity=lambda: 0, analyze=lambda: 0)
    told = capsys.readouterr().err
    assert (status, ran[0], ran[-1]) == (0, (path, "loky"), ("analyze", "--out", "report"))
    if condition == "grok":
        assert (ran[1:-1], told) == ([follows], "")
    else:
        assert ran[1:-1] == []
        assert told == f"sensitivity: skipped, {follows} and own/tiny has 0. {MORE}\n"


def test_main_tells_a_failure_of_what_follows_in_one_line_and_goes_on(main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise RuntimeError("no runs\nat all")

    status, ran = main(["--study", "headline"], sensitivity=fails, analyze=lambda: 3)
    assert status == 3
    assert [words[0] for words in ran] == ["headline", "sensitivity", "analyze"]
    assert capsys.readouterr().err.splitlines() == [
        "sensitivity: exit status 1 RuntimeError: no runs at all. "
        "Repeat it: python -m entry_points.sensitivity --study headline",
        "analyze: exit status 3. Repeat it: python -m entry_points.analyze --out report",
    ]
    assert main([], status=130, analyze=lambda: 0) == (
        130,
        [("quick", "loky")],
    )  # a study that was stopped is followed by nothing
