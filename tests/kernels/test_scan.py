"""Scan kernels against NumPy: both directions, rows and columns, NaN, integers."""

import numpy as np
import pytest

from numgrad.kernels import scan

SHAPES = [(1, 1, 1), (3, 50, 1), (2, 9, 5), (1, 20, 300)]


def run(name, *arrays, reverse=0, dtype=None):
    out = np.empty(arrays[0].shape, dtype or arrays[0].dtype)
    getattr(scan, name)(*arrays, out, *out.shape[1:], reverse)
    return out


def samples(dtype=np.float32):
    for shape in SHAPES:
        yield np.random.default_rng(0).standard_normal(shape).astype(dtype)


def backwards(function, x):
    return np.flip(function(np.flip(x, 1)), 1)


FLOATING = {
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "logcumsumexp": lambda x: np.logaddexp.accumulate(x, axis=1),
}


@pytest.mark.parametrize("name", FLOATING)
def test_floating_scans(name):
    for x in samples():
        exact = x.astype(np.float64)
        for reverse in (0, 1):
            expected = backwards(FLOATING[name], exact) if reverse else FLOATING[name](exact)
            result = run(name, x, reverse=reverse)
            np.testing.assert_allclose(result, expected, rtol=2e-6, atol=1e-7)


def test_integer_scans_give_int64():
    for x in samples():
        x = np.round(x).astype(np.int32)
        result = run("cumsum_integers", x, dtype=np.int64)
        np.testing.assert_array_equal(result, np.cumsum(x, axis=1))
        x = np.sign(x) + (x == 0)
        result = run("cumprod_integers", x, dtype=np.int64, reverse=1)
        np.testing.assert_array_equal(result, backwards(lambda a: np.cumprod(a, axis=1), x))


def test_linear_scan():
    for x in samples(np.float64):
        factor = np.random.default_rng(1).standard_normal(x.shape)
        expected = x.copy()
        for i in range(1, x.shape[1]):
            expected[:, i] += factor[:, i] * expected[:, i - 1]
        np.testing.assert_allclose(run("linear_scan", x, factor), expected, rtol=1e-12)
        flipped = [np.ascontiguousarray(np.flip(a, 1)) for a in (x, factor)]
        result = np.flip(run("linear_scan", *flipped, reverse=1), 1)
        np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_logcumsumexp_of_infinities():
    x = np.array([-np.inf, -np.inf, 1.0, np.inf, np.inf, np.nan, 0.0]).reshape(1, -1, 1)
    expected = [-np.inf, -np.inf, 1.0, np.inf, np.inf, np.nan, np.nan]
    np.testing.assert_array_equal(run("logcumsumexp", x).ravel(), expected)


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extrema_take_the_last_of_equals_and_keep_nan(name):
    sign = 1 if name == "cummax" else -1
    x = sign * np.array([1.0, 3, 2, 3, np.nan, 9, np.nan, 1], np.float32).reshape(1, -1, 1)
    values, indices = np.empty_like(x), np.empty(x.shape, np.int64)
    getattr(scan, name)(x, values, indices, 8, 1, 0)
    np.testing.assert_array_equal(values.ravel(), sign * np.array([1, 3, 3, 3] + [np.nan] * 4))
    np.testing.assert_array_equal(indices.ravel(), [0, 1, 1, 3, 4, 4, 6, 6])
    out = np.full_like(x, 7)
    scan.scatter_added(np.ones_like(x), indices, out, 8, 1, 0)
    np.testing.assert_array_equal(out.ravel(), [1, 2, 0, 1, 2, 0, 2, 0])
