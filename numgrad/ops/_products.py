"""What the operations that multiply matrices share: launches, checks, and the differentiable steps.

`product` is the one step below matmul, mm and bmm: matrices or broadcast batches of them, each
transposed or not, so that its backward is two products of the same kind and never moves an element
to transpose it. `mv_product` and `outer_product` are the same for vectors. Transposed tensors
(`x.T`) are recognised by their strides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.tape import refresh
from ..kernels.matmul import plan
from ._core import (
    Tensor,
    broadcast_shapes,
    check_same_device,
    check_tensor,
    copy_array,
    dense,
    empty,
    launch,
    mode,
    record,
    sum_to,
    type_name,
    unpack,
    wrap,
    write_out,
)
from .views import reshape

# -------------------------------------------------------------------------- arrays


def oriented(data: Any) -> tuple[Any, bool]:
    """A row-major array with the matrix's elements, and whether it holds the transpose."""
    if data.flags.c_contiguous:
        return data, False
    if data.ndim > 1:
        swapped = data.swapaxes(-1, -2)
        if swapped.flags.c_contiguous:
            return swapped, True
    return dense(data), False


def multiply_arrays(
    x: Any,
    y: Any,
    flip_x: bool,
    flip_y: bool,
    sizes: tuple[int, int, int, int],
    out: Any,
    alpha: float = 1.0,
    beta: float = 0.0,
    bias: tuple = (),
    sums: tuple = (),
) -> None:
    """out = beta * out + alpha * X Y + bias for row-major arrays; sizes: batch, m, n, k."""
    batch, m, n, k = sizes
    dtype = out.dtype
    chosen = plan(m, n, k, flip_x, flip_y, batch, dtype)
    arguments = (x, y, out, bias, sums, alpha, beta, chosen.sizes)
    launch(chosen.kernel, dtype, chosen.items, arguments, chosen.work)


def _multiply(x: Any, y: Any, flip_x: bool, flip_y: bool, alpha: float, shape: tuple) -> Any:
    """alpha * X Y of the given shape, for matrices and broadcast batches of them."""
    out = empty(shape, x.dtype, x)
    m, n = shape[-2:]
    k = x.shape[-2] if flip_x else x.shape[-1]
    if y.ndim == 2 and x.ndim > 2 and not flip_x and x.flags.c_contiguous:
        m = math.prod(shape[:-1])  # the rows of all matrices below one another
        batch = 1
    elif len(shape) == 2:
        batch = 1
        x, swapped = oriented(x)
        flip_x ^= swapped
    else:
        batch = math.prod(shape[:-2])
        x, swapped = oriented(_batched(x, shape[:-2]))
        flip_x ^= swapped
        y = _batched(y, shape[:-2])
    y, swapped = oriented(y)
    multiply_arrays(x, y, flip_x, flip_y ^ swapped, (batch, m, n, k), out, alpha)
    return out


def _batched(data: Any, batch: tuple) -> Any:
    """A batch of matrices for every element of `batch`, or one matrix for all of them."""
    own = data.shape[:-2]
    if own == batch:
        return data
    if math.prod(own) == 1:
        return data[(0,) * len(own)]
    shape = batch + data.shape[-2:]
    return copy_array(np.broadcast_to(data, shape), data.dtype)


# -------------------------------------------------------------------------- checks

_C_NAMES = {
    "float32": "float",
    "float64": "double",
    "int64": "long int",
    "int32": "int",
    "int16": "short int",
    "int8": "signed char",
    "uint8": "unsigned char",
    "bool": "bool",
}


def c_name(tensor: Any) -> str:
    return _C_NAMES[tensor._data.dtype.name]


def _shape(tensor: Any) -> str:
    return "x".join(map(str, tensor._data.shape))


def check_operands(function: str, **tensors: Any) -> None:
    """Raise PyTorch's TypeError for what is no tensor, and its error for several devices."""
    for position, (name, tensor) in enumerate(tensors.items(), 1):
        check_tensor(tensor, function, name, position)
    arrays = [tensor._data for tensor in tensors.values()]
    if any(type(array) is not np.ndarray for array in arrays):
        check_same_device(*arrays)


def no_bool(tensor: Any, kernel: str) -> None:
    if tensor._data.dtype.kind == "b":
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def check_matrices(a: Any, b: Any, flip_b: bool = False) -> None:
    """Raise PyTorch's errors of a product of two matrices (the first may be folded)."""
    x, y = a._data, b._data
    rows, columns = y.shape[::-1] if flip_b else y.shape
    if x.shape[-1] != rows:
        m = math.prod(x.shape[:-1])
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({m}x{x.shape[-1]} and {rows}x{columns})"
        )
    if x.dtype != y.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {c_name(a)} != {c_name(b)}"
        )
    no_bool(a, "addmm_impl_cpu_")


def check_batches(a: Any, b: Any, batch: int) -> None:
    """Raise PyTorch's errors of a product of two batches of matrices."""
    x, y = a._data, b._data
    if x.shape[-1] != y.shape[-2]:
        own = math.prod(y.shape[:-2]) if y.ndim == 3 else batch
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{batch}, {x.shape[-1]}] but got: [{own}, {y.shape[-2]}]."
        )
    if x.dtype != y.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(x.dtype)} but found {type_name(y.dtype)}"
        )
    no_bool(a, "bmm")


def into(out: Any, result: Any, function: str) -> Any:
    """`out=` of a product: as everywhere, but the dtypes must agree."""
    if isinstance(out, Tensor):
        if out._data.dtype != result._data.dtype:
            raise RuntimeError(
                f"Expected out tensor to have dtype {c_name(result)}, but got {c_name(out)} instead"
            )
        if mode.enabled and (out._requires_grad or result._requires_grad):
            raise RuntimeError(
                f"{function}(): functions with out=... arguments don't support automatic "
                "differentiation, but one of the arguments requires grad."
            )
    return write_out(out, result)


