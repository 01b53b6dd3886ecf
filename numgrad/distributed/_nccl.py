"""Collectives on the memory of GPUs: NCCL's, through NVIDIA's binding (nccl4py).

The communicator is made at the first collective, on the device that the process has chosen by then;
its id goes to the other ranks by MPI. Everything runs on a stream of its own, after what the calling
thread's current stream has done before, and that stream's later work comes after it. The host waits
too: so a rank that is lost, or an operation that hangs, is noticed where it is waited for.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from ..device import cuda
from ..device._array import DeviceArray
from ._errors import DistBackendError
from ._reduce_op import ReduceOp

_SUCCESS, _IN_PROGRESS = 0, 7
_OPERATIONS = {
    ReduceOp.SUM: "SUM",
    ReduceOp.AVG: "AVG",
    ReduceOp.PRODUCT: "PROD",
    ReduceOp.MIN: "MIN",
    ReduceOp.MAX: "MAX",
}


def missing() -> str | None:
    """Why there is no NCCL here, None where there is."""
    if not _has_binding():
        return 'the package nccl4py is missing: pip install "nccl4py[cu13]"'
    return cuda.unavailable()


def _has_binding() -> bool:
    try:
        return importlib.util.find_spec("nccl.core") is not None
    except (ModuleNotFoundError, ValueError):
        return False


def check() -> None:
    """ValueError where NCCL cannot be used."""
    reason = missing()
    if reason is not None:
        raise ValueError(
            f"ProcessGroupNCCL is only supported with GPUs, no GPUs found! ({reason}). Between CPUs "
            'take backend="gloo".'
        )


class Exposed:
    """A device array as other libraries look at one; truth values as bytes."""

    def __init__(self, array: DeviceArray) -> None:
        dtype = np.dtype(np.uint8) if array.dtype.kind == "b" else array.dtype
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": (array.size,),
            "typestr": dtype.str,
            "data": (array.ptr, False),
            "strides": None,
            "version": 3,
        }


class Request:
    """An operation on NCCL's stream; done when an event after it has happened."""

    def __init__(self, engine: NCCLEngine, event: Any, kept: tuple) -> None:
        self.engine = engine
        self.event = event
        self.kept = kept

    def Test(self, status: Any = None) -> bool:
        """Whether it is done; DistBackendError where NCCL reports an error."""
        state = int(self.engine.comm.get_async_error())
        if state not in (_SUCCESS, _IN_PROGRESS):
            raise DistBackendError(f"NCCL error {state}: {self.engine.comm.get_last_error()}")
        return bool(self.event.is_done)


