"""Reading and writing whole slices, or flat positions, by a vector of indices.

Slices that several indices name are written or added in the order of the indices, whatever the
number of threads.
"""

from __future__ import annotations

from typing import Any

from ..dtypes import INT64
from ..kernels import indexing as kernels
from ._core import (
    Tensor,
    cast,
    check_tensor,
    normalize_dim,
    number,
    type_name,
    unpack,
    wrap,
    write_out,
)
from ._place import (
    check_along,
    check_range,
    checked_index,
    first_outside,
    modify,
    place_along,
    read,
    take_flat,
    write_backward,
    write_rows,
)
from ._results import given
from .elementwise import mul
from .views import reshape

# ------------------------------------------------------------------------------ rows


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices of dimension `dim` that `index`, a vector, names.

    >>> numgrad.index_select(numgrad.tensor([[1, 2], [3, 4]]), 1, numgrad.tensor([1, 1]))
    tensor([[2, 2],
            [4, 4]])
    """
    check_tensor(input, "index_select", "input")
    index = checked_index(index, "index_select")
    if index._data.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    shape = input._data.shape
    axis = normalize_dim(dim, len(shape))
    source = input
    if not shape:
        if index._data.size != 1:
            raise RuntimeError(
                f"index_select(): Index to scalar can have only 1 value, got {index._data.size} "
                "value(s)"
            )
        source = reshape(input, (1,))
    result = take_slices(source, axis, index if index._data.ndim else reshape(index, (1,)))
    if not shape:
        result = reshape(result, ())
    return given(result, out, "IndexSelectBackward0")


def take_slices(input: Any, axis: int, index: Any) -> Any:
    """`index_select` with checked arguments, apart from the indices' range."""
    data = input._data
    place = place_along(data.shape, axis, index._data.shape, index._data.size)
    return read(input, place, index, "IndexSelectBackward0", False)


def _rows_of(self: Any, dim: int, index: Any, function: str) -> tuple:
    """The checked index, the dimension and the place of operations that write whole slices."""
    check_tensor(self, function, "input")
    index = checked_index(index, function)
    if index._data.ndim > 1:
        raise IndexError(f"{function}(): Index is supposed to be a vector")
    axis = normalize_dim(dim, self._data.ndim)
    index = reshape(index, (-1,))
    shape = self._data.shape or (1,)
    return index, axis, place_along(shape, axis, index._data.shape, index._data.size)


def _index_add(self: Any, dim: int, index: Any, source: Any, alpha: float, inside: bool) -> Any:
    index, axis, place = _rows_of(self, dim, index, "index_add_")
    data, own = self._data, check_tensor(source, "index_add_", "source", 4)._data
    if own.dtype != data.dtype:
        raise RuntimeError(
            f"index_add_(): self ({type_name(data.dtype)}) and source ({type_name(own.dtype)}) "
            "must have the same scalar type"
        )
    count = own.shape[axis] if own.ndim else 1
    if count != place.m:
        raise RuntimeError(
            f"index_add_(): Number of indices ({place.m}) should be equal to source.size(dim): "
            f"({count}), for dim: {axis}"
        )
    if own.ndim and own.shape != place.shape:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(data.shape)} source.shape = {list(own.shape)}"
        )
    check_along(index._data, place.n, axis)
    added = source if alpha == 1 else mul(source, alpha)
    added = reshape(added, place.shape)

    def write(array: Any) -> None:
        write_rows(kernels.add_rows, array, place, index._data, added._data)

    return modify(
        self, write, inside, "IndexAddBackward0", _add_backward, (added,), (index,), (place, axis)
    )


def _add_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    place, axis = node.context
    if node.edges[1] is None:
        return grad, None
    return grad, take_slices(reshape(grad, place.source), axis, index)


def index_add_(
    self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """In-place version of `index_add`."""
    return _index_add(self, dim, index, source, alpha, True)


def index_add(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    *,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """The input with alpha · source's slices added at the places in `index`, which may repeat.

    >>> at = numgrad.tensor([0, 2, 0])
    >>> numgrad.index_add(numgrad.zeros(3), 0, at, numgrad.tensor([1., 2., 3.]))
    tensor([4., 0., 2.])
    """
    result = _index_add(input, dim, index, source, alpha, False)
    return result if out is None else write_out(out, result)


def _index_copy(self: Any, dim: int, index: Any, source: Any, inside: bool) -> Any:
    index, axis, place = _rows_of(self, dim, index, "index_copy_")
    data, own = self._data, check_tensor(source, "index_copy_", "source", 4)._data
    if own.dtype != data.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{type_name(data.dtype)} and (source) {type_name(own.dtype)}"
        )
    count = own.shape[axis] if own.ndim else 1
    if count != place.m:
        raise IndexError(
            f"index_copy_(): Number of indices ({place.m}) should be equal to source.size(dim) "
            f"({count})"
        )
    if own.ndim and own.shape != place.shape:
        slices = [" ".join(str(n) for k, n in enumerate(s) if k != axis)
                  for s in (data.shape, own.shape)]  # fmt: skip
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {slices[0]} at dimension {axis} and source slice shape: {slices[1]} at "
            f"dimension {axis}."
        )

    check_range(index._data, 0, place.n, _raise_copied, index._data, place.n, axis)
    source = reshape(source, place.shape)

    def write(array: Any) -> None:
        write_rows(kernels.put_rows, array, place, index._data, source._data)

    context = (place, False, place.shape)
    return modify(
        self, write, inside, "IndexCopyBackward0", write_backward, (source,), (index,), context
    )


