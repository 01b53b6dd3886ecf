"""`join`: ranks with different numbers of batches.

Every forward pass of a rank that still has batches begins with one small sum over all ranks. A rank
that has none answers it with zeros, and then does what the pass of the others does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...distributed._collectives import all_reduce
from ...distributed._reduce_op import ReduceOp


class Joining:
    """The context manager that `DistributedDataParallel.join` returns."""

    def __init__(self, model: Any, by_initial_size: bool, enable: bool, throws: bool) -> None:
        self.model = model
        self.by_initial_size = by_initial_size
        self.enable = enable
        self.throws = throws
        self.group = model.process_group
        self.announced = False

    def __enter__(self) -> Joining:
        if self.enable:
            self.model.__dict__["_joining"] = self
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if not self.enable:
            return
        self.model.__dict__["_joining"] = None
        try:
            if error is None:
                self._shadow()
        finally:
            self.model.reducer.divisor = self.group.size()

    def _sum(self, active: int, averages: int, over: int) -> list[int]:
        values = ops.tensor(np.array([active, averages, over], np.int64))
        all_reduce(values, ReduceOp.SUM, self.group)
        return values.tolist()

    def _most(self, value: int) -> int:
        found = ops.tensor(np.array([value], np.int64))
        all_reduce(found, ReduceOp.MAX, self.group)
        return int(found.item())

    def announce(self, averages: bool) -> None:
        """A pass of a rank that has a batch begins."""
        active, _, over = self._sum(1, int(averages), 0)
        if over and self.throws:
            raise RuntimeError(
                "Detected at least one rank that exhausted inputs. Throwing across all ranks."
            )
        self.model.reducer.divisor = self.group.size() if self.by_initial_size else active

    def active_rank(self) -> int:
        """A rank of the group that has a batch; called by all."""
        return self._most(self.group.index)

    def _shadow(self) -> None:
        model, last = self.model, True
        while True:
            active, averages, _ = self._sum(0, 0, 1)
            if not active:
                break
            if self.throws:
                raise RuntimeError(
                    f"Rank {self.group.world.rank} exhausted all inputs. Throwing across all ranks."
                )
            last = False
            if model.require_forward_param_sync and model.broadcast_buffers:
                buffers = model._buffers_to_send()
                if buffers:
                    model._send(buffers, self._most(-1))
            model.require_forward_param_sync = bool(averages)
            if averages:
                model.reducer.shadow()
        # The ranks that came to the end last have the state that counts.
        model._send_state(self._most(self.group.index if last else -1))
