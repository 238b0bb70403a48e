"""Fan-out over processes: sized to the machine, deaf to Ctrl-C, and a worker that dies costs its own payload only."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import loky
import psutil
import pytest

from grok.runs.fanout import Fanout
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from tests.conftest import PROJECT, TINY
from tests.runs import test_several_machines as machines

LONG = replace(TINY, epochs=1500, checkpoint_epochs=(1500,), observe_every=0, save_every=100, first_epoch=100)
"""Long enough to be met in mid-run."""


def test_workers_are_sized_to_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loky, "cpu_count", lambda: 8)
    assert (Fanout().local_workers, Fanout().threads()) == (8, 1)
    assert (Fanout(workers=3).local_workers, Fanout(workers=3).threads()) == (3, 2)
    assert Fanout(workers=20).threads() == 1
    assert (Fanout("sequential").local_workers, Fanout("sequential").threads()) == (1, 8)
    assert Fanout("dask", scheduler="tcp://h:1").threads() == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ray",), "backend must be one of loky, dask, sequential, got ray"),
        (("loky", -1), "workers must be a whole number ≥ 0, got -1"),
        (("dask",), "scheduler must be given with backend dask and only then, got none with dask"),
        (("loky", 0, "tcp://h:1"), "scheduler must be given with backend dask and only then, got tcp://h:1 with loky"),
    ],
)
def test_fields_are_checked(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Fanout(*arguments)


def test_workers_are_dealt_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fanout = Fanout(workers=3, gpus=2)
    assert [fanout.environment(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [fanout.environment(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["4", "6", "4"]
    assert "CUDA_VISIBLE_DEVICES" not in Fanout(workers=3).environment(0)


@pytest.mark.parametrize(
    ("device", "workers", "seeds", "expected"),
    [
        ("auto", 0, 0, (2, 2, 15)),  # a worker and a GPU each, the paper's seeds in lockstep
        ("auto", 1, 4, (1, 2, 4)),  # as said
        ("cuda:1", 0, 0, (2, 0, 15)),  # which GPU that is must not change
        ("cpu", 0, 0, (0, 0, 1)),
    ],
)
def test_a_study_fits_the_gpus(
    monkeypatch: pytest.MonkeyPatch, device: str, workers: int, seeds: int, expected: tuple[int, int, int]
) -> None:
    import torch

    from grok.runs import study as study_runs
    from grok.spec.studies import Cell, Study

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    study = Study("s", "s", "s", (Cell("c", replace(TINY, device=device).resolved()),))
    fanout, at_once = study_runs.fit(study, Fanout(workers=workers), seeds)
    assert (fanout.workers, fanout.gpus, at_once) == expected
    assert study_runs.fit(study, Fanout("dask", scheduler="tcp://h:1"), 0)[1] == 1  # a cluster's workers know their devices


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of a stand-in for the driver, in the place of the processor."""
    import torch

    from grok.runs.words import host_tags
    from grok.training.loop import Training

    monkeypatch.setattr(torch.cuda, "get_device_name", {torch.device("cuda", 1): "A card"}.__getitem__)
    training = Training(TINY)
    here = host_tags(training)
    training.device = torch.device("cuda", 1)
    there = host_tags(training)
    assert (there["device"], there["rounding"]) == ("A card", "cuda")
    assert "A card" not in here.values()


def test_sequential_is_in_this_process() -> None:
    assert list(Fanout("sequential").map(lambda n: (n, os.getpid()), [1, 2])) == [(1, os.getpid()), (2, os.getpid())]
    assert list(Fanout().map(abs, [])) == []


def test_processes_share_the_cores_and_ignore_ctrl_c() -> None:
    def look(number: int) -> tuple[int, int, str, bool]:
        time.sleep(0.2)
        deaf = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return number, os.getpid(), os.environ["OMP_NUM_THREADS"], deaf

    fanout = Fanout(workers=2)
    found = sorted(fanout.map(look, range(6)))
    assert [number for number, *_ in found] == list(range(6))
    assert len({pid for _, pid, *_ in found}) == 2
    assert {(threads, deaf) for *_, threads, deaf in found} == {(str(fanout.threads()), True)}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # Ctrl-C still reaches this process