def _raise_copied(index: Any, size: int, dim: int) -> None:
    raise IndexError(
        f"index_copy_(): index {first_outside(index, size)} is out of bounds for dimension {dim} "
        f"with size {size}"
    )


def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """In-place version of `index_copy`."""
    return _index_copy(self, dim, index, source, True)


def index_copy(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """The input with source's slices at the places in `index`.

    >>> numgrad.index_copy(numgrad.zeros(3), 0, numgrad.tensor([2]), numgrad.tensor([5.]))
    tensor([0., 0., 5.])
    """
    result = _index_copy(input, dim, index, source, False)
    return result if out is None else write_out(out, result)


def _index_fill(self: Any, dim: int, index: Any, value: Any, inside: bool) -> Any:
    if isinstance(index, Tensor) and index._data.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    index, axis, place = _rows_of(self, dim, index, "index_fill_")
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value._data.ndim} dimension(s)."
            )
        value = cast(value, self._data.dtype)
    else:
        value = wrap(number(value, self._data.dtype))

    check_along(index._data, place.n, axis, -place.n, IndexError)

    def write(array: Any) -> None:
        write_rows(kernels.put_rows, array, place, index._data, value._data)

    return modify(
        self,
        write,
        inside,
        "IndexFillBackward0",
        write_backward,
        (value,),
        (index,),
        (place, False, ()),
    )


def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """In-place version of `index_fill`."""
    return _index_fill(self, dim, index, value, True)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """The input with the slices named by `index` set to a number (or a 0-d tensor).

    >>> numgrad.index_fill(numgrad.zeros(2, 2), 1, numgrad.tensor([0]), 7)
    tensor([[7., 0.],
            [7., 0.]])
    """
    return _index_fill(input, dim, index, value, False)


# ------------------------------------------------------------------- flat positions


def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements at positions in the flattened input, in the shape of `index`.

    >>> numgrad.take(numgrad.tensor([[4, 3], [2, 1]]), numgrad.tensor([0, -1]))
    tensor([4, 1])
    """
    check_tensor(input, "take", "input")
    dtype = check_tensor(index, "take", "index", 2)._data.dtype
    if dtype != INT64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {type_name(dtype)}")
    if input._data.size == 0 and index._data.size:
        raise IndexError("take(): tried to take from an empty tensor")
    _check_flat(index._data, input._data.size)
    result = take_flat(input, index, "TakeBackward0")
    return result if out is None else write_out(out, result)


def _check_flat(index: Any, size: int) -> None:
    check_range(index, -size, size, _raise_flat, index, size)


def _raise_flat(index: Any, size: int) -> None:
    raise IndexError(
        f"out of range: tried to access index {first_outside(index, size, -size)} on a tensor of "
        f"{size} elements."
    )


def put_(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Write (or add) source's elements at positions in the flattened tensor, in place."""
    return _put(self, index, source, accumulate, True)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with source's elements written (or added) at positions in the flattened input.

    >>> numgrad.zeros(2, 2).put(numgrad.tensor([0, -1]), numgrad.tensor([7., 8.]))
    tensor([[7., 0.],
            [0., 8.]])
    """
    return _put(input, index, source, accumulate, False)


def _put(self: Any, index: Any, source: Any, accumulate: bool, inside: bool) -> Any:
    if index._data.dtype != INT64:
        raise RuntimeError(
            f"put_(): Expected a long tensor for index, but got {type_name(index._data.dtype)}"
        )
    data, own = self._data, source._data
    if own.dtype != data.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{type_name(data.dtype)} and source.dtype = {type_name(own.dtype)}"
        )
    count = index._data.size
    if own.size != count:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {own.size}, index.numel() = {count}"
        )
    _check_flat(index._data, data.size)
    index, source = reshape(index, (-1,)), reshape(source, (-1,))
    place = place_along((data.size,), 0, (count,), count)
    place.source = data.shape
    kernel = kernels.add_rows if accumulate else kernels.put_rows

    def write(array: Any) -> None:
        write_rows(kernel, array, place, index._data, source._data)

    return modify(
        self,
        write,
        inside,
        "PutBackward0",
        write_backward,
        (source,),
        (index,),
        (place, accumulate, (count,)),
    )
