"""The seam of launches, for those who listen there: what to replace, and who is launching.

`profiler` and `viz` measure and watch by putting functions of theirs in the place of others while
they are at it, so that nothing is in the way of a launch the rest of the time.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from .device import cpu, cuda
from .ops import _core

_ROOT = str(pathlib.Path(__file__).parent) + "/"
_OPS = _ROOT + "ops/"
#: Functions whose name says nothing of the operation that they were made for.
_MADE = {"operation", "general", "mixed", "finish", "method", "direct", "rule", "plain", "function"}


class Replaced:
    """Attributes and dictionary items that have another value for a while."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def change(self, holder: Any, name: str, value: Any) -> None:
        """Replace an attribute."""
        before = getattr(holder, name)
        setattr(holder, name, value)
        self._undo.append(lambda: setattr(holder, name, before))

    def change_item(self, items: dict, key: Any, value: Any) -> None:
        """Replace the value of a key."""
        before = items[key]
        items[key] = value
        self._undo.append(lambda: items.__setitem__(key, before))

    def restore(self) -> None:
        """Put everything back, the last change first."""
        while self._undo:
            self._undo.pop()()
        if cpu.recorder is None:
            cuda.launch = cuda.run  # a recording that has ended meanwhile took the one it found


def launches(
    on_cpu: Callable[[Callable], Callable], on_gpu: Callable[[Callable], Callable]
) -> list[tuple[Any, str, Callable]]:
    """What to replace so that every launch goes through `on_cpu(run)` or `on_gpu(run)`.

    While `compile` records, its recorder stays in its place: it launches through `run`.
    """
    first, second = on_cpu(cpu.run), on_gpu(cuda.run)
    places = [(cpu, "run", first), (cuda, "run", second)]
    if cpu.recorder is None:
        places += [(cpu, "launch", first), (_core, "_launch", first), (cuda, "launch", second)]
    return places


def operation_frame(depth: int) -> FrameType | None:
    """The call of the operation that is launching: the outermost one of the frames in `ops`."""
    frame: FrameType | None = sys._getframe(depth)
    found = None
    while frame is not None:
        if frame.f_code.co_filename.startswith(_OPS):
            found = frame
        elif found is not None:
            break
        frame = frame.f_back
    return found


def launch_name(depth: int) -> str:
    """The name of the operation that is launching, "" where it is none."""
    return name_of(operation_frame(depth + 1))


def name_of(frame: FrameType | None) -> str:
    """The name of the operation whose call a frame is, "" for None."""
    if frame is None:
        return ""
    name = frame.f_code.co_name
    if name in _MADE:
        name = str(
            frame.f_locals.get("name") or getattr(frame.f_locals.get("kernel"), "name", name)
        )
    return name.strip("_")


def user_line(depth: int) -> str:
    """`file:line` of the innermost frame outside numgrad."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_code.co_filename.startswith(_ROOT):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
