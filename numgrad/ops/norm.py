"""Vector norms, and what is made of them: `normalize`, `cosine_similarity`, distances."""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import INT64, as_numpy_dtype
from ..kernels import reduction as kernels
from ._core import (
    Tensor,
    cast,
    check_tensor,
    empty,
    mode,
    needs_grad,
    record,
    result_dtype,
    type_name,
    unpack,
    wrap,
    write_out,
)
from ._reduce import axes_of, is_empty, reduce_array, reduced_shape, unreduce
from .creation import fill_array
from .elementwise import abs, add, clamp_min, div, eq, mul, pow, sign, sub, where
from .reduction import _COUNT, _SUM, _SUM_INTEGERS, sum

_KERNELS = {
    1.0: (kernels.norm1_rows, kernels.norm1_columns),
    2.0: (kernels.norm2_rows, kernels.norm2_columns),
    math.inf: (kernels.norm_max_rows, kernels.norm_max_columns),
    -math.inf: (kernels.norm_min_rows, kernels.norm_min_columns),
}


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over `dim`; the largest |x| for infinity, the count of x ≠ 0 for 0.

    >>> numgrad.linalg.vector_norm(numgrad.tensor([3., 4.]))
    tensor(5.)
    """
    check_tensor(x, "linalg_vector_norm", "self")
    if dtype is not None and x._data.dtype.kind == "f":
        x = cast(x, as_numpy_dtype(dtype))
    result = _norm(x, float(ord), dim, keepdim, "LinalgVectorNormBackward0")
    return result if out is None else write_out(out, result)


def _norm(x: Any, order: float, dim: Any, keepdim: bool, node: str) -> Any:
    data = x._data
    if data.dtype.kind != "f":
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{type_name(data.dtype)}"
        )
    axes = axes_of(dim, data.ndim)
    shape = reduced_shape(data.shape, axes, keepdim)
    if is_empty(data.shape, axes) or 0 in shape:
        if 0 not in shape and (order < 0 or math.isinf(order)):
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {order:g} norm on an empty "
                f"{'tensor' if len(axes) == data.ndim else 'dimension'} because the operation "
                "does not have an identity"
            )
        found = empty(shape, data.dtype, data)
        if found.size:
            fill_array(found, 0.0)
        result = wrap(found)
    elif order in _KERNELS:
        result = wrap(reduce_array(_KERNELS[order], data, axes, shape, data.dtype))
    elif order == 0.0:
        count = reduce_array(_COUNT, data, axes, shape, INT64, again=_SUM_INTEGERS)
        result = cast(wrap(count), data.dtype)
    else:
        before = mode.enabled
        mode.enabled = False
        try:
            powers = pow(abs(x), order)
            total = wrap(reduce_array(_SUM, powers._data, axes, shape, data.dtype))
            result = pow(total, 1.0 / order)
        finally:
            mode.enabled = before
    if needs_grad(x):
        context = (order, axes)
        record(result, node, _norm_backward, (x,), (x, result), context)
    return result


def _norm_backward(node: Any, grad: Any) -> Any:
    x, y = unpack(node)
    order, axes = node.context
    shape = x._data.shape
    grad, y = unreduce(grad, shape, axes), unreduce(y, shape, axes)
    if order == 0.0:
        return mul(x, 0.0)
    if order == 1.0:
        return mul(sign(x), grad)
    if order == 2.0:
        return mul(x, where(eq(y, 0.0), 0.0, div(grad, y)))
    if math.isinf(order):
        equal = cast(eq(abs(x), y), x._data.dtype)
        share = div(equal, sum(equal, axes or None, keepdim=True))
        return mul(mul(sign(x), share), grad)
    if order < 1.0:
        slope = mul(sign(x), where(eq(x, 0.0), 0.0, pow(abs(x), order - 1.0)))
    elif order < 2.0:
        slope = mul(sign(x), pow(abs(x), order - 1.0))
    else:
        slope = mul(x, pow(abs(x), order - 2.0))
    return mul(slope, where(eq(y, 0.0), 0.0, div(grad, pow(y, order - 1.0))))


def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Tensor:
    """The p-norm over `dim`: "fro" and None mean 2.

    >>> numgrad.norm(numgrad.tensor([[3., 0.], [0., 4.]]))
    tensor(5.)
    """
    check_tensor(input, "norm", "input")
    if p == "nuc":
        raise NotImplementedError(
            "norm(): the nuclear norm needs singular values, which are not part of numgrad"
        )
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm(): expected p to be a number, 'fro' or 'nuc', but got '{p}'")
    order = 2.0 if p is None or p == "fro" else float(p)
    return vector_norm(input, order, dim, keepdim, dtype=dtype, out=out)


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None
) -> Tensor:
    """input / max(its norm over `dim`, eps).

    >>> numgrad.nn.functional.normalize(numgrad.tensor([[3., 4.]]))
    tensor([[0.6000, 0.8000]])
    """
    return div(input, clamp_min(norm(input, p, dim, keepdim=True), eps), out=out)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) · max(‖x2‖, eps)) along `dim`.

    >>> numgrad.cosine_similarity(numgrad.tensor([[3., 4.]]), numgrad.tensor([[4., 3.]]))
    tensor([0.9600])
    """
    dtype = result_dtype([x1, x2])
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    norms = [clamp_min(vector_norm(x, 2, dim, keepdim=True), eps) for x in (x1, x2)]
    return sum(mul(div(x1, norms[0]), div(x2, norms[1])), dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """‖x1 - x2 + eps‖ over the last dimension.

    >>> numgrad.nn.functional.pairwise_distance(numgrad.zeros(1, 2), numgrad.tensor([[3., 4.]]))
    tensor([5.0000])
    """
    return _norm(add(sub(x1, x2), eps), float(p), -1, keepdim, "NormBackward1")


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other.

    >>> numgrad.dist(numgrad.tensor([0., 0.]), numgrad.tensor([3., 4.]))
    tensor(5.)
    """
    return _norm(sub(input, other), float(p), None, False, "DistBackward0")
