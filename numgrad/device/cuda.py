"""CUDA devices: memory from a pool, streams, and launching the CUDA twins of kernels.

The functions are those of `cpu.py`. Nothing of CUDA is imported before the first use of a device;
`driver()` then finds the machine's devices, or with `NUMBA_ENABLE_CUDASIM=1` a simulated one.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import device as devices
from ..dtypes import device
from . import cpu
from ._array import DeviceArray, Memory, at


class OutOfMemoryError(RuntimeError):
    """A device's memory is full."""


# ------------------------------------------------------------------------ the devices

_driver: Any = None
_lock = threading.RLock()
#: What the packages of the extra are asked for by, in the order in which they are missed.
_PACKAGES = ("numba_cuda", "cuda.core", "cuda.bindings")


def simulated() -> bool:
    """Whether `NUMBA_ENABLE_CUDASIM=1` asks for the simulator."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


@functools.cache
def unavailable() -> str | None:
    """Why there is no CUDA device here, None where there is one."""
    if simulated():
        return None
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1) on this machine"
    for name in _PACKAGES:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f'the package {name} is missing: pip install "numgrad[cuda]"'
    try:
        from ._driver import Driver

        count = Driver().count
    except Exception as error:
        return f"the NVIDIA driver does not start: {error}"
    return None if count else "the NVIDIA driver finds no device"


def driver() -> Any:
    """The driver; RuntimeError that says what is missing where there is no device."""
    global _driver
    if _driver is None:
        with _lock:
            reason = unavailable()
            if reason is not None:
                raise RuntimeError(
                    f"numgrad was asked for a CUDA device, and none is available: {reason}. "
                    "numgrad.cuda.is_available() tells beforehand: "
                    'device = "cuda" if numgrad.cuda.is_available() else "cpu"'
                )
            if _driver is None:
                use(_make_driver())
    return _driver


def _make_driver() -> Any:
    if simulated():
        from ._simulator import Simulator

        return Simulator()
    from ._driver import Driver

    return Driver()


def use(new: Any) -> Any:
    """Make `new` the driver (tests put a simulator or a stand-in here); the old one is returned."""
    global _driver
    old, _driver = _driver, new
    devices.several = devices.several or new is not None
    _pools.clear()
    _tables.clear()
    _state.__dict__.clear()
    return old


def is_initialized() -> bool:
    """Whether CUDA has been used in this process."""
    return _driver is not None


@functools.cache
def device_of(index: int) -> device:
    """`device("cuda:<index>")`, one object for each."""
    return device("cuda", index)


def index_of(where: Any) -> int:
    """The number of a device given as None (the current one), a number, a string or a device."""
    if where is None:
        return current_index()
    if type(where) is int:
        index = where
    else:
        target = device(where)
        if target.type != "cuda":
            raise ValueError(f"Expected a cuda device, but got: {target}")
        index = current_index() if target.index is None else target.index
    if not 0 <= index < driver().count:
        raise RuntimeError(
            f"CUDA error: invalid device ordinal {index}: there are {driver().count} devices"
        )
    return index


class _State(threading.local):
    """The calling thread's current device, and its current stream on each."""

    index = 0
    streams: dict[int, Any]

    def __init__(self) -> None:
        self.streams = {}


_state = _State()


def current_index() -> int:
    return _state.index


def set_current(index: int) -> None:
    _state.index = index


def stream(index: int) -> Any:
    """The driver's stream that is the calling thread's current one on a device."""
    streams = _state.__dict__.get("streams")
    if streams is None:
        streams = _state.streams = {}
    found = streams.get(index)
    if found is None:
        found = streams[index] = driver().default_stream(index)
    return found


def set_stream(index: int, own: Any) -> None:
    stream(index)
    _state.streams[index] = own


# -------------------------------------------------------------------------- memory


