"""A stand-in for `cuda.core` and the driver: what `device/_driver.py` is tested against.

It has the names and signatures of cuda.core 1.2 that the driver uses (`test_driver.py` compares
them with the real ones), keeps a log of what was asked, and behaves like the hardware where that
matters: a stream does nothing until somebody waits for it, page-locked memory is read when the
copy happens and any other when it is asked for, memory that was given back is gone when its stream
comes there. The kernels run in the simulator.
"""

import contextlib
import ctypes
import importlib
import itertools
import sys
import types

import numpy as np

from numgrad.device import cuda
from numgrad.device._simulator import OutOfMemory, Simulator
from numgrad.kernels.cuda.compile import Compiled


class CUDAError(Exception):
    pass


class Machine:
    """Two devices, and the modules `cuda.core` and `cuda.bindings.driver` on them."""

    def __init__(self, count=2, memory=1 << 24):
        self.simulator = Simulator(count, memory)
        self.log = []
        self.streams = {}
        self.pinned = {}
        self.builds = {}
        self.blocks = {}
        self.reserved = [0] * count
        self.high = [0] * count
        self.current = None
        self.handles = itertools.count(0x1000)
        self.core, self.api = _core(self), _api(self)

    def note(self, what, *details):
        self.log.append((what, *details))

    def asked(self, what):
        """The details of all calls of a kind."""
        return [details for kind, *details in self.log if kind == what]

    # What `numgrad.kernels.cuda.compile.compiled` is replaced by: no machine code is needed.
    def compiled(self, build, capability):
        self.note("compile", build.name, capability)
        token = f"cubin {len(self.builds)}"
        self.builds[token] = build
        return Compiled(f"symbol of {token}", token.encode(), "")

    @contextlib.contextmanager
    def installed(self):
        """`numgrad.device._driver.Driver` on this machine, in the place of the devices' driver."""
        package, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
        package.__path__, bindings.__path__ = [], []
        package.core, package.bindings, bindings.driver = self.core, bindings, self.api
        new = {
            "cuda": package,
            "cuda.core": self.core,
            "cuda.bindings": bindings,
            "cuda.bindings.driver": self.api,
        }
        with _modules("numgrad.device._driver"), _modules(*new):
            sys.modules.update(new)
            module = importlib.import_module("numgrad.device._driver")
        module.compiled = self.compiled
        driver = module.Driver()
        driver.threads = 32  # a simulated thread takes its time
        before = cuda.use(driver)
        try:
            yield driver
        finally:
            cuda.use(before)


@contextlib.contextmanager
def _modules(*names):
    """These modules not imported, and afterwards as they were."""
    old = {name: sys.modules.pop(name, None) for name in names}
    try:
        yield
    finally:
        for name, module in old.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


class Event:
    def __init__(self, machine, options):
        self.machine = machine
        self.timed = options.timing_enabled
        self.handle = next(machine.handles)
        self.pending = None  # (stream, position) of what has not happened
        self.moment = None

    @property
    def is_done(self):
        return self.pending is None

    def sync(self):
        if self.pending is not None:
            self.pending[0].run(self.pending[1])

    def __sub__(self, other):
        assert self.timed and other.timed
        return float(self.moment - other.moment)


class Stream:
    def __init__(self, machine, handle, device):
        self.machine = machine
        self.handle = handle
        self.device = device
        self.queue = []
        self.done = 0  # how many of the queue
        self.captured = None
        machine.streams[handle] = self

    @staticmethod
    def from_handle(handle):
        raise AssertionError("replaced by the machine's")

    def put(self, function, *arguments):
        if self.captured is not None:
            self.captured.append((function, arguments))
        else:
            self.queue.append((function, arguments))

    def run(self, until=None):
        until = len(self.queue) if until is None else until
        while self.done < until:
            function, arguments = self.queue[self.done]
            self.done += 1
            function(*arguments)

    def sync(self):
        if self.captured is not None:
            raise CUDAError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        self.machine.note("wait for", self.handle)
        self.run()

    def record(self, event=None, options=None):
        assert event is not None and self.captured is None
        event.pending = (self, len(self.queue) + 1)

        def happen():
            event.pending = None
            event.moment = self.machine.simulator.clock = (
                getattr(self.machine.simulator, "clock", 0.0) + 1.0
            )

        self.put(happen)
        return event

    def wait(self, event_or_stream):
        assert self.captured is None
        if isinstance(event_or_stream, Stream):
            other, until = event_or_stream, len(event_or_stream.queue)
            self.put(lambda: other.run(until))
        else:
            self.put(event_or_stream.sync)

    def create_graph_builder(self):
        raise AssertionError("the legacy default stream cannot be captured")


