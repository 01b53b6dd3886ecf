"""Large matrix products: packed panels in the cache, tiles of the output in registers.

out (+)= alpha * A B for row-major A, B and out, A and B each transposed or not. A is read by
broadcasting single elements; B is copied, in panels of up to three vectors of columns, so that the
innermost loop reads it in order. A tile (`matmul_tile.tile`) is a few rows of A times one panel.
Where there are too few rows to be worth the copy, panels are read where they lie. And where k runs
along the rows of both operands, as in x Wᵀ, and A has few rows, outᵀ = Bᵀ Aᵀ is computed instead,
so that it is the small operand that is copied, and the tiles are transposed on the way out.

The sum over k is one chain of fused multiply-adds for each block of `DEPTH` and the blocks are
added in order, whichever tile and thread an element falls to: its bits do not depend on them.
"""

from __future__ import annotations

from numba import njit

from ._contract import OPTIONS
from ._native import pointer_at
from .matmul_tile import BLOCK, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES, tile, transpose_block

#: The longest piece of the sum over k that is done in one go.
DEPTH = 512
HALF_ROWS = TILE_ROWS // 2
#: Up to this many rows of A, B's rows are read where they lie.
DIRECT_ROWS = 256
#: Up to this many rows of A, and with k along the rows of A and of B, outᵀ is computed.
ACROSS_ROWS = 128
#: Bytes of working memory: a strip of A, a tile that sticks out of the output, a strip of outᵀ.
STRIP_BYTES = DEPTH * TILE_ROWS * 8
TILE_BYTES = TILE_ROWS * TILE_VECTORS * VECTOR_BYTES
ACROSS_BYTES = TILE_ROWS * ACROSS_ROWS * 8


@njit(**OPTIONS)
def panel_width(columns, lanes):
    """The columns of the next panel when this many are left, in whole vectors: three of them, or
    two where three would leave a single one over."""
    vectors = (columns + lanes - 1) // lanes
    return min(vectors, 2 if vectors == 4 else TILE_VECTORS) * lanes


@njit(**OPTIONS)
def pack(b, k_stride, column_stride, depth, columns, lanes, alpha, direct, packed):
    """Copy alpha * b[p, j], p < depth, j < columns, to panels: a panel holds its columns for
    p = 0, 1 …, filled up with zeros to whole vectors. With `direct`, whole panels are left out."""
    start = 0
    while start < columns:
        width = panel_width(columns - start, lanes)
        own = min(width, columns - start)
        source = pointer_at(b, start * column_stride)
        target = pointer_at(packed, start * depth)
        if direct and own == width:
            pass
        elif column_stride == 1:
            for p in range(depth):
                row, place = pointer_at(source, p * k_stride), pointer_at(target, p * width)
                for j in range(own):
                    place[j] = alpha * row[j]
        else:
            pack_transposed(source, column_stride, depth, own, width, alpha, target)
        if own < width:
            for p in range(depth):
                for j in range(own, width):
                    target[p * width + j] = 0
        start += width


@njit(**OPTIONS)
def pack_transposed(source, column_stride, depth, columns, width, alpha, target):
    """target[p * width + j] = alpha * source[j * column_stride + p]."""
    whole_columns, whole_depth = columns // BLOCK * BLOCK, depth // BLOCK * BLOCK
    p = 0
    while p < whole_depth:
        stop = min(p + 2 * BLOCK, whole_depth)  # a cache line of every column
        for j in range(0, whole_columns, BLOCK):
            for q in range(p, stop, BLOCK):
                x = pointer_at(source, j * column_stride + q)
                place = pointer_at(target, q * width + j)
                transpose_block(x, column_stride, place, width, alpha, False)
        for q in range(p, stop):
            for j in range(whole_columns, columns):
                target[q * width + j] = alpha * source[j * column_stride + q]
        p = stop
    for q in range(whole_depth, depth):
        for j in range(columns):
            target[q * width + j] = alpha * source[j * column_stride + q]


@njit(**OPTIONS)
def pack_rows(a, row_stride, k_stride, depth, rows, strip):
    """strip[p, i] = a[i, p] for a strip of fewer than TILE_ROWS rows, filled up with zeros."""
    for p in range(depth):
        for i in range(rows):
            strip[p * TILE_ROWS + i] = a[i * row_stride + p * k_stride]
        for i in range(rows, TILE_ROWS):
            strip[p * TILE_ROWS + i] = 0


