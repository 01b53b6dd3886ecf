"""Joining tensors: along a dimension they have, along a new one, and grids of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.tape import mode
from ..dtypes import FLOAT32, promote
from ..kernels import elementwise as table
from ..kernels import indexing as kernels
from . import _core
from ._core import (
    Tensor,
    cast,
    check_same_device,
    check_tensor,
    dense,
    launch,
    needs_grad,
    normalize_dim,
    record,
    result_dtype,
    wrap,
    write_out,
)
from .creation import as_size
from .views import as_size_or_minus, expand, reshape, select, slice_dim, unsqueeze

BITS = kernels.BITS
_ndarray = np.ndarray


def _arrays(tensors: Any, function: str) -> list:
    """The arrays of a sequence of tensors."""
    if isinstance(tensors, Tensor):
        raise TypeError(
            f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        )
    try:
        arrays = [t._data for t in tensors]
    except AttributeError:
        for position, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"expected Tensor as element {position} in argument 0, but got "
                    f"{type(t).__name__}"
                ) from None
        raise
    if not arrays:
        if function == "cat":
            raise ValueError("torch.cat(): expected a non-empty list of Tensors")
        raise RuntimeError(f"{function} expects a non-empty TensorList")
    return arrays


def _join(arrays: list, shape: tuple, outer: int) -> Any:
    """A new array of this shape: for each of `outer` blocks, the arrays' parts in turn."""
    first = arrays[0]
    dtype = first.dtype
    if type(first) is not _ndarray:
        check_same_device(*arrays)
    out = _core.empty(shape, dtype, first)
    count = out.size
    if count:
        parts = tuple([a if a.flags.c_contiguous else dense(a) for a in arrays])
        launch(kernels.join, BITS[dtype.itemsize], count, (parts, out, float(outer)))
    return out


def _recorded(tensors: Any) -> bool:
    for tensor in tensors:
        if tensor._requires_grad or tensor._view is not None:
            return needs_grad(*tensors)
    return False


def _of_one_dtype(tensors: Sequence, arrays: list) -> tuple[Sequence, list]:
    """The tensors and arrays in their common dtype."""
    dtype = arrays[0].dtype
    for array in arrays:
        if array.dtype is not dtype and array.dtype != dtype:
            dtype = result_dtype(tensors)
            tensors = [cast(t, dtype) for t in tensors]
            return tensors, [t._data for t in tensors]
    return tensors, arrays


def cat(
    tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None, out: Any = None
) -> Tensor:
    """The tensors one after the other along a dimension; the other sizes must agree.

    Tensors of shape (0,) are left out whatever the others' shapes.

    >>> x = numgrad.tensor([[1, 2]])
    >>> numgrad.cat([x, x]), numgrad.cat([x, x], dim=1)
    (tensor([[1, 2],
            [1, 2]]), tensor([[1, 2, 1, 2]]))
    """
    arrays = _arrays(tensors, "cat")
    if axis is not None:
        dim = axis
    tensors, arrays = _of_one_dtype(tensors, arrays)
    shape = arrays[0].shape
    if shape == (0,):
        shape = next((a.shape for a in arrays if a.shape != (0,)), shape)
        if shape == (0,):
            dim = 0
    ndim = len(shape)
    if not -ndim <= dim < ndim:
        if ndim == 0:
            raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
        normalize_dim(dim, ndim)
    if dim < 0:
        dim += ndim
    before, after = shape[:dim], shape[dim + 1 :]
    total, lengths = 0, []
    for position, array in enumerate(arrays):
        own = array.shape
        if len(own) != ndim or own[:dim] != before or own[dim + 1 :] != after:
            if own == (0,):
                lengths.append(0)
                continue
            _raise_sizes(arrays, position, dim, shape)
        lengths.append(own[dim])
        total += own[dim]
    outer = 1
    for n in before:
        outer *= n
    result = wrap(_join(arrays, (*before, total, *after), outer))
    if _recorded(tensors):
        context = (dim, lengths, [a.shape for a in arrays])
        record(result, "CatBackward0", _cat_backward, tuple(tensors), (), context)
    return result if out is None else write_out(out, result)


def _raise_sizes(arrays: list, position: int, dim: int, shape: tuple) -> None:
    own = arrays[position].shape
    if not own:
        raise RuntimeError(
            f"zero-dimensional tensor (at position {position}) cannot be concatenated"
        )
    if len(own) != len(shape):
        raise RuntimeError(
            f"Tensors must have same number of dimensions: got {len(shape)} and {len(own)}"
        )
    axis = next(k for k in range(len(own)) if k != dim and own[k] != shape[k])
    raise RuntimeError(
        f"Sizes of tensors must match except in dimension {dim}. Expected size {shape[axis]} but "
        f"got size {own[axis]} for tensor number {position} in the list."
    )


