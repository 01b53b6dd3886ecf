"""Optimizer updates: one launch updates all parameters of a group.

`params`, `grads` and the state are tuples of arrays, the k-th of each of one shape. The range
counts the elements of all parameters, one after the other, so a launch is split over the threads
whatever the parameters' number and sizes; every element is independent of all others.

In all of them g is the gradient times `sign` (-1 to maximise), plus `weight_decay` · parameter.
Where three or more arrays are written, the update takes two loops over short strips: with so many
pointers LLVM no longer checks at run time that they do not overlap, and would not vectorise.
"""

import math

import numpy as np
from numba import njit

from ._contract import arrays, flat, items_of, kernel, scalar, updates, writes
from ._native import (
    ARRAY_FLAGS,
    ARRAY_NDIM,
    ARRAY_SHAPE,
    C_CONTIGUOUS,
    get,
    load_int32,
    load_int64,
    put,
)
from ._scalar import like
from .blocks import data, maximum
from .cuda import T, cuda, device
from .cuda.blocks import greater
from .cuda.updates import on_cuda
from .maths import expm1, log1p, sqrt
from .reduction import INLINED

STEPS = arrays(np.float32)
STRIP = 1024  # elements: what two loops share stays in the first-level cache
_ARRAY_DTYPE = ARRAY_FLAGS - 8  # PyArrayObject.descr


def elements(params, *_):
    """The length of the range: the number of elements of all parameters."""
    return sum(param.size for param in params)


@njit(**INLINED)
def _gradient(g, p, sign, weight_decay):
    """sign · g + weight_decay · p; a weight decay of 0 leaves an infinite p out."""
    g = g * like(g, sign)
    if weight_decay != 0.0:
        g += like(g, weight_decay) * p
    return g


@njit(**INLINED)
def _lerp(a, b, weight):
    """a + weight · (b - a), exact at both ends."""
    w = like(a, weight)
    if weight < 0.5:
        return a + w * (b - a)
    return b - (b - a) * (like(a, 1.0) - w)


@njit(**INLINED)
def element_count(array):
    """The number of elements of the NumPy array object at this address."""
    shape = load_int64(array + ARRAY_SHAPE)
    count = 1
    for k in range(load_int32(array + ARRAY_NDIM)):
        count *= load_int64(shape + 8 * k)
    return count


# On CUDA the numbers come as float64; they are made ready once for a chunk of elements.


@device
def decayed(g, p, sign, weight_decay):
    """sign · g + weight_decay · p; a weight decay of 0 leaves an infinite p out."""
    return sign * g + weight_decay * p if weight_decay != 0 else sign * g


@device
def lerp(a, b, weight):
    """a + weight · (b - a), exact at both ends."""
    return a + weight * (b - a) if weight < T(0.5) else b - (b - a) * (T(1) - weight)


@device
def square_sum(s, g, keep, weight):
    """keep · s + weight · g²"""
    return keep * s + weight * g * g


@kernel(items=lambda params, others, out: len(others))
def survey(begin, end, params: arrays, others: arrays, out: writes(flat(np.int64))):
    """Whether `others`, whose length is a multiple of that of params, match params one by one.

    Writes the elements of all params into out[0], and into out[1] the number of arrays, params
    included, that are not C-contiguous, not of the dtype of params[0], or of another size than
    their parameter. Looks at the arrays' headers only: what would take Python longer than the
    update of a small network. No operations.
    """
    count = len(params)
    dtype = load_int64(load_int64(items_of(params)) + _ARRAY_DTYPE)
    total = 0
    unlike = 0
    for k in range(count):
        array = load_int64(items_of(params) + 8 * k)
        total += element_count(array)
        if not _is_plain(array, dtype):
            unlike += 1
    for k in range(begin, end):
        array = load_int64(items_of(others) + 8 * k)
        param = load_int64(items_of(params) + 8 * (k % count))
        if not _is_plain(array, dtype) or element_count(array) != element_count(param):
            unlike += 1
    out[0] = total
    out[1] = unlike


@njit(**INLINED)
def _is_plain(array, dtype):
    contiguous = load_int32(array + ARRAY_FLAGS) & C_CONTIGUOUS
    return contiguous and load_int64(array + _ARRAY_DTYPE) == dtype


