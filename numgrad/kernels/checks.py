"""Looking for values that an operation refuses: each kernel sets a flag where it meets one.

`bad` holds zeros before; a kernel sets elements of it and leaves the others alone. Each element of
the input is read once.
"""

import numpy as np

from ._contract import flat, kernel, rows, scalar, updates

FLAG = updates(flat(np.int64))


@kernel
def check_between(begin, end, x: flat, bad: FLAG, low: scalar, high: scalar):
    """bad[0] = 1 where an element is not in [low, high], NaN included; two comparisons an element."""
    found = 0
    for i in range(begin, end):
        found |= not (low <= x[i] and x[i] <= high)
    if found:
        bad[0] = 1


@kernel
def check_not_negative(begin, end, x: flat, bad: FLAG):
    """bad[0] = 1 where an element is below 0; a NaN is not. One comparison an element."""
    found = 0
    for i in range(begin, end):
        found |= x[i] < 0
    if found:
        bad[0] = 1


@kernel
def check_not_zero(begin, end, x: flat, bad: FLAG):
    """bad[0] = 1 where an element is 0; one comparison an element."""
    found = 0
    for i in range(begin, end):
        found |= x[i] == 0
    if found:
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
