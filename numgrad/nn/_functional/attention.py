"""Attention, and a bilinear map."""

from __future__ import annotations

import math

from ... import ops
from ...dtypes import bool_
from ...tensor import Tensor
from .dropout import dropout


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(Q Kᵀ · scale + mask) V (Vaswani et al., 2017).

    `query` (…, L, E), `key` (…, S, E), `value` (…, S, Ev) → (…, L, Ev). `scale` is 1/√E by default.
    `attn_mask` broadcasts to (…, L, S): of bool, True where attention is allowed, or of floats to
    add. `is_causal`: position i sees positions up to i. `enable_gqa`: `query` has several times
    the heads (dimension -3) of `key` and `value`. Dropout is applied with `dropout_p`, training
    or not.

    >>> q = numgrad.zeros(1, 2, 4)
    >>> numgrad.nn.functional.scaled_dot_product_attention(q, q, numgrad.ones(1, 2, 3))
    tensor([[[1., 1., 1.],
             [1., 1., 1.]]])
    """
    length, width = query.shape[-2:]
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    scores = query @ key.transpose(-2, -1)
    scores = scores * (1 / math.sqrt(width) if scale is None else scale)
    if is_causal:
        if attn_mask is not None:
            raise RuntimeError(
                "scaled_dot_product_attention: Explicit attn_mask should not be set when "
                "is_causal=True"
            )
        attn_mask = ops.ones((length, key.size(-2)), dtype=bool_, device=query.device).tril()
    if attn_mask is not None:
        if attn_mask.dtype is bool_:
            scores = ops.masked_fill(scores, ops.logical_not(attn_mask), -math.inf)
        else:
            scores = scores + attn_mask
    weights = ops.softmax(scores, -1)
    if attn_mask is not None and attn_mask.dtype is bool_:
        # A row that may attend to nothing: zeros, not 0 / 0.
        nothing = ops.logical_not(attn_mask.any(-1, keepdim=True))
        weights = ops.masked_fill(weights, nothing, 0.0)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    return weights @ value


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """yₖ = x₁ᵀ Aₖ x₂ + bₖ: (…, I), (…, J), weight (K, I, J) → (…, K).

    >>> numgrad.nn.functional.bilinear(numgrad.ones(1, 2), numgrad.ones(1, 3), numgrad.ones(4, 2, 3))
    tensor([[6., 6., 6., 6.]])
    """
    if input1.dim() != input2.dim():
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {input1.dim()} and {input2.dim()}"
        )
    result = ops.einsum("...i,kij,...j->...k", input1, weight, input2)
    return result if bias is None else result + bias
