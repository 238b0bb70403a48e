"""What a person finds in the MLflow UI: the project's experiments with a note each, saved views, and links that land there.

MLflow keeps a saved view as a tag of the experiment. The form is not documented: it was read off the UI of the versions in
`VERSIONS`, and no views are written for others.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from typing import Any, Final
from urllib.parse import quote

from grok.store.tags import FOUND, KIND, NOTE, RESOLVED, STATE, STUDY_NAME, TRAIN, WALL, study_tag, tag

EXPERIMENT: Final = "grok"
"""Of training runs and of the studies over them, where nobody names another."""
REPORTS: Final = "grok-reports"
"""Of reports and sensitivity studies, where nobody names another: they stand among no training curves."""
ASIDE: Final = ("analysis", "sensitivity", "trial")
"""Kinds of runs that belong to `REPORTS`."""
DEFAULT_ID: Final = "0"
"""MLflow's experiment `Default`, where `mlflow run` puts its runs unless it is told another."""
NOTES: Final = {
    EXPERIMENT: (
        "Open **Views** for *Detector* (training runs: when the detector fires, when the network generalises; its charts are "
        "in order) and *Studies* (one line a study). "
        "Reports are in the experiment `grok-reports`. "
        "A run is a network that learns late, with the spectrum of its updates; a parent run is a study."
    ),
    REPORTS: (
        "Open **Views** for *Reports* and *Sensitivity*; a report's page is its artifact `report.html`. "
        "It is what the runs of `grok` say: every published number with a verdict, and whether the detector's setting made it."
    ),
}
KIND_TAG: Final = "mlflow.experimentKind"
"""Asks the MLflow UI for its pages on training, not those on language models."""
TRAINING: Final = "workflowType=machine_learning"
"""The same, for a link."""
VERSIONS: Final = ("3.17",)
"""Of MLflow, whose views have the form below."""
SHARED: Final = "mlflow.sharedViewState."
UI: Final = "http://127.0.0.1:5000"
"""Where `mlflow ui` shows a store, unless it is told otherwise."""


@dataclass(frozen=True)
class View:
    """A saved view of an experiment's runs.

    Attributes:
        name: as the UI lists it. kind: of the runs that it shows.
        metrics, params, tags: its columns.
        charts: its sections of charts, by title: metrics, several in one chart joined by `+`; a `log ` before them asks for a
            logarithmic axis.
        order: what it sorts by. ascending: which way.
    """

    name: str
    kind: str
    metrics: Sequence[str] = ()
    params: Sequence[str] = ()
    tags: Sequence[str] = ()
    charts: Mapping[str, Sequence[str]] | None = None
    order: str = "attributes.start_time"
    ascending: bool = False

    @property
    def key(self) -> str:
        """Its name in links, and behind `mlflow.sharedViewState.` the tag that has it."""
        return f"{EXPERIMENT}-{self.name.lower()}"


DETECTOR: Final = View(
    "Detector",
    TRAIN,
    ("fired", "fire_epoch", "test_50_epoch", "test_99_epoch", "late_gap_23", "accuracy/test"),
    ("seed",),
    (tag(STATE), *(tag(RESOLVED + name) for name in ("activation", "weight_decay", "epochs"))),
    {
        "Does it generalise?": ("accuracy/test", "accuracy/train", "log loss/test", "log loss/train"),
        "Does the detector see it?": (
            "log delta_w/gap_23",
            "delta_w/slope_23",
            "log delta_w/lambda_1+delta_w/lambda_2+delta_w/lambda_3",
        ),
        "Weights and features": ("norm/w", "norm/v", "features/rho", "repulsion/rate"),
    },
    order="tags.`mlflow.runName`",  # sorted by time, the UI puts the studies in and folds their runs away
    ascending=True,
)
"""Training runs, by when the detector fires."""
VIEWS: Final = (
    DETECTOR,
    View(
        "Studies",
        "study",
        ("runs/done", "runs/of"),  # the UI puts metrics first, and what was found is to be in sight
        tags=(tag(FOUND), tag(STUDY_NAME), tag(STATE), tag(WALL)),
    ),
    View(
        "Reports",
        "analysis",
        tuple(
            f"claims/{word}"
            for word in ("reproduced", "not_reproduced", "contradicted", "undecidable_to_rounding", "not_testable_yet")
        ),
        tags=(tag("analyze.study"), tag("code_version")),
    ),
    View(
        "Sensitivity",
        "sensitivity",
        ("search/j_held_out", "search/lead_held_out", "rebuttal/holding/positive", "trials_per_s"),
        ("mode", "rule", "n_trials"),
        (tag("sensitivity_study"), tag(STATE)),
    ),
)


def views_of(experiment: str) -> tuple[View, ...]:
    """The views of an experiment by its name: each where its runs are, all of them in one that somebody else has named."""
    if experiment == EXPERIMENT:
        return tuple(view for view in VIEWS if view.kind not in ASIDE)
    return tuple(view for view in VIEWS if view.kind in ASIDE or experiment != REPORTS)


@functools.cache
def installed() -> str:
    """The version of MLflow that is installed, read without importing it; empty if its packages do not say."""
    for name in ("mlflow", "mlflow-skinny"):
        with contextlib.suppress(PackageNotFoundError):
            return metadata.version(name)
    return ""


