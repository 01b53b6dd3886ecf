"""CUDA devices: memory from a pool, streams, and launching the CUDA twins of kernels.

The functions are those of `cpu.py`. Nothing of CUDA is imported before the first use of a device;
`driver()` then finds the machine's devices, or with `NUMBA_ENABLE_CUDASIM=1` a simulated one.

The host runs ahead of the device: only what reads values on the host waits. What an operation's
`check` has to say is read then too, so an index out of range is told of at the next `.item()`,
`.cpu()` or `synchronize()`; no value that follows from it comes to the host before.
`CUDA_LAUNCH_BLOCKING=1` waits at every check.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import device as devices
from ..dtypes import device
from . import _dlpack, cpu
from ._array import BASE, DeviceArray, Memory, at


class OutOfMemoryError(RuntimeError):
    """A device's memory is full."""


# ------------------------------------------------------------------------ the devices

_byte = np.dtype(np.uint8)
_driver: Any = None
_lock = threading.RLock()
_forked = False  # whether this is the child of a process that had used CUDA
#: What the packages of the extra are asked for by, in the order in which they are missed.
_PACKAGES = ("numba_cuda", "cuda.core", "cuda.bindings")


def simulated() -> bool:
    """Whether `NUMBA_ENABLE_CUDASIM=1` asks for the simulator."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def unavailable() -> str | None:
    """Why there is no CUDA device here, None where there is one."""
    return None if _driver is not None or simulated() else _missing()


@functools.cache
def _missing() -> str | None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return (
            "found no NVIDIA driver on your system (libcuda.so.1): check that you have an NVIDIA "
            'GPU and installed its driver, and pip install "numgrad[cuda]"'
        )
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
    if _forked:
        raise RuntimeError(
            "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you "
            "must use the 'spawn' start method"
        )
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
    _pinned.clear()
    _unread.clear()
    _in_flight.clear()
    _tables.clear()
    _state.__dict__.clear()
    return old


def _after_fork() -> None:
    global _driver, _forked
    if _driver is not None and not simulated():
        _driver, _forked = None, True


os.register_at_fork(after_in_child=_after_fork)


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
    capturing = False

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


@contextlib.contextmanager
def on_stream(index: int, own: Any) -> Iterator[None]:
    """Send the calling thread's work on a device to a stream."""
    before = stream(index)
    set_stream(index, own)
    try:
        yield
    finally:
        set_stream(index, before)


def synchronize(index: int) -> None:
    """Wait for all work of a device, and raise what its checks have found."""
    driver().synchronize(index)
    settle(index)


# -------------------------------------------------------------------------- memory


