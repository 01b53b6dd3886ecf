"""`CompiledFunction`: what `numgrad.compile` returns.

A call looks for a program made for its arguments and for the state of everything the function
refers to, and runs it; where there is none, the function runs as it is while a recorder listens,
and the recording becomes a program for the next call. What cannot be recorded goes on eagerly.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from ..autograd.tape import Variable, mode
from ..device import cpu
from .graph import Graph
from .reach import CONSTANTS
from .recorder import CompileError

log = logging.getLogger("numgrad.compile")

#: Programs of one function before it stays eager.
LIMIT = 32


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
        self._attempts = 0
        self._eager: str | None = None
        self._fast: Callable = miss
        everywhere.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = MISS if kwargs else self._fast(args)
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
        self._attempts, self._eager, self._fast = 0, None, miss

    # ------------------------------------------------------------------ a call

    def _find(self, args: tuple, kwargs: dict) -> Any:
        if self._eager is not None or cpu.recorder is not None:
            return self._function(*args, **kwargs)
        call = Arguments(args, kwargs)
        for position, entry in enumerate(self._entries):
            if entry.key == call.key and entry.fits():
                result = entry.run(call)
                if result is not MISS:
                    self._entries.insert(0, self._entries.pop(position))
                    self._fast = entry.fast
                    return result
        return self._record(call)

    def _record(self, call: Arguments) -> Any:
        from .recording import record

        if self._attempts >= LIMIT:
            self.give_up(f"recorded {LIMIT} times; the last time because {self._why(call)}")
            return self._function(*call.args, **call.kwargs)
        if self._attempts:
            log.info("%s: recorded again because %s", self.__name__, self._why(call))
        self._attempts += 1
        result, entry = record(self, call)
        if entry is not None:
            self._entries.insert(0, entry)
            self._fast = entry.fast
        return result

    def _why(self, call: Arguments) -> str:
        if not self._entries:
            return "the call changed a module or an optimizer"
        return self._entries[0].difference(call)

    def give_up(self, reason: str) -> None:
        """Run eagerly from here on."""
        self._eager, self._fast = reason, miss
        log.warning("%s runs eagerly: %s", self.__name__, reason)


class Arguments:
    """A call's arguments: the tensors among them, and a key for everything else."""

    def __init__(self, args: tuple, kwargs: dict) -> None:
        self.args = args
        self.kwargs = kwargs
        self.tensors: list[Any] = []
        self.objects: list[Any] = []
        self.key = (mode.enabled, self._key(args), self._key(kwargs))

    def _key(self, value: Any) -> Any:
        if isinstance(value, Variable):
            for position, tensor in enumerate(self.tensors):
                if tensor is value:
                    return ("same as", position)
            self.tensors.append(value)
            return (type(value), value._requires_grad, value._view is None)
        if isinstance(value, CONSTANTS):
            return (type(value), value)
        if isinstance(value, (tuple, list)):
            return (type(value), tuple(map(self._key, value)))
        if isinstance(value, dict):
            return (dict, tuple([(k, self._key(v)) for k, v in value.items()]))
        self.objects.append(value)
        return ("object", id(value))


def leaves(key: Any) -> Iterable[Any]:
    """The parts of a key, for saying which one differs."""
    if isinstance(key, tuple) and any(isinstance(item, tuple) for item in key):
        for item in key:
            yield from leaves(item)
    else:
        yield key