@kernel(items=elements)
def sgd(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
):
    """p -= lr · g. Reads p and g, writes p; four operations an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient = data(params[k]), data(grads[k])
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            put(p, i, old - like(old, lr) * g)
        start += size


def _sgd_constants(lr, weight_decay, sign):
    return T(lr), T(weight_decay), T(sign)


@on_cuda(sgd, _sgd_constants)
def _(made, p, g):
    lr, weight_decay, sign = made
    return (p - lr * decayed(g, p, sign, weight_decay),)


@kernel(items=elements)
def sgd_momentum(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    buffers: updates(arrays),
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    momentum: scalar,
    dampening: scalar,
    nesterov: scalar,
):
    """b = momentum · b + (1 - dampening) · g, p -= lr · b; with `nesterov` (1 or 0) the step is
    g + momentum · b. Reads p, g and b, writes p and b; eight operations an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, buffer = data(params[k]), data(grads[k]), data(buffers[k])
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            m = like(old, momentum)
            b = m * get(buffer, i) + like(old, 1.0 - dampening) * g
            put(buffer, i, b)
            if nesterov != 0.0:
                b = g + m * b
            put(p, i, old - like(old, lr) * b)
        start += size


def _momentum_constants(lr, weight_decay, sign, momentum, dampening, nesterov):
    return T(lr), T(weight_decay), T(sign), T(momentum), T(1.0 - dampening), T(nesterov)


@on_cuda(sgd_momentum, _momentum_constants)
def _(made, p, g, buffer):
    lr, weight_decay, sign, momentum, weight, nesterov = made
    g = decayed(g, p, sign, weight_decay)
    buffer = momentum * buffer + weight * g
    step = g + momentum * buffer if nesterov != 0 else buffer
    return p - lr * step, buffer


@kernel(items=lambda steps: len(steps))
def advance(begin, end, steps: updates(STEPS)):
    """steps[k] += 1 for the step count of each parameter. Launch it before the update itself. One
    operation an element."""
    for k in range(begin, end):
        steps[k][0] += np.float32(1)


@advance.on_cuda()
def _(items, steps):
    for k in range(cuda.grid(1), items, cuda.gridsize(1)):
        steps[k][0] += T(1)


@kernel(items=elements)
def adam(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    means: updates(arrays),
    squares: updates(arrays),
    steps: STEPS,
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    beta1: scalar,
    beta2: scalar,
    eps: scalar,
    keep: scalar,
):
    """m = β₁ m + (1 - β₁) g, v = β₂ v + (1 - β₂) g²,
    p = keep · p - lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + eps)

    m: means, v: squares, t: steps, counting this one. `keep` is 1 - lr · weight decay where the
    decay is decoupled (AdamW), and 1 otherwise. Reads p, g, m and v, writes p, m and v; about
    fifteen operations an element.
    """
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, mean, square = (
            data(params[k]),
            data(grads[k]),
            data(means[k]),
            data(squares[k]),
        )
        step_size, root = _bias_correction(steps[k][0], lr, beta1, beta2)
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            m = _lerp(get(mean, i), g, 1.0 - beta1)
            v = like(old, beta2) * get(square, i) + like(old, 1.0 - beta2) * g * g
            put(mean, i, m)
            put(square, i, v)
            denominator = math.sqrt(v) / like(old, root) + like(old, eps)
            put(p, i, like(old, keep) * old - like(old, step_size) * m / denominator)
        start += size


@device
def _one_minus_power(beta, step):
    """1 - βᵗ, from 1 - β, which float32 holds to all its digits."""
    return -expm1(T(step) * log1p(-T(1.0 - beta)))


def _adam_constants(step, lr, weight_decay, sign, beta1, beta2, eps, keep):
    step_size = T(lr) / _one_minus_power(beta1, step)
    root = sqrt(_one_minus_power(beta2, step))
    betas = T(1.0 - beta1), T(beta2), T(1.0 - beta2)
    return step_size, root, T(weight_decay), T(sign), betas, T(eps), T(keep)


@on_cuda(adam, _adam_constants)
def _(made, p, g, mean, square):
    step_size, root, weight_decay, sign, betas, eps, keep = made
    g = decayed(g, p, sign, weight_decay)
    mean = lerp(mean, g, betas[0])
    square = square_sum(square, g, betas[1], betas[2])
    return keep * p - step_size * mean / (sqrt(square) / root + eps), mean, square


