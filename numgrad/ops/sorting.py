"""Sorting and choosing by rank.

A kernel finds the order; the elements are then gathered by their positions, so that gradients
scatter back to them. A NaN counts as the largest number, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import numgrad.device as devices

from ..autograd import tape
from ..device import DeviceArray
from ..dtypes import INT64
from ..dtypes import int64 as _int64
from ..kernels import sorting as kernels
from . import _core
from ._core import (
    Tensor,
    check_tensor,
    copy_array,
    dense,
    is_number,
    launch,
    normalize_dim,
    wrap,
    write_out,
)
from ._rank import rank
from ._results import given
from ._return_types import return_type
from .elementwise import clamp_min, div, eq, isnan, lerp, sub, where
from .gathering import gather_same
from .reduction import sum
from .views import clone, movedim, reshape, squeeze, unsqueeze

_Sort = return_type("sort", "values", "indices")
_TopK = return_type("topk", "values", "indices")
_KthValue = return_type("kthvalue", "values", "indices")
_Median = return_type("median", "values", "indices")
_NanMedian = return_type("nanmedian", "values", "indices")
_Mode = return_type("mode", "values", "indices")


#: A GPU sorts rows longer than this, if there are fewer than so many, in steps by all blocks.
_LONG, _MANY = 1 << 12, 256


def _order(data: Any, axis: int, descending: bool) -> Any:
    """The positions along an axis in sorted order; equal elements keep theirs."""
    last = axis == data.ndim - 1
    x = dense(data if last else np.moveaxis(data, axis, -1))
    if x.dtype.kind == "b":
        x = x.view(np.uint8)
    n = x.shape[-1]
    if type(x) is DeviceArray and n > _LONG and x.size < _MANY * n:
        positions = rank(x.reshape(-1, n), descending)[0].reshape(x.shape)
        return positions if last else np.moveaxis(positions, -1, axis)
    positions = _core.empty(x.shape, INT64, x)
    if x.size:
        working = [_core.empty(x.shape, INT64, x) for _ in range(3)]
        arguments = (x, positions, *working, float(descending))
        launch(kernels.order, x.dtype, x.size // x.shape[-1], arguments, 16 * x.size)
    return positions if last else np.moveaxis(positions, -1, axis)


def _write_outs(out: Any, results: tuple) -> None:
    for target, result in zip(out, results, strict=True):
        write_out(target, result)


def sort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    out: Any = None,
) -> Any:
    """The elements in order along a dimension, and where each of them was.

    The order is always stable: equal elements keep theirs.

    >>> numgrad.sort(numgrad.tensor([3, 1, 2]))
    torch.return_types.sort(
    values=tensor([1, 2, 3]),
    indices=tensor([1, 2, 0]))
    """
    data = check_tensor(input, "sort", "input")._data
    axis = normalize_dim(dim, data.ndim)
    if data.ndim == 0:
        result = _Sort(clone(input), wrap(_core.zeros((), INT64, data)))
    else:
        positions = wrap(dense(_order(data, axis, descending)))
        result = _Sort(gather_same(input, axis, positions, "SortBackward0"), positions)
    if out is not None:
        _write_outs(out, result)
    return result


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort along a dimension.

    >>> numgrad.argsort(numgrad.tensor([3, 1, 2]), descending=True)
    tensor([0, 2, 1])
    """
    data = check_tensor(input, "argsort", "input")._data
    axis = normalize_dim(dim, data.ndim)
    if data.ndim == 0:
        return wrap(_core.zeros((), INT64, data))
    return wrap(dense(_order(data, axis, descending)))


