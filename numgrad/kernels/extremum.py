"""The largest or smallest element along a dimension, and where it is.

The first of equal elements is taken, and a NaN before everything else, as in PyTorch. Inputs are
seen as `(outer, n, inner)` and cut into chunks as in `reduction.py`; `max_parts` and `min_parts`
choose among the chunks' results.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from ._contract import Kernel, flat, kernel, writes
from ._native import get, pointer_at, put
from .blocks import data, maximum, minimum
from .cuda import T, cuda, device
from .cuda.rows import (
    ahead,
    chunk_of,
    column_at,
    column_blocks,
    columns_of,
    joining,
    place,
    reading,
    row_blocks,
    split,
)
from .maths_bits import select
from .reduction import INDEX, INLINED, STRIP, column_items

#: Elements whose maximum is taken before it is compared with the best so far.
BLOCK = 512
#: Rows shorter than this are searched from end to end, without a branch.
SHORT = 256
POSITIONS = flat(np.int64)


def _extremum(name: str, word: str, combine: Callable, better: Callable) -> tuple[Kernel, ...]:
    """The kernels `name_rows`, `name_columns` and `name_parts`.

    `combine(a, b)` is the extremum of two numbers, NaN where either is; `better(a, b)` says whether
    `a` comes before `b`, where neither is NaN.
    """
    better = njit(**INLINED)(better)

    @njit(**INLINED)
    def beats(a, b):
        return better(a, b) | ((a != a) & (b == b))

    def extremum_rows(
        begin,
        end,
        x: flat,
        values: writes(flat),
        indices: writes(POSITIONS),
        n: INDEX,
        chunk: INDEX,
    ):
        if n < SHORT and chunk >= n:
            for row in range(begin, end):
                source = pointer_at(data(x), row * n)
                best = get(source, 0)
                for i in range(1, n):
                    best = combine(best, get(source, i))
                position = np.int32(n)
                for i in range(n):
                    # Where the extremum is no NaN, no element is.
                    found = (get(source, i) == best) | (get(source, i) != get(source, i))
                    position = minimum(position, select(found, np.int32(i), np.int32(n)))
                put(data(values), row, best)
                put(data(indices), row, position)
            return
        chunks = (n + chunk - 1) // chunk
        for item in range(begin, end):
            row = item // chunks
            first = (item - row * chunks) * chunk
            last = min(first + chunk, n)
            source = pointer_at(data(x), row * n)
            best, block = get(source, first), first
            for start in range(first, last, BLOCK):
                part = pointer_at(source, start)
                own = get(part, 0)
                for i in range(1, min(BLOCK, last - start)):
                    own = combine(own, get(part, i))
                if beats(own, best):
                    best, block = own, start
            position = block
            if best == best:
                while get(source, position) != best:
                    position += 1
            else:
                while get(source, position) == get(source, position):
                    position += 1
            put(data(values), item, best)
            put(data(indices), item, position)

    def extremum_columns(
        begin,
        end,
        x: flat,
        values: writes(flat),
        indices: writes(POSITIONS),
        n: INDEX,
        inner: INDEX,
        chunk: INDEX,
    ):
        chunks = (n + chunk - 1) // chunk
        strips = (inner + STRIP - 1) // STRIP
        for item in range(begin, end):
            group = item // strips
            column = (item - group * strips) * STRIP
            first = group % chunks * chunk
            source = pointer_at(data(x), (group // chunks * n + first) * inner + column)
            best = pointer_at(data(values), group * inner + column)
            position = pointer_at(data(indices), group * inner + column)
            width = min(STRIP, inner - column)
            for j in range(width):
                put(best, j, get(source, j))
                put(position, j, first)
            for i in range(1, min(chunk, n - first)):
                row = pointer_at(source, i * inner)
                for j in range(width):
                    new, old = get(row, j), get(best, j)
                    if beats(new, old):
                        put(best, j, new)
                        put(position, j, first + i)

    def extremum_parts(
        begin,
        end,
        x: flat,
        positions: POSITIONS,
        values: writes(flat),
        indices: writes(POSITIONS),
        parts: INDEX,
        inner: INDEX,
    ):
        for item in range(begin, end):
            outer = item // inner
            start = outer * parts * inner + item - outer * inner
            best, position = x[start], positions[start]
            for part in range(1, parts):
                at = start + part * inner
                if beats(x[at], best):
                    best, position = x[at], positions[at]
            values[item] = best
            indices[item] = position

    def make(function: Callable, suffix: str, shapes: str, items: Callable) -> Kernel:
        function.__name__ = function.__qualname__ = f"{name}_{suffix}"
        function.__doc__ = (
            f"values = the {word} x along n, indices = its position (the first of equal ones).\n\n"
            f"    {shapes}\n    Reads x once; one comparison an element."
        )
        return kernel(function, items=items)

    rows = make(
        extremum_rows,
        "rows",
        "x (outer, n), values and indices (outer, ceil(n / chunk)).",
        lambda x, values, *_: values.size,
    )
    columns = make(
        extremum_columns,
        "columns",
        "x (outer, n, inner), values and indices (outer, ceil(n / chunk), inner).",
        lambda x, values, indices, n, inner, chunk: column_items(
            x.size // (n * inner), n, inner, chunk
        ),
    )
    parts = make(
        extremum_parts,
        "parts",
        "x and positions (outer, parts, inner), values and indices (outer, inner).",
        lambda x, positions, values, *_: values.size,
    )
    _on_cuda(rows, columns, parts, combine, beats)
    return rows, columns, parts


def _on_cuda(
    rows: Kernel, columns: Kernel, parts: Kernel, combine: Callable, beats: Callable
) -> None:
    """The CUDA forms. A state is the best element so far and its position."""

    @device
    def update(state, value, index, first):
        return (value, index + first) if beats(value, state[0]) else state

    @device
    def several(state, values, index, step, first):
        best = values[0]
        for value in values:
            best = combine(best, value)
        if beats(best, state[0]):  # seldom: only then is it asked which of them it is
            found = False
            for value in values:
                if not found and (value == best or value != value):
                    state = (best, index + first)
                    found = True
                index += step
        return state

    @device
    def merge(a, b):
        before = (b[0] == a[0] or (b[0] != b[0] and a[0] != a[0])) and b[1] < a[1]
        return b if beats(b[0], a[0]) or before else a

    join_row, join_column = joining(merge, T, np.int64)
    read_row, read_column = reading(update, several)

    @rows.on_cuda(
        each="block",
        items=lambda x, values, indices, n, chunk: row_blocks(values.size, int(min(n, chunk))),
    )
    def _(x, values, values_size, indices, n, chunk):
        lanes, lane, group, groups = place(min(n, chunk), values_size)
        item = cuda.blockIdx.x * groups
        while item < values_size:
            own = min(item + group, values_size - 1)
            row, begin, length = chunk_of(own, n, chunk)
            source = ahead(x, row * n + begin)
            state = read_row((source[0], begin), source, length, lane, lanes, begin)
            best, position = join_row(state, lanes)
            if lane == 0:
                values[own] = best
                indices[own] = position
            item += cuda.gridDim.x * groups

    @columns.on_cuda(
        each="block",
        items=lambda x, values, indices, n, inner, chunk: column_blocks(
            values.size, int(min(n, chunk)), int(inner)
        ),
    )
    def _(x, values, values_size, indices, n, inner, chunk):
        item, items, step, width, side, column, row = columns_of(values_size, min(n, chunk), inner)
        while item < items:
            part, own = column_at(item, inner, width, column)
            outer, begin, length = chunk_of(part, n, chunk)
            source = ahead(x, (outer * n + begin) * inner + own)
            state = (source[0], begin)
            if row < side:
                state = read_column(state, source, length, row, side, inner, begin)
            best, position = join_column(state, width, side, row)
            if row == 0:
                values[part * inner + own] = best
                indices[part * inner + own] = position
            item += step

    @parts.on_cuda(
        each="block",
        items=lambda x, positions, values, indices, parts, inner: column_blocks(
            values.size, int(parts), int(inner)
        ),
    )
    def _(x, positions, values, values_size, indices, parts, inner):
        item, items, step, width, side, column, row = columns_of(values_size, parts, inner)
        while item < items:
            outer, own = column_at(item, inner, width, column)
            start = outer * parts * inner + own
            state = (x[start], positions[start])
            part = row + 0
            while row < side and part < parts:
                at = start + part * inner
                state = merge(state, (x[at], positions[at]))
                part += side
            best, position = join_column(state, width, side, row)
            if row == 0:
                values[outer * inner + own] = best
                indices[outer * inner + own] = position
            item += step


max_rows, max_columns, max_parts = _extremum("max", "largest", maximum, lambda a, b: a > b)
min_rows, min_columns, min_parts = _extremum("min", "smallest", minimum, lambda a, b: a < b)


@kernel(items=lambda grad, indices, out, n, inner: out.size // (n * inner))
def scatter_selected(
    begin, end, grad: flat, indices: POSITIONS, out: writes(flat), n: INDEX, inner: INDEX
):
    """out[o, indices[o, j], j] = grad[o, j], and zero elsewhere: the gradient of a selection.

    grad and indices (outer, inner), out (outer, n, inner). Writes out once; no operations.
    """
    target = data(out)
    zero = out.dtype.type(0)
    for o in range(begin, end):
        block = pointer_at(target, o * n * inner)
        for k in range(n * inner):
            put(block, k, zero)
        for j in range(inner):
            at = get(data(indices), o * inner + j) * inner + j
            put(block, at, get(data(grad), o * inner + j))


@scatter_selected.on_cuda(items=lambda grad, indices, out, n, inner: out.size)
def _(items, grad, indices, out, n, inner):
    item = cuda.grid(1) + 0
    while item < items:
        row, column = split(item, inner)
        outer, k = split(row, n)
        at = outer * inner + column
        out[item] = grad[at] if indices[at] == k else T(0)
        item += cuda.gridsize(1)


@kernel(items=lambda x, indices, out, n, inner: out.size)
def gather_selected(
    begin, end, x: flat, indices: POSITIONS, out: writes(flat), n: INDEX, inner: INDEX
):
    """out[o, j] = x[o, indices[o, j], j].

    x (outer, n, inner), indices and out (outer, inner). Reads one element of x for each of
    out; no operations.
    """
    for item in range(begin, end):
        o = item // inner
        at = (o * n + get(data(indices), item)) * inner + item - o * inner
        put(data(out), item, get(data(x), at))


@gather_selected.on_cuda()
def _(items, x, indices, out, n, inner):
    item = cuda.grid(1) + 0
    while item < items:
        outer, column = split(item, inner)
        out[item] = x[(outer * n + indices[item]) * inner + column]
        item += cuda.gridsize(1)
