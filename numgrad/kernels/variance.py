"""Variance and mean along a dimension, numerically sound.

Each block of elements is read twice while it lies in the cache: once for its mean, once for the
squared distances from that mean. Blocks are joined by the rule of Chan, Golub and LeVeque (1979):
with δ the difference of the means, `M2 = M2a + M2b + δ² · na · nb / (na + nb)`.

Inputs are seen as `(outer, n, inner)` and cut into chunks as in `reduction.py`. A chunk's results
are its mean and its M2, the sum of squared distances; `variance_parts` joins the chunks.
"""

import math

import numpy as np
from numba import njit

from ._contract import flat, kernel, scalar, writes
from ._native import get, pointer_at, put, stack_buffer
from ._scalar import like
from .blocks import data
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
from .reduction import INDEX, INLINED

BLOCK = 4096
#: Columns of a work item, and the rows of them that make a block.
STRIP = 128
ROWS = 64
MEANS = flat(np.float64)


@njit(**INLINED)
def mean_and_m2(values, n):
    """The mean of n elements and the sum of their squared distances from it, in float64."""
    mean, m2 = 0.0, 0.0
    for start in range(0, n, BLOCK):
        part = pointer_at(values, start)
        count = min(BLOCK, n - start)
        zero = like(get(part, 0), 0)
        total = zero
        for i in range(count):
            total += get(part, i)
        own = np.float64(total) / count
        centre = like(zero, own)
        squares, rest = zero, zero
        for i in range(count):
            distance = get(part, i) - centre
            squares += distance * distance
            rest += distance
        # What the rounding of the mean left over.
        offset = np.float64(rest) / count
        own = np.float64(centre) + offset
        delta = own - mean
        m2 += np.float64(squares) - offset * offset * count
        m2 += delta * delta * (np.float64(start) * count / (start + count))
        mean += delta * (np.float64(count) / (start + count))
    return mean, m2


@njit(**INLINED)
def finished(m2, n, correction, root):
    """What is stored: M2 itself (root < 0), the variance (0), the standard deviation (1)."""
    if root < 0:
        return m2
    variance = m2 / max(0.0, n - correction)
    return math.sqrt(variance) if root > 0 else variance


# On CUDA the elements are read once, and all numbers are of type T. A state is the mean, M2 and the
# number of elements; four neighbours at a time have their own mean and M2 first.


@device
def taken_in(state, value, index, parameter):
    count = state[2] + T(1)
    distance = value - state[0]
    mean = state[0] + distance / count
    return mean, state[1] + distance * (value - mean), count


@device
def joined(a, b):
    """The state of two sets of elements together; that of no elements is (0, 0, 0)."""
    count = a[2] + b[2]
    share = b[2] / max(count, T(1))
    delta = b[0] - a[0]
    return a[0] + delta * share, a[1] + b[1] + delta * delta * (a[2] * share), count


@device
def several_taken_in(state, values, index, step, parameter):
    mean, m2 = T(0), T(0)
    for value in values:
        mean += value
    mean /= T(len(values))
    for value in values:
        m2 += (value - mean) * (value - mean)
    return joined(state, (mean, m2, T(len(values))))


@device
def finished_on_cuda(m2, n, correction, root):
    """`finished` in the type T."""
    kind = T(root)
    if kind < T(0):
        return m2
    variance = m2 / max(T(0), T(n) - T(correction))
    return math.sqrt(variance) if kind > T(0) else variance


join_row, join_column = joining(joined, T, T, T)
read_row, read_column = reading(taken_in, several_taken_in, loads=2)


@kernel(items=lambda x, mean, out, *sizes: out.size)
def variance_rows(
    begin,
    end,
    x: flat,
    mean: writes(MEANS),
    out: writes(flat),
    n: INDEX,
    chunk: INDEX,
    correction: scalar,
    root: scalar,
):
    """mean = Σ x / n, out = Σ (x - mean)² / (n - correction), or its root, or the sum alone.

    x (outer, n), mean (float64) and out (outer, ceil(n / chunk)). `root` is 1 for the standard
    deviation, 0
    for the variance, -1 for the sum M2, which `variance_parts` takes. Reads x once from memory;
    five operations an element.
    """
    chunks = (n + chunk - 1) // chunk
    for item in range(begin, end):
        row = item // chunks
        first = (item - row * chunks) * chunk
        count = min(chunk, n - first)
        own, m2 = mean_and_m2(pointer_at(data(x), row * n + first), count)
        mean[item] = own
        out[item] = finished(m2, count, correction, root)


@variance_rows.on_cuda(
    each="block",
    items=lambda x, mean, out, n, chunk, *_: row_blocks(out.size, int(min(n, chunk))),
)
def _(x, mean, out, out_size, n, chunk, correction, root):
    lanes, lane, group, groups = place(min(n, chunk), out_size)
    item = cuda.blockIdx.x * groups
    while item < out_size:
        own = min(item + group, out_size - 1)
        row, begin, length = chunk_of(own, n, chunk)
        state = read_row((T(0), T(0), T(0)), ahead(x, row * n + begin), length, lane, lanes, 0)
        centre, m2, _ = join_row(state, lanes)
        if lane == 0:
            mean[own] = centre
            out[own] = finished_on_cuda(m2, length, correction, root)
        item += cuda.gridDim.x * groups


