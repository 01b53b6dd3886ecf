"""Sums, products and other reductions without indices, over any dimensions.

`dim` is a number, several, or None for all; `keepdim` keeps the reduced dimensions with size 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import BOOL, INT64, as_numpy_dtype
from ..kernels import reduction as kernels
from ._core import (
    Tensor,
    cast,
    check_tensor,
    empty,
    mode,
    needs_grad,
    record,
    unpack,
    wrap,
)
from ._reduce import DIVIDING, check_not_empty, numpy_names, plan, reduce_array, spread, unreduce
from ._results import given
from .creation import fill_array, ones_like
from .elementwise import div, eq, isnan, logical_not, mul, ne, where
from .views import diagonal

DIVIDING.update({kernels.sum_rows, kernels.nansum_rows})
_SUM = (kernels.sum_rows, kernels.sum_columns)
_NANSUM = (kernels.nansum_rows, kernels.nansum_columns)
_SUM_INTEGERS = (kernels.sum_integers_rows, kernels.sum_integers_columns)
_PROD = (kernels.prod_rows, kernels.prod_columns)
_PROD_INTEGERS = (kernels.prod_integers_rows, kernels.prod_integers_columns)
_AMAX = (kernels.amax_rows, kernels.amax_columns)
_AMIN = (kernels.amin_rows, kernels.amin_columns)
_ALL = (kernels.all_rows, kernels.all_columns)
_ANY = (kernels.any_rows, kernels.any_columns)
_COUNT = (kernels.count_nonzero_rows, kernels.count_nonzero_columns)


def _filled(shape: tuple, dtype: np.dtype, value: Any, like: Any) -> Any:
    """A new array of one value: what a reduction of nothing gives."""
    out = empty(shape, dtype, like)
    if out.size:
        fill_array(out, value)
    return out


# ------------------------------------------------------------------------- sum and mean


def sum(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """Σ input over `dim`; integers and bool are added in int64.

    >>> numgrad.sum(numgrad.tensor([[1., 2.], [3., 4.]]), dim=0)
    tensor([4., 6.])
    """
    if names:
        dim, keepdim = numpy_names("sum", dim, keepdim, names)
    try:
        data = input._data
    except AttributeError:
        raise check_tensor(input, "sum", "input") from None
    kind = _computed_in(dtype, out)
    if kind is not None:
        input = cast(input, kind)
        data = input._data
    shape, own = data.shape, data.dtype
    axes, wanted = plan(dim, shape, keepdim)
    floating = own.kind == "f"
    if data.size:
        if floating:
            result = wrap(reduce_array(_SUM, data, axes, wanted, own))
        else:
            result = wrap(reduce_array(_SUM_INTEGERS, data, axes, wanted, INT64))
    else:
        result = wrap(_filled(wanted, own if floating else INT64, 0.0, data))
    if floating and (input._requires_grad or input._view is not None) and needs_grad(input):
        name = "SumBackward0" if dim is None and not keepdim else "SumBackward1"
        record(result, name, _sum_backward, (input,), (), (shape, axes, 1.0))
    elif kind is not None:
        result = cast(result, kind)
    return given(result, out)


def _computed_in(dtype: Any, out: Any) -> np.dtype | None:
    """The dtype to compute a sum or a product in: the one asked for, else that of `out`."""
    if dtype is None and isinstance(out, Tensor):
        return out._data.dtype
    return None if dtype is None else as_numpy_dtype(dtype)


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    >>> numgrad.trace(numgrad.tensor([[1., 2.], [3., 4.]]))
    tensor(5.)
    """
    ndim = check_tensor(input, "trace", "input")._data.ndim
    if ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {ndim}")
    return given(sum(diagonal(input)), None, "TraceBackward0")


def _sum_backward(node: Any, grad: Any) -> Any:
    return spread(grad, *node.context)


