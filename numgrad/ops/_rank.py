"""The order of long rows on a GPU, by launches that all of its blocks share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import INT64
from ..kernels import radix
from ._core import empty, launch

_UNSIGNED = np.dtype(np.uint64)


def rank(x: Any, descending: bool = False, below: int | None = None) -> tuple[Any, Any]:
    """The positions of the elements of each row in order (equal elements keep theirs), and their
    keys in that order.

    `below`: x holds int64 from 0 up to but without it. Then the keys are the elements, and only the
    bytes that these can have are looked at.
    """
    rows, n = x.shape
    keys, positions, other_keys, other = (empty(x.shape, INT64, x) for _ in range(4))
    counts = empty((rows, radix.DIGITS * radix.tiles(n)), INT64, x)
    kind = x.dtype if below is None else _UNSIGNED
    count = x.itemsize if below is None else (max(below - 1, 1).bit_length() + 7) // 8
    arguments: tuple = (x, keys, positions, float(n), float(descending))
    launch(radix.sort_keys, kind, x.size, arguments, x.size)
    for byte in range(count):
        shift = 8.0 * byte
        launch(radix.count_digits, INT64, rows * radix.tiles(n), (keys, counts, shift), x.size)
        launch(radix.digit_starts, INT64, rows, (counts,), counts.size)
        arguments = (keys, positions, counts, other_keys, other, shift)
        launch(radix.move_by_digit, INT64, rows, arguments, x.size)
        keys, positions, other_keys, other = other_keys, other, keys, positions
    return positions, keys
