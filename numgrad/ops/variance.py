"""Variance and standard deviation over any dimensions, alone or with the mean.

`correction` is subtracted from the number of elements (1 by default, the unbiased estimate; 0 for
`unbiased=False`).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..autograd.tape import record_many
from ..dtypes import FLOAT64
from ..kernels import variance as kernels
from ._core import (
    Tensor,
    cast,
    check_tensor,
    dense,
    empty,
    launch,
    mode,
    needs_grad,
    record,
    unpack,
    wrap,
    write_out,
)
from ._reduce import axes_of, chunk_length, groups_of, is_empty, reduced_shape, spread, unreduce
from .creation import fill_array
from .elementwise import add, div, eq, mul, sub, where
from .reduction import mean


def moments(data: Any, axes: tuple, shape: tuple, correction: float, root: bool) -> tuple[Any, Any]:
    """The mean (float64) and the variance (or its root) over `axes`, as arrays of `shape`."""
    data = dense(data)
    groups = groups_of(data.shape, axes) or [(data.size, 1, 1)]
    if len(groups) > 1:  # bring the reduced dimensions to the end
        kept = [k for k in range(data.ndim) if k not in axes]
        data = dense(data.transpose((*kept, *axes)))
        n = 1
        for axis in axes:
            n *= data.shape[data.ndim - len(axes) + axes.index(axis)]
        groups = [(data.size // n, n, 1)]
    ((outer, n, inner),) = groups
    return moments3(data, outer, n, inner, shape, correction, root)


def moments3(
    data: Any, outer: int, n: int, inner: int, shape: tuple, correction: float, root: bool
) -> tuple[Any, Any]:
    """`moments` of a contiguous array seen as (outer, n, inner), along n."""
    dtype, last = data.dtype, float(root)
    rows = inner == 1
    chunk = chunk_length(data, outer, n, inner)
    parts = -(-n // chunk)
    whole = shape if parts == 1 else (outer, parts, inner)
    centre, out = empty(whole, FLOAT64, data), empty(whole, dtype, data)
    ends = (correction, last if parts == 1 else -1.0)
    if rows:
        arguments: tuple = (data, centre, out, float(n), float(chunk), *ends)
        launch(kernels.variance_rows, dtype, outer * parts, arguments, data.size)
    else:
        items = kernels.variance_items(outer, n, inner, chunk)
        arguments = (data, centre, out, float(n), float(inner), float(chunk), *ends)
        launch(kernels.variance_columns, dtype, items, arguments, data.size)
    if parts > 1:
        centres, m2s = centre, out
        centre, out = empty(shape, FLOAT64, data), empty(shape, dtype, data)
        sizes = (float(n), float(inner), float(chunk))
        arguments = (centres, m2s, centre, out, *sizes, correction, last)
        launch(kernels.variance_parts, dtype, outer * inner, arguments, m2s.size)
    return centre, out


def _arguments(name: str, args: tuple, kwargs: dict) -> tuple[Any, float, bool, Any]:
    """dim, correction, keepdim and out of the forms that PyTorch has: (dim, unbiased, keepdim),
    (unbiased) and (dim, *, correction, keepdim)."""
    given = dict(kwargs)
    names = ("unbiased",) if args and isinstance(args[0], bool) else ("dim", "unbiased", "keepdim")
    for key, value in zip(names, args, strict=False):
        if key in given:
            raise TypeError(f"{name}() got multiple values for argument '{key}'")
        given[key] = value
    dim, out = given.pop("dim", given.pop("axis", None)), given.pop("out", None)
    keepdim = given.pop("keepdim", given.pop("keepdims", False))
    unbiased, correction = given.pop("unbiased", None), given.pop("correction", None)
    if given or len(args) > len(names) or (unbiased is not None and correction is not None):
        raise TypeError(
            f"{name}() received an invalid combination of arguments: expected (dim, unbiased, "
            "keepdim), (unbiased) or (dim, *, correction, keepdim)"
        )
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, float(correction), bool(keepdim), out


def _compute(name: str, input: Any, args: tuple, kwargs: dict, root: bool) -> tuple:
    check_tensor(input, name, "input")
    dim, correction, keepdim, out = _arguments(name, args, kwargs)
    data = input._data
    if data.dtype.kind != "f":
        raise RuntimeError(f"{_family(name)} only support floating point and complex dtypes")
    axes = axes_of(dim, data.ndim)
    shape = reduced_shape(data.shape, axes, keepdim)
    count = 1
    for axis in axes:
        count *= data.shape[axis]
    if count - correction <= 0 and 0 not in shape:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the "
            "reduction factor (input numel divided by output numel).",
            stacklevel=3,
        )
    if is_empty(data.shape, axes) or 0 in shape:
        centre, result = empty(shape, FLOAT64, data), empty(shape, data.dtype, data)
        for array in (centre, result):
            if array.size:
                fill_array(array, np.nan)
    else:
        centre, result = moments(data, axes, shape, correction, root)
    return centre, result, axes, correction, count, out


def _family(name: str) -> str:
    return f"{name}" if name.endswith("_mean") else "std and var"


def var(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`var(input, dim=None, *, correction=1, keepdim=False)`: the variance over `dim`.

    >>> numgrad.var(numgrad.tensor([1., 2., 3., 4.]))
    tensor(1.6667)
    """
    _, data, axes, correction, count, out = _compute("var", input, args, kwargs, False)
    result = wrap(data)
    if needs_grad(input):
        context = (axes, correction, count)
        record(result, "VarBackward0", _var_backward, (input,), (input,), context)
    return result if out is None else write_out(out, result)


