"""Indexing: `x[...]` and `x[...] = value` with PyTorch's rules, and what is made of masks.

An index is first split into its basic part (ints, slices, None, Ellipsis: a view) and the tensors
in it. Those become one `Place`: the indexed dimensions merged into one in the middle of
`(outer, n, inner)`, and one array of positions along it.
"""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np

from ..autograd import tape
from ..autograd.tape import mode
from ..dtypes import BOOL, FROM_NUMPY, INT64
from ..kernels import elementwise as table
from ..kernels import indexing as kernels
from ..kernels import sorting as finding
from . import _core
from ._core import (
    Tensor,
    _check_overlap,
    assign,
    broadcast_shapes,
    cast,
    check_tensor,
    copy_array,
    dense,
    is_number,
    launch,
    needs_grad,
    number,
    record,
    sum_to,
    type_name,
    unpack,
    wrap,
)
from .conversion import copy_, fill_
from .creation import fill_array
from .views import (
    _reshape_backward,
    _select_backward,
    _slice_backward,
    _view,
    scatter_view,
    select,
    slice_dim,
)

BITS = kernels.BITS
_ndarray = np.ndarray
_WIDE = np.dtype(np.int64)
_ZERO = np.zeros(1, INT64)


# ----------------------------------------------------------------- reading an index


def getitem(self: Tensor, index: Any) -> Any:
    """`self[index]`: a view for ints, slices, None and Ellipsis, a copy for tensors and masks.

    >>> x = numgrad.arange(6).view(2, 3)
    >>> x[1, ::2], x[x > 3], x[numgrad.tensor([1, 0])]
    (tensor([3, 5]), tensor([4, 5]), tensor([[3, 4, 5],
            [0, 1, 2]]))
    """
    kind = type(index)
    if kind is int:
        try:
            part = self._data[index, ...]
        except IndexError:
            raise _out_of_bounds(self._data, index, 0) from None
        return _view(self, part, "SelectBackward0", select, (0, index), _select_backward)
    if kind is slice:
        data = self._data
        if index.step is None and data.ndim:
            try:
                part = data[index]
            except TypeError:
                pass  # the general way tells what is wrong
            else:
                arguments = (0, index.start, index.stop, 1)
                if part.shape != data.shape:
                    return _view(self, part, "SliceBackward0", slice_dim, arguments, _slice_backward)
                return _view(self, part, "AliasBackward0", slice_dim, arguments, _slice_backward)
        index = (index,)
    elif isinstance(index, Tensor) and index._data.ndim and index._data.dtype is INT64:
        return read(self, _place_of_one(self._data, index), index)
    elif kind is not tuple:
        index = _as_tuple(index)
    basic, tensors, name = _split(self._data, index)
    if name is not None:
        self = _basic_view(self, basic, name)
    if not tensors:
        return self
    place, positions = _place(self._data, tensors)
    return read(self, place, positions)


def _basic_view(self: Any, basic: tuple, name: str) -> Any:
    rule = _reshape_backward if name == "AliasBackward0" else _basic_backward
    return _view(self, self._data[basic], name, take_part, (basic,), rule)


def take_part(input: Tensor, basic: tuple) -> Any:
    """A view by a tuple of ints, slices, None and Ellipsis that is known to fit."""
    return _basic_view(input, basic, "SliceBackward0")


def _basic_backward(node: Any, grad: Any) -> Any:
    shape, arguments = node.context
    return scatter_view(grad, shape, take_part, arguments)


def _as_tuple(index: Any) -> tuple:
    """An index that is not a tuple, as one; a list of more than numbers is a tuple too."""
    if isinstance(index, (list, range)) and len(index) < 32:
        for item in index:
            if item is None or item is Ellipsis or isinstance(item, (slice, list, tuple, Tensor)):
                warnings.warn(
                    "Using a non-tuple sequence for multidimensional indexing is deprecated and "
                    "will be changed in pytorch 2.9; use x[tuple(seq)] instead of x[seq].",
                    UserWarning,
                    stacklevel=4,
                )
                return tuple(index)
    return (index,)