def test_worker_that_dies_costs_its_own_payload_only() -> None:
    def work(number: int) -> tuple[int, int]:
        if number == 1:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(2.0 if number == 0 else 0.1)  # 0 is at work when 1 dies
        return number, os.getpid()

    found = dict(Fanout(workers=2).map(work, range(5)))
    assert set(found) == {0, 2, 3, 4}
    assert len(set(found.values())) == 2  # a new process took the place of the dead one


def test_worker_that_makes_room_for_a_new_one_is_no_news() -> None:
    script = """
import os, time
from loky import process_executor
from grok.runs.fanout import Fanout
def work(number):
    process_executor._MAX_MEMORY_LEAK_SIZE = -10**12  # any memory is too much
    time.sleep(1.2)
    return os.getpid()
print(len(set(Fanout(workers=1).map(work, range(4)))) > 1)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (answer.stdout, answer.stderr) == ("True\n", "")


def test_what_a_task_raises_is_raised_and_leaves_no_process() -> None:
    def work(number: int) -> int:
        if number == 1:
            raise ValueError("no")
        time.sleep(30)
        return number

    start = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        list(Fanout(workers=2).map(work, range(2)))
    assert time.monotonic() - start < 25  # did not wait for the other
    assert not [p for p in psutil.Process().children(recursive=True) if "LokyProcess" in " ".join(p.cmdline())]


def test_a_cluster_whose_scheduler_goes_away_is_one_line(tmp_path: Path) -> None:
    """No traceback of Dask's beside it."""
    pytest.importorskip("distributed", reason="a cluster needs Dask: pip install -e '.[dask]'")
    port = machines.free_port()
    address, servers = f"tcp://127.0.0.1:{port}", machines.Servers(tmp_path)
    scheduler = [str(machines.SCRIPTS / "dask"), "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    script = f"""
import time
from grok.runs.fanout import ClusterLost, Fanout
results = Fanout("dask", scheduler="{address}").map(time.sleep, [0, 60, 60])
print(next(results), flush=True)
try:
    list(results)
except ClusterLost as error:
    print(error)
"""
    try:
        server = servers.start("scheduler", scheduler, tmp_path / "scheduler")
        servers.wait_for("scheduler", lambda: machines.answers(port))
        machines.start_worker(servers, tmp_path / "worker", address)
        words = [sys.executable, "-c", script]
        command = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert command.stdout is not None
            assert command.stdout.readline() == "None\n"
            server.kill()
            out, err = command.communicate(timeout=120)
        finally:
            command.kill()
            command.wait()
    finally:
        servers.stop()
    assert err == ""
    assert out == (
        f"the Dask scheduler must be there until the last run is done, got none at {address}. Start it and its workers again, "
        "then repeat the command: it goes on from the last saves\n"
    )


def test_workers_leave_when_their_parent_is_killed() -> None:
    script = (
        "import os, time\nfrom grok.runs.fanout import Fanout\n"
        "for pid in Fanout(workers=2).map(lambda n: time.sleep(3 * n) or os.getpid(), [0, 1, 40]): print(pid, flush=True)"
    )
    children: list[psutil.Process] = []
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pids = {int(parent.stdout.readline()) for _ in range(2)}
        children = psutil.Process(parent.pid).children(recursive=True)
        assert pids <= {child.pid for child in children}
        parent.kill()
        deadline = time.monotonic() + 20
        while all(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.2)
        gone = [pid for pid in pids if not psutil.pid_exists(pid)]
        assert len(gone) == 1  # the idle one, at once; the other ends its task first
    finally:
        parent.kill()
        for child in children:  # which hold its standard output
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        parent.communicate()


# ---- studies on processes ----------------------------------------------------------------------------------------------


class Command:
    """The study command line as a process of its own."""

    def __init__(self, path: Path, seeds: str) -> None:
        base = {k: v for k, v in LONG.to_strings().items() if v != RunConfig().to_strings()[k]}
        study = {"sentence": "Long.", "source": "ours", "runs": [{"condition": "grok", **base, "seed": seeds}]}
        path.write_text(repr({"long": study}), encoding="utf-8")
        self.words = [sys.executable, "-m", "entry_points.study", "--study", str(path), "--workers", "2"]
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Whatever the test left of its own processes."""
        for process in self.processes:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.communicate()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[str], Command]]:
    made: list[Command] = []

    def make(seeds: str) -> Command:
        made.append(Command(tmp_path / "own.yaml", seeds))
        return made[-1]

    yield make
    for one in made:
        one.close()