def mean(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """The average of `input` over `dim`.

    >>> numgrad.mean(numgrad.tensor([1., 2., 6.]))
    tensor(3.)
    """
    if names:
        dim, keepdim = numpy_names("mean", dim, keepdim, names)
    try:
        data = input._data
    except AttributeError:
        raise check_tensor(input, "mean", "input") from None
    if dtype is not None:
        input = cast(input, as_numpy_dtype(dtype))
        data = input._data
    own = data.dtype
    if own.kind != "f":
        _refuse_mean(own, dtype)
    shape = data.shape
    axes, wanted = plan(dim, shape, keepdim)
    count = 1.0
    for axis in axes:
        count *= shape[axis]
    if data.size:
        result = wrap(reduce_array(_SUM, data, axes, wanted, own, count))
    else:
        result = wrap(_filled(wanted, own, np.nan, data))
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        name = "MeanBackward0" if dim is None and not keepdim else "MeanBackward1"
        record(result, name, _sum_backward, (input,), (), (shape, axes, count))
    return given(result, out)


def _refuse_mean(found: np.dtype, asked: Any, name: str = "mean") -> None:
    from ._core import type_name

    if asked is None:
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {type_name(found)}"
        )
    raise RuntimeError(
        f"{name}(): could not infer output dtype. Optional dtype must be either a floating point or "
        f"complex dtype. Got: {type_name(found)}"
    )


def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """Σ input over `dim`, NaN counting as 0.

    >>> numgrad.nansum(numgrad.tensor([1., float("nan"), 2.]))
    tensor(3.)
    """
    check_tensor(input, "nansum", "input")
    kind = input._data.dtype if dtype is None else as_numpy_dtype(dtype)
    if kind.kind != "f":
        numbers = where(isnan(input), 0, input) if input._data.dtype.kind == "f" else input
        return sum(numbers, dim, keepdim, dtype=dtype, out=out)
    input = cast(input, kind)
    data = input._data
    axes, wanted = plan(dim, data.shape, keepdim)
    if data.size:
        result = wrap(reduce_array(_NANSUM, data, axes, wanted, data.dtype))
    else:
        result = wrap(_filled(wanted, data.dtype, 0.0, data))
    if needs_grad(input):
        record(result, "NansumBackward0", _nansum_backward, (input,), (input,), axes)
    return given(result, out)


def _nansum_backward(node: Any, grad: Any) -> Any:
    (x,) = unpack(node)
    return where(isnan(x), 0.0, spread(grad, x._data.shape, node.context))


def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """The average of the elements that are not NaN.

    >>> numgrad.nanmean(numgrad.tensor([1., float("nan"), 2.]))
    tensor(1.5000)
    """
    check_tensor(input, "nanmean", "input")
    if input._data.dtype.kind != "f":
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{_short_name(input)}"
        )
    if dtype is not None and as_numpy_dtype(dtype).kind != "f":
        _refuse_mean(as_numpy_dtype(dtype), dtype, "nanmean")
    count = sum(logical_not(isnan(input)), dim, keepdim)
    result = div(nansum(input, dim, keepdim, dtype=dtype), count)
    return given(result, out)


def _short_name(tensor: Any) -> str:
    from ._core import type_name

    return type_name(tensor._data.dtype)


# ------------------------------------------------------------------------------ product