def wanted(tensor: Any) -> bool:
    """Whether a gradient has to be computed for the tensor (grad mode is on)."""
    if tensor._view is not None:
        refresh(tensor)
    return tensor._requires_grad


# ------------------------------------------------------------------------- products


def product(
    a: Any,
    b: Any,
    flip_a: bool = False,
    flip_b: bool = False,
    alpha: float = 1.0,
    name: str = "MmBackward0",
) -> Any:
    """alpha * A B, where A is `a`, or with `flip_a` `a` with its last two dimensions exchanged.

    The operands have two or more dimensions of agreeing sizes; those before the last two broadcast.
    """
    x, y = a._data, b._data
    m = x.shape[-1] if flip_a else x.shape[-2]
    n = y.shape[-2] if flip_b else y.shape[-1]
    if x.ndim == 2 and y.ndim == 2:
        shape: tuple = (m, n)
    else:
        shape = (*broadcast_shapes(x.shape[:-2], y.shape[:-2]), m, n)
    result = wrap(_multiply(x, y, flip_a, flip_b, alpha, shape))
    if mode.enabled:
        to_a, to_b = wanted(a), wanted(b)
        if to_a or to_b:
            kept = (a if to_b else None, b if to_a else None)
            context = (flip_a, flip_b, alpha, x.shape, y.shape)
            record(result, name, _product_backward, (a, b), kept, context)
    return result


def _product_backward(node: Any, grad: Any) -> tuple:
    a, b = unpack(node)
    flip_a, flip_b, alpha, a_shape, b_shape = node.context
    to_a = to_b = None
    if node.edges[0] is not None:
        if flip_a:
            to_a = product(b, grad, flip_b, True, alpha)
        else:
            to_a = product(grad, b, False, not flip_b, alpha)
        if to_a._data.shape != a_shape:
            to_a = sum_to(to_a, a_shape)
    if node.edges[1] is not None:
        if len(b_shape) == 2 and not flip_a:
            a, grad = fold(a), fold(grad)
        if flip_b:
            to_b = product(grad, a, True, flip_a, alpha)
        else:
            to_b = product(a, grad, not flip_a, False, alpha)
        if to_b._data.shape != b_shape:
            to_b = sum_to(to_b, b_shape)
    return to_a, to_b


def fold(tensor: Any) -> Any:
    """All dimensions but the last as one."""
    shape = tensor._data.shape
    return tensor if len(shape) == 2 else reshape(tensor, (math.prod(shape[:-1]), shape[-1]))


def check_bmm(a: Any, b: Any) -> None:
    x, y = a._data.shape, b._data.shape
    if len(x) != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if len(y) != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    if x[0] != y[0]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x[0]}, {x[2]}] "
            f"but got: [{y[0]}, {y[1]}]."
        )
    check_batches(a, b, x[0])


def check_mv(size: int, matrix: Any, vector: Any, added: Any) -> None:
    x, y = matrix._data, vector._data
    if x.shape[1] != y.shape[0] or size not in (1, x.shape[0]):
        raise RuntimeError(
            f"size mismatch, got input ({size}), mat ({_shape(matrix)}), vec ({y.shape[0]})"
        )
    names = [type_name(tensor._data.dtype) for tensor in (added, matrix, vector)]
    if len(set(names)) > 1:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {names[0]}, {names[1]}, and "
            f"{names[2]}"
        )
    no_bool(matrix, "addmv_impl_cpu")


# ------------------------------------------------------------------------- vectors


def vector_product(a: Any, b: Any, flip_a: bool, shape: tuple, sizes: tuple) -> Any:
    x, swapped = oriented(a._data)
    out = empty(shape, x.dtype, x)
    multiply_arrays(x, dense(b._data), flip_a ^ swapped, False, (1, *sizes), out)
    return wrap(out)


def mv_product(matrix: Any, vector: Any, flip: bool = False, name: str = "MvBackward0") -> Any:
    """A v, where A is the matrix or with `flip` its transpose."""
    rows, columns = matrix._data.shape
    if flip:
        rows, columns = columns, rows
    result = vector_product(matrix, vector, flip, (rows,), (rows, 1, columns))
    if mode.enabled:
        to_matrix, to_vector = wanted(matrix), wanted(vector)
        if to_matrix or to_vector:
            kept = (matrix if to_vector else None, vector if to_matrix else None)
            record(result, name, _mv_backward, (matrix, vector), kept, flip)
    return result


def _mv_backward(node: Any, grad: Any) -> tuple:
    matrix, vector = unpack(node)
    flip = node.context
    to_matrix = to_vector = None
    if node.edges[0] is not None:
        to_matrix = outer_product(vector, grad) if flip else outer_product(grad, vector)
    if node.edges[1] is not None:
        to_vector = mv_product(matrix, grad, not flip)
    return to_matrix, to_vector


def outer_product(a: Any, b: Any) -> Any:
    """a bᵀ for two vectors, by the product's kernel."""
    m, n = a._data.size, b._data.size
    result = vector_product(a, b, False, (m, n), (m, n, 1))
    if mode.enabled:
        to_a, to_b = wanted(a), wanted(b)
        if to_a or to_b:
            kept = (a if to_b else None, b if to_a else None)
            record(result, "MulBackward0", _outer_backward, (a, b), kept)
    return result


def _outer_backward(node: Any, grad: Any) -> tuple:
    a, b = unpack(node)
    to_a = mv_product(grad, b) if node.edges[0] is not None else None
    to_b = mv_product(grad, a, True) if node.edges[1] is not None else None
    return to_a, to_b
