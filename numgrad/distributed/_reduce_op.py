"""The ways in which ranks' arrays become one."""

from __future__ import annotations

import enum


class ReduceOp(enum.Enum):
    """Elementwise, over the ranks: `SUM`, `AVG` (floating point), `PRODUCT`, `MIN`, `MAX`; of
    integers also `BAND`, `BOR`, `BXOR`, bit by bit.

    >>> numgrad.distributed.ReduceOp.SUM
    <ReduceOp.SUM: 0>
    """

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7
