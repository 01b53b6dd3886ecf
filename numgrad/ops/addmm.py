"""beta · input + alpha · a product: addmm, addmv, addr, baddbmm, addbmm and their in-place forms.

The product's kernel adds to what is in the output already, or starts from a row that it adds to
every row, so the sum costs no launch of its own.
"""

from __future__ import annotations

from typing import Any

from ._core import (
    Tensor,
    assign,
    dense,
    empty,
    inplace,
    mode,
    record,
    sum_to,
    type_name,
    unpack,
    wrap,
)
from ._products import (
    c_name,
    check_bmm,
    check_matrices,
    check_mv,
    check_operands,
    into,
    multiply_arrays,
    mv_product,
    no_bool,
    oriented,
    outer_product,
    product,
    wanted,
)
from ._results import given
from .elementwise import add, mul
from .views import expand, permute, reshape, unsqueeze


def _added(
    input: Any, a: Any, b: Any, shape: tuple, beta: float, alpha: float, name: str, split: Any
) -> Any:
    """beta * input + alpha * A B, `input` broadcast to `shape`; `split` is the rule of A B."""
    x, swapped_x = oriented(a._data)
    y, swapped_y = oriented(b._data) if b._data.ndim > 1 else (dense(b._data), False)
    batch = shape[0] if len(shape) == 3 else 1
    m, n = shape[-2:] if len(shape) > 1 else (shape[0], 1)
    c = input._data
    out = empty(shape, x.dtype, x)
    bias: tuple = ()
    alpha, keep = float(alpha), float(beta)
    if beta == 1 and c.shape == (n,) and len(shape) > 1:
        bias, keep = (dense(c),), 0.0
    elif beta != 0:
        assign(out, c)
    sizes = (batch, m, n, a._data.shape[-1])
    multiply_arrays(x, y, swapped_x, swapped_y, sizes, out, alpha, keep, bias)
    result = wrap(out)
    if mode.enabled:
        to_a, to_b = wanted(a), wanted(b)
        if wanted(input) or to_a or to_b:
            kept = (a if to_b else None, b if to_a else None)
            context = (c.shape, beta, alpha, split)
            record(result, name, _added_backward, (input, a, b), kept, context)
    return result


def _added_backward(node: Any, grad: Any) -> tuple:
    a, b = unpack(node)
    shape, beta, alpha, split = node.context
    to_input = None
    if node.edges[0] is not None:
        to_input = grad if beta == 1 else mul(grad, beta)
        if to_input._data.shape != shape:
            to_input = sum_to(to_input, shape)
    return to_input, *split(a, b, grad, alpha, *[edge is not None for edge in node.edges[1:]])


def _split_matrices(a: Any, b: Any, grad: Any, alpha: float, to_a: bool, to_b: bool) -> tuple:
    return (
        product(grad, b, False, True, alpha) if to_a else None,
        product(a, grad, True, False, alpha) if to_b else None,
    )


def _split_vector(a: Any, b: Any, grad: Any, alpha: float, to_a: bool, to_b: bool) -> tuple:
    scaled = grad if alpha == 1 else mul(grad, alpha)
    return outer_product(scaled, b) if to_a else None, mv_product(a, scaled, True) if to_b else None


