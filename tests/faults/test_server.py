"""Servers that do not let one in: each command says so in one line."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from entry_points import analyze, cli, sensitivity, study, train
from tests.conftest import PROJECT

pytestmark = pytest.mark.faults
COMMANDS = {
    "train": (train, ["--epochs", "1"]),
    "study": (study, ["--study", "quick", "--backend", "sequential"]),
    "analyze": (analyze, []),
    "sensitivity": (sensitivity, []),
}
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


@pytest.mark.parametrize("status", sorted(ANSWERS))
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_server_that_refuses_is_one_line(
    name: str,
    status: int,
    server: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    server["status"] = status
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{server['port']}")
    command, words = COMMANDS[name]
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as left:
        cli.run_main(command.main)
    text = capsys.readouterr()
    assert (left.value.code, text.out) == (2, "")
    assert text.err.count("\n") == 1, text.err
    assert ANSWERS[status][1].format(server["port"]) in text.err
    assert "secret" not in text.err
    assert list(tmp_path.iterdir()) == []


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
    pins = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    assert f"mlflow=={command.split('mlflow[auth]==')[1].split(chr(39))[0]}\n" in pins
    assert "ports" not in services["server"]  # only the proxy is reached from outside
    assert "ports" not in services["database"]
    secrets = {key for service in services.values() for key, value in service["environment"].items() if ":?" in str(value)}
    page = (PROJECT / "docs" / "shared-server.md").read_text(encoding="utf-8")
    assert all(f"\n{name}=" in page for name in secrets)
