"""Kernels that move elements by index, called on NumPy arrays."""

import numpy as np
import pytest

from numgrad.kernels import indexing as kernels


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("shape", [(1, 5, 1), (3, 5, 7), (2, 4, 200)])
def test_rows_are_taken_and_bad_indices_noted(shape):
    x = noise(*shape)
    index = np.array([4 % shape[1], 0, -1, 2, -shape[1]])
    out, bad = np.full((shape[0], 5, shape[2]), np.nan, np.float32), np.zeros(1, np.int64)
    kernels.take_rows(x, index, out, bad, shape[1], 5, shape[2], -shape[1])
    np.testing.assert_array_equal(out, x[:, index])
    assert bad[0] == 0
    kernels.take_rows(x, np.array([0, shape[1]]), out[:, :2].copy(), bad, shape[1], 2, shape[2], 0)
    assert bad[0] == 1


@pytest.mark.parametrize("shape", [(1, 5, 1), (3, 5, 7), (2, 4, 200)])
def test_rows_are_written_in_order(shape):
    outer, n, inner = shape
    values = noise(outer, 6, inner)
    index = np.array([0, 3, 0, -1, 2, 0])
    sizes = (n, 6, inner)
    out = noise(outer, n, inner) * 0 + 1
    kernels.put_rows(values, index, out, *sizes, 1, -1)
    expected = np.ones_like(out)
    for i, k in enumerate(index):
        expected[:, k] = values[:, i]
    np.testing.assert_array_equal(out, expected)
    kernels.add_rows(values, index, out, *sizes, 1, -1)
    for i, k in enumerate(index):
        expected[:, k] += values[:, i]
    np.testing.assert_array_equal(out, expected)
    kernels.add_rows(
        values[:1, 0, :1].copy(), index, out, *sizes, 0, 0
    )  # one value, row 0 left out
    for k in index[index != 0]:
        expected[:, k] += values[0, 0, 0]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shape", [(1, 5, 1), (3, 5, 7), (2, 4, 200)])
def test_gather_and_scatter_along(shape):
    outer, n, inner = shape
    x = noise(*shape)
    index = np.random.default_rng(1).integers(0, n, (outer, 6, inner))
    out, bad = np.empty(index.shape, np.float32), np.zeros(1, np.int64)
    kernels.gather_along(x, index, out, bad, n, 6, inner)
    np.testing.assert_array_equal(out, np.take_along_axis(x, index, 1))
    assert bad[0] == 0
    places = (np.arange(outer)[:, None, None], index, np.arange(inner))
    values = noise(outer, 6, inner)
    for name, ufunc in (
        ("add", np.add),
        ("multiply", np.multiply),
        ("largest", np.maximum),
        ("smallest", np.minimum),
    ):
        target, expected = x.copy(), x.copy()
        getattr(kernels, f"{name}_along")(values, index, target, n, 6, inner, 1)
        ufunc.at(expected, places, values)
        np.testing.assert_array_equal(target, expected)
    target, expected = x.copy(), x.copy()
    kernels.put_along(values, index, target, n, 6, inner, 1)
    for i in range(6):
        np.put_along_axis(expected, index[:, i : i + 1], values[:, i : i + 1], 1)
    np.testing.assert_array_equal(target, expected)


def test_extrema_of_nan():
    target = np.array([1, np.nan, 1], np.float32)
    values, index = np.array([np.nan, 2, 2], np.float32), np.array([0, 1, 2])
    kernels.largest_along(values, index, target, 3, 3, 1, 1)
    np.testing.assert_array_equal(target, [np.nan, np.nan, 2])


def test_indices_are_checked():
    for values, low, high, wrong in (([0, 2], 0, 3, 0), ([0, 3], 0, 3, 1), ([-1], 0, 3, 1)):
        bad = np.zeros(1, np.int64)
        kernels.check_index(np.array(values), bad, low, high)
        assert bad[0] == wrong


def test_several_indices_become_one():
    first, second = np.array([[0, 1], [-1, 2]]), np.array([[3, -4], [0, 1]])
    out, bad = np.empty((2, 2), np.int64), np.zeros(1, np.int64)
    kernels.combine_indices((first, second), np.array([3, 4]), out, bad)
    np.testing.assert_array_equal(out, [[3, 4], [8, 9]])
    assert bad[0] == 0
    kernels.combine_indices((first, second), np.array([3, 3]), out, bad)
    assert bad[0] == 1


@pytest.mark.parametrize("outer", [1, 4])
def test_parts_are_joined(outer):
    parts = [noise(outer, width) for width in (3, 0, 1, 5)]
    out = np.empty((outer, 9), np.float32)
    kernels.join(parts, out, outer)
    np.testing.assert_array_equal(out, np.concatenate(parts, 1))


@pytest.mark.parametrize("diagonal", [-7, -1, 0, 2, 9])
def test_triangles(diagonal):
    x = noise(2, 4, 6)
    for lower, expected in ((1, np.tril(x, diagonal)), (0, np.triu(x, diagonal))):
        out = np.full_like(x, np.nan)
        kernels.triangle(x, out, diagonal, lower)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, np.inf])
def test_rows_are_limited(order):
    weight = noise(5, 8) * 3
    expected = weight.copy()
    rows = np.array([0, 3, 4])
    norms = np.linalg.norm(weight[rows].astype(np.float64), order, axis=1)
    scale = np.where(norms > 4, 4 / (norms + 1e-7), 1)
    expected[rows] *= scale[:, None].astype(np.float32)
    kernels.limit_rows(weight, rows, 4, order)
    np.testing.assert_allclose(weight, expected, 2e-7)
