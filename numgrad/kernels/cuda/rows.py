"""What CUDA twins share that read whole rows or columns: who reads what, and how parts are joined.

What is known of the elements seen so far is a `state`: a number or a tuple of numbers. A reduction
is three functions: `update(state, value, index, parameter)` takes an element in, `merge(a, b)` joins
two states, and a state to start from. The order in which elements come together follows from the
sizes alone, so the same launch gives the same bits.

A row is read by its `lanes`: 1 to 32 threads of a warp, or the whole block, 16 bytes at a time where
it is long. Columns are read by a thread each where there are many or they are short, else by tiles:
`side` rows of up to 32 neighbouring columns at a time. A row or column that would leave most of the
machine idle is cut into chunks, as on the CPU, whose results a second launch joins.

Loops are written with `while`: the length of a `range` with a step takes a division.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.np.numpy_support import as_dtype

from .._scalar import ScalarFunction
from . import THREADS, Intrinsic, cuda, device
from .blocks import FULL, divide32

#: Elements of a row from which on it has a block to itself.
LONG = 1 << 10
#: Rows fewer than this have blocks from `FEW_LONG` elements on: else the machine would be idle.
FEW = 1 << 10
FEW_LONG = 1 << 7
#: The shortest piece of a row that is cut, and the elements up to which none is.
SHORTEST, WHOLE = 1 << 12, 1 << 14
#: Columns of a tile.
TILE = 32
#: Columns from which on, or rows up to which, a column has one thread.
MANY, SHORT = 1 << 18, 32
#: Elements of a tile's chunk, rows up to which there is one, and tiles that fill the machine.
TILE_CHUNK, TILE_WHOLE, TILES = 1 << 12, 1 << 9, 1 << 10


# ------------------------------------------------------------------------ how it is cut


def row_chunk(rows: int, n: int) -> int:
    """The length of a chunk of rows of n elements: about 2√(rows · n), so that neither the chunks
    nor their number is large."""
    if n <= WHOLE or rows >= FEW:
        return n
    chunk = SHORTEST
    while chunk * chunk < 4 * rows * n:
        chunk *= 2
    return min(n, chunk)


def column_chunk(outer: int, n: int, inner: int) -> int:
    """The rows of a chunk of an array (outer, n, inner) that is reduced along n."""
    tiles = outer * -(-inner // TILE)
    if n <= TILE_WHOLE or tiles >= TILES or outer * inner >= MANY:
        return n
    chunks = min(TILE_WHOLE, -(-TILES // tiles))
    return max(-(-n // chunks), TILE_CHUNK // min(inner, TILE))


def row_blocks(rows: int, n: int) -> int:
    """The blocks that `rows` rows of n elements are worth."""
    lanes = lanes_of.py_func(n, rows)
    return rows if lanes == 0 else -(-rows * lanes // THREADS)


def column_blocks(results: int, n: int, inner: int) -> int:
    """The blocks that a launch is worth that reduces n elements to each of (…, inner) results."""
    if one_thread.py_func(n, results):
        return -(-results // THREADS)
    return results // inner * -(-inner // TILE)


@device
def lanes_of(n, rows):
    """The threads that share a row of n elements: a power of two up to 32; 0 for the block."""
    if n > LONG or (n > FEW_LONG and rows < FEW):
        return 0
    lanes = 1
    while lanes < 32 and 4 * lanes < n:
        lanes *= 2
    return lanes


@device
def one_thread(n, columns):
    """Whether a thread reads a column by itself."""
    return n <= SHORT or columns >= MANY


@device
def place(n, rows):
    """(lanes, lane, group, groups): the threads that share a row of n elements, this thread's
    number among them, its group's number in the block, and the groups of a block."""
    lanes = lanes_of(n, rows)
    if lanes == 0:
        return cuda.blockDim.x + 0, cuda.threadIdx.x + 0, 0, 1
    group = divide32(cuda.threadIdx.x + 0, lanes)
    groups = divide32(cuda.blockDim.x + 0, lanes)
    return lanes, cuda.threadIdx.x - group * lanes, group, groups


