"""Finding and counting: positions of true elements, counts of values, places in sorted rows."""

import numpy as np
from numba import njit

from ._contract import OPTIONS, flat, kernel, rows, scalar, updates, writes
from ._native import get, put
from .blocks import data

INDEX = flat(np.int64)
COUNT = scalar(np.int64)
#: Elements that one work item counts and finds positions in.
BLOCK = 1 << 14


@kernel(items=lambda mask, counts: counts.size)
def count_true(begin, end, mask: flat(np.uint8), counts: writes(INDEX)):
    """counts[b] = how many elements of block b of a mask are not 0.

    mask (n,) of bytes, counts (ceil(n / BLOCK),). Reads a byte an element.
    """
    for b in range(begin, end):
        count = 0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, mask.size)):
            count += get(data(mask), i) != 0
        counts[b] = count


@kernel(items=lambda mask, starts, out: starts.size)
def true_positions(begin, end, mask: flat(np.uint8), starts: INDEX, out: writes(INDEX)):
    """out[starts[b]:] = the positions of the elements of block b of a mask that are not 0.

    mask (n,) of bytes, starts (ceil(n / BLOCK),) the running sum of `count_true`'s counts before
    each block, out (their sum,).
    """
    for b in range(begin, end):
        k = starts[b]
        last = starts[b + 1] if b + 1 < starts.size else out.size
        i = b * BLOCK
        while k < last:
            put(data(out), k, i)  # kept where the element is not 0
            k += get(data(mask), i) != 0
            i += 1


@kernel(items=lambda positions, shape, out, across, along: positions.size)
def coordinates(
    begin, end, positions: INDEX, shape: INDEX, out: writes(INDEX), across: COUNT, along: COUNT
):
    """out[p · across + d · along] = coordinate d of row-major position positions[p] in `shape`."""
    # Neighbouring positions share most coordinates: they are counted on, not divided anew.
    last = shape.size - 1
    row = start = -1
    width = shape[last]
    for p in range(begin, end):
        position = get(data(positions), p)
        if row < 0 or not start <= position < start + width:
            row = position // width
            start = row * width
            rest = row
            for d in range(last - 1, -1, -1):
                quotient = rest // shape[d]
                put(data(out), p * across + d * along, rest - quotient * shape[d])
                rest = quotient
        else:
            for d in range(last):
                kept = get(data(out), (p - 1) * across + d * along)
                put(data(out), p * across + d * along, kept)
        put(data(out), p * across + last * along, position - start)


@kernel(items=lambda x, out: 1)
def count_values(begin, end, x: INDEX, out: updates(INDEX)):
    """out[v] += 1 for every v in x; one work item, 8 bytes read for each v."""
    if begin < end:
        for i in range(x.size):
            out[x[i]] += 1


@kernel(items=lambda x, weights, out: 1)
def sum_weights(begin, end, x: INDEX, weights: flat, out: updates(flat)):
    """out[x[i]] += weights[i], in order; one work item."""
    if begin < end:
        for i in range(x.size):
            out[x[i]] += weights[i]


@kernel(items=lambda x, out, low, high: 1)
def count_in_bins(begin, end, x: flat, out: updates(INDEX), low: scalar, high: scalar):
    """out[b] += 1 for every element of x in the b-th of out.size equal parts of [low, high].

    The last part holds `high` too; elements outside are left out. One work item.
    """
    if begin < end:
        first, last = x.dtype.type(low), x.dtype.type(high)
        for i in range(x.size):
            value = x[i]
            if first <= value and value <= last:
                place = np.int64(_scaled(value - first, x.dtype.type(out.size), last - first))
                out[min(place, out.size - 1)] += 1


# No fast-math flags: a value on an edge belongs to the part that the exact quotient says.
@njit(**{**OPTIONS, "fastmath": False})
def _scaled(distance, bins, width):
    return distance * bins / width


@kernel(items=lambda boundaries, values, out, n, m, right, by_row: values.size)
def search(
    begin,
    end,
    boundaries: flat,
    values: flat,
    out: writes(INDEX),
    n: COUNT,
    m: COUNT,
    right: COUNT,
    by_row: COUNT,
):
    """out[p] = where values[p] belongs in a sorted row: how many boundaries come before it.

    Boundaries equal to the value come before it with right = 1, else after. boundaries (rows, n)
    and values (rows, m) with by_row = 1, else one row for all values. A NaN belongs at the end.
    log2(n) comparisons for each value.
    """
    for p in range(begin, end):
        value = values[p]
        first = p // m * n * by_row
        start, stop = first, first + n
        while start < stop:
            middle = (start + stop) // 2
            held = boundaries[middle]
            before = not (held > value) if right else not (held >= value)
            if before:
                start = middle + 1
            else:
                stop = middle
        out[p] = start - first


@kernel(items=lambda x, positions, largest: positions.shape[0])
def leading(begin, end, x: rows, positions: writes(rows(np.int64)), largest: COUNT):
    """positions[i] = where the first elements of row i in falling (or rising) order are.

    x (count, n), positions (count, k); a NaN is the largest of all, and of equal elements the
    first comes first. Inserts each element among the k best so far: n comparisons at least, k · n
    at most.
    """
    k = positions.shape[1]
    for item in range(begin, end):
        found = 0
        for i in range(x.shape[1]):
            value = x[item, i]
            j = found
            if found == k:
                if not _before(value, x[item, positions[item, k - 1]], largest):
                    continue
                j = k - 1
            else:
                found += 1
            while j > 0 and _before(value, x[item, positions[item, j - 1]], largest):
                positions[item, j] = positions[item, j - 1]
                j -= 1
            positions[item, j] = i


@njit(**OPTIONS)
def _before(a, b, largest):
    """Whether a comes before b."""
    if largest:
        return a > b or (a != a and b == b)
    return a < b or (b != b and a == a)
