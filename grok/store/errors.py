"""What the store refuses, each in one line with the rule, the value and the next step; and how an error of somebody else's is
told in one line, without a password.
"""

from __future__ import annotations

import errno
import os
import re

CREDENTIALS = re.compile(r"(?<=://)([^\s/@:'\"]*):(\S*)@")
"""`user:password@` behind the scheme of a URI. SQLAlchemy takes slashes, quotes and colons in a password; too much is masked
rather than too little."""
SECRET = re.compile(r"(?i)([?&;](?:[a-z_]*pass(?:word|wd)?|token|sslkey)=)[^\s&;'\"]+")
"""A password among the options of a URI."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables of the environment whose values nobody is to read."""
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
LOCKED_DATABASE = ("attempt to write a readonly database", "unable to open database file", "disk I/O error")


class StoreError(RuntimeError):
    """The tracking store, or a run in it, cannot be used; one line with the rule, the value and the next step."""

    exit_status = 2

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class BusyError(StoreError):
    """A living process is training this run now."""


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
    return SECRET.sub(r"\1***", CREDENTIALS.sub(r"\1:***@", text)) if "://" in text or "=" in text else text


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
    if any(words in text for words in FULL_DATABASE):
        return f"the store's database must have room, got: {text}. Make room, then repeat the command"
    if any(words in text for words in LOCKED_DATABASE):
        return f"the store's database must be writable, got: {text}. Make its folder writable, then repeat the command"
    return text
