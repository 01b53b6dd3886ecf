"""Reading and writing elements by index: rows, gather and scatter, joining, triangles.

Arrays are seen as `(outer, n, inner)`: the indexed dimension (or several adjacent ones, merged) in
the middle. `outer` is never passed: it is the range, or follows from it. Where several indices may
name one element, the writes to it are one work item, done in the order of the indices: the result
is the same whatever the number of threads.

Kernels that only move elements are compiled for integers of the four sizes (`BITS`) and serve every
dtype of that size; those that compute are compiled for the dtype itself.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from ._contract import OPTIONS, Kernel, array, arrays, flat, kernel, scalar, updates, writes
from ._native import get, pointer_at, put
from .blocks import data
from .cuda import T, cuda
from .cuda.blocks import block_max, block_sum
from .cuda.rows import load_wide, split, store_wide, unaligned, width
from .maths import fabs, pow, sqrt

#: The dtype that a moving kernel is compiled for, by the size of an element in bytes.
BITS: dict[int, np.dtype] = {
    1: np.dtype("i1"),
    2: np.dtype("i2"),
    4: np.dtype("i4"),
    8: np.dtype("i8"),
}

INDEX = flat(np.int64)
COUNT = scalar(np.int64)
#: Neighbouring elements of `inner` that make one work item where rows are written.
COLUMNS = 64


def column_items(outer: int, inner: int) -> int:
    """The work items of a kernel that writes `(outer, ..., inner)` by blocks of columns."""
    return outer * -(-inner // COLUMNS)


@njit(**OPTIONS)
def _copy(source, target, count):
    for j in range(count):
        put(target, j, get(source, j))


@kernel(items=lambda x, index, out, bad, n, m, inner, low: out.size // inner if inner else 0)
def take_rows(
    begin,
    end,
    x: flat,
    index: INDEX,
    out: updates(flat),
    bad: updates(INDEX),
    n: COUNT,
    m: COUNT,
    inner: COUNT,
    low: COUNT,
):
    """out[o, i] = x[o, index[i]], rows of `inner` elements; an index below 0 counts from the end.

    x (outer, n, inner), index (m,), out (outer, m, inner), bad (1,). Where an index is not in
    [low, n), low >= -n, its row is left alone and bad[0] = 1. Reads one element of x for
    each of out and writes out; no operations.
    """
    o = begin // m
    i = begin - o * m
    for item in range(begin, end):
        k = get(data(index), i)
        if low <= k < n:
            if k < 0:
                k += n
            source = pointer_at(data(x), (o * n + k) * inner)
            if inner == 1:
                put(data(out), item, get(source, 0))
            else:
                _copy(source, pointer_at(data(out), item * inner), inner)
        else:
            bad[0] = 1
        i += 1
        if i == m:
            i = 0
            o += 1


@take_rows.on_cuda(items=lambda x, index, out, *_: out.size)
def _(items, x, index, out, bad, n, m, inner, low):
    wide = width(out)
    if inner % wide != 0 or unaligned(x) != 0 or unaligned(out) != 0:
        wide = 1
    across = inner // wide
    for e in range(cuda.grid(1), items // wide, cuda.gridsize(1)):
        row, j = split(e, across)
        o, i = split(row, m)
        k = index[i]
        if low <= k and k < n:
            place = (o * n + (k + n if k < 0 else k)) * across + j
            if wide > 1:
                store_wide(out, e, load_wide(x, place))
            else:
                out[e] = x[place]
        else:
            bad[0] = 1


@kernel(items=lambda x, index, out, bad, n, m, inner: out.size // inner if inner else 0)
def gather_along(
    begin,
    end,
    x: flat,
    index: INDEX,
    out: writes(flat),
    bad: updates(INDEX),
    n: COUNT,
    m: COUNT,
    inner: COUNT,
):
    """out[o, i, j] = x[o, index[o, i, j], j].

    x (outer, n, inner), n > 0, index and out (outer, m, inner), bad (1,). Where an index is out of
    range its element has no meaning and bad[0] = 1. Reads an index and one element of x for each of out; no
    operations.
    """
    item = begin
    while item < end:
        # Where inner is 1, neighbouring items of one o are what the columns are otherwise.
        o = item // m
        run = min(end, (o + 1) * m) - item if inner == 1 else 1
        block = pointer_at(data(x), o * n * inner)
        positions = pointer_at(data(index), item * inner)
        target = pointer_at(data(out), item * inner)
        found = 0
        if inner == 1:
            for j in range(run):
                k = get(positions, j)
                wrong = (k < 0) | (k >= n)
                found |= wrong
                put(target, j, get(block, 0 if wrong else k))
        else:
            for j in range(inner):
                k = get(positions, j)
                wrong = (k < 0) | (k >= n)
                found |= wrong
                put(target, j, get(block, j if wrong else k * inner + j))
        if found:
            bad[0] = 1
        item += run


@gather_along.on_cuda(items=lambda x, index, out, *_: out.size)
def _(items, x, index, out, bad, n, m, inner):
    for e in range(cuda.grid(1), items, cuda.gridsize(1)):
        row, j = split(e, inner)
        k = index[e]
        if k < 0 or k >= n:
            bad[0] = 1
            k = 0
        out[e] = x[(row // m * n + k) * inner + j]


@kernel
def check_index(begin, end, index: INDEX, bad: updates(INDEX), low: COUNT, high: COUNT):
    """bad[0] = 1 where an index is not in [low, high). Reads 8 bytes an index; two comparisons an element."""
    found = 0
    for p in range(begin, end):
        k = get(data(index), p)
        found |= (k < low) | (k >= high)
    if found:
        bad[0] = 1


@check_index.on_cuda()
def _(items, index, bad, low, high):
    for p in range(cuda.grid(1), items, cuda.gridsize(1)):
        if index[p] < low or index[p] >= high:
            bad[0] = 1


@kernel(items=lambda indices, sizes, out, bad: out.size)
def combine_indices(
    begin, end, indices: arrays(np.int64), sizes: INDEX, out: writes(INDEX), bad: updates(INDEX)
):
    """out[p] = the row-major position of the element (indices[0][p], indices[1][p], ...).

    Indices may count from the end. bad (1,): bad[0] = 1 where an index is out of range; it counts
    as 0 then. Four operations an element of indices.
    """
    found = 0
    for d in range(len(indices)):
        size = sizes[d]
        coordinate = data(indices[d])
        for p in range(begin, end):
            k = get(coordinate, p)
            k = k + size if k < 0 else k
            wrong = (k < 0) | (k >= size)
            found |= wrong
            before = get(data(out), p) * size if d else 0
            put(data(out), p, before + (0 if wrong else k))
    if found:
        bad[0] = 1


@combine_indices.on_cuda()
def _(items, indices, indices_count, sizes, out, bad):
    for p in range(cuda.grid(1), items, cuda.gridsize(1)):
        place = 0
        for d in range(indices_count):
            size, k = sizes[d], indices[d][p]
            k = k + size if k < 0 else k
            if k < 0 or k >= size:
                bad[0] = 1
                k = 0
            place = place * size + k
        out[p] = place


def _writer(name: str, combine: Callable, sign: str, cost: str) -> tuple[Kernel, Kernel]:
    """The kernels `name_rows` and `name_along`: out[...] = combine(out[...], value)."""
    combine = njit(**OPTIONS)(combine)

    def write_rows(
        begin,
        end,
        values: flat,
        index: INDEX,
        out: updates(flat),
        n: COUNT,
        m: COUNT,
        inner: COUNT,
        step: COUNT,
        skip: COUNT,
    ):
        blocks = (inner + COLUMNS - 1) // COLUMNS
        item = begin
        while item < end:
            o = item // blocks
            block = item - o * blocks
            last = min(blocks, block + end - item)
            first_column, last_column = block * COLUMNS, min(inner, last * COLUMNS)
            width = last_column - first_column
            for i in range(m):
                k = get(data(index), i)
                if k < 0:
                    k += n
                if k == skip:
                    continue
                target = pointer_at(data(out), (o * n + k) * inner + first_column)
                source = pointer_at(data(values), step * ((o * m + i) * inner + first_column))
                if step:
                    for j in range(width):
                        put(target, j, combine(get(target, j), get(source, j)))
                else:
                    for j in range(width):
                        put(target, j, combine(get(target, j), get(source, 0)))
            item += last - block

    def write_along(
        begin,
        end,
        values: flat,
        index: INDEX,
        out: updates(flat),
        n: COUNT,
        m: COUNT,
        inner: COUNT,
        step: COUNT,
    ):
        blocks = (inner + COLUMNS - 1) // COLUMNS
        item = begin
        while item < end:
            o = item // blocks
            block = item - o * blocks
            last = min(blocks, block + end - item)
            first_column, last_column = block * COLUMNS, min(inner, last * COLUMNS)
            target = pointer_at(data(out), o * n * inner)
            for i in range(m):
                start = (o * m + i) * inner
                positions = pointer_at(data(index), start)
                source = pointer_at(data(values), start * step)
                for j in range(first_column, last_column):
                    at = get(positions, j) * inner + j
                    put(target, at, combine(get(target, at), get(source, j * step)))
            item += last - block

    write_rows.__name__ = write_rows.__qualname__ = f"{name}_rows"
    write_rows.__doc__ = (
        f"out[o, index[i]] {sign} values[o, i], rows of `inner` elements, for i = 0, 1, ...\n\n"
        "    values (outer, m, inner), or one element for all with step = 0 instead of 1; index\n"
        "    (m,), every one within range, may count from the end; out (outer, n, inner). Rows\n"
        f"    whose index is `skip` are left out (-1: none). {cost}"
    )
    write_along.__name__ = write_along.__qualname__ = f"{name}_along"
    write_along.__doc__ = (
        f"out[o, index[o, i, j], j] {sign} values[o, i, j], for i = 0, 1, ...\n\n"
        "    values and index (outer, m, inner), or one value for all with step = 0 instead of 1;\n"
        f"    every index in [0, n); out (outer, n, inner). {cost}"
    )

    rows = kernel(
        write_rows,
        items=lambda values, index, out, n, m, inner, step, skip: column_items(
            out.size // max(n * inner, 1), inner
        ),
    )
    along = kernel(
        write_along,
        items=lambda values, index, out, n, m, inner, step: column_items(
            out.size // max(n * inner, 1), inner
        ),
    )

    # A thread has a column, and goes along the indices: for few of them, or many columns. For the
    # others `operations` sort them first, and then launch `name_sorted`.

    @rows.on_cuda(items=_columns)
    def _(items, values, index, out, n, m, inner, step, skip):
        for e in range(cuda.grid(1), items, cuda.gridsize(1)):
            o, j = split(e, inner)
            for i in range(m):
                k = index[i]
                k = k + n if k < 0 else k
                if k != skip and 0 <= k and k < n:  # the check of it is read later
                    place = (o * n + k) * inner + j
                    out[place] = combine(out[place], values[step * ((o * m + i) * inner + j)])

    @along.on_cuda(items=_columns)
    def _(items, values, index, out, n, m, inner, step):
        for e in range(cuda.grid(1), items, cuda.gridsize(1)):
            o, j = split(e, inner)
            for i in range(m):
                source = (o * m + i) * inner + j
                k = index[source]
                if 0 <= k and k < n:
                    place = (o * n + k) * inner + j
                    out[place] = combine(out[place], values[step * source])

    return rows, along


def _columns(values, index, out, n, *_):
    return out.size // max(int(n), 1)


@kernel(items=lambda index, targets, *_: targets.size)
def row_targets(
    begin, end, index: INDEX, targets: writes(INDEX), n: COUNT, m: COUNT, skip: COUNT, limit: COUNT
):
    """targets[o · m + i] = the row o · n + index[i] of an array (outer, n, ...), or `limit` where
    the index is `skip`; an index may count from the end. Four operations an element."""
    for p in range(begin, end):
        k = index[p % m]
        k = k + n if k < 0 else k
        targets[p] = limit if k == skip else p // m * n + k


@row_targets.on_cuda()
def _(items, index, targets, n, m, skip, limit):
    for p in range(cuda.grid(1), items, cuda.gridsize(1)):
        o, i = split(p, m)
        k = index[i]
        k = k + n if k < 0 else k
        targets[p] = limit if k == skip or k < 0 or k >= n else o * n + k


#: A target that no array has.
NOWHERE = (1 << 62) - 1


@kernel(items=lambda index, targets, *_: targets.size)
def along_targets(
    begin, end, index: INDEX, targets: writes(INDEX), n: COUNT, m: COUNT, inner: COUNT
):
    """targets[e] = the position of [o, index[e], j] in an array (outer, n, inner), e being the
    position of [o, i, j] in (outer, m, inner). Four operations an element."""
    for e in range(begin, end):
        row = e // inner
        targets[e] = (row // m * n + index[e]) * inner + (e - row * inner)


@along_targets.on_cuda()
def _(items, index, targets, n, m, inner):
    for e in range(cuda.grid(1), items, cuda.gridsize(1)):
        row, j = split(e, inner)
        k = index[e]
        within = 0 <= k and k < n
        targets[e] = (row // m * n + k) * inner + j if within else NOWHERE


def _sorted_writer(name: str, combine: Callable, sign: str, cost: str) -> Kernel:
    """The kernel `name_sorted`, for indices in the order of what they name."""
    combine = njit(**OPTIONS)(combine)

    def write_sorted(
        begin,
        end,
        values: flat,
        targets: INDEX,
        order: INDEX,
        out: updates(flat),
        inner: COUNT,
        step: COUNT,
        limit: COUNT,
    ):
        for p in range(begin, end):
            target = targets[p]
            if target >= limit or (p > 0 and targets[p - 1] == target):
                continue
            q = p
            while q < targets.size and targets[q] == target:
                for j in range(inner):
                    place = target * inner + j
                    out[place] = combine(out[place], values[step * (order[q] * inner + j)])
                q += 1

    write_sorted.__name__ = write_sorted.__qualname__ = f"{name}_sorted"
    write_sorted.__doc__ = (
        f"out[targets[p]] {sign} values[order[p]], rows of `inner` elements, for p = 0, 1, ...\n\n"
        "    targets, in rising order, and order (count,); values (count, inner), or one element\n"
        "    for all with step = 0 instead of 1; out (rows, inner). Targets from `limit` on are\n"
        f"    left out. An item is a target: it does those that are equal to it as well. {cost}"
    )
    made = kernel(write_sorted, items=lambda values, targets, *_: targets.size)

    @made.on_cuda(items=lambda values, targets, order, out, inner, *_: targets.size * int(inner))
    def _(items, values, targets, targets_size, order, out, inner, step, limit):
        for e in range(cuda.grid(1), items, cuda.gridsize(1)):
            p, j = split(e, inner)
            target = targets[p]
            if target < limit and (p == 0 or targets[p - 1] != target):
                place = target * inner + j
                value = out[place]
                while p < targets_size and targets[p] == target:
                    value = combine(value, values[step * (order[p] * inner + j)])
                    p += 1
                out[place] = value

    return made


MOVED = "Reads values and index, writes out; no\n    operations."
COMBINED = "Reads values, index\n    and out, writes out; one operation an element of values."


def _put(old, value):
    return value


def _add(old, value):
    return old + value


def _multiply(old, value):
    return old * value


# Where either is NaN so is the result, as in PyTorch.


def _largest(old, value):
    return value if value > old or value != value else old


def _smallest(old, value):
    return value if value < old or value != value else old


put_rows, put_along = _writer("put", _put, "=", MOVED)
add_rows, add_along = _writer("add", _add, "+=", COMBINED)
multiply_rows, multiply_along = _writer("multiply", _multiply, "*=", COMBINED)
_, largest_along = _writer("largest", _largest, "max=", COMBINED)
_, smallest_along = _writer("smallest", _smallest, "min=", COMBINED)

put_sorted = _sorted_writer("put", _put, "=", MOVED)
add_sorted = _sorted_writer("add", _add, "+=", COMBINED)
multiply_sorted = _sorted_writer("multiply", _multiply, "*=", COMBINED)
largest_sorted = _sorted_writer("largest", _largest, "max=", COMBINED)
smallest_sorted = _sorted_writer("smallest", _smallest, "min=", COMBINED)
#: The kernel for sorted indices that does what another does.
SORTED: dict[Kernel, Kernel] = {
    put_rows: put_sorted,
    put_along: put_sorted,
    add_rows: add_sorted,
    add_along: add_sorted,
    multiply_rows: multiply_sorted,
    multiply_along: multiply_sorted,
    largest_along: largest_sorted,
    smallest_along: smallest_sorted,
}


@kernel(items=lambda parts, out, outer: out.size)
def join(begin, end, parts: arrays, out: writes(flat), outer: COUNT):
    """out[o] = parts[0][o], parts[1][o], ... one after the other.

    parts[k] (outer, widths[k]), out (outer, sum of the widths). Reads and writes every element; no
    operations.
    """
    total = out.size // outer
    o = begin // total
    rest = begin - o * total
    k = 0
    while rest >= parts[k].size // outer:
        rest -= parts[k].size // outer
        k += 1
    position = begin
    while position < end:
        part = parts[k]
        width = part.size // outer
        count = min(width - rest, end - position)
        source = pointer_at(data(part), o * width + rest)
        _copy(source, pointer_at(data(out), position), count)
        position += count
        rest = 0
        k += 1
        if k == len(parts):
            k = 0
            o += 1


@join.on_cuda()
def _(items, parts, parts_sizes, parts_count, out, outer):
    total, wide = items // outer, width(out)
    for k in range(parts_count):
        if parts_sizes[k] // outer % wide != 0 or unaligned(parts[k]) != 0:
            wide = 1
    if unaligned(out) != 0:
        wide = 1
    for e in range(cuda.grid(1), items // wide, cuda.gridsize(1)):
        o, rest = split(e, total // wide)
        k = 0
        while rest * wide * outer >= parts_sizes[k]:
            rest -= parts_sizes[k] // outer // wide
            k += 1
        place = o * (parts_sizes[k] // outer // wide) + rest
        if wide > 1:
            store_wide(out, e, load_wide(parts[k], place))
        else:
            out[e] = parts[k][place]


@kernel(items=lambda x, out, diagonal, lower: x.size // x.shape[2] if x.shape[2] else 0)
def triangle(begin, end, x: array(3), out: writes(array(3)), diagonal: COUNT, lower: COUNT):
    """out[b, i, j] = x[b, i, j] on one side of a diagonal and on it, 0 on the other.

    lower = 1 keeps j - i <= diagonal, lower = 0 keeps j - i >= diagonal. x and out (batch, rows,
    columns); each is read or written once; no operations.
    """
    rows, columns = x.shape[1], x.shape[2]
    for item in range(begin, end):
        b = item // rows
        i = item - b * rows
        edge = min(max(i + diagonal + lower, 0), columns)
        for j in range(edge):
            out[b, i, j] = x[b, i, j] if lower else 0
        for j in range(edge, columns):
            out[b, i, j] = 0 if lower else x[b, i, j]


@triangle.on_cuda(items=lambda x, *_: x.size)
def _(items, x, x_shape1, x_shape2, out, diagonal, lower):
    for e in range(cuda.grid(1), items, cuda.gridsize(1)):
        row, j = split(e, x_shape2)
        i = row % x_shape1
        kept = j - i <= diagonal if lower else j - i >= diagonal
        out[e] = x[e] if kept else T(0)


@kernel(items=lambda weight, index, limit, order: index.size)
def limit_rows(begin, end, weight: updates(array(2)), index: INDEX, limit: scalar, order: scalar):
    """Scale weight[index[i]] down to a p-norm of `limit` where its norm is above that.

    weight (rows, columns) is changed in place; every index once at most. `order` is the p, which
    may be infinite. Three operations an element, for a p of 2.
    """
    columns = weight.shape[1]
    for item in range(begin, end):
        row = index[item]
        norm = 0.0
        for j in range(columns):
            size = abs(np.float64(weight[row, j]))
            if order == np.inf:
                norm = max(norm, size)
            elif order == 2.0:
                norm += size * size
            else:
                norm += size**order
        if order == 2.0:
            norm = np.sqrt(norm)
        elif order != np.inf:
            norm = norm ** (1.0 / order)
        if norm > limit:
            scale = limit / (norm + 1e-7)
            for j in range(columns):
                weight[row, j] = weight.dtype.type(weight[row, j] * scale)


@limit_rows.on_cuda(each="block")
def _(items, weight, weight_shape0, weight_shape1, index, limit, order):
    columns, power = weight_shape1, T(order)
    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        row = index[item]
        if row < 0 or row >= weight_shape0:
            continue
        start = row * columns
        largest, total = T(0), T(0)
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            size = fabs(weight[start + j])
            if power == T(np.inf):
                largest = max(largest, size)
            elif power == T(2):
                total += size * size
            else:
                total += pow(size, power)
        largest, total = block_max(largest), block_sum(total)
        norm = largest
        if power == T(2):
            norm = sqrt(total)
        elif power != T(np.inf):
            norm = pow(total, T(1) / power)
        if norm > T(limit):
            scale = T(limit) / (norm + T(1e-7))
            for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
                weight[start + j] *= scale
