"""Losses of regression and of probabilities, as modules."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor
from ._functional.loss import legacy_reduction
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "WeightedLoss",
]


class Loss(Module):
    """What the losses share: `reduction` is "mean", "sum" or "none"."""

    reduction: str

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.reduction = legacy_reduction(size_average, reduce, reduction)


class WeightedLoss(Loss):
    """A loss with a buffer `weight`, which may be None."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(Loss):
    """|x - y|.

    >>> numgrad.nn.L1Loss()(numgrad.tensor([1., 2.]), numgrad.tensor([2., 4.]))
    tensor(1.5000)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.l1_loss(input, target, reduction=self.reduction)


class MSELoss(Loss):
    """(x - y)².

    >>> numgrad.nn.MSELoss()(numgrad.tensor([1., 2.]), numgrad.tensor([2., 4.]))
    tensor(2.5000)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """(x - y)² / (2 beta) where |x - y| < beta, else |x - y| - beta / 2.

    >>> numgrad.nn.SmoothL1Loss()(numgrad.zeros(2), numgrad.tensor([0.5, 3.]))
    tensor(1.3125)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """(x - y)² / 2 where |x - y| < delta, else delta · (|x - y| - delta / 2).

    >>> numgrad.nn.HuberLoss()(numgrad.zeros(2), numgrad.tensor([0.5, 3.]))
    tensor(1.3125)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class CrossEntropyLoss(WeightedLoss):
    """-ln softmax(x)_y for logits x (N, C, …) or (C) and targets y.

    Targets are class numbers (N, …) of int64, of which `ignore_index` counts as missing, or class
    probabilities of the logits' shape. `weight` (C) weighs the classes; `label_smoothing` mixes
    that much of the uniform distribution into the targets.

    >>> loss = numgrad.nn.CrossEntropyLoss()
    >>> loss(numgrad.zeros(1, 4), numgrad.tensor([2]))
    tensor(1.3863)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(WeightedLoss):
    """-x_y for log-probabilities x (N, C, …) or (C) and class numbers y (N, …).

    >>> numgrad.nn.NLLLoss()(numgrad.tensor([[-1., -2.]]), numgrad.tensor([1]))
    tensor(2.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCELoss(WeightedLoss):
    """-(y ln x + (1 - y) ln(1 - x)) for probabilities x and targets y in [0, 1].

    >>> numgrad.nn.BCELoss()(numgrad.tensor([0.5]), numgrad.tensor([1.]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of the sigmoid of logits; `pos_weight` weighs the positive term.

    >>> numgrad.nn.BCEWithLogitsLoss()(numgrad.zeros(1), numgrad.ones(1))
    tensor(0.6931)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.binary_cross_entropy_with_logits(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
            pos_weight=self.pos_weight,
        )


class KLDivLoss(Loss):
    """y · (ln y - x) for log-probabilities x and probabilities y (their logarithms: `log_target`).

    The reduction "batchmean" divides the sum by the batch's size, as the mathematics have it.

    >>> numgrad.nn.KLDivLoss(reduction='batchmean')(numgrad.zeros(1, 2), numgrad.ones(1, 2))
    tensor(0.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(Loss):
    """eˣ - y · x for the logarithm x of a rate (x - y ln(x + eps) with `log_input=False`).

    `full` adds Stirling's approximation of ln y!.

    >>> numgrad.nn.PoissonNLLLoss()(numgrad.zeros(2), numgrad.ones(2))
    tensor(1.)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return ops.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(Loss):
    """(ln v + (x - y)² / v) / 2 for a variance v, at least eps; `full` adds ln(2π) / 2.

    >>> numgrad.nn.GaussianNLLLoss()(numgrad.zeros(2), numgrad.ones(2), numgrad.ones(2))
    tensor(0.5000)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return ops.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )
