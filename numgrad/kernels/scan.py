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
from ._scalar import like
from .blocks import data
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
    return kernel(scan, items=_items)


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
    return kernel(scan, items=_items)


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
