"""Adam, AdamW and AMSGrad."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..dtypes import float32
from ..ops import optimizer as update
from ..tensor import Tensor
from ._options import check, check_implementation, check_learning_rate
from .optimizer import FusedOptimizer, Group, Parameters

__all__ = ["Adam", "AdamW"]


class Adam(FusedOptimizer):
    """Adam: steps in proportion to the mean gradient over the root of its mean square.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², p ← p - lr · m̂ / (√v̂ + eps), where m̂ and v̂ are
    m and v divided by 1 - βᵗ after t steps (Kingma & Ba 2015). g is the gradient plus
    `weight_decay` · p; with `decoupled_weight_decay` the parameter shrinks by lr · weight_decay
    instead (AdamW). `amsgrad` takes the largest v so far.

    >>> import numgrad
    >>> w = numgrad.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = numgrad.optim.Adam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.7500, -1.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check("epsilon value", eps)
        for index in (0, 1):
            beta = betas[index]
            if isinstance(beta, Tensor) and beta.numel() != 1:
                raise ValueError(f"Tensor betas[{index}] must be 1-element")
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
        check("weight_decay value", weight_decay)
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
            raise ValueError("betas must be either both floats or both Tensors")
        check_implementation(differentiable, foreach, fused)
        defaults = {
            "lr": lr,
            "betas": tuple(float(beta) if isinstance(beta, Tensor) else beta for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor]) -> None:
        amsgrad = group["amsgrad"]
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = ops.zeros((), dtype=float32, device=param.device)
                state["exp_avg"] = ops.zeros_like(param)
                state["exp_avg_sq"] = ops.zeros_like(param)
                if amsgrad:
                    state["max_exp_avg_sq"] = ops.zeros_like(param)
        beta1, beta2 = group["betas"]
        update.adam_(
            params,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if amsgrad else None,
            [state["step"] for state in states],
            group["lr"],
            group["weight_decay"],
            group["maximize"],
            beta1,
            beta2,
            group["eps"],
            group["decoupled_weight_decay"],
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: each step also shrinks p by lr · weight_decay · p.

    Loshchilov & Hutter 2019; `weight_decay` is 0.01 unless given.

    >>> import numgrad
    >>> w = numgrad.tensor([1.0], requires_grad=True)
    >>> w.grad = numgrad.tensor([0.0])
    >>> numgrad.optim.AdamW([w], lr=0.5, weight_decay=0.5).step()
    >>> w
    tensor([0.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