def std(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`std(input, dim=None, *, correction=1, keepdim=False)`: the root of the variance.

    >>> numgrad.std(numgrad.tensor([[1., 3.], [2., 6.]]), 1)
    tensor([1.4142, 2.8284])
    """
    _, data, axes, correction, count, out = _compute("std", input, args, kwargs, True)
    result = wrap(data)
    if needs_grad(input):
        context = (axes, correction, count)
        record(result, "StdBackward0", _std_backward, (input,), (input, result), context)
    return result if out is None else write_out(out, result)


def var_mean(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The variance and the mean; arguments as of `var`.

    >>> numgrad.var_mean(numgrad.tensor([1., 3.]), correction=0)
    (tensor(1.), tensor(2.))
    """
    return _with_mean("var_mean", "VarMeanBackward0", input, args, kwargs, False)


def std_mean(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean; arguments as of `std`.

    >>> numgrad.std_mean(numgrad.tensor([1., 3.]), correction=0)
    (tensor(1.), tensor(2.))
    """
    return _with_mean("std_mean", "StdMeanBackward0", input, args, kwargs, True)


def _with_mean(name: str, node: str, input: Any, args: tuple, kwargs: dict, root: bool) -> tuple:
    centre, data, axes, correction, count, _ = _compute(name, input, args, kwargs, root)
    result = wrap(data), cast(wrap(centre), data.dtype)
    if needs_grad(input):
        saved = (input, wrap(data)) if root else (input,)
        context = (axes, correction, count)
        record_many(result, node, _with_mean_backward, (input,), saved, context)
    return result


def _var_backward(node: Any, grad: Any) -> Any:
    (x,) = unpack(node)
    return _var_gradient(x, grad, *node.context)


def _var_gradient(x: Any, grad: Any, axes: tuple, correction: float, count: int) -> Any:
    """2 (x - mean) / (count - correction) · grad."""
    freedom = count - correction
    scaled = mul(unreduce(grad, x._data.shape, axes), 2.0 / freedom if freedom > 0 else np.nan)
    return mul(scaled, sub(x, mean(x, axes or None, keepdim=True)))


def _std_backward(node: Any, grad: Any) -> Any:
    x, y = unpack(node)
    return _var_gradient(x, _of_variance(grad, y), *node.context)


def _of_variance(grad: Any, y: Any) -> Any:
    """The gradient of the variance from that of its root y; 0 where the root is 0."""
    return where(eq(y, 0.0), 0.0, div(grad, mul(y, 2.0)))


def _with_mean_backward(node: Any, grads: Any) -> Any:
    x, *rest = unpack(node)
    axes, correction, count = node.context
    shape = x._data.shape
    result = None
    if grads[0] is not None:
        grad = unreduce(grads[0], shape, axes)
        if rest:
            y = unreduce(rest[0], shape, axes)
            if mode.enabled:  # the root again, as a function of x
                y = std(x, axes or None, correction=correction, keepdim=True)
            grad = _of_variance(grad, y)
        result = _var_gradient(x, grad, axes, correction, count)
    if grads[1] is not None:
        share = spread(grads[1], shape, axes, float(count))
        result = share if result is None else add(result, share)
    return result
