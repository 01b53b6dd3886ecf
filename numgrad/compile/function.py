"""`CompiledFunction`: what `numgrad.compile` returns.

A call looks for a program made for its arguments and for the state of everything the function
refers to, and runs it; where there is none, the function runs as it is while a recorder listens,
and the recording becomes a program for the next call. What cannot be recorded goes on eagerly.
"""

from __future__ import annotations

import functools
import itertools
import logging
import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ..autograd.tape import Variable, mode, refresh
from ..device import cpu, place_of
from .graph import Graph
from .reach import CONSTANTS
from .recorder import CompileError

log = logging.getLogger("numgrad.compile")

#: Recordings after which a function that seldom finds a program stays eager.
LIMIT = 32
#: The most programs of one function; the one not used for longest goes.
PROGRAMS = 128


class _Miss:
    def __repr__(self) -> str:
        return "MISS"


#: In place of a result: no program fits.
MISS = _Miss()


def miss(*args: Any) -> Any:
    return MISS


#: All compiled functions there are.
everywhere: weakref.WeakSet[CompiledFunction] = weakref.WeakSet()


class CompiledFunction:
    """A function whose calls run compiled programs; made by `numgrad.compile`."""

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._options = options
        self._entries: list[Any] = []
        self._recordings = self._hits = 0
        self._tracked: set[Any] = set()  # floats passed on: positions of arguments, ids of places
        self._pinned: set[Any] = set()  # floats that can't be
        self._eager: str | None = None
        self._fast: Callable = miss
        everywhere.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # While another function is recorded, what this one does is part of that.
        result = MISS if kwargs or cpu.recorder is not None else self._fast(args)
        return self._find(args, kwargs) if result is MISS else result

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        count = len(self._entries)
        return f"<compiled {self.__name__}: {count} program{'' if count == 1 else 's'}>"

    # ------------------------------------------------------------------ looking at it

    @property
    def graph(self) -> Graph:
        """The graph of the program that ran last."""
        return self._last().graph

    @property
    def recorded_graph(self) -> Graph:
        """The same as it was recorded, before any pass."""
        return self._last().recorded

    @property
    def source(self) -> str:
        """The program that ran last, as Python that calls its kernels."""
        from .emit import source

        return source(self._last().graph, self.__name__)

    @property
    def programs(self) -> int:
        """How many programs there are."""
        return len(self._entries)

    @property
    def reason(self) -> str | None:
        """Why calls run eagerly; None where they don't."""
        return self._eager

    def _last(self) -> Any:
        if not self._entries:
            raise CompileError(
                f"{self!r} has no program yet: {self._eager or 'call it at least twice'}"
            )
        return self._entries[0]

    def reset(self) -> None:
        """Forget all programs."""
        self._entries.clear()
        self._recordings = self._hits = 0
        self._eager, self._fast = None, miss
        self._tracked.clear()
        self._pinned.clear()

    # ------------------------------------------------------------------ a call

    def _find(self, args: tuple, kwargs: dict) -> Any:
        if self._eager is not None or cpu.recorder is not None:
            return self._function(*args, **kwargs)
        call = Arguments(args, kwargs, self._tracked)
        for position, entry in enumerate(self._entries):
            if entry.key == call.key and entry.fits(call):
                result = entry.run(call)
                if result is not MISS:
                    self._hits += 1
                    self._entries.insert(0, self._entries.pop(position))
                    self._fast = entry.fast
                    return result
        return self._record(call)

    def _record(self, call: Arguments) -> Any:
        from .recording import record

        if self._recordings >= LIMIT and self._recordings > self._hits:
            self.give_up(
                f"it was recorded {self._recordings} times, which costs more than it gains; the "
                f"last time because {self._why(call)}"
            )
            return self._function(*call.args, **call.kwargs)
        if self._recordings:
            log.info("%s: recorded again because %s", self.__name__, self._why(call))
        self._recordings += 1
        call = self._track_changed(call)
        result, entry = record(self, call)
        if entry is not None:
            for other in self._entries:
                other.park()
            kept = [entry]
            for other in self._entries:
                if other.doubted is None:
                    kept.append(other)
                elif other.agrees(entry):
                    entry.verified = True
                else:  # a number went where it cannot be followed: programs are for one value
                    self._pinned |= other.tracked
                    self._tracked -= other.tracked
                    kept.clear()
            self._entries[:] = kept[:PROGRAMS]
            self._fast = entry.fast if kept else miss
        return result

    def _track_changed(self, call: Arguments) -> Arguments:
        """From now on, pass on as they are the numbers that keep a program from being used."""
        found: set[Any] = set()
        for entry in self._entries:
            if entry.call_key == call.loose_key:
                found |= {
                    k
                    for k, (was, now) in enumerate(zip(entry.floats, call.floats, strict=True))
                    if was != now
                }
            if entry.key == call.key:
                found |= entry.changed_places()
        found -= self._pinned | self._tracked
        if not found:
            return call
        self._tracked |= found
        return Arguments(call.args, call.kwargs, self._tracked)

    def _why(self, call: Arguments) -> str:
        if not self._entries:
            return "the call changed a module or an optimizer"
        return self._entries[0].difference(call)

    def give_up(self, reason: str) -> None:
        """Run eagerly from here on."""
        self._eager, self._fast = reason, miss
        log.warning("%s runs eagerly: %s", self.__name__, reason)


