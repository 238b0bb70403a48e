"""SpectralMonitor: the spectrum of anyone's weight updates, with alarms, in anyone's training loop.

Weights are read after the real step. So gradient accumulation, clipping, loss scaling, schedulers and closures need nothing,
and no module has a hook: what compiles, pickles or copies a model sees no monitor.
"""

from __future__ import annotations

import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch.optim import Optimizer

from grok.monitor import backward, budget, checks, matrices
from grok.monitor.changed import Model, grown
from grok.monitor.clock import Clock
from grok.monitor.copies import mark, monitors, unmark, unwrapped
from grok.monitor.events import Calibration, Event
from grok.monitor.guard import Guard, MonitorWarning, close_all, hook, told
from grok.monitor.keeping import EVENTS
from grok.monitor.rules import DEFAULT, Watch
from grok.monitor.selection import Blocks, Parameters, select
from grok.monitor.series import SIGNALS, weight_signals
from grok.monitor.sinks import Sink
from grok.monitor.sums import ShardsError
from grok.monitor.telling import LOG, Telling
from grok.monitor.track import Settings
from grok.monitor.windows import checked
from grok.numerics.sketch import sketch_error
from grok.spec.fields import refuse


class SpectralMonitor(Telling):
    """The rolling spectrum of a model's updates, its gaps and signals, and alarms from them.

        monitor = SpectralMonitor(model)
        monitor.attach(optimizer)
        ...  # your training
        print(monitor.events, monitor.eigenvalues()[-1])

    Args:
        model: that is trained, or its parameters: tensors, by name or not.
        window: w ≥ 2, updates in the rolling window.
        max_window: lags kept, ≥ window; `eigenvalues` may ask for any window up to it. Default: window.
        blocks: `all`, `layer`, or regular expressions by the block's name, searched for in parameter names.
        every: steps in an update: the weights are read at every so many real steps.
        batch: updates whose products are taken together; more cost less, and rows and alarms come up to batch − 1 updates late.
        history: updates of which rows are kept.
        signals: names of signals that need no more than the weights; `module:NAME` for your own. Those that read matrices
            themselves, such as `effective_rank_w`, want blocks of one (or of two in a chain).
        watches: rules that give alarms.
        memory_gb: what may be kept, and taken while a sketch is made, GiB. Above it the largest blocks are sketched, or all is
            refused.
        sketch: `auto` for a count sketch where memory_gb asks for it, `count` or `srht` for each block, `never`.
        sketch_width: m, numbers of a sketch. seed: of the sketch.
        sinks: where rows and events go. on_event: called with each event.
        strict: whether an internal error is raised; otherwise it turns the monitor off with one warning.

    Attributes:
        events: what happened, the last 1000.
        left_out: the reason, by the name of each parameter that is not read.
        off: why the monitor is off; None while it is on.
        sketched: the relative error of the eigenvalues, by the name of each block of which a sketch is kept.

    Raises:
        ConfigError: if an argument breaks its rule, nothing is left to read, or it would take more memory than it may.

    Source: Xu (arXiv 2605.08119) for the window's spectrum and the slope rule.
    """

    def __init__(
        self,
        model: Parameters,
        window: int = 20,
        *,
        max_window: int | None = None,
        blocks: Blocks = "all",
        every: int = 1,
        batch: int = 1,
        history: int = 4096,
        signals: Iterable[str] = SIGNALS,
        watches: Iterable[Watch] = DEFAULT,
        memory_gb: float = 2.0,
        sketch: str = "auto",
        sketch_width: int = 1 << 17,
        seed: int = 0,
        sinks: Iterable[Sink] = (),
        on_event: Callable[[Event], Any] | None = None,
        strict: bool = False,
    ) -> None:
        window, lags = checked(window, max_window)
        every, batch, history = (
            checks.whole(name, value, 1) for name, value in (("every", every), ("batch", batch), ("history", history))
        )
        sketch_width, seed = checks.whole("sketch_width", sketch_width, 1), checks.whole("seed", seed, 0, "Take one from 0 on")
        memory_gb = checks.positive("memory_gb", memory_gb)
        self.selection = select(model, blocks)
        self.left_out = dict(self.selection.left_out)
        columns = weight_signals(tuple(signals))
        self.watches = checks.rules(watches)
        for watch in self.watches:
            if watch.signal not in columns:
                refuse("signal of a watch", f"be one of {', '.join(columns)}", watch.signal, "Name it in signals")
            if watch.block is not None and watch.block not in self.selection.blocks:
                refuse("block of a watch", f"be one of {', '.join(self.selection.blocks)}", watch.block, "Name it in blocks")
        plan = budget.plan(self.selection, lags, batch, history, len(columns), memory_gb, sketch, sketch_width)
        self.memory, self.moment = plan.bytes + matrices.check(columns, self.selection), plan.moment
        self.sketched = {block: sketch_error(window, sketch_width) for block in sorted(plan.sketched)}
        kind = "count" if sketch in ("auto", "never") else sketch
        self.settings = Settings(
            window, lags, every, batch, history, columns, self.watches, plan.sketched, kind, sketch_width, seed
        )
        self.sinks, self.on_event, self.strict = checks.outlets(sinks), checks.function("on_event", on_event), strict
        self._model = Model(model)
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.calibrations: dict[tuple[str, str], Calibration] = {}
        self.off: str | None = None
        self._clocks: dict[str, Clock] = {}
        self._attached: dict[str, tuple[Optimizer, Callable[[], int] | None, list[Any]]] = {}
        self._named = False
        weakref.finalize(self, close_all, self.sinks)  # rows that wait are written where nobody detaches
        LOG.info("%s", self)
        unread = [f"{name} ({why})" for name, why in self.left_out.items() if not why.startswith("tied")]
        if unread:
            LOG.warning(
                "SpectralMonitor reads %d parameters and leaves out %s", len(self.selection.parameters), ", ".join(unread)
            )

    # attaching

    def attach(self, optimizer: Optimizer, name: str = "", step: Callable[[], int] | None = None) -> Self:
        """Read the weights after each real step of an optimiser.

        Args:
            optimizer: of torch, or one that wraps it. Several may be attached, each with its own count of updates.
            name: put before the names of its blocks; must differ between optimisers.
            step: gives the user's step for a row; without, the optimiser's real steps are counted.

        Raises:
            ConfigError: if it is none of torch's, has none of the parameters, steps in backward, or the name is taken.
        """
        inner = unwrapped(optimizer)
        checks.function("step", step)
        if any(inner is attached for attached, _, _ in self._attached.values()):
            refuse("optimizer", "be attached once", f"{type(inner).__name__} again", "Detach first")
        if name in self._attached:
            refuse("name", "differ between optimizers", repr(name), "Give another, such as name='generator'")
        wanted = [p for group in inner.param_groups for p in group["params"]]
        backward.check(self.selection.parameters)
        selection = self.selection.of(wanted)
        if not selection.blocks:
            refuse(
                "optimizer", "have parameters of the model", "none", "Pass the optimizer that trains the model of this monitor"
            )
        for other, clock in self._clocks.items():
            shared = [n for n in clock.selection.parameters if n in selection.parameters]
            if other != name and shared:
                refuse("optimizers", "share no parameter", f"{shared[0]} of {other or 'the first'}", "Attach one of them")
        if name in self._clocks and self._clocks[name].selection.blocks != selection.blocks:
            refuse("optimizer", "have the parameters that it had", f"others for {name or 'the only one'}", "Make a new monitor")
        self._clock(name, selection)
        told_of = grown(inner, selection.parameters, self.selection.frozen)
        pre = inner.register_step_pre_hook(hook(self, name, "_before"))
        post = inner.register_step_post_hook(hook(self, name, "_after"))
        self._attached[name] = (inner, step, [pre, post, inner.register_step_post_hook(told_of)])
        mark(inner)
        if monitors(inner) > 1:
            line = "%s is read by %d monitor(s) already, whose memory is kept: detach() those, unless all are meant"
            LOG.warning(line, type(inner).__name__, monitors(inner) - 1)
        return self

    def detach(self) -> None:
        """Take the hooks away and close the sinks; what was seen stays, and `attach` goes on.

        Rows of a batch that is not complete come now. Steps that nobody sees are no update: the next one is from the weights
        before the first step after `attach`. An optimiser of which no update was seen is told.
        """
        self._leave(True)

    def _leave(self, telling: bool) -> None:
        kinds = {name: type(optimizer).__name__ for name, (optimizer, _, _) in self._attached.items()}
        for optimizer, _, handles in self._attached.values():
            for handle in handles:
                handle.remove()
            unmark(optimizer)
        self._attached.clear()
        for name in kinds if self.off is None else ():
            with Guard(self), torch.no_grad():
                self._take(self._clocks[name].flush())
                self._clocks[name].pause()
        for sink in list(self.sinks):
            self._to_sink(sink, sink.close)
        if telling and self.off is None and kinds:
            self._tell_unseen(kinds)

    def _tell_unseen(self, kinds: dict[str, str]) -> None:
        """Warn of optimisers of which no update was seen, of updates that wait, and of a model with other parameters."""
        for name, kind in kinds.items():
            clock = self._clocks[name]
            if clock.waiting:
                line = f"{clock.waiting} update(s) of {kind} wait for their batch: parameters are sharded. Take batch=1."
                warnings.warn(line, MonitorWarning, stacklevel=4)
            elif clock.steps < self.settings.every:
                seen = f"{clock.steps} step(s) seen, {clock.skipped} skipped, every {self.settings.every}"
                line = f"No update of {kind} was seen: {seen}. Its own step() has to be called while it is attached."
                warnings.warn(line, MonitorWarning, stacklevel=4)
        self._look()
        self._tell_unresolved()

    def _look(self) -> None:
        if not self.sharded:
            self._model.look(self.selection.parameters)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._leave(kind is None)

    def update(self, step: int | None = None) -> None:
        """Read the weights in a loop that attaches no optimiser: once before the first step, then after each.

        A call that finds every weight as it was counts as a skipped step and does not enter the window.

        Args:
            step: the user's count, for the row; without, updates are counted.
        """
        if self.off is not None:
            return
        if self._attached:
            refuse("update", "be called where no optimizer is attached", f"{len(self._attached)} attached", "Leave it out")
        with Guard(self):
            clock = self._clock("", self.selection)
            clock.expected = None  # a step has been taken since the state was saved
            if not clock.started:
                clock.start()
            elif clock.paused is not None:  # an optimiser was attached before
                clock.go_on()
            else:
                self._take(clock.step(step, look=True))

    # internals

    def _clock(self, name: str, selection: Any) -> Clock:
        if name not in self._clocks:
            with torch.inference_mode(False):  # what is kept is written to outside it too
                self._clocks[name] = Clock(name, selection, self.settings)
        return self._clocks[name]

    def _before(self, name: str, optimizer: Optimizer) -> None:
        """The step pre-hook: the weights before the first step."""
        with Guard(self):
            backward.check_now()
            clock = self._clocks[name]
            if not clock.started:
                clock.start()
                self._name_unattached()
            elif clock.expected is not None and not clock.as_loaded():
                line = "The weights are not those of the monitor's state, so that the next update begins at them. Load both."
                warnings.warn(line, MonitorWarning, stacklevel=2)
            elif clock.paused is not None:
                clock.go_on()

    def _after(self, name: str, optimizer: Optimizer) -> None:
        """The step post-hook."""
        clock = self._clocks[name]
        with Guard(self):
            found = getattr(optimizer, "found_inf", None)  # GradScaler sets it for the step of a fused optimiser
            if found is not None and float(found) > 0:
                clock.skipped += 1
                return
            count = self._attached[name][1]
            self._take(clock.step(None if count is None else count()))

    def _name_unattached(self) -> None:
        """Name, once, what no attached optimiser trains."""
        if self._named:
            return
        self._named = True
        read = {n for clock in self._clocks.values() for n in clock.selection.parameters}
        other = [n for n in self.selection.parameters if n not in read]
        if other:
            self.left_out |= dict.fromkeys(other, "in no attached optimizer")
            LOG.warning("SpectralMonitor leaves out %s: in no attached optimizer", ", ".join(other))

    def _fail(self, error: BaseException) -> None:
        waited = [clock for clock in self._clocks.values() if clock.sharded]
        if waited and not isinstance(error, ShardsError):
            for clock in waited:  # the other processes are told at the next batch, where they wait for this one
                clock.failed = clock.failed or error
            return
        self.off = told(error)
        warnings.warn(f"SpectralMonitor is off, training goes on: {told(error)}", MonitorWarning, stacklevel=2)


__all__ = ["Event", "MonitorWarning", "SpectralMonitor", "Watch"]
