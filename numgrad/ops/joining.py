"""Putting tensors together: cat, stack and their relatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import promote
from ._core import Tensor, cast, check_tensor, needs_grad, normalize_dim, record, wrap, write_out
from .views import expand, permute, reshape, slice_dim, unbind, view


def _checked(tensors: Any, name: str) -> list:
    if isinstance(tensors, Tensor):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        )
    listed = list(tensors)
    for position, tensor in enumerate(listed):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"expected Tensor as element {position} in argument 0, but got "
                f"{type(tensor).__name__}"
            )
    return listed


def _same_dtype(tensors: list) -> list:
    dtype = tensors[0]._data.dtype
    if all(t._data.dtype is dtype for t in tensors):
        return tensors
    for tensor in tensors:
        dtype = promote(dtype, tensor._data.dtype)
    return [cast(t, dtype) for t in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors one after another along an existing dimension.

    >>> numgrad.cat([numgrad.tensor([1, 2]), numgrad.tensor([3])])
    tensor([1, 2, 3])
    """
    listed = _checked(tensors, "cat")
    if not listed:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    listed = _same_dtype(listed)
    full = [t for t in listed if t._data.shape != (0,)] or listed[:1]
    first = full[0]._data
    if first.ndim == 0:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    axis = normalize_dim(dim, first.ndim)
    for position, tensor in enumerate(full):
        shape = tensor._data.shape
        if len(shape) != first.ndim:
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {first.ndim} and {len(shape)}"
            )
        for k, (a, b) in enumerate(zip(first.shape, shape, strict=True)):
            if a != b and k != axis:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {a} "
                    f"but got size {b} for tensor number {position} in the list."
                )
    result = wrap(np.concatenate([t._data for t in full], axis))
    if needs_grad(*full):
        sizes = [t._data.shape[axis] for t in full]
        record(result, "CatBackward0", _cat_backward, tuple(full), (), (axis, sizes))
    return result if out is None else write_out(out, result)


def _cat_backward(node: Any, grad: Any) -> tuple:
    axis, sizes = node.context
    results, start = [], 0
    for size, target in zip(sizes, node.edges, strict=True):
        part = slice_dim(grad, axis, start, start + size, 1) if target is not None else None
        results.append(part)
        start += size
    return tuple(results)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors, all of one shape, along a new dimension.

    >>> numgrad.stack([numgrad.tensor([1, 2]), numgrad.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    listed = _checked(tensors, "stack")
    if not listed:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = listed[0]._data.shape
    for position, tensor in enumerate(listed):
        if tensor._data.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(tensor._data.shape)} at entry {position}"
            )
    listed = _same_dtype(listed)
    axis = normalize_dim(dim, len(shape) + 1)
    if axis == 0:
        data = np.empty((len(listed), *shape), listed[0]._data.dtype)
        for position, tensor in enumerate(listed):
            data[position] = tensor._data
    else:
        data = np.stack([t._data for t in listed], axis)
    result = wrap(data)
    if needs_grad(*listed):
        record(result, "StackBackward0", _stack_backward, tuple(listed), (), axis)
    return result if out is None else write_out(out, result)


def _stack_backward(node: Any, grad: Any) -> tuple:
    return unbind(grad, node.context)


def _at_least(tensor: Any, ndim: int) -> Any:
    return reshape(tensor, (1,) * (ndim - tensor._data.ndim) + tensor._data.shape) if (
        tensor._data.ndim < ndim
    ) else tensor


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dimension 1 (0 for vectors)."""
    listed = [_at_least(t, 1) for t in tensors]
    return cat(listed, 0 if listed[0]._data.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dimension 0, vectors as rows."""
    return cat([_at_least(t, 2) for t in tensors], 0)


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The tensor repeated along each dimension.

    >>> numgrad.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    sizes = tuple(repeats[0]) if len(repeats) == 1 and not isinstance(repeats[0], int) else repeats
    shape = input._data.shape
    if len(sizes) < len(shape):
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    own = (1,) * (len(sizes) - len(shape)) + shape
    spread = tuple(n for pair in zip(sizes, own, strict=True) for n in pair)
    alone = tuple(n for size in own for n in (1, size))
    total = tuple(a * b for a, b in zip(sizes, own, strict=True))
    return reshape(expand(reshape(input, alone), spread), total)


def tile(input: Tensor, *dims: Any) -> Tensor:
    """`repeat` that takes missing leading dimensions as 1."""
    sizes = tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return repeat(input, (1,) * (input._data.ndim - len(sizes)) + sizes)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """Grids of the coordinates in each vector.

    >>> numgrad.meshgrid(numgrad.arange(2), numgrad.arange(2), indexing="ij")[0]
    tensor([[0, 0],
            [1, 1]])
    """
    listed = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else (
        list(tensors)
    )
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + indexing
        )
    swap = indexing == "xy" and len(listed) > 1
    if swap:
        listed[0], listed[1] = listed[1], listed[0]
    shape = tuple([t._data.size for t in listed])
    grids = []
    for k, tensor in enumerate(listed):
        check_tensor(tensor, "meshgrid", "tensors")
        flat = view(tensor, tuple([-1 if j == k else 1 for j in range(len(listed))]))
        grids.append(expand(flat, shape))
    if swap:
        order = (1, 0, *range(2, len(listed)))
        grids = [permute(g, order) for g in grids]
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


