"""Views: other shapes, strides and parts of the same memory, and copies into new shapes.

A view function computes the view's array (NumPy's own stride arithmetic on the CPU), notes it with
`tape.record_view` so that in-place writes keep the right history, and records its backward.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import numgrad.device as devices

from ..autograd.tape import record_many, record_view
from ..dtypes import dtype as dtype_class
from ._core import (
    Tensor,
    check_tensor,
    copy_array,
    mode,
    needs_grad,
    normalize_dim,
    record,
    sum_to,
    wrap,
)


def _view(
    input: Any, data: Any, name: str, function: Callable, arguments: tuple, rule: Callable
) -> Any:
    """Wrap `data`, a view of the input's memory made by `function(input, *arguments)`."""
    result = record_view(wrap(data), input, function, arguments)
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        record(result, name, rule, (input,), (), (input._data.shape, arguments))
    return result


def infer_shape(shape: tuple, size: int) -> tuple:
    """The shape with its -1 replaced; PyTorch's errors where the sizes don't fit."""
    known, unknown = 1, None
    for axis, n in enumerate(shape):
        if n == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = axis
        elif n < 0:
            raise RuntimeError(
                f"invalid shape dimension {n} at index {axis} of shape {list(shape)}"
            )
        else:
            known *= n
    if unknown is not None:
        if known == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous"
            )
        if size % known == 0:
            return (*shape[:unknown], size // known, *shape[unknown + 1 :])
    elif known == size:
        return shape
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")


def _try_view(data: Any, shape: tuple) -> Any:
    """The array seen with another shape, or None where its strides don't allow it."""
    if data.flags.c_contiguous:
        return data.reshape(shape)
    viewed = data.view()
    try:
        return viewed.reshape(shape, copy=False)
    except ValueError:
        return None


def view(input: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same memory with another shape; with a dtype, the same bytes read as that.

    >>> numgrad.arange(6).view(3, 2)
    tensor([[0, 1],
            [2, 3],
            [4, 5]])
    """
    if dtype is None and len(shape) == 1 and type(shape[0]) is dtype_class:
        (dtype,) = shape
    if dtype is not None:
        return _view_dtype(input, dtype)
    data = input._data
    shape = infer_shape(as_size_or_minus(shape if size is None else (size,)), data.size)
    viewed = _try_view(data, shape)
    if viewed is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return _view(input, viewed, "ViewBackward0", view, (shape,), _reshape_backward)


def as_size_or_minus(size: tuple) -> tuple:
    """A shape in which -1 may stand."""
    if len(size) == 1 and not hasattr(size[0], "__index__"):
        size = size[0]
    return tuple([operator.index(n) for n in size])


def _view_dtype(input: Any, wanted: Any) -> Any:
    data = input._data
    if data.dtype == wanted.numpy:
        return _view(input, data.view(), "ViewBackward0", view, (data.shape,), _reshape_backward)
    if data.ndim == 0 and data.dtype.itemsize != wanted.itemsize:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {data.dtype.name} as {wanted.name} (different "
            "element sizes)"
        )
    return record_view(wrap(data.view(wanted.numpy)), input, _view_dtype, (wanted,))


def _reshape_backward(node: Any, grad: Any) -> Any:
    return reshape(grad, node.context[0])


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The elements in another shape: a view where possible, else a copy.

    >>> numgrad.reshape(numgrad.arange(4), (2, 2))
    tensor([[0, 1],
            [2, 3]])
    """
    data = check_tensor(input, "reshape", "input")._data
    wanted = infer_shape(as_size_or_minus(sizes if shape is None else (shape,)), data.size)
    viewed = _try_view(data, wanted)
    if viewed is not None:
        return _view(input, viewed, "ViewBackward0", view, (wanted,), _reshape_backward)
    copied = clone(input)
    result = wrap(copied._data.reshape(wanted))
    if needs_grad(copied):
        record(result, "UnsafeViewBackward0", _reshape_backward, (copied,), (), (data.shape,))
    return result


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.view(other.shape)`."""
    return view(input, other._data.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.reshape(other.shape)`."""
    return reshape(input, other._data.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions `start_dim` … `end_dim` merged into one.

    >>> numgrad.flatten(numgrad.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    shape = input._data.shape
    start, end = normalize_dim(start_dim, len(shape)), normalize_dim(end_dim, len(shape))
    if not shape:
        return reshape(input, (1,))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    merged = 1
    for n in shape[start : end + 1]:
        merged *= n
    return reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension.

    >>> numgrad.ravel(numgrad.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return reshape(input, (-1,)) if input._data.ndim != 1 else input


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension `dim` split into dimensions of these sizes (one may be -1).

    >>> numgrad.unflatten(numgrad.arange(4), 0, (2, 2))
    tensor([[0, 1],
            [2, 3]])
    """
    shape = input._data.shape
    axis = normalize_dim(dim, len(shape))
    return view(input, (*shape[:axis], *infer_shape(tuple(sizes), shape[axis]), *shape[axis + 1 :]))


def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The dimensions in another order.

    >>> numgrad.zeros(2, 3, 4).permute(2, 0, 1).shape
    torch.Size([4, 2, 3])
    """
    order = as_size_or_minus(order if dims is None else (dims,))
    data = input._data
    if len(order) != data.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {data.ndim} is not "
            f"equal to len(dims) = {len(order)}"
        )
    order = tuple([normalize_dim(d, data.ndim) for d in order])
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _view(
        input, data.transpose(order), "PermuteBackward0", permute, (order,), _permute_backward
    )


def _permute_backward(node: Any, grad: Any) -> Any:
    (order,) = node.context[1]
    inverse = [0] * len(order)
    for position, axis in enumerate(order):
        inverse[axis] = position
    return permute(grad, tuple(inverse))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged.

    >>> numgrad.zeros(2, 3).transpose(0, 1).shape
    torch.Size([3, 2])
    """
    data = check_tensor(input, "transpose", "input")._data
    a, b = normalize_dim(dim0, data.ndim), normalize_dim(dim1, data.ndim)
    viewed = data.swapaxes(a, b) if data.ndim else data.view()
    return _view(input, viewed, "TransposeBackward0", transpose, (a, b), _transpose_backward)


def _transpose_backward(node: Any, grad: Any) -> Any:
    return transpose(grad, *node.context[1])


swapaxes = swapdims = transpose


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a tensor of fewer dimensions as it is.

    >>> numgrad.t(numgrad.tensor([[1, 2]]))
    tensor([[1],
            [2]])
    """
    data = input._data
    if data.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {data.ndim}D")
    if data.ndim < 2:
        return _view(input, data.view(), "AliasBackward0", t, (), _reshape_backward)
    return _view(input, data.T, "TBackward0", t, (), _t_backward)


def _t_backward(node: Any, grad: Any) -> Any:
    return t(grad)


def T(input: Tensor) -> Tensor:
    """All dimensions in reverse order.

    >>> numgrad.tensor([[1, 2], [3, 4]]).T
    tensor([[1, 3],
            [2, 4]])
    """
    data = input._data
    order = tuple(range(data.ndim - 1, -1, -1))
    return _view(input, data.T, "PermuteBackward0", permute, (order,), _permute_backward)


def mT(input: Tensor) -> Tensor:
    """The last two dimensions exchanged.

    >>> numgrad.zeros(5, 2, 3).mT.shape
    torch.Size([5, 3, 2])
    """
    if input._data.ndim == 1:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{input._data.ndim}-D tensor."
        )
    return transpose(input, -2, -1) if input._data.ndim else input


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged.

    >>> numgrad.adjoint(numgrad.zeros(2, 3)).shape
    torch.Size([3, 2])
    """
    return mT(input)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other positions, the others kept in order.

    >>> numgrad.movedim(numgrad.zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    ndim = input._data.ndim
    sources = (source,) if isinstance(source, int) else tuple(source)
    targets = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(sources)} dims) should "
            f"contain the same number of dims as destination ({list(targets)} dims)"
        )
    sources = tuple([normalize_dim(d, ndim) for d in sources])
    targets = tuple([normalize_dim(d, ndim) for d in targets])
    for name, listed in (("source", sources), ("destination", targets)):
        if len(set(listed)) != len(listed):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(listed)})")
    order: list[int] = [-1] * ndim
    for s, d in zip(sources, targets, strict=True):
        order[d] = s
    rest = iter([k for k in range(ndim) if k not in sources])
    return permute(input, tuple([next(rest) if k < 0 else k for k in order]))


