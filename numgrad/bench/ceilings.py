"""What the machine can do at most: bandwidth by level of the memory hierarchy, multiply-adds.

`measure(threads)` times a copy and a read of arrays that fit into each cache and of some that fit
into none, and a loop of nothing but multiply-adds in vector registers. The result, a `Ceilings`,
gives the shortest time in which a kernel could move its bytes and do its operations.
"""

from __future__ import annotations

import functools
import math
import pathlib
import statistics
import time
from typing import Any, NamedTuple

import numpy as np

from ..kernels._launch import get_num_threads, launcher, set_num_threads
from ..kernels.matmul_tile import VECTOR_BYTES
from .cost import Cost
from .loops import CHAINS, GAP, copy_again, multiply_adds, read_again, update_again
from .memory import all_apart

#: Seconds of one timing, and timings of which the best counts: a ceiling is what can be reached.
BUDGET, TIMINGS = 0.01, 5
#: Bytes of the arrays that fit into no cache, at least and at most.
MEMORY = 1 << 27, 1 << 29
#: Where the system does not say: bytes of the caches of a core, and of the last level.
_CACHES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20}


class Level(NamedTuple):
    """A level of the memory hierarchy: its bytes for all threads together (None: the memory), and
    the bandwidths in bytes a second of reading alone, of copying, and of an update in place, both
    of which count twice."""

    name: str
    capacity: int | None
    read: float
    copy: float
    update: float

    def seconds(self, cost: Cost) -> float:
        """The time to move what a kernel moves. A copy shows what writing takes beside reading."""
        writing = 2 / self.copy - 1 / self.read
        return cost.read / self.read + cost.written * writing + cost.updated / self.update


class Ceilings(NamedTuple):
    """What `threads` threads can do: bandwidth by level, operations a second by dtype, and the
    seconds that a launch takes without any work."""

    threads: int
    levels: tuple[Level, ...]
    operations: dict[str, float]
    launch: float
    device: str = "cpu"

    def level(self, touched: int) -> Level:
        """The level that most of so many bytes come from when they are touched again and again."""
        inside = (v for v in self.levels if v.capacity is None or touched <= 2**0.5 * v.capacity)
        return next(inside)

    def moving(self, cost: Cost, touched: int) -> float:
        """The time to move what a kernel moves: from a level's capacity to twice that, between
        those of the level and of the next."""
        times = [level.seconds(cost) for level in self.levels]
        for level, own, further in zip(self.levels, times, times[1:], strict=False):
            beyond = math.log2(max(1.0, touched / (level.capacity or touched)))
            if beyond < 1:
                return own * (further / own) ** beyond if own else 0.0
        return times[-1]

    def peak(self, dtype: Any) -> float | None:
        """Operations a second: None for integers, whose operations have no ceiling here."""
        return self.operations.get(np.dtype(dtype).name)

    def seconds(self, cost: Cost, touched: int, dtype: Any) -> tuple[float, str]:
        """The least time for that cost, `touched` being the bytes of all arrays, and what sets it:
        the name of a level, or "operations"."""
        moving, peak = self.moving(cost, touched), self.peak(dtype)
        computing = cost.operations / peak if cost.operations and peak else 0.0
        return (
            (computing, "operations") if computing > moving else (moving, self.level(touched).name)
        )

    def as_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "levels": [level._asdict() for level in self.levels]}


def from_dict(value: dict[str, Any]) -> Ceilings:
    """The reverse of `Ceilings.as_dict`."""
    return Ceilings(**{**value, "levels": tuple(Level(**level) for level in value["levels"])})


# ------------------------------------------------------------------------------- measuring


@functools.cache
def measure(threads: int | None = None) -> Ceilings:
    """The ceilings of so many threads (by default, of all that kernels use); once a process."""
    before = get_num_threads()
    threads = before if threads is None else threads
    set_num_threads(threads)
    try:
        levels = tuple(_level(name, size, threads) for name, size in _capacities(threads).items())
        peaks = {name: _multiply_adds(np.dtype(name), threads) for name in ("float32", "float64")}
        return Ceilings(threads, levels, peaks, _launch(threads))
    finally:
        set_num_threads(before)


def caches() -> dict[str, int]:
    """The bytes of the data caches that a core sees, by name."""
    found = {}
    folder = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")
    for index in sorted(folder.glob("index*")):
        try:
            if (index / "type").read_text().strip() == "Instruction":
                continue
            name = "L" + (index / "level").read_text().strip()
            size = (index / "size").read_text().strip()
            found[name] = int(size[:-1]) << {"K": 10, "M": 20, "G": 30}[size[-1]]
        except (OSError, KeyError, ValueError):
            continue
    return dict(sorted(found.items())) or dict(_CACHES)


def _capacities(threads: int) -> dict[str, int | None]:
    """The bytes of each level for all threads: the last cache is taken to be shared."""
    sizes = caches()
    last = max(sizes)
    found: dict[str, int | None] = {}
    for name, size in sizes.items():
        found[name] = size if name == last else size * threads
    return {**found, "memory": None}


def _level(name: str, capacity: int | None, threads: int) -> Level:
    last = max(caches().values())
    total = capacity // 2 if capacity else min(max(MEMORY[0], 4 * last), MEMORY[1])
    part = total // threads // 16  # int64 elements of each thread's part of each of two arrays
    x = np.ones(threads * (2 * part + GAP), np.int64)
    x, out = all_apart([x, x[: threads * (part + GAP)]])
    copied = _rate(copy_again, (x, out), part, threads)
    # One array as large as the two.
    read = _rate(read_again, (x, out), 2 * part, threads) / 2
    updated = _rate(update_again, (x,), 2 * part, threads)
    return Level(name, capacity, max(read, copied), copied, max(updated, copied))


def _rate(own: Any, arrays: tuple, part: int, threads: int) -> float:
    """Bytes a second, of two arrays with a part a thread: the best of a few timings."""
    repeats = 1
    while True:
        arguments = (*arrays, float(part), float(repeats))
        # The shorter of two: the first may have started the threads.
        seconds = min(_time(own, arrays[0].dtype, threads, arguments) for _ in range(2))
        if seconds > BUDGET / 4 or repeats > 1 << 30:
            break
        repeats *= 4
    times = [_time(own, arrays[0].dtype, threads, arguments) for _ in range(TIMINGS)]
    return 2 * 8 * part * threads * repeats / min(times)


def _multiply_adds(dtype: np.dtype, threads: int) -> float:
    out, count = np.zeros(threads, dtype), 1 << 20
    arguments = (out, 0.5, float(count))
    times = [_time(multiply_adds, dtype, threads, arguments) for _ in range(4 * TIMINGS)]
    return 2.0 * CHAINS * (VECTOR_BYTES // dtype.itemsize) * count * threads / min(times)


def _launch(threads: int) -> float:
    """Seconds of a launch of `threads` items that do nothing."""
    out = np.zeros(threads, np.float32)
    times = []
    for _ in range(200):
        times.append(_time(multiply_adds, out.dtype, threads, (out, 0.5, 0.0)))
    return statistics.median(times)


def _time(own: Any, dtype: np.dtype, threads: int, arguments: tuple) -> float:
    address = own.addresses.get(dtype) or own.compile(dtype)
    started = time.perf_counter()
    if threads == 1:
        launcher.serial(address, threads, arguments)
    else:
        launcher.parallel(address, threads, 1 << 40, arguments)
    return time.perf_counter() - started