def _core(machine):
    core = types.ModuleType("cuda.core")

    class Device:
        def __init__(self, device_id):
            self.device_id = device_id
            self.name = f"Stand-in {device_id}"
            self.compute_capability = (9, 0)
            self.properties = types.SimpleNamespace(multiprocessor_count=2)
            self.default_stream = Stream(machine, 1 if device_id == 0 else 101, self)

        @classmethod
        def get_all_devices(cls):
            return tuple([cls(k) for k in range(machine.simulator.count)])

        def set_current(self, ctx=None):
            machine.current = self.device_id
            machine.note("device", self.device_id)

        def can_access_peer(self, peer):
            return True

        def create_stream(self, obj=None, options=None):
            assert machine.current == self.device_id
            return Stream(machine, next(machine.handles), self)

        def create_event(self, options=None):
            return Event(machine, options)

        def create_graph_builder(self):
            return GraphBuilder(self)

        def sync(self):
            machine.note("wait for device", self.device_id)
            for stream in list(machine.streams.values()):
                if stream.device is self:
                    stream.run()

    class Buffer:
        def __init__(self, pool, size, stream):
            self.pool, self.size, self.stream = pool, size, stream
            try:
                self.handle, block = machine.simulator.allocate(pool.index, size, stream)
                machine.blocks[self.handle] = block
            except OutOfMemory:
                raise CUDAError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed") from None

        def __del__(self):
            if hasattr(self, "handle"):  # the memory is gone when the stream comes here
                self.stream.put(machine.blocks.pop, self.handle)

    class DeviceMemoryResource:
        def __init__(self, device_id, options=None):
            assert options is not None, "not the pool that everybody has"
            self.index = device_id
            self.handle = ("pool", device_id)
            self.peer_accessible_by = []

        def allocate(self, size, *, stream):
            assert stream.captured is None, "memory of a graph's own"
            machine.note("allocate", self.index, size)
            buffer = Buffer(self, size, stream)
            used = machine.simulator.used[self.index]
            machine.reserved[self.index] = max(machine.reserved[self.index], used)
            machine.high[self.index] = max(machine.high[self.index], used)
            return buffer

        @property
        def attributes(self):
            return types.SimpleNamespace(
                reserved_mem_current=machine.reserved[self.index],
                reserved_mem_high=machine.high[self.index],
            )

    class ObjectCode:
        def __init__(self, build):
            self.build = build

        @staticmethod
        def from_cubin(module, *, name="", symbol_mapping=None):
            machine.note("load", module.decode())
            return ObjectCode(machine.builds[module.decode()])

        def get_kernel(self, name):
            return types.SimpleNamespace(build=self.build, name=name)

    class LaunchConfig:
        def __init__(self, grid=None, cluster=None, block=None, shmem_size=None):
            self.grid, self.block = grid, block

    def launch(stream, config, kernel, *kernel_args):
        build = kernel.build
        assert len(kernel_args) == len(build.kinds), build.name
        for (kind, dtype), value in zip(build.kinds, kernel_args, strict=True):
            # What the launcher makes 8 bytes of; a bool would become one byte.
            expected = float if kind == "number" else int
            assert type(value) is expected, (build.name, kind, dtype, value)
        assert machine.current == stream.device.device_id, "another device is current"
        machine.note("launch", build.name, config.grid, stream.handle)
        stream.put(machine.simulator._launch, build, config.grid, config.block, list(kernel_args))

    class GraphBuilder:
        def __init__(self, device):
            self.stream = Stream(machine, next(machine.handles), device)

        def begin_building(self, mode="relaxed"):
            self.stream.captured = []
            return self

        def end_building(self):
            self.operations, self.stream.captured = self.stream.captured, None
            machine.note("captured", len(self.operations))
            return self

        def complete(self, options=None):
            return Graph(self.operations)

        def close(self):
            assert self.stream.captured is None, "a capture was left open"

    class Graph:
        def __init__(self, operations):
            self.operations = operations

        def launch(self, stream):
            machine.note("replay", stream.handle)
            for function, arguments in self.operations:
                stream.put(function, *arguments)

    class OwnStream(Stream):
        @staticmethod
        def from_handle(handle):
            return machine.streams[handle]

    def options(name, **defaults):
        def make(**given):
            assert set(given) <= set(defaults), name
            return types.SimpleNamespace(**{**defaults, **given})

        return make

    core.Device, core.DeviceMemoryResource, core.ObjectCode = (
        Device,
        DeviceMemoryResource,
        ObjectCode,
    )
    core.LaunchConfig, core.launch, core.Stream = LaunchConfig, launch, OwnStream
    core.GraphBuilder, core.Graph, core.Buffer, core.Event = GraphBuilder, Graph, Buffer, Event
    core.StreamOptions = options("StreamOptions", nonblocking=True, priority=None)
    core.EventOptions = options("EventOptions", timing_enabled=False, blocking_sync=False)
    core.DeviceMemoryResourceOptions = options("DeviceMemoryResourceOptions", max_size=0)
    return core


