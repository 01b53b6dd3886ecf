"""Stochastic gradient descent."""

from __future__ import annotations

from .. import ops
from ..ops import optimizer as update
from ..tensor import Tensor
from ._options import check, check_implementation, check_learning_rate
from .optimizer import FusedOptimizer, Group, Parameters

__all__ = ["SGD"]


class SGD(FusedOptimizer):
    """Gradient descent, p ← p - lr · g, with optional momentum.

    Momentum puts b ← momentum · b + (1 - dampening) · g in place of g (g + momentum · b with
    `nesterov`); the first b of a parameter is its first g. g is the gradient, negated with
    `maximize`, plus `weight_decay` · p.

    >>> import numgrad
    >>> w = numgrad.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = numgrad.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.5000, -1.0000], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_implementation(differentiable, foreach, fused)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor]) -> None:
        momentum = group["momentum"]
        lr, decay, maximize = group["lr"], group["weight_decay"], group["maximize"]
        if momentum == 0:
            update.sgd_(params, None, lr, decay, maximize)
            return
        dampening, nesterov = group["dampening"], group["nesterov"]
        states = [self.state[param] for param in params]
        fresh = [
            param
            for param, state in zip(params, states, strict=True)
            if state.get("momentum_buffer") is None
        ]
        for param in fresh:
            self.state[param]["momentum_buffer"] = ops.zeros_like(param)
        if fresh and dampening != 0:
            # The first step is not damped.
            buffers = [self.state[param]["momentum_buffer"] for param in fresh]
            update.sgd_(fresh, buffers, lr, decay, maximize, momentum, 0.0, nesterov)
            started = {id(param) for param in fresh}
            params = [param for param in params if id(param) not in started]
            states = [self.state[param] for param in params]
        if params:
            buffers = [state["momentum_buffer"] for state in states]
            update.sgd_(params, buffers, lr, decay, maximize, momentum, dampening, nesterov)
