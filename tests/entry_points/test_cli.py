"""The command line: one result line, one error line, statuses, resume, and what survives kill -9."""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest

from entry_points import cli
from grok.spec.config import PROTOCOL_VERSION, RunConfig
from grok.store.prior import run_config
from grok.store.run import TrackedRun

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def drawn():
    """Of a test whose runs have the figures that a user gets."""


@pytest.fixture(autouse=True)
def quick_figures(request):
    """Blank figures of the same names in this process: to draw them is half of a tiny run's time."""
    from matplotlib.figure import Figure

    names = ("accuracy", "spectrum", "top_pairs")
    with pytest.MonkeyPatch.context() as patch:
        if "drawn" not in request.fixturenames:
            patch.setattr("analysis.figures.run_figures", lambda *tables: {name: Figure((1, 1)) for name in names})
        yield


def count_runs(store):
    experiments = [e.experiment_id for e in store.client.search_experiments()]
    return len(store.client.search_runs(experiments))


def root_of(store):
    return Path(urlparse(store.client.get_experiment(store.experiment_id).artifact_location).path)


def assert_one_line(text, *words):
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    for word in words:
        assert word in text


# one run, one line


def test_a_run_prints_one_line_and_nothing_else(store, tiny, flags, command, drawn):
    done = command(*flags(tiny()))
    assert (done.status, done.err) == (0, "")
    assert_one_line(done.out)
    assert done.said[0].startswith("The detector fires at epoch 46; test accuracy ends at 0.")
    assert f"/runs/{done.words['run']}?workflowType=machine_learning" in done.said[1]
    (run,) = store.prior(tiny())
    assert done.words["run"] == run.info.run_id
    assert (done.words["state"], done.words["reused"]) == ("complete", "no")
    assert (done.words["fired"], done.words["fire_epoch"]) == ("1", "46")
    assert float(done.words["elapsed_s"]) == pytest.approx(run.data.metrics["elapsed_s"], rel=1e-5)
    assert sorted(path.name for path in root_of(store).rglob("*.png")) == ["accuracy.png", "spectrum.png", "top_pairs.png"]

    again = command(*flags(tiny()))
    assert (again.status, again.err) == (0, "")
    assert_one_line(again.out, "state=complete reused=yes", f"run={run.info.run_id}", "fire_epoch=46")
    named = command("--resume", run.info.run_id)
    assert named.words == again.words
    assert count_runs(store) == 1

    forced = command(*flags(tiny()), "--force")
    assert forced.status == 0
    assert forced.words["run"] != run.info.run_id
    assert forced.words["reused"] == "no"
    assert count_runs(store) == 2

    replayed = command("--replay", run.info.run_id, "--until", "20")
    assert (replayed.status, replayed.err) == (0, "")
    assert replayed.out == f"run={run.info.run_id} epoch=20 identical=yes largest_difference=0\n"
    assert count_runs(store) == 2


def test_an_alias_and_another_spelling_are_the_same_run(finished, command, monkeypatch, flags, tiny):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.store.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
    words = flags(tiny())
    words[words.index("--activation") + 1] = "x2"
    words[words.index("--weight-decay") + 1] = "2e-4"
    words[words.index("--n-train") + 1] = "'48'"
    done = command(*words)
    assert done.words["reused"] == "yes"
    assert done.words["run"] in [run.info.run_id for run in finished.store.prior(finished.config)]


def test_a_changed_replay_exits_1(store, tiny, flags, command, monkeypatch):
    run_id = command(*flags(tiny())).words["run"]
    path = TrackedRun(store.client, run_id)._root / "checkpoints" / "epoch-00020.safetensors"
    path.write_bytes(path.with_name("epoch-00040.safetensors").read_bytes())
    done = command("--replay", run_id, "--until", "20")
    assert done.status == 1
    assert "identical=no" in done.out


def test_a_diverged_run_ends_well_and_says_so(store, tiny, flags, command):
    done = command(*flags(tiny(learning_rate=1e20)))
    assert (done.status, done.err) == (0, "")
    assert done.words["state"] == "diverged"
    assert int(done.words["diverged_epoch"]) >= 1
    again = command(*flags(tiny(learning_rate=1e20)))
    assert (again.words["state"], again.words["reused"]) == ("diverged", "yes")
    assert count_runs(store) == 1


