"""The shared server of docs/shared-server.md on loopback: PostgreSQL, MLflow with users before an object store, a Dask
scheduler with two workers. Its command is the one of docs/compose.yaml, with places of this machine. What its users may is
done, and a stranger is told why not, by every command.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from grok.spec.config import RunConfig
from tests.bundle.conftest import call
from tests.conftest import PROJECT, TINY
from tests.faults.test_server import COMMANDS
from tests.runs import test_several_machines as machines

pytestmark = [pytest.mark.slow, pytest.mark.faults]
CELL = replace(TINY, epochs=40, checkpoint_epochs=(40,), observe_every=0, save_every=20, first_epoch=30)
"""Few requests: a server on a busy machine takes seconds for each."""
BUCKET = "runs"
PAGE = "https://runs.example.org"
"""Where browsers have the server, behind its proxy."""
ADMIN, ANN, BEN, DATABASE = "the-administrator's 1", "ann's long password 2", "ben's long password 3", "the-databases-4"
SECRETS = (ADMIN, ANN, BEN, DATABASE, "keyed-5")
PLACE = {"AWS_ACCESS_KEY_ID": "shared", "AWS_SECRET_ACCESS_KEY": "keyed-5", "AWS_DEFAULT_REGION": "us-east-1"}
"""What the server alone knows of the object store."""
USERS = {"admin": ADMIN, "ann": ANN, "ben": BEN}


@dataclass(frozen=True)
class Shared:
    """The servers, and where they are."""

    url: str
    scheduler: str
    bucket: Any
    servers: machines.Servers
    folder: Path

    def named(self, user: str, password: str = "") -> dict[str, str]:
        """What a client's environment has of the server and of who it is."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password or USERS[user],
        }

    def command(self, user: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of a client in a folder of its own, which knows nothing of the object store and the database."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "AWS_", "PYTHONPATH"))}
        environment = keep | self.named(user) | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
        folder = self.folder / "client"
        folder.mkdir(exist_ok=True)
        line = [sys.executable, "-m", f"entry_points.{words[0]}", *words[1:]]
        return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False)

    def objects(self) -> list[str]:
        """Names of all objects in the bucket."""
        return [one.key for one in self.bucket.objects.all()]


def documented(values: Mapping[str, str]) -> list[str]:
    """The server's command as docs/compose.yaml has it, with other places."""
    found = yaml.safe_load((PROJECT / "docs" / "compose.yaml").read_text(encoding="utf-8"))
    text = str(found["services"]["server"]["command"][-1].partition("exec ")[2])
    for there, here in values.items():
        assert there in text, there
        text = text.replace(there, here)
    words = shlex.split(text)
    return [str(machines.SCRIPTS / words[0]), *words[1:]]


def start_object_store(servers: machines.Servers, folder: Path, port: int) -> Any:
    """An S3-compatible store in a process of its own, and its bucket."""
    boto3 = pytest.importorskip("boto3", reason="the object store needs boto3: pip install 'moto[server]' boto3")
    program = machines.SCRIPTS / "moto_server"
    if not program.exists():
        pytest.skip("no S3-compatible object store is installed: pip install 'moto[server]' boto3")
    servers.start("object-store", [str(program), "-H", "127.0.0.1", "-p", str(port)], folder)
    servers.wait_for("object store", lambda: machines.answers(port))
    keys = {"aws_access_key_id": PLACE["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": PLACE["AWS_SECRET_ACCESS_KEY"]}
    place = boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name=PLACE["AWS_DEFAULT_REGION"], **keys)
    return place.create_bucket(Bucket=BUCKET)


