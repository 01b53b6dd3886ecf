"""Sorting and selecting by rank. NumPy sorts; gradients go back by `gather` and `scatter`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from ..dtypes import BOOL, INT64
from ._core import Tensor, check_tensor, needs_grad, normalize_dim, record, unpack, wrap
from .gathering import scatter_add
from .views import reshape

_Sort = namedtuple("sort", ["values", "indices"])
_TopK = namedtuple("topk", ["values", "indices"])
_KthValue = namedtuple("kthvalue", ["values", "indices"])
_Median = namedtuple("median", ["values", "indices"])
for _kind in (_Sort, _TopK, _KthValue, _Median):
    _kind.__module__ = "torch.return_types"


def _show(self: Any) -> str:
    return (
        f"torch.return_types.{type(self).__name__}(\nvalues={self.values!r},\n"
        f"indices={self.indices!r})"
    )


for _kind in (_Sort, _TopK, _KthValue, _Median):
    _kind.__repr__ = _show  # type: ignore[method-assign]


def _order(data: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Positions in stable order; NaN counts as the largest, as in PyTorch."""
    if not descending:
        return np.argsort(data, axis, kind="stable")
    flipped = np.flip(data, axis)
    found = np.flip(np.argsort(flipped, axis, kind="stable"), axis)
    return data.shape[axis] - 1 - found


def _pick(input: Any, positions: np.ndarray, axis: int, name: str) -> tuple:
    """The values at these positions along a dimension, with their gradient."""
    positions = np.ascontiguousarray(positions, INT64)
    values = wrap(np.array(np.take_along_axis(input._data, positions, axis), order="C"))
    indices = wrap(positions)
    if needs_grad(input):
        context = (axis, input._data.shape)
        record(values, name, _pick_backward, (input,), (indices,), context)
    return values, indices


def _pick_backward(node: Any, grad: Any) -> Any:
    from .creation import zeros

    (indices,) = unpack(node)
    axis, shape = node.context
    return scatter_add(zeros(shape, dtype=grad.dtype), axis, indices, grad)


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Any:
    """Values in ascending (or descending) order along `dim`, and where they were.

    >>> numgrad.sort(numgrad.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    data = check_tensor(input, "sort", "input")._data
    if data.ndim == 0:
        return _Sort(input.clone(), wrap(np.zeros((), INT64)))  # type: ignore[attr-defined]
    axis = normalize_dim(dim, data.ndim)
    return _Sort(*_pick(input, _order(data, axis, descending), axis, "SortBackward0"))


def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> Tensor:
    """The positions that would sort along `dim`.

    >>> numgrad.argsort(numgrad.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    data = input._data
    if data.ndim == 0:
        return wrap(np.zeros((), INT64))
    axis = normalize_dim(dim, data.ndim)
    return wrap(np.ascontiguousarray(_order(data, axis, descending), INT64))


def msort(input: Tensor) -> Tensor:
    """Sorted along dimension 0."""
    return sort(input, 0).values


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Any:
    """The k largest (or smallest) values along `dim`, in order, and where they were.

    >>> numgrad.topk(numgrad.tensor([1., 3., 2.]), 2).values
    tensor([3., 2.])
    """
    data = input._data
    axis = normalize_dim(dim, data.ndim)
    if not 0 <= k <= (data.shape[axis] if data.ndim else 1):
        raise RuntimeError("selected index k out of range")
    source = input if data.ndim else reshape(input, (1,))
    order = _order(source._data, axis, largest)
    values, indices = _pick(source, np.take(order, np.arange(k), axis), axis, "TopkBackward0")
    if not data.ndim:
        return _TopK(reshape(values, ()), reshape(indices, ()))
    return _TopK(values, indices)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest value along `dim` (counted from 1), and where it was."""
    data = input._data
    axis = normalize_dim(dim, data.ndim)
    if not 1 <= k <= data.shape[axis]:
        raise RuntimeError("kthvalue(): selected number k out of range for dimension 0")
    order = _order(data, axis, False)
    return _one(_KthValue, input, np.take(order, [k - 1], axis), axis, keepdim, "KthvalueBackward0")


def _one(
    kind: Any, input: Any, positions: np.ndarray, axis: int, keepdim: bool, name: str
) -> Any:
    values, indices = _pick(input, positions, axis, name)
    if not keepdim:
        shape = [n for k, n in enumerate(values._data.shape) if k != axis]
        values, indices = reshape(values, shape), reshape(indices, shape)
    return kind(values, indices)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or along `dim` with its position; NaN if there is one.

    >>> numgrad.median(numgrad.tensor([1., 4., 2., 3.]))
    tensor(2.)
    """
    if dim is None:
        flat = reshape(input, (-1,))
        return _one(_Median, flat, _median_positions(flat._data, 0), 0, False, "MedianBackward0")[0]
    axis = normalize_dim(dim, input._data.ndim)
    positions = _median_positions(input._data, axis)
    return _one(_Median, input, positions, axis, keepdim, "MedianBackward0")


def _median_positions(data: np.ndarray, axis: int) -> np.ndarray:
    order = _order(data, axis, False)
    positions = np.take(order, [(data.shape[axis] - 1) // 2], axis)
    if data.dtype.kind == "f":
        nan = np.isnan(data)
        first = np.argmax(nan, axis, keepdims=True)
        positions = np.where(nan.any(axis, keepdims=True), first, positions)
    return positions


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along `dim`), in ascending order.

    >>> numgrad.unique(numgrad.tensor([3, 1, 3]))
    tensor([1, 3])
    """
    found = np.unique(
        input._data,
        return_inverse=return_inverse,
        return_counts=return_counts,
        axis=dim,
        equal_nan=False,
    )
    parts = list(found) if isinstance(found, tuple) else [found]
    tensors = [wrap(np.ascontiguousarray(parts[0]))]
    if return_inverse:
        shape = input._data.shape if dim is None else (-1,)
        tensors.append(wrap(np.ascontiguousarray(parts[1].reshape(shape), INT64)))
    if return_counts:
        tensors.append(wrap(np.ascontiguousarray(parts[-1], INT64)))
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements without those equal to the one before.

    >>> numgrad.unique_consecutive(numgrad.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    data = input._data.reshape(-1) if dim is None else np.moveaxis(input._data, dim, 0)
    count = data.shape[0]
    fresh = np.ones(count, BOOL)
    if count > 1:
        different = data[1:] != data[:-1]
        fresh[1:] = different.reshape(count - 1, -1).any(1)
    kept = data[fresh]
    values = kept if dim is None else np.moveaxis(kept, 0, dim)
    tensors = [wrap(np.ascontiguousarray(values))]
    if return_inverse:
        shape = input._data.shape if dim is None else (-1,)
        tensors.append(wrap((np.cumsum(fresh) - 1).astype(INT64).reshape(shape)))
    if return_counts:
        ends = np.append(np.flatnonzero(fresh), count)
        tensors.append(wrap(np.diff(ends).astype(INT64)))
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, right: bool = False, side: str | None = None
) -> Tensor:
    """Where to insert values into a sorted vector to keep it sorted."""
    place = "right" if right or side == "right" else "left"
    values = input._data if isinstance(input, Tensor) else np.asarray(input)
    if sorted_sequence._data.ndim != 1:
        raise RuntimeError("searchsorted(): boundaries tensor should be 1 dimension here")
    return wrap(np.asarray(np.searchsorted(sorted_sequence._data, values, place), INT64))


def bucketize(input: Any, boundaries: Tensor, *, right: bool = False) -> Tensor:
    """The number of the bucket that each value falls into."""
    return searchsorted(boundaries, input, right=right)
