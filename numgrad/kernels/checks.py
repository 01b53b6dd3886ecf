"""Looking for values that an operation refuses: each kernel sets a flag where it meets one.

`bad` holds zeros before; a kernel sets elements of it and leaves the others alone. Each element of
the input is read once.
"""

import numpy as np

from ._contract import flat, kernel, rows, scalar, updates
from .cuda import T, cuda, device
from .cuda.rows import ahead, joining, place, reading

FLAG = updates(flat(np.int64))


def _looks(refused):
    """A device function by which all threads together read an array: 1 where a thread met an
    element for which `refused(element, parameter)` is true."""

    @device
    def update(found, value, index, parameter):
        return np.int32(1) if refused(value, parameter) else found

    read, _ = reading(update)

    @device
    def look(x, n, parameter):
        return read(np.int32(0), x, n, cuda.grid(1) + 0, cuda.gridsize(1) + 0, parameter)

    return look


#: Elements that a thread reads.
SHARE = 16


def _threads(x, *rest):
    return -(-x.size // SHARE)


@kernel
def check_between(begin, end, x: flat, bad: FLAG, low: scalar, high: scalar):
    """bad[0] = 1 where an element is not in [low, high], NaN included; two comparisons an element."""
    found = 0
    for i in range(begin, end):
        found |= not (low <= x[i] and x[i] <= high)
    if found:
        bad[0] = 1


@device
def outside(value, limits):
    return not (limits[0] <= value and value <= limits[1])


look_outside = _looks(outside)


@check_between.on_cuda(items=_threads)
def _(x, x_size, bad, low, high):
    if look_outside(x, x_size, (T(low), T(high))):
        bad[0] = 1


@kernel
def check_not_negative(begin, end, x: flat, bad: FLAG):
    """bad[0] = 1 where an element is below 0; a NaN is not. One comparison an element."""
    found = 0
    for i in range(begin, end):
        found |= x[i] < 0
    if found:
        bad[0] = 1


@device
def negative(value, parameter):
    return value < parameter


look_negative = _looks(negative)


@check_not_negative.on_cuda(items=_threads)
def _(x, x_size, bad):
    if look_negative(x, x_size, T(0)):
        bad[0] = 1


@kernel
def check_not_zero(begin, end, x: flat, bad: FLAG):
    """bad[0] = 1 where an element is 0; one comparison an element."""
    found = 0
    for i in range(begin, end):
        found |= x[i] == 0
    if found:
        bad[0] = 1


@device
def zero(value, parameter):
    return value == parameter


look_zero = _looks(zero)


@check_not_zero.on_cuda(items=_threads)
def _(x, x_size, bad):
    if look_zero(x, x_size, T(0)):
        bad[0] = 1


@kernel(items=lambda weights, bad: weights.size // weights.shape[-1])
def check_weights(begin, end, weights: rows, bad: FLAG):
    """bad[0] = 1 where a weight is negative or not finite, bad[1] = 1 where a row adds up to 0.

    weights (count, n), n > 0. Three operations an element.
    """
    for item in range(begin, end):
        total = weights.dtype.type(0)
        found = 0
        for j in range(weights.shape[1]):
            weight = weights[item, j]
            found |= not (weight >= 0 and weight < np.inf)
            total += weight
        if found:
            bad[0] = 1
        elif not total > 0:
            bad[1] = 1


@device
def weight_taken_in(state, weight, index, infinity):
    found = state[0] if weight >= T(0) and weight < infinity else np.int32(1)
    return found, state[1] + weight


@device
def weights_joined(a, b):
    return a[0] | b[0], a[1] + b[1]


join_row, _ = joining(weights_joined, np.int32, T)
read_row, _ = reading(weight_taken_in)


@check_weights.on_cuda(each="block", items=lambda weights, bad: weights.size // weights.shape[-1])
def _(items, weights, weights_size, bad):
    n = weights_size // items
    lanes, lane, group, groups = place(n, items)
    row = cuda.blockIdx.x * groups
    while row < items:
        values = ahead(weights, min(row + group, items - 1) * n)
        state = read_row((np.int32(0), T(0)), values, n, lane, lanes, T(np.inf))
        found, total = join_row(state, lanes)
        if lane == 0:
            if found:
                bad[0] = 1
            elif not total > T(0):
                bad[1] = 1
        row += cuda.gridDim.x * groups