class Pool:
    """What is known of a device's memory besides what the driver knows."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.allocated = self.peak = self.allocations = self.frees = 0
        self.retries = self.failures = 0
        self._lock = threading.RLock()

    def take(self, size: int) -> Memory:
        _not_while_capturing("allocates memory")
        source, own = driver(), stream(self.index)
        try:
            ptr, owner = source.allocate(self.index, size, own)
        except Exception as error:
            if type(error).__name__ != "OutOfMemory":
                raise
            # What the pool keeps, and what only cycles hold, may be enough.
            self.retries += 1
            gc.collect()
            source.trim(self.index)
            try:
                ptr, owner = source.allocate(self.index, size, own)
            except Exception as again:
                if type(again).__name__ != "OutOfMemory":
                    raise
                self.failures += 1
                raise OutOfMemoryError(self._full(size)) from None
        with self._lock:
            self.allocations += 1
            self.allocated += size
            if self.allocated > self.peak:
                self.peak = self.allocated
        memory = Memory(ptr, size, self.index, owner, self)
        memory.stream = own
        return memory

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


def in_use() -> list[int]:
    """The numbers of the devices that memory has been taken on."""
    return sorted(_pools)


def pool(index: int) -> Pool:
    found = _pools.get(index)
    if found is None:
        with _lock:
            found = _pools.setdefault(index, Pool(index))
    return found


def new(shape: Any, dtype: Any, like: Any = None, index: int | None = None) -> DeviceArray:
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


@functools.cache
def beside(index: int) -> DeviceArray:
    """An array without elements on a device, to be `like`."""
    driver()
    return at(Memory(BASE, 0, index, None), BASE, (0,), _byte)


def upload(
    array: np.ndarray, like: Any = None, index: int | None = None, non_blocking: bool = False
) -> DeviceArray:
    """A C-contiguous copy of a host array on the device of `like`, or on device `index`.

    `non_blocking` matters for page-locked memory, which must then stay as it is until the copy has
    happened; any other has been read on return, though the device may not have come to it.
    """
    if index is None:
        index = _state.index if like is None else like.memory.index
    _not_while_capturing("copies from the host")
    memory = pool(index).take(max(array.nbytes, 1))
    if array.nbytes:
        host = np.ascontiguousarray(array)
        here = stream(index)
        driver().copy_in(memory.ptr, host, here, index)
        if is_pinned(host):
            if non_blocking:
                _keep_until_done(host, here, index)
            else:
                here.sync()
    return at(memory, memory.ptr, array.shape, array.dtype)


def to_host(data: DeviceArray, non_blocking: bool = False) -> np.ndarray:
    """A copy on the host: with `non_blocking` in page-locked memory, filled when the stream is
    there."""
    if cpu.recorder is not None:
        cpu.recorder.read("a copy to the host")
    return _fetch(data, non_blocking)


def _fetch(data: DeviceArray, non_blocking: bool = False) -> np.ndarray:
    _not_while_capturing("copies to the host")
    data = dense(data)
    index = data.memory.index
    here = stream(index)
    if non_blocking:
        array = empty_pinned(data.shape, data.dtype)
        if array.nbytes:
            driver().copy_out(array, data.ptr, here, index, wait=False)
            _keep_until_done(array, here, index)
        return array
    array = np.empty(data.shape, data.dtype)
    if array.nbytes:
        driver().copy_out(array, data.ptr, here, index)
    if _unread:
        settle(index)
    return array


def to_index(data: DeviceArray, index: int) -> DeviceArray:
    """A copy on another device."""
    if cpu.recorder is not None:
        cpu.recorder.read("a copy between devices")
    _not_while_capturing("copies to another device")
    data = dense(data)
    source = data.memory.index
    memory = pool(index).take(max(data.nbytes, 1))
    if data.nbytes:
        # The copy runs after what made the data, and after what the target's stream did before.
        here, there = stream(source), stream(index)
        here.wait(there)
        driver().copy(memory.ptr, data.ptr, data.nbytes, here, source, index)
        there.wait(here)
    return at(memory, memory.ptr, data.shape, data.dtype)


def copy_within(target: DeviceArray, source: DeviceArray) -> None:
    """Copy the bytes of one C-contiguous array to another on the same device."""
    if source.nbytes:
        index = source.memory.index
        driver().copy(target.ptr, source.ptr, source.nbytes, stream(index), index)


# -------------------------------------------------------------- other libraries' arrays


def from_foreign(found: _dlpack.Foreign, handle: int | None = None) -> DeviceArray:
    """Another library's array, shared, once its stream (by handle, if given) has made it."""
    index = found.device_id
    if handle is not None:
        _wait_for(index, handle)
    if 0 in found.shape:
        return new(found.shape, found.dtype, beside(index))
    memory = Memory(found.address, 0, index, found.keep)
    whole = at(memory, found.address, (1,), found.dtype)
    return whole.part(found.shape, found.dtype, 0, found.strides)


def _wait_for(index: int, handle: int) -> None:
    own = stream(index)
    if int(own.handle) != (handle or 1):
        own.wait(driver().foreign_stream(index, handle))


def export(data: DeviceArray, handle: int | None) -> Any:
    """A DLPack capsule, whose memory is ready for what comes on a stream (by handle; None: the
    legacy default stream; -1: no matter when)."""
    index = data.memory.index
    own = stream(index)
    if handle != -1 and int(own.handle) != (handle or 1):
        other = driver().foreign_stream(index, handle or 1)
        other.wait(own)
        data.memory.record_stream(other)
    return _dlpack.export(data, data.ptr, _dlpack.CUDA, index)


def interface(data: DeviceArray) -> dict[str, Any]:
    """`__cuda_array_interface__`, version 3."""
    return {
        "shape": data.shape,
        "typestr": data.dtype.str,
        "data": (data.ptr if data.size else 0, False),
        "strides": None if data.flags.c_contiguous else data.strides,
        "version": 3,
        "stream": int(stream(data.memory.index).handle) or 1,
    }


def from_interface(source: Any) -> DeviceArray:
    """Another library's array with `__cuda_array_interface__`, shared."""
    return from_foreign(*_dlpack.from_interface(source, driver().device_of))


# ------------------------------------------------------------------ page-locked memory

_pinned: dict[int, list[Any]] = {}  # free buffers by size
_in_flight: list[tuple[Any, Any]] = []  # host arrays that a stream has yet to come to


class _Pinned(np.ndarray):
    """A page-locked buffer's bytes: kept for the next when the last array on it goes."""

    def __del__(self) -> None:
        buffer = self.base
        if buffer is not None and not isinstance(buffer, np.ndarray) and _pinned is not None:
            _pinned.setdefault(len(buffer), []).append(buffer)


def empty_pinned(shape: Any, dtype: Any) -> np.ndarray:
    """New page-locked host memory, not initialised: devices copy from and to it by themselves."""
    dtype = np.dtype(dtype)
    size = dtype.itemsize
    for n in shape:
        size *= n
    size = 1 << max(size - 1, 511).bit_length()
    free = _pinned.get(size)
    try:
        buffer = free.pop() if free else driver().pinned(size)
    except IndexError:  # another thread was faster
        buffer = driver().pinned(size)
    return np.ndarray(shape, dtype, _Pinned(size, _byte, buffer))


def is_pinned(array: np.ndarray) -> bool:
    """Whether a host array lies in page-locked memory."""
    return type(array) is np.ndarray and type(devices.root(array)) is _Pinned


