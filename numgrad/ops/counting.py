"""Counting values and finding their places: bincount, unique, searchsorted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import numgrad.device as devices

from ..device import DeviceArray
from ..dtypes import INT64, promote
from ..kernels import sorting as kernels
from ..kernels.indexing import add_rows
from . import _core
from ._core import (
    Tensor,
    cast,
    check_tensor,
    copy_array,
    dense,
    is_number,
    launch,
    normalize_dim,
    number,
    result_dtype,
    type_name,
    wrap,
    write_out,
)
from ._place import WIDE, place_along, write_rows


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2 ... occurs in a vector, or the sum of its weights.

    >>> numgrad.bincount(numgrad.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    data = check_tensor(input, "bincount", "input")._data
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if data.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{type_name(data.dtype)}'")
    values = dense(cast(input, INT64)._data)
    # Also with `minlength` the largest value decides how long the result is.
    host = _core.values(values, "bincount")
    if data.ndim != 1 or (data.size and host.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    count = max(minlength, int(host.max()) + 1 if data.size else 0)
    if weights is None:
        out = _core.zeros((count,), INT64, data)
        launch(kernels.count_values, WIDE, 1, (values, out))
        return wrap(out)
    if weights._data.shape != data.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    if weights._data.dtype != np.float32:
        weights = cast(weights, np.dtype(np.float64))
    out = _core.zeros((count,), weights._data.dtype, data)
    if type(out) is DeviceArray:
        write_rows(
            add_rows,
            out,
            place_along((count,), 0, data.shape, data.size),
            values,
            dense(weights._data),
        )
        return wrap(out)
    launch(kernels.sum_weights, out.dtype, 1, (values, dense(weights._data), out))
    return wrap(out)


def histc(
    input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None
) -> Any:
    """How many elements lie in each of `bins` equal intervals of [min, max].

    The elements' own extremes are taken where min = max; elements outside are left out.

    >>> numgrad.histc(numgrad.tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    data = check_tensor(input, "histc", "input")._data
    if data.dtype.kind != "f":
        raise NotImplementedError(
            f"\"histogram_cpu\" not implemented for '{type_name(data.dtype)}'"
        )
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if low == high and data.size:
        host = _core.values(data, "histc without a range")
        low, high = float(host.min()), float(host.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"histogram: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    counts = _core.zeros((bins,), INT64, data)
    launch(kernels.count_in_bins, data.dtype, 1, (dense(data), counts, low, high), data.size)
    result = cast(wrap(counts), data.dtype)
    return result if out is None else write_out(out, result)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in ascending order (or, with `dim`, the different slices).

    With `return_inverse`, also where each element of the input is among them; with
    `return_counts`, also how often each occurs. Every NaN is different from every other.

    >>> numgrad.unique(numgrad.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    data = check_tensor(input, "unique", "input")._data
    if dim is not None and data.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = None if dim is None else normalize_dim(dim, data.ndim)
    if axis is not None and 0 in data.shape[:axis] + data.shape[axis + 1 :]:
        raise RuntimeError(
            "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
        )
    values, inverse, counts = np.unique(
        _core.values(data, "unique"),
        return_inverse=True,
        return_counts=True,
        axis=axis,
        equal_nan=False,
    )
    found = [values, inverse.reshape(data.shape if axis is None else (-1,)), counts]
    return _chosen(found, return_inverse, return_counts, data)


def _chosen(found: list, return_inverse: bool, return_counts: bool, like: Any) -> Any:
    """The values alone, or with what else was asked for, on the device of `like`."""
    wanted = [True, return_inverse, return_counts]
    dtypes = [found[0].dtype, INT64, INT64]
    results = [
        wrap(devices.move(np.ascontiguousarray(array, dtype).reshape(array.shape), like))
        for array, dtype, want in zip(found, dtypes, wanted, strict=True)
        if want
    ]
    return results[0] if len(results) == 1 else tuple(results)


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices along `dim`) without those that equal the one before.

    >>> numgrad.unique_consecutive(numgrad.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    data = check_tensor(input, "unique_consecutive", "input")._data
    own, data = data, _core.values(data, "unique_consecutive")
    if dim is None:
        listed = data.reshape(-1)
    else:
        listed = np.moveaxis(data, normalize_dim(dim, data.ndim), 0) if data.ndim else data[None]
    count = listed.shape[0]
    fresh = np.ones(count, bool)
    if count > 1:
        fresh[1:] = (listed[1:] != listed[:-1]).reshape(count - 1, -1).any(1)
    values = listed[fresh]
    if dim is not None and data.ndim:
        values = np.moveaxis(values, 0, dim)
    inverse = np.cumsum(fresh) - 1
    if dim is None:
        inverse = inverse.reshape(data.shape)
    counts = np.diff(np.append(np.flatnonzero(fresh), count))
    return _chosen([values, inverse, counts], return_inverse, return_counts, own)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Where values belong in a sorted vector, or in the matching rows of sorted rows.

    Before elements that are equal (`side="left"`, the default) or behind them (`side="right"`).
    `sorter` is the `argsort` of a sequence that is not sorted.

    >>> numgrad.searchsorted(numgrad.tensor([1, 3, 5]), numgrad.tensor([3, 6]))
    tensor([1, 3])
    """
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(
            "torch.searchsorted(): side can only be 'left' or 'right' but got " + side
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )
    right = right or side == "right"
    check_tensor(sorted_sequence, "searchsorted", "sorted_sequence")
    if sorter is not None:
        if sorter._data.dtype != INT64:
            raise RuntimeError(
                "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype "
                f"{type_name(sorter._data.dtype)}"
            )
        if sorter._data.shape != sorted_sequence._data.shape:
            raise RuntimeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but got "
                f"boundary tensor {list(sorted_sequence._data.shape)}and got sorter tensor "
                f"{list(sorter._data.shape)}"
            )
        from .gathering import gather

        sorted_sequence = gather(sorted_sequence, -1, sorter)
    boundaries = sorted_sequence._data
    if is_number(input):
        if boundaries.ndim != 1:
            raise RuntimeError(
                "torch.searchsorted(): input value can be a scalar only when boundaries tensor "
                f"dimension is 1, but we got boundaries tensor dim({boundaries.ndim}) and input "
                "value's dim(0) numel(1)"
            )
        values = number(input, result_dtype([sorted_sequence, input]))
    else:
        values = check_tensor(input, "searchsorted", "input", 2)._data
        if values.ndim == 0 and boundaries.ndim != 1:
            raise RuntimeError(
                "torch.searchsorted(): input value can be a scalar only when boundaries tensor "
                f"dimension is 1, but we got boundaries tensor dim({boundaries.ndim}) and input "
                "value's dim(0) numel(1)"
            )
        if boundaries.ndim == 0:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should have positive dimension, but got "
                "0 dimension"
            )
        if boundaries.ndim > 1 and boundaries.shape[:-1] != values.shape[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                "dimensions of boundaries tensor and input value tensor must match, but we got "
                f"boundaries tensor {list(boundaries.shape)} and input value tensor "
                f"{list(values.shape)}"
            )
    dtype = promote(boundaries.dtype, values.dtype)
    boundaries, values = (
        dense(a) if a.dtype == dtype else copy_array(a, dtype) for a in (boundaries, values)
    )
    found = _searched(boundaries, values, right)
    result = cast(found, np.dtype(np.int32)) if out_int32 else found
    return result if out is None else write_out(out, result)


def _searched(boundaries: Any, values: Any, right: bool) -> Any:
    found = _core.empty(values.shape, INT64, boundaries)
    by_row = boundaries.ndim > 1
    if found.size:
        n, m = boundaries.shape[-1], values.shape[-1] if by_row else 1
        sizes = (float(n), float(m), float(right), float(by_row))
        launch(kernels.search, values.dtype, found.size, (boundaries, values, found, *sizes))
    return wrap(found)


def bucketize(
    input: Any,
    boundaries: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The number of the bucket between sorted boundaries that each value falls into.

    >>> numgrad.bucketize(numgrad.tensor([3, 6, 9]), numgrad.tensor([1, 3, 5, 7, 9]))
    tensor([1, 3, 4])
    """
    if check_tensor(boundaries, "bucketize", "boundaries", 2)._data.ndim != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries._data.ndim})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)