def addmm(
    input: Tensor,
    mat1: Tensor,
    mat2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta · input + alpha · mat1 @ mat2; input broadcasts, and is not read where beta is 0.

    >>> numgrad.addmm(numgrad.tensor([1., 2.]), numgrad.ones(2, 3), numgrad.ones(3, 2))
    tensor([[4., 5.],
            [4., 5.]])
    """
    check_operands("addmm", input=input, mat1=mat1, mat2=mat2)
    result = _addmm(input, mat1, mat2, beta, alpha, "AddmmBackward0")
    return result if out is None else into(out, result, "addmm")


def _addmm(input: Any, a: Any, b: Any, beta: float, alpha: float, name: str) -> Any:
    for label, tensor in (("mat1", a), ("mat2", b)):
        if tensor._data.ndim != 2:
            raise RuntimeError(f"{label} must be a matrix, got {tensor._data.ndim}-D tensor")
    if a._data.shape[1] != b._data.shape[0]:
        check_matrices(a, b)
    shape = (a._data.shape[0], b._data.shape[1])
    if input._data.shape != shape:
        expand(input, shape)  # raises where it doesn't fit
    for label, first, second in (("self", input, b), ("mat1", a, b)):
        if first._data.dtype != second._data.dtype:
            raise RuntimeError(
                f"{label} and mat2 must have the same dtype, but got "
                f"{type_name(first._data.dtype)} and {type_name(second._data.dtype)}"
            )
    no_bool(a, "addmm_impl_cpu_")
    return _added(input, a, b, shape, beta, alpha, name, _split_matrices)


def addmv(
    input: Tensor,
    mat: Tensor,
    vec: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta · input + alpha · mat @ vec.

    >>> numgrad.addmv(numgrad.tensor([1., 2.]), numgrad.ones(2, 3), numgrad.ones(3))
    tensor([4., 5.])
    """
    check_operands("addmv", input=input, mat=mat, vec=vec)
    c, x, y = input._data, mat._data, vec._data
    if x.ndim != 2 or y.ndim != 1 or c.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {c.ndim}, {x.ndim}, {y.ndim}")
    check_mv(c.size, mat, vec, input)
    shape = (x.shape[0],)
    result = _added(input, mat, vec, shape, beta, alpha, "AddmvBackward0", _split_vector)
    return result if out is None else into(out, result, "addmv")


def addr(
    input: Tensor,
    vec1: Tensor,
    vec2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta · input + alpha · outer(vec1, vec2).

    >>> numgrad.addr(numgrad.zeros(2, 2), numgrad.tensor([1., 2.]), numgrad.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    check_operands("addr", input=input, vec1=vec1, vec2=vec2)
    for name, tensor in (("vec1", vec1), ("vec2", vec2)):
        if tensor._data.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {tensor._data.ndim}-D")
    shape = (vec1._data.size, vec2._data.size)
    expand(input, shape)
    result = mul(unsqueeze(vec1, 1), vec2)
    if alpha != 1:
        result = mul(result, alpha)
    if beta != 0:
        result = add(result, input if beta == 1 else mul(input, beta))
    return given(result, out, "AddrBackward0")


def baddbmm(
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta · input + alpha · batch1 @ batch2, matrix by matrix.

    >>> numgrad.baddbmm(numgrad.ones(1), numgrad.ones(2, 1, 3), numgrad.ones(2, 3, 1)).flatten()
    tensor([4., 4.])
    """
    check_operands("baddbmm", input=input, batch1=batch1, batch2=batch2)
    c, x, y = input._data, batch1._data, batch2._data
    if x.ndim == 3 and y.ndim == 3:
        shape = (y.shape[0], x.shape[1], y.shape[2])
        expand(input, shape)
        if not c.dtype == x.dtype == y.dtype:
            raise RuntimeError(
                f"Input dtypes must be the same, got: input {c_name(input)}, batch1: "
                f"{c_name(batch1)}, batch2: {c_name(batch2)}"
            )
    check_bmm(batch1, batch2)
    name = "BaddbmmBackward0"
    result = _added(input, batch1, batch2, shape, beta, alpha, name, _split_matrices)
    return result if out is None else into(out, result, "baddbmm")


def addbmm(
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """beta · input + alpha · the sum of the products of all pairs of matrices.

    >>> numgrad.addbmm(numgrad.ones(1), numgrad.ones(2, 1, 3), numgrad.ones(2, 3, 1))
    tensor([[7.]])
    """
    check_operands("addbmm", input=input, batch1=batch1, batch2=batch2)
    x, y = batch1._data.shape, batch2._data.shape
    for label, shape in (("batch1", x), ("batch2", y)):
        if len(shape) != 3:
            raise RuntimeError(f"{label} must be a 3D tensor")
    if x[0] != y[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {x[0]} and {y[0]}"
        )
    if x[2] != y[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({x[1]}x{x[2]} and {y[1]}x{y[2]})")
    # The matrices side by side, times the matrices below one another.
    wide = reshape(permute(batch1, (1, 0, 2)), (x[1], x[0] * x[2]))
    tall = reshape(batch2, (y[0] * y[1], y[2]))
    result = _addmm(input, wide, tall, beta, alpha, "AddbmmBackward0")
    return result if out is None else into(out, result, "addbmm")


addmm_ = inplace(addmm)
addmv_ = inplace(addmv)
addr_ = inplace(addr)
baddbmm_ = inplace(baddbmm)
addbmm_ = inplace(addbmm)