class NCCLEngine:
    """The collectives of one group of ranks; see `MPIEngine`."""

    name = "nccl"
    on_device = True

    def __init__(self, group: Any, device_id: Any) -> None:
        from nccl import core

        self.core = core
        self.group = group
        self.index: int | None = None if device_id is None else cuda.index_of(device_id)
        self.comm: Any = None
        self.stream: Any = None

    def _connect(self, index: int) -> None:
        """Make the communicator. All ranks of the group are here."""
        group, core = self.group, self.core
        if self.index not in (None, index):
            raise ValueError(
                f"the process group is on cuda:{self.index}, and the tensor on cuda:{index}"
            )
        self.index = index
        first = group.index == 0
        content = bytes(core.get_unique_id()) if first else bytes(128)
        name = np.frombuffer(content, np.uint8).copy()
        for request in group.message_requests(name):
            group.wait_for(request, "making an NCCL communicator")
        unique = core.UniqueId.from_bytes(name.tobytes())
        cuda.driver().enter(index)
        with group.world.uninterruptible("making an NCCL communicator", group.timeout):
            self.comm = core.Communicator.init(group.size(), group.index, unique)
        self.stream = cuda.driver().create_stream(index)

    def _run(self, like: DeviceArray, function: Any, *kept: Any) -> list:
        index = like.memory.index
        if self.comm is None:
            self._connect(index)
        if index != self.index:
            raise ValueError(
                f"the process group is on cuda:{self.index}, and the tensor on cuda:{index}"
            )
        current = cuda.stream(index)
        self.stream.wait(current)
        function()
        event = cuda.driver().create_event(index, False)
        self.stream.record(event)
        current.wait(event)
        return [Request(self, event, (like, *kept))]

    def _operation(self, op: ReduceOp) -> Any:
        if op not in _OPERATIONS:
            raise RuntimeError(f"Cannot use ReduceOp.{op.name} with NCCL")
        return getattr(self.core, _OPERATIONS[op])

    def all_reduce(self, array: DeviceArray, op: ReduceOp) -> list:
        """`array` becomes the reduction over all ranks."""
        operation, own = self._operation(op), Exposed(array)
        return self._run(
            array, lambda: self.comm.allreduce(own, own, operation, stream=self.stream)
        )

    def broadcast(self, array: DeviceArray, root: int) -> list:
        """`array` becomes the root's."""
        own = Exposed(array)
        return self._run(array, lambda: self.comm.broadcast(own, own, root, stream=self.stream))

    def reduce(self, out: DeviceArray | None, array: DeviceArray, root: int, op: ReduceOp) -> list:
        """The root's `out` becomes the reduction."""
        operation = self._operation(op)
        own, target = Exposed(array), None if out is None else Exposed(out)
        return self._run(
            array,
            lambda: self.comm.reduce(own, target, operation, root=root, stream=self.stream),
            out,
        )

    def all_gather(self, out: DeviceArray, array: DeviceArray) -> list:
        """`out` becomes all ranks' arrays in a row."""
        own, target = Exposed(array), Exposed(out)
        return self._run(array, lambda: self.comm.allgather(own, target, stream=self.stream), out)

    def gather(self, out: DeviceArray | None, array: DeviceArray, root: int) -> list:
        """The root's `out` becomes all ranks' arrays in a row."""
        own, target = Exposed(array), None if out is None else Exposed(out)
        return self._run(
            array, lambda: self.comm.gather(own, target, root=root, stream=self.stream), out
        )

    def scatter(self, out: DeviceArray, array: DeviceArray | None, root: int) -> list:
        """`out` becomes this rank's part of the root's `array`."""
        target, own = Exposed(out), None if array is None else Exposed(array)
        return self._run(
            out, lambda: self.comm.scatter(own, target, root, stream=self.stream), array
        )

    def reduce_scatter(self, out: DeviceArray, array: DeviceArray, op: ReduceOp) -> list:
        """`out` becomes this rank's part of the reduction of `array`."""
        operation, own, target = self._operation(op), Exposed(array), Exposed(out)
        return self._run(
            array,
            lambda: self.comm.reduce_scatter(own, target, operation, stream=self.stream),
            out,
        )

    def all_to_all(
        self, out: DeviceArray, received: list[int], array: DeviceArray, sent: list[int]
    ) -> list:
        """Part r of `array`, of `sent[r]` elements, goes to rank r; `out` has what comes."""
        source, target = array.reshape((array.size,)), out.reshape((out.size,))

        def exchange() -> None:
            with self.core.group():
                start = 0
                for peer, count in enumerate(sent):
                    if count:
                        part = Exposed(source[start : start + count])
                        self.comm.send(part, peer, stream=self.stream)
                    start += count
                start = 0
                for peer, count in enumerate(received):
                    if count:
                        part = Exposed(target[start : start + count])
                        self.comm.recv(part, peer, stream=self.stream)
                    start += count

        return self._run(array, exchange, out)

    def send(self, array: DeviceArray, to: int, tag: int) -> list:
        """Send to one rank; NCCL has no tags."""
        own = Exposed(array)
        return self._run(array, lambda: self.comm.send(own, to, stream=self.stream))

    def receive(self, array: DeviceArray, source: int | None, tag: int) -> list:
        """Receive from one rank; NCCL does not receive from any."""
        if source is None:
            raise ValueError(
                "recv on a GPU needs the rank that sends: NCCL does not receive from any"
            )
        own = Exposed(array)
        return self._run(array, lambda: self.comm.recv(own, source, stream=self.stream))

    def abort(self) -> None:
        """End what is under way, after an error."""
        if self.comm is not None:
            self.comm.abort()

    def close(self) -> None:
        """Give the communicator back."""
        comm, self.comm = self.comm, None
        if comm is not None:
            if self.group.world.broken is None and not self.group.world.gone:
                comm.destroy()
            else:
                comm.abort()
