"""Checks of hyper-parameters that the optimizers share."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


def check_learning_rate(lr: Any) -> None:
    """A number, or a tensor with one element, that is not negative."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    check("learning rate", lr)


def check(name: str, value: Any) -> None:
    """Not negative, and not NaN."""
    if not 0.0 <= value:
        raise ValueError(f"Invalid {name}: {value}")


def check_implementation(differentiable: bool, foreach: Any = None, fused: Any = None) -> None:
    """`foreach`, `fused` and `capturable` are accepted: every step is one launch for all anyway."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if differentiable:
        raise NotImplementedError(
            "differentiable=True is not supported: the steps of numgrad's optimizers write into "
            "their parameters and are not recorded"
        )
