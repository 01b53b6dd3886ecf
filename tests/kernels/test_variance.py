"""Variance kernels against NumPy in float64, data far from zero included."""

import numpy as np
import pytest

from numgrad.kernels import reduction, variance

SHAPES = [
    (1, 2, 1),
    (9, 5, 1),
    (3, 5000, 1),
    (2, 70_001, 1),
    (2, 33, 5),
    (1, 20_001, 3),
    (1, 9, 300),
]


def mean_and(x, correction, root):
    """mean and variance (root 0) or deviation (root 1) along dimension 1 of a 3-D array."""
    outer, n, inner = x.shape
    chunk = reduction.row_chunk(outer, n)
    kernel, sizes = variance.variance_rows, (n,)
    if inner > 1:
        chunk = reduction.column_chunk(outer, n, inner)
        kernel, sizes = variance.variance_columns, (n, inner)
    parts = -(-n // chunk)
    mean, out = np.empty((outer, parts, inner)), np.empty((outer, parts, inner), x.dtype)
    kernel(x, mean, out, *sizes, chunk, correction, root if parts == 1 else -1)
    if parts > 1:
        means, m2s = mean, out
        mean, out = np.empty((outer, 1, inner)), np.empty((outer, 1, inner), x.dtype)
        variance.variance_parts(means, m2s, mean, out, n, inner, chunk, correction, root)
    return mean[:, 0], out[:, 0]


@pytest.mark.parametrize("centre", [0, 1000])
@pytest.mark.parametrize("correction", [0, 1])
def test_variance(centre, correction):
    for shape in SHAPES:
        x = (centre + np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
        exact = x.astype(np.float64)
        mean, out = mean_and(x, correction, 0)
        np.testing.assert_allclose(mean, exact.mean(axis=1), rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(out, exact.var(axis=1, ddof=correction), rtol=1e-6)
        _, out = mean_and(x, correction, 1)
        np.testing.assert_allclose(out, exact.std(axis=1, ddof=correction), rtol=1e-6)


def test_no_degrees_of_freedom_and_nan():
    x = np.zeros((1, 1, 1), np.float32)
    assert np.isnan(mean_and(x, 1, 0)[1]).all()
    x = np.array([[[1.0], [3.0]]], np.float32)
    assert np.isposinf(mean_and(x, 2, 0)[1]).all()
    x[0, 0] = np.nan
    assert np.isnan(mean_and(x, 1, 0)).all()
