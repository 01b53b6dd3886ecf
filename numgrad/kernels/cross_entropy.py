"""Cross-entropy of logits with class indices, and negative log-likelihood, forward and backward.

One launch takes a small batch from logits to the reduced loss. A large one is cut into blocks of
rows, whose sums `add_parts` adds in order. `parts` holds, for each block, the sum of the losses,
the sum of the targets' weights (what `mean` divides by), and 1 + the position of a target that is
out of range, 0 if there is none: then nothing else in the outputs means anything.

`reduction` is 0 for none, 1 for mean, 2 for sum; an empty `weight` stands for weights of 1.
"""

import math

import numpy as np
from numba import njit

from ._contract import flat, kernel, scalar, updates, writes
from ._native import get, pointer_at, put
from ._scalar import like
from .blocks import data
from .cuda import T, cuda, device
from .cuda.blocks import greater
from .cuda.maps import mapping
from .cuda.rows import ahead, joining, place, reading, split
from .maths import exp, log
from .reduction import INDEX, INLINED
from .softmax import largest, sum_of_exp

NONE, MEAN, SUM = 0, 1, 2
TARGETS = flat(np.int64)
PARTS = flat(np.float64)
#: Numbers in `parts` for each block.
PART = 3
#: Elements of the logits in a block.
BLOCK = 1 << 13


#: Blocks that fill a GPU.
BLOCKS = 1 << 11