def variance_items(outer: int, n: int, inner: int, chunk: int) -> int:
    """The number of work items of `variance_columns`."""
    return outer * -(-n // chunk) * -(-inner // STRIP)


@kernel(
    items=lambda x, mean, out, n, inner, chunk, *_: variance_items(
        x.size // (n * inner), n, inner, chunk
    )
)
def variance_columns(
    begin,
    end,
    x: flat,
    mean: writes(MEANS),
    out: writes(flat),
    n: INDEX,
    inner: INDEX,
    chunk: INDEX,
    correction: scalar,
    root: scalar,
):
    """The same of columns: x (outer, n, inner), mean and out (outer, ceil(n / chunk), inner);
    five operations an element."""
    zero = x.dtype.type(0)
    total = stack_buffer(x.dtype, STRIP)
    squares = stack_buffer(x.dtype, STRIP)
    centre = stack_buffer(x.dtype, STRIP)
    m2 = stack_buffer(mean.dtype, STRIP)
    chunks = (n + chunk - 1) // chunk
    strips = (inner + STRIP - 1) // STRIP
    for item in range(begin, end):
        group = item // strips
        column = (item - group * strips) * STRIP
        first = group % chunks * chunk
        values = pointer_at(data(x), (group // chunks * n + first) * inner + column)
        means = pointer_at(data(mean), group * inner + column)
        results = pointer_at(data(out), group * inner + column)
        width = min(STRIP, inner - column)
        length = min(chunk, n - first)
        for j in range(width):
            put(means, j, 0.0)
            put(m2, j, 0.0)
        for start in range(0, length, ROWS):
            part = pointer_at(values, start * inner)
            count = min(ROWS, length - start)
            for j in range(width):
                put(total, j, zero)
            for i in range(count):
                row = pointer_at(part, i * inner)
                for j in range(width):
                    put(total, j, get(total, j) + get(row, j))
            for j in range(width):
                put(centre, j, get(total, j) / like(zero, count))
                put(total, j, zero)
                put(squares, j, zero)
            for i in range(count):
                row = pointer_at(part, i * inner)
                for j in range(width):
                    distance = get(row, j) - get(centre, j)
                    put(total, j, get(total, j) + distance)
                    put(squares, j, get(squares, j) + distance * distance)
            share = np.float64(count) / (start + count)
            for j in range(width):
                offset = np.float64(get(total, j)) / count
                delta = np.float64(get(centre, j)) + offset - get(means, j)
                own = np.float64(get(squares, j)) - offset * offset * count
                put(m2, j, get(m2, j) + own + delta * delta * start * share)
                put(means, j, get(means, j) + delta * share)
        for j in range(width):
            put(results, j, finished(get(m2, j), length, correction, root))


@variance_columns.on_cuda(
    each="block",
    items=lambda x, mean, out, n, inner, chunk, *_: column_blocks(
        out.size, int(min(n, chunk)), int(inner)
    ),
)
def _(x, mean, out, out_size, n, inner, chunk, correction, root):
    item, items, step, width, side, column, row = columns_of(out_size, min(n, chunk), inner)
    while item < items:
        part, own = column_at(item, inner, width, column)
        outer, begin, length = chunk_of(part, n, chunk)
        values = ahead(x, (outer * n + begin) * inner + own)
        state = (T(0), T(0), T(0))
        if row < side:
            state = read_column(state, values, length, row, side, inner, 0)
        centre, m2, _ = join_column(state, width, side, row)
        if row == 0:
            mean[part * inner + own] = centre
            out[part * inner + own] = finished_on_cuda(m2, length, correction, root)
        item += step


@kernel(items=lambda means, m2s, mean, out, *_: out.size)
def variance_parts(
    begin,
    end,
    means: MEANS,
    m2s: flat,
    mean: writes(MEANS),
    out: writes(flat),
    n: INDEX,
    inner: INDEX,
    chunk: INDEX,
    correction: scalar,
    root: scalar,
):
    """Join chunks: means and m2s (outer, ceil(n / chunk), inner), mean and out (outer, inner);
    eight operations an element of means."""
    chunks = (n + chunk - 1) // chunk
    for item in range(begin, end):
        outer = item // inner
        start = outer * chunks * inner + item - outer * inner
        own, m2 = 0.0, 0.0
        for part in range(chunks):
            before = np.float64(part * chunk)
            count = min(chunk, n - part * chunk)
            delta = np.float64(means[start + part * inner]) - own
            m2 += np.float64(m2s[start + part * inner])
            m2 += delta * delta * (before * count / (before + count))
            own += delta * (count / (before + count))
        mean[item] = own
        out[item] = finished(m2, n, correction, root)


@variance_parts.on_cuda(
    each="block",
    items=lambda means, m2s, mean, out, n, inner, chunk, *_: column_blocks(
        out.size, int(-(-n // chunk)), int(inner)
    ),
)
def _(means, m2s, mean, out, out_size, n, inner, chunk, correction, root):
    chunks = (n + chunk - 1) // chunk
    item, items, step, width, side, column, row = columns_of(out_size, chunks, inner)
    while item < items:
        outer, own = column_at(item, inner, width, column)
        state = (T(0), T(0), T(0))
        part = row + 0
        while row < side and part < chunks:
            at = (outer * chunks + part) * inner + own
            count = min(chunk, n - part * chunk)
            state = joined(state, (T(means[at]), m2s[at], T(count)))
            part += side
        centre, m2, _ = join_column(state, width, side, row)
        if row == 0:
            mean[outer * inner + own] = centre
            out[outer * inner + own] = finished_on_cuda(m2, n, correction, root)
        item += step
