"""The benchmarks: the baseline gives the library's numbers, the floor counts what it says, ratios are what they say."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import growth, plot, published, record, speed
from benchmarks.floor import Floor, flops
from benchmarks.jobs import PROJECT, Job, in_children
from benchmarks.measure import parts
from grok.runs.member import Member
from grok.spec.config import RunConfig
from grok.training.loop import Training
from tests.helpers.references import EPS, one_thread  # noqa: F401

LEFT_OUT = {
    f"repulsion/{name}" for name in ("null_rate", "null_low", "null_high", "theorem6", "theorem6_error", "dead", "ridge")
}
"""What this project adds to the published measurement."""


def tables(config):
    """Rows of the published procedure and of the library, a dict per epoch, finite values only."""
    log = io.StringIO()
    published.run(config, log)
    theirs = [json.loads(line) for line in log.getvalue().splitlines()]
    training = Training(config)
    member = Member(training, 0)
    for record_ in training:
        member.add(record_, record_.scores[0].numpy())
    member.extend()
    ours = [{k: v for k, v in row.items() if np.isfinite(v)} for row in member.run.frame().to_dict("records")]
    return theirs, ours


@pytest.mark.parametrize("activation", ["square", "relu"])
def test_the_published_procedure_gives_the_numbers_of_the_library(tiny, activation):
    """In float64. An update is a difference of weights and carries ε |W| / |ΔW| ≈ 200 ε, which Adam amplifies; eigenvalues
    carry that much of λ₁, a gap whose λ₃ is at least 1e-6 λ₁ then 1e6 times as much of itself."""
    config = tiny(activation=activation, precision="float64", observe_every=1)
    theirs, ours = tables(config)
    assert len(theirs) == len(ours) == config.epochs + 1
    resolution = 1e4 * EPS
    seen = set()
    for their, our in zip(theirs, ours, strict=True):
        names = {name for name in our if name not in LEFT_OUT}
        assert their.keys() - {"features/kernel_offdiag_ratio"} == names - {"features/kernel_offdiag_ratio"}
        for name in their.keys() & names:
            family, _, quantity = name.partition("/")
            first, third = (our.get(f"{family}/lambda_{k}", 0.0) for k in (1, 3))
            if quantity.startswith("lambda"):
                assert their[name] == pytest.approx(our[name], rel=0, abs=resolution * first), name
            elif quantity.startswith(("gap", "slope")):
                if third <= 1e-6 * first:
                    continue
                assert their[name] == pytest.approx(our[name], rel=1e6 * resolution, abs=1e6 * resolution), name
            else:
                assert their[name] == pytest.approx(our[name], rel=resolution, abs=resolution), name
            seen.add(name)
    assert seen == set().union(*ours) - LEFT_OUT
    assert len(seen) == 36


def test_the_published_procedure_sees_its_config(tiny):
    """The comparison above would fail for another weight decay."""
    theirs, _ = tables(tiny(precision="float64", observe_every=1, epochs=30, checkpoint_epochs=()))
    _, ours = tables(tiny(precision="float64", observe_every=1, epochs=30, checkpoint_epochs=(), weight_decay=0.0))
    assert abs(theirs[-1]["norm/w"] / ours[-1]["norm/w"] - 1) > 1e-6


def test_the_floor_counts_the_products_of_an_epoch():
    """2.6 GFLOP at the paper's size: an output layer with its two gradients, and a test output, counted by torch."""
    config = RunConfig(modulus=11, width=32)
    n = config.resolved().n_train
    features = torch.randn(n, 32, requires_grad=True)
    v = torch.randn(32, 11, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        (features @ v).sum().backward()
        torch.randn(121 - n, 32) @ v.detach()
    assert flops(config) == counter.get_total_flops()
    assert flops(RunConfig()) == pytest.approx(2.64e9, rel=1e-3)


def test_the_floor_is_the_least_of_each_product():
    floor = Floor(RunConfig(modulus=11, width=32, device="cpu"))
    assert floor.measure(2) == pytest.approx(floor.seconds)
    first = dict(floor.best)
    assert floor.seconds == sum(first.values()) > 0
    floor.best = dict.fromkeys(first, 0.0)
    assert floor.measure(2) > floor.seconds == 0  # of its own times alone
    floor.best = first
    assert all(floor.best[name] <= first[name] for name in first)
    assert {name: {tuple(call().shape) for call in calls} for name, calls in floor.calls.items()} == {
        "output": {(48, 11)},
        "grad_v": {(32, 11)},
        "grad_f": {(48, 32)},
        "test_output": {(73, 11)},
    }


def test_epochs_that_were_not_run_cost_those_with_a_full_window():
    config = RunConfig(epochs=10, window=4, max_window=8, checkpoint_epochs=(2, 4, 10))
    seconds = published.Seconds(setup=1.0, epochs=[9.0, 1.0, 1.0, 1.0, 2.0, 4.0], repulsion=[5.0, 7.0])
    assert seconds.scaled(config) == 1 + 18 + 5 * 3 + 3 * 6
    with pytest.raises(ValueError, match="exceed the window, 4"):
        replace(seconds, epochs=[1.0] * 4).scaled(config)
    with pytest.raises(ValueError, match="reach a checkpoint"):
        replace(seconds, repulsion=[]).scaled(config)


def test_parts_add_up_and_tell_repulsion_from_the_other_observables():
    seconds = {"training": 5.0, "observables": 3.0, "finish": 1.0, "background": 4.0, "total": 9.5}
    found = parts(seconds, {"repulsion": 1.5, "kernel": 0.5}, whole=10.0)
    assert found == {"training": 5.0, "observables": 1.0, "finish": 1.0, "repulsion": 1.5, "kernel": 0.5, "other": 1.0}
    told = parts(seconds | {"repulsion": 2.0}, {"repulsion": 1.5, "kernel": 0.5}, whole=12.0)
    assert (told["repulsion"], told["observables"], sum(told.values())) == (2.0, 2.5, 12.0)


def loop_row(threads, number, floor, epoch):
    about = {"name": "loop", "round": number, "epochs": 100, "observe_every": 10, "what": "loop", "threads": threads}
    floors = {"floor_ms": floor, "floor_gflops": 100.0, "spectra_ms": 0.1, "peak_mb": 500.0, "parts_ms": {"training": 9.0}}
    return about | floors | {"epoch_ms": epoch, "epoch_mean_ms": epoch + 1, "epoch_best_ms": epoch, "floors_then": 1.5}


def run_row(name, number, seconds, **more):
    about = {"name": name, "round": number, "epochs": 100, "observe_every": 1 if "every" in name else 10, "threads": 2}
    return about | {"seconds": seconds, "once_s": 1.0, "peak_mb": 900.0, "artifacts_mb": 20.0, "database_mb": 3.0} | more


@pytest.fixture
def rows():
    out = []
    for number, epoch in enumerate((19.0, 29.0, 39.0)):
        out += [loop_row(1, number, 20.0, 40.0), loop_row(2, number, 10.0, epoch), run_row("bare", number, 3.0)]
        out.append(run_row("tracked", number, 4.0, parts={"training": 2.0, "repulsion": 1.5, "kernel": 0.5}))
        out.append(run_row("tracked_every", number, 9.0, parts={"training": 2.0, "observables": 6.0, "kernel": 1.0}))
        out.append(run_row("published", number, 24.0, epoch_ms=240.0, timed_epochs=60, repulsion_s=2.0))
    return out


def test_ratios_are_taken_within_a_round(rows):
    found = speed.ratios(rows)
    assert found["epoch_to_floor_1"] == [2.0, 2.0, 2.0]
    assert found["epoch_to_floor_2"] == [1.9, 2.9, 3.9]
    assert found["run_to_loop"] == pytest.approx([4 / 2, 4 / 3, 4 / 4])
    assert found["run_to_loop_once"] == pytest.approx([5 / 2, 5 / 3, 5 / 4])
    assert found["tracking_share"] == [0.25] * 3
    assert found["published_to_run"] == [6.0] * 3
    assert found["published_to_run_every"] == pytest.approx([24 / 9] * 3)
    assert found["published_to_run_every_less_kernel"] == [3.0] * 3


ABOUT = {
    "command": "python -m benchmarks.speed",
    "date": "2026-01-02 03:04 UTC",
    "versions": {"python": "3.11", "torch": "2"},
    "machine": {"cpu": "Model", "cores": 2, "gpu": None, "load_before": 0.0},
}


def test_the_report_prints_the_ratios_with_their_range(rows):
    text = "\n".join(speed.report(ABOUT, rows))
    assert "Model, 2 cores, load 0.0 before; python 3.11, torch 2; 2026-01-02 03:04 UTC" in text
    assert "1 thread: 2.00 × [2.00, 2.00] the floor (40.0 ms: training 9.0; floor 20.0 ms at 100 GFLOP/s), 1.50 ×" in text
    assert "epoch, 2 threads: 2.90 × [1.90, 3.90] the floor" in text
    assert "100 epochs, 4.0 s: 1.33 × [1.00, 2.00] its training loop (1.67 × [1.25, 2.50] with 1.0 s" in text
    assert "tracking: 25.0% of the tracked run" in text
    assert "published procedure, 24.0 s: scaled from 60 epochs of 240 ms and 2.0 s" in text
    assert "observables every 10 epochs: 6.00 × [6.00, 6.00]" in text
    assert "all observables every epoch: 2.67 × [2.67, 2.67] (3.00 × [3.00, 3.00] without" in text
    assert "parts, observables every 1, 9.0 s: observables 66.7%, training 22.2%, kernel 11.1%" in text
    assert "peak memory: bare 900 MB, tracked 900 MB" in text


@pytest.mark.parametrize("names", [("loop",), ("tracked",), ("published", "tracked"), ("bare", "tracked_every")])
def test_what_was_not_measured_is_left_out(rows, names):
    some = [row for row in rows if row["name"] in names]
    whole, found = speed.ratios(rows), speed.ratios(some)
    assert found == {name: whole[name] for name in found}
    assert len(found) == {"loop": 4, "published": 1}.get(names[0], 0)
    text = "\n".join(speed.report(ABOUT, some))
    assert ("the floor" in text, "parts" in text) == ("loop" in names, names != ("loop",))


def points():
    out = [
        loop_row(2, 0, 10.0 * value, 20.0 * value) | {"axis": axis, "value": value}
        for axis, values in growth.AXES.items()
        for value in values
    ]
    for runs, threads, rate in ((1, 1, 10.0), (1, 2, 15.0), (2, 1, 18.0)):
        way = {"axis": "cores", "value": runs, "threads": threads, "per_s": rate, "peak_mb": 900.0}
        out += [way | {"what": what} for what in ("loop", "tracked")]
    return out


def test_figures_show_the_data_and_draw_without_a_warning(rows):
    figures = plot.speed_figures(ABOUT | {"rows": rows}) | plot.growth_figures(ABOUT | {"rows": points()})
    assert list(figures) == ["speed-ratios", "speed-parts", "growth", "cores"]
    for figure in figures.values():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")
    (ax,) = figures["speed-ratios"].axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([2.0, 2.9, 4 / 3, 6.0, 24 / 9])
    epoch, floor, _ = figures["growth"].axes[0].lines
    assert list(epoch.get_ydata()) == [20.0 * width for width in growth.AXES["width"]]
    assert list(floor.get_ydata()) == [10.0 * width for width in growth.AXES["width"]]
    (ax,) = figures["cores"].axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([1.0, 1.5, 1.8] * 2)


def test_data_come_back_as_written(tmp_path, rows):
    about = record.environment("python -m benchmarks.speed")
    assert about["versions"]["torch"] == torch.__version__
    record.write(tmp_path / "new" / "speed.json", about, [*rows, {"third": 1 / 3}])
    assert record.read(tmp_path / "new" / "speed.json") == about | {"rows": [*rows, {"third": 0.33333}]}


OTHERS = (
    "foreign",
    "after_reading",
    "analysis",
    "cluster",
    "determinism",
    "lifecycle",
    "load",
    "machines",
    "many",
    "monitor",
    "sensitivity",
    "signals",
    "start",
    "study_throughput",
    "visits",
    "waiting",
)
"""Benchmarks whose data are not drawn."""
COMMITTED = sorted((PROJECT / "benchmarks" / "results").glob("*.json"))


def test_speed_and_growth_are_committed():
    assert {"speed.json", "growth.json"} <= {path.name for path in COMMITTED}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_results_say_how_they_came_about_and_can_be_drawn(path):
    data = record.read(path)
    kind = path.stem.partition("-")[0]
    assert data["command"].startswith(f"python -m benchmarks.{kind}")
    assert {"torch", "numpy", "mlflow"} <= data["versions"].keys()
    assert {"cpu", "cores", "memory_gb", "gpu"} <= data["machine"].keys()
    assert len(data["code"]["code_version"]) == 40
    assert data["rows"]
    assert plot.MAKERS[kind](data) if kind in plot.MAKERS else kind in OTHERS


def test_growth_changes_one_number_of_the_run():
    base = RunConfig()
    for axis, values in growth.AXES.items():
        for value in values:
            job = growth.job(base, axis, value, threads=1, blocks=2)
            assert Job.from_json(job.to_json()) == job
            if axis == "seeds":
                assert (job.config, job.options["seeds"]) == (base, value)
            else:
                assert getattr(job.config, axis) == value
                assert job.options == {"blocks": 2}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["speed", "--epochs", "0"], "must be a whole number ≥ 1, got 0."),
        (["speed", "--published-epochs", "19"], "--published-epochs must reach the window, 20, got 19."),
        (["speed", "--epochs", "5"], "must reach the window, 20, got 5."),
        (["speed", "--before", "/nowhere"], "--before must be a checkout of this project, got /nowhere."),
        (["growth", "--device", "tpu"], "must be auto, cpu, cuda or cuda:N, got tpu."),
        (["plot", "--data", "/nowhere"], "--data must hold speed*.json or growth*.json, got /nowhere."),
    ],
)
def test_bad_flags_are_refused(arguments, line, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        {"speed": speed, "growth": growth, "plot": plot}[arguments[0]].main()
    assert left.value.code == 2
    assert line in capsys.readouterr().err


def test_measurements_that_run_side_by_side_answer_in_order(tiny):
    first, second = in_children([Job("loop", tiny(), 1, {"blocks": 1, "seeds": seeds}) for seeds in (1, 2)])
    for row in (first, second):
        assert row.keys() >= loop_row(1, 0, 1, 1).keys() - {"name", "round", "epochs", "observe_every"}
        assert row["timed_epochs"] == 16
        assert row["epoch_ms"] == row["epoch_mean_ms"] == row["epoch_best_ms"] > 0
    assert second["floor_ms"] == pytest.approx(2 * sum(second["products_ms"].values()))


def test_a_measurement_that_fails_is_told(tiny):
    with pytest.raises(RuntimeError, match="got nothing from unknown of square"):
        in_children([Job("unknown", tiny(), 1)])


@pytest.mark.slow
def test_the_command_measures_everything_and_the_report_follows(tiny):
    rows = speed.measure(tiny(), threads=(1,), rounds=1, published_epochs=30)
    assert [row["name"] for row in rows] == ["loop", "bare", "tracked", "tracked_every", "published"]
    run, every = rows[2], rows[3]
    for row in (run, every):
        assert sum(row["parts"].values()) == pytest.approx(row["seconds"])
        assert row["parts"].keys() >= {"training", "updates", "observables", "repulsion", "spectra", "waited", "finish"}
        assert row["artifacts_mb"] > 0
        assert row["database_mb"] > 0
    assert rows[4]["timed_epochs"] == 31
    assert all(len(values) == 1 for values in speed.ratios(rows).values())
    assert "not measured" not in "\n".join(speed.report(ABOUT, rows))


def test_an_earlier_version_is_measured_in_turn(monkeypatch, tiny, tmp_path):
    seen = []

    def answer(jobs):
        (job,) = jobs
        earlier = job.project == tmp_path
        seen.append((job.what, earlier))
        if job.what == "loop":
            row = loop_row(1, 0, 10.0, 20.0 if earlier else 10.0)
            return [{name: value for name, value in row.items() if name not in ("name", "round", "epochs", "observe_every")}]
        return [{"what": "tracked", "threads": 1, "seconds": 8.0 if earlier else 6.0, "once_s": 0.0}]

    monkeypatch.setattr(speed, "in_children", answer)
    rows = speed.measure(tiny(), (1,), 2, 30, ("loop", "tracked", "bare"), tmp_path)
    assert seen[:5] == [("loop", True), ("loop", False), ("bare", False), ("tracked", True), ("tracked", False)]
    assert seen[5:7] == [("loop", False), ("loop", True)]
    found = speed.ratios(rows)
    assert found["run_to_before"] == [0.75, 0.75]
    assert found["epoch_to_before_1"] == [0.5, 0.5]
    assert found["before_run_to_loop"] == pytest.approx([8.0 / (0.021 * rows[0]["epochs"])] * 2)


def test_an_earlier_version_reads_a_job_by_what_is_not_the_default(tiny):
    assert json.loads(Job("loop", RunConfig(epochs=40), 1).to_json())["config"] == {"epochs": "40"}


@pytest.mark.parametrize("name", ["speed", "growth", "plot"])
def test_help_answers_without_heavy_imports(name):
    program = (
        f"import sys\nfrom benchmarks import {name}\nsys.argv = [{name!r}, '--help']\n"
        f"try:\n    {name}.main()\nfinally:\n    print('loaded:', *({{'torch', 'mlflow', 'matplotlib'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.slow
def test_determinism_tells_equal_bytes_from_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same way twice is equal to the last byte, and another order of summation is not."""
    from benchmarks import determinism, record

    fields = ["modulus=11", "width=300", "epochs=40", "window=6", "max_window=12", "slope_lag=3", "first_epoch=8"]
    fields += ["top_pairs=20", "device=cpu"]
    words = [word for field in fields for word in ("--set", field)]
    out = tmp_path / "rows.json"
    ways = ["--way", "onednn-256-1-reversed", "--way", "lockstep"]
    assert determinism.main([*words, "--seeds", "2", *ways, "--json", str(out)]) == 0
    rows = {row["way"]: row for row in record.read(out)["rows"]}
    assert rows["again"]["equal"] == 2
    assert rows["again"]["first_epoch_of_difference"] == [None, None]
    assert rows["again"]["relative_distance_of_weights"] == {"median": 0.0, "largest": 0.0}
    for row in rows.values():
        drifts = [epoch is not None for epoch in row["first_epoch_of_difference"]]
        assert sum(drifts) <= row["seeds"] - row["equal"]
    assert "| again | 2 of 2 | – | 0.0e+00 (0.0e+00) |" in capsys.readouterr().out


def test_a_byte_that_differs_is_told() -> None:
    from benchmarks.determinism import held_against

    first = {"0/scores": np.ones((3, 4)), "0/weights/w": np.ones(2), "0/epochs": np.array([5.0, 7.0, np.nan])}
    other = {name: value.copy() for name, value in first.items()}
    other["0/scores"][2, 1] = np.nextafter(1, 2)
    other["0/weights/w"][0] = 1.5
    other["0/epochs"][0] = 9
    found = held_against(first, other, [0])
    assert found["equal"] == 0
    assert found["first_epoch_of_difference"] == [2]
    assert found["relative_distance_of_weights"]["largest"] == pytest.approx(0.5 / 2**0.5)
    assert found["epochs_moved_at_most"] == {"fire_epoch": 4.0, "test_50_epoch": 0.0, "test_99_epoch": None}


def test_the_same_way_again_is_always_trained() -> None:
    from benchmarks.determinism import WAYS, asked

    first = next(iter(WAYS))
    assert asked(None) == list(WAYS)
    assert asked(["lockstep", "mkl-256-1", "lockstep"]) == [first, "again", "lockstep", "mkl-256-1"]
    assert asked(["again"]) == [first, "again"]


def test_ways_that_differ_where_the_same_is_asked_twice_are_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import determinism

    def child(words: list[str], **given: object) -> None:
        path = words[-1]
        score = {"default, one thread": 1.0, "again": 2.0, "lockstep": 1.0}[words[-2]]
        np.savez(path, **{"0/scores": np.full((3, 1), score), "0/weights/w": np.ones(2), "0/epochs": np.ones(3)})

    monkeypatch.setattr(determinism.subprocess, "run", child)
    assert determinism.main(["--seeds", "1", "--way", "lockstep"]) == 1
