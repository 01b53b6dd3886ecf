"""CUDA twins run in Python, thread by thread: for tests and for reading, on tiny arrays.

The threads of a block are greenlets that take turns at barriers, with Numba's own simulator module
in the place of `cuda`; warp shuffles, which it lacks, exchange values between two barriers. Every
access is checked against the memory it belongs to, and so is that all threads reach a barrier.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import as_dtype, from_dtype

from . import Build, Intrinsic, Target
from .maths import Function


class Pointer:
    """A pointer into a block of memory, which refuses to leave it."""

    __slots__ = ("elements", "start")

    def __init__(self, elements: np.ndarray, start: int) -> None:
        self.elements = elements
        self.start = start

    def _place(self, index: int) -> int:
        place = self.start + int(index)
        if not 0 <= place < self.elements.size:
            raise IndexError(
                f"element {place} of memory with {self.elements.size} elements of "
                f"{self.elements.dtype}"
            )
        return place

    def __getitem__(self, index: int) -> Any:
        return self.elements[self._place(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self.elements[self._place(index)] = np.asarray(value).astype(self.elements.dtype)


def run(build: Build, blocks: int, threads: int, values: list) -> None:
    """Run a twin over a grid; `values` has a `Pointer` for each pointer, lists of them for tables."""
    from numba.cuda.simulator.kernelapi import Dim3, FakeCUDAModule

    function = _targets.setdefault(build.dtype, Simulated(build.dtype)).bind(build.function)
    module = FakeCUDAModule((blocks, 1, 1), (threads, 1, 1), 0)
    points = [Dim3(k, 0, 0) for k in range(threads)]
    with _running:
        Simulated.cuda.begin(module, threads)
        for block in range(blocks):
            _run_block(lambda: function(*values), Dim3(block, 0, 0), points)


_running = threading.Lock()


def _run_block(body: Callable, block: Any, points: list) -> None:
    try:
        from greenlet import getcurrent, greenlet
    except ImportError as error:
        raise ImportError("the CUDA simulator needs greenlet: pip install greenlet") from error

    def guarded() -> None:
        with np.errstate(all="ignore"):
            body()

    hub: Any = getcurrent()
    thread: Any = threading.current_thread()
    thread.blockIdx = block
    thread.syncthreads = lambda: hub.switch()
    alive = [(greenlet(guarded), point) for point in points]
    for turn in itertools.count():
        waiting = []
        # In turn from both ends, so that a missing barrier shows.
        for fiber, point in alive if turn % 2 == 0 else reversed(alive):
            thread.threadIdx, thread.thread_id = point, point.x
            fiber.switch()
            if not fiber.dead:
                waiting.append((fiber, point))
        if not waiting:
            return
        if len(waiting) != len(points):
            raise RuntimeError(
                f"only {len(waiting)} of {len(points)} threads of a block reached the barrier"
            )
        alive = waiting if turn % 2 == 0 else waiting[::-1]


class _Shared:
    """The block's arrays: one for each line that asks for one, and each dtype (Numba's simulator
    takes the same line for the same array)."""

    def __init__(self) -> None:
        self._arrays: dict[tuple, np.ndarray] = {}

    def array(self, shape: Any, dtype: Any) -> np.ndarray:
        kind = as_dtype(dtype) if isinstance(dtype, types.Type) else np.dtype(dtype)
        caller = sys._getframe(1)
        key = (caller.f_code, caller.f_lineno, kind)
        found = self._arrays.get(key)
        if found is None:
            found = self._arrays[key] = np.empty(shape, kind)
            found.view(np.uint8)[...] = 0xFF
        return found


class _Cuda:
    """numba.cuda inside a simulated kernel: Numba's module, and the warp shuffles."""

    def begin(self, module: Any, threads: int) -> None:
        self._module = module
        self.shared = _Shared()
        self._exchange: list = [None] * threads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def _shuffle(self, value: Any, source: Callable[[int], int]) -> Any:
        own = self._module.threadIdx.x
        self._exchange[own] = value
        self._module.syncthreads()
        lane = source(own % 32)
        other = own - own % 32 + lane
        found = self._exchange[other] if 0 <= lane < 32 else value
        self._module.syncthreads()
        return found

    def shfl_xor_sync(self, mask: int, value: Any, lanes: int) -> Any:
        return self._shuffle(value, lambda lane: lane ^ lanes)

    def shfl_sync(self, mask: int, value: Any, source: int) -> Any:
        return self._shuffle(value, lambda lane: source)

    def shfl_up_sync(self, mask: int, value: Any, delta: int) -> Any:
        return self._shuffle(value, lambda lane: lane - delta)

    def shfl_down_sync(self, mask: int, value: Any, delta: int) -> Any:
        return self._shuffle(value, lambda lane: lane + delta)

    def match_any_sync(self, mask: int, value: Any) -> np.uint32:
        own = self._module.threadIdx.x
        self._exchange[own] = value
        self._module.syncthreads()
        first = own - own % 32
        peers = [k for k in range(32) if self._exchange[first + k] == value]
        self._module.syncthreads()
        return np.uint32(sum(1 << k for k in peers))

    def syncwarp(self, mask: int = 0xFFFFFFFF) -> None:
        self._module.syncthreads()


class Simulated(Target):
    cuda = _Cuda()

    def dispatched(self, implement: Callable) -> Callable:
        bound: dict[tuple, Callable] = {}

        def call(*args: Any) -> Any:
            kinds = tuple(type(arg) for arg in args)
            function = bound.get(kinds)
            if function is None:
                implementation = implement(*[_numba_type(kind) for kind in kinds])
                function = bound[kinds] = self.bind(implementation)
            return function(*args)

        return call

    def intrinsic(self, intrinsic: Intrinsic) -> Callable:
        return intrinsic.py_func

    def maths(self, own: Function) -> Callable:
        def call(*args: Any) -> Any:
            if any(isinstance(arg, np.float32) for arg in args):
                if not any(isinstance(arg, np.float64) for arg in args):
                    return own.meaning(*[np.float32(arg) for arg in args])
            return own.meaning(*[np.float64(arg) for arg in args])

        return call


def _numba_type(kind: type) -> types.Type:
    if kind is bool:
        return types.boolean
    if kind is int:
        return types.int64
    if issubclass(kind, np.generic):
        return from_dtype(np.dtype(kind))
    if kind is float:
        return types.float64
    return types.pyobject  # a pointer: for functions that do not look


_targets: dict[np.dtype, Simulated] = {}
