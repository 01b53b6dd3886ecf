"""Collectives on host memory: MPI's, in their nonblocking forms.

Every method starts one and returns its requests; `_group.py` waits for them. Arrays are C-contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._reduce_op import ReduceOp
from ._world import World


class MPIEngine:
    """The collectives of one group of ranks."""

    name = "mpi"
    on_device = False

    def __init__(self, world: World, comm: Any) -> None:
        self.mpi = world.mpi
        self.comm = comm
        mpi = self.mpi
        self.operations = {
            ReduceOp.SUM: mpi.SUM,
            ReduceOp.AVG: mpi.SUM,  # divided afterwards
            ReduceOp.PRODUCT: mpi.PROD,
            ReduceOp.MIN: mpi.MIN,
            ReduceOp.MAX: mpi.MAX,
            ReduceOp.BAND: mpi.BAND,
            ReduceOp.BOR: mpi.BOR,
            ReduceOp.BXOR: mpi.BXOR,
        }
        #: Of truth values: sums and maxima are "any", products and minima "all".
        self.logical = {
            ReduceOp.SUM: mpi.LOR,
            ReduceOp.PRODUCT: mpi.LAND,
            ReduceOp.MIN: mpi.LAND,
            ReduceOp.MAX: mpi.LOR,
            ReduceOp.BAND: mpi.LAND,
            ReduceOp.BOR: mpi.LOR,
            ReduceOp.BXOR: mpi.LXOR,
        }

    def _operation(self, array: np.ndarray, op: ReduceOp) -> Any:
        return (self.logical if array.dtype.kind == "b" else self.operations)[op]

    def all_reduce(self, array: np.ndarray, op: ReduceOp) -> list:
        """`array` becomes the reduction over all ranks."""
        operation = self._operation(array, op)
        return [self.comm.Iallreduce(self.mpi.IN_PLACE, array, operation)]

    def broadcast(self, array: np.ndarray, root: int) -> list:
        """`array` becomes the root's."""
        return [self.comm.Ibcast(array, root)]

    def reduce(self, out: np.ndarray | None, array: np.ndarray, root: int, op: ReduceOp) -> list:
        """The root's `out` becomes the reduction."""
        return [self.comm.Ireduce(array, out, self._operation(array, op), root)]

    def all_gather(self, out: np.ndarray, array: np.ndarray) -> list:
        """`out` becomes all ranks' arrays in a row."""
        return [self.comm.Iallgather(array, out)]

    def gather(self, out: np.ndarray | None, array: np.ndarray, root: int) -> list:
        """The root's `out` becomes all ranks' arrays in a row."""
        return [self.comm.Igather(array, out, root)]

    def scatter(self, out: np.ndarray, array: np.ndarray | None, root: int) -> list:
        """`out` becomes this rank's part of the root's `array`."""
        return [self.comm.Iscatter(array, out, root)]

    def reduce_scatter(self, out: np.ndarray, array: np.ndarray, op: ReduceOp) -> list:
        """`out` becomes this rank's part of the reduction of `array`."""
        return [self.comm.Ireduce_scatter_block(array, out, self._operation(array, op))]

    def all_to_all(
        self, out: np.ndarray, received: list[int], array: np.ndarray, sent: list[int]
    ) -> list:
        """Part r of `array`, of `sent[r]` elements, goes to rank r; `out` has what comes."""
        return [self.comm.Ialltoallv((array, sent), (out, received))]

    def barrier(self) -> list:
        """Done when all ranks have come to it."""
        return [self.comm.Ibarrier()]

    def send(self, array: np.ndarray, to: int, tag: int) -> list:
        """Send to one rank."""
        return [self.comm.Isend(array, to, tag)]

    def receive(self, array: np.ndarray, source: int | None, tag: int) -> list:
        """Receive from one rank, or from any."""
        return [self.comm.Irecv(array, self.mpi.ANY_SOURCE if source is None else source, tag)]
