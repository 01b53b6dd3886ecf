"""Margin losses made of other operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ... import ops
from ...tensor import Tensor


def legacy_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction that the old `size_average` and `reduce` flags meant, where they are given."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        name = "none"
    else:
        name = "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{name}' instead.",
        stacklevel=4,
    )
    return name


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return ops.mean(loss)
    if reduction == "sum":
        return ops.sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """ln(1 + e^(-y·x)) for targets y of 1 and -1.

    >>> numgrad.nn.functional.soft_margin_loss(numgrad.zeros(2), numgrad.ones(2))
    tensor(0.6931)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _reduce(ops.log1p(ops.exp(-target * input)), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of the logits of each class, (N, C) → (N), averaged over classes.

    >>> numgrad.nn.functional.multilabel_soft_margin_loss(numgrad.zeros(1, 2), numgrad.ones(1, 2))
    tensor(0.6931)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * ops.logsigmoid(input) + (1 - target) * ops.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduce(ops.mean(loss, -1), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Hinge loss of class scores (N, C) or (C): Σⱼ max(0, margin - x_y + xⱼ)ᵖ / C, j ≠ y.

    >>> numgrad.nn.functional.multi_margin_loss(numgrad.tensor([[0.2, 0.8]]), numgrad.tensor([1]))
    tensor(0.2000)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    single = input.dim() < 2
    scores = input.reshape((1, -1)) if single else input
    labels = target.reshape((-1, 1))
    gaps = (margin - ops.gather(scores, 1, labels) + scores).clamp_min(0)
    if p == 2:
        gaps = gaps * gaps
    if weight is not None:
        gaps = gaps * weight[labels.reshape(-1)].unsqueeze(1)
    mask = ops.ones_like(scores.detach()).scatter_(1, labels, 0.0)
    loss = ops.sum(gaps * mask, 1) / scores.size(1)
    return _reduce(loss.squeeze(0) if single else loss, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin), by default with d the Euclidean distance.

    `swap`: the distance of positive and negative counts where it is the smaller one.

    >>> a, p, n = (numgrad.full((1, 2), v) for v in (0., 1., 9.))
    >>> numgrad.nn.functional.triplet_margin_with_distance_loss(a, p, n)
    tensor(0.)
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = ops.pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return _reduce((near - far + margin).clamp_min(0), reduction)
