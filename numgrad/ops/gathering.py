"""Reading and writing by position: indexing, gather and scatter, masks, embedding, padding."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..autograd import tape
from ..autograd.tape import mode
from ..dtypes import BOOL, INT64
from ._core import (
    Tensor,
    _check_overlap,
    cast,
    check_tensor,
    copy_array,
    inplace,
    is_number,
    needs_grad,
    normalize_dim,
    number,
    record,
    type_name,
    unpack,
    wrap,
    write_out,
)
from .conversion import copy_, fill_
from .elementwise import where
from .views import _view, clone, expand, reshape, scatter_view, select, slice_dim

# ------------------------------------------------------------------- x[…]


def getitem(self: Tensor, index: Any) -> Any:
    """self[index]: a view for ints, slices, None and …; a copy where tensors or lists select.

    >>> x = numgrad.arange(6).view(2, 3)
    >>> x[1], x[:, 1], x[x > 3]
    (tensor([3, 4, 5]), tensor([1, 4]), tensor([4, 5]))
    """
    if type(index) is int:
        return select(self, 0, index) if self._data.ndim else _too_many(self, 1)
    if type(index) is slice:
        return _slice(self, 0, index) if self._data.ndim else _too_many(self, 1)
    parts = _normalize(self, index)
    if _is_basic(parts):
        return _basic_view(self, parts)
    advanced = _arrays(self, parts)
    result = wrap(np.array(self._data[advanced], order="C"))
    if needs_grad(self):
        record(
            result, "IndexBackward0", _index_backward, (self,), (), (self._data.shape, advanced)
        )
    return result


def _too_many(tensor: Any, count: int) -> Any:
    ndim = tensor._data.ndim
    if ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` "
            "in C++ to convert a 0-dim tensor to a number"
        )
    raise IndexError(f"too many indices for tensor of dimension {ndim}")


def _slice(tensor: Any, axis: int, part: slice) -> Any:
    step = 1 if part.step is None else operator.index(part.step)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    bounds = [None if b is None else operator.index(b) for b in (part.start, part.stop)]
    start, stop, _ = slice(*bounds, step).indices(tensor._data.shape[axis])
    return slice_dim(tensor, axis, start, max(stop, start), step)


def _normalize(tensor: Any, index: Any) -> list:
    """The index as a list with one entry a dimension or new dimension, without an ellipsis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    parts = [
        np.asarray([p.item() if isinstance(p, Tensor) else p for p in part])
        if isinstance(part, list) and all(is_number(p) or isinstance(p, Tensor) for p in part)
        else np.asarray(part)
        if isinstance(part, (list, range))
        else part
        for part in parts
    ]
    used = 0
    for part in parts:
        data = part._data if isinstance(part, Tensor) else part
        if part is None or part is Ellipsis or isinstance(part, bool):
            continue
        if isinstance(data, np.ndarray) and data.dtype.kind == "b":
            used += data.ndim
        else:
            used += 1
    ndim = tensor._data.ndim
    if used > ndim:
        _too_many(tensor, used)
    dots = [k for k, p in enumerate(parts) if p is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    fill = [slice(None)] * (ndim - used)
    if dots:
        parts[dots[0] : dots[0] + 1] = fill
    else:
        parts += fill
    return parts


def _is_basic(parts: list) -> bool:
    for part in parts:
        if part is None or isinstance(part, slice):
            continue
        if isinstance(part, Tensor):
            if part._data.ndim or part._data.dtype.kind not in "iu":
                return False
            continue
        if isinstance(part, bool) or isinstance(part, np.ndarray) or not hasattr(part, "__index__"):
            return False
    return True


def _basic_view(tensor: Any, parts: list) -> Any:
    data = tensor._data
    axis = 0
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, slice):
            position = operator.index(part)
            size = data.shape[axis]
            if not -size <= position < size:
                raise IndexError(
                    f"index {position} is out of bounds for dimension {axis} with size {size}"
                )
        elif part.step is not None and part.step <= 0:
            raise ValueError("step must be greater than zero")
        axis += 1
    single = [(k, p) for k, p in enumerate(parts) if not (isinstance(p, slice) and p == slice(None))]
    if len(single) == 1 and None not in parts:
        axis, part = single[0]
        if isinstance(part, slice):
            return _slice(tensor, axis, part)
        return select(tensor, axis, part)
    key = tuple(
        [p if p is None or isinstance(p, slice) else operator.index(p) for p in parts]
    )
    return _take_view(tensor, key)


