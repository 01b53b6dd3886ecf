"""Reductions: many numbers to one, along rows, along columns, or over a whole array.

An input is seen as `(outer, n, inner)`, reduced along `n`. `*_rows` kernels are for `inner == 1`,
`*_columns` kernels for `inner > 1`, where neighbouring columns share a vector. A long reduction is
cut into chunks of fixed length, each a work item of its own; the same kernel combines the chunks'
results in a second launch (`sum_integers`, `any`, `all` and `count_nonzero` by `sum`, `any`, `all`
and `sum` of their own results). The cut depends on sizes alone, so every thread count gives the
same bits. `row_chunk` and `column_chunk` choose its length.

Within a chunk, rows are added in blocks of 4096 with a vector of partial sums each, and the blocks'
results in float64; columns in groups of four. So the error of a float32 sum stays near that of the
final rounding, whatever its length.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ._contract import OPTIONS, Kernel, flat, scalar, writes
from ._native import get, pointer_at, put, stack_buffer
from ._scalar import like
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
)

INDEX = scalar(np.int64)
INLINED = {**OPTIONS, "forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
#: Elements of a row whose partial results stay in one vector.
BLOCK = 4096
#: Rows shorter than this are reduced four at a time.
SHORT = 512
#: Columns that one work item reduces at once: their partial results stay in L1.
STRIP = 256
#: Fewer columns than this are reduced several rows at a time.
NARROW = 64
#: Elements below which a reduction isn't cut into chunks.
CHUNK = 1 << 15


def row_chunk(rows: int, n: int) -> int:
    """The length of a work item of a `*_rows` kernel: `n`, unless the rows are few and long."""
    return n if n <= CHUNK or rows >= 64 else CHUNK


def column_chunk(outer: int, n: int, inner: int) -> int:
    """The rows of a work item of a `*_columns` kernel."""
    width = min(inner, STRIP)
    if n * width <= CHUNK or (n <= BLOCK and outer * -(-inner // STRIP) >= 64):
        return n
    return min(BLOCK, CHUNK // width)


def column_items(outer: int, n: int, inner: int, chunk: int) -> int:
    """The number of work items of a `*_columns` kernel."""
    return outer * -(-n // chunk) * -(-inner // STRIP)


def _itself(value):
    return value


def _reduction(
    name: str,
    formula: str,
    load: Callable,
    combine: Callable,
    start: Callable = _itself,
    widen: Callable = _itself,
    finish: Callable | None = None,
    result: Any = None,
    cost: str = "one operation",
) -> tuple[Kernel, Kernel]:
    """The two kernels of a reduction, `name_rows` and `name_columns`.

    `load(x, parameter)` is what is combined, of the output's dtype: T unless `result` names one.
    `start(value)` is the neutral element of `combine`, or `value` itself where combining twice
    changes nothing; `widen` gives the dtype in which blocks are combined, and
    `finish(total, parameter)` the result.
    """
    finish = finish or _first
    neutral = start is not _itself
    load, combine, start, widen, finish = (
        njit(**INLINED)(f) for f in (load, combine, start, widen, finish)
    )
    output = writes(flat if result is None else flat(result))

    def reduce_rows(begin, end, x: flat, out: output, n: INDEX, chunk: INDEX, parameter: scalar):
        source, target = data(x), data(out)
        if n < SHORT and chunk >= n:
            # Four rows at a time: alone, each would wait for its own additions.
            last = end - 1
            for row in range(begin, end, 4):
                row1, row2, row3 = min(row + 1, last), min(row + 2, last), min(row + 3, last)
                x0, x1 = pointer_at(source, row * n), pointer_at(source, row1 * n)
                x2, x3 = pointer_at(source, row2 * n), pointer_at(source, row3 * n)
                a = start(load(get(x0, 0), parameter))
                b = start(load(get(x1, 0), parameter))
                c = start(load(get(x2, 0), parameter))
                d = start(load(get(x3, 0), parameter))
                for i in range(n):
                    a = combine(a, load(get(x0, i), parameter))
                    b = combine(b, load(get(x1, i), parameter))
                    c = combine(c, load(get(x2, i), parameter))
                    d = combine(d, load(get(x3, i), parameter))
                put(target, row, finish(widen(a), parameter))
                put(target, row1, finish(widen(b), parameter))
                put(target, row2, finish(widen(c), parameter))
                put(target, row3, finish(widen(d), parameter))
            return
        chunks = (n + chunk - 1) // chunk
        row = begin // chunks
        first = (begin - row * chunks) * chunk
        for item in range(begin, end):
            values = pointer_at(source, row * n + first)
            length = min(chunk, n - first)
            total = start(widen(load(get(values, 0), parameter)))
            for block in range(0, length, BLOCK):
                part = pointer_at(values, block)
                partial = start(load(get(part, 0), parameter))
                for i in range(min(BLOCK, length - block)):
                    partial = combine(partial, load(get(part, i), parameter))
                total = combine(total, widen(partial))
            put(target, item, finish(total, parameter))
            first += chunk
            if first >= n:
                first = 0
                row += 1

    def reduce_columns(
        begin, end, x: flat, out: output, n: INDEX, inner: INDEX, chunk: INDEX, parameter: scalar
    ):
        source = data(x)
        partial = stack_buffer(out.dtype, STRIP)
        chunks = (n + chunk - 1) // chunk
        strips = (inner + STRIP - 1) // STRIP
        for item in range(begin, end):
            group = item // strips
            column = (item - group * strips) * STRIP
            first = group % chunks * chunk
            rows = min(chunk, n - first)
            values = pointer_at(source, (group // chunks * n + first) * inner + column)
            results = pointer_at(data(out), group * inner + column)
            width = min(STRIP, inner - column)
            # Few columns: several rows, one after another in memory, as one wide row.
            side = max(1, min(rows, NARROW // inner))
            for j in range(width * side):
                put(partial, j, start(load(get(values, j), parameter)))
            stride = inner * side
            # Four rows at a time: one pass over the partial results for all of them.
            row = 0
            while row < rows:
                x0 = pointer_at(values, row * inner)
                if row + 4 * side <= rows:
                    x1, x2 = pointer_at(x0, stride), pointer_at(x0, 2 * stride)
                    x3 = pointer_at(x0, 3 * stride)
                    for j in range(width * side):
                        a = combine(load(get(x0, j), parameter), load(get(x1, j), parameter))
                        b = combine(load(get(x2, j), parameter), load(get(x3, j), parameter))
                        put(partial, j, combine(get(partial, j), combine(a, b)))
                    row += 4 * side
                else:
                    for j in range(width * min(side, rows - row)):
                        put(partial, j, combine(get(partial, j), load(get(x0, j), parameter)))
                    row += side
            for k in range(1, side):
                for j in range(width):
                    put(partial, j, combine(get(partial, j), get(partial, k * width + j)))
            for j in range(width):
                put(results, j, finish(get(partial, j), parameter))

    rows = _kernel(reduce_rows, f"{name}_rows", formula, ROWS, cost)
    if neutral:
        rows.parts = (load, combine, start, widen, finish)
    columns = _kernel(reduce_columns, f"{name}_columns", formula, COLUMNS, cost)
    kind = {None: T, np.bool_: np.int32}.get(result, result)
    _on_cuda(rows, columns, load, combine, start, finish, kind)
    return rows, columns


def _on_cuda(
    rows: Kernel,
    columns: Kernel,
    load: Callable,
    combine: Callable,
    start: Callable,
    finish: Callable,
    kind: Any,
) -> None:
    """The CUDA forms of a reduction, whose state is one number of type `kind`."""

    @device
    def first(x, parameter):
        return start(kind(load(x[0], parameter)))

    @device
    def update(state, value, index, parameter):
        return combine(state, kind(load(value, parameter)))

    @device
    def merge(a, b):
        return combine(a, b)

    join_row, join_column = joining(merge, kind)
    read_row, read_column = reading(update)

    @rows.on_cuda(
        each="block",
        items=lambda x, out, n, chunk, parameter: row_blocks(out.size, int(min(n, chunk))),
    )
    def _(x, out, out_size, n, chunk, parameter):
        lanes, lane, group, groups = place(min(n, chunk), out_size)
        item = cuda.blockIdx.x * groups
        while item < out_size:
            own = min(item + group, out_size - 1)
            row, begin, length = chunk_of(own, n, chunk)
            values = ahead(x, row * n + begin)
            state = read_row(first(values, parameter), values, length, lane, lanes, parameter)
            state = join_row(state, lanes)
            if lane == 0:
                out[own] = finish(state, parameter)
            item += cuda.gridDim.x * groups

    @columns.on_cuda(
        each="block",
        items=lambda x, out, n, inner, chunk, parameter: column_blocks(
            out.size, int(min(n, chunk)), int(inner)
        ),
    )
    def _(x, out, out_size, n, inner, chunk, parameter):
        item, items, step, width, side, column, row = columns_of(out_size, min(n, chunk), inner)
        while item < items:
            part, own = column_at(item, inner, width, column)
            outer, begin, length = chunk_of(part, n, chunk)
            values = ahead(x, (outer * n + begin) * inner + own)
            state = first(values, parameter)
            if row < side:
                state = read_column(state, values, length, row, side, inner, parameter)
            state = join_column(state, width, side, row)
            if row == 0:
                out[part * inner + own] = finish(state, parameter)
            item += step


def _first(value, parameter):
    return value


ROWS = """

    x (outer, n), out (outer, ceil(n / chunk)); `parameter` is used as the formula says.
    Reads x once, writes out; {cost} an element."""
COLUMNS = """

    x (outer, n, inner), out (outer, ceil(n / chunk), inner); `parameter` as in the formula.
    Reads x once, writes out; {cost} an element."""


def _kernel(function: Callable, name: str, formula: str, shapes: str, cost: str) -> Kernel:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = formula + shapes.format(cost=cost)
    if shapes is ROWS:
        return Kernel(function, items=lambda x, out, *sizes: out.size)
    return Kernel(
        function,
        items=lambda x, out, n, inner, chunk, parameter: column_items(
            x.size // (n * inner), n, inner, chunk
        ),
    )


def _value(x, parameter):
    return x


def _add(a, b):
    return a + b


def _zero(value):
    return like(value, 0)


def _float64(value):
    return np.float64(value)


def _divided(total, divisor):
    return total / like(total, divisor)


def _one(value):
    return like(value, 1)


sum_rows, sum_columns = _reduction(
    "sum", "out = Σ x / parameter", _value, _add, _zero, _float64, _divided
)
nansum_rows, nansum_columns = _reduction(
    "nansum",
    "out = Σ x / parameter over the x that are not NaN",
    lambda x, _: x if x == x else like(x, 0),
    _add,
    _zero,
    _float64,
    _divided,
    cost="two operations",
)
sum_integers_rows, sum_integers_columns = _reduction(
    "sum_integers",
    "out = Σ x, in int64",
    lambda x, _: np.int64(x),
    _add,
    _zero,
    result=np.int64,
)
prod_rows, prod_columns = _reduction(
    "prod", "out = Π x", _value, lambda a, b: a * b, _one, _float64
)
prod_integers_rows, prod_integers_columns = _reduction(
    "prod_integers",
    "out = Π x, in int64",
    lambda x, _: np.int64(x),
    lambda a, b: a * b,
    _one,
    result=np.int64,
)
amax_rows, amax_columns = _reduction("amax", "out = max x", _value, lambda a, b: maximum(a, b))
amin_rows, amin_columns = _reduction("amin", "out = min x", _value, lambda a, b: minimum(a, b))
all_rows, all_columns = _reduction(
    "all",
    "out = x₀ ≠ 0 and x₁ ≠ 0 and …",
    lambda x, _: x != like(x, 0),
    lambda a, b: a & b,
    result=np.bool_,
    cost="two operations",
)
any_rows, any_columns = _reduction(
    "any",
    "out = x₀ ≠ 0 or x₁ ≠ 0 or …",
    lambda x, _: x != like(x, 0),
    lambda a, b: a | b,
    result=np.bool_,
    cost="two operations",
)
count_nonzero_rows, count_nonzero_columns = _reduction(
    "count_nonzero",
    "out = the number of x ≠ 0",
    lambda x, _: np.int64(x != like(x, 0)),
    _add,
    _zero,
    result=np.int64,
    cost="two operations",
)
norm1_rows, norm1_columns = _reduction(
    "norm1",
    "out = Σ |x|",
    lambda x, _: abs(x),
    _add,
    _zero,
    _float64,
    cost="two operations",
)
norm2_rows, norm2_columns = _reduction(
    "norm2",
    "out = √(Σ x²)",
    lambda x, _: x * x,
    _add,
    _zero,
    _float64,
    lambda total, _: math.sqrt(total),
    cost="two operations",
)
norm_max_rows, norm_max_columns = _reduction(
    "norm_max",
    "out = max |x|",
    lambda x, _: abs(x),
    lambda a, b: maximum(a, b),
    cost="two operations",
)
norm_min_rows, norm_min_columns = _reduction(
    "norm_min",
    "out = min |x|",
    lambda x, _: abs(x),
    lambda a, b: minimum(a, b),
    cost="two operations",
)
