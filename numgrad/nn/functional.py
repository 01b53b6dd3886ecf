"""Functional forms: activations, losses, linear maps, normalisation, dropout."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import ops
from ..ops.elementwise import celu as celu
from ..ops.elementwise import elu as _elu
from ..ops.elementwise import gelu as gelu
from ..ops.elementwise import hardshrink as hardshrink
from ..ops.elementwise import hardsigmoid as _hardsigmoid
from ..ops.elementwise import hardswish as _hardswish
from ..ops.elementwise import hardtanh as _hardtanh
from ..ops.elementwise import leaky_relu as _leaky_relu
from ..ops.elementwise import logsigmoid as logsigmoid
from ..ops.elementwise import mish as _mish
from ..ops.elementwise import relu as _relu
from ..ops.elementwise import selu as _selu
from ..ops.elementwise import sigmoid as sigmoid
from ..ops.elementwise import silu as _silu
from ..ops.elementwise import softplus as softplus
from ..ops.elementwise import softshrink as softshrink
from ..ops.elementwise import softsign as softsign
from ..ops.elementwise import tanh as tanh
from ..ops.elementwise import tanhshrink as tanhshrink
from ..ops.elementwise import threshold as _threshold
from ..ops.linear import linear as linear
from ..ops.softmax import log_softmax as _log_softmax
from ..ops.softmax import softmax as _softmax
from ..tensor import Tensor


def _into(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    >>> numgrad.nn.functional.relu(numgrad.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    return ops.relu_(input) if inplace else _relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return _into(input, ops.relu6(input), inplace)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · σ(x)."""
    return _into(input, _silu(input), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))."""
    return _into(input, _mish(input), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Scaled ELU."""
    return _into(input, _selu(input), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (eˣ - 1)."""
    return _into(input, _elu(input, alpha), inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x."""
    return _into(input, _leaky_relu(input, negative_slope), inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x clamped to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _into(input, _hardtanh(input, min_val, max_val), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · relu6(x + 3) / 6."""
    return _into(input, _hardswish(input), inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return _into(input, _hardsigmoid(input), inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    return _into(input, _threshold(input, threshold, value), inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x, with one weight or one a channel (dimension 1)."""
    if weight.numel() != 1 and input.ndim > 2:
        weight = weight.reshape((-1, *[1] * (input.ndim - 2)))
    return ops.where(input > 0, input, weight * input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · σ(b) for the halves a, b of the input along `dim`."""
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    a, b = ops.chunk(input, 2, dim)
    return a * sigmoid(b)


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ along `dim`.

    >>> numgrad.nn.functional.softmax(numgrad.zeros(4), dim=0)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    dim = _implicit_dim("softmax", input.ndim) if dim is None else dim
    return _softmax(input, dim, dtype=dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Logarithm of the softmax along `dim`."""
    dim = _implicit_dim("log_softmax", input.ndim) if dim is None else dim
    return _log_softmax(input, dim, dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Softmax of -x along `dim`."""
    dim = _implicit_dim("softmin", input.ndim) if dim is None else dim
    return _softmax(-input, dim, dtype=dtype)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p), while training."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return _into(input, ops.dropout(input, p, training), inplace)


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None
) -> Tensor:
    """Vectors along `dim` scaled to p-norm 1."""
    norm = ops.norm(input, p, dim, keepdim=True).clamp_min(eps)
    return ops.div(input, norm.expand_as(input), out=out)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (|x1| |x2|) along `dim`."""
    a = ops.norm(x1, 2, dim, keepdim=True).clamp_min(eps)
    b = ops.norm(x2, 2, dim, keepdim=True).clamp_min(eps)
    return ops.sum((x1 / a) * (x2 / b), dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """|x1 - x2 + eps|ₚ along the last dimension."""
    return ops.norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(Q Kᵀ · scale + mask) V, for (…, L, E), (…, S, E), (…, S, Ev)."""
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * factor
    if is_causal:
        if attn_mask is not None:
            raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")
        ones = ops.ones(query.shape[-2], key.shape[-2], dtype=query.dtype)
        scores = ops.masked_fill(scores, ops.tril(ones) == 0, -math.inf)
    elif attn_mask is not None:
        if attn_mask.dtype.name == "bool":
            scores = ops.masked_fill(scores, ~attn_mask, -math.inf)
        else:
            scores = scores + attn_mask
    return dropout(softmax(scores, -1), dropout_p) @ value


def __getattr__(name: str) -> Any:
    """Losses, normalisation, embedding and padding are the operations of the same names."""
    try:
        return getattr(ops, name)
    except AttributeError:
        raise AttributeError(f"module 'numgrad.nn.functional' has no attribute '{name}'") from None
