"""Cross-entropy of logits, and the negative log-likelihood of log-probabilities.

With class indices for targets, the loss of two-dimensional logits is one kernel forward and one
backward, which keep two numbers a row for each other and no probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import FLOAT64, INT64
from ..kernels import cross_entropy as kernels
from ._core import (
    Tensor,
    cast,
    check,
    check_same_device,
    check_tensor,
    dense,
    empty,
    launch,
    linked,
    mode,
    needs_grad,
    record,
    type_name,
    unpack,
    wrap,
)
from ._reduce import unreduce
from ._results import given
from .creation import fill_array
from .elementwise import add, div, eq, mul, ne, neg, sub, where
from .loss import _reduction
from .reduction import all, sum
from .softmax import _COST, log_softmax, softmax
from .views import detach, reshape

_CODES = {"none": kernels.NONE, "mean": kernels.MEAN, "sum": kernels.SUM}
_no_weight: dict[np.dtype, Any] = {}


def _weights(weight: Any, classes: int, input: Any) -> Any:
    """The array of class weights, empty where there are none."""
    dtype = input._data.dtype
    if weight is None:
        if dtype not in _no_weight:
            # Not by `empty`: it outlives the call, which may be one that compile records.
            _no_weight[dtype] = np.empty(0, dtype)
        return _no_weight[dtype]
    data = check_tensor(weight, "cross_entropy", "weight", 3)._data
    if needs_grad(weight):
        raise RuntimeError(
            "The function 'nll_loss_forward' is not differentiable with respect to argument "
            "'weight'. This input cannot have requires_grad True."
        )
    if data.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(data.shape)}"
        )
    if data.dtype != dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(dtype)} but found {type_name(data.dtype)}"
        )
    return dense(data)


def _indices(target: Any) -> Any:
    """The array of class indices."""
    data = target._data
    if data.dtype != INT64:
        if data.dtype != np.uint8:
            raise RuntimeError(
                f"expected target dtype to be Long or Byte, but got {type_name(data.dtype)}"
            )
        data = cast(target, INT64)._data
    return dense(data)


def _check_bounds(parts: Any, target: Any) -> None:
    """Raise PyTorch's error where the kernel met a target out of range."""
    raise IndexError(f"Target {target.reshape(-1)[int(parts.item(2)) - 1]} is out of bounds.")


def _batch_error(input: Any, target: Any) -> ValueError:
    return ValueError(
        f"Expected input batch_size ({input._data.shape[0]}) to match target batch_size "
        f"({target._data.shape[0]})."
    )


