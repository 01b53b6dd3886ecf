"""The linear layer's function: a product and a bias in one launch, their gradients in two.

Its backward computes the weight's and the bias's gradient in one launch, the input's in another,
and only those that are needed. Differentiated again (`create_graph=True`) it is written in
operations.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..kernels.matmul import Plan, plan
from ._core import Tensor, check_tensor, dense, empty, launch, mode, record, sum_to, unpack, wrap
from ._products import check_operands, fold, mv_product, oriented, product, wanted
from .addmm import addmm
from .matmul import matmul
from .views import reshape, t, unsqueeze

# PyTorch computes other shapes through views, and its graph shows their names.
_NAMES = {
    (1, True): "ViewBackward0",
    (1, False): "SqueezeBackward4",
    (2, True): "AddmmBackward0",
    (2, False): "MmBackward0",
    (3, True): "ViewBackward0",
    (3, False): "UnsafeViewBackward0",
}


def _matrix(data: Any) -> tuple[Any, bool]:
    """A row-major array of all rows, and whether it holds the transpose (of a matrix)."""
    return oriented(data) if data.ndim == 2 else (dense(data), False)


@functools.lru_cache(maxsize=4096)
def _forward_plan(
    x_shape: tuple,
    w_shape: tuple,
    bias_shape: tuple | None,
    dtype: np.dtype,
    flip_x: bool,
    flip_w: bool,
) -> tuple | None:
    """The plan of the product, the output's shape and the node's name; None for shapes that are
    not a linear layer's."""
    if len(w_shape) != 2 or not x_shape or x_shape[-1] != w_shape[1] or dtype.kind == "b":
        return None
    if bias_shape is not None and bias_shape != w_shape[:1]:
        return None
    rows = math.prod(x_shape[:-1])
    name = _NAMES[min(len(x_shape), 3), bias_shape is not None]
    chosen = plan(rows, w_shape[0], w_shape[1], flip_x, not flip_w, 1, dtype)
    return chosen, (*x_shape[:-1], w_shape[0]), name


@functools.lru_cache(maxsize=4096)
def _backward_plans(
    x_shape: tuple, w_shape: tuple, dtype: np.dtype, flip_grad: bool, flip_x: bool, flip_w: bool
) -> tuple[Plan, Plan]:
    """The plans of grad @ weight and of gradᵀ @ x."""
    out_features, in_features = w_shape
    rows = math.prod(x_shape[:-1])
    return (
        plan(rows, in_features, out_features, flip_grad, flip_w, 1, dtype),
        plan(out_features, in_features, rows, not flip_grad, flip_x, 1, dtype),
    )


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
    dtype, x_shape, w_shape = x.dtype, x.shape, w.shape
    x, flip_x = (x, False) if x.flags.c_contiguous else _matrix(x)
    w, flip_w = (w, False) if w.flags.c_contiguous else _matrix(w)
    bias_shape = None if c is None else c.shape
    how = _forward_plan(x_shape, w_shape, bias_shape, dtype, flip_x, flip_w)
    if (
        how is None
        or w.dtype is not dtype
        or type(x) is not type(w)
        or (c is not None and c.dtype is not dtype)
    ):
        return _general_linear(input, weight, bias)
    chosen, shape, name = how
    out = empty(shape, dtype, x)
    added = () if c is None else (c if c.flags.c_contiguous else dense(c),)
    arguments = (x, w, out, added, (), 1.0, 0.0, chosen.sizes)
    launch(chosen.kernel, dtype, chosen.items, arguments, chosen.work)
    result = wrap(out)
    if mode.enabled:
        to_x, to_w = wanted(input), wanted(weight)
        if to_x or to_w or (bias is not None and wanted(bias)):
            kept = (input if to_w else None, weight if to_x else None)
            context = (x_shape, w_shape)
            record(result, name, _linear_backward, (input, weight, bias), kept, context)
    return result


def _linear_backward(node: Any, grad: Any) -> tuple:
    x, w = unpack(node)
    to_x, to_w, to_bias = node.edges
    if mode.enabled:
        return _linear_backward_in_operations(node, x, w, grad)
    x_shape, w_shape = node.context
    grad_x = grad_w = grad_bias = None
    g = grad._data
    g, flip_g = (g, False) if g.flags.c_contiguous else _matrix(g)
    dtype = g.dtype
    own_x = own_w = None
    flip_x = flip_w = False
    if to_w is not None:
        own_x = x._data
        if not own_x.flags.c_contiguous:
            own_x, flip_x = _matrix(own_x)
    if to_x is not None:
        own_w = w._data
        if not own_w.flags.c_contiguous:
            own_w, flip_w = _matrix(own_w)
    plan_x, plan_w = _backward_plans(x_shape, w_shape, dtype, flip_g, flip_x, flip_w)
    if to_x is not None:
        data = empty(x_shape, dtype, g)
        arguments: tuple = (g, own_w, data, (), (), 1.0, 0.0, plan_x.sizes)
        launch(plan_x.kernel, dtype, plan_x.items, arguments, plan_x.work)
        grad_x = wrap(data)
    if to_w is not None:
        sums: tuple = ()
        if to_bias is not None:
            sums = (empty(w_shape[:1], dtype, g),)
            grad_bias = wrap(sums[0])
        data = empty(w_shape, dtype, g)
        arguments = (g, own_x, data, (), sums, 1.0, 0.0, plan_w.sizes)
        launch(plan_w.kernel, dtype, plan_w.items, arguments, plan_w.work)
        grad_w = wrap(data)
    elif to_bias is not None:
        grad_bias = _sum_rows(grad)
    return grad_x, grad_w, grad_bias


def _linear_backward_in_operations(node: Any, x: Any, w: Any, grad: Any) -> tuple:
    """The same, differentiable again."""
    to_x, to_w, to_bias = node.edges
    grad_x = grad_w = None
    if to_x is not None:
        grad_x = mv_product(w, grad, True) if grad._data.ndim == 1 else product(grad, w)
    if to_w is not None:
        own_x, own_grad = x, grad
        if grad._data.ndim == 1:
            own_x, own_grad = unsqueeze(x, 0), unsqueeze(grad, 0)
        grad_w = product(fold(own_grad), fold(own_x), True)
    return grad_x, grad_w, _sum_rows(grad) if to_bias is not None else None


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
