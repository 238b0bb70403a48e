"""How a command that runs a study and its workers, on whatever machine, agree to stop: by a tag on the parent run; and how a
worker notices that another has taken its run over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

from grok.store import lease as run_claims
from grok.store import store as tracking
from grok.store.store import Store
from grok.store.tags import PREFIX

POLL_S = 5.0
"""How often a worker looks whether the study was asked to stop."""
CLAIM_S = 30.0
"""How often it looks whether its runs are its own still."""
STOP_TAG = f"{PREFIX}stop."


class Poll:
    """A worker's `should_stop`: the command's stop tag, looked at now and then; the death of its process; a SIGTERM."""

    def __init__(self, store: Store, payload: dict[str, Any]) -> None:
        self.store, self.parent_run, self.tag = store, payload["parent"], STOP_TAG + payload["session"]
        self.parent_pid = payload["parent_pid"]
        self.held: Sequence[run_claims.Claim] = ()
        self.stopped, self.next_look, self.next_check = False, 0.0, 0.0
        if self.parent_pid and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)  # a process of its own, which a service manager may stop with the rest

    def __call__(self) -> bool:
        """Whether to save and stop. What the store does not answer stays as it was, until the next look.

        Raises:
            TakenOverError: if a run of `held` is another process's now.
        """
        try:
            self._look()
        except Exception as error:  # not lost for this are the epochs since the last save: if it is really gone, the next fails
            if isinstance(error, tracking.TakenOverError):
                raise
        return self.stopped

    def confirm(self) -> None:
        """Make sure, before something is written, that the runs of `held` are this process's still.

        Raises:
            TakenOverError: if one is not.
        """
        run_claims.check(self.store, self.held)

    def _look(self) -> None:
        if self.held and time.monotonic() >= self.next_check:
            self.next_check = time.monotonic() + CLAIM_S
            run_claims.check(self.store, self.held)
        if not self.stopped and time.monotonic() >= self.next_look:
            self.next_look = time.monotonic() + POLL_S
            orphaned = self.parent_pid not in (0, os.getpid()) and os.getppid() != self.parent_pid
            self.stopped = orphaned or self.tag in self.store.get(self.parent_run).data.tags

    def _stop(self, number: int, frame: types.FrameType | None) -> None:
        self.stopped = True


class StopSignal:
    """Watches `should_stop` in the parent and tells the workers by a tag of this command's own; it goes when they are done.

    Where an exception ends the command first, a second Ctrl-C perhaps, it stays: workers elsewhere have yet to see it.
    """

    def __init__(self, parent: tracking.TrackedRun, session: str, should_stop: Callable[[], bool]) -> None:
        self.parent, self.tag, self.should_stop = parent, STOP_TAG + session, should_stop
        self.asked = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.asked and kind is None:
            self.parent.client.delete_tag(self.parent.run_id, self.tag)

    def _watch(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(0.5)  # and a last look then: two Ctrl-C can come at once
            if self.should_stop():
                with contextlib.suppress(Exception):  # the store is away: ask again
                    self.parent.set_tags({self.tag: f"{time.time():.0f}"})
                    self.asked = True
                    return
