"""The report of a store, as `analyze` writes it: the same bytes twice, texts escaped, links there, nothing overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from analysis import papers
from grok.runs import train as runner
from grok.store import store as tracking
from grok.store.moved import rebase
from grok.store.store import TrackedRun
from tests.conftest import OUTSIDE, TINY, Answer

EVIL = "<script>alert(1)</script>"
SLOW = ("eigenvalues", "repulsion", "windows")
"""Figures of the same study as others, left out here; test_report_parts.py draws every one."""
LINK = (
    "[x](https://example.com) ![y](https://example.com/y.png) |**b**| http://a.example www.b.example WWW.c.example me@d.example"
)


@pytest.fixture(scope="module")
def home(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A store with three finished runs of the study headline and five odd ones, and a first report of it."""
    folder = tmp_path_factory.mktemp("report-store")
    shutil.copy(template_store, folder / "mlflow.db")
    rebase(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(papers, "PANELS", [panel for panel in papers.PANELS if panel.id not in SLOW])
        for name in OUTSIDE:
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        store, ids = tracking.open_store(), {}
        for name, condition, changes in (
            ("grok0", "grok", {"seed": 0}),
            ("grok1", "grok", {"seed": 1}),
            ("eta0", "eta0", {"weight_decay": 0.0}),
        ):
            (outcome,) = runner.train_tracked([replace(TINY, **changes)], store, tags={"study.headline": condition})
            ids[name] = outcome.run_id
        for name, condition, tags in (
            ("failed", "grok", {"state": "failed"}),
            ("running", LINK, {"state": "running"}),
            ("old", "grok", {"state": "complete", "protocol": "0"}),
            ("corrupted", "grok", {"state": "complete"}),
            ("evil", "grok", {"state": f"{EVIL} {LINK}"}),
        ):
            ids[name] = odd_run(store, EVIL if name == "evil" else name, {"study.headline": condition} | tags, 10 + len(ids))
        answer = call("--out", str(folder / "first"))
        assert answer.status == 0, answer.err
        yield {"store": store, "ids": ids, "folder": folder, "first": folder / "first", "answer": answer}


def odd_run(store: Any, name: str, tags: dict[str, str], seed: int) -> str:
    """A run that was never trained; its history is not a table."""
    config = replace(TINY, seed=seed).resolved()
    run = store.create(name, {"kind": "train", "protocol": "1", "config_hash": config.hash})
    run.log_config(config)
    run.put_text("history.parquet", "PAR1 not any more")
    run.end("complete")
    run.set_tags(tags)
    return str(run.run_id)


def call(*arguments: str) -> Answer:
    """The command line, in this process."""
    import contextlib
    import io

    from entry_points import analyze, cli

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["analyze", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.run_main(analyze.main)
    return Answer(left.value.code if isinstance(left.value.code, int) else 1, out.getvalue(), err.getvalue())


@pytest.fixture
def analyze(home: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """`analyze(*arguments)` on the module's store, with one figure only, to be quick."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", home["store"].uri)
    monkeypatch.setattr(papers, "PANELS", [panel for panel in papers.PANELS if panel.id == "detector"])
    return call


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, ids, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [str(attributes[name]) for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def page(home: dict[str, Any]) -> Page:
    return Page((home["first"] / "report.html").read_text(encoding="utf-8"))


# what is there


def test_the_result_line_counts_runs_and_verdicts(home: dict[str, Any]) -> None:
    words = home["answer"].words
    assert (words["runs"], words["left_out"], words["reused"]) == ("3", "5", "no")
    claims = json.loads((home["first"] / "claims.json").read_text(encoding="utf-8"))
    assert int(words["claims"]) == len(claims["claims"]) > 50
    assert sum(claims["verdicts"].values()) == len(claims["claims"])
    assert {name.replace(" ", "_"): str(n) for name, n in claims["verdicts"].items()}.items() <= words.items()


def test_odd_runs_are_counted_and_named_with_a_reason(home: dict[str, Any]) -> None:
    table = (home["first"] / "data" / "left_out.csv").read_text(encoding="utf-8")
    html = (home["first"] / "report.html").read_text(encoding="utf-8")
    markdown = (home["first"] / "report.md").read_text(encoding="utf-8")
    for name in ("failed", "running", "old", "corrupted", "evil"):
        for text in (table, html, markdown):
            assert home["ids"][name] in text, name
    for reason in ("state failed", "state running", "protocol 0", "history.parquet must be a whole parquet file"):
        assert all(reason in text for text in (table, html)), reason


def test_figures_have_their_runs_command_and_data(home: dict[str, Any], page: Page) -> None:
    """Drawn where the study has runs, else the command that makes the data; each of the report's figures one or the other."""
    html = (home["first"] / "report.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section id="figure-(\w+)">(.*?)</section>', html, re.DOTALL))
    assert "<svg" in sections["headline"]
    assert "--study headline" in sections["headline"]
    assert all(home["ids"][name] in sections["headline"] for name in ("grok0", "grok1", "eta0"))
    assert 'href="data/headline-curves.csv"' in sections["headline"]
    for name in ("eta", "scaling", "activations", "sensitivity"):
        assert "<svg" not in sections[name]
        assert not list((home["first"] / "figures").glob(f"{name}.*"))
    assert "--study scaling" in sections["scaling"]
    assert "entry_points.sensitivity" in sections["sensitivity"]


def test_html_is_one_file_that_fetches_nothing(page: Page, home: dict[str, Any]) -> None:
    assert not [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "embed", "base", "form")]
    assert [v for v in page.values("src") + page.values("xlink:href") if not v.startswith(("#", "data:image/png"))] == []
    assert [v for v in page.values("href") if re.match(r"[a-z]+:|//", v)] == [paper.address for paper in papers.PAPERS]
    html = (home["first"] / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"url\((?!#)[^)]*\)", html) == []
    assert "@import" not in html
    assert len(html) < 2_500_000


def test_every_link_of_html_and_markdown_resolves(page: Page, home: dict[str, Any]) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = page.values("href") + page.values("xlink:href") + page.values("aria-labelledby")
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    text = (home["first"] / "report.md").read_text(encoding="utf-8")
    written = re.findall(r"(?<!\\)\]\(([^)]+)\)", text)
    headings = {f"#{line.lstrip('# ').lower().replace(' ', '-')}" for line in text.splitlines() if line.startswith("#")}
    assert {link for link in written if link.startswith("#")} <= headings
    addresses = {paper.address for paper in papers.PAPERS}
    relative = [link for link in links + written if not link.startswith(("#", "data:")) and link not in addresses]
    assert len(relative) > 20
    assert [link for link in relative if not (home["first"] / unquote(link)).is_file()] == []


def test_the_claims_table_sorts_and_the_script_is_the_one_that_the_page_allows(page: Page, home: dict[str, Any]) -> None:
    import base64
    import hashlib

    html = (home["first"] / "report.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [attributes["content"] for tag, attributes in page.elements if attributes.get("http-equiv")]
    assert f"script-src 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    claimed = {f"claim-{id}" for id in page.values("data-of")}
    assert claimed == {attributes["id"] for tag, attributes in page.elements if tag == "article"}
    assert "table.sortable" in script
    claims = json.loads((home["first"] / "claims.json").read_text(encoding="utf-8"))["claims"]
    assert {f"claim-{claim['id']}" for claim in claims} <= set(page.values("id"))


# untrusted text


def test_a_run_named_script_stays_text(page: Page, home: dict[str, Any]) -> None:
    html = (home["first"] / "report.html").read_text(encoding="utf-8")
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    markdown = (home["first"] / "report.md").read_text(encoding="utf-8")
    assert "<" not in markdown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in markdown
    assert not [link for link in re.findall(r"(?<!\\)\]\(([^)]+)\)", markdown) if "example" in link]
    rows = [line for line in markdown.splitlines() if home["ids"]["running"] in line]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert any("a.example" in row and "d.example" in row for row in rows)
    prose = re.sub(r"`[^`\n]*`", "", markdown)  # in a code span nothing becomes a link
    for paper in papers.PAPERS:
        prose = prose.replace(f"]({paper.address})", "")
    assert not re.findall(r"https?://|www\.|\S@\S", prose, re.IGNORECASE)


# the same again


def test_the_same_store_gives_the_same_bytes_and_the_run_that_is_there(
    home: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", home["store"].uri)
    monkeypatch.setattr(papers, "PANELS", [panel for panel in papers.PANELS if panel.id not in SLOW])
    answer = call("--out", str(tmp_path / "second"))
    assert files(tmp_path / "second") == files(home["first"])
    assert (answer.words["run"], answer.words["reused"]) == (home["answer"].words["run"], "yes")


def test_the_run_of_the_report_has_every_file_and_a_description(home: dict[str, Any]) -> None:
    store, run_id = home["store"], home["answer"].words["run"]
    run = store.get(run_id)
    assert (run.info.status, run.data.tags["grok.kind"], run.data.tags["grok.state"]) == ("FINISHED", "analysis", "complete")
    assert store.client.get_experiment(run.info.experiment_id).name == "grok-reports"  # not among training curves
    assert "3 finished runs" in run.data.tags["mlflow.note.content"]
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    assert files(root) == files(home["first"])
    claims = json.loads((home["first"] / "claims.json").read_text(encoding="utf-8"))
    assert run.data.metrics["claims/not_testable_yet"] == claims["verdicts"]["not testable yet"]


def test_a_failure_while_logging_marks_the_run_and_leaves_the_folder_alone(
    analyze: Any, home: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrackedRun, "put_file", lambda *_: (_ for _ in ()).throw(RuntimeError("disk full")))
    answer = analyze("--out", str(tmp_path / "out"), "--study", "scaling,headline")
    assert (answer.status, answer.err) == (1, "error: disk full\n")
    (run,) = home["store"].find({"kind": "analysis", "state": "failed"})
    assert run.data.tags["grok.error"] == "RuntimeError: disk full"
    assert list(tmp_path.iterdir()) == []


# baseline


def test_a_baseline_without_change_says_so(analyze: Any, home: dict[str, Any], tmp_path: Path) -> None:
    answer = analyze("--out", str(tmp_path / "out"), "--study", "svd,headline", "--baseline", home["answer"].words["run"])
    assert answer.words["changed"] == answer.words["new"] == answer.words["absent"] == "0"
    found = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert found["changes"] == []
    assert str(found["same"]) == answer.words["claims"]
    assert "nothing changed" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_baseline_tells_changed_new_and_absent_claims(analyze: Any, home: dict[str, Any], tmp_path: Path) -> None:
    document = json.loads((home["first"] / "claims.json").read_text(encoding="utf-8"))
    changed, new = [claim for claim in document["claims"] if "scaling" in claim["studies"]][:2]
    absent = changed | {"id": "gone", "statement": f"Gone. {EVIL}", "verdict": "reproduced"}
    others = [claim for claim in document["claims"] if claim["id"] not in (changed["id"], new["id"])]
    document["claims"] = [changed | {"verdict": "contradicted"}, absent, *others]
    (tmp_path / "claims.json").write_text(json.dumps(document), encoding="utf-8")
    answer = analyze("--out", str(tmp_path / "out"), "--study", "scaling,headline", "--baseline", str(tmp_path))
    assert (answer.words["changed"], answer.words["new"], answer.words["absent"]) == ("1", "1", "1")
    assert answer.words["changed_claims"] == changed["id"]
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in (html, (tmp_path / "out" / "report.md").read_text(encoding="utf-8")):
        assert "1 verdict changed, 1 claim is new, 1 claim is absent now" in text
        assert EVIL not in text
    kinds = [
        (c["id"], c["kind"]) for c in json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))["changes"]
    ]
    assert kinds == [(changed["id"], "verdict changed"), (new["id"], "new"), ("gone", "absent")]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, r"error: baseline must be a folder, a claims.json or the id of an analysis run, got .*\n"),
        ("{", r"error: baseline must have a claims.json of format grok-claims/1, got .*\n"),
        ('{"format": "grok-claims/1", "claims": [{"id": 3}]}', r"error: baseline must have a claims.json of format .*\n"),
        ('{"format": "other", "claims": []}', r"error: baseline must have a claims.json of format .*format other.*\n"),
    ],
)
def test_a_bad_baseline_is_refused(analyze: Any, tmp_path: Path, content: str | None, line: str) -> None:
    path = tmp_path / "claims.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    answer = analyze("--out", str(tmp_path / "out"), "--baseline", str(path))
    assert answer.status == 2
    assert re.fullmatch(line, answer.err)
    assert not (tmp_path / "out").exists()