def _split(data: Any, index: tuple) -> tuple[tuple, list, str | None]:
    """The basic part of an index, the tensors in it, and the name of the basic part's node.

    A tensor comes as (dimension of the view that the basic part makes, dimension of `data`, the
    tensor); its dimensions are whole slices in the basic part. The name is None where the basic
    part leaves everything as it is.
    """
    shape = data.shape
    ndim = len(shape)
    used, several = 0, False
    items = []
    for item in index:
        kind = type(item)
        if kind is int or kind is slice:
            used += 1
        elif item is None or kind is bool:
            pass
        elif item is Ellipsis:
            several = True
        elif hasattr(item, "__index__") and not isinstance(item, (Tensor, _ndarray, np.bool_)):
            item = operator.index(item)
            used += 1
        else:
            item = _index_tensor(item)
            own = item._data
            if own.dtype == BOOL:
                if own.ndim == 0:
                    item = bool(own)
                used += own.ndim
            else:
                used += 1
                if own.ndim == 0:
                    item = int(own)
        items.append(item)
    if used > ndim:
        if ndim == 0 and len(items) == 1 and type(items[0]) is int:
            raise _out_of_bounds(data, items[0], 0)
        if ndim == 0 and len(items) == 1 and type(items[0]) is slice:
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        raise IndexError(f"too many indices for tensor of dimension {ndim}")

    basic: list[Any] = []
    tensors: list[tuple] = []
    name, source, shown = None, 0, 0
    for item in items:
        kind = type(item)
        if kind is int:
            if not -shape[source] <= item < shape[source]:
                raise _out_of_bounds(data, item, source)
            basic.append(item)
            source += 1
            name = "SelectBackward0"
        elif kind is slice:
            item = _checked_slice(item)
            basic.append(item)
            if item.indices(shape[source]) != (0, shape[source], 1):
                name = "SliceBackward0"
            elif name is None:
                name = "AliasBackward0"
            source += 1
            shown += 1
        elif item is Ellipsis:
            rest = ndim - used
            basic.extend([slice(None)] * rest)
            source += rest
            shown += rest
            used += rest  # a second one stands for nothing
            name = name or "AliasBackward0"
        elif item is None or kind is bool:
            basic.append(None)
            if kind is bool:
                tensors.append((shown, source, item))
            shown += 1
            name = "UnsqueezeBackward0"
        else:
            own = item._data
            width = own.ndim if own.dtype == BOOL else 1
            if own.dtype == BOOL:
                for k, size in enumerate(own.shape):
                    if size != shape[source + k]:
                        raise IndexError(
                            f"The shape of the mask {list(own.shape)} at index {k} does not match "
                            f"the shape of the indexed tensor {list(shape)} at index {source + k}"
                        )
            tensors.append((shown, source, item))
            basic.extend([slice(None)] * width)
            source += width
            shown += width
    if name is None and not tensors:
        name = "AliasBackward0"
    elif name == "AliasBackward0" and tensors:
        name = None
    if not several and source < ndim or not basic:
        basic.append(Ellipsis)
    elif name == "SelectBackward0":
        basic.append(Ellipsis)  # NumPy gives a number otherwise
    return tuple(basic), tensors, name


def _out_of_bounds(data: Any, index: int, dim: int) -> IndexError:
    if data.ndim == 0:
        return IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    return IndexError(
        f"index {index} is out of bounds for dimension {dim} with size {data.shape[dim]}"
    )


def _checked_slice(item: slice) -> slice:
    step = item.step
    if step is not None:
        step = _slice_bound(step)
        if step == 0:
            raise ValueError("slice step cannot be zero")
        if step < 0:
            raise ValueError("step must be greater than zero")
    return slice(_slice_bound(item.start), _slice_bound(item.stop), step)


