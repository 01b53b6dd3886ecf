"""Matrix products of tensors: matmul, its special cases, and products of vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._core import (
    Tensor,
    broadcast_shapes,
    check_same_device,
    mode,
    record,
    type_name,
    unpack,
    wrap,
    write_out,
)
from ._products import (
    check_batches,
    check_bmm,
    check_matrices,
    check_mv,
    check_operands,
    fold,
    into,
    mv_product,
    no_bool,
    product,
    vector_product,
    wanted,
)
from .elementwise import mul
from .views import reshape, unsqueeze


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices, (n, m) and (m, p); both of one dtype.

    >>> numgrad.mm(numgrad.tensor([[1., 2.]]), numgrad.tensor([[3.], [4.]]))
    tensor([[11.]])
    """
    check_operands("mm", input=input, mat2=mat2)
    if input._data.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2._data.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    check_matrices(input, mat2)
    result = product(input, mat2)
    return result if out is None else into(out, result, "mm")


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of two batches of matrices, (b, n, m) and (b, m, p).

    >>> numgrad.bmm(numgrad.ones(2, 1, 3), numgrad.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    check_operands("bmm", input=input, mat2=mat2)
    check_bmm(input, mat2)
    result = product(input, mat2, name="BmmBackward0")
    return result if out is None else into(out, result, "bmm")


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product; a vector counts as a row on the left and a column on the right, and
    dimensions before the last two are a batch, broadcast.

    >>> numgrad.matmul(numgrad.tensor([[1., 2.], [3., 4.]]), numgrad.tensor([1., 1.]))
    tensor([3., 7.])
    >>> numgrad.matmul(numgrad.ones(5, 1, 2, 3), numgrad.ones(4, 3, 2)).shape
    torch.Size([5, 4, 2, 2])
    """
    try:
        x, y = input._data, other._data
    except AttributeError:
        check_operands("matmul", input=input, other=other)
        raise
    if type(x) is not np.ndarray or type(y) is not np.ndarray:
        check_same_device(x, y)
    if x.ndim == 2 and y.ndim == 2:
        check_matrices(input, other)
        result = product(input, other)
    else:
        result = _matmul(input, other)
    return result if out is None else into(out, result, "matmul")


def _matmul(a: Any, b: Any) -> Any:
    x, y = a._data, b._data
    if x.ndim == 0 or y.ndim == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D"
        )
    if y.ndim == 1:
        if x.ndim == 1:
            return dot(a, b)
        if x.ndim == 2:
            return mv(a, b)
        return _unsafe_view(mv(fold(a), b), x.shape[:-1])
    if x.ndim == 1:
        if y.ndim == 2:
            check_matrices(unsqueeze(a, 0), b)
            return mv_product(b, a, True, "SqueezeBackward4")
        row = _matmul(unsqueeze(a, 0), b)
        return _unsafe_view(row, (*y.shape[:-2], y.shape[-1]))
    if y.ndim == 2:
        check_matrices(a, b)
    else:
        batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
        check_batches(a, b, math.prod(batch))
    return product(a, b, name="UnsafeViewBackward0")


def _unsafe_view(tensor: Any, shape: tuple) -> Any:
    """A result in another shape: no view, as nobody holds the first one."""
    data = tensor._data
    result = wrap(data.reshape(shape))
    if mode.enabled and tensor._requires_grad:
        rule = _unsafe_view_backward
        record(result, "UnsafeViewBackward0", rule, (tensor,), (), data.shape)
    return result


def _unsafe_view_backward(node: Any, grad: Any) -> Any:
    return reshape(grad, node.context)


# ------------------------------------------------------------------------- vectors


def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of a matrix (n, m) and a vector (m,).

    >>> numgrad.mv(numgrad.tensor([[1., 2.], [3., 4.]]), numgrad.tensor([1., 1.]))
    tensor([3., 7.])
    """
    check_operands("mv", input=input, vec=vec)
    x, y = input._data, vec._data
    if x.ndim != 2 or y.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {x.ndim}, {y.ndim}")
    check_mv(x.shape[0], input, vec, vec)
    result = mv_product(input, vec)
    return result if out is None else into(out, result, "mv")


def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The sum of the products of two vectors' elements.

    >>> numgrad.dot(numgrad.tensor([2, 3]), numgrad.tensor([2, 1]))
    tensor(7)
    """
    check_operands("dot", input=input, tensor=tensor)
    result = _dot(input, tensor, "DotBackward0")
    return result if out is None else into(out, result, "dot")


def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`dot`, of real vectors.

    >>> numgrad.vdot(numgrad.tensor([2, 3]), numgrad.tensor([2, 1]))
    tensor(7)
    """
    check_operands("vdot", input=input, other=other)
    result = _dot(input, other, "VdotBackward0")
    return result if out is None else into(out, result, "vdot")


def _dot(a: Any, b: Any, name: str) -> Any:
    x, y = a._data, b._data
    if x.ndim != 1 or y.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    if x.dtype != y.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{type_name(x.dtype)} and {type_name(y.dtype)}"
        )
    if x.size != y.size:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{x.size}] and src [{y.size}] to have the "
            f"same number of elements, but got {x.size} and {y.size} elements respectively"
        )
    no_bool(a, "dot")
    result = vector_product(a, b, False, (), (1, 1, x.size))
    if mode.enabled:
        to_a, to_b = wanted(a), wanted(b)
        if to_a or to_b:
            kept = (a if to_b else None, b if to_a else None)
            record(result, name, _dot_backward, (a, b), kept)
    return result


def _dot_backward(node: Any, grad: Any) -> tuple:
    a, b = unpack(node)
    to_a = mul(grad, b) if node.edges[0] is not None else None
    to_b = mul(grad, a) if node.edges[1] is not None else None
    return to_a, to_b


def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """All products of an element of one vector (n,) with one of the other (m,): (n, m).

    >>> numgrad.outer(numgrad.tensor([1, 2]), numgrad.tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    check_operands("outer", input=input, vec2=vec2)
    for name, tensor in (("self", input), ("vec2", vec2)):
        if tensor._data.ndim != 1:
            raise RuntimeError(
                f"outer: Expected 1-D argument {name}, but got {tensor._data.ndim}-D"
            )
    result = mul(unsqueeze(input, 1), vec2)
    return result if out is None else write_out(out, result)


ger = outer
