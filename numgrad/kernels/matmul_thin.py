"""Products with at most four rows: the one large operand is read once, as it lies in memory.

out[i, j] (+)= sum_p a[i, p] * b[p, j] for a few rows i and many columns j. Packing b, as
`matmul_packed` does, would cost more than the product. With k along b's rows a column's sums are
dot products; else b's rows are added up, each times an element of a.
"""

from __future__ import annotations

from numba import njit

from ._contract import OPTIONS
from ._native import pointer_at
from .matmul_packed import DEPTH

#: At most this many rows (or columns) make a product thin.
THIN = 4
#: The most columns that are handed to `multiply_thin` at a time.
THIN_COLUMNS = 512


@njit(**OPTIONS)
def copy_thin(a, row_stride, k_stride, rows, depth, alpha, strip):
    """strip[i * DEPTH + p] = alpha * a[i, p]; rows up to 2 or 4 are filled with zeros."""
    filled = 1 if rows == 1 else THIN
    for i in range(filled):
        place = pointer_at(strip, i * DEPTH)
        if i < rows:
            row = pointer_at(a, i * row_stride)
            for p in range(depth):
                place[p] = alpha * row[p * k_stride]
        else:
            for p in range(depth):
                place[p] = 0


@njit(**OPTIONS)
def dot_columns(strip, rows, b, column_stride, depth, columns, zero, out, out_row, out_column):
    """out[i, j] += dot(strip[i], b[:, j]), b's columns contiguous."""
    x0, x1 = strip, pointer_at(strip, DEPTH)
    x2, x3 = pointer_at(strip, 2 * DEPTH), pointer_at(strip, 3 * DEPTH)
    for j in range(columns):
        column, place = pointer_at(b, j * column_stride), pointer_at(out, j * out_column)
        s0, s1, s2, s3 = zero, zero, zero, zero
        if rows == 1:
            for p in range(depth):
                s0 += x0[p] * column[p]
        else:
            for p in range(depth):
                element = column[p]
                s0 += x0[p] * element
                s1 += x1[p] * element
                s2 += x2[p] * element
                s3 += x3[p] * element
            place[out_row] += s1
            if rows > 2:
                place[2 * out_row] += s2
            if rows > 3:
                place[3 * out_row] += s3
        place[0] += s0


@njit(**OPTIONS)
def add_rows(strip, rows, b, k_stride, depth, columns, zero, out, out_row, out_column, sums):
    """out[i, j] += sum_p strip[i, p] * b[p, j], b's rows contiguous; `sums` is working memory."""
    for i in range(rows):
        x = pointer_at(strip, i * DEPTH)
        for j in range(columns):
            sums[j] = zero
        p = 0
        while p + 4 <= depth:
            b0, b1 = pointer_at(b, p * k_stride), pointer_at(b, (p + 1) * k_stride)
            b2, b3 = pointer_at(b, (p + 2) * k_stride), pointer_at(b, (p + 3) * k_stride)
            x0, x1, x2, x3 = x[p], x[p + 1], x[p + 2], x[p + 3]
            for j in range(columns):
                sums[j] += (x0 * b0[j] + x1 * b1[j]) + (x2 * b2[j] + x3 * b3[j])
            p += 4
        while p < depth:
            b0, x0 = pointer_at(b, p * k_stride), x[p]
            for j in range(columns):
                sums[j] += x0 * b0[j]
            p += 1
        for j in range(columns):
            out[i * out_row + j * out_column] += sums[j]


@njit(**OPTIONS)
def multiply_thin(
    a, row_stride, k_stride, rows, b, b_k_stride, column_stride, columns, k,
    alpha, zero, out, out_row, out_column, strip, sums,
):  # fmt: skip
    """out += alpha * A B for at most `THIN` rows and `THIN_COLUMNS` columns.

    `strip` is working memory for THIN * DEPTH elements, `sums` for THIN_COLUMNS.
    """
    for first in range(0, k, DEPTH):
        depth = min(DEPTH, k - first)
        copy_thin(pointer_at(a, first * k_stride), row_stride, k_stride, rows, depth, alpha, strip)
        own = pointer_at(b, first * b_k_stride)
        if b_k_stride == 1:
            dot_columns(
                strip, rows, own, column_stride, depth, columns, zero, out, out_row, out_column
            )
        else:
            add_rows(
                strip, rows, own, b_k_stride, depth, columns, zero, out, out_row, out_column, sums
            )