def start_mlflow(servers: machines.Servers, folder: Path, ports: Mapping[str, int]) -> str:
    """The documented server, with the documented settings of its users."""
    pytest.importorskip("flask_wtf", reason="users need Flask-WTF: pip install 'mlflow[auth]'")
    users = (PROJECT / "docs" / "server-auth.ini").read_text(encoding="utf-8")
    folder.mkdir()
    (folder / "auth.ini").write_text(users.replace("/users/users.db", f"{folder}/users.db"), encoding="utf-8")
    address = f"127.0.0.1:{ports['mlflow']}"
    words = documented(
        {
            "--host 0.0.0.0 --port 5000": f"--host 127.0.0.1 --port {ports['mlflow']}",
            "$$POSTGRES_PASSWORD@database/mlflow": f"{DATABASE}@127.0.0.1:{ports['postgres']}/postgres",
            "--artifacts-destination /artifacts": f"--artifacts-destination s3://{BUCKET}/kept",
            "$$SERVER_NAME,server:5000": address,
            "https://$$SERVER_NAME": PAGE,
        }
    )
    servers.start(
        "mlflow",
        words,
        folder,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"),
        MLFLOW_AUTH_ADMIN_PASSWORD=ADMIN,
        MLFLOW_FLASK_SERVER_SECRET_KEY="a key of 6",
        MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{ports['s3']}",
        **PLACE,
    )
    servers.wait_for("MLflow server", lambda: machines.is_healthy(f"http://{address}"))
    return f"http://{address}"


def make_users(url: str) -> None:
    """As the page has it: by the administrator, from Python."""
    page = (PROJECT / "docs" / "shared-server.md").read_text(encoding="utf-8")
    text = page.partition("```python\n")[2].partition("```")[0].replace("https://mlflow.example.org", url)
    assert '"ann", "a long password"' in text
    both = [text.replace('"ann", "a long password"', f'"{name}", "{USERS[name]}"') for name in ("ann", "ben")]
    known = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": ADMIN}
    subprocess.run([sys.executable, "-c", "\n".join(both)], env=os.environ | known, check=True, capture_output=True)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    pytest.importorskip("distributed", reason="workers need Dask: pip install -e '.[dask]'")
    folder = Path(tempfile.mkdtemp(prefix="shared-"))
    folder.chmod(0o755)  # the database server is another user
    (folder / "logs").mkdir()
    servers = machines.Servers(folder / "logs")
    try:
        ports = {name: machines.free_port() for name in ("postgres", "s3", "mlflow", "dask")}
        bucket = start_object_store(servers, folder / "object-store", ports["s3"])
        machines.start_postgres(servers, folder / "postgres", ports["postgres"], DATABASE)
        url = start_mlflow(servers, folder / "server", ports)
        make_users(url)
        scheduler = f"tcp://127.0.0.1:{ports['dask']}"
        words = [str(machines.SCRIPTS / "dask"), "scheduler", "--host", "127.0.0.1", "--port", str(ports["dask"])]
        code = str(machines.copy_of_the_project(folder / "scheduler"))
        servers.start("scheduler", [*words, "--no-dashboard"], folder / "scheduler", PYTHONPATH=code)
        servers.wait_for("scheduler", lambda: machines.answers(ports["dask"]))
        found = Shared(url, scheduler, bucket, servers, folder)
        for name in ("machine-a", "machine-b"):
            machines.start_worker(servers, folder / name, scheduler, **found.named("ann"))
        yield found
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


def told_nothing(shared: Shared, *texts: str) -> None:
    """No password in what was said, and none in a log of the servers or in an object."""
    for text in (*texts, *(path.read_text(errors="replace") for path in shared.servers.logs.glob("*.log"))):
        assert not [secret for secret in SECRETS if secret in text]


STRANGERS = {
    "nobody": {},
    "a wrong password": {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "ben-guesses-7"},
    "an unknown name": {"MLFLOW_TRACKING_USERNAME": "eve", "MLFLOW_TRACKING_PASSWORD": "ben-guesses-7"},
    "a wrong password in the address": {"in": "eve:ben-guesses-7@"},
}


