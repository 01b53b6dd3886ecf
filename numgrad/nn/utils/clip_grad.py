"""Clipping of gradients by their norm or by their values."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable
from typing import Any

from ... import ops
from ...autograd.grad_mode import no_grad
from ...tensor import Tensor


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors together, as if they were one vector.

    `norm_type` may be infinity. `foreach` is accepted and has no effect. RuntimeError on NaN or
    infinity with `error_if_nonfinite`.

    >>> numgrad.nn.utils.get_total_norm([numgrad.tensor([3.]), numgrad.tensor([4.])])
    tensor(5.)
    """
    listed = _listed(tensors)
    norm_type = float(norm_type)
    if not listed:
        return ops.tensor(0.0)
    norms = ops.stack([ops.vector_norm(tensor, norm_type) for tensor in listed])
    total = ops.vector_norm(norms, norm_type)
    if error_if_nonfinite and not bool(ops.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients by max_norm / total_norm, if that is below one."""
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for parameter in _listed(parameters):
        if parameter._grad is not None:
            parameter._grad.mul_(factor)


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their common norm is at most `max_norm`; returns the old norm.

    RuntimeError on a norm that is not finite, with `error_if_nonfinite`.

    >>> weight = numgrad.ones(2, requires_grad=True)
    >>> (weight * 3).sum().backward()
    >>> numgrad.nn.utils.clip_grad_norm_([weight], 1.0)
    tensor(4.2426)
    >>> weight.grad
    tensor([0.7071, 0.7071])
    """
    generated = isinstance(parameters, types.GeneratorType)
    listed = _listed(parameters)
    if generated and not listed:
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3
        )
    grads = [parameter._grad for parameter in listed if parameter._grad is not None]
    total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(listed, max_norm, total, foreach)
    return total


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp every gradient to [-clip_value, clip_value].

    >>> weight = numgrad.ones(2, requires_grad=True)
    >>> (weight * 3).sum().backward()
    >>> numgrad.nn.utils.clip_grad_value_([weight], 1.0)
    >>> weight.grad
    tensor([1., 1.])
    """
    bound = float(clip_value)
    for parameter in _listed(parameters):
        if parameter._grad is not None:
            parameter._grad.clamp_(-bound, bound)
