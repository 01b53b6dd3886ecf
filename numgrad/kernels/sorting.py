"""Finding, counting and sorting: positions of true elements, counts of values, orders of rows."""

import numpy as np
from numba import njit

from ._contract import OPTIONS, flat, kernel, rows, scalar, updates, writes
from ._native import get, pointer_at, put, stack_buffer
from .blocks import data
from .cuda import T, cuda, device
from .cuda.blocks import FULL, add, aligned, atomic_add, block_reduction, block_scan, load16
from .maths_bits import bits_of
from .radix import key_bytes, sort_key, sort_row

INDEX = flat(np.int64)
COUNT = scalar(np.int64)
#: Elements that one work item counts and finds positions in.
BLOCK = 1 << 14
#: Rows of at most so many elements are sorted by insertion.
SHORT = 48
LARGEST = np.iinfo(np.int64).max
SIGN = np.int64(-1 << 63)

# On CUDA, over the threads of a block.
sum_of_counts = block_reduction(add, np.int64)
scan = block_scan(np.int64)


@kernel(items=lambda mask, counts: counts.size)
def count_true(begin, end, mask: flat(np.uint8), counts: writes(INDEX)):
    """counts[b] = how many elements of block b of a mask are not 0.

    mask (n,) of bytes, counts (ceil(n / BLOCK),). Reads a byte an element; one comparison an element.
    """
    for b in range(begin, end):
        count = 0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, mask.size)):
            count += get(data(mask), i) != 0
        counts[b] = count