def _check_classes(input: Any, target: Any) -> None:
    """Shapes of logits (N, C) or (C) and targets (N) or ()."""
    logits, labels = input._data.shape, target._data.shape
    if len(logits) == 0 or len(logits) > 2:
        raise RuntimeError("input tensor should be 1D or 2D")
    if len(labels) > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if len(logits) == 2 and labels != logits[:1]:
        if not labels:
            raise ValueError(
                f"Expected input batch_size ({logits[0]}) to match target batch_size (0)."
            )
        raise _batch_error(input, target)
    if len(logits) == 1 and labels not in ((), (1,)):
        raise ValueError(
            f"For 1D input, 1D target must have size 1, but got target size: {labels[0]}"
        )


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of softmax(input) with the targets, reduced.

    `input` holds logits (N, C), (C) or (N, C, d1, …); `target` class indices of the same shape
    without C, or probabilities of the shape of `input`. `weight` (C) weighs the classes, the mean
    being a weighted mean; targets equal to `ignore_index` don't count; `label_smoothing` mixes the
    targets with the uniform distribution.

    >>> x = numgrad.tensor([[2., 0.], [0., 0.]])
    >>> numgrad.nn.functional.cross_entropy(x, numgrad.tensor([0, 1]))
    tensor(0.4100)
    """
    check_tensor(input, "cross_entropy_loss", "input")
    check_tensor(target, "cross_entropy_loss", "target", 2)
    if reduction not in _CODES or size_average is not None or reduce is not None:
        reduction = _reduction(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    logits, labels = input._data, target._data
    if type(logits) is not type(labels):
        check_same_device(logits, labels)
    if logits.dtype.kind != "f":
        log_softmax(input, 1 if logits.ndim > 1 else 0)  # raises
    if labels.shape == logits.shape:
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    if logits.ndim > 2:
        if label_smoothing == 0.0:
            log_probs = log_softmax(input, 1)
            return nll_loss(log_probs, target, weight, None, ignore_index, None, reduction)
        return _flattened(input, target, weight, ignore_index, reduction, label_smoothing)
    _check_classes(input, target)
    return _of_classes(input, target, weight, ignore_index, reduction, label_smoothing)


def _of_classes(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    logits, labels = dense(input._data), _indices(target)
    dtype = logits.dtype
    classes = logits.shape[-1]
    factors = _weights(weight, classes, input)
    rows = labels.size
    on_cuda = type(logits) is not np.ndarray
    block = kernels.rows_in_block(rows, classes, on_cuda) if rows else 1
    blocks = -(-rows // block) or 1
    stats, parts = empty((rows, 2), dtype, logits), empty((blocks, kernels.PART), FLOAT64, logits)
    loss = empty(labels.shape if reduction == "none" else (), dtype, logits)
    code = float(_CODES[reduction])
    arguments = (logits, labels, factors, stats, loss, parts)
    numbers = (float(classes), float(block), float(ignore_index), float(smoothing), code)
    launch(kernels.cross_entropy_forward, dtype, blocks, arguments + numbers, _COST * logits.size)
    if blocks > 1:
        launch(kernels.add_parts, dtype, 1, (parts, loss, code), blocks)
    check(parts, 2, _check_bounds, parts, labels)
    result = wrap(loss)
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        context = (labels, factors, stats, parts, float(ignore_index), float(smoothing), code)
        # PyTorch's smoothed loss is a sum of two; its name is what printing shows.
        name = "AddBackward0" if smoothing else "NllLossBackward0"
        record(result, name, _of_classes_backward, (input,), (input,), context)
    return result


def _of_classes_backward(node: Any, grad: Any) -> Any:
    (x,) = unpack(node)
    labels, factors, stats, parts, ignore_index, smoothing, code = node.context
    logits = dense(x._data)
    if mode.enabled:
        return _traced_backward(node, grad, x)
    out = empty(logits.shape, logits.dtype, logits)
    arguments = (dense(grad._data), logits, labels, factors, stats, parts, out)
    numbers = (float(logits.shape[-1]), ignore_index, smoothing, code)
    launch(
        kernels.cross_entropy_backward,
        logits.dtype,
        labels.size,
        arguments + numbers,
        _COST * out.size,
    )
    return wrap(out)


def _total(parts: Any, labels: Any, ignore_index: float, dtype: np.dtype) -> Any:
    """What the mean divided by; 1 where every target is ignored: all gradients are 0 then."""
    total = cast(wrap(parts[0, 1:2].reshape(())), dtype)
    return where(all(eq(wrap(labels), int(ignore_index))), 1.0, total)


def _traced_backward(node: Any, grad: Any, x: Any) -> Any:
    """The same in operations: gᵢ (Σ_c qᵢ · pᵢ - qᵢ) with q the weighted target distribution."""
    labels, factors, _, parts, ignore_index, smoothing, code = node.context
    shape = x._data.shape
    classes = shape[-1]
    q = wrap(empty((labels.size, classes), x._data.dtype, x._data))
    minus_one = empty((), x._data.dtype, x._data)
    fill_array(minus_one, -1.0)
    arguments = (minus_one, labels, factors, parts, q._data)
    numbers = (float(classes), 1.0, ignore_index, float(kernels.SUM))
    launch(kernels.nll_loss_backward, q._data.dtype, labels.size, arguments + numbers, q._data.size)
    if smoothing:
        kept = cast(ne(wrap(labels.reshape(-1, 1)), int(ignore_index)), q._data.dtype)
        spread = mul(kept, smoothing / classes)
        if factors.size:
            spread = mul(spread, wrap(factors))
        q = add(mul(q, 1.0 - smoothing), spread)
    if code == kernels.MEAN:
        grad = div(grad, _total(parts, labels, ignore_index, q._data.dtype))
    elif code == kernels.NONE:
        grad = reshape(grad, (-1, 1))
    p = softmax(reshape(x, (-1, classes)), 1)
    result = mul(sub(mul(p, sum(q, 1, keepdim=True)), q), grad)
    return reshape(result, shape)


def _flattened(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    """Logits (N, C, d1, …) with the classes brought to the end."""
    from .views import movedim

    shape, labels = input._data.shape, target._data.shape
    if labels != (shape[0], *shape[2:]):
        raise _spatial_error(input, target)
    rows = reshape(movedim(input, 1, -1), (-1, shape[1]))
    flat = reshape(target, (-1,))
    loss = _of_classes(rows, flat, weight, ignore_index, reduction, smoothing)
    return reshape(loss, labels) if reduction == "none" else loss


def _of_probabilities(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float
) -> Any:
    if target._data.dtype.kind != "f":
        raise RuntimeError(
            "Expected floating point type for target with class probabilities, got "
            f"{type_name(target._data.dtype)}"
        )
    ndim = input._data.ndim
    axis = 1 if ndim > 1 else 0
    classes = input._data.shape[axis] if ndim else 1
    if smoothing:
        target = add(mul(target, 1.0 - smoothing), smoothing / classes)
    loss = mul(log_softmax(input, axis), target)
    if weight is not None:
        _weights(detach(weight), classes, input)
        loss = mul(loss, reshape(weight, (-1, *[1] * (ndim - 2))) if ndim > 1 else weight)
    if reduction == "none":
        return neg(sum(loss, axis))
    total = neg(sum(loss))
    if reduction == "sum":
        return total
    count = input._data.size // classes if classes else 0
    return given(div(total, count if ndim > 1 else 1), None, "DivBackward1")


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] · input at the targets, reduced; `input` holds log-probabilities.

    Shapes as of `cross_entropy` with class indices.

    >>> x = numgrad.tensor([[-1., -2.], [-3., -4.]])
    >>> numgrad.nn.functional.nll_loss(x, numgrad.tensor([0, 1]))
    tensor(2.5000)
    """
    check_tensor(input, "nll_loss_nd", "input")
    check_tensor(target, "nll_loss_nd", "target", 2)
    reduction = _reduction(reduction, size_average, reduce)
    shape, labels_shape = input._data.shape, target._data.shape
    if len(shape) < 3:
        _check_classes(input, target)
        name, outer, inner = "NllLossBackward0", shape[0] if len(shape) == 2 else 1, 1
    else:
        if labels_shape != (shape[0], *shape[2:]):
            raise _spatial_error(input, target)
        name, outer, inner = "NllLoss2DBackward0", shape[0], 1
        for n in shape[2:]:
            inner *= n
    data, labels = dense(input._data), _indices(target)
    if type(data) is not type(labels):
        check_same_device(data, labels)
    dtype = data.dtype
    if dtype.kind != "f":
        raise NotImplementedError(
            f"\"nll_loss_out_frame\" not implemented for '{type_name(dtype)}'"
        )
    classes = shape[1] if len(shape) > 1 else shape[0]
    factors = _weights(weight, classes, input)
    block = kernels.targets_in_block(labels.size, type(data) is not np.ndarray)
    blocks = -(-labels.size // block) or 1
    parts = empty((blocks, kernels.PART), FLOAT64, data)
    loss = empty(labels_shape if reduction == "none" else (), dtype, data)
    code = float(_CODES[reduction])
    numbers = (float(classes), float(inner), float(block), float(ignore_index), code)
    arguments = (data, labels, factors, loss, parts)
    launch(kernels.nll_loss_forward, dtype, blocks, arguments + numbers, labels.size)
    if blocks > 1:
        launch(kernels.add_parts, dtype, 1, (parts, loss, code), blocks)
    check(parts, 2, _check_bounds, parts, labels)
    result = wrap(loss)
    if needs_grad(input):
        sizes = (shape, outer, classes, inner)
        context = (labels, factors, parts, sizes, float(ignore_index), code)
        record(result, name, _nll_loss_backward, (input,), (), context)
    return result


def _nll_loss_backward(node: Any, grad: Any) -> Any:
    labels, factors, parts, (shape, *sizes), ignore_index, code = node.context
    outer, classes, inner = sizes
    given = grad
    if mode.enabled and grad._requires_grad:  # linear in grad: the slopes times grad
        given = wrap(empty((), grad._data.dtype, grad._data))
        fill_array(given._data, 1.0)
        code = float(kernels.SUM)
    out = empty(shape, grad._data.dtype, grad._data)
    arguments = (dense(given._data), labels, factors, parts, out)
    numbers = (float(classes), float(inner), ignore_index, code)
    launch(kernels.nll_loss_backward, out.dtype, outer, arguments + numbers, out.size)
    result = wrap(out)
    if given is grad:
        return linked(result, node.edges, (shape,)) if mode.enabled else result
    if node.context[-1] == kernels.MEAN:
        grad = div(grad, _total(parts, labels, ignore_index, grad._data.dtype))
    elif node.context[-1] == kernels.NONE:
        grad = unreduce(grad, shape, (1,) if len(shape) > 1 else (0,))
    return linked(mul(result, grad), node.edges, (shape,))


def _spatial_error(input: Any, target: Any) -> Exception:
    shape, labels = input._data.shape, target._data.shape
    if len(shape) != 4 and labels[:1] == shape[:1]:
        wanted = [shape[0], *shape[2:]]
        return RuntimeError(f"Expected target size {wanted}, got {list(labels)}")
    if len(labels) != len(shape) - 1:
        return RuntimeError(
            "only batches of spatial targets supported (3D tensors) but got targets of dimension: "
            f"{len(labels)}"
        )
    if labels[0] != shape[0]:
        return _batch_error(input, target)
    return RuntimeError(f"size mismatch (got input: {list(shape)} , target: {list(labels)}")