def _slice_bound(bound: Any) -> int | None:
    if bound is None or type(bound) is int:
        return bound
    try:
        return operator.index(bound)
    except TypeError:
        raise TypeError(
            "slice indices must be integers or None or have an __index__ method"
        ) from None


def _index_tensor(item: Any) -> Any:
    """A tensor, array or sequence in an index, as a tensor of int64 or bool."""
    if isinstance(item, (list, tuple, range)):
        if not len(item):
            return wrap(np.empty(0, INT64))
        item = [x.item() if isinstance(x, Tensor) else x for x in item]
        item = np.array(item)
    if isinstance(item, _ndarray):
        item = wrap(item)
    if not isinstance(item, Tensor):
        if isinstance(item, str):
            raise TypeError("new(): invalid data type 'str'")
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(item).__name__})"
        )
    dtype = item._data.dtype
    if dtype == INT64 or dtype == BOOL:
        return item
    if dtype == np.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.",
            UserWarning,
            stacklevel=4,
        )
        return cast(item, BOOL)
    if dtype == np.int32 or (dtype.kind in "iu" and item._data.ndim == 0):
        return cast(item, INT64)
    raise IndexError("tensors used as indices must be long, int, byte or bool tensors")


# ------------------------------------------------------------------ places and kernels


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


def _product(sizes: Any) -> int:
    count = 1
    for n in sizes:
        count *= n
    return count


def place_along(source: tuple, dim: int, shape: tuple, m: int) -> Place:
    """The place of `m` positions along one dimension, which the dimensions `shape` replace."""
    place = Place()
    place.order = None
    place.source = source
    place.outer = _product(source[:dim])
    place.n, place.m = source[dim], m
    place.inner = _product(source[dim + 1 :])
    place.shape = source[:dim] + shape + source[dim + 1 :]
    place.sizes, place.dims = (source[dim],), (dim,)
    return place


def _place_of_one(data: Any, index: Any) -> Place:
    own = index._data
    if data.ndim == 0:
        raise IndexError("too many indices for tensor of dimension 0")
    return place_along(data.shape, 0, own.shape, own.size)


def _place(data: Any, tensors: list) -> tuple[Place, Any]:
    """The place of several index tensors, each (dimension, dimension for errors, tensor or bool),
    and the tensor of positions along it."""
    source = data.shape
    groups = []  # first dimension, how many, size of them all, dimension for errors, positions
    for dim, named, index in tensors:
        if type(index) is bool:
            groups.append((dim, 1, 1, named, wrap(np.zeros(int(index), INT64))))
        elif index._data.dtype == BOOL:
            width = index._data.ndim
            size = index._data.size
            groups.append((dim, width, size, named, wrap(true_positions(index._data))))
        else:
            groups.append((dim, 1, source[dim], named, index))
    if len(groups) == 1:
        dim, width, size, named, index = groups[0]
        own = index._data
        place = place_along(source[:dim] + (size,) + source[dim + width :], dim, own.shape, own.size)
        place.source, place.dims = source, (named,)
        return place, index

    shapes = [g[4]._data.shape for g in groups]
    try:
        shape = broadcast_shapes(*shapes)
    except RuntimeError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(s)) for s in shapes)
        ) from None
    arrays = tuple([dense(np.broadcast_to(g[4]._data, shape)) for g in groups])
    place = Place()
    place.sizes, place.dims = tuple([g[2] for g in groups]), tuple([g[3] for g in groups])
    place.source = source
    place.n, place.m = _product(place.sizes), _product(shape)
    taken = [d for g in groups for d in range(g[0], g[0] + g[1])]
    first, last = taken[0], taken[-1]
    if last - first + 1 == len(taken):
        place.order = None
        before, after = source[:first], source[last + 1 :]
    else:  # the indexed dimensions come first
        rest = [d for d in range(len(source)) if d not in taken]
        place.order = (*taken, *rest)
        before, after = (), tuple([source[d] for d in rest])
    place.outer, place.inner = _product(before), _product(after)
    place.shape = before + shape + after
    positions = _core.empty(shape, INT64, data)
    bad = np.zeros(len(arrays), INT64)
    launch(
        kernels.combine_indices,
        _WIDE,
        place.m,
        (arrays, np.array(place.sizes, INT64), positions, bad),
    )
    if bad.any():
        _raise_index(place, arrays)
    return place, wrap(positions)