def in_mid_run(store: Any, process: subprocess.Popen[str], count: int) -> list[Any]:
    """The running runs, once `count` of them have saved a state and are at work in living processes of this command."""
    from grok.store.run import TrackedRun

    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        children = {child.pid for child in psutil.Process(process.pid).children()}
        runs = [r for r in store.find({"kind": "train", "state": "running"}) if worker(r) in children]
        saved = [r for r in runs if TrackedRun(store.client, r.run_id).list_files("resume")]
        if len(saved) >= count:
            return saved
        time.sleep(0.3)
    raise AssertionError("no run came under way")


def worker(run: Any) -> int:
    return int(run.tags["grok.process"].split(":")[0])


def words(process: subprocess.Popen[str], status: int) -> dict[str, str]:
    out, err = process.communicate(timeout=400)
    assert process.returncode == status, (out, err)
    assert "Traceback" not in err
    return dict(word.split("=", 1) for word in out.split())


@pytest.mark.slow
def test_killed_worker_costs_only_its_own_run(store: Any, command: Any, contents: Any, session_store: Any, finish: Any) -> None:
    process = command("0..2").start()
    first, second = in_mid_run(store, process, 2)[:2]
    os.kill(worker(first), signal.SIGKILL)
    answer = words(process, 0)
    assert (answer["state"], answer["trained"], answer["open"]) == ("complete", "3", "0")
    runs = {run.run_id: run for run in store.find({"kind": "train"})}
    assert len(runs) == 3  # the killed one went on as the same run
    again, other = runs[first.run_id], runs[second.run_id]
    assert again.tags["grok.process"] != first.tags["grok.process"]
    assert other.tags["grok.process"] == second.tags["grok.process"]  # never left its process
    reference = finish(session_store, replace(LONG, seed=int(first.params["seed"])))
    contents(store, first.run_id).assert_same(contents(session_store, reference.outcome.run_id))


@pytest.mark.slow
def test_study_that_is_stopped_again_and_again_ends_as_one_that_was_not(
    store: Any, command: Any, contents: Any, session_store: Any, finish: Any
) -> None:
    study = command("5..6")
    process = study.start()
    in_mid_run(store, process, 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C: to the workers too
    assert words(process, 130)["state"] == "interrupted"
    runs = store.find({"kind": "train"})
    assert {run.tags["grok.state"] for run in runs} == {"interrupted"}

    process = study.start()
    in_mid_run(store, process, 1)
    os.kill(process.pid, signal.SIGTERM)
    assert words(process, 130)["state"] == "interrupted"

    process = study.start()
    workers = {worker(run) for run in in_mid_run(store, process, 2)}
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(children, timeout=90)
    assert not alive  # nobody is left behind
    assert workers <= {child.pid for child in gone}

    answer = words(study.start(), 0)
    assert (answer["state"], answer["open"]) == ("complete", "0")
    runs = store.find({"kind": "train"})
    assert len(runs) == 2
    for run in runs:
        reference = finish(session_store, replace(LONG, seed=int(run.params["seed"])))
        contents(store, run.run_id).assert_same(contents(session_store, reference.outcome.run_id))


@pytest.mark.slow
def test_soak_of_two_commands_that_are_stopped_and_killed_at_random(
    store: Any, command: Any, contents: Any, session_store: Any, finish: Any
) -> None:
    """Two commands on one store, struck at random moments by signals, their workers too at times; then one is left alone."""
    seeds, study = range(11, 15), command("11..14")
    for _ in range(3):
        both = [study.start(), study.start()]
        time.sleep(random.uniform(8, 40))
        for process in both:
            number = random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
            for child in psutil.Process(process.pid).children() if process.poll() is None and random.random() < 0.5 else ():
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            process.send_signal(number)
        children = [c for p in both if p.poll() is None for c in psutil.Process(p.pid).children(recursive=True)]
        for process in both:
            process.communicate(timeout=400)
        _, alive = psutil.wait_procs(children, timeout=90)
        assert not alive
    answer = words(study.start(), 0)
    assert (answer["state"], answer["open"]) == ("complete", "0")
    runs = store.find({"kind": "train"})
    assert sorted(int(run.params["seed"]) for run in runs) == list(seeds)  # each cell once
    assert len(store.find({"kind": "study"})) == 1
    for run in runs:
        reference = finish(session_store, replace(LONG, seed=int(run.params["seed"])))
        contents(store, run.run_id).assert_same(contents(session_store, reference.outcome.run_id))