def _cat_backward(node: Any, grad: Any) -> tuple:
    dim, lengths, shapes = node.context
    grads: list[Any] = []
    start = 0
    for target, length, shape in zip(node.edges, lengths, shapes, strict=True):
        if target is None:
            grads.append(None)
        elif shape == (0,) and grad._data.ndim != 1:
            grads.append(wrap(_core.zeros(shape, grad._data.dtype, grad._data)))
        else:
            grads.append(slice_dim(grad, dim, start, start + length, 1))
        start += length
    return tuple(grads)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None) -> Tensor:
    """Tensors of one shape side by side along a new dimension.

    >>> numgrad.stack([numgrad.tensor([1, 2]), numgrad.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    arrays = _arrays(tensors, "stack")
    first = arrays[0]
    shape, dtype = first.shape, first.dtype
    for position, array in enumerate(arrays):
        if array.dtype is not dtype:
            tensors, arrays = _of_one_dtype(tensors, arrays)
            dtype = arrays[0].dtype
        if array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 "
                f"and {list(array.shape)} at entry {position}"
            )
    if dim:
        dim = normalize_dim(dim, len(shape) + 1)
    outer = 1
    for n in shape[:dim]:
        outer *= n
    result = wrap(_join(arrays, (*shape[:dim], len(arrays), *shape[dim:]), outer))
    if _recorded(tensors):
        record(result, "StackBackward0", _stack_backward, tuple(tensors), (), dim)
    return result if out is None else write_out(out, result)


def _stack_backward(node: Any, grad: Any) -> tuple:
    dim = node.context
    return tuple([None if t is None else select(grad, dim, k) for k, t in enumerate(node.edges)])


def repeat(input: Tensor, *counts: Any, repeats: Any = None) -> Tensor:
    """The tensor repeated along each dimension; more numbers than dimensions make new ones.

    >>> numgrad.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    if not counts and repeats is None:
        raise TypeError('repeat() missing 1 required positional arguments: "repeats"')
    counts = as_size_or_minus(counts if repeats is None else (repeats,))
    data = input._data
    if len(counts) < data.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    own = (1,) * (len(counts) - data.ndim) + data.shape
    shape = as_size(([c * n for c, n in zip(counts, own, strict=True)],))
    pairs = list(zip(counts, own, strict=True))
    # Each dimension as (copies, elements): the input is the same for all copies.
    source = data.reshape([n for pair in pairs for n in (1, pair[1])])
    out = _core.empty([n for pair in pairs for n in pair], data.dtype, data)
    launch(table.copy[data.dtype], data.dtype, out.size, (source, out))
    result = wrap(out.reshape(shape))
    if mode.enabled and needs_grad(input):
        record(result, "RepeatBackward0", _repeat_backward, (input,), (), (pairs, data.shape))
    return result


def _repeat_backward(node: Any, grad: Any) -> Any:
    from .reduction import sum

    pairs, shape = node.context
    split = reshape(grad, tuple([n for pair in pairs for n in pair]))
    return reshape(sum(split, list(range(0, 2 * len(pairs), 2))) if pairs else split, shape)


def tile(input: Tensor, *counts: Any, dims: Any = None) -> Tensor:
    """`repeat`, with 1 for leading dimensions that are not given.

    >>> numgrad.tile(numgrad.tensor([[1], [2]]), (2,))
    tensor([[1, 1],
            [2, 2]])
    """
    counts = as_size_or_minus(counts if dims is None else (dims,))
    return repeat(input, (1,) * (input._data.ndim - len(counts)) + counts)


# ------------------------------------------------- shapes that NumPy's users know


def atleast_1d(*tensors: Any) -> Any:
    """The tensor (or tensors) with one dimension at least.

    >>> numgrad.atleast_1d(numgrad.tensor(3.))
    tensor([3.])
    """
    return _atleast(tensors, lambda t: reshape(t, (1,)) if t._data.ndim == 0 else t)


def atleast_2d(*tensors: Any) -> Any:
    """The tensor (or tensors) with two dimensions at least; new ones come first.

    >>> numgrad.atleast_2d(numgrad.tensor([3.]))
    tensor([[3.]])
    """
    return _atleast(tensors, _two_dims)