def test_an_activation_of_your_own_is_known_by_its_code(store, tiny, flags, command, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "my_waves.py"
    module.write_text("import torch\n\ndef wave(h):\n    return torch.sin(3 * h)\n")
    config = tiny(activation="my_waves:wave")
    done = command(*flags(config))
    assert done.words["reused"] == "no"
    assert command(*flags(config)).words["reused"] == "yes"
    root = Path(urlparse(store.get(done.words["run"]).info.artifact_uri).path)
    assert (root / "code" / "my_waves.py").read_text() == module.read_text()
    module.write_text(module.read_text().replace("sin", "cos"))
    monkeypatch.delitem(sys.modules, "my_waves")
    assert command(*flags(config)).words["reused"] == "no"  # another function of the same name is another run


def test_what_is_no_tensor_function_is_refused_before_a_run(store, tiny, flags, command):
    before = count_runs(store)
    done = command(*flags(tiny(activation="math:sin")))
    assert done.status == 2
    assert "activation must act on tensors, got math:sin" in done.err
    assert count_runs(store) == before


@pytest.mark.parametrize("pair", [("--resume", "--replay"), ("--replay", "--force"), ("--resume", "--force")])
def test_contradicting_flags_are_refused(store, command, pair):
    words = [word for flag in pair for word in ([flag] if flag == "--force" else [flag, "x"])]
    done = command(*words)
    assert done.status == 2
    assert "not allowed with" in done.err


# under `mlflow run`


def test_the_run_that_mlflow_made_becomes_the_run_or_a_pointer_to_it(store, tiny, flags, command, monkeypatch):
    made = [store.client.create_run(store.experiment_id).info.run_id for _ in range(2)]
    raw = dict(itertools.batched(flags(tiny()), 2)) if hasattr(itertools, "batched") else None
    raw = raw or dict(zip(flags(tiny())[::2], flags(tiny())[1::2], strict=True))
    raw |= {"--activation": "x2", "--weight-decay": "2e-4", "--labels": "'true'"}
    for run_id in made:
        for name, value in raw.items():
            store.client.log_param(run_id, name.removeprefix("--").replace("-", "_"), value)
    words = list(itertools.chain(*raw.items()))
    monkeypatch.setenv("MLFLOW_RUN_ID", made[0])
    first = command(*words)
    assert (first.status, first.words["run"]) == (0, made[0])
    assert store.get(made[0]).data.params["weight_decay"] == "2e-4"
    assert run_config(store.get(made[0])).hash == tiny().hash

    monkeypatch.setenv("MLFLOW_RUN_ID", made[1])
    second = command(*words)
    assert (second.words["run"], second.words["reused"]) == (made[0], "yes")
    pointer = store.get(made[1])
    assert pointer.data.tags["grok.kind"] == "pointer"
    assert pointer.data.tags["grok.points_to"] == made[0]
    assert made[0] in pointer.data.tags["mlflow.note.content"]
    assert [run.info.run_id for run in store.prior(tiny())] == [made[0]]
    assert count_runs(store) == 2


def test_params_of_another_run_under_the_made_run_fail_it(store, tiny, flags, command, monkeypatch):
    made = store.client.create_run(store.experiment_id).info.run_id
    store.client.log_param(made, "weight_decay", "0.5")
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    done = command(*flags(tiny()))
    assert done.status == 2
    assert_one_line(done.err, "params must stay as logged, got weight_decay 0.5 (now 0.0002)")
    assert store.get(made).info.status == "FAILED"


@pytest.mark.parametrize(
    ("words", "name", "first"),
    [
        (
            ["--activation", "rleu"],
            "refused: activation must be a known name, got rleu",
            "**activation must be a known name, got rleu.**\n\nDid you mean relu? Known: ",
        ),
        (["--bogus", "3"], "refused: unrecognized arguments: --bogus 3", "**unrecognized arguments: --bogus 3.**"),
    ],
)
def test_a_launch_that_is_refused_says_why_on_its_run(store, command, monkeypatch, words, name, first):
    made = store.client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    done = command(*words)
    assert done.status == 2
    run = store.get(made)
    assert run.name.startswith(name)
    assert run.tags["mlflow.note.content"].startswith(first)
    assert (run.kind, run.state) == ("refused", "failed")
    assert f"error: {run.get('error')}\n" == done.err
    assert "MLFLOW_RUN_ID" not in os.environ


def test_an_unknown_name_is_refused_with_what_was_perhaps_meant():
    from grok.spec.fields import ConfigError
    from grok.spec.studies import load_study

    for wrong, right in (("rleu", "relu"), ("squar", "square")):
        with pytest.raises(ConfigError) as refused:
            RunConfig(activation=wrong)
        assert f", got {wrong}. Did you mean {right}?" in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        load_study("headlin")
    assert str(refused.value).endswith("got headlin. Did you mean headline?")
    with pytest.raises(ConfigError) as refused:
        RunConfig(activation="zzz")
    assert str(refused.value).endswith("got zzz. Pick one of these or give your own.")
    with pytest.raises(ConfigError, match=r"got scna\. Did you mean scan\?$"):
        RunConfig(task="scna")


def test_what_was_perhaps_meant_stands_before_a_long_list():
    import doctest

    from entry_points import cli

    assert doctest.testmod(cli).failed == 0
    short = "x must be one of a, b, got c. Did you mean a?"
    assert cli.near_first(short) == short
    names = ", ".join(f"name{number}" for number in range(30))
    long = f"study must be one of {names}, or file.yaml:name, got nam1. Did you mean name1?"
    told = cli.near_first(long)
    assert told == f"study must be a known name, got nam1. Did you mean name1? Known: {names}, or file.yaml:name."
    without = f"study must be one of {names}, got zzz. Pick one."
    assert cli.near_first(without) == without
    longer = without.replace(names, f"{names}, {names}")  # cut at its end, where the name is
    assert cli.near_first(longer) == f"study must be a known name, got zzz. Pick one. Known: {names}, {names}."


def test_a_package_that_is_missing_is_named_with_the_extra_that_has_it(monkeypatch, capsys):
    from entry_points import cli

    def needs(name):
        def main(arguments):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        monkeypatch.setattr(sys, "argv", ["train"])
        with pytest.raises(SystemExit) as left:
            cli.run_main(main)
        return left.value.code, capsys.readouterr().err

    told = "must be installed, got none. In the project's folder: pip install -e '.[{}]'\n"
    for name, extra in (("mlflow.entities", "registry"), ("distributed", "dask"), ("ignite", "adapters"), ("tqdm", "registry")):
        assert needs(name) == (1, f"error: the package {name.partition('.')[0]} {told.format(extra)}")
    assert needs("grok.nothing") == (1, "error: No module named 'grok.nothing'\n")
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {*cli.EXTRAS.values(), "adapters"} <= extras.keys()


def test_a_log_file_gets_a_line_now_and_then(tiny, monkeypatch, capsys):
    from entry_points import progress

    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with progress.EpochBar(tiny()) as bar:
        bar.update(16, {"accuracy/test": 0.25})
        bar.update(32, {"accuracy/test": 0.5})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("seed 0: epoch 32 of 64, test 0.5, about a minute left")


def test_a_studys_bar_counts_the_reused_at_once_and_tells_the_epochs_at_work(tiny, monkeypatch, capsys, tmp_path):
    from entry_points import progress
    from grok.runs.cells import Result
    from grok.runs.watch import Watch
    from grok.spec.studies import Cell, Study

    cells = [Cell("grok", tiny(seed=seed)) for seed in range(5)]
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    monkeypatch.setattr(progress, "TICK_S", 0.05)
    Watch(str(tmp_path), [cells[1].config.hash])(32, {})
    with progress.CellBar(Study("s", "?", "ours", tuple(cells)), tmp_path) as bar:
        bar.update(Result(cells[0], "complete", "a", reused=True))
        time.sleep(0.5)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "s: 1 of 5 runs, 1 reused, square 1: 32/64, about a minute left"
    assert last == "1 run was complete already and reused"
    assert progress.name_of(Cell("prefix", RunConfig(task="dyck", labels="prefix").resolved())) == "prefix"


# bad input: one line, status 2, no run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--activation", "swish"], ["activation must be one of square, relu", "got swish"]),
        (["--activation", "grok.networks.two_layer:missing"], ["missing"]),
        (["--weight-decay", "-1e-4"], ["weight_decay must be a finite number ≥ 0, got -0.0001"]),
        (["--weight-decay", "nan"], ["weight_decay must be a finite number"]),
        (["--learning-rate", "fast"], ["learning_rate must be a number or auto, got 'fast'"]),
        (["--window", "65"], ["window must be a whole number in [3, 64], got 65", "max_window"]),
        (["--n-train", "5041"], ["n_train must be a whole number in [2, 5040], got 5041", "5041 pairs"]),
        (["--modulus", "2"], ["modulus must be a whole number ≥ 3, got 2"]),
        (["--modulus", "5", "--n-train", "25"], ["n_train", "got 25"]),
        (["--seed", "1.5"], ["seed must be a whole number, got '1.5'"]),
        (["--epochs", "10", "--checkpoint-epochs", "11"], ["checkpoint_epochs", "[0, 10]", "got 11"]),
        (["--device", "cuda:63"], ["device must be one of this machine's", "got cuda:63"]),
        (["--device", "tpu"], ["device must be auto, cpu, cuda or cuda:N, got tpu"]),
        (["--optimiser", "adam"], ["error: unrecognized arguments: --optimiser adam. Did you mean --optimizer? See --help."]),
        (["--lr", "1"], ["Did you mean --learning-rate?"]),
        (["--slope-tresholt", "1"], ["Did you mean --slope-threshold?"]),
        (["--register", "a/b"], ["register must be letters", "Name it otherwise."]),
        (["--bogus", "3"], ["unrecognized arguments: --bogus 3", "--help"]),
        (["--learning", "0.1"], ["unrecognized arguments: --learning 0.1"]),
        (["--seed"], ["argument --seed: expected one argument"]),
        (["--until", "50"], ["--until and --out must come with --replay"]),
        (["--out", "x"], ["--until and --out must come with --replay"]),
        (["--replay", "0" * 32, "--until", "soon"], ["--until", "soon"]),
        (["--replay", "0" * 32], ["run must exist in", "got 0000"]),
        (["--resume", "nothing"], ["run must exist in", "got nothing"]),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_no_run(store, command, arguments, words):
    before = count_runs(store)
    done = command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert_one_line(done.err, *words)
    assert count_runs(store) == before


@pytest.fixture
def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]  # bound and not listening: nobody answers


