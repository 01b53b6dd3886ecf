"""Kernels that find and count, called on NumPy arrays."""

import numpy as np
import pytest

from numgrad.kernels import sorting as kernels


@pytest.mark.parametrize("size", [1, 100, kernels.BLOCK, 3 * kernels.BLOCK + 17])
def test_true_elements_are_counted_and_found(size):
    mask = (np.random.default_rng(0).random(size) < 0.2).astype(np.uint8)
    counts = np.empty(-(-size // kernels.BLOCK), np.int64)
    kernels.count_true(mask, counts)
    assert counts.sum() == mask.sum()
    out = np.empty(mask.sum(), np.int64)
    kernels.true_positions(mask, np.cumsum(counts) - counts, out)
    np.testing.assert_array_equal(out, np.flatnonzero(mask))


def test_coordinates_of_positions():
    positions, shape = np.array([0, 5, 23]), np.array([2, 3, 4])
    rows, columns = np.empty((3, 3), np.int64), np.empty((3, 3), np.int64)
    kernels.coordinates(positions, shape, rows, 3, 1)
    kernels.coordinates(positions, shape, columns, 1, 3)
    expected = np.stack(np.unravel_index(positions, (2, 3, 4)), 1)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(columns, expected.T)


def test_values_are_counted():
    x = np.array([3, 0, 3])
    counts, sums = np.zeros(5, np.int64), np.zeros(5)
    kernels.count_values(x, counts)
    kernels.sum_weights(x, np.array([0.5, 1, 2]), sums)
    assert counts.tolist() == [1, 0, 0, 2, 0] and sums.tolist() == [1, 0, 0, 2.5, 0]


@pytest.mark.parametrize("right", [0, 1])
def test_places_in_sorted_rows(right):
    generator = np.random.default_rng(0)
    boundaries = np.sort(generator.integers(0, 9, (3, 7)), 1).astype(np.float32)
    values = generator.integers(-1, 10, (3, 5)).astype(np.float32)
    values[1, 2] = np.nan
    out = np.empty((3, 5), np.int64)
    kernels.search(boundaries, values, out, 7, 5, right, 1)
    side = "right" if right else "left"
    expected = [np.searchsorted(b, v, side) for b, v in zip(boundaries, values, strict=True)]
    np.testing.assert_array_equal(out, expected)
    kernels.search(boundaries[0], values, out, 7, 1, right, 0)
    np.testing.assert_array_equal(out, np.searchsorted(boundaries[0], values, side))


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_leading_elements(largest, k):
    x = np.random.default_rng(0).integers(0, 12, (6, 30)).astype(np.float32)
    x[1, [3, 20]] = np.nan
    positions = np.empty((6, k), np.int64)
    kernels.leading(x, positions, largest)
    key = np.where(np.isnan(x), np.inf, x) * (-1 if largest else 1)
    np.testing.assert_array_equal(positions, np.argsort(key, 1, kind="stable")[:, :k])


def test_values_are_counted_in_bins():
    x = np.array([0, 1, 2, 3, 4, 3.5, -1, np.nan, 5], np.float32)
    out = np.zeros(4, np.int64)
    kernels.count_in_bins(x, out, 0, 4)
    assert out.tolist() == np.histogram(x, 4, (0, 4))[0].tolist() == [1, 1, 1, 3]


@pytest.mark.parametrize("descending", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 48, 49, 1000])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i2", "i4", "i8", "u1"])
def test_order_of_rows(dtype, n, descending):
    generator = np.random.default_rng(0)
    if dtype[0] == "f":
        x = generator.standard_normal((4, n)).astype(dtype)
        x[1] = generator.integers(-2, 3, n) * 0.5  # many alike
        x[2] = generator.choice([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e38], n)
    else:
        limits = np.iinfo(dtype)
        x = generator.integers(limits.min, limits.max, (4, n), dtype, endpoint=True)
        x[1] = generator.integers(0, 3, n)
        x[2] = generator.choice([limits.min, limits.max, 0], n)
    x[3] = 1
    positions, *working = (np.full((4, n), -7) for _ in range(4))
    kernels.order(x, positions, *working, descending)
    backwards = np.flip(n - 1 - np.argsort(np.flip(x, 1), 1, kind="stable"), 1)
    expected = backwards if descending else np.argsort(x, 1, kind="stable")
    np.testing.assert_array_equal(positions, expected)
