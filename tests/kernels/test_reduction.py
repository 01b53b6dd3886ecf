"""Reduction kernels against NumPy in float64: rows, columns, chunks, NaN, integers, accuracy."""

import numpy as np
import pytest

from numgrad.kernels import reduction
from numgrad.kernels._launch import launcher, set_num_threads

#: (outer, n, inner): short and long rows, narrow and wide columns, with and without chunks.
SHAPES = [
    (1, 1, 1),
    (7, 5, 1),
    (5, 700, 1),
    (2, 70_001, 1),
    (70, 4500, 1),
    (1, 3, 2),
    (2, 33, 5),
    (3, 17, 300),
    (1, 70_001, 3),
    (1, 3000, 257),
]


def reduce(name, x, parameter=1.0, dtype=None, second=None):
    """Reduce dimension 1 of a 3-D array as an operation does: in chunks, then the chunks."""
    outer, n, inner = x.shape
    sizes = (n,) if inner == 1 else (n, inner)
    kind = "rows" if inner == 1 else "columns"
    chunk = reduction.row_chunk(outer, n)
    if inner > 1:
        chunk = reduction.column_chunk(outer, n, inner)
    parts = -(-n // chunk)
    out = np.empty((outer, parts, inner), dtype or x.dtype)
    getattr(reduction, f"{name}_{kind}")(x, out, *sizes, chunk, parameter if parts == 1 else 1.0)
    return out[:, 0] if parts == 1 else reduce(second or name, out, parameter)


def samples(dtype, seed=0):
    generator = np.random.default_rng(seed)
    for shape in SHAPES:
        yield generator.standard_normal(shape).astype(dtype)


FLOAT_CASES = {
    "sum": np.sum,
    "nansum": np.sum,
    "amax": np.max,
    "amin": np.min,
    "norm1": lambda x, axis: np.abs(x).sum(axis),
    "norm2": lambda x, axis: np.sqrt((x * x).sum(axis)),
    "norm_max": lambda x, axis: np.abs(x).max(axis),
    "norm_min": lambda x, axis: np.abs(x).min(axis),
}


@pytest.mark.parametrize("name", FLOAT_CASES)
def test_float_reductions(name):
    for x in samples(np.float32):
        expected = FLOAT_CASES[name](x.astype(np.float64), axis=1)
        atol = 1e-6 * np.sqrt(x.shape[1])
        np.testing.assert_allclose(reduce(name, x), expected, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("name", ["sum"])
def test_float64(name):
    for x in samples(np.float64):
        np.testing.assert_allclose(reduce(name, x), FLOAT_CASES[name](x, axis=1), atol=1e-11)


def test_parameter_of_sum_divides():
    for x in samples(np.float32):
        expected = x.astype(np.float64).mean(axis=1)
        np.testing.assert_allclose(reduce("sum", x, x.shape[1]), expected, rtol=2e-6, atol=1e-7)


def test_product():
    for x in samples(np.float32):
        x = 1 + x / 1000
        expected = np.prod(x.astype(np.float64), axis=1)
        np.testing.assert_allclose(reduce("prod", x), expected, rtol=3e-5)


INTEGER_CASES = [
    (np.bool_, "sum_integers", np.sum, np.int64, "sum_integers"),
    (np.bool_, "any", np.any, np.bool_, "any"),
    (np.int32, "count_nonzero", np.count_nonzero, np.int64, "sum_integers"),
    (np.int32, "prod_integers", np.prod, np.int64, "prod_integers"),
    (np.float32, "all", np.all, np.bool_, "all"),
    (np.int32, "amax", np.max, np.int32, "amax"),
]


@pytest.mark.parametrize("case", INTEGER_CASES, ids=lambda c: c[1])
def test_integers_and_truth(case):
    dtype, name, reference, result, second = case
    for x in samples(np.float64):
        x = (np.abs(x) > (2 if x.shape[1] > 100 else 0.5)).astype(dtype)
        np.testing.assert_array_equal(
            reduce(name, x, dtype=result, second=second), reference(x, axis=1)
        )


def test_integer_sums_do_not_overflow():
    x = np.full((1, 1000, 1), 2**31 - 1, np.int32)
    assert reduce("sum_integers", x, dtype=np.int64) == 1000 * (2**31 - 1)


@pytest.mark.parametrize("name", ["sum", "amax", "amin", "norm2", "norm_max"])
@pytest.mark.parametrize("shape", [(3, 9, 1), (3, 2000, 1), (3, 50, 7)])
def test_nan_wins_and_infinity_stays(name, shape):
    x = np.ones(shape, np.float32)
    x[1, shape[1] // 2] = np.nan
    x[2, 3] = np.inf
    result = reduce(name, x)
    assert np.isnan(result[1]).all()
    assert not np.isnan(result[[0, 2]]).any()
    if name != "amin":
        assert np.isposinf(result[2]).all()
    assert reduce("nansum", x)[1, 0] == shape[1] - 1


def test_long_float32_sums_are_accurate():
    x = np.random.default_rng(1).random((1, 1 << 22, 1), np.float32)
    exact = x.astype(np.float64).sum()
    np.testing.assert_allclose(reduce("sum", x), exact, rtol=1e-7)
    columns = x.reshape(1, -1, 4)
    np.testing.assert_allclose(
        reduce("sum", columns)[0], columns[0].astype(np.float64).sum(0), rtol=5e-7
    )


@pytest.mark.parametrize("shape", [(1, 300_007, 1), (1, 20_011, 17), (700, 300, 1)])
def test_same_bits_whatever_the_thread_count(shape):
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    threads = launcher.threads
    try:
        results = []
        for count in (1, 2, 3):
            set_num_threads(count)
            results.append(reduce("sum", x).tobytes())
    finally:
        launcher.threads = threads
    assert len(set(results)) == 1