@count_true.on_cuda(each="block")
def _(items, mask, mask_size, counts):
    for b in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        first, last = b * BLOCK, min((b + 1) * BLOCK, mask_size)
        count = np.int64(0)
        single = first
        if aligned(mask, 16):
            single = last // 16 * 16
            for group in range(first // 16 + cuda.threadIdx.x, last // 16, cuda.blockDim.x):
                for value in load16(mask, group):
                    count += value != 0
        for i in range(single + cuda.threadIdx.x, last, cuda.blockDim.x):
            count += mask[i] != 0
        count = sum_of_counts(count)
        if cuda.threadIdx.x == 0:
            counts[b] = count


@kernel(items=lambda mask, starts, out: starts.size)
def true_positions(begin, end, mask: flat(np.uint8), starts: INDEX, out: writes(INDEX)):
    """out[starts[b]:] = the positions of the elements of block b of a mask that are not 0.

    mask (n,) of bytes, starts (ceil(n / BLOCK),) the running sum of `count_true`'s counts before
    each block, out (their sum,). One comparison an element of mask.
    """
    for b in range(begin, end):
        k = starts[b]
        last = starts[b + 1] if b + 1 < starts.size else out.size
        i = b * BLOCK
        while k < last:
            put(data(out), k, i)  # kept where the element is not 0
            k += get(data(mask), i) != 0
            i += 1


#: Neighbouring elements of a mask that a thread looks at.
OWN = 16


@true_positions.on_cuda(each="block")
def _(items, mask, mask_size, starts, out):
    for b in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        k = starts[b]
        last = min((b + 1) * BLOCK, mask_size)
        for start in range(b * BLOCK, last, OWN * cuda.blockDim.x):
            first = start + OWN * cuda.threadIdx.x
            stop = min(last, first + OWN)
            count = np.int64(0)
            for i in range(first, stop):
                count += mask[i] != 0
            upto, found = scan(count)
            place = k + upto - count
            for i in range(first, stop):
                if mask[i] != 0:
                    out[place] = i
                    place += 1
            k += found


@kernel(items=lambda positions, shape, out, across, along: positions.size)
def coordinates(
    begin, end, positions: INDEX, shape: INDEX, out: writes(INDEX), across: COUNT, along: COUNT
):
    """out[p · across + d · along] = coordinate d of row-major position positions[p] in `shape`;
    three operations an element of positions."""
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


@coordinates.on_cuda()
def _(items, positions, shape, shape_size, out, across, along):
    for p in range(cuda.grid(1), items, cuda.gridsize(1)):
        rest = positions[p]
        for d in range(shape_size - 1, -1, -1):
            quotient = rest // shape[d]
            out[p * across + d * along] = rest - quotient * shape[d]
            rest = quotient


@kernel(items=lambda x, out: 1)
def count_values(begin, end, x: INDEX, out: updates(INDEX)):
    """out[v] += 1 for every v in x; one work item, 8 bytes read for each v; one operation an
    element of x."""
    if begin < end:
        for i in range(x.size):
            out[x[i]] += 1


@count_values.on_cuda(items=lambda x, out: x.size)
def _(items, x, out):
    for i in range(cuda.grid(1), items, cuda.gridsize(1)):
        atomic_add(out, x[i], 1)


@kernel(items=lambda x, weights, out: 1)
def sum_weights(begin, end, x: INDEX, weights: flat, out: updates(flat)):
    """out[x[i]] += weights[i], in order; one work item, one operation an element of x."""
    if begin < end:
        for i in range(x.size):
            out[x[i]] += weights[i]


@kernel(items=lambda x, out, low, high: 1)
def count_in_bins(begin, end, x: flat, out: updates(INDEX), low: scalar, high: scalar):
    """out[b] += 1 for every element of x in the b-th of out.size equal parts of [low, high].

    The last part holds `high` too; elements outside are left out. One work item; five operations
    an element of x.
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


@count_in_bins.on_cuda(items=lambda x, *_: x.size)
def _(items, x, out, out_size, low, high):
    first, last = T(low), T(high)
    for i in range(cuda.grid(1), items, cuda.gridsize(1)):
        value = x[i]
        if first <= value and value <= last:
            place = np.int64(_scaled(value - first, T(out_size), last - first))
            atomic_add(out, min(place, out_size - 1), 1)


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
    log2(n) comparisons for each value: about twelve operations an element of values, for a long row.
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


@search.on_cuda()
def _(items, boundaries, values, out, n, m, right, by_row):
    for p in range(cuda.grid(1), items, cuda.gridsize(1)):
        value = values[p]
        first = p // m * n if by_row else 0
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
    at most: about two operations an element of x.
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


# On CUDA a block finds the first of all elements, then the first of those behind it, and so on.


@device
def ahead(a, i, b, j, largest):
    """Whether element i, which is a, comes before element j, which is b."""
    return _before(a, b, largest) or (not _before(b, a, largest) and i < j)


@device
def first_of(x, start, i, j, largest):
    """Which of two elements of the row that begins at `start` comes first; below 0: none."""
    if i < 0 or j < 0:
        return max(i, j)
    return i if ahead(x[start + i], i, x[start + j], j, largest) else j


@leading.on_cuda(each="block")
def _(items, x, x_shape1, positions, positions_shape1, largest):
    found = cuda.shared.array(32, np.int64)
    n, k = x_shape1, positions_shape1
    warps, lane, warp = cuda.blockDim.x // 32, cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        start = item * n
        last = np.int64(-1)
        for turn in range(k):
            first = np.int64(-1)
            for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
                if last < 0 or ahead(x[start + last], last, x[start + j], j, largest):
                    first = first_of(x, start, first, np.int64(j), largest)
            for offset in (16, 8, 4, 2, 1):
                other = cuda.shfl_xor_sync(FULL, first, offset)
                first = first_of(x, start, first, other, largest)
            if lane == 0:
                found[warp] = first
            cuda.syncthreads()
            last = found[0]
            for w in range(1, warps):
                last = first_of(x, start, last, found[w], largest)
            cuda.syncthreads()
            if cuda.threadIdx.x == 0:
                positions[item * k + turn] = last


@kernel(items=lambda x, positions, spare, keys, spare_keys, descending: positions.shape[0])
def order(
    begin, end, x: rows, positions: writes(rows(np.int64)), spare: updates(rows(np.int64)),
    keys: writes(rows(np.int64)), spare_keys: updates(rows(np.int64)), descending: COUNT,
):  # fmt: skip
    """positions[i] = the positions of row i's elements in rising (or falling) order.

    All (count, n). A NaN is the largest of all, and equal elements keep their order. A radix sort,
    byte by byte from the lowest, of keys that are ordered as the elements are; bytes that are the
    same in all keys are left out. `keys` and the spare arrays are working memory; 40 bytes an
    element and byte. About thirty operations an element of x.
    """
    n = x.shape[1]
    integers = x.dtype.type(0.5) == 0
    counts = stack_buffer(np.int64, 2048)
    for item in range(begin, end):
        own, key = pointer_at(data(positions), item * n), pointer_at(data(keys), item * n)
        for i in range(n):
            value = x[item, i]
            if integers:
                k = np.int64(value)
            elif value != value:
                k = np.int64(LARGEST)
            elif value == 0:  # as is -0
                k = np.int64(0)
            else:
                # Without its sign bit, a negative number's bits fall as it rises.
                k = bits_of(np.float64(value))
                k ^= (k >> 63) & LARGEST
            put(key, i, ~k if descending else k)
            put(own, i, i)
        if n <= SHORT:
            insertion_sort(key, own, n)
        else:
            other = pointer_at(data(spare), item * n)
            other_key = pointer_at(data(spare_keys), item * n)
            radix_sort(key, own, other_key, other, n, counts)


@njit(**OPTIONS)
def insertion_sort(keys, positions, n):
    """Sort pairs of key and position by key, in place."""
    for i in range(1, n):
        key, position = get(keys, i), get(positions, i)
        j = i
        while j > 0 and get(keys, j - 1) > key:
            put(keys, j, get(keys, j - 1))
            put(positions, j, get(positions, j - 1))
            j -= 1
        put(keys, j, key)
        put(positions, j, position)


@njit(**OPTIONS)
def digit(key, byte):
    """A byte of a key as a number, so that negative keys come first."""
    return ((key >> (8 * byte)) & 255) ^ (128 if byte == 7 else 0)


@njit(**OPTIONS)
def radix_sort(keys, positions, other_keys, other, n, counts):
    """Sort pairs of key and position by key; `counts` has room for 8 times 256 numbers."""
    for k in range(2048):
        counts[k] = 0
    for i in range(n):
        key = get(keys, i)
        for byte in range(8):
            counts[256 * byte + digit(key, byte)] += 1
    inside = True  # whether the pairs are in `keys` and `positions`
    for byte in range(8):
        count = pointer_at(counts, 256 * byte)
        if count[digit(get(keys, 0), byte)] == n:
            continue
        start = 0
        for k in range(256):
            start, count[k] = start + count[k], start
        source, target = (keys, other_keys) if inside else (other_keys, keys)
        source_places, target_places = (positions, other) if inside else (other, positions)
        for i in range(n):
            key = get(source, i)
            place = digit(key, byte)
            put(target, count[place], key)
            put(target_places, count[place], get(source_places, i))
            count[place] += 1
        inside = not inside
    if not inside:
        for i in range(n):
            put(positions, i, get(other, i))


#: Rows of at most so many elements are sorted by a block by counting which elements come before each.
BY_RANK = 256


@order.on_cuda(each="block")
def _(items, x, x_shape1, positions, spare, keys, spare_keys, descending):
    n = x_shape1
    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        start = item * n
        for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            keys[start + i] = sort_key(x[start + i], descending != 0)
            positions[start + i] = i
        cuda.syncthreads()
        if n > BY_RANK:
            sort_row(keys, positions, spare_keys, spare, start, n, key_bytes(T(0)))
        else:
            for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
                # Read as signed numbers, the upper half of the keys of 8 bytes would come first.
                key = keys[start + i] ^ SIGN
                place = 0
                for j in range(n):
                    other = keys[start + j] ^ SIGN
                    place += other < key or (other == key and j < i)
                positions[start + place] = i
            cuda.syncthreads()
