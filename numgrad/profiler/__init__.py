"""Where the time of a program goes: kernels, Python, compiling, each launch by itself.

>>> from numgrad.profiler import profile, record_function
>>> x = numgrad.ones(64, 64)
>>> with profile() as prof:
...     with record_function("product"):
...         y = x @ x
>>> [row.count for row in prof.key_averages() if row.key == "product"]
[1]

`print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))` lists what took
longest, `prof.export_chrome_trace("trace.json")` writes a file for https://ui.perfetto.dev. While
no profiler is on, nothing of it is in the way of a launch.
"""

from __future__ import annotations

import enum
import functools
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from . import listen
from .events import EventList, FunctionEvent, average, nested
from .listen import Listener
from .trace import write

__all__ = ["ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule"]


class ProfilerActivity(enum.Enum):
    """What is measured: the host's side (always), and the time of kernels on GPUs.

    >>> numgrad.profiler.ProfilerActivity.CPU.name
    'CPU'
    """

    CPU = 0
    CUDA = 2


class ProfilerAction(enum.Enum):
    """What a profiler does in a step of its schedule.

    >>> numgrad.profiler.ProfilerAction(0).name
    'NONE'
    """

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """When to record: skip `skip_first` steps, then, `repeat` times (0: for ever), wait for `wait`
    steps, warm up for `warmup` and record `active`. `profile.step()` counts the steps.

    >>> when = numgrad.profiler.schedule(wait=1, warmup=1, active=2)
    >>> [when(step).name for step in range(4)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ValueError(
            f"schedule: {wait=}, {warmup=}, {repeat=}, {skip_first=} must not be negative and "
            f"{active=} be positive"
        )
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0 or (repeat and step // cycle >= repeat):
            return ProfilerAction.NONE
        step %= cycle
        if step < wait:
            return ProfilerAction.NONE
        if step < wait + warmup:
            return ProfilerAction.WARMUP
        last = step == cycle - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


class record_function:
    """A row of its own for the code in a `with` block, or for a function that it decorates.

    >>> @numgrad.profiler.record_function("doubling")
    ... def double(x):
    ...     return x * 2
    >>> double(numgrad.ones(2))
    tensor([2., 2.])
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._started: list[int] = []

    def __enter__(self) -> record_function:
        self._started.append(listen.clock() if listen.active is not None else 0)
        return self

    def __exit__(self, *_: object) -> None:
        started, listener = self._started.pop(), listen.active
        if started and listener is not None:
            listener.note("range", self.name, started, {"args": self.args} if self.args else None)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def named(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return named


class profile:
    """Record what runs inside a `with` block.

    `activities`: ProfilerActivity.CUDA among them also measures kernels on the GPU (the default
    where CUDA is in use). `schedule`, `on_trace_ready`: record some of the steps that `step()`
    counts, and call `on_trace_ready(self)` whenever a part is complete. `record_shapes`: keep the
    shapes of every launch, for `key_averages(group_by_input_shape=True)`. `profile_memory`: count
    the memory that operations allocate. `with_stack`: keep the line of your code that each launch
    comes from, for `key_averages(group_by_stack_n=1)`. `with_modules`: a row for each module.

    Every moment of a thread belongs to the innermost event around it: what remains of the time
    beside kernels and compiling is Python's. Programs made by `numgrad.compile` are run launch by
    launch while a profiler is on, to the same results.

    >>> x = numgrad.ones(8)
    >>> with numgrad.profiler.profile(record_shapes=True) as prof:
    ...     y = x + x
    >>> [(event.name, event.input_shapes) for event in prof.events() if event.kind == "kernel"]
    [('add', [[8], [8], [8]])]
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
    ) -> None:
        on_gpus = None if activities is None else ProfilerActivity.CUDA in set(activities)
        self._options = {
            "shapes": record_shapes,
            "memory": profile_memory,
            "lines": with_stack,
            "modules": with_modules,
            "on_gpus": on_gpus,
        }
        self._schedule = schedule
        self._on_trace_ready = on_trace_ready
        self._listener: Listener | None = None
        self._recorded: Listener | None = None
        self._events: EventList | None = None
        self._action = ProfilerAction.NONE
        self._step_started = 0
        self.step_num = 0

    # ------------------------------------------------------------------ when it is on

    def start(self) -> None:
        """Begin to record; `with` does it."""
        if listen.active is not None:
            raise RuntimeError("a profiler is on already: numgrad has one at a time")
        self._enter(self._action_of(self.step_num))

    def stop(self) -> None:
        """End; the events can be looked at from now on."""
        recording = self._listener is not None and self._action is not ProfilerAction.WARMUP
        self._end(recording)
        if recording and self._on_trace_ready is not None:
            self._on_trace_ready(self)

    def step(self) -> None:
        """The end of a step of the program, for the schedule."""
        before = self._action
        if self._listener is not None and before is not ProfilerAction.NONE:
            name = f"ProfilerStep#{self.step_num}"
            self._listener.note("range", name, self._step_started, None)
        self.step_num += 1
        after = self._action_of(self.step_num)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._end(True)
            if self._on_trace_ready is not None:
                self._on_trace_ready(self)
        elif before is not after and before is not ProfilerAction.RECORD:
            self._end(False)
        self._enter(after)

    def _action_of(self, step: int) -> ProfilerAction:
        return ProfilerAction.RECORD if self._schedule is None else self._schedule(step)

    def _enter(self, action: ProfilerAction) -> None:
        self._action = action
        if action is not ProfilerAction.NONE and self._listener is None:
            self._listener = Listener(**self._options)  # type: ignore[arg-type]
            self._listener.start()
        self._step_started = listen.clock()

    def _end(self, keep: bool) -> None:
        listener = self._listener
        if listener is not None:
            listener.stop()
            self._listener = None
            if keep:
                self._recorded, self._events = listener, None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ what it found

    def events(self) -> EventList:
        """Every event, in the order in which they began."""
        if self._recorded is None:
            raise RuntimeError("the profiler has recorded nothing yet: its block has to end first")
        if self._events is None:
            found = [FunctionEvent(*raw) for raw in self._recorded.events]
            self._events = EventList(nested(found, self._recorded.allocations), self._recorded)
        return self._events

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_operation: bool = False,
    ) -> EventList:
        """The events of one name together; `print(….table(…))` shows them.

        Launches are grouped by kernel, or, with `group_by_operation`, by the operation that makes
        them; with `group_by_input_shape` (needs `record_shapes`) those of other shapes, with
        `group_by_stack_n` (needs `with_stack`) those from other lines are rows of their own.

        >>> with numgrad.profiler.profile() as prof:
        ...     y = numgrad.ones(3) / 2
        >>> [row.count for row in prof.key_averages() if row.key == "div"]
        [1]
        """
        events = self.events()
        rows = average(events, group_by_input_shape, group_by_stack_n > 0, group_by_operation)
        return EventList(rows, events.listener)

    def export_chrome_trace(self, path: str | pathlib.Path) -> None:
        """Write the events as a trace that https://ui.perfetto.dev and chrome://tracing open."""
        write(path, self.events())

    def total(self) -> dict[str, float]:
        """Microseconds by what they went to: wall, kernels, python, compiling, and on GPUs.

        >>> with numgrad.profiler.profile() as prof:
        ...     y = numgrad.ones(3) / 2
        >>> total = prof.total()
        >>> abs(total["wall"] - total["kernels"] - total["python"] - total["compiling"]) < 1e-6
        True
        """
        return self.events().total()
