"""Where indices lie in a tensor, and reading, writing and adding there.

A `Place` sees the indexed dimensions, merged into one, in the middle of `(outer, n, inner)`, beside
one array of positions along it. Everything that indexes by tensors goes through here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import tape
from ..autograd.tape import mode
from ..device import DeviceArray
from ..dtypes import BOOL, INT32, INT64
from ..kernels import indexing as kernels
from ..kernels import sorting as finding
from . import _core
from ._core import (
    _check_overlap,
    assign,
    cast,
    check,
    check_tensor,
    copy_array,
    dense,
    launch,
    needs_grad,
    number,
    record,
    sum_to,
    unpack,
    values,
    wrap,
    zeros,
)
from ._rank import rank

BITS = kernels.BITS
WIDE = np.dtype(np.int64)
_ZERO = np.zeros(1, INT64)


class Place:
    """Where the elements of an index lie: positions along the middle of (outer, n, inner).

    `order` is how to permute the tensor's dimensions first (None: not at all), `shape` the
    result's, `source` the tensor's own. `sizes` and `dims` are the indexed dimensions', for errors.
    """

    __slots__ = ("order", "outer", "n", "m", "inner", "shape", "source", "sizes", "dims")

    order: tuple | None
    outer: int
    n: int
    m: int
    inner: int
    shape: tuple
    source: tuple
    sizes: tuple
    dims: tuple


def product(sizes: Any) -> int:
    count = 1
    for n in sizes:
        count *= n
    return count


def place_along(source: tuple, dim: int, shape: tuple, m: int) -> Place:
    """The place of `m` positions along one dimension, which the dimensions `shape` replace."""
    place = Place()
    place.order = None
    place.source = source
    before, after = source[:dim], source[dim + 1 :]
    place.outer = product(before) if dim else 1
    place.n, place.m = source[dim], m
    place.inner = product(after) if after else 1
    place.shape = before + shape + after
    place.sizes, place.dims = (source[dim],), (dim,)
    return place


def raise_index(place: Place, *arrays: Any) -> None:
    """PyTorch's IndexError for the first index that is out of range."""
    for array, size, dim in zip(arrays, place.sizes, place.dims, strict=True):
        if size == 0 and array.size:
            raise IndexError("index is out of bounds for dimension with size 0")
        wrong = (array < -size) | (array >= size)
        if wrong.any():
            raise IndexError(
                f"index {array[wrong].flat[0]} is out of bounds for dimension {dim} with size "
                f"{size}"
            )


def read_array(data: Any, place: Place, index: Any, from_end: bool = True) -> Any:
    """The elements at a place, as a new array; indices count from the end only with `from_end`."""
    if place.order is not None:
        data = data.transpose(place.order)
    out = _core.empty(place.shape, data.dtype, data)
    count = out.size
    low = -place.n if from_end else 0
    fail, arguments = (raise_index, (place, index)) if from_end else (raise_in_self, ())
    if count == 0:
        check_range(index, low, place.n, fail, *arguments)
        return out
    bad = zeros(1, INT64, data)
    m = place.m
    launch(
        kernels.take_rows,
        BITS[data.itemsize],
        place.outer * m,
        (
            dense(data),
            dense(index),
            out,
            bad,
            float(place.n),
            float(m),
            float(place.inner),
            float(low),
        ),
        count,
    )
    check(bad, 0, fail, *arguments)
    return out


def read(
    input: Any, place: Place, index: Any, name: str = "IndexBackward0", from_end: bool = True
) -> Any:
    """The elements of a tensor at a place; the gradient adds up where places repeat."""
    result = wrap(read_array(input._data, place, index._data, from_end))
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        record(result, name, _read_backward, (input,), (index,), place)
    return result


def _read_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    return add_up(grad, node.context, index)


