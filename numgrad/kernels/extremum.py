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

    return (
        make(
            extremum_rows,
            "rows",
            "x (outer, n), values and indices (outer, ceil(n / chunk)).",
            lambda x, values, *_: values.size,
        ),
        make(
            extremum_columns,
            "columns",
            "x (outer, n, inner), values and indices (outer, ceil(n / chunk), inner).",
            lambda x, values, indices, n, inner, chunk: column_items(
                x.size // (n * inner), n, inner, chunk
            ),
        ),
        make(
            extremum_parts,
            "parts",
            "x and positions (outer, parts, inner), values and indices (outer, inner).",
            lambda x, positions, values, *_: values.size,
        ),
    )


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