moveaxis = movedim


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1 (only those in `dim`, where given).

    >>> numgrad.zeros(1, 3, 1).squeeze().shape
    torch.Size([3])
    """
    data = input._data
    if dim is None:
        shape = tuple([n for n in data.shape if n != 1])
    else:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        chosen = {normalize_dim(d, data.ndim) for d in dims}
        shape = tuple([n for k, n in enumerate(data.shape) if k not in chosen or n != 1])
    name = f"SqueezeBackward{0 if dim is None else 1 if isinstance(dim, int) else 2}"
    arguments = () if dim is None else (dim,)
    return _view(input, data.reshape(shape), name, squeeze, arguments, _reshape_backward)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at `dim`.

    >>> numgrad.zeros(3).unsqueeze(1).shape
    torch.Size([3, 1])
    """
    data = check_tensor(input, "unsqueeze", "input")._data
    axis = normalize_dim(dim, data.ndim + 1)
    return _view(
        input,
        np.expand_dims(data, axis),
        "UnsqueezeBackward0",
        unsqueeze,
        (axis,),
        _reshape_backward,
    )


def expand(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """Dimensions of size 1 repeated to larger sizes without a copy; -1 keeps a size.

    >>> numgrad.tensor([[1], [2]]).expand(2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    data = input._data
    shape = as_size_or_minus(sizes if size is None else (size,))
    lead = len(shape) - data.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand({type_of(data)}{{{list(data.shape)}}}, size={list(shape)}): the number of sizes "
            f"provided ({len(shape)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({data.ndim})"
        )
    full = []
    for axis, n in enumerate(shape):
        own = data.shape[axis - lead] if axis >= lead else 1
        if n == -1:
            if axis < lead:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                    f"non-existing dimension {axis}"
                )
            n = own
        elif own != 1 and own != n:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({own}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(shape)}.  Tensor sizes: "
                f"{list(data.shape)}"
            )
        full.append(n)
    wanted = tuple(full)
    viewed = np.broadcast_to(data, wanted)
    if data.flags.writeable:
        viewed = devices.as_strided(data, wanted, viewed.strides)
    return _view(input, viewed, "ExpandBackward0", expand, (wanted,), _expand_backward)


def type_of(data: Any) -> str:
    """PyTorch's name of a tensor's type: torch.FloatTensor."""
    from ._core import type_name

    return f"torch.{type_name(data.dtype)}Tensor"


def _expand_backward(node: Any, grad: Any) -> Any:
    return sum_to(grad, node.context[0])


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`expand` under NumPy's name.

    >>> numgrad.broadcast_to(numgrad.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, size)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.expand(other.shape)`."""
    return expand(input, other._data.shape)


def broadcast_tensors(*tensors: Any) -> tuple:
    """All tensors expanded to their common shape.

    >>> [len(t) for t in numgrad.broadcast_tensors(numgrad.zeros(1), numgrad.zeros(3))]
    [3, 3]
    """
    from ._core import broadcast_shapes

    listed = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    shape = broadcast_shapes(*[x._data.shape for x in listed])
    return tuple([expand(x, shape) for x in listed])


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` elements of dimension `dim` from `start` on.

    >>> numgrad.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    data = input._data
    if data.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis = normalize_dim(dim, data.ndim)
    start = int(start)
    size = data.shape[axis]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(
            f"start out of range (expected to be in range of [-{size}, {size}], but got {start})"
        )
    if start < 0:
        start += size
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return slice_dim(input, axis, start, start + length, 1)


def slice_dim(input: Any, axis: int, start: int, stop: int, step: int) -> Tensor:
    """input[..., start:stop:step, ...] in dimension `axis`, as a view."""
    index = (slice(None),) * axis + (slice(start, stop, step),)
    return _view(
        input,
        input._data[index],
        "SliceBackward0",
        slice_dim,
        (axis, start, stop, step),
        _slice_backward,
    )


def _slice_backward(node: Any, grad: Any) -> Any:
    shape, arguments = node.context
    return scatter_view(grad, shape, slice_dim, arguments)


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """One element of dimension `dim`, which disappears.

    >>> numgrad.arange(4).view(2, 2).select(0, 1)
    tensor([2, 3])
    """
    data = input._data
    if data.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis, index = normalize_dim(dim, data.ndim), operator.index(index)
    size = data.shape[axis]
    if not -size <= index < size:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(data.shape)} at "
            f"dimension {axis}"
        )
    index %= size
    part = data[(slice(None),) * axis + (index, ...)]
    return _view(input, part, "SelectBackward0", select, (axis, index), _select_backward)


def _select_backward(node: Any, grad: Any) -> Any:
    shape, arguments = node.context
    return scatter_view(grad, shape, select, arguments)


def scatter_view(
    grad: Any,
    shape: tuple,
    function: Callable,
    arguments: tuple,
    name: str = "ViewScatterBackward0",
) -> Any:
    """Zeros of `shape` with `grad` in the place that the view function shows: its transpose."""
    from . import _core
    from .creation import fill_array

    data = _core.empty(shape, grad._data.dtype, grad._data)
    fill_array(data, 0)
    target = function(wrap(data), *arguments)._data
    _core.assign(target, grad._data)
    result = wrap(data)
    if mode.enabled and needs_grad(grad):
        record(result, name, _gather_view, (grad,), (), (function, arguments))
    return result


def _gather_view(node: Any, grad: Any) -> Any:
    function, arguments = node.context
    return clone(function(grad, *arguments))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of a diagonal, as the last dimension.

    >>> numgrad.arange(4).view(2, 2).diagonal()
    tensor([0, 3])
    """
    data = input._data
    a, b = normalize_dim(dim1, data.ndim), normalize_dim(dim2, data.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    shown = data.diagonal(offset, a, b)
    if data.flags.writeable:
        rows, columns = data.shape[a], data.shape[b]
        length = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
        if length:
            start = [slice(None)] * data.ndim
            start[a], start[b] = slice(max(-offset, 0), None), slice(max(offset, 0), None)
            shown = devices.as_strided(data[tuple(start)], shown.shape, shown.strides)
    return _view(input, shown, "DiagonalBackward0", diagonal, (offset, a, b), _diagonal_backward)


def _diagonal_backward(node: Any, grad: Any) -> Any:
    shape, arguments = node.context
    return scatter_view(grad, shape, diagonal, arguments)


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view with any shape, strides and offset (in elements) of the input's memory.

    Reading outside the memory raises; gradients are not defined for it here.

    >>> numgrad.as_strided(numgrad.arange(4), (2, 2), (1, 1))
    tensor([[0, 1],
            [1, 2]])
    """
    data = input._data
    root = devices.root(data)
    itemsize = data.itemsize
    own = (devices.address(data) - devices.address(root)) // itemsize
    offset = own if storage_offset is None else storage_offset
    span = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True) if n) + 1
    if span > root.size or offset < 0:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {itemsize} requiring a storage size of {span * itemsize} are out of bounds "
            f"for storage of size {root.nbytes}"
        )
    flat = devices.as_strided(root, (root.size,), (itemsize,))
    shown = devices.as_strided(flat[offset:], tuple(size), tuple([s * itemsize for s in stride]))
    return record_view(wrap(shown), input, as_strided, (size, stride, storage_offset))


def unbind(input: Tensor, dim: int = 0) -> tuple:
    """All slices along a dimension.

    >>> numgrad.unbind(numgrad.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    data = input._data
    if data.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = normalize_dim(dim, data.ndim)
    index = (slice(None),) * axis
    parts = tuple(
        [
            record_view(wrap(data[(*index, k, ...)]), input, select, (axis, k))
            for k in range(data.shape[axis])
        ]
    )
    if needs_grad(input):
        record_many(parts, "UnbindBackward0", _unbind_backward, (input,), (), (axis, data.shape))
    return parts


def _unbind_backward(node: Any, grads: list) -> Any:
    from .joining import stack

    axis, shape = node.context
    return stack(_filled(grads, [shape[:axis] + shape[axis + 1 :]] * len(grads)), axis)


def _filled(grads: list, shapes: list) -> list:
    """Zeros for the outputs that got no gradient."""
    from ..dtypes import FROM_NUMPY
    from .creation import zeros

    some = next(g for g in grads if g is not None)
    kind = FROM_NUMPY[some._data.dtype]
    return [
        zeros(shape, dtype=kind) if grad is None else grad
        for grad, shape in zip(grads, shapes, strict=True)
    ]


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Views of consecutive parts: of one size (the last may be smaller), or of given sizes.

    >>> numgrad.split(numgrad.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    data = tensor._data
    by_sizes = not hasattr(split_size_or_sections, "__index__")
    if data.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    axis = normalize_dim(dim, data.ndim)
    total = data.shape[axis]
    if not by_sizes:
        size = operator.index(split_size_or_sections)
        if size < 0 or (size == 0 and total):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
                if size < 0
                else "split_size can only be 0 if dimension size is 0, but got dimension size of "
                f"{total}"
            )
        sizes = [size] * (total // size) if size else [0]
        if size and total % size or not sizes:
            sizes.append(total - sum(sizes))
    else:
        sizes = [operator.index(n) for n in split_size_or_sections]
        if sum(sizes) != total:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's "
                f"size at dimension {axis}), but got split_sizes={sizes}"
            )
    parts, start = [], 0
    index = (slice(None),) * axis
    for size in sizes:
        part = wrap(data[(*index, slice(start, start + size))])
        parts.append(record_view(part, tensor, slice_dim, (axis, start, start + size, 1)))
        start += size
    result = tuple(parts)
    if needs_grad(tensor):
        shapes = [p._data.shape for p in parts]
        name = "SplitWithSizesBackward0" if by_sizes else "SplitBackward0"
        record_many(result, name, _split_backward, (tensor,), (), (axis, shapes))
    return result


def _split_backward(node: Any, grads: list) -> Any:
    from .joining import cat

    axis, shapes = node.context
    return cat(_filled(grads, shapes), axis)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """Views of at most `chunks` parts of equal size (the last may be smaller).

    >>> [len(part) for part in numgrad.chunk(numgrad.arange(5), 2)]
    [3, 2]
    """
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    total = input._data.shape[normalize_dim(dim, input._data.ndim)]
    size = -(-total // chunks)
    if size == 0:
        return split(input, [0] * chunks, dim)
    return split(input, size, dim)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple:
    """Views of parts that differ in size by one at most, or that end at given indices.

    >>> numgrad.tensor_split(numgrad.arange(3), 2)
    (tensor([0, 1]), tensor([2]))
    """
    axis = normalize_dim(dim, input._data.ndim)
    total = input._data.shape[axis]
    if isinstance(indices_or_sections, int):
        whole, rest = divmod(total, indices_or_sections)
        sizes = [whole + (k < rest) for k in range(indices_or_sections)]
        ends = np.cumsum(sizes)[:-1].tolist()
    else:
        ends = [operator.index(n) for n in indices_or_sections]
    bounds = [0, *ends, total]
    return tuple(
        [
            slice_dim(input, axis, *slice(a, b).indices(total)[:2], 1)
            for a, b in zip(bounds, bounds[1:], strict=False)
        ]
    )


# ------------------------------------------------------------------------- copies


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own; gradients flow through it.

    >>> numgrad.tensor([1., 2.]).clone()
    tensor([1., 2.])
    """
    data = check_tensor(input, "clone", "input")._data
    result = wrap(copy_array(data, data.dtype))
    if (input._requires_grad or input._view is not None) and needs_grad(input):
        record(result, "CloneBackward0", _clone_backward, (input,))
    return result


def _clone_backward(node: Any, grad: Any) -> Any:
    return grad


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if it is C-contiguous, else a copy that is."""
    return input if input._data.flags.c_contiguous else clone(input)


def detach(input: Tensor) -> Tensor:
    """The same memory outside the graph.

    >>> numgrad.detach(numgrad.ones(2, requires_grad=True))
    tensor([1., 1.])
    """
    result = wrap(input._data)
    if input._counter is None:
        from ..autograd.tape import Counter

        input._counter = Counter()
    result._counter = input._counter
    return result


def alias_of(input: Tensor) -> Any:
    """A view of the whole tensor."""
    return _view(input, input._data.view(), "AliasBackward0", alias_of, (), _clone_backward)