def _take_view(tensor: Any, key: tuple) -> Any:
    """Any basic index, as one view."""
    return _view(
        tensor, tensor._data[(*key, ...)], "SliceBackward0", _take_view, (key,), _take_backward
    )


def _take_backward(node: Any, grad: Any) -> Any:
    shape, arguments = node.context
    return scatter_view(grad, shape, _take_view, arguments)


def _arrays(tensor: Any, parts: list) -> tuple:
    """The index for NumPy, checked: masks against the shape, positions against the sizes."""
    shape = tensor._data.shape
    result: list[Any] = []
    axis = 0
    for part in parts:
        if part is None or isinstance(part, slice):
            if part is not None:
                if part.step is not None and operator.index(part.step) <= 0:
                    raise ValueError("step must be greater than zero")
                axis += 1
            result.append(part)
            continue
        if isinstance(part, bool):
            result.append(np.asarray(part))
            continue
        data = part._data if isinstance(part, Tensor) else np.asarray(part)
        if data.size == 0 and not isinstance(part, Tensor):
            data = data.astype(INT64)
        if data.dtype == np.uint8:
            data = data.astype(BOOL)
        if data.dtype.kind == "b":
            for k, n in enumerate(data.shape):
                if shape[axis + k] != n:
                    raise IndexError(
                        f"The shape of the mask {list(data.shape)} at index {k} does not match the "
                        f"shape of the indexed tensor {list(shape)} at index {axis + k}"
                    )
            result.append(data)
            axis += data.ndim
            continue
        if data.dtype.kind not in "iu":
            raise IndexError(
                "tensors used as indices must be long, int, byte or bool tensors"
                if isinstance(part, Tensor)
                else "only integers, slices (`:`), ellipsis (`...`), None and long or byte "
                f"Variables are valid indices (got {type(part).__name__})"
            )
        size = shape[axis]
        if data.size:
            low, high = data.min(), data.max()
            if low < -size or high >= size:
                bad = int(low if low < -size else high)
                raise IndexError(
                    f"index {bad} is out of bounds for dimension {axis} with size {size}"
                )
        result.append(data)
        axis += 1
    shapes = [r.shape for r in result if isinstance(r, np.ndarray) and r.dtype.kind != "b"]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(str(list(s)) for s in shapes)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        ) from None
    return tuple(result)


def _index_backward(node: Any, grad: Any) -> Any:
    return _scatter_index(grad, *node.context)


def _scatter_index(grad: Any, shape: tuple, index: tuple) -> Any:
    """Zeros of `shape` with `grad` added at the positions of an advanced index."""
    data = np.zeros(shape, grad._data.dtype)
    np.add.at(data, index, grad._data)
    result = wrap(data)
    if needs_grad(grad):
        record(result, "IndexPutBackward0", _gather_index, (grad,), (), index)
    return result


def _gather_index(node: Any, grad: Any) -> Any:
    return getitem(grad, tuple([wrap(p) if isinstance(p, np.ndarray) else p for p in node.context]))


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """self[index] = value.

    >>> x = numgrad.zeros(3)
    >>> x[1:] = numgrad.tensor([1., 2.])
    >>> x
    tensor([0., 1., 2.])
    """
    parts = _normalize(self, index)
    if _is_basic(parts):
        target = _basic_view(self, parts)
        if is_number(value):
            fill_(target, value)
            return
        source = value if isinstance(value, Tensor) else _as_tensor(value, self)
        while source._data.ndim > target._data.ndim and source._data.shape[0] == 1:
            source = reshape(source, source._data.shape[1:])
        copy_(target, source)
        return
    advanced = _arrays(self, parts)
    source = value if isinstance(value, Tensor) else _as_tensor(value, self)
    _put(self, advanced, source, False)


def _as_tensor(value: Any, like: Any) -> Any:
    from .creation import tensor

    if is_number(value):
        return wrap(np.array(number(value, like._data.dtype)))
    return tensor(value)


