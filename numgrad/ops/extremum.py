"""max, min and their positions: over all elements, along a dimension, or of two tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.tape import record_many
from ..dtypes import INT64
from ..kernels import extremum as kernels
from ..kernels.reduction import column_items
from . import _return_types
from ._core import (
    Tensor,
    check_tensor,
    dense,
    empty,
    launch,
    mode,
    needs_grad,
    normalize_dim,
    record,
    unpack,
    wrap,
    write_out,
)
from ._reduce import check_not_empty, chunk_length, numpy_names, reduced_shape, view3
from ._results import given
from .elementwise import equal_or_nan, maximum, minimum
from .reduction import _AMAX, _AMIN, _extremum, _share_among_equal, amax, amin

_MAX = (kernels.max_rows, kernels.max_columns, kernels.max_parts)
_MIN = (kernels.min_rows, kernels.min_columns, kernels.min_parts)


def _select(found: tuple, data: Any, axis: int, shape: tuple) -> tuple[Any, Any]:
    """The extrema of `data` along `axis` and their positions, as arrays of `shape`."""
    data = dense(data)
    dtype = data.dtype
    outer, n, inner = view3(data, axis)
    rows, columns, combine = found
    chunk = chunk_length(data, outer, n, inner)
    parts = -(-n // chunk)
    whole = shape if parts == 1 else (outer, parts, inner)
    values, indices = empty(whole, dtype, data), empty(whole, INT64, data)
    if values.size == 0:
        return empty(shape, dtype, data), empty(shape, INT64, data)
    arrays: tuple = (data, values, indices)
    if inner == 1:
        launch(rows, dtype, outer * parts, (*arrays, float(n), float(chunk)), data.size)
    else:
        items = column_items(outer, n, inner, chunk)
        launch(columns, dtype, items, (*arrays, float(n), float(inner), float(chunk)), data.size)
    if parts > 1:
        best, position = empty(shape, dtype, data), empty(shape, INT64, data)
        arrays = (values, indices, best, position)
        launch(combine, dtype, outer * inner, (*arrays, float(parts), float(inner)), values.size)
        values, indices = best, position
    return values, indices


def _along(name: str, found: tuple, input: Any, dim: int, keepdim: bool, out: Any) -> Any:
    data = input._data
    axis = normalize_dim(dim, data.ndim)
    axes = (axis,) if data.ndim else ()
    check_not_empty(name, data.shape, axes, False)
    shape = reduced_shape(data.shape, axes, keepdim)
    values, indices = _select(found, data, axis, shape)
    result = getattr(_return_types, name)(wrap(values), wrap(indices))
    if data.dtype.kind == "f" and needs_grad(input):
        node = f"{name.capitalize()}Backward0"
        context = (data.shape, axis, result.indices)
        record_many(result, node, _along_backward, (input,), (), context, (True, False))
    if out is None:
        return result
    return type(result)(*[write_out(o, r) for o, r in zip(out, result, strict=True)])


def _along_backward(node: Any, grads: Any) -> Any:
    shape, axis, indices = node.context
    return _scatter_selected(grads[0], indices, shape, axis)


def _scatter_selected(grad: Any, indices: Any, shape: tuple, axis: int) -> Any:
    """Zeros of `shape` with `grad` at the selected positions."""
    source = dense(grad._data)
    out = empty(shape, source.dtype, source)
    outer, n, inner = view3(out, axis)
    if out.size:
        sizes = (float(n), float(inner))
        arrays = (source, indices._data, out)
        launch(kernels.scatter_selected, source.dtype, outer, (*arrays, *sizes), out.size)
    result = wrap(out)
    if needs_grad(grad):
        context = (grad._data.shape, axis, indices)
        record(result, "ValueSelectingBackward0", _scatter_backward, (grad,), (), context)
    return result


def _scatter_backward(node: Any, grad: Any) -> Any:
    """The gradient at the selected positions."""
    shape, axis, indices = node.context
    source = dense(grad._data)
    out = empty(shape, source.dtype, source)
    _, n, inner = view3(source, axis)
    if out.size:
        sizes = (float(n), float(inner))
        arrays = (source, indices._data, out)
        launch(kernels.gather_selected, source.dtype, out.size, (*arrays, *sizes), out.size)
    result = wrap(out)
    if needs_grad(grad):
        context = (source.shape, axis, indices)
        record(result, "GatherBackward0", _gather_backward, (grad,), (), context)
    return result


def _gather_backward(node: Any, grad: Any) -> Any:
    shape, axis, indices = node.context
    return _scatter_selected(grad, indices, shape, axis)


def _of_all(name: str, pair: Any, input: Any, out: Any) -> Any:
    node = f"{name.capitalize()}Backward1"
    result = _extremum(pair, name, input, None, False, node, _of_all_backward)
    return result if out is None else write_out(out, result)


def _of_all_backward(node: Any, grad: Any) -> Any:
    x, y = unpack(node)
    # Where NaN is the extremum, the NaNs share its gradient.
    return _share_among_equal(grad, x, y, node.context, equal_or_nan)


def _overloaded(
    name: str, found: tuple, pair: Any, of_two: Callable, input: Any, args: tuple, kwargs: dict
) -> Any:
    check_tensor(input, name, "input")
    out = kwargs.pop("out", None)
    if len(args) + len(kwargs) == 0:
        return _of_all(name, pair, input, out)
    if len(args) == 1 and isinstance(args[0], Tensor) and not kwargs:
        return of_two(input, args[0], out=out)
    if not args and set(kwargs) == {"other"}:
        return of_two(input, kwargs["other"], out=out)
    named = dict(zip(("dim", "keepdim"), args, strict=False)) | kwargs
    dim = named.pop("dim", named.pop("axis", None))
    keepdim = named.pop("keepdim", named.pop("keepdims", False))
    if named or len(args) > 2 or not hasattr(dim, "__index__"):
        listed = ", ".join([type(a).__name__ for a in args] + [f"{k}=" for k in kwargs])
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({listed}), but expected "
            "one of:\n * ()\n * (Tensor other)\n * (int dim, bool keepdim = False)"
        )
    return _along(name, found, input, dim.__index__(), bool(keepdim), out)


def max(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """`max(input)`, `max(input, dim, keepdim=False)` with positions, `max(input, other)`.

    >>> numgrad.max(numgrad.tensor([[1., 5.], [7., 2.]]), 1)
    torch.return_types.max(
    values=tensor([5., 7.]),
    indices=tensor([1, 0]))
    """
    return _overloaded("max", _MAX, _AMAX, maximum, input, args, kwargs)


def min(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """`min(input)`, `min(input, dim, keepdim=False)` with positions, `min(input, other)`.

    >>> numgrad.min(numgrad.tensor([3., 1., 2.]))
    tensor(1.)
    """
    return _overloaded("min", _MIN, _AMIN, minimum, input, args, kwargs)


def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    **names: Any,
) -> Tensor:
    """The position of the largest element: the first of equal ones, a NaN before all.

    >>> numgrad.argmax(numgrad.tensor([[1., 5.], [7., 2.]]), dim=1)
    tensor([1, 0])
    """
    if names:
        dim, keepdim = numpy_names("argmax", dim, keepdim, names)
    return given(_position("argmax", _MAX, input, dim, keepdim), out)


def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    **names: Any,
) -> Tensor:
    """The position of the smallest element: the first of equal ones, a NaN before all.

    >>> numgrad.argmin(numgrad.tensor([3., 1., 2.]))
    tensor(1)
    """
    if names:
        dim, keepdim = numpy_names("argmin", dim, keepdim, names)
    return given(_position("argmin", _MIN, input, dim, keepdim), out)


def _position(name: str, found: tuple, input: Any, dim: int | None, keepdim: bool) -> Any:
    data = check_tensor(input, name, "input")._data
    if data.dtype.kind == "b":
        raise RuntimeError(f"{name}(): does not support bool input")
    if dim is None:
        check_not_empty(name, data.shape, (), True, IndexError)
        shape = (1,) * data.ndim if keepdim else ()
        data = dense(data).reshape(-1)
        return wrap(_select(found, data, 0, shape)[1])
    axis = normalize_dim(dim, data.ndim)
    axes = (axis,) if data.ndim else ()
    check_not_empty(name, data.shape, axes, False)
    return wrap(_select(found, data, axis, reduced_shape(data.shape, axes, keepdim))[1])


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest element, over all or along one dimension.

    >>> numgrad.aminmax(numgrad.tensor([3., 1., 2.]))
    torch.return_types.aminmax(
    min=tensor(1.),
    max=tensor(3.))
    """
    data = check_tensor(input, "aminmax", "input")._data
    if dim is None and data.size == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the "
            "operation has no identity."
        )
    before = mode.enabled
    mode.enabled = False
    try:
        low = amin(input, () if dim is None else dim, keepdim)
        high = amax(input, () if dim is None else dim, keepdim)
    finally:
        mode.enabled = before
    result = _return_types.aminmax(low, high)
    if data.dtype.kind == "f" and needs_grad(input):
        axes = tuple(range(data.ndim)) if dim is None else (normalize_dim(dim, data.ndim),)
        saved = (input, wrap(low._data), wrap(high._data))
        record_many(result, "AminmaxBackward0", _aminmax_backward, (input,), saved, axes)
    return result


def _aminmax_backward(node: Any, grads: Any) -> Any:
    x, low, high = unpack(node)
    axes = node.context if x._data.ndim else ()
    parts = [
        _share_among_equal(grad, x, y, axes)
        for grad, y in zip(grads, (low, high), strict=True)
        if grad is not None
    ]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]
