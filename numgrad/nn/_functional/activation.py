"""Activations as functions, with their in-place forms."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...ops._core import inplace as in_place
from ...tensor import Tensor

_celu_ = in_place(ops.celu)
_mish_ = in_place(ops.mish)
_hardsigmoid_ = in_place(ops.hardsigmoid)
_hardswish_ = in_place(ops.hardswish)
selu_ = in_place(ops.selu)
threshold_ = in_place(ops.threshold)
celu_ = _celu_


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    >>> numgrad.nn.functional.relu(numgrad.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    return ops.relu_(input) if inplace else ops.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x clamped to [0, 6].

    >>> numgrad.nn.functional.relu6(numgrad.tensor([-1., 8.]))
    tensor([0., 6.])
    """
    return ops.relu6_(input) if inplace else ops.relu6(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · σ(x).

    >>> numgrad.nn.functional.silu(numgrad.tensor([-1., 0., 1.]))
    tensor([-0.2689,  0.0000,  0.7311])
    """
    return ops.silu_(input) if inplace else ops.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x)).

    >>> numgrad.nn.functional.mish(numgrad.tensor([-1., 1.]))
    tensor([-0.3034,  0.8651])
    """
    return _mish_(input) if inplace else ops.mish(input)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """ELU scaled so that activations keep mean 0 and variance 1.

    >>> numgrad.nn.functional.selu(numgrad.tensor([-1., 1.]))
    tensor([-1.1113,  1.0507])
    """
    return selu_(input) if inplace else ops.selu(input)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (eˣ - 1).

    >>> numgrad.nn.functional.elu(numgrad.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    return ops.elu_(input, alpha) if inplace else ops.elu(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha · (e^(x/alpha) - 1)).

    >>> numgrad.nn.functional.celu(numgrad.tensor([-1., 2.]), alpha=2.)
    tensor([-0.7869,  2.0000])
    """
    return _celu_(input, alpha) if inplace else ops.celu(input, alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x.

    >>> numgrad.nn.functional.leaky_relu(numgrad.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    if inplace:
        return ops.leaky_relu_(input, negative_slope)
    return ops.leaky_relu(input, negative_slope)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x clamped to [min_val, max_val]; ValueError where that is empty.

    >>> numgrad.nn.functional.hardtanh(numgrad.tensor([-2., 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if inplace:
        return ops.hardtanh_(input, min_val, max_val)
    return ops.hardtanh(input, min_val, max_val)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · min(max(x + 3, 0), 6) / 6.

    >>> numgrad.nn.functional.hardswish(numgrad.tensor([-1., 1.]))
    tensor([-0.3333,  0.6667])
    """
    return _hardswish_(input) if inplace else ops.hardswish(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6.

    >>> numgrad.nn.functional.hardsigmoid(numgrad.tensor([-1., 1.]))
    tensor([0.3333, 0.6667])
    """
    return _hardsigmoid_(input) if inplace else ops.hardsigmoid(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value.

    >>> numgrad.nn.functional.threshold(numgrad.tensor([-1., 2.]), 0, 9)
    tensor([9., 2.])
    """
    if inplace:
        return threshold_(input, threshold, value)
    return ops.threshold(input, threshold, value)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x: one weight, or one a channel (dimension 1).

    >>> numgrad.nn.functional.prelu(numgrad.tensor([-1., 2.]), numgrad.tensor([0.1]))
    tensor([-0.1000,  2.0000])
    """
    if weight.dim() > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}"
        )
    count = weight.numel()
    if count != 1:
        if input.dim() == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.dim() > 1 else 1
        if channels != count:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{count} and channel size = {channels}."
            )
        weight = weight.reshape((-1, *[1] * (input.dim() - 2)))
    return ops.where(input > 0, input, weight * input)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x where x > 0, else a · x: in training each element draws a from [lower, upper].

    Otherwise a is (lower + upper) / 2.

    >>> numgrad.nn.functional.rrelu(numgrad.tensor([-12., 2.]), 0.25, 0.75)
    tensor([-6.,  2.])
    """
    return (
        rrelu_(input, lower, upper, training) if inplace else _rrelu(input, lower, upper, training)
    )


def _rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    if not training:
        return ops.leaky_relu(input, (lower + upper) / 2)
    slopes = ops.ones_like(input)
    negative = input.detach() <= 0
    count = int(negative.sum())
    drawn = ops.empty(count, dtype=ops.as_tensor(0.0).double().dtype).uniform_(lower, upper)
    slopes[negative] = drawn.to(slopes.dtype)
    return input * slopes


rrelu_ = in_place(_rrelu, "rrelu_")


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · σ(b) for the halves a, b of the input along `dim`, which has to be even.

    >>> numgrad.nn.functional.glu(numgrad.tensor([1., 2., 0., 0.]))
    tensor([0.5000, 1.0000])
    """
    if input.dim() == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.size(dim) % 2:
        axis = dim % input.dim()
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {axis} is size {input.size(dim)}"
        )
    a, b = ops.chunk(input, 2, dim)
    return a * ops.sigmoid(b)


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """eˣ / Σ eˣ along `dim`, computed in `dtype` if one is given.

    >>> numgrad.nn.functional.softmax(numgrad.zeros(4), dim=0)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return ops.softmax(input, dim, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """The logarithm of the softmax along `dim`, computed in `dtype` if one is given.

    >>> numgrad.nn.functional.log_softmax(numgrad.zeros(2), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return ops.log_softmax(input, dim, dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """The softmax of -x along `dim`, computed in `dtype` if one is given.

    >>> numgrad.nn.functional.softmin(numgrad.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    return ops.softmin(input, dim, dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang et al., 2017).

    With `hard` the result is one-hot, and its gradient that of the soft sample. `eps` is accepted
    and has no effect.

    >>> numgrad.nn.functional.gumbel_softmax(numgrad.zeros(2, 3), hard=True).sum(1)
    tensor([1., 1.])
    """
    gumbels = -ops.empty_like(logits).exponential_().log()
    soft = ops.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().max(dim, keepdim=True)[1]
    one_hot = ops.zeros_like(logits.detach()).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft
