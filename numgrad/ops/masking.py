"""Masks: filling, selecting and scattering where they are true, and finding where that is."""

from __future__ import annotations

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
    broadcast_shapes,
    cast,
    check_tensor,
    launch,
    needs_grad,
    number,
    record,
    sum_to,
    type_name,
    unpack,
    wrap,
    write_out,
)
from ._place import (
    WIDE,
    broadcasts,
    modify,
    place_along,
    product,
    take_flat,
    true_positions,
    write_backward,
    write_rows,
)
from .elementwise import ne
from .views import expand, reshape, slice_dim


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
        data = ne(input, 0)._data
    if as_tuple and data.ndim == 0:
        data = data.reshape(1)
    positions = true_positions(data, "nonzero")
    count, ndim = positions.size, data.ndim
    if ndim == 1 and as_tuple:
        return (wrap(positions),)
    found = _core.empty((ndim, count) if as_tuple else (count, ndim), INT64, data)
    if found.size:
        across, along = (1.0, float(count)) if as_tuple else (float(ndim), 1.0)
        shape = np.array(data.shape, INT64)
        launch(
            finding.coordinates, WIDE, count, (positions, shape, found, across, along), found.size
        )
    if as_tuple:
        return tuple([wrap(part) for part in found])
    result = wrap(found)
    return result if out is None else write_out(out, result)


def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, a row each.

    >>> numgrad.argwhere(numgrad.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
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


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Set the elements where a mask (broadcast to the tensor) is true."""
    value = _filling(self, mask, value)
    if not broadcasts(mask._data.shape, self._data.shape):
        shape = broadcast_shapes(self._data.shape, mask._data.shape)
        raise RuntimeError(
            f"output with shape {list(self._data.shape)} doesn't match the broadcast shape "
            f"{list(shape)}"
        )
    return _fill_where(self, mask, value)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy of the input with `value` where the mask is true; both broadcast.

    >>> x = numgrad.tensor([1., 2., 3.])
    >>> x.masked_fill(x > 1, float("-inf"))
    tensor([1., -inf, -inf])
    """
    by_tensor = isinstance(value, Tensor)
    value = _filling(input, mask, value)
    data, own = input._data, mask._data
    shape = broadcast_shapes(own.shape, data.shape)
    out = _core.empty(shape, data.dtype, data)
    launch(table.where_, data.dtype, out.size, (own, value._data, data, out))
    result = wrap(out)
    if mode.enabled and needs_grad(input, value):
        context = data.shape if data.shape != shape else None
        inputs = (input, value)
        name = "MaskedFillBackward1" if by_tensor else "MaskedFillBackward0"
        record(result, name, _fill_backward, inputs, (mask,), context)
    return result


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where a mask is true, in one dimension; both broadcast.

    >>> x = numgrad.tensor([1., 2., 3.])
    >>> x.masked_select(x > 1)
    tensor([2., 3.])
    """
    if check_tensor(mask, "masked_select", "mask", 2)._data.dtype != BOOL:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(mask._data.shape, input._data.shape)
    if input._data.shape != shape:
        input = expand(input, shape)
    positions = true_positions(np.broadcast_to(mask._data, shape), "masked_select")
    result = take_flat(input, wrap(positions), "MaskedSelectBackward0")
    return result if out is None else write_out(out, result)


def masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Put the first elements of `source` where a mask is true, in place."""
    return _masked_scatter(self, mask, source, True)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of the input with the first elements of `source` where the mask is true.

    >>> mask = numgrad.tensor([True, False, True])
    >>> numgrad.zeros(3).masked_scatter(mask, numgrad.tensor([1., 2., 3.]))
    tensor([1., 0., 2.])
    """
    return _masked_scatter(input, mask, source, False)


def _masked_scatter(self: Any, mask: Any, source: Any, in_place: bool) -> Any:
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
    positions = wrap(true_positions(np.broadcast_to(mask._data, shape), "masked_scatter"))
    count = positions._data.size
    if own.size < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    values = slice_dim(reshape(source, (-1,)), 0, 0, count, 1)
    place = place_along((product(shape),), 0, (count,), count)
    place.source = shape

    def write(array: Any) -> None:
        write_rows(kernels.put_rows, array, place, positions._data, values._data)

    return modify(
        self,
        write,
        in_place,
        "MaskedScatterBackward0",
        write_backward,
        (values,),
        (positions,),
        (place, False, (count,)),
    )