def tags_of(experiment: str, version: str | None = None) -> dict[str, str]:
    """Tags that an experiment of a name is to have: its note, its pages in the UI, its saved views.

    Args:
        experiment: its name. version: of MLflow; no views for one whose form of them is not known.
    """
    out = {KIND_TAG: "custom_model_development"} | ({NOTE: NOTES[experiment]} if experiment in NOTES else {})
    return out | ({SHARED + view.key: encoded(view) for view in views_of(experiment)} if known(version) else {})


def known(version: str | None = None) -> bool:
    """Whether the form of a version's views is known."""
    return any((installed() if version is None else version).startswith(f"{one}.") for one in VERSIONS)


def missing(experiment: str, there: Mapping[str, str]) -> dict[str, str]:
    """Those of `tags_of` that an experiment is to get: views are written anew where they differ, what is a person's stays.

    Args:
        experiment: its name. there: the tags that it has.
    """
    wanted = tags_of(experiment)
    return {key: text for key, text in wanted.items() if key not in there or (key.startswith(SHARED) and there[key] != text)}


def encoded(view: View) -> str:
    """A view as the UI reads it: JSON with the state compressed in it; the same view gives the same text."""
    packed = base64.b64encode(zlib.compress(json.dumps(state(view)).encode(), 9)).decode()
    return json.dumps({"name": view.name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"})


def state(view: View) -> dict[str, Any]:
    """What the UI keeps of a page of runs: filter, order, columns, charts."""
    columns = [f"{kind}.`{name}`" for kind in ("metrics", "params", "tags") for name in getattr(view, kind)]
    out: dict[str, Any] = {
        "searchFilter": f"tags.`{tag(KIND)}` = '{view.kind}'",
        "orderByKey": view.order,
        "orderByAsc": view.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "runsHiddenMode": "FIRST_20_RUNS",
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "groupBy": None,
        "viewMaximized": False,
        "runListHidden": False,
    }
    return out | (_charts(view.charts) if view.charts else {})


def _charts(sections: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    titles = [
        {"uuid": _id(title), "name": title, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
        for title in sections
    ]
    cards = [_chart(text, _id(title)) for title, texts in sections.items() for text in texts]
    return {"compareRunCharts": cards, "compareRunSections": titles, "isAccordionReordered": True}


def _chart(text: str, section: str) -> dict[str, Any]:
    names = text.removeprefix("log ").split("+")
    return {
        "uuid": _id(text),
        "type": "LINE",
        "runsCountToCompare": 20,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "metricKey": names[0],
        "selectedMetricKeys": names,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "log" if text.startswith("log ") else "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _id(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"grok/{text}"))


def address(uri: str) -> str:
    """Where a store is to be seen: a server at its own address without a password, else where `mlflow ui` serves by itself."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2].rstrip('/')}" if scheme in ("http", "https") else UI


def run_page(experiment_id: str, run_id: str) -> str:
    """A run's page in the training pages, for a link within the UI: `#/…`."""
    return f"#/experiments/{quote(experiment_id, safe='')}/runs/{quote(run_id, safe='')}?{TRAINING}"


def run_list(experiment_id: str, view: View | None = None, *, charts: bool = False, search: str = "") -> str:
    """An experiment's runs in the training pages, for a link within the UI: `#/…`.

    Args:
        experiment_id: of the experiment. view: that opens. charts: as charts, not as a table.
        search: a filter, in place of a view.
    """
    more = f"&viewStateShareKey={view.key}" if view is not None and not search else ""
    more += f"&searchFilter={quote(search, safe='')}" if search else ""
    return f"#/experiments/{experiment_id}/runs?{TRAINING}{'&compareRunsMode=CHART' if charts else ''}{more}"


def members_page(experiment_id: str, study: str) -> str:
    """The runs of a study, those that other commands trained too, for a link within the UI."""
    return run_list(experiment_id, search=f"tags.`{study_tag(study)}` IS NOT NULL")


REPORT_LINE: Final = "Newest report: "
"""How the line of a study's description begins that links the report."""
REPORT: Final = re.compile(r"\[(?:[^\[\]\\]|\\.)*\]\(#/[^\s()]*\)")
"""The link there: to a page of the same UI."""


def report_of(note: str) -> str:
    """The link to the newest report in a study's description; empty if there is none."""
    found = [part for part in note.split("\n\n") if part.startswith(REPORT_LINE)]
    link = found[0].removeprefix(REPORT_LINE).rstrip(".\n") if found else ""
    return link if REPORT.fullmatch(link) else ""


def with_report(note: str, link: str) -> str:
    """A study's description with the line that links the newest report, in place of an earlier one; third of its parts.

    Args:
        note: in Markdown. link: in Markdown; empty for none.
    """
    parts = [part for part in note.split("\n\n") if not part.startswith(REPORT_LINE)]
    return "\n\n".join([*parts[:2], f"{REPORT_LINE}{link}.", *parts[2:]]) if link else "\n\n".join(parts)


def spaced(note: str) -> str:
    """A description whose tables the MLflow UI, which leaves no room between columns, shows with some.

    Example:
        >>> spaced("| fires | at |")
        '| fires&emsp; | at&emsp; |'
    """
    return re.sub(r"^\|(?!-).*$", lambda row: re.sub(r"(?<![\s|])(?<!&emsp;) \|", "&emsp; |", row[0]), note, flags=re.MULTILINE)