@njit(**OPTIONS)
def multiply_strip(
    a, a_row, a_k, rows, b, b_k, direct, packed, depth, columns, lanes,
    out, out_stride, add, spare,
):  # fmt: skip
    """out (+)= A B for one strip of at most TILE_ROWS rows of A and a packed B.

    A tile that sticks out of the output is computed in `spare` and copied from there.
    """
    start = 0
    while start < columns:
        width = panel_width(columns - start, lanes)
        own = min(width, columns - start)
        panel, step = pointer_at(packed, start * depth), width
        if direct and own == width:
            panel, step = pointer_at(b, start), b_k
        target, stride, adding = pointer_at(out, start), out_stride, add
        inside = rows == TILE_ROWS and own == width
        if not inside:
            target, stride, adding = spare, width, False
        if rows > HALF_ROWS:
            if width == 3 * lanes:
                tile(a, a_row, a_k, panel, step, depth, target, stride, adding, TILE_ROWS, 3)
            elif width == 2 * lanes:
                tile(a, a_row, a_k, panel, step, depth, target, stride, adding, TILE_ROWS, 2)
            else:
                tile(a, a_row, a_k, panel, step, depth, target, stride, adding, TILE_ROWS, 1)
        else:
            if width == 3 * lanes:
                tile(a, a_row, a_k, panel, step, depth, target, stride, adding, HALF_ROWS, 3)
            elif width == 2 * lanes:
                tile(a, a_row, a_k, panel, step, depth, target, stride, adding, HALF_ROWS, 2)
            else:
                tile(a, a_row, a_k, panel, step, depth, target, stride, adding, HALF_ROWS, 1)
        if not inside:
            for i in range(rows):
                row, place = pointer_at(spare, i * width), pointer_at(out, i * out_stride + start)
                for j in range(own):
                    place[j] = place[j] + row[j] if add else row[j]
        start += width


@njit(**OPTIONS)
def write_across(source, width, rows, columns, one, out, out_stride, add):
    """out[j, i] (+)= source[i, j] for a strip of sums, out's rows `out_stride` apart."""
    whole = columns // BLOCK * BLOCK if rows == BLOCK else 0
    for j in range(0, whole, BLOCK):
        place = pointer_at(out, j * out_stride)
        transpose_block(pointer_at(source, j), width, place, out_stride, one, add)
    for j in range(whole, columns):
        place = pointer_at(out, j * out_stride)
        for i in range(rows):
            value = source[i * width + j]
            place[i] = place[i] + value if add else value


@njit(**OPTIONS)
def multiply_block(
    a, row_stride, k_stride, rows, b, b_k_stride, column_stride, columns, k,
    alpha, one, out, out_row, out_column, add, lanes, packed, strip, spare, sums,
):  # fmt: skip
    """out (+)= alpha * A B for as many columns as fit into `packed` with `DEPTH` rows.

    One of `out_row` and `out_column` is 1. `strip` is working memory for TILE_ROWS * DEPTH
    elements, `spare` for a whole tile, `sums` (where out_row is 1) for TILE_ROWS rows of columns.
    """
    across = out_column != 1
    wide = (columns + lanes - 1) // lanes * lanes
    direct = column_stride == 1 and rows <= DIRECT_ROWS and alpha == 1
    pieces = (k + DEPTH - 1) // DEPTH
    for piece in range(pieces):
        first = k * piece // pieces
        depth = k * (piece + 1) // pieces - first
        adding = add or piece > 0
        own_b = pointer_at(b, first * b_k_stride)
        pack(own_b, b_k_stride, column_stride, depth, columns, lanes, alpha, direct, packed)
        for row in range(0, rows, TILE_ROWS):
            own = min(TILE_ROWS, rows - row)
            x = pointer_at(a, row * row_stride + first * k_stride)
            x_row, x_k = row_stride, k_stride
            if own < TILE_ROWS:
                pack_rows(x, row_stride, k_stride, depth, own, strip)
                x, x_row, x_k = strip, 1, TILE_ROWS
            place = pointer_at(out, row * out_row)
            target, stride = place, out_row
            if across:
                target, stride = sums, wide
            multiply_strip(
                x, x_row, x_k, own, own_b, b_k_stride, direct, packed, depth, columns, lanes,
                target, stride, adding and not across, spare,
            )  # fmt: skip
            if across:
                write_across(sums, wide, own, columns, one, place, out_column, adding)
