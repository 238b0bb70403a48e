"""Why a store cannot be opened: its address, the server there, or a variable beside it; each is named with its next step."""

from __future__ import annotations

import os
import re
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException
from mlflow.utils.credentials import get_default_host_creds

from grok.store import sqlite
from grok.store.errors import PACKAGES, POSTGRES, StoreError, brief, masked, refused, step

HEALTH_S = 10
"""For a server to say that it is there."""
AUTHORITY, UNCHECKED, CLIENT = (f"MLFLOW_TRACKING_{name}" for name in ("SERVER_CERT_PATH", "INSECURE_TLS", "CLIENT_CERT_PATH"))
"""Variables that say by which certificates a server is checked, that it is not, and the client's own."""
WORKING = "sqlite:///, http://, https://, postgresql+psycopg2://, mysql+pymysql://, mssql+pyodbc://"
"""What a store's URI may begin with, besides what a plug-in of MLflow brings."""
SCHEME = re.compile(r"([A-Za-z][\w+.-]+):")
"""Of one letter it is a drive of Windows."""
MODELS_ONLY = ("uc", "databricks-uc")
"""Schemes of registries of models, which hold no runs."""
VARIABLE = re.compile(r"\bMLFLOW_[A-Z0-9_]+")
PARTS = re.compile(r"\[[^]]*\] ?|certificate verify failed: | ?\(_ssl\.c:\d+\)")
"""What OpenSSL says besides the reason."""
REASON = re.compile(r"SSL\w*Error\(\d+, (['\"])(.*?)\1\)")
SHOWN = 200
"""Characters of a value that are shown."""
FOLDER = 255
"""Bytes of a folder's name."""
NAME = 500
"""Characters of an experiment's name, by MLflow."""
ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)
NUMBER = re.compile(r"\d{19,}", re.ASCII)
"""More than the id of an experiment can be: it has a database fail, and a server be asked again and again."""
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers where there is none of an id."""


def shown(value: str) -> str:
    """A value for a line: without a password, and shortened."""
    text = masked(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def check_server(uri: str) -> None:
    """Ask a server whether it is there, with the certificates that MLflow itself will use.

    Raises:
        StoreError: if it does not answer, or one of the two cannot be checked by the other.
    """
    verify, own = _certificates() if uri.startswith("https:") else (True, None)
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=HEALTH_S, verify=verify, cert=own)
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise _tls(uri, error) if isinstance(error, requests.exceptions.SSLError) else _proxy(uri) from error
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise StoreError(
            f"MLFLOW_TRACKING_URI must name a server that answers, got {shown(uri)}, which is no address. "
            "Write http://HOST:PORT or https://HOST."
        ) from error
    except (OSError, ValueError) as error:
        cut_off = uri.startswith("http:") and "RemoteDisconnected" in str(error)
        what = "Write https:// if it speaks TLS, or start it: mlflow server" if cut_off else "Start it: mlflow server"
        told = f"MLFLOW_TRACKING_URI must name a server that answers, got {shown(uri)} ({type(error).__name__}). {what}."
        raise StoreError(told) from error


def hush() -> None:
    """Have no warning with each request where whoever runs this has chosen that servers go unchecked."""
    if os.environ.get(UNCHECKED, "").lower() in ("true", "1"):
        warnings.filterwarnings("ignore", "Unverified HTTPS request")


def _certificates() -> tuple[bool | str, str | None]:
    """How a server's certificate is checked, as requests take it, and the file of the client's own.

    Raises:
        StoreError: if a variable has a value that MLflow or OpenSSL cannot use.
    """
    authority, own = os.environ.get(AUTHORITY), os.environ.get(CLIENT)
    try:
        creds = get_default_host_creds("https://localhost")
    except MlflowException as error:
        raise StoreError(f"{AUTHORITY} must not be set together with {UNCHECKED}, got both. Unset one.") from error
    except ValueError as error:
        raise wrong_variable(error) or error from error
    hush()
    if authority is not None and not Path(authority).is_dir():
        _read(AUTHORITY, authority, "certificates in PEM form", lambda: ssl.create_default_context(cafile=authority))
    if own is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        what = "a key without a password and its certificate, in PEM form"
        _read(CLIENT, own, what, lambda: context.load_cert_chain(own, password=lambda: ""))
    return creds.verify, creds.client_cert_path


def _read(variable: str, path: str, what: str, read: Callable[[], object]) -> None:
    try:
        read()
    except (OSError, ValueError) as error:
        why = "no such file" if not Path(path).exists() else _reason(error)
        raise StoreError(f"{variable} must name a file of {what}, got {shown(path)} ({why}). Name that file.") from error


def _reason(error: Exception) -> str:
    """What OpenSSL says, without its numbers and places."""
    found = REASON.search(str(error))
    text = found[2] if found else str(getattr(error, "strerror", None) or error)
    return brief(PARTS.sub("", text).strip() or "it cannot be read", 160)


def _tls(uri: str, error: Exception) -> StoreError:
    """Why a connection by TLS was not made."""
    text, why, authority = str(error), _reason(error), os.environ.get(AUTHORITY)
    rule = "a server whose certificate can be checked"
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text or "RECORD_LAYER" in text:
        rule, what = "a server that speaks TLS where it begins with https", "Write http:// if it speaks none"
    elif "CERTIFICATE_VERIFY_FAILED" not in text:  # it hung up, with a word or without
        rule = "a server that lets this client connect by TLS"
        what = f"If it asks for a certificate, set {CLIENT} to a file of a key and one that it trusts"
    elif "mismatch" in text:
        what = "Use a name that its certificate has"
    elif "expired" in text or "not yet valid" in text:
        what = "Have its certificate renewed, and look at the clock here"
    elif authority is not None:
        what = f"Set {AUTHORITY} to the file of the authority that signed it, not {shown(authority)}"
    else:
        what = f"Set {AUTHORITY} to the file of the authority that signed it"
    return StoreError(f"MLFLOW_TRACKING_URI must name {rule}, got {shown(uri)} ({why}). {what}.")


def _proxy(uri: str) -> StoreError:
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY") if os.environ.get(name)]
    name = next((name for name in names if name.lower().startswith(uri.partition(":")[0])), (names or ["HTTP_PROXY"])[-1])
    told = f"{name} must name a proxy that answers, got {shown(os.environ.get(name, ''))} on the way to {shown(uri)}"
    return StoreError(f"{told}. Correct it, or have NO_PROXY name the server.")


def unusable(uri: str, error: Exception) -> StoreError:
    """Why a store cannot be opened, from what a backend raised."""
    missing = next((e for e in (error, error.__cause__) if isinstance(e, ModuleNotFoundError)), None)
    scheme, got = found[1].lower() if (found := SCHEME.match(uri)) else "", shown(uri)
    models = bool({scheme, uri} & {*MODELS_ONLY})
    if missing is not None:
        name = (missing.name or "a package").partition(".")[0]
        what, next_step = f"a store whose package is installed, got {got} (no {name})", _install(uri, name)
    elif models or isinstance(error, UnsupportedModelRegistryStoreURIException) or (not scheme and "://" in uri):
        kind = "a registry of models" if models else "a scheme that is not known"
        what = f"a store by one of {WORKING}, got {got} ({kind})"
        next_step = "Write postgresql+psycopg2://" if scheme == "postgres" else "Correct it"
    elif uri.startswith("databricks"):
        what = f"a usable store, got {got} (no workspace that answers)"
        next_step = "pip install 'mlflow[databricks]' and log in"
    elif scheme in ("", "file"):
        what, next_step = f"a database or a server, got {got}, a path", _database_of(uri)
    elif "Invalid Host header" in str(error):
        what, next_step = f"a server by a name that it knows, got {got}", "Start it with --allowed-hosts and that name"
    elif "HTTP request" in str(error) and "HTTPS" in str(error):  # as proxies put it
        what, next_step = f"a server by the way that it speaks, got {got}, which speaks TLS", "Write https://"
    elif code := refused(error):
        what = f"a server that lets you in, got {got} ({code})"
        next_step = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask for the right"
    elif (wrong := wrong_variable(error)) is not None:
        return wrong
    else:
        what, next_step = f"a usable store, got {got} ({brief(error, 240)})", step(error) or "Check it"
    return StoreError(f"MLFLOW_TRACKING_URI must name {what}. {next_step}.")


def _install(uri: str, name: str) -> str:
    """How a store gets the package that it lacks."""
    if name == "psycopg2" or (name == "psycopg" and not uri.startswith("postgresql+psycopg:")):
        return POSTGRES
    return f"pip install {PACKAGES[name]}" if name in PACKAGES else f"Install what has {name}, or name another store"


def _database_of(uri: str) -> str:
    """How a path is written that is to be a database, or in which one is to be."""
    path = Path(re.sub(r"^file:(//)?", "", uri) or ".").absolute()
    file = path if path.suffix in (".db", ".sqlite", ".sqlite3") or path.is_file() else path / "mlflow.db"
    there = (path / "meta.yaml").exists() or any(path.glob("*/meta.yaml"))
    brought = "; `mlflow migrate-filestore` brings the runs of that folder into it" if there else ""
    return f"Write {shown(sqlite.uri_of(file))}{brought}"


def wrong_variable(error: Exception) -> StoreError | None:
    """A refusal of the variable whose value MLflow cannot use, where an error names one that is set."""
    names = [name for name in VARIABLE.findall(str(error)) if name in os.environ and name != "MLFLOW_TRACKING_URI"]
    if not names or not isinstance(error, ValueError | MlflowException):
        return None
    return StoreError(
        f"{names[0]} must have a value that MLflow takes, got {shown(os.environ[names[0]])!r} ({brief(str(error), 160)}). "
        "Correct or unset it."
    )


def check_name(name: str, local: bool) -> None:
    """Refuse a name that an experiment, or the folder of its files, cannot have.

    Args:
        name: of an experiment that is to be made. local: whether its files are beside a database.

    Raises:
        StoreError: if so.
    """
    what, value = "", f"got {name[:80]!r}" + (f" of {len(name)} characters" if len(name) > 80 else "")
    if not name.isprintable() or not name.strip(". "):
        what = "be a printable name with more in it than dots"
    elif len(name) > NAME:
        what = f"be a name of at most {NAME} characters"
    elif local and len(quote(name, safe=" ")) > FOLDER:
        what = f"be the name of a folder, at most {FOLDER} letters, others than those of ASCII counted as they are quoted"
    if what:
        raise StoreError(f"{_namer(name)} must {what}, {value}. Set MLFLOW_EXPERIMENT_NAME to another.")


def deleted(experiment: Any, variable: str = "") -> StoreError:
    """Why a deleted experiment gets no run.

    Args:
        experiment: MLflow's. variable: that names it; empty where that is told by its name.
    """
    by, one = variable or _namer(experiment.name), experiment.experiment_id
    return StoreError(
        f"{by} must name an active experiment, got {shown(one if variable else experiment.name)} (deleted). "
        f"Restore it: `mlflow experiments restore --experiment-id {one}`, or name another with MLFLOW_EXPERIMENT_NAME."
    )


def _namer(name: str) -> str:
    """What has named an experiment."""
    return "MLFLOW_EXPERIMENT_NAME" if os.environ.get("MLFLOW_EXPERIMENT_NAME") == name else "experiment"


def experiment_of_run(client: mlflow.MlflowClient, run_id: str) -> str:
    """The id of the experiment of the run that `MLFLOW_RUN_ID` names.

    Raises:
        StoreError: if there is no such run, or it is deleted.
    """
    info = _asked("MLFLOW_RUN_ID", run_id, "run", client.get_run).info
    if info.lifecycle_stage != "active":
        told = f"MLFLOW_RUN_ID must name a run that is not deleted, got {run_id}"
        raise StoreError(f"{told}. Unset it, or restore the run: `mlflow runs restore --run-id {run_id}`.")
    return str(info.experiment_id)


def experiment_by_id(client: mlflow.MlflowClient, experiment_id: str) -> Any:
    """The experiment that `MLFLOW_EXPERIMENT_ID` names.

    Raises:
        StoreError: if there is none, or it is deleted.
    """
    found = _asked("MLFLOW_EXPERIMENT_ID", experiment_id, "experiment", client.get_experiment)
    if found.lifecycle_stage != "active":
        raise deleted(found, "MLFLOW_EXPERIMENT_ID")
    return found


def _asked(variable: str, value: str, kind: str, ask: Callable[[str], Any]) -> Any:
    """What a variable names by its id."""
    try:
        if ID.fullmatch(value) and not (kind == "experiment" and NUMBER.fullmatch(value)):
            return ask(value)
        why = "no id"
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        why = f"none of {shown(mlflow.get_tracking_uri())}"
    raise StoreError(
        f"{variable} must name {'an' if kind[0] in 'aeiou' else 'a'} {kind} by its id, got {shown(value)} ({why}). "
        "Unset it, or look the id up with `mlflow ui`."
    )
