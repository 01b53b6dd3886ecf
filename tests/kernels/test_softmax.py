"""softmax, log_softmax and logsumexp kernels against float64 formulas in NumPy."""

import numpy as np
import pytest

from numgrad.kernels import reduction, softmax

SHAPES = [(2, 2, 1), (5, 10, 1), (3, 1024, 1), (2, 9001, 1), (2, 7, 3), (1, 200, 300)]


def sizes(x):
    _, n, inner = x.shape
    return ("rows", (n,)) if inner == 1 else ("columns", (n, inner))


def run(name, *arrays):
    kind, lengths = sizes(arrays[0])
    out = np.empty_like(arrays[0])
    getattr(softmax, f"{name}_{kind}")(*arrays, out, *lengths)
    return out


def logsumexp(x):
    outer, n, inner = x.shape
    out = np.empty((outer, inner), x.dtype)
    if inner > 1:
        softmax.logsumexp_columns(x, out, n, inner)
        return out
    chunk = reduction.row_chunk(outer, n)
    parts = np.empty((outer, -(-n // chunk)), x.dtype)
    softmax.logsumexp_rows(x, parts, n, chunk)
    softmax.logsumexp_rows(parts, out, parts.shape[1], parts.shape[1])
    return out


def exact_log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def samples(dtype=np.float32, scale=3.0):
    for shape in SHAPES:
        x = scale * np.random.default_rng(0).standard_normal(shape)
        yield x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward(dtype):
    rtol = 2e-6 if dtype == np.float32 else 1e-13
    for x in samples(dtype):
        expected = exact_log_softmax(x)
        np.testing.assert_allclose(run("softmax", x), np.exp(expected), rtol=rtol, atol=1e-30)
        np.testing.assert_allclose(run("log_softmax", x), expected, rtol=rtol, atol=rtol)


def test_backward():
    for x in samples():
        grad = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
        log_p = exact_log_softmax(x)
        p, g = np.exp(log_p), grad.astype(np.float64)
        expected = p * (g - (g * p).sum(axis=1, keepdims=True))
        result = run("softmax_backward", grad, p.astype(np.float32))
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
        expected = g - p * g.sum(axis=1, keepdims=True)
        result = run("log_softmax_backward", grad, log_p.astype(np.float32))
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_logsumexp():
    for x in [*samples(), np.full((1, 70_001, 1), 3.0, np.float32)]:
        expected = x.astype(np.float64)[:, 0] - exact_log_softmax(x)[:, 0]
        np.testing.assert_allclose(logsumexp(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 40, 1), (4, 40, 3)])
def test_special_values(shape):
    x = np.zeros(shape, np.float32)
    x[1, 7], x[2, 7], x[3] = np.nan, np.inf, -np.inf
    for name in ("softmax", "log_softmax"):
        out = run(name, x)
        assert np.isfinite(out[0]).all()
        assert np.isnan(out[[1, 3]]).all()
    assert np.isnan(run("softmax", x)[2]).all()
    total = logsumexp(x)
    assert np.isnan(total[1]).all()
    assert np.isposinf(total[2]).all()
    assert np.isneginf(total[3]).all()


def test_log_softmax_keeps_its_digits_beside_large_logits():
    x = np.full((1, 4, 1), 1e6, np.float32)
    np.testing.assert_allclose(run("log_softmax", x), np.full_like(x, -np.log(4)), rtol=1e-6)


def test_long_rows_add_up_to_one():
    x = np.random.default_rng(2).standard_normal((1, 1 << 20, 1)).astype(np.float32)
    assert abs(run("softmax", x).astype(np.float64).sum() - 1) < 1e-6
