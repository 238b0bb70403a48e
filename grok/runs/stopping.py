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

from grok.store import lease
from grok.store.errors import TakenOverError
from grok.store.lease import Lease
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import STOP, tag

POLL_S = 5.0
"""How often a worker looks whether the study was asked to stop."""
LEASE_S = 30.0
"""How often it looks whether its runs are its own still."""


class Holder:
    """Looks now and then whether the runs that a process trains are its own still.

    Args:
        store: of the runs. held: their leases. should_stop: whether to save and stop.
    """

    def __init__(self, store: Store, held: Sequence[Lease] = (), should_stop: Callable[[], bool] = lambda: False) -> None:
        self.store, self.held, self.should_stop = store, held, should_stop
        self.next_check = 0.0

    def __call__(self) -> bool:
        """Whether to save and stop. What the store does not answer stays as it was, until the next look.

        Raises:
            TakenOverError: if a run of `held` is another process's now.
        """
        try:
            self._look()
        except Exception as error:  # not lost for this are the epochs since the last save: if it is really gone, the next fails
            if isinstance(error, TakenOverError):
                raise
        return self.should_stop()

    def confirm(self) -> None:
        """Make sure, before something is written, that the runs of `held` are this process's still.

        Raises:
            TakenOverError: if one is not.
        """
        lease.check(self.store, self.held)

    def _look(self) -> None:
        if self.held and time.monotonic() >= self.next_check:
            self.next_check = time.monotonic() + LEASE_S
            lease.check(self.store, self.held)


class Poll(Holder):
    """A worker's `should_stop`: the command's stop tag, looked at now and then; the death of its process; a SIGTERM.

    Args:
        store: of the runs. parent: id of the study's run.
        session: of the command. parent_pid: of its process, where the worker is to end with it; 0 elsewhere.
    """

    def __init__(self, store: Store, parent: str, session: str, parent_pid: int = 0) -> None:
        super().__init__(store, (), lambda: self.stopped)
        self.parent, self.session, self.parent_pid = parent, session, parent_pid
        self.stopped, self.next_look = False, 0.0
        if self.parent_pid and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)  # a process of its own, which a service manager may stop with the rest

    def _look(self) -> None:
        super()._look()
        if not self.stopped and time.monotonic() >= self.next_look:
            self.next_look = time.monotonic() + POLL_S
            orphaned = self.parent_pid not in (0, os.getpid()) and os.getppid() != self.parent_pid
            self.stopped = orphaned or self.store.get(self.parent).stop_asked(self.session)

    def _stop(self, number: int, frame: types.FrameType | None) -> None:
        self.stopped = True


class StopSignal:
    """Watches `should_stop` in the parent and tells the workers by a tag of this command's own; it goes when they are done.

    Where an exception ends the command first, a second Ctrl-C perhaps, it stays: workers elsewhere have yet to see it.
    """

    def __init__(self, parent: TrackedRun, session: str, should_stop: Callable[[], bool]) -> None:
        self.parent, self.tag, self.should_stop = parent, tag(STOP + session), should_stop
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
