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
POSTGRES = "Write postgresql+psycopg2://, and in the project's folder: pip install -e '.[postgres]'"
"""What to do where a driver of PostgreSQL is missing: the extra has one, which `postgresql://` alone does not ask for."""
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
REFUSED = re.compile(r"error code (40[13])\b|\b(40[13]) Client Error")
"""What MLflow and requests say of a server that does not know who asks, or does not let them."""
DATABASE = (
    (
        re.compile(r"database or disk is full|could not \w+ .{0,200}No space left on device|\bDiskFull\b|\(1114, "),
        "have room",
        "Make room",
    ),
    (
        re.compile(r"\bdisk I/O error"),
        "be readable and writable to its end",
        "Make room, raise the limit of a file's size (ulimit -f), or look at the disk",
    ),
    (
        re.compile(r"attempt to write a readonly database|unable to open database file"),
        "be writable",
        "Make it and its folder writable",
    ),
    (re.compile(r"database disk image is malformed"), "be whole", "Put a copy of it back"),
    (re.compile(r"\(sqlite3\.OperationalError\) database is locked"), "be free within a while", "Wait for who writes it"),
)
"""What databases say, the rule that this breaks, and what to do."""
ASIDE = re.compile(r"\(raised as a result of Query-invoked autoflush;[^()]*(?:\([^()]*\)[^()]*)*\)\s*")
"""SQLAlchemy's advice to whoever writes the program."""


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


def database() -> str:
    """The store's database for a person: its file, or its URI without a password; empty where none is named yet."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return masked(uri).removeprefix("sqlite:///")


def brief(error: BaseException | object, longest: int = LONGEST) -> str:
    """What an error says, in one line: no statement of SQL, no password, no advice. It is cut between words.

    Args:
        error: or a text. longest: characters of somebody else's words.
    """
    text = str(error)
    for mark in ("[SQL:", "(Background on this error", "[parameters:", "\nTraceback"):
        text = text.partition(mark)[0]
    text = masked(" ".join(ASIDE.sub("", text).split())) or type(error).__name__
    if len(text) > longest and not isinstance(error, StoreError | ValueError):
        return f"{text[:longest].rpartition(' ')[0] or text[:longest]} …"
    return text


def step(error: BaseException | object) -> str:
    """What is to be done about an error of a disk, a server or a database, for the end of a line; empty where nobody knows.

    A text is a line that somebody has finished already, and so is what this project refuses.
    """
    if isinstance(error, str | StoreError):
        return ""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return NO_ROOM[error.errno]
    if refused(error):
        return "Ask for the right, or use an experiment of your own"
    return next((what for words, _, what in DATABASE if words.search(str(error))), "")


def one_line(error: BaseException | object) -> str:
    """What an error says, for a person: `brief`, with the rule and what to do where that is known."""
    text, what = brief(error), step(error)
    if not what:
        return text
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{text}. {what}, then repeat the command"
    if code := refused(error):
        return f"the server must let you do this, got {code}: {text}. {what}"
    rule, name = next(rule for words, rule, _ in DATABASE if words.search(str(error))), database()
    return f"the store's database{name and f' {name}'} must {rule}, got: {text}. {what}, then repeat the command"
