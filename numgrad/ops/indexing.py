"""Indexing: `x[...]` and `x[...] = value`, with PyTorch's rules.

An index is first split into its basic part (ints, slices, None, Ellipsis: a view) and the tensors
in it, which become one `Place`.
"""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np

from ..autograd import tape
from ..autograd.tape import mode
from ..dtypes import BOOL, INT64
from ..kernels import indexing as kernels
from . import _core
from ._core import (
    Tensor,
    _check_overlap,
    assign,
    broadcast_shapes,
    cast,
    check,
    check_tensor,
    copy_array,
    dense,
    is_number,
    launch,
    needs_grad,
    number,
    type_name,
    values,
    wrap,
    zeros,
)
from ._place import (
    WIDE,
    Place,
    broadcasts,
    check_range,
    modify,
    place_along,
    product,
    raise_index,
    read,
    true_positions,
    write_backward,
    write_rows,
)
from .conversion import copy_, fill_
from .creation import fill_array
from .elementwise import add
from .masking import _fill_where
from .masking import nonzero as nonzero
from .views import (
    _reshape_backward,
    _select_backward,
    _slice_backward,
    _view,
    clone,
    scatter_view,
    select,
    slice_dim,
)

_ndarray = np.ndarray
_MASK = "indexing by a mask"


# ----------------------------------------------------------------- reading an index


def getitem(self: Tensor, index: Any) -> Tensor:
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
                return _view(self, part, "SliceBackward0", slice_dim, arguments, _slice_backward)
        index = (index,)
    elif _stands_alone(self._data, index):
        place, positions = _place_of_one(self._data, 0, 0, index)
        return read(self, place, positions)
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
    return _view(self, self._data[basic], name, _take_part, (basic,), rule)


def _take_part(input: Tensor, basic: tuple) -> Any:
    """A view by a tuple of ints, slices, None and Ellipsis that is known to fit."""
    return _basic_view(input, basic, "SliceBackward0")


def _basic_backward(node: Any, grad: Any) -> Any:
    shape, arguments = node.context
    return scatter_view(grad, shape, _take_part, arguments)


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
                    item = bool(values(own, "indexing by a 0-d tensor"))
                used += own.ndim
            else:
                used += 1
                if own.ndim == 0:
                    item = int(values(own, "indexing by a 0-d tensor"))
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
    step = _slice_bound(item.step)
    if step is not None:
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
            return wrap(_core.empty(0, INT64))
        item = np.array([_plain(x) for x in item])
    if isinstance(item, _ndarray):
        item = wrap(item)
    if not isinstance(item, Tensor):
        if isinstance(item, str):
            raise TypeError("new(): invalid data type 'str'")
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {_type_name(item)})"
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


def _plain(item: Any) -> Any:
    return values(item._data, "indexing by a list").item() if isinstance(item, Tensor) else item


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _stands_alone(data: Any, index: Any) -> bool:
    """Whether an index is one tensor that needs no conversion and fits the first dimensions."""
    if not isinstance(index, Tensor) or not data.ndim:
        return False
    own = index._data
    if own.dtype is INT64:
        return own.ndim > 0
    return own.dtype is BOOL and own.ndim > 0 and own.shape == data.shape[: own.ndim]


def _place_of_one(data: Any, dim: int, named: int, index: Any) -> tuple[Place, Any]:
    """As `_place`, for a single tensor."""
    own, source = index._data, data.shape
    if own.dtype != BOOL:
        place = place_along(source, dim, own.shape, own.size)
    else:
        index = wrap(true_positions(own, _MASK))
        count = index._data.size
        merged = source[:dim] + (own.size,) + source[dim + own.ndim :]
        place = place_along(merged, dim, (count,), count)
        place.source = source
    place.dims = (named,)
    return place, index


def _place(data: Any, tensors: list) -> tuple[Place, Any]:
    """The place of several index tensors, each (dimension, dimension for errors, tensor or bool),
    and the tensor of positions along it."""
    if len(tensors) == 1 and type(tensors[0][2]) is not bool:
        return _place_of_one(data, *tensors[0])
    source = data.shape
    groups = []  # first dimension, how many, size of them all, dimension for errors, positions
    for dim, named, index in tensors:
        if type(index) is bool:
            groups.append((dim, 1, 1, named, wrap(np.zeros(int(index), INT64))))
        elif index._data.dtype == BOOL:
            width = index._data.ndim
            size = index._data.size
            groups.append((dim, width, size, named, wrap(true_positions(index._data, _MASK))))
        else:
            groups.append((dim, 1, source[dim], named, index))
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
    place.n, place.m = product(place.sizes), product(shape)
    taken = [d for g in groups for d in range(g[0], g[0] + g[1])]
    first, last = taken[0], taken[-1]
    if last - first + 1 == len(taken):
        place.order = None
        before, after = source[:first], source[last + 1 :]
    else:  # the indexed dimensions come first
        rest = [d for d in range(len(source)) if d not in taken]
        place.order = (*taken, *rest)
        before, after = (), tuple([source[d] for d in rest])
    place.outer, place.inner = product(before), product(after)
    place.shape = before + shape + after
    positions = _core.empty(shape, INT64, data)
    bad = zeros(1, INT64, positions)
    launch(
        kernels.combine_indices,
        WIDE,
        place.m,
        (arrays, np.array(place.sizes, INT64), positions, bad),
    )
    check(bad, 0, raise_index, place, *arrays)
    return place, wrap(positions)


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
    if _stands_alone(data, index):
        _write(self, [(0, 0, index)], value, False)
        return
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
        copy_(self, _without_leading_ones(value, self._data.ndim))
    else:
        fill_(self, value)


def _without_leading_ones(value: Any, ndim: int) -> Any:
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
    value = _without_leading_ones(value, len(place.shape))
    if not broadcasts(value._data.shape, place.shape):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value._data.shape)} cannot be broadcast "
            f"to indexing result of shape {list(place.shape)}"
        )
    if len(tensors) == 1:
        check_range(index._data, -place.n, place.n, raise_index, place, index._data)
    source = value._data
    if source.size != 1:
        if np.may_share_memory(source, data):
            source = copy_array(source, source.dtype)
        if source.shape != place.shape:
            source = np.broadcast_to(source, place.shape)
    kernel = kernels.add_rows if accumulate else kernels.put_rows

    def write(array: Any) -> None:
        write_rows(kernel, array, place, index._data, source)

    context = (place, accumulate, value._data.shape)
    return modify(
        self,
        write,
        True,
        "IndexPutBackward0",
        write_backward,
        (value,),
        (index,),
        context,
        order=place.order,
    )


def index_put_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`self[indices] = values`, or `+=` with `accumulate`, where an index may repeat."""
    check_tensor(values, "index_put_", "values", 3)
    indices = tuple([slice(None) if index is None else index for index in indices])
    basic, tensors, name = _split(self._data, indices)
    target = self if name is None else _basic_view(self, basic, name)
    if tensors:
        _write(target, tensors, values, accumulate)
    else:
        copy_(target, values if not accumulate else add(target, values))
    return self


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of the input with `values` written (or added) at the indices, a tuple of tensors.

    >>> x, at = numgrad.zeros(3), numgrad.tensor([0, 0, 2])
    >>> numgrad.index_put(x, (at,), numgrad.ones(3), accumulate=True)
    tensor([2., 0., 1.])
    """
    return index_put_(clone(input), indices, values, accumulate)
