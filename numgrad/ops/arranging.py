"""Elements in other places: triangles, diagonals, flips and rolls, repeats, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.tape import mode
from ..dtypes import INT64, as_numpy_dtype
from ..kernels import elementwise as table
from ..kernels import indexing as kernels
from . import _core
from ._core import (
    Tensor,
    check_tensor,
    copy_array,
    dense,
    inplace,
    launch,
    needs_grad,
    normalize_dim,
    record,
    type_name,
    wrap,
    write_out,
)
from ._place import BITS, product
from ._results import given
from .creation import fill_array
from .slices import take_slices
from .views import as_size_or_minus, clone, diagonal, permute, reshape, scatter_view, slice_dim

# ------------------------------------------------------------------ triangles, diagonals


def _triangle(input: Any, offset: int, lower: float, name: str) -> Any:
    data = check_tensor(input, name, "input")._data
    if data.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    out = _core.empty(data.shape, data.dtype, data)
    if out.size:
        stacked = (-1, *data.shape[-2:])
        launch(
            kernels.triangle,
            BITS[data.itemsize],
            out.size // data.shape[-1],
            (dense(data).reshape(stacked), out.reshape(stacked), float(offset), lower),
            out.size,
        )
    result = wrap(out)
    if mode.enabled and needs_grad(input):
        rule = _tril_backward if lower else _triu_backward
        record(result, f"{name.capitalize()}Backward0", rule, (input,), (), offset)
    return result


def _tril_backward(node: Any, grad: Any) -> Any:
    return _triangle(grad, node.context, 1.0, "tril")


def _triu_backward(node: Any, grad: Any) -> Any:
    return _triangle(grad, node.context, 0.0, "triu")


def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The lower triangles of the last two dimensions, zeros above the diagonal.

    >>> numgrad.tril(numgrad.ones(2, 3))
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    result = _triangle(input, diagonal, 1.0, "tril")
    return result if out is None else write_out(out, result)


def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The upper triangles of the last two dimensions, zeros below the diagonal.

    >>> numgrad.triu(numgrad.ones(2, 3), diagonal=1)
    tensor([[0., 1., 1.],
            [0., 0., 1.]])
    """
    result = _triangle(input, diagonal, 0.0, "triu")
    return result if out is None else write_out(out, result)