def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements in order along dimension 0.

    >>> numgrad.msort(numgrad.tensor([3, 1, 2]))
    tensor([1, 2, 3])
    """
    values = sort(input, 0)[0]
    return values if out is None else write_out(out, values)


def topk(
    input: Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    out: Any = None,
) -> Any:
    """The k largest (or smallest) elements along a dimension, and where they were.

    >>> numgrad.topk(numgrad.tensor([1., 3., 2.]), 2)
    torch.return_types.topk(
    values=tensor([3., 2.]),
    indices=tensor([1, 2]))
    """
    data = check_tensor(input, "topk", "input")._data
    axis = normalize_dim(dim, data.ndim)
    size = data.shape[axis] if data.ndim else 1
    if not 0 <= k <= size:
        raise RuntimeError("selected index k out of range")
    if data.ndim == 0:
        result = _TopK(clone(input), wrap(_core.zeros((), INT64, data)))
    else:
        positions = wrap(_leading(data, axis, k, largest))
        result = _TopK(gather_same(input, axis, positions, "TopkBackward0"), positions)
    if out is not None:
        _write_outs(out, result)
    return result


#: Up to so many elements, the first k are found by insertion, without sorting all.
_FEW = 32


def _leading(data: Any, axis: int, k: int, largest: bool) -> Any:
    """The positions of the first k elements in order."""
    size = data.shape[axis]
    if k > _FEW or k == 0:
        order = _order(data, axis, largest)
        return dense(order[(slice(None),) * axis + (slice(k),)])
    last = axis == data.ndim - 1
    x = dense(data if last else np.moveaxis(data, axis, -1))
    positions = _core.empty((*x.shape[:-1], k), INT64, x)
    if positions.size:
        work = x.size
        if x.dtype.kind == "b":
            x = x.view(np.uint8)
        launch(kernels.leading, x.dtype, work // size, (x, positions, float(largest)), work)
    return positions if last else dense(np.moveaxis(positions, -1, axis))


def _one(kind: Any, input: Any, positions: Any, axis: int, keepdim: bool, name: str) -> Any:
    """The elements at one position a row, and the positions; the dimension stays or goes."""
    found = wrap(dense(positions))
    values = gather_same(input, axis, found, name)
    if not keepdim:
        values, found = squeeze(values, axis), squeeze(found, axis)
    return kind(values, found)


def _reduced(input: Any, dim: int, function: str) -> tuple[int, Any]:
    """The dimension of a choice by rank, and the input, with one dimension at least."""
    data = check_tensor(input, function, "input")._data
    axis = normalize_dim(dim, data.ndim)
    if not data.ndim:
        return 0, reshape(input, (1,))
    if data.shape[axis] == 0:
        raise IndexError(f"{function}(): Expected reduction dim {axis} to have non-zero size.")
    return axis, input


def _finish(result: Any, input: Any, out: Any) -> Any:
    if not input._data.ndim:
        result = type(result)(*[reshape(part, ()) for part in result])
    if out is not None:
        _write_outs(out, result)
    return result


def kthvalue(
    input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The k-th smallest element along a dimension (counted from 1), and where it was.

    >>> numgrad.kthvalue(numgrad.tensor([5, 1, 3]), 2)
    torch.return_types.kthvalue(
    values=tensor(3),
    indices=tensor(2))
    """
    axis, source = _reduced(input, dim, "kthvalue")
    if not 1 <= k <= source._data.shape[axis]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    order = _order(source._data, axis, False)
    positions = order[(slice(None),) * axis + (slice(k - 1, k),)]
    result = _one(_KthValue, source, positions, axis, keepdim, "KthvalueBackward0")
    return _finish(result, input, out)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The middle element, the lower of two; NaN where there is one. With `dim`, its index too.

    >>> numgrad.median(numgrad.tensor([1., 4., 2., 3.]))
    tensor(2.)
    >>> numgrad.median(numgrad.tensor([[1, 5, 3]]), 1)
    torch.return_types.median(
    values=tensor([3]),
    indices=tensor([2]))
    """
    return _median(input, dim, keepdim, out, _Median, False)


def nanmedian(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None
) -> Any:
    """`median` of the elements that are not NaN.

    >>> numgrad.nanmedian(numgrad.tensor([1., float("nan"), 3., 2.]))
    tensor(2.)
    """
    return _median(input, dim, keepdim, out, _NanMedian, True)


def _median(
    input: Any, dim: int | None, keepdim: bool, out: Any, kind: Any, ignore_nan: bool
) -> Any:
    data = check_tensor(input, kind.__name__, "input")._data
    if data.dtype.kind == "b":
        raise NotImplementedError("\"median_cpu\" not implemented for 'Bool'")
    name = "NanmedianBackward" if ignore_nan else "MedianBackward"
    if dim is None:
        if not data.size:
            nothing = np.nan if data.dtype.kind == "f" else np.iinfo(data.dtype).min
            return wrap(copy_array(_core.number(nothing, data.dtype), data.dtype))
        flat = reshape(input, (-1,))
        positions = _middle(flat._data, 0, ignore_nan)
        return given(_one(kind, flat, positions, 0, False, name)[0], None, f"{name}0")
    axis, source = _reduced(input, dim, kind.__name__)
    positions = _middle(source._data, axis, ignore_nan)
    found = _finish(_one(kind, source, positions, axis, keepdim, name), input, out)
    given(found[0], None, f"{name}1")
    return found


def _middle(data: Any, axis: int, ignore_nan: bool) -> Any:
    """Where the lower median is; the first NaN if there is one, or the median of the others."""
    order = _order(data, axis, False)
    size = data.shape[axis]
    if data.dtype.kind != "f":
        middle = (size - 1) // 2
        return order[(slice(None),) * axis + (slice(middle, middle + 1),)]
    with tape.set_grad(False):
        # All NaN are at the end, in their order.
        numbers = sub(size, sum(isnan(wrap(data)), axis, keepdim=True, dtype=_int64))
        if ignore_nan:
            place = div(clamp_min(sub(numbers, 1), 0), 2, rounding_mode="floor")
        else:
            place = where(eq(numbers, size), (size - 1) // 2, numbers)
        return gather_same(wrap(dense(order)), axis, place)._data


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent element along a dimension, the smallest of several; the last of its places.

    >>> numgrad.mode(numgrad.tensor([1, 2, 2, 1, 3]))
    torch.return_types.mode(
    values=tensor(1),
    indices=tensor(3))
    """
    axis, source = _reduced(input, dim, "mode")
    data = _core.values(np.moveaxis(source._data, axis, -1), "mode")
    order = _order(data, data.ndim - 1, False)
    ordered = np.take_along_axis(data, order, -1)
    size = data.shape[-1]
    # The last place of every run of equal elements, and where the run began.
    places = np.arange(size)
    begins = np.ones(data.shape, bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    start = np.maximum.accumulate(np.where(begins, places, 0), -1)
    longest = (places - start).argmax(-1)[..., None]
    positions = np.moveaxis(np.take_along_axis(order, longest, -1), -1, axis)
    positions = devices.move(positions, source._data)
    return _finish(_one(_Mode, source, positions, axis, keepdim, "ModeBackward0"), input, out)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The q-th quantiles along a dimension (of all elements without it), 0 ≤ q ≤ 1.

    Several q, a vector, make a first dimension of the result. A NaN makes the quantile NaN.

    >>> numgrad.quantile(numgrad.tensor([1., 2., 3., 5.]), 0.5)
    tensor(2.5000)
    """
    return _quantile(input, q, dim, keepdim, interpolation, out, False)


def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Any:
    """`quantile` of the elements that are not NaN.

    >>> numgrad.nanquantile(numgrad.tensor([1., float('nan'), 3.]), 0.5)
    tensor(2.)
    """
    return _quantile(input, q, dim, keepdim, interpolation, out, True)


def _quantile(
    input: Any,
    q: Any,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
    out: Any,
    ignore_nan: bool,
) -> Any:
    data = check_tensor(input, "quantile", "input")._data
    ranks = _checked_q(data, q)
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    axis = 0 if dim is None else normalize_dim(dim, data.ndim)
    source = reshape(input, (-1,)) if dim is None or not data.ndim else movedim(input, axis, -1)
    if source._data.shape[-1] == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    ordered = sort(source, -1)[0]
    values = _core.values(ordered._data, "quantile")
    nan = np.isnan(values)
    size = values.shape[-1]
    places = ranks.reshape(-1) * values.dtype.type(size - 1)
    if ignore_nan:
        valid = size - np.count_nonzero(nan, -1, keepdims=True)
        places = ranks.reshape(-1) * np.maximum(valid - 1, 0).astype(values.dtype)
    else:  # the last element is the NaN if there is one
        places = np.where(nan[..., -1:], values.dtype.type(size - 1), places)
    below, above = np.floor(places), np.ceil(places)
    if interpolation in ("lower", "higher", "nearest"):
        chosen = {"lower": below, "higher": above, "nearest": np.rint(places)}[interpolation]
        result = _at(ordered, chosen)
    else:
        weight = np.asarray(places - below)
        if interpolation == "midpoint":
            weight = np.full_like(weight, 0.5)
        weight = wrap(devices.move(weight, ordered._data))
        result = lerp(_at(ordered, below), _at(ordered, above), weight)
    result = movedim(result, -1, 0)
    if keepdim and dim is None:
        result = reshape(result, (-1, *[1] * data.ndim))
    elif keepdim and data.ndim:
        result = unsqueeze(result, axis + 1)
    if ranks.ndim == 0:
        result = squeeze(result, 0)
    return result if out is None else write_out(out, result)


def _at(ordered: Any, places: Any) -> Any:
    index = devices.move(places.astype(INT64), ordered._data)
    return gather_same(ordered, ordered._data.ndim - 1, wrap(index))


def _checked_q(data: Any, q: Any) -> Any:
    """The q of a quantile as an array of the input's dtype."""
    if data.dtype.kind != "f":
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if is_number(q):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
        return np.array(q, data.dtype)
    own = check_tensor(q, "quantile", "q", 2)._data
    if own.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if own.dtype != data.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    own = _core.values(own, "quantile")
    if not ((own >= 0) & (own <= 1)).all():
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    return own
