"""NVIDIA GPUs: which there are, their memory, streams and events, under PyTorch's names.

A tensor goes to one with `.to("cuda")` or `.cuda()`. Nothing of CUDA is imported before that; on a
machine without a GPU everything here that only asks works, and says so.

>>> device = numgrad.device("cuda" if numgrad.cuda.is_available() else "cpu")
>>> numgrad.ones(2).to(device).sum().item()
2.0
"""

from __future__ import annotations

import builtins
import os
from typing import Any

from .device import cuda as _cuda
from .device.cuda import OutOfMemoryError as OutOfMemoryError
from .ops import generator as _generators

# ------------------------------------------------------------------------- devices


def is_available() -> bool:
    """Whether tensors can be placed on a CUDA device."""
    return _cuda.is_initialized() or _cuda.unavailable() is None


def device_count() -> int:
    """The number of CUDA devices."""
    return _cuda.driver().count if is_available() else 0


def is_initialized() -> bool:
    """Whether CUDA has been used in this process."""
    return _cuda.is_initialized()


def init() -> None:
    """Use CUDA now instead of at the first tensor; RuntimeError where there is none."""
    _cuda.driver()


def current_device() -> int:
    """The number of the device that `"cuda"` stands for."""
    _cuda.driver()
    return _cuda.current_index()


def set_device(device: Any) -> None:
    """Make a device the one that `"cuda"` stands for, in this thread."""
    _cuda.set_current(_cuda.index_of(device))


class device:
    """`with cuda.device(1):` makes that device the current one inside."""

    def __init__(self, device: Any) -> None:
        self.index = -1 if device is None else _cuda.index_of(device)

    def __enter__(self) -> None:
        self._before = _cuda.current_index()
        if self.index >= 0:
            _cuda.set_current(self.index)

    def __exit__(self, *raised: Any) -> None:
        _cuda.set_current(self._before)


def get_device_properties(device: Any = None) -> Any:
    """A device's `name`, `major`, `minor`, `total_memory`, `multi_processor_count`, `warp_size`."""
    return _cuda.driver().properties(_cuda.index_of(device))


def get_device_name(device: Any = None) -> str:
    """A device's name."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """A device's compute capability, (9, 0) for an H100."""
    found = get_device_properties(device)
    return found.major, found.minor


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether a device reads another's memory without the host's help."""
    return _cuda.driver().can_access_peer(_cuda.index_of(device), _cuda.index_of(peer_device))


def synchronize(device: Any = None) -> None:
    """Wait for all work of a device; raise what its operations have found wrong, if anything."""
    _cuda.synchronize(_cuda.index_of(device))


# -------------------------------------------------------------------------- memory


def memory_allocated(device: Any = None) -> int:
    """Bytes of a device's memory in tensors."""
    return _pool(device).allocated if _cuda.is_initialized() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that have been in tensors at once, since `reset_peak_memory_stats`."""
    return _pool(device).peak if _cuda.is_initialized() else 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin `max_memory_allocated` anew."""
    pool = _pool(device)
    pool.peak = pool.allocated
    _cuda.driver().reset_reserved(pool.index)


def memory_stats(device: Any = None) -> dict[str, builtins.int]:
    """The numbers of `memory_summary` under PyTorch's names; none before CUDA is used."""
    if not _cuda.is_initialized():
        return {}
    pool = _pool(device)
    reserved, most = _cuda.driver().reserved(pool.index)
    return {
        "allocated_bytes.all.current": pool.allocated,
        "allocated_bytes.all.peak": pool.peak,
        "reserved_bytes.all.current": reserved,
        "reserved_bytes.all.peak": most,
        "allocation.all.current": pool.allocations - pool.frees,
        "allocation.all.allocated": pool.allocations,
        "num_alloc_retries": pool.retries,
        "num_ooms": pool.failures,
    }


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds: those in tensors, and those kept for the next."""
    if not _cuda.is_initialized():
        return 0
    return _cuda.driver().reserved(_cuda.index_of(device))[0]


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that the pool has held."""
    if not _cuda.is_initialized():
        return 0
    return _cuda.driver().reserved(_cuda.index_of(device))[1]


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of a device, other programs' use included."""
    return _cuda.driver().free_and_total(_cuda.index_of(device))


def empty_cache() -> None:
    """Give the memory that the pools keep for the next tensors back to the system."""
    if _cuda.is_initialized():
        for index in range(_cuda.driver().count):
            _cuda.driver().trim(index)


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of a device's memory."""
    index = _cuda.index_of(device)
    pool = _cuda.pool(index)
    reserved, most = _cuda.driver().reserved(index)
    free, total = _cuda.driver().free_and_total(index)
    rows = [
        ("in tensors", pool.allocated, pool.peak),
        ("held by the pool", reserved, most),
        ("used on the device", total - free, total),
    ]
    lines = [
        f"{get_device_name(index)}, cuda:{index}",
        f"{'MiB':<20}{'now':>12}{'at most':>12}",
        *[f"{name:<20}{now / 2**20:>12.1f}{peak / 2**20:>12.1f}" for name, now, peak in rows],
        f"{'blocks':<20}{pool.allocations - pool.frees:>12}{pool.allocations:>12}",
    ]
    return "\n".join(lines)


