"""Kernels that look for values, called on NumPy arrays."""

import numpy as np
import pytest

from numgrad.kernels import checks


def flags(kernel, x, *numbers, count=1):
    bad = np.zeros(count, np.int64)
    kernel(x, bad, *numbers)
    return bad.tolist()


@pytest.mark.parametrize(
    "values, found",
    [([0, 0.5, 1], 0), ([0, 1.1], 1), ([-0.1, 0], 1), ([0, np.nan], 1), ([], 0)],
)
def test_values_outside_a_range(values, found):
    assert flags(checks.check_between, np.array(values, np.float32), 0.0, 1.0) == [found]


def test_negative_values_and_zeros():
    assert flags(checks.check_not_negative, np.array([0, 1, np.nan])) == [0]
    assert flags(checks.check_not_negative, np.array([0, -1.0])) == [1]
    assert flags(checks.check_not_zero, np.array([3, -1])) == [0]
    assert flags(checks.check_not_zero, np.array([3, 0, 1])) == [1]


def test_weights_that_cannot_be_drawn_from():
    for row, found in [
        ([0, 1], [0, 0]),
        ([0, 0], [0, 1]),
        ([0, -1], [1, 0]),
        ([np.inf, 1], [1, 0]),
        ([np.nan, 1], [1, 0]),
    ]:
        weights = np.array([[1, 2], row, [3, 4]], np.float32)
        assert flags(checks.check_weights, weights, count=2) == found
