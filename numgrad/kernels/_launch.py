"""Running a compiled kernel over its range: one call for a small range, a parallel loop for a large one.

`serial(address, n, arguments)` and `parallel(...)` are themselves Numba functions, compiled once
for the whole library: whatever the kernel, a launch is one call by address with the arguments left
in their Python tuple. The parallel form splits the range over Numba's thread pool, the only pool
the library computes on; it calls the pool directly, because a `prange` costs a second to compile.
"""

import ctypes
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import njit, types
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from . import _cache
from ._native import (
    address_of,
    call_parallel_for,
    call_range,
    check_layouts,
    items_address,
    load_int64,
    stack_buffer,
    tuple_ref,
)

#: A range with less work than this (elements touched) runs on the calling thread.
PARALLEL_WORK = 1 << 15

_word = types.int64
_lock = threading.Lock()


def _serial(address, n, arguments):
    call_range(address, 0, n, items_address(arguments))


def _part(arguments, counts, steps, data):
    # One thread's share. The pool advances a (fictitious) argument pointer by its step for every
    # item, so that the pointer itself says which chunk is the first.
    first, count = load_int64(arguments), load_int64(counts)
    address, n, chunk = load_int64(data), load_int64(data + 8), load_int64(data + 16)
    call_range(address, first * chunk, min(n, (first + count) * chunk), load_int64(data + 24))


@njit
def parallel_for(pool, part, address, n, pieces, items):
    """Split the range 0 … n of the kernel at `address` into `pieces` for the pool's threads."""
    chunk = (n + pieces - 1) // pieces
    if chunk > 256:  # whole cache lines to each thread
        chunk = (chunk + 63) // 64 * 64
    data = stack_buffer(_word, 8)
    data[0], data[1], data[2], data[3] = address, n, chunk, items
    data[4] = 0  # the argument pointer
    data[6] = (n + chunk - 1) // chunk  # the count of items
    data[7] = 1  # the step of the argument pointer
    base = address_of(data)
    call_parallel_for(pool, part, base + 32, base + 48, base + 56, base, pieces)


def _parallel(pool, part, address, n, pieces, arguments):
    parallel_for(pool, part, address, n, pieces, items_address(arguments))


def _compiled(function: Callable, signature, **options) -> Any:
    """The machine code of `function`, from the disk cache where it has it."""
    name = _cache.key(_cache.fingerprint(function), (signature, sorted(options.items())))
    context = cpu_target.target_context
    stored = _cache.read(name)
    if stored is not None:
        rtsys.initialize(context)  # symbols that Numba's wrappers refer to
        return CompileResult._rebuild(context, *pickle.loads(stored))
    dispatcher = njit(signature, **options)(function)
    (result,) = dispatcher.overloads.values()
    _cache.write(name, pickle.dumps(result._reduce()), function.__name__)
    return result


class _Launcher:
    """The two entry points, compiled (or loaded) when first called."""

    def __init__(self) -> None:
        self.forked = False
        self.threads = 0
        self._parallel: Callable | None = None
        self._pool = self._part = 0  # addresses: the pool's parallel loop, one thread's share
        self._limit = ctypes.c_int64(1)  # the threads to use, for native code to read

    def serial(self, address: int, n: int, arguments: tuple) -> None:
        with _lock:
            check_layouts()
            compiled = _compiled(_serial, types.void(_word, _word, tuple_ref)).entry_point
            self.serial = compiled  # type: ignore[method-assign]
        compiled(address, n, arguments)

    def parallel(self, address: int, n: int, work: int, arguments: tuple) -> None:
        """Split the `n` items over the threads, in pieces of at least `PARALLEL_WORK` / 2 elements."""
        threads = 1 if self.forked else (self.threads or numba.get_num_threads())
        pieces = min(threads, n, 2 * work // PARALLEL_WORK)
        if pieces <= 1:
            self.serial(address, n, arguments)
            return
        compiled = self._parallel or self._compile_parallel()
        compiled(self._pool, self._part, address, n, pieces, arguments)

    def pool(self) -> tuple[int, int, int]:
        """What native code needs for `parallel_for`: the addresses of the pool's loop, of one
        thread's share, and of the word that says how many threads to use."""
        if self._parallel is None:
            self._compile_parallel()
        self._limit.value = get_num_threads()
        return self._pool, self._part, ctypes.addressof(self._limit)

    def _compile_parallel(self) -> Callable:
        from numba.np.ufunc.parallel import _launch_threads

        with _lock:
            check_layouts()
            _launch_threads()
            self._pool = llvm.address_of_symbol("numba_parallel_for")
            part = _compiled(_part, types.void(*[_word] * 4))
            self._part = part.library.get_pointer_to_function(part.fndesc.llvm_cfunc_wrapper_name)
            # Numba's own `workqueue` aborts when two Python threads enter it. Keeping the GIL
            # while inside lets only one in; OpenMP and TBB take several, so there it is released.
            result = _compiled(
                _parallel,
                types.void(*[_word] * 5, tuple_ref),
                nogil=numba.threading_layer() != "workqueue",
            )
            self._parallel = result.entry_point
        return self._parallel

    def _after_fork(self) -> None:
        # A child of a process whose OpenMP pool has run must not enter a parallel region.
        self.forked = self._parallel is not None
        self._limit.value = 1


launcher = _Launcher()
os.register_at_fork(after_in_child=launcher._after_fork)


def set_num_threads(count: int) -> None:
    """Use `count` threads in parallel kernels."""
    if count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {count}")
    launcher.threads = min(count, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if not launcher.forked:
        numba.set_num_threads(launcher.threads)
        launcher._limit.value = launcher.threads


def get_num_threads() -> int:
    """The number of threads that parallel kernels use."""
    return 1 if launcher.forked else (launcher.threads or numba.get_num_threads())
