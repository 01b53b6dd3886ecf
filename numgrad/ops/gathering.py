"""Gather and scatter: elements along one dimension, by an index for each of them.

Elements that several indices name are written or added in the order of the indices, whatever the
number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.tape import mode
from ..dtypes import BOOL, INT32, INT64
from ..kernels import indexing as kernels
from . import _core
from ._core import (
    Tensor,
    assign,
    cast,
    check,
    check_tensor,
    copy_array,
    dense,
    inplace,
    is_number,
    launch,
    needs_grad,
    normalize_dim,
    number,
    record,
    type_name,
    unpack,
    wrap,
    write_out,
)
from ._place import (
    BITS,
    check_along,
    checked_index,
    modify,
    product,
    raise_along,
    sorts_indices,
    take_flat,
    write_in_order,
)
from ._results import given
from .creation import fill_array, ones_like
from .elementwise import clamp_min, div, eq, mul, where
from .views import expand, reshape, slice_dim


def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None
) -> Tensor:
    """out[i, j] = input[index[i, j], j] for dim 0, input[i, index[i, j]] for dim 1, and so on.

    `index` has as many dimensions as the input and is nowhere larger, apart from `dim`.

    >>> x = numgrad.tensor([[1, 2], [3, 4]])
    >>> numgrad.gather(x, 1, numgrad.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    check_tensor(input, "gather", "input")
    index = checked_index(index, "gather")
    shape = index._data.shape
    axis = normalize_dim(dim, input._data.ndim)
    if not shape or not input._data.ndim:
        input = reshape(input, (1,)) if not input._data.ndim else input
        index = reshape(index, (1,)) if not shape else index
    own, size = index._data.shape, input._data.shape
    if index._data.size:
        if len(own) != len(size):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as input tensor"
            )
        for k in range(len(own)):
            if k != axis and own[k] > size[k]:
                raise RuntimeError(
                    f"Size does not match at dimension {k} expected index {list(own)} to be no "
                    f"larger than self {list(size)} apart from dimension {axis}"
                )
        input = _narrowed(input, own, axis)
        result = gather_same(input, axis, index)
    else:
        result = reshape(slice_dim(reshape(input, (-1,)), 0, 0, 0, 1), own)
    if not shape:
        result = reshape(result, ())
    return result if out is None else write_out(out, result)


def _narrowed(tensor: Any, shape: tuple, axis: int | None) -> Any:
    """The corner of a tensor that an index of this shape reaches, apart from `axis`."""
    for k, n in enumerate(shape):
        if k != axis and n < tensor._data.shape[k]:
            tensor = slice_dim(tensor, k, 0, n, 1)
    return tensor


def gather_same(input: Any, axis: int, index: Any, name: str = "GatherBackward0") -> Tensor:
    """`gather` where input and index differ in size along `axis` alone."""
    data, positions = input._data, index._data
    out = _core.empty(positions.shape, data.dtype, data)
    count = out.size
    if count:
        bad = _core.zeros(1, INT64, data)
        if not data.size:
            raise_along(positions, data.shape[axis], axis)
        inner = product(positions.shape[axis + 1 :])
        sizes = (float(data.shape[axis]), float(positions.shape[axis]), float(inner))
        launch(
            kernels.gather_along,
            BITS[data.itemsize],
            count // inner,
            (dense(data), dense(positions), out, bad, *sizes),
            count,
        )
        check(bad, 0, raise_along, positions, data.shape[axis], axis)
    result = wrap(out)
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        record(result, name, _gather_backward, (input,), (index,), (axis, data.shape))
    return result


def _gather_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    axis, shape = node.context
    return sum_along(grad, axis, index, shape)


def sum_along(values: Any, axis: int, index: Any, shape: tuple) -> Any:
    """Zeros, and the values added at their index along `axis`: the transpose of `gather_same`."""
    data = _core.zeros(shape, values._data.dtype, values._data)
    _write_along(kernels.add_along, data, axis, index._data, values._data)
    result = wrap(data)
    if mode.enabled and needs_grad(values):
        record(result, "ScatterAddBackward0", _sum_along_backward, (values,), (index,), axis)
    return result


def _sum_along_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    return gather_same(grad, node.context, index)


