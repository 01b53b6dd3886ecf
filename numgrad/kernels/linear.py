"""The linear layer y = x Wᵀ + b and its backward: three products of `matmul.py`, one launch each.

x: (rows, in_features); weight: (out_features, in_features), row-major as PyTorch keeps it; bias:
(out_features,). Each function takes C-contiguous arrays of one dtype and writes into the last
ones. An operation launches the same products itself, by the `plan` functions.
"""

from __future__ import annotations

import numpy as np

from .matmul import Plan, multiply, plan


def forward_plan(rows: int, in_features: int, out_features: int, dtype: np.dtype) -> Plan:
    """Launch with (x, weight, out, bias, (), 1.0, 0.0, plan.sizes); bias: () or (bias,)."""
    return plan(rows, out_features, in_features, False, True, 1, dtype)


def backward_input_plan(rows: int, in_features: int, out_features: int, dtype: np.dtype) -> Plan:
    """Launch with (grad, weight, grad_x, (), (), 1.0, 0.0, plan.sizes)."""
    return plan(rows, in_features, out_features, False, False, 1, dtype)


def backward_weight_plan(rows: int, in_features: int, out_features: int, dtype: np.dtype) -> Plan:
    """Launch with (grad, x, grad_weight, (), grad_bias, 1.0, 0.0, plan.sizes); grad_bias: () or
    (grad_bias,)."""
    return plan(out_features, in_features, rows, True, False, 1, dtype)


def linear_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, out: np.ndarray):
    """out[i, j] = sum_p x[i, p] weight[j, p] + bias[j]. 2 · rows · in · out operations.

    >>> import numpy as np
    >>> from numgrad.kernels.linear import linear_forward
    >>> x, weight = np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)
    >>> out = np.empty((2, 1), np.float32)
    >>> linear_forward(x, weight, np.float32([0.5]), out)
    >>> out.tolist()
    [[3.5], [3.5]]
    """
    multiply(x, weight, out, transpose_b=True, bias=() if bias is None else (bias,))


def linear_backward_input(grad: np.ndarray, weight: np.ndarray, grad_x: np.ndarray):
    """grad_x[i, p] = sum_j grad[i, j] weight[j, p]. 2 · rows · in · out operations."""
    multiply(grad, weight, grad_x)


def linear_backward_weight(
    grad: np.ndarray, x: np.ndarray, grad_weight: np.ndarray, grad_bias: np.ndarray | None = None
):
    """grad_weight[j, p] = sum_i grad[i, j] x[i, p] and, in the same launch, grad_bias[j] =
    sum_i grad[i, j]. 2 · rows · in · out operations."""
    sums = () if grad_bias is None else (grad_bias,)
    multiply(grad, x, grad_weight, transpose_a=True, sums=sums)