def _api(machine):
    api = types.ModuleType("cuda.bindings.driver")
    success = "CUDA_SUCCESS"
    names = ("CUDA_SUCCESS", "CUDA_ERROR_NOT_READY")
    api.CUresult = types.SimpleNamespace(**{name: name for name in names})
    api.CUmemPool_attribute = types.SimpleNamespace(
        CU_MEMPOOL_ATTR_RELEASE_THRESHOLD="release threshold",
        CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH="reserved high",
    )
    api.CUpointer_attribute = types.SimpleNamespace(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL="device")
    api.cuPointerGetAttribute = lambda kind, ptr: (success, machine.simulator.device_of(ptr))
    api.CU_MEMHOSTALLOC_PORTABLE = 1
    api.cuuint64_t = int
    api.cuGetErrorString = lambda error: (success, b"words")
    api.cuDeviceGet = lambda ordinal: (success, ordinal)
    api.cuDeviceTotalMem = lambda device: (success, machine.simulator.memory)

    def set_attribute(pool, attribute, value):
        machine.note(attribute, *pool, value)
        if attribute == "reserved high":
            machine.high[pool[1]] = machine.reserved[pool[1]]
        return (success,)

    def trim(pool, size):
        machine.note("trim", pool[1])
        machine.reserved[pool[1]] = machine.simulator.used[pool[1]]
        return (success,)

    def free_and_total():
        total = machine.simulator.memory
        return success, total - machine.reserved[machine.current], total

    def host_alloc(size, flags):
        buffer = (ctypes.c_char * size)()
        address = ctypes.addressof(buffer)
        machine.pinned[address] = buffer
        return success, address

    def host_free(address):
        del machine.pinned[address]
        return (success,)

    def host(address, size):
        return np.frombuffer((ctypes.c_char * size).from_address(address), np.uint8)

    def is_pinned(address):
        return any(a <= address < a + len(b) for a, b in machine.pinned.items())

    def copy_in(ptr, address, size, handle):
        stream, source = machine.streams[handle], host(address, size)
        machine.note("copy in", size, handle)
        stream.put(machine.simulator._put, ptr, source if is_pinned(address) else source.copy())
        return (success,)

    def copy_out(address, ptr, size, handle):
        stream, target = machine.streams[handle], host(address, size)
        machine.note("copy out", size, handle)
        stream.put(machine.simulator._get, target, ptr)
        if not is_pinned(address):
            stream.run()  # such a copy returns when it is complete
        return (success,)

    def copy(target, source, size, handle):
        machine.note("copy", size, handle)
        machine.streams[handle].put(machine.simulator._move, target, source, size)
        return (success,)

    def query(handle):
        stream = machine.streams[handle]
        return (success if stream.done == len(stream.queue) else "CUDA_ERROR_NOT_READY",)

    api.cuMemPoolSetAttribute, api.cuMemPoolTrimTo, api.cuMemGetInfo = (
        set_attribute, trim, free_and_total
    )  # fmt: skip
    api.cuMemHostAlloc, api.cuMemFreeHost = host_alloc, host_free
    api.cuMemcpyHtoDAsync, api.cuMemcpyDtoHAsync, api.cuMemcpyAsync = copy_in, copy_out, copy
    api.cuStreamQuery = query
    return api
