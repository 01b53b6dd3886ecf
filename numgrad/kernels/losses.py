"""Losses that compare element by element: each formula with its derivatives beside it.

The kernels give the unreduced loss; operations add it up. They are elementwise kernels like those
of `elementwise.py`, with the same costs.
"""

# ruff: noqa: F811

from ._elementwise import elementwise
from .maths import exp, fabs, log, log1p, maximum, sigmoid, where


@elementwise
def mse_loss(x, y):
    """(x - y)²"""
    return (x - y) * (x - y)


@mse_loss.backward("x")
def _(grad, x, y):
    return 2 * (x - y) * grad


@mse_loss.backward("y")
def _(grad, x, y):
    return 2 * (y - x) * grad


@elementwise
def smooth_l1_loss(x, y, beta):
    """(x - y)² / (2 beta) where |x - y| < beta, else |x - y| - beta / 2"""
    d = fabs(x - y)
    return where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


@smooth_l1_loss.backward("x")
def _(grad, x, y, beta):
    d = x - y
    return grad * where(d <= -beta, -1, where(d >= beta, 1, d / beta))


@smooth_l1_loss.backward("y")
def _(grad, x, y, beta):
    d = y - x
    return grad * where(d <= -beta, -1, where(d >= beta, 1, d / beta))


@elementwise
def huber_loss(x, y, delta):
    """(x - y)² / 2 where |x - y| ≤ delta, else delta (|x - y| - delta / 2)"""
    d = fabs(x - y)
    return where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


@huber_loss.backward("x")
def _(grad, x, y, delta):
    d = x - y
    return grad * where(d <= -delta, -delta, where(d >= delta, delta, d))


@huber_loss.backward("y")
def _(grad, x, y, delta):
    d = y - x
    return grad * where(d <= -delta, -delta, where(d >= delta, delta, d))


@elementwise
def binary_cross_entropy(x, y, weight):
    """-weight (y log x + (1 - y) log(1 - x)), the logarithms at least -100"""
    return -weight * (y * maximum(log(x), -100) + (1 - y) * maximum(log1p(-x), -100))


@binary_cross_entropy.backward("x")
def _(grad, x, y, weight):
    return grad * weight * (x - y) / maximum((1 - x) * x, 1e-12)


@binary_cross_entropy.backward("y")
def _(grad, x, weight):
    return grad * weight * (log1p(-x) - log(x))


@elementwise
def binary_cross_entropy_with_logits(x, y, weight, pos_weight):
    """-weight (pos_weight y log σ(x) + (1 - y) log(1 - σ(x))), without overflow"""
    softplus = log1p(exp(-fabs(x))) + maximum(-x, 0)
    return weight * ((1 - y) * x + (1 + (pos_weight - 1) * y) * softplus)


@binary_cross_entropy_with_logits.backward("x")
def _(grad, x, y, weight, pos_weight):
    positive = pos_weight * y
    return grad * weight * ((positive + 1 - y) * sigmoid(x) - positive)


@binary_cross_entropy_with_logits.backward("y")
def _(grad, x, weight, pos_weight):
    softplus = log1p(exp(-fabs(x))) + maximum(-x, 0)
    return grad * weight * ((pos_weight - 1) * softplus - x)
