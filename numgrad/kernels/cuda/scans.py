"""Scans on CUDA: every prefix of a row or column, in a fixed order.

A row goes through its lanes (`rows.py`) in tiles of four elements a lane: neighbouring lanes hold
neighbouring elements, a warp scans 32 of them in five steps, and what came before, in the warp, in
the warps before it and in the tiles before, is joined in front. Columns have a thread each.
"""

from __future__ import annotations

from . import THREADS, cuda, device
from .rows import from_lane, place, row_blocks, split, trading


def scan_blocks(size: int, n: int, inner: int) -> int:
    """The blocks that the scan of an array (…, n, inner) of `size` elements is worth."""
    columns = size // n
    return row_blocks(columns, n) if inner == 1 else -(-columns // THREADS)


def scanning(load, merge, store, *kinds):
    """A device function scan(source, target, size, n, inner, reverse) of arrays (…, n, inner) of
    `size` elements, from the last element on where `reverse` is not 0.

    `load(source, at, i)` gives the state of the element that lies at `at` and is the i-th of its
    row, `merge(a, b)` joins the states of neighbours, `store(target, at, state)` takes a prefix's.
    `kinds` are the types of a state's parts.
    """
    trade = trading(*kinds)

    @device
    def within(state, lane, width):
        """The scan of what `width` neighbouring lanes hold."""
        number, offset = cuda.threadIdx.x & 31, 1
        while offset < width:
            other = from_lane(state, number - offset)
            if lane >= offset:
                state = merge(other, state)
            offset *= 2
        return state

    @device
    def get(source, start, step, n, i):
        # Beyond the end it does not matter what comes: it is joined to nothing that is stored.
        i = min(i, n - 1)
        return load(source, start + step * i, i)

    @device
    def put(target, start, step, n, i, state):
        if i < n:
            store(target, start + step * i, state)

    @device
    def rows(source, target, size, n, reverse):
        count = size // n
        lanes, lane, group, groups = place(n, count)
        width = min(lanes, 32)
        last = (cuda.threadIdx.x & 31) | (width - 1)
        warp, warps = lane >> 5, lanes >> 5
        lane &= width - 1
        step = -1 if reverse else 1
        row = cuda.blockIdx.x * groups
        while row < count:
            start = min(row + group, count - 1) * n
            if reverse:
                start += n - 1
            before = load(source, start, 0)
            base = 0
            while base < n:
                i = base + warp * width * 4 + lane
                a = get(source, start, step, n, i)
                b = get(source, start, step, n, i + width)
                c = get(source, start, step, n, i + 2 * width)
                d = get(source, start, step, n, i + 3 * width)
                a, b = within(a, lane, width), within(b, lane, width)
                c, d = within(c, lane, width), within(d, lane, width)
                b = merge(from_lane(a, last), b)
                c = merge(from_lane(b, last), c)
                d = merge(from_lane(c, last), d)
                total = from_lane(d, last)
                front, some = before, base > 0
                if warps > 1:
                    # Lane k takes warp k's total, and all warps scan the totals.
                    number = cuda.threadIdx.x & 31
                    k = number & (warps - 1)
                    totals = within(trade(total, number == 0, warp, k), k, warps)
                    front = from_lane(totals, max(warp - 1, 0))
                    total = from_lane(totals, warps - 1)
                    if base > 0:
                        front = merge(before, front) if warp > 0 else before
                    some = base > 0 or warp > 0
                before = merge(before, total) if base > 0 else total
                if some:
                    a, b = merge(front, a), merge(front, b)
                    c, d = merge(front, c), merge(front, d)
                put(target, start, step, n, i, a)
                put(target, start, step, n, i + width, b)
                put(target, start, step, n, i + 2 * width, c)
                put(target, start, step, n, i + 3 * width, d)
                base += 4 * lanes
            row += cuda.gridDim.x * groups

    @device
    def columns(source, target, size, n, inner, reverse):
        item = cuda.grid(1) + 0
        while item < size // n:
            outer, column = split(item, inner)
            at, step = outer * n * inner + column, inner
            i, next_i = 0, 1
            if reverse:
                i, next_i = n - 1, -1
                at, step = at + i * inner, -inner
            state = load(source, at, i)
            store(target, at, state)
            for _ in range(1, n):
                at += step
                i += next_i
                state = merge(state, load(source, at, i))
                store(target, at, state)
            item += cuda.gridsize(1)

    @device
    def scan(source, target, size, n, inner, reverse):
        if inner == 1:
            rows(source, target, size, n, reverse)
        else:
            columns(source, target, size, n, inner, reverse)

    return scan