@pytest.mark.parametrize("who", sorted(STRANGERS))
@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"rebase"}))
def test_a_stranger_is_told_why_by_every_command(
    name: str,
    who: str,
    shared: Shared,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    known = dict(STRANGERS[who])
    address = shared.url.replace("://", f"://{known.pop('in', '')}")
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    for variable, text in (known | {"MLFLOW_TRACKING_URI": address}).items():
        monkeypatch.setenv(variable, text)
    before = shared.objects()
    answer = call(name, *(word.format(bundle=small) for word in COMMANDS[name]))
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("error: MLFLOW_TRACKING_URI must name a server that lets you in, got http://")
    assert "(401). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask for the right." in answer.err
    assert "ben-guesses-7" not in answer.err
    assert list(tmp_path.iterdir()) == []
    assert shared.objects() == before


@pytest.mark.parametrize(("page", "status"), [(PAGE, 200), ("", 200), ("https://elsewhere.example.org", 403)])
def test_the_server_s_own_page_may_ask_and_no_other(page: str, status: int, shared: Shared) -> None:
    """A browser names the page with each POST: the UI's that lists runs, the form's that makes users."""
    for path, sent in (("mlflow/runs/search", {"experiment_ids": ["0"]}), ("mlflow/experiments/search", {"max_results": 1})):
        told = {"Origin": page} if page else {}
        answer = requests.post(f"{shared.url}/ajax-api/2.0/{path}", json=sent, headers=told, auth=("ann", ANN), timeout=60)
        assert answer.status_code == status, answer.text
        assert ("Cross-origin" in answer.text) == (status == 403)


@pytest.fixture(scope="module")
def trained(shared: Shared) -> dict[str, str]:
    """The words of the result line of a run that Ann trained."""
    flags = [word for name, text in CELL.to_strings().items() for word in (f"--{name.replace('_', '-')}", text)]
    done = shared.command("ann", "train", *flags)
    assert done.returncode == 0, done.stderr + shared.servers.tail()
    told_nothing(shared, done.stdout, done.stderr)
    return dict(word.split("=", 1) for word in done.stdout.splitlines()[-1].split())


def test_a_user_trains_and_the_files_are_in_the_object_store(shared: Shared, trained: dict[str, str]) -> None:
    assert (trained["state"], trained["reused"]) == ("complete", "no")
    of_run = [key for key in shared.objects() if trained["run"] in key]
    assert of_run
    assert all(key.startswith("kept/") for key in shared.objects())
    assert {"history.parquet", "config.json"} <= {key.rpartition("/")[2] for key in of_run}
    assert not [key for key in of_run if "/resume/" in key]  # states to go on from are deleted there too
    assert list((shared.folder / "client").iterdir()) == []


def test_a_study_is_trained_by_two_workers_and_reported(shared: Shared) -> None:
    base = {k: v for k, v in CELL.to_strings().items() if v != RunConfig().to_strings()[k]}
    runs = [{"condition": "grok", **base, "seed": "1..2"}]
    own = shared.folder / "own.yaml"
    own.write_text(repr({"tiny": {"sentence": "A shared server.", "source": "ours", "runs": runs}}), encoding="utf-8")
    done = shared.command("ann", "study", "--study", str(own), "--backend", "dask", "--scheduler", shared.scheduler)
    assert done.returncode == 0, done.stderr + shared.servers.tail()
    assert "state=complete cells=2 trained=2 reused=0 open=0" in done.stdout
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(shared.folder / "report")
    report = shared.command("ann", "analyze", "--study", str(own), "--out", str(shared.folder / "report"))
    assert report.returncode == 0, report.stderr
    assert "runs=2 left_out=0" in report.stdout
    assert (shared.folder / "report" / "report.html").stat().st_size > 10_000
    told_nothing(shared, *(one for answer in (done, report) for one in (answer.stdout, answer.stderr)))


def test_a_user_who_may_read_alone_reads_and_is_told_where_not_to_write(
    shared: Shared,
    trained: dict[str, str],
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The experiment is Ann's; everybody else has the documented right to read."""
    for name, text in shared.named("ben").items():
        monkeypatch.setenv(name, text)
    before = shared.objects()
    flags = [word for name, text in CELL.to_strings().items() for word in (f"--{name.replace('_', '-')}", text)]
    found = call("train", *flags)
    assert (found.status, found.words["run"], found.words["reused"]) == (0, trained["run"], "yes")
    bundle = call("export", "--out", str(tmp_path / "bundle"), "--runs", trained["run"], "--bands", "none", "--files", "none")
    assert (bundle.status, bundle.words["train"]) == (0, "1"), bundle
    assert (tmp_path / "bundle" / "tables" / "history.parquet").exists()
    answer = call("import", "--bundle", str(small))
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "must name a database for an import, since runs keep their ids" in answer.err
    answer = call("train", *flags, "--seed", "77")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "experiment must be one that you may write to, got grok (403). Ask for the right, or set MLFLOW_EXP" in answer.err
    answer = call("signals", "--run", trained["run"], "--signals", "weight_norm", "--workers", "1")
    assert answer.status == 1
    assert answer.err.count("\n") == 1, answer.err
    assert "403" in answer.err
    assert shared.objects() == before
    told_nothing(shared, found.err, answer.err)
