"""A CUDA device in host memory, whose kernels run in Python: `NUMBA_ENABLE_CUDASIM=1`.

It has the methods of `_driver.Driver`. Its addresses are not the host's, so that nothing can take
device memory for host memory unnoticed, and new memory holds what no program should rely on.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.cuda import Build
from ..kernels.cuda.simulate import Pointer, run

_FIRST_ADDRESS = 1 << 45
_ALIGNMENT = 512


class OutOfMemory(Exception):
    """The device has no block of the wanted size."""


class Stream:
    """All work is done when it is asked for: a stream is its name."""

    def __init__(self, handle: int = 1) -> None:
        self.handle = handle
        self.captured: list[tuple[Callable, tuple]] | None = None  # of a stream being captured

    def do(self, function: Callable, *arguments: Any) -> None:
        """Run this now, or take it down for a graph."""
        if self.captured is None:
            function(*arguments)
        else:
            self.captured.append((function, arguments))

    def sync(self) -> None:
        if self.captured is not None:
            raise RuntimeError("a stream that is being captured cannot be waited for")

    def record(self, event: Event) -> Event:
        event.moment = time.perf_counter()
        return event

    def wait(self, event_or_stream: Any) -> None:
        pass


class Event:
    is_done = True

    def __init__(self) -> None:
        self.moment = 0.0

    def sync(self) -> None:
        pass

    def __sub__(self, other: Event) -> float:
        return (self.moment - other.moment) * 1e3


class Block:
    """Some simulated memory."""

    def __init__(self, simulator: Simulator, ptr: int, size: int) -> None:
        self.simulator = simulator
        self.ptr = ptr
        self.bytes = np.full(size, 0xFF, np.uint8)

    def __del__(self) -> None:
        self.simulator.forget(self.ptr)


class Simulator:
    """Devices of `memory` bytes each."""

    threads = 64  # two warps, so that what passes between warps is seen
    max_blocks_per_processor = 3

    def __init__(self, count: int = 1, memory: int = 1 << 26) -> None:
        self.count = count
        self.memory = memory
        self.used = [0] * count
        self.most = [0] * count
        self._next = _FIRST_ADDRESS
        self._starts: list[int] = []
        self._blocks: dict[int, tuple[np.ndarray, int]] = {}
        self._streams = 0

    def properties(self, index: int) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(
            name="CUDA simulator",
            major=9,
            minor=0,
            total_memory=self.memory,
            multi_processor_count=1,
            warp_size=32,
        )

    # --------------------------------------------------------------------- memory

    def allocate(self, index: int, size: int, stream: Any) -> tuple[int, Any]:
        if self.used[index] + size > self.memory:
            raise OutOfMemory
        ptr = self._next
        self._next += (-(-max(size, 1) // _ALIGNMENT) + 1) * _ALIGNMENT
        block = Block(self, ptr, size)
        self._blocks[ptr] = (block.bytes, index)
        bisect.insort(self._starts, ptr)
        self.used[index] += size
        self.most[index] = max(self.most[index], self.used[index])
        return ptr, block

    def forget(self, ptr: int) -> None:
        data, index = self._blocks.pop(ptr)
        self.used[index] -= data.size
        self._starts.remove(ptr)

    def _bytes_at(self, ptr: int, size: int) -> np.ndarray:
        pointer = self._pointer(ptr, np.dtype(np.uint8))
        if pointer.start + size > pointer.elements.size:
            raise IndexError(f"{size} bytes at {ptr:#x} are not in one block of device memory")
        return pointer.elements[pointer.start : pointer.start + size]

    def _pointer(self, ptr: int, dtype: np.dtype) -> Pointer:
        place = bisect.bisect_right(self._starts, ptr) - 1
        start = self._starts[place] if place >= 0 else ptr
        data = self._blocks[start][0] if place >= 0 else np.empty(0, np.uint8)
        offset = ptr - start
        if place < 0 or offset > data.size:
            raise IndexError(f"{ptr:#x} is no address in device memory")
        item = dtype.itemsize
        if offset % item:
            raise IndexError(f"{ptr:#x} is not aligned for {dtype}")
        dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        return Pointer(data[: data.size // item * item].view(dtype), offset // item)

    def trim(self, index: int) -> None:
        pass

    def reserved(self, index: int) -> tuple[int, int]:
        return self.used[index], self.most[index]

    def reset_reserved(self, index: int) -> None:
        self.most[index] = self.used[index]

    def can_access_peer(self, index: int, peer: int) -> bool:
        return index != peer

    def free_and_total(self, index: int) -> tuple[int, int]:
        return self.memory - self.used[index], self.memory

    def pinned(self, size: int) -> Any:
        return bytearray(size)

    # --------------------------------------------------------------------- copies

    def copy_in(self, ptr: int, array: np.ndarray, stream: Stream, index: int) -> None:
        stream.do(self._put, ptr, array.reshape(-1).view(np.uint8))

    def _put(self, ptr: int, source: np.ndarray) -> None:
        self._bytes_at(ptr, source.nbytes)[:] = source

    def copy_out(
        self, array: np.ndarray, ptr: int, stream: Stream, index: int, wait: bool = True
    ) -> None:
        stream.do(self._get, array.reshape(-1).view(np.uint8), ptr)
        if wait:
            stream.sync()

    def _get(self, target: np.ndarray, ptr: int) -> None:
        target[:] = self._bytes_at(ptr, target.nbytes)

    def copy(
        self, target: int, source: int, size: int, stream: Stream, index: int, to: Any = None
    ) -> None:
        stream.do(self._move, target, source, size)

    def _move(self, target: int, source: int, size: int) -> None:
        self._bytes_at(target, size)[:] = self._bytes_at(source, size).copy()

    # -------------------------------------------------------------------- kernels

    def load(self, build: Build, index: int) -> Build:
        return build

    def launch(
        self,
        kernel: Build,
        build: Build,
        blocks: int,
        threads: int,
        values: list,
        stream: Stream,
        index: int,
    ) -> None:
        stream.do(self._launch, build, blocks, threads, values)

    def _launch(self, build: Build, blocks: int, threads: int, values: list) -> None:
        bound: list = []
        for (kind, dtype), value in zip(build.kinds, values, strict=True):
            if kind == "pointer":
                value = self._pointer(value, dtype)
            elif kind == "table":
                value = _Table(self, self._pointer(value, np.dtype(np.int64)), dtype)
            bound.append(value)
        run(build, blocks, threads, bound)

    # ---------------------------------------------------------------------- graphs

    def capture(self, index: int, body: Callable[[Stream], None]) -> list:
        stream = self.create_stream(index)
        stream.captured = []
        body(stream)
        return stream.captured

    def replay(self, graph: list, stream: Stream, index: int) -> None:
        for function, arguments in graph:
            stream.do(function, *arguments)

    # --------------------------------------------------------- streams and events

    def device_of(self, address: int) -> int:
        return self._blocks[self._starts[bisect.bisect_right(self._starts, address) - 1]][1]

    def foreign_stream(self, index: int, handle: int) -> Stream:
        return Stream(handle)

    def default_stream(self, index: int) -> Stream:
        return Stream()

    def create_stream(self, index: int, priority: int = 0) -> Stream:
        self._streams += 1
        return Stream(self._streams + 1)

    def create_event(self, index: int, timing: bool) -> Event:
        return Event()

    def stream_done(self, stream: Stream) -> bool:
        return True

    def synchronize(self, index: int) -> None:
        pass


class _Table:
    """Addresses in device memory, which are pointers to elements of `dtype`."""

    def __init__(self, simulator: Simulator, addresses: Pointer, dtype: np.dtype) -> None:
        self.simulator = simulator
        self.addresses = addresses
        self.dtype = dtype

    def __getitem__(self, k: int) -> Pointer:
        return self.simulator._pointer(int(self.addresses[k]), self.dtype)
