"""Running sums, products and extrema along a dimension."""

from __future__ import annotations

from typing import Any

from ..autograd.tape import record_many
from ..dtypes import INT64, as_numpy_dtype
from ..kernels import scan as kernels
from . import _return_types
from ._core import (
    Tensor,
    cast,
    check_tensor,
    dense,
    empty,
    inplace,
    launch,
    needs_grad,
    normalize_dim,
    record,
    unpack,
    wrap,
    write_out,
)
from ._reduce import view3
from .creation import full_like, ones_like, zeros_like
from .elementwise import add, exp, gt, isinf, log, lt, mul, neg, sub, where
from .views import narrow


def _run(kernel: Any, arrays: tuple, axis: int, reverse: bool, dtype: Any = None) -> Any:
    """A new array from a scan kernel along one dimension."""
    first = arrays[0]
    out = empty(first.shape, dtype or first.dtype, first)
    if out.size:
        outer, n, inner = view3(first, axis)
        sizes = (float(n), float(inner), float(reverse))
        items = kernels.scan_items(outer, inner)
        launch(kernel, first.dtype, items, (*arrays, out, *sizes), out.size)
    return out


def _scan(name: str, input: Any, dim: int, dtype: Any, out: Any) -> Any:
    check_tensor(input, name, "input")
    kind = None if dtype is None else as_numpy_dtype(dtype)
    if kind is not None:
        if kind.kind == "b":
            raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
        input = cast(input, kind)
    data = input._data
    axis = normalize_dim(dim, data.ndim)
    if data.dtype.kind != "f":
        kernel = getattr(kernels, f"{name}_integers")
        result = wrap(_run(kernel, (dense(data),), axis, False, INT64))
        if kind is not None:
            result = cast(result, kind)
        return result if out is None else write_out(out, result)
    result = wrap(_run(getattr(kernels, name), (dense(data),), axis, False))
    if needs_grad(input):
        if name == "cumsum":
            record(result, "CumsumBackward0", _cumsum_backward, (input,), (), (axis, False))
        else:
            record(result, "CumprodBackward0", _cumprod_backward, (input,), (input,), axis)
    return result if out is None else write_out(out, result)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Tensor:
    """The running sum along `dim`; integers and bool are added in int64.

    >>> numgrad.cumsum(numgrad.tensor([1., 2., 3.]), 0)
    tensor([1., 3., 6.])
    """
    return _scan("cumsum", input, dim, dtype, out)


cumsum_ = inplace(cumsum)


def _cumsum_backward(node: Any, grad: Any) -> Any:
    axis, reverse = node.context
    return _running_sum(grad, axis, not reverse)


def _running_sum(x: Any, axis: int, reverse: bool) -> Any:
    """The running sum from either end, differentiable."""
    result = wrap(_run(kernels.cumsum, (dense(x._data),), axis, reverse))
    if needs_grad(x):
        record(result, "CumsumBackward0", _cumsum_backward, (x,), (), (axis, reverse))
    return result


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Tensor:
    """The running product along `dim`; integers and bool are multiplied in int64.

    >>> numgrad.cumprod(numgrad.tensor([1., 2., 3.]), 0)
    tensor([1., 2., 6.])
    """
    return _scan("cumprod", input, dim, dtype, out)


cumprod_ = inplace(cumprod)


def _cumprod_backward(node: Any, grad: Any) -> Any:
    """∂L/∂x[k] = (x[0] … x[k-1]) · S[k], S[k] = grad[k] + x[k+1] · S[k+1]: no division by zeros."""
    (x,) = unpack(node)
    axis = node.context
    if x._data.ndim == 0 or x._data.size == 0:
        return mul(grad, ones_like(x))
    tail = _linear_scan(grad, _shifted(x, axis, -1, 0.0), axis, True)
    return mul(exclusive_cumprod(x, axis), tail)


def exclusive_cumprod(x: Any, axis: int, reverse: bool = False) -> Any:
    """The product of all elements before each one (after each one, for `reverse`)."""
    zero = zeros_like(x)
    first = _shifted(zero, axis, -1 if reverse else 1, 1.0)  # 1 at the end where it starts
    factors = _shifted(x, axis, -1 if reverse else 1, 0.0)
    return _linear_scan(first, factors, axis, reverse)


def _shifted(x: Any, axis: int, by: int, fill: float) -> Any:
    """x moved by one place along `axis`, with `fill` where nothing moved to."""
    from .joining import cat

    n = x._data.shape[axis]
    edge = full_like(narrow(x, axis, 0, 1), fill)
    kept = narrow(x, axis, 0 if by > 0 else 1, n - 1)
    return cat((edge, kept) if by > 0 else (kept, edge), axis)


def _linear_scan(x: Any, factor: Any, axis: int, reverse: bool) -> Any:
    """S[i] = x[i] + factor[i] · S[i - 1] (S[i + 1] for `reverse`), differentiable."""
    arrays = (dense(x._data), dense(factor._data))
    result = wrap(_run(kernels.linear_scan, arrays, axis, reverse))
    if needs_grad(x, factor):
        saved, context = (factor, result), (axis, reverse)
        record(result, "LinearScanBackward0", _linear_scan_backward, (x, factor), saved, context)
    return result


