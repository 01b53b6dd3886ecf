"""RMSprop."""

from __future__ import annotations

from .. import ops
from ..dtypes import float32
from ..ops import optimizer as update
from ..tensor import Tensor
from ._options import check, check_implementation, check_learning_rate
from .optimizer import FusedOptimizer, Group, Parameters

__all__ = ["RMSprop"]


class RMSprop(FusedOptimizer):
    """Gradients over the root of their running mean square: p ← p - lr · g / (√s + eps).

    s ← alpha · s + (1 - alpha) · g² (Hinton). `centered` subtracts the square of the running mean
    under the root; `momentum` accumulates the scaled gradients.

    >>> import numgrad
    >>> w = numgrad.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = numgrad.optim.RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.8000, -1.8000], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check("epsilon value", eps)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        check("alpha value", alpha)
        check_implementation(differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor]) -> None:
        momentum, centered = group["momentum"], group["centered"]
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = ops.zeros((), dtype=float32, device=param.device)
                state["square_avg"] = ops.zeros_like(param)
                if momentum > 0:
                    state["momentum_buffer"] = ops.zeros_like(param)
                if centered:
                    state["grad_avg"] = ops.zeros_like(param)
        update.rmsprop_(
            params,
            [state["square_avg"] for state in states],
            [state["grad_avg"] for state in states] if centered else None,
            [state["momentum_buffer"] for state in states] if momentum > 0 else None,
            [state["step"] for state in states],
            group["lr"],
            group["weight_decay"],
            group["maximize"],
            group["alpha"],
            group["eps"],
            momentum,
        )
