"""Watching operations while they run: the module and the kernels of each recorded one."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from .._seam import Replaced, launches, name_of, operation_frame
from ..autograd.tape import Node
from ..nn._hooks import HookedCall
from .modules import Place, name_below


class Note:
    """What was seen of an operation: its name, the call of a module around it, its kernels."""

    __slots__ = ("name", "place", "kernels")

    def __init__(self, name: str, place: Place | None, kernels: list[str]) -> None:
        self.name, self.place, self.kernels = name, place, kernels


#: What was noted down, for as long as the graph lives.
notes: weakref.WeakKeyDictionary[Node, Note] = weakref.WeakKeyDictionary()


class watching:
    """Note down modules and kernels of what is recorded in a `with` block, for `viz.graph`.

    >>> layer = numgrad.nn.Linear(2, 1)
    >>> with numgrad.viz.watching():
    ...     loss = layer(numgrad.ones(1, 2)).sum()
    >>> "kernel: matmul" in numgrad.viz.graph(loss).svg
    True
    """

    def __enter__(self) -> watching:
        self._replaced = Replaced()
        self._calls = threading.local()
        self._launched: deque[tuple[Any, str]] = deque(maxlen=256)
        change = self._replaced.change
        for holder, name, function in launches(self._launch, self._launch):
            change(holder, name, function)
        change(Node, "__init__", self._init(Node.__init__))
        change(HookedCall, "__call__", self._call(HookedCall.__call__))
        return self

    def __exit__(self, *_: object) -> None:
        self._replaced.restore()
        self._launched.clear()

    def _launch(self, run: Callable) -> Callable:
        def launch(kernel: Any, *arguments: Any) -> None:
            self._launched.append((operation_frame(2), kernel.name))
            run(kernel, *arguments)

        return launch

    def _init(self, init: Callable) -> Callable:
        def noted(node: Node, *args: Any, **kwargs: Any) -> None:
            init(node, *args, **kwargs)
            frame = operation_frame(2)
            found = [name for own, name in self._launched if frame is None or own is frame]
            self._launched.clear()
            place = getattr(self._calls, "innermost", None)
            notes[node] = Note(name_of(frame), place, list(dict.fromkeys(found)))

        return noted

    def _call(self, call: Callable) -> Callable:
        calls = self._calls

        def noted(module: Any, *args: Any, **kwargs: Any) -> Any:
            outer = getattr(calls, "innermost", None)
            label = name_below(module, None if outer is None else outer.module)
            calls.innermost = Place(label, module, outer)
            try:
                return call(module, *args, **kwargs)
            finally:
                calls.innermost = outer

        return noted
