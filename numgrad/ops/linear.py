"""The linear layer's function: a product and a bias in one launch, their gradients in two.

Its backward computes the weight's and the bias's gradient in one launch, the input's in another,
and only those that are needed. Differentiated again (`create_graph=True`) it is written in
operations.
"""

from __future__ import annotations

import math
from typing import Any

from ._core import Tensor, check_tensor, dense, empty, mode, record, sum_to, unpack, wrap
from .addmm import addmm
from .matmul import (
    check_operands,
    fold,
    matmul,
    multiply_arrays,
    mv_product,
    oriented,
    product,
    wanted,
)
from .views import reshape, t, unsqueeze

# PyTorch computes other shapes through views, and its graph shows their names.
_LINEAR_NAMES = {
    (1, True): "ViewBackward0",
    (1, False): "SqueezeBackward4",
    (2, True): "AddmmBackward0",
    (2, False): "MmBackward0",
    (3, True): "ViewBackward0",
    (3, False): "UnsafeViewBackward0",
}


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weightᵀ + bias, in one launch.

    input: (…, in_features); weight: (out_features, in_features); bias: (out_features,).

    >>> numgrad.nn.functional.linear(numgrad.ones(1, 2), numgrad.ones(3, 2), numgrad.ones(3))
    tensor([[3., 3., 3.]])
    """
    try:
        x, w = input._data, weight._data
        c = None if bias is None else bias._data
    except AttributeError:
        check_operands("linear", input=input, weight=weight)
        raise check_tensor(bias, "linear", "bias", 3) from None
    dtype, dimensions = x.dtype, x.ndim
    if (
        w.ndim != 2
        or dimensions == 0
        or x.shape[-1] != w.shape[1]
        or w.dtype is not dtype
        or dtype.kind == "b"
        or type(x) is not type(w)
        or (c is not None and (c.shape != w.shape[:1] or c.dtype is not dtype))
    ):
        return _general_linear(input, weight, bias)
    if dimensions == 2:
        rows = x.shape[0]
        own_x, flip_x = oriented(x)
    else:
        rows = math.prod(x.shape[:-1])
        own_x, flip_x = dense(x), False
    own_w, flip_w = oriented(w)
    out_features, in_features = w.shape
    out = empty((*x.shape[:-1], out_features), dtype, x)
    added = () if c is None else (dense(c),)
    sizes = (1, rows, out_features, in_features)
    multiply_arrays(own_x, own_w, flip_x, not flip_w, sizes, out, 1.0, 0.0, added)
    result = wrap(out)
    if mode.enabled:
        to_x, to_w = wanted(input), wanted(weight)
        if to_x or to_w or (bias is not None and wanted(bias)):
            kept = (input if to_w else None, weight if to_x else None)
            name = _LINEAR_NAMES[min(dimensions, 3), bias is not None]
            inputs = (input, weight, bias)
            record(result, name, _linear_backward, inputs, kept, (x.shape, w.shape))
    return result


def _linear_backward(node: Any, grad: Any) -> tuple:
    x, w = unpack(node)
    to_x, to_w, to_bias = [edge is not None for edge in node.edges]
    if mode.enabled:
        return _linear_backward_in_operations(x, w, grad, to_x, to_w, to_bias)
    x_shape, w_shape = node.context
    out_features, in_features = w_shape
    rows = math.prod(x_shape[:-1])
    g = grad._data
    g, flip_g = oriented(g) if g.ndim == 2 else (dense(g), False)
    grad_x = grad_w = grad_bias = None
    if to_x:
        own_w, flip_w = oriented(w._data)
        grad_x = empty(x_shape, g.dtype, g)
        multiply_arrays(g, own_w, flip_g, flip_w, (1, rows, in_features, out_features), grad_x)
    if to_w:
        own_x = x._data
        own_x, flip_x = oriented(own_x) if own_x.ndim == 2 else (dense(own_x), False)
        grad_w = empty(w_shape, g.dtype, g)
        sums = ()
        if to_bias:
            grad_bias = empty((out_features,), g.dtype, g)
            sums = (grad_bias,)
        sizes = (1, out_features, in_features, rows)
        multiply_arrays(g, own_x, not flip_g, flip_x, sizes, grad_w, 1.0, 0.0, (), sums)
    elif to_bias:
        return None if grad_x is None else wrap(grad_x), None, _sum_rows(grad)
    return (
        None if grad_x is None else wrap(grad_x),
        None if grad_w is None else wrap(grad_w),
        None if grad_bias is None else wrap(grad_bias),
    )


def _linear_backward_in_operations(
    x: Any, w: Any, grad: Any, to_x: bool, to_w: bool, to_bias: bool
) -> tuple:
    """The same, differentiable again."""
    grad_x = grad_w = None
    if to_x:
        grad_x = mv_product(w, grad, True) if grad._data.ndim == 1 else product(grad, w)
    if to_w:
        own_x, own_grad = x, grad
        if grad._data.ndim == 1:
            own_x, own_grad = unsqueeze(x, 0), unsqueeze(grad, 0)
        grad_w = product(fold(own_grad), fold(own_x), True)
    return grad_x, grad_w, _sum_rows(grad) if to_bias else None


def _sum_rows(grad: Any) -> Any:
    return sum_to(grad, grad._data.shape[-1:])


def _general_linear(input: Any, weight: Any, bias: Any) -> Any:
    """linear where the shapes or dtypes are not the usual ones, or do not fit."""
    tensors = {"input": input, "weight": weight}
    if bias is not None:
        tensors["bias"] = bias
    check_operands("linear", **tensors)
    x, w = input._data, weight._data
    if x.ndim == 0 or w.ndim == 0:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {x.ndim}D and {w.ndim}D"
        )
    if bias is None:
        return matmul(input, t(weight))
    if x.ndim == 2:
        return addmm(bias, input, t(weight))
    shape = (*x.shape[:-1], w.shape[0])
    return reshape(addmm(bias, reshape(input, (-1, x.shape[-1])), t(weight)), shape)
