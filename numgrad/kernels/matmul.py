"""Matrix products: out = beta * out + alpha * A B + bias, A and B each transposed or not, batched.

Four kernels with one signature share the work: `matmul_small` is the three loops of the formula,
for integers; `matmul_tiny` takes small products as they lie in memory; `matmul_thin` streams one
large operand past a few rows; `matmul_packed` is the one for the rest (their parts are in
`matmul_thin.py`, `matmul_packed.py` and `matmul_tile.py`). `plan` chooses, `multiply` runs the
choice on NumPy arrays.

Why no BLAS: on the processors measured, with AVX-512 and with AVX2, `matmul_packed` meets or
passes SciPy's OpenBLAS and MKL at the shapes of the benchmark, computes on the library's own
threads (two thread pools on the same cores slow each other down), gives the same bits on any
number of threads, and takes in what goes with a product: a bias, the gradient of a bias.

The arguments of all four, with A of shape (m, k), B of (k, n) and out of (m, n):

===========================  ===================================================================
`a`, `b`, `out`              batch matrices each, row-major; `a` or `b` may be a single matrix, used
                             for the whole batch; with `transpose_a` its rows hold A's columns
`bias`                       (), or (bias,) with bias of shape (n,), added to every row
`sums`                       (), or (sums,) with sums of shape (m,), set to the sums of A's rows
                             (of a linear layer's bias the gradient, where A is grad_outputᵀ)
`alpha`, `beta`              with alpha = 0 A and B are not read, with beta = 0 out is not
`sizes`                      `Plan.sizes`: batch, m, n, k, transpose_a, transpose_b, and into how
                             many blocks the rows and the columns of an output are split
===========================  ===================================================================

A product reads (m + n) k elements, writes m n, and takes 2 m n k operations.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numba import njit

from ._contract import OPTIONS, Kernel, arrays, flat, kernel, scalar, updates, writes
from ._launch import PARALLEL_WORK, get_num_threads, launcher
from ._native import address_of, as_pointer, pointer_at, stack_buffer
from .matmul_packed import ACROSS_BYTES, ACROSS_ROWS, DEPTH, STRIP_BYTES, TILE_BYTES, multiply_block
from .matmul_thin import THIN, THIN_COLUMNS, multiply_thin
from .matmul_tile import (
    FUSED,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    dot_tile,
    edge_tile,
    pointer_to,
)

#: Up to this many multiplications a product is tiny: packing would cost more than it saves.
TINY = 8192
#: Up to this many rows a tiny product of two operands with k along their rows is dot products.
DOT_ROWS = 4
#: Bytes of working memory for B transposed in a tiny product.
TURNED_BYTES = 8 * TINY
#: From this many columns on `matmul_small` goes along the rows of B.
LONG_ROW = 8
#: Bytes of the packed columns of B: they stay in a core's second-level cache.
PACKED_BYTES = 384 << 10
#: Blocks of the output that `matmul_packed` is split into: enough for many threads.
ITEMS = 64
#: From this many rows on, and up to this long a sum, threads share the rows and not the columns.
MANY_ROWS, SHORT_SUM = 256, 128
#: Rows whose sums are formed together.
SUM_ROWS = 64
#: Bytes of working memory for a tile, or a row of sums.
SPARE_BYTES = max(TILE_BYTES, 8 * THIN_COLUMNS, 8 * SUM_ROWS)


def _items(a, b, out, bias, sums, alpha, beta, sizes):
    return int(sizes[0] * sizes[6] * sizes[7])


@njit(**OPTIONS)
def layout(a, b, sizes):
    """Strides of A, strides of B, and the distances from one matrix of the batch to the next."""
    m, n, k = sizes[1], sizes[2], sizes[3]
    a_row, a_k = (1, m) if sizes[4] else (k, 1)
    b_k, b_column = (1, k) if sizes[5] else (n, 1)
    a_step = 0 if a.size == m * k else m * k
    b_step = 0 if b.size == k * n else k * n
    return a_row, a_k, b_k, b_column, a_step, b_step


@njit(**OPTIONS)
def start_output(out, out_row, out_column, rows, columns, beta, bias, bias_row, bias_column):
    """out = beta * out + bias; beta = 0 overwrites whatever is there, NaN included."""
    biased = bias_row + bias_column > 0
    for i in range(rows):
        for j in range(columns):
            at = i * out_row + j * out_column
            value = out[at] * beta if beta != 0 else beta
            out[at] = value + bias[i * bias_row + j * bias_column] if biased else value


@njit(**OPTIONS)
def sum_rows(a, row_stride, k_stride, rows, k, zero, sums, spare):
    """sums[i] = sum_p a[i, p], in blocks of `DEPTH` as the product itself."""
    for start in range(0, rows, SUM_ROWS):
        own = min(SUM_ROWS, rows - start)
        total = pointer_at(sums, start)
        for i in range(own):
            total[i] = zero
        for first in range(0, k, DEPTH):
            for i in range(own):
                spare[i] = zero
            for p in range(first, min(first + DEPTH, k)):
                x = pointer_at(a, start * row_stride + p * k_stride)
                for i in range(own):
                    spare[i] += x[i * row_stride]
            for i in range(own):
                total[i] += spare[i]


@kernel(items=_items)
def matmul_small(
    begin, end, a: flat, b: flat, out: updates(flat), bias: arrays, sums: writes(arrays),
    alpha: scalar, beta: scalar, sizes: flat(np.int64),
):  # fmt: skip
    """The product by its formula; an item is a row of one matrix.

    Where B's rows are contiguous, multiples of them are added up; else columns are taken four at
    a time, so that four sums are under way at once.

    out[i, j] = beta * out[i, j] + alpha * sum_p A[i, p] B[p, j] + bias[j]

    Reads a and b, writes out; 2 m n k operations.
    """
    m, n, k = sizes[1], sizes[2], sizes[3]
    a_row, a_k, b_k, b_column, a_step, b_step = layout(a, b, sizes)
    x, y, z = pointer_to(a), pointer_to(b), pointer_to(out)
    added = pointer_to(bias[0]) if len(bias) else z
    scale, keep, zero = out.dtype.type(alpha), out.dtype.type(beta), out.dtype.type(0)
    terms = k if scale != 0 else 0
    for item in range(begin, end):
        member, i = item // m, item % m
        row = pointer_at(x, member * a_step + i * a_row)
        matrix = pointer_at(y, member * b_step)
        place = pointer_at(z, item * n)
        if len(sums):
            total = zero
            for p in range(k):
                total += row[p * a_k]
            sums[0][i] = total
        start_output(place, 0, 1, 1, n, keep, added, 0, len(bias))
        j = 0
        if b_column == 1 and n >= LONG_ROW:
            for p in range(terms):
                element, b_row = scale * row[p * a_k], pointer_at(matrix, p * n)
                for j in range(n):
                    place[j] += element * b_row[j]
            j = n
        while j + 4 <= n:
            s0, s1, s2, s3 = zero, zero, zero, zero
            for p in range(terms):
                element = row[p * a_k]
                four = pointer_at(matrix, p * b_k + j * b_column)
                s0 += element * four[0]
                s1 += element * four[b_column]
                s2 += element * four[2 * b_column]
                s3 += element * four[3 * b_column]
            place[j] += scale * s0
            place[j + 1] += scale * s1
            place[j + 2] += scale * s2
            place[j + 3] += scale * s3
            j += 4
        while j < n:
            s0 = zero
            for p in range(terms):
                s0 += row[p * a_k] * matrix[p * b_k + j * b_column]
            place[j] += scale * s0
            j += 1


@kernel(items=_items)
def matmul_tiny(
    begin, end, a: flat, b: flat, out: updates(flat), bias: arrays, sums: writes(arrays),
    alpha: scalar, beta: scalar, sizes: flat(np.int64),
):  # fmt: skip
    """The product by tiles that may be cut off at the edges, nothing packed; an item is a matrix.

    With B's rows contiguous a tile's columns are vectors; with both operands contiguous along a
    sum that fills vectors, and few rows, its elements are dot products; else B is transposed first.

    out[i, j] = beta * out[i, j] + alpha * sum_p A[i, p] B[p, j] + bias[j]

    Reads a and b, writes out; 2 m n k operations.
    """
    m, n, k = sizes[1], sizes[2], sizes[3]
    a_row, a_k, b_k, b_column, a_step, b_step = layout(a, b, sizes)
    x, y, z = pointer_to(a), pointer_to(b), pointer_to(out)
    added = pointer_to(bias[0]) if len(bias) else z
    summed = pointer_to(sums[0]) if len(sums) else z
    scale, keep = out.dtype.type(alpha), out.dtype.type(beta)
    zero, one = out.dtype.type(0), out.dtype.type(1)
    turned = as_pointer(address_of(stack_buffer(numba.uint8, TURNED_BYTES)), a.dtype)
    ones = as_pointer(address_of(stack_buffer(numba.uint8, 8)), a.dtype)
    ones[0] = one
    lanes = VECTOR_BYTES // out.itemsize
    terms = k if scale != 0 else 0
    dots = b_k == 1 and a_k == 1 and m <= DOT_ROWS and 2 * k >= lanes
    for work in range(3 * begin, 3 * end):
        item, step = work // 3, work % 3
        left, left_row, left_k, rows = pointer_at(x, item * a_step), a_row, a_k, m
        right, right_k = pointer_at(y, item * b_step), b_k
        target, target_row, columns = pointer_at(z, item * m * n), n, n
        start, start_row, count, factor, old = target, n, terms, scale, keep
        if step == 0:  # out = beta * out + 1 * bias, where there is a bias and a beta
            if len(bias) == 0 or keep == 0:
                continue
            left, left_row, left_k, right, right_k = ones, 0, 0, added, 0
            count, factor = 1, one
        elif (
            step == 1
        ):  # the sums: A times a column of ones, or, Aᵀ lying in memory, a row times it
            if len(sums) == 0:
                continue
            start, start_row, target, target_row = summed, 1, summed, 1
            count, factor, old = k, one, zero
            if a_row == 1:
                right, right_k, columns = left, a_k, m
                left, left_row, left_k, rows = ones, 0, 0, 1
            else:
                right, right_k, columns = ones, 0, 1
        else:
            if len(bias) > 0:
                old = one
                if keep == 0:
                    start, start_row = added, 0
            if dots:
                for i in range(0, m, 2):
                    for j in range(0, n, 4):
                        dot_tile(
                            pointer_at(left, i * a_row), a_row,
                            pointer_at(right, j * b_column), b_column, terms, scale,
                            pointer_at(start, i * start_row + j), start_row, old,
                            pointer_at(target, i * n + j), n, m - i, n - j, 2, 4,
                        )  # fmt: skip
                continue
            if b_column != 1 and terms > 0 and m > 0:
                for j in range(n):
                    for p in range(k):
                        turned[p * n + j] = right[j * b_column + p * b_k]
                right, right_k = turned, n
        for i in range(0, rows, 4):
            for j in range(0, columns, 2 * lanes):
                edge_tile(
                    pointer_at(left, i * left_row), left_row, left_k,
                    pointer_at(right, j), right_k, count, factor,
                    pointer_at(start, i * start_row + j), start_row, old,
                    pointer_at(target, i * target_row + j), target_row, rows - i, columns - j, 4, 2,
                )  # fmt: skip


@kernel(items=_items)
def matmul_thin(
    begin, end, a: flat, b: flat, out: updates(flat), bias: arrays, sums: writes(arrays),
    alpha: scalar, beta: scalar, sizes: flat(np.int64),
):  # fmt: skip
    """The product where m or n is at most `THIN`; an item is a block of the longer side of one
    matrix, with all of the shorter one. With n the shorter, outᵀ = Bᵀ Aᵀ is computed.

    out[i, j] = beta * out[i, j] + alpha * sum_p A[i, p] B[p, j] + bias[j]

    Reads a and b, writes out; 2 m n k operations.
    """
    m, n, k = sizes[1], sizes[2], sizes[3]
    a_row, a_k, b_k, b_column, a_step, b_step = layout(a, b, sizes)
    x, y, z = pointer_to(a), pointer_to(b), pointer_to(out)
    added = pointer_to(bias[0]) if len(bias) else z
    biased = len(bias)
    few, many, out_few, out_many, bias_few, bias_many = m, n, n, 1, 0, biased
    if n < m:
        x, y, a_row, a_k, b_k, b_column = y, x, b_column, b_k, a_k, a_row
        a_step, b_step = b_step, a_step
        few, many, out_few, out_many, bias_few, bias_many = n, m, 1, n, biased, 0
    scale, keep, zero = out.dtype.type(alpha), out.dtype.type(beta), out.dtype.type(0)
    strip = as_pointer(address_of(stack_buffer(numba.uint8, STRIP_BYTES)), a.dtype)
    spare = as_pointer(address_of(stack_buffer(numba.uint8, SPARE_BYTES)), a.dtype)
    column_blocks = sizes[7]
    for item in range(begin, end):
        member, part = item // column_blocks, item % column_blocks
        start = many * part // column_blocks
        columns = many * (part + 1) // column_blocks - start
        own_x = pointer_at(x, member * a_step)
        own_y = pointer_at(y, member * b_step + start * b_column)
        place = pointer_at(z, member * m * n + start * out_many)
        own_bias = pointer_at(added, start * bias_many)
        start_output(place, out_few, out_many, few, columns, keep, own_bias, bias_few, bias_many)
        if len(sums) and n < m:
            total = pointer_at(pointer_to(sums[0]), start)
            sum_rows(own_y, b_column, b_k, columns, k, zero, total, spare)
        elif len(sums) and start == 0:
            sum_rows(own_x, a_row, a_k, few, k, zero, pointer_to(sums[0]), spare)
        if scale != 0:
            multiply_thin(
                own_x, a_row, a_k, few, own_y, b_k, b_column, columns, k,
                scale, zero, place, out_few, out_many, strip, spare,
            )  # fmt: skip


@njit(**OPTIONS)
def computed_across(m, transpose_a, transpose_b):
    """Whether `matmul_packed` computes outᵀ: k along the rows of both operands, few rows of A."""
    return m <= ACROSS_ROWS and transpose_b != 0 and transpose_a == 0


@kernel(items=_items)
def matmul_packed(
    begin, end, a: flat, b: flat, out: updates(flat), bias: arrays, sums: writes(arrays),
    alpha: scalar, beta: scalar, sizes: flat(np.int64),
):  # fmt: skip
    """The product by packed panels and tiles in registers; an item is a block of one output.

    The items of one block of columns follow one another, so that a thread packs B's block once
    for all of its rows.

    out[i, j] = beta * out[i, j] + alpha * sum_p A[i, p] B[p, j] + bias[j]

    Reads a and b, writes out; 2 m n k operations.
    """
    m, n, k = sizes[1], sizes[2], sizes[3]
    a_row, a_k, b_k, b_column, a_step, b_step = layout(a, b, sizes)
    x, y, z = pointer_to(a), pointer_to(b), pointer_to(out)
    added = pointer_to(bias[0]) if len(bias) else z
    biased = len(bias)
    scale, keep = out.dtype.type(alpha), out.dtype.type(beta)
    zero, one = out.dtype.type(0), out.dtype.type(1)
    packed = as_pointer(address_of(stack_buffer(numba.uint8, PACKED_BYTES)), a.dtype)
    strip = as_pointer(address_of(stack_buffer(numba.uint8, STRIP_BYTES)), a.dtype)
    spare = as_pointer(address_of(stack_buffer(numba.uint8, SPARE_BYTES)), a.dtype)
    across = as_pointer(address_of(stack_buffer(numba.uint8, ACROSS_BYTES)), a.dtype)
    lanes = VECTOR_BYTES // out.itemsize
    all_rows, all_columns, out_row, out_column = m, n, n, 1
    if computed_across(m, sizes[4], sizes[5]):
        x, y, a_row, a_k, b_k, b_column = y, x, b_column, b_k, a_k, a_row
        a_step, b_step = b_step, a_step
        all_rows, all_columns, out_row, out_column = n, m, 1, n
    row_blocks, column_blocks = sizes[6], sizes[7]
    vectors = (all_columns + lanes - 1) // lanes
    most = PACKED_BYTES // (VECTOR_BYTES * max(1, min(k, DEPTH)))  # vectors that fit into `packed`
    strips = (all_rows + TILE_ROWS - 1) // TILE_ROWS
    add = keep != 0 or biased > 0 or scale == 0
    item = begin
    while item < end:
        block = item // row_blocks
        stop = min(end, (block + 1) * row_blocks)
        member, part = block // column_blocks, block % column_blocks
        row = (item - block * row_blocks) * strips // row_blocks * TILE_ROWS
        below = (stop - block * row_blocks) * strips // row_blocks * TILE_ROWS
        rows = min(all_rows, below) - row
        column = vectors * part // column_blocks * lanes
        columns = min(all_columns, vectors * (part + 1) // column_blocks * lanes) - column
        own_a = pointer_at(x, member * a_step + row * a_row)
        own_b = pointer_at(y, member * b_step + column * b_column)
        place = pointer_at(z, member * m * n + row * out_row + column * out_column)
        tall, broad, bias_at = rows, columns, column
        summed, first, summed_row, summed_k, owner = own_a, row, a_row, a_k, part == 0
        if out_column != 1:
            tall, broad, bias_at = columns, rows, row
            summed, first, summed_row, summed_k, owner = own_b, column, b_column, b_k, row == 0
        if add and (keep != 1 or biased):
            own_bias = pointer_at(added, bias_at * biased)
            start_output(place, n, 1, tall, broad, keep, own_bias, 0, biased)
        if len(sums) and owner:
            total = pointer_at(pointer_to(sums[0]), first)
            sum_rows(summed, summed_row, summed_k, tall, k, zero, total, spare)
        if scale != 0:
            own = (columns + lanes - 1) // lanes
            rounds = (own + most - 1) // most
            for turn in range(rounds):
                start = own * turn // rounds * lanes
                width = min(columns, own * (turn + 1) // rounds * lanes) - start
                multiply_block(
                    own_a, a_row, a_k, rows,
                    pointer_at(own_b, start * b_column), b_k, b_column, width, k,
                    scale, one, pointer_at(place, start * out_column), out_row, out_column, add,
                    lanes, packed, strip, spare, across,
                )  # fmt: skip
        item = stop


class Plan(NamedTuple):
    """How to launch a product: the kernel, its work items, the work to judge by, its `sizes`."""

    kernel: Kernel
    items: int
    work: int
    sizes: np.ndarray


@functools.lru_cache(maxsize=4096)
def plan(
    m: int,
    n: int,
    k: int,
    transpose_a: bool = False,
    transpose_b: bool = False,
    batch: int = 1,
    dtype: np.dtype | type = np.float32,
) -> Plan:
    """The kernel for a product of these sizes, and what to launch it with.

    The arguments of the launch are `(a, b, out, bias, sums, alpha, beta, plan.sizes)`.
    """
    dtype = np.dtype(dtype)
    row_blocks = column_blocks = 1
    if dtype.kind != "f":
        chosen, row_blocks, work = matmul_small, m, m * n * k // 4
    elif m * n * k <= (TINY if min(m, n) > THIN or transpose_b and 1 < m <= THIN else TINY // 4):
        chosen, work = matmul_tiny, m * n * k // 4
    elif min(m, n) <= THIN:
        many = max(m, n)
        column_blocks = max(-(-many // THIN_COLUMNS), min(8, -(-many // 128)))
        chosen, work = matmul_thin, many * k
    else:
        chosen = matmul_packed
        across = computed_across.py_func(m, transpose_a, transpose_b)
        rows, columns = (n, m) if across else (m, n)
        row_blocks, column_blocks = _blocks(batch, rows, columns, k, dtype.itemsize, across)
        work = m * n * k // 16
    items = batch * row_blocks * column_blocks
    sizes = (batch, m, n, k, transpose_a, transpose_b, row_blocks, column_blocks)
    return Plan(chosen, items, batch * work, np.array(sizes, np.int64))


def _blocks(batch: int, m: int, n: int, k: int, itemsize: int, across: bool) -> tuple[int, int]:
    """Into how many blocks of rows and of columns `matmul_packed` splits each output.

    An even number of blocks of columns, so that two threads don't both pack the same columns.
    With many rows and a short sum it is writing that counts, not packing, and threads had better
    not write to the same rows. About `ITEMS` blocks in all, which split evenly.
    """
    vectors = -(-n * itemsize // VECTOR_BYTES)
    most = PACKED_BYTES // (VECTOR_BYTES * min(k, DEPTH))
    columns = 1
    if vectors >= 4 * TILE_VECTORS and not (across or m >= MANY_ROWS and k <= SHORT_SUM):
        columns = 2 * -(-vectors // (2 * most))
    rows = max(1, min(-(-m // TILE_ROWS), ITEMS // (columns * batch)))
    return rows, columns


def multiply(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    bias: Sequence[np.ndarray] = (),
    sums: Sequence[np.ndarray] = (),
) -> None:
    """out = beta * out + alpha * A B + bias for C-contiguous arrays of two or three dimensions.

    >>> import numpy as np
    >>> from numgrad.kernels.matmul import multiply
    >>> a, out = np.eye(2, dtype=np.float32), np.empty((2, 2), np.float32)
    >>> multiply(a, a, out, alpha=3.0)
    >>> out.tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    m, k = a.shape[-2:][::-1] if transpose_a else a.shape[-2:]
    b_k, n = b.shape[-2:][::-1] if transpose_b else b.shape[-2:]
    batch = out.shape[0] if out.ndim == 3 else 1
    if b_k != k or out.shape[-2:] != (m, n):
        raise ValueError(f"multiply: {a.shape} and {b.shape} do not give {out.shape}")
    chosen = plan(m, n, k, transpose_a, transpose_b, batch, out.dtype)
    arguments = (a, b, out, tuple(bias), tuple(sums), float(alpha), float(beta), chosen.sizes)
    address = chosen.kernel.compile(out.dtype)
    if chosen.work < PARALLEL_WORK:
        launcher.serial(address, chosen.items, arguments)
    else:
        launcher.parallel(address, chosen.items, chosen.work, arguments)


def product_info() -> dict[str, object]:
    """What computes the matrix products here, for a report on the machine."""
    return {
        "library": "numgrad",
        "vector_bits": 8 * VECTOR_BYTES,
        "fused_multiply_add": FUSED,
        "tile": f"{TILE_ROWS}x{TILE_VECTORS * VECTOR_BYTES // 4} float32",
        "threads": get_num_threads(),
    }
