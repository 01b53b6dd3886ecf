"""Activation layers: each calls its function of `numgrad.nn.functional`."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from . import functional as F
from .module import Module
from .parameter import Parameter


def _simple(name: str, function: str, doc: str) -> Any:
    """A layer without options."""

    def forward(self: Any, input: Tensor) -> Tensor:
        return getattr(F, function)(input)

    return type(name, (Module,), {"forward": forward, "__doc__": doc, "__module__": __name__})


def _option(name: str, function: str, doc: str, **defaults: Any) -> Any:
    """A layer with options, which are attributes and stand in the repr."""
    names = list(defaults)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self)
        self.inplace = bool(kwargs.pop("inplace", args[len(names)] if len(args) > len(names) else False))
        values = dict(defaults)
        values.update(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key not in values:
                raise TypeError(
                    f"{name}.__init__() got an unexpected keyword argument '{key}'"
                )
            values[key] = value
        for key, value in values.items():
            setattr(self, key, value)

    def forward(self: Any, input: Tensor) -> Tensor:
        own = self.__dict__
        result = getattr(F, function)(input, **{n: own[n] for n in names})
        return input.copy_(result) if self.inplace else result

    def extra_repr(self: Any) -> str:
        shown = [f"{n}={getattr(self, n)!r}" for n in names]
        return ", ".join([*shown, "inplace=True"] if self.inplace else shown)

    body = {"__init__": __init__, "forward": forward, "extra_repr": extra_repr}
    return type(name, (Module,), {**body, "__doc__": doc, "__module__": __name__})


class ReLU(Module):
    """max(x, 0).

    >>> numgrad.nn.ReLU()(numgrad.tensor([-1., 2.]))
    tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return ops.relu_(input) if self.inplace else ops.relu(input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


Sigmoid = _simple("Sigmoid", "sigmoid", "1 / (1 + e⁻ˣ).")
Tanh = _simple("Tanh", "tanh", "tanh x.")
LogSigmoid = _simple("LogSigmoid", "logsigmoid", "ln σ(x).")
Softsign = _simple("Softsign", "softsign", "x / (1 + |x|).")
Tanhshrink = _simple("Tanhshrink", "tanhshrink", "x - tanh x.")
SiLU = _option("SiLU", "silu", "x · σ(x).")
Mish = _option("Mish", "mish", "x · tanh(softplus(x)).")
Hardswish = _option("Hardswish", "hardswish", "x · relu6(x + 3) / 6.")
Hardsigmoid = _option("Hardsigmoid", "hardsigmoid", "relu6(x + 3) / 6.")
ReLU6 = _option("ReLU6", "relu6", "min(max(x, 0), 6).")
SELU = _option("SELU", "selu", "Scaled ELU (Klambauer et al., 2017).")
GELU = _option("GELU", "gelu", "x · Φ(x), or its tanh approximation.", approximate="none")
ELU = _option("ELU", "elu", "x where x > 0, else alpha · (eˣ - 1).", alpha=1.0)
CELU = _option("CELU", "celu", "Continuously differentiable ELU.", alpha=1.0)
LeakyReLU = _option(
    "LeakyReLU", "leaky_relu", "x where x > 0, else negative_slope · x.", negative_slope=0.01
)
Softplus = _option(
    "Softplus", "softplus", "ln(1 + e^(beta·x)) / beta.", beta=1.0, threshold=20.0
)
Hardtanh = _option("Hardtanh", "hardtanh", "x clamped.", min_val=-1.0, max_val=1.0)


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """0 where |x| ≤ lambd, else x."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class Threshold(Module):
    """x where x > threshold, else value."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        tail = ", inplace=True" if self.inplace else ""
        return f"threshold={self.threshold}, value={self.value}{tail}"


class PReLU(Module):
    """x where x > 0, else a · x with a trained a."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(ops.full((num_parameters,), float(init)))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _AlongDim(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """Softmax along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(_AlongDim):
    """Logarithm of the softmax along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(_AlongDim):
    """Softmax of -x along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class GLU(Module):
    """a · σ(b) for the halves a, b of the input along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
