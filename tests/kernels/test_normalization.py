"""Normalisation kernels against their formulas in float64 and numeric differences."""

import numpy as np
import pytest

from numgrad.kernels import normalization as kernels
from numgrad.kernels import variance

EPS = 1e-5


def layer_norm(x, weight, bias):
    mean, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    return (x - mean) / np.sqrt(var + EPS) * weight + bias


def batch_norm(x, weight, bias):
    mean, var = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
    return (x - mean) / np.sqrt(var + EPS) * weight[:, None] + bias[:, None]


def slopes(function, x, weight, bias, grad, directions, step=1e-6):
    """d Σ function · grad along a direction of each argument."""
    results = []
    for k, direction in enumerate(directions):
        ends = []
        for sign in (1, -1):
            given = [x, weight, bias]
            given[k] = given[k] + sign * step * direction
            ends.append((function(*given) * grad).sum())
        results.append((ends[0] - ends[1]) / (2 * step))
    return results


@pytest.mark.parametrize("shape", [(3, 2), (40, 65), (200, 768)])
def test_layer_norm(shape):
    generator = np.random.default_rng(0)
    rows, n = shape
    x = (5 + generator.standard_normal(shape)).astype(np.float32)
    weight, bias, grad = (
        generator.standard_normal(s).astype(np.float32) for s in (n, n, (rows, n))
    )
    out, stats = np.empty_like(x), np.empty((rows, 2), np.float32)
    kernels.layer_norm_forward(x, weight, bias, out, stats, n, EPS)
    exact = [a.astype(np.float64) for a in (x, weight, bias)]
    expected = layer_norm(*exact)
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=2e-5)

    block = kernels.rows_in_block(rows)
    dx, sums = np.empty_like(x), np.empty((-(-rows // block), 2, n), np.float32)
    kernels.layer_norm_backward(grad, x, weight, stats, dx, sums, n, block)
    dweight, dbias = sums.sum(0)
    directions = [generator.standard_normal(a.shape) for a in exact]
    found = [(d * g).sum() for d, g in zip(directions, (dx, dweight, dbias), strict=True)]
    expected = slopes(layer_norm, *exact, grad, directions)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    only = np.empty_like(x)
    kernels.layer_norm_backward(grad, x, weight, stats, only, np.empty(0, np.float32), n, block)
    np.testing.assert_array_equal(only, dx)


@pytest.mark.parametrize("shape", [(4, 3, 1), (50, 70, 1), (6, 5, 33)])
def test_batch_norm(shape):
    generator = np.random.default_rng(1)
    outer, channels, inner = shape
    count = outer * inner
    x = (5 + generator.standard_normal(shape)).astype(np.float32)
    weight, bias, grad = (
        generator.standard_normal(s).astype(np.float32) for s in (channels, channels, shape)
    )
    exact = [a.astype(np.float64) for a in (x, weight, bias)]
    mean = exact[0].mean((0, 2))
    var = exact[0].var((0, 2)).astype(np.float32)
    stats = np.empty((2, channels), np.float32)
    running_mean, running_var = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    kernels.batch_norm_stats(mean, var, stats, running_mean, running_var, 0.1, count, EPS)
    np.testing.assert_allclose(running_mean, 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(running_var, 0.9 + 0.1 * var * count / (count - 1), rtol=1e-6)

    out = np.empty_like(x)
    kernels.batch_norm_apply(x, stats, weight, bias, out, inner)
    np.testing.assert_allclose(out, batch_norm(*exact), rtol=1e-4, atol=1e-4)

    block = 3
    sums = np.empty((-(-outer // block), 2, channels), np.float32)
    kernels.batch_norm_sums(grad, x, stats, sums, inner, block)
    total = sums.sum(0)
    dx = np.empty_like(x)
    kernels.batch_norm_backward(grad, x, stats, weight, total, dx, inner, count)
    directions = [generator.standard_normal(a.shape) for a in exact]
    found = [(d * g).sum() for d, g in zip(directions, (dx, *total), strict=True)]
    expected = slopes(batch_norm, *exact, grad, directions)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    kernels.batch_norm_backward(grad, x, stats, weight, total, dx, inner, np.inf)
    np.testing.assert_allclose(dx, grad * (weight * stats[1])[:, None], rtol=1e-5)


def test_running_statistics_may_be_absent():
    stats, none = np.empty((2, 2), np.float32), np.empty(0, np.float32)
    var = np.array([1, 4], np.float32)
    kernels.batch_norm_stats(np.array([3.0, 5.0]), var, stats, none, none, 0.1, 4, 0.0)
    np.testing.assert_allclose(stats, [[3, 5], [1, 0.5]])


def test_channel_statistics_come_from_the_variance_kernels():
    x = np.random.default_rng(2).standard_normal((6, 5, 33)).astype(np.float32)
    means, m2s = np.empty((6, 5)), np.empty((6, 5), np.float32)
    variance.variance_rows(x, means, m2s, 33, 33, 0, -1)
    mean, var = np.empty(5), np.empty(5, np.float32)
    variance.variance_parts(means, m2s, mean, var, 6 * 33, 5, 33, 0, 0)
    np.testing.assert_allclose(mean, x.mean((0, 2)), atol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 2)), rtol=1e-5)
