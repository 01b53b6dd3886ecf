"""A radix sort in steps that many blocks of a GPU share: keys, and passes of three launches.

A pass orders pairs of key and position by one byte of the key, and leaves those with equal bytes in
their order: `count_digits` counts the bytes of each tile, `digit_starts` says where each tile puts
those of each value, `move_by_digit` puts them there. After the passes over all bytes, from the lowest
on, the positions are those of the elements in order. On the CPU, and for short rows on a GPU,
`sorting.order` does all of it in one launch.

All arrays are (count, n), the counts (count, 256 · tiles): for a row the counts of byte 0 in each
tile, then those of byte 1.
"""

from collections.abc import Callable

import numpy as np
from numba import types

from ._contract import flat, kernel, rows, scalar, updates, writes
from ._scalar import ScalarFunction
from .cuda import cuda, device
from .cuda.blocks import FULL, block_scan
from .maths import raw_bits

KEYS = rows(np.int64)
COUNT = scalar(np.int64)
DIGITS = 256
#: Elements of a row that a block counts and moves.
TILE = 4096
#: Room for the digits' places in each of a block's 8 warps.
PLACES = 8 * DIGITS


# ------------------------------------------------------------------------------- keys


def _bits(x: types.Type) -> int:
    return 8 if isinstance(x, types.Boolean) else x.bitwidth


def _implement_sort_key(x: types.Type, descending: types.Type) -> Callable:
    bits = _bits(x)
    largest, mask = np.int64((1 << bits - 1) - 1), np.int64(-1 if bits == 64 else (1 << bits) - 1)
    sign = ~largest & mask
    if isinstance(x, types.Float):

        def key(x, descending):
            if x != x:
                k = largest
            elif x == 0:  # as is -0
                k = np.int64(0)
            else:
                # Without its sign bit, a negative number's bits fall as it rises.
                k = np.int64(raw_bits(x))
                k ^= (k >> 63) & largest
            k = (k ^ sign) & mask
            return ~k & mask if descending else k

    else:
        flipped = sign if getattr(x, "signed", False) else np.int64(0)

        def key(x, descending):
            k = (np.int64(x) ^ flipped) & mask
            return ~k & mask if descending else k

    return key


def _sort_key(x, descending):
    """A number whose bits, read as an unsigned integer of x's size, are ordered as the x are (or,
    `descending`, the other way); a NaN is the largest of all."""
    raise NotImplementedError


sort_key = ScalarFunction(_sort_key, _implement_sort_key, name="sort_key", fastmath=())


def _implement_key_bytes(x: types.Type) -> Callable:
    count = _bits(x) // 8
    return lambda x: count


def _key_bytes(x):
    """How many bytes a key of x has."""
    return np.asarray(x).itemsize


key_bytes = ScalarFunction(_key_bytes, _implement_key_bytes, name="key_bytes", fastmath=())


@kernel(items=lambda x, *_: x.size)
def sort_keys(
    begin, end, x: flat, keys: writes(flat(np.int64)), positions: writes(flat(np.int64)),
    n: COUNT, descending: COUNT,
):  # fmt: skip
    """keys = `sort_key` of each element, positions = 0 ... n - 1 in each row of n. Four operations
    an element."""
    for i in range(begin, end):
        keys[i] = sort_key(x[i], descending != 0)
        positions[i] = i % n


@sort_keys.on_cuda()
def _(items, x, keys, positions, n, descending):
    for i in range(cuda.grid(1), items, cuda.gridsize(1)):
        keys[i] = sort_key(x[i], descending != 0)
        positions[i] = i % n


# ------------------------------------------------------------------------------ a pass


