"""What keeps a store from being opened is named, with its value and the next step: certificates, schemes, variables."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.exceptions import MlflowException

from grok.store import opening
from grok.store.errors import StoreError
from grok.store.store import open_store

HOUR = datetime.timedelta(hours=1)
NEW = "Unset it, or look the id up with `mlflow ui`."


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the caller's, and no proxy."""
    for name in (opening.AUTHORITY, opening.CLIENT, opening.UNCHECKED, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def certificate(folder: Path, name: str, address: str = "127.0.0.1", hours: int = 1) -> Path:
    """A file of a key and its self-signed certificate, good from an hour ago for some hours more; `NAME.ca` has the latter."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - 3 * HOUR).not_valid_after(now + hours * HOUR)
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
    text = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.ca").write_bytes(text)
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(*form) + text)
    return path


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *words: object) -> None:
        """Nothing."""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *words: object) -> None:
        """Nothing: a client that goes away is what the tests are about."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses by what is special: `own`, signed by itself; `else`, for another host; `old`, expired; `asks`, for a
    certificate of the client's; `plain`, without TLS. `folder` has the certificates.
    """
    folder, running, out = tmp_path_factory.mktemp("tls"), [], {}
    own, client = certificate(folder, "own"), certificate(folder, "client")
    other, old = certificate(folder, "else", "127.0.0.2"), certificate(folder, "old", hours=-1)
    for name, path in (("own", own), ("else", other), ("old", old), ("asks", own), ("plain", None)):
        server = Server(("127.0.0.1", 0), Handler)
        if path is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            if name == "asks":
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client.with_suffix(".ca"))
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((server, thread))
        out[name] = f"http{'s' if path else ''}://127.0.0.1:{server.server_port}"
    yield out | {"folder": str(folder)}
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def refusal(uri: str) -> str:
    """Why a server is refused."""
    with pytest.raises(StoreError) as caught:
        opening.check_server(uri)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_with_a_certificate_of_a_private_authority_is_found_as_mlflow_would(
    servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = servers["own"], Path(servers["folder"])
    told = f"MLFLOW_TRACKING_URI must name a server whose certificate can be checked, got {uri} (self-signed certificate). "
    step = "Set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of the authority that signed it"
    assert refusal(uri) == f"{told}{step}."
    monkeypatch.setenv(opening.AUTHORITY, str(folder / "client.ca"))
    assert refusal(uri) == f"{told}{step}, not {folder / 'client.ca'}."
    monkeypatch.setenv(opening.AUTHORITY, str(folder / "own.ca"))
    opening.check_server(uri)
    monkeypatch.delenv(opening.AUTHORITY)
    monkeypatch.setenv(opening.UNCHECKED, "true")
    opening.check_server(uri)  # without urllib3's warning, which is an error here


def test_a_server_that_asks_for_the_clients_certificate_gets_it(
    servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = servers["asks"], Path(servers["folder"])
    monkeypatch.setenv(opening.AUTHORITY, str(folder / "own.ca"))
    told = refusal(uri)  # whether it says why before it hangs up is a matter of moments
    assert told.startswith(f"MLFLOW_TRACKING_URI must name a server that lets this client connect by TLS, got {uri} (")
    step = "If it asks for a certificate, set MLFLOW_TRACKING_CLIENT_CERT_PATH to a file of a key and one that it trusts."
    assert told.endswith(f"). {step}")
    monkeypatch.setenv(opening.CLIENT, str(folder / "client.pem"))
    opening.check_server(uri)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("else", "(IP address mismatch, certificate is not valid for '127.0.0.1'.). Use a name that its certificate has."),
        ("old", "(certificate has expired). Have its certificate renewed, and look at the clock here."),
        ("plain", "a server that speaks TLS where it begins with https, got https://"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_apart(
    name: str, words: str, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "plain":
        monkeypatch.setenv(opening.AUTHORITY, str(Path(servers["folder"]) / f"{name}.ca"))
    assert words in refusal(servers[name].replace("http://", "https://"))


def test_a_server_of_tls_that_is_asked_without_it_says_so(servers: dict[str, str]) -> None:
    assert refusal(servers["own"].replace("https", "http")).endswith(
        "Write https:// if it speaks TLS, or start it: mlflow server."
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {opening.AUTHORITY: "{}/none"},
            "SERVER_CERT_PATH must name a file of certificates in PEM form, got {}/none (no such file). ",
        ),
        (
            {opening.AUTHORITY: "{}/text"},
            "SERVER_CERT_PATH must name a file of certificates in PEM form, got {}/text (no certificate",
        ),
        (
            {opening.CLIENT: "{}/none"},
            "CLIENT_CERT_PATH must name a file of a key without a password and its certificate, in PEM f",
        ),
        (
            {opening.CLIENT: "{}/own.ca"},
            "CLIENT_CERT_PATH must name a file of a key without a password and its certificate, in PEM ",
        ),
        (
            {opening.AUTHORITY: "{}/own.ca", opening.UNCHECKED: "1"},
            "SERVER_CERT_PATH must not be set together with MLFLOW_TRACKING_I",
        ),
        (
            {opening.UNCHECKED: "yes"},
            "INSECURE_TLS must have a value that MLflow takes, got 'yes' (MLFLOW_TRACKING_INSECURE_TLS value",
        ),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    variables: dict[str, str], words: str, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = servers["folder"]
    (Path(folder) / "text").write_text("no certificate")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder))
    assert refusal(servers["own"]).startswith(f"MLFLOW_TRACKING_{words.format(folder)}")
    opening.check_server(servers["plain"])  # which nothing of it concerns


def test_a_proxy_that_does_not_answer_is_blamed_and_not_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "http://ann:secret@127.0.0.1:9")
    assert refusal("http://nowhere.invalid").startswith(
        "http_proxy must name a proxy that answers, got http://ann:***@127.0.0.1:9 on the way to http://nowhere.invalid. "
    )


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("foo://x", "got foo://x (a scheme that is not known). Correct it."),
        ("s3://bucket", "got s3://bucket (a scheme that is not known). Correct it."),
        ("postgres://u:secret@h/x", "got postgres://u:***@h/x (a scheme that is not known). Write postgresql+psycopg2://."),
        ("uc:", "got uc: (a registry of models). Correct it."),
        ("databricks-uc", "got databricks-uc (a registry of models). Correct it."),
        ("foo:" + "x" * 500, "x… (504 characters) (a scheme that is not known). Correct it."),
        ("file:", "got file:, a path. Write sqlite:///{}/mlflow.db."),
        ("./runs", "got ./runs, a path. Write sqlite:///{}/runs/mlflow.db."),
        ("my.db", "got my.db, a path. Write sqlite:///{}/my.db."),
        (
            "kept",
            "a path. Write sqlite:///{}/kept/mlflow.db; `mlflow migrate-filestore` brings the runs of that folder into it.",
        ),
        ("://u:secret@h", "got ://u:***@h (a scheme that is not known). Correct it."),
        ("http:", "got http:, which is no address. Write http://HOST:PORT or https://HOST."),
    ],
)
def test_an_address_of_another_scheme_is_answered_in_our_own_words(
    uri: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept" / "0").mkdir(parents=True)
    (tmp_path / "kept" / "0" / "meta.yaml").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for existing in ("", "Train first"):
        with pytest.raises(StoreError) as caught:
            open_store(existing)
        told = str(caught.value)
        assert told.startswith("MLFLOW_TRACKING_URI must name a ")
        assert told.endswith(words.format(tmp_path))
        assert ("(" in told) == (")" in told)
        assert len(told) < 500


def test_the_driver_of_postgresql_is_the_extras_as_the_pages_have_it() -> None:
    from tests.conftest import PROJECT

    missing = ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
    told = str(opening.unusable("postgresql://u:secret@h/x", missing))
    assert told.endswith(
        "(no psycopg). Write postgresql+psycopg2://, and in the project's folder: pip install -e '.[postgres]'."
    )
    assert str(opening.unusable("postgresql+psycopg://h/x", missing)).endswith("pip install 'psycopg[binary]'.")
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    wrong = [path.name for path in pages if "`postgresql://…" in path.read_text(encoding="utf-8")]
    assert wrong == []


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MLFLOW_EXPERIMENT_ID", "999", f"must name an experiment by its id, got 999 (none of sqlite:///{{}}). {NEW}"),
        ("MLFLOW_EXPERIMENT_ID", "abc", f"must name an experiment by its id, got abc (none of sqlite:///{{}}). {NEW}"),
        ("MLFLOW_EXPERIMENT_ID", "9" * 600, f"9… (600 characters) (no id). {NEW}"),
        ("MLFLOW_RUN_ID", "nothing", f"must name a run by its id, got nothing (none of sqlite:///{{}}). {NEW}"),
        ("MLFLOW_RUN_ID", "../x", f"must name a run by its id, got ../x (no id). {NEW}"),
        ("MLFLOW_RUN_ID", "z" * 600, f"z… (600 characters) (no id). {NEW}"),
        ("MLFLOW_EXPERIMENT_NAME", "n" * 600, "of 600 characters. Set MLFLOW_EXPERIMENT_NAME to another."),
        ("MLFLOW_EXPERIMENT_NAME", "ü" * 100, "others than those of ASCII counted as they are quoted, got 'üüü"),
    ],
)
def test_the_variable_that_is_wrong_is_blamed_and_not_the_store(
    variable: str, value: str, words: str, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(store.client.search_experiments())
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv(variable, value)
    with pytest.raises(StoreError) as caught:
        open_store()
    told = str(caught.value)
    assert told.startswith(f"{variable} must ")
    assert words.format(store.uri.removeprefix("sqlite:///")) in told
    assert len(told) < 500
    assert len(store.client.search_experiments()) == before
    if variable == "MLFLOW_RUN_ID":  # and by who reads only, before the work and not behind it
        with pytest.raises(StoreError, match=r"MLFLOW_RUN_ID must name a run by its id"):
            open_store("Train first")
    else:
        open_store("Train first")


def test_what_is_deleted_is_named_by_its_variable(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    run = store.create("here", {"kind": "train"}).run_id
    gone = store.client.create_experiment("gone")
    store.client.delete_run(run)
    store.client.delete_experiment(gone)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", gone)
    with pytest.raises(
        StoreError, match=rf"^MLFLOW_EXPERIMENT_ID must name an active experiment, got {gone} \(deleted\)\. Restore"
    ):
        open_store()
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    with pytest.raises(
        StoreError, match=rf"^MLFLOW_RUN_ID must name a run that is not deleted, got {run}\. Unset it, or restore"
    ):
        open_store()


def test_a_variable_of_mlflows_that_it_cannot_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")
    error = ValueError("Failed to convert 'soon' for MLFLOW_HTTP_REQUEST_TIMEOUT: invalid literal for int()")
    assert str(opening.unusable("http://h", error)).startswith(
        "MLFLOW_HTTP_REQUEST_TIMEOUT must have a value that MLflow takes, got 'soon' ("
    )
    unset = MlflowException("x; set MLFLOW_TRACKING_AWS_SIGV4 or so")
    assert opening.wrong_variable(unset) is None
