"""Running a compiled program: many launches from one native call.

A program is a table of words in memory, which `compile/program.py` fills: what has to hold for it
to run, where the arguments' addresses go, the launches, and the flags that end it early. `run`
walks the table. Nothing in it is Python: a launch costs a few nanoseconds beside its kernel.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import types

from ._launch import _compiled, parallel_for
from ._native import (
    ARRAY_DATA,
    ARRAY_FLAGS,
    ARRAY_NDIM,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    call_range,
    check_layouts,
    items_address,
    load_int32,
    load_int64,
    store_int64,
    tuple_ref,
)

#: Where the parts of a program are among its words: the number of entries, the entries' address;
#: last the address of what the launcher keeps for native code.
GUARDS, INPUTS, PLACES, PATCHES, CALLS, POOL = 0, 2, 4, 6, 8, 10
HEADER = 11
#: Words of an entry. A guard: address, word, whether they have to be equal (1) or not (0). A place:
#: an argument, its bytes; another argument and 0, or -1 and an address; bytes there, or -1 where the
#: two have to start at one address instead of lying apart. A patch: place, argument, offset. A call:
#: machine code, items, arguments, most pieces, number of checks, checks. A check: address of a word.
GUARD, PLACE, PATCH, CALL = 3, 5, 3, 6
#: In a table of inputs: a stride that may be anything, since its dimension has one element.
ANY = -(1 << 62)
#: What `run` returns when it did not run at all: the state of memory, an input.
OTHER_STATE, OTHER_INPUT = -1, -2

ARRAY_DESCR = ARRAY_FLAGS - 8


def _run(program, arguments):
    """Run the program at this address on a tuple of arrays; 0, a reason, or 1 + the failed call."""
    arrays = items_address(arguments)
    entry = load_int64(program + 8 * (GUARDS + 1))
    for _ in range(load_int64(program + 8 * GUARDS)):
        same = load_int64(load_int64(entry)) == load_int64(entry + 8)
        if same != (load_int64(entry + 16) != 0):
            return OTHER_STATE
        entry += 8 * GUARD
    entry = load_int64(program + 8 * (INPUTS + 1))
    for k in range(load_int64(program + 8 * INPUTS)):
        array = load_int64(arrays + 8 * k)
        ndim = load_int64(entry + 8)
        if load_int64(array + ARRAY_DESCR) != load_int64(entry):
            return OTHER_INPUT
        if load_int32(array + ARRAY_NDIM) != ndim:
            return OTHER_INPUT
        entry += 16
        shape, strides = load_int64(array + ARRAY_SHAPE), load_int64(array + ARRAY_STRIDES)
        for axis in range(ndim):
            if load_int64(shape + 8 * axis) != load_int64(entry):
                return OTHER_INPUT
            stride = load_int64(entry + 8)
            if stride != ANY and load_int64(strides + 8 * axis) != stride:
                return OTHER_INPUT
            entry += 16
    entry = load_int64(program + 8 * (PLACES + 1))
    for _ in range(load_int64(program + 8 * PLACES)):
        start = load_int64(load_int64(arrays + 8 * load_int64(entry)) + ARRAY_DATA)
        other, size = load_int64(entry + 24), load_int64(entry + 32)
        if load_int64(entry + 16) >= 0:
            other = load_int64(load_int64(arrays + 8 * load_int64(entry + 16)) + ARRAY_DATA)
        if size < 0:
            if start != other:
                return OTHER_INPUT
        elif start < other + size and other < start + load_int64(entry + 8):
            return OTHER_INPUT
        entry += 8 * PLACE
    entry = load_int64(program + 8 * (PATCHES + 1))
    for _ in range(load_int64(program + 8 * PATCHES)):
        array = load_int64(arrays + 8 * load_int64(entry + 8))
        store_int64(load_int64(entry), load_int64(array + ARRAY_DATA) + load_int64(entry + 16))
        entry += 8 * PATCH
    context = load_int64(program + 8 * POOL)
    pool, part, threads = load_int64(context), load_int64(context + 8), load_int64(context + 16)
    entry = load_int64(program + 8 * (CALLS + 1))
    for k in range(load_int64(program + 8 * CALLS)):
        n = load_int64(entry + 8)
        pieces = min(load_int64(entry + 24), threads)
        if pieces <= 1:
            call_range(load_int64(entry), 0, n, load_int64(entry + 16))
        else:
            parallel_for(pool, part, load_int64(entry), n, pieces, load_int64(entry + 16))
        checks = load_int64(entry + 40)
        for c in range(load_int64(entry + 32)):
            if load_int64(load_int64(checks + 8 * c)) != 0:
                return k + 1
        entry += 8 * CALL
    return 0


class _Runner:
    """`runner.run(program, arguments)`, compiled (or loaded) when first used."""

    def __init__(self) -> None:
        self._run: Callable[[int, tuple], int] | None = None

    @property
    def run(self) -> Callable[[int, tuple], int]:
        if self._run is None:
            check_layouts()
            self._run = _compiled(_run, types.int64(types.int64, tuple_ref)).entry_point
        return self._run


runner = _Runner()
__all__ = ["runner"]