def _put(self: Any, index: tuple, value: Any, accumulate: bool) -> None:
    """Write `value`, broadcast, at an advanced index, in place."""
    tape.check_inplace(self)
    _check_overlap(self)
    value = cast(value, self._data.dtype)
    shape = self._data[index].shape
    try:
        spread = expand(value, shape)
    except RuntimeError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value._data.shape)} cannot be broadcast "
            f"to indexing result of shape {list(shape)}"
        ) from None
    before = tape.alias(self) if mode.enabled else self
    if accumulate:
        np.add.at(self._data, index, spread._data)
    else:
        self._data[index] = spread._data
    tape.bump(self)
    if mode.enabled and (before._requires_grad or spread._requires_grad):
        result = wrap(self._data)
        record(
            result,
            "IndexPutBackward0",
            _put_backward,
            (before, spread),
            (),
            (index, accumulate),
        )
        tape.adopt(self, result)


def _put_backward(node: Any, grad: Any) -> tuple:
    index, accumulate = node.context
    to_self = to_value = None
    key = tuple([wrap(p) if isinstance(p, np.ndarray) else p for p in index])
    if node.edges[0] is not None:
        if accumulate:
            to_self = grad
        else:
            to_self = clone(grad)
            setitem(to_self, key, 0)
    if node.edges[1] is not None:
        to_value = getitem(grad, key)
    return to_self, to_value


def index_put_(self: Tensor, indices: tuple, values: Tensor, accumulate: bool = False) -> Tensor:
    """self[indices] = values, or += with `accumulate`."""
    parts = _normalize(self, tuple(indices))
    _put(self, _arrays(self, parts), values, accumulate)
    return self


def index_put(
    input: Tensor, indices: tuple, values: Tensor, accumulate: bool = False
) -> Tensor:
    """`index_put_` into a copy."""
    return index_put_(clone(input), indices, values, accumulate)


# ------------------------------------------------------------- along one dimension


def _check_index(index: Any, function: str) -> np.ndarray:
    check_tensor(index, function, "index")
    data = index._data
    if data.dtype.kind not in "i" or data.dtype.itemsize < 4:
        raise RuntimeError(f"{function}(): Expected dtype int32 or int64 for index")
    return data


def _in_range(data: np.ndarray, size: int, axis: int, function: str) -> None:
    if data.size and (data.min() < 0 or data.max() >= size):
        bad = int(data.min() if data.min() < 0 else data.max())
        if function == "index_select":
            raise IndexError("index out of range in self")
        raise RuntimeError(f"index {bad} is out of bounds for dimension {axis} with size {size}")


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Any = None) -> Tensor:
    """The slices of dimension `dim` with these numbers.

    >>> numgrad.index_select(numgrad.tensor([[1, 2], [3, 4]]), 1, numgrad.tensor([1]))
    tensor([[2],
            [4]])
    """
    positions = _check_index(index, "index_select")
    if positions.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    data = input._data
    axis = normalize_dim(dim, data.ndim)
    positions = positions.reshape(-1)
    _in_range(positions, data.shape[axis] if data.ndim else 1, axis, "index_select")
    taken = np.take(data, positions, axis) if data.ndim else np.array(data)
    result = wrap(np.array(taken, order="C"))
    if needs_grad(input):
        record(
            result, "IndexSelectBackward0", _select_back, (input,), (index,), (data.shape, axis)
        )
    return result if out is None else write_out(out, result)


