"""What the store refuses, each in one line with the rule, the value and the next step."""

from __future__ import annotations


class StoreError(RuntimeError):
    """The tracking store, or a run in it, cannot be used; one line with the rule, the value and the next step."""

    exit_status = 2


class BusyError(StoreError):
    """A living process is training this run now."""


class TakenOverError(StoreError):
    """Another process trains these runs now: whoever meets this leaves them as they are."""

    def __init__(self, run_ids: list[str]) -> None:
        super().__init__(f"run must be trained by one process, got {', '.join(run_ids)}, which another took over. Wait for it.")
        self.run_ids = run_ids