@kernel(items=elements)
def adam_amsgrad(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    means: updates(arrays),
    squares: updates(arrays),
    maxima: updates(arrays),
    steps: STEPS,
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    beta1: scalar,
    beta2: scalar,
    eps: scalar,
    keep: scalar,
):
    """As `adam`, with the largest v so far (maxima) in place of v under the root; about sixteen
    operations an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, mean, square, largest = (
            data(params[k]),
            data(grads[k]),
            data(means[k]),
            data(squares[k]),
            data(maxima[k]),
        )
        step_size, root = _bias_correction(steps[k][0], lr, beta1, beta2)
        last = min(end - start, size)
        for low in range(max(begin - start, 0), last, STRIP):
            high = min(low + STRIP, last)
            for i in range(low, high):
                old = get(p, i)
                g = _gradient(get(gradient, i), old, sign, weight_decay)
                put(mean, i, _lerp(get(mean, i), g, 1.0 - beta1))
                v = like(old, beta2) * get(square, i) + like(old, 1.0 - beta2) * g * g
                put(square, i, v)
            for i in range(low, high):
                old = get(p, i)
                v = maximum(get(largest, i), get(square, i))
                put(largest, i, v)
                denominator = math.sqrt(v) / like(old, root) + like(old, eps)
                update = like(old, step_size) * get(mean, i) / denominator
                put(p, i, like(old, keep) * old - update)
        start += size


@on_cuda(adam_amsgrad, _adam_constants)
def _(made, p, g, mean, square, largest):
    step_size, root, weight_decay, sign, betas, eps, keep = made
    g = decayed(g, p, sign, weight_decay)
    mean = lerp(mean, g, betas[0])
    square = square_sum(square, g, betas[1], betas[2])
    largest = greater(largest, square)
    p = keep * p - step_size * mean / (sqrt(largest) / root + eps)
    return p, mean, square, largest


@njit(**INLINED)
def _bias_correction(step, lr, beta1, beta2):
    """lr / (1 - β₁ᵗ) and √(1 - β₂ᵗ), in float64."""
    count = np.float64(step)
    return lr / (1.0 - beta1**count), math.sqrt(1.0 - beta2**count)


@kernel(items=elements)
def rmsprop(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    squares: updates(arrays),
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    alpha: scalar,
    eps: scalar,
):
    """s = α s + (1 - α) g², p -= lr · g / (√s + eps). Reads p, g and s, writes p and s; ten
    operations an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, square = data(params[k]), data(grads[k]), data(squares[k])
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            s = like(old, alpha) * get(square, i) + like(old, 1.0 - alpha) * g * g
            put(square, i, s)
            put(p, i, old - like(old, lr) * g / (math.sqrt(s) + like(old, eps)))
        start += size


def _rmsprop_constants(lr, weight_decay, sign, alpha, eps):
    return T(lr), T(weight_decay), T(sign), T(alpha), T(1.0 - alpha), T(eps)


@on_cuda(rmsprop, _rmsprop_constants)
def _(made, p, g, square):
    lr, weight_decay, sign, alpha, rest, eps = made
    g = decayed(g, p, sign, weight_decay)
    square = square_sum(square, g, alpha, rest)
    return p - lr * g / (sqrt(square) + eps), square


@kernel(items=elements)
def rmsprop_momentum(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    squares: updates(arrays),
    buffers: updates(arrays),
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    alpha: scalar,
    eps: scalar,
    momentum: scalar,
):
    """As `rmsprop`, with b = momentum · b + g / (√s + eps), p -= lr · b; twelve operations an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, square, buffer = (
            data(params[k]),
            data(grads[k]),
            data(squares[k]),
            data(buffers[k]),
        )
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            s = like(old, alpha) * get(square, i) + like(old, 1.0 - alpha) * g * g
            put(square, i, s)
            b = like(old, momentum) * get(buffer, i) + g / (math.sqrt(s) + like(old, eps))
            put(buffer, i, b)
            put(p, i, old - like(old, lr) * b)
        start += size


def _rmsprop_momentum_constants(lr, weight_decay, sign, alpha, eps, momentum):
    return T(lr), T(weight_decay), T(sign), T(alpha), T(1.0 - alpha), T(eps), T(momentum)


@on_cuda(rmsprop_momentum, _rmsprop_momentum_constants)
def _(made, p, g, square, buffer):
    lr, weight_decay, sign, alpha, rest, eps, momentum = made
    g = decayed(g, p, sign, weight_decay)
    square = square_sum(square, g, alpha, rest)
    buffer = momentum * buffer + g / (sqrt(square) + eps)
    return p - lr * buffer, square, buffer


@kernel(items=elements)
def rmsprop_centered(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    squares: updates(arrays),
    means: updates(arrays),
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    alpha: scalar,
    eps: scalar,
):
    """As `rmsprop`, with a = α a + (1 - α) g (means) and √(s - a²) in place of √s; fifteen operations
    an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, square, mean = (
            data(params[k]),
            data(grads[k]),
            data(squares[k]),
            data(means[k]),
        )
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            s = like(old, alpha) * get(square, i) + like(old, 1.0 - alpha) * g * g
            a = _lerp(get(mean, i), g, 1.0 - alpha)
            put(square, i, s)
            put(mean, i, a)
            put(p, i, old - like(old, lr) * g / (math.sqrt(s - a * a) + like(old, eps)))
        start += size


