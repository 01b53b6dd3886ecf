"""max and min with indices: values, first of equals, NaN first, rows, columns and chunks."""

import numpy as np
import pytest

from numgrad.kernels import extremum, reduction

SHAPES = [
    (1, 1, 1),
    (7, 2, 1),
    (5, 700, 1),
    (2, 70_001, 1),
    (2, 33, 5),
    (1, 20_001, 3),
    (1, 9, 300),
]


def select(name, x):
    """values and indices of dimension 1 of a 3-D array, in chunks as an operation does it."""
    outer, n, inner = x.shape
    chunk = reduction.row_chunk(outer, n)
    sizes = (n, chunk)
    if inner > 1:
        chunk = reduction.column_chunk(outer, n, inner)
        sizes = (n, inner, chunk)
    parts = -(-n // chunk)
    values, indices = np.empty((outer, parts, inner), x.dtype), np.empty((outer, parts, inner), int)
    kernel = getattr(extremum, f"{name}_{'rows' if inner == 1 else 'columns'}")
    kernel(x, values, indices, *sizes)
    if parts > 1:
        part_values, part_indices = values, indices
        values, indices = np.empty((outer, 1, inner), x.dtype), np.empty((outer, 1, inner), int)
        combine = getattr(extremum, f"{name}_parts")
        combine(part_values, part_indices, values, indices, parts, inner)
    return values[:, 0], indices[:, 0]


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_first_extremum(name, dtype):
    generator = np.random.default_rng(0)
    for shape in SHAPES:
        # Few distinct values: every extremum occurs several times.
        x = generator.integers(-20, 20, shape).astype(dtype)
        values, indices = select(name, x)
        np.testing.assert_array_equal(values, getattr(x, name)(axis=1))
        np.testing.assert_array_equal(indices, getattr(x, f"arg{name}")(axis=1))


@pytest.mark.parametrize("name", ["max", "min"])
def test_first_nan_wins(name):
    for shape in SHAPES[1:]:
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        x[:, 0] = np.inf if name == "max" else -np.inf
        for at in (shape[1] // 3, shape[1] - 1):
            x[:, at] = np.nan
        values, indices = select(name, x)
        assert np.isnan(values).all()
        assert (indices == shape[1] // 3).all()


def test_selected_elements_scatter_and_gather():
    x = np.random.default_rng(2).standard_normal((4, 5, 3))
    indices = x.argmax(axis=1)
    picked = np.empty((4, 3))
    extremum.gather_selected(x, indices, picked, 5, 3)
    np.testing.assert_array_equal(picked, x.max(axis=1))
    out = np.full_like(x, np.nan)
    extremum.scatter_selected(picked, indices, out, 5, 3)
    expected = np.where(np.arange(5)[:, None] == indices[:, None], x, 0.0)
    np.testing.assert_array_equal(out, expected)