def test_a_store_that_cannot_be_used_is_one_line(command, tmp_path, monkeypatch, free_port):
    (tmp_path / "file").write_text("not a database, but long enough to have a header that can be read")
    (tmp_path / "read_only").mkdir(mode=0o555)
    stores = {
        "sqlite:////proc/mlflow.db": "a folder that can be written",
        f"sqlite:///{tmp_path}/absent/mlflow.db": "a folder that can be written",
        f"sqlite:///{tmp_path}": "a folder that can be written",
        f"sqlite:///{tmp_path}/file": "not a database",
        f"http://127.0.0.1:{free_port}": "a server that answers",
        "nonsense://somewhere": "a store by one of sqlite:///, http://",
    }
    if os.geteuid() != 0:  # root may write anywhere
        stores[f"sqlite:///{tmp_path}/read_only/mlflow.db"] = "a folder that can be written"
    for uri, words in stores.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        start = time.monotonic()
        done = command("--epochs", "1")
        assert (done.status, done.out) == (2, ""), uri
        assert_one_line(done.err, "MLFLOW_TRACKING_URI must name", words, uri)
        assert time.monotonic() - start < 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "read_only"]


def test_a_failure_while_running_exits_1_with_its_reason(store, tiny, flags, command, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrackedRun, "put_arrays", full)
    done = command(*flags(tiny()))
    assert (done.status, done.out) == (1, "")
    assert_one_line(done.err, "error: [Errno 28] No space left on device")
    (run,) = store.prior(tiny())
    assert (run.info.status, run.data.tags["grok.state"]) == ("FAILED", "failed")
    assert "No space left" in run.data.tags["grok.error"]
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    again = command(*flags(tiny()))
    assert again.words["run"] == run.info.run_id
    assert store.get(run.info.run_id).data.tags["grok.state"] == "complete"