def rows_in_block(rows: int, classes: int, on_cuda: bool = False) -> int:
    """The rows of a work item: all of a small batch."""
    elements = max(BLOCK, rows * classes // BLOCKS) if on_cuda else BLOCK
    return max(1, min(rows, elements // classes))


def targets_in_block(count: int, on_cuda: bool = False) -> int:
    """The targets of a work item where only these are read."""
    return max(1, min(count, max(BLOCK // 8, count // BLOCKS) if on_cuda else BLOCK))


@njit(**INLINED)
def reduced(loss, parts, block, blocks, total, weights, bad, reduction):
    """Note a block's sums; the only block also gives the reduced loss."""
    put(parts, PART * block, total)
    put(parts, PART * block + 1, weights)
    put(parts, PART * block + 2, np.float64(bad))
    if blocks == 1 and reduction != NONE:
        put(loss, 0, total / weights if reduction == MEAN else total)


# On CUDA sums are of type T. A row has its lanes (`cuda/rows.py`), a block of rows a CUDA block, whose
# first thread notes its sums: a state of (loss, weights, 1 + the first bad position, or 0).


@device
def with_first(a, b):
    first = a[2] if b[2] == 0 or (a[2] != 0 and a[2] < b[2]) else b[2]
    return a[0] + b[0], a[1] + b[1], first


@device
def with_last(a, b):
    return a[0] + b[0], a[1] + b[1], max(a[2], b[2])


join_rows, _ = joining(with_first, T, T, np.int64)
join_parts, _ = joining(with_last, T, T, np.int64)


@device
def note(loss, parts, block, state, reduction):
    """Put a state into `parts`, and the reduced loss, if that is all of it, into `loss`."""
    parts[PART * block] = state[0]
    parts[PART * block + 1] = state[1]
    parts[PART * block + 2] = state[2]
    if reduction == MEAN:
        loss[0] = state[0] / state[1]
    elif reduction == SUM:
        loss[0] = state[0]


@device
def weight_of(weight, weight_size, label):
    return weight[label] if weight_size > 0 else T(1)


@kernel(items=lambda parts, loss, *_: 1)
def add_parts(begin, end, parts: updates(PARTS), loss: updates(flat), reduction: INDEX):
    """parts[0] = Σ parts over the blocks, loss[0] = the reduced loss (untouched for none).

    parts (blocks, 3); one operation an element.
    """
    for _ in range(begin, end):
        for block in range(1, parts.size // PART):
            parts[0] += parts[PART * block]
            parts[1] += parts[PART * block + 1]
            parts[2] = max(parts[2], parts[PART * block + 2])
        if reduction == MEAN:
            loss[0] = parts[0] / parts[1]
        elif reduction == SUM:
            loss[0] = parts[0]


@add_parts.on_cuda(each="block")
def _(items, parts, parts_size, loss, reduction):
    if cuda.blockIdx.x == 0:
        state = (T(0), T(0), np.int64(0))
        at = PART * cuda.threadIdx.x
        while at < parts_size:
            own = (T(parts[at]), T(parts[at + 1]), np.int64(parts[at + 2]))
            state = with_last(state, own)
            at += PART * cuda.blockDim.x
        state = join_parts(state, cuda.blockDim.x + 0)
        if cuda.threadIdx.x == 0:
            note(loss, parts, 0, state, reduction)


# log Σ exp(x) in one pass: a state is the largest element so far and Σ exp(x - largest).


@device
def shift_of(largest):
    """What to subtract: not -infinity, so that exp(-infinity - shift) is 0."""
    return largest if largest != T(-np.inf) else T(0)


@device
def exp_taken_in(state, value, index, parameter):
    largest = greater(state[0], value)
    shift = shift_of(largest)
    total = state[1]
    if largest != state[0]:
        total *= exp(state[0] - shift)
    return largest, total + exp(value - shift)


@device
def several_exp_taken_in(state, values, index, step, parameter):
    largest = state[0]
    for value in values:
        largest = greater(largest, value)
    shift = shift_of(largest)
    total = state[1]
    if largest != state[0]:
        total *= exp(state[0] - shift)
    for value in values:
        total += exp(value - shift)
    return largest, total


@device
def exps_joined(a, b):
    largest = greater(a[0], b[0])
    shift = shift_of(largest)
    return largest, a[1] * exp(a[0] - shift) + b[1] * exp(b[0] - shift)


read_exps, _ = reading(exp_taken_in, several_exp_taken_in)
join_exps, _ = joining(exps_joined, T, T)


@device
def plus(a, b):
    return a + b


join_sum, _ = joining(plus, T)


@kernel(items=lambda logits, target, weight, stats, loss, parts, *_: parts.size // PART)
def cross_entropy_forward(
    begin,
    end,
    logits: flat,
    target: TARGETS,
    weight: flat,
    stats: updates(flat),
    loss: updates(flat),
    parts: writes(PARTS),
    classes: INDEX,
    block: INDEX,
    ignore_index: INDEX,
    smoothing: scalar,
    reduction: INDEX,
):
    """lossᵢ = (1 - ε) w[tᵢ] (logsumexpᵢ - x[i, tᵢ]) + ε / C Σ_c w[c] (logsumexpᵢ - x[i, c])

    logits x (N, C), target t (N), weight w (C) or empty, ε = smoothing; rows whose target is
    `ignore_index` count for nothing. Writes stats (N, 2): each row's maximum and
    1 / Σ exp(x - maximum), for the backward; loss (N) or (1); parts (blocks, 3), N in blocks of
    `block` rows. Reads logits once; an exponential and three operations an element.
    """
    rows = target.size
    blocks = parts.size // PART
    for item in range(begin, end):
        total, weights, bad = 0.0, 0.0, 0
        for row in range(item * block, min(rows, (item + 1) * block)):
            values = pointer_at(data(logits), row * classes)
            label = get(data(target), row)
            row_loss = 0.0
            if label != ignore_index:
                if label < 0 or label >= classes:
                    bad = row + 1
                    break
                shift = largest(values, classes)
                sum_exp = sum_of_exp(values, classes, shift)
                put(data(stats), 2 * row, shift)
                put(data(stats), 2 * row + 1, 1.0 / sum_exp)
                log_sum = math.log(sum_exp)
                own = np.float64(get(data(weight), label)) if weight.size else 1.0
                row_loss = own * (log_sum - np.float64(get(values, label) - shift))
                if smoothing > 0.0:
                    spread = 0.0
                    for c in range(classes):
                        log_p = np.float64(get(values, c) - shift) - log_sum
                        spread -= np.float64(get(data(weight), c)) * log_p if weight.size else log_p
                    row_loss = (1.0 - smoothing) * row_loss + smoothing / classes * spread
                total += row_loss
                weights += own
            if reduction == NONE:
                put(data(loss), row, row_loss)
        reduced(data(loss), data(parts), item, blocks, total, weights, bad, reduction)


@cross_entropy_forward.on_cuda(each="block")
def _(
    items,
    logits,
    target,
    target_size,
    weight,
    weight_size,
    stats,
    loss,
    parts,
    classes,
    block,
    ignore_index,
    smoothing,
    reduction,
):
    smooth = T(smoothing)
    lanes, lane, group, groups = place(classes, target_size)
    item = cuda.blockIdx.x + 0
    while item < items:
        sums = (T(0), T(0), np.int64(0))
        at, end = item * block, min(target_size, (item + 1) * block)
        while at < end:
            row = min(at + group, end - 1)
            values, label = ahead(logits, row * classes), target[row]
            state = (T(-np.inf), T(0))
            state = join_exps(read_exps(state, values, classes, lane, lanes, 0), lanes)
            shift, log_sum = state[0], log(state[1])
            spread = T(0)
            if smooth > T(0):
                c = lane + 0
                while c < classes:
                    spread += weight_of(weight, weight_size, c) * (log_sum - (values[c] - shift))
                    c += lanes
                spread = join_sum(spread, lanes)
            if lane == 0 and at + group < end:
                row_loss = T(0)
                if label != ignore_index:
                    if label < 0 or label >= classes:
                        sums = with_first(sums, (T(0), T(0), row + 1))
                    else:
                        own = weight_of(weight, weight_size, label)
                        row_loss = own * (log_sum - (values[label] - shift))
                        if smooth > T(0):
                            row_loss *= T(1) - smooth
                            row_loss += smooth / T(classes) * spread
                        sums = with_first(sums, (row_loss, own, np.int64(0)))
                        stats[2 * row] = shift
                        stats[2 * row + 1] = T(1) / state[1]
                if reduction == NONE:
                    loss[row] = row_loss
            at += groups
        sums = join_rows(sums, cuda.blockDim.x + 0)
        if cuda.threadIdx.x == 0:
            note(loss, parts, item, sums, reduction if items == 1 else NONE)
        item += cuda.gridDim.x


@kernel(items=lambda grad, logits, target, *_: target.size)
def cross_entropy_backward(
    begin,
    end,
    grad: flat,
    logits: flat,
    target: TARGETS,
    weight: flat,
    stats: flat,
    parts: PARTS,
    out: writes(flat),
    classes: INDEX,
    ignore_index: INDEX,
    smoothing: scalar,
    reduction: INDEX,
):
    """out[i, c] = gᵢ ((a p[i, c] - ε / C w[c]) - (1 - ε) w[tᵢ] [c = tᵢ]), p = softmax(x),
    a = (1 - ε) w[tᵢ] + ε / C Σ w; gᵢ = grad[i], grad / Σ w[t] or grad by the reduction.

    logits and out (N, C), target (N), stats and parts from the forward, grad (N) or (1). Reads
    logits and writes out; an exponential and three operations an element.
    """
    zero = out.dtype.type(0)
    every = np.float64(classes)
    if smoothing > 0.0 and weight.size:
        every = 0.0
        for c in range(classes):
            every += np.float64(get(data(weight), c))
    share = smoothing / classes
    for row in range(begin, end):
        values = pointer_at(data(logits), row * classes)
        results = pointer_at(data(out), row * classes)
        label = get(data(target), row)
        if label == ignore_index:
            for c in range(classes):
                put(results, c, zero)
            continue
        g = np.float64(get(data(grad), row if reduction == NONE else 0))
        if reduction == MEAN:
            g /= get(data(parts), 1)
        own = np.float64(get(data(weight), label)) if weight.size else 1.0
        own *= 1.0 - smoothing
        shift = get(data(stats), 2 * row)
        inverse = np.float64(get(data(stats), 2 * row + 1))
        scale = like(shift, g * (own + share * every) * inverse)
        for c in range(classes):
            put(results, c, exp(get(values, c) - shift) * scale)
        if smoothing > 0.0:
            rest = like(shift, g * share)
            if weight.size:
                for c in range(classes):
                    put(results, c, get(results, c) - rest * get(data(weight), c))
            else:
                for c in range(classes):
                    put(results, c, get(results, c) - rest)
        put(results, label, np.float64(get(results, label)) - g * own)


@device
def slope(c, value, parameter):
    """An element of the gradient: parameter = (shift, scale, what the target has less)."""
    shift, scale, own, label = parameter
    result = exp(value - shift) * scale
    return result - own if c == label else result


@device
def weighted_slope(c, value, factor, parameter):
    """The same with label smoothing, the rest being `rest` times the class's weight."""
    shift, scale, own, label, rest = parameter
    result = exp(value - shift) * scale - rest * factor
    return result - own if c == label else result


@device
def smooth_slope(c, value, parameter):
    shift, scale, own, label, rest = parameter
    result = exp(value - shift) * scale - rest
    return result - own if c == label else result


map_slopes = mapping(slope, 1)
map_smooth_slopes = mapping(smooth_slope, 1)
map_weighted_slopes = mapping(weighted_slope, 2)


@cross_entropy_backward.on_cuda(each="block", items=lambda grad, logits, target, *_: target.size)
def _(
    items,
    grad,
    logits,
    target,
    weight,
    weight_size,
    stats,
    parts,
    out,
    classes,
    ignore_index,
    smoothing,
    reduction,
):
    smooth = T(smoothing)
    every = T(classes)
    if smooth > T(0) and weight_size > 0:
        every = T(0)
        c = cuda.threadIdx.x + 0
        while c < classes:
            every += weight[c]
            c += cuda.blockDim.x
        every = join_sum(every, cuda.blockDim.x + 0)
    share = smooth / T(classes)
    lanes, lane, group, groups = place(classes, items)
    row = cuda.blockIdx.x * groups + group
    while row < items:
        values, results = ahead(logits, row * classes), ahead(out, row * classes)
        label = target[row]
        if label == ignore_index or label < 0 or label >= classes:
            c = lane + 0
            while c < classes:
                results[c] = T(0)
                c += lanes
        else:
            g = grad[row if reduction == NONE else 0]
            if reduction == MEAN:
                g /= T(parts[1])
            own = weight_of(weight, weight_size, label) * (T(1) - smooth)
            shift = stats[2 * row]
            scale = g * (own + share * every) * stats[2 * row + 1]
            if smooth > T(0):
                parameter = (shift, scale, g * own, label, g * share)
                if weight_size > 0:
                    map_weighted_slopes(values, weight, results, classes, lane, lanes, parameter)
                else:
                    map_smooth_slopes(values, results, classes, lane, lanes, parameter)
            else:
                parameter = (shift, scale, g * own, label)
                map_slopes(values, results, classes, lane, lanes, parameter)
        row += cuda.gridDim.x * groups


@kernel(items=lambda log_probs, target, weight, loss, parts, *_: parts.size // PART)
def nll_loss_forward(
    begin,
    end,
    log_probs: flat,
    target: TARGETS,
    weight: flat,
    loss: updates(flat),
    parts: writes(PARTS),
    classes: INDEX,
    inner: INDEX,
    block: INDEX,
    ignore_index: INDEX,
    reduction: INDEX,
):
    """loss[o, j] = -w[t] log_probs[o, t, j], t = target[o, j], zero where t is `ignore_index`.

    log_probs (outer, C, inner), target (outer, inner), weight (C) or empty, loss as target or (1),
    parts (blocks, 3), the targets in blocks of `block`. Reads one element of log_probs for each of
    target; three operations an element of target.
    """
    count = target.size
    blocks = parts.size // PART
    for item in range(begin, end):
        total, weights, bad = 0.0, 0.0, 0
        for at in range(item * block, min(count, (item + 1) * block)):
            label = get(data(target), at)
            own_loss = 0.0
            if label != ignore_index:
                if label < 0 or label >= classes:
                    bad = at + 1
                    break
                outer = at // inner
                own = np.float64(get(data(weight), label)) if weight.size else 1.0
                position = (outer * classes + label) * inner + at - outer * inner
                own_loss = -own * np.float64(get(data(log_probs), position))
                total += own_loss
                weights += own
            if reduction == NONE:
                put(data(loss), at, own_loss)
        reduced(data(loss), data(parts), item, blocks, total, weights, bad, reduction)


@nll_loss_forward.on_cuda(each="block")
def _(
    items,
    log_probs,
    target,
    target_size,
    weight,
    weight_size,
    loss,
    parts,
    classes,
    inner,
    block,
    ignore_index,
    reduction,
):
    item = cuda.blockIdx.x + 0
    while item < items:
        sums = (T(0), T(0), np.int64(0))
        at, end = item * block + cuda.threadIdx.x, min(target_size, (item + 1) * block)
        while at < end:
            label, own_loss = target[at], T(0)
            if label != ignore_index:
                if label < 0 or label >= classes:
                    sums = with_first(sums, (T(0), T(0), at + 1))
                else:
                    outer, k = split(at, inner)
                    own = weight_of(weight, weight_size, label)
                    own_loss = -own * log_probs[(outer * classes + label) * inner + k]
                    sums = with_first(sums, (own_loss, own, np.int64(0)))
            if reduction == NONE:
                loss[at] = own_loss
            at += cuda.blockDim.x
        sums = join_rows(sums, cuda.blockDim.x + 0)
        if cuda.threadIdx.x == 0:
            note(loss, parts, item, sums, reduction if items == 1 else NONE)
        item += cuda.gridDim.x


@kernel(
    items=lambda grad, target, weight, parts, out, classes, inner, *_: out.size // (classes * inner)
)
def nll_loss_backward(
    begin,
    end,
    grad: flat,
    target: TARGETS,
    weight: flat,
    parts: PARTS,
    out: writes(flat),
    classes: INDEX,
    inner: INDEX,
    ignore_index: INDEX,
    reduction: INDEX,
):
    """out[o, t, j] = -w[t] g, t = target[o, j], and zero elsewhere; g as in
    `cross_entropy_backward`.

    out (outer, C, inner), target (outer, inner), grad as target or (1). Writes out once;
    one operation an element of target.
    """
    zero = out.dtype.type(0)
    for outer in range(begin, end):
        results = pointer_at(data(out), outer * classes * inner)
        for k in range(classes * inner):
            put(results, k, zero)
        for j in range(inner):
            at = outer * inner + j
            label = get(data(target), at)
            if label != ignore_index:
                g = np.float64(get(data(grad), at if reduction == NONE else 0))
                if reduction == MEAN:
                    g /= get(data(parts), 1)
                own = np.float64(get(data(weight), label)) if weight.size else 1.0
                put(results, label * inner + j, -own * g)


@nll_loss_backward.on_cuda(items=lambda grad, target, weight, parts, out, *_: out.size)
def _(
    items, grad, target, weight, weight_size, parts, out, classes, inner, ignore_index, reduction
):
    item = cuda.grid(1) + 0
    while item < items:
        row, k = split(item, inner) if inner > 1 else (item, np.int64(0))
        outer, c = split(row, classes)
        at = outer * inner + k
        value, label = T(0), target[at]
        if label == c and label != ignore_index:
            g = grad[at if reduction == NONE else 0]
            if reduction == MEAN:
                g /= T(parts[1])
            value = -weight_of(weight, weight_size, label) * g
        out[item] = value
        item += cuda.gridsize(1)