def _write_along(kernel: Any, target: Any, axis: int, index: Any, values: Any) -> None:
    """Write or combine values at their index along `axis` into a dense array.

    The indices must have been checked. `values` has the index's shape, or one element.
    """
    count = index.size
    if count == 0:
        return
    corner = tuple([slice(None) if k == axis else slice(n) for k, n in enumerate(index.shape)])
    part = target[corner]
    if not part.flags.c_contiguous:
        array = copy_array(part, part.dtype)
        _write_along(kernel, array, axis, index, values)
        assign(part, array)
        return
    if target.dtype == BOOL and kernel is not kernels.put_along:
        array = copy_array(target, INT32)
        _write_along(kernel, array, axis, index, copy_array(values, INT32))
        assign(target, array)
        return
    inner = product(index.shape[axis + 1 :])
    kind = BITS[target.itemsize] if kernel is kernels.put_along else target.dtype
    if sorts_indices(target, index.shape[axis], count // index.shape[axis]):
        targets = _core.empty(count, INT64, target)
        sizes = (float(target.shape[axis]), float(index.shape[axis]), float(inner))
        launch(kernels.along_targets, INT64, count, (dense(index), targets, *sizes))
        write_in_order(kernel, kind, part, targets, values, part.size, 1)
        return
    launch(
        kernel,
        kind,
        kernels.column_items(product(index.shape[:axis]), inner),
        (
            dense(values),
            dense(index),
            part,
            float(target.shape[axis]),
            float(index.shape[axis]),
            float(inner),
            0.0 if values.ndim == 0 else 1.0,
        ),
        count,
    )


def _scattered(self: Any, dim: int, index: Any, src: Any, function: str) -> tuple:
    """The dimension, index and values of a scatter, checked: the values are a tensor of the
    index's shape, or 0-d for a number."""
    check_tensor(self, function, "input")
    index = checked_index(index, function)
    data = self._data
    axis = normalize_dim(dim, data.ndim)
    if isinstance(src, Tensor):
        if src._data.dtype != data.dtype:
            raise RuntimeError(f"{function}(): Expected self.dtype to be equal to src.dtype")
        if not src._data.ndim:
            src = reshape(src, (1,))
    elif is_number(src):
        src = wrap(number(src, data.dtype))
    else:
        check_tensor(src, function, "src", 4)
    shape, size = index._data.shape or (1,), data.shape or (1,)
    if not index._data.ndim:
        index = reshape(index, (1,))
    own = src._data.shape
    if index._data.size:
        if len(shape) != len(size):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as self tensor"
            )
        if own and len(shape) != len(own):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        fits = all(k == axis or shape[k] <= size[k] for k in range(len(size)))
        if not fits or any(n > have for n, have in zip(shape, own, strict=False)):
            beside = f" and to be no larger size than src {list(own)}" if own else ""
            raise RuntimeError(
                f"Expected index {list(shape)} to be no larger than self {list(size)} apart from "
                f"dimension {axis}{beside}"
            )
        if own:
            src = _narrowed(src, shape, None)
    elif own:
        src = reshape(slice_dim(reshape(src, (-1,)), 0, 0, 0, 1), shape)
    check_along(index._data, size[axis], axis)
    return axis, index, src


def _combine_along(
    self: Any, axis: int, index: Any, src: Any, kernel: Any, inside: bool, name: str, rule: Any
) -> Any:
    values = src._data

    def write(array: Any) -> None:
        target = array.reshape(1) if array.ndim == 0 else array
        _write_along(kernel, target, axis, index._data, values)

    return modify(self, write, inside, name, rule, (src,), (index,), (axis, values.shape))


def _scatter(self: Any, dim: int, index: Any, src: Any, inside: bool) -> Any:
    axis, index, src = _scattered(self, dim, index, src, "scatter")
    return _combine_along(
        self, axis, index, src, kernels.put_along, inside, "ScatterBackward0", _scatter_backward
    )


def _along(grad: Any) -> Any:
    return grad if grad._data.ndim else reshape(grad, (1,))


def _to_src(node: Any, grad: Any, index: Any) -> Any:
    """The gradient of the values of a scatter: what lies at their index."""
    axis, shape = node.context
    if node.edges[1] is None:
        return None
    grad = _at_index(_along(grad), axis, index)
    if not shape:
        from .reduction import sum

        grad = sum(grad)
    return grad