def test_a_baseline_run_must_be_an_analysis(analyze: Any, home: dict[str, Any], tmp_path: Path) -> None:
    answer = analyze("--out", str(tmp_path / "out"), "--baseline", home["ids"]["grok0"])
    assert answer.status == 2
    assert "baseline must be a run of kind analysis" in answer.err
    answer = analyze("--out", str(tmp_path / "out"), "--baseline", "0" * 32)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "run must exist" in answer.err


# the folder


def test_files_of_an_earlier_report_are_replaced_and_others_stay(analyze: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert analyze("--out", str(out), "--study", "headline,eta").status == 0
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    before = files(out)
    assert analyze("--out", str(out), "--study", "scaling,headline").status == 0
    after = files(out)
    assert after.pop("mine.txt") == b"mine"
    manifest = json.loads((out / "files.json").read_text(encoding="utf-8"))["files"]
    assert manifest.keys() | {"files.json"} == after.keys()
    assert after["report.html"] != before["report.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_folder_of_other_things_is_refused(analyze: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine", encoding="utf-8")
    answer = analyze("--out", str(tmp_path))
    assert answer.status == 2
    assert answer.err == f"error: out must be a new folder or one that analyze made, got {tmp_path}. Give another --out.\n"
    assert files(tmp_path) == {"report.html": b"mine"}


def test_a_file_in_the_way_is_refused_before_a_run_is_made(analyze: Any, home: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(home["first"], tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "files.json").read_text(encoding="utf-8"))
    del manifest["files"]["report.md"]
    manifest["files"]["../outside"] = ""
    (tmp_path / "out" / "files.json").write_text(json.dumps(manifest), encoding="utf-8")
    (tmp_path / "outside").write_text("mine", encoding="utf-8")
    before, runs = files(tmp_path), len(home["store"].find({"kind": "analysis"}))
    answer = analyze("--out", str(tmp_path / "out"), "--study", "headline,controls")
    assert answer.status == 2
    assert re.fullmatch(r"error: out must not hold other files under the report's names, got .*report\.md\. .*\n", answer.err)
    assert files(tmp_path) == before
    assert len(home["store"].find({"kind": "analysis"})) == runs


# nothing to report


def test_an_empty_store_says_what_to_run_first(store: Any, tmp_path: Path) -> None:
    answer = call("--out", str(tmp_path / "out"))
    assert answer.status == 2
    assert answer.err == (
        f"error: store must hold a finished run of a study, got none in {store.uri}. "
        "Run one first: python -m entry_points.study --study headline.\n"
    )
    assert not (tmp_path / "out").exists()
    assert store.client.search_runs([e.experiment_id for e in store.client.search_experiments()]) == []


def test_a_store_that_does_not_exist_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
    answer = call("--out", str(tmp_path / "out"))
    assert answer.status == 2
    assert re.fullmatch(r"error: store must hold runs, got no database at .*--study headline\.\n", answer.err)
    assert os.listdir(tmp_path) == []


def test_a_study_without_runs_or_without_a_name_is_refused(analyze: Any, tmp_path: Path) -> None:
    answer = analyze("--out", str(tmp_path / "out"), "--study", "eta")
    assert answer.status == 2
    assert "a finished run of the study eta" in answer.err
    assert "--study eta." in answer.err
    answer = analyze("--out", str(tmp_path / "out"), "--study", "headlines")
    assert answer.status == 2
    told = r"error: study must be a known name, got headlines\. Did you mean headline\? Known: quick, headline, .*\n"
    assert re.match(told, answer.err)
    assert list(tmp_path.iterdir()) == []


# exhibits of the user's own

OWN = """
import pandas as pd
from matplotlib.figure import Figure

from analysis.exhibits.model import CONTRADICTED, REPRODUCED, TEXT, Chapter, Claim, Measured
from analysis.exhibits.panels import Panel, Prepared


def _ends(sources):
    runs = sources.evidence.runs("headline")
    verdict = REPRODUCED if (runs["accuracy/test"] >= 0).all() else CONTRADICTED
    return Measured(f"{len(runs)} runs", verdict, run_ids=tuple(runs["run_id"]))


def _table(evidence):
    runs = evidence.runs("headline")
    return Prepared({"runs": runs[["seed", "accuracy/test"]]}, tuple(runs["run_id"]))


def _draw(tables):
    figure = Figure()
    figure.subplots().plot(tables["runs"]["seed"], tables["runs"]["accuracy/test"], "o")
    return figure


def _counted(sources):
    return "Counted.", pd.DataFrame({"runs": [len(sources.evidence.runs("headline"))]})


MINE = (
    Claim("mine", "Test accuracy is no less than 0.", "nobody", "0", "at the end", ("headline",), "As said.", _ends, kind=TEXT),
    Chapter("my-chapter", "My chapter", ("headline",), None, "Why.", _counted),
    Panel("my-figure", "My figure", "What it shows.", ("headline",), _table, _draw),
)
WRONG = (*MINE, 3)
TWICE = (*MINE, MINE[0])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with exhibits of the user's own, in one file outside the package."""
    (tmp_path / "my_exhibits.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("CLAIMS", "ERRATA", "PANELS"):
        monkeypatch.setattr(papers, name, getattr(papers, name)[:1])
    yield tmp_path
    sys.modules.pop("my_exhibits", None)


def test_a_claim_a_chapter_and_a_figure_from_one_file_outside(analyze: Any, own: Path) -> None:
    out = own / "report"
    answer = analyze("--out", str(out), "--study", "headline", "--claims", "my_exhibits:MINE")
    assert answer.status == 0, answer.err
    assert "claims=2 reproduced=1" in answer.out
    (mine,) = [claim for claim in json.loads((out / "claims.json").read_text())["claims"] if claim["id"] == "mine"]
    assert (mine["verdict"], mine["measured"], mine["n"]) == ("reproduced", "3 runs", 3)
    assert len((out / "data" / "my-figure-runs.csv").read_text().splitlines()) == 4
    assert (out / "figures" / "my-figure.svg").stat().st_size > 1000
    assert (out / "data" / "my-chapter.csv").read_text() == "runs\n3\n"
    text = (out / "report.md").read_text()
    assert "### My figure" in text
    assert "### My chapter" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_exhibits:WRONG", "claims must hold Claim, Question, Chapter or Panel, got int in my_exhibits:WRONG."),
        ("my_exhibits:TWICE", "claims must have ids of their own, got mine in my_exhibits:TWICE, which is there."),
        ("my_exhibits:NONE", "claims must be a list by module:NAME, got my_exhibits:NONE"),
        ("no_such:MINE", "claims must be a list by module:NAME, got no_such:MINE"),
        ("my_exhibits", "claims must be a list by module:NAME, got my_exhibits"),
    ],
)
def test_exhibits_that_are_none_are_refused_in_one_line(analyze: Any, own: Path, name: str, said: str) -> None:
    answer = analyze("--out", str(own / "report"), "--claims", name)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith(f"error: {said}")
    assert not (own / "report").exists()