def _linear_scan_backward(node: Any, grad: Any) -> tuple:
    # The adjoint runs the other way: W[i] = grad[i] + factor[i + 1] · W[i + 1].
    factor, y = unpack(node)
    axis, reverse = node.context
    by = -1 if reverse else 1
    adjoint = _linear_scan(grad, _shifted(factor, axis, -by, 0.0), axis, not reverse)
    return adjoint, mul(adjoint, _shifted(y, axis, by, 0.0))


def logcumsumexp(input: Tensor, dim: int, *, out: Any = None) -> Tensor:
    """log of the running sum of exp(input) along `dim`, without overflow.

    >>> numgrad.logcumsumexp(numgrad.tensor([0., 0., 0.]), 0)
    tensor([0.0000, 0.6931, 1.0986])
    """
    check_tensor(input, "logcumsumexp", "input")
    axis = normalize_dim(dim, input._data.ndim)
    if input._data.dtype.kind != "f":
        from ._core import type_name

        kind = type_name(input._data.dtype)
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{kind}'")
    result = _log_running_sum(input, axis, False)
    return result if out is None else write_out(out, result)


def _log_running_sum(x: Any, axis: int, reverse: bool) -> Any:
    result = wrap(_run(kernels.logcumsumexp, (dense(x._data),), axis, reverse))
    if needs_grad(x):
        saved, context = (x, result), (axis, reverse)
        record(result, "LogcumsumexpBackward0", _logcumsumexp_backward, (x,), saved, context)
    return result


def _logcumsumexp_backward(node: Any, grad: Any) -> Any:
    # Σ grad[i] exp(x[k] - y[i]) over i ≥ k, the positive and the negative gradients each in logs.
    x, y = unpack(node)
    axis, reverse = node.context
    y = where(isinf(y), 0.0, y)
    total = None
    for sign, chosen in ((1.0, gt(grad, 0.0)), (-1.0, lt(grad, 0.0))):
        size = where(chosen, grad if sign > 0 else neg(grad), 1.0)
        logs = where(chosen, log(size), float("-inf"))
        sums = _log_running_sum(sub(logs, y), axis, not reverse)
        part = exp(add(sums, x))
        total = part if total is None else sub(total, part)
    return total


def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """The running maximum along `dim` and where it is (the last of equal elements).

    >>> numgrad.cummax(numgrad.tensor([1., 3., 2.]), 0)
    torch.return_types.cummax(
    values=tensor([1., 3., 3.]),
    indices=tensor([0, 1, 1]))
    """
    return _running_extremum("cummax", input, dim, out)


def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """The running minimum along `dim` and where it is (the last of equal elements).

    >>> numgrad.cummin(numgrad.tensor([3., 1., 2.]), 0)
    torch.return_types.cummin(
    values=tensor([3., 1., 1.]),
    indices=tensor([0, 1, 1]))
    """
    return _running_extremum("cummin", input, dim, out)


def _running_extremum(name: str, input: Any, dim: int, out: Any) -> Any:
    data = dense(check_tensor(input, name, "input")._data)
    axis = normalize_dim(dim, data.ndim)
    values, indices = empty(data.shape, data.dtype, data), empty(data.shape, INT64, data)
    if values.size:
        outer, n, inner = view3(data, axis)
        arguments = (data, values, indices, float(n), float(inner), 0.0)
        items = kernels.scan_items(outer, inner)
        launch(getattr(kernels, name), data.dtype, items, arguments, data.size)
    result = getattr(_return_types, name)(wrap(values), wrap(indices))
    if data.dtype.kind == "f" and needs_grad(input):
        node, context = f"{name.capitalize()}Backward0", (axis, result.indices)
        record_many(result, node, _extremum_backward, (input,), (), context, (True, False))
    if out is None:
        return result
    return type(result)(*[write_out(o, r) for o, r in zip(out, result, strict=True)])


def _extremum_backward(node: Any, grads: Any) -> Any:
    axis, indices = node.context
    return _scatter_added(grads[0], indices, axis)


def _scatter_added(grad: Any, indices: Any, axis: int) -> Any:
    result = wrap(_run(kernels.scatter_added, (dense(grad._data), indices._data), axis, False))
    if needs_grad(grad):
        context = (axis, indices)
        record(result, "ScatterAddBackward0", _gather_backward, (grad,), (), context)
    return result


def _gather_backward(node: Any, grad: Any) -> Any:
    from .gathering import gather

    axis, indices = node.context
    return gather(grad, axis, indices)


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Tensor:
    """The differences of neighbouring elements along `dim`, taken `n` times.

    >>> numgrad.diff(numgrad.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    from .joining import cat

    data = check_tensor(input, "diff", "input")._data
    if data.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = normalize_dim(dim, data.ndim)
    parts = [t for t in (prepend, input, append) if t is not None]
    result = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(n):
        size = result._data.shape[axis]
        if size == 0:
            break
        later, earlier = narrow(result, axis, 1, size - 1), narrow(result, axis, 0, size - 1)
        if result._data.dtype.kind == "b":
            from .elementwise import logical_xor

            result = logical_xor(later, earlier)
        else:
            result = sub(later, earlier)
    return result