def _scatter_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    to_self = None
    if node.edges[0] is not None:
        to_self = _scatter(grad, node.context[0], index, 0, False)
    return to_self, _to_src(node, grad, index)


def _scatter_add_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    return grad, _to_src(node, grad, index)


def _source(src: Any, value: Any) -> Any:
    return value if src is None else src


def scatter_(
    self: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """In-place version of `scatter`."""
    if reduce is not None:
        return _scatter_with(self, dim, index, _source(src, value), reduce=reduce)
    return _scatter(self, dim, index, _source(src, value), True)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """A copy of the input with out[index[i, j], j] = src[i, j] (for dim 0), `src` also a number.

    `reduce` "add" or "multiply" combines instead of overwriting.

    >>> numgrad.zeros(2, 3).scatter(1, numgrad.tensor([[0], [2]]), 1.)
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    src = _source(src, value)
    if reduce is None:
        name = None if isinstance(src, Tensor) else "ScatterBackward1"
        result = given(_scatter(input, dim, index, src, False), None, name)
    elif reduce == "add" or reduce == "multiply":
        if not isinstance(src, Tensor):
            src = expand(wrap(number(src, input._data.dtype)), index._data.shape)
        result = scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")
    else:
        raise RuntimeError("reduce argument must be either add or multiply.")
    return result if out is None else write_out(out, result)


_scatter_with = inplace(scatter)


def _scatter_add(self: Any, dim: int, index: Any, src: Any, inside: bool) -> Any:
    check_tensor(src, "scatter_add", "src", 4)
    axis, index, src = _scattered(self, dim, index, src, "scatter_add")
    kernel = kernels.add_along
    name = "ScatterAddBackward0"
    return _combine_along(self, axis, index, src, kernel, inside, name, _scatter_add_backward)


def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """In-place version of `scatter_add`."""
    return _scatter_add(self, dim, index, src, True)


def scatter_add(
    input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """A copy of the input with src[i, j] added at [index[i, j], j] (for dim 0).

    >>> at = numgrad.tensor([0, 0, 1])
    >>> numgrad.scatter_add(numgrad.zeros(2), 0, at, numgrad.tensor([1., 2., 3.]))
    tensor([3., 3.])
    """
    result = _scatter_add(input, dim, index, src, False)
    return result if out is None else write_out(out, result)


def _neutral(dtype: np.dtype, reduce: str) -> Any:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    sign = -1 if reduce == "amax" else 1
    if dtype.kind == "f":
        return sign * float("inf")
    if dtype.kind == "b":
        return sign > 0
    limits = np.iinfo(dtype)
    return int(limits.min if sign < 0 else limits.max)


def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Tensor | None = None,
) -> Tensor:
    """`scatter` that reduces values of one index: "sum", "prod", "mean", "amax" or "amin".

    >>> at = numgrad.tensor([0, 0, 1])
    >>> numgrad.zeros(2).scatter_reduce(0, at, numgrad.tensor([1., 5., 3.]), "amax")
    tensor([5., 3.])
    """
    if reduce not in _REDUCTIONS:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    check_tensor(src, "scatter_reduce", "src", 4)
    start = input if input._data.ndim else reshape(input, (1,))
    axis, index, src = _scattered(start, dim, index, src, "scatter_reduce")
    if not include_self:
        start = _scatter(start, axis, index, _neutral(start._data.dtype, reduce), False)
    kernel, rule = _REDUCTIONS[reduce]
    data = copy_array(start._data, start._data.dtype)
    _write_along(kernel, data, axis, index._data, src._data)
    result = wrap(data)
    if mode.enabled and needs_grad(start, src):
        saved = (index,) if rule is _scatter_add_backward else (index, start, src, result)
        context = (axis, src._data.shape)
        record(result, "ScatterReduceBackward0", rule, (start, src), saved, context)
    if reduce == "mean":
        result = _averaged(result, axis, index, include_self)
    if not input._data.ndim:
        result = reshape(result, ())
    return result if out is None else write_out(out, result)


def _averaged(total: Any, axis: int, index: Any, include_self: bool) -> Any:
    """Sums over what was scattered, divided by how many values went into each."""
    counts = _core.empty(total._data.shape, total._data.dtype, total._data)
    fill_array(counts, 1)
    if not include_self:
        _write_along(kernels.put_along, counts, axis, index._data, number(0, counts.dtype))
    _write_along(kernels.add_along, counts, axis, index._data, number(1, counts.dtype))
    # Nothing was added up where there is none: the sum stays as it is.
    divisor = clamp_min(wrap(counts), 1)
    return div(total, divisor, rounding_mode=None if counts.dtype.kind == "f" else "floor")


def _prod_backward(node: Any, grad: Any) -> tuple:
    """Each factor's gradient is the product of the others; zeros are counted apart."""
    index, start, src, _ = unpack(node)
    axis = node.context[0]
    dtype = src._data.dtype
    to_self = to_src = None
    if node.edges[0] is not None:
        ones = ones_like(start)
        to_self = mul(grad, scatter_reduce(ones, axis, index, src, "prod"))
    if node.edges[1] is not None:
        zero_src, zero_start = eq(src, 0), eq(start, 0)
        factor = where(zero_src, 1, src)
        product_ = scatter_reduce(where(zero_start, 1, start), axis, index, factor, "prod")
        zeros = scatter_add(cast(zero_start, dtype), axis, index, cast(zero_src, dtype))
        around = [_at_index(t, axis, index) for t in (grad, product_, zeros)]
        # The other factors hold a zero unless all zeros there are this factor's own.
        alone = eq(around[2], cast(zero_src, dtype))
        to_src = mul(around[0], where(alone, div(around[1], factor), 0))
    return to_self, to_src


def _at_index(tensor: Any, axis: int, index: Any) -> Any:
    return gather_same(_narrowed(tensor, index._data.shape, axis), axis, index)


def _extremum_backward(node: Any, grad: Any) -> tuple:
    """Equal extrema share the gradient evenly."""
    index, start, src, result = unpack(node)
    axis = node.context[0]
    dtype = src._data.dtype
    chosen = cast(eq(start, result), dtype)
    chosen_src = cast(eq(src, _at_index(result, axis, index)), dtype)
    count = scatter_add(chosen, axis, index, chosen_src)
    shared = div(grad, where(eq(count, 0), 1, count))
    return mul(chosen, shared), mul(chosen_src, _at_index(shared, axis, index))


_REDUCTIONS = {
    "sum": (kernels.add_along, _scatter_add_backward),
    "mean": (kernels.add_along, _scatter_add_backward),
    "prod": (kernels.multiply_along, _prod_backward),
    "amax": (kernels.largest_along, _extremum_backward),
    "amin": (kernels.smallest_along, _extremum_backward),
}
scatter_reduce_ = inplace(scatter_reduce)


def take_along_dim(
    input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`gather`, broadcasting input and indices; without `dim`, `take`.

    >>> x = numgrad.tensor([[3, 1], [2, 4]])
    >>> numgrad.take_along_dim(x, numgrad.argsort(x, dim=1), dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    if check_tensor(indices, "take_along_dim", "indices", 2)._data.dtype != INT64:
        raise RuntimeError(
            "torch.take_along_dim(): dtype of indices should be Long but got "
            f"{type_name(indices._data.dtype)}"
        )
    if dim is None:
        result = take_flat(input, reshape(indices, (-1,)), "GatherBackward0")
        return result if out is None else write_out(out, result)
    if input._data.ndim != indices._data.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input._data.ndim} dimensions for input, and {indices._data.ndim} dimensions "
            "for indices"
        )
    axis = normalize_dim(dim, input._data.ndim)
    ones = [n if k != axis else 1 for k, n in enumerate(indices._data.shape)]
    own = [n if k != axis else 1 for k, n in enumerate(input._data.shape)]
    common = _core.broadcast_shapes(tuple(ones), tuple(own))
    sizes = []
    for tensor in (input, indices):
        shape = list(common)
        if shape:
            shape[axis] = tensor._data.shape[axis]
        sizes.append(shape)
    return gather(expand(input, sizes[0]), axis, expand(indices, sizes[1]), out=out)