def _raise_index(place: Place, arrays: tuple) -> None:
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


def _in_order(data: Any, place: Place) -> Any:
    return data if place.order is None else data.transpose(place.order)


def read_array(data: Any, place: Place, index: Any) -> Any:
    """The elements at a place, as a new array."""
    if place.order is not None:
        data = data.transpose(place.order)
    out = _core.empty(place.shape, data.dtype, data)
    count = out.size
    if count == 0:
        return out
    bad = np.zeros(1, INT64)
    m = place.m
    launch(
        kernels.take_rows,
        BITS[data.itemsize],
        place.outer * m,
        (dense(data), dense(index), out, bad, float(place.n), float(m), float(place.inner)),
        count,
    )
    if bad[0]:
        _raise_index(place, (index,))
    return out


def read(input: Any, place: Place, index: Any, name: str = "IndexBackward0") -> Any:
    """The elements of a tensor at a place; the gradient adds up where places repeat."""
    result = wrap(read_array(input._data, place, index._data))
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        record(result, name, _read_backward, (input,), (index,), place)
    return result


def _read_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    return add_up(grad, node.context, index)


def add_up(grad: Any, place: Place, index: Any, skip: int = -1) -> Any:
    """Zeros, and the elements of `grad` added at their place: the transpose of `read`."""
    source = place.source
    order = place.order
    shape = source if order is None else tuple([source[d] for d in order])
    data = _core.empty(shape, grad._data.dtype, grad._data)
    fill_array(data, 0)
    write_rows(kernels.add_rows, data, place, index._data, grad._data, skip)
    result = wrap(data if order is None else data.transpose(np.argsort(order)))
    if mode.enabled and needs_grad(grad):
        record(result, "IndexPutBackward0", _add_up_backward, (grad,), (index,), (place, skip))
    return result


def _add_up_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    place, skip = node.context
    result = read(grad, place, index)
    if skip >= 0:
        from .views import unsqueeze

        kept = wrap(np.not_equal(index._data, skip))
        result = masked_fill(result, logical_not_(unsqueeze(kept, -1)), 0)
    return result