def _pool(device: Any) -> Any:
    return _cuda.pool(_cuda.index_of(device))


# --------------------------------------------------------------- streams and events


class Stream:
    """A queue of a device's work; what is on two streams may run at the same time.

    Memory goes back to the stream it was taken on: a tensor that another stream still uses must be
    kept until that has waited.
    """

    def __init__(self, device: Any = None, priority: int = 0, *, _own: Any = None) -> None:
        self._index = _cuda.index_of(device)
        self._own = _own or _cuda.driver().create_stream(self._index, priority)

    @property
    def device(self) -> Any:
        """Its device."""
        return _cuda.device_of(self._index)

    @property
    def cuda_stream(self) -> int:
        """The driver's handle."""
        return int(self._own.handle)

    def synchronize(self) -> None:
        """Wait until all its work is done."""
        self._own.sync()
        _cuda.settle(self._index)

    def query(self) -> bool:
        """Whether all its work is done."""
        return _cuda.driver().stream_done(self._own)

    def record_event(self, event: Event | None = None) -> Event:
        """An event that happens when the stream comes to this point."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Work that comes after waits for the event."""
        if event._own is not None:
            self._own.wait(event._own)

    def wait_stream(self, stream: Stream) -> None:
        """Work that comes after waits for what is on another stream now."""
        self._own.wait(stream._own)

    def __enter__(self) -> Stream:
        _not_captured("a change of stream")
        self._before = (_cuda.current_index(), _cuda.stream(self._index))
        _cuda.set_current(self._index)
        _cuda.set_stream(self._index, self._own)
        return self

    def __exit__(self, *raised: Any) -> None:
        index, own = self._before
        _cuda.set_stream(self._index, own)
        _cuda.set_current(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self._index, self.cuda_stream) == (
            other._index,
            other.cuda_stream,
        )

    def __hash__(self) -> int:
        return hash((self._index, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A point in a stream's work, for other streams to wait for, or to measure time between two."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self._timing = enable_timing
        self._own: Any = None

    def record(self, stream: Stream | None = None) -> None:
        """Let it happen when the stream (by default the current one) comes to this point."""
        stream = stream or current_stream()
        if self._own is None:
            self._own = _cuda.driver().create_event(stream._index, self._timing)
        stream._own.record(self._own)

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream's later work wait for it."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether it has happened."""
        return self._own is None or self._own.is_done

    def synchronize(self) -> None:
        """Wait until it has happened."""
        if self._own is not None:
            self._own.sync()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another, both made with `enable_timing=True`."""
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._own is None or end_event._own is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return float(end_event._own - self._own)


class ExternalStream(Stream):
    """A stream that another library made, by its handle."""

    def __init__(self, stream_ptr: builtins.int, device: Any = None) -> None:
        index = _cuda.index_of(device)
        super().__init__(index, _own=_cuda.driver().foreign_stream(index, stream_ptr))


def _not_captured(what: str) -> None:
    if _cuda.cpu.recorder is not None:
        _cuda.cpu.recorder.read(what)


def current_stream(device: Any = None) -> Stream:
    """The stream that work goes to in this thread."""
    index = _cuda.index_of(device)
    return Stream(index, _own=_cuda.stream(index))


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to if no other was chosen."""
    index = _cuda.index_of(device)
    return Stream(index, _own=_cuda.driver().default_stream(index))


def set_stream(stream: Stream) -> None:
    """Send this thread's work on the stream's device to it from now on."""
    _not_captured("a change of stream")
    _cuda.set_stream(stream._index, stream._own)


def stream(stream: Stream | None) -> Any:
    """`with cuda.stream(s):` sends the work inside to `s`; None changes nothing."""
    import contextlib

    return contextlib.nullcontext() if stream is None else stream


# -------------------------------------------------------------------- random numbers


def manual_seed(seed: builtins.int) -> None:
    """Seed the current device's generator; without a device there is none to seed."""
    _generators.seed_cuda(int(seed), _cuda.current_index())


def manual_seed_all(seed: builtins.int) -> None:
    """Seed the generators of all devices; without a device there is none to seed."""
    _generators.seed_cuda(int(seed))


def seed() -> None:
    """Seed the current device's generator from the system's entropy."""
    _generators.cuda_generator(_cuda.index_of(None)).seed()


def seed_all() -> None:
    """Seed the generators of all devices alike from the system's entropy."""
    manual_seed_all(builtins.int.from_bytes(os.urandom(8), "little"))


def initial_seed() -> builtins.int:
    """The seed that the current device's generator started from."""
    return _generators.cuda_generator(_cuda.index_of(None)).initial_seed()


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of a device's generator: its seed and its offset, 16 bytes."""
    return _generators.cuda_generator(_cuda.index_of(device)).get_state()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Let a device's generator go on from a saved state."""
    _generators.cuda_generator(_cuda.index_of(device)).set_state(new_state)


def get_rng_state_all() -> list:
    """The states of all devices' generators."""
    return [get_rng_state(index) for index in range(device_count())]


def set_rng_state_all(new_states: Any) -> None:
    """Set the states of all devices' generators."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)
