"""What the store refuses, each in one line with the rule, the value and the next step; and how an error of somebody else's is
told in one line, without a password.
"""

from __future__ import annotations

import errno
import os
import re

USER = re.compile(r"://[^\s/@:\[]*?(?::|%3A)", re.IGNORECASE)
"""What stands before the password of a URI: `://user:`."""
PORT = re.compile(r"\d{1,5}(?![^\s/?#,;)'\"])")
"""What stands there where the user is a host."""
SPACED = 256
"""Characters within which a password that has spaces in it must end by its `@`."""
LONE = re.compile(r"(?<=://)[^\s/@:?#]{20,}(?=@)")
"""A user without a password who is as long as a token."""
NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|(?:access|auth|id|refresh|session|security|sas)?[_-]?token|(?:client|app)?[_-]?secret"
    r"|(?:api|access|secret|private|account|shared|shared[_-]?access|subscription|ssl|storage|encryption)[_-]?key"
    r"|credentials?|signature"
)
"""What a password is called among options."""
SECRET = re.compile(
    rf"""((?:{NAMES})(?:=|%3D|['"]\s?:\s?)|[?&;](?:key|sig)=|authorization['"]?\s?[:=]\s?['"]?(?:basic|bearer|token)\s)"""
    r"""(?:\{[^}\s]*\}|'[^']{0,256}'|"[^"]{0,256}"|(?:(?!%3B|%26)[^\s&;'"])+)""",
    re.IGNORECASE,
)
"""A password among options: of a URI, of a connection's keywords, percent-encoded or as a header."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables of the environment whose values nobody is to read."""
PACKAGES = {
    "boto3": "boto3",
    "botocore": "boto3",
    "google": "google-cloud-storage",
    "azure": "azure-storage-blob azure-identity",
    "databricks": "'mlflow[databricks]'",
    "psycopg": "'psycopg[binary]'",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "pyodbc": "pyodbc",
}
"""What to install for a store or a place of files, by the package that it lacks; no extra of the project has these."""
SPACE = re.compile(r"\s")
LONGEST = 400
"""Characters of somebody else's words."""
NO_ROOM = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room within the quota",
    errno.EFBIG: "Raise the limit of a file's size",
    errno.EROFS: "Make it writable",
    errno.EACCES: "Make it writable",
    errno.EPERM: "Make it writable",
}
"""What to do about an error of the disk, by its number."""
FULL_DATABASE = ("database or disk is full", "could not extend file", "No space left on device")
REFUSED = re.compile(r"error code (40[13])\b|\b(40[13]) Client Error")
"""What MLflow and requests say of a server that does not know who asks, or does not let them."""
LOCKED_DATABASE = ("attempt to write a readonly database", "unable to open database file", "disk I/O error")


class StoreError(RuntimeError):
    """The tracking store, or a run in it, cannot be used; one line with the rule, the value and the next step."""

    exit_status = 2

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class BusyError(StoreError):
    """A living process is training this run now."""


class AstrayError(StoreError):
    """The files of a run are said to be at a place that is not its own."""


class LeftOutError(StoreError):
    """A run came from a bundle without what is asked for."""


class TakenOverError(StoreError):
    """Another process trains these runs now: whoever meets this leaves them as they are."""

    exit_status = 1

    def __init__(self, run_ids: list[str]) -> None:
        super().__init__(f"run must be trained by one process, got {', '.join(run_ids)}, which another took over. Wait for it.")
        self.run_ids = run_ids

    def __reduce__(self) -> tuple[type[TakenOverError], tuple[list[str]]]:
        return type(self), (self.run_ids,)


def masked(text: str) -> str:
    """A text without the passwords of the URIs in it, and without those that the environment holds."""
    for name in SECRETS:
        if len(secret := os.environ.get(name, "")) >= 4:
            text = text.replace(secret, "***")
    if "://" in text:
        text = LONE.sub("***", _without_credentials(text))
    return SECRET.sub(r"\1***", text)


def _without_credentials(text: str) -> str:
    """A text without what stands between `://user:` and `@`; linear in its length.

    SQLAlchemy takes slashes, quotes and colons in a password, and a person spaces; too much is masked rather than too little:
    up to the last `@` of the word in which it begins, or to the next within `SPACED` characters where that word has none.
    """
    parts, done = [], 0
    while found := USER.search(text, done):
        start = found.end()
        space = SPACE.search(text, start)
        word = space.start() if space else len(text)
        end = text.rfind("@", start, word)
        if end < 0 and not PORT.match(text, start):
            near = text.find("@", word, start + SPACED)
            space = SPACE.search(text, near) if near >= 0 else None
            end = text.rfind("@", near, space.start() if space else len(text)) if near >= 0 else -1
        parts += [text[done:start], "***" if end >= 0 else text[start:word]]
        done = end if end >= 0 else word
    return "".join([*parts, text[done:]])


def refused(text: object) -> str:
    """401 or 403, where an error says that a server does not let us; empty else."""
    found = REFUSED.search(str(text))
    return (found[1] or found[2]) if found else ""


def one_line(error: BaseException | object) -> str:
    """What an error says, for a person: one line, no statement of SQL, no password, and what to do where that is known."""
    text = str(error)
    for mark in ("[SQL:", "(Background on this error", "[parameters:", "\nTraceback"):
        text = text.partition(mark)[0]
    text = masked(" ".join(text.split())) or type(error).__name__
    if len(text) > LONGEST and not isinstance(error, StoreError | ValueError):
        text = f"{text[:LONGEST]} …"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{text}. {NO_ROOM[error.errno]}, then repeat the command"
    if (code := refused(text)) and not isinstance(error, StoreError):
        return f"the server must let you do this, got {code}: {text}. Ask for the right, or use an experiment of your own"
    if any(words in text for words in FULL_DATABASE):
        return f"the store's database must have room, got: {text}. Make room, then repeat the command"
    if any(words in text for words in LOCKED_DATABASE):
        return f"the store's database must be writable, got: {text}. Make its folder writable, then repeat the command"
    return text