def atleast_3d(*tensors: Any) -> Any:
    """The tensor (or tensors) with three dimensions at least; the third comes last.

    >>> numgrad.atleast_3d(numgrad.tensor([3.])).shape
    torch.Size([1, 1, 1])
    """
    return _atleast(tensors, lambda t: t if t._data.ndim > 2 else unsqueeze(_two_dims(t), -1))


def _two_dims(tensor: Any) -> Any:
    ndim = tensor._data.ndim
    if ndim > 1:
        return tensor
    return reshape(tensor, (1, 1)) if ndim == 0 else unsqueeze(tensor, 0)


def _atleast(tensors: tuple, widen: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return widen(tensors[0])
    listed = tensors[0] if len(tensors) == 1 else tensors
    return tuple([widen(t) for t in listed])


def hstack(tensors: Sequence[Tensor], *, out: Any = None) -> Tensor:
    """Tensors in a row: along dimension 1 (0 for vectors).

    >>> numgrad.hstack([numgrad.tensor([1, 2]), numgrad.tensor([3])])
    tensor([1, 2, 3])
    """
    _arrays(tensors, "hstack")
    listed = atleast_1d(tuple(tensors))
    return cat(listed, 0 if listed[0]._data.ndim == 1 else 1, out=out)


def vstack(tensors: Sequence[Tensor], *, out: Any = None) -> Tensor:
    """Tensors one below the other: along dimension 0, vectors as rows.

    >>> numgrad.vstack([numgrad.tensor([1, 2]), numgrad.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    _arrays(tensors, "vstack")
    return cat(atleast_2d(tuple(tensors)), 0, out=out)


row_stack = vstack


def dstack(tensors: Sequence[Tensor], *, out: Any = None) -> Tensor:
    """Tensors behind one another: along dimension 2.

    >>> numgrad.dstack((numgrad.tensor([1, 2]), numgrad.tensor([3, 4]))).shape
    torch.Size([1, 2, 2])
    """
    _arrays(tensors, "dstack")
    return cat(atleast_3d(tuple(tensors)), 2, out=out)


def column_stack(tensors: Sequence[Tensor], *, out: Any = None) -> Tensor:
    """Tensors side by side, vectors as columns.

    >>> numgrad.column_stack([numgrad.tensor([1, 2]), numgrad.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    _arrays(tensors, "column_stack")
    columns = [reshape(t, (t._data.size, 1)) if t._data.ndim <= 1 else t for t in tensors]
    return cat(columns, 1, out=out)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """Grids of coordinates from vectors: `indexing="ij"` (rows first) or `"xy"`.

    >>> numgrad.meshgrid(numgrad.tensor([1, 2]), numgrad.tensor([3, 4, 5]), indexing="ij")[0]
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    listed = list(
        tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    )
    if not listed:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in listed:
        if check_tensor(t, "meshgrid", "tensors")._data.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                f"{t._data.ndim}D"
            )
        if t._data.dtype != listed[0]._data.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing is None:
        import warnings

        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument.",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + indexing
        )
    swap = indexing == "xy" and len(listed) >= 2
    if swap:
        listed[0], listed[1] = listed[1], listed[0]
    shape = tuple([t._data.size for t in listed])
    grids = [
        expand(reshape(t, (1,) * k + (-1,) + (1,) * (len(listed) - 1 - k)), shape)
        for k, t in enumerate(listed)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every combination of elements of the given vectors, a row each.

    >>> numgrad.cartesian_prod(numgrad.tensor([1, 2]), numgrad.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    for t in tensors:
        if t._data.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._data.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([reshape(g, (-1,)) for g in grids], 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given matrices along its diagonal and zeros elsewhere.

    >>> numgrad.block_diag(numgrad.tensor([[1, 2]]), numgrad.tensor([[3]]))
    tensor([[1, 2, 0],
            [0, 0, 3]])
    """
    blocks = [_two_dims(t) for t in tensors]
    for k, t in enumerate(blocks):
        if t._data.ndim > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{k} has {t._data.ndim} dimensions"
            )
    if not blocks:
        return wrap(_core.empty((1, 0), FLOAT32))
    columns = sum([b._data.shape[1] for b in blocks])
    dtype = blocks[0]._data.dtype
    for b in blocks:
        dtype = promote(dtype, b._data.dtype)
    rows, start = [], 0
    for b in blocks:
        height, width = b._data.shape
        left = wrap(_core.zeros((height, start), dtype, b._data))
        right = wrap(_core.zeros((height, columns - start - width), dtype, b._data))
        rows.append(cat([left, cast(b, dtype), right], 1))
        start += width
    return cat(rows, 0)