class Pool:
    """What is known of a device's memory besides what the driver knows."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.allocated = self.peak = self.allocations = self.frees = 0
        self._lock = threading.RLock()

    def take(self, size: int) -> Memory:
        source = driver()
        try:
            ptr, owner = source.allocate(self.index, size, stream(self.index))
        except Exception as error:
            if type(error).__name__ != "OutOfMemory":
                raise
            # What the pool keeps, and what only cycles hold, may be enough.
            gc.collect()
            source.trim(self.index)
            try:
                ptr, owner = source.allocate(self.index, size, stream(self.index))
            except Exception as again:
                if type(again).__name__ != "OutOfMemory":
                    raise
                raise OutOfMemoryError(self._full(size)) from None
        with self._lock:
            self.allocations += 1
            self.allocated += size
            if self.allocated > self.peak:
                self.peak = self.allocated
        return Memory(ptr, size, self.index, owner, self)

    def gave_back(self, size: int) -> None:
        with self._lock:
            self.frees += 1
            self.allocated -= size

    def _full(self, size: int) -> str:
        free, total = driver().free_and_total(self.index)
        reserved, _ = driver().reserved(self.index)
        return (
            f"CUDA out of memory. Tried to allocate {_amount(size)}. GPU {self.index} has a total "
            f"capacity of {_amount(total)} of which {_amount(free)} is free. Of the allocated "
            f"memory {_amount(self.allocated)} is in tensors of numgrad, and "
            f"{_amount(max(reserved - self.allocated, 0))} is reserved by numgrad but unallocated."
        )


def _amount(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} bytes"


_pools: dict[int, Pool] = {}


def pool(index: int) -> Pool:
    found = _pools.get(index)
    if found is None:
        with _lock:
            found = _pools.setdefault(index, Pool(index))
    return found


def empty(shape: Any, dtype: Any, like: Any = None, index: int | None = None) -> DeviceArray:
    """New memory, not initialised, on the device of `like`, or on device `index` (by default the
    current one)."""
    if index is None:
        index = _state.index if like is None else like.memory.index
    if type(shape) is not tuple:
        shape = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    dtype = np.dtype(dtype)
    size = dtype.itemsize
    for n in shape:
        size *= n
    memory = (_pools.get(index) or pool(index)).take(max(size, 1))
    return at(memory, memory.ptr, shape, dtype)


def from_host(array: np.ndarray, like: Any = None, index: int | None = None) -> DeviceArray:
    """A C-contiguous copy of a host array on the device of `like`, or on device `index`."""
    if index is None:
        index = _state.index if like is None else like.memory.index
    memory = pool(index).take(max(array.nbytes, 1))
    if array.nbytes:
        dense = np.ascontiguousarray(array)
        driver().copy_in(memory.ptr, dense, stream(index), index)
    return at(memory, memory.ptr, array.shape, array.dtype)


def to_host(data: DeviceArray) -> np.ndarray:
    """A copy on the host."""
    data = dense(data)
    array = np.empty(data.shape, data.dtype)
    if array.nbytes:
        index = data.memory.index
        driver().copy_out(array, data.ptr, stream(index), index)
    return array


def to_index(data: DeviceArray, index: int) -> DeviceArray:
    """A copy on another device."""
    data = dense(data)
    source = data.memory.index
    memory = pool(index).take(max(data.nbytes, 1))
    if data.nbytes:
        # The copy runs after what made the data, and after what the target's stream did before.
        here, there = stream(source), stream(index)
        here.wait(there)
        driver().copy(memory.ptr, data.ptr, data.nbytes, here, source)
        there.wait(here)
    return at(memory, memory.ptr, data.shape, data.dtype)


# ------------------------------------------------------------------------ launching


def launch(kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
    """Run the CUDA twin of `kernel` for T = `dtype` on the device of its arguments."""
    if cpu.recorder is not None:
        cpu.recorder.read("a CUDA device")  # compile does not record launches there yet
    twin = kernel.twin
    if twin is None:
        raise NotImplementedError(f"the kernel {kernel.name} has no CUDA form yet")
    index = _index(arguments)
    if not twin.by_value and any(type(a) is np.ndarray for a in arguments):
        arguments = tuple(
            [from_host(a, index=index) if type(a) is np.ndarray else a for a in arguments]
        )
    build, items, own_block, values = twin.plan(dtype, n, arguments, tables)
    if items == 0:
        return
    threads = _driver.threads or twin.threads
    blocks = items if own_block else -(-items // threads)
    most = _most_blocks(index)
    own = build.loaded.get(index)
    if own is None or own[0] is not _driver:
        own = build.loaded[index] = (_driver, _driver.load(build, index))
    _driver.launch(
        own[1], build, blocks if blocks < most else most, threads, values, stream(index), index
    )


def _index(arguments: tuple) -> int:
    for a in arguments:
        if type(a) is DeviceArray:
            return a.memory.index
        if type(a) is tuple and a and type(a[0]) is DeviceArray:
            return a[0].memory.index
    raise TypeError("a launch on CUDA without an array there")


@functools.cache
def _limit(source: Any, index: int) -> int:
    return source.properties(index).multi_processor_count * source.max_blocks_per_processor


def _most_blocks(index: int) -> int:
    return _limit(_driver, index)


#: The tables of addresses used last: an optimizer's parameters are the same at every step.
_tables: dict[tuple, tuple] = {}


def tables(arrays: tuple) -> tuple[int, int]:
    """Device addresses of a table of the arrays' addresses, and of one of their sizes."""
    first = arrays[0].memory.index
    key = (first, *[a.ptr for a in arrays], *[a.size for a in arrays])
    found = _tables.get(key)
    if found is None:
        count = len(arrays)
        values = np.array(key[1:], np.int64)
        data = from_host(values, index=first)
        if len(_tables) >= 64:
            del _tables[next(iter(_tables))]
        found = _tables[key] = (data, data.ptr, data.ptr + 8 * count)
    return found[1], found[2]


def check(flag: DeviceArray, index: int, function: Callable[..., Any], *arguments: Any) -> None:
    """After a launch: call `function(*arguments)`, which raises, if it set `flag[index]`."""
    if to_host(flag).item(index):
        function(*[to_host(a) if type(a) is DeviceArray else a for a in arguments])


def values(data: DeviceArray, what: str) -> np.ndarray:
    """The values, on the host."""
    return to_host(data)


def dense(data: DeviceArray) -> DeviceArray:
    """`data` itself if it is C-contiguous, else a copy that is."""
    if data.flags.c_contiguous:
        return data
    from ..kernels.elementwise import copy

    out = empty(data.shape, data.dtype, data)
    launch(copy[data.dtype], data.dtype, out.size, (data, out), out.size)
    return out


import sys  # noqa: E402

DeviceArray.device_module = sys.modules[__name__]
DeviceArray.device_of = staticmethod(device_of)