def test_a_live_run_is_not_trained_again_by_the_same_command(store, tiny, flags, command):
    run = store.create("live", {"kind": "train", "config_hash": tiny().hash, "protocol": PROTOCOL_VERSION})
    done = command(*flags(tiny()))
    assert (done.status, done.out) == (2, "")
    assert_one_line(done.err, "run must not be trained twice at once", run.run_id, "--force")
    assert count_runs(store) == 1


def test_help_names_every_flag_with_default_and_source(command):
    done = command("--help")
    assert (done.status, done.err) == (0, "")
    text = " ".join(done.out.split())
    for name, default in RunConfig().to_strings().items():
        assert re.search(rf"--{name.replace('_', '-')} VALUE .*? Default {re.escape(default)}; source: ", text), name


def test_help_and_bad_input_need_neither_mlflow_nor_matplotlib():
    script = (
        "import sys; from entry_points import cli, train\n"
        "try: train.main(['--seed', '-1'])\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print([name for name in ('mlflow', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["ConfigError", "[]"]


# the progress bar


def test_the_bar_shows_epoch_accuracy_and_gap_on_a_terminal_only(tiny, monkeypatch, capsys):
    from entry_points.progress import EpochBar

    def show():
        with EpochBar(tiny()) as bar:
            bar.update(16, {"accuracy/train": 0.5, "accuracy/test": 0.25})
            bar.update(64, {"accuracy/train": 1.0, "accuracy/test": 0.75, "delta_w/gap_23": 12.3})
        return capsys.readouterr()

    assert show() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = show()
    assert shown.out == ""
    last = shown.err.split("\r")[-1]
    for words in ("64/64", "train=1", "test=0.75", "λ₂/λ₃=12.3"):
        assert words in last


# stops

SLOWER = {"modulus": 17, "width": 128, "epochs": 160, "repulsion_every": 1, "checkpoint_epochs": (0, 40, 160)}
"""Seconds of training, with a save every 16 epochs: time to stop it in the middle."""


def start(store, words):
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri, "MLFLOW_EXPERIMENT_NAME": "tests"}
    return subprocess.Popen(
        [sys.executable, "-m", "entry_points.train", *words],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(store, process, pattern, but=(), poll_s=0.01):
    """Wait until an artifact of this pattern is there that was not before; False if the process ended first."""
    while process.poll() is None:
        if set(root_of(store).rglob(pattern)) - set(but):
            return True
        time.sleep(poll_s)
    return False


def saved(store):
    return set(root_of(store).rglob("resume/epoch-*.safetensors"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(store, tiny, flags, command, contents, finished, monkeypatch, number):
    from entry_points.progress import EpochBar

    def strike(bar, epoch, metrics):
        if epoch == 32:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(EpochBar, "update", strike)
    done = command(*flags(tiny()))
    assert done.status == 130
    assert_one_line(done.out, "state=interrupted")
    run_id = done.words["run"]
    run = store.get(run_id)
    assert (run.info.status, run.data.tags["grok.state"]) == ("KILLED", "interrupted")
    (state,) = saved(store)
    assert state.name == "epoch-00033.safetensors"
    done = command("--resume", run_id) if number == signal.SIGINT else command(*flags(tiny()))
    assert (done.status, done.words["run"], done.err) == (0, run_id, f"going on with run {run_id}\n")
    contents(store, run_id).assert_same(contents(finished.store, finished.outcome.run_id))


def test_a_second_ctrl_c_stops_at_once_and_says_how_to_go_on(store, tiny, flags, command, monkeypatch):
    from entry_points.progress import EpochBar

    def strike(bar, epoch, metrics):
        if epoch == 32:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(EpochBar, "update", strike)
    done = command(*flags(tiny()))
    assert (done.status, done.out) == (130, "")
    assert_one_line(done.err, "error: stopped. Repeat the command to go on from the last save")
    (run,) = store.prior(tiny())
    assert (run.info.status, run.data.tags["grok.state"]) == ("KILLED", "interrupted")


def test_killed_then_terminated_then_run_again_equals_an_undisturbed_run(
    store, session_store, tiny, flags, finish, command, contents
):
    config = tiny(**SLOWER)
    first = start(store, flags(config))
    try:
        assert wait_for(store, first, "resume/epoch-00032.safetensors"), first.communicate()[1]
        first.kill()
    finally:
        first.kill()
        out, err = first.communicate()
    assert (first.returncode, out) == (-signal.SIGKILL, "")
    (run,) = store.prior(config)
    assert (run.info.status, run.data.tags["grok.state"]) == ("RUNNING", "running")

    second = start(store, flags(config))
    try:
        assert wait_for(store, second, "resume/epoch-*.safetensors", saved(store)), second.communicate()[1]
        second.send_signal(signal.SIGTERM)
        out, err = second.communicate(timeout=60)
    finally:
        second.kill()
    assert second.returncode == 130, err
    assert_one_line(out, f"run={run.info.run_id} state=interrupted")
    assert err.splitlines() == [
        f"going on with run {run.info.run_id}",
        "stopping: saving the state first (Ctrl-C again stops at once)",
        "Repeat the command to go on.",
    ]
    assert store.get(run.info.run_id).data.tags["grok.state"] == "interrupted"
    assert len(saved(store)) == 1

    last = command(*flags(config))
    assert last.status == 0, last.err
    assert last.words["run"] == run.info.run_id
    assert not saved(store)
    reference = finish(session_store, config)
    contents(store, run.info.run_id).assert_same(contents(session_store, reference.outcome.run_id))
    assert count_runs(store) == 1


@pytest.fixture(scope="module")
def undisturbed(session_store, tiny, flags, contents):
    """The run that all trials are held against: (what it left, its seconds from the first artifact on)."""
    process = start(session_store, flags(tiny(**SLOWER, delta_w="full")))
    wait_for(session_store, process, "config.json", set(root_of(session_store).rglob("config.json")))
    began = time.monotonic()
    out, err = process.communicate()
    assert process.returncode == 0, err
    return contents(session_store, re.search(r"run=(\w+)", out)[1]), time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(10))
def test_killed_at_random_moments_equals_an_undisturbed_run(store, tiny, flags, contents, undisturbed, trial):
    config = tiny(**SLOWER, delta_w="full")
    expected, seconds = undisturbed
    generator = np.random.default_rng([2026, trial])
    for kill in range(int(generator.integers(1, 4))):
        process = start(store, flags(config))
        try:
            match ("training", "save", "finish", "anywhere")[(trial + kill) % 4]:
                case "training":
                    wait_for(store, process, "resume/epoch-*", saved(store))
                    time.sleep(generator.uniform(0, seconds))
                case "save":  # in the middle of a write
                    for _ in range(int(generator.integers(1, 8))):
                        wait_for(store, process, ".*.safetensors.*", set(root_of(store).rglob(".*.safetensors.*")), poll_s=0)
                case "finish":
                    wait_for(store, process, "history.parquet")
                    time.sleep(generator.uniform(0, 1.5))
                case "anywhere":
                    time.sleep(generator.uniform(0, 10 + seconds))
        finally:
            process.kill()
            process.communicate()
    for _ in range(2):
        process = start(store, flags(config))
        out, err = process.communicate()
        assert process.returncode == 0, err
    assert "reused=yes" in out
    (run,) = store.prior(config)
    assert (run.info.status, run.data.tags["grok.state"]) == ("FINISHED", "complete")
    contents(store, run.info.run_id).assert_same(expected)


@pytest.mark.parametrize(
    ("text", "told"), [("0.1 0.1 0.1 1/99 7", False), ("0.1 0.1 0.1 3/99 7", True), ("0.1", None), ("", None)]
)
def test_others_at_work_are_those_that_run_beside_this_process(
    monkeypatch: pytest.MonkeyPatch, text: str, told: bool | None
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: text)
    assert cli._others_run() is told


def test_a_system_without_that_file_does_not_say_who_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "Path", lambda name: Path(f"/nowhere{name}"))
    assert cli._others_run() is None


@pytest.mark.parametrize(
    ("load", "others", "given", "then"),
    [
        (0.0, False, {}, {}),
        (0.0, True, {}, {"GOMP_SPINCOUNT": cli.SPINS}),
        (0.5, False, {}, {}),  # the load is what one's own last command left
        (1.0, False, {}, {}),
        (0.1, None, {}, {}),
        (0.5, None, {}, {"GOMP_SPINCOUNT": cli.SPINS}),
        (None, False, {}, {}),
        (None, True, {}, {"GOMP_SPINCOUNT": cli.SPINS}),
        (None, None, {}, {"GOMP_SPINCOUNT": cli.SPINS}),
        *((1.1, others, {}, {"OMP_WAIT_POLICY": "PASSIVE"}) for others in (False, True, None)),
        *((load, True, {name: "7"}, {name: "7"}) for load in (0.0, 1e6) for name in cli.WAITING),
    ],
)
def test_threads_wait_briefly_or_asleep_unless_they_are_alone_or_somebody_has_decided(
    monkeypatch: pytest.MonkeyPatch, load: float | None, others: bool | None, given: dict[str, str], then: dict[str, str]
) -> None:
    for name in cli.WAITING:
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "_load", lambda: load)
    monkeypatch.setattr(cli, "_others_run", lambda: others)
    cli.wait_briefly()
    assert {name: os.environ[name] for name in cli.WAITING if name in os.environ} == then


def test_the_load_is_of_each_core_that_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Linux those that this process may use; macOS tells of none, and Windows has no mean load."""
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 60.0, 60.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert cli._load() == 2.0
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cli._load() == 0.5
    monkeypatch.delattr(os, "getloadavg")
    assert cli._load() is None