def logical_not_(mask: Any) -> Any:
    """The other side of a mask of our own."""
    np.logical_not(mask._data, out=mask._data)
    return mask


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
        counts = target.astype(np.int32)
        write_rows(kernel, counts, place, index, values.astype(np.int32), skip)
        np.not_equal(counts, 0, out=target)
        return
    launch(
        kernel,
        BITS[dtype.itemsize] if moves else dtype,
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


def check_range(index: Any, low: int, high: int, fail: Any) -> None:
    """Call `fail()` unless every index is in [low, high)."""
    if index.size:
        bad = np.zeros(1, INT64)
        launch(
            kernels.check_index, _WIDE, index.size, (dense(index), bad, float(low), float(high))
        )
        if bad[0]:
            fail()


# ------------------------------------------------------------------ writing an index


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """`self[index] = value`, with the value broadcast to what the index shows.

    >>> x = numgrad.zeros(2, 3)
    >>> x[0, 1:] = 1; x[x == 0] = 7; x
    tensor([[7., 1., 1.],
            [7., 7., 7.]])
    """
    data = self._data
    if isinstance(value, Tensor):
        pass
    elif isinstance(value, _ndarray):
        value = wrap(value)
    elif not is_number(value):
        raise TypeError(
            f"can't assign a {type(value).__name__} to a torch.{type_name(data.dtype)}Tensor"
        )
    basic, tensors, name = _split(data, index if type(index) is tuple else _as_tuple(index))
    if not tensors and not (mode.enabled and (self._requires_grad or self._view is not None)):
        target = data[basic]
        if 0 in target.strides:
            _check_overlap(wrap(target))
        if not isinstance(value, Tensor):
            fill_array(target, value)
            tape.bump(self)
            return
        if not (mode.enabled and needs_grad(value)):
            source = value._data
            while source.ndim > target.ndim and source.shape[0] == 1:
                source = source[0]
            if broadcasts(source.shape, target.shape):
                assign(target, source)
                tape.bump(self)
                return
    if name is not None:
        self = _basic_view(self, basic, name)
    if tensors:
        _write(self, tensors, value, False)
    elif isinstance(value, Tensor):
        copy_(self, without_leading_ones(value, self._data.ndim))
    else:
        fill_(self, value)


def broadcasts(shape: tuple, target: tuple) -> bool:
    """Whether a shape broadcasts to another."""
    lead = len(target) - len(shape)
    return lead >= 0 and all(n == 1 or n == t for n, t in zip(shape, target[lead:], strict=True))


def without_leading_ones(value: Any, ndim: int) -> Any:
    """The tensor with leading dimensions of size 1 dropped while it has more than `ndim`."""
    while value._data.ndim > ndim and value._data.shape[0] == 1:
        value = select(value, 0, 0)
    return value


def _write(self: Any, tensors: list, value: Any, accumulate: bool) -> Any:
    """Write a tensor or number at the places of index tensors, in place."""
    data = self._data
    if isinstance(value, Tensor):
        own = value._data.dtype
        if own != data.dtype:
            raise RuntimeError(
                "Index put requires the source and destination dtypes match, got "
                f"{type_name(data.dtype)} for the destination and {type_name(own)} for the source."
            )
    else:
        value = wrap(number(value, data.dtype))
    first = tensors[0][2]
    if (
        len(tensors) == 1
        and value._data.ndim == 0
        and not accumulate
        and type(first) is not bool
        and first._data.dtype == BOOL
    ):
        dim = tensors[0][0]
        shape = (*first._data.shape, *[1] * (data.ndim - dim - first._data.ndim))
        return _fill_where(self, wrap(first._data.reshape(shape)), value)
    place, index = _place(data, tensors)
    value = without_leading_ones(value, len(place.shape))
    if not broadcasts(value._data.shape, place.shape):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value._data.shape)} cannot be broadcast "
            f"to indexing result of shape {list(place.shape)}"
        )
    if len(tensors) == 1:
        check_range(index._data, -place.n, place.n, lambda: _raise_index(place, (index._data,)))
    source = value._data
    if np.may_share_memory(source, data):
        source = copy_array(source, source.dtype)
    if source.size != 1:
        source = np.broadcast_to(source, place.shape)
    kernel = kernels.add_rows if accumulate else kernels.put_rows

    def write(array: Any) -> None:
        write_rows(kernel, array, place, index._data, source)

    context = (place, accumulate, value._data.shape)
    return modify(
        self, write, True, "IndexPutBackward0", _write_backward, (value,), (index,), context,
        order=place.order,
    )


def _write_backward(node: Any, grad: Any) -> tuple:
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
        grad, write, False, "IndexPutBackward0", _zeroed_backward, (), (index,), place,
        order=place.order,
    )


def _zeroed_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    return _zeroed(grad, node.context, index)


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
        array = copy_array(self._data if order is None else self._data.transpose(order), _same(self))
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


def index_put_(
    self: Tensor, indices: Any, values: Tensor, accumulate: bool = False
) -> Any:
    """`self[indices] = values`, or `+=` with `accumulate`, where an index may repeat."""
    check_tensor(values, "index_put_", "values", 3)
    indices = tuple([slice(None) if index is None else index for index in indices])
    basic, tensors, name = _split(self._data, indices)
    target = self if name is None else _basic_view(self, basic, name)
    if tensors:
        _write(target, tensors, values, accumulate)
    else:
        copy_(target, values if not accumulate else target + values)
    return self


