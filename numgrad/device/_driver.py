"""The one file that talks to the CUDA driver, through cuda.core and cuda.bindings.

Everything above it is written against this class; `_simulator.py` has the same methods.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from cuda.bindings import driver as api
from cuda.core import (
    Device,
    DeviceMemoryResource,
    DeviceMemoryResourceOptions,
    EventOptions,
    LaunchConfig,
    ObjectCode,
    Stream,
    StreamOptions,
)
from cuda.core import launch as core_launch

from ..kernels.cuda import Build
from ..kernels.cuda.compile import compiled


class Properties(NamedTuple):
    """What is asked about a device."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    warp_size: int = 32


class OutOfMemory(Exception):
    """The device has no block of the wanted size."""


def call(result: tuple) -> Any:
    """The value of a call of cuda.bindings; RuntimeError with the driver's words if it failed."""
    status, *values = result
    if status != api.CUresult.CUDA_SUCCESS:
        _, text = api.cuGetErrorString(status)
        words = text.decode() if text else ""
        raise RuntimeError(f"CUDA error: {words} ({status.name})")
    return values[0] if len(values) == 1 else values or None


class Driver:
    """A machine's CUDA devices."""

    threads = 0  # a block has as many threads as its kernel says
    max_blocks_per_processor = 32

    def __init__(self) -> None:
        self.devices = Device.get_all_devices()
        self.count = len(self.devices)
        self._current = threading.local()
        self._pools: dict[int, Any] = {}
        self._properties: dict[int, Properties] = {}
        self._kernels: dict[tuple, Any] = {}
        self._configs: dict[tuple[int, int], LaunchConfig] = {}
        self._lock = threading.Lock()

    def enter(self, index: int) -> None:
        """Make a device the calling thread's."""
        if getattr(self._current, "index", None) != index:
            self.devices[index].set_current()
            self._current.index = index

    def properties(self, index: int) -> Properties:
        found = self._properties.get(index)
        if found is None:
            device = self.devices[index]
            major, minor = device.compute_capability
            handle = call(api.cuDeviceGet(index))
            found = self._properties[index] = Properties(
                device.name,
                major,
                minor,
                int(call(api.cuDeviceTotalMem(handle))),
                device.properties.multiprocessor_count,
            )
        return found

    # --------------------------------------------------------------------- memory

    def _pool(self, index: int) -> Any:
        pool = self._pools.get(index)
        if pool is None:
            with self._lock:
                pool = self._pools.get(index)
                if pool is None:
                    self.enter(index)
                    pool = DeviceMemoryResource(index, DeviceMemoryResourceOptions())
                    # The default gives free memory back to the system at every synchronisation.
                    attribute = api.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
                    most = api.cuuint64_t((1 << 64) - 1)
                    call(api.cuMemPoolSetAttribute(pool.handle, attribute, most))
                    peers = [k for k in range(self.count) if self.can_access_peer(k, index)]
                    if peers:  # so that other devices' kernels and copies reach this memory
                        pool.peer_accessible_by = peers
                    self._pools[index] = pool
        return pool

    def allocate(self, index: int, size: int, stream: Any) -> tuple[int, Any]:
        """The address of new memory, and what keeps it; `OutOfMemory` if there is none."""
        self.enter(index)
        pool = self._pools.get(index) or self._pool(index)
        try:
            buffer = pool.allocate(size, stream=stream)
        except Exception as error:
            if "OUT_OF_MEMORY" in str(error):
                raise OutOfMemory from error
            raise
        return int(buffer.handle), buffer

    def trim(self, index: int) -> None:
        """Give the pool's free memory back to the system."""
        if index in self._pools:
            self.synchronize(index)
            call(api.cuMemPoolTrimTo(self._pools[index].handle, 0))

    def reserved(self, index: int) -> tuple[int, int]:
        """Bytes that the pool holds, and the most it has held."""
        pool = self._pools.get(index)
        if pool is None:
            return 0, 0
        attributes = pool.attributes
        return attributes.reserved_mem_current, attributes.reserved_mem_high

    def reset_reserved(self, index: int) -> None:
        """Begin the second number of `reserved` anew."""
        if index in self._pools:
            attribute = api.CUmemPool_attribute.CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH
            handle = self._pools[index].handle
            call(api.cuMemPoolSetAttribute(handle, attribute, api.cuuint64_t(0)))

    def can_access_peer(self, index: int, peer: int) -> bool:
        """Whether a device reads and writes another's memory by itself."""
        return index != peer and self.devices[index].can_access_peer(peer)

    def free_and_total(self, index: int) -> tuple[int, int]:
        self.enter(index)
        free, total = call(api.cuMemGetInfo())
        return int(free), int(total)

    def pinned(self, size: int) -> Any:
        """A page-locked host buffer of `size` bytes."""
        self.enter(getattr(self._current, "index", 0))
        flags = api.CU_MEMHOSTALLOC_PORTABLE
        address = int(call(api.cuMemHostAlloc(max(size, 1), flags)))
        buffer = (ctypes.c_char * size).from_address(address)
        weakref.finalize(buffer, api.cuMemFreeHost, address)
        return buffer

    # --------------------------------------------------------------------- copies

    def copy_in(self, ptr: int, array: np.ndarray, stream: Any, index: int) -> None:
        """From a C-contiguous host array. From pageable memory it has been read on return; page-
        locked memory must stay as it is until the stream comes to it."""
        self.enter(index)
        call(api.cuMemcpyHtoDAsync(ptr, array.ctypes.data, array.nbytes, stream.handle))

    def copy_out(
        self, array: np.ndarray, ptr: int, stream: Any, index: int, wait: bool = True
    ) -> None:
        """To a C-contiguous host array."""
        self.enter(index)
        call(api.cuMemcpyDtoHAsync(array.ctypes.data, ptr, array.nbytes, stream.handle))
        if wait:
            stream.sync()

    def copy(
        self, target: int, source: int, size: int, stream: Any, index: int, to: int | None = None
    ) -> None:
        """Between addresses of device `index`, or from there to device `to`."""
        self.enter(index)
        if to is None or to == index or self.can_access_peer(index, to):
            call(api.cuMemcpyAsync(target, source, size, stream.handle))
        else:  # by way of the host
            there, here = [
                call(api.cuDevicePrimaryCtxRetain(call(api.cuDeviceGet(k)))) for k in (to, index)
            ]
            call(api.cuMemcpyPeerAsync(target, there, source, here, size, stream.handle))

    # -------------------------------------------------------------------- kernels

    def load(self, build: Build, index: int) -> Any:
        """A kernel for a device, compiled or from the disk cache."""
        found = self.properties(index)
        key = (id(build), found.major, found.minor)
        kernel = self._kernels.get(key)
        if kernel is None:
            self.enter(index)
            result = compiled(build, (found.major, found.minor))
            code = ObjectCode.from_cubin(result.cubin)
            kernel = self._kernels[key] = (code.get_kernel(result.symbol), build)
        return kernel[0]

    def launch(
        self,
        kernel: Any,
        build: Build,
        blocks: int,
        threads: int,
        values: list,
        stream: Any,
        index: int,
    ) -> None:
        """Run a loaded kernel; `values` are integers (addresses too) and floats."""
        if getattr(self._current, "index", None) != index:
            self.enter(index)
        key = (blocks, threads)
        config = self._configs.get(key)
        if config is None:
            if len(self._configs) > 4096:
                self._configs.clear()
            config = self._configs[key] = LaunchConfig(grid=blocks, block=threads)
        core_launch(stream, config, kernel, *values)

    # ---------------------------------------------------------------------- graphs

    def capture(self, index: int, body: Callable[[Any], None]) -> Any:
        """The work that `body(stream)` puts on the stream, as a graph that is not run yet."""
        self.enter(index)
        builder = self.devices[index].create_graph_builder()
        try:
            builder.begin_building()
            try:
                body(builder.stream)
            except BaseException:
                with contextlib.suppress(Exception):  # of a capture that has failed already
                    builder.end_building()
                raise
            builder.end_building()
            graph = builder.complete()
        finally:
            builder.close()
        return graph

    def replay(self, graph: Any, stream: Any, index: int) -> None:
        """Run a graph."""
        self.enter(index)
        graph.launch(stream)

    # --------------------------------------------------------- streams and events

    def default_stream(self, index: int) -> Any:
        self.enter(index)
        return self.devices[index].default_stream

    def create_stream(self, index: int, priority: int = 0) -> Any:
        self.enter(index)
        return self.devices[index].create_stream(options=StreamOptions(priority=priority))

    def create_event(self, index: int, timing: bool) -> Any:
        self.enter(index)
        return self.devices[index].create_event(EventOptions(timing_enabled=timing))

    def device_of(self, address: int) -> int:
        """The number of the device that an address belongs to."""
        self.enter(getattr(self._current, "index", 0))
        attribute = api.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        return int(call(api.cuPointerGetAttribute(attribute, address)))

    def foreign_stream(self, index: int, handle: int) -> Any:
        """Another library's stream, by its handle; 1 is the legacy default stream."""
        self.enter(index)
        return self.default_stream(index) if handle in (0, 1) else Stream.from_handle(handle)

    def stream_done(self, stream: Any) -> bool:
        (status,) = api.cuStreamQuery(stream.handle)
        if status == api.CUresult.CUDA_ERROR_NOT_READY:
            return False
        call((status,))
        return True

    def synchronize(self, index: int) -> None:
        self.enter(index)
        self.devices[index].sync()
