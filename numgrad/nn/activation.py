"""Activation layers."""

from __future__ import annotations

import warnings
from typing import Any

from .. import ops
from ..tensor import Tensor
from . import functional as F
from . import init as initial
from .module import Module
from .parameter import Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _Inplace(Module):
    """An activation that may write its result over its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""

    def _and_inplace(self, text: str) -> str:
        return text + ", inplace=True" if self.inplace else text


class ReLU(_Inplace):
    """max(x, 0).

    >>> numgrad.nn.ReLU()(numgrad.tensor([-1., 2.]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.relu_(input) if self.inplace else ops.relu(input)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ).

    >>> numgrad.nn.Sigmoid()(numgrad.zeros(2))
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.sigmoid(input)


class Tanh(Module):
    """tanh x.

    >>> numgrad.nn.Tanh()(numgrad.tensor([0., 1.]))
    tensor([0.0000, 0.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.tanh(input)


class GELU(Module):
    """x · Φ(x), or its tanh approximation with `approximate="tanh"` (Hendrycks & Gimpel, 2016).

    >>> numgrad.nn.GELU()(numgrad.tensor([-1., 1.]))
    tensor([-0.1587,  0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return ops.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_Inplace):
    """x · σ(x), also called swish.

    >>> numgrad.nn.SiLU()(numgrad.tensor([-1., 2.]))
    tensor([-0.2689,  1.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


class Mish(_Inplace):
    """x · tanh(softplus(x)) (Misra, 2019).

    >>> numgrad.nn.Mish()(numgrad.tensor([-1., 2.]))
    tensor([-0.3034,  1.9440])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class SELU(_Inplace):
    """ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al., 2017).

    >>> numgrad.nn.SELU()(numgrad.tensor([-1., 2.]))
    tensor([-1.1113,  2.1014])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class ELU(_Inplace):
    """x where x > 0, else alpha · (eˣ - 1).

    >>> numgrad.nn.ELU()(numgrad.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"alpha={self.alpha}")


class CELU(_Inplace):
    """max(0, x) + min(0, alpha · (e^(x/alpha) - 1)).

    >>> numgrad.nn.CELU()(numgrad.tensor([-1., 2.])).shape
    torch.Size([2])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"alpha={self.alpha}")


class LeakyReLU(_Inplace):
    """x where x > 0, else negative_slope · x.

    >>> numgrad.nn.LeakyReLU(0.1)(numgrad.tensor([-1., 2.]))
    tensor([-0.1000,  2.0000])
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"negative_slope={self.negative_slope}")


class RReLU(_Inplace):
    """x where x > 0, else a · x: a is random in [lower, upper] while training, its mean after.

    Every element draws its own a (Xu et al., 2015).

    >>> numgrad.nn.RReLU(0.25, 0.75).eval()(numgrad.tensor([-12., 2.]))
    tensor([-6.,  2.])
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"lower={self.lower}, upper={self.upper}")


class PReLU(Module):
    """x where x > 0, else weight · x: one trained weight, or one a channel (He et al., 2015).

    >>> numgrad.nn.PReLU(init=0.5).weight.item()
    0.5
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(ops.empty(num_parameters, dtype=dtype, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weights to `init`."""
        initial.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Threshold(_Inplace):
    """x where x > threshold, else value.

    >>> numgrad.nn.Threshold(0, 9)(numgrad.tensor([-1., 2.]))
    tensor([9., 2.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"threshold={self.threshold}, value={self.value}")


class Hardtanh(_Inplace):
    """x clamped to [min_val, max_val]; `min_value` and `max_value` are their deprecated names.

    >>> numgrad.nn.Hardtanh()(numgrad.tensor([-1., 2.]))
    tensor([-1.,  1.])
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(inplace)
        if min_value is not None:
            _warn_renamed("min_value", "min_val")
            min_val = min_value
        if max_value is not None:
            _warn_renamed("max_value", "max_val")
            max_val = max_value
        if min_val >= max_val:
            raise AssertionError(f"max_val ({max_val}) must be greater than min_val ({min_val})")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"min_val={self.min_val}, max_val={self.max_val}")


def _warn_renamed(old: str, new: str) -> None:
    warnings.warn(
        f"keyword argument `{old}` is deprecated and rename to `{new}`",
        FutureWarning,
        stacklevel=3,
    )


class ReLU6(Hardtanh):
    """x clamped to [0, 6].

    >>> numgrad.nn.ReLU6()(numgrad.tensor([-1., 2.]))
    tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(_Inplace):
    """min(max(x + 3, 0), 6) / 6.

    >>> numgrad.nn.Hardsigmoid()(numgrad.tensor([-1., 2.]))
    tensor([0.3333, 0.8333])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardswish(_Inplace):
    """x · min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).

    >>> numgrad.nn.Hardswish()(numgrad.tensor([-1., 2.]))
    tensor([-0.3333,  1.6667])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """0 where |x| ≤ lambd, else x.

    >>> numgrad.nn.Hardshrink()(numgrad.tensor([-1., 0.2]))
    tensor([-1.,  0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd, and 0 within that distance.

    >>> numgrad.nn.Softshrink()(numgrad.tensor([-1., 0.2]))
    tensor([-0.5000,  0.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.softshrink(input, self.lambd)


class Tanhshrink(Module):
    """x - tanh x.

    >>> numgrad.nn.Tanhshrink()(numgrad.tensor([0., 1.]))
    tensor([0.0000, 0.2384])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.tanhshrink(input)


class Softplus(Module):
    """ln(1 + e^(beta·x)) / beta; x itself where beta · x > threshold.

    >>> numgrad.nn.Softplus()(numgrad.zeros(1))
    tensor([0.6931])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return ops.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + |x|).

    >>> numgrad.nn.Softsign()(numgrad.tensor([-1., 2.]))
    tensor([-0.5000,  0.6667])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.softsign(input)


class LogSigmoid(Module):
    """ln(1 / (1 + e⁻ˣ)).

    >>> numgrad.nn.LogSigmoid()(numgrad.zeros(1))
    tensor([-0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.logsigmoid(input)


class _AlongDim(Module):
    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """eˣ / Σ eˣ along `dim`.

    >>> numgrad.nn.Softmax(dim=1)(numgrad.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.softmax(input, self.dim)


class LogSoftmax(_AlongDim):
    """The logarithm of the softmax along `dim`.

    >>> numgrad.nn.LogSoftmax(dim=0)(numgrad.zeros(2))
    tensor([-0.6931, -0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.log_softmax(input, self.dim)


class Softmin(_AlongDim):
    """The softmax of -x along `dim`.

    >>> numgrad.nn.Softmin(dim=0)(numgrad.zeros(2))
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return ops.softmin(input, self.dim)


class Softmax2d(Module):
    """The softmax over the channels of (N, C, H, W) or (C, H, W).

    >>> numgrad.nn.Softmax2d()(numgrad.zeros(2, 1, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead"
            )
        return ops.softmax(input, -3)


class GLU(Module):
    """a · σ(b) for the halves a, b of the input along `dim` (Dauphin et al., 2017).

    >>> numgrad.nn.GLU()(numgrad.tensor([1., 2., 0., 0.]))
    tensor([0.5000, 1.0000])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