def index_put(
    input: Tensor, indices: Any, values: Tensor, accumulate: bool = False
) -> Any:
    """A copy of the input with `values` written (or added) at the indices, a tuple of tensors.

    >>> x, at = numgrad.zeros(3), numgrad.tensor([0, 0, 2])
    >>> numgrad.index_put(x, (at,), numgrad.ones(3), accumulate=True)
    tensor([2., 0., 1.])
    """
    return index_put_(input.clone(), indices, values, accumulate)


# ----------------------------------------------------------------------------- masks


def true_positions(mask: Any) -> Any:
    """The row-major positions of a mask's true elements, as an int64 array."""
    mask = dense(mask)
    size = mask.size
    blocks = -(-size // finding.BLOCK)
    if blocks <= 1:
        starts, total = _ZERO, np.count_nonzero(mask)
    else:
        counts = np.empty(blocks, INT64)
        launch(finding.count_true, _WIDE, blocks, (mask, counts), size)
        starts = np.cumsum(counts)
        total = int(starts[-1])
        starts -= counts
    out = np.empty(total, INT64)
    if total:
        launch(finding.true_positions, _WIDE, blocks, (mask, starts, out), size)
    return out


def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: a row each, or a tensor a dimension.

    >>> numgrad.nonzero(numgrad.tensor([[0, 1], [2, 0]]))
    tensor([[0, 1],
            [1, 0]])
    >>> numgrad.nonzero(numgrad.tensor([0, 3, 5]), as_tuple=True)
    (tensor([1, 2]),)
    """
    data = check_tensor(input, "nonzero", "input")._data
    if data.dtype != BOOL:
        data = np.not_equal(data, 0)
    if as_tuple and data.ndim == 0:
        data = data.reshape(1)
    positions = true_positions(data)
    count, ndim = positions.size, data.ndim
    if ndim == 1 and as_tuple:
        return (wrap(positions),)
    found = np.empty((ndim, count) if as_tuple else (count, ndim), INT64)
    if found.size:
        across, along = (1.0, float(count)) if as_tuple else (float(ndim), 1.0)
        shape = np.array(data.shape, INT64)
        launch(
            finding.coordinates, _WIDE, count, (positions, shape, found, across, along), found.size
        )
    if as_tuple:
        return tuple([wrap(part) for part in found])
    result = wrap(found)
    return result if out is None else _core.write_out(out, result)


def argwhere(input: Tensor) -> Any:
    """The indices of the elements that are not zero, a row each."""
    return nonzero(input)


def _fill_where(self: Any, mask: Any, value: Any) -> Any:
    """self[mask] = value in place, for a mask that broadcasts to it and a 0-d tensor."""
    tape.check_inplace(self)
    _check_overlap(self)
    data = self._data
    recording = mode.enabled and needs_grad(self, value)
    before = tape.alias(self) if recording else None
    launch(table.where_, data.dtype, data.size, (mask._data, value._data, data, data))
    tape.bump(self)
    if recording:
        history = wrap(data)
        record(history, "MaskedFillBackward0", _fill_backward, (before, value), (mask,))
        tape.adopt(self, history)
    return self


def _fill_backward(node: Any, grad: Any) -> tuple:
    (mask,) = unpack(node)
    to_self = masked_fill(grad, mask, 0) if node.edges[0] is not None else None
    to_value = None
    if node.edges[1] is not None:
        from .elementwise import where
        from .reduction import sum

        to_value = sum(where(mask, grad, 0))
    if to_self is not None and node.context is not None:
        to_self = sum_to(to_self, node.context)
    return to_self, to_value


def _filling(self: Any, mask: Any, value: Any) -> Any:
    """The checked arguments of masked_fill: the value as a 0-d tensor of the input's dtype."""
    data = check_tensor(self, "masked_fill", "input")._data
    check_tensor(mask, "masked_fill", "mask", 2)
    if mask._data.dtype != BOOL:
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype "
            f"{_C_TYPES.get(mask._data.dtype.name, mask._data.dtype.name)}"
        )
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value._data.ndim} dimension(s)."
            )
        return cast(value, data.dtype)
    return wrap(number(value, data.dtype))