def prod(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """Π input over one dimension, or over all; integers and bool are multiplied in int64.

    >>> numgrad.prod(numgrad.tensor([[1., 2.], [3., 4.]]), 1)
    tensor([ 2., 12.])
    """
    if names:
        dim, keepdim = numpy_names("prod", dim, keepdim, names)
    check_tensor(input, "prod", "input")
    kind = _computed_in(dtype, out)
    if kind is not None:
        input = cast(input, kind)
    data = input._data
    if dim is not None and not hasattr(dim, "__index__"):
        raise TypeError(f"prod(): argument 'dim' must be int, not {type(dim).__name__}")
    axes, wanted = plan(dim, data.shape, keepdim and dim is not None)
    floating = data.dtype.kind == "f"
    own = data.dtype if floating else INT64
    if data.size:
        pair = _PROD if floating else _PROD_INTEGERS
        result = wrap(reduce_array(pair, data, axes, wanted, own))
    else:
        result = wrap(_filled(wanted, own, 1, data))
    if floating and needs_grad(input):
        name = "ProdBackward0" if dim is None else "ProdBackward1"
        record(result, name, _prod_backward, (input,), (input,), (dim, axes))
    elif kind is not None:
        result = cast(result, kind)
    return given(result, out)


def _prod_backward(node: Any, grad: Any) -> Any:
    """grad · the product of all other elements: of those before times those after, so that zeros
    need no division."""
    from .scan import exclusive_cumprod
    from .views import reshape

    (x,) = unpack(node)
    dim, axes = node.context
    flat = reshape(x, (-1,)) if dim is None else x
    axis = 0 if dim is None else axes[0] if axes else 0
    if flat._data.size == 0 or flat._data.ndim == 0:
        others = ones_like(flat)
    else:
        others = mul(exclusive_cumprod(flat, axis), exclusive_cumprod(flat, axis, reverse=True))
    if dim is None:
        return mul(reshape(others, x._data.shape), grad)
    return mul(others, unreduce(grad, x._data.shape, axes))


# ------------------------------------------------------------------------------ extrema


def amax(
    input: Tensor,
    dim: Any = (),
    keepdim: bool = False,
    *,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """The largest element over `dim`; equal ones share its gradient.

    >>> numgrad.amax(numgrad.tensor([[1., 5.], [7., 2.]]), 1)
    tensor([5., 7.])
    """
    if names:
        dim, keepdim = numpy_names("amax", dim, keepdim, names)
    return given(_extremum(_AMAX, "amax", input, dim, keepdim), out)


def amin(
    input: Tensor,
    dim: Any = (),
    keepdim: bool = False,
    *,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """The smallest element over `dim`; equal ones share its gradient.

    >>> numgrad.amin(numgrad.tensor([[1., 5.], [7., 2.]]), 1)
    tensor([1., 2.])
    """
    if names:
        dim, keepdim = numpy_names("amin", dim, keepdim, names)
    return given(_extremum(_AMIN, "amin", input, dim, keepdim), out)


def _extremum(
    pair: Any, name: str, input: Any, dim: Any, keepdim: bool, node: str = "", rule: Any = None
) -> Any:
    data = check_tensor(input, name, "input")._data
    axes, wanted = plan(dim, data.shape, keepdim)
    if data.size:
        result = wrap(reduce_array(pair, data, axes, wanted, data.dtype))
    else:
        check_not_empty(name, data.shape, axes, dim is None or dim == ())
        result = wrap(empty(wanted, data.dtype, data))
    if (
        data.dtype.kind == "f"
        and (input._requires_grad or input._view is not None)
        and needs_grad(input)
    ):
        node = node or f"{name.capitalize()}Backward0"
        record(result, node, rule or _extremum_backward, (input,), (input, result), axes)
    return result


def _extremum_backward(node: Any, grad: Any) -> Any:
    x, y = unpack(node)
    return _share_among_equal(grad, x, y, node.context)


def _share_among_equal(grad: Any, x: Any, y: Any, axes: tuple, equal: Any = eq) -> Any:
    """The gradient of an extremum y of x, shared among the elements that are equal to it."""
    shape = x._data.shape
    before = mode.enabled
    mode.enabled = False  # which elements those are is not differentiable
    try:
        mask = cast(equal(x, unreduce(y, shape, axes)), x._data.dtype)
        mask = div(mask, sum(mask, axes or None, keepdim=True))
    finally:
        mode.enabled = before
    return mul(mask, unreduce(grad, shape, axes))


# ------------------------------------------------------------------ truth and counting


def all(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """Whether every element over `dim` is true (not zero).

    >>> numgrad.all(numgrad.tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """
    if names:
        dim, keepdim = numpy_names("all", dim, keepdim, names)
    return given(_truth(_ALL, "all", input, dim, keepdim, True), out)


def any(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    **names: Any,
) -> Tensor:
    """Whether some element over `dim` is true (not zero).

    >>> numgrad.any(numgrad.tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """
    if names:
        dim, keepdim = numpy_names("any", dim, keepdim, names)
    return given(_truth(_ANY, "any", input, dim, keepdim, False), out)


def _truth(pair: Any, name: str, input: Any, dim: Any, keepdim: bool, neutral: bool) -> Any:
    data = check_tensor(input, name, "input")._data
    axes, wanted = plan(dim, data.shape, keepdim)
    if isinstance(dim, (tuple, list)) and not dim:
        result = ne(input, 0)  # no dimension at all, where other reductions take all of them
    elif data.size:
        result = wrap(reduce_array(pair, data, axes, wanted, BOOL))
    else:
        result = wrap(_filled(wanted, BOOL, neutral, data))
    return cast(result, data.dtype) if data.dtype == np.uint8 else result


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """The number of elements over `dim` that are not zero.

    >>> numgrad.count_nonzero(numgrad.tensor([0, 3, 0, 4]))
    tensor(2)
    """
    data = check_tensor(input, "count_nonzero", "input")._data
    axes, wanted = plan(dim, data.shape, False)
    if not data.size:
        return wrap(_filled(wanted, INT64, 0, data))
    return wrap(reduce_array(_COUNT, data, axes, wanted, INT64, again=_SUM_INTEGERS))
