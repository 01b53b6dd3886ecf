"""Losses that compare element by element, and those made of other operations.

`reduction` is "mean", "sum" or "none". The old `size_average` and `reduce` flags are accepted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import INT64
from ..kernels import checks
from ..kernels import losses as kernels
from ..kernels.reduction import any_columns, any_rows, sum_columns, sum_rows
from ._core import (
    Tensor,
    broadcast_shapes,
    cast,
    check,
    check_same_device,
    check_tensor,
    dense,
    derive,
    empty,
    launch,
    needs_grad,
    number,
    record,
    result_dtype,
    sum_to,
    type_name,
    unpack,
    wrap,
    zeros,
)
from ._reduce import reduce_array
from .creation import fill_array, full_like
from .elementwise import (
    abs,
    add,
    clamp_min,
    div,
    eq,
    exp,
    gt,
    log,
    minimum,
    mul,
    neg,
    rsub,
    sqrt,
    square,
    sub,
    where,
    xlogy,
)
from .norm import pairwise_distance
from .reduction import mean, sum
from .views import detach, unsqueeze

_SUM = (sum_rows, sum_columns)
_ANY = (any_rows, any_columns)


def _reduction(name: str, size_average: Any, reduce: Any) -> str:
    """The checked reduction, the old flags included."""
    if size_average is not None or reduce is not None:
        average, reduced = size_average is not False, reduce is not False
        name = "none" if not reduced else "mean" if average else "sum"
        warnings.warn(
            "size_average and reduce args will be deprecated, please use "
            f"reduction='{name}' instead.",
            stacklevel=3,
        )
    if name not in ("none", "mean", "sum"):
        raise ValueError(f"{name} is not a valid value for reduction")
    return name


def reduce_loss(loss: Any, reduction: str) -> Any:
    """A loss reduced by operations."""
    if reduction == "mean":
        return mean(loss)
    return sum(loss) if reduction == "sum" else loss


def _pointwise(kernel: Any, node: str) -> Callable:
    """The reduced loss of an elementwise kernel: `operation(operands, reduction)`, one node."""
    count = len(kernel.inputs)
    positions = {name: k for k, name in enumerate(kernel.inputs)}
    derivatives = [kernel.derivatives.get(name) for name in kernel.inputs]
    takes = [
        None if d is None else [-1 if n == "grad" else positions[n] for n in d.inputs]
        for d in derivatives
    ]

    def rule(self: Any, grad: Any) -> tuple:
        values = unpack(self)
        shape, shapes, divisor = self.context
        if divisor is not None:
            grad = div(grad, divisor)
        results: list[Any] = []
        for k, edge in enumerate(self.edges):
            if edge is None:
                results.append(None)
                continue
            taken = [grad if p < 0 else values[p] for p in takes[k]]  # type: ignore[union-attr]
            own = derive(derivatives[k], taken, shape)
            results.append(own if own._data.shape == shapes[k] else sum_to(own, shapes[k]))
        return tuple(results)

    def operation(operands: tuple, reduction: str) -> Any:
        dtype = result_dtype(operands)
        tensors, arrays = [], []
        for operand in operands:
            if isinstance(operand, Tensor):
                operand = cast(operand, dtype)
                tensors.append(operand)
                arrays.append(operand._data)
            else:
                arrays.append(number(operand, dtype))
                tensors.append(wrap(arrays[-1]))
        check_same_device(*[a for a in arrays if a.ndim])
        shapes = tuple([a.shape for a in arrays])
        shape = broadcast_shapes(*shapes)
        data = empty(shape, dtype, arrays[0])
        n = data.size
        launch(kernel, dtype, n, (*arrays, data), n)
        divisor = float(n) if reduction == "mean" else None
        if reduction != "none":
            if n:
                data = reduce_array(_SUM, data, tuple(range(len(shape))), (), dtype, divisor or 1.0)
            else:
                data = empty((), dtype, arrays[0])
                fill_array(data, np.nan if reduction == "mean" else 0.0)
        result = wrap(data)
        wanted = [t if d is not None else None for t, d in zip(tensors, derivatives, strict=True)]
        if dtype.kind == "f" and needs_grad(*[t for t in wanted if t is not None]):
            record(result, node, rule, tuple(wanted), tuple(tensors), (shape, shapes, divisor))
        return result

    assert count == len(takes)
    return operation


_mse = _pointwise(kernels.mse_loss, "MseLossBackward0")
_smooth_l1 = _pointwise(kernels.smooth_l1_loss, "SmoothL1LossBackward0")
_huber = _pointwise(kernels.huber_loss, "HuberLossBackward0")
_bce = _pointwise(kernels.binary_cross_entropy, "BinaryCrossEntropyBackward0")
_bce_with_logits = _pointwise(
    kernels.binary_cross_entropy_with_logits, "BinaryCrossEntropyWithLogitsBackward0"
)


def _size(tensor: Any) -> str:
    return f"torch.Size([{', '.join(map(str, tensor._data.shape))}])"


def _check_pair(name: str, input: Any, target: Any) -> None:
    """Two tensors, with PyTorch's warning where they are broadcast."""
    check_tensor(input, name, "input")
    check_tensor(target, name, "target", 2)
    if input._data.shape != target._data.shape:
        warnings.warn(
            f"Using a target size ({_size(target)}) that is different to the input size "
            f"({_size(input)}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """(input - target)², reduced.

    >>> numgrad.nn.functional.mse_loss(numgrad.tensor([1., 2.]), numgrad.tensor([1., 4.]))
    tensor(2.)
    """
    reduction = _reduction(reduction, size_average, reduce)
    _check_pair("mse_loss", input, target)
    if result_dtype([input, target]).kind != "f":
        raise NotImplementedError(
            f"\"mse_cpu\" not implemented for '{type_name(result_dtype([input, target]))}'"
        )
    if weight is not None:
        return _weighted(_mse((input, target), "none"), weight, reduction)
    return _mse((input, target), reduction)


def _weighted(loss: Any, weight: Any, reduction: str) -> Any:
    loss = mul(loss, weight)
    return div(sum(loss), sum(weight)) if reduction == "mean" else reduce_loss(loss, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """|input - target|, reduced.

    >>> numgrad.nn.functional.l1_loss(numgrad.tensor([1., 2.]), numgrad.tensor([1., 4.]))
    tensor(1.)
    """
    reduction = _reduction(reduction, size_average, reduce)
    _check_pair("l1_loss", input, target)
    loss = abs(sub(input, target))
    return reduce_loss(loss, reduction) if weight is None else _weighted(loss, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Squared below a distance of `beta`, absolute above, reduced.

    >>> a, b = numgrad.tensor([0., 0.]), numgrad.tensor([0.5, 3.])
    >>> numgrad.nn.functional.smooth_l1_loss(a, b, reduction="none")
    tensor([0.1250, 2.5000])
    """
    reduction = _reduction(reduction, size_average, reduce)
    _check_pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return _smooth_l1((input, target, float(beta)), reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Any = None,
) -> Tensor:
    """Squared up to a distance of `delta`, linear above, reduced.

    >>> a, b = numgrad.tensor([0., 0.]), numgrad.tensor([0.5, 3.])
    >>> numgrad.nn.functional.huber_loss(a, b, reduction="none", delta=2.)
    tensor([0.1250, 4.0000])
    """
    reduction = _reduction(reduction, None, None)
    _check_pair("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is not None:
        return _weighted(_huber((input, target, float(delta)), "none"), weight, reduction)
    return _huber((input, target, float(delta)), reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight (target log input + (1 - target) log(1 - input)), reduced; input in [0, 1].

    >>> p, y = numgrad.tensor([0.5, 0.9]), numgrad.tensor([1., 1.])
    >>> numgrad.nn.functional.binary_cross_entropy(p, y)
    tensor(0.3993)
    """
    reduction = _reduction(reduction, size_average, reduce)
    check_tensor(input, "binary_cross_entropy", "input")
    check_tensor(target, "binary_cross_entropy", "target", 2)
    if input._data.shape != target._data.shape:
        raise ValueError(
            f"Using a target size ({_size(target)}) that is different to the input size "
            f"({_size(input)}) is deprecated. Please ensure they have the same size."
        )
    if target._data.dtype != input._data.dtype:
        found, expected = (type_name(t._data.dtype) for t in (target, input))
        raise RuntimeError(f"Found dtype {found} but expected {expected}")
    if input._data.size:
        data = dense(input._data)
        bad = zeros(1, INT64, data)
        launch(checks.check_between, data.dtype, data.size, (data, bad, 0.0, 1.0))
        check(bad, 0, _raise_outside)
    return _bce((input, target, 1.0 if weight is None else weight), reduction)


def _raise_outside() -> None:
    raise RuntimeError("all elements of input should be between 0 and 1")


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of σ(input), computed from the logits, reduced.

    >>> x, y = numgrad.tensor([0., 2.]), numgrad.tensor([1., 1.])
    >>> numgrad.nn.functional.binary_cross_entropy_with_logits(x, y)
    tensor(0.4100)
    """
    reduction = _reduction(reduction, size_average, reduce)
    check_tensor(input, "binary_cross_entropy_with_logits", "input")
    check_tensor(target, "binary_cross_entropy_with_logits", "target", 2)
    if input._data.shape != target._data.shape:
        raise ValueError(
            f"Target size ({_size(target)}) must be the same as input size ({_size(input)})"
        )
    factors = (1.0 if weight is None else weight, 1.0 if pos_weight is None else pos_weight)
    return _bce_with_logits((input, target, *factors), reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - input), for `input` in logs (and `target` too, with `log_target`).

    `reduction="batchmean"` divides the sum by the batch size: the Kullback-Leibler divergence.

    >>> q, p = numgrad.tensor([[0.5, 0.5]]).log(), numgrad.tensor([[0.75, 0.25]])
    >>> numgrad.nn.functional.kl_div(q, p, reduction="batchmean")
    tensor(0.1308)
    """
    batchmean = reduction == "batchmean"
    reduction = _reduction("sum" if batchmean else reduction, size_average, reduce)
    check_tensor(input, "kl_div", "input")
    check_tensor(target, "kl_div", "target", 2)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        loss = sub(xlogy(target, target), mul(target, input))
    loss = reduce_loss(loss, reduction)
    return div(loss, input._data.shape[0]) if batchmean and input._data.ndim else loss


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(input) - target · input, or input - target · log(input + eps), reduced.

    >>> x, y = numgrad.tensor([0., 1.]), numgrad.tensor([1., 2.])
    >>> numgrad.nn.functional.poisson_nll_loss(x, y)
    tensor(0.8591)
    """
    reduction = _reduction(reduction, size_average, reduce)
    if log_input:
        loss = sub(exp(input), mul(target, input))
    else:
        loss = sub(input, mul(target, log(add(input, eps))))
    if full:  # Stirling's approximation of log target!
        half_log = mul(log(mul(target, 2 * math.pi)), 0.5)
        stirling = add(sub(mul(target, log(target)), target), half_log)
        loss = add(loss, where(gt(target, 1), stirling, 0.0))
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (input - target)² / var) / 2 with var at least eps, reduced.

    >>> x, y, v = numgrad.tensor([0.]), numgrad.tensor([1.]), numgrad.tensor([1.])
    >>> numgrad.nn.functional.gaussian_nll_loss(x, y, v)
    tensor(0.5000)
    """
    reduction = _reduction(reduction, None, None)
    if not isinstance(var, Tensor):
        if var < 0:
            _raise_negative()
        var = full_like(input, float(var))
    elif var._data.shape != input._data.shape:
        shape, own = input._data.shape, var._data.shape
        if shape[:-1] == own:
            var = unsqueeze(var, -1)
        elif not (shape[:-1] == own[:-1] and own[-1] == 1):
            raise ValueError("var is of incorrect size")
    data = dense(var._data)
    bad = zeros(1, INT64, data)
    launch(checks.check_not_negative, data.dtype, data.size, (data, bad))
    check(bad, 0, _raise_negative)
    floor = clamp_min(var, eps)  # PyTorch clamps a copy: the gradient passes the clamp unchanged
    var = add(var, detach(sub(floor, var)))
    loss = mul(add(log(var), div(square(sub(input, target)), var)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi))
    return reduce_loss(loss, reduction)


def _raise_negative() -> None:
    raise ValueError("var has negative entry/entries")


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1, reduced.

    >>> x, y = numgrad.tensor([0.5, 0.2]), numgrad.tensor([1., -1.])
    >>> numgrad.nn.functional.hinge_embedding_loss(x, y, reduction="none")
    tensor([0.5000, 0.8000])
    """
    reduction = _reduction(reduction, size_average, reduce)
    apart = where(eq(target, 1), 0.0, clamp_min(rsub(input, margin), 0.0))
    together = where(eq(target, -1), 0.0, input)
    return reduce_loss(add(apart, together), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target (input1 - input2) + margin), reduced.

    >>> a, b, y = numgrad.tensor([1.]), numgrad.tensor([3.]), numgrad.tensor([1.])
    >>> numgrad.nn.functional.margin_ranking_loss(a, b, y)
    tensor(2.)
    """
    reduction = _reduction(reduction, size_average, reduce)
    sizes = {t._data.ndim for t in (input1, input2, target)}
    if len(sizes) > 1:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {_size(input1)}, input2: {_size(input2)}, target: {_size(target)} "
        )
    loss = clamp_min(add(mul(neg(target), sub(input1, input2)), margin), 0.0)
    return reduce_loss(loss, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1, reduced.

    >>> a, b = numgrad.tensor([[1., 0.]]), numgrad.tensor([[0., 1.]])
    >>> numgrad.nn.functional.cosine_embedding_loss(a, b, numgrad.tensor([1.]))
    tensor(1.)
    """
    reduction = _reduction(reduction, size_average, reduce)
    # PyTorch adds this to the squared norms rather than bounding them from below.
    tiny = 1e-12
    product = sum(mul(input1, input2), -1)
    norms = mul(add(sum(square(input1), -1), tiny), add(sum(square(input2), -1), tiny))
    cosine = div(product, sqrt(norms))
    together = where(eq(target, 1), rsub(cosine, 1.0), 0.0)
    apart = where(eq(target, -1), clamp_min(sub(cosine, margin), 0.0), 0.0)
    return reduce_loss(add(together, apart), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, ‖anchor - positive‖ - ‖anchor - negative‖ + margin), reduced.

    >>> a, b, c = (numgrad.tensor([[x, 0.]]) for x in (0., 1., 3.))
    >>> numgrad.nn.functional.triplet_margin_loss(a, c, b)
    tensor(3.)
    """
    reduction = _reduction(reduction, size_average, reduce)
    near, far = (
        pairwise_distance(anchor, positive, p, eps),
        pairwise_distance(anchor, negative, p, eps),
    )
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduce_loss(clamp_min(add(sub(near, far), margin), 0.0), reduction)