_C_TYPES = {"int64": "long int", "int32": "int", "uint8": "unsigned char", "float32": "float"}


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Any:
    """Set the elements where a mask (broadcast to the tensor) is true."""
    value = _filling(self, mask, value)
    if not broadcasts(mask._data.shape, self._data.shape):
        shape = broadcast_shapes(self._data.shape, mask._data.shape)
        raise RuntimeError(
            f"output with shape {list(self._data.shape)} doesn't match the broadcast shape "
            f"{list(shape)}"
        )
    return _fill_where(self, mask, value)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Any:
    """A copy of the input with `value` where the mask is true; both broadcast.

    >>> x = numgrad.tensor([1., 2., 3.])
    >>> x.masked_fill(x > 1, float("-inf"))
    tensor([1., -inf, -inf])
    """
    value = _filling(input, mask, value)
    data, own = input._data, mask._data
    shape = broadcast_shapes(own.shape, data.shape)
    out = _core.empty(shape, data.dtype, data)
    launch(table.where_, data.dtype, out.size, (own, value._data, data, out))
    result = wrap(out)
    if mode.enabled and needs_grad(input, value):
        context = data.shape if data.shape != shape else None
        inputs = (input, value)
        record(result, "MaskedFillBackward0", _fill_backward, inputs, (mask,), context)
    return result


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Any:
    """The elements where a mask is true, in one dimension; both broadcast.

    >>> x = numgrad.tensor([1., 2., 3.])
    >>> x.masked_select(x > 1)
    tensor([2., 3.])
    """
    from .views import expand

    if check_tensor(mask, "masked_select", "mask", 2)._data.dtype != BOOL:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(input._data.shape, mask._data.shape)
    if input._data.shape != shape:
        input = expand(input, shape)
    result = take_flat(
        input, wrap(true_positions(np.broadcast_to(mask._data, shape))), "MaskedSelectBackward0"
    )
    return result if out is None else _core.write_out(out, result)


def take_flat(input: Any, positions: Any, name: str) -> Any:
    """The elements at row-major positions, in the shape of the positions."""
    size = input._data.size
    place = place_along((size,), 0, positions._data.shape, positions._data.size)
    place.source = input._data.shape
    return read(input, place, positions, name)


def masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Any:
    """Put the first elements of `source` where a mask is true, in place."""
    return _masked_scatter(self, mask, source, True)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Any:
    """A copy of the input with the first elements of `source` where the mask is true.

    >>> mask = numgrad.tensor([True, False, True])
    >>> numgrad.zeros(3).masked_scatter(mask, numgrad.tensor([1., 2., 3.]))
    tensor([1., 0., 2.])
    """
    return _masked_scatter(input, mask, source, False)


def _masked_scatter(self: Any, mask: Any, source: Any, in_place: bool) -> Any:
    from .views import expand, reshape, slice_dim

    data, own = self._data, source._data
    if mask._data.dtype != BOOL:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{FROM_NUMPY[mask._data.dtype]}"
        )
    if own.dtype != data.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{type_name(data.dtype)} and {type_name(own.dtype)}"
        )
    shape = broadcast_shapes(data.shape, mask._data.shape)
    if data.shape != shape and not in_place:
        self = expand(self, shape)
    positions = wrap(true_positions(np.broadcast_to(mask._data, shape)))
    count = positions._data.size
    if own.size < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    values = slice_dim(reshape(source, (-1,)), 0, 0, count, 1)
    place = place_along((_product(shape),), 0, (count,), count)
    place.source = shape

    def write(array: Any) -> None:
        write_rows(kernels.put_rows, array, place, positions._data, values._data)

    return modify(
        self, write, in_place, "MaskedScatterBackward0", _write_backward, (values,), (positions,),
        (place, False, (count,)),
    )