class Arguments:
    """A call's arguments: the tensors among them, tracked numbers, and a key for the rest.

    `tracked` holds the positions, among all floats, of those that programs take as they are.
    """

    def __init__(self, args: tuple, kwargs: dict, tracked: Collection[Any] = ()) -> None:
        self.args = args
        self.kwargs = kwargs
        self.tracked = tracked
        self.tensors: list[Any] = []
        self.objects: list[Any] = []
        self.floats: list[float] = []
        self.key = (mode.enabled, self._key(args), self._key(kwargs))
        self.numbers = [v for k, v in enumerate(self.floats) if k in tracked]

    @property
    def loose_key(self) -> Any:
        """The key whatever the floats."""
        return Arguments(self.args, self.kwargs, range(len(self.floats))).key

    def _key(self, value: Any) -> Any:
        if isinstance(value, Variable):
            for position, tensor in enumerate(self.tensors):
                if tensor is value:
                    return ("same as", position)
            self.tensors.append(value)
            if value._view is not None:
                refresh(value)
            return (type(value), value._requires_grad, value._view is None, place_of(value._data))
        if type(value) is float:
            self.floats.append(value)
            if len(self.floats) - 1 in self.tracked:
                return (float, "any")
            return (float, value.hex())  # nan is nan, and 0.0 is not -0.0
        if isinstance(value, CONSTANTS):
            return (type(value), value)
        if isinstance(value, (tuple, list)):
            return (type(value), tuple(map(self._key, value)))
        if isinstance(value, dict):
            return (dict, tuple([(k, self._key(v)) for k, v in value.items()]))
        self.objects.append(value)
        return ("object", id(value))

    def replaced(self, numbers: Iterable[Any]) -> tuple[tuple, dict]:
        """args and kwargs with `numbers` for the tracked floats, in order."""
        position, rest = itertools.count(), iter(numbers)

        def new(value: Any) -> Any:
            if type(value) is float:
                return next(rest) if next(position) in self.tracked else value
            if type(value) in (tuple, list):
                return type(value)(map(new, value))
            if isinstance(value, tuple) and hasattr(value, "_fields"):
                return type(value)(*map(new, value))
            if type(value) is dict:
                return {k: new(v) for k, v in value.items()}
            return value

        return new(self.args), new(self.kwargs)


def leaves(key: Any) -> Iterable[Any]:
    """The parts of a key, for saying which one differs."""
    if isinstance(key, tuple) and any(isinstance(item, tuple) for item in key):
        for item in key:
            yield from leaves(item)
    else:
        yield key