def _select_back(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    shape, axis = node.context
    from .creation import zeros

    start = zeros(shape, dtype=grad.dtype)
    return index_add(start, axis, index, grad)


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """The input with alpha · source slices added at the positions of `index`, in order."""
    axis = normalize_dim(dim, input._data.ndim)
    positions = _check_index(index, "index_add").reshape(-1)
    _in_range(positions, input._data.shape[axis], axis, "index_add")
    if source._data.dtype != input._data.dtype:
        raise RuntimeError(
            f"index_add_(): self ({type_name(input._data.dtype)}) and source "
            f"({type_name(source._data.dtype)}) must have the same scalar type"
        )
    data = copy_array(input._data, input._data.dtype)
    added = source._data if alpha == 1 else source._data * data.dtype.type(alpha)
    np.add.at(data, (slice(None),) * axis + (positions,), added)
    result = wrap(data)
    if needs_grad(input, source):
        record(
            result,
            "IndexAddBackward0",
            _index_add_backward,
            (input, source),
            (index,),
            (axis, alpha),
        )
    return result


def _index_add_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    axis, alpha = node.context
    to_source = None
    if node.edges[1] is not None:
        to_source = index_select(grad, axis, index)
        to_source = to_source if alpha == 1 else to_source * alpha
    return grad, to_source


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The input with slices replaced by those of `source`."""
    axis = normalize_dim(dim, input._data.ndim)
    result = clone(input)
    setitem(result, (slice(None),) * axis + (index,), source)
    return result


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """The input with slices filled with a number."""
    axis = normalize_dim(dim, input._data.ndim)
    result = clone(input)
    setitem(result, (slice(None),) * axis + (index,), value)
    return result


def _grid(index: np.ndarray, axis: int) -> tuple:
    """The NumPy index of gather and scatter: each element's own place, but `index` along `axis`."""
    key: list[Any] = list(np.ogrid[tuple([slice(n) for n in index.shape])])
    key[axis] = index
    return tuple(key)


def _check_gather(input: Any, axis: int, index: Any, function: str) -> np.ndarray:
    positions = _check_index(index, function)
    if positions.dtype != INT64:
        raise RuntimeError(f"{function}(): Expected dtype int64 for index")
    data = input._data
    if max(data.ndim, 1) != max(positions.ndim, 1):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor"
            if function == "gather"
            else "Index tensor must have the same number of dimensions as self tensor"
        )
    for k in range(positions.ndim):
        if k != axis and positions.shape[k] > data.shape[k]:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(positions.shape)} to "
                f"be no larger than self {list(data.shape)} apart from dimension {axis}"
            )
    _in_range(positions, data.shape[axis] if data.ndim else 1, axis, function)
    return positions


def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None
) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on.

    >>> numgrad.gather(numgrad.tensor([[1, 2], [3, 4]]), 1, numgrad.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    axis = normalize_dim(dim, input._data.ndim)
    positions = _check_gather(input, axis, index, "gather")
    data = input._data
    taken = data[_grid(positions, axis)] if data.ndim and positions.ndim else np.broadcast_to(
        data, positions.shape
    )
    result = wrap(np.array(taken, order="C"))
    if needs_grad(input):
        record(result, "GatherBackward0", _gather_backward, (input,), (index,), (axis, data.shape))
    return result if out is None else write_out(out, result)


def _gather_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    axis, shape = node.context
    from .creation import zeros

    return scatter_add(zeros(shape, dtype=grad.dtype), axis, index, grad)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """The input with src[i][j] added at [index[i][j]][j] for dim 0, and so on, in order."""
    axis = normalize_dim(dim, input._data.ndim)
    positions = _check_gather(input, axis, index, "scatter_add")
    data = copy_array(input._data, input._data.dtype)
    if src._data.dtype != data.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    part = src._data[tuple([slice(n) for n in positions.shape])]
    if data.ndim:
        np.add.at(data, _grid(positions, axis), part)
    else:
        data += part.reshape(())
    result = wrap(data)
    if needs_grad(input, src):
        record(
            result,
            "ScatterAddBackward0",
            _scatter_add_backward,
            (input, src),
            (index,),
            (axis, src._data.shape),
        )
    return result


def _scatter_add_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    axis, shape = node.context
    return grad, _back_to_source(grad, axis, index, shape, node.edges[1])


def _back_to_source(grad: Any, axis: int, index: Any, shape: tuple, wanted: Any) -> Any:
    if wanted is None:
        return None
    part = gather(grad, axis, index)
    if part._data.shape == shape:
        return part
    key = tuple([slice(n) for n in index._data.shape])
    return scatter_view(part, shape, _take_view, (key,))


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """The input with src (a tensor or a number) written at the positions of `index` along `dim`."""
    src = value if src is None else src
    axis = normalize_dim(dim, input._data.ndim)
    positions = _check_gather(input, axis, index, "scatter")
    if is_number(src):
        from .creation import full

        src = full(positions.shape, src, dtype=input.dtype)  # type: ignore[attr-defined]
    if reduce == "add":
        return scatter_add(input, dim, index, src)
    if src._data.dtype != input._data.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    data = copy_array(input._data, input._data.dtype)
    part = src._data[tuple([slice(n) for n in positions.shape])]
    if reduce == "multiply":
        np.multiply.at(data, _grid(positions, axis), part)
    elif reduce is not None:
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce}.")
    elif data.ndim:
        data[_grid(positions, axis)] = part
    else:
        data[...] = part.reshape(())
    result = wrap(data)
    if reduce is None and needs_grad(input, src):
        record(
            result,
            "ScatterBackward0",
            _scatter_backward,
            (input, src),
            (index,),
            (axis, src._data.shape),
        )
    return result