def add_up(grad: Any, place: Place, index: Any) -> Any:
    """Zeros, and the elements of `grad` added at their place: the transpose of `read`."""
    source = place.source
    order = place.order
    shape = source if order is None else tuple([source[d] for d in order])
    data = _core.zeros(shape, grad._data.dtype, grad._data)
    write_rows(kernels.add_rows, data, place, index._data, grad._data)
    result = wrap(data if order is None else data.transpose(np.argsort(order)))
    if mode.enabled and needs_grad(grad):
        record(result, "IndexPutBackward0", _add_up_backward, (grad,), (index,), place)
    return result


def _add_up_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    return read(grad, node.context, index)


def write_rows(
    kernel: Any, target: Any, place: Place, index: Any, values: Any, skip: int = -1
) -> None:
    """Write rows of values (one element for all, or as many as the place has) into a dense array.

    The indices must have been checked.
    """
    count = place.outer * place.m * place.inner
    if count == 0:
        return
    moves = kernel is kernels.put_rows
    dtype = target.dtype
    if dtype == BOOL and not moves:
        counts = copy_array(target, INT32)
        write_rows(kernel, counts, place, index, copy_array(values, INT32), skip)
        assign(target, counts)
        return
    kind = BITS[dtype.itemsize] if moves else dtype
    if sorts_indices(target, place.m, place.outer * place.inner):
        targets = _core.empty(place.outer * place.m, INT64, target)
        limit = place.outer * place.n
        sizes = (float(place.n), float(place.m), float(skip), float(limit))
        launch(kernels.row_targets, WIDE, targets.size, (dense(index), targets, *sizes))
        write_in_order(kernel, kind, target, targets, values, limit, place.inner)
        return
    launch(
        kernel,
        kind,
        kernels.column_items(place.outer, place.inner),
        (
            dense(values),
            dense(index),
            target,
            float(place.n),
            float(place.m),
            float(place.inner),
            0.0 if values.size == 1 else 1.0,
            float(skip),
        ),
        count,
    )


#: A GPU goes along so many indices one after the other, or further where it has this many columns.
_FEW, _COLUMNS = 32, 1 << 16


def sorts_indices(target: Any, m: int, columns: int) -> bool:
    """Whether indices are sorted before they are written to, so that elements that several of them
    name have their values in the order of the indices, and all others are written at once."""
    return type(target) is DeviceArray and m > _FEW and columns < _COLUMNS


def write_in_order(
    kernel: Any, kind: np.dtype, out: Any, targets: Any, values: Any, limit: int, inner: int
) -> None:
    """Write rows of `inner` values where `targets` say, as `kernel` does; those from `limit` on are
    left out."""
    order, ordered = rank(targets.reshape(1, -1), below=limit + 1)
    sizes = (float(inner), 0.0 if values.size == 1 else 1.0, float(limit))
    arguments = (dense(values), ordered, order, out, *sizes)
    launch(kernels.SORTED[kernel], kind, targets.size, arguments, targets.size * inner)


def check_range(index: Any, low: int, high: int, fail: Callable, *arguments: Any) -> None:
    """Call `fail(*arguments)`, which raises, unless every index is in [low, high)."""
    if index.size:
        bad = zeros(1, INT64, index)
        launch(kernels.check_index, WIDE, index.size, (dense(index), bad, float(low), float(high)))
        check(bad, 0, fail, *arguments)


def take_flat(input: Any, positions: Any, name: str) -> Any:
    """The elements at row-major positions, in the shape of the positions."""
    size = input._data.size
    place = place_along((size,), 0, positions._data.shape, positions._data.size)
    place.source = input._data.shape
    return read(input, place, positions, name)


def modify(
    self: Any,
    write: Any,
    in_place: bool,
    name: str,
    rule: Any,
    others: tuple = (),
    saved: tuple = (),
    context: Any = None,
    order: tuple | None = None,
) -> Any:
    """Run `write(array)` on the tensor's memory, or on a copy that becomes the result.

    `write` gets a C-contiguous array, of the tensor's dimensions in `order`. The node's inputs are
    the tensor as it was and `others`.
    """
    if not in_place:
        array = copy_array(
            self._data if order is None else self._data.transpose(order), _same(self)
        )
        write(array)
        result = wrap(array if order is None else array.transpose(np.argsort(order)))
        if mode.enabled and needs_grad(self, *others):
            record(result, name, rule, (self, *others), saved, context)
        return result
    tape.check_inplace(self)
    _check_overlap(self)
    recording = mode.enabled and needs_grad(self, *others)
    before = tape.alias(self) if recording else None
    target = self._data if order is None else self._data.transpose(order)
    if target.flags.c_contiguous:
        write(target)
    else:
        array = copy_array(target, target.dtype)
        write(array)
        assign(target, array)
    tape.bump(self)
    if recording:
        history = wrap(self._data)
        record(history, name, rule, (before, *others), saved, context)
        tape.adopt(self, history)
    return self


