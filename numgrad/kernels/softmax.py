"""softmax, log_softmax and logsumexp along a dimension, forward and backward.

The largest element of a row is subtracted before the exponential, so that nothing overflows. A row
that holds NaN or +infinity, or only -infinity, gives NaN, as in PyTorch; logsumexp then gives NaN,
+infinity, -infinity.

Inputs are seen as `(outer, n, inner)`: `*_rows` kernels for `inner == 1`, `*_columns` kernels else.
A work item is a row, or up to 64 columns of one outer index; on CUDA a row or a column.
"""

import math

import numpy as np
from numba import njit

from ._contract import flat, kernel, writes
from ._native import get, pointer_at, put, stack_buffer
from ._scalar import like
from .blocks import data, difference, larger
from .cuda import T, cuda, device
from .cuda.blocks import block_max, block_sum, greater
from .maths import exp, isinf, log
from .reduction import BLOCK, INDEX, INLINED

#: Columns of a work item.
STRIP = 256
#: Rows whose exponentials are added before the sums go to float64.
ROWS = 64


def row_items(x, out, *rest):
    return x.size // rest[-1]


def column_items(outer: int, inner: int) -> int:
    """The number of work items of a `*_columns` kernel."""
    return outer * -(-inner // STRIP)


def _columns(*arguments):
    inner, n = arguments[-1], arguments[-2]
    return column_items(arguments[0].size // (n * inner), inner)


@njit(**INLINED)
def largest(values, n):
    """The largest of n elements; any of them if one is NaN, which the exponentials then show."""
    result = get(values, 0)
    for j in range(1, n):
        result = larger(result, get(values, j))
    return result


@njit(**INLINED)
def sum_of_exp(values, n, shift):
    """Σ e^(x - shift) in float64."""
    total = 0.0
    for start in range(0, n, BLOCK):
        partial = like(shift, 0)
        for j in range(start, min(n, start + BLOCK)):
            partial += exp(get(values, j) - shift)
        total += np.float64(partial)
    return total


# On CUDA a row has a block of threads. It is read two or three times and comes from memory once: the
# cache keeps it in between.


@device
def row_largest(x, start, n):
    """The largest of the n elements from `start` on, for every thread of the block."""
    shift = x[start]
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        shift = greater(x[start + j], shift)
    return block_max(shift)


@device
def row_sum_of_exp(x, start, n, shift):
    """Σ e^(x - shift) of the n elements from `start` on, for every thread of the block."""
    total = T(0)
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        total += exp(x[start + j] - shift)
    return block_sum(total)


@kernel(items=row_items)
def softmax_rows(begin, end, x: flat, out: writes(flat), n: INDEX):
    """out[i, j] = exp(x[i, j] - maxᵢ) / Σⱼ exp(x[i, j] - maxᵢ)

    x and out (outer, n). Reads x and writes out once, the row stays in the cache in between; an
    exponential and four operations an element.
    """
    for row in range(begin, end):
        values, results = pointer_at(data(x), row * n), pointer_at(data(out), row * n)
        shift = largest(values, n)
        total = 0.0
        for start in range(0, n, BLOCK):
            partial = like(shift, 0)
            for j in range(start, min(n, start + BLOCK)):
                e = exp(get(values, j) - shift)
                put(results, j, e)
                partial += e
            total += np.float64(partial)
        scale = like(shift, 1.0 / total)
        for j in range(n):
            put(results, j, get(results, j) * scale)


@softmax_rows.on_cuda(each="block")
def _(items, x, out, n):
    for row in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        start = row * n
        shift = row_largest(x, start, n)
        scale = T(1) / row_sum_of_exp(x, start, n, shift)
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            out[start + j] = exp(x[start + j] - shift) * scale


@kernel(items=row_items)
def log_softmax_rows(begin, end, x: flat, out: writes(flat), n: INDEX):
    """out[i, j] = x[i, j] - maxᵢ - log Σⱼ exp(x[i, j] - maxᵢ)

    x and out (outer, n). Reads x and writes out once; an exponential and four operations an
    element.
    """
    for row in range(begin, end):
        values, results = pointer_at(data(x), row * n), pointer_at(data(out), row * n)
        shift = largest(values, n)
        rest = like(shift, math.log(sum_of_exp(values, n, shift)))
        for j in range(n):
            # In this order: shift + rest would lose the digits of rest beside a large shift.
            put(results, j, difference(difference(get(values, j), shift), rest))


@log_softmax_rows.on_cuda(each="block")
def _(items, x, out, n):
    for row in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        start = row * n
        shift = row_largest(x, start, n)
        rest = log(row_sum_of_exp(x, start, n, shift))
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            out[start + j] = (x[start + j] - shift) - rest


@kernel(items=lambda x, out, n, chunk: out.size)
def logsumexp_rows(begin, end, x: flat, out: writes(flat), n: INDEX, chunk: INDEX):
    """out[i] = log Σⱼ exp(x[i, j])

    x (outer, n), out (outer, ceil(n / chunk)): long rows in chunks, and then their results, as in
    `reduction.py`. Reads x once; an exponential and three operations an element.
    """
    chunks = (n + chunk - 1) // chunk
    for item in range(begin, end):
        row = item // chunks
        first = (item - row * chunks) * chunk
        count = min(chunk, n - first)
        values = pointer_at(data(x), row * n + first)
        shift = largest(values, count)
        if math.isinf(shift):
            shift = like(shift, 0)
        put(data(out), item, np.float64(shift) + math.log(sum_of_exp(values, count, shift)))


@logsumexp_rows.on_cuda(each="block")
def _(items, x, out, n, chunk):
    chunks = (n + chunk - 1) // chunk
    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        row = item // chunks
        first = (item - row * chunks) * chunk
        start, count = row * n + first, min(chunk, n - first)
        shift = row_largest(x, start, count)
        if isinf(shift):
            shift = T(0)
        total = row_sum_of_exp(x, start, count, shift)
        if cuda.threadIdx.x == 0:
            out[item] = shift + log(total)


@kernel(items=row_items)
def softmax_backward_rows(begin, end, grad: flat, y: flat, out: writes(flat), n: INDEX):
    """out[i, j] = y[i, j] · (grad[i, j] - Σₖ grad[i, k] · y[i, k]), y being softmax's output.

    grad, y and out (outer, n). Reads grad and y, writes out; four operations an element.
    """
    for row in range(begin, end):
        g, values = pointer_at(data(grad), row * n), pointer_at(data(y), row * n)
        results = pointer_at(data(out), row * n)
        total = 0.0
        for start in range(0, n, BLOCK):
            partial = like(get(g, 0), 0)
            for j in range(start, min(n, start + BLOCK)):
                partial += get(g, j) * get(values, j)
            total += np.float64(partial)
        mean = like(get(g, 0), total)
        for j in range(n):
            put(results, j, get(values, j) * (get(g, j) - mean))


@softmax_backward_rows.on_cuda(each="block")
def _(items, grad, y, out, n):
    for row in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        start = row * n
        total = T(0)
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            total += grad[start + j] * y[start + j]
        mean = block_sum(total)
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            out[start + j] = y[start + j] * (grad[start + j] - mean)


@kernel(items=row_items)
def log_softmax_backward_rows(begin, end, grad: flat, y: flat, out: writes(flat), n: INDEX):
    """out[i, j] = grad[i, j] - exp(y[i, j]) · Σₖ grad[i, k], y being log_softmax's output.

    grad, y and out (outer, n). Reads grad and y, writes out; an exponential and three operations
    an element.
    """
    for row in range(begin, end):
        g, values = pointer_at(data(grad), row * n), pointer_at(data(y), row * n)
        results = pointer_at(data(out), row * n)
        total = 0.0
        for start in range(0, n, BLOCK):
            partial = like(get(g, 0), 0)
            for j in range(start, min(n, start + BLOCK)):
                partial += get(g, j)
            total += np.float64(partial)
        scale = like(get(g, 0), total)
        for j in range(n):
            put(results, j, get(g, j) - exp(get(values, j)) * scale)


@log_softmax_backward_rows.on_cuda(each="block")
def _(items, grad, y, out, n):
    for row in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        start = row * n
        total = T(0)
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            total += grad[start + j]
        scale = block_sum(total)
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            out[start + j] = grad[start + j] - exp(y[start + j]) * scale


@njit(**INLINED)
def strip(item, n, inner):
    """Where a work item of columns begins, and how many columns it has."""
    strips = (inner + STRIP - 1) // STRIP
    outer = item // strips
    column = (item - outer * strips) * STRIP
    return outer * n * inner + column, min(STRIP, inner - column)


@njit(**INLINED)
def largest_of_columns(values, n, inner, width, result):
    for j in range(width):
        put(result, j, get(values, j))
    for i in range(1, n):
        row = pointer_at(values, i * inner)
        for j in range(width):
            put(result, j, larger(get(result, j), get(row, j)))


@njit(**INLINED)
def sum_of_exp_of_columns(values, n, inner, width, shift, partial, total):
    for j in range(width):
        put(total, j, 0.0)
    for first in range(0, n, ROWS):
        for j in range(width):
            put(partial, j, 0.0)
        for i in range(first, min(n, first + ROWS)):
            row = pointer_at(values, i * inner)
            for j in range(width):
                put(partial, j, get(partial, j) + exp(get(row, j) - get(shift, j)))
        for j in range(width):
            put(total, j, get(total, j) + np.float64(get(partial, j)))


def column_threads(x, out, n, inner):
    """A thread for each column, on CUDA: neighbours read neighbours."""
    return x.size // n


@device
def column_largest(x, start, n, inner):
    """The largest element of the column that begins at `start`."""
    shift = x[start]
    for i in range(1, n):
        shift = greater(x[start + i * inner], shift)
    return shift


@device
def column_sum_of_exp(x, start, n, inner, shift):
    """Σ e^(x - shift) of the column that begins at `start`."""
    total = T(0)
    for i in range(n):
        total += exp(x[start + i * inner] - shift)
    return total


@kernel(items=_columns)
def softmax_columns(begin, end, x: flat, out: writes(flat), n: INDEX, inner: INDEX):
    """softmax along the columns of x (outer, n, inner); out has x's shape. See `softmax_rows`; an
    exponential and four operations an element."""
    shift = stack_buffer(x.dtype, STRIP)
    partial = stack_buffer(x.dtype, STRIP)
    total = stack_buffer(np.float64, STRIP)
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        values, results = pointer_at(data(x), start), pointer_at(data(out), start)
        largest_of_columns(values, n, inner, width, shift)
        for j in range(width):
            put(total, j, 0.0)
        for first in range(0, n, ROWS):
            for j in range(width):
                put(partial, j, 0.0)
            for i in range(first, min(n, first + ROWS)):
                row, target = pointer_at(values, i * inner), pointer_at(results, i * inner)
                for j in range(width):
                    e = exp(get(row, j) - get(shift, j))
                    put(target, j, e)
                    put(partial, j, get(partial, j) + e)
            for j in range(width):
                put(total, j, get(total, j) + np.float64(get(partial, j)))
        for j in range(width):
            put(shift, j, 1.0 / get(total, j))
        for i in range(n):
            target = pointer_at(results, i * inner)
            for j in range(width):
                put(target, j, get(target, j) * get(shift, j))


@softmax_columns.on_cuda(items=column_threads)
def _(items, x, out, n, inner):
    for item in range(cuda.grid(1), items, cuda.gridsize(1)):
        start = item // inner * n * inner + item % inner
        shift = column_largest(x, start, n, inner)
        scale = T(1) / column_sum_of_exp(x, start, n, inner, shift)
        for i in range(start, start + n * inner, inner):
            out[i] = exp(x[i] - shift) * scale


@kernel(items=_columns)
def log_softmax_columns(begin, end, x: flat, out: writes(flat), n: INDEX, inner: INDEX):
    """log_softmax along the columns of x (outer, n, inner); out has x's shape. An exponential and
    four operations an element."""
    shift = stack_buffer(x.dtype, STRIP)
    rest = stack_buffer(x.dtype, STRIP)
    partial = stack_buffer(x.dtype, STRIP)
    total = stack_buffer(np.float64, STRIP)
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        values, results = pointer_at(data(x), start), pointer_at(data(out), start)
        largest_of_columns(values, n, inner, width, shift)
        sum_of_exp_of_columns(values, n, inner, width, shift, partial, total)
        for j in range(width):
            put(rest, j, math.log(get(total, j)))
        for i in range(n):
            row, target = pointer_at(values, i * inner), pointer_at(results, i * inner)
            for j in range(width):
                put(target, j, difference(difference(get(row, j), get(shift, j)), get(rest, j)))


@log_softmax_columns.on_cuda(items=column_threads)
def _(items, x, out, n, inner):
    for item in range(cuda.grid(1), items, cuda.gridsize(1)):
        start = item // inner * n * inner + item % inner
        shift = column_largest(x, start, n, inner)
        rest = log(column_sum_of_exp(x, start, n, inner, shift))
        for i in range(start, start + n * inner, inner):
            out[i] = (x[i] - shift) - rest


@kernel(items=lambda x, out, n, inner: column_items(x.size // (n * inner), inner))
def logsumexp_columns(begin, end, x: flat, out: writes(flat), n: INDEX, inner: INDEX):
    """out[o, j] = log Σᵢ exp(x[o, i, j]) for x (outer, n, inner), out (outer, inner); an exponential and
    three operations an element."""
    shift = stack_buffer(x.dtype, STRIP)
    partial = stack_buffer(x.dtype, STRIP)
    total = stack_buffer(np.float64, STRIP)
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        values = pointer_at(data(x), start)
        results = pointer_at(data(out), start // (n * inner) * inner + start % inner)
        largest_of_columns(values, n, inner, width, shift)
        for j in range(width):
            if math.isinf(get(shift, j)):
                put(shift, j, 0.0)
        sum_of_exp_of_columns(values, n, inner, width, shift, partial, total)
        for j in range(width):
            put(results, j, np.float64(get(shift, j)) + math.log(get(total, j)))


@logsumexp_columns.on_cuda(items=column_threads)
def _(items, x, out, n, inner):
    for item in range(cuda.grid(1), items, cuda.gridsize(1)):
        start = item // inner * n * inner + item % inner
        shift = column_largest(x, start, n, inner)
        if isinf(shift):
            shift = T(0)
        out[item] = shift + log(column_sum_of_exp(x, start, n, inner, shift))


@kernel(items=_columns)
def softmax_backward_columns(
    begin, end, grad: flat, y: flat, out: writes(flat), n: INDEX, inner: INDEX
):
    """out = y · (grad - Σ grad · y) along the columns of grad, y and out (outer, n, inner); four
    operations an element."""
    total = stack_buffer(np.float64, STRIP)
    mean = stack_buffer(grad.dtype, STRIP)
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        g, values = pointer_at(data(grad), start), pointer_at(data(y), start)
        results = pointer_at(data(out), start)
        for j in range(width):
            put(total, j, 0.0)
        for i in range(0, n * inner, inner):
            for j in range(width):
                own = np.float64(get(g, i + j)) * np.float64(get(values, i + j))
                put(total, j, get(total, j) + own)
        for j in range(width):
            put(mean, j, get(total, j))
        for i in range(0, n * inner, inner):
            for j in range(width):
                put(results, i + j, get(values, i + j) * (get(g, i + j) - get(mean, j)))


def gradient_threads(grad, y, out, n, inner):
    """A thread for each column, on CUDA."""
    return grad.size // n


@softmax_backward_columns.on_cuda(items=gradient_threads)
def _(items, grad, y, out, n, inner):
    for item in range(cuda.grid(1), items, cuda.gridsize(1)):
        start = item // inner * n * inner + item % inner
        total = T(0)
        for i in range(start, start + n * inner, inner):
            total += grad[i] * y[i]
        for i in range(start, start + n * inner, inner):
            out[i] = y[i] * (grad[i] - total)


@kernel(items=_columns)
def log_softmax_backward_columns(
    begin, end, grad: flat, y: flat, out: writes(flat), n: INDEX, inner: INDEX
):
    """out = grad - exp(y) · Σ grad along the columns of grad, y and out (outer, n, inner); an
    exponential and three operations an element."""
    total = stack_buffer(np.float64, STRIP)
    scale = stack_buffer(grad.dtype, STRIP)
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        g, values = pointer_at(data(grad), start), pointer_at(data(y), start)
        results = pointer_at(data(out), start)
        for j in range(width):
            put(total, j, 0.0)
        for i in range(0, n * inner, inner):
            for j in range(width):
                put(total, j, get(total, j) + np.float64(get(g, i + j)))
        for j in range(width):
            put(scale, j, get(total, j))
        for i in range(0, n * inner, inner):
            for j in range(width):
                put(results, i + j, get(g, i + j) - exp(get(values, i + j)) * get(scale, j))


@log_softmax_backward_columns.on_cuda(items=gradient_threads)
def _(items, grad, y, out, n, inner):
    for item in range(cuda.grid(1), items, cuda.gridsize(1)):
        start = item // inner * n * inner + item % inner
        total = T(0)
        for i in range(start, start + n * inner, inner):
            total += grad[i]
        for i in range(start, start + n * inner, inner):
            out[i] = grad[i] - exp(y[i]) * total
