"""The CPU: memory is NumPy's, a launch runs a kernel's machine code on the calling thread or all.

`launch` is the one place where an operation meets a kernel, so it is also where `compile` listens;
what an operation learns from memory, it asks with `check` and `values`.

Large blocks are kept when they are freed and handed out again: the system gives a new one page by
page, at the first touch of each, which takes longer than most kernels need to fill it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels._launch import PARALLEL_WORK, get_num_threads, launcher, set_num_threads

__all__ = ["dense", "empty", "empty_cache", "get_num_threads", "launch", "set_num_threads"]

#: Bytes from which on a block is kept, and from which on it asks for huge pages.
LARGE, HUGE = 1 << 18, 1 << 22
#: The most bytes of free blocks that are kept.
KEPT = min(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)

_numpy_empty = np.empty
_byte = np.dtype(np.uint8)


def empty(shape: Any, dtype: Any) -> np.ndarray:
    """New memory, not initialised."""
    data = _numpy_empty(shape, dtype)
    # Untouched, a large array of NumPy's costs nothing; most are small and stay.
    return data if data.nbytes < LARGE else _pool.take(data.shape, data.dtype, data.nbytes)


class _Block(np.ndarray):
    """A block's bytes: goes back to the pool with the last array on it."""

    def __del__(self) -> None:
        # Not for a view of a block, nor while the interpreter ends.
        memory = self.base
        if type(memory) is mmap.mmap and _pool is not None:
            _pool.put(memory)


class _Pool:
    """Free blocks by size, the sizes that have been free the longest first."""

    def __init__(self) -> None:
        self.free: dict[int, list[mmap.mmap]] = {}
        self.kept = 0
        #: The size of the block for an array of so many bytes.
        self.sizes: dict[int, int] = {}

    def take(self, shape: tuple, dtype: np.dtype, nbytes: int) -> np.ndarray:
        try:
            size = self.sizes[nbytes]
            memory = self.free[size].pop()
            self.kept -= size
        except (KeyError, IndexError):
            size = self._size(nbytes)
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
                memory.madvise(mmap.MADV_HUGEPAGE)
        return np.ndarray(shape, dtype, _Block(size, _byte, memory))

    def _size(self, nbytes: int) -> int:
        step = max(1 << (nbytes.bit_length() - 4), mmap.PAGESIZE)  # at most an eighth is wasted
        if len(self.sizes) >= 4096:
            self.sizes.clear()
        size = self.sizes[nbytes] = -(-nbytes // step) * step
        return size

    def put(self, memory: mmap.mmap) -> None:
        size = len(memory)
        self.kept += size
        try:
            self.free[size].append(memory)
        except KeyError:
            self.free.setdefault(size, []).append(memory)
        while self.kept > KEPT:  # a size in use comes back, behind the others
            try:
                size = next(iter(self.free))
                self.kept -= size * len(self.free.pop(size))
            except (KeyError, StopIteration, RuntimeError):  # another thread was faster
                self.kept = 0

    def clear(self) -> None:
        self.free.clear()
        self.kept = 0


_pool = _Pool()
#: NumPy's small arrays and those of a recording are the C library's; GNU's keeps free ones too.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def empty_cache() -> None:
    """Give free memory that is kept for the next allocation back to the system."""
    _pool.clear()
    if _malloc_trim is not None:
        _malloc_trim(0)


def run(kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
    """Run `kernel`, compiled for T = `dtype`, over its `n` work items.

    `work` is the number of elements it touches: large launches are spread over the threads.
    """
    address = kernel.addresses.get(dtype) or kernel.compile(dtype)
    if work < PARALLEL_WORK:
        launcher.serial(address, n, arguments)
    else:
        launcher.parallel(address, n, work, arguments)


#: What operations call: `run`, or while `compile` records, the recorder's.
launch = run
#: The recorder itself, where there is one.
recorder: Any = None


def check(flag: np.ndarray, index: int, function: Callable[..., Any], *arguments: Any) -> None:
    """After a launch: call `function(*arguments)`, which raises, if it set `flag[index]`."""
    if recorder is not None:
        recorder.check(flag, index, function, arguments)
    if flag.item(index):
        function(*arguments)


def values(data: np.ndarray, what: str) -> np.ndarray:
    """The array, for Python to look at its values; `what` names the operation that does."""
    if recorder is not None:
        recorder.read(what)
    return data


def dense(data: np.ndarray) -> np.ndarray:
    """`data` itself if it is C-contiguous, else a copy that is."""
    return data if data.flags.c_contiguous else np.ascontiguousarray(data).reshape(data.shape)
