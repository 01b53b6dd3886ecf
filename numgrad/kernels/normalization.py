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
from .cuda import T, cuda, device
from .cuda.maps import mapping, taking
from .cuda.rows import TILE, ahead, joining, place, row_blocks
from .reduction import INDEX, INLINED
from .variance import MEANS, join_row, mean_and_m2, read_row


def rows_in_block(rows: int, on_cuda: bool = False) -> int:
    """The rows of a work item that adds up gradients: at most 64 items, 512 on a GPU."""
    return max(16, -(-rows // (512 if on_cuda else 64)))


# On CUDA all numbers are of type T.


@device
def normalized(j, value, factor, shift, parameter):
    """parameter = (centre, scale)"""
    return (value - parameter[0]) * parameter[1] * factor + shift


map_normalized = mapping(normalized, 3)


@device
def both_sums(a, b):
    return a[0] + b[0], a[1] + b[1]


join_sums, join_column_sums = joining(both_sums, T, T)


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


@layer_norm_forward.on_cuda(
    each="block",
    items=lambda x, weight, bias, out, stats, n, eps: row_blocks(stats.size // 2, int(n)),
)
def _(x, weight, bias, out, stats, stats_size, n, eps):
    rows = stats_size // 2
    lanes, lane, group, groups = place(n, rows)
    row = cuda.blockIdx.x * groups
    while row < rows:
        own = min(row + group, rows - 1)
        values, results = ahead(x, own * n), ahead(out, own * n)
        state = read_row((T(0), T(0), T(0)), values, n, lane, lanes, 0)
        centre, m2, _ = join_row(state, lanes)
        scale = T(1) / math.sqrt(m2 / T(n) + T(eps))
        if lane == 0:
            stats[2 * own] = centre
            stats[2 * own + 1] = scale
        map_normalized(values, weight, bias, results, n, lane, lanes, (centre, scale))
        row += cuda.gridDim.x * groups


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


@device
def slopes_taken_in(state, g, value, factor, centre):
    """A state is Σ grad · weight and Σ grad · weight · (x - centre)."""
    own = g * factor
    return state[0] + own, state[1] + own * (value - centre)


@device
def layer_slope(j, g, value, factor, parameter):
    """parameter = (centre, scale, mean, slope)"""
    centre, scale, mean, slope = parameter
    return scale * (g * factor - mean - (value - centre) * slope)


@device
def normal_taken_in(state, g, value, centre, scale):
    """A state is Σ grad · x̂ and Σ grad."""
    return state[0] + g * ((value - centre) * scale), state[1] + g


take_slopes = taking(slopes_taken_in, 3)
map_layer_slopes = mapping(layer_slope, 3)
#: Rows that a block goes through before it adds up their columns, which it then finds in the cache.
TOGETHER = 4


@layer_norm_backward.on_cuda(each="block")
def _(items, grad, x, weight, stats, stats_size, out, sums, sums_size, n, block):
    rows = stats_size // 2
    lanes, lane, group, groups = place(n, rows)
    together = groups if groups > 1 else TOGETHER
    # Where columns are few, several threads share one.
    side = max(1, cuda.blockDim.x // n)
    first = cuda.threadIdx.x % n if side > 1 else cuda.threadIdx.x + 0
    own_row = cuda.threadIdx.x // n if side > 1 else np.int64(0)
    item = cuda.blockIdx.x + 0
    while item < items:
        row, end = item * block, min(rows, (item + 1) * block)
        sum_of_column = (T(0), T(0))
        target = ahead(sums, item * 2 * n)
        while row < end:
            last = min(row + together, end)
            at = row + 0
            while at < last:
                own = min(at + group, last - 1)
                g, values = ahead(grad, own * n), ahead(x, own * n)
                centre, scale = stats[2 * own], stats[2 * own + 1]
                state = take_slopes(g, values, weight, (T(0), T(0)), n, lane, lanes, centre)
                total, product = join_sums(state, lanes)
                slope = product * scale * scale / T(n)
                parameter = (centre, scale, total / T(n), slope)
                map_layer_slopes(g, values, weight, ahead(out, own * n), n, lane, lanes, parameter)
                at += groups
            if sums_size > 0:
                j = first + 0
                while j < n and own_row < side:
                    state = sum_of_column if side > 1 else (T(0), T(0))
                    at = row + own_row
                    while at < last:
                        centre, scale = stats[2 * at], stats[2 * at + 1]
                        place_of = at * n + j
                        state = normal_taken_in(state, grad[place_of], x[place_of], centre, scale)
                        at += side
                    if side > 1:
                        sum_of_column = state
                    elif row == item * block:
                        target[j], target[n + j] = state
                    else:
                        target[j] += state[0]
                        target[n + j] += state[1]
                    j += cuda.blockDim.x if side == 1 else n
            row = last
        if side > 1:
            sum_of_column = join_column_sums(sum_of_column, n, side, own_row)
            if sums_size > 0 and own_row == 0:
                target[first], target[n + first] = sum_of_column
        item += cuda.gridDim.x


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


@batch_norm_stats.on_cuda(items=lambda mean, *_: mean.size)
def _(
    items,
    mean,
    variance,
    stats,
    running_mean,
    running_mean_size,
    running_var,
    momentum,
    count,
    eps,
):
    share = T(momentum)
    c = cuda.grid(1) + 0
    while c < items:
        centre = T(mean[c])
        stats[c] = centre
        stats[items + c] = T(1) / math.sqrt(variance[c] + T(eps))
        if running_mean_size > 0:
            running_mean[c] = (T(1) - share) * running_mean[c] + share * centre
            unbiased = variance[c] * (T(count) / (T(count) - T(1)))
            running_var[c] = (T(1) - share) * running_var[c] + share * unbiased
        c += cuda.gridsize(1)


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


# On CUDA, where inner == 1, a thread stays with a channel and goes through samples, so that it reads
# what belongs to the channel once; else a channel of a sample is a row of elements.

#: Samples that a thread goes through.
SAMPLES = 16


def plane_blocks(elements: int, channels: int, inner: int) -> int:
    """The CUDA blocks of a launch over all elements of (outer, channels, inner)."""
    if inner == 1:
        return -(-elements // channels // SAMPLES) * -(-channels // TILE)
    return row_blocks(elements // inner, inner)


@device
def channel_tile(size, channels):
    """(strips, side, column, row, chunk) of a thread where inner == 1: strips of `TILE` channels,
    `side` samples at a time, `chunk` samples a block."""
    width = min(channels, TILE)
    side = cuda.blockDim.x // width
    row = cuda.threadIdx.x // width
    strips = (channels + width - 1) // width
    return strips, side, cuda.threadIdx.x - row * width, row, side * SAMPLES


@device
def shifted(j, value, parameter):
    centre, scale, shift = parameter
    return (value - centre) * scale + shift


map_shifted = mapping(shifted, 1)


@batch_norm_apply.on_cuda(
    each="block",
    items=lambda x, stats, weight, bias, out, inner: plane_blocks(x.size, weight.size, int(inner)),
)
def _(x, x_size, stats, weight, weight_size, bias, out, inner):
    channels = weight_size
    samples = x_size // (channels * inner)
    if inner == 1:
        strips, side, column, row, chunk = channel_tile(x_size, channels)
        item = cuda.blockIdx.x + 0
        while item < (samples + chunk - 1) // chunk * strips:
            part = item // strips
            c = (item - part * strips) * TILE + column
            if c < channels and row < side:
                centre, scale = stats[c], stats[channels + c] * weight[c]
                shift = bias[c]
                at = part * chunk + row
                last = min(samples, (part + 1) * chunk)
                while at < last:
                    out[at * channels + c] = (x[at * channels + c] - centre) * scale + shift
                    at += side
            item += cuda.gridDim.x
        return
    planes = samples * channels
    lanes, lane, group, groups = place(inner, planes)
    plane = cuda.blockIdx.x * groups + group
    while plane < planes:
        c = plane % channels
        parameter = (stats[c], stats[channels + c] * weight[c], bias[c])
        values, results = ahead(x, plane * inner), ahead(out, plane * inner)
        map_shifted(values, results, inner, lane, lanes, parameter)
        plane += cuda.gridDim.x * groups


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


@device
def distance_taken_in(state, g, value, centre):
    """A state is Σ grad · (x - centre) and Σ grad."""
    return state[0] + g * (value - centre), state[1] + g


take_distances = taking(distance_taken_in, 2)


@batch_norm_sums.on_cuda(
    each="block",
    items=lambda grad, x, stats, sums, inner, block: (
        sums.size // 2 if inner != 1 else sums.size // stats.size * -(-stats.size // 2 // TILE)
    ),
)
def _(grad, x, x_size, stats, stats_size, sums, sums_size, inner, block):
    channels = stats_size // 2
    samples = x_size // (channels * inner)
    blocks = sums_size // stats_size
    item = cuda.blockIdx.x + 0
    if inner == 1:
        strips, side, column, row, _ = channel_tile(x_size, channels)
        while item < blocks * strips:
            part = item // strips
            c = min((item - part * strips) * TILE + column, channels - 1)
            state = (T(0), T(0))
            if row < side:
                at, last = part * block + row, min(samples, (part + 1) * block)
                while at < last:
                    own = at * channels + c
                    state = distance_taken_in(state, grad[own], x[own], stats[c])
                    at += side
            state = join_column_sums(state, min(channels, TILE), side, row)
            if row == 0:
                sums[part * stats_size + c] = state[0] * stats[channels + c]
                sums[part * stats_size + channels + c] = state[1]
            item += cuda.gridDim.x
        return
    lanes, lane, group, groups = place(inner, 1)
    while item < blocks * channels:
        part = item // channels
        c = item - part * channels
        state = (T(0), T(0))
        at, last = part * block + group, min(samples, (part + 1) * block)
        while at < last:
            start = (at * channels + c) * inner
            g, values = ahead(grad, start), ahead(x, start)
            state = take_distances(g, values, state, inner, lane, lanes, stats[c])
            at += groups
        state = join_sums(state, cuda.blockDim.x + 0)
        if cuda.threadIdx.x == 0:
            sums[part * stats_size + c] = state[0] * stats[channels + c]
            sums[part * stats_size + channels + c] = state[1]
        item += cuda.gridDim.x


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


@device
def batch_slope(j, g, value, parameter):
    """parameter = (centre, scale, mean, slope)"""
    centre, scale, mean, slope = parameter
    return scale * (g - mean - (value - centre) * slope)


map_batch_slopes = mapping(batch_slope, 2)


@device
def slopes_of_channel(stats, weight, sums, channels, c, share):
    """The parameter of `batch_slope`."""
    rstd = stats[channels + c]
    return stats[c], rstd * weight[c], sums[channels + c] * share, sums[c] * share * rstd


@batch_norm_backward.on_cuda(
    each="block",
    items=lambda grad, x, stats, weight, sums, out, inner, count: plane_blocks(
        x.size, weight.size, int(inner)
    ),
)
def _(grad, x, x_size, stats, weight, weight_size, sums, out, inner, count):
    channels = weight_size
    samples = x_size // (channels * inner)
    share = T(1) / T(count)
    if inner == 1:
        strips, side, column, row, chunk = channel_tile(x_size, channels)
        item = cuda.blockIdx.x + 0
        while item < (samples + chunk - 1) // chunk * strips:
            part = item // strips
            c = (item - part * strips) * TILE + column
            if c < channels and row < side:
                parameter = slopes_of_channel(stats, weight, sums, channels, c, share)
                at = part * chunk + row
                last = min(samples, (part + 1) * chunk)
                while at < last:
                    own = at * channels + c
                    out[own] = batch_slope(0, grad[own], x[own], parameter)
                    at += side
            item += cuda.gridDim.x
        return
    planes = samples * channels
    lanes, lane, group, groups = place(inner, planes)
    plane = cuda.blockIdx.x * groups + group
    while plane < planes:
        parameter = slopes_of_channel(stats, weight, sums, channels, plane % channels, share)
        at = plane * inner
        g, values, results = ahead(grad, at), ahead(x, at), ahead(out, at)
        map_batch_slopes(g, values, results, inner, lane, lanes, parameter)
        plane += cuda.gridDim.x * groups
