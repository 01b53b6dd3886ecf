"""Cross-entropy kernels against the formula in float64 and numeric differences."""

import numpy as np
import pytest

from numgrad.kernels import cross_entropy as kernels

IGNORED = -100
CASES = [(2, 2), (64, 10), (900, 30)]  # the last in several blocks


def formula(x, target, weight, smoothing, reduction):
    """The loss as its definition has it."""
    rows, classes = x.shape
    top = x.max(axis=1, keepdims=True)
    log_p = x - top - np.log(np.exp(x - top).sum(axis=1, keepdims=True))
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    kept = target != IGNORED
    label = np.where(kept, target, 0)
    own = w[label] * kept
    picked = -log_p[np.arange(rows), label] * own
    spread = -(log_p * w).sum(axis=1) * kept
    loss = (1 - smoothing) * picked + smoothing / classes * spread
    if reduction == kernels.NONE:
        return loss
    return loss.sum() / (own.sum() if reduction == kernels.MEAN else 1.0)


def forward(x, target, weight, smoothing, reduction):
    rows, classes = x.shape
    block = kernels.rows_in_block(rows, classes)
    stats, parts = np.empty((rows, 2), x.dtype), np.empty((-(-rows // block), 3))
    loss = np.empty(rows if reduction == kernels.NONE else (), x.dtype)
    sizes = (classes, block, IGNORED, smoothing, reduction)
    kernels.cross_entropy_forward(x, target, weight, stats, loss, parts, *sizes)
    if len(parts) > 1:
        kernels.add_parts(parts, loss, reduction)
    return loss, stats, parts


@pytest.mark.parametrize("shape", CASES)
@pytest.mark.parametrize("reduction", [kernels.NONE, kernels.MEAN, kernels.SUM])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy(shape, reduction, weighted, smoothing):
    generator = np.random.default_rng(0)
    rows, classes = shape
    x = (3 * generator.standard_normal(shape)).astype(np.float32)
    target = generator.integers(0, classes, rows)
    target[rows // 2] = IGNORED
    weight = generator.random(classes).astype(np.float32) if weighted else None
    given = np.empty(0, np.float32) if weight is None else weight
    exact = x.astype(np.float64)
    expected = formula(exact, target, weight, smoothing, reduction)
    loss, stats, parts = forward(x, target, given, smoothing, reduction)
    np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=1e-6)
    assert parts[0, 2] == 0

    grad = generator.standard_normal(loss.shape).astype(np.float32)
    out = np.empty_like(x)
    kernels.cross_entropy_backward(
        grad, x, target, given, stats, parts, out, classes, IGNORED, smoothing, reduction
    )
    direction = generator.standard_normal(shape)
    step = 1e-5
    ends = [
        (formula(exact + s * direction, target, weight, smoothing, reduction) * grad).sum()
        for s in (step, -step)
    ]
    slope = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose((out * direction).sum(), slope, rtol=1e-4, atol=1e-5)


def test_a_target_out_of_range_is_reported():
    x = np.zeros((2000, 30), np.float32)
    for bad in (30, -1):
        target = np.zeros(2000, np.int64)
        target[1500] = bad
        _, _, parts = forward(x, target, np.empty(0, np.float32), 0.0, kernels.MEAN)
        assert parts[0, 2] == 1501


def test_all_ignored_gives_nan_mean():
    x, target = np.zeros((3, 4), np.float32), np.full(3, IGNORED)
    loss, stats, parts = forward(x, target, np.empty(0, np.float32), 0.0, kernels.MEAN)
    assert np.isnan(loss)
    out = np.ones_like(x)
    args = (np.ones((), np.float32), x, target, np.empty(0, np.float32), stats, parts, out)
    kernels.cross_entropy_backward(*args, 4, IGNORED, 0.0, kernels.MEAN)
    assert not out.any()


def test_large_logits_keep_their_gradient():
    x = np.array([[1e6, 1e6, 1e6 - 1]], np.float32)
    _, stats, parts = forward(x, np.array([0]), np.empty(0, np.float32), 0.0, kernels.SUM)
    out = np.empty_like(x)
    args = (np.ones((), np.float32), x, np.array([0]), np.empty(0, np.float32), stats, parts, out)
    kernels.cross_entropy_backward(*args, 3, IGNORED, 0.0, kernels.SUM)
    p = 1 / (2 + np.exp(-1.0))
    np.testing.assert_allclose(out, [[p - 1, p, p * np.exp(-1.0)]], rtol=1e-5)


@pytest.mark.parametrize("reduction", [kernels.NONE, kernels.MEAN, kernels.SUM])
@pytest.mark.parametrize("shape", [(5, 4, 1), (3, 4, 6)])
def test_nll_loss(reduction, shape):
    generator = np.random.default_rng(1)
    outer, classes, inner = shape
    x = generator.standard_normal(shape).astype(np.float32)
    target = generator.integers(0, classes, (outer, inner))
    target[1, 0] = IGNORED
    weight = generator.random(classes).astype(np.float32)
    kept = target != IGNORED
    label = np.where(kept, target, 0)
    own = weight.astype(np.float64)[label] * kept
    losses = -np.take_along_axis(x, label[:, None], 1)[:, 0] * own
    divisor = own.sum() if reduction == kernels.MEAN else 1.0

    block = 3
    parts = np.empty((-(-target.size // block), 3))
    loss = np.empty(target.shape if reduction == kernels.NONE else (), np.float32)
    sizes = (classes, inner, block, IGNORED, reduction)
    kernels.nll_loss_forward(x, target, weight, loss, parts, *sizes)
    kernels.add_parts(parts, loss, reduction)
    expected = losses if reduction == kernels.NONE else losses.sum() / divisor
    np.testing.assert_allclose(loss, expected, rtol=2e-6)

    grad = generator.standard_normal(loss.shape).astype(np.float32)
    out = np.empty_like(x)
    kernels.nll_loss_backward(grad, target, weight, parts, out, classes, inner, IGNORED, reduction)
    one_hot = np.arange(classes)[None, :, None] == target[:, None]
    np.testing.assert_allclose(
        out, np.where(one_hot, -(own * grad / divisor)[:, None], 0), rtol=2e-6
    )