@device
def columns_of(results, n, inner):
    """(item, items, step, width, side, column, row): where a thread begins and how it goes on that
    reduces n elements to each of (…, inner) results, and its place in the tile, `width` columns
    and `side` rows: beyond `side` it has nothing to read. A thread by itself is a tile of one."""
    if one_thread(n, results):
        return cuda.grid(1) + 0, results, cuda.gridsize(1) + 0, 1, 1, 0, 0
    width = min(inner, TILE)
    side = divide32(cuda.blockDim.x + 0, width)
    row = divide32(cuda.threadIdx.x + 0, width)
    items = results // inner * ((inner + width - 1) // width)
    column = cuda.threadIdx.x - row * width
    return cuda.blockIdx.x + 0, items, cuda.gridDim.x + 0, width, side, column, row


@device
def column_at(item, inner, width, column):
    """(part, column) of a thread: which (inner) results, and which of them."""
    part, strip = split(item, (inner + width - 1) // width)
    return part, min(strip * width + column, inner - 1)


@device
def chunk_of(k, n, chunk):
    """(row, first, length) of the k-th chunk of rows of n elements: the row that it is in, its
    first element there, and how many it has."""
    if chunk >= n:
        return k, 0, n
    row, part = split(k, (n + chunk - 1) // chunk)
    return row, part * chunk, min(chunk, n - part * chunk)


@device
def split(i, n):
    """(i // n, i % n)"""
    q = i // n
    return q, i - q * n


# ------------------------------------------------------------------------------ pointers


@Intrinsic
def ahead(pointer, index):
    """The pointer to the element `index` places further on."""
    return type(pointer)(pointer.elements, pointer.start + int(index))


@Intrinsic
def unaligned(pointer):
    """The number of elements before the next 16-byte boundary."""
    return -pointer.start * pointer.elements.itemsize % 16 // pointer.elements.itemsize


@Intrinsic
def width(pointer):
    """The number of elements in 16 bytes."""
    return 16 // pointer.elements.itemsize


@Intrinsic
def load_wide(pointer, group):
    """16 bytes, the `group`-th from an aligned pointer on, as a tuple of elements."""
    count = 16 // pointer.elements.itemsize
    return tuple([pointer[count * group + k] for k in range(count)])


@Intrinsic
def store_wide(pointer, group, values):
    """Put a tuple where `load_wide` reads one."""
    for k, value in enumerate(values):
        pointer[len(values) * group + k] = value


# ------------------------------------------------------------------------------- joining


def _from_lane(value, lane):
    """The state of a thread of the same warp."""
    return cuda.shfl_sync(FULL, value, lane)


def _from_lane_for(value, lane):
    if isinstance(value, types.BaseTuple):
        return (_pair, _triple)[len(value) - 2]
    if isinstance(value, types.Integer) and value.bitwidth < 32:
        kind = as_dtype(value).type
        return lambda value, lane: kind(cuda.shfl_sync(FULL, np.int32(value), lane))
    return _from_lane


def _pair(state, lane):
    return from_lane(state[0], lane), from_lane(state[1], lane)


def _triple(state, lane):
    return from_lane(state[0], lane), from_lane(state[1], lane), from_lane(state[2], lane)


from_lane = ScalarFunction(
    _from_lane, _from_lane_for, name="from_lane", depends_on=(_from_lane_for, _pair, _triple)
)


def joining(merge, *kinds):
    """Device functions that join the states of threads, whose parts are of the types `kinds`.

    The first, f(state, lanes), joins those of a row and gives the result to each of its lanes. The
    second, f(state, width, side, row), joins those of each column of a tile, for its row 0. Both
    call `merge(a, b)` with `a` from the lower lane or row, and need every thread of the block.
    """
    trade = trading(*kinds)

    @device
    def butterfly(state, lanes):
        lane, offset = cuda.threadIdx.x & 31, lanes >> 1
        while offset > 0:
            other = from_lane(state, lane ^ offset)
            low, high = (other, state) if lane & offset else (state, other)
            state = merge(low, high)
            offset >>= 1
        return state

    @device
    def of_row(state, lanes):
        if lanes < 32:
            return butterfly(state, lanes)
        state = butterfly(state, 32)
        if lanes > 32:
            # Each lane takes the state of one of the block's warps.
            warps, lane = lanes >> 5, cuda.threadIdx.x & 31
            state = trade(state, lane == 0, cuda.threadIdx.x >> 5, lane & (warps - 1))
            state = butterfly(state, warps)
        return state

    @device
    def of_column(state, width, side, row):
        left = side
        while left > 1:
            half = (left + 1) >> 1
            paired = row + half < left
            own = cuda.threadIdx.x + 0
            other = trade(state, True, own, own + half * width if paired else own)
            if paired:
                state = merge(state, other)
            left = half
        return state

    return of_row, of_column


def _trade1(kind):
    """A device function by which threads of a block pass on their states: one that is `giving`
    leaves its own at place `own`, and each takes the one at `source`."""

    @device
    def trade(state, giving, own, source):
        held = cuda.shared.array(THREADS, kind)
        if giving:
            held[own] = state
        cuda.syncthreads()
        found = held[source]
        cuda.syncthreads()
        return found

    return trade


def _trade2(kind0, kind1):
    @device
    def trade(state, giving, own, source):
        held0 = cuda.shared.array(THREADS, kind0)
        held1 = cuda.shared.array(THREADS, kind1)
        if giving:
            held0[own] = state[0]
            held1[own] = state[1]
        cuda.syncthreads()
        found = held0[source], held1[source]
        cuda.syncthreads()
        return found

    return trade


def _trade3(kind0, kind1, kind2):
    @device
    def trade(state, giving, own, source):
        held0 = cuda.shared.array(THREADS, kind0)
        held1 = cuda.shared.array(THREADS, kind1)
        held2 = cuda.shared.array(THREADS, kind2)
        if giving:
            held0[own] = state[0]
            held1[own] = state[1]
            held2[own] = state[2]
        cuda.syncthreads()
        found = held0[source], held1[source], held2[source]
        cuda.syncthreads()
        return found

    return trade


def trading(*kinds):
    """The `trade` of states whose parts are of these types."""
    return (_trade1, _trade2, _trade3)[len(kinds) - 1](*kinds)


# ------------------------------------------------------------------------------- reading


def _one_by_one(update):
    """`several(state, values, index, step, parameter)`: takes in a tuple of elements, the first at
    `index`, the others `step` apart."""

    @device
    def several(state, values, index, step, parameter):
        for value in values:
            state = update(state, value, index, parameter)
            index += step
        return state

    return several


def reading(update, several=None, loads=4):
    """Device functions that take elements into a state.

    The first, f(state, x, n, lane, lanes, parameter), reads a lane's share of the n elements from
    the pointer x on, 16 bytes at a time, `loads` (4 or 2) of them under way. The second, f(state, x, n, first, step, inner, parameter), reads every
    `step`-th of the n elements of a column from the `first` on, `inner` apart in memory.
    """
    several = several or _one_by_one(update)

    @device
    def of_row(state, x, n, lane, lanes, parameter):
        i = lane + 0
        if lanes >= 32:
            # Up to a 16-byte boundary, then several loads of 16 bytes at a time.
            head = min(n, unaligned(x))
            if lane < head:
                state = update(state, x[lane], i, parameter)
            body, wide = ahead(x, head), width(x)
            count = (n - head) // wide
            group = lane + 0
            while loads == 4 and group + 3 * lanes < count:
                a, b = load_wide(body, group), load_wide(body, group + lanes)
                c, d = load_wide(body, group + 2 * lanes), load_wide(body, group + 3 * lanes)
                state = several(state, a, head + group * wide, 1, parameter)
                state = several(state, b, head + (group + lanes) * wide, 1, parameter)
                state = several(state, c, head + (group + 2 * lanes) * wide, 1, parameter)
                state = several(state, d, head + (group + 3 * lanes) * wide, 1, parameter)
                group += 4 * lanes
            while loads == 2 and group + lanes < count:
                a, b = load_wide(body, group), load_wide(body, group + lanes)
                state = several(state, a, head + group * wide, 1, parameter)
                state = several(state, b, head + (group + lanes) * wide, 1, parameter)
                group += 2 * lanes
            while group < count:
                a = load_wide(body, group)
                state = several(state, a, head + group * wide, 1, parameter)
                group += lanes
            i = head + count * wide + lane
        while i < n:
            state = update(state, x[i], i, parameter)
            i += lanes
        return state

    @device
    def of_column(state, x, n, first, step, inner, parameter):
        i, at, stride = first + 0, first * inner, step * inner
        while i + 3 * step < n:
            values = (x[at], x[at + stride], x[at + 2 * stride], x[at + 3 * stride])
            state = several(state, values, i, step, parameter)
            i += 4 * step
            at += 4 * stride
        while i < n:
            state = update(state, x[at], i, parameter)
            i += step
            at += stride
        return state

    return of_row, of_column
