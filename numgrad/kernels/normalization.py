"""Layer and batch normalisation, forward and backward.

x̂ = (x - mean) / √(variance + eps), out = x̂ · weight + bias: over the last dimensions of each row
(layer), or over the batch for each channel (batch). `stats` holds the means and the reciprocal
standard deviations rstd = 1 / √(variance + eps), for the backward.

The gradients of weight and bias are sums over all rows: each work item, a block of rows whose size
follows from the shape alone, writes its own partial sums, which `sum_columns` of `reduction.py`
then adds.
"""

import math

import numpy as np
from numba import njit

from ._contract import flat, kernel, scalar, updates, writes
from ._native import get, pointer_at, put
from ._scalar import like
from .blocks import data
from .reduction import INDEX, INLINED
from .variance import MEANS, mean_and_m2


def rows_in_block(rows: int) -> int:
    """The rows of a work item that adds up gradients: at most 64 items."""
    return max(16, -(-rows // 64))


@kernel(items=lambda x, weight, bias, out, stats, n, eps: x.size // n)
def layer_norm_forward(
    begin,
    end,
    x: flat,
    weight: flat,
    bias: flat,
    out: writes(flat),
    stats: writes(flat),
    n: INDEX,
    eps: scalar,
):
    """out[i, j] = (x[i, j] - meanᵢ) · rstdᵢ · weight[j] + bias[j]

    x and out (rows, n), weight and bias (n). Writes stats (rows, 2): mean and rstd. Reads x and
    writes out once; nine operations an element.
    """
    for row in range(begin, end):
        values, results = pointer_at(data(x), row * n), pointer_at(data(out), row * n)
        mean, m2 = mean_and_m2(values, n)
        centre = like(get(values, 0), mean)
        scale = like(centre, 1.0 / math.sqrt(m2 / n + eps))
        put(data(stats), 2 * row, centre)
        put(data(stats), 2 * row + 1, scale)
        for j in range(n):
            normal = (get(values, j) - centre) * scale
            put(results, j, normal * get(data(weight), j) + get(data(bias), j))


@kernel(items=lambda grad, x, weight, stats, out, sums, n, block: -(-(x.size // n) // block))
def layer_norm_backward(
    begin,
    end,
    grad: flat,
    x: flat,
    weight: flat,
    stats: flat,
    out: writes(flat),
    sums: writes(flat),
    n: INDEX,
    block: INDEX,
):
    """out = rstd · (g - mean(g) - x̂ · mean(g · x̂)), g = grad · weight, row by row.

    grad, x and out (rows, n), stats (rows, 2) from the forward. Where `sums` is not empty it takes
    the block's share of the gradients of weight, Σ grad · x̂, and of bias, Σ grad:
    sums (blocks, 2, n), for blocks of `block` rows. Reads grad and x, writes out; about fifteen
    operations an element.
    """
    rows = x.size // n
    zero = x.dtype.type(0)
    factor = data(weight)
    for item in range(begin, end):
        weight_sum = pointer_at(data(sums), item * 2 * n)
        bias_sum = pointer_at(weight_sum, n)
        if sums.size:
            for j in range(2 * n):
                put(weight_sum, j, zero)
        for row in range(item * block, min(rows, (item + 1) * block)):
            g, values = pointer_at(data(grad), row * n), pointer_at(data(x), row * n)
            results = pointer_at(data(out), row * n)
            centre, scale = get(data(stats), 2 * row), get(data(stats), 2 * row + 1)
            total, product = zero, zero
            for j in range(n):
                own = get(g, j) * get(factor, j)
                total += own
                product += own * (get(values, j) - centre)
            mean = total / like(zero, n)
            slope = product * scale * scale / like(zero, n)
            for j in range(n):
                own = get(g, j) * get(factor, j) - mean
                put(results, j, scale * (own - (get(values, j) - centre) * slope))
            if sums.size:
                for j in range(n):
                    normal = (get(values, j) - centre) * scale
                    put(weight_sum, j, get(weight_sum, j) + get(g, j) * normal)
                    put(bias_sum, j, get(bias_sum, j) + get(g, j))


@kernel(items=lambda mean, *_: 1)
def batch_norm_stats(
    begin,
    end,
    mean: MEANS,
    variance: flat,
    stats: writes(flat),
    running_mean: updates(flat),
    running_var: updates(flat),
    momentum: scalar,
    count: scalar,
    eps: scalar,
):
    """stats = (mean, 1 / √(variance + eps)); and the running statistics move towards the batch's.

    mean (float64) and variance (C), stats (2, C), running_mean and running_var (C) or empty:
    running += momentum · (batch - running), with the unbiased variance, count / (count - 1) of it.
    Ten operations an element of mean.
    """
    channels = mean.size
    for _ in range(begin, end):
        for c in range(channels):
            stats[c] = mean[c]
            stats[channels + c] = 1.0 / math.sqrt(np.float64(variance[c]) + eps)
        if running_mean.size:
            for c in range(channels):
                old = np.float64(running_mean[c])
                running_mean[c] = (1.0 - momentum) * old + momentum * mean[c]
                unbiased = np.float64(variance[c]) * (count / (count - 1.0))
                old = np.float64(running_var[c])
                running_var[c] = (1.0 - momentum) * old + momentum * unbiased


@kernel(items=lambda x, stats, weight, bias, out, inner: x.size // (weight.size * inner))
def batch_norm_apply(
    begin, end, x: flat, stats: flat, weight: flat, bias: flat, out: writes(flat), inner: INDEX
):
    """out[i, c, k] = (x[i, c, k] - mean_c) · rstd_c · weight[c] + bias[c]

    x and out (outer, C, inner), stats (2, C), weight and bias (C). Reads x and writes out; four
    operations an element.
    """
    channels = weight.size
    means, rstds = data(stats), pointer_at(data(stats), channels)
    for sample in range(begin, end):
        values = pointer_at(data(x), sample * channels * inner)
        results = pointer_at(data(out), sample * channels * inner)
        if inner == 1:
            for c in range(channels):
                normal = (get(values, c) - get(means, c)) * get(rstds, c)
                put(results, c, normal * get(data(weight), c) + get(data(bias), c))
        else:
            for c in range(channels):
                scale = get(rstds, c) * get(data(weight), c)
                centre, shift = get(means, c), get(data(bias), c)
                for k in range(c * inner, (c + 1) * inner):
                    put(results, k, (get(values, k) - centre) * scale + shift)


@njit(**INLINED)
def gradient_sums(g, values, inner, centre):
    """Σ g and Σ g · (x - centre) over one channel of one sample."""
    total, product = like(centre, 0), like(centre, 0)
    for k in range(inner):
        total += get(g, k)
        product += get(g, k) * (get(values, k) - centre)
    return total, product


@kernel(items=lambda grad, x, stats, sums, inner, block: sums.size // stats.size)
def batch_norm_sums(
    begin, end, grad: flat, x: flat, stats: flat, sums: writes(flat), inner: INDEX, block: INDEX
):
    """sums[b, 0, c] = Σ grad · x̂, sums[b, 1, c] = Σ grad over block b of `block` samples.

    grad and x (outer, C, inner), stats (2, C), sums (blocks, 2, C): shares of the gradients of
    weight and bias. Reads grad and x; five operations an element.
    """
    zero = x.dtype.type(0)
    channels = stats.size // 2
    means, rstds = data(stats), pointer_at(data(stats), channels)
    samples = x.size // (channels * inner)
    for item in range(begin, end):
        weight_sum = pointer_at(data(sums), item * 2 * channels)
        bias_sum = pointer_at(weight_sum, channels)
        for c in range(2 * channels):
            put(weight_sum, c, zero)
        for sample in range(item * block, min(samples, (item + 1) * block)):
            g = pointer_at(data(grad), sample * channels * inner)
            values = pointer_at(data(x), sample * channels * inner)
            if inner == 1:
                for c in range(channels):
                    normal = (get(values, c) - get(means, c)) * get(rstds, c)
                    put(weight_sum, c, get(weight_sum, c) + get(g, c) * normal)
                    put(bias_sum, c, get(bias_sum, c) + get(g, c))
            else:
                for c in range(channels):
                    part, own = pointer_at(g, c * inner), pointer_at(values, c * inner)
                    total, product = gradient_sums(part, own, inner, get(means, c))
                    put(weight_sum, c, get(weight_sum, c) + product * get(rstds, c))
                    put(bias_sum, c, get(bias_sum, c) + total)


@kernel(
    items=lambda grad, x, stats, weight, sums, out, inner, count: x.size // (weight.size * inner)
)
def batch_norm_backward(
    begin,
    end,
    grad: flat,
    x: flat,
    stats: flat,
    weight: flat,
    sums: flat,
    out: writes(flat),
    inner: INDEX,
    count: scalar,
):
    """out = weight · rstd · (grad - Σ grad / m - x̂ · Σ (grad · x̂) / m), m = count

    grad, x and out (outer, C, inner), stats (2, C), sums (2, C): Σ grad · x̂ and Σ grad. With an
    infinite count it is the gradient for fixed statistics. Reads grad and x, writes out; seven
    operations an element.
    """
    channels = weight.size
    one = x.dtype.type(1)
    share = like(one, 1.0 / count)
    means, rstds = data(stats), pointer_at(data(stats), channels)
    products, totals = data(sums), pointer_at(data(sums), channels)
    for sample in range(begin, end):
        at = sample * channels * inner
        g, values = pointer_at(data(grad), at), pointer_at(data(x), at)
        results = pointer_at(data(out), at)
        if inner == 1:
            for c in range(channels):
                normal = (get(values, c) - get(means, c)) * get(rstds, c)
                own = get(g, c) - (get(totals, c) + normal * get(products, c)) * share
                put(results, c, own * get(rstds, c) * get(data(weight), c))
        else:
            for c in range(channels):
                scale = get(rstds, c) * get(data(weight), c)
                slope = get(products, c) * share * get(rstds, c)
                centre, mean = get(means, c), get(totals, c) * share
                for k in range(c * inner, (c + 1) * inner):
                    put(results, k, scale * (get(g, k) - mean - (get(values, k) - centre) * slope))