def _triangle_indices(row: int, col: int, offset: int, kind: Any, name: str) -> Any:
    for word, n in (("row", row), ("col", col)):
        if n < 0:
            raise RuntimeError(f"{word} must be non-negative, got{n}")
    wanted = as_numpy_dtype(kind) if kind else INT64
    if wanted not in (np.int32, np.int64):
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name(wanted)}'")
    find = np.tril_indices if name == "tril_indices" else np.triu_indices
    return wrap(np.stack(find(row, offset, col)).astype(wanted))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The indices of a lower triangle: a row of row numbers, one of column numbers.

    >>> numgrad.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _triangle_indices(row, col, offset, dtype, "tril_indices")


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The indices of an upper triangle: a row of row numbers, one of column numbers.

    >>> numgrad.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _triangle_indices(row, col, offset, dtype, "triu_indices")


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """A matrix with the given diagonal, or the diagonal of a matrix.

    >>> numgrad.diag(numgrad.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    ndim = input._data.ndim
    if ndim == 1:
        result = diag_embed(input, diagonal)
    elif ndim == 2:
        result = given(clone(_diagonal(input, diagonal)), None, "DiagonalBackward0_copy")
    else:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    return result if out is None else write_out(out, result)


_diagonal = diagonal


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices in dimensions `dim1` and `dim2` whose diagonals are the input's last dimension.

    >>> numgrad.diag_embed(numgrad.tensor([[1, 2]]))
    tensor([[[1, 0],
             [0, 2]]])
    """
    shape = input._data.shape
    ndim = len(shape) + 1
    if not shape:
        normalize_dim(dim1, 0)
    a, b = normalize_dim(dim1, ndim), normalize_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = shape[-1] + abs(offset)
    rest = iter(shape[:-1])
    whole = tuple([size if k in (a, b) else next(rest) for k in range(ndim)])
    return scatter_view(input, whole, diagonal, (offset, a, b), "DiagEmbedBackward0")


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of the input, in order, on a diagonal.

    >>> numgrad.diagflat(numgrad.tensor([[1, 2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    return diag_embed(reshape(input, (-1,)), offset)


# ------------------------------------------------------------------------ flips, rolls


def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The elements in reverse order along dimensions; a copy.

    >>> numgrad.flip(numgrad.tensor([[1, 2], [3, 4]]), (0, 1))
    tensor([[4, 3],
            [2, 1]])
    """
    data = check_tensor(input, "flip", "input")._data
    listed = as_size_or_minus(axes if dims is None else (dims,))
    axes = tuple([normalize_dim(d, data.ndim) for d in listed])
    for axis in axes:
        if axes.count(axis) > 1:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    result = wrap(copy_array(np.flip(data, axes) if data.ndim else data, data.dtype))
    if mode.enabled and needs_grad(input):
        record(result, "FlipBackward0", _flip_backward, (input,), (), axes)
    return result


def _flip_backward(node: Any, grad: Any) -> Any:
    return flip(grad, node.context)


def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order: `flip` of dimension 1.

    >>> numgrad.fliplr(numgrad.tensor([[1, 2]]))
    tensor([[2, 1]])
    """
    if input._data.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order: `flip` of dimension 0.

    >>> numgrad.flipud(numgrad.tensor([1, 2]))
    tensor([2, 1])
    """
    if input._data.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The tensor turned k times by 90° in the plane of two dimensions; a copy.

    >>> numgrad.rot90(numgrad.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    ndim = input._data.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    a, b = (normalize_dim(d, ndim) for d in dims)
    if a == b:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    order = list(range(ndim))
    order[a], order[b] = b, a
    k %= 4
    if k == 1:
        return permute(flip(input, (b,)), order)
    if k == 2:
        return flip(input, (a, b))
    return permute(flip(input, (a,)), order) if k == 3 else clone(input)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved along dimensions; those that leave at the end come back at the start.

    Without `dims` the flattened tensor is rolled.

    >>> numgrad.roll(numgrad.tensor([1, 2, 3, 4]), 1)
    tensor([4, 1, 2, 3])
    """
    data = check_tensor(input, "roll", "input")._data
    moves = (shifts,) if hasattr(shifts, "__index__") else tuple(shifts)
    axes = () if dims is None else (dims,) if hasattr(dims, "__index__") else tuple(dims)
    if not moves:
        raise RuntimeError("`shifts` required")
    if not axes and len(moves) == 1:
        rolled = _rolled(reshape(input, (-1,)), moves, (0,))
        return given(reshape(rolled, data.shape), None, "RollBackward0")
    if len(moves) != len(axes):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(axes)}"
        )
    if not data.ndim:
        raise IndexError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    return _rolled(input, moves, tuple([normalize_dim(d, data.ndim) for d in axes]))


def _rolled(input: Any, moves: tuple, axes: tuple) -> Any:
    data = input._data
    total = [0] * data.ndim
    for move, axis in zip(moves, axes, strict=True):
        total[axis] += move
    out = _core.empty(data.shape, data.dtype, data)
    if out.size:
        # Every rolled dimension is cut in two; each combination of parts is one copy.
        parts: list[list] = [[]]
        for move, n in zip(total, data.shape, strict=True):
            move %= n
            cuts = [(slice(None), slice(None))]
            if move:
                cuts = [(slice(n - move), slice(move, n)), (slice(n - move, n), slice(move))]
            parts = [[*part, cut] for part in parts for cut in cuts]
        for part in parts:
            source = data[tuple([cut[0] for cut in part])]
            target = out[tuple([cut[1] for cut in part])]
            launch(table.copy[data.dtype], data.dtype, target.size, (source, target))
    result = wrap(out)
    if mode.enabled and needs_grad(input):
        record(result, "RollBackward0", _roll_backward, (input,), (), (moves, axes))
    return result


def _roll_backward(node: Any, grad: Any) -> Any:
    moves, axes = node.context
    return _rolled(grad, tuple([-move for move in moves]), axes)


# --------------------------------------------------------------------- repeats, padding


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element (along `dim`; of the flattened tensor without it) repeated in place.

    `repeats` is a number or a vector with a number for each. With one argument, a vector of
    numbers: the index of each, repeated so often.

    >>> numgrad.repeat_interleave(numgrad.tensor([1, 2]), numgrad.tensor([2, 3]))
    tensor([1, 1, 2, 2, 2])
    """
    if repeats is None:
        return wrap(_repeated_positions(input, input._data.size, output_size))
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    axis = normalize_dim(dim, input._data.ndim)
    count = input._data.shape[axis] if input._data.ndim else 1
    if isinstance(repeats, Tensor):
        positions = wrap(_repeated_positions(repeats, count, output_size))
    else:
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        positions = wrap(_each_repeated(count, repeats, output_size))
    if not input._data.ndim:
        input = reshape(input, (1,))
    return take_slices(input, axis, positions)


def _repeated_positions(repeats: Any, count: int, output_size: int | None) -> Any:
    counts = repeats._data
    if counts.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if counts.dtype not in (np.int32, np.int64):
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{type_name(counts.dtype)}'"
        )
    counts = _core.values(counts, "repeat_interleave").reshape(-1)
    if counts.size not in (1, count):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size(0) = {count}"
        )
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    return _each_repeated(count, counts, output_size)


def _each_repeated(count: int, counts: Any, output_size: int | None) -> Any:
    """0 ... count - 1, each so often."""
    positions = np.repeat(np.arange(count), counts)
    if output_size is not None and positions.size != output_size:
        raise RuntimeError("allocated size does not match required size")
    return positions


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Elements added before and after the last dimensions: `pad` is (left, right, top, bottom ...).

    Negative numbers crop. `mode` "constant" fills with `value` (0 by default), "reflect" mirrors
    without repeating the edge, "replicate" repeats the edge, "circular" wraps around.

    >>> numgrad.nn.functional.pad(numgrad.tensor([[1, 2]]), (1, 2))
    tensor([[0, 1, 2, 0, 0]])
    >>> numgrad.nn.functional.pad(numgrad.tensor([[1, 2, 3]]), (2, 1), mode="reflect")
    tensor([[3, 2, 1, 2, 3, 2]])
    """
    data = check_tensor(input, "pad", "input")._data
    amounts = as_size_or_minus((tuple(pad),))
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * data.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(amounts)} and input of dimension {data.ndim}"
        )
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    pairs = [(data.ndim - 1 - k, *amounts[2 * k : 2 * k + 2]) for k in range(len(amounts) // 2)]
    if mode != "constant":
        if value is not None and value != 0:
            raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
        if len(amounts) not in (2, 4, 6) or data.ndim - len(amounts) // 2 not in (1, 2):
            raise NotImplementedError(
                f"Padding size {len(amounts)} is not supported for {data.ndim}D input tensor.\n"
                "Supported combinations for non-constant padding:\n"
                "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
                "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
                "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
            )
        for axis, before, after in pairs:
            _check_padding(data.shape, axis, before, after, mode)
    result = input
    for axis, before, after in pairs:
        if before < 0 or after < 0:
            size = result._data.shape[axis]
            start, stop = max(-before, 0), size - max(-after, 0)
            if stop < start:
                raise RuntimeError("narrow(): length must be non-negative.")
            result = slice_dim(result, axis, start, stop, 1)
    grown = [(axis, max(before, 0), max(after, 0)) for axis, before, after in pairs]
    if mode == "constant":
        return _padded(result, grown, 0 if value is None else value)
    for axis, before, after in grown:
        if before or after:
            positions = _padding_positions(result._data.shape[axis], before, after, mode)
            result = take_slices(result, axis, wrap(positions))
    return result if result is not input else clone(input)


def _check_padding(shape: tuple, axis: int, before: int, after: int, mode: str) -> None:
    size = shape[axis]
    if mode == "circular" and (before > size or after > size):
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if mode == "reflect" and (before >= size or after >= size):
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({before}, {after}) at dimension {axis} of input {list(shape)}"
        )


def _padding_positions(size: int, before: int, after: int, mode: str) -> Any:
    """Which element stands at each place of a padded dimension."""
    positions = np.arange(-before, size + after)
    if mode == "replicate":
        return np.clip(positions, 0, size - 1)
    if mode == "circular":
        return positions % size
    positions = np.abs(positions)
    return np.where(positions < size, positions, 2 * (size - 1) - positions)


def _padded(input: Any, grown: list, value: Any) -> Any:
    data = input._data
    shape, corner = list(data.shape), [(0, n) for n in data.shape]
    for axis, before, after in grown:
        corner[axis] = (before, before + shape[axis])
        shape[axis] += before + after
    out = _core.empty(tuple(shape), data.dtype, data)
    if product(shape) != data.size:
        fill_array(out, value)
    inside = out[tuple([slice(*bounds) for bounds in corner])] if shape else out
    launch(table.copy[data.dtype], data.dtype, data.size, (data, inside))
    result = wrap(out)
    if mode.enabled and needs_grad(input):
        record(result, "ConstantPadNdBackward0", _pad_backward, (input,), (), corner)
    return result


def _pad_backward(node: Any, grad: Any) -> Any:
    for axis, (start, stop) in enumerate(node.context):
        if (start, stop) != (0, grad._data.shape[axis]):
            grad = slice_dim(grad, axis, start, stop, 1)
    return grad


tril_ = inplace(tril)
triu_ = inplace(triu)