@on_cuda(rmsprop_centered, _rmsprop_constants)
def _(made, p, g, square, mean):
    lr, weight_decay, sign, alpha, rest, eps = made
    g = decayed(g, p, sign, weight_decay)
    square = square_sum(square, g, alpha, rest)
    mean = lerp(mean, g, rest)
    return p - lr * g / (sqrt(square - mean * mean) + eps), square, mean


@kernel(items=elements)
def rmsprop_centered_momentum(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    squares: updates(arrays),
    means: updates(arrays),
    buffers: updates(arrays),
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    alpha: scalar,
    eps: scalar,
    momentum: scalar,
):
    """As `rmsprop_centered`, with the momentum of `rmsprop_momentum`; seventeen operations an element."""
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, square, mean, buffer = (
            data(params[k]),
            data(grads[k]),
            data(squares[k]),
            data(means[k]),
            data(buffers[k]),
        )
        last = min(end - start, size)
        for low in range(max(begin - start, 0), last, STRIP):
            high = min(low + STRIP, last)
            for i in range(low, high):
                old = get(p, i)
                g = _gradient(get(gradient, i), old, sign, weight_decay)
                s = like(old, alpha) * get(square, i) + like(old, 1.0 - alpha) * g * g
                put(square, i, s)
                put(mean, i, _lerp(get(mean, i), g, 1.0 - alpha))
            for i in range(low, high):
                old = get(p, i)
                g = _gradient(get(gradient, i), old, sign, weight_decay)
                a = get(mean, i)
                scaled = g / (math.sqrt(get(square, i) - a * a) + like(old, eps))
                b = like(old, momentum) * get(buffer, i) + scaled
                put(buffer, i, b)
                put(p, i, old - like(old, lr) * b)
        start += size


@on_cuda(rmsprop_centered_momentum, _rmsprop_momentum_constants)
def _(made, p, g, square, mean, buffer):
    lr, weight_decay, sign, alpha, rest, eps, momentum = made
    g = decayed(g, p, sign, weight_decay)
    square = square_sum(square, g, alpha, rest)
    mean = lerp(mean, g, rest)
    buffer = momentum * buffer + g / (sqrt(square - mean * mean) + eps)
    return p - lr * buffer, square, mean, buffer


@kernel(items=elements)
def adagrad(
    begin,
    end,
    params: updates(arrays),
    grads: arrays,
    sums: updates(arrays),
    steps: STEPS,
    lr: scalar,
    weight_decay: scalar,
    sign: scalar,
    lr_decay: scalar,
    eps: scalar,
):
    """s = s + g², p -= lr / (1 + (t - 1) · lr_decay) · g / (√s + eps)

    t: steps, counting this one. Reads p, g and s, writes p and s; nine operations an element.
    """
    start = 0
    for k in range(len(params)):
        size = params[k].size
        p, gradient, square_sum = data(params[k]), data(grads[k]), data(sums[k])
        rate = lr / (1.0 + (np.float64(steps[k][0]) - 1.0) * lr_decay)
        for i in range(max(begin - start, 0), min(end - start, size)):
            old = get(p, i)
            g = _gradient(get(gradient, i), old, sign, weight_decay)
            s = get(square_sum, i) + g * g
            put(square_sum, i, s)
            put(p, i, old - like(old, rate) * g / (math.sqrt(s) + like(old, eps)))
        start += size


def _adagrad_constants(step, lr, weight_decay, sign, lr_decay, eps):
    rate = T(lr) / (T(1) + (T(step) - T(1)) * T(lr_decay))
    return rate, T(weight_decay), T(sign), T(eps)


@on_cuda(adagrad, _adagrad_constants)
def _(made, p, g, total):
    rate, weight_decay, sign, eps = made
    g = decayed(g, p, sign, weight_decay)
    total = total + g * g
    return p - rate * g / (sqrt(total) + eps), total
