"""Scans: running sums, products and extrema along a dimension, from either end.

Arrays are seen as `(outer, n, inner)` and scanned along `n`. A work item is up to 256 columns of
one outer index; with `inner == 1` that is a row. `reverse` is 1 to run from the last element to
the first. Floating running values are kept in float64, as PyTorch keeps them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ._contract import Kernel, flat, kernel, writes
from ._native import get, pointer_at, put, stack_buffer
from ._scalar import ScalarFunction, like
from .blocks import data
from .cuda import T, cuda, device
from .cuda.rows import split
from .cuda.scans import scan_blocks, scanning
from .maths import exp, isinf, isnan, log1p
from .reduction import INDEX, INLINED, STRIP


def scan_items(outer: int, inner: int) -> int:
    """The number of work items of a scan."""
    return outer * -(-inner // STRIP)


def _items(x: np.ndarray, *rest: Any) -> int:
    n, inner = rest[-3], rest[-2]
    return scan_items(x.size // (n * inner), inner)


@njit(**INLINED)
def strip(item, n, inner):
    """Where a work item begins, and how many columns it has."""
    strips = (inner + STRIP - 1) // STRIP
    outer = item // strips
    column = (item - outer * strips) * STRIP
    return outer * n * inner + column, min(STRIP, inner - column)


def _blocks(x: Any, *rest: Any) -> int:
    return scan_blocks(x.size, int(rest[-3]), int(rest[-2]))


@device
def store(out, at, state):
    out[at] = state


def _scan(name: str, formula: str, combine: Callable, wide: Any, result: Any = None) -> Kernel:
    """The kernel of a running `combine`, computed in the dtype `wide`."""
    combine = njit(**INLINED)(combine)
    output = writes(flat if result is None else flat(result))

    def scan(begin, end, x: flat, out: output, n: INDEX, inner: INDEX, reverse: INDEX):
        running = stack_buffer(wide, STRIP)
        for item in range(begin, end):
            start, width = strip(item, n, inner)
            step = inner
            if reverse:
                start, step = start + (n - 1) * inner, -inner
            values, results = pointer_at(data(x), start), pointer_at(data(out), start)
            if inner == 1:
                total = wide(get(values, 0))
                put(results, 0, total)
                for i in range(step, n * step, step):
                    total = combine(total, wide(get(values, i)))
                    put(results, i, total)
            else:
                for j in range(width):
                    put(running, j, wide(get(values, j)))
                    put(results, j, get(running, j))
                for i in range(step, n * step, step):
                    for j in range(width):
                        put(running, j, combine(get(running, j), wide(get(values, i + j))))
                        put(results, i + j, get(running, j))

    scan.__name__ = scan.__qualname__ = name
    scan.__doc__ = (
        f"{formula}\n\n    x and out (outer, n, inner). Reads x and writes out once; one operation "
        "an element.\n    "
    )
    made = kernel(scan, items=_items)
    kind = T if result is None else result  # GPUs compute with T

    @device
    def load(x, at, i):
        return kind(x[at])

    @device
    def merge(a, b):
        return combine(a, b)

    scan_all = scanning(load, merge, store, kind)

    @made.on_cuda(each="block", items=_blocks)
    def _(x, x_size, out, n, inner, reverse):
        scan_all(x, out, x_size, n, inner, reverse)

    return made


cumsum = _scan("cumsum", "out[i] = x[0] + … + x[i]", lambda a, b: a + b, np.float64)
cumprod = _scan("cumprod", "out[i] = x[0] · … · x[i]", lambda a, b: a * b, np.float64)
cumsum_integers = _scan(
    "cumsum_integers", "out[i] = x[0] + … + x[i], in int64", lambda a, b: a + b, np.int64, np.int64
)
cumprod_integers = _scan(
    "cumprod_integers", "out[i] = x[0] · … · x[i], in int64", lambda a, b: a * b, np.int64, np.int64
)


@kernel(items=_items)
def linear_scan(
    begin, end, x: flat, factor: flat, out: writes(flat), n: INDEX, inner: INDEX, reverse: INDEX
):
    """out[i] = x[i] + factor[i] · out[i - 1], and out[0] = x[0] (out[i + 1] for `reverse`).

    x, factor and out (outer, n, inner). The gradient of a running product is such a recurrence.
    Reads x and factor, writes out; two operations an element.
    """
    running = stack_buffer(np.float64, STRIP)
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        step = inner
        if reverse:
            start, step = start + (n - 1) * inner, -inner
        values, factors = pointer_at(data(x), start), pointer_at(data(factor), start)
        results = pointer_at(data(out), start)
        for j in range(width):
            put(running, j, get(values, j))
            put(results, j, get(values, j))
        for i in range(step, n * step, step):
            for j in range(width):
                product = np.float64(get(factors, i + j)) * get(running, j)
                put(running, j, np.float64(get(values, i + j)) + product)
                put(results, i + j, get(running, j))


# On CUDA out[i] = x + factor · out[i - 1] for runs of elements: a state is (f, e, x), where the factor
# is f · unitᵉ, since a product of factors may be beyond T where what it multiplies is 0 or small. f
# stays between 1 / unit and unit, so that T holds the product of two.


def _unit(x):
    """A power of two, about the root of the largest number of the type of `x`."""
    return like(x, 2.0**63 if x.itemsize == 4 else 2.0**511)


def _unit_for(x):
    kind, value = (np.float32, 2.0**63) if x.bitwidth == 32 else (np.float64, 2.0**511)
    return lambda x: kind(value)


unit = ScalarFunction(_unit, _unit_for, name="unit")


@device
def normal(f, e):
    """(f, e) with f in its bounds."""
    if abs(f) > unit(f):
        return f / unit(f), e + np.int32(1)
    if abs(f) < T(1) / unit(f) and f != T(0):
        return f * unit(f), e - np.int32(1)
    return f, e


@device
def scaled(x, e):
    """x · unitᵉ: beyond five factors it is 0 or infinite."""
    for _ in range(min(abs(e), 5)):
        x *= unit(x) if e > 0 else T(1) / unit(x)
    return x


@device
def times(f, e, x):
    """f · unitᵉ · x, in the order in which nothing overflows but the result."""
    if (abs(x) > T(1)) == (e < 0):
        return f * scaled(x, e)
    return scaled(f * x, e)


@device
def load_step(source, at, i):
    f, e = normal(source[1][at], np.int32(0))
    f, e = normal(f, e)
    return f, e, source[0][at]


@device
def joined_steps(a, b):
    f, e = normal(a[0] * b[0], a[1] + b[1])
    return f, e, times(b[0], b[1], a[2]) + b[2]


@device
def store_step(out, at, state):
    out[at] = state[2]


scan_steps = scanning(load_step, joined_steps, store_step, T, np.int32, T)


@linear_scan.on_cuda(each="block", items=_blocks)
def _(x, x_size, factor, out, n, inner, reverse):
    scan_steps((x, factor), out, x_size, n, inner, reverse)


@kernel(items=_items)
def logcumsumexp(begin, end, x: flat, out: writes(flat), n: INDEX, inner: INDEX, reverse: INDEX):
    """out[i] = log(exp(x[0]) + … + exp(x[i]))

    x and out (outer, n, inner). Each step is max(a, b) + log1p(exp(-|a - b|)). Reads x and writes
    out once; an exponential, a logarithm and four operations an element.
    """
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        step = inner
        if reverse:
            start, step = start + (n - 1) * inner, -inner
        for j in range(width):
            values, results = pointer_at(data(x), start + j), pointer_at(data(out), start + j)
            total = np.float64(get(values, 0))
            put(results, 0, total)
            for i in range(step, n * step, step):
                value = np.float64(get(values, i))
                if math.isnan(value) or math.isnan(total):
                    total += value
                elif value != total or math.isfinite(value):
                    high, low = max(value, total), min(value, total)
                    total = high + math.log1p(math.exp(low - high))
                put(results, i, total)


@device
def load(x, at, i):
    return x[at]


@device
def log_of_sum(a, b):
    """log(exp(a) + exp(b))"""
    if isnan(a) or isnan(b):
        return a + b
    high, low = max(a, b), min(a, b)
    return high if isinf(high) else high + log1p(exp(low - high))


scan_logs = scanning(load, log_of_sum, store, T)


@logcumsumexp.on_cuda(each="block", items=_blocks)
def _(x, x_size, out, n, inner, reverse):
    scan_logs(x, out, x_size, n, inner, reverse)


@device
def load_with_position(x, at, i):
    return x[at], i


@device
def store_with_position(target, at, state):
    target[0][at], target[1][at] = state


def _running_extremum(name: str, word: str, precedes: Callable) -> Kernel:
    precedes = njit(**INLINED)(precedes)

    def scan(
        begin,
        end,
        x: flat,
        values: writes(flat),
        indices: writes(flat(np.int64)),
        n: INDEX,
        inner: INDEX,
        reverse: INDEX,
    ):
        for item in range(begin, end):
            start, width = strip(item, n, inner)
            for j in range(width):
                source = pointer_at(data(x), start + j)
                best, position = get(source, 0), 0
                for i in range(n):
                    value = get(source, i * inner)
                    # The last of equal elements, and NaN once there is one.
                    if value != value or (best == best and not precedes(best, value)):
                        best, position = value, i
                    put(data(values), start + j + i * inner, best)
                    put(data(indices), start + j + i * inner, position)

    scan.__name__ = scan.__qualname__ = name
    scan.__doc__ = (
        f"values[i] = the {word} of x[0] … x[i], indices[i] = its position (the last of equal "
        "ones).\n\n    x, values and indices (outer, n, inner); `reverse` must be 0. Reads x once, "
        "writes both; one comparison an element.\n    "
    )
    made = kernel(scan, items=_items)

    @device
    def merge(a, b):
        return b if b[0] != b[0] or (a[0] == a[0] and not precedes(a[0], b[0])) else a

    scan_all = scanning(load_with_position, merge, store_with_position, T, np.int64)

    @made.on_cuda(each="block", items=_blocks)
    def _(x, x_size, values, indices, n, inner, reverse):
        scan_all(x, (values, indices), x_size, n, inner, reverse)

    return made


cummax = _running_extremum("cummax", "largest", lambda a, b: a > b)
cummin = _running_extremum("cummin", "smallest", lambda a, b: a < b)


@kernel(items=_items)
def scatter_added(
    begin,
    end,
    grad: flat,
    indices: flat(np.int64),
    out: writes(flat),
    n: INDEX,
    inner: INDEX,
    reverse: INDEX,
):
    """out[o, indices[o, i, j], j] += grad[o, i, j], from zero: the gradient of a running extremum.

    grad, indices and out (outer, n, inner). Reads grad and indices, writes out; one operation an
    element.
    """
    for item in range(begin, end):
        start, width = strip(item, n, inner)
        for i in range(n):
            for j in range(width):
                put(data(out), start + i * inner + j, like(get(data(out), 0), 0))
        for i in range(n):
            for j in range(width):
                at = start + i * inner + j
                to = start + get(data(indices), at) * inner + j
                put(data(out), to, get(data(out), to) + get(data(grad), at))


@scatter_added.on_cuda(items=lambda grad, *_: grad.size)
def _(items, grad, indices, out, n, inner, reverse):
    # Positions of a running extremum only grow: those that are equal are neighbours, and the first
    # of them is where they point to.
    item = cuda.grid(1) + 0
    while item < items:
        outer, column = split(item, inner)
        outer, i = split(outer, n)
        total, at, position = T(0), item, i
        while position < n and indices[at] == i:
            total += grad[at]
            at += inner
            position += 1
        out[item] = total
        item += cuda.gridsize(1)
