"""Running a compiled kernel over its range: one call for a small range, a parallel loop for a large one.

`serial(address, n, arguments)` and `parallel(...)` are themselves Numba functions, compiled once
for the whole library: whatever the kernel, a launch is one call by address with the arguments left
in their Python tuple. The parallel form splits the range over Numba's thread pool, the only pool
the library computes on; it calls the pool directly, because a `prange` costs a second to compile.
"""

import ctypes
import functools
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


def _parallel(context, address, n, work, arguments):
    # Pieces of at least PARALLEL_WORK / 2 elements, one thread each.
    pieces = min(n, work // (PARALLEL_WORK // 2), load_int64(context + 16))
    items = items_address(arguments)
    if pieces <= 1:
        call_range(address, 0, n, items)
    else:
        pool, part = load_int64(context), load_int64(context + 8)
        parallel_for(pool, part, address, n, pieces, items)


def _compiled(function: Callable, signature, **options) -> Any:
    """The machine code of `function`, from the disk cache where it has it."""
    name = _cache.key(_cache.fingerprint(function), (signature, sorted(options.items())))
    context = cpu_target.target_context
    with _cache.made_once(name) as stored:
        if stored is not None:
            rtsys.initialize(context)  # symbols that Numba's wrappers refer to
            return CompileResult._rebuild(context, *pickle.loads(stored))
        dispatcher = njit(signature, **options)(function)
        (result,) = dispatcher.overloads.values()
        _cache.write(name, pickle.dumps(result._reduce()), function.__name__)
        return result


class _Launcher:
    """The two entry points, compiled (or loaded) when first called.

    `parallel(address, n, work, arguments)` splits the `n` items over the threads; `work` is the
    number of elements they touch.
    """

    def __init__(self) -> None:
        self.parallel = self._first_parallel
        self.forked = False
        self._context = (ctypes.c_int64 * 3)()

    @property
    def threads(self) -> int:
        return self._context[2]

    @threads.setter
    def threads(self, count: int) -> None:
        self._context[2] = count

    def serial(self, address: int, n: int, arguments: tuple) -> None:
        with _lock:
            check_layouts()
            compiled = _compiled(_serial, types.void(_word, _word, tuple_ref)).entry_point
            self.serial = compiled  # type: ignore[method-assign]
        compiled(address, n, arguments)

    def _first_parallel(self, address: int, n: int, work: int, arguments: tuple) -> None:
        self.pool()
        self.parallel(address, n, work, arguments)

    def pool(self) -> None:
        """Have the thread pool ready."""
        if not self._context[0]:
            self._compile_parallel()

    @property
    def context(self) -> int:
        """The address of three words for native code: the pool's parallel loop, one thread's
        share (both 0 until the pool is ready), the number of threads to use."""
        return ctypes.addressof(self._context)

    def _compile_parallel(self) -> None:
        from numba.np.ufunc.parallel import _launch_threads

        with _lock:
            check_layouts()
            _launch_threads()
            part = _compiled(_part, types.void(*[_word] * 4))
            # Numba's own `workqueue` aborts when two Python threads enter it. Keeping the GIL
            # while inside lets only one in; OpenMP and TBB take several, so there it is released.
            result = _compiled(
                _parallel,
                types.void(*[_word] * 4, tuple_ref),
                nogil=numba.threading_layer() != "workqueue",
            )
            get_num_threads()
            self._context[1] = part.library.get_pointer_to_function(
                part.fndesc.llvm_cfunc_wrapper_name
            )
            self._context[0] = llvm.address_of_symbol("numba_parallel_for")
            self.parallel = functools.partial(result.entry_point, self.context)

    def _after_fork(self) -> None:
        # A child of a process whose OpenMP pool has run must not enter a parallel region.
        if self._context[0]:
            self.forked = True
            self.threads = 1


launcher = _Launcher()
os.register_at_fork(after_in_child=launcher._after_fork)


def set_num_threads(count: int) -> None:
    """Use `count` threads in parallel kernels."""
    if count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {count}")
    if not launcher.forked:
        launcher.threads = min(count, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
        numba.set_num_threads(launcher.threads)


def get_num_threads() -> int:
    """The number of threads that parallel kernels use."""
    if not launcher.threads:  # Numba's own count is asked for once: that takes a microsecond
        launcher.threads = numba.get_num_threads()
    return launcher.threads
