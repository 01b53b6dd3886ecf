"""Memory for measurements: aligned to cache lines, and no two arrays at the same place in a page.

Where an array that is written lies a multiple of 4096 bytes from one that is read, processors take
a load for one of the store before it, and wait: copying in the first-level cache is then ten times
slower, by luck.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

LINE, PAGE = 64, 4096


def apart(array: np.ndarray, number: int) -> np.ndarray:
    """A C-contiguous copy, the `number`-th of those that a kernel is called with."""
    room = np.empty(array.nbytes + 3 * PAGE, np.uint8)
    start = -room.ctypes.data % PAGE + PAGE - 2 * LINE * number % PAGE
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def all_apart(values: Iterable[Any]) -> list[Any]:
    """The values with `apart` copies of the arrays among them, those in tuples too."""
    number = -1

    def place(value: Any) -> Any:
        nonlocal number
        if type(value) is tuple:
            return tuple([place(item) for item in value])
        if not isinstance(value, np.ndarray):
            return value
        number += 1
        return apart(value, number)

    return [place(value) for value in values]
