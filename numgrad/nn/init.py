"""Initial values of parameters: PyTorch's numbers for the same seed.

Every function fills a tensor in place, outside the graph, and returns it. `generator` is where the
random numbers come from, the default generator where it is None.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import ops
from ..autograd.grad_mode import no_grad
from ..tensor import Tensor

_GAINS = {"sigmoid": 1, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
_LINEAR = {"linear"} | {f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)}


def calculate_gain(nonlinearity: str, param: int | float | None = None) -> float:
    """The factor by which weights in front of a nonlinearity keep the variance of their output.

    `param`: the slope, for "leaky_relu". ValueError for a nonlinearity that is not known.

    >>> numgrad.nn.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity != "leaky_relu":
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    slope = 0.01 if param is None else param
    if isinstance(slope, bool) or not isinstance(slope, (int, float)):
        raise ValueError(f"negative_slope {param} not a valid number")
    return math.sqrt(2.0 / (1 + slope**2))


@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform numbers in [a, b).

    >>> weight = numgrad.nn.init.uniform_(numgrad.empty(100), -1, 1)
    >>> bool(((weight >= -1) & (weight < 1)).all())
    True
    """
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal numbers with this mean and standard deviation.

    >>> numgrad.nn.init.normal_(numgrad.empty(2), mean=3., std=0.)
    tensor([3., 3.])
    """
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal numbers, those outside [a, b] drawn again.

    >>> weight = numgrad.nn.init.trunc_normal_(numgrad.empty(100), std=2.0, a=-1.0, b=1.0)
    >>> bool((weight.abs() <= 1).all())
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=3,
        )
    kept = _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std)
    # Which numbers come out depends on the method too, so it is PyTorch's choice between the two.
    draw = _redraw_outside if kept > 0.3 else _accept_below_density
    return draw(tensor, mean, std, a, b, generator)


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _redraw_outside(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> Tensor:
    """Draw normal numbers, and all of them again wherever one fell outside [a, b]."""
    tensor.normal_(mean, std, generator=generator)
    while True:
        outside = ops.logical_or(tensor < a, tensor > b)
        if not bool(outside.any()):
            return tensor
        again = ops.empty_like(tensor).normal_(mean, std, generator=generator)
        tensor.copy_(ops.where(outside, again, tensor))


def _accept_below_density(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> Tensor:
    """Draw uniform numbers in [a, b], each accepted with probability density / highest density."""
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    pending = None
    while pending is None or bool(pending.any()):
        candidates = ops.empty_like(tensor).uniform_(a, b, generator=generator)
        tensor.copy_(candidates if pending is None else ops.where(pending, candidates, tensor))
        log_density = candidates.sub(mean).div_(std).square_().mul_(-0.5).sub_(peak)
        drawn = ops.empty_like(tensor).uniform_(generator=generator).log_()
        refused = drawn > log_density
        pending = refused if pending is None else ops.logical_and(pending, refused)
    return tensor


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`.

    >>> numgrad.nn.init.constant_(numgrad.empty(2), 0.3)
    tensor([0.3000, 0.3000])
    """
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones.

    >>> numgrad.nn.init.ones_(numgrad.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros.

    >>> numgrad.nn.init.zeros_(numgrad.empty(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, for a tensor with two dimensions.

    >>> numgrad.nn.init.eye_(numgrad.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return tensor.copy_(ops.eye(*tensor.shape, dtype=tensor.dtype))


@no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution kernels (3 to 5 dimensions) that keep as many of the channels as they can.

    >>> numgrad.nn.init.dirac_(numgrad.empty(2, 2, 3)).sum()
    tensor(2.)
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    out_channels = tensor.shape[0] // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    tensor.zero_()
    for group in range(groups):
        for channel in range(min(out_channels, tensor.shape[1])):
            tensor[(group * out_channels + channel, channel, *middle)] = 1
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs and outputs a weight (outputs, inputs, receptive field …) connects."""
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fan(tensor: Tensor, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform with standard deviation gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio, 2010).

    >>> numgrad.nn.init.xavier_uniform_(numgrad.empty(3, 5)).shape
    torch.Size([3, 5])
    """
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with standard deviation gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio, 2010).

    >>> numgrad.nn.init.xavier_normal_(numgrad.empty(2, 3)).shape
    torch.Size([2, 3])
    """
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """gain / √fan; None for a tensor without elements."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    fan = _fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform with standard deviation gain / √fan (He et al., 2015).

    `mode`: "fan_in" keeps the variance forward, "fan_out" backward. `a`: the slope, for
    "leaky_relu".

    >>> numgrad.nn.init.kaiming_uniform_(numgrad.empty(2, 3)).abs().max() <= 2 ** 0.5
    tensor(True)
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal with standard deviation gain / √fan (He et al., 2015); see `kaiming_uniform_`.

    >>> numgrad.nn.init.kaiming_normal_(numgrad.empty(2, 3), nonlinearity='relu').shape
    torch.Size([2, 3])
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """A (semi-)orthogonal matrix (Saxe et al., 2013); later dimensions count as one.

    >>> weight = numgrad.nn.init.orthogonal_(numgrad.empty(2, 3))
    >>> numgrad.allclose(weight @ weight.T, numgrad.eye(2), atol=1e-6)
    True
    """
    import numpy as np

    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    drawn = ops.empty((rows, columns), dtype=tensor.dtype).normal_(0, 1, generator=generator)
    matrix = drawn.numpy().T if rows < columns else drawn.numpy()
    q, r = np.linalg.qr(matrix)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform
    q = np.ascontiguousarray(q.T if rows < columns else q)
    return tensor.copy_(ops.from_numpy(q).reshape(tensor.shape)).mul_(gain)


@no_grad()
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal numbers; of each column of a matrix the part `sparsity` zero (Martens, 2010).

    >>> (numgrad.nn.init.sparse_(numgrad.empty(4, 2), 0.5) == 0).sum()
    tensor(4)
    """
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        tensor[ops.randperm(rows)[:zeros], column] = 0
    return tensor