def _scatter_backward(node: Any, grad: Any) -> tuple:
    (index,) = unpack(node)
    axis, shape = node.context
    to_input = scatter(grad, axis, index, value=0) if node.edges[0] is not None else None
    return to_input, _back_to_source(grad, axis, index, shape, node.edges[1])


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with broadcasting; of the flattened input without a dim."""
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    axis = normalize_dim(dim, input._data.ndim)
    a, b = list(input._data.shape), list(indices._data.shape)
    shape = np.broadcast_shapes(
        tuple(1 if k == axis else n for k, n in enumerate(a)),
        tuple(1 if k == axis else n for k, n in enumerate(b)),
    )
    own = tuple(a[k] if k == axis else n for k, n in enumerate(shape))
    other = tuple(b[k] if k == axis else n for k, n in enumerate(shape))
    return gather(expand(input, own), axis, expand(indices, other))


def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements by their positions in the flattened input."""
    return getitem(reshape(input, (-1,)), index)


# ----------------------------------------------------------------------- masks


def _check_mask(mask: Any, function: str) -> None:
    if mask._data.dtype != BOOL:
        raise RuntimeError(
            f"{function} only supports boolean masks, but got mask with dtype "
            f"{type_name(mask._data.dtype).lower()}"
        )


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The input with `value` where the mask holds.

    >>> numgrad.masked_fill(numgrad.ones(2), numgrad.tensor([True, False]), 0)
    tensor([0., 1.])
    """
    _check_mask(mask, "masked_fill_")
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
                f"{value._data.ndim} dimension(s)."
            )
        value = cast(value, input._data.dtype)
    else:
        value = wrap(number(value, input._data.dtype))
    result = where(mask, value, input)
    if result._node is not None:
        result._node.name = "MaskedFillBackward0"
    return result


def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Tensor:
    """The elements where the mask holds, in one dimension."""
    _check_mask(mask, "masked_select: expected BoolTensor for mask;")
    shape = np.broadcast_shapes(input._data.shape, mask._data.shape)
    result = getitem(expand(input, shape), expand(mask, shape))
    return result if out is None else write_out(out, result)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The input with consecutive elements of `source` where the mask holds."""
    _check_mask(mask, "masked_scatter_")
    spread = expand(mask, input._data.shape)
    count = int(np.count_nonzero(spread._data))
    if count > source._data.size:
        raise RuntimeError(
            "masked_scatter: expected self and source to have enough elements: "
            f"{count} are masked, source has {source._data.size}"
        )
    result = clone(input)
    setitem(result, spread, reshape(source, (-1,))[:count])  # type: ignore[index]
    return result


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero: (count, ndim), or a tuple of vectors.

    >>> numgrad.nonzero(numgrad.tensor([0, 3, 5]))
    tensor([[1],
            [2]])
    """
    data = input._data
    found = np.nonzero(data.reshape(1) if data.ndim == 0 else data)
    if as_tuple:
        return tuple([wrap(np.ascontiguousarray(f, INT64)) for f in found])
    if data.ndim == 0:
        return wrap(np.zeros((len(found[0]), 0), INT64))
    return wrap(np.ascontiguousarray(np.stack(found, 1), INT64))


def argwhere(input: Tensor) -> Tensor:
    """The positions of the elements that are not zero."""
    return nonzero(input)


# --------------------------------------------------------------- rearrangements


def flip(input: Tensor, *dims: Any) -> Tensor:
    """A copy in reverse order along dimensions.

    >>> numgrad.flip(numgrad.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    listed = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    axes = tuple([normalize_dim(d, input._data.ndim) for d in listed])
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {axes[0]} appears multiple times in the list of dims")
    result = wrap(np.array(np.flip(input._data, axes), order="C"))
    if needs_grad(input):
        record(result, "FlipBackward0", _flip_backward, (input,), (), axes)
    return result


def _flip_backward(node: Any, grad: Any) -> Any:
    return flip(grad, node.context)


def fliplr(input: Tensor) -> Tensor:
    """Reversed along dimension 1."""
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """Reversed along dimension 0."""
    return flip(input, (0,))


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted along dimensions; what falls off one end comes back at the other.

    >>> numgrad.roll(numgrad.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    result = wrap(np.array(np.roll(input._data, shifts, dims), order="C"))
    if needs_grad(input):
        back = -shifts if isinstance(shifts, int) else tuple([-s for s in shifts])
        record(result, "RollBackward0", _roll_backward, (input,), (), (back, dims))
    return result


def _roll_backward(node: Any, grad: Any) -> Any:
    return roll(grad, *node.context)


def _triangle(name: str, keep: Any) -> Any:
    def operation(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
        data = check_tensor(input, name, "input")._data
        if data.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        result = wrap(np.array(keep(data, diagonal), order="C"))
        if needs_grad(input):
            record(result, f"{name.capitalize()}Backward0", backward, (input,), (), diagonal)
        return result if out is None else write_out(out, result)

    def backward(node: Any, grad: Any) -> Any:
        return operation(grad, node.context)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"The {'lower' if name == 'tril' else 'upper'} triangle, zeros elsewhere."
    return operation


tril = _triangle("tril", np.tril)
triu = _triangle("triu", np.triu)


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The positions of the lower triangle, (2, count)."""
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(INT64))


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The positions of the upper triangle, (2, count)."""
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(INT64))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with this diagonal.

    >>> numgrad.diag(numgrad.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    from .views import diagonal as diagonal_of

    ndim = input._data.ndim
    if ndim == 2:
        return clone(diagonal_of(input, diagonal))
    if ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    return diag_embed(input, diagonal)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension as diagonals."""
    from .views import diagonal as diagonal_of

    shape = input._data.shape
    size = shape[-1] + (offset if offset >= 0 else -offset)
    a, b = normalize_dim(dim1, len(shape) + 1), normalize_dim(dim2, len(shape) + 1)
    rest = iter(shape[:-1])
    whole = tuple([size if k in (a, b) else next(rest) for k in range(len(shape) + 1)])
    return scatter_view(input, whole, diagonal_of, (offset, a, b))


def repeat_interleave(
    input: Tensor, repeats: Any, dim: int | None = None, *, output_size: Any = None
) -> Tensor:
    """Each element (or slice along `dim`) repeated.

    >>> numgrad.repeat_interleave(numgrad.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    axis = normalize_dim(dim, input._data.ndim)
    counts = repeats._data if isinstance(repeats, Tensor) else repeats
    positions = np.repeat(np.arange(input._data.shape[axis]), counts)
    return index_select(input, axis, wrap(positions))


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Room around the last dimensions: (left, right, top, bottom, …); negative amounts crop.

    >>> numgrad.nn.functional.pad(numgrad.ones(2), (1, 2))
    tensor([0., 1., 1., 0., 0.])
    """
    data = input._data
    amounts = list(pad)
    if len(amounts) % 2 or len(amounts) > 2 * data.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(amounts)} and input of dimension {data.ndim}"
            if not len(amounts) % 2
            else "Padding length must be divisible by 2"
        )
    pairs = [(0, 0)] * data.ndim
    for k in range(len(amounts) // 2):
        pairs[data.ndim - 1 - k] = (amounts[2 * k], amounts[2 * k + 1])
    if mode == "constant":
        inner = tuple(
            [
                slice(max(-a, 0), n - max(-b, 0))
                for (a, b), n in zip(pairs, data.shape, strict=True)
            ]
        )
        cropped = _take_view(input, inner) if min(amounts, default=0) < 0 else input
        grown = [(max(a, 0), max(b, 0)) for a, b in pairs]
        shape = tuple(
            [n + a + b for (a, b), n in zip(grown, cropped._data.shape, strict=True)]
        )
        place = tuple(
            [slice(a, a + n) for (a, _), n in zip(grown, cropped._data.shape, strict=True)]
        )
        result = scatter_view(cropped, shape, _take_view, (place,))
        if value:
            mask = np.ones(shape, bool)
            mask[place] = False
            result = masked_fill(result, wrap(mask), value)
        return result
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in names:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    result = input
    for axis, (a, b) in enumerate(pairs):
        if a or b:
            positions = np.pad(np.arange(data.shape[axis]), (a, b), mode=names[mode])  # type: ignore[call-overload]
            result = index_select(result, axis, wrap(positions))
    return result


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class numbers as rows of zeros with a one.

    >>> numgrad.nn.functional.one_hot(numgrad.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    data = tensor._data
    if data.dtype != INT64:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor."
        )
    if data.size == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if data.size and data.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    count = int(data.max()) + 1 if num_classes == -1 else num_classes
    if data.size and data.max() >= count:
        raise RuntimeError("Class values must be smaller than num_classes.")
    out = np.zeros((*data.shape, count), INT64)
    np.put_along_axis(out, data[..., None], 1, -1)
    return wrap(out)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often (or with how much weight) each number occurs.

    >>> numgrad.bincount(numgrad.tensor([0, 1, 1]))
    tensor([1, 2])
    """
    data = input._data
    if data.ndim != 1 or data.dtype.kind not in "iu" or (data.size and data.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return wrap(np.bincount(data, minlength=minlength).astype(INT64))
    counted = np.bincount(data, weights._data, minlength)
    kind = weights._data.dtype if weights._data.dtype == np.float32 else np.dtype(np.float64)
    return wrap(counted.astype(kind))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight` by their numbers.

    >>> numgrad.nn.functional.embedding(numgrad.tensor([1]), numgrad.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.]])
    """
    positions = input._data
    if positions.dtype.kind != "i" or positions.dtype.itemsize < 4:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {type_name(positions.dtype)}Tensor instead (while checking "
            "arguments for embedding)"
        )
    rows = weight._data.shape[0]
    if positions.size and (positions.min() < 0 or positions.max() >= rows):
        raise IndexError("index out of range in self")
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if max_norm is not None:
        with tape.set_grad(False):
            used = np.unique(positions)
            table = weight._data[used]
            norms = np.linalg.norm(table, norm_type, axis=1)
            scale = np.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)
            weight._data[used] = table * scale[:, None].astype(table.dtype)
            tape.bump(weight)
    result = wrap(weight._data[positions])
    if needs_grad(weight):
        record(
            result,
            "EmbeddingBackward0",
            _embedding_backward,
            (weight,),
            (input,),
            (rows, padding_idx, scale_grad_by_freq),
        )
    return result


def _embedding_backward(node: Any, grad: Any) -> Any:
    (input,) = unpack(node)
    rows, padding_idx, by_frequency = node.context
    from .creation import zeros

    positions = reshape(input, (-1,))
    width = grad._data.shape[-1]
    flat = reshape(grad, (-1, width))
    if by_frequency:
        counts = np.bincount(positions._data, minlength=rows)[positions._data]
        flat = flat * wrap((1.0 / counts).astype(flat._data.dtype)[:, None])
    if padding_idx is not None:
        flat = masked_fill(flat, wrap((positions._data == padding_idx)[:, None]), 0)
    return index_add(zeros((rows, width), dtype=grad.dtype), 0, positions, flat)


tril_ = inplace(tril)
triu_ = inplace(triu)
masked_fill_ = inplace(masked_fill)
masked_scatter_ = inplace(masked_scatter)
scatter_ = inplace(scatter)
scatter_add_ = inplace(scatter_add)
index_add_ = inplace(index_add)
index_copy_ = inplace(index_copy)
index_fill_ = inplace(index_fill)