def _same(tensor: Any) -> np.dtype:
    return tensor._data.dtype


def true_positions(mask: Any, what: str) -> Any:
    """The row-major positions of a mask's true elements, as an int64 array.

    How many there are, Python has to know: `what` is the operation that asks.
    """
    on_gpu = type(mask) is DeviceArray
    mask = dense(mask if on_gpu else values(mask, what))
    size = mask.size
    blocks = -(-size // finding.BLOCK)
    if blocks <= 1 and not on_gpu:
        starts, total = _ZERO, int(np.count_nonzero(mask))
    elif not blocks:
        starts, total = _ZERO, 0
    else:
        counts = _core.empty(blocks, INT64, mask)
        launch(finding.count_true, WIDE, blocks, (mask, counts), size)
        counts = values(counts, what)
        starts = np.cumsum(counts)
        total = int(starts[-1])
        starts -= counts
    out = _core.empty(total, INT64, mask)
    if total:
        launch(finding.true_positions, WIDE, blocks, (mask, starts, out), size)
    return out


def broadcasts(shape: tuple, target: tuple) -> bool:
    """Whether a shape broadcasts to another."""
    lead = len(target) - len(shape)
    return lead >= 0 and all(n == 1 or n == t for n, t in zip(shape, target[lead:], strict=True))


def write_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    place, accumulate, shape = node.context
    to_self = to_value = None
    if node.edges[0] is not None:
        to_self = grad if accumulate else _zeroed(grad, place, index)
    if node.edges[1] is not None:
        to_value = read(grad, place, index)
        if place.shape != shape:
            to_value = sum_to(to_value, shape)
    return to_self, to_value


def _zeroed(grad: Any, place: Place, index: Any) -> Any:
    """A copy of a gradient with zeros at a place."""
    zero = number(0, grad._data.dtype)

    def write(array: Any) -> None:
        write_rows(kernels.put_rows, array, place, index._data, zero)

    return modify(
        grad,
        write,
        False,
        "IndexPutBackward0",
        _zeroed_backward,
        (),
        (index,),
        place,
        order=place.order,
    )


def _zeroed_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    return _zeroed(grad, node.context, index)


_INDEX_TYPES = {"index_select": "int32 or int64", "gather": "int32/int64"}


def checked_index(index: Any, function: str, position: int = 3) -> Any:
    """An index tensor as int64."""
    dtype = check_tensor(index, function, "index", position)._data.dtype
    if dtype == INT64:
        return index
    if dtype != np.int32:
        kinds = _INDEX_TYPES.get(function, "int32/int64")
        raise RuntimeError(f"{function}(): Expected dtype {kinds} for index")
    return cast(index, INT64)


def first_outside(index: Any, size: int, low: int = 0) -> int:
    return index[(index < low) | (index >= size)].flat[0]


def check_along(index: Any, size: int, dim: int, low: int = 0, error: type = RuntimeError) -> None:
    """Raise PyTorch's error unless every index is in [low, size)."""
    check_range(index, low, size, raise_along, index, size, dim, low, error)


def raise_along(index: Any, size: int, dim: int, low: int = 0, error: type = RuntimeError) -> None:
    """PyTorch's error for the first index that is out of range."""
    raise error(
        f"index {first_outside(index, size, low)} is out of bounds for dimension {dim} with size "
        f"{size}"
    )


def raise_in_self() -> None:
    """PyTorch's error for an index of a whole slice that is out of range."""
    raise IndexError("index out of range in self")
