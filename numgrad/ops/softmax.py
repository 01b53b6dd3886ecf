"""softmax, log_softmax, softmin and logsumexp."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..dtypes import as_numpy_dtype, get_default_dtype
from ..kernels import softmax as kernels
from ._core import (
    Tensor,
    cast,
    check_tensor,
    dense,
    empty,
    launch,
    mode,
    needs_grad,
    normalize_dim,
    record,
    type_name,
    unpack,
    wrap,
    write_out,
)
from ._reduce import axes_of, chunk_length, groups_of, is_empty, reduced_shape, unreduce, view3
from .creation import fill_array
from .elementwise import exp, mul, neg, sub
from .reduction import sum

#: An exponential costs about as much as moving four elements: what a launch reckons with.
_COST = 4

_FORWARD = {
    "softmax": (kernels.softmax_rows, kernels.softmax_columns),
    "log_softmax": (kernels.log_softmax_rows, kernels.log_softmax_columns),
}
_BACKWARD = {
    "softmax": (kernels.softmax_backward_rows, kernels.softmax_backward_columns),
    "log_softmax": (kernels.log_softmax_backward_rows, kernels.log_softmax_backward_columns),
}
_LOGSUMEXP = (kernels.logsumexp_rows, kernels.logsumexp_columns)


def _along(pair: tuple, arrays: tuple, axis: int) -> Any:
    """A new array from a kernel that works along one dimension."""
    first = arrays[0]
    out = empty(first.shape, first.dtype, first)
    if out.size == 0:
        return out
    outer, n, inner = view3(first, axis)
    work = _COST * out.size
    if inner == 1:
        launch(pair[0], first.dtype, outer, (*arrays, out, float(n)), work)
    else:
        items = kernels.column_items(outer, inner)
        launch(pair[1], first.dtype, items, (*arrays, out, float(n), float(inner)), work)
    return out


def _forward(name: str, node: str, rule: Any, input: Any, dim: int, dtype: Any, out: Any) -> Any:
    check_tensor(input, name, "input")
    if dtype is not None:
        input = cast(input, as_numpy_dtype(dtype))
    data = input._data
    axis = normalize_dim(dim, data.ndim)
    if data.dtype.kind != "f":
        last = "lastdim_" if data.ndim == 0 or axis == data.ndim - 1 else ""
        raise NotImplementedError(
            f"\"{name}_{last}kernel_impl\" not implemented for '{type_name(data.dtype)}'"
        )
    result = wrap(_along(_FORWARD[name], (dense(data),), axis))
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        record(result, node, rule, (input,), (result,), axis)
    return result if out is None else write_out(out, result)


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None, *, out: Any = None) -> Tensor:
    """exp(input) / Σ exp(input) along `dim`.

    >>> numgrad.softmax(numgrad.tensor([0., 0., 0., 0.]), dim=0)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    if dim is None:
        dim = _implicit("softmax", input)
    return _forward("softmax", "SoftmaxBackward0", _softmax_backward, input, dim, dtype, out)


def log_softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, out: Any = None
) -> Tensor:
    """input - log Σ exp(input) along `dim`.

    >>> numgrad.log_softmax(numgrad.tensor([0., 0.]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    if dim is None:
        dim = _implicit("log_softmax", input)
    node, rule = "LogSoftmaxBackward0", _log_softmax_backward
    return _forward("log_softmax", node, rule, input, dim, dtype, out)


def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-input).

    >>> numgrad.nn.functional.softmin(numgrad.tensor([0., 0.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    if dim is None:
        dim = _implicit("softmin", input)
    return softmax(neg(input), dim, dtype)


def _implicit(name: str, input: Any) -> int:
    """The dimension PyTorch takes where none is given, with its warning."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if check_tensor(input, name, "input")._data.ndim in (0, 1, 3) else 1


def _softmax_backward(node: Any, grad: Any) -> Any:
    (y,) = unpack(node)
    axis = node.context
    if mode.enabled:
        product = mul(grad, y)
        return sub(product, mul(y, sum(product, axis, keepdim=True)))
    return wrap(_along(_BACKWARD["softmax"], (dense(grad._data), y._data), axis))


def _log_softmax_backward(node: Any, grad: Any) -> Any:
    (y,) = unpack(node)
    axis = node.context
    if mode.enabled:
        return sub(grad, mul(exp(y), sum(grad, axis, keepdim=True)))
    return wrap(_along(_BACKWARD["log_softmax"], (dense(grad._data), y._data), axis))


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """log Σ exp(input) over `dim`, without overflow.

    >>> numgrad.logsumexp(numgrad.tensor([100., 100.]), 0)
    tensor(100.6931)
    """
    data = check_tensor(input, "logsumexp", "input")._data
    if data.dtype.kind != "f":
        input = cast(input, get_default_dtype().numpy)
        data = input._data
    axes = axes_of(dim, data.ndim)
    shape = reduced_shape(data.shape, axes, keepdim)
    if is_empty(data.shape, axes) or 0 in shape:
        found = empty(shape, data.dtype, data)
        if found.size:
            fill_array(found, -np.inf)
    else:
        found = _logsumexp(dense(data), axes, shape)
    result = wrap(found)
    if needs_grad(input):
        record(result, "LogsumexpBackward0", _logsumexp_backward, (input,), (input, result), axes)
    return result if out is None else write_out(out, result)


def _logsumexp(data: Any, axes: tuple, shape: tuple) -> Any:
    dtype = data.dtype
    groups = groups_of(data.shape, axes) or [(data.size, 1, 1)]
    for position, (outer, n, inner) in enumerate(groups):
        last = position == len(groups) - 1
        while True:
            chunk = chunk_length(data, outer, n, 1) if inner == 1 else n
            parts = -(-n // chunk)
            done = parts == 1
            out = empty(shape if last and done else (outer, parts, inner), dtype, data)
            work = _COST * data.size
            if inner == 1:
                sizes = (float(n), float(chunk))
                launch(_LOGSUMEXP[0], dtype, outer * parts, (data, out, *sizes), work)
            else:
                items = kernels.column_items(outer, inner)
                launch(_LOGSUMEXP[1], dtype, items, (data, out, float(n), float(inner)), work)
            data, n = out, parts
            if done:
                break
    return data


def _logsumexp_backward(node: Any, grad: Any) -> Any:
    x, y = unpack(node)
    axes, shape = node.context, x._data.shape
    return mul(unreduce(grad, shape, axes), exp(sub(x, unreduce(y, shape, axes))))