def _keep_until_done(array: np.ndarray, own: Any, index: int) -> None:
    _in_flight[:] = [(event, kept) for event, kept in _in_flight if not event.is_done]
    event = driver().create_event(index, False)
    own.record(event)
    _in_flight.append((event, array))


# ------------------------------------------------------------------------ launching


def run(kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
    """Run the CUDA twin of `kernel` for T = `dtype` on the device of its arguments."""
    twin = kernel.twin
    if twin is None:
        raise NotImplementedError(f"the kernel {kernel.name} has no CUDA form yet")
    index = _index(arguments)
    if not twin.by_value and any(type(a) is np.ndarray for a in arguments):
        _check_written(kernel, arguments, index)
        arguments = tuple(
            [upload(a, index=index) if type(a) is np.ndarray else a for a in arguments]
        )
    build, items, own_block, values = twin.plan(dtype, n, arguments, tables)
    if items:
        start(twin, build, items, own_block, values, index)


def _check_written(kernel: Any, arguments: tuple, index: int) -> None:
    """Raise PyTorch's error where a kernel would write to the host beside a device."""
    specs = getattr(kernel, "specs", None)  # an elementwise kernel writes its last argument
    for k, argument in enumerate(arguments):
        reads = k + 1 < len(arguments) if specs is None else specs[k].effect == "reads"
        if type(argument) is np.ndarray and not reads:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:{index} and cpu!"
            )


def start(twin: Any, build: Any, items: int, own_block: bool, values: list, index: int) -> None:
    """Put what `twin.plan` gave on the current stream."""
    threads = _driver.threads or twin.threads
    blocks = items if own_block else -(-items // threads)
    most = _most_blocks(index)
    _driver.launch(
        loaded(build, index),
        build,
        blocks if blocks < most else most,
        threads,
        values,
        stream(index),
        index,
    )


def loaded(build: Any, index: int) -> Any:
    """A twin's machine code on a device."""
    own = build.loaded.get(index)
    if own is None or own[0] is not _driver:
        own = build.loaded[index] = (_driver, _driver.load(build, index))
    return own[1]


#: What operations call: these, or while `compile` records, the recorder's.
launch, empty, from_host = run, new, upload


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
        data = upload(values, index=first)
        if len(_tables) >= 64:
            del _tables[next(iter(_tables))]
        found = _tables[key] = (data, data.ptr, data.ptr + 8 * count)
    return found[1], found[2]


# -------------------------------------------------------------------------- checks

#: Checks whose flags are on their way: by device, (flag on the host, stream, what raises, and what
#: has to stay until then).
_unread: dict[int, list[tuple]] = {}
#: So many, and the host waits for them.
_MOST_UNREAD = 64
_blocking = os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in ("", "0")


def check(flag: DeviceArray, index: int, function: Callable[..., Any], *arguments: Any) -> None:
    """After a launch: have `function(*arguments)`, which raises, called if it set `flag[index]`.

    That is looked at when the host next waits for the device: see the module's docstring.
    """
    if cpu.recorder is not None:
        cpu.recorder.check(flag, index, function, arguments)
    place = flag.memory.index
    own = stream(place)
    word = empty_pinned((), flag.dtype)
    driver().copy_out(word, flag.ptr + index * flag.itemsize, own, place, wait=False)
    waiting = _unread.setdefault(place, [])
    waiting.append((word, own, function, arguments, flag))
    if len(waiting) >= _MOST_UNREAD or _blocking or cpu.recorder is not None:
        settle(place)


def settle(index: int) -> None:
    """Read the checks of a device; raise what the first that failed raises."""
    waiting = _unread.pop(index, None)
    if not waiting:
        return
    for own in {id(own): own for _, own, *_ in waiting}.values():
        own.sync()
    for word, _, function, arguments, _ in waiting:
        if word.item():
            function(*[_fetch(a) if type(a) is DeviceArray else a for a in arguments])
            raise RuntimeError(
                f"a check on {device_of(index)} failed ({function.__name__}), and what it looked "
                "at has changed since: CUDA_LAUNCH_BLOCKING=1 tells of it at once"
            )


# ------------------------------------------------------------------------ CUDA graphs


def capture(index: int, body: Callable[[], None]) -> Any:
    """The work that `body` puts on the current stream of a device, as one graph to `replay`."""

    def on(own: Any) -> None:
        with on_stream(index, own):
            _state.capturing = True
            try:
                body()
            finally:
                _state.capturing = False

    return driver().capture(index, on)


def replay(graph: Any, index: int) -> None:
    """Put a graph's work on the current stream."""
    _driver.replay(graph, stream(index), index)


def _not_while_capturing(what: str) -> None:
    if _state.capturing:
        raise RuntimeError(f"it {what}, which cannot be part of a CUDA graph")


def values(data: DeviceArray, what: str) -> np.ndarray:
    """The values, on the host."""
    if cpu.recorder is not None:
        cpu.recorder.read(what)
    return _fetch(data)


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