def tiles(n: int) -> int:
    """The tiles of a row."""
    return -(-n // TILE)


def _tile_items(keys, *_):
    return keys.shape[0] * tiles(keys.shape[1])


@device
def digit(key, shift):
    return (key >> shift) & 255


@kernel(items=_tile_items)
def count_digits(begin, end, keys: KEYS, counts: updates(KEYS), shift: COUNT):
    """counts[i, d · tiles + t] = how many keys of tile t of row i have the byte d at `shift`. Two operations an
    element of keys."""
    n = keys.shape[1]
    across = (n + TILE - 1) // TILE
    for item in range(begin, end):
        row, tile = item // across, item % across
        for d in range(DIGITS):
            counts[row, d * across + tile] = 0
        for i in range(tile * TILE, min(n, (tile + 1) * TILE)):
            counts[row, ((keys[row, i] >> shift) & 255) * across + tile] += 1


@count_digits.on_cuda(each="block", items=_tile_items)
def _(items, keys, keys_shape1, counts, shift):
    found = cuda.shared.array(DIGITS, np.int32)
    n = keys_shape1
    across = (n + TILE - 1) // TILE
    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        row, tile = item // across, item % across
        for d in range(cuda.threadIdx.x, DIGITS, cuda.blockDim.x):
            found[d] = 0
        cuda.syncthreads()
        for i in range(tile * TILE + cuda.threadIdx.x, min(n, (tile + 1) * TILE), cuda.blockDim.x):
            cuda.atomic.add(found, digit(keys[row * n + i], shift), 1)
        cuda.syncthreads()
        for d in range(cuda.threadIdx.x, DIGITS, cuda.blockDim.x):
            counts[(row * DIGITS + d) * across + tile] = found[d]
        cuda.syncthreads()


scan = block_scan(np.int64)


@kernel(items=lambda counts: counts.shape[0])
def digit_starts(begin, end, counts: updates(KEYS)):
    """counts[i, k] = the sum of what counts[i] held before k. One operation an element."""
    for row in range(begin, end):
        total = 0
        for k in range(counts.shape[1]):
            own = counts[row, k]
            counts[row, k] = total
            total += own


@digit_starts.on_cuda(each="block")
def _(items, counts, counts_shape1):
    width = counts_shape1
    # A thread sums several neighbours: fewer scans, whose barriers take the time.
    own = 8
    for row in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        total = np.int64(0)
        for start in range(0, width, own * cuda.blockDim.x):
            first = start + own * cuda.threadIdx.x
            last = min(width, first + own)
            added = np.int64(0)
            for k in range(first, last):
                added += counts[row * width + k]
            upto, all_of_them = scan(added)
            before = total + upto - added
            for k in range(first, last):
                value = counts[row * width + k]
                counts[row * width + k] = before
                before += value
            total += all_of_them


@kernel(items=lambda keys, *_: keys.shape[0])
def move_by_digit(
    begin, end, keys: KEYS, positions: KEYS, starts: KEYS, out_keys: writes(KEYS),
    out_positions: writes(KEYS), shift: COUNT,
):  # fmt: skip
    """Each pair to the place of its byte at `shift`, in the order of the tile that it is in.

    starts: `digit_starts` of `count_digits`. On the CPU an item is a row, on CUDA a tile. Four
    operations an element of keys.
    """
    n = keys.shape[1]
    across = (n + TILE - 1) // TILE
    for row in range(begin, end):
        for d in range(DIGITS):
            place = starts[row, d * across]
            for i in range(n):
                if (keys[row, i] >> shift) & 255 == d:
                    out_keys[row, place] = keys[row, i]
                    out_positions[row, place] = positions[row, i]
                    place += 1


@device
def tally(keys, start, n, shift, places):
    """places[256 · warp + d] += how many of the warp's keys have the byte d."""
    lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
    rounds = (n + cuda.blockDim.x - 1) // cuda.blockDim.x
    for k in range(rounds):
        i = (warp * rounds + k) * 32 + lane
        own = digit(keys[start + i], shift) if i < n else DIGITS
        peers = np.uint32(cuda.match_any_sync(FULL, np.int32(own)))
        if i < n and peers & np.uint32((1 << lane) - 1) == 0:
            places[DIGITS * warp + own] += cuda.popc(peers)
        cuda.syncwarp()


@device
def move(keys, positions, start, n, shift, places, out_keys, out_positions, target):
    """Each pair to `target` and the place of its byte, which goes up by 1."""
    lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
    rounds = (n + cuda.blockDim.x - 1) // cuda.blockDim.x
    for k in range(rounds):
        i = (warp * rounds + k) * 32 + lane
        key = keys[start + i] if i < n else np.int64(0)
        own = digit(key, shift) if i < n else DIGITS
        peers = np.uint32(cuda.match_any_sync(FULL, np.int32(own)))
        rank = cuda.popc(peers & np.uint32((1 << lane) - 1))
        place = places[DIGITS * warp + own] if i < n else np.int64(0)
        cuda.syncwarp()
        if i < n:
            out_keys[target + place + rank] = key
            out_positions[target + place + rank] = positions[start + i]
            if rank == 0:
                places[DIGITS * warp + own] = place + cuda.popc(peers)
        cuda.syncwarp()


@device
def clear(places):
    for k in range(cuda.threadIdx.x, PLACES, cuda.blockDim.x):
        places[k] = 0
    cuda.syncthreads()


@move_by_digit.on_cuda(each="block", items=_tile_items)
def _(items, keys, keys_shape1, positions, starts, out_keys, out_positions, shift):
    places = cuda.shared.array(PLACES, np.int64)
    n = keys_shape1
    across = (n + TILE - 1) // TILE
    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        row, tile = item // across, item % across
        start = row * n + tile * TILE
        count = min(TILE, n - tile * TILE)
        clear(places)
        tally(keys, start, count, shift, places)
        cuda.syncthreads()
        for d in range(cuda.threadIdx.x, DIGITS, cuda.blockDim.x):
            place = starts[(row * DIGITS + d) * across + tile]
            for warp in range(cuda.blockDim.x // 32):
                own = places[DIGITS * warp + d]
                places[DIGITS * warp + d] = place
                place += own
        cuda.syncthreads()
        move(keys, positions, start, count, shift, places, out_keys, out_positions, row * n)
        cuda.syncthreads()


@device
def sort_row(keys, positions, other_keys, other_positions, start, n, count):
    """Sort n pairs from `start` on by a block; count: the keys' bytes."""
    places = cuda.shared.array(PLACES, np.int64)
    uniform = cuda.shared.array(1, np.int32)
    inside = True  # whether the pairs are in `keys` and `positions`
    for byte in range(count):
        if cuda.threadIdx.x == 0:
            uniform[0] = 0
        clear(places)
        if inside:
            tally(keys, start, n, 8 * byte, places)
        else:
            tally(other_keys, start, n, 8 * byte, places)
        cuda.syncthreads()
        before = np.int64(0)
        for first in range(0, DIGITS, cuda.blockDim.x):
            d = first + cuda.threadIdx.x
            total = np.int64(0)
            for warp in range(cuda.blockDim.x // 32):
                total += places[DIGITS * warp + d]
            upto, added = scan(total)
            if total == n:
                uniform[0] = 1
            place = before + upto - total
            for warp in range(cuda.blockDim.x // 32):
                own = places[DIGITS * warp + d]
                places[DIGITS * warp + d] = place
                place += own
            before += added
        cuda.syncthreads()
        if uniform[0] == 0:
            if inside:
                move(
                    keys, positions, start, n, 8 * byte, places, other_keys, other_positions, start
                )
            else:
                move(
                    other_keys, other_positions, start, n, 8 * byte, places, keys, positions, start
                )
            inside = not inside
        cuda.syncthreads()
    if not inside:
        for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            positions[start + i] = other_positions[start + i]
    cuda.syncthreads()
