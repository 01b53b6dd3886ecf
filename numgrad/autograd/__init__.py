"""Automatic differentiation: `backward`, `grad`, grad modes, custom functions, numeric checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import engine
from .anomaly import detect_anomaly as detect_anomaly
from .anomaly import set_detect_anomaly as set_detect_anomaly
from .function import Function as Function
from .function import once_differentiable as once_differentiable
from .grad_mode import enable_grad as enable_grad
from .grad_mode import inference_mode as inference_mode
from .grad_mode import is_grad_enabled as is_grad_enabled
from .grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from .grad_mode import no_grad as no_grad
from .grad_mode import set_grad_enabled as set_grad_enabled
from .gradcheck import gradcheck as gradcheck
from .gradcheck import gradgradcheck as gradgradcheck
from .tape import Variable as Variable


def _sequence(value: Any) -> tuple:
    return (value,) if value is None or isinstance(value, Variable) else tuple(value)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of the leaves they were made from.

    `grad_tensors` are the gradients to start from (ones for one-element tensors). `inputs` limits
    the accumulation to these leaves.

    >>> x = numgrad.tensor([1., 2.], requires_grad=True)
    >>> numgrad.autograd.backward((x * x).sum()); x.grad
    tensor([2., 4.])
    """
    outputs = _sequence(tensors)
    grads = _sequence(grad_tensors)
    if len(grads) == 1 and grads[0] is None:
        grads = (None,) * len(outputs)
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    chosen = None
    if inputs is not None:
        chosen = _sequence(inputs)
        if not chosen:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    keep = create_graph if retain_graph is None else retain_graph
    engine.run(outputs, grads, chosen, keep, create_graph, capture=False)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of the sum of `outputs` with respect to each of `inputs`.

    With `create_graph` they can be differentiated again. An input that the outputs don't depend
    on raises, or gives None with `allow_unused`, or zeros with `materialize_grads`.

    >>> x = numgrad.tensor([3.], requires_grad=True)
    >>> numgrad.autograd.grad(x ** 2, x)
    (tensor([6.]),)
    """
    if is_grads_batched:
        raise RuntimeError("numgrad.autograd.grad: is_grads_batched=True is not supported")
    chosen: Sequence[Any] = _sequence(inputs)
    listed = _sequence(outputs)
    grads = _sequence(grad_outputs)
    if len(grads) == 1 and grads[0] is None:
        grads = (None,) * len(listed)
    for tensor in chosen:
        if not tensor.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    keep = create_graph if retain_graph is None else retain_graph
    found = engine.run(listed, grads, chosen, keep, create_graph, capture=True)
    for position, result in enumerate(found):
        if result is None:
            if materialize_grads:
                found[position] = chosen[position].new_zeros(chosen[position].shape)
            elif not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {position} appears to not have been used "
                    "in the graph. Set allow_unused=True if this is the desired behavior."
                )
    return tuple(found)
