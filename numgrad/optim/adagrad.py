"""Adagrad."""

from __future__ import annotations

from .. import ops
from ..dtypes import float32
from ..ops import optimizer as update
from ..tensor import Tensor
from ._options import check, check_implementation, check_learning_rate
from .optimizer import FusedOptimizer, Group, Parameters

__all__ = ["Adagrad"]


class Adagrad(FusedOptimizer):
    """Gradients over the root of the sum of all their squares so far: p ← p - lrₜ · g / (√s + eps).

    s ← s + g², from `initial_accumulator_value`; lrₜ = lr / (1 + (t - 1) · lr_decay) (Duchi et al.
    2011).

    >>> import numgrad
    >>> w = numgrad.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = numgrad.optim.Adagrad([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.7500, -1.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr)
        check("lr_decay value", lr_decay)
        check("weight_decay value", weight_decay)
        check("initial_accumulator_value value", initial_accumulator_value)
        check("epsilon value", eps)
        check_implementation(differentiable, foreach, fused)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        # PyTorch has this state before the first step, and saves it.
        for group in self.param_groups:
            for param in group["params"]:
                self._start(param, group)

    def _start(self, param: Tensor, group: Group) -> None:
        state = self.state[param]
        state["step"] = ops.zeros((), dtype=float32, device=param.device)
        state["sum"] = ops.full_like(param, float(group["initial_accumulator_value"]))

    def _update(self, group: Group, params: list[Tensor]) -> None:
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if not state:
                self._start(param, group)
        update.adagrad_(
            params,
            [state["sum"] for state in states],
            [state["step"] for state in states],
            group["lr"],
            group["weight_decay"],
            group["maximize"],
            group["lr_decay"],
            group["eps"],
        )
