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
from .maths import exp
from .reduction import INDEX, INLINED
from .softmax import largest, sum_of_exp

NONE, MEAN, SUM = 0, 1, 2
TARGETS = flat(np.int64)
PARTS = flat(np.float64)
#: Numbers in `parts` for each block.
PART = 3
#: Elements of the logits in a block.
BLOCK = 1 << 13


def rows_in_block(rows: int, classes: int) -> int:
    """The rows of a work item: all of a small batch."""
    return max(1, min(rows, BLOCK // classes))


@njit(**INLINED)
def reduced(loss, parts, block, blocks, total, weights, bad, reduction):
    """Note a block's sums; the only block also gives the reduced loss."""
    put(parts, PART * block, total)
    put(parts, PART * block + 1, weights)
    put(parts, PART * block + 2, np.float64(bad))
    if blocks == 1 and reduction != NONE:
        put(loss, 0, total / weights if reduction == MEAN else total)


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
