"""Servers that do not let one in: every command says so in one line. A real one is in `test_shared_server.py`."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from entry_points import console
from grok.store.errors import one_line
from tests.bundle.conftest import call
from tests.conftest import PROJECT

pytestmark = pytest.mark.faults
COMMANDS = {
    "main": ["--study", "quick", "--backend", "sequential"],
    "train": ["--epochs", "1"],
    "study": ["--study", "quick", "--backend", "sequential"],
    "measure": [],
    "signals": ["--study", "quick", "--workers", "1"],
    "sensitivity": [],
    "analyze": [],
    "export": [],
    "import": ["--bundle", "{bundle}"],
    "rebase": [],
}
"""Every command, with words that are right: what is wrong is the server."""
ANSWERS = {
    401: (b"You are not authenticated.", "a server that lets you in, got http://ann:***@127.0.0.1:{} (401)"),
    403: (b"Permission denied", "a server that lets you in, got http://ann:***@127.0.0.1:{} (403)"),
    421: (b"Invalid Host header - possible DNS rebinding attack detected", "a server by a name that it knows, got http://ann"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, int]]:
    """A server whose health is public and whose every other answer is a status that the test sets."""
    answer = {"status": 401, "port": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = (200, b"OK") if self.path == "/health" else (answer["status"], ANSWERS[answer["status"]][0])
            self.send_response(403 if status == 421 else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *words: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        answer["port"] = site.server_port
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield answer
        site.shutdown()
        thread.join()


def test_every_command_is_tried() -> None:
    assert list(COMMANDS) == list(console.COMMANDS)


@pytest.mark.parametrize("status", sorted(ANSWERS))
@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"rebase"}))
def test_a_server_that_refuses_is_one_line(
    name: str,
    status: int,
    server: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    small: Path,
) -> None:
    server["status"] = status
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{server['port']}")
    answer = call(name, *(word.format(bundle=small) for word in COMMANDS[name]))
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.count("\n") == 1, answer.err
    assert ANSWERS[status][1].format(server["port"]) in answer.err
    assert "secret" not in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_no_store_that_a_command_on_files_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked nothing, so that it need not be there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:9")
    answer = call("rebase")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("error: store must be an SQLite file to be mended, got http://ann:***@127.0.0.1:9. Name it by")


FORBIDDEN = "API request to endpoint /api/2.0/mlflow/{} failed with error code 403 != 200. Response body: 'Permission denied'"


def test_a_user_who_may_read_alone_is_told_which_experiment_before_a_run_is_made(
    store: Any, tiny: Any, flags: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_run(self: MlflowClient, *words: object, **options: object) -> None:
        raise MlflowException(FORBIDDEN.format("runs/create"))

    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    answer = command(*flags(tiny()))
    assert (answer.status, answer.out) == (2, "")
    told = "experiment must be one that you may write to, got tests (403). Ask for the right, or set MLFLOW_EXPERIMENT_NAME"
    assert answer.err == f"error: {told} to one of yours.\n"
    assert store.find({"kind": "train"}) == []


@pytest.mark.parametrize("text", [FORBIDDEN.format("runs/log-batch"), "403 Client Error: FORBIDDEN for url: http://u:p4ss@h/x"])
def test_what_a_user_may_not_do_later_is_one_line_with_the_next_step(text: str) -> None:
    told = one_line(MlflowException(text))
    assert told.startswith("the server must let you do this, got 403: ")
    assert told.endswith(". Ask for the right, or use an experiment of your own")
    assert "p4ss" not in told


def test_the_compose_file_says_what_the_page_says() -> None:
    """As far as it can be checked without containers: services, what is kept, and the server's flags."""
    found = yaml.safe_load((PROJECT / "docs" / "compose.yaml").read_text(encoding="utf-8"))
    services = found["services"]
    assert sorted(services) == ["database", "proxy", "server"]
    kept = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert set(found["volumes"]) == {name for name in kept if not name.startswith(".")}
    command = services["server"]["command"][-1]
    for flag in ("--app-name basic-auth", "--artifacts-destination", "--allowed-hosts", "--backend-store-uri"):
        assert flag in command
    assert '--cors-allowed-origins "https://$$SERVER_NAME"' in command  # or no browser lists a run
    assert "pip" not in command  # a start needs no network, and changes nothing
    built = services["server"]["build"]["dockerfile_inline"]
    assert re.search(
        r"^COPY server\.lock /server/server\.lock\nRUN pip install .*--require-hashes -r /server/server\.lock$", built, re.M
    )
    assert "ports" not in services["server"]  # only the proxy is reached from outside
    assert "ports" not in services["database"]
    secrets = {key for service in services.values() for key, value in service["environment"].items() if ":?" in str(value)}
    page = (PROJECT / "docs" / "shared-server.md").read_text(encoding="utf-8")
    assert all(f"\n{name}=" in page for name in secrets)


def test_the_file_of_passwords_is_for_its_owner_ignored_by_git_and_written_once(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "shared-server.md").read_text(encoding="utf-8")
    words = page.partition("```sh\n")[2].partition("docker compose")[0]
    assert "cat > docs/.env" in words
    (tmp_path / "docs").mkdir()
    (tmp_path / "openssl").write_text("#!/bin/sh\nhead -c 24 /dev/urandom | od -An -tx1 | tr -d ' \\n'\n")
    (tmp_path / "openssl").chmod(0o755)
    found = tmp_path / "docs" / ".env"
    texts = []
    for status in (0, 1):
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", words], cwd=tmp_path, env={"PATH": path}, capture_output=True, check=False)
        assert bool(done.returncode) == bool(status)
        texts.append(found.read_text())
    assert found.stat().st_mode & 0o777 == 0o600
    assert texts[0] == texts[1]
    passwords = re.findall(r"^(?:\w*PASSWORD|\w*KEY)=([0-9a-f]{48})$", texts[0], re.MULTILINE)
    assert len(set(passwords)) == 3
    ignored = (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ".env" in ignored
