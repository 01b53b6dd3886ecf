"""What reductions share: dimension arguments, launches over `(outer, n, inner)`, spreading back."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

import numgrad.device as devices

from ..kernels import elementwise as table
from ..kernels.cuda import rows as on_cuda
from ..kernels.reduction import CHUNK, column_chunk, column_items, row_chunk
from ._core import dense, empty, launch, mode, normalize_dim, number, wrap
from .views import expand, reshape

#: Elements from which on a gradient that is one number everywhere stays one number in memory.
REPEATED = 1 << 13
#: A reduction's kernels for rows and for columns.
Kernels = tuple[Any, Any]


def numpy_names(function: str, dim: Any, keepdim: bool, names: dict) -> tuple[Any, bool]:
    """dim and keepdim, which PyTorch also takes under NumPy's names: axis and keepdims."""
    dim, keepdim = names.pop("axis", dim), names.pop("keepdims", keepdim)
    if names:
        raise TypeError(f"{function}() got an unexpected keyword argument '{next(iter(names))}'")
    return dim, keepdim


def axes_of(dim: Any, ndim: int) -> tuple:
    """The dimensions that `dim` (a number, several, or None for all) stands for, in order."""
    if dim is None:
        return tuple(range(ndim))
    if hasattr(dim, "__index__"):
        axis = normalize_dim(operator.index(dim), ndim)
        return (axis,) if ndim else ()
    axes = [normalize_dim(operator.index(d), ndim) for d in dim]
    if not axes:
        return tuple(range(ndim))
    if len(set(axes)) != len(axes):
        twice = next(a for a in axes if axes.count(a) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(sorted(axes)) if ndim else ()


def reduced_shape(shape: tuple, axes: tuple, keepdim: bool) -> tuple:
    """The shape after reducing these dimensions."""
    if keepdim:
        return tuple([1 if k in axes else n for k, n in enumerate(shape)])
    return tuple([n for k, n in enumerate(shape) if k not in axes])


def plan(dim: Any, shape: tuple, keepdim: bool) -> tuple[tuple, tuple]:
    """The dimensions that `dim` stands for, and the shape after reducing them."""
    ndim = len(shape)
    if dim is None:
        return tuple(range(ndim)), (1,) * ndim if keepdim else ()
    if type(dim) is int and ndim:
        axis = dim if 0 <= dim < ndim else normalize_dim(dim, ndim)
        return (axis,), shape[:axis] + ((1,) if keepdim else ()) + shape[axis + 1 :]
    axes = axes_of(dim, ndim)
    return axes, reduced_shape(shape, axes, keepdim)


def is_empty(shape: tuple, axes: tuple) -> bool:
    """Whether there is nothing to reduce."""
    for axis in axes:
        if shape[axis] == 0:
            return True
    return False


def check_not_empty(
    name: str, shape: tuple, axes: tuple, whole: bool, kind: type[Exception] = RuntimeError
) -> None:
    """Raise PyTorch's error where an operation without a neutral element has nothing to reduce."""
    if whole and 0 in shape:
        hint = "" if kind is IndexError else " Specify the reduction dim with the 'dim' argument."
        raise kind(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0.{hint}"
        )
    for axis in axes:
        if shape[axis] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


def groups_of(shape: tuple, axes: tuple) -> list[tuple[int, int, int]]:
    """The runs of neighbouring dimensions among `axes`, the last run first, as (outer, n, inner):
    each is one reduction, on an array from which the later runs are gone."""
    groups = []
    outer, n, inner = 1, 1, 1
    reducing = False
    left = set(axes)
    for axis in range(len(shape) - 1, -1, -1):
        size = shape[axis]
        if axis in left:
            n *= size
            reducing = True
        elif size != 1:
            if reducing:
                groups.append((n, inner))
                n, reducing = 1, False
            inner *= size
    if reducing:
        groups.append((n, inner))
    sized = []
    total = 1
    for size in shape:
        total *= size
    for n, inner in groups:
        outer = total // (n * inner) if n * inner else 0
        sized.append((outer, n, inner))
        total = outer * inner
    return sized


def chunk_length(data: Any, outer: int, n: int, inner: int) -> int:
    """How many of n elements a work item takes of a reduction of `data` (outer, n, inner)."""
    if type(data) is np.ndarray:
        return row_chunk(outer, n) if inner == 1 else column_chunk(outer, n, inner)
    return on_cuda.row_chunk(outer, n) if inner == 1 else on_cuda.column_chunk(outer, n, inner)


def reduce_array(
    kernels: Kernels,
    data: Any,
    axes: tuple,
    shape: tuple,
    dtype: np.dtype,
    parameter: float = 1.0,
    again: Kernels | None = None,
) -> Any:
    """A new array of `shape` with `data` reduced over `axes`; no reduced dimension is empty.

    `again` are the kernels that combine the results of chunks, where they aren't `kernels`.
    """
    if len(axes) == data.ndim:
        if not data.flags.c_contiguous:
            data = data.T if data.flags.f_contiguous else dense(data)
        n = data.size
        if n > CHUNK or type(data) is not np.ndarray:
            return _run(kernels, data, 1, n, 1, shape, dtype, parameter, again or kernels)
        out = empty(shape, dtype, data)
        launch(kernels[0], data.dtype, 1, (data, out, float(n), float(n), parameter), n)
        return out
    data = dense(data)
    if len(axes) == 1:
        outer, n, inner = view3(data, axes[0])
        return _run(kernels, data, outer, n, inner, shape, dtype, parameter, again or kernels)
    groups = groups_of(data.shape, axes) or [(data.size, 1, 1)]
    for outer, n, inner in groups[:-1]:
        data = _run(kernels, data, outer, n, inner, (outer, inner), dtype, 1.0, again or kernels)
        kernels = again or kernels
    outer, n, inner = groups[-1]
    return _run(kernels, data, outer, n, inner, shape, dtype, parameter, again or kernels)


def _run(
    kernels: Kernels,
    data: Any,
    outer: int,
    n: int,
    inner: int,
    shape: tuple,
    dtype: np.dtype,
    parameter: float,
    again: Kernels,
) -> Any:
    while True:
        chunk = chunk_length(data, outer, n, inner)
        parts = -(-n // chunk)
        if inner == 1:
            items = outer * parts
            sizes: tuple = (float(n), float(chunk))
        else:
            items = column_items(outer, n, inner, chunk)
            sizes = (float(n), float(inner), float(chunk))
        kernel = kernels[inner != 1]
        if parts == 1:
            out = empty(shape, dtype, data)
            launch(kernel, data.dtype, items, (data, out, *sizes, parameter), data.size)
            return out
        out = empty((outer, parts, inner), dtype, data)
        # A parameter that divides is for the last step; others hold for every one.
        early = parameter if kernels[0] not in DIVIDING else 1.0
        launch(kernel, data.dtype, items, (data, out, *sizes, early), data.size)
        data, n, kernels = out, parts, again


#: Row kernels whose parameter divides the result.
DIVIDING: set[Any] = set()


def spread(grad: Any, shape: tuple, axes: tuple, divisor: float = 1.0) -> Any:
    """A gradient (or a result) of a reduction over `axes`, repeated to the input's shape and
    divided by `divisor`."""
    if mode.enabled and grad._requires_grad:
        from .elementwise import div

        if divisor != 1.0:
            grad = div(grad, divisor)
        return expand(unreduce(grad, shape, axes), shape)
    data = grad._data
    if data.ndim != len(shape):
        data = dense(data).reshape(reduced_shape(shape, axes, True))
    if data.size == 1 and math.prod(shape) >= REPEATED:
        if divisor != 1.0:
            whole, data = data, empty(data.shape, data.dtype, data)
            launch(table.div, data.dtype, 1, (whole, number(divisor, data.dtype), data), 1)
        # One number for all elements: not written out, as in PyTorch.
        return wrap(devices.as_strided(data, shape, (0,) * len(shape)))
    out = empty(shape, data.dtype, data)
    n = out.size
    if divisor == 1.0:
        launch(table.copy[data.dtype], data.dtype, n, (data, out), n)
    else:
        launch(table.div, data.dtype, n, (data, number(divisor, data.dtype), out), n)
    return wrap(out)


def unreduce(tensor: Any, shape: tuple, axes: tuple) -> Any:
    """The result of a reduction with its reduced dimensions back, of size 1."""
    if tensor._data.ndim == len(shape):
        return tensor
    return reshape(tensor, reduced_shape(shape, axes, True))


def view3(data: Any, axis: int) -> tuple[int, int, int]:
    """(outer, n, inner) of an array around one of its dimensions."""
    shape = data.shape
    if not shape:
        return 1, 1, 1
    outer = inner = 1
    for n in shape[:axis]:
        outer *= n
    for n in shape[axis + 1 :]:
        inner *= n
    return outer, shape[axis], inner
